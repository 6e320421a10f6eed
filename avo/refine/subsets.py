"""The equation of avo/refine/equation.py, solved at the estimate by sets of parts, for avo/refine/sensitivity.py."""

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import special, stats

from avo.adversarial.proposals import START_SD
from avo.refine.equation import Information, Noise, information
from avo.refine.estimate import LOOSE, UNDETERMINED
from avo.refine.halves import ball
from avo.refine.kept import Kept
from avo.refine.linear import LinearSpace
from avo.refine.local import EACH, WIDER, Local, coefficients, fit_local
from avo.refine.point import told
from avo.refine.scores import Normal
from avo.weights import covariance_of_weighted_mean, effective_of

if TYPE_CHECKING:
    from avo.result import Result

LENT = 0.15  # of a parameter in directions that are not identified, beyond which it is no matter of noise
CLEAR = LOOSE / START_SD  # weight in these directions that noise may hide, beyond which a parameter may depend on them
SURE = 0.05  # level of what simulations exclude
STANDS_APART = 0.01  # level of the test that a window is too wide
STANDS_OUT = 3.0  # standard errors from which a change is marked


class Solved(NamedTuple):
    """The equation by some parts: the error of theta, the step, and its terms over observations and simulations.

    Where the error is infinite, `least` is what it is at least; simulations tell no more.
    """

    stderr: Float[np.ndarray, " d"]
    least: Float[np.ndarray, " d"]
    step: Float[np.ndarray, " d"]
    terms_obs: Float[np.ndarray, "m d"]
    terms_sim: Float[np.ndarray, "n d"]


class Regressed(NamedTuple):
    """m of all sets of parts at the estimate, with shape (sets, d), by one local regression.

    Args:
        local: the regression, whose columns are t of the sets, behind one another.
        units: leads from steps of w to those of the regression.
        V: covariance of one t, of each set, with shape (sets, d, d).
        m: number of observations.
        shares: weights of those that are kept, or None.
    """

    local: Local
    units: Float[np.ndarray, "d d"]
    V: Float[np.ndarray, "sets d d"]
    m: float
    shares: Float[np.ndarray, " m"] | None

    @staticmethod
    def of(
        zeta: Float[np.ndarray, "n d"],
        t: Float[np.ndarray, "n sets d"],
        tilts: np.ndarray | None,
        q: Normal,
        kept: Kept,
        m: float,
    ) -> "Regressed":
        """Regress in the widest window in which the slope of m of all parts is that of a quadratic."""
        n, sets, d = t.shape
        radius = _straight(zeta, t[:, 0])
        some = np.linalg.norm(zeta, axis=1) < radius
        more = None if tilts is None else tilts[some]
        local = fit_local(zeta[some] / radius, t[some].reshape(some.sum(), -1), powers=False, more=more)
        there = t[: kept.there] - t[: kept.there].mean(0)
        V = np.einsum("nsi,nsj->sij", there, there) / max(len(there) - 1, 1)
        return Regressed(local, np.linalg.inv(radius * q.factor), V, m, kept.shares)

    def solved(self, result: "Result", i: int, t_obs: Float[np.ndarray, "m d"]) -> Solved:
        """Solve the equation by the set i of parts."""
        estimate, line = result.estimate, LinearSpace(result.space)
        assert estimate is not None
        d = t_obs.shape[1]
        some, place = slice(i * d, (i + 1) * d), line.of(np.asarray(estimate.loc, float))
        if not np.any(self.V[i]):  # nothing is seen of x
            never, none = np.full(d, np.inf), np.zeros((len(self.local.residuals), d))
            return Solved(never, never, np.zeros(d), np.zeros(t_obs.shape), none)
        slope, V = self.local.slope[some] @ self.units, self.V[i] / self.m
        noise = Noise(self.local.residuals[:, some], self.local.slope_weights @ self.units)
        found = information(slope, V, noise, UNDETERMINED, singly=True)
        known = found.vectors[:, found.identified]  # A^+ V A^+T less what the slope's noise adds to the information
        covariance = known / found.values[found.identified] @ known.T
        if self.shares is not None:
            covariance = self._by_weights(found, V, t_obs)
        chance = _turned(slope, V, noise, found)
        vectors = _cleared(chance, found, CLEAR if i else np.inf)  # all parts leave open what the fit does
        seen = found._replace(vectors=np.where(found.identified, found.vectors, vectors))
        own = replace(estimate, **told(line, place, covariance, seen), alone=None, between=None)
        own = replace(own, loc=estimate.loc)
        known = np.diagonal(covariance)
        # An error that is mostly the width of the usual start is none
        lost = START_SD**2 * np.sum(seen.vectors[:, ~found.identified] ** 2, axis=1) > known
        stderr = np.where(lost & (i > 0), np.inf, own.stderr(result.space))
        least = np.sqrt(known + _excluded(slope, V, noise, found, chance))
        least = np.where(least > UNDETERMINED, np.inf, least * np.abs(own.slope(result.space)))
        step = -found.inverse @ self.local.value[some]
        # Errors of m, and of the slope along the step: -A^+ (dm + dA step)
        weights = self.local.value_weights + self.local.slope_weights @ self.units @ step
        terms = -weights[:, None] * self.local.residuals[:, some] @ found.inverse.T
        terms_obs = t_obs @ found.inverse.T
        terms_obs = terms_obs / len(t_obs) if self.shares is None else self.shares[:, None] * terms_obs
        return Solved(stderr, np.where(np.isfinite(stderr), stderr, least), step, terms_obs, terms)

    def _by_weights(
        self, found: Information, V: Float[np.ndarray, "k k"], t_obs: Float[np.ndarray, "m k"]
    ) -> Float[np.ndarray, "d d"]:
        """Compute the same by the sandwich of weighted observations, in the eigenvectors as much wider as it is there.

        Weights may go with x, and V_S is then no covariance over rows divided by their number.
        """
        assert self.shares is not None
        known, solve = found.vectors[:, found.identified], found.inverse
        weighted = covariance_of_weighted_mean(t_obs, self.shares) * (effective_of(self.shares) / self.m)
        own, equal = (known.T @ solve @ a @ solve.T @ known for a in (weighted, V))
        size = 1 / np.sqrt(found.values[found.identified] * np.diagonal(equal))
        return known @ (own * np.outer(size, size)) @ known.T


