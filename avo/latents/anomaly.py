"""Which observations are not of the kind that was modelled: scores, their calibration, and how good they are.

A *score* is a number per observation, large where it is odd. Three come from three models of the same data:

- `reconstruction_error` of an autoencoder, or of PCA;
- `negative_elbo` of a VAE, which adds how unlikely the latents are;
- `misfit` of the simulator: how far x lies from simulations at the parameters that explain it best.

*Calibration.* With scores s_1..s_m of held-out normal observations the conformal p-value of a new one is

    p = (1 + #{i : s_i >= s}) / (m + 1),    P(p <= a) <= a exactly, where normal observations are exchangeable

whatever the score (Vovk, Gammerman and Shafer 2005). Normal rows that fitted the model do not count as held out. For
many observations at once, `scipy.stats.false_discovery_control(p)` corrects p-values after Benjamini and Hochberg.

*Judging.* Where labels are known, `detection` gives the ROC curve and its area, average precision, and the share found
at 1 % false alarms, with bootstrap intervals. Area alone misleads where anomalies are rare: at .2 % of all rows, 10 %
false alarms and 91 % found leave 2 true in 100 alarms. `avo.latents.contaminate` makes cases with known labels.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import ArrayLike, Float, PRNGKeyArray

from avo.checks import between, one_of, positive, whole
from avo.execution.host import HostSimulator
from avo.latents.scikit import learn
from avo.observations import validate_observations

FALSE_ALARMS = 0.01
FLOOR = 1e-3  # of an entry's spread over all theta: with less at one theta it counts as fixed
LEAST_REFERENCE = 100

Statistic = Literal["both", "distance", "tails"]


def reconstruction_error(x: ArrayLike, reconstructed: ArrayLike) -> Float[np.ndarray, " n"]:
    """Mean squared error of each reconstruction: mean over entries of (x - x_hat)^2.

    Large also for complicated normal observations, and small for simple odd ones: look at PCA's beside it.

    Args:
        x: with shape (n, *x_shape).
        reconstructed: likewise.

    Example:
        >>> reconstruction_error([[1.0, 2.0], [3.0, 4.0]], [[1.0, 2.0], [3.0, 6.0]]).tolist()
        [0.0, 2.0]
    """
    x, x_hat = _alike(x=x, reconstructed=reconstructed)
    return _per_row(np.mean, (x - x_hat) ** 2)


def negative_elbo(
    x: ArrayLike, reconstructed: ArrayLike, mean: ArrayLike, log_var: ArrayLike, variance: float
) -> Float[np.ndarray, " n"]:
    """Negative evidence lower bound of each observation under a Gaussian VAE, in nats.

        -ELBO = sum (x - x_hat)^2 / (2 s^2) + T/2 log(2 pi s^2) + sum_k (mu_k^2 + v_k - log v_k - 1) / 2

    with T entries of x, s^2 the decoder's noise variance, N(mu, v) the encoder's answer. It bounds -log p(x) from above
    on average over decoded draws of N(mu, v); with x_hat decoded from mu it leaves the draws' spread out.

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


@dataclass(frozen=True, eq=False)
class Misfit:
    """The simulator's own score of anomaly; made by `misfit`, called as `score(key, x)`."""

    simulate: Callable[..., Any]
    encode: Callable[[np.ndarray], ArrayLike]
    draws: int
    statistic: Statistic
    noise: "_Noise"
    centre: Float[np.ndarray, " entries"]
    whiten: Float[np.ndarray, "entries entries"]
    middle: Float[np.ndarray, "2"]
    width: Float[np.ndarray, "2"]

    def __call__(self, key: PRNGKeyArray, x: ArrayLike) -> Float[np.ndarray, " n"]:
        """Score observations, with shape (n, *x_shape); infinite where the simulator fails at their parameters."""
        x = validate_observations(x, "x", 1)
        if x.shape[1:] != self.noise.x_shape:
            raise ValueError(f"x must have rows shaped {self.noise.x_shape}, as the reference had; got {x.shape[1:]}.")
        z = self.noise.standardise(*_residuals(key, self.simulate, self.encode, x, self.draws))
        ok = np.isfinite(z).all(axis=1)
        found = np.full(len(x), np.inf)
        distance, tails = ((_statistics((z[ok] - self.centre) @ self.whiten) - self.middle) / self.width).T
        parts = {"distance": distance, "tails": tails, "both": np.maximum(distance, tails)}
        found[ok] = parts[self.statistic]
        return found


