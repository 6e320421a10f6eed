"""The `avo` command: list simulators, draw from one, fit one to a file.

Everything here is calling the library by the words of a command line, whose meaning is found in avo/command/sources.py,
and writing its answers into a folder. A mistake of the user's ends as one sentence on stderr and exit status 2; an
unexpected error keeps its traceback.

A fit leaves in its folder

    result.json, arrays.npz   the result, for `avo.load`; the history is in it
    command.json              the command, its options and the version
    fit.json                  what `--resume` compares before it continues
    history.png               gap and parameters against simulator calls
    predictive.png            observed beside simulated data
    check.png                 how observations that it has not seen compare, from `avo check`
"""

import importlib.metadata
import platform
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import typer
from typer.core import TyperGroup

import avo
from avo import data
from avo.command.sources import Source, problem_of, ranged, read, source_of, suited, truth_of, warn_of_other_names
from avo.execution.host import HostSimulator
from avo.folder import read_json, write_arrays, write_json
from avo.result import Result
from avo.simulators import Problem
from avo.space import Interval, LogInterval

PACKAGES = ("jax", "jaxlib", "equinox", "optax", "numpy", "scipy")
# Streams of random numbers besides those of the fit, which splits the seed's key
OBSERVED, PREDICTED = 20_001, 20_002
PICTURE_ROWS = {True: 200, False: 1000}  # draws for predictive.png, of a host simulator or not


class _Plainly(TyperGroup):
    """Commands whose expected errors are sentences."""

    def invoke(self, ctx: Any) -> Any:
        try:
            with _plain_warnings():
                return super().invoke(ctx)
        except (ValueError, OSError, ImportError, RuntimeError) as error:
            # Typer's own exits, and JAX's failures, are subclasses of RuntimeError
            if ctx.params.get("traceback") or (isinstance(error, RuntimeError) and type(error) is not RuntimeError):
                raise
            words = str(error)
            if isinstance(error, OSError) and error.filename and error.strerror:  # the system's own
                words = f"{error.filename}: {error.strerror}. Name another path."
            typer.echo(f"error: {words}", err=True)
            raise typer.Exit(2) from error


@contextmanager
def _plain_warnings() -> Iterator[None]:
    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        typer.echo(f"warning: {message}", err=True)

    with warnings.catch_warnings():
        warnings.simplefilter("default", UserWarning)
        warnings.showwarning = show
        yield


app = typer.Typer(
    cls=_Plainly,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def main() -> None:
    """Run the command line."""
    app(prog_name="avo")


@app.callback()
def _avo(
    traceback: Annotated[bool, typer.Option("--traceback", help="Show where in the code an error arose.")] = False,
) -> None:
    """Fit simulators to data by adversarial variational optimization.

    Start with `avo list`, then `avo fit ecg`.
    """


# --- commands --------------------------------------------------------------------------------------------------------

Seed = Annotated[int, typer.Option(help="Same seed, same numbers.")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="NAME=VALUE", help="A parameter of the truth, others keep their defaults; repeatable."
    ),
]
Option = Annotated[
    list[str] | None,
    typer.Option("--option", metavar="NAME=VALUE", help="An option of the simulator, e.g. points=180; repeatable."),
]
Observations = Annotated[int, typer.Option("--n", min=1, help="Number of observations to simulate.")]
Run = Annotated[Path, typer.Argument(help="Folder of a finished run of `avo fit`.")]


@app.command("list")
def list_(
    name: Annotated[str | None, typer.Argument(help="A simulator, to be described in full.")] = None,
    tag: Annotated[
        list[str] | None, typer.Option(help="Only simulators with this tag, e.g. series; repeatable: with all of them.")
    ] = None,
) -> None:
    """List the simulators: shape of x, parameters with units, what x is, and tags.

    `avo list NAME` describes one in full: its equations and source, what is identified, limits, options, parameters.
    """
    if name is not None:
        if tag:
            raise ValueError("--tag chooses among all simulators; leave it out with a name.")
        typer.echo(avo.simulators.about(name))
        return
    names = avo.simulators.find(*tag or ())
    typer.echo(avo.simulators.register.table(names) if names else f"no simulator has all of {', '.join(tag or ())}")


