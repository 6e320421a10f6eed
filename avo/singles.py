"""Parameters of single observations, for `result.encode`."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Array

from avo import exports
from avo.containers import Held, arranged, is_frame, same_rows
from avo.observations import validate_observations
from avo.refine.encoding import optimised
from avo.refine.estimate import Estimate
from avo.refine.statistic import apply
from avo.rows import NO_GAPS, observe_new

if TYPE_CHECKING:
    from avo.result import Result


def encoded(
    result: "Result", estimate: Estimate, x: Held, inputs: Held | None, refine: "bool | Callable[[Array], Array]"
) -> Any:
    """Estimate the parameters of single observations (avo/result.py, `encode`)."""
    if refine is not False:
        _check_optimised(result, estimate, refine)
    same_rows(x=x, inputs=inputs)
    index = getattr(x, "index", None) if is_frame(x) else None
    inputs = arranged("inputs", inputs, result.input_axes)
    if result.gaps is not None:
        x, c, _ = observe_new(arranged("x", x, result.axes), inputs, result.gaps, "x")
        return _theta(result, estimate, x, c, index)
    x = validate_observations(arranged("x", x, result.axes), "x", 1, advice=NO_GAPS)
    if x.shape[1:] != result.x_shape:
        raise ValueError(
            f"x must have one observation per row, shape (n, {', '.join(map(str, result.x_shape))}); got {x.shape}."
        )
    unit = estimate.encoder.features.c_shift
    if (inputs is None) != (unit is None):
        words = "the fit had inputs=: hand over those of x" if inputs is None else "the fit had none; leave inputs= out"
        raise ValueError(f"inputs= must be as in the fit; {words}.")
    c = None if inputs is None else validate_observations(inputs, "inputs", 1)
    if c is not None and unit is not None and c.shape != (len(x), *unit.shape):
        raise ValueError(
            f"inputs must have a row for each of x, shaped as in the fit: for x of shape {x.shape} inputs of shape "
            f"{(len(x), *unit.shape)}; got inputs of shape {c.shape}."
        )
    return _theta(result, estimate, x, c, index, refine)


def _check_optimised(result: "Result", estimate: Estimate, refine: Any) -> None:
    if refine is True and result.mean is None and result.population is None:
        raise ValueError(
            "refine=True needs the simulator's mean, which a simulator of avo's own brings and no file keeps; give "
            "it: refine=problem.mean. (Of a population simulations that spread as single observations do would do.)"
        )
    if refine is not True and not callable(refine):
        raise ValueError(f"refine must be True, False or the simulator's mean, theta (d,) -> x; got {refine!r}.")
    lacks = {
        "known conditions": bool(result.input_axes) or estimate.encoder.features.c_shift is not None,
        "missing values": result.gaps is not None,
        "angles": bool(result.space.angles.any()),
        "counts": bool(result.space.counts.any()),
    }
    if found := [name for name, there in lacks.items() if there]:
        raise ValueError(f"refine is not for fits with {' or '.join(found)}; leave it out: E[theta | x] is.")


def _theta(
    result: "Result", estimate: Estimate, x: np.ndarray, c: np.ndarray | None, index: Any, refine: Any = False
) -> Any:
    theta = apply(estimate.encoder, x, c)
    theta = result.space.directions(theta) if result.space.angles.any() else theta
    theta = np.clip(theta, *np.array([parameter.support for parameter in result.space]).T)
    if refine is not False:
        mean = result.mean if refine is True else refine
        theta = optimised(estimate, result.space, x, theta, mean)
    return theta if index is None else exports.need_pandas("encode").DataFrame(theta, index, list(result.names))