def misfit(
    key: PRNGKeyArray,
    simulate: Callable[..., Any],
    encode: Callable[[np.ndarray], ArrayLike],
    theta: ArrayLike,
    *,
    draws: int = 64,
    statistic: Statistic = "both",
) -> Misfit:
    """Make a score of how badly a simulator explains an observation by the parameters that explain it best.

        z = (x - mean x') / sd x',    x' ~ p(. | encode(x)),    w = C^(-1/2) (z - mean z)
        distance = log mean w^2,    tails = log mean w^4 / (mean w^2)^2

    C is the covariance of z over simulated observations, which are encoded like others, so that what the encoder is
    off by, and noise that hangs together in time, count as normal (shrunk after Ledoit and Wolf, 2004). Both statistics
    are standardised by simulations too; "both" is the larger one.

    Why two: distance, the logarithm of Mahalanobis's, finds what is added to an observation but is blind to another
    family of noise with the same variance, since most of its rows lie nearer than normal ones. Area under ROC on damped
    oscillators of 64 points, an encoder with R^2 of .98 and more, 1000 normal and 1000 odd rows as `contaminate` makes
    them, beside the reconstruction error of 10 principal components:

                                      distance    tails    both    PCA
        Student's noise, 3 degrees    .33         .88      .86     .33
        Student's noise, 5 degrees    .45         .78      .74     .46
        drift                         .95         .42      .89     .94
        wave                          .83         .52      .74     .70
        outliers                      .96         .97      .98     .96

    "both" is never blind and pays for it; if you know what to look for, choose the statistic.

    Args:
        key: JAX random key.
        simulate: `simulate(key, theta) -> x`, in JAX or made by `avo.from_numpy`.
        encode: parameters of observations, x (n, *x_shape) -> theta (n, d), e.g. `result.encode`.
        theta: parameters of normal observations, with shape (m, d), at least 100, e.g. `result.encode(x_normal)`.
        draws: simulations per observation. The reference costs m (draws + 1) calls, a score of n rows n draws.
        statistic: "both", "distance" or "tails".

    Returns:
        `score(key, x) -> (n,)`. Calibrate it by held-out normal observations: `conformal_p(score(key, x), score(key2,
        x_normal))`, with two keys.

    Raises:
        ValueError: if shapes do not fit, or the simulator fails at most of `theta`.
        ImportError: if scikit-learn is not installed.

    Example:
        >>> import jax.numpy as jnp
        >>> simulate = lambda key, theta: theta + jax.random.normal(key, (len(theta), 30))
        >>> encode = lambda x: x.mean(axis=1, keepdims=True)
        >>> score = misfit(jax.random.key(0), simulate, encode, np.linspace(-1, 1, 200)[:, None], draws=16)
        >>> x = np.array(simulate(jax.random.key(1), jnp.zeros((2, 1))))
        >>> x[1, 4:8] += 5.0
        >>> low, high = score(jax.random.key(2), x)
        >>> bool(low < 3 < high)
        True
    """
    one_of("statistic", statistic, ("both", "distance", "tails"))
    theta, draws = validate_observations(theta, "theta"), whole("draws", draws, least=8)
    if theta.ndim != 2 or len(theta) < LEAST_REFERENCE:
        raise ValueError(f"theta must have shape (m, d) with m of at least {LEAST_REFERENCE}; got {theta.shape}.")
    run = simulate if isinstance(simulate, HostSimulator) else eqx.filter_jit(simulate)
    key_x, key_z = jax.random.split(key)
    x = np.asarray(run(key_x, theta), np.float64)
    good = np.isfinite(x.reshape(len(x), -1)).all(axis=1)
    if good.mean() < 0.5:
        raise ValueError(
            f"simulate must work at theta; it returned NaN or infinity in {np.sum(~good)} of {len(x)} rows."
        )
    x = x[good]
    rest, variance = _residuals(key_z, run, encode, x, draws)
    noise = _Noise.learn(x, variance[np.isfinite(variance).all(axis=1)], draws)
    z = noise.standardise(rest, variance)
    z = z[np.isfinite(z).all(axis=1)]
    # Whitened rows of the half that made C would be too short
    learned, judged = np.array_split(z, 2)
    centre, scale = learned.mean(0), learned.std(0)
    scale = np.where(scale > 0, scale, 1.0)
    covariance = learn("covariance").LedoitWolf(assume_centered=True).fit((learned - centre) / scale).covariance_
    values, vectors = np.linalg.eigh(covariance)
    whiten = (vectors / np.sqrt(np.maximum(values, values[-1] * 1e-9))) @ vectors.T / scale[:, None]
    statistics = _statistics((judged - centre) @ whiten)
    width = statistics.std(0)
    return Misfit(
        run, encode, draws, statistic, noise, centre, whiten, statistics.mean(0), np.where(width > 0, width, 1.0)
    )


