"""Metrics by intervention: one factor is held fixed, and the codes are asked which one it was.

    FactorVAE:  vote = argmin_i Var_batch(z_i) / Var(z_i),    in batches of observations that share factor j
    beta-VAE:   f = mean over pairs of |z_i - z'_i|,          both observations of a pair sharing factor j

A majority of votes, or a logistic regression on f, learns from one half of the rows which factor was shared; its
accuracy on the other half is the score.

*Fixing a factor.* Both need observations that share factor j. Among given rows none do, so neighbours in factor j are
taken, at most a tenth of the rows apart; everything else varies among them as in the data, if factors are independent.
`draw(rng, theta) -> codes` fixes it exactly and costs simulator calls. FactorVAE score of 10 principal components of a
damped oscillator, three seeds: .88 to .92 with neighbours among 5000 rows, .89 to .91 drawn; .82 to .90 and .91 to .93
for 200 rows. So `draw` is worth its calls only where rows are few (or factors correlated), and real data have nothing
but neighbours.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import ArrayLike, Bool, Float

from avo.latents.probes import check_active, check_factors
from avo.scikit import sklearn_module

BATCH = 64  # observations that share a factor, as in the study of Locatello et al. (2019)
BATCHES = 200  # per factor and half
SHARE = 0.1  # of the rows that neighbours in a factor may be apart

Draw = Callable[[np.random.Generator, np.ndarray], ArrayLike]


def factor_vae_score(
    codes: ArrayLike, factors: ArrayLike, *, draw: Draw | None = None, active: ArrayLike | None = None, seed: int = 0
) -> Float[np.ndarray, " d"]:
    """FactorVAE score of each factor, whose mean is the score; 1 at best, 1/d by chance.

        vote = argmin_i Var_batch(z_i) / Var(z_i),    in a batch of 64 observations that share factor j

    A code is said to stand for the factor that gives it most votes. The score of factor j is the share of its votes
    that go to codes which stand for j, learned from the votes of one half of the rows and counted on the other.
    Kim and Mnih (2018, arXiv:1802.05983).

    Args:
        codes: with shape (n, k).
        factors: with shape (n, d), d at least 2.
        draw: `draw(rng, theta) -> codes` to fix the factor exactly; None: batches are neighbours in factor j, 64 or a
            tenth of half the rows.
        active: codes that may be voted for, with shape (k,); None: those that vary.
        seed: of batches.

    Example:
        >>> y = np.random.default_rng(0).uniform(size=(1000, 3))
        >>> factor_vae_score(y[:, [2, 0, 1]], y).tolist()
        [1.0, 1.0, 1.0]
    """
    z, y = check_factors(codes, factors)
    keep = np.ptp(z, axis=0) > 0
    if active is not None:
        keep &= check_active("active", active, z.shape[1])
    if not keep.any():
        return np.zeros(y.shape[1])
    sd = z[:, keep].std(0)
    rng = np.random.default_rng(seed)
    votes = []
    for rows in np.array_split(rng.permutation(len(z)), 2):
        batches = _batches(z[rows], y[rows], draw, rng)[..., keep]
        chosen = np.argmin(np.var(batches / sd, axis=2), axis=2)
        votes.append(np.stack([np.bincount(row, minlength=len(sd)) for row in chosen]))
    stands_for = np.argmax(votes[0], axis=0)
    right = stands_for[None] == np.arange(y.shape[1])[:, None]
    return np.sum(votes[1] * right, axis=1) / votes[1].sum(1)


def beta_vae_score(
    codes: ArrayLike, factors: ArrayLike, *, draw: Draw | None = None, seed: int = 0
) -> Float[np.ndarray, " d"]:
    """beta-VAE score of each factor, whose mean is the score; 1 at best, 1/d by chance.

        f = mean over 64 pairs of |z_i - z'_i|,    both observations of a pair sharing factor j

    A logistic regression says from f which factor was shared; the score of factor j is how often it is right about j,
    on pairs from another half of the rows. Higgins et al. (2017, ICLR). Features are
    standardised for the regression. It is 1 for many codes that mix factors: rotations too.

    Args:
        codes: with shape (n, k).
        factors: with shape (n, d), d at least 2.
        draw: as for `factor_vae_score`; without it pairs are neighbours in factor j.
        seed: of pairs.

    Example:
        >>> y = np.random.default_rng(0).uniform(size=(1000, 3))
        >>> beta_vae_score(y[:, [2, 0, 1]], y).tolist()
        [1.0, 1.0, 1.0]
    """
    z, y = check_factors(codes, factors)
    rng = np.random.default_rng(seed)
    sets = []
    for rows in np.array_split(rng.permutation(len(z)), 2):
        first, second = _pairs(z[rows], y[rows], draw, rng)
        sets.append(np.mean(np.abs(first - second), axis=2).reshape(-1, z.shape[1]))
    label = np.repeat(np.arange(y.shape[1]), BATCHES)
    train, test = sets
    middle, width = train.mean(0), train.std(0)
    width = np.where(width > 0, width, 1.0)
    model = sklearn_module("linear_model").LogisticRegression(max_iter=1000).fit((train - middle) / width, label)
    right = model.predict((test - middle) / width) == label
    return right.reshape(y.shape[1], BATCHES).mean(1)


def _batches(z: np.ndarray, y: np.ndarray, draw: Draw | None, rng: np.random.Generator) -> np.ndarray:
    """Codes of observations that share factor j, with shape (d, BATCHES, rows of a batch, k)."""
    n, d = y.shape
    if draw is not None:
        anchors, others = rng.integers(n, size=(d, BATCHES)), rng.integers(n, size=(d, BATCHES, BATCH))
        return _drawn(draw, rng, y[others], y[anchors][:, :, None])
    size = min(BATCH, max(4, int(SHARE * n)))
    starts = rng.integers(n - size + 1, size=(d, BATCHES, 1))
    order = np.argsort(y, axis=0)
    return z[order[starts + np.arange(size), np.arange(d)[:, None, None]]]


def _pairs(z: np.ndarray, y: np.ndarray, draw: Draw | None, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Codes of BATCH pairs that share factor j, each with shape (d, BATCHES, BATCH, k)."""
    n, d = y.shape
    if draw is not None:
        first, second = rng.integers(n, size=(2, d, BATCHES, BATCH))
        return _drawn(draw, rng, y[first], y[first]), _drawn(draw, rng, y[second], y[first])
    reach = max(1, int(SHARE * n) // 10)
    first = rng.integers(n, size=(d, BATCHES, BATCH))
    step = rng.integers(1, reach + 1, size=first.shape) * rng.choice([-1, 1], size=first.shape)
    second = np.where((first + step >= 0) & (first + step < n), first + step, first - step)
    order, column = np.argsort(y, axis=0), np.arange(d)[:, None, None]
    return z[order[first, column]], z[order[second, column]]


def _drawn(draw: Draw, rng: np.random.Generator, theta: np.ndarray, shared: np.ndarray) -> np.ndarray:
    """Encode simulations at theta (d, batches, rows, d) whose factor j is replaced, in part j, by that of `shared`."""
    d = theta.shape[-1]
    fixed: Bool[np.ndarray, "d 1 1 d"] = np.eye(d, dtype=bool)[:, None, None]
    theta = np.where(fixed, shared, theta).reshape(-1, d)
    codes = np.asarray(draw(rng, theta), np.float64)
    if codes.ndim != 2 or len(codes) != len(theta) or not np.isfinite(codes).all():
        raise ValueError(f"draw must return finite codes, one row for each of {len(theta)} thetas; got {codes.shape}.")
    return codes.reshape(d, BATCHES, -1, codes.shape[1])
