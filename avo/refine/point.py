"""Fisher scoring with learned scores: the estimate, its error, and what is identified.

The statistic is learned in avo/refine/scores.py, the equation is in avo/refine/equation.py; here are the steps.

    a few rounds      learn t under q = N(loc, L L^T), find the slope and the residual, move loc, fit L to the data:
                      half as wide as what one observation leaves undecided, since a wider q bends the score, and a
                      narrower one teaches nothing;
    the last t        learned from all rounds' simulations and as many again, each with its own proposal's score;
    E[theta | x]      learned under a wider q, for `Result.encode`;
    slope, centre     mirrored pairs for the slope of m, more of them where they leave a direction in the dark, then
                      simulations at loc itself, with the calls that are left (avo/budget.py), for the residual; the
                      last step is checked against the error: it must be short.

All of it is on the scale w of avo/refine/linear.py, on which m is nearly linear; a step that would lead beyond a bound
ends at it. What is known of parameters joins each step (avo/refine/known.py).

For a population the same is done with psi = (mean, covariance) of u, in avo/refine/population.py.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from avo.adversarial.proposals import START_SD
from avo.budget import APART_SHARE, PointRows
from avo.clock import stage
from avo.execution.blocks import Drawn, Draws
from avo.observations import Observed
from avo.refine.agreement import Agreement, checked
from avo.refine.counts import Wholes, wholes
from avo.refine.custom import CustomStatistic
from avo.refine.equation import NEVER, SELDOM, Damping, Equation, Information, Noise, Residual, information
from avo.refine.estimate import UNDETERMINED, Alone, Estimate
from avo.refine.keeping import keep
from avo.refine.known import Step, length_in, step_of
from avo.refine.linear import LinearDraws, LinearSpace, held
from avo.refine.neighbours import between_rows
from avo.refine.scores import REACH, Learner, Normal
from avo.refine.statistic import LearnedStatistic

ROUNDS = 4  # at most, that look for place and width
FEW = 1000  # training steps of their t, which need not be the best
START, WIDEST = 0.2, 0.5  # standard deviation of the first q in the stiffest direction, and of any q in any, in w
BLOCK = 1000  # rows of an adversarial fit's simulations, one after another, that count as of one proposal
NARROW = 0.5  # that of the last q, in standard deviations that one observation leaves
WEAK = 1.0  # that of any q in directions that one observation hardly tells, at most, in w
SOFT = 0.3, 0.6  # that of any q in directions that are not identified, many of them or up to two, in w
APART = 0.2  # how far along open directions the pairs lie that show whether x responds to them, in w
FEWEST = 32  # of those pairs, or twice as many as parameters
OPEN = 4.0  # how much wider than the last q the reference of E[theta | x] is
SEEN = 0.6  # noise of a slope, in units of it, below which a direction that may be chance keeps the width of its q
TRIES = 5  # steps at most before the last
LEFT = 4  # times as many calls as further pairs for a slope must be left for these, half of them for the residual
ROUGH = 0.05  # noise of a slope, in units of it, above which further pairs are worth more than residuals
STILL = 3.0  # longest last step, in standard errors per direction, of an estimate that is believed


@stage("equation")
def solve_point(
    draws: Draws, observed: Observed, q: Normal, *, budget: int, seed: int, pool: Sequence[Drawn] = (),
    custom: CustomStatistic | None = None,
) -> Estimate:  # fmt: skip
    """Solve tbar = m(u) from a start near the answer, within a budget of calls.

    Args:
        draws: where simulations come from.
        observed: the observations.
        q: the proposal in u that found the start, its centre; its axes and relative widths are used.
        budget: simulator calls, at most.
        seed: randomness of everything but the simulations.
        pool: simulations at hand, from anywhere in u; t is learned from those that lie near.
        custom: the user's own statistic, or None.
    """
    last, linear = draws.calls + budget, LinearDraws(draws)
    space = linear.space
    learner = Learner.start(linear, observed.sample, seed, custom)
    rows = PointRows.of(budget, draws.size, space.dim)
    simulations = [some._replace(u=space.of(some.u)) for some in Drawn.joined(pool).blocks(BLOCK)] if pool else []
    if space.angles.any():
        simulations = [some._replace(u=space.near(some.u, space.of(q.loc))) for some in simulations]
    start = Normal(space.inside(space.of(q.loc)), _narrowed(space.rate(q.loc)[:, None] * q.factor))
    q, each = _locate(learner, space, start, rows, simulations, last)
    simulations.append(learner.simulate(q, rows.learn))
    statistic = learner.scores(ROUNDS, q, simulations, each)
    wide = Normal(q.loc, q.factor * np.minimum(OPEN, WIDEST / np.linalg.norm(q.factor, axis=0)))
    around = learner.simulate(wide, rows.wide)
    encoder = learner.encoder(ROUNDS + 1, wide, around)
    zeta, more = learner.normal(rows.slope // 2), learner.normal(rows.more // 2)
    equation = Equation(linear, observed, statistic)
    beside = [simulations[-1], around]
    return _settle(equation, space, q, (zeta, more), last, encoder=encoder, wide=wide, around=beside)


# --- the rounds ------------------------------------------------------------------------------------------------------


def _locate(
    learner: Learner, space: LinearSpace, q: Normal, rows: PointRows, pool: list[Drawn], last: int
) -> tuple[Normal, Float[np.ndarray, " d"]]:
    """Look for the place and the width of the last q, in rounds, whose simulations the pool keeps.

    Each round learns t under q, solves the equation once, moves q by a damped step, and fits its width to what the data
    say; the rounds end where q hardly changes, or the calls up to `last` are too few for another. Also returns the
    information of one observation about each unit of q.
    """
    m, d = learner.observed.effective, len(q.loc)
    damping, each = Damping(), np.zeros(d)
    for i in range(ROUNDS):
        if i and last - learner.draws.calls < rows.least:
            break
        pool.append(learner.simulate(q, rows.look))
        equation = Equation(learner.draws, learner.observed, learner.scores(i, q, pool, steps=FEW))
        A, noise, pairs = equation.slope(q, learner.normal(rows.few // 2))
        residual = equation.centre(q.loc, rows.few)
        pool.append(pairs)
        found = information(A, residual.V, noise)
        taken = step_of(space, q.loc, residual, found)
        lost = residual.unexplained(found, A)
        step, _ = held(space, q.loc, taken.step, taken.covariance)
        spare = last - learner.draws.calls - rows.rest
        loc = _succeeding(learner.draws, q.loc, q.loc + _cut(damping.stride(step) * step, q.factor), spare)
        move, old, q = loc - q.loc, q, Normal(loc, _adapt(found, q, m, lost))
        each = np.linalg.norm(q.factor, axis=0) ** 2 * np.where(found.identified, found.values, 0.0) / m
        change = np.log(_widths(found, old) / np.linalg.norm(q.factor, axis=0))
        if np.linalg.norm(np.linalg.solve(old.factor, move)) < 0.5 and np.abs(change).max() < 0.7 and not lost:
            break
    return q, each


def _narrowed(factor: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d d"]:
    """Scale a proposal to the first round's width, keeping its axes."""
    axes, size, _ = np.linalg.svd(factor)
    return axes * np.minimum(size * START / size[-1], WIDEST)


