"""Which parts of x decide each parameter of one row of a population, and its mean, for avo/refine/sensitivity.py.

Each row has its own u ~ N(loc, S), and of it the parts in a set say, by the best linear function of their features,

    sd_S^2 = E[(u - L_S)^2],    L_S = E[u] + Cov(u, t_S) Cov(t_S)^-1 (t_S - E[t_S]),    E over the fitted population,

the variance that is left of u; a linear Gaussian simulator leaves the diagonal of (S^-1 + A_S^T V_S^-1 A_S)^-1. t_S is
the regression of s on features of the parts, s the score of N(loc, S) with respect to loc and S, learned from each half
of the kept rows and judged by the other. No part at all leaves the variance of the population.

Without a part the fitted population would have another loc and another S, which are solved for together,

    (loc, S)_S - (loc, S) = A_S^+ (tbar_S - E[t_S]),    A_S = E[t_S s^T],

the slope by the score, as in avo/refine/population.py. The change of loc without a part has the variance of its paired
terms over the same observations and the same simulations. A spread that the other parts do not tell is held.

Of the rows some are from the population p, the others from q, that of the last comparison, which is as wide or wider.
All count, with the weights p(u) / (n_p p(u) + n_q q(u)), as those of one sample from p.

Source: Veach and Guibas, SIGGRAPH 1995, 419, for the weights of rows from several distributions.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from avo.refine.equation import Noise, information
from avo.refine.estimate import Estimate, floored
from avo.refine.halves import Half, Learned, halved, judged
from avo.refine.kept import Kept
from avo.refine.local import EACH, coefficients
from avo.refine.parts import Seen
from avo.refine.scores import Normal, monomials
from avo.refine.subsets import LENT, Solved
from avo.weights import effective_of, mean_of

THIN = 1e-3  # least standard deviation of a population, in u, in the weights of rows


class Members(NamedTuple):
    """What sets of parts leave of a row's u, and how they see the population.

    Args:
        left: standard deviations of u given each set.
        left_by_scores: those given the fit's own scores of x.
        spread: those given nothing.
        solved: the steps of loc by each set, whose errors are 0, or infinite where it does not identify them.
    """

    left: Float[np.ndarray, "sets d"]
    left_by_scores: Float[np.ndarray, " d"]
    spread: Float[np.ndarray, " d"]
    solved: list[Solved]


def members_of(
    estimate: Estimate, kept: Kept, u: Float[np.ndarray, "n d"], seen: Seen, sets: list[Bool[np.ndarray, " p"]]
) -> Members:
    """Tell what sets of parts leave open of a row's u, and where they see the population.

    Args:
        estimate: of a population.
        kept: its rows.
        u: where they are, angles near the population's mean.
        seen: features of their parts.
        sets: which parts are in each.

    Raises:
        LinAlgError: if the rows are too few.
    """
    assert estimate.population_covariance is not None
    p, rows = Normal(estimate.loc, floored(estimate.population_covariance, THIN)), halved(len(u))
    shares = _shares(p, Normal(*estimate.reference), u, kept.there)
    if effective_of(shares) < EACH * coefficients(u.shape[1]):
        raise np.linalg.LinAlgError("too few rows stand for the population")
    s = monomials(p.units(u))
    one, other = (Half.jointly(s[half], seen.f[half], shares[half] / shares[half].sum()) for half in rows)
    learned, middle = Learned.of(one, other, seen.values), mean_of(seen.f_obs, kept.shares)
    f, f_obs = seen.f - middle, seen.f_obs - middle
    left, solved = [], []
    for some in sets:
        weights = learned.weights(~np.any(seen.sees[~some], axis=0))
        t = judged(f, rows, weights)
        left.append(_left(u, t[:, : u.shape[1]], shares))
        solved.append(_solved(t, f_obs @ (weights[0] + weights[1]) / 2, s, shares, kept.shares, p.factor))
    around = u - shares @ u
    by_scores = _left(u, np.asarray(kept.t, float), shares)
    return Members(np.array(left), by_scores, np.sqrt(shares @ around**2), solved)


def _shares(p: Normal, q: Normal, u: Float[np.ndarray, "n d"], there: int) -> Float[np.ndarray, " n"]:
    """Weigh rows, the first of which are from p, the others from q, as one sample from p."""
    size = [np.sum(one.units(u) ** 2, axis=1) / 2 + np.linalg.slogdet(one.factor)[1] for one in (p, q)]
    w = 1 / (there + (len(u) - there) * np.exp(np.minimum(size[0] - size[1], 700.0)))
    return w / w.sum()


def _left(
    u: Float[np.ndarray, "n d"], t: Float[np.ndarray, "n k"], shares: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " d"]:
    """Compute the standard deviations of what a regression on t leaves of u."""
    own, root = np.concatenate([np.ones((len(t), 1)), t], axis=1), np.sqrt(shares)[:, None]
    rest = u - own @ np.linalg.lstsq(root * own, root * u, rcond=None)[0]
    effective = effective_of(shares)
    return np.sqrt(shares @ rest**2 * effective / max(effective - own.shape[1], 1.0))


def _solved(
    t: Float[np.ndarray, "n p"], t_obs: Float[np.ndarray, "m p"], s: Float[np.ndarray, "n p"],
    shares: Float[np.ndarray, " n"], shares_obs: Float[np.ndarray, " m"] | None, factor: Float[np.ndarray, "d d"],
) -> Solved:  # fmt: skip
    """Solve for the step of loc, with that of S, by a set of parts; t counts from its mean over the observations."""
    d = len(factor)
    if not t.any():  # nothing is seen of x
        never = np.full(d, np.inf)
        return Solved(never, never, np.zeros(d), np.zeros((len(t_obs), d)), np.zeros((len(t), d)))
    around = t - shares @ t
    weights = shares[:, None] * s @ np.linalg.inv((shares[:, None] * s).T @ s)
    A = around.T @ weights
    rest = t - s @ A.T  # whose mean is that of t, since the mean of s is known to be zero
    noise = Noise(rest - shares @ rest, weights)
    found = information(A, (shares[:, None] * around).T @ around, noise, np.inf, singly=True)
    to_loc = found.inverse.T[:, :d] @ factor.T
    free = factor / np.linalg.norm(factor, axis=1)[:, None] @ found.vectors[:d, ~found.identified]
    own, stderr = t_obs @ to_loc, np.where(np.sum(free**2, axis=1) > LENT, np.inf, 0.0)
    return Solved(
        stderr=stderr,
        least=stderr,
        step=-(shares @ rest) @ to_loc,
        terms_obs=own / len(own) if shares_obs is None else shares_obs[:, None] * own,
        terms_sim=-shares[:, None] * noise.residuals @ to_loc,
    )
