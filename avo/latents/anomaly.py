"""Which observations are not of the kind that was modelled: scores of anomaly, and their calibration.

A *score* is a number per observation, large where it is anomalous. Three come from three models of the same data:

- `reconstruction_error` of an autoencoder, or of PCA; `distances` are its root, in units of each column;
- `negative_elbo` of a VAE, which adds how unlikely the latents are;
- `misfit` of the simulator (avo/latents/residuals.py): how far x lies from simulations at the parameters that explain
  it best.

*Calibration.* With scores s_1..s_m of held-out normal observations the conformal p-value of a new one is

    p = (1 + #{i : s_i >= s}) / (m + 1),    P(p <= a) <= a exactly, where normal observations are exchangeable

whatever the score (Vovk, Gammerman and Shafer 2005). Normal rows that fitted the model do not count as held out. For
many observations at once, `scipy.stats.false_discovery_control(p)` corrects p-values after Benjamini and Hochberg.

How good a score is, where labels are known, says `detection` (avo/latents/roc.py).
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import ArrayLike, Float

from avo.checks import between, positive
from avo.latents.models import BetaVAE
from avo.observations import validate_observations

FALSE_ALARMS = 0.01  # share of normal observations called anomalous, where none is named


def reconstruction_error(x: ArrayLike, reconstructed: ArrayLike) -> Float[np.ndarray, " n"]:
    """Mean squared error of each reconstruction: mean over entries of (x - x_hat)^2.

    Large also for complicated normal observations, and small for simple anomalies: look at PCA's beside it.

    Args:
        x: with shape (n, *x_shape).
        reconstructed: likewise.

    Example:
        >>> reconstruction_error([[1.0, 2.0], [3.0, 4.0]], [[1.0, 2.0], [3.0, 6.0]]).tolist()
        [0.0, 2.0]
    """
    x, x_hat = _alike(x=x, reconstructed=reconstructed)
    return _per_row(np.mean, (x - x_hat) ** 2)


def distances(model: BetaVAE, x: ArrayLike) -> Float[np.ndarray, " n"]:
    """Distance of each observation from what an autoencoder makes of it, in the model's units.

        |x - x_hat| = sqrt(sum_j ((x_j - x_hat_j) / scale_j)^2)

    Under the recipe "fraud-talk" a unit is a column's range, from the least to the largest value that was trained on.

    Args:
        model: trained on normal observations.
        x: with shape (n, *x_shape).

    Example:
        >>> import jax
        >>> model = BetaVAE.make(jax.random.key(0), (3,), latents=2, width=8, scale=5.0)
        >>> x = np.array([[1.0, 2.0, 9.0]])
        >>> away = (x - model.decode(model.encode(x))) / 5.0
        >>> bool(np.allclose(distances(model, x), np.sqrt(np.sum(away**2))))
        True
    """
    x = validate_observations(x, "x", 1)
    away = (x - np.asarray(model.decode(model.encode(x)), np.float64)) / np.asarray(model.scale, np.float64)
    return np.sqrt(_per_row(np.sum, away**2))


def negative_elbo(
    x: ArrayLike, reconstructed: ArrayLike, mean: ArrayLike, log_var: ArrayLike, variance: float
) -> Float[np.ndarray, " n"]:
    """Negative evidence lower bound of each observation under a Gaussian VAE, in nats.

        -ELBO = sum (x - x_hat)^2 / (2 s^2) + T/2 log(2 pi s^2) + sum_k (mu_k^2 + v_k - log v_k - 1) / 2

    with T entries of x, s^2 the decoder's noise variance, N(mu, v) the encoder's answer. It bounds -log p(x) from above
    on average over decoded draws of N(mu, v); with x_hat decoded from mu it leaves the draws' scatter out.

    Args:
        x: with shape (n, *x_shape).
        reconstructed: decoded, with shape (n, *x_shape), or (draws, n, *x_shape) to average over draws.
        mean: of the encoder, with shape (n, k).
        log_var: logarithm of its variance, likewise.
        variance: of the decoder's noise.

    Example:
        >>> negative_elbo([[0.0], [2.0]], [[0.0], [0.0]], [[0.0], [1.0]], [[0.0], [0.0]], 1.0).round(3).tolist()
        [0.919, 3.419]
    """
    x = validate_observations(x, "x", 1)
    draws = np.asarray(reconstructed, np.float64)
    draws = draws if draws.ndim > x.ndim else draws[None]
    if draws.shape[1:] != x.shape:
        raise ValueError(f"reconstructed must be shaped like x, {x.shape}, or with draws before it; got {draws.shape}.")
    variance = positive("variance", variance)
    squares = np.mean([_per_row(np.sum, (x - x_hat) ** 2) for x_hat in draws], axis=0)
    mu, logs = _alike(mean=mean, log_var=log_var)
    if mu.shape[:1] != x.shape[:1] or mu.ndim != 2:
        raise ValueError(f"mean must have one row of latents for each of {len(x)} rows of x; got shape {mu.shape}.")
    kl = 0.5 * np.sum(mu**2 + np.exp(logs) - logs - 1, axis=1)
    return squares / (2 * variance) + 0.5 * x[0].size * np.log(2 * np.pi * variance) + kl


def conformal_p(scores: ArrayLike, calibration: ArrayLike) -> Float[np.ndarray, " n"]:
    """Conformal p-value of each score, p = (1 + #{calibration >= score}) / (m + 1).

    Args:
        scores: with shape (n,); large is anomalous.
        calibration: scores of m normal observations that were not used to fit, with shape (m,).

    Example:
        >>> conformal_p([0.5, 2.0, 9.0], [1.0, 2.0, 3.0]).tolist()
        [1.0, 0.75, 0.25]
    """
    found, normal = check_scores("scores", scores), np.sort(check_scores("calibration", calibration))
    return (1 + len(normal) - np.searchsorted(normal, found, side="left")) / (len(normal) + 1)


def threshold(calibration: ArrayLike, level: float = FALSE_ALARMS) -> float:
    """Score above which an observation is an anomaly at a level: score > threshold exactly if conformal p <= level.

    It is the j-th largest of m calibration scores, j = floor(level (m + 1)); infinite where that is below 1, since m is
    too small for such a level.

    Args:
        calibration: scores of normal observations that were not used to fit, with shape (m,).
        level: share of normal observations that may be called anomalous.

    Example:
        >>> threshold([1.0, 5.0, 3.0, 2.0], level=0.4)
        3.0
    """
    between("level", level, 0, 1, "()")
    normal = np.sort(check_scores("calibration", calibration))
    # Rounded, since .07 * 100 is 7.000000000000001 and .29 * 100 is 28.999999999999996
    j = int(np.floor(np.round(level * (len(normal) + 1), 9)))
    return float(normal[-j]) if j else float("inf")


def check_scores(name: str, values: ArrayLike) -> Float[np.ndarray, " n"]:
    """Check one number per observation; infinite ones are scores too."""
    a = np.asarray(values, np.float64)
    if a.ndim != 1 or not len(a) or np.isnan(a).any():
        raise ValueError(f"{name} must be numbers with shape (n,), none of them NaN; got shape {a.shape}.")
    return a


def _alike(**named: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Check that two arrays, given by name, are finite and of one shape, one row per observation."""
    (first, a), (second, b) = ((name, validate_observations(values, name, 1)) for name, values in named.items())
    if a.shape != b.shape or a.ndim < 2:
        raise ValueError(
            f"{first} and {second} must have one row per observation, in one shape; got {a.shape} and {b.shape}."
        )
    return a, b


def _per_row(what: Callable, a: np.ndarray) -> Float[np.ndarray, " n"]:
    return what(a.reshape(len(a), -1), axis=1)
