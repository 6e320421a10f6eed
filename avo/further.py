"""A finished run with more calls: its answer is where they begin, and they buy a better last step.

    few more     so few that fewer would be compared with the observations in the end than were for the answer: the
                 same equation, with t as it was learned. The answer solved tbar = m by M simulations, so that r = 0 at
                 its place, with the covariance V m / M of their noise. A slope and M' simulations there give r', and
                 both together r = b r' with V_sim = a^2 V m / M + b^2 V_sim', a and b the shares of M and M';
    more         all of refining anew from the answer, its simulations, where the run kept them, at hand for t;
    no answer    a search before that, with the end of the run among its starts, where the calls suffice for one.

A fit of a point without a budget goes on so by itself, until it is `settled`.

V is the covariance of tbar were observations independent, m their number. The randomness of further calls is that of
their number: a run that is continued twice, or killed on the way, makes the same calls.
"""

from dataclasses import replace

import numpy as np

from avo.budget import for_search
from avo.execution.blocks import Drawn, Draws
from avo.observations import Observed
from avo.refine.custom import CustomStatistic
from avo.refine.equation import NEVER, Equation, information
from avo.refine.estimate import UNDETERMINED, Estimate
from avo.refine.known import step_of
from avo.refine.linear import LinearDraws, LinearSpace, held
from avo.refine.modes import fits
from avo.refine.point import NARROW, STILL, WIDEST, solve_point, told
from avo.refine.population import solve_population
from avo.refine.scores import NoAnswer, Normal
from avo.result import Result
from avo.search.region import nearer, search

SLOPE = 0.2  # of few further calls, to pairs for the slope
NOISE = 1.02  # factor by which simulations may widen the errors of a fit that has no budget
MISFIT = 300_000  # calls of such a fit after which a misfit is the simulator's, hardly the search's
LAST = 0.6  # of the calls of refining anew, those that end in the last comparison


def bettered(
    draws: Draws, observed: Observed, found: Estimate | None, start: Normal, *, budget: int, seed: int,
    pool: list[Drawn], custom: CustomStatistic | None,
) -> tuple[Estimate | None, str]:  # fmt: skip
    """Make the estimate of a finished run better, by so many calls at most.

    Args:
        draws: where simulations come from.
        observed: the observations.
        found: the estimate, None where there is none that may be believed.
        start: where the run ended, in u.
        budget: further calls.
        seed: randomness of everything but the simulations.
        pool: simulations that the run kept.
        custom: the user's own statistic, or None.

    Returns:
        The new estimate, None where there is none; and then why.
    """
    solve = solve_point if found is None or found.population_covariance is None else solve_population
    try:
        few = found is not None and LAST * budget < compared(found, observed.effective)
        if found is not None and few and _simple(found, LinearSpace(draws.space)):
            return joined(draws, observed, found, budget, seed), ""
        if found is None and (calls := for_search(budget, draws.size, draws.space.dim)):
            region = search(draws, observed.sample, budget=calls, seed=seed, custom=custom, start=start.loc)
            start, pool, budget = region.q, [*pool, *region.drawn], budget - calls
        elif found is None and solve is solve_point:
            before = draws.calls
            start = nearer(draws, observed.sample, start, pool, calls=budget, seed=seed, custom=custom)
            budget -= draws.calls - before
        return solve(draws, observed, start, budget=budget, seed=seed, pool=pool, custom=custom), ""
    except NoAnswer as error:
        return None, str(error)
    except np.linalg.LinAlgError as error:
        return None, f"its equations cannot be solved ({error})"


def settled(result: Result) -> bool:
    """Say whether a fit of a point without budget is done: it is solved and checked, or a misfit after all."""
    if result.status == "misfit":
        # Where no theta brings t to the observations, the answer may yet be elsewhere
        p = None if result.estimate is None else result.estimate.p_value
        return result.calls >= MISFIT and (p is None or p > NEVER)
    if result.status not in ("converged", "undetermined") or result.estimate is None:
        return result.status == "stopped"
    return result.estimate.simulation_noise < NOISE or len(result.modes) > 1


def compared(found: Estimate, m: float) -> float:
    """Compute how many simulations the estimate was compared with, from what they add to its error."""
    return m / (found.simulation_noise**2 - 1)


def _simple(found: Estimate, space: LinearSpace) -> bool:
    """Say whether an estimate solves tbar = m: one of a point, away from bounds, without counts, by the data alone."""
    w = space.of(found.loc)
    inside = bool(np.all((w > 2 * space.low) & (w < space.high - space.low)))
    return found.population_covariance is None and found.alone is None and found.between is None and inside


def joined(draws: Draws, observed: Observed, found: Estimate, budget: int, seed: int) -> Estimate:
    """Take one more step of the equation that was solved, by its simulations and so many more.

    Args:
        draws: where simulations come from.
        observed: the observations.
        found: the estimate, of a point.
        budget: further calls.
        seed: randomness of the pairs.
    """
    linear, m = LinearDraws(draws), observed.effective
    space, w = linear.space, linear.space.of(found.loc)
    equation, last = Equation(linear, observed, found.statistic), draws.calls + budget
    with np.errstate(divide="ignore"):
        width = NARROW * np.sqrt(m / np.maximum(found.values, 1e-9))
    q = Normal(w, found.vectors * np.minimum(width, WIDEST))
    pairs = draws.whole(SLOPE * budget, mirrored=True) // 2
    A, noise, _ = equation.slope(q, np.random.default_rng(seed).normal(size=(pairs, space.dim)))
    rows = draws.whole(last - draws.calls)
    there = equation.centre(w, rows)
    before = compared(found, m)
    a, b = before / (before + rows), rows / (before + rows)
    there = there._replace(r=b * there.r, V_sim=a**2 * there.V * m / before + b**2 * there.V_sim)
    data = information(A, there.V, noise, UNDETERMINED)
    taken = step_of(space, w, there, data)
    move, _ = held(space, w, taken.step, taken.covariance)
    return replace(
        found,
        **told(space, w + move, taken.covariance, taken.found),
        simulation_noise=float(np.sqrt(1 + m / (before + rows))),
        moved=taken.length(there, move),
    )


def chosen(found: Estimate | None, other: Estimate | None) -> Estimate | None:
    """Choose the new estimate, `other`, unless it fits worse, is none that may be believed, or has more noise."""
    if found is None or other is None:
        return found if other is None else other
    if fits(found) != fits(other):
        return found if fits(found) else other
    return other if other.moved <= STILL and other.simulation_noise <= found.simulation_noise else found
