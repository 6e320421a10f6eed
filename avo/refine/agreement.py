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

Where t leaves a direction open, further pairs, which lie far apart along it, say whether the features do: their slope
is held against random signs of its terms (`responds`). If they do, x says more than the learned t, and the equation is
solved by half: its end is no answer yet, and p of the place where it happens to lie would say nothing of the simulator.

Of stored rows around the place, the mean of e there is a local fit (avo/refine/local.py), a sum l_i e_i over rows, and
p the share of random signs of all terms, whose sum is z, with which T is as large:

    z* = W (sum_j s_j (e_j - mean) / m - sum_i s_i l_i (e_i - fit_i)),    s = -1 or 1
"""

from dataclasses import replace
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from avo.execution.blocks import Drawn
from avo.refine.equation import Equation, Information, Noise, slope_by_condition
from avo.refine.estimate import UNDETERMINED, UNLIKELY
from avo.refine.features import CLIP, quantiles
from avo.weights import thinned

REPLICATES = 399  # choices of rows
MOST = 10_000  # simulations that are looked at
LEAST = 100  # of those, and no fewer: without them nothing is known of the tails
LEAST_THINNED = 20  # observations that are left of weighted ones
LEAST_VARIANCE = 0.01  # of a direction of the features, which are of variance one: below, it is noise of the covariance
LEAST_TOLD = 0.1  # of what features say of an identified direction: less is not told from noise
BLOCK = 50  # choices at a time


class Agreement(NamedTuple):
    """What all features say of an estimate.

    Args:
        p: of the observations against simulations at the estimate; None where it is not known.
        hidden: whether they respond to a direction of u that t leaves open.
    """

    p: float | None
    hidden: bool = False


def checked(
    equation: Equation, inverse: Float[np.ndarray, "d k"], found: Information, rng: np.random.Generator,
    apart: tuple[Float[np.ndarray, "n d"], Drawn] | None = None,
) -> Agreement:  # fmt: skip
    """Hold the observations against simulations at the place of an equation's last step, in all features.

    Args:
        equation: that was solved, with a learned statistic; its last simulations serve.
        inverse: A^+ where its last pairs were drawn, zero for a parameter that is held at its bound.
        found: what t identifies.
        rng: randomness of the choices.
        apart: pairs around the place that lie far apart along what t leaves open: how far along each direction, and the
            rows; None where there are none.

    Returns:
        p, None where there are clusters, or too few simulations, or where `hidden`.
    """
    if equation.pairs is None or equation.there is None:
        return Agreement(None)
    (du, pairs), there = equation.pairs, equation.there
    if equation.observed.clusters is not None or there.ok[:MOST].sum() < LEAST:
        return Agreement(None)
    shares, gaps = equation.observed.shares, equation.observed.gaps
    looked_at = None if shares is None else thinned(shares, rng)
    if looked_at is not None and len(looked_at) < LEAST_THINNED:
        return Agreement(None)
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

    def responses(du: np.ndarray, pairs: Drawn) -> tuple[np.ndarray, Noise]:
        ok, f = pairs.ok[: len(du)] & pairs.ok[len(du) :], other.known(pairs)
        moved, _ = other.values(pairs, np.concatenate([ok, ok]))
        plus, minus = shown(moved[: ok.sum()]), shown(moved[ok.sum() :])
        return slope_by_condition(du[ok], plus, minus, None if f is None else f[: len(du)][ok])

    if apart is not None and responds(*responses(*apart), found.identified, shown(g_obs), rng):
        return Agreement(None, hidden=True)
    A, _ = responses(du, pairs)
    carried = (A @ inverse).T
    e, e_obs = shown(g) - t @ carried, shown(g_obs) - t_obs @ carried
    return Agreement(share_as_large(e, e_obs, rng))


def responds(
    A: Float[np.ndarray, "k d"], noise: Noise, identified: np.ndarray, g_obs: Float[np.ndarray, "m k"],
    rng: np.random.Generator,
) -> bool:  # fmt: skip
    """Tell whether features respond to a direction that t leaves open, so that the observations would identify it.

        a = P W A_o,    |a|^2 - what noise adds > 1 / sd^2,    sd = `UNDETERMINED`,    W^T W = Cov(mean over g_obs)^-1

    for each open direction o. P leaves out the span of W A_i, i the identified directions, of which an open one, known
    by simulations, always has a little, c. Since P W A_i = 0 while A_i has noise, a has that of A_o - A_i c:

        c = G_ii^-1 G_io,    G = A^T W^T W A - what noise adds

    Args:
        A: slope of the features' means along each direction.
        noise: its sampling error.
        identified: which directions t tells.
        g_obs: the observations' features.
        rng: randomness of the signs.

    Example:
        >>> from avo.refine.equation import slope
        >>> rng = np.random.default_rng(0)
        >>> du, e, g_obs = rng.normal(size=(400, 2)), rng.normal(size=(400, 3)), rng.normal(size=(300, 3))
        >>> def told(*A):
        ...     odd = du @ np.array(A) + e
        ...     return responds(*slope(du, odd, -odd), np.array([True, False]), g_obs, rng)
        >>> told([1.0, 0.5, 0.0], [0.2, 0.1, 0.0])  # a little of what is identified
        False
        >>> told([1.0, 0.5, 0.0], [0.2, 0.5, 0.0])
        True
    """
    V = np.cov(g_obs.T).reshape(len(A), -1)
    unit = np.sqrt(np.maximum(np.diagonal(V), 1e-12))
    values, vectors = np.linalg.eigh(V / np.outer(unit, unit))
    W = vectors / np.sqrt((np.maximum(values, 0.0) + LEAST_VARIANCE) / len(g_obs)) / unit[:, None]
    seen, told = W.T @ A, np.ix_(identified, identified)
    raw = seen.T @ seen
    G = raw - noise.bias(W @ W.T)
    values, axes = np.linalg.eigh(G[told])
    size = np.diagonal(axes.T @ raw[told] @ axes)
    c = axes / np.maximum(values, LEAST_TOLD * size) @ axes.T @ G[identified]
    P = np.linalg.qr(seen[:, identified], mode="complete")[0][:, identified.sum() :]
    for o in np.flatnonzero(~identified) if P.size else ():
        way, own = seen[:, o] @ P, noise.weights[:, [o]]
        along = own - noise.weights[:, identified] @ c[:, [o]]
        errors = noise.residuals @ W @ P * along
        # The slope is the sum of its terms: what the others leave of du along o is own / sum of own^2
        terms = errors + own**2 / np.sum(own**2) * way
        clear = way @ way - np.sum(errors**2) > 1 / UNDETERMINED**2
        if clear and p_of_terms(terms, terms[:0], way, rng) < UNLIKELY:
            return True
    return False


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
