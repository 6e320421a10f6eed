"""A moving average of order 2 with unit noise, theta restricted to the triangle in which it is invertible.

    x_t = e_t + c1 e_{t-1} + c2 e_{t-2},    e_t ~ N(0, 1)
    autocovariances   g_0 = 1 + c1^2 + c2^2,  g_1 = c1 (1 + c2),  g_2 = c2,  0 beyond

Different (c1, c2) have the same law unless 1 + c1 z + c2 z^2 has no root inside the unit circle, the triangle

    c2 < 1,    |c1| < 1 + c2

which no product of intervals is. The parameters are therefore

    ratio = c1 / (1 + c2)  and  c2,  each in (-1, 1)

and every pair of them is a point of the triangle and every point a pair (for autoregressions this is Monahan,
Biometrika 71 (1984) 403). A uniform prior on the triangle has density (1 + c2) / 4 in (ratio, c2).

Identified: ratio and c2, inside the triangle; towards c2 = -1 the ratio matters less and less, as c1 does not grow
beyond 1 + c2.

Limits: the mean is 0 and the noise has variance 1, both known; the summaries leave out the variance of x.

Source: Marin, Pudlo, Robert and Ryder, Statistics and Computing 22 (2012) 1167; truth (c1, c2) = (0.6, 0.2), that is
ratio 0.5, and 100 points.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float
from scipy import linalg, ndimage, optimize

from avo.checks import flag, whole
from avo.simulators.problem import Axis, Problem, vectorize
from avo.simulators.register import Header
from avo.space import Interval, Space

HEADER = Header(
    summary="moving average of order 2, inside its invertibility triangle",
    tags=("series", "benchmark", "population"),
    x_shape=(100,),
    parameters="ratio, c2",
    x="x along time (steps)",
)

_GRID = 24  # points each way where the search for the largest likelihood looks first
_STARTS = 4  # local maxima on the grid from which it goes on, at most


def coefficients(theta: Float[ArrayLike, "*n 2"]) -> Float[Array, "*n 2"]:
    """Coefficients of the moving average: c1 = ratio (1 + c2), c2.

    Args:
        theta: ratio and c2, each in (-1, 1), with shape (..., 2).

    Returns:
        c1 and c2, inside the triangle, same shape.

    Example:
        >>> [round(float(v), 4) for v in coefficients([0.5, 0.2])]
        [0.6, 0.2]
    """
    theta = jnp.asarray(theta, dtype=float)
    ratio, c2 = theta[..., 0], theta[..., 1]
    return jnp.stack([ratio * (1.0 + c2), c2], axis=-1)


def autocovariances(theta: Float[ArrayLike, "2"]) -> Float[Array, "3"]:
    """Autocovariances at lags 0, 1, 2: 1 + c1^2 + c2^2, c1 (1 + c2), c2.

    Args:
        theta: ratio and c2, with shape (2,).

    Returns:
        g_0, g_1, g_2, with shape (3,).

    Example:
        >>> [round(float(v), 4) for v in autocovariances([0.5, 0.2])]
        [1.4, 0.72, 0.2]
    """
    c1, c2 = coefficients(theta)
    return jnp.stack([1.0 + c1**2 + c2**2, c1 * (1.0 + c2), c2])


def ma2(points: int = 100, summaries: bool = False) -> Problem:
    """Series of a moving average of order 2: x_t = e_t + c1 e_{t-1} + c2 e_{t-2}, c1 = ratio (1 + c2).

    `mle` maximises the exact Gaussian likelihood of independent series within the space, numerically: it climbs from
    the best local maxima on a grid, for one series has several. With some probability its maximum lies on an edge.

    Args:
        points: points per series.
        summaries: x is instead the two empirical autocovariances, mean of x_t x_{t+lag} at lags 1 and 2.

    Returns:
        `Problem` with parameters ratio and c2 (see `coefficients`); x has shape (points,) or (2,).

    Raises:
        ValueError: if `points` is not a whole number, at least 3.

    Example:
        >>> problem = ma2()
        >>> problem.simulate(jax.random.key(0), jnp.array([[0.5, 0.2]])).shape
        (1, 100)
    """
    whole("points", points, least=3)
    flag("summaries", summaries)

    def draw(key: Array, theta: Float[Array, "2"]) -> Float[Array, "..."]:
        c1, c2 = coefficients(theta)
        e = jax.random.normal(key, (points + 2,))
        x = e[2:] + c1 * e[1:-1] + c2 * e[:-2]
        return jnp.stack([jnp.mean(x[1:] * x[:-1]), jnp.mean(x[2:] * x[:-2])]) if summaries else x

    def mean(theta: Float[Array, "2"]) -> Float[Array, "..."]:
        return autocovariances(theta)[1:] if summaries else jnp.zeros(points)

    def mle(x: Float[Array, "m points"]) -> Float[Array, "2"] | None:
        return None if summaries else jnp.asarray(_likeliest(np.asarray(x, dtype=np.float64)))

    times = Axis("time", "steps", np.arange(1, points + 1))
    return Problem(
        name="ma2",
        summary=HEADER.summary,
        simulate=vectorize(draw),
        space=Space(ratio=Interval(-1.0, 1.0), c2=Interval(-1.0, 1.0)),
        theta_true=np.array([0.5, 0.2]),
        x_shape=(2,) if summaries else (points,),
        axes=(Axis("lag", "steps", np.array([1, 2])) if summaries else times,),
        quantity="autocovariance" if summaries else "x",
        mle=mle,
        mean=mean,
        tags=("vector", "benchmark") if summaries else HEADER.tags,
    )


def _likeliest(x: np.ndarray) -> np.ndarray:
    """Minimise log det S + mean of x^T S^-1 x over the square, S the banded covariance of one series.

    In ratio = sin(a), c2 = sin(b) the loss is smooth beyond the edges, so that no bounds are needed, and a grid in a
    and b is dense towards the edges, where the maxima of the likelihood are narrow.
    """
    m, points = x.shape
    columns = (x if m < points else np.asarray(np.linalg.qr(x, mode="r"))).T  # of the same products x^T x

    def loss(angles: np.ndarray) -> float:
        ratio, c2 = np.sin(angles)
        c1 = ratio * (1.0 + c2)
        bands = np.repeat([[c2], [c1 * (1.0 + c2)], [1.0 + c1**2 + c2**2]], points, axis=1)
        factor = linalg.cholesky_banded(bands, check_finite=False)
        solved = linalg.cho_solve_banded((factor, False), columns, check_finite=False)
        return 2.0 * np.log(factor[-1]).sum() + np.sum(columns * solved) / m

    nodes = math.pi * ((np.arange(_GRID) + 0.5) / _GRID - 0.5)
    losses = np.array([[loss(np.array([a, b])) for b in nodes] for a in nodes])
    lowest = np.argwhere(losses == ndimage.minimum_filter(losses, 3, mode="nearest"))
    starts = nodes[sorted(lowest, key=lambda at: losses[tuple(at)])[:_STARTS]]
    found = [optimize.minimize(loss, start, method="L-BFGS-B", options={"ftol": 1e-14}) for start in starts]
    best = min(found, key=lambda result: result.fun)
    return np.clip(np.sin(best.x), -1.0 + 1e-6, 1.0 - 1e-6)
