"""Linear statistics of features, learned from each half of some rows: t = f C^-1 B, judged by the other half."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy import linalg

from avo.refine.local import fit_local

PENALTIES = [(a, b) for a in (1e-3, 1e-2, 1e-1) for b in (1e-2, 1e-1, 1.0, 10.0)]  # of values, and of the rest


class Half(NamedTuple):
    """What one half of the rows says of the features: their covariance C, and their slope B, or covariance with u."""

    covariance: Float[np.ndarray, "q q"]
    slope: Float[np.ndarray, "q d"]

    @staticmethod
    def of(
        zeta: Float[np.ndarray, "n d"], f: Float[np.ndarray, "n q"], more: Float[np.ndarray, "n p"] | None = None
    ) -> "Half":
        """Regress features on zeta, where these are within a ball that holds all: C and B at zeta = 0.

        Args:
            zeta: where the rows are.
            f: the features.
            more: further columns, zero where C and B are meant.
        """
        local = fit_local(zeta / ball(zeta), f, powers=False, more=more)
        return Half(local.residuals.T @ local.residuals / len(f), local.slope / ball(zeta))

    @staticmethod
    def jointly(u: Float[np.ndarray, "n d"], f: Float[np.ndarray, "n q"], shares: Float[np.ndarray, " n"]) -> "Half":
        """Take features and u as they vary together over weighted rows, whose t is then the regression of u on f."""
        f, u = f - shares @ f, u - shares @ u
        return Half((shares[:, None] * f).T @ f, (shares[:, None] * f).T @ u)

    def solve(self, some: np.ndarray, penalty: Float[np.ndarray, " q"]) -> Float[np.ndarray, "q d"]:
        """Compute C^-1 B of some features, the others have weight zero."""
        found = np.zeros(self.slope.shape)
        if some.any():
            square = self.covariance[np.ix_(some, some)] + np.diag(penalty[some])
            found[some] = linalg.solve(square, self.slope[some], assume_a="pos")
        return found

    def information(self, weights: Float[np.ndarray, "q d"]) -> Float[np.ndarray, " d"]:
        """Compute what t of weights from elsewhere says of its own direction: slope^2 / variance."""
        own, variance = np.sum(weights * self.slope, 0), np.sum(weights * (self.covariance @ weights), 0)
        return np.maximum(own, 0) ** 2 / np.maximum(variance, 1e-300)


class Learned(NamedTuple):
    """Two halves, and the penalties of each output that serve them best."""

    halves: tuple[Half, Half]
    penalties: Float[np.ndarray, "d q"]

    @staticmethod
    def of(one: Half, other: Half, values: Bool[np.ndarray, " q"]) -> "Learned":
        """Choose penalties by what weights from each half say in the other."""
        every, tried = np.ones(len(values), bool), [np.where(values, a, b) for a, b in PENALTIES]
        found = [
            other.information(one.solve(every, penalty)) + one.information(other.solve(every, penalty))
            for penalty in tried
        ]
        return Learned((one, other), np.array(tried)[np.argmax(found, axis=0)])

    def weights(self, some: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Learn t from each half by some features."""
        found = [np.zeros(half.slope.shape) for half in self.halves]
        for penalty in np.unique(self.penalties, axis=0):
            outputs = np.all(self.penalties == penalty, axis=1)
            for own, half in zip(found, self.halves, strict=True):
                own[:, outputs] = half.solve(some, penalty)[:, outputs]
        return found[0], found[1]


def halved(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Part n rows at random, the same ones each time."""
    order = np.random.default_rng(0).permutation(n)
    return order[: n // 2], order[n // 2 :]


def judged(
    f: Float[np.ndarray, "n q"], rows: tuple[np.ndarray, np.ndarray], weights: tuple[np.ndarray, np.ndarray]
) -> Float[np.ndarray, "n d"]:
    """Compute t of each half by what was learned from the other."""
    t = np.empty((len(f), weights[0].shape[1]))
    for half, judge in zip(rows, weights[::-1], strict=True):
        t[half] = f[half] @ judge
    return t


def ball(zeta: Float[np.ndarray, "n d"]) -> float:
    """Find a radius that holds all rows."""
    return float(np.linalg.norm(zeta, axis=1).max()) * (1 + 1e-9) + 1e-12
