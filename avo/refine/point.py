"""Fisher scoring with learned scores: the estimate, its error, and what is identified.

The statistic is learned in avo/refine/statistic.py, the equation is in avo/refine/equation.py; here are the steps.

    a few rounds      learn t under q = N(loc, L L^T), find the slope and the residual, move loc, fit L to the data:
                      half as wide as what one observation leaves undecided, since a wider q bends the score, and a
                      narrower one teaches nothing;
    the last t        learned from all rounds' simulations and as many again, each with its own proposal's score;
    E[theta | x]      learned under a wider q, for `Result.encode`;
    slope, centre     mirrored pairs for the slope of m, then simulations at loc itself, half of all calls, for the
                      residual; the last step is checked against the error: it must be short.

For a population the same is done with psi = (mean, covariance) of u, in avo/refine/population.py.
"""

from collections.abc import Sequence

import jax
import numpy as np
from jaxtyping import Float, PRNGKeyArray
from scipy import special

from avo.budget import POINT_SHARES
from avo.execution.blocks import Drawn, Draws
from avo.observations import Observed
from avo.refine.equation import EDGE, Equation, Information, between_bounds, information, inside
from avo.refine.estimate import PRIOR, UNIDENTIFIED, Estimate
from avo.refine.statistic import REACH, LearnedStatistic, learn_at, learn_encoder
from avo.space import Space

ROUNDS = 4  # at most, that look for place and width
FEW = 1000  # training steps of their t, which need not be the best
START, WIDEST = 0.2, 0.5  # standard deviation of the first q in the stiffest direction, and of any q in any, in u
BLOCK = 1000  # rows of an adversarial fit's simulations, one after another, that count as of one proposal
NARROW = 0.5  # that of the last q, in standard deviations that one observation leaves
SOFT = 0.3  # that of any q in directions that are not identified, in u
OPEN = 4.0  # how much wider than the last q the reference of E[theta | x] is
TRIES = 5  # steps at most before the last
STILL = 3.0  # longest last step, in standard errors per direction, of an estimate that is believed


