"""Descents: from starts all over the space to the places of least misfit, the worse half given up after each round.

With z(u) the whitened difference of features' means (avo/search/misfit.py), of variance 1 / n + 1 / m at the answer, a
step is one of Gauss and Newton,

    u <- u - (G + P)^-1 s A^T z,    G = s A^T A,    s = 1 / (1 / n + 1 / m),    P = .1 / 1.5^2

A = dz / du from mirrored pairs that share their random numbers, so that few tell it; z from as many rows at u itself.
What noise of A adds to G only shortens the step. No step is longer than three widths of its pairs, which are half as
wide as what one observation leaves of u, at most .5, so that A is the slope of what is ahead.

Where one observation says little of u, a regression of u on it takes many rows; A takes few, whatever it says.

Up to two that are given up, but are elsewhere than all that go on and fit no worse by far (`Misfit.worse`), are kept
aside: there may be several solutions. Elsewhere is more than two widths of the pairs of either away.

Source: Gauss-Newton for the method of simulated moments, McFadden, Econometrica 57 (1989), 995, with common random
numbers; successive halving, Jamieson and Talwalkar, AISTATS 2016, algorithm 1.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from avo.adversarial.proposals import START_SD
from avo.budget import ENDS, Round
from avo.execution.blocks import Draws
from avo.refine.equation import slope_by_condition
from avo.refine.scores import REACH, Normal
from avo.search.misfit import Misfit
from avo.search.places import inside
from avo.space import Space

START, WIDEST = 0.2, 0.5  # width of a descent's first pairs, and of any, in u
NARROW = 0.5  # width of pairs, in standard deviations that one observation leaves
FASTER = 4.0  # by which factor a width changes in a step, at most
PRIOR = 0.1 / START_SD**2  # P: where nothing moves z, no step is taken
TOGETHER = 2.0  # widths of its pairs within which a descent has come to where another one is
WORSE = 3.0  # standard deviations from which an end fits worse than the best: the level .001 of its test
UNDER_WAY = 6.0  # the same of descents that are still under way


def descend(
    draws: Draws,
    misfit: Misfit,
    starts: list[Float[np.ndarray, " d"]],
    rounds: tuple[Round, ...],
    rng: np.random.Generator,
) -> list[Normal]:
    """Descend from all starts side by side, and keep the better half after each round.

    Returns:
        The last round's proposal, and those kept aside.
    """
    d = draws.space.dim
    kept = [Normal(u, START * np.eye(d)) for u in starts]
    aside: list[Normal] = []
    for now in rounds:
        for _ in range(now.steps):
            kept = [stepped(draws, misfit, q, now.pairs, rng) for q in kept]
        if len(kept) > 1:
            z = misfit.rows_at(draws, np.stack([q.loc for q in kept]), now.choice)
            order = np.argsort(misfit.of(z.mean(1), now.choice))
            half = -(-len(kept) // 2)
            given_up = [kept[i] for i in order[half:] if misfit.worse(z[i], z[order[0]]) < UNDER_WAY]
            kept = [kept[i] for i in order[:half]]
            aside = elsewhere(draws.space, kept, [*given_up, *aside])
    return [*kept, *aside]


def elsewhere(space: Space, known: Sequence[Normal], found: Sequence[Normal]) -> list[Normal]:
    """Choose in turn those that are not together with a known one or one before, one fewer than `ENDS` at most."""
    chosen: list[Normal] = []
    for q in found:
        if len(chosen) < ENDS - 1 and not any(together(space, q, other) for other in [*known, *chosen]):
            chosen.append(q)
    return chosen


def together(space: Space, p: Normal, q: Normal) -> bool:
    """Tell whether two places lie within two widths of the pairs of either."""
    way = space.near(q.loc, p.loc) - p.loc
    return any(np.linalg.norm(np.linalg.solve(one.factor, way)) < TOGETHER for one in (p, q))


def stepped(draws: Draws, misfit: Misfit, q: Normal, pairs: int, rng: np.random.Generator) -> Normal:
    """Take one step, and fit the width of the next one's pairs to what this one's slope says."""
    space, d, rows = draws.space, len(q.loc), 2 * pairs
    du = rng.normal(size=(pairs, d)) @ q.factor.T
    plus, minus = inside(space, q.loc + du), inside(space, q.loc - du)
    drawn = draws(np.concatenate([plus, minus]), mirrored=True)
    ok = drawn.ok[:pairs] & drawn.ok[pairs:]
    z = misfit.residuals(draws(np.tile(q.loc, (rows, 1))), rows)[0]
    if ok.sum() < 2 * (d + 1):
        return q
    each = misfit.residuals(drawn, 1)
    f = misfit.known(drawn)
    f = None if f is None else f[:pairs][ok]
    A, noise = slope_by_condition((plus - minus)[ok] / 2, each[:pairs][ok], each[pairs:][ok], f)
    s = 1 / (1 / rows + 1 / misfit.observed.effective)
    G = s * A.T @ A
    step = -np.linalg.solve(G + PRIOR * np.eye(d), s * A.T @ z)
    step *= min(1.0, REACH / max(float(np.linalg.norm(np.linalg.solve(q.factor, step))), 1e-30))
    values, axes = np.linalg.eigh(G - s * noise.bias(np.eye(len(z))))
    one = np.sqrt(s / np.maximum(values, 1e-9))  # standard deviation of u that one observation leaves
    last = np.linalg.norm(axes.T @ q.factor, axis=1)
    width = np.clip(np.minimum(NARROW * one, WIDEST), last / FASTER, last * FASTER)
    return Normal(inside(space, q.loc + step), axes * width)
