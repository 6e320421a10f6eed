"""The estimating equation tbar = m(u), with t frozen: its slope, its residual, and what is identified.

    m(u) = E[t(x) | u],    A = dm / du,    G = A^T V^-1 A,    u <- u + s A^+ (tbar - m(u))

with V the covariance of tbar, the mean of t over the observations, and s <= 1 the stride of a damped Newton iteration.
m and A come from simulations; all linear algebra is in float64.
"""

from functools import partial
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import special, stats

from avo.adversarial.proposals import START_SD
from avo.execution.blocks import Drawn, Draws
from avo.observations import Observed
from avo.refine.estimate import UNIDENTIFIED
from avo.refine.features import quadratic
from avo.refine.linear import LinearDraws
from avo.refine.scores import NoAnswer, Normal
from avo.refine.statistic import apply
from avo.weights import covariance_of_weighted_mean

CHANCE = 1e-3  # level of the test that a direction moves t at all
SINGLE, ROOT = 1e-3, 3.2724  # level of the test of one direction after another; Tracy and Widom's upper point there
SELDOM = 0.1  # share of calls that succeed at a place, below which no step ends there
STEEP = 0.25  # of the largest share of calls that succeed, below which the least one says that u decides it
LEAN, NEWTON = 0.1, 20  # penalty of the slope of the log odds that a call succeeds; Newton steps of that fit
PER_SLOPE = 4  # pairs for each number of a slope that depends on the condition, at least
DEPENDENT = 1e-6  # share of variance below which columns of conditions say what others do
OTHERWISE = 0.05  # level of the test that pairs of which one failed say something else than those that succeed
NEVER = 1e-6  # level of the test that a residual is chance


# --- the slope, and what it identifies -------------------------------------------------------------------------------


class Noise(NamedTuple):
    """Sampling error of a slope, dA = sum_n e_n w_n^T, whose terms are independent.

    Args:
        residuals: e_n, what the regression leaves of t.
        weights: w_n, with which each row enters the slope.
    """

    residuals: Float[np.ndarray, "n k"]
    weights: Float[np.ndarray, "n d"]

    def bias(self, W: Float[np.ndarray, "k k"]) -> Float[np.ndarray, "d d"]:
        """Compute E[dA^T W dA] = sum_n (e_n^T W e_n) w_n w_n^T."""
        squares = np.sum(self.residuals @ W * self.residuals, axis=1)
        return self.weights.T @ (squares[:, None] * self.weights)


def slope(
    du: Float[np.ndarray, "n d"], plus: Float[np.ndarray, "n k"], minus: Float[np.ndarray, "n k"]
) -> tuple[Float[np.ndarray, "k d"], Noise]:
    """Regress t on u, from pairs at centre +- du that share their random numbers: (t+ - t-) / 2 = A du + error.

    Shared random numbers cancel, which makes A precise; curvature cancels too. Errors may be unequal; the
    squared residuals of d slopes fitted to n pairs are too small by the factor (n - d) / n on average, which is made up
    for.

    Returns:
        A, and its noise.

    Example:
        >>> du = np.random.default_rng(0).normal(size=(500, 2))
        >>> t = lambda du: du @ np.array([[2.0], [-1.0]]) + 3.0 * du[:, :1] ** 2 + 0.5
        >>> slope(du, t(du), t(-du))[0].round(6).tolist()
        [[2.0, -1.0]]
    """
    n, d = du.shape
    odd, inverse = (plus - minus) / 2, np.linalg.inv(du.T @ du)
    A = (inverse @ du.T @ odd).T
    residuals = (odd - du @ A.T) * np.sqrt(n / max(n - d, 1))
    return A, Noise(residuals, du @ inverse)


