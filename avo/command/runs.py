"""`avo report`, `avo check` and `avo replay`: a run of `avo fit` again, beside new observations, and call by call.

A run's folder may be somebody else's: its words and arrays are read, and nothing that it names is run unless the user
says so.
"""

import hashlib
import inspect
import shlex
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import avo
from avo import checks
from avo.command.fitting import fit
from avo.command.options import Observations, Quiet, Seed, Workers
from avo.command.programs import keep_programs

if TYPE_CHECKING:
    from avo.command.sources import Reading
    from avo.result import Result

AVO = Path(avo.__file__).parent
UNSEEN = "--data must name a file of observations: the run was fitted to such a file."
OPTIONS = ("simulator", "option", "columns", "key", "log_windows")  # of `avo fit`, which a check needs again

Run = Annotated[Path, typer.Argument(help="Folder of a finished run of `avo fit`.")]
Simulator = Annotated[
    str | None,
    typer.Option("--simulator", help="path/to/file.py:function, where the run was of a simulator of your own."),
]
Trust = Annotated[bool, typer.Option("--trust", help="Run the file that the run names, instead.")]


def report(
    run: Run,
    *,
    out: Annotated[
        Path | None, typer.Option(help="The page to write; left out: report.html in the run's folder.")
    ] = None,
) -> None:
    """Print a finished run again, and write it as a page for colleagues: one HTML file with pictures and sliders.

    The page asks no host for anything, opens from disk, and needs neither avo nor the simulator.
    """
    import numpy as np

    from avo.folder import writable
    from avo.report.page import write

    result, words = _finished(run)
    if out is not None and out.suffix and not out.is_dir():
        writable("--out", out)
    truth = None if words["truth"] is None else np.array([words["truth"][name] for name in result.names])
    typer.echo(result.summary(truth))
    if result.estimate is not None:
        typer.echo(f"\n{result.identifiability()}")
    if any(result.failures.values()):
        typer.echo(f"\nfailed calls:\n{result.failures.summary()}")
    typer.echo(f"\n{write(result, run if out is None else out, truth, _command(words['options']))}")


def _command(options: dict[str, Any]) -> str:
    """Write the command of a run again, without what is as if it were left out."""
    usual = {name.rstrip("_"): given.default for name, given in inspect.signature(fit).parameters.items()}
    left = {"simulator", "out", "resume", "quiet", "profile"} | ({"n", "set"} if options.get("data") else set())
    told = {name: v for name, v in options.items() if name not in left and v != usual.get(name)}
    return shlex.join(["avo", "fit", str(options["simulator"]), *_flags(told)])


def _flags(options: dict[str, Any]) -> list[str]:
    """Write options as they are typed."""
    words: list[str] = []
    for name, value in options.items():
        flag = f"--{name.replace('_', '-')}"
        if value is None or value is False:
            words += ["--no-refine"] if name == "refine" else []
        elif isinstance(value, list):
            words += [word for one in value for word in (flag, str(one))]
        else:
            words += [flag] if value is True else [flag, str(value)]
    return words


def check(
    run: Run,
    *,
    data_: Annotated[
        Path | None,
        typer.Option("--data", help="Observations that the fit has not seen, in a file like the fit's own."),
    ] = None,
    replicates: Annotated[int, typer.Option(help="Simulated sets that the observations are compared with.")] = 199,
    budget: Annotated[
        str | None,
        typer.Option(metavar="CALLS", help="Simulator calls, at most, 10000, 1e4 or 10k; left out: as many as needed."),
    ] = None,
    n: Observations = 1000,
    seed: Seed = 1,
    simulator: Simulator = None,
    trust: Trust = False,
    workers: Workers = None,
    quiet: Quiet = False,
) -> None:
    """Ask whether the simulator, at a run's estimate, reproduces observations that the fit has not seen.

    Without --data the observations are simulated anew, at the truth of a run that had simulated ones.
    """
    keep_programs()
    from avo.command import presets, sources
    from avo.diagnostics.goodness import LEAST_REPLICATES, reference_sets, sets_within

    checks.whole("--replicates", replicates, LEAST_REPLICATES)
    most = None if budget is None else checks.calls_of("--budget", budget)
    if budget is not None and most is None:
        raise ValueError(f"--budget must be a number of calls, such as 10000, 1e4 or 10k; got {budget!r}.")
    result, words = _finished(run)
    options, truth = words["options"], words["truth"]
    # Runs of older versions have fewer options
    reading = sources.Reading(**{name: options.get(name) for name in sources.Reading._fields})
    if options.get("preset") is not None:
        with _read_as(run, reading):
            task = presets.task_again(result.space, _needed(data_), reading, options["option"])
        source, observed = task.source, task.x_obs
    else:
        name, given = _simulator(run, options["simulator"], simulator, trust), (options["option"], options.get("space"))
        own = sources.own_source(name, *given)
        with _read_as(run, reading):
            table = None if data_ is None else sources.read(data_, reading)
        source = sources.source_of(name, given[0], table, reading.log_windows, given[1], own)
        task = None if table is None else sources.Task.of_file(source, table, _needed(data_), reading.axis)
        if task is not None:
            observed = task.x_obs
        elif truth is None or source.problem is None:
            raise ValueError(UNSEEN)
        else:
            known = [truth[name] for name in result.space.columns]
            observed = sources.observations(source.problem, known, n, seed, sources.UNSEEN)
    rows = n if task is None else len(task.observed)
    sets = sets_within(most, replicates, rows)
    calls = (sets + reference_sets(rows)) * rows
    if not quiet:
        cost = f"{rows:,} observations beside {sets} simulated sets: up to {calls:,} simulator calls"
        typer.echo(f"{cost}; the fit made {result.calls:,}. --budget limits them.", err=True)
    beside = {} if task is None else {"inputs": task.inputs, "groups": task.groups, "weights": task.weights}
    found = avo.check(
        result, source.simulate, observed, **beside, replicates=sets, seed=seed, executor=workers,
        progress=not quiet,
    )  # fmt: skip
    avo.plots.check(found).savefig(run / "check.png", dpi=100)
    typer.echo(f"{found.summary()}\n\n{run / 'check.png'}")