def _widths(found: Information, q: Normal) -> Float[np.ndarray, " d"]:
    """Compute the standard deviation of q along each direction."""
    return np.linalg.norm(found.vectors.T @ q.factor, axis=1)


def _adapt(found: Information, q: Normal, m: float, lost: bool) -> Float[np.ndarray, "d d"]:
    """Choose the next q: half as wide as what one observation leaves, at most four times as wide as the last.

    Where nothing is identified it is `SOFT`, for rows that hardly tell a direction teach it only along a wide way; but
    where t says that the answer is elsewhere, q opens, along two directions as wide as the usual start. Along more of
    them both are less: a wrong simulator always says so, and from q as wide as the space no t of many parameters is
    learned. A direction that t moves in, but not beyond chance, keeps its width: opened, it would be lost again.
    """
    # One observation leaves sqrt(m) times the standard deviation that all of them leave
    told = np.minimum(NARROW * np.sqrt(m) * found.sd, WEAK)
    kept = ~found.identified & (found.rough < SEEN) & (not lost)
    each = 2 / max(np.sum(~found.identified & ~kept), 1)
    opened = np.clip(each * START_SD, WIDEST, START_SD) if lost else np.clip(each * SOFT[1], *SOFT)
    last = _widths(found, q)
    wanted = np.where(kept, last, np.where(found.identified, told, opened))
    return found.vectors * np.clip(wanted, last / 8, last * 4)