def slope_by_condition(
    du: Float[np.ndarray, "n d"], plus: Float[np.ndarray, "n k"], minus: Float[np.ndarray, "n k"],
    f: Float[np.ndarray, "n p"] | None,
) -> tuple[Float[np.ndarray, "k d"], Noise]:  # fmt: skip
    """Find the slope at the mean of the observed conditions, where it depends on the condition.

        (t+ - t-) / 2 = A du + sum_p f_p B_p du + error,    mean of f over observations = 0

    Pairs have the observed conditions in turn, few of them not all: left out, B would be noise of A.

    Args:
        du: as in `slope`.
        plus: t at centre + du.
        minus: t at centre - du.
        f: of each pair, what is known of its condition (`Contrasts`); None: nothing. With fewer than `PER_SLOPE` pairs
            for each number of A and B it is left out.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> du, f = rng.normal(size=(50, 1)), rng.normal(size=(50, 1)) + 0.2
        >>> A, _ = slope_by_condition(du, (2.0 + 3.0 * f) * du, -(2.0 + 3.0 * f) * du, f)
        >>> A.round(6).tolist()
        [[2.0]]
    """
    d = du.shape[1]
    if f is None or PER_SLOPE * d * (1 + f.shape[1]) > len(du):
        return slope(du, plus, minus)
    columns = [du, *(f[:, [p]] * du for p in range(f.shape[1]))]
    A, noise = slope(np.concatenate(columns, axis=1), plus, minus)
    return A[:, :d], Noise(noise.residuals, noise.weights[:, :d])


def slope_given_success(
    du: Float[np.ndarray, "n d"], plus: Float[np.ndarray, "n k"], minus: Float[np.ndarray, "n k"], s: np.ndarray
) -> tuple[Float[np.ndarray, "k d"], Noise]:
    """Find the slope of m(u) = E[t | success, u] from pairs of which some rows failed.

        m = E[t s] / E[s],    A = d/du E[(t - m) s] / E[s],    s = 1 where a call succeeds, else 0; m as at the centre

    Pairs that both succeed tell how t moves while the same rows succeed, those of which one fails that others do: where
    calls fail by their x, the first alone would be half of the story. Where all fail by chance, it is all of it.

    Args:
        du: as in `slope`.
        plus: t at centre + du, anything where it failed.
        minus: t at centre - du.
        s: which rows succeeded, (n, 2).

    Example:
        >>> rng = np.random.default_rng(0)
        >>> du, e = rng.normal(size=(20_000, 1)) / 10, rng.normal(size=(20_000, 1))
        >>> x, y = du + e, -du + e  # given x < 0 the mean of x moves by 1 - 2 / pi of what the centre does
        >>> A, _ = slope_given_success(du, x, y, np.concatenate([x, y], axis=1) < 0)
        >>> bool(abs(A[0, 0] - (1 - 2 / np.pi)) < 0.05)
        True
    """
    both, one = s.all(1), s[:, 0] != s[:, 1]
    A, noise = slope(du[both], plus[both], minus[both])
    m = (s[:, 0] @ plus + s[:, 1] @ minus) / s.sum()
    odd = np.where(s[one, :1], plus[one] - m, m - minus[one]) / 2
    # How many succeed at +du and at -du does not depend on |du| to first order: pairs of one count half, whatever |du|
    squares = du[both].T @ du[both], du[one].T @ du[one]
    inverse = np.linalg.inv(squares[0] + squares[1] / 2)
    weights = du @ inverse
    whole = A @ squares[0] @ inverse + odd.T @ weights[one]
    # Pairs of one are noisy, since they share nothing: they count where they say something else than the others
    z = (whole - A) ** 2 / np.maximum((odd.T**2) @ weights[one] ** 2, 1e-300)
    if z.sum() < stats.chi2.isf(OTHERWISE, z.size) or not one.any():
        return A, noise
    residuals = np.concatenate([noise.residuals, odd])
    return whole, Noise(residuals, np.concatenate([weights[both], weights[one]]))


def success(zeta: Float[np.ndarray, "n d"], ok: np.ndarray) -> Float[np.ndarray, " n"]:
    """Estimate the share of calls that succeed at each place: log odds a + b zeta, by logistic regression.

    Example:
        >>> zeta = np.random.default_rng(0).normal(size=(2000, 2))
        >>> p = success(zeta, zeta[:, 0] < 0.5)
        >>> bool(p[zeta[:, 0] < 0.3].min() > 0.8), bool(p[zeta[:, 0] > 0.7].max() < 0.2)
        (True, True)
    """
    f = np.column_stack([np.ones(len(zeta)), zeta])
    b, ridge = np.zeros(f.shape[1]), np.diag([0.0] + [LEAN] * zeta.shape[1])
    for _ in range(NEWTON):  # maximum of the penalised likelihood, which is concave
        p = special.expit(f @ b)
        H = (f * (p * (1 - p))[:, None]).T @ f + ridge + 1e-9 * np.eye(len(b))
        step = np.linalg.solve(H, f.T @ (ok - p) - ridge @ b)
        b = b + step * min(1.0, 2 / max(float(np.abs(step).max()), 1e-30))
    return special.expit(f @ b)


