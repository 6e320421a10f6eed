"""The search: from places all over the space to the region of the answer.

    the whole space    places spread evenly over it, a few simulations each (`SEARCH_SHARES` in avo/budget.py);
    stages             from the places of least misfit so far, candidates: the best one, and what regressions on the
                       nearest few and the nearest many say (avo/search/regression.py). Fresh simulations at each choose
                       one; then places around it, as wide as that regression leaves u open;
    the end            the best candidate of the last choice, and its covariance.

What is chosen is judged by simulations that had no part in finding it. The simulations serve the learned scores too.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import special, stats
from scipy.stats import qmc

from avo.adversarial.proposals import START_SD
from avo.budget import SearchRows
from avo.execution.blocks import Drawn, Draws
from avo.observations import Observed
from avo.refine.custom import CustomStatistic
from avo.refine.scores import Normal
from avo.search.misfit import Misfit
from avo.search.regression import estimate
from avo.space import Space

EDGE = 0.02  # of a range at each end, where the first places are not
FARTHEST = 4.5  # |u| of a parameter with two bounds, 1 % of the range from one
NEAREST = (40, 120)  # places of least misfit that a regression takes
LEAST_SD = 0.03  # of places around a candidate, in u


class Region(NamedTuple):
    """Where the answer is: N(loc, factor factor^T) in u, its misfit, and all simulations of the search."""

    q: Normal
    misfit: float
    drawn: list[Drawn]


class _Candidate(NamedTuple):
    loc: Float[np.ndarray, " d"]
    covariance: Float[np.ndarray, "d d"]

    def proposal(self) -> Normal:
        """Make the proposal around it, no narrower than `LEAST_SD` in any direction."""
        return Normal(self.loc, np.linalg.cholesky(self.covariance + LEAST_SD**2 * np.eye(len(self.loc))))


class _Places(NamedTuple):
    """Places in u, what is left between their simulations and the observations, and their misfit."""

    u: Float[np.ndarray, "n d"]
    z: Float[np.ndarray, "n k"]
    misfit: Float[np.ndarray, " n"]

    def candidates(self) -> list[_Candidate]:
        """Say where the answer may be: at the best place, or where regressions on the nearest places lead."""
        order, d = np.argsort(self.misfit), self.u.shape[1]
        few = self.u[order[: 3 * d + 5]]
        found = [_Candidate(few[0], np.cov(few.T).reshape(d, d))]
        for count in NEAREST:
            u, z = self.u[order[:count]], self.z[order[:count]]
            loc, covariance = estimate(z, u)
            found.append(_Candidate(np.clip(loc, u.min(0), u.max(0)), covariance))
        return found


def search(
    draws: Draws, observed: Observed, *, budget: int, seed: int, custom: CustomStatistic | None = None
) -> Region:
    """Search the whole space for the region where simulations are like the observations, within a budget of calls.

    Args:
        draws: where simulations come from.
        observed: the observations.
        budget: simulator calls, at most.
        seed: of the places.
        custom: the user's own statistic, or None.

    Raises:
        ValueError: if the budget is too small for `SearchRows`.
    """
    rows, rng = SearchRows.of(budget, draws.size), np.random.default_rng(seed)
    drawn: list[Drawn] = []

    def simulate(u: np.ndarray, each: int) -> Drawn:
        drawn.append(draws(np.repeat(u, each, axis=0)))
        return drawn[-1]

    u = _all_over(draws.space, rng, rows.first)
    first = simulate(u, rows.each)
    misfit = Misfit(observed, first, START_SD, custom)

    def places(u: np.ndarray, drawn: Drawn, each: int) -> _Places:
        z = misfit.residuals(drawn, each)
        return _Places(u, z, misfit.of(z, each))

    def chosen(found: list[_Candidate]) -> tuple[_Candidate, float]:
        at = _inside(draws.space, np.stack([c.loc for c in found]))
        judged = places(at, simulate(at, rows.choice), rows.choice)
        i = int(np.argmin(judged.misfit))
        return _Candidate(at[i], found[i].covariance), float(judged.misfit[i])

    known = places(u, first, rows.each)
    best, least = chosen(known.candidates())
    for _ in range(rows.stages):
        u = _inside(draws.space, best.proposal().at(_normal(rng, rows.stage, draws.space.dim)))
        more = places(u, simulate(u, rows.each), rows.each)
        known = _Places(*map(np.concatenate, zip(known, more, strict=True)))
        best, least = chosen([best, *known.candidates()])
    return Region(best.proposal(), least, drawn)


def _all_over(space: Space, rng: np.random.Generator, count: int) -> Float[np.ndarray, "n d"]:
    """Spread places evenly over the ranges, and as the usual start where a parameter has not two bounds."""
    position = EDGE + (1 - 2 * EDGE) * qmc.Halton(space.dim, rng=rng).random(count)
    return np.where(space.bounded, special.logit(position), START_SD * stats.norm.ppf(position))


def _normal(rng: np.random.Generator, count: int, d: int) -> Float[np.ndarray, "n d"]:
    """Draw standard normal numbers that are spread evenly."""
    return stats.norm.ppf(qmc.Halton(d, rng=rng).random(count))


def _inside(space: Space, u: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    return np.where(space.bounded, np.clip(u, -FARTHEST, FARTHEST), u)