def conformal_p(scores: ArrayLike, calibration: ArrayLike) -> Float[np.ndarray, " n"]:
    """Conformal p-value of each score, p = (1 + #{calibration >= score}) / (m + 1).

    Args:
        scores: with shape (n,); large is odd.
        calibration: scores of m normal observations that were not used to fit, with shape (m,).

    Example:
        >>> conformal_p([0.5, 2.0, 9.0], [1.0, 2.0, 3.0]).tolist()
        [1.0, 0.75, 0.25]
    """
    found, known = _vector("scores", scores), np.sort(_vector("calibration", calibration))
    return (1 + len(known) - np.searchsorted(known, found, side="left")) / (len(known) + 1)


def threshold(calibration: ArrayLike, level: float = FALSE_ALARMS) -> float:
    """Score above which an observation is odd at a level: score > threshold exactly if conformal p <= level.

    It is the j-th largest of m calibration scores, j = floor(level (m + 1)); infinite where that is below 1, since m is
    too small for such a level.

    Args:
        calibration: scores of normal observations that were not used to fit, with shape (m,).
        level: share of normal observations that may be called odd.

    Example:
        >>> threshold([1.0, 5.0, 3.0, 2.0], level=0.4)
        3.0
    """
    between("level", level, 0, 1, "()")
    known = np.sort(_vector("calibration", calibration))
    # Rounded, since .07 * 100 is 7.000000000000001 and .29 * 100 is 28.999999999999996
    j = int(np.floor(np.round(level * (len(known) + 1), 9)))
    return float(known[-j]) if j else float("inf")