def slope_of_rows(du: Float[np.ndarray, "n d"], t: Float[np.ndarray, "n k"]) -> tuple[np.ndarray, Noise]:
    """Regress t on u from rows that are no pairs: t = a + A du + error.

    Example:
        >>> du = np.random.default_rng(0).normal(size=(500, 2)) + 0.3
        >>> slope_of_rows(du, du @ np.array([[2.0], [-1.0]]) + 0.5)[0].round(6).tolist()
        [[2.0, -1.0]]
    """
    n, d = du.shape
    rest = du - du.mean(0)
    weights = rest @ np.linalg.inv(rest.T @ rest)
    A = t.T @ weights
    residuals = (t - t.mean(0) - rest @ A.T) * np.sqrt(n / max(n - d - 1, 1))
    return A, Noise(residuals, weights)


class Information(NamedTuple):
    """What the data say about each direction of u: G = A^T V^-1 A, V the covariance of tbar, in eigenvectors.

    The eigenvalues are less what the simulations' noise adds to them; `inverse` is A^+ over the directions that are
    identified, and `rough` the standard deviation of the slope's noise along each direction, in units of the slope.
    """

    values: Float[np.ndarray, " d"]
    vectors: Float[np.ndarray, "d d"]
    identified: np.ndarray
    inverse: Float[np.ndarray, "d k"]
    rough: Float[np.ndarray, " d"]

    @property
    def sd(self) -> Float[np.ndarray, " d"]:
        """Standard deviation of u along each eigenvector, infinite where there is no information."""
        with np.errstate(divide="ignore"):
            return 1 / np.sqrt(np.maximum(self.values, 0.0))

    def start_covariance(self, units: Float[np.ndarray, "p d"]) -> Float[np.ndarray, "p p"]:
        """Compute the covariance of what is not identified: that of the usual start, 1.5 along each such direction.

        Args:
            units: leads from the coordinates of the slope to u, in which the usual start has that width.
        """
        free = units @ self.vectors[:, ~self.identified]
        free = free / np.linalg.norm(free, axis=0)
        return START_SD**2 * free @ free.T


def information(
    A: Float[np.ndarray, "k d"],
    V: Float[np.ndarray, "k k"],
    noise: Any,
    widest: float = UNIDENTIFIED,
    singly: bool = False,
) -> Information:
    """Find what is identified, and the truncated inverse A^+ = K (K^T G K)^-1 K^T A^T V^-1, K what is identified.

    Args:
        A: the slope.
        V: covariance of tbar.
        noise: that of the slope.
        widest: standard deviation from which a direction counts as not identified.
        singly: whether directions are tested one after another, the clearest first, each at `SINGLE`, rather than each
            against what chance shows in all together, at `CHANCE`.

    Example:
        >>> noise = Noise(residuals=np.full((1, 1), 1e-3), weights=np.ones((1, 2)))
        >>> found = information(np.array([[2.0, 0.0]]), np.array([[0.01]]), noise)
        >>> found.identified.tolist(), found.sd.round(3).tolist(), (found.inverse.round(6) + 0.0).tolist()
        ([False, True], [inf, 0.05], [[0.5], [0.0]])
    """
    W = np.linalg.pinv(V, rcond=1e-10, hermitian=True)
    G, bias = A.T @ W @ A, noise.bias(W)
    values, vectors = np.linalg.eigh(G - bias)
    raw = np.einsum("dv,de,ev->v", vectors, G, vectors)
    chance = np.einsum("dv,de,ev->v", vectors, bias, vectors)
    k = int(np.linalg.matrix_rank(V, tol=1e-10 * np.abs(V).max(), hermitian=True))
    # Where nothing moves t, raw / chance is about chi-square(k) / k in each direction; as these are chosen by what they
    # show, it is held against the sum over all of them, or against the largest of those that are left
    limit = _largest_in_turn(raw / np.maximum(chance, 1e-300), k) if singly else stats.chi2.isf(CHANCE, k * len(G))
    identified = (raw > chance * limit / k) & (values > 1 / widest**2)
    kept = vectors[:, identified]
    inverse = kept @ np.linalg.solve(kept.T @ G @ kept, kept.T @ A.T @ W)
    return Information(values, vectors, identified, inverse, np.sqrt(chance / np.maximum(raw, 1e-300)))


