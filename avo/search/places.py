"""Places in u: all over the space or around a proposal, what simulations there say, and which of them lead on."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import special, stats
from scipy.stats import qmc

from avo.adversarial.proposals import START_SD
from avo.parameters import TURN
from avo.refine.scores import Normal
from avo.search.regression import estimate
from avo.space import Space

EDGE = 0.02  # of a range at each end, where the first places are not
FARTHEST = 4.5  # |u| of a parameter with two bounds, 1 % of the range from one; by 6, descents were lost at bounds
NEAREST = (40, 120)  # places of least misfit that a regression takes
LEAST_SD = 0.03  # of places around a candidate, in u
APART = 0.5  # least distance in u between two places from which descents start


class Candidate(NamedTuple):
    """Where the answer may be, and what is left open: N(loc, covariance) in u."""

    loc: Float[np.ndarray, " d"]
    covariance: Float[np.ndarray, "d d"]

    def proposal(self) -> Normal:
        """Make the proposal around it, no narrower than `LEAST_SD` in any direction."""
        return Normal(self.loc, np.linalg.cholesky(self.covariance + LEAST_SD**2 * np.eye(len(self.loc))))


class Places(NamedTuple):
    """Places in u, what is left between their simulations and the observations, and their misfit; the space of u."""

    u: Float[np.ndarray, "n d"]
    z: Float[np.ndarray, "n k"]
    misfit: Float[np.ndarray, " n"]
    space: Space

    def nearest(self, count: int) -> Float[np.ndarray, "p d"]:
        """Choose the places of least misfit, the least one first."""
        return self.u[np.argsort(self.misfit)[:count]]

    def said(self) -> list[Candidate]:
        """Say where regressions on the places of least misfit lead, on few and on many of them."""
        found, d, order = [], self.u.shape[1], np.argsort(self.misfit)
        around = self.space.near(self.u, self.u[order[0]])  # the best place, so that no circle is cut beside it
        for count in NEAREST:
            u, z = around[order[:count]], self.z[order[:count]]
            loc, covariance = estimate(z, u)
            found.append(Candidate(np.clip(loc, u.min(0), u.max(0)), covariance.reshape(d, d)))
        return found

    def candidates(self) -> list[Candidate]:
        """Say where the answer may be: at the best place, or where regressions lead."""
        few = self.nearest(3 * self.u.shape[1] + 5)
        few = self.space.near(few, few[0])
        return [Candidate(few[0], np.cov(few.T).reshape(len(few[0]), -1)), *self.said()]


def apart(
    space: Space, u: Float[np.ndarray, "n d"], count: int, given: Sequence[Float[np.ndarray, " d"]] = ()
) -> list[Float[np.ndarray, " d"]]:
    """Add places to given ones in turn, each `APART` from all before it, until there are so many.

    Example:
        >>> from avo.space import Angle, Real
        >>> [a.tolist() for a in apart(Space(a=Real()), np.array([[0.0], [0.3], [-0.7], [9.0]]), 3)]
        [[0.0], [-0.7], [9.0]]
        >>> [a.tolist() for a in apart(Space(a=Angle(1)), np.array([[1.9], [-1.9], [0.7]]), 3)]
        [[1.9], [0.7]]
    """
    chosen = list(given)
    for place in u:
        if len(chosen) < count and all(distance(space, place, other) > APART for other in chosen):
            chosen.append(place)
    return chosen[:count]


def distance(space: Space, u: Float[np.ndarray, " d"], other: Float[np.ndarray, " d"]) -> float:
    """Measure how far two places lie apart, of angles the shorter way around."""
    return float(np.linalg.norm(space.near(u, other) - other))


def all_over(space: Space, rng: np.random.Generator, count: int) -> Float[np.ndarray, "n d"]:
    """Spread places evenly over ranges and circles, and as the usual start where a parameter has not two bounds."""
    evenly = qmc.Halton(space.dim, rng=rng).random(count)
    position = EDGE + (1 - 2 * EDGE) * evenly
    u = np.where(space.bounded, special.logit(position), START_SD * stats.norm.ppf(position))
    return np.where(space.angles, TURN * (evenly - 0.5), u)


def normal(rng: np.random.Generator, count: int, d: int) -> Float[np.ndarray, "n d"]:
    """Draw standard normal numbers that are spread evenly."""
    return stats.norm.ppf(qmc.Halton(d, rng=rng).random(count))


def inside(space: Space, u: Float[np.ndarray, "*n d"]) -> Float[np.ndarray, "*n d"]:
    """Keep places where theta still moves with u, by simulations as few as a search has."""
    return np.where(space.bounded, np.clip(u, -FARTHEST, FARTHEST), u)
