"""What the words of a command mean: simulators by name or in a user's file, their parameters, observations in files.

Every function turns text into an object of the library, or raises an error that names the option, what was expected
and what came.
"""

import ast
import importlib.util
import inspect
import math
import re
import sys
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import cloudpickle
import jax
import jax.numpy as jnp
import numpy as np
import typer

import avo
from avo import data
from avo.checks import did_you_mean, takes
from avo.command.naming import named
from avo.containers import Axis, Labelled, named_columns
from avo.execution.command import bound
from avo.execution.failures import CallFailed
from avo.execution.host import HostSimulator
from avo.space import KINDS, Fixed, Space

if TYPE_CHECKING:
    from avo.simulators import Problem

# Streams of random numbers besides those of the fit, which splits the seed's key
OBSERVED, PREDICTED, UNSEEN = 20_001, 20_002, 20_003
MOST_NUMBERS = 2 * 10**8  # in observations that are simulated, 1.6 GB
MISSING = ", or say --missing: NaN is a missing value"
WORDS = {"true": True, "yes": True, "false": False, "no": False, "none": None}  # whatever their case


class Source(NamedTuple):
    """What to fit: a registered problem or the user's function."""

    name: str
    simulate: Callable[..., Any]
    space: Space
    problem: "Problem | None" = None


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

    @staticmethod
    def of_file(source: Source, table: data.Table, file: Path, axis: list[str] | None) -> "Task":
        """Take a file's observations, in the simulator's shape, with the names that the command gives their axes."""
        x = suited(table, source, str(file))
        return Task(source, x, None, table, named(axis, x.shape[1:]))

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
    def free_truth(self) -> np.ndarray | None:
        """The truth without what is fixed."""
        return None if self.truth is None else self.source.space.free(self.truth)

    @property
    def x_obs(self) -> Labelled:
        """The observations with their names."""
        return Labelled(self.observed, self.axes)

    @property
    def inputs(self) -> Labelled | None:
        """Their known conditions with their names."""
        if self.table is None or self.table.inputs is None:
            return None
        return Labelled(self.table.inputs, named_columns(self.table.input_names))

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
    table = None if file is None else read(file, reading)
    source = source_of(simulator, option, table, reading.log_windows, space)
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


def source_of(
    simulator: str, option: list[str] | None, table: data.Table | None, log_windows: int | None, space: str | None
) -> Source:
    observed, inputs = (None, None) if table is None else (table.x, table.inputs)
    file, colon, function = simulator.rpartition(":")
    if file.endswith(".py") or simulator.endswith(".py"):
        if option:
            raise ValueError("--option is for the simulators of `avo list`; write your own's options into its file.")
        known = None if space is None else space_of(space)
        source = _user_source(Path(file if colon else simulator), function if colon else "", known)
        if isinstance(source.simulate, HostSimulator):
            shape, c_shape = (None if a is None else a.shape[1:] for a in (observed, inputs))
            own = source.space
            simulate = bound(source.simulate, own.columns, c_shape, shape, own.count_names)
            source = source._replace(simulate=simulate)
        return source
    if space is not None:
        raise ValueError("--space says the parameters of a simulator of your own; those of `avo list` have theirs.")
    problem = problem_of(simulator, option, inputs)
    if observed is not None and observed.ndim == 2:
        problem = _resized(problem, option, observed.shape[1], log_windows is not None, inputs)
    return Source(simulator, problem.simulate, problem.space, problem)


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


def _user_source(file: Path, function: str, space: Space | None) -> Source:
    module = _module(file)
    functions = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
    if function not in functions:
        raise ValueError(
            f"{file} must be followed by one of its functions, {file}:NAME; it has {', '.join(functions) or 'none'}"
            + (f", not {function!r}." if function else ".")
        )
    space = getattr(module, "space", None) if space is None else space
    if not isinstance(space, Space):
        raise ValueError(
            f"{file} must say its parameters at the top level, space = avo.Space(mu=avo.Interval(-3, 3)), or --space "
            + ("does, 'mu=interval(-3,3)'; it has no space." if space is None else f"does; its space is {space!r}.")
        )
    fn = getattr(module, function)
    if not isinstance(fn, HostSimulator) and "rng" in _parameters(fn):
        fn = avo.from_numpy(fn)
    return Source(f"{file.stem}.{function}", fn, space)


def _parameters(fn: Callable[..., Any]) -> tuple[str, ...]:
    try:
        return tuple(inspect.signature(fn).parameters)
    except (TypeError, ValueError):
        return ()


