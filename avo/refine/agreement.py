"""Whether simulations at the estimate reproduce the observations, in all features and not only where they were matched.

    e(x) = g(x) - A_g A^+ t(x),    r = mean over observations of e - mean over simulations of e,
    z = W r,  W Cov(e) W^T = I,    T = sum over z of z^4,    Cov over both

g are the features that t is a regression on (avo/refine/features.py), A_g = dE[g] / du by the pairs that gave A: r is
what is left of the difference of features when u makes its last step, so that the parameters fitted to the rows are
allowed for. If the simulator is right, observations are simulations, and any of the rows might have been the observed
ones: p is the share of random choices of as many rows whose T is as large, rare values and all. The fourth power lies
between the sum of squares, in which one difference is lost among a hundred, and the largest, which knows nothing of
many small ones.

Observations that depend on one another say less than as many independent simulations; then there is no p. Of weighted
ones those are looked at that need no weights (`avo.weights.thinned`): they are a plain sample of what was fitted.

Of stored rows around the place, the mean of e there is a local fit (avo/refine/local.py), a sum l_i e_i over rows, and
p the share of random signs of all terms, whose sum is z, with which T is as large:

    z* = W (sum_j s_j (e_j - mean) / m - sum_i s_i l_i (e_i - fit_i)),    s = -1 or 1
"""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from avo.execution.blocks import Drawn
from avo.refine.equation import Equation, slope
from avo.refine.features import CLIP, quantiles
from avo.weights import thinned

REPLICATES = 399  # choices of rows
MOST = 10_000  # simulations that are looked at
LEAST = 100  # of those, and no fewer: without them nothing is known of the tails
LEAST_THINNED = 20  # observations that are left of weighted ones
LEAST_VARIANCE = 0.01  # of a direction of the features, which are of variance one: below, it is noise of the covariance
BLOCK = 50  # choices at a time


def p_value(equation: Equation, inverse: Float[np.ndarray, "d k"], rng: np.random.Generator) -> float | None:
    """Compute p of the observations against simulations at the place of an equation's last step.

    Args:
        equation: that was solved, with a learned statistic; its last simulations serve.
        inverse: A^+ where its last pairs were drawn, zero for a parameter that is held at its bound.
        rng: randomness of the choices.

    Returns:
        p; None where there are clusters, or too few simulations.
    """
    if equation.pairs is None or equation.there is None:
        return None
    (du, pairs), there = equation.pairs, equation.there
    if equation.observed.clusters is not None or there.ok[:MOST].sum() < LEAST:
        return None
    shares, gaps = equation.observed.shares, equation.observed.gaps
    looked_at = None if shares is None else thinned(shares, rng)
    if looked_at is not None and len(looked_at) < LEAST_THINNED:
        return None
    ok = np.flatnonzero(there.ok)
    some, rest = ok[: min(MOST, len(ok) * 4 // 5)], ok[len(ok) * 4 // 5 :]
    kept = Drawn(*(None if a is None else a[some] for a in there))  # pyright: ignore[reportArgumentType]
    # Without a statistic of the user's own, which may hide what differs; at quantiles of other rows than are compared,
    # since at their own the means of indicators are the levels
    features = replace(equation.statistic.features, custom=None)
    if features.knots is not None:
        bare = there.x if gaps is None else gaps.bare(there.x, there.inputs)
        knots, widths = quantiles(bare[rest][: len(equation.observed.x)]) or (None, None)
        features = replace(features, knots=jnp.asarray(knots), widths=jnp.asarray(widths))
    other = Equation(equation.draws, equation.observed.sample, features)
    t, t_obs = equation.values(kept, kept.ok)
    g, g_obs = other.values(kept, kept.ok)
    if looked_at is not None:
        t_obs, g_obs = t_obs[looked_at], g_obs[looked_at]
    middle, size = g.mean(0), np.maximum(g.std(0), 1e-9 * (np.abs(g.mean(0)) + 1e-30))

    def shown(g: np.ndarray) -> np.ndarray:
        return np.clip((g - middle) / size, -CLIP, CLIP)

    ok = pairs.ok[: len(du)] & pairs.ok[len(du) :]
    moved, _ = other.values(pairs, np.concatenate([ok, ok]))
    A, _ = slope(du[ok], shown(moved[: ok.sum()]), shown(moved[ok.sum() :]))
    carried = (A @ inverse).T
    e, e_obs = shown(g) - t @ carried, shown(g_obs) - t_obs @ carried
    return share_as_large(e, e_obs, rng)


def p_of_terms(
    observed: Float[np.ndarray, "m k"], rows: Float[np.ndarray, "n k"], way: Float[np.ndarray, " k"],
    rng: np.random.Generator,
) -> float:  # fmt: skip
    """Compute p of a difference of means by random signs of its terms.

    Args:
        observed: terms of the observations, (e_j - mean) / m.
        rows: terms of stored rows, l_i (e_i - fit_i).
        way: the difference.
        rng: randomness of the signs.

    Example:
        >>> rng = np.random.default_rng(3)
        >>> terms = rng.normal(size=(400, 3)) / 400
        >>> p_of_terms(terms[:300], terms[300:], terms.sum(0), rng) > 0.05
        True
        >>> p_of_terms(terms[:300], terms[300:], terms.sum(0) + 0.5, rng)
        0.0025
    """
    terms = np.concatenate([observed, rows])
    V = terms.T @ terms
    unit = np.sqrt(np.maximum(np.diagonal(V), 1e-300))
    values, vectors = np.linalg.eigh(V / np.outer(unit, unit))
    W = vectors / np.sqrt(np.maximum(values, 0.0) + LEAST_VARIANCE) / unit[:, None]
    signs = rng.integers(0, 2, size=(REPLICATES, len(terms))) * 2.0 - 1.0
    as_large = np.sum(np.sum((signs @ (terms @ W)) ** 4, axis=1) >= np.sum((way @ W) ** 4))
    return float((1 + as_large) / (1 + REPLICATES))


def share_as_large(e: Float[np.ndarray, "n k"], e_obs: Float[np.ndarray, "m k"], rng: np.random.Generator) -> float:
    """Compute p = (1 + number of choices of rows as large) / (1 + number of choices).

    Example:
        >>> rng = np.random.default_rng(0)
        >>> e = rng.normal(size=(2000, 3))
        >>> share_as_large(e, rng.normal(size=(100, 3)), rng) > 0.05, share_as_large(e, 0.5 + e[:100], rng)
        (True, 0.0025)
    """
    m, rows = len(e_obs), np.concatenate([e_obs, e])
    rows = rows - rows.mean(0)
    values, vectors = np.linalg.eigh(rows.T @ rows / len(rows))
    z = rows @ (vectors / np.sqrt(np.maximum(values, 0.0) + LEAST_VARIANCE))

    def T(sums: np.ndarray) -> np.ndarray:
        return np.sum(sums**4, axis=-1)  # the mean of all rows is zero: the sum over m of them tells the difference

    as_large, observed = 0, T(z[:m].sum(0))
    for first in range(0, REPLICATES, BLOCK):
        order = rng.random((min(BLOCK, REPLICATES - first), len(rows))).argpartition(m, axis=1)
        chosen = np.zeros(order.shape)
        np.put_along_axis(chosen, order[:, :m], 1.0, axis=1)
        as_large += int(np.sum(T(chosen @ z) >= observed))
    return (1 + as_large) / (1 + REPLICATES)