@app.command()
def gallery(
    out: Annotated[Path, typer.Option(help="Folder for gallery.md and gallery/NAME.png; they are replaced.")],
) -> None:
    """Draw every simulator at its default truth, on one page of Markdown."""
    if out.exists() and not out.is_dir():
        raise FileExistsError(f"--out: {out} is a file; choose a folder.")
    page, *pictures = avo.gallery.write(out)
    typer.echo(f"{page}: {len(pictures)} simulators")


@app.command()
def info() -> None:
    """Print versions and devices, for bug reports."""
    typer.echo(f"{'avo':9} {avo.__version__}")
    for package in PACKAGES:
        typer.echo(f"{package:9} {importlib.metadata.version(package)}")
    typer.echo(f"{'python':9} {platform.python_version()}")
    typer.echo(f"{'platform':9} {platform.platform()}")
    typer.echo(f"{'devices':9} {', '.join(map(str, jax.devices()))}")


@app.command()
def simulate(
    name: Annotated[str, typer.Argument(help="A simulator of `avo list`.")],
    out: Annotated[Path, typer.Option(help="File to write, .npz: x, theta and names.")],
    n: Observations = 1000,
    set_: Set = None,
    option: Option = None,
    seed: Seed = 0,
) -> None:
    """Draw observations at known parameters.

    `avo fit NAME --data FILE` then fits them, with the numbers that `avo fit NAME` alone draws for the same seed.
    """
    if out.suffix != ".npz":
        raise ValueError(f"--out must be a file ending in .npz; got {out}.")
    if out.exists():
        raise FileExistsError(f"--out: {out} exists already; choose another name.")
    problem = problem_of(name, option)
    theta = truth_of(problem, set_)
    x = _observations(problem, theta, n, seed)
    write_arrays(out, {"x": x, "theta": theta, "names": np.array(problem.space.names)})
    values = ", ".join(f"{name}={value:g}" for name, value in zip(problem.space.names, theta, strict=True))
    typer.echo(f"{out}: x {x.shape} at {values}")