def _largest_in_turn(ratio: Float[np.ndarray, " d"], k: int) -> Float[np.ndarray, " d"]:
    """Give each direction its limit: that of the largest of all, then of the largest of what is left, up to the first
    that does not pass.

    Example:
        >>> _largest_in_turn(np.array([1.0, 90.0, 3.0]), 3).round(1).tolist()
        [15.4, 21.2, 15.4]
    """
    limits, passed = np.empty(len(ratio)), True
    for left, i in enumerate(np.argsort(-ratio)):
        if passed:
            limit = largest_root(max(k - left, 1), len(ratio) - left)
        limits[i], passed = limit, passed and ratio[i] * k > limit
    return limits


def largest_root(k: int, d: int) -> float:
    """Approximate what the largest eigenvalue of Z^T Z, Z (k, d) standard normal, exceeds with probability `SINGLE`.

    By the law of Tracy and Widom, with the constants of Ma, "Accuracy of the Tracy-Widom limits for the extreme
    eigenvalues in white Wishart matrices", Bernoulli 18 (2012), 322; of a vector it is a chi-square.

    Example:
        >>> shares, rng = [], np.random.default_rng(0)
        >>> for kd in ((3, 1), (3, 3), (9, 5)):
        ...     largest = np.linalg.norm(rng.normal(size=(40_000, *kd)), 2, (1, 2)) ** 2
        ...     shares.append(bool(0.0005 < np.mean(largest > largest_root(*kd)) < 0.003))
        >>> shares
        [True, True, True]
    """
    if min(k, d) == 1:
        return float(stats.chi2.isf(SINGLE, max(k, d)))
    a, b = np.sqrt(k - 0.5), np.sqrt(d - 0.5)
    return float((a + b) ** 2 + ROOT * (a + b) * (1 / a + 1 / b) ** (1 / 3))


# --- the residual ----------------------------------------------------------------------------------------------------


def covariance_of_mean(
    t: Float[np.ndarray, "m k"], clusters: np.ndarray | None = None, shares: Float[np.ndarray, " m"] | None = None
) -> Float[np.ndarray, "k k"]:
    """Compute the covariance of the mean of t over observations, independent ones or independent clusters of them.

        sum_g s_g s_g^T / m^2 * g / (g - 1),    s_g = sum over the cluster of (t_i - mean)

    or, where observations have weights, that of the weighted mean (`avo.weights.covariance_of_weighted_mean`).

    Example:
        >>> t = np.array([[1.0], [2.0], [6.0]])
        >>> round(float(covariance_of_mean(t)[0, 0] - np.var(t, ddof=1) / 3), 12)
        0.0
    """
    if shares is not None:
        return covariance_of_weighted_mean(t, shares, clusters)
    m, rest = len(t), t - t.mean(0)
    if clusters is not None:
        sums = np.zeros((int(clusters.max()) + 1, t.shape[1]))
        np.add.at(sums, clusters, rest)
        rest = sums
    return rest.T @ rest / m**2 * len(rest) / (len(rest) - 1)


