"""What the words of a command mean: simulators by name or in a user's file, their parameters, observations in files.

Every function turns text into an object of the library, or raises an error that names the option, what was expected
and what came.
"""

import inspect
import math
import re
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import typer

import avo
from avo import data
from avo.alerts import warn
from avo.checks import did_you_mean, takes
from avo.command.modules import Source, user_source
from avo.command.naming import named
from avo.command.words import columns_of, literal, named_pairs, numbers_of, place, ranged, space_of, with_known
from avo.containers import Axis, Labelled, Quantity, named_columns
from avo.data.columns import SHOWN
from avo.execution.command import bound
from avo.execution.failures import CallFailed
from avo.execution.host import HostSimulator
from avo.space import Space

if TYPE_CHECKING:
    from avo.simulators import Problem

# Streams of random numbers besides those of the fit, which splits the seed's key
OBSERVED, PREDICTED, UNSEEN = 20_001, 20_002, 20_003
MOST_NUMBERS = 2 * 10**8  # in observations that are simulated, 1.6 GB
RECORDS, LONG = (".hea", ".dat"), 16  # files of recordings, a row each sample; numbers of an observation from such
ALIKE = 0.75  # of the names of files, to be suggested
MISSING = ", or say --missing: NaN is a missing value"


class Reading(NamedTuple):
    """How to read a file of observations."""

    columns: str | None = None
    key: str | None = None
    log_windows: int | None = None
    inputs: str | None = None
    groups: str | None = None
    index: str | None = None
    decimal: str | None = None
    weights: str | None = None
    missing: bool | None = None
    axis: list[str] | None = None


class Task(NamedTuple):
    """What to fit to what; the truth of observations that were simulated; what stood beside them in their file."""

    source: Source
    observed: np.ndarray
    truth: np.ndarray | None = None
    table: data.Table | None = None
    named: tuple[Axis, ...] = ()
    measured: Quantity = Quantity()

    @staticmethod
    def of_file(source: Source, table: data.Table, file: Path, axis: list[str] | None) -> "Task":
        """Take a file's observations, in the simulator's shape, with the names that the command gives their axes."""
        table = _as_taken(table, source)
        x = suited(table, source, str(file))
        task = Task(source, x, None, table, named(axis, x.shape[1:]))
        labels = task.axes[0].labels if len(task.axes) == 1 else ()
        _refuse_namesakes(labels, file, ", or name them by --axis column=NAME,NAME")
        _refuse_namesakes(table.input_names, file)
        return task

    @property
    def axes(self) -> tuple[Axis, ...]:
        """Names of x's entries: the command's, the simulator's own, or those of the file's columns."""
        if self.named:
            return self.named
        if self.source.problem is not None and self.source.problem.axes:
            return self.source.problem.axes
        names = () if self.table is None else self.table.names
        return named_columns(names) if self.observed.shape[1:] == (len(names),) else ()

    @property
    def quantity(self) -> Quantity:
        """What x measures: as the command says, or the simulator itself."""
        if self.measured.name or self.source.problem is None:
            return self.measured
        return Quantity(self.source.problem.quantity, self.source.problem.unit)

    @property
    def free_truth(self) -> np.ndarray | None:
        """The truth without what is fixed."""
        return None if self.truth is None else self.source.space.free(self.truth)

    @property
    def x_obs(self) -> Labelled:
        """The observations with their names."""
        index = None if self.table is None else self.table.index
        return Labelled(self.observed, self.axes, self.quantity, () if index is None else tuple(map(str, index)))

    @property
    def inputs(self) -> Labelled | None:
        """Their known conditions with their names."""
        if self.table is None or self.table.inputs is None:
            return None
        names = named_columns(self.table.input_names) if self.table.inputs.ndim > 1 else ()
        return Labelled(self.table.inputs, names)

    @property
    def groups(self) -> np.ndarray | None:
        """The labels of their clusters."""
        return None if self.table is None else self.table.groups

    @property
    def weights(self) -> np.ndarray | None:
        """Their importance weights."""
        return None if self.table is None else self.table.weights


