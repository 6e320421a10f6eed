"""The estimating equation tbar = m(u), with t frozen: its slope, its residual, and what is identified.

    m(u) = E[t(x) | u],    A = dm / du,    G = A^T V^-1 A,    u <- u + A^+ (tbar - m(u))

with V the covariance of tbar, the mean of t over the observations.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import stats

from avo.execution.blocks import Drawn, Draws
from avo.observations import Observed
from avo.refine.estimate import PRIOR, UNIDENTIFIED
from avo.refine.features import quadratic
from avo.refine.statistic import LearnedStatistic, apply
from avo.space import Interval, LogInterval, Space

CHANCE = 1e-3  # level of the test that a direction moves t at all
NEVER = 1e-6  # level of the test that a residual is chance
EDGE = 6.0  # largest |u| of a parameter with two bounds; theta is within 1/400 of its range of the bound there


def covariance_of_mean(t: Float[np.ndarray, "m k"], clusters: np.ndarray | None = None) -> Float[np.ndarray, "k k"]:
    """Compute the covariance of the mean of t over observations, independent ones or independent clusters of them.

        sum_g s_g s_g^T / m^2 * g / (g - 1),    s_g = sum over the cluster of (t_i - mean)

    Example:
        >>> t = np.array([[1.0], [2.0], [6.0]])
        >>> round(float(covariance_of_mean(t)[0, 0] - np.var(t, ddof=1) / 3), 12)
        0.0
    """
    m, rest = len(t), t - t.mean(0)
    if clusters is not None:
        sums = np.zeros((int(clusters.max()) + 1, t.shape[1]))
        np.add.at(sums, clusters, rest)
        rest = sums
    return rest.T @ rest / m**2 * len(rest) / (len(rest) - 1)


class Noise(NamedTuple):
    """Sampling error of a slope, dA = sum_n rest_n h_n^T, the terms of which are independent."""

    rest: Float[np.ndarray, "n k"]
    h: Float[np.ndarray, "n d"]

    def bias(self, W: Float[np.ndarray, "k k"]) -> Float[np.ndarray, "d d"]:
        """Compute the mean of dA^T W dA."""
        return self.h.T @ (np.sum(self.rest @ W * self.rest, axis=1)[:, None] * self.h)


def slope(
    du: Float[np.ndarray, "n d"], plus: Float[np.ndarray, "n k"], minus: Float[np.ndarray, "n k"]
) -> tuple[Float[np.ndarray, "k d"], Noise]:
    """Regress t on u, from pairs at centre +- du that share their random numbers: (t+ - t-) / 2 = A du + error.

    Shared random numbers cancel, which makes A precise; curvature cancels too.

    Returns:
        A, and its noise, that of unequal errors.

    Example:
        >>> du = np.random.default_rng(0).normal(size=(500, 2))
        >>> t = lambda du: du @ np.array([[2.0], [-1.0]]) + 3.0 * du[:, :1] ** 2 + 0.5
        >>> slope(du, t(du), t(-du))[0].round(6).tolist()
        [[2.0, -1.0]]
    """
    n, d = du.shape
    odd, inverse = (plus - minus) / 2, np.linalg.inv(du.T @ du)
    A = (inverse @ du.T @ odd).T
    return A, Noise((odd - du @ A.T) * np.sqrt(n / max(n - d, 1)), du @ inverse)


class Information(NamedTuple):
    """What the data say about each direction of u: G = A^T V^-1 A, V the covariance of tbar, in eigenvectors.

    The eigenvalues are less what the simulations' noise adds to them; `inverse` is A^+ over the directions that are
    identified.
    """

    values: Float[np.ndarray, " d"]
    vectors: Float[np.ndarray, "d d"]
    identified: np.ndarray
    inverse: Float[np.ndarray, "d k"]

    @property
    def sd(self) -> Float[np.ndarray, " d"]:
        """Standard deviation of u along each eigenvector, infinite where there is no information."""
        with np.errstate(divide="ignore"):
            return 1 / np.sqrt(np.maximum(self.values, 0.0))

    def free(self) -> Float[np.ndarray, "d d"]:
        """Covariance of what is not identified."""
        loose = self.vectors[:, ~self.identified]
        return PRIOR**2 * loose @ loose.T


def information(
    A: Float[np.ndarray, "k d"], V: Float[np.ndarray, "k k"], noise: Any, limit: float = UNIDENTIFIED
) -> Information:
    """Find what is identified, and the truncated inverse A^+ = K (K^T G K)^-1 K^T A^T V^-1, K what is identified.

    Example:
        >>> noise = Noise(rest=np.full((1, 1), 1e-3), h=np.ones((1, 2)))
        >>> found = information(np.array([[2.0, 0.0]]), np.array([[0.01]]), noise)
        >>> found.identified.tolist(), found.sd.round(3).tolist(), (found.inverse.round(6) + 0.0).tolist()
        ([False, True], [inf, 0.05], [[0.5], [0.0]])
    """
    W = np.linalg.pinv(V, rcond=1e-10, hermitian=True)
    G, bias = A.T @ W @ A, noise.bias(W)
    values, vectors = np.linalg.eigh(G - bias)
    raw = np.einsum("dv,de,ev->v", vectors, G, vectors)
    chance = np.einsum("dv,de,ev->v", vectors, bias, vectors)
    k = np.linalg.matrix_rank(V, tol=1e-10 * np.abs(V).max(), hermitian=True)
    # Where nothing moves t, raw / chance is about chi-square(k) / k in each direction; as these are chosen by what they
    # show, it is held against the sum over all of them
    identified = (raw > chance * stats.chi2.isf(CHANCE, k * len(G)) / k) & (values > 1 / limit**2)
    kept = vectors[:, identified]
    return Information(values, vectors, identified, kept @ np.linalg.solve(kept.T @ G @ kept, kept.T @ A.T @ W))


class Residual(NamedTuple):
    """tbar - m, the covariance V of tbar were observations independent, that of it as clustered, and that of m."""

    r: Float[np.ndarray, " k"]
    V: Float[np.ndarray, "k k"]
    V_obs: Float[np.ndarray, "k k"]
    V_sim: Float[np.ndarray, "k k"]

    def unexplained(self, found: Information, A: np.ndarray) -> bool:
        """Tell whether more is left of r than chance allows when u makes its best step."""
        left = self.r - A @ (found.inverse @ self.r)
        # Fewer clusters than entries of t leave V_obs without width in some directions; V has one in all
        clustered = self.V if self.V_obs is self.V else self.V + self.V_obs
        W = np.linalg.pinv(clustered + self.V_sim, rcond=1e-10, hermitian=True)
        return bool(left @ W @ left > stats.chi2.isf(NEVER, len(left)))

    def step(self, found: Information) -> tuple[np.ndarray, np.ndarray]:
        """Compute A^+ r and its covariance."""
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


def _conditions(c: np.ndarray, own: np.ndarray) -> np.ndarray:
    z = ((c - own.mean(0)) / np.maximum(own.std(0), 1e-12)).reshape(len(c), -1)
    return np.concatenate([z, quadratic(z) if z.shape[1] <= 10 else z**2], 1)


class Equation:
    """tbar = m(u) with t frozen: what observations and simulations say about it.

    Args:
        draws: where simulations come from.
        observed: the observations.
        statistic: t.
        out: how many of its outputs enter.
    """

    def __init__(self, draws: Draws, observed: Observed, statistic: LearnedStatistic, out: int) -> None:
        self.draws, self.observed, self.statistic, self.out = draws, observed, statistic, out
        self.t_obs = self._t(observed.x, observed.inputs)

    def _t(self, x: np.ndarray, c: np.ndarray | None) -> np.ndarray:
        return apply(self.statistic, x, c)[:, : self.out]

    def values(self, drawn: Drawn, ok: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Compute t of simulations and of observations, less what their known conditions explain of it.

        The simulations' conditions are the observed ones, so that what these do to t cancels in the residual; left in,
        it would only be taken for noise.
        """
        own = self.observed.inputs
        if drawn.inputs is None or own is None:
            return self._t(drawn.x[ok], None), self.t_obs
        c = drawn.inputs[ok]
        t = self._t(drawn.x[ok], c)
        f, f_obs = _conditions(c, own), _conditions(own, own)
        coefficients = np.linalg.lstsq(f - f.mean(0), t - t.mean(0), rcond=None)[0]
        return t - f @ coefficients, self.t_obs - f_obs @ coefficients

    def slope(self, loc: np.ndarray, factor: np.ndarray, zeta: np.ndarray) -> tuple[np.ndarray, Noise, Drawn]:
        """Simulate mirrored pairs around loc, half as wide as q: the slope of m, its noise, and the simulations."""
        du = zeta @ factor.T / 2
        drawn = self.draws(np.concatenate([loc + du, loc - du]), mirrored=True)
        ok = drawn.ok[: len(du)] & drawn.ok[len(du) :]
        t, _ = self.values(drawn, np.concatenate([ok, ok]))
        return *slope(du[ok], t[: ok.sum()], t[ok.sum() :]), drawn

    def centre(self, loc: np.ndarray, rows: int) -> Residual:
        """Simulate at loc: the residual there."""
        drawn = self.draws(np.tile(loc, (rows, 1)))
        t, t_obs = self.values(drawn, drawn.ok)
        return self.residual(t_obs, t)

    def residual(self, t_obs: np.ndarray, t: np.ndarray) -> Residual:
        """Compare the means of observations and simulations."""
        V, clusters = covariance_of_mean(t_obs), self.observed.clusters
        V_obs = V if clusters is None else covariance_of_mean(t_obs, clusters)
        return Residual(t_obs.mean(0) - t.mean(0), V, V_obs, covariance_of_mean(t))


def between_bounds(space: Space) -> np.ndarray:
    return np.array([isinstance(p, (Interval, LogInterval)) for p in space])


def inside(space: Space, loc: Float[np.ndarray, " d"]) -> Float[np.ndarray, " d"]:
    """Keep loc where theta still moves with u: beyond, a solution at a bound would be chased for ever."""
    return np.where(between_bounds(space), np.clip(loc, -EDGE, EDGE), loc)
