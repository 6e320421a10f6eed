"""Learned scores: what to regress on x, so that t is the best statistic there is.

Adversarial variational optimization finds the region of the answer. From there on, a statistic t(x) takes over, learned
from simulations. Fisher's identity, for p(x; psi) = int q(u; psi) p(x | u) du,

    grad_psi log p(x; psi) = E[grad_psi log q(u; psi) | x],

says that the least-squares regression of grad_psi log q on x, over pairs u ~ q, x ~ p(x | u), is the score of the
marginal likelihood: as q = N(loc, L L^T) narrows, t(x) = E[L^-1 (u - loc) | x] tends to L^T times the score of p(x | u)
at loc, the best statistic there is. Any other t costs efficiency, not correctness. The regression is in
avo/refine/statistic.py; what the errors mean, in docs/errors.md.

Pairs of several proposals q_s = N(mu_s, C_s) near one another serve together: the scores of the marginals at mu_s
differ by constants, to first order, so that t is learned from C_s^-1 (u - mu_s) with a constant for each s. Pooled as
if from one q, which is then not Gaussian, t would bend: E[u | x] would tell the proposals apart.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int, PRNGKeyArray

from avo.execution.blocks import Drawn, Draws
from avo.observations import Observed
from avo.refine.custom import CustomStatistic
from avo.refine.linear import LinearDraws
from avo.refine.statistic import STEPS, LearnedStatistic, Pairs, learn_statistic
from avo.sizes import by_rows

LEAST = 20  # rows for each parameter of a part of the simulations that t is learned from
LEAST_WIDTH = 1e-3  # of such a part, in units of q
REACH = 3.0  # longest step, in standard deviations of the q that gave the slope


class NoAnswer(Exception):
    """Refining cannot go on, for a reason that its message says; the adversarial estimate stands.

    Args:
        words: why.
        loc: where it looked, in u, for whom nothing else has been there.
    """

    def __init__(self, words: str, loc: np.ndarray | None = None) -> None:
        super().__init__(words)
        self.loc = loc


class Normal(NamedTuple):
    """A proposal q = N(loc, factor factor^T) in u, and its units: u = loc + factor zeta."""

    loc: Float[np.ndarray, " d"]
    factor: Float[np.ndarray, "d d"]

    def at(self, zeta: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
        """Map standard normal numbers to u."""
        return self.loc + zeta @ self.factor.T

    def units(self, u: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
        """Map u to standard normal numbers."""
        return np.linalg.solve(self.factor, (u - self.loc).T).T


def monomials(zeta: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n k"]:
    """Compute the score of N(loc + L a, L (I + S) L^T) at a = 0, S = 0, for u = loc + L zeta.

        d log q / da = zeta,    d log q / dS_ii = (zeta_i^2 - 1) / 2,    d log q / dS_ij = zeta_i zeta_j  for i < j

    Example:
        >>> monomials(np.array([[2.0, -3.0]])).tolist()
        [[2.0, -3.0, 1.5, -6.0, 4.0]]
    """
    i, j = np.triu_indices(zeta.shape[1])
    return np.concatenate([zeta, (zeta[:, i] * zeta[:, j] - (i == j)) * np.where(i == j, 0.5, 1.0)], 1)


def scores_of_parts(
    zeta: Float[np.ndarray, "n d"], part: Int[np.ndarray, " n"], each: Float[np.ndarray, " d"]
) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "parts d"]]:
    """Compute what each part N(mean, C) teaches about one score in units of q = N(0, 1), and the weight of its errors.

        y = (I + 1)^-1 (I + C^-1) (zeta - mean),    weight = min((I_i + 1) / (I + C^-1)_ii, 1)

    with I the information of one observation, `each` on its diagonal: E[zeta - mean | x] = (I + C^-1)^-1 times the
    score where the likelihood is Gaussian. A part that is too small or too narrow teaches nothing and has no weight.
    """
    d = zeta.shape[1]
    y, weight = np.zeros_like(zeta), np.zeros((int(part.max()) + 1, d))
    for s in range(len(weight)):
        some = zeta[part == s]
        if len(some) < LEAST * d:
            continue
        covariance = np.cov(some.T).reshape(d, d)
        if np.linalg.eigvalsh(covariance)[0] > LEAST_WIDTH**2:
            precision = np.diag(each) + np.linalg.inv(covariance)
            y[part == s] = (some - some.mean(0)) @ precision / (each + 1)
            weight[s] = np.minimum((each + 1) / np.diagonal(precision), 1.0)
    return y, weight


class Learner(NamedTuple):
    """What learning takes at all stages of a fit: simulations, observations, randomness.

    Args:
        draws: where simulations come from.
        observed: the observations.
        rng: where in q simulations are made.
        key: randomness of the networks; each stage folds in its own number.
        custom: the user's own statistic, or None.
    """

    draws: Draws | LinearDraws
    observed: Observed
    rng: np.random.Generator
    key: PRNGKeyArray
    custom: CustomStatistic | None = None

    @staticmethod
    def start(draws: Draws | LinearDraws, observed: Observed, seed: int, custom: CustomStatistic | None) -> "Learner":
        """Begin with the seed's randomness."""
        return Learner(draws, observed, np.random.default_rng(seed), jax.random.key(seed), custom)

    def normal(self, rows: int) -> Float[np.ndarray, "rows d"]:
        """Draw zeta, standard normal numbers."""
        return self.rng.normal(size=(rows, self.draws.space.dim))

    def simulate(self, q: Normal, rows: int) -> Drawn:
        """Simulate under q."""
        return self.draws(q.at(self.normal(rows)))

    def scores(
        self, stage: int, q: Normal, pool: Sequence[Drawn], each: Float[np.ndarray, " d"] | None = None,
        squares: bool = False, steps: int = STEPS,
    ) -> LearnedStatistic:  # fmt: skip
        """Learn t(x) = E[score of q | x], in units of q, from all simulations of a pool that lie near q.

        Args:
            stage: names the network's randomness.
            q: the proposal.
            pool: simulations at hand, in parts that were each made under one proposal.
            each: the information of one observation about each unit of q. Then each part that is large enough has its
                own score; else all are taken as if from q.
            squares: learn the score in the covariance too, not only that in the mean.
            steps: of training the network.
        """
        u, x, inputs, ok = Drawn.joined(pool)
        zeta = q.units(u)
        ok = ok & (np.linalg.norm(zeta, axis=1) < REACH + np.sqrt(len(q.loc)))
        y, part, weight = monomials(zeta[ok]) if squares else zeta[ok], None, None
        if each is not None:
            part = np.repeat(np.arange(len(pool)), [len(drawn.u) for drawn in pool])[ok]
            own, weight = scores_of_parts(zeta[ok], part, each)
            taught = np.any(weight, axis=1)[part]
            if taught.any():
                ok[ok], y, part = taught, own[taught], part[taught]
            else:  # all parts of so few calls are too small
                part = weight = None
        return self._learn(
            stage, Pairs(zeta[ok], x[ok], y, None if inputs is None else inputs[ok], part, weight), steps
        )

    def encoder(self, stage: int, q: Normal, drawn: Drawn) -> LearnedStatistic:
        """Learn E[theta | x] under q from simulations of it; of angles that of cosine and sine (`Space.circles`)."""
        u, x, inputs, ok = drawn
        space = self.draws.space
        theta, c = by_rows(space.constrain, u[ok]).astype(float), None if inputs is None else inputs[ok]
        theta = space.circles(theta) if space.angles.any() else theta
        return self._learn(stage, Pairs(q.units(u[ok]), x[ok], theta, c))

    def _learn(self, stage: int, pairs: Pairs, steps: int = STEPS) -> LearnedStatistic:
        if len(pairs.x) < 2:
            raise NoAnswer("too few simulations near the adversarial fit were finite")
        key = jax.random.fold_in(self.key, stage)
        return learn_statistic(key, self.observed, pairs, custom=self.custom, steps=steps)