@app.command()
def fit(
    simulator: Annotated[str, typer.Argument(help="A simulator of `avo list`, or your own: path/to/file.py:function.")],
    data_: Annotated[
        Path | None,
        typer.Option("--data", help="Observations, a row each: .npy .npz .csv .csv.gz or WFDB; left out: simulated."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run; left out: runs/NAME-1, -2, ...")] = None,
    budget: Annotated[
        int | None, typer.Option(help="Simulator calls of the fit; pictures take 1000 more, of a NumPy simulator 201.")
    ] = None,
    seed: Seed = 0,
    target: Annotated[
        Literal["point", "population"], typer.Option(help="One theta for all observations, or each its own.")
    ] = "point",
    columns: Annotated[
        str | None, typer.Option(help="Columns of the file to take, names or numbers from 0: close or 0,3.")
    ] = None,
    key: Annotated[str | None, typer.Option(help="Array of an .npz file; left out: x, or the only one.")] = None,
    log_windows: Annotated[
        int | None,
        typer.Option(
            min=1, help="Cut a price series into paths of log price, each of so many steps; time then counts in steps."
        ),
    ] = None,
    option: Option = None,
    range_: Annotated[
        list[str] | None,
        typer.Option("--range", metavar="NAME=LOW,HIGH", help="Own bounds of a parameter; repeatable."),
    ] = None,
    refine: Annotated[
        bool, typer.Option("--refine/--no-refine", help="Learned scores after the adversarial fit: errors.")
    ] = True,
    n: Observations = 1000,
    set_: Set = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the stopped run in --out.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar, on a terminal either.")] = False,
) -> None:
    """Fit a simulator to observations, and draw how well it went.

    \b
    avo fit ecg                                  fits simulated heartbeats, and prints the truth beside the estimates
    avo fit ecg --set r_amp=0.9 --out runs/low   at other parameters
    avo fit poisson --data counts.csv            your observations
    avo fit decay.py:simulate --data decay.npy   your simulator

    Your file says the parameters in `space = avo.Space(...)`. Your function is simulate(key, theta) in JAX, for many
    rows of theta at once, or simulate(rng, theta) in NumPy, for one theta.

    Windows of minutely prices, sigma per square root of a minute:

    \b
    avo fit brownian --data prices.csv.gz --columns close --log-windows 180 \\
        --range mu=-1e-3,1e-3 --range sigma=1e-5,1e-1
    """  # fmt: skip
    options = dict(locals())
    if data_ is not None and set_:
        raise ValueError("--set says the truth of simulated observations; leave it out with --data.")
    if data_ is None and (columns, key, log_windows) != (None, None, None):
        raise ValueError("--columns, --key and --log-windows say how to read a file; give it by --data.")
    out = _folder(simulator, out, resume)
    observed = None if data_ is None else read(data_, columns, key, log_windows)
    source = source_of(simulator, option, observed, log_windows)
    source = source._replace(space=ranged(source.space, range_))
    truth = None
    if observed is None:
        if source.problem is None:
            raise ValueError(f"--data must name the file of observations for a simulator of your own, {simulator}.")
        truth = truth_of(source.problem, set_)
        source.space.unconstrain(truth)  # says so if --range leaves the truth out
        observed = _observations(source.problem, truth, n, seed)
    else:
        observed = suited(observed, source, str(data_))
        warn_of_other_names(data_, source)
    result = avo.fit(
        source.simulate, observed, source.space, target=target, budget=budget, seed=seed, refine=refine, out=out,
        resume=resume, progress=not quiet,
    )  # fmt: skip
    pictures = _write(result, source, observed, truth, out, options, seed)
    _report(result, source, observed, truth, pictures)
    if log_windows is not None:
        typer.echo("\n" + _increments(observed))
    if result.status == "stopped":
        typer.echo(f"continue it: the same command with --resume --out {out}")
    if result.status == "failed":
        raise typer.Exit(1)


def _folder(simulator: str, out: Path | None, resume: bool) -> Path:
    """Choose the run's folder and refuse one that holds another run, before anything is spent."""
    if out is None:
        if resume:
            raise ValueError("--resume needs --out, the folder of the run to continue.")
        name = Path(simulator.rpartition(":")[0] or simulator).stem
        return next(path for i in count(1) if not (path := Path("runs") / f"{name}-{i}").exists())
    if out.exists() and not out.is_dir():
        raise FileExistsError(f"--out: {out} is a file; choose a folder.")
    if resume and not out.exists():
        raise FileNotFoundError(f"--resume: there is no folder {out}; leave --resume out to start a run there.")
    if not resume and any((out / name).exists() for name in ("fit.json", "result.json")):
        raise FileExistsError(f"--out: {out} already holds a run; choose another folder, or continue it by --resume.")
    return out


@app.command()
def report(run: Run) -> None:
    """Print a finished run again: the estimates, and what the data identify."""
    result, words = _finished(run)
    truth = None if words["truth"] is None else np.array([words["truth"][name] for name in result.names])
    typer.echo(result.summary(truth))
    if result.estimate is not None:
        typer.echo(f"\n{result.identifiability()}")


@app.command()
def check(
    run: Run,
    data_: Annotated[
        Path | None,
        typer.Option("--data", help="Observations that the fit has not seen, in a file like the fit's own."),
    ] = None,
    replicates: Annotated[int, typer.Option(help="Simulated sets that the observations are compared with.")] = 199,
    n: Observations = 1000,
    seed: Seed = 1,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar, on a terminal either.")] = False,
) -> None:
    """Ask whether the simulator, at a run's estimate, reproduces observations that the fit has not seen.

    Without --data the observations are simulated anew, at the truth of a run that had simulated ones.
    """
    result, words = _finished(run)
    options = words["options"]
    observed = None if data_ is None else read(data_, options["columns"], options["key"], options["log_windows"])
    source = source_of(options["simulator"], options["option"], observed, options["log_windows"])
    if observed is not None:
        observed = suited(observed, source, str(data_))
    elif words["truth"] is None or source.problem is None:
        raise ValueError("--data must name a file of observations: the run was fitted to such a file.")
    else:
        observed = _observations(source.problem, np.array([words["truth"][k] for k in result.names]), n, seed)
    found = avo.check(result, source.simulate, observed, replicates=replicates, seed=seed, progress=not quiet)
    avo.plots.check(found).savefig(run / "check.png", dpi=100)
    typer.echo(f"{found.summary()}\n\n{run / 'check.png'}")


def _finished(run: Path) -> tuple[Result, dict[str, Any]]:
    """Read a run of `avo fit`: its result, and the words of its command."""
    if not (run / "command.json").is_file():
        raise FileNotFoundError(f"{run} holds no finished run of `avo fit` (no command.json).")
    return avo.load(run), read_json(run / "command.json")


@app.command()
def compare(
    case: Annotated[str, typer.Argument(help="ecg, brownian, pendulum or oscillator.")],
    data_: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help="Real signals, one per row and in the order of time (the first half trains), for the row of complex "
            "data: of ecg beats in mV from 0.3 s before R to 0.55 s after it, of brownian paths, of pendulum angles in "
            "rad over 4 s. Left out: simulated ones.",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write; left out: compare/CASE-1, -2, ...")] = None,
    key: Annotated[str | None, typer.Option(help="Array of an .npz file; left out: x, or the only one.")] = None,
    log_windows: Annotated[
        int | None, typer.Option(min=16, help="Cut a price series into paths of log price, each of so many steps.")
    ] = None,
    columns: Annotated[str | None, typer.Option(help="Columns of the file to take, names or numbers from 0.")] = None,
    seeds: Annotated[
        int | None, typer.Option(min=2, help="Repetitions: data and weights anew; left out: 5, or 2 with --quick.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Seeds at a time; the numbers do not depend on it.")] = 2,
    quick: Annotated[
        bool, typer.Option("--quick", help="Few signals, two models, 2 seeds: a first look of a minute or two.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar, on a terminal either.")] = False,
) -> None:
    """Compare a simulator's parameters with latents of autoencoders, on the same signals.

    Prints a table for eight questions, and writes it with all numbers (compare.json, compare.csv) and three pictures.

    \b
    avo compare ecg --quick
    avo compare ecg --data beats.npy --out compare/mine
    avo compare brownian --data prices.csv.gz --columns close --log-windows 180
    """
    from avo import latents

    if out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"--out: {out} exists already; choose another folder.")
    if out is None:
        out = next(path for i in count(1) if not (path := Path("compare") / f"{case}-{i}").exists())
    if data_ is None and (columns, key, log_windows) != (None, None, None):
        raise ValueError("--columns, --key and --log-windows say how to read a file; give it by --data.")
    x = None if data_ is None else read(data_, columns, key, log_windows)
    latents.cases.get(case)  # a misspelt name leaves no folder behind
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    out.mkdir(parents=True, exist_ok=True)  # before minutes of work, not after
    try:
        found = latents.compare(
            case, data=x, seeds=seeds or (2 if quick else 5), quick=quick, jobs=jobs, progress=not quiet
        )
    except BaseException as error:
        for folder in made:  # the innermost first
            if not any(folder.iterdir()):
                folder.rmdir()
        if isinstance(error, KeyboardInterrupt):
            typer.echo("stopped; nothing was written.", err=True)
        raise
    typer.echo(found.summary())
    typer.echo("\n" + "\n".join(map(str, found.save(out))))


# --- the benchmark suite ---------------------------------------------------------------------------------------------

bench = typer.Typer(cls=_Plainly, invoke_without_command=True, rich_markup_mode=None)
app.add_typer(bench, name="bench")
Out = Annotated[Path, typer.Option(help="Folder of the results; the same command continues a stopped run.")]


@bench.callback()
def _bench(
    context: typer.Context,
    tasks: Annotated[str | None, typer.Option(help="Tasks, e.g. poisson,brownian; left out: all.")] = None,
    methods: Annotated[
        str | None,
        typer.Option(help="Methods, e.g. avo,cma; left out: avo on all tasks, all that are installed on six."),
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="Number of seeds, from 0, or FIRST:END; left out: 10, with --quick 3.")
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(help="Simulator calls, e.g. 1e4,1e5; left out: 1e3 to 1e6 for avo, 1e4 and 1e5 for the others."),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Processes at a time, one core each; left out: 1, with --quick 2.")
    ] = None,
    limit: Annotated[float, typer.Option(min=1.0, help="Seconds for one fit.")] = 1800.0,
    out: Out = Path("bench"),
    quick: Annotated[bool, typer.Option("--quick", help="A few small tasks: three minutes on two cores.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar, on a terminal either.")] = False,
) -> None:
    """Measure avo and its rivals on tasks with known truth.

    \b
    avo bench --quick                                 a look
    avo bench --tasks brownian --methods avo,moments  one task, two methods
    avo bench report bench                            the tables again, without running
    """
    if context.invoked_subcommand is None:
        from avo.benchmarks.suite import command

        try:
            typer.echo(command.run(out, tasks, methods, seeds, budget, jobs, limit, quick, not quiet))
        except KeyboardInterrupt:
            typer.echo(f"stopped; what is finished is in {out}, and the same command continues.", err=True)
            raise


