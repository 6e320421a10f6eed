"""What codes tell of factors: regressions that learn from labelled rows and are tested on the others.

    R^2_j = 1 - sum (y_j - y_hat_j)^2 / sum (y_j - mean y_j)^2,    NRMSE_j = sqrt(mean (y_j - y_hat_j)^2) / range of y_j

over held-out rows; R^2 is below zero where a regression is worse than the mean. A linear regression asks whether a
factor can be read off, boosted trees whether it is there at all. Probes spend labels: give the same number to whatever
codes are compared with, raw observations included, or what the probe has learned is credited to the encoder.

The trees are scikit-learn's `GradientBoostingRegressor` as it comes: 100 trees of depth 3, learning rate .1, all rows.
Tried on the 10 principal components of a damped oscillator with 4 factors (2500 rows to learn from, CPU seconds for all
factors; D and C are `dci`'s, whose value for 10 codes of pure noise should be 0):

    regression                                 R^2 (lowest of 4)    D of PCA    C of PCA    D of noise    CPU s
    gradient boosting, as it comes             .93                  .80         .63         .01           1.8
    each tree on half of the rows              .93                  .78         .62         .01           1.0
    the same, each split on half of the codes  .94                  .69         .52         .00           .7
    100 extremely randomised trees, leaves 5   .96                  .72         .55         .00           .9
    histogram boosting, permutation            .96                  .81         .65         .59           1.8

Permutation importance on held-out rows makes much of noise, since what is negative is cut off. Random splits share
importance among codes and lower D even for perfect codes (.94). The plain trees are also the study's, so that numbers
can be compared. Histogram boosting explains somewhat more, but its threads wait for each other where several processes
share the cores, and then it takes five times as long.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import ArrayLike, Float, Int

from avo.checks import whole
from avo.observations import validate_observations
from avo.scikit import sklearn_module

LEAST_ROWS = 40


class TrainTest(NamedTuple):
    """Rows that a probe learns from, and its test set."""

    train: Int[np.ndarray, " labels"]
    test: Int[np.ndarray, " rest"]


class Trees(NamedTuple):
    """Boosted trees, one ensemble per factor.

    Args:
        importance: of code i for factor j, with shape (k, d): share of the squared error that splits at code i remove.
        r2: of each factor on the test set, with shape (d,).
        nrmse: likewise.
    """

    importance: Float[np.ndarray, "k d"]
    r2: Float[np.ndarray, " d"]
    nrmse: Float[np.ndarray, " d"]


def check_pair(codes: ArrayLike, factors: ArrayLike) -> tuple[Float[np.ndarray, "n k"], Float[np.ndarray, "n d"]]:
    """Check codes and factors once: finite, two axes, one row each per observation, factors that vary."""
    z, y = validate_observations(codes, "codes"), validate_observations(factors, "factors")
    for name, a in (("codes", z), ("factors", y)):
        if a.ndim != 2:
            raise ValueError(f"{name} must have one observation per row and one column each; got shape {a.shape}.")
    if len(z) != len(y) or len(z) < LEAST_ROWS:
        raise ValueError(
            f"codes and factors must be of the same observations, at least {LEAST_ROWS}; got {len(z)} and {len(y)} "
            "rows."
        )
    constant = np.flatnonzero(np.ptp(y, axis=0) == 0)
    if constant.size:
        raise ValueError(f"factors must vary; column {constant[0]} is the same in all rows. Leave it out.")
    return z, y


def check_factors(codes: ArrayLike, factors: ArrayLike) -> tuple[Float[np.ndarray, "n k"], Float[np.ndarray, "n d"]]:
    """Check codes and at least two factors."""
    z, y = check_pair(codes, factors)
    if y.shape[1] < 2:
        raise ValueError("factors must have at least 2 columns: there is nothing to tell a single factor from.")
    return z, y


def check_active(name: str, active: ArrayLike, codes: int) -> np.ndarray:
    """Check which codes are active: true or false for each."""
    found = np.asarray(active)
    if found.shape != (codes,) or found.dtype != bool:
        raise ValueError(f"{name} must say true or false of each of {codes} codes; got {found.dtype} {found.shape}.")
    return found


def split_rows(rows: int, labels: int | None, seed: int) -> TrainTest:
    """Split rows at random: `labels` of them to learn from, half where None, the rest as test set."""
    count = rows // 2 if labels is None else whole("labels", labels, least=2)
    if rows - count < LEAST_ROWS // 2:
        raise ValueError(
            f"labels must leave at least {LEAST_ROWS // 2} of {rows} rows to test the probe; got {count}. Give more "
            "rows or fewer labels."
        )
    order = np.random.default_rng(seed).permutation(rows)
    return TrainTest(order[:count], order[count:])


def linear_r2(
    codes: ArrayLike, factors: ArrayLike, *, labels: int | None = None, seed: int = 0
) -> Float[np.ndarray, " d"]:
    """R^2 of each factor by least squares on the codes, on held-out rows.

    Args:
        codes: with shape (n, k).
        factors: with shape (n, d).
        labels: rows to learn from; None: half.
        seed: of the split.

    Raises:
        ValueError: if shapes do not fit, or a factor does not vary.

    Example:
        >>> z = np.random.default_rng(0).normal(size=(200, 3))
        >>> linear_r2(z, np.stack([z @ [1.0, 2.0, 3.0], z[:, 0] - 4.0], axis=1)).round(6).tolist()
        [1.0, 1.0]
    """
    z, y = check_pair(codes, factors)
    split = split_rows(len(z), labels, seed)
    model = sklearn_module("linear_model").LinearRegression().fit(z[split.train], y[split.train])
    return r2(model.predict(z[split.test]), y[split.test])


def boosted_r2(
    codes: ArrayLike, factors: ArrayLike, *, labels: int | None = None, seed: int = 0
) -> Float[np.ndarray, " d"]:
    """R^2 of each factor by gradient-boosted trees on the codes, on held-out rows: the informativeness of DCI.

    Arguments and errors are those of `linear_r2`.

    Example:
        >>> z = np.random.default_rng(0).uniform(-1, 1, size=(1000, 2))
        >>> y = np.stack([z[:, 0] ** 2, z[:, 1]], axis=1)  # what a linear regression cannot read off
        >>> bool(boosted_r2(z, y)[0] > 0.95), bool(linear_r2(z, y)[0] < 0.05)
        (True, True)
    """
    z, y = check_pair(codes, factors)
    return trees(z, y, split_rows(len(z), labels, seed), seed).r2


def trees(z: Float[np.ndarray, "n k"], y: Float[np.ndarray, "n d"], split: TrainTest, seed: int) -> Trees:
    """Boost trees for each factor."""
    regressor = sklearn_module("ensemble").GradientBoostingRegressor
    models: list[Any] = [regressor(random_state=seed).fit(z[split.train], column) for column in y[split.train].T]
    predicted = np.stack([model.predict(z[split.test]) for model in models], axis=1)
    importance = np.stack([model.feature_importances_ for model in models], axis=1)
    importance[:, importance.sum(0) == 0] = 1 / len(importance)  # of trees that never split
    return Trees(importance, r2(predicted, y[split.test]), nrmse(predicted, y[split.test]))


def _alike(predicted: ArrayLike, factors: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    p, y = np.asarray(predicted, float), np.asarray(factors, float)
    if p.shape != y.shape or p.ndim != 2:
        raise ValueError(f"predicted and factors must have one shape (n, d); got {p.shape} and {y.shape}.")
    return p, y


def r2(predicted: Float[ArrayLike, "n d"], factors: Float[ArrayLike, "n d"]) -> Float[np.ndarray, " d"]:
    """Compute R^2 = 1 - sum (y - y_hat)^2 / sum (y - mean y)^2 of each column; of estimates of theta too.

    Example:
        >>> r2([[0.0], [2.0], [1.0]], [[0.0], [2.0], [4.0]]).tolist()
        [-0.125]
    """
    predicted, y = _alike(predicted, factors)
    return 1 - np.sum((y - predicted) ** 2, axis=0) / np.sum((y - y.mean(0)) ** 2, axis=0)


def nrmse(predicted: Float[ArrayLike, "n d"], factors: Float[ArrayLike, "n d"]) -> Float[np.ndarray, " d"]:
    """Compute sqrt(mean (y - y_hat)^2) / (max y - min y) of each column; of estimates of theta too.

    Of factors that are uniform on a box it is the error as a share of the box, and .29 for guessing the mean.

    Example:
        >>> nrmse([[1.0], [1.0]], [[0.0], [4.0]]).round(4).tolist()
        [0.559]
    """
    predicted, y = _alike(predicted, factors)
    return np.sqrt(np.mean((y - predicted) ** 2, axis=0)) / np.ptp(y, axis=0)