def _turned(
    A: Float[np.ndarray, "k d"], V: Float[np.ndarray, "k k"], noise: Noise, found: Information
) -> Float[np.ndarray, " d"]:
    """Compute the mean square of what the slope's noise lends of each parameter to directions that are not identified.

    Noise dA turns a direction v that is free by e = -(A_i^T W dA v) / (A_i^T W A_i) into parameter i, and dA is a sum
    over rows of independent terms e_n w_n^T.
    """
    W, free = np.linalg.pinv(V, rcond=1e-10, hermitian=True), found.vectors[:, ~found.identified]
    own = np.maximum(np.einsum("ki,kl,li->i", A, W, A), 1e-300)
    turned = (noise.residuals @ W @ A / own) ** 2
    return turned.T @ np.sum((noise.weights @ free) ** 2, axis=1)


def _cleared(chance: Float[np.ndarray, " d"], found: Information, most: float) -> Float[np.ndarray, "d d"]:
    """Leave out of the directions that are not identified the parameters that only the slope's noise turns them into.

    Noise that may hide more than a weight of `most`, from which on a parameter depends on them, does not say so.
    """
    lent = np.sum(found.vectors[:, ~found.identified] ** 2, axis=1)
    hidden = STANDS_OUT**2 * chance
    apart = (lent < LENT) & (lent < hidden) & (hidden < most**2)
    return np.where(apart[:, None], 0.0, found.vectors)


def _excluded(
    A: Float[np.ndarray, "k d"], V: Float[np.ndarray, "k k"], noise: Noise, found: Information, chance: np.ndarray
) -> Float[np.ndarray, " d"]:
    """Compute the variance that directions which are not identified add to each parameter at least.

    The information about such a direction v, n c / k with n the noncentrality of a chi-square and c what noise adds to
    v^T G v, is below its upper limit at 95 %. The weight of a parameter in these directions is what noise does not
    explain: neither that of a parameter which is identified, nor of one which is not, where those that are turn to it.
    """
    W, known, free = np.linalg.pinv(V, rcond=1e-10, hermitian=True), *_parted(found)
    if not free.shape[1]:
        return np.zeros(len(chance))
    k = max(int(np.linalg.matrix_rank(V, tol=1e-10 * np.abs(V).max(), hermitian=True)), 1)
    G, bias = A.T @ W @ A, noise.bias(W)
    noise_of, raw = (np.maximum(np.einsum("dv,de,ev->v", free, a, free), 1e-300) for a in (bias, G))
    # Of directions that are sorted by what they show, the last show less than chance
    most = special.chndtrinc(np.maximum(raw / noise_of * k, k), k, SURE) * noise_of / k
    weakest = min((float(v @ G @ v) for v in known.T), default=np.inf)
    turned = np.linalg.norm(known, axis=1) + STANDS_OUT * np.sqrt(np.diagonal(bias) / k / weakest)
    weight = np.maximum(np.sum(free**2, axis=1) - STANDS_OUT**2 * chance, 1 - turned**2)
    return np.clip(weight, 0.0, 1.0) / most.max()


def _parted(found: Information) -> tuple[Float[np.ndarray, "d j"], Float[np.ndarray, "d k"]]:
    """Part the directions in those that are identified and those that are not."""
    return found.vectors[:, found.identified], found.vectors[:, ~found.identified]


def _straight(zeta: Float[np.ndarray, "n d"], t: Float[np.ndarray, "n k"]) -> float:
    """Find the radius of the widest window in which terms of third order do not change the slope beyond chance.

    Where rows are too few for these terms it holds all of them.
    """
    far, radius = np.linalg.norm(zeta, axis=1), ball(zeta)
    apart, least = np.sort(far[far > 0]), EACH * coefficients(zeta.shape[1])
    while np.searchsorted(apart, radius) >= least:
        some = far < radius
        try:
            narrow, wide = (fit_local(zeta[some] / radius, t[some], powers=powers) for powers in (False, True))
        except np.linalg.LinAlgError:
            return radius
        weights = wide.slope_weights - narrow.slope_weights
        errors = (wide.residuals[:, :, None] * weights[:, None, :]).reshape(len(weights), -1)
        way = (wide.slope - narrow.slope).ravel()
        size = way @ np.linalg.pinv(errors.T @ errors, rcond=1e-10, hermitian=True) @ way
        if size < stats.chi2.isf(STANDS_APART, len(way)):
            return radius
        radius /= WIDER**2
    return min(ball(zeta), radius * WIDER**2)