def task_of(
    simulator: str,
    option: list[str] | None,
    ranges: list[str] | None,
    file: Path | None,
    reading: Reading,
    *,
    space: str | None,
    truth: list[str] | None,
    fix: list[str] | None = None,
    prior: list[str] | None = None,
    n: int,
    seed: int,
) -> Task:
    """Find what to fit: to a file's observations, or to n that are simulated at the truth."""
    own = own_source(simulator, option, space)  # whose mistakes are said before those of the data
    table = None if file is None else read(file, reading)
    source = source_of(simulator, option, table, reading.log_windows, space, own)
    source = source._replace(space=with_known(ranged(source.space, ranges), fix, prior))
    if table is not None:
        warn_of_other_names(file, source)
        assert file is not None
        return Task.of_file(source, table, file, reading.axis)
    if source.problem is None:
        raise ValueError(f"--data must name the file of observations for a simulator of your own, {simulator}.")
    theta = truth_of(source.problem, truth)
    try:
        source.space.unconstrain(source.space.free(theta))
    except ValueError as error:
        words = "--range leaves out the truth of the simulated observations"
        raise ValueError(f"{words}: {error} Set another truth by --set NAME=VALUE.") from error
    return Task(source, observations(source.problem, theta, n, seed), theta)


def stream(seed: int, number: int) -> Any:
    """Make the key of a stream of random numbers."""
    return jax.random.fold_in(jax.random.key(seed), number)


def observations(
    problem: "Problem", theta: np.ndarray | list[float], n: int, seed: int, number: int = OBSERVED
) -> np.ndarray:
    """Simulate n observations at one theta; `number` names their stream, so that no fit has seen those of `UNSEEN`."""
    if (size := n * math.prod(problem.x_shape)) > MOST_NUMBERS:
        raise ValueError(
            f"--n must leave room in memory; {n:,} observations of {problem.name} are {size:,} numbers, and at most "
            f"{MOST_NUMBERS:,} are simulated at once."
        )
    simulate = jax.jit(problem.simulate)  # one compilation instead of one for each of its operations
    return np.asarray(simulate(stream(seed, number), jnp.tile(jnp.asarray(theta, dtype=float), (n, 1))))


def own_source(simulator: str, option: list[str] | None, space: str | None) -> Source | None:
    """Find a simulator of the user's own, before any data are read; None where it is a registered one.

    Raises:
        ValueError: if it is neither, or its file cannot be run.
    """
    file, colon, function = simulator.rpartition(":")
    if file.endswith(".py") or simulator.endswith(".py"):
        if option:
            raise ValueError("--option is for the simulators of `avo list`; write your own's options into its file.")
        known, path = None if space is None else space_of(space), Path(file if colon else simulator)
        if not path.is_file():
            raise FileNotFoundError(f"There is no file {path}.{_near(simulator)}")
        return user_source(path, function if colon else "", known)
    if space is not None:
        raise ValueError("--space says the parameters of a simulator of your own; those of `avo list` have theirs.")
    if simulator not in avo.simulators.names():
        raise ValueError(
            "SIMULATOR must be a registered simulator, one of `avo list`, or a function of your own, "
            f"path/to/file.py:function; got {simulator!r}.{_near(simulator)}"
        )
    return None


def source_of(
    simulator: str,
    option: list[str] | None,
    table: data.Table | None,
    log_windows: int | None,
    space: str | None,
    own: Source | None = None,
) -> Source:
    """Find the simulator for a table of observations; `own` is what `own_source` found, if it was asked before."""
    observed, inputs = (None, None) if table is None else (table.x, table.inputs)
    source = own_source(simulator, option, space) if own is None else own
    if source is not None:
        if isinstance(source.simulate, HostSimulator):
            shape, c_shape = (None if a is None else a.shape[1:] for a in (observed, inputs))
            simulate = bound(source.simulate, source.space.columns, c_shape, shape, source.space.count_names)
            source = source._replace(simulate=simulate)
        return source
    problem = problem_of(simulator, option, inputs)
    if observed is not None and observed.ndim == 2:
        problem = _resized(problem, option, observed.shape[1], log_windows is not None, inputs)
    return Source(simulator, problem.simulate, problem.space, problem)