@contextmanager
def _read_as(run: Path, reading: "Reading") -> Iterator[None]:
    """Say of an error in reading a file that options of the run, which nobody typed now, say how it is read."""
    taken = _flags({name: value for name, value in reading._asdict().items() if value})
    try:
        yield
    except ValueError as error:
        if not taken:
            raise
        words = f"The options come from the run, {run}, which read its own file by {shlex.join(taken)}"
        raise ValueError(f"{error} {words}: --data must name a file like that.") from error


def _needed(file: Path | None) -> Path:
    if file is None:
        raise ValueError(UNSEEN)
    return file


def replay(
    run: Annotated[Path, typer.Argument(help="Folder of a run of a simulator outside JAX.")],
    call: Annotated[int, typer.Argument(min=0, help="Number of the call, from 0, as `avo report` names failures.")],
    *,
    simulator: Simulator = None,
    trust: Trust = False,
    debug: Annotated[bool, typer.Option("--pdb", help="Enter the debugger where the call raises.")] = False,
) -> None:
    """Repeat one call of a run, with its theta and seed: what it gave then, and what it gives now.

    \b
    avo report runs/counter-1                                   failures by kind, with the number of a call of each
    avo replay runs/counter-1 1234 --simulator counter.py:run   that call again
    """
    from avo.command import sources
    from avo.execution.failures import CallFailed
    from avo.execution.replay import find
    from avo.folder import read_stamped

    found = find(run, call)
    theta = found.theta if found.theta.ndim == 1 else found.theta[found.row]
    words = read_stamped(run / "fit.json") if (run / "fit.json").is_file() else {}
    names = [entry["name"] for entry in words.get("space", [])] if isinstance(words.get("space"), list) else []
    if len(names) != len(theta):
        names = [f"theta[{i}]" for i in range(len(theta))]
    named = ", ".join(f"{checks.printable(name)}={value}" for name, value in zip(names, theta.tolist(), strict=True))
    typer.echo(f"call {call} at {named}\nrng = numpy.random.default_rng({found.seed.tolist()})")
    then = f"x = {found.x}" if found.kind is None else found.kind + (f": {found.words}" if found.words else "")
    typer.echo(f"then: {then}")
    options = read_stamped(run / "command.json")["options"] if (run / "command.json").is_file() else {}
    name = _simulator(run, options.get("simulator"), simulator, trust)
    source = sources.source_of(name, None, None, None, options.get("space"))
    fn: Any = source.simulate
    try:
        typer.echo(f"now: x = {found(fn)}")
    except CallFailed as error:
        cause = error.__cause__ or error
        theirs = [
            one for one in traceback.extract_tb(cause.__traceback__) if not Path(one.filename).is_relative_to(AVO)
        ]
        told = [*traceback.format_list(theirs), *traceback.format_exception_only(cause)]
        typer.echo("now: " + ("Traceback, without avo's own lines:\n" if theirs else "") + "".join(told).rstrip())
        if debug:
            import pdb

            pdb.post_mortem(cause.__traceback__)


def _simulator(run: Path, known: Any, given: str | None, trust: bool) -> str:
    """Find which simulator is meant: the user's own word, or the run's, whose file is run only if the user says so."""
    if given is not None:
        return given
    if not isinstance(known, str):
        raise ValueError(f"--simulator must say path/to/file.py:function; {run} does not.")
    file = Path(known.rpartition(":")[0] or known)
    if file.suffix != ".py" or trust:
        return known
    what = f"{file}, sha256 {hashlib.sha256(file.read_bytes()).hexdigest()[:16]}" if file.is_file() else f"{file}"
    if sys.stdin.isatty() and typer.confirm(f"{run} names {what}. Run it?"):
        return known
    raise ValueError(f"{run} names {what}, which would be run. Say --simulator {checks.printable(known)}, or --trust.")


def _finished(run: Path) -> "tuple[Result, dict[str, Any]]":
    """Read a run of `avo fit`: its result, and the words of its command."""
    from avo.folder import damaged, read_stamped, unfinished

    if (error := unfinished(run)) is not None:
        raise error
    if (run / "result.json").is_file() and not (run / "command.json").is_file():
        raise FileNotFoundError(
            f"{run} holds a fit made in Python (no command.json): avo.load({str(run)!r}) gives it, for "
            ".report(...) and avo.check(...)."
        )
    if not (run / "command.json").is_file():
        raise FileNotFoundError(f"{run} holds no finished run of `avo fit` (no command.json).")
    words = read_stamped(run / "command.json")
    options = words.get("options")
    if "truth" not in words or not isinstance(options, dict) or not set(OPTIONS) <= options.keys():
        raise damaged(run / "command.json")
    return avo.load(run), words
