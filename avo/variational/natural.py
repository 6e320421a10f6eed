"""One step of variational optimization by the natural gradient: what is asked of a function, and what its values say.

Instead of f its mean over a proposal is minimised, which has a gradient whatever f is (Staines and Barber 2012,
arXiv:1212.4507), by REINFORCE with the leave-one-out baseline of avo/adversarial/reinforce.py:

    U(psi) = E_{u ~ q(u; psi)}[ f(theta(u)) ],    grad_psi U = E[ (f - b) grad_psi log q(u; psi) ],    min f <= min U

In units of z, u = loc + L z, q is N(0, I), and a change of it is a centre m and a factor diag(e^s) (I + M). There the
scores are z for m, z_i^2 - 1 for s_i and z_i z_j for M_ij, j < i, and the Fisher matrix is diagonal: 1, 2 and 1. So the
natural gradient costs nothing, and a step does not depend on the units of theta (exponential natural evolution
strategies, Glasmachers et al. 2010, with a triangular factor):

    m = -h g_m,    s = -h rate g_s / 2,    M = -h rate g_M,    L <- L diag(e^s) (I + M),    loc <- loc + L m

In place of f stands what its rank among the n values of a step is worth (Wierstra et al. 2014, Journal of Machine
Learning Research 15, section 3.1; rate from table 1 there):

    w_k ~ max(0, log(n / 2 + 1) - log k),    sum of w = 1,    cost = -n w,    rate = (9 + 3 log d) / (5 d sqrt d)

so that f may be replaced by any increasing function of it, has no scale, and no value is an outlier; equal values share
what they are worth. A call that failed ranks last.

Ranks hide how much of f is noise: with them a noisy f moves q as far as a clear one, and q ends as a random walk. So
one call of a step repeats another with fresh randomness. The correlation of both ranks, Spearman's, averaged over about
the last fifth of all steps,

    h = 1 - 6 mean (rank - rank')^2 / (n^2 - 1),

is 1 without noise, and falls towards 0 as q narrows to where noise hides f. The steps fall with it, as those of Robbins
and Monro (1951) do, and late centres are averaged besides.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from avo.adversarial.proposals import START_SD, Gaussian
from avo.adversarial.reinforce import reinforce_gradient
from avo.adversarial.sampling import Paired
from avo.execution.failures import FARTHEST
from avo.execution.rounding import chances
from avo.space import Space

REACH = 18.0  # |loc| of parameters with two bounds, in u: the bound itself, to single precision
MEMORY = 5.0  # repeats are averaged over about one in so many of all steps so far
LEAST = 0.003  # of h
AVERAGE = 0.3  # of all steps, the last ones, whose centres are averaged


class Search(NamedTuple):
    """All that the next step needs: a `Gaussian`, the correlation of ranks, the mean of late centres, the best call."""

    step: Int[Array, ""]
    horizon: Int[Array, ""]
    proposal: Gaussian
    agreement: Float[Array, ""]
    average: Float[Array, " d"]
    best: Float[Array, ""]
    best_theta: Float[Array, " d"]

    @staticmethod
    def start(loc: Float[Array, " d"], sd: float, steps: int) -> "Search":
        """Begin at N(loc, sd^2 I), for so many steps."""
        q = Gaussian.start(len(loc), loc, sd)
        one = jnp.ones((), q.loc.dtype)
        return Search(jnp.array(0), jnp.array(steps), q, one, q.loc, one * jnp.inf, q.loc)


class Asked(NamedTuple):
    """What a step asks for: the pairs' plus half, their minus half, and the first row again."""

    zeta: Float[Array, "pairs d"]
    theta: Float[Array, "rows d"]


class Told(NamedTuple):
    """What is kept of a step: mean, least and largest value that did not fail, how many failed, and q after it."""

    value: Float[Array, ""]
    low: Float[Array, ""]
    high: Float[Array, ""]
    failed: Int[Array, ""]
    agreement: Float[Array, ""]
    u: Float[Array, " d"]
    sd: Float[Array, " d"]


def pairs_for(dim: int) -> int:
    """Choose the mirrored pairs of a step: (4 + 3 log d) / 2, three at least (Wierstra et al. 2014, table 1).

    Example:
        >>> pairs_for(1), pairs_for(2), pairs_for(20)
        (3, 4, 7)
    """
    return max(math.ceil((4 + 3 * math.log(dim)) / 2), 3)


def worth(values: Float[Array, " n"]) -> Float[Array, " n"]:
    """Compute what values are worth by rank, the least the most; they sum to one, and equal ones share.

    Example:
        >>> print(worth(jnp.array([7.0, 3.0, 5.0, 9.0])).round(3))  # log 3, log 3 - log 2, 0, 0 over their sum
        [0.   0.73 0.27 0.  ]
        >>> worth(jnp.array([3.0, jnp.inf, 3.0, jnp.inf])).tolist()
        [0.5, 0.0, 0.5, 0.0]
    """
    n = len(values)
    w = jnp.maximum(math.log(n / 2 + 1) - jnp.log(jnp.arange(1, n + 1)), 0).astype(values.dtype)
    above = jnp.concatenate([jnp.zeros(1, w.dtype), jnp.cumsum(w / w.sum())])
    less = jnp.sum(values[None, :] < values[:, None], axis=1)
    same = jnp.sum(values[None, :] == values[:, None], axis=1)
    return (above[less + same] - above[less]) / same


