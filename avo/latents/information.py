"""Mutual information of binned codes and factors, and the two scores made of it: MIG and modularity.

Codes and factors are cut into 20 bins of equal frequency. Information is then the same for any increasing function of a
code or factor, H(y_j) = log 20, and outliers change nothing; binning="width" cuts both into bins of equal width, as the
study of Locatello et al. (2019) does with codes. Two things keep real codes below 1:

- plug-in information is biased upwards, by (bins - 1)^2 / (2 n) nats between independent values: .036 of log 20 = 3.0
  for n = 5000, which exact codes do not have, so that their MIG is .99;
- codes that are off by a little are often in the wrong bin: factors plus noise of a tenth of their standard
  deviation, R^2 = .99, have a MIG of .65.
"""

from typing import Literal, get_args

import numpy as np
from jaxtyping import ArrayLike, Float, Int

from avo.checks import one_of, whole
from avo.latents.probes import check_factors, check_pair

ROUNDING = 1e-12  # of information, in nats: a dead code must be dead

Binning = Literal["frequency", "width"]


def mutual_information(
    codes: ArrayLike, factors: ArrayLike, *, bins: int = 20, binning: Binning = "frequency"
) -> Float[np.ndarray, "k d"]:
    """Plug-in mutual information of each binned code with each binned factor, in nats.

        I_ij = sum_ab p_ab log(p_ab / (p_a p_b)),    p_ab the share of rows with code i in bin a and factor j in bin b

    Args:
        codes: with shape (n, k).
        factors: with shape (n, d).
        bins: of each code and factor. Equal values share a bin.
        binning: "frequency", bins that hold equally many rows, or "width".

    Example:
        >>> y = np.repeat(np.arange(50.0), 50)
        >>> z = np.stack([-np.exp(y), np.tile(np.arange(50.0), 50)], axis=1)
        >>> bool(np.allclose(mutual_information(z, y[:, None], bins=5), [[np.log(5)], [0.0]]))
        True
    """
    z, y = check_pair(codes, factors)
    return information_of(bin_numbers(z, bins, binning), bin_numbers(y, bins, binning))[0]


def mig(
    codes: ArrayLike, factors: ArrayLike, *, bins: int = 20, binning: Binning = "frequency"
) -> Float[np.ndarray, " d"]:
    """Mutual information gap of each factor; the score is their mean.

        MIG_j = (I_(1)j - I_(2)j) / H(y_j),    I_(1)j and I_(2)j the largest and the second largest of I_ij over codes

    Chen, Li, Grosse and Duvenaud (2018, arXiv:1802.04942). Arguments are those of `mutual_information`.

    Example:
        >>> y = np.stack(np.meshgrid(np.arange(20), np.arange(20)), axis=-1).reshape(-1, 2)
        >>> mig(y[:, ::-1] ** 3, y).round(6).tolist()  # a grid: information has no bias
        [1.0, 1.0]
    """
    z, y = check_pair(codes, factors)
    return mig_of(*information_of(bin_numbers(z, bins, binning), bin_numbers(y, bins, binning)))


def modularity(
    codes: ArrayLike, factors: ArrayLike, *, bins: int = 20, binning: Binning = "frequency"
) -> Float[np.ndarray, " k"]:
    """Modularity of each code: whether it tells of one factor only; the score is their mean.

        1 - (sum_j I_ij^2 - max_j I_ij^2) / ((d - 1) max_j I_ij^2),    0 for a code that tells of none

    Ridgeway and Mozer (2018, arXiv:1802.05312), section 3. Codes that hold nothing but noise score low, .2 for 4
    factors and 5000 rows, and so lower the mean. Arguments are those of `mutual_information`.

    Example:
        >>> y = np.stack(np.meshgrid(np.arange(20), np.arange(20)), axis=-1).reshape(-1, 2)
        >>> modularity(np.stack([y[:, 1], 0 * y[:, 1]], axis=1), y).round(6).tolist()
        [1.0, 0.0]
    """
    z, y = check_factors(codes, factors)
    return modularity_of(information_of(bin_numbers(z, bins, binning), bin_numbers(y, bins, binning))[0])


def bin_numbers(a: Float[np.ndarray, "n c"], bins: int, binning: Binning) -> Int[np.ndarray, "c n"]:
    """Number the bins of each column; equal values share one."""
    inner = np.arange(1, whole("bins", bins, least=2)) / bins
    one_of("binning", binning, get_args(Binning))
    if binning == "frequency":
        edges = np.quantile(a, inner, axis=0)
    else:
        edges = a.min(0) + inner[:, None] * np.ptp(a, axis=0)
    return np.stack([np.searchsorted(e, column, side="right") for e, column in zip(edges.T, a.T, strict=True)])


def information_of(
    z: Int[np.ndarray, "k n"], y: Int[np.ndarray, "d n"]
) -> tuple[Float[np.ndarray, "k d"], Float[np.ndarray, " d"]]:
    """Compute I_ij, and H(y_j) = I(y_j; y_j)."""
    size = int(max(z.max(), y.max())) + 1
    information = np.array([[_plug_in(a, b, size) for b in y] for a in z])
    return information, np.array([_plug_in(b, b, size) for b in y])


def _plug_in(a: Int[np.ndarray, " n"], b: Int[np.ndarray, " n"], size: int) -> float:
    p = np.bincount(a * size + b, minlength=size**2).reshape(size, size) / len(a)
    independent = np.outer(p.sum(1), p.sum(0))
    seen = p > 0
    found = float(np.sum(p[seen] * np.log(p[seen] / independent[seen])))
    return found if found > ROUNDING else 0.0


def gaps(matrix: Float[np.ndarray, "k d"]) -> Float[np.ndarray, " d"]:
    """Subtract from the largest of each column the second largest, 0 where there is one code only."""
    ordered = np.sort(np.vstack([np.zeros(matrix.shape[1]), matrix]), axis=0)
    return ordered[-1] - ordered[-2]


def mig_of(information: Float[np.ndarray, "k d"], entropy: Float[np.ndarray, " d"]) -> Float[np.ndarray, " d"]:
    """Compute (I_(1)j - I_(2)j) / H(y_j)."""
    if not entropy.all():
        raise ValueError(
            f"factors must fall into at least 2 bins; column {np.argmin(entropy)} falls into one, since nearly all of "
            'its values are equal. Use more bins, or binning="width".'
        )
    return gaps(information) / entropy


def modularity_of(information: Float[np.ndarray, "k d"]) -> Float[np.ndarray, " k"]:
    """Compute 1 - (sum_j I_ij^2 - max_j I_ij^2) / ((d - 1) max_j I_ij^2) of each code."""
    square = information**2
    best = square.max(1)
    rest = (square.sum(1) - best) / (square.shape[1] - 1)
    return np.where(best > 0, 1 - rest / np.where(best > 0, best, 1.0), 0.0)