class Residual(NamedTuple):
    """r = tbar - m, and covariances: V of tbar were observations independent, V_obs as clustered, V_sim of m."""

    r: Float[np.ndarray, " k"]
    V: Float[np.ndarray, "k k"]
    V_obs: Float[np.ndarray, "k k"]
    V_sim: Float[np.ndarray, "k k"]

    def unexplained(self, found: Information, A: np.ndarray) -> bool:
        """Tell whether more is left of r than chance allows when u makes its best step."""
        left = self.r - A @ (found.inverse @ self.r)
        # Fewer clusters than entries of t leave V_obs without width in some directions; V has one in all
        V_obs = self.V if self.V_obs is self.V else self.V + self.V_obs
        W = np.linalg.pinv(V_obs + self.V_sim, rcond=1e-10, hermitian=True)
        return bool(left @ W @ left > stats.chi2.isf(NEVER, len(left)))

    def step(self, found: Information) -> tuple[np.ndarray, np.ndarray]:
        """Compute A^+ r and its covariance, A^+ (V_obs + V_sim) A^+T."""
        return found.inverse @ self.r, found.inverse @ (self.V_obs + self.V_sim) @ found.inverse.T

    def length(self, found: Information, move: np.ndarray, before: Any = 0.0) -> float:
        """Measure a move in standard errors per direction.

        Args:
            found: what is identified.
            move: of u, or of the parameters of q.
            before: covariance of m in the simulations that led here, whose noise the move makes up for.
        """
        noise = self.V_obs + self.V_sim + before
        W = np.linalg.pinv(found.inverse @ noise @ found.inverse.T, rcond=1e-10, hermitian=True)
        return float(np.sqrt(move @ W @ move / max(found.identified.sum(), 1)))


# --- the iteration ---------------------------------------------------------------------------------------------------


class Damping:
    """The stride of a Newton iteration: halved where a step turns back on the last one, else doubled up to one.

        s <- s / 2  if step . last < 0,    min(2 s, 1)  else

    Back and forth means too far: near a bound, or where t bends, a full step may jump over the answer again and again.

    Example:
        >>> damping = Damping()
        >>> [damping.stride(np.array([step])) for step in (3.0, -2.0, 2.0, 1.0, 0.5)]
        [1.0, 0.5, 0.25, 0.5, 1.0]
    """

    def __init__(self) -> None:
        self.last, self.length = np.zeros(()), 1.0

    def stride(self, step: Float[np.ndarray, " d"]) -> float:
        """Choose how much of a step to take."""
        turned = np.sum(step * self.last) < 0
        self.length = self.length / 2 if turned else min(2 * self.length, 1.0)
        self.last = step
        return self.length


# --- the equation ----------------------------------------------------------------------------------------------------