@bench.command("report")
def bench_report(
    out: Annotated[Path, typer.Argument(help="Folder of the results.")],
    readme: Annotated[Path | None, typer.Option(help="Markdown file whose results section is written anew.")] = None,
) -> None:
    """Write table.md, table.csv and the pictures from finished cells, and print the table."""
    from avo.benchmarks.suite import command

    typer.echo(command.report(out, readme))


def _key(seed: int, stream: int) -> Any:
    return jax.random.fold_in(jax.random.key(seed), stream)


def _observations(problem: Problem, theta: np.ndarray, n: int, seed: int) -> np.ndarray:
    simulate = jax.jit(problem.simulate)  # one compilation instead of one for each of its operations
    return np.asarray(simulate(_key(seed, OBSERVED), jnp.tile(jnp.asarray(theta, dtype=float), (n, 1))))


# --- what a fit leaves behind ----------------------------------------------------------------------------------------


def _write(
    result: Result,
    source: Source,
    observed: np.ndarray,
    truth: np.ndarray | None,
    out: Path,
    options: dict[str, Any],
    seed: int,
) -> list[Path]:
    words = {name.rstrip("_"): str(v) if isinstance(v, Path) else v for name, v in options.items()}
    known = None if truth is None else dict(zip(result.names, truth.tolist(), strict=True))
    write_json(out / "command.json", {"avo": avo.__version__, "command": "fit", "options": words, "truth": known})
    n = min(len(observed), PICTURE_ROWS[isinstance(source.simulate, HostSimulator)])
    key_theta, key_x = jax.random.split(_key(seed, PREDICTED))
    population = result.settings["target"] == "population"
    theta = result.sample(key_theta, n) if population else jnp.tile(jnp.asarray(result.theta), (n, 1))
    x_sim = np.asarray(source.simulate(key_x, theta))
    words = {} if (p := source.problem) is None else {"axes": p.axes, "quantity": p.quantity, "unit": p.unit}
    figures = {
        "history.png": avo.plots.history(result, truth),
        "predictive.png": avo.plots.predictive(observed, x_sim, **words),
    }
    for name, figure in figures.items():
        figure.savefig(out / name, dpi=100)
    return [out / name for name in figures]


