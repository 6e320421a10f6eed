"""Rare frauds among card payments: a table of known law, in place of one that may not be passed on.

The recipe "fraud-talk" (`avo.latents.recipe`) was shown on the payments of European cardholders (284,807 rows, 492 of
them frauds, .17 %; 28 components of a rotation, time and amount). This table has its shape, its rarity, and what makes
such tables hard: frauds that no column shows by itself. With columns j = 1..28, factors z of a row and fixed B and C,

    v_j = s_j (sum_k B_jk z_k + C_jk (z_k^2 - 1) / 2 + .3 e_j),    z ~ N(0, I_8),  e_j ~ t_5,  s_j = 2 exp(-j / 14)
    time ~ U(0, 48) h,    log amount ~ N(3.3 + .5 z_1, .8^2)

so that normal rows lie near a bent surface of eight dimensions. Frauds are of three kinds, by chance:

    "broken"    .6    eight of the columns, drawn anew for each row, hold those of eight other payments: each by itself
                      is as usual, together they are not
    "shifted"   .3    four of the columns lie three of their standard deviations higher
    "alike"     .1    as normal payments are; nobody finds them, so that no area under a ROC curve is above .95 but by
                      chance, nor any share found much above .9 at few false alarms
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from avo import checks
from avo.checks import whole

COLUMNS, FACTORS, NOISE = 28, 8, 0.3
KINDS = {"broken": 0.6, "shifted": 0.3, "alike": 0.1}
MIXED, MOVED, BY = 8, 4, 3.0


class Payments(NamedTuple):
    """Rows of payments, (n, 30), which of them are frauds, and of which kind; "" is none."""

    x: Float[np.ndarray, "n 30"]
    fraud: Bool[np.ndarray, " n"]
    kind: np.ndarray


def payments(normal: int, frauds: int, *, seed: int = 0) -> Payments:
    """Draw payments, some of them frauds, by the law of avo/latents/frauds.py, in random order.

    Args:
        normal: rows that are no frauds.
        frauds: rows that are; 0 for a table to learn from.
        seed: same seed, same rows; the law itself does not depend on it.

    Raises:
        ValueError: if an argument is not as described.

    Example:
        >>> table = payments(1000, 20, seed=1)
        >>> table.x.shape, int(table.fraud.sum()), sorted(set(table.kind.tolist()))
        ((1020, 30), 20, ['', 'alike', 'broken', 'shifted'])
    """
    normal, frauds = whole("normal", normal), whole("frauds", frauds, least=0)
    rng = np.random.default_rng(checks.seed("seed", seed))
    x = _usual(rng, normal + frauds)
    kind = np.full(normal + frauds, "", dtype="<U7")
    kind[normal:] = rng.choice(list(KINDS), size=frauds, p=list(KINDS.values()))
    for i in np.flatnonzero(kind == "broken"):
        at = rng.choice(COLUMNS, MIXED, replace=False)
        x[i, at] = _usual(rng, MIXED)[np.arange(MIXED), at]
    sd = _scales() * np.sqrt(_variance())
    for i in np.flatnonzero(kind == "shifted"):
        at = rng.choice(COLUMNS, MOVED, replace=False)
        x[i, at] += BY * sd[at]
    order = rng.permutation(len(x))
    return Payments(x[order], (kind != "")[order], kind[order])


def _scales() -> Float[np.ndarray, " 28"]:
    return 2 * np.exp(-np.arange(1, COLUMNS + 1) / 14)


def _law() -> tuple[Float[np.ndarray, "28 8"], Float[np.ndarray, "28 8"]]:
    """Make B and C, which are the same for all tables."""
    b, c = np.random.default_rng(1998).normal(size=(2, COLUMNS, FACTORS)) / np.sqrt(FACTORS)
    return b, c


def _variance() -> Float[np.ndarray, " 28"]:
    """Compute the variances of the columns over s^2: of z 1, of (z^2 - 1) / 2 a half, of t_5 five thirds."""
    b, c = _law()
    return np.sum(b**2 + c**2 / 2, axis=1) + NOISE**2 * 5 / 3


def _usual(rng: np.random.Generator, n: int) -> Float[np.ndarray, "n 30"]:
    """Draw normal payments."""
    b, c = _law()
    z = rng.normal(size=(n, FACTORS))
    v = z @ b.T + (z**2 - 1) / 2 @ c.T + NOISE * rng.standard_t(5, size=(n, COLUMNS))
    amount = np.exp(3.3 + 0.5 * z[:, 0] + 0.8 * rng.normal(size=n))
    return np.column_stack([_scales() * v, rng.uniform(0, 48, n), amount])
