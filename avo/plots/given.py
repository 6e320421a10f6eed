"""What a picture is given, checked once: fits, samples, axes of x, known parameters."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from avo.checks import came
from avo.containers import Held, axes_of, plain
from avo.plots.style import AxisLike
from avo.result import Result


def fitted(value: Any, name: str = "result") -> Result:
    """Check that something is a finished fit.

    Example:
        >>> fitted("runs/first")
        Traceback (most recent call last):
            ...
        ValueError: result must be what avo.fit returned; got 'runs/first'. Read a folder by avo.load('runs/first').
    """
    if not isinstance(value, Result):
        path = isinstance(value, (str, Path))
        more = f" Read a folder by avo.load({str(value)!r})." if path else ""
        raise ValueError(f"{name} must be what avo.fit returned; got {came(value)}.{more}")
    return value


def named_fits(value: Any) -> dict[str, Result]:
    """Check one fit, or several by name."""
    if isinstance(value, Mapping):
        if not value:
            raise ValueError("results must be a fit, or name -> fit; got {}, which names none.")
        return {str(name): fitted(one, f"results[{name!r}]") for name, one in value.items()}
    if isinstance(value, (list, tuple)) and any(isinstance(one, Result) for one in value):
        names = ", ".join(f'"{word}": ...' for word in ("first", "second", "third")[: len(value)])
        raise ValueError(
            f"results must be a fit, or name -> fit, by which its rows are named; got a {type(value).__name__}. Write "
            f"avo.plots.forest({{{names}}})."
        )
    return {"estimate": fitted(value, "results")}


def truth_of(names: Sequence[str], truth: Any) -> Float[np.ndarray, " d"] | None:
    """Check known parameters: one value for each name; None: not known."""
    if truth is None:
        return None
    shape = np.shape(truth)
    if shape != (len(names),):
        raise ValueError(f"truth must have one value for each of {', '.join(names)}; got shape {shape}.")
    return numbers("truth", truth)


def numbers(name: str, value: Held) -> np.ndarray:
    """Make an array of numbers of what holds them."""
    try:
        return np.asarray(plain(name, value), dtype=float)
    except (TypeError, ValueError) as error:
        if isinstance(error, ValueError) and str(error).startswith(name):
            raise
        raise ValueError(
            f"{name} must be an array of numbers, with one row for each observation or simulation; got {came(value)}."
        ) from error


def axes_given(axes: Any, x: Held) -> tuple[AxisLike, ...]:
    """Check the axes of x; what x says of its own where none are given.

    Example:
        >>> axes_given(np.ones((9, 2)), np.ones((9, 2)))
        Traceback (most recent call last):
            ...
        ValueError: axes must be the axes of x, each with name, unit and values, as in problem.axes and result.axes; got
        an array of shape (9, 2). Two samples are drawn by avo.plots.predictive(x_obs, x_sim).
    """
    several = isinstance(axes, (list, tuple))
    if axes is not None and not (several and all(hasattr(a, "name") and hasattr(a, "values") for a in axes)):
        more = " Two samples are drawn by avo.plots.predictive(x_obs, x_sim)." if np.ndim(axes) else ""
        raise ValueError(
            "axes must be the axes of x, each with name, unit and values, as in problem.axes and result.axes; got "
            f"{came(axes)}.{more}"
        )
    return tuple(axes or axes_of(x))
