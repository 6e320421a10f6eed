r"""Parameters of single observations by optimisation, for `result.encode(x, refine=...)`.

With f(theta) the simulator's mean, C the covariance of x - f, and, of a population, N(loc, Sigma) the fitted one in u,

    theta(x) = argmin of |C^(-1/2) (x - f(theta))|^2 + (u - loc)^T Sigma^-1 (u - loc)

the maximum a posteriori under Gaussian noise; of a point without the second term, the maximum of the likelihood. It
starts from E[theta | x] (avo/refine/rowwise.py). C is that of the simulations which the fit keeps near its answer.

f is the user's, or, of a population, a regression on what is kept: on x as `avo.refine.kept.view_of` shows it and its
learned scores, in the place of x. The simulations of a point lie too near one another to tell of others.

Parameters of which f says little, less than half of what there is to be known (those of noise), keep E[theta | x].
"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from avo.adversarial.proposals import START_SD
from avo.refine.curve import learned_curve, root
from avo.refine.estimate import Estimate
from avo.refine.kept import Kept, View, view_of
from avo.refine.linear import EDGE, LinearSpace
from avo.refine.rowwise import RowSquares, all_ends
from avo.refine.statistic import apply
from avo.space import Space

TOLD = 0.5  # share of the variance near the answer that must be left where f is said to tell of a parameter
SEED = 0  # of the regression, so that the same result gives the same numbers


def optimised(
    estimate: Estimate,
    space: Space,
    x: np.ndarray,
    encoded: Float[np.ndarray, "n d"],
    mean: Callable[[Array], Array] | None,
) -> Float[np.ndarray, "n d"]:
    """Find theta of single observations.

    Args:
        estimate: what refining found; it keeps simulations.
        space: the parameters.
        x: the observations.
        encoded: E[theta | x] of each, where the search starts.
        mean: the simulator's mean, theta (d,) -> x, in JAX; None: it is learned from the kept simulations.

    Raises:
        ValueError: if the result keeps no simulations, or the mean is of another shape.
    """
    kept = estimate.kept
    if kept is None:
        raise ValueError("refine needs the simulations that a fit keeps, and this result has none: fit it anew.")
    line = LinearSpace(space)
    low, high = line.low + EDGE, line.high - EDGE
    places, view = line.of(np.asarray(kept.u, float)), view_of(x.shape[1:])
    prior = _prior(estimate, line)
    if mean is not None:
        curve, seen = _of_user(mean, line, x.shape[1:]), x.reshape(len(x), -1)
        whiten = _units(curve, kept, places, view, x.shape[1:])
    else:
        scale = np.maximum(kept.x.std(0), 1e-9 * max(float(np.abs(kept.x).max()), 1e-300)).astype(float)
        shown, scores = np.concatenate([kept.x / scale, kept.t], axis=1).astype(float), apply(estimate.statistic, x)
        curve, seen = learned_curve(places, shown, SEED), np.concatenate([view(x) / scale, scores], axis=1)
        whiten = root(np.cov((shown - apply(curve, places)).T))
    target = np.concatenate([_weighed(whiten, seen), np.zeros((len(x), line.dim if prior else 0))], axis=1)

    def whole(w: Array) -> Array:
        f = jnp.ravel(curve(w))
        f = jnp.asarray(whiten) @ f if np.ndim(whiten) == 2 else jnp.asarray(whiten) * f
        return jnp.append(f, prior(w)) if prior else f

    squares = RowSquares(whole, low, high)
    if prior is None:  # any theta may be
        wide = START_SD * np.random.default_rng(SEED).normal(size=(1000, line.dim))
        places = np.clip(line.of(wide), low, high)
    moving = _told(squares, places, line.dim if prior else 0)
    if not moving.any():
        return encoded
    start = np.clip(line.of(np.asarray(space.unconstrain(inside(space, encoded)), float)), low, high)
    beside = np.tile(np.clip(line.of(np.asarray(estimate.loc, float)), low, high), (len(x), 1))
    w, square = all_ends(squares, target, np.stack([start, beside], axis=1), moving)
    best = w[np.arange(len(x)), np.argmin(square, axis=1)]
    found = np.asarray(line.constrain(best), np.float64)
    return np.where(moving, found, encoded)


def inside(space: Space, theta: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    """Move theta off its bounds, where u is no number."""
    low, high = np.array([parameter.support for parameter in space]).T
    width = np.where(np.isfinite(high - low), high - low, 1.0)
    return np.clip(theta, low + EDGE * width, high - EDGE * width)


def _of_user(mean: Callable[[Array], Array], line: LinearSpace, x_shape: tuple[int, ...]) -> Callable[[Array], Array]:
    def curve(w: Array) -> Array:
        places: Any = w
        f = jnp.asarray(mean(line.space.full(line.constrain(places))))
        if f.shape != x_shape:
            raise ValueError(f"refine, a mean, must give one x, shape {x_shape}; it gave {f.shape}.")
        return f

    return curve


def _units(
    curve: Callable[[Array], Array], kept: Kept, w: np.ndarray, view: View, x_shape: tuple[int, ...]
) -> Float[np.ndarray, "k k"] | Float[np.ndarray, " k"]:
    """Compute C^(-1/2) of the kept simulations; where they show a part of x only, one number for all values."""
    rest = np.asarray(kept.x, float) - view(apply(curve, w).reshape(len(w), *x_shape))
    if view.whole and rest.any():
        return root(np.atleast_2d(np.cov(rest.T)))
    return np.full(int(np.prod(x_shape)), 1 / max(float(np.sqrt(np.mean(rest**2))), 1e-300))


def _weighed(whiten: np.ndarray, x: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
    return x @ whiten.T if whiten.ndim == 2 else x * whiten


def _prior(estimate: Estimate, line: LinearSpace) -> Callable[[Array], Array] | None:
    """Make w -> Sigma^(-1/2) (u - loc) of a population; None for a point."""
    covariance = estimate.population_covariance
    if covariance is None:
        return None
    loc, W = jnp.asarray(estimate.loc, float), jnp.asarray(root(np.asarray(covariance, float)), float)
    return lambda w: W @ (line.u(w) - loc)


def _told(squares: RowSquares, w: Float[np.ndarray, "n d"], prior: int) -> Bool[np.ndarray, " d"]:
    """Say of which parameters f tells: with J its slope in units of noise, and V the covariance of w,

        ((J^T J + V^-1)^-1)_ii < TOLD V_ii

    in the mean over some places.
    """
    J = squares.slope(w[np.linspace(0, len(w) - 1, 32).round().astype(int)])
    J = J[:, : J.shape[1] - prior]
    V = np.atleast_2d(np.cov(w.T)) + 1e-12 * np.eye(w.shape[1])
    information = np.mean(np.einsum("nki,nkj->nij", J, J), axis=0)
    left = np.linalg.inv(information + np.linalg.inv(V))
    return np.diagonal(left) < TOLD * np.diagonal(V)