def correlation(values: Float[Array, " n"], again: Float[Array, ""]) -> Float[Array, ""]:
    """Compute one term of Spearman's correlation, from the first value's rank and that of a repeat among the others.

    Example:
        >>> values = jnp.array([3.0, 5.0, 1.0, 4.0])  # ranks 1 and, again, 3: 1 - 6 (1 - 3)^2 / (4^2 - 1)
        >>> round(float(correlation(values, jnp.array(6.0))), 5), float(correlation(values, jnp.array(2.0)))
        (-0.6, 1.0)
    """

    def rank(value: Array) -> Array:
        return jnp.sum(values[1:] < value) + 0.5 * jnp.sum(values[1:] == value)

    return 1 - 6 * (rank(values[0]) - rank(again)) ** 2 / (len(values) ** 2 - 1)


def ask(space: Space, pairs: int, key: PRNGKeyArray, state: Search) -> Asked:
    """Draw where f is called: 2 * pairs rows of free parameters, counts whole, and the first once more."""
    key_zeta, key_whole = jax.random.split(key)
    paired = Paired(pairs, blocks=False)
    zeta = paired.draw(key_zeta, space.dim).astype(state.proposal.loc.dtype)
    u = state.proposal.transform(paired.rows(zeta))
    theta = space.constrain(jnp.concatenate([u, u[:1]]))
    if counts := int(space.counts.sum()):  # a pair shares its chance; the repeat has its own, as all else
        chance = chances(key_whole, pairs + 1, counts)
        theta = space.by_chance(theta, jnp.concatenate([paired.shared(chance[:pairs]), chance[pairs:]]))
    return Asked(zeta, theta)


def tell(space: Space, pairs: int, state: Search, asked: Asked, values: Float[Array, " rows"]) -> tuple[Search, Told]:
    """Move the proposal by what f was, and say what is kept of the step."""
    values = values.astype(state.proposal.loc.dtype)
    ok = jnp.abs(values) <= FARTHEST
    ranked = jnp.where(ok, values, jnp.inf)
    n, q = 2 * pairs, state.proposal

    memory = jnp.minimum(MEMORY / (state.step + MEMORY), 1.0).astype(q.loc.dtype)
    agreement = state.agreement + memory * (correlation(ranked[:n], ranked[n]) - state.agreement)
    h = jnp.clip(agreement, LEAST, 1.0)
    q = _kept_inside(space, q.stretched(_move(pairs, asked.zeta, -n * worth(ranked[:n]), h)))

    late = jnp.maximum(state.step + 1 - jnp.floor((1 - AVERAGE) * state.horizon), 1).astype(q.loc.dtype)
    low = jnp.argmin(ranked)
    better = ranked[low] < state.best
    state = Search(
        state.step + 1,
        state.horizon,
        q,
        agreement,
        state.average + (q.loc - state.average) / late,
        jnp.where(better, ranked[low], state.best),
        jnp.where(better, asked.theta[low], state.best_theta),
    )
    return state, _told(values, ok, agreement, q)


def _move(pairs: int, zeta: Array, cost: Array, h: Array) -> Gaussian:
    """Make the step in units of z: loc, log_scale and lower of a proposal about N(0, I)."""
    paired, d = Paired(pairs, blocks=False), zeta.shape[1]
    rate = min((9 + 3 * math.log(d)) / (5 * d * math.sqrt(d)), 1.0)
    score = Gaussian.start(d, sd=1.0).score(paired.rows(zeta))

    def natural(leaf: Array, fisher: float) -> Array:
        flat = paired.grouped(leaf.reshape(len(leaf), -1), 1)
        return -h * reinforce_gradient(paired.grouped(cost, 1), flat).reshape(leaf.shape[1:]) / fisher

    assert score.lower is not None
    scale = jnp.clip(rate * natural(score.log_scale, 2.0), -1.0, 1.0)
    return Gaussian(natural(score.loc, 1.0), scale, rate * natural(score.lower, 1.0))


def _kept_inside(space: Space, q: Gaussian) -> Gaussian:
    """Keep loc where a bound is reached, and q no wider than the usual start where parameters have an end or a turn."""
    reach = jnp.where(space.bounded, REACH, jnp.inf)
    ended = jnp.asarray(space.bounded | space.angles)
    shrink = jnp.where(ended, jnp.minimum(START_SD / q.sd(), 1.0), 1.0)
    factor = shrink[:, None] * q.factor()
    scale = jnp.diagonal(factor)
    loc = jnp.clip(q.loc, -reach, reach).astype(q.loc.dtype)
    return Gaussian(loc, jnp.log(scale).astype(loc.dtype), jnp.tril(factor / scale[:, None], -1).astype(loc.dtype))


def _told(values: Array, ok: Bool[Array, " rows"], agreement: Array, q: Gaussian) -> Told:
    fine = jnp.where(ok, values, 0.0)
    low, high = (jnp.where(ok, values, far) for far in (jnp.inf, -jnp.inf))
    mean = jnp.where(ok.any(), fine.sum() / jnp.maximum(ok.sum(), 1), jnp.nan)
    return Told(mean, low.min(), high.max(), jnp.sum(~ok), agreement, q.loc, q.sd())