def _refuse_namesakes(names: Sequence[str], file: Path, more: str = "") -> None:
    """Refuse columns of one name, which no picture and no table would tell apart."""
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(
            f"{file} must have a heading of its own for each column that is taken; {names.count(twice[0])} are called "
            f"{twice[0]!r}. Rename them in the file{more}, or choose other columns."
        )


def _near(simulator: str) -> str:
    """Suggest a registered simulator, or a file of the user's that may hold one, by a word that is neither."""
    word, _, function = simulator.partition(":")
    path = Path(word)
    files = {one.stem: str(one.with_suffix(".py")) for one in _scripts(path.parent, function)}
    bare = path.name.removesuffix(".py")
    near = did_you_mean(bare, files, ALIKE)
    hint = did_you_mean(word, avo.simulators.names(), cutoff=0.5)
    if near and (not hint or did_you_mean(bare, [*files, *avo.simulators.names()], ALIKE) == near):
        words = f"{files[near.split(chr(39))[1]]}:{function or 'function'}"
        return f" Did you mean {words!r}?"
    return "" if word.endswith(".py") or path.name != word else hint


def _scripts(folder: Path, function: str) -> list[Path]:
    """List the scripts of a folder that define a function of that name or, without a name, that speak of avo."""
    found = []
    for file in sorted(folder.glob("*.py")):
        try:
            text = file.read_text(encoding="utf-8", errors="ignore")
        except OSError:
            continue
        word = rf"\b(def\s+{re.escape(function)}|{re.escape(function)}\s*=)" if function else r"\bavo\b"
        if re.search(word, text):
            found.append(file)
    return found


def problem_of(name: str, option: list[str] | None, inputs: np.ndarray | None = None, **more: object) -> "Problem":
    options = {key: literal(value) for key, value in named_pairs(option, "--option").items()}
    known = inspect.signature(getattr(avo.simulators, name)).parameters if name in avo.simulators.names() else options
    for key in options:
        if key not in known:
            choice = f"be one of {', '.join(known)}" if known else "be left out"
            raise ValueError(f"--option must {choice} for {name}; got {key!r}.{did_you_mean(key, known)}")
    problem = avo.simulators.get(name, **more | options)
    if problem.inputs is None and inputs is not None:
        raise ValueError(f"--inputs are known conditions, and {name} takes none; leave it out, or choose by --columns.")
    if problem.inputs is not None and (inputs is None or inputs.shape[1:] != (len(problem.inputs.names),)):
        came, names = "" if inputs is None else f", got {_size(inputs.shape[1:])}", problem.inputs.names
        raise ValueError(
            f"{problem.inputs.option} needs inputs, {' and '.join(names)} of each observation{came}; name {len(names)} "
            "columns of the file in avo fit --data FILE --inputs COLUMNS."
        )
    return problem


def _resized(
    problem: "Problem", option: list[str] | None, points: int, steps: bool, inputs: np.ndarray | None
) -> "Problem":
    """Make a series as long as the observations, if its length is free; time may count in steps of the series."""
    free = inspect.signature(getattr(avo.simulators, problem.name)).parameters
    given = named_pairs(option, "--option")
    longer = "points" in free and "points" not in given and problem.x_shape != (points,)
    more: dict[str, object] = {"points": points} if longer else {}
    steps = steps and "duration" in free and "duration" not in given
    if steps:
        more["duration"] = float(points)
    if not more:
        return problem
    words = ", ".join(f"{name}={value:g}" for name, value in more.items())
    typer.echo(f"{problem.name} with {words}{': time in steps of the series' if steps else ''}")
    problem = problem_of(problem.name, option, inputs, **more)
    return _in_steps(problem) if steps else problem