class Rate(NamedTuple):
    """A number with its bootstrap interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


class Detection(NamedTuple):
    """How well a score finds the odd ones.

    Args:
        auc: area under the ROC curve; .5 by chance.
        average_precision: sum over thresholds of (R_n - R_(n-1)) P_n; the share of odd ones by chance.
        tpr: share of the odd ones found where at most `false_alarms` of the normal ones are called odd.
        fpr_curve: of the ROC curve, with shape (points,).
        tpr_curve: likewise.
        odd: how many there are.
        normal: how many there are.
    """

    auc: Rate
    average_precision: Rate
    tpr: Rate
    fpr_curve: Float[np.ndarray, " points"]
    tpr_curve: Float[np.ndarray, " points"]
    odd: int
    normal: int


def detection(
    scores: ArrayLike,
    labels: ArrayLike,
    *,
    false_alarms: float = FALSE_ALARMS,
    level: float = 0.9,
    resamples: int = 1000,
    seed: int = 0,
) -> Detection:
    """Judge scores by known labels: ROC curve, area, average precision and the share found at few false alarms.

    Intervals are percentiles over bootstrap samples of the odd and of the normal ones, so that their shares stay as
    they are; they hold the chance of the rows, not that of the model behind the scores. With fewer than about 50 odd
    ones quote nothing without them.

    Args:
        scores: with shape (n,); large is odd. Infinite ones are the largest.
        labels: true where odd, with shape (n,).
        false_alarms: of the normal ones, for `Detection.tpr`, which is not interpolated between thresholds.
        level: of the intervals.
        resamples: bootstrap samples.
        seed: same seed, same numbers.

    Raises:
        ValueError: if scores are NaN, or there are not two kinds.
        ImportError: if scikit-learn is not installed.

    Example:
        >>> found = detection([0.1, 0.2, 0.3, 0.4], [False, True, False, True])
        >>> found.auc.value, round(found.average_precision.value, 4), found.tpr.value
        (0.75, 0.8333, 0.5)
    """
    s, odd = _vector("scores", scores), np.asarray(labels)
    if odd.dtype.kind not in "biuf" or not np.isin(odd, (0, 1)).all():
        raise ValueError(f"labels must be true where odd, else false; got {odd.dtype}. Compare them: labels == 'V'.")
    odd = odd.astype(bool)
    if odd.shape != s.shape or not 0 < odd.sum() < len(odd):
        raise ValueError(
            f"labels must say of each of {len(s)} scores whether it is odd, and name some of both kinds; got "
            f"{int(odd.sum())} odd ones in shape {odd.shape}."
        )
    if not (0 <= false_alarms < 1 and 0 < level < 1):
        raise ValueError(f"false_alarms and level must lie between 0 and 1; got {false_alarms!r} and {level!r}.")
    # Ranks: infinite scores are in order, and scikit-learn takes them
    s = np.unique(s, return_inverse=True)[1]
    metrics = learn("metrics")
    # All thresholds: points between two others on a line may be the last with few enough false alarms
    fpr, tpr, _ = metrics.roc_curve(odd, s, drop_intermediate=False)
    values = (
        metrics.roc_auc_score(odd, s),
        metrics.average_precision_score(odd, s),
        tpr[fpr <= false_alarms].max(),
    )
    rng = np.random.default_rng(whole("seed", seed, least=0))
    drawn = np.stack([_rates(*_resampled(rng, s, odd), false_alarms) for _ in range(whole("resamples", resamples))])
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    auc, precision, found = (Rate(float(v), float(a), float(b)) for v, a, b in zip(values, low, high, strict=True))
    return Detection(auc, precision, found, fpr, tpr, int(odd.sum()), int(np.sum(~odd)))


class _Noise(NamedTuple):
    """How the spread of x at given theta is estimated from few draws.

    Of `draws` simulations at theta_i the variance V_it of entry t is known to sqrt(2 / draws), and that noise would
    drown `tails`. So V_it is drawn towards c_i profile_t, c_i = mean_t V_it / profile_t, as far as V_it / (c_i
    profile_t) varies no more than by chance (the moment estimate of Smyth's, 2004, prior degrees of freedom).
    """

    x_shape: tuple[int, ...]
    profile: Float[np.ndarray, " entries"]
    degrees: float  # of V_it
    prior: float  # degrees of freedom that c_i profile_t counts for

    @staticmethod
    def learn(x: np.ndarray, variance: Float[np.ndarray, "m entries"], draws: int) -> "_Noise":
        spread = x.reshape(len(x), -1).std(0)
        profile = variance.mean(0) + (FLOOR * np.where(spread > 0, spread, 1.0)) ** 2
        ratio = variance / profile
        ratio /= np.maximum(ratio.mean(1, keepdims=True), FLOOR)
        excess = np.var(ratio) - 2 / (draws - 1)
        return _Noise(x.shape[1:], profile, draws - 1.0, 2 / max(float(excess), 1e-4))

    def standardise(self, rest: np.ndarray, variance: np.ndarray) -> Float[np.ndarray, "n entries"]:
        level = np.maximum(np.mean(variance / self.profile, axis=1, keepdims=True), FLOOR)
        shrunk = (self.degrees * variance + self.prior * level * self.profile) / (self.degrees + self.prior)
        return rest / np.sqrt(shrunk)


def _residuals(
    key: PRNGKeyArray, simulate: Callable, encode: Callable, x: np.ndarray, draws: int
) -> tuple[Float[np.ndarray, "n entries"], Float[np.ndarray, "n entries"]]:
    """Compute x - mean x', and the variance of x', over simulations x' at encode(x)."""
    theta = np.asarray(encode(x), np.float64)
    if theta.ndim != 2 or len(theta) != len(x):
        raise ValueError(f"encode must return one row of parameters for each of {len(x)} rows of x; got {theta.shape}.")
    # Moments about the first draw, which lies within the spread: x far from 0 would lose digits
    first, total, square = 0.0, 0.0, 0.0
    for i, each in enumerate(jax.random.split(key, draws)):
        drawn = np.asarray(simulate(each, theta), np.float64)
        first = drawn if i == 0 else first
        total, square = total + (drawn - first), square + (drawn - first) ** 2
    variance = np.maximum(square - total**2 / draws, 0) / (draws - 1)
    return (x - (first + total / draws)).reshape(len(x), -1), variance.reshape(len(x), -1)


def _statistics(w: Float[np.ndarray, "n entries"]) -> Float[np.ndarray, "n 2"]:
    square = np.maximum(np.mean(w**2, axis=1), np.finfo(np.float64).tiny)
    return np.stack([np.log(square), np.log(np.mean((w**2 / square[:, None]) ** 2, axis=1))], axis=1)


def _resampled(rng: np.random.Generator, s: np.ndarray, odd: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Count, per distinct score from the largest, odd and normal ones of a bootstrap sample."""
    size = s.max() + 1
    counts = [np.bincount(rng.choice(s[kind], size=kind.sum()), minlength=size)[::-1] for kind in (odd, ~odd)]
    return counts[0], counts[1]


def _rates(odd: np.ndarray, normal: np.ndarray, false_alarms: float) -> tuple[float, float, float]:
    """Compute area, average precision and the share found, from counts per distinct score."""
    found, alarms = np.cumsum(odd), np.cumsum(normal)
    area = np.sum(odd * (normal.sum() - alarms + normal / 2)) / (odd.sum() * normal.sum())
    precision = found / np.maximum(found + alarms, 1)
    allowed = found[alarms / normal.sum() <= false_alarms]
    return area, np.sum(odd * precision) / odd.sum(), (allowed.max() if len(allowed) else 0) / odd.sum()


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


def _vector(name: str, values: ArrayLike) -> Float[np.ndarray, " n"]:
    a = np.asarray(values, np.float64)
    if a.ndim != 1 or not len(a) or np.isnan(a).any():
        raise ValueError(f"{name} must be numbers with shape (n,), none of them NaN; got shape {a.shape}.")
    return a
