"""Whether two samples are told apart by the classical discriminants, as critics that are solved for and not trained.

A classifier of rows of two samples tests whether they have one law: it tells them apart better than by tossing a coin
only if they have not (Lopez-Paz and Oquab 2017, arXiv:1610.06545). Of two normal populations the best one is known,

    lda         d(x) = (mu_x - mu_y)^T S^-1 (x - (mu_x + mu_y) / 2)                 of equal covariance S (Fisher 1936)
    qda         d(x) = log N(x; mu_x, S_x) - log N(x; mu_y, S_y)                    of unequal ones
    logistic    d(x) = v . x + c,  fitted to log odds                               whatever the populations are

and so is its accuracy for lda, Phi(delta / 2) with delta^2 = (mu_x - mu_y)^T S^-1 (mu_x - mu_y). lda and logistic see
nothing but means; qda sees spreads and correlations too, for d (d + 3) / 2 numbers of each sample. All three are
scikit-learn's, and every row is judged by a discriminant that has not seen it.
"""

from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import ArrayLike, Float
from scipy.stats import norm

from avo import checks
from avo.checks import one_of, whole
from avo.observations import validate_observations
from avo.scikit import sklearn_module

Discriminant = Literal["lda", "qda", "logistic"]


class Apart(NamedTuple):
    """How well two samples are told apart.

    Args:
        accuracy: share of rows, half of the weight to either sample, that are told rightly; .5 is by chance.
        stderr: its standard error, given the discriminants.
        p_value: share of permuted samples that are told apart as well, and one for the samples themselves.
    """

    accuracy: float
    stderr: float
    p_value: float

    @property
    def delta(self) -> float:
        """Distance between two normals of equal covariance, in its units, that are told apart so: 2 Phi^-1(accuracy).

        Example:
            >>> round(Apart(0.8413, 0.01, 0.005).delta, 2)
            2.0
        """
        return float(2 * norm.ppf(max(self.accuracy, 0.5)))


def told_apart(
    x: Float[ArrayLike, "n *x_shape"],
    y: Float[ArrayLike, "m *x_shape"],
    *,
    by: Discriminant = "lda",
    folds: int = 5,
    permutations: int = 200,
    seed: int = 0,
) -> Apart:
    """Test whether two samples have one law, by how well a discriminant tells their rows apart.

        accuracy = (share of x that is told as x + share of y that is told as y) / 2,    cross-fitted

    The p-value comes from the same computation on samples whose rows changed places, so that it holds for any law and
    few rows; a standard error alone does not: accuracies of folds depend on one another, and a normal test at .05
    rejects 6 to 12 % of samples of one law. It needs scikit-learn, the extra `compare`.

    Args:
        x: a sample, with shape (n, *x_shape); rows are flattened.
        y: the other, with shape (m, *x_shape).
        by: "lda", "qda" or "logistic".
        folds: parts, each of which is judged by what was learned from the others.
        permutations: samples that changed places; each takes as long as the test itself.
        seed: same seed, same numbers.

    Returns:
        `Apart(accuracy, stderr, p_value)`.

    Raises:
        ValueError: if the samples differ in shape, have fewer rows than folds, or too few for "qda", or are not finite.
        ImportError: if scikit-learn is not installed.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> found = told_apart(rng.normal(1.0, 1.0, (500, 2)), rng.normal(0.0, 1.0, (500, 2)), permutations=50)
        >>> bool(abs(found.accuracy - norm.cdf(2**0.5 / 2)) < 4 * found.stderr), found.p_value < 0.05
        (True, True)
    """
    one_of("by", by, get_args(Discriminant))
    folds = whole("folds", folds, least=2)
    permutations, seed = whole("permutations", permutations), checks.seed("seed", seed)
    a, b = (np.reshape(rows, (len(rows), -1)) for rows in _samples(x, y))
    least, columns = min(len(a), len(b)), a.shape[1]
    if least < folds:
        raise ValueError(f"x and y must have a row for each of {folds} folds; got {len(a)} and {len(b)} rows.")
    if by == "qda" and least - -(-least // folds) <= columns:
        raise ValueError(
            f"by='qda' estimates a covariance of {columns} columns from each sample, and needs more rows than that in "
            f"{folds - 1} of {folds} folds; got {len(a)} and {len(b)} rows. Take by='lda', or fewer columns."
        )
    rows, label = np.concatenate([a, b]), np.repeat([1, 0], [len(a), len(b)])
    selection = sklearn_module("model_selection")
    accuracy, _, p_value = selection.permutation_test_score(
        _model(by), rows, label, cv=selection.StratifiedKFold(folds, shuffle=True, random_state=seed),
        n_permutations=permutations, random_state=seed, scoring="balanced_accuracy",
    )  # fmt: skip
    stderr = np.sqrt(accuracy * (1 - accuracy) * (1 / len(a) + 1 / len(b))) / 2
    return Apart(float(accuracy), float(stderr), float(p_value))


def _samples(x: ArrayLike, y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    a, b = validate_observations(x, "x"), validate_observations(y, "y")
    if a.shape[1:] != b.shape[1:]:
        raise ValueError(f"x and y must have rows of one shape; got {a.shape[1:]} and {b.shape[1:]}.")
    return a, b


def _model(by: str) -> Any:
    """Make the classifier, with equal weight to either sample; lda and qda do without a common unit."""
    if by == "logistic":
        model = sklearn_module("linear_model").LogisticRegression(class_weight="balanced")
        return sklearn_module("pipeline").make_pipeline(sklearn_module("preprocessing").StandardScaler(), model)
    module = sklearn_module("discriminant_analysis")
    kinds = {"lda": module.LinearDiscriminantAnalysis, "qda": module.QuadraticDiscriminantAnalysis}
    return kinds[by](priors=[0.5, 0.5])
