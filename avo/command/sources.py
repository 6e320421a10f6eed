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
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import cloudpickle
import jax
import jax.numpy as jnp
import numpy as np
import typer

import avo
from avo import data
from avo.checks import did_you_mean, takes
from avo.execution.command import bound
from avo.execution.failures import CallFailed
from avo.execution.host import HostSimulator
from avo.space import Space

if TYPE_CHECKING:
    from avo.simulators import Problem

# Streams of random numbers besides those of the fit, which splits the seed's key
OBSERVED, PREDICTED, UNSEEN = 20_001, 20_002, 20_003
MOST_NUMBERS = 2 * 10**8  # in observations that are simulated, 1.6 GB
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


class Task(NamedTuple):
    """What to fit to what; the truth of observations that were simulated."""

    source: Source
    observed: np.ndarray
    truth: np.ndarray | None = None


def task_of(
    simulator: str,
    option: list[str] | None,
    ranges: list[str] | None,
    file: Path | None,
    reading: Reading,
    *,
    truth: list[str] | None,
    n: int,
    seed: int,
) -> Task:
    """Find what to fit: to a file's observations, or to n that are simulated at the truth."""
    observed = None if file is None else read(file, reading)
    source = source_of(simulator, option, observed, reading.log_windows)
    source = source._replace(space=ranged(source.space, ranges))
    if observed is not None:
        observed = suited(observed, source, str(file))
        warn_of_other_names(file, source)
        return Task(source, observed)
    if source.problem is None:
        raise ValueError(f"--data must name the file of observations for a simulator of your own, {simulator}.")
    theta = truth_of(source.problem, truth)
    try:
        source.space.unconstrain(theta)
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


def source_of(simulator: str, option: list[str] | None, observed: np.ndarray | None, log_windows: int | None) -> Source:
    file, colon, function = simulator.rpartition(":")
    if file.endswith(".py") or simulator.endswith(".py"):
        if option:
            raise ValueError("--option is for the simulators of `avo list`; write your own's options into its file.")
        source = _user_source(Path(file if colon else simulator), function if colon else "")
        if isinstance(source.simulate, HostSimulator):
            shape = None if observed is None else observed.shape[1:]
            source = source._replace(simulate=bound(source.simulate, source.space.columns, None, shape))
        return source
    problem = problem_of(simulator, option)
    if observed is not None and observed.ndim == 2:
        problem = _resized(problem, option, observed.shape[1], log_windows is not None)
    return Source(simulator, problem.simulate, problem.space, problem)


def problem_of(name: str, option: list[str] | None, **more: object) -> "Problem":
    options = {key: literal(value) for key, value in _pairs(option, "--option").items()}
    known = inspect.signature(getattr(avo.simulators, name)).parameters if name in avo.simulators.names() else options
    for key in options:
        if key not in known:
            choice = f"be one of {', '.join(known)}" if known else "be left out"
            raise ValueError(f"--option must {choice} for {name}; got {key!r}.{did_you_mean(key, known)}")
    problem = avo.simulators.get(name, **more | options)
    if problem.inputs is not None:
        raise ValueError(
            f"{problem.inputs.option} needs inputs, {' and '.join(problem.inputs.names)} of each observation, "
            "which the command cannot give; call avo.fit(..., inputs=) in Python."
        )
    return problem


def _resized(problem: "Problem", option: list[str] | None, points: int, steps: bool) -> "Problem":
    """Make a series as long as the observations, if its length is free; time may count in steps of the series."""
    free = inspect.signature(getattr(avo.simulators, problem.name)).parameters
    given = _pairs(option, "--option")
    longer = "points" in free and "points" not in given and problem.x_shape != (points,)
    more: dict[str, object] = {"points": points} if longer else {}
    steps = steps and "duration" in free and "duration" not in given
    if steps:
        more["duration"] = float(points)
    if not more:
        return problem
    words = ", ".join(f"{name}={value:g}" for name, value in more.items())
    typer.echo(f"{problem.name} with {words}{': time in steps of the series' if steps else ''}")
    problem = problem_of(problem.name, option, **more)
    return _in_steps(problem) if steps else problem


