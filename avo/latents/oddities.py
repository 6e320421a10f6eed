"""Observations that are odd in a known way, so that scores of anomaly can be judged.

Each case leaves out one thing that a model of the normal observations assumes: the family of the noise, a fixed
baseline, the number of waves, that every point was measured.
"""

from typing import Literal

import jax
import numpy as np
from jaxtyping import ArrayLike, Bool, Float, PRNGKeyArray

from avo.checks import between, finite, nonnegative, one_of
from avo.observations import validate_observations

Kind = Literal["noise", "drift", "wave", "outliers"]


def contaminate(
    key: PRNGKeyArray,
    x: ArrayLike,
    kind: Kind,
    share: float = 0.05,
    *,
    noise: float = 0.0,
    size: float | None = None,
    points: float = 0.05,
    degrees: float = 3.0,
) -> tuple[Float[np.ndarray, "n *x_shape"], Bool[np.ndarray, " n"]]:
    """Make some observations odd in a known way.

    - "noise": Student's noise of the same variance, sd sqrt((degrees - 2) / degrees) t, for Gaussian;
    - "drift": a line that rises or falls from 0 to `size`;
    - "wave": a Gaussian bump of height +-`size`, a twentieth of the observation wide, at a random place;
    - "outliers": each point, with probability `points`, is moved by +-`size`; at least one is.

    Args:
        key: JAX random key.
        x: observations, with shape (n, T) or (n, T, channels); without noise, if `noise` is given.
        kind: of the odd ones.
        share: of the observations that are odd: round(share n), at least one.
        noise: standard deviation of the Gaussian noise that is added to all observations; 0: x has its own. The kind
            "noise" needs it.
        size: in units of x; None: 3 `noise` for drift and wave, 5 for outliers.
        points: share of the points of an odd observation that are outliers.
        degrees: of freedom, above 2.

    Returns:
        The observations, and which of them are odd, with shape (n,).

    Raises:
        ValueError: if an argument is out of range, or `size` or `noise` is missing.

    Example:
        >>> x, odd = contaminate(jax.random.key(0), np.zeros((40, 5)), "drift", 0.1, size=2.0)
        >>> int(odd.sum()), np.abs(x[odd][0]).tolist(), float(np.abs(x[~odd]).max())
        (4, [0.0, 0.5, 1.0, 1.5, 2.0], 0.0)
    """
    x = validate_observations(x, "x")
    size = _check_case(x, kind, share, noise, size, points, degrees)
    rng = np.random.default_rng([int(word) for word in np.asarray(jax.random.key_data(key)).ravel()])
    n, length = x.shape[:2]
    odd = np.zeros(n, bool)
    odd[rng.permutation(n)[: max(1, round(share * n))]] = True
    time = np.linspace(0, 1, length)
    sign = rng.choice([-1.0, 1.0], size=(n, 1))
    e = noise * rng.standard_normal(x.shape)
    student = noise * np.sqrt((degrees - 2) / degrees) * rng.standard_t(degrees, x.shape)
    place, hit = rng.uniform(0.1, 0.9, (n, 1)), rng.uniform(size=(n, length))
    hit = (hit < points) | (hit == hit.min(1, keepdims=True))
    added = {
        "noise": np.zeros((n, length)),
        "drift": sign * time,
        "wave": sign * np.exp(-0.5 * ((time - place) / 0.05) ** 2),
        "outliers": hit * rng.choice([-1.0, 1.0], size=hit.shape),
    }[kind]
    one = (...,) + (None,) * (x.ndim - 2)
    changed = x + (student if kind == "noise" else e) + size * added[one]
    return np.where(odd.reshape((n,) + (1,) * (x.ndim - 1)), changed, x + e), odd


def _check_case(
    x: np.ndarray, kind: Kind, share: float, noise: float, size: float | None, points: float, degrees: float
) -> float:
    sizes = {"noise": 0.0, "drift": 3.0, "wave": 3.0, "outliers": 5.0}
    one_of("kind", kind, sizes)
    if x.ndim not in (2, 3):
        raise ValueError(f"x must have shape (n, T) or (n, T, channels); got {x.shape}.")
    between("share", share, 0, 1, "()")
    between("points", points, 0, 1, "(]")
    between("degrees", degrees, 2, np.inf, "()")
    nonnegative("noise", noise)
    if size is not None:
        finite("size", size)
    if noise == 0 and (kind == "noise" or size is None):
        raise ValueError(
            f"kind {kind!r} needs noise=, the standard deviation to add to noise-free x"
            + (", or size= in units of x." if kind != "noise" else ".")
        )
    return sizes[kind] * noise if size is None else size