def _cut(step: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Shorten a step to `REACH` standard deviations of q: the trust region."""
    return step * min(1.0, REACH / max(float(np.linalg.norm(np.linalg.solve(factor, step))), 1e-30))


# --- the last steps --------------------------------------------------------------------------------------------------


class Slope(NamedTuple):
    """The slope A of m, from so many mirrored pairs, and its sampling error."""

    A: Float[np.ndarray, "k d"]
    noise: Noise
    pairs: int

    def with_more(self, more: "Slope") -> "Slope":
        """Join two slopes at one place, whose errors are independent, each weighted by its share of the pairs."""
        pairs = self.pairs + more.pairs
        a, b = self.pairs / pairs, more.pairs / pairs
        residuals = np.concatenate([self.noise.residuals, more.noise.residuals])
        weights = np.concatenate([a * self.noise.weights, b * more.noise.weights])
        return Slope(a * self.A + b * more.A, Noise(residuals, weights), pairs)


class Approach(NamedTuple):
    """Where the steps before the last lead: from `start`, with residual `here`, by `far` standard errors, to `loc`.

    `here` comes from so many `rows`; the slope is that of m at `start`, and `found` what it identifies.
    """

    start: Float[np.ndarray, " d"]
    here: Residual
    rows: int
    slope: Slope
    found: Information
    far: float
    loc: Float[np.ndarray, " d"]


def _settle(
    equation: Equation, space: LinearSpace, q: Normal, zetas: tuple[np.ndarray, np.ndarray], last: int,
    *, encoder: LearnedStatistic, wide: Normal, around: Sequence[Drawn] = (),
) -> Estimate:  # fmt: skip
    """Take the last two steps, with one slope and simulations at loc itself, and state the error.

        loc <- loc + A^+ r,    Cov = A^+ (V_obs + V_sim) A^+T

    or, with what is known of parameters, those of avo/refine/known.py. Where the first of the two was short, r is the
    mean of both residuals, each weighted by its simulations. A step that is still long means that the equation is not
    solved. A residual that no step explains is a misfit: there are more equations than what is identified, and the
    answer is that of weighted least squares, with p at most `NEVER`.
    """
    draws, observed = equation.draws, equation.observed
    near = _last_approach(equation, space, q, zetas, last)
    rows = draws.whole(last - draws.calls)
    elsewhere = _led_away(space, near) if space.space.known and rows >= 4 * draws.size else None
    aside = 0 if elsewhere is None else draws.whole(rows / 4)
    learned = isinstance(equation.statistic, LearnedStatistic)
    unclear = learned and not near.found.identified.all()
    apart = _apart(equation, near, APART_SHARE * (rows - aside)) if unclear else None
    rows = draws.whole(last - draws.calls) - aside
    there, slope, compared = equation.centre(near.loc, rows), near.slope, rows
    kept = keep(equation, equation.there, around, space.u) if around and equation.there is not None else None
    if near.far < STILL:
        there = _together(near, there, rows)
        compared += near.rows
    data = information(slope.A, there.V, slope.noise, UNDETERMINED)
    taken = step_of(space, near.loc, there, data)
    found = taken.found
    move, _ = held(space, near.loc, taken.step, taken.covariance)
    between, followed = None, np.eye(space.dim)
    if space.counts.any():
        between = near.loc + move
        move, followed = _to_whole(space, near.loc, between, taken)
    moved = taken.length(there, move, near.here.V_sim)
    loc = near.loc + _cut(move, q.factor)
    if moved > STILL:
        moved = np.inf
    failing = float(np.mean(~equation.there.ok)) if equation.there is not None else 0.0
    place, residual = (near.loc, there) if elsewhere is None else (elsewhere, equation.centre(elsewhere, aside))
    alone, covariance, free = by_data(space, place, residual, data)
    inverse, rng = followed @ free @ near.found.inverse, np.random.default_rng(len(zetas[1]))
    p, hidden = Agreement(None)
    if learned and np.isfinite(moved):
        p, hidden = checked(equation, inverse, near.found, rng, apart)
    if there.unexplained(data, slope.A) and not hidden:
        p = NEVER if p is None else min(p, NEVER)
    return Estimate(
        **told(space, loc, taken.covariance, found),
        alone=None if taken.known is None else alone_at(space, alone, covariance, data),
        apart=taken.apart,
        statistic=equation.statistic,
        encoder=encoder,
        reference=wide,
        simulation_noise=float(np.sqrt(1 + observed.effective / (2 * slope.pairs + compared))),
        moved=moved,
        freedom=observed.freedom,
        p_value=p,
        hidden=hidden,
        neighbours=between_rows(equation, equation.there, found.inverse),
        failing=failing,
        between=between,
        kept=kept,
    )


def _apart(equation: Equation, near: Approach, calls: float) -> tuple[Float[np.ndarray, "n d"], Drawn] | None:
    """Simulate pairs far enough apart along what is left open for what x may say of it to show.

    Along what is identified they are as far apart as one observation tells: the one has a little of the other.
    """
    pairs, found = equation.draws.whole(calls, mirrored=True) // 2, near.found
    least = max(FEWEST, 2 * len(near.loc))
    if pairs < least or 2 * pairs > calls:
        return None
    told = np.minimum(np.sqrt(equation.observed.effective) * found.sd, APART)
    far = np.where(found.identified, told, APART / np.sqrt(np.sum(~found.identified)))
    along = far * np.random.default_rng(pairs).choice([-1.0, 1.0], size=(pairs, len(far)))
    du = along @ found.vectors.T
    rows = equation.draws(np.concatenate([near.loc + du, near.loc - du]), mirrored=True)
    along = (rows.u[:pairs] - rows.u[pairs:]) / 2 @ found.vectors  # at a bound, what is left of them inside
    return (along, rows) if np.sum(rows.ok[:pairs] & rows.ok[pairs:]) >= least else None


def _last_approach(
    equation: Equation, space: LinearSpace, q: Normal, zetas: tuple[np.ndarray, np.ndarray], last: int
) -> Approach:
    """Come near with a slope that is clear, where calls allow, and with counts at whole numbers."""
    zeta, more = zetas
    near = _approach(equation, space, q, zeta, last)
    unclear = not near.found.identified.all() or np.any(near.found.rough > ROUGH)
    if unclear and last - equation.draws.calls >= LEFT * len(more):
        slope = near.slope.with_more(_slope(equation, Normal(near.start, q.factor), more))
        near = _stepped(equation, space, q, last, (near.start, near.here, near.rows, slope))
    return _at_whole_numbers(equation, space, near, last) if space.counts.any() else near


def _to_whole(
    space: LinearSpace, start: Float[np.ndarray, " d"], w: Float[np.ndarray, " d"], taken: Step
) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, "d d"]]:
    """Lead a step that ends at w on to whole numbers: its move from `start`, and P, which holds counts that stayed."""
    at = _wholes(space, w, taken)
    stays = np.allclose(at.w[space.counts], start[space.counts])
    return at.w - start, at.P if stays else np.eye(space.dim)


def _wholes(space: LinearSpace, w: Float[np.ndarray, " d"], taken: Step) -> Wholes:
    """Go to the whole numbers nearest to where a step leads."""
    return wholes(space, w, taken.covariance + taken.found.start_covariance(np.eye(space.dim)))


def _at_whole_numbers(equation: Equation, space: LinearSpace, near: Approach, last: int) -> Approach:
    """Simulate with counts at whole numbers, by half of the calls that are left, and look whether others are nearer.

    The second half joins the first where they are not. Beside a whole number the slope of m changes, so that what was
    simulated in between is left out.
    """
    draws, slope = equation.draws, near.slope
    before = step_of(space, near.start, near.here, near.found)
    start = _wholes(space, near.loc, before).w
    if last - draws.calls < 2 * draws.size:
        return near._replace(loc=start, far=np.inf)
    rows = draws.whole((last - draws.calls) / 2)
    here = equation.centre(start, rows)
    found = information(slope.A, here.V, slope.noise, UNDETERMINED)
    taken = step_of(space, start, here, found)
    loc = _wholes(space, start + held(space, start, taken.step, taken.covariance)[0], taken).w
    same = np.allclose(loc[space.counts], start[space.counts])
    far = taken.length(here, loc - start) if same else np.inf
    return Approach(start, here, rows, slope, found, far, loc)


def _led_away(space: LinearSpace, near: Approach) -> Float[np.ndarray, " d"] | None:
    """Say where the data alone lead, if what is known leads far from there: that estimate, and p, need simulations."""
    step, covariance = near.here.step(near.found)
    place = near.start + held(space, near.start, step, covariance)[0]
    far = length_in(near.found, covariance, place - near.loc)
    return place if far > STILL * np.sqrt(near.found.identified.sum()) else None


def by_data(
    space: LinearSpace, w: Float[np.ndarray, " d"], residual: Residual, data: Information
) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, "d d"], Float[np.ndarray, "d d"]]:
    """Estimate by the data alone, with its covariance, and what is left to be fitted (`held`)."""
    step, covariance = residual.step(data)
    move, free = held(space, w, step, covariance)
    return w + move, covariance, free


def alone_at(space: LinearSpace, w: np.ndarray, covariance: np.ndarray, data: Information) -> Alone:
    """Describe the estimate by the data alone: its counts at the whole numbers next to w, as those of the answer are.

    Both then stand side by side: the others beside a whole number, with their errors there.
    """
    found = told(space, w, covariance, data)
    if not space.counts.any():
        return Alone(**found)
    at = wholes(space, w, found["covariance"])
    return Alone(**(found | {"loc": space.u(at.w)}), between=w)


def told(space: LinearSpace, w: np.ndarray, covariance: np.ndarray, found: Information) -> dict[str, Any]:
    """Describe an estimate at w as `Estimate` does; what is not identified is as open as at the usual start."""
    return {
        "loc": space.u(w),
        "covariance": covariance + found.start_covariance(np.eye(len(w))),
        "values": np.where(found.identified, found.values, np.minimum(found.values, 0.0)),
        "vectors": found.vectors,
        "identified": found.identified,
    }


def _approach(equation: Equation, space: LinearSpace, q: Normal, zeta: Float[np.ndarray, "n d"], last: int) -> Approach:
    """Step with a fifth of the calls that are left, until a step is short, or calls or tries run out."""
    draws, loc, tries = equation.draws, q.loc, 0
    while True:
        slope = _slope(equation, Normal(loc, q.factor), zeta)
        rows, tries = draws.whole((last - draws.calls) / 5), tries + 1
        near = _stepped(equation, space, q, last, (loc, equation.centre(loc, rows), rows, slope))
        if near.far < STILL or tries == TRIES or last - draws.calls < 8 * len(zeta):
            return near
        loc = near.loc


def _slope(equation: Equation, q: Normal, zeta: Float[np.ndarray, "n d"]) -> Slope:
    A, noise, _ = equation.slope(q, zeta)
    return Slope(A, noise, len(zeta))


def _stepped(
    equation: Equation, space: LinearSpace, q: Normal, last: int,
    known: tuple[Float[np.ndarray, " d"], Residual, int, Slope],
) -> Approach:  # fmt: skip
    """Take a step from where slope and residual are known."""
    start, here, rows, slope = known
    found = information(slope.A, here.V, slope.noise, UNDETERMINED)
    taken = step_of(space, start, here, found)
    move, _ = held(space, start, taken.step, taken.covariance)
    draws = equation.draws
    loc = _succeeding(draws, start, start + _cut(move, q.factor), last - draws.calls - 2 * draws.size)
    return Approach(start, here, rows, slope, found, taken.length(here, move), loc)


def _succeeding(
    draws: Draws | LinearDraws, start: Float[np.ndarray, " d"], loc: Float[np.ndarray, " d"], calls: int
) -> Float[np.ndarray, " d"]:
    """Halve a step that ends where hardly a call succeeds, by a block of calls; asked only where calls have failed."""
    for _ in range(min(TRIES, calls // draws.size) if draws.failed else 0):
        if draws(np.tile(loc, (draws.size, 1))).ok.mean() >= SELDOM:
            break
        loc = (start + loc) / 2
    return loc


def _together(near: Approach, there: Residual, rows: int) -> Residual:
    """Join the residuals before and after a short step, over which the slope carries the first.

        r = a (r_start - A way) + b r_loc,    V_sim = a^2 V_start + b^2 V_loc,

    with a and b the shares of the simulations.
    """
    a, b = near.rows / (near.rows + rows), rows / (near.rows + rows)
    r = a * (near.here.r - near.slope.A @ (near.loc - near.start)) + b * there.r
    return there._replace(r=r, V_sim=a**2 * near.here.V_sim + b**2 * there.V_sim)