def _in_steps(problem: "Problem") -> "Problem":
    """Name the unit of time what it now is: "1/sqrt(s)" becomes "1/sqrt(step)"."""
    renamed = lambda unit: re.sub(r"\bs\b", "step", unit)  # noqa: E731
    space = Space(**{
        name: replace(p, unit=renamed(p.unit)) for name, p in zip(problem.space.names, problem.space, strict=True)  # pyright: ignore
    })  # fmt: skip
    return replace(problem, space=space, axes=tuple(a._replace(unit=renamed(a.unit)) for a in problem.axes))


def read(path: Path, reading: Reading, advice: str = MISSING) -> data.Table:
    """Read a file's observations, and what stands beside them; `advice` is what to do about missing values."""
    groups, index = columns_of(reading.groups, "--groups"), columns_of(reading.index, "--index")
    weights, missing = columns_of(reading.weights, "--weights"), bool(reading.missing)
    columns, inputs = columns_of(reading.columns), columns_of(reading.inputs)
    table = data.read_table(
        path, columns=columns, key=reading.key, decimal=reading.decimal, inputs=inputs, groups=groups, index=index,
        weights=weights, missing=missing,
    )  # fmt: skip
    x = table.x
    if reading.log_windows is not None:
        if missing or (reading.inputs, reading.groups, reading.index, reading.weights) != (None,) * 4:
            words = "--inputs, --groups, --index, --weights and --missing"
            raise ValueError(f"--log-windows cuts the rows anew; leave out {words}.")
        table = table._replace(names=())
        if x.ndim == 2 and x.shape[1] == 1:
            x = x[:, 0]
        if x.ndim != 1:
            raise ValueError(
                f"--log-windows needs one series; {path} has {_size(x.shape[1:])} in a row. Choose by --columns."
            )
        x = data.log_price_windows(x, reading.log_windows)
    inputs = None if table.inputs is None else data.validate_observations(table.inputs, f"--inputs of {path}")
    x = data.validate_observations(x, str(path), missing=missing, advice="" if missing else advice)
    return table._replace(x=x, inputs=inputs)


def stored_of(path: Path) -> avo.Stored:
    """Read stored simulations, an archive of NumPy's with theta and x, and maybe names of theta's columns and inputs.

    Raises:
        ValueError: if the file is none.
    """
    if not path.is_file():
        raise FileNotFoundError(f"--stored: there is no file {path}.")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file) if isinstance(file, np.lib.npyio.NpzFile) else {}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"--stored: {path} is no archive of NumPy's, .npz ({error}).") from error
    if missing := [name for name in ("theta", "x") if name not in arrays]:
        found = ", ".join(arrays) or "none"
        raise ValueError(f"--stored: {path} must hold arrays theta and x; it has {found}, without {missing[0]}.")
    theta: Any = arrays["theta"]
    if "names" in arrays and theta.ndim == 2 and arrays["names"].shape == theta.shape[1:]:
        theta = Labelled(theta, named_columns(list(map(str, arrays["names"]))))
    return avo.Stored(theta, arrays["x"], arrays.get("inputs"))


def _as_taken(table: data.Table, source: Source) -> data.Table:
    """Hand over one column of conditions as numbers, (m,), where the simulator makes x of these, and not of (m, 1)."""
    c, shape = table.inputs, table.x.shape[1:]
    if source.problem is not None or c is None or c.shape[1:] != (1,):
        return table
    flat = _x_shape(source, c) != shape and _x_shape(source, c[:, 0]) == shape
    return table._replace(inputs=c[:, 0]) if flat else table