def _module(file: Path) -> Any:
    if not file.is_file():
        raise FileNotFoundError(f"There is no file {file}.")
    spec = importlib.util.spec_from_file_location(f"avo_user_{file.stem}", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    sys.path.insert(0, str(file.resolve().parent))  # that it may import its neighbours
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ValueError(f"{file} cannot be run: {type(error).__name__}: {error}{_line(error, file)}") from error
    finally:
        sys.path.remove(str(file.resolve().parent))
    # Worker processes get its functions by value, and find its neighbours where nothing else has their name
    cloudpickle.register_pickle_by_value(module)
    if str(file.resolve().parent) not in sys.path:
        sys.path.append(str(file.resolve().parent))
    return module


def _line(error: Exception, file: Path) -> str:
    """Say at which line of the user's file an error arose."""
    lines, trace = [], error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(file.absolute()):
            lines.append(trace.tb_lineno)
        trace = trace.tb_next
    return f" (line {lines[-1]})" if lines else ""


def read(path: Path, reading: Reading, advice: str = MISSING) -> data.Table:
    """Read a file's observations, and what stands beside them; `advice` is what to do about missing values."""
    groups, index = _columns(reading.groups, "--groups"), _columns(reading.index, "--index")
    weights, missing = _columns(reading.weights, "--weights"), bool(reading.missing)
    columns, inputs = _columns(reading.columns), _columns(reading.inputs)
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


def suited(table: data.Table, source: Source, file: str) -> np.ndarray:
    """Give rows of one number the simulator's shape; say so where the numbers per row differ."""
    x, shape = table.x, _x_shape(source, table.inputs)
    if shape is None or x.shape[1:] == shape:
        return x
    if math.prod(x.shape[1:]) == math.prod(shape) == 1:
        return x.reshape(len(x), *shape)
    advice = "choose columns by --columns"
    if len(shape) > 1:
        advice = f"save the observations as .npy or .npz with shape (n, {', '.join(map(str, shape))})"
    if source.problem is not None and source.problem.axes:
        advice += ", or make the simulator suit by --option"
    raise ValueError(
        f"{source.name} makes {_size(shape)} per observation, {file} has {_size(x.shape[1:])} in a row; {advice}."
    )


def warn_of_other_names(file: Path | None, source: Source) -> None:
    """Warn of observations that `avo simulate` drew from another simulator: the file names its parameters."""
    if file is None or file.suffix != ".npz":
        return
    with np.load(file, allow_pickle=False) as arrays:
        names = [str(name) for name in arrays["names"].ravel()] if "names" in arrays.files else []
    own = source.space.columns
    if not (set(names) <= set(own) or set(own) <= set(names)):
        warnings.warn(
            f"{file} was simulated with the parameters {', '.join(names)}; {source.name} has {', '.join(own)}. "
            "Is it the simulator that you mean?",
            stacklevel=2,
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


def named_pairs(words: list[str] | None, option: str) -> dict[str, str]:
    pairs = {}
    for word in words or []:
        name, equals, value = word.partition("=")
        if not (name and equals and value):
            raise ValueError(f"{option} must look like {option} name=value; got {word!r}.")
        if name.strip() in pairs:
            raise ValueError(f"{option} must give {name.strip()} once; got {pairs[name.strip()]} and {value.strip()}.")
        pairs[name.strip()] = value.strip()
    return pairs


def _known(name: str, names: tuple[str, ...], option: str) -> int:
    if name not in names:
        hint = did_you_mean(name, names)
        raise ValueError(f"{option} must name a parameter of {', '.join(names)}; got {name!r}.{hint}")
    return names.index(name)


def _numbers(text: str, size: int, option: str, form: str = "LOW,HIGH") -> list[float]:
    try:
        values = [float(word) for word in text.split(",")]
    except ValueError:
        values = []
    if len(values) != size:
        raise ValueError(f"{option} must be {'a number' if size == 1 else f'{size} numbers, {form}'}; got {text!r}.")
    return values


def literal(text: str) -> object:
    """Read a Python value, true, false, yes, no, inf or nan; other words stay words, several between commas a tuple."""
    text = text.strip()
    if text.lower() in WORDS:
        return WORDS[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        pass
    try:
        return float(text)  # inf, nan and the like
    except ValueError:
        return tuple(map(literal, text.split(","))) if "," in text else text


@overload
def _columns(text: str | None) -> data.Columns | None: ...
@overload
def _columns(text: str | None, single: str) -> str | int | None: ...
def _columns(text: str | None, single: str = "") -> Any:
    """Read names or numbers of columns, of which an option may allow a single one."""
    if text is None:
        return None
    columns = [int(word) if word.strip().isdigit() else word.strip() for word in text.split(",")]
    if single and len(columns) > 1:
        raise ValueError(f"{single} must name one column; got {text!r}.")
    return columns[0] if len(columns) == 1 else columns


def truth_of(problem: "Problem", words: list[str] | None) -> np.ndarray:
    theta = np.array(problem.theta_true, dtype=float)
    for name, value in named_pairs(words, "--set").items():
        theta[_known(name, problem.space.names, "--set")] = _numbers(value, 1, f"--set {name}")[0]
    problem.space.unconstrain(theta)  # refuses what lies outside
    return theta


def space_of(text: str) -> Space:
    """Read the parameters of a space, `name=kind(numbers, unit=word)` or `name=number` with semicolons between.

    Example:
        >>> from avo.space import Interval, LogInterval
        >>> known = Space(rate=LogInterval(0.1, 10, unit="1/s"), k=Interval(0, 3), share=0.7)
        >>> space_of("rate=loginterval(.1,10,unit=1/s); k=Interval(low=0, high=3); share=0.7") == known
        True
    """
    parameters: dict[str, Any] = {}
    for part in filter(None, map(str.strip, text.split(";"))):
        fixed = re.fullmatch(r"([^\W\d]\w*)\s*=\s*([-+.\d][-+.\deE]*)", part)
        if fixed is not None:
            part = f"{fixed[1]}=fixed({fixed[2]})"
        found = re.fullmatch(r"([^\W\d]\w*)\s*=\s*(\w+)\s*\((.*)\)", part)
        if found is None:
            raise ValueError(f"--space must look like 'rate=loginterval(0.1,10,unit=1/s); k=real()'; got {part!r}.")
        name, kind, inside = found.groups()
        if name in parameters:
            raise ValueError(f"--space must say {name} once; got it twice.")
        parameters[name] = _parameter(name, kind, inside)
    if not parameters:
        raise ValueError(f"--space must name at least one parameter, 'k=interval(0,3)'; got {text!r}.")
    return Space(**parameters)


def _parameter(name: str, word: str, inside: str) -> Any:
    """Make a parameter of the words between the brackets of its kind."""
    kinds = {kind.lower(): made for kind, made in KINDS.items()}
    if word.lower() not in kinds:
        hint = did_you_mean(word.lower(), kinds)
        raise ValueError(f"--space: {name} must be one of {', '.join(kinds)}; got {word!r}.{hint}")
    kind = kinds[word.lower()]
    known, given = [field.name for field in fields(kind)], {}
    # Commas within brackets part nothing
    for i, value in enumerate(filter(None, map(str.strip, re.split(r",(?![^(]*\))", inside)))):
        key, equals, rest = value.partition("=")
        key, value = (key.strip(), rest.strip()) if equals else (known[i] if i < len(known) else "", value)
        if key not in known or key in given:
            raise ValueError(f"--space: {name}={word}(...) takes {', '.join(known)}, each once; got {value!r} beyond.")
        given[key] = value if key == "unit" else literal(value)
    try:
        return kind(**given)
    except TypeError as error:  # what has no default is missing
        raise ValueError(f"--space: {name}={word}(...) must have {', '.join(known)}; got {inside!r}.") from error
    except ValueError as error:
        raise ValueError(f"--space: {name}: {error}") from error


def with_known(space: Space, fix: list[str] | None, prior: list[str] | None) -> Space:
    """Put into a space what the command says is known: values that are fixed, and measurements, VALUE,ERROR."""
    parameters: dict[str, Any] = {name: space[name] for name in space.columns}
    for name, value in named_pairs(fix, "--fix").items():
        _known(name, space.columns, "--fix")
        parameters[name] = Fixed(_numbers(value, 1, f"--fix {name}")[0], unit=parameters[name].unit)
    for name, value in named_pairs(prior, "--prior").items():
        _known(name, space.columns, "--prior")
        measured = tuple(_numbers(value, 2, f"--prior {name}", "VALUE,ERROR"))
        if isinstance(parameters[name], Fixed):
            raise ValueError(f"--prior: {name} is fixed; leave one of them out.")
        try:
            parameters[name] = replace(parameters[name], prior=measured)
        except ValueError as error:
            raise ValueError(f"--prior {name}: {error}") from error
    return Space(**parameters)


def ranged(space: Space, words: list[str] | None) -> Space:
    parameters: dict[str, Any] = {name: space[name] for name in space.columns}
    for name, value in named_pairs(words, "--range").items():
        _known(name, space.columns, "--range")
        low, high = _numbers(value, 2, f"--range {name}")
        if name in space.fixed:
            raise ValueError(
                f"--range: {name} is fixed at {space[name].value:g}; give it a range in your file's space."
            )
        if not parameters[name].bounded:
            raise ValueError(f"--range: {name} has no bounds to replace, it is a {type(parameters[name]).__name__}.")
        try:
            parameters[name] = replace(parameters[name], low=low, high=high)
        except ValueError as error:
            raise ValueError(f"--range {name}: {error}") from error
    return Space(**parameters)
