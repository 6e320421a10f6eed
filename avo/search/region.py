"""The search: from places all over the space to the region of the answer.

    the whole space    places spread evenly over it, a few simulations each;
    stages             from the places of least misfit so far, candidates: the best one, and what regressions on the
                       nearest few and the nearest many say (avo/search/regression.py). Fresh simulations at each choose
                       one; then places around it, as wide as that regression leaves u open;
    the nearest        of all places, with more simulations each;
    descents           from the last candidate, from what regressions say, and from the nearest places that lie apart
                       (avo/search/descent.py), those that come together taken for one, the worse half given up after
                       each round;
    the end            where the last descents lead, or the last candidate, or the user's own start: what fresh
                       simulations at each say. Other ends that fit as well are kept.

Regressions reach far, descents come near: where the simulator oscillates the first find what the others would not, and
where one observation says little of u the others. `SEARCH_SHARES` in avo/budget.py divides the calls.

What is chosen is judged by simulations that had no part in finding it. The simulations serve the learned scores too.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from avo.adversarial.proposals import START_SD
from avo.budget import ENDS_STEPS, SearchRows, for_descent
from avo.clock import stage
from avo.execution.blocks import Drawn, Draws
from avo.execution.simulator import useless
from avo.observations import Observed
from avo.refine.custom import CustomStatistic
from avo.refine.scores import Normal
from avo.search.descent import WORSE, descend, elsewhere, stepped
from avo.search.misfit import Misfit
from avo.search.places import LEAST_SD, Candidate, Places, all_over, apart, distance, inside, normal
from avo.space import Space

LEAST_AROUND = 100  # simulations by which the features of a descent are chosen


class Region(NamedTuple):
    """Where the answer is: N(loc, factor factor^T) in u, simulations all over the space, and the misfit it went by.

    `others` are ends of descents elsewhere that fit as well.
    """

    q: Normal
    drawn: list[Drawn]
    misfit: Misfit
    others: list[Normal]

    def nearest(self, draws: Draws, found: Sequence[Normal], rows: int) -> int:
        """Choose among places, by the misfit of so many fresh simulations at the centre of each."""
        return int(np.argmin(self.misfit.at(draws, np.stack([q.loc for q in found]), rows)))

    def elsewhere(self, space: Space, start: Normal) -> list[Normal]:
        """Choose all ends but the one that lies nearest to a start, from which the answer is looked for."""
        ends = sorted([self.q, *self.others], key=lambda q: distance(space, q.loc, start.loc))
        return ends[1:]


@stage("search")
def search(
    draws: Draws, observed: Observed, *, budget: int, seed: int, custom: CustomStatistic | None = None,
    start: Float[np.ndarray, " d"] | None = None,
) -> Region:  # fmt: skip
    """Search the whole space for the region where simulations are like the observations, within a budget of calls.

    Args:
        draws: where simulations come from.
        observed: the observations.
        budget: simulator calls, at most.
        seed: of the places.
        custom: the user's own statistic, or None.
        start: a place from which a descent starts besides, or None.

    Raises:
        ValueError: if the budget is too small for `SearchRows`, or no simulation is finite.

    Example:
        >>> import jax
        >>> from avo.execution.blocks import Draws
        >>> from avo.space import Interval, Space
        >>> simulate = lambda key, theta: theta + jax.random.normal(key, (len(theta), 3))
        >>> x = np.random.default_rng(0).normal(2.0, 1.0, size=(200, 3))
        >>> draws = Draws(jax.jit(simulate), Space(mean=Interval(-10, 30)), jax.random.key(0), 16, (3,))
        >>> found = draws.space.constrain(search(draws, Observed(x), budget=8000, seed=0).q.loc)
        >>> bool(abs(found[0] - x.mean()) < 0.3)
        True
    """
    space, rng = draws.space, np.random.default_rng(seed)
    rows, limit = SearchRows.of(budget, draws.size, space.dim), draws.calls + budget
    drawn: list[Drawn] = []

    def simulate(u: np.ndarray, each: int) -> Drawn:
        drawn.append(draws(np.repeat(u, each, axis=0)))
        return drawn[-1]

    u = all_over(space, rng, rows.first)
    first = simulate(u, rows.each)
    if not first.ok.any():
        raise useless(space, u[0], draws.calls)
    misfit = Misfit(observed, first, START_SD, custom)

    def places(u: np.ndarray, drawn: Drawn, each: int) -> Places:
        z = misfit.residuals(drawn, each)
        return Places(u, z, misfit.of(z, each), space)

    def chosen(found: list[Candidate]) -> Candidate:
        at = inside(space, np.stack([c.loc for c in found]))
        i = int(np.argmin(misfit.at(draws, at, rows.choice)))
        return Candidate(at[i], found[i].covariance)

    known = places(u, first, rows.each)
    best = chosen(known.candidates())
    for _ in range(rows.stages):
        u = inside(space, best.proposal().at(normal(rng, rows.stage, space.dim)))
        more = places(u, simulate(u, rows.each), rows.each)
        u, z, found = map(np.concatenate, zip(known[:3], more[:3], strict=True))
        known = Places(u, z, found, space)
        best = chosen([best, *known.candidates()])

    nearest = known.nearest(rows.again)
    nearest = nearest[np.argsort(misfit.at(draws, nearest, rows.again_each))]
    count, given = rows.rounds[0].starts, [] if start is None else [inside(space, start)]
    nearest = np.concatenate([nearest, known.nearest(len(known.u))])
    starts = [*given, best.loc, *(inside(space, c.loc) for c in known.said()), *apart(space, nearest, count)]
    # The last quarter is elsewhere than all the others
    starts = apart(space, nearest, count, starts[: count - count // 4])
    last, *aside = descend(draws, misfit, starts, rows.rounds, rng)
    region = Region(last, drawn, misfit, [])
    ends = [last, *(Normal(u, last.factor) for u in [*given, best.loc])]
    q = ends[region.nearest(draws, ends, rows.end)]
    others = _equal(draws, misfit, q, elsewhere(space, [q], [last, *aside]), limit - draws.calls, rng)
    # What fits equally well is the user's to choose
    found = [q, *others] if start is None else sorted([q, *others], key=lambda q: distance(space, q.loc, start))
    return region._replace(q=found[0], others=found[1:])


def nearer(
    draws: Draws, observed: Observed, q: Normal, around: Sequence[Drawn], *, calls: int, seed: int,
    custom: CustomStatistic | None = None,
) -> Normal:  # fmt: skip
    """Descend from a place that no search was before, by the means of the features, and choose between the two ends.

    The adversarial fit moves what its critic sees first; after few steps a correlation, or a shape, is where it began.

    Args:
        draws: where simulations come from.
        observed: the observations.
        q: the place.
        around: simulations around it, by which features are chosen.
        calls: that refine the fit, a share of which the descent gets (`for_descent` in avo/budget.py).
        seed: of the pairs.
        custom: the user's own statistic, or None.

    Returns:
        The nearer end; q itself where calls, or simulations around it, are too few.
    """
    rows = for_descent(calls, draws.size, draws.space.dim)
    drawn = Drawn.joined(around) if around else None
    if rows is None or drawn is None or drawn.ok.sum() < LEAST_AROUND:
        return q
    misfit = Misfit(observed, drawn, np.maximum(drawn.u[drawn.ok].std(0), LEAST_SD), custom)
    end, *_ = descend(draws, misfit, [q.loc], (rows,), np.random.default_rng(seed))
    ends = q, end
    return ends[int(np.argmin(misfit.at(draws, np.stack([one.loc for one in ends]), rows.choice)))]


def _equal(
    draws: Draws, misfit: Misfit, best: Normal, found: list[Normal], calls: int, rng: np.random.Generator
) -> list[Normal]:
    """Choose those that fit as well as the best place, and where simulations half-way to it fit worse.

    Half of the calls goes to further steps of each, half to the comparison. Where it fits as well half-way, both places
    are one solution that the data hardly tell.
    """
    steps, places = 4 * ENDS_STEPS * len(found), 1 + 2 * len(found)
    pairs, rows = draws.whole(calls / max(2 * steps, 1)), draws.whole(calls / (2 * places))
    if not found or steps * pairs + places * rows > calls:
        return []
    for _ in range(ENDS_STEPS):
        found = [stepped(draws, misfit, q, pairs, rng) for q in found]
    space = draws.space
    found = elsewhere(space, [best], found)
    at = [best.loc, *(q.loc for q in found), *((space.near(q.loc, best.loc) + best.loc) / 2 for q in found)]
    z = misfit.rows_at(draws, np.stack(at), rows)
    here, there, between = z[0], z[1 : 1 + len(found)], z[1 + len(found) :]
    worse = misfit.worse
    return [q for q, a, half in zip(found, there, between, strict=True) if worse(a, here) < WORSE < worse(half, here)]