def suited(table: data.Table, source: Source, file: str) -> np.ndarray:
    """Give rows of one number the simulator's shape; say so where the numbers per row differ."""
    x, shape = table.x, _x_shape(source, table.inputs)
    if shape is None or x.shape[1:] == shape:
        return x
    if math.prod(x.shape[1:]) == math.prod(shape) == 1:
        return x.reshape(len(x), *shape)
    advice = _advice(table, shape)
    if Path(file).suffix in RECORDS and len(shape) > 0 and math.prod(shape) >= LONG:
        advice = "a recording is cut into pieces first, of heartbeats by avo.data.read_beats, to be saved as .npy"
        advice += ", or by --preset full" if source.name == "ecg" else ""
        raise ValueError(f"{source.name} makes {_size(shape)} per observation, {file} is one recording; {advice}.")
    if source.problem is not None and source.problem.axes:
        advice += ", or make the simulator suit by --option"
    raise ValueError(
        f"{source.name} makes {_size(shape)} per observation, {file} has {_size(x.shape[1:])} in a row; {advice}."
    )


def _advice(table: data.Table, shape: tuple[int, ...]) -> str:
    """Say what to do with observations of another shape than the simulator's."""
    own, wanted = table.x.shape[1:], f"(n, {', '.join(map(str, shape))})" if shape else "(n,)"
    if len(shape) > 1 or len(own) > 1:
        flat = len(shape) == 1 and math.prod(own) == shape[0]
        return f"save the observations as .npy or .npz with shape {wanted}" + (
            ", by x.reshape(len(x), -1)" if flat else f", or let the simulator make {own}"
        )
    if math.prod(own) < math.prod(shape):
        return "choose columns by --columns"
    several = len(table.names) > 1
    named = f" ({', '.join(table.names[:SHOWN])}{', ...' if len(table.names) > SHOWN else ''})" if several else ""
    return f"choose columns{named} by --columns, or say which are conditions, --inputs, or name the rows, --index"


def warn_of_other_names(file: Path | None, source: Source) -> None:
    """Warn of observations that `avo simulate` drew from another simulator: the file names its parameters."""
    if file is None or file.suffix != ".npz":
        return
    with np.load(file, allow_pickle=False) as arrays:
        names = [str(name) for name in arrays["names"].ravel()] if "names" in arrays.files else []
    own = source.space.columns
    if not (set(names) <= set(own) or set(own) <= set(names)):
        warn(
            f"{file} was simulated with the parameters {', '.join(names)}; {source.name} has {', '.join(own)}. "
            "Is it the simulator that you mean?",
        )


def _x_shape(source: Source, inputs: np.ndarray | None) -> tuple[int, ...] | None:
    """Find the shape of one observation; None where only the fit can say what is wrong with the function."""
    if source.problem is not None:
        return source.problem.x_shape
    theta = source.space.full(source.space.constrain(jnp.zeros((2, source.space.dim))))
    given = [] if inputs is None else [inputs[:2]]
    if isinstance(source.simulate, HostSimulator):
        if not takes(source.simulate.fn, 2 + len(given)):
            return None
        try:
            return source.simulate(jax.random.key(0), theta[:1], *(c[:1] for c in given)).shape[1:]
        except CallFailed:  # here perhaps, elsewhere not
            return None
    try:
        rows, *shape = jax.eval_shape(source.simulate, jax.random.key(0), theta, *map(jnp.asarray, given)).shape
    except Exception:  # whatever the user's function raises, the fit raises too, with its own words
        return None
    return tuple(shape) if rows == 2 else None


def _size(shape: tuple[int, ...]) -> str:
    if len(shape) <= 1:
        number = shape[0] if shape else 1
        return f"{number} number{'' if number == 1 else 's'}"
    return f"an array {shape}"


def truth_of(problem: "Problem", words: list[str] | None) -> np.ndarray:
    theta = np.array(problem.theta_true, dtype=float)
    for name, value in named_pairs(words, "--set").items():
        theta[place(name, problem.space.names, "--set")] = numbers_of(value, 1, f"--set {name}")[0]
    problem.space.unconstrain(theta)  # refuses what lies outside
    return theta
