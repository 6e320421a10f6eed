"""A user's file of Python: its simulator and its space."""

import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import cloudpickle

import avo
from avo.alerts import warn
from avo.execution.host import HostSimulator
from avo.space import Space

if TYPE_CHECKING:
    from avo.simulators import Problem


class Source(NamedTuple):
    """What to fit: a registered problem or the user's function."""

    name: str
    simulate: Callable[..., Any]
    space: Space
    problem: "Problem | None" = None


def user_source(file: Path, function: str, space: Space | None) -> Source:
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
    if file.stem in sys.stdlib_module_names:  # where it is the script, its folder is searched first
        warn(
            f"{file} hides Python's own module {file.stem} from scripts beside it; rename it, my_{file.stem}.py.",
        )
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
