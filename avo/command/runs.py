"""`avo report` and `avo check`: a finished run of `avo fit` again, and beside observations it has not seen."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import avo
from avo.command.options import Observations, Quiet, Seed
from avo.command.programs import keep_programs

if TYPE_CHECKING:
    from avo.result import Result

OPTIONS = ("simulator", "option", "columns", "key", "log_windows")  # of `avo fit`, which a check needs again

Run = Annotated[Path, typer.Argument(help="Folder of a finished run of `avo fit`.")]


def report(run: Run) -> None:
    """Print a finished run again: the estimates, and what the data identify."""
    import numpy as np

    result, words = _finished(run)
    truth = None if words["truth"] is None else np.array([words["truth"][name] for name in result.names])
    typer.echo(result.summary(truth))
    if result.estimate is not None:
        typer.echo(f"\n{result.identifiability()}")


def check(
    run: Run,
    data_: Annotated[
        Path | None,
        typer.Option("--data", help="Observations that the fit has not seen, in a file like the fit's own."),
    ] = None,
    replicates: Annotated[int, typer.Option(help="Simulated sets that the observations are compared with.")] = 199,
    n: Observations = 1000,
    seed: Seed = 1,
    quiet: Quiet = False,
) -> None:
    """Ask whether the simulator, at a run's estimate, reproduces observations that the fit has not seen.

    Without --data the observations are simulated anew, at the truth of a run that had simulated ones.
    """
    keep_programs()
    from avo.command import sources

    result, words = _finished(run)
    options, truth = words["options"], words["truth"]
    # Runs of older versions have fewer options
    reading = sources.Reading(**{name: options.get(name) for name in sources.Reading._fields})
    table = None if data_ is None else sources.read(data_, reading)
    simulator, option, space = (options.get(name) for name in ("simulator", "option", "space"))
    source = sources.source_of(simulator, option, table, reading.log_windows, space)
    task = None
    if table is not None:
        task = sources.Task(source, sources.suited(table, source, str(data_)), None, table)
        observed = task.x_obs
    elif truth is None or source.problem is None:
        raise ValueError("--data must name a file of observations: the run was fitted to such a file.")
    else:
        known = [truth[name] for name in result.names]
        observed = sources.observations(source.problem, known, n, seed, sources.UNSEEN)
    beside = {} if task is None else {"inputs": task.inputs, "groups": task.groups}
    found = avo.check(result, source.simulate, observed, **beside, replicates=replicates, seed=seed, progress=not quiet)
    avo.plots.check(found).savefig(run / "check.png", dpi=100)
    typer.echo(f"{found.summary()}\n\n{run / 'check.png'}")


def _finished(run: Path) -> "tuple[Result, dict[str, Any]]":
    """Read a run of `avo fit`: its result, and the words of its command."""
    from avo.folder import damaged, read_stamped

    if not (run / "command.json").is_file():
        raise FileNotFoundError(f"{run} holds no finished run of `avo fit` (no command.json).")
    words = read_stamped(run / "command.json")
    options = words.get("options")
    if "truth" not in words or not isinstance(options, dict) or not set(OPTIONS) <= options.keys():
        raise damaged(run / "command.json")
    return avo.load(run), words
