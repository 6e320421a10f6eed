"""Descents: from starts all over the space to the place of least misfit, the worse half given up after each round.

With z(u) the whitened difference of features' means (avo/search/misfit.py), of variance 1 / n + 1 / m at the answer, a
step is one of Gauss and Newton,

    u <- u - (G + P)^-1 s A^T z,    G = s A^T A,    s = 1 / (1 / n + 1 / m),    P = .1 / 1.5^2

A = dz / du from mirrored pairs that share their random numbers, so that few tell it; z from as many rows at u itself.
What noise of A adds to G only shortens the step. No step is longer than three widths of its pairs, which are half as
wide as what one observation leaves of u, at most .5, so that A is the slope of what is ahead.

Where one observation says little of u, a regression of u on it takes many rows; A takes few, whatever it says.

Source: Gauss-Newton for the method of simulated moments, McFadden, Econometrica 57 (1989), 995, with common random
numbers; successive halving, Jamieson and Talwalkar, AISTATS 2016, algorithm 1.
"""

import numpy as np
from jaxtyping import Float

from avo.adversarial.proposals import START_SD
from avo.budget import Round
from avo.execution.blocks import Draws
from avo.refine.equation import slope
from avo.refine.scores import REACH, Normal
from avo.search.misfit import Misfit
from avo.search.places import inside

START, WIDEST = 0.2, 0.5  # width of a descent's first pairs, and of any, in u
NARROW = 0.5  # width of pairs, in standard deviations that one observation leaves
FASTER = 4.0  # by which factor a width changes in a step, at most
PRIOR = 0.1 / START_SD**2  # P: where nothing moves z, no step is taken


def descend(
    draws: Draws,
    misfit: Misfit,
    starts: list[Float[np.ndarray, " d"]],
    rounds: tuple[Round, ...],
    rng: np.random.Generator,
) -> Normal:
    """Descend from all starts side by side, and keep the better half after each round: the last one's proposal."""
    d = draws.space.dim
    kept = [Normal(u, START * np.eye(d)) for u in starts]
    for now in rounds:
        for _ in range(now.steps):
            kept = [_stepped(draws, misfit, q, now.pairs, rng) for q in kept]
        if len(kept) > 1:
            order = np.argsort(misfit.at(draws, np.stack([q.loc for q in kept]), now.choice))
            kept = [kept[i] for i in order[: -(-len(kept) // 2)]]
    return kept[0]


def _stepped(draws: Draws, misfit: Misfit, q: Normal, pairs: int, rng: np.random.Generator) -> Normal:
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
    A, noise = slope((plus - minus)[ok] / 2, each[:pairs][ok], each[pairs:][ok])
    s = 1 / (1 / rows + 1 / len(misfit.observed.x))
    G = s * A.T @ A
    step = -np.linalg.solve(G + PRIOR * np.eye(d), s * A.T @ z)
    step *= min(1.0, REACH / max(float(np.linalg.norm(np.linalg.solve(q.factor, step))), 1e-30))
    values, axes = np.linalg.eigh(G - s * noise.bias(np.eye(len(z))))
    one = np.sqrt(s / np.maximum(values, 1e-9))  # standard deviation of u that one observation leaves
    last = np.linalg.norm(axes.T @ q.factor, axis=1)
    width = np.clip(np.minimum(NARROW * one, WIDEST), last / FASTER, last * FASTER)
    return Normal(inside(space, q.loc + step), axes * width)