class Equation:
    """tbar = m(u) with t frozen: what observations and simulations say about it.

    Args:
        draws: where simulations come from.
        observed: the observations.
        statistic: t, a module of one x and its condition.

    It keeps the simulations of the last slope, with du, and of the last centre: `pairs` and `there`.
    """

    def __init__(self, draws: Draws | LinearDraws, observed: Observed, statistic: Any) -> None:
        self.draws, self.observed, self.statistic = draws, observed, statistic
        self.t_obs = apply(statistic, observed.x, observed.inputs)
        self.every = None if observed.pages is None else observed.pages.moments(partial(apply, statistic))
        self.contrasts = Contrasts.of(observed)
        self.pairs: tuple[np.ndarray, Drawn] | None = None
        self.there: Drawn | None = None

    def values(self, drawn: Drawn, ok: np.ndarray, least: int = 2) -> tuple[np.ndarray, np.ndarray]:
        """Compute t of simulations and of observations, less what their known conditions explain of it.

        The simulations' conditions are the observed ones, so that what these do to t cancels in the residual; left in,
        it would only be taken for noise.

        Raises:
            NoAnswer: if fewer than `least` simulations are finite.
        """
        if ok.sum() < least:
            raise NoAnswer("too few simulations near the adversarial fit were finite")
        own = self.observed.inputs
        if drawn.inputs is None or own is None:
            return apply(self.statistic, drawn.x[ok]), self.t_obs
        c = drawn.inputs[ok]
        t = apply(self.statistic, drawn.x[ok], c)
        f, f_obs = conditions(c, own), conditions(own, own)
        coefficients = np.linalg.lstsq(f - f.mean(0), t - t.mean(0), rcond=None)[0]
        return t - f @ coefficients, self.t_obs - f_obs @ coefficients

    def known(self, drawn: Drawn) -> Float[np.ndarray, "n p"] | None:
        """Compute what is known of the conditions of simulations (`Contrasts`); None where nothing is."""
        return None if self.contrasts is None or drawn.inputs is None else self.contrasts(drawn.inputs)

    def slope(self, q: Normal, zeta: Float[np.ndarray, "n d"]) -> tuple[np.ndarray, Noise, Drawn]:
        """Simulate mirrored pairs around q's centre, half as wide as q: the slope of m, its noise, the simulations."""
        du = zeta @ q.factor.T / 2
        drawn = self.draws(np.concatenate([q.loc + du, q.loc - du]), mirrored=True)
        du = (drawn.u[: len(du)] - drawn.u[len(du) :]) / 2  # at a bound, what is left of them inside
        self.pairs = du, drawn
        n, least = len(du), 2 * (du.shape[1] + 1)
        t, _ = self.values(drawn, drawn.ok, least)
        if drawn.ok.all():
            f = self.known(drawn)
            return *slope_by_condition(du, t[:n], t[n:], None if f is None else f[:n]), drawn
        values = np.zeros((2 * n, t.shape[1]))
        values[drawn.ok] = t
        s = drawn.ok.reshape(2, n).T
        p = success(np.concatenate([zeta, -zeta]), drawn.ok)
        if np.quantile(p, 0.05) > STEEP * p.max() and s.all(1).sum() >= least:
            return *slope_given_success(du, values[:n], values[n:], s), drawn
        # Beside a bound beyond which calls fail, pairs succeed only where they are close
        return *slope_of_rows(np.concatenate([du, -du])[drawn.ok], t), drawn

    def centre(self, loc: Float[np.ndarray, " d"], rows: int) -> Residual:
        """Simulate at loc: the residual there."""
        self.there = drawn = self.draws(np.tile(loc, (rows, 1)))
        t, t_obs = self.values(drawn, drawn.ok)
        return self.residual(t_obs, t)

    def residual(self, t_obs: Float[np.ndarray, "m k"], t: Float[np.ndarray, "n k"]) -> Residual:
        """Compare the means of observations and simulations."""
        if self.every is not None:  # more observations than t_obs has
            return Residual(self.every.mean - t.mean(0), self.every.V, self.every.V_obs, covariance_of_mean(t))
        clusters, shares = self.observed.clusters, self.observed.shares
        V = covariance_of_mean(t_obs, None, shares)
        V_obs = V if clusters is None else covariance_of_mean(t_obs, clusters, shares)
        return Residual(self.observed.mean(t_obs) - t.mean(0), V, V_obs, covariance_of_mean(t))


def conditions(c: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Make columns of known conditions, in units of the observed ones: values and products."""
    z = ((c - own.mean(0)) / np.maximum(own.std(0), 1e-12)).reshape(len(c), -1)
    return np.concatenate([z, quadratic(z) if z.shape[1] <= 10 else z**2], 1)


class Contrasts(NamedTuple):
    """What a condition has beyond the mean of the observed ones: columns of mean zero, variance one, no two alike.

        f(c) = (h(c) - mean of h over observations) K,    K^T Cov_obs(h) K = 1,    h as `conditions` gives them

    Example:
        >>> own = np.array([[0.0, 5.0], [1.0, 5.0], [1.0, 5.0], [0.0, 5.0]])  # two kinds, and a constant
        >>> f = Contrasts.of(Observed(np.zeros((4, 1)), own))
        >>> np.abs(f(own)).round(6).tolist()
        [[1.0], [1.0], [1.0], [1.0]]
    """

    own: np.ndarray
    mean: Float[np.ndarray, " q"]
    K: Float[np.ndarray, "q p"]

    @staticmethod
    def of(observed: Observed) -> "Contrasts | None":
        """Take them from the observations; None where nothing is known of these, or all have one condition."""
        own = observed.inputs
        if own is None:
            return None
        h = conditions(own, own)
        mean = observed.mean(h)
        values, vectors = np.linalg.eigh((h - mean).T @ (h - mean) / len(h))
        kept = values > DEPENDENT * max(values[-1], DEPENDENT)
        return Contrasts(own, mean, vectors[:, kept] / np.sqrt(values[kept])) if kept.any() else None

    def __call__(self, c: np.ndarray) -> Float[np.ndarray, "n p"]:
        return (conditions(c, self.own) - self.mean) @ self.K
