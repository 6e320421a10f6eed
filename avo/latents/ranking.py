"""Choosing a model without labels: unsupervised disentanglement ranking, UDR.

What is disentangled is alike in all runs, up to order, sign and scale; what is not, is not in its own way. So codes of
the same observations by models that differ in their seed are compared in pairs. With R_ab >= 0 how well code a of
model i matches code b of model j,

    UDR_ij = [ sum_a (max_b R_ab)^2 / sum_b R_ab  +  sum_b (max_a R_ab)^2 / sum_a R_ab ] / (k_i + k_j)
    UDR_i  = median over j of UDR_ij

sums over the k_i and k_j active codes, those that say something. Duan, Matthey, Saraiva, Watters, Burgess, Lerchner and
Higgins (ICLR 2020, arXiv:1905.12614). Their code in disentanglement_lib takes the mean of both sides instead, the same
where k_i = k_j.

It measures repeatability, no more: a method without chance, such as PCA, scores as if it were disentangled. Compare
seeds within a family of models.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from jaxtyping import ArrayLike, Float
from scipy.stats import rankdata

from avo.checks import one_of
from avo.latents.probes import check_active
from avo.observations import validate_observations
from avo.scikit import sklearn_module

ALPHA = 0.1  # of the lasso, as published

Relation = Literal["spearman", "lasso"]


def udr(
    codes: Sequence[ArrayLike],
    *,
    active: Sequence[ArrayLike] | None = None,
    relation: Relation = "spearman",
) -> Float[np.ndarray, " models"]:
    """Compute UDR_i of each of several models, from 0 to 1; choose the highest (equation at the head of the module).

    Args:
        codes: of each model, (n, k_i), all of the same n observations in the same order.
        active: of each model which codes are active, (k_i,); of a VAE, those whose KL is above .01 nats. None:
            those that vary.
        relation: R_ab. "spearman": the absolute rank correlation, UDR_S, 1 for codes that are permuted, rescaled and
            flipped in sign. "lasso": the absolute weights of a linear regression of standardised codes with an L1
            penalty of .1, UDR_L, which sees through codes that are correlated but shrinks a perfect match to .9.

    Returns:
        One number per model.

    Raises:
        ValueError: if there are fewer than two models, rows differ, or a model has no active code.
        ImportError: if relation is "lasso" and scikit-learn is not installed.

    Example:
        >>> z = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
        >>> udr([z, -3 * z[:, ::-1], z + 1]).tolist()
        [1.0, 1.0, 1.0]
        >>> udr([z, z @ [[1.0, 1.0], [-1.0, 1.0]]]).round(3).tolist()
        [0.354, 0.354]
    """
    if isinstance(codes, np.ndarray) and codes.ndim < 3:
        raise ValueError(f"codes must be a list of arrays (n, k), one for each model; got one array {codes.shape}.")
    if len(codes) < 2:
        raise ValueError(f"codes must be of at least 2 models, e.g. 5 seeds; got {len(codes)}.")
    one_of("relation", relation, get_args(Relation))
    if active is not None and len(active) != len(codes):
        raise ValueError(f"active must have one entry for each of {len(codes)} models; got {len(active)}.")
    kept = [_active_codes(z, None if active is None else active[i], i) for i, z in enumerate(codes)]
    if len({len(z) for z in kept}) > 1:
        raise ValueError(f"codes must be of the same observations; got {', '.join(str(len(z)) for z in kept)} rows.")
    match = _spearman if relation == "spearman" else _lasso
    if match is _spearman:
        kept = [_standard(rankdata(z, axis=0)) for z in kept]
    pairs = np.array([[np.nan if a is b else _pair(match(a, b)) for b in kept] for a in kept])
    return np.nanmedian(pairs, axis=1)


def _active_codes(codes: ArrayLike, active: ArrayLike | None, i: int) -> Float[np.ndarray, "n k"]:
    z = validate_observations(codes, f"codes[{i}]")
    keep = np.ptp(z, axis=0) > 0
    if active is not None:
        keep &= check_active(f"active[{i}]", active, z.shape[1])
    if not keep.any():
        raise ValueError(f"codes[{i}] must have at least one active code; none varies or is named. Leave it out.")
    return _standard(z[:, keep])


def _standard(z: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
    return (z - z.mean(0)) / z.std(0)


def _spearman(a: Float[np.ndarray, "n k"], b: Float[np.ndarray, "n l"]) -> Float[np.ndarray, "k l"]:
    return np.abs(a.T @ b) / len(a)


def _lasso(a: Float[np.ndarray, "n k"], b: Float[np.ndarray, "n l"]) -> Float[np.ndarray, "k l"]:
    model = sklearn_module("linear_model").Lasso(alpha=ALPHA).fit(a, b)
    return np.abs(np.atleast_2d(model.coef_)).T


def _pair(r: Float[np.ndarray, "k l"]) -> float:
    """Compute UDR_ij; a code that matches nothing counts as 0."""
    total = 0.0
    for axis in (0, 1):
        best, together = r.max(axis), r.sum(axis)
        total += np.sum(np.divide(best**2, together, out=np.zeros_like(best), where=together > 0))
    return float(total / sum(r.shape))