def _start(factor: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d d"]:
    """Widen a proposal's spread, keeping its axes."""
    axes, size, _ = np.linalg.svd(factor)
    return axes * np.minimum(size * START / size[-1], WIDEST)


def _adapt(found: Information, factor: np.ndarray, m: int, lost: bool) -> Float[np.ndarray, "d d"]:
    """Choose the next q: half as wide as what one observation leaves, at most four times as wide as the last.

    Where the data identify nothing it is `SOFT`; but where t says that the answer is elsewhere, q opens.
    """
    # One observation leaves sqrt(m) times the standard deviation that all of them leave
    wanted = np.where(found.identified, np.minimum(NARROW * np.sqrt(m) * found.sd, WIDEST), PRIOR if lost else SOFT)
    last = np.linalg.norm(found.vectors.T @ factor, axis=1)
    return found.vectors * np.clip(wanted, last / 8, last * 4)


def _cut(step: np.ndarray, factor: np.ndarray) -> np.ndarray:
    return step * min(1.0, REACH / max(float(np.linalg.norm(np.linalg.solve(factor, step))), 1e-30))


def _along(space: Space, start: Float[np.ndarray, " d"], end: Float[np.ndarray, " d"]) -> tuple[np.ndarray, np.ndarray]:
    """Where m is linear in v, compute the way by the slope dv/du at the start, and what the slope changes by.

        v = sigmoid(u),  (v(end) - v(start)) / v'(start),  v'(end) / v'(start)

    where a parameter has two bounds, near which it is v that m follows, and v = u elsewhere.

    Example:
        >>> way, turn = _along(Space(a=Interval(0, 1), b=Interval(0, 1)), np.zeros(2), np.array([0.0, np.log(3.0)]))
        >>> (way.round(6) + 0.0).tolist(), turn.round(6).tolist()
        ([0.0, 1.0], [1.0, 0.75])
    """
    rate = lambda u: special.expit(u) * special.expit(-u)  # noqa: E731
    way, turn = (special.expit(end) - special.expit(start)) / rate(start), rate(end) / rate(start)
    return np.where(between_bounds(space), way, end - start), np.where(between_bounds(space), turn, 1.0)


def solve_point(
    draws: Draws,
    observed: Observed,
    loc: Float[np.ndarray, " d"],
    factor: Float[np.ndarray, "d d"],
    budget: int,
    seed: int,
    known: Sequence[Drawn] = (),
) -> Estimate:
    """Solve tbar = m(u) from a start near the answer, within a budget of calls.

    Args:
        draws: where simulations come from.
        observed: the observations.
        loc: the start, in u.
        factor: of the proposal that found it; its axes and relative widths are used.
        budget: simulator calls, at most.
        seed: randomness of everything but the simulations.
        known: simulations at hand, from anywhere in u; t is learned from those that lie near.
    """
    d, last = len(loc), draws.calls + budget
    rng, key = np.random.default_rng(seed), jax.random.key(seed)
    pool = Drawn.joined(known).blocks(BLOCK) if known else []
    rows = {name: draws.whole(share * budget, mirrored=True) for name, share in POINT_SHARES.items()}
    rows["slope"] = _enough(draws, rows["slope"], d)
    loc, factor, told = _locate(draws, observed, loc, _start(factor), rows["round"], rng, key, pool)
    pool.append(draws(loc + rng.normal(size=(rows["learn"], d)) @ factor.T))
    scores = learn_at(draws, observed, jax.random.fold_in(key, ROUNDS), loc, factor, pool, told)
    wide = factor * np.minimum(OPEN, WIDEST / np.linalg.norm(factor, axis=0))
    some = draws(loc + rng.normal(size=(rows["wide"], d)) @ wide.T)
    encoder = learn_encoder(draws, observed, jax.random.fold_in(key, ROUNDS + 1), (loc, wide), some)
    equation = Equation(draws, observed, scores, d)
    return _settle(equation, loc, factor, rng.normal(size=(rows["slope"] // 2, d)), last, encoder, (loc, wide))


def _locate(
    draws: Draws, observed: Observed, loc: np.ndarray, factor: np.ndarray, rows: int, rng: np.random.Generator,
    key: PRNGKeyArray, pool: list[Drawn],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Look for the place and the width of the last q, in rounds of so many rows, which the pool keeps.

    Also returns what one observation tells about each unit of q.
    """
    d, stride, past, told = len(loc), 1.0, np.zeros(len(loc)), np.zeros(len(loc))
    for i in range(ROUNDS):
        pool.append(draws(loc + rng.normal(size=(draws.whole(rows / 2), d)) @ factor.T))
        scores = learn_at(draws, observed, jax.random.fold_in(key, i), loc, factor, pool, steps=FEW)
        equation, part = Equation(draws, observed, scores, d), _enough(draws, rows / 4, d)
        A, noise, pairs = equation.slope(loc, factor, rng.normal(size=(part // 2, d)))
        residual = equation.centre(loc, part)
        pool.append(pairs)
        found = information(A, residual.V, noise)
        move, lost = residual.step(found)[0], residual.unexplained(found, A)
        stride = stride / 2 if move @ past < 0 else min(2 * stride, 1.0)  # back and forth: too far
        move, before, past = _cut(stride * move, factor), factor, move
        loc, factor = inside(draws.space, loc + move), _adapt(found, factor, len(observed.x), lost)
        told = np.linalg.norm(factor, axis=0) ** 2 * np.where(found.identified, found.values, 0.0) / len(observed.x)
        change = np.log(np.linalg.norm(found.vectors.T @ before, axis=1) / np.linalg.norm(factor, axis=0))
        if np.linalg.norm(np.linalg.solve(before, move)) < 0.5 and np.abs(change).max() < 0.7 and not lost:
            break
    return loc, factor, told


def _enough(draws: Draws, rows: float, d: int) -> int:
    """Round rows of mirrored pairs down to whole blocks of at least d + 1 pairs: fewer leave a slope undecided."""
    return draws.whole(max(rows, 2 * (d + draws.size)), mirrored=True)


def _settle(
    equation: Equation, loc: np.ndarray, factor: np.ndarray, zeta: np.ndarray, last: int, encoder: LearnedStatistic,
    reference: tuple[np.ndarray, np.ndarray],
) -> Estimate:  # fmt: skip
    """Take the last two steps, with one slope and simulations at loc itself, and state the error."""
    draws, observed, paired = equation.draws, equation.observed, 2 * len(zeta)
    tries, (A, noise, _) = 0, equation.slope(loc, factor, zeta)
    while True:
        first, tries = draws.whole((last - draws.calls) / 5), tries + 1
        here = equation.centre(loc, first)
        found = information(A, here.V, noise, PRIOR)
        move, _ = here.step(found)
        far = here.length(found, move)
        before, loc = loc, inside(draws.space, loc + _cut(move, factor))
        if far < STILL or tries == TRIES or last - draws.calls < 4 * paired:
            break
        A, noise, _ = equation.slope(loc, factor, zeta)
    matched = second = draws.whole(last - draws.calls)
    there = equation.centre(loc, second)
    if far < STILL:  # near enough for the slope to carry over: the residual to here, and itself
        a, b, matched = first / (first + second), second / (first + second), first + second
        way, turn = _along(draws.space, before, loc)
        r, V_sim = a * (here.r - A @ way) + b * there.r, a**2 * here.V_sim + b**2 * there.V_sim
        there, A, noise = there._replace(r=r, V_sim=V_sim), A * turn, noise._replace(h=noise.h * turn)
    found = information(A, there.V, noise, PRIOR)
    move, covariance = there.step(found)
    moved = there.length(found, move, here.V_sim)
    loc = inside(draws.space, loc + _cut(move, factor))
    # At a bound something may be left over, which only a value beyond the bound would explain
    if moved > STILL or (there.unexplained(found, A) and np.all(np.abs(loc) < EDGE)):
        moved = np.inf
    return Estimate(
        loc=loc,
        covariance=covariance + found.free(),
        values=found.values,
        vectors=found.vectors,
        identified=found.identified & (found.sd <= UNIDENTIFIED),
        statistic=equation.statistic,
        encoder=encoder,
        reference=reference,
        simulation_noise=float(np.sqrt(1 + len(observed.x) / (paired + matched))),
        moved=moved,
        freedom=observed.freedom,
    )