def _in_steps(problem: "Problem") -> "Problem":
    """Name the unit of time what it now is: "1/sqrt(s)" becomes "1/sqrt(step)"."""
    renamed = lambda unit: re.sub(r"\bs\b", "step", unit)  # noqa: E731
    space = Space(**{
        name: replace(p, unit=renamed(p.unit)) for name, p in zip(problem.space.names, problem.space, strict=True)  # pyright: ignore
    })  # fmt: skip
    return replace(problem, space=space, axes=tuple(a._replace(unit=renamed(a.unit)) for a in problem.axes))


def _user_source(file: Path, function: str) -> Source:
    module = _module(file)
    functions = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
    if function not in functions:
        raise ValueError(
            f"{file} must be followed by one of its functions, {file}:NAME; it has {', '.join(functions) or 'none'}"
            + (f", not {function!r}." if function else ".")
        )
    space = getattr(module, "space", None)
    if not isinstance(space, Space):
        raise ValueError(
            f"{file} must say its parameters at the top level, space = avo.Space(mu=avo.Interval(-3, 3)); "
            + ("it has no space." if space is None else f"its space is {space!r}.")
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


def read(path: Path, reading: Reading) -> np.ndarray:
    x = data.read(path, columns=_columns(reading.columns), key=reading.key)
    if reading.log_windows is not None:
        if x.ndim == 2 and x.shape[1] == 1:
            x = x[:, 0]
        if x.ndim != 1:
            raise ValueError(
                f"--log-windows needs one series; {path} has {_size(x.shape[1:])} in a row. Choose by --columns."
            )
        x = data.log_price_windows(x, reading.log_windows)
    return data.validate_observations(x, str(path))


def suited(x: np.ndarray, source: Source, file: str) -> np.ndarray:
    """Give rows of one number the simulator's shape; say so where the numbers per row differ."""
    shape = _x_shape(source)
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


def _x_shape(source: Source) -> tuple[int, ...] | None:
    """Find the shape of one observation; None where only the fit can say what is wrong with the function."""
    if source.problem is not None:
        return source.problem.x_shape
    theta = source.space.full(source.space.constrain(jnp.zeros((2, source.space.dim))))
    if isinstance(source.simulate, HostSimulator):
        if not takes(source.simulate.fn, 2):
            return None
        try:
            return source.simulate(jax.random.key(0), theta[:1]).shape[1:]
        except CallFailed:  # here perhaps, elsewhere not
            return None
    try:
        rows, *shape = jax.eval_shape(source.simulate, jax.random.key(0), theta).shape
    except Exception:  # whatever the user's function raises, the fit raises too, with its own words
        return None
    return tuple(shape) if rows == 2 else None


def _size(shape: tuple[int, ...]) -> str:
    if len(shape) <= 1:
        number = shape[0] if shape else 1
        return f"{number} number{'' if number == 1 else 's'}"
    return f"an array {shape}"


def _pairs(words: list[str] | None, option: str) -> dict[str, str]:
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


def _numbers(text: str, size: int, option: str) -> list[float]:
    try:
        values = [float(word) for word in text.split(",")]
    except ValueError:
        values = []
    if len(values) != size:
        raise ValueError(f"{option} must be {'a number' if size == 1 else f'{size} numbers, LOW,HIGH'}; got {text!r}.")
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


def _columns(text: str | None) -> data.Columns | None:
    if text is None:
        return None
    columns = [int(word) if word.strip().isdigit() else word.strip() for word in text.split(",")]
    return columns[0] if len(columns) == 1 else columns


def truth_of(problem: "Problem", words: list[str] | None) -> np.ndarray:
    theta = np.array(problem.theta_true, dtype=float)
    for name, value in _pairs(words, "--set").items():
        theta[_known(name, problem.space.names, "--set")] = _numbers(value, 1, f"--set {name}")[0]
    problem.space.unconstrain(theta)  # refuses what lies outside
    return theta


def ranged(space: Space, words: list[str] | None) -> Space:
    parameters: dict[str, Any] = {name: space[name] for name in space.columns}
    for name, value in _pairs(words, "--range").items():
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