def _report(
    result: Result, source: Source, observed: np.ndarray, truth: np.ndarray | None, pictures: list[Path]
) -> None:
    typer.echo(f"\n{source.name}, {len(observed)} observations\n\n{result.summary(truth)}")
    mle = None if source.problem is None else source.problem.mle(jnp.asarray(observed))
    if mle is not None:
        values = ", ".join(f"{name}={value:.5g}" for name, value in zip(result.names, np.asarray(mle), strict=True))
        typer.echo(f"closed-form maximum likelihood on the same observations: {values}")
    for name, p, value in zip(result.names, result.space, result.theta, strict=True):
        if isinstance(p, (Interval, LogInterval)) and _at_edge(p, value):
            edge = f"{name} ends near the edge of its range, {p.low:g} to {p.high:g}"
            typer.echo(f"{edge}; if that may be too narrow, widen it by --range {name}=LOW,HIGH.")
    typer.echo("\n" + "\n".join(map(str, pictures)))


def _increments(paths: np.ndarray) -> str:
    """Describe log-price windows without any simulator: scales of their steps, and whether they show a drift."""
    steps = np.diff(paths, axis=1, prepend=0.0)
    words = {"sd": "standard deviation", "window": "median of the windows' own", "iqr": "inter-quartile scale"}
    scales = ", ".join(f"{words[name]} {value:.2e}" for name, value in data.scales(paths).items())
    mean, error = steps.mean(), steps.std() / np.sqrt(steps.size)
    shown = "is" if abs(mean) > 2 * error else "is not"
    return (
        f"log price per step, in closed form: {scales}\n"
        f"drift {mean:.1e} with standard error {error:.1e}: it {shown} identified by these windows"
    )


def _at_edge(parameter: Interval | LogInterval, value: float) -> bool:
    """Say whether a value lies in the outer 5 % of its range, in the parameter's own scale."""
    scale = np.log if isinstance(parameter, LogInterval) else np.asarray
    low, high, at = scale(parameter.low), scale(parameter.high), scale(value)
    return not 0.05 <= float((at - low) / (high - low)) <= 0.95


if __name__ == "__main__":
    main()
