"""Contaminated observations: anomalies of known kinds among normal ones, so that scores of anomaly can be tested.

Each kind breaks one thing that a model of the normal observations assumes: the family of the noise, a fixed baseline,
the number of waves, that every point was measured.
"""

from typing import Literal, get_args

import jax
import numpy as np
from jaxtyping import ArrayLike, Bool, Float, PRNGKeyArray

from avo.checks import between, finite, nonnegative, one_of
from avo.observations import validate_observations

Kind = Literal["noise", "drift", "wave", "outliers"]
SIZES = {"noise": 0.0, "drift": 3.0, "wave": 3.0, "outliers": 5.0}  # in standard deviations of the noise
WIDTH = 0.05  # of a wave, as a share of the observation


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
    """Make some observations anomalous in a known way.

    - "noise": Student's noise of the same variance, sd sqrt((degrees - 2) / degrees) t, for Gaussian;
    - "drift": a line that rises or falls from 0 to `size`;
    - "wave": a Gaussian bump of height +-`size`, a twentieth of the observation wide, at a random place;
    - "outliers": each point, with probability `points`, is moved by +-`size`; at least one is.

    Args:
        key: JAX random key.
        x: observations, with shape (n, T) or (n, T, channels); without noise, if `noise` is given.
        kind: of the anomalies.
        share: of the observations that are anomalies: round(share n), at least one.
        noise: standard deviation of the Gaussian noise that is added to all observations; 0: x has its own. The kind
            "noise" needs it.
        size: in units of x; None: 3 `noise` for drift and wave, 5 for outliers.
        points: share of the points of an anomaly that are outliers.
        degrees: of freedom, above 2.

    Returns:
        The observations, and which of them are anomalies, with shape (n,).

    Raises:
        ValueError: if an argument is out of range, or `size` or `noise` is missing.

    Example:
        >>> x, anomalous = contaminate(jax.random.key(0), np.zeros((40, 5)), "drift", 0.1, size=2.0)
        >>> int(anomalous.sum()), np.abs(x[anomalous][0]).tolist(), float(np.abs(x[~anomalous]).max())
        (4, [0.0, 0.5, 1.0, 1.5, 2.0], 0.0)
    """
    x = validate_observations(x, "x")
    between("share", share, 0, 1, "()")
    between("points", points, 0, 1, "(]")
    between("degrees", degrees, 2, np.inf, "()")
    size = _size(x, kind, noise, size)
    rng = np.random.default_rng([int(word) for word in np.asarray(jax.random.key_data(key)).ravel()])
    n, length = x.shape[:2]
    anomalous = np.zeros(n, bool)
    anomalous[rng.permutation(n)[: max(1, round(share * n))]] = True
    # All are drawn whatever the kind, so that kinds differ in nothing else
    time = np.linspace(0, 1, length)
    sign = rng.choice([-1.0, 1.0], size=(n, 1))
    gaussian = noise * rng.standard_normal(x.shape)
    student = noise * np.sqrt((degrees - 2) / degrees) * rng.standard_t(degrees, x.shape)
    place, hit = rng.uniform(0.1, 0.9, (n, 1)), rng.uniform(size=(n, length))
    hit = (hit < points) | (hit == hit.min(1, keepdims=True))
    added = {
        "noise": np.zeros((n, length)),
        "drift": sign * time,
        "wave": sign * np.exp(-0.5 * ((time - place) / WIDTH) ** 2),
        "outliers": hit * rng.choice([-1.0, 1.0], size=hit.shape),
    }[kind]
    every_channel = (...,) + (None,) * (x.ndim - 2)
    changed = x + (student if kind == "noise" else gaussian) + size * added[every_channel]
    return np.where(anomalous.reshape((n,) + (1,) * (x.ndim - 1)), changed, x + gaussian), anomalous


def _size(x: np.ndarray, kind: Kind, noise: float, size: float | None) -> float:
    """Check what a kind needs, and return its size in units of x."""
    one_of("kind", kind, get_args(Kind))
    if x.ndim not in (2, 3):
        raise ValueError(f"x must have shape (n, T) or (n, T, channels); got {x.shape}.")
    nonnegative("noise", noise)
    if size is not None:
        finite("size", size)
    if noise == 0 and (kind == "noise" or size is None):
        raise ValueError(
            f"kind {kind!r} needs noise=, the standard deviation to add to noise-free x"
            + (", or size= in units of x." if kind != "noise" else ".")
        )
    return SIZES[kind] * noise if size is None else size
