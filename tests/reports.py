"""Results made by hand that keep simulations, one for each form of x: a linear simulator with Gaussian noise."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import results

from avo.execution.failures import Failures, Where
from avo.refine.kept import LEVELS, Kept, view_of
from avo.refine.linear import LinearSpace
from avo.result import Result
from avo.space import Space

SHAPES: dict[str, tuple[int, ...]] = {"scalar": (), "vector": (5,), "series": (40, 2), "image": (12, 17)}
OBSERVED, NOISE, SHIFT = 300, 0.7, 1.3


def kept(space: Space, loc: np.ndarray, x_shape: tuple[int, ...], population: bool = False, rows: int = 1200) -> Kept:
    """Rows of x = 1.3 + slope (w - w_loc) + .7 e, a third of them at the estimate, and observations from there."""
    rng, line, view = np.random.default_rng(4), LinearSpace(space), view_of(x_shape)
    k, d = math.prod(view.shape), space.dim
    slope, centre = rng.normal(size=(d, k)), line.of(np.asarray(loc, float))
    away = 0.2 * rng.normal(size=(rows, d))
    there = rows // 3
    if not population:
        away[:there] = 0.0
    x = SHIFT + away @ slope + NOISE * rng.normal(size=(rows, k))
    t = away + 0.3 * rng.normal(size=(rows, d))
    own = 0.2 * rng.normal(size=(OBSERVED, d)) if population else np.zeros((OBSERVED, d))
    observed = SHIFT + own @ slope + NOISE * rng.normal(size=(OBSERVED, k))
    squares = (observed - observed.mean(0)) ** 2
    error = lambda a: a.std(0, ddof=1) / np.sqrt(OBSERVED)  # noqa: E731
    t_obs = own + 0.3 * rng.normal(size=(OBSERVED, d))
    arrays: dict[str, Any] = {
        "u": line.u(centre + away),
        "x": x,
        "t": t,
        "observed": observed,
        "encoded": np.asarray(space.constrain(line.u(centre + 0.5 * own))) if population else None,
        "quantiles": np.quantile(observed, LEVELS, axis=0),
        "moments": np.stack([observed.mean(0), error(observed), squares.mean(0), error(squares)]),
        "scores": np.stack([t_obs.mean(0), error(t_obs)]),
    }
    small = {name: None if a is None else np.asarray(a, np.float32) for name, a in arrays.items()}
    return Kept(**small, there=there, rows=OBSERVED)


def reported(form: str = "series", target: str = "point", **changes: Any) -> Result:
    """A result with three parameters of different kinds that keeps simulations; `changes` go to the result."""
    result = results.refined(target)
    assert result.estimate is not None
    space = changes.get("space", result.space)
    own = kept(space, np.asarray(result.estimate.loc), SHAPES[form], target == "population")
    failures = Failures({"timeout": 15, "non-finite": 2}, Where(((space.names[1], ">", 6.0),), 0.9, 0.3, 0.01))
    given = {"x_shape": SHAPES[form], "phases": {"search": 900, "steps": 5376, "refine": 3000}, "failures": failures}
    estimate = replace(result.estimate, kept=own)
    return replace(result, estimate=estimate, calls=9276, **(given | changes))


def loose(form: str = "vector", **changes: Any) -> Result:
    """The same, of which the data identify mu and rate only together, and tau."""
    result = reported(form, **changes)
    assert result.estimate is not None
    v = np.array([[1.0, 1.0, 0.0], [1.0, -1.0, 0.0], [0.0, 0.0, np.sqrt(2)]]) / np.sqrt(2)
    covariance = v @ np.diag([2.25, 1e-3, 1e-3]) @ v.T
    known = dict(vectors=v, values=np.array([0.0, 1e3, 1e3]), identified=np.array([False, True, True]))
    estimate = replace(result.estimate, covariance=covariance, **known)
    return replace(result, estimate=estimate, **({"status": "undetermined"} | changes))
