"""How well codes line up with factors.

Codes z are what an encoder says of an observation, (n, k): latent means, principal components, estimated parameters.
Factors y are what made it, (n, d): the simulator's parameters. Most published metrics look at a matrix of codes against
factors, and reward it for being a permutation:

- `mig` and `modularity` at I_ij, the mutual information of binned values (avo/latents/information.py);
- `sap` at r_ij^2, the squared correlation;
- `dci` at R_ij, the importance of code i for predicting factor j by boosted trees;

`factor_vae_score` and `beta_vae_score` (avo/latents/interventions.py) and `explicitness` ask a classifier. They were
made for factors of a few values. Definitions and settings follow the study of Locatello et al. (2019, arXiv:1811.12359;
google-research/disentanglement_lib, which needs TensorFlow 1); simulator parameters are continuous, and this changes
three things.

*Bins.* Codes and factors are cut into 20 bins of equal frequency (avo/latents/information.py says what this costs);
codes that are off by a little are often in the wrong bin, so that no code reaches 1. Quote `ceiling`.

*Fixing a factor.* Among given rows none share a factor exactly; neighbours are taken, or drawn by the simulator.

*Regression* replaces classification in `dci` and `sap` (see avo/latents/probes.py for the trees).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import ArrayLike, Float, Int

from avo.checks import whole
from avo.latents.information import Binning, bin_numbers, gaps, information_of, mig_of, modularity_of
from avo.latents.interventions import Draw, beta_vae_score, factor_vae_score
from avo.latents.probes import LEAST_ROWS, TrainTest, Trees, check_factors, check_pair, linear_r2, split_rows, trees
from avo.scikit import sklearn_module
from avo.tables import aligned

NAMES = (
    "mig", "sap", "dci_disentanglement", "dci_completeness", "factor_vae", "beta_vae", "modularity", "explicitness",
    "linear_r2", "boosted_r2", "nrmse",
)  # fmt: skip


class DCI(NamedTuple):
    """What `dci` found.

    Args:
        disentanglement: one number, D.
        completeness: of each factor, with shape (d,); C is their mean.
        informativeness: of each factor, R^2 of the trees on held-out rows; I is their mean.
        importance: R, with shape (k, d), columns of sum 1.
    """

    disentanglement: float
    completeness: Float[np.ndarray, " d"]
    informativeness: Float[np.ndarray, " d"]
    importance: Float[np.ndarray, "k d"]


@dataclass(frozen=True, eq=False, repr=False)
class Scores(Mapping[str, float]):
    """What `scores` found: a mapping name -> number.

    Args:
        numbers: name -> number.
        per_factor: name -> its value for each factor, with shape (d,), for those that are means over factors.
        importance: of each code for each factor, with shape (k, d).
        names: of the factors.
    """

    numbers: dict[str, float]
    per_factor: dict[str, Float[np.ndarray, " d"]]
    importance: Float[np.ndarray, "k d"]
    names: tuple[str, ...]

    def __getitem__(self, name: str) -> float:
        return self.numbers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.numbers)

    def __len__(self) -> int:
        return len(self.numbers)

    def __repr__(self) -> str:
        return f"Scores({', '.join(f'{name}={value:.3f}' for name, value in self.items())})"

    def summary(self) -> str:
        """Write the scores as a table, one column per factor."""
        empty = [""] * len(self.names)
        rows = [["score", "value", *self.names]]
        for name, value in self.items():
            each = self.per_factor.get(name)
            rows.append([name, f"{value:.3f}", *(empty if each is None else (f"{v:.3f}" for v in each))])
        return "\n".join(aligned(rows))


def scores(
    codes: ArrayLike,
    factors: ArrayLike,
    *,
    names: Sequence[str] | None = None,
    draw: Draw | None = None,
    active: ArrayLike | None = None,
    labels: int | None = None,
    bins: int = 20,
    binning: Binning = "frequency",
    rows: int = 5000,
    seed: int = 0,
) -> Scores:
    """Compute all scores of codes against factors.

    Names are those of the functions of this module; "boosted_r2" is the informativeness of `dci`, and "nrmse" the error
    of its trees. All but "nrmse" are better the larger they are, and 1 at best; chance is 0, but 1/d for "factor_vae"
    and "beta_vae", .5 for "explicitness", and some .2 for "modularity". Trees take most of the time, in proportion to
    rows, codes and factors: 2.2 s of one core for 5000 rows, 10 codes and 4 factors.

    Args:
        codes: with shape (n, k).
        factors: of the same observations, with shape (n, d), d at least 2.
        names: of the factors, for `Scores.summary`.
        draw: `draw(rng, theta) -> codes`, simulator and encoder at theta (m, d), to fix a factor exactly for
            `factor_vae_score` and `beta_vae_score`; None: neighbours among the rows.
        active: which codes `factor_vae_score` looks at, with shape (k,); None: those that vary. Of a VAE, give those
            whose KL is above .01 nats: divided by their standard deviation, collapsed codes look like others.
        labels: rows from which probes and classifiers of factors learn; None: half of them.
        bins: of codes and factors.
        binning: "frequency" or "width".
        rows: used at most, a random subset where there are more.
        seed: same seed, same numbers.

    Raises:
        ValueError: if shapes do not fit, or a factor does not vary.
        ImportError: if scikit-learn is not installed.

    Example:
        >>> theta = np.random.default_rng(0).uniform(size=(400, 2))
        >>> found = scores(theta[:, ::-1] * [3.0, -2.0], theta, names=("rate", "shape"))
        >>> bool(found["sap"] > 0.9), found["factor_vae"], found.per_factor["linear_r2"].round(6).tolist()
        (True, 1.0, [1.0, 1.0])
    """
    z, y = check_factors(codes, factors)
    if names is not None and len(names) != y.shape[1]:
        raise ValueError(f"names must name each of {y.shape[1]} factors; got {len(names)}.")
    order = np.random.default_rng(whole("seed", seed, least=0)).permutation(len(z))
    chosen = np.sort(order[: whole("rows", rows, least=LEAST_ROWS)])
    z, y = check_pair(z[chosen], y[chosen])
    split = split_rows(len(z), labels, seed)
    boosted = trees(z, y, split, seed)
    parts = _dci(boosted)
    information, entropy = information_of(bin_numbers(z, bins, binning), bin_numbers(y, bins, binning))
    each = {
        "mig": mig_of(information, entropy),
        "sap": gaps(_squared_correlations(z, y)),
        "dci_completeness": parts.completeness,
        "factor_vae": factor_vae_score(z, y, draw=draw, active=active, seed=seed),
        "beta_vae": beta_vae_score(z, y, draw=draw, seed=seed),
        "explicitness": explicitness(z, y, bins=bins, binning=binning, labels=labels, seed=seed),
        "linear_r2": linear_r2(z, y, labels=labels, seed=seed),
        "boosted_r2": boosted.r2,
        "nrmse": boosted.nrmse,
    }
    alone = {"dci_disentanglement": parts.disentanglement, "modularity": float(modularity_of(information).mean())}
    found = alone | {name: float(value.mean()) for name, value in each.items()}
    values = {name: found[name] for name in NAMES}
    labelled = tuple(names or (f"factor {j}" for j in range(y.shape[1])))
    return Scores(values, each, boosted.importance, labelled)


def ceiling(factors: ArrayLike, noise: ArrayLike = 0.0, *, seed: int = 0, **options: Any) -> Scores:
    """Compute the scores of the best codes there can be: the factors themselves, with noise of a stated size.

        z_j = y_j + noise_j sd(y_j) e_j,    e_j ~ N(0, 1)

    Not even these reach 1 where a score counts bins, and no encoder can be asked for more. For the noise take what the
    best estimate is off by: sqrt(1 - R^2_j) of a supervised one.

    Args:
        factors: with shape (n, d).
        noise: in standard deviations of the factor, one number or (d,).
        seed: of the noise, and of `scores`.
        options: of `scores`.

    Example:
        >>> theta = np.random.default_rng(1).uniform(size=(400, 2))
        >>> exact, rough = ceiling(theta), ceiling(theta, [0.0, 0.2])
        >>> bool(rough["mig"] < exact["mig"] < 1)
        True
    """
    _, y = check_factors(factors, factors)
    sizes = np.asarray(noise, np.float64)
    if sizes.shape not in ((), y.shape[1:]) or not np.all(sizes >= 0) or not np.all(np.isfinite(sizes)):
        raise ValueError(
            f"noise must be one number of at least 0, or one for each of {y.shape[1]} factors; got {noise}."
        )
    sd = sizes * y.std(0)
    # A stream of its own: the same seed also splits the rows
    rng = np.random.default_rng([whole("seed", seed, least=0), 1])
    return scores(y + sd * rng.standard_normal(y.shape), y, seed=seed, **options)


def sap(codes: ArrayLike, factors: ArrayLike) -> Float[np.ndarray, " d"]:
    """Separated attribute predictability of each factor; the score is their mean.

        SAP_j = r_(1)j^2 - r_(2)j^2,    r_ij^2 = Cov(z_i, y_j)^2 / (Var z_i Var y_j),  the two largest over codes

    Kumar, Sattigeri and Balakrishnan (2018, arXiv:1711.00848), section 3, for continuous factors. It sees linear
    relations only.

    Args:
        codes: with shape (n, k).
        factors: with shape (n, d).

    Example:
        >>> y = np.stack(np.meshgrid(np.arange(20), np.arange(20)), axis=-1).reshape(-1, 2)
        >>> sap(np.stack([y[:, 0], y.sum(1)], axis=1), y).round(6).tolist()
        [0.5, 0.5]
    """
    return gaps(_squared_correlations(*check_pair(codes, factors)))


def dci(codes: ArrayLike, factors: ArrayLike, *, labels: int | None = None, seed: int = 0) -> DCI:
    """Disentanglement, completeness and informativeness.

        P_ij = R_ij / sum_j R_ij,    D_i = 1 + sum_j P_ij log P_ij / log d,    D = sum_i D_i sum_j R_ij / sum_ij R_ij
        Q_ij = R_ij / sum_i R_ij,    C_j = 1 + sum_i Q_ij log Q_ij / log k,    I_j = R^2_j

    D asks whether a code serves one factor, C whether a factor is served by one code. R_ij is the importance of code i
    for boosted trees that predict factor j (`avo.latents.probes`: why these, and what others would give). Eastwood and
    Williams (2018, ICLR), section 2; the study's boosted classifiers are regressors here, and accuracy is R^2.

    Args:
        codes: with shape (n, k).
        factors: with shape (n, d), d at least 2.
        labels: rows to learn from; None: half.
        seed: of the split.

    Example:
        >>> y = np.random.default_rng(0).uniform(size=(500, 2))
        >>> found = dci(y @ [[1.0, 1.0], [-1.0, 1.0]], y)  # turned by 45 degrees
        >>> bool(found.disentanglement < 0.05), bool(found.informativeness.min() > 0.95)
        (True, True)
    """
    z, y = check_factors(codes, factors)
    return _dci(trees(z, y, split_rows(len(z), labels, seed), seed))


def explicitness(
    codes: ArrayLike,
    factors: ArrayLike,
    *,
    bins: int = 20,
    binning: Binning = "frequency",
    labels: int | None = None,
    seed: int = 0,
) -> Float[np.ndarray, " d"]:
    """Explicitness of each factor, whose mean is the score; .5 by chance.

    The mean over its bins of the area under the ROC curve of "in this bin against all others", by a logistic regression
    on the standardised codes, on held-out rows. Ridgeway and Mozer (2018, arXiv:1802.05312), section 3, not rescaled to
    0..1, as in the study.

    Args:
        codes: with shape (n, k).
        factors: with shape (n, d).
        bins: of each factor.
        binning: "frequency" or "width".
        labels: rows to learn from; None: half.
        seed: of the split.

    Example:
        >>> y = np.random.default_rng(0).uniform(size=(400, 2))
        >>> each = explicitness(y[:, :1], y, bins=4)
        >>> bool(each[0] > 0.95), bool(each[1] < 0.6)
        (True, True)
    """
    z, y = check_pair(codes, factors)
    split = split_rows(len(z), labels, seed)
    sd = z[split.train].std(0)
    z = (z - z[split.train].mean(0)) / np.where(sd > 0, sd, 1.0)
    return np.array([_explicitness(z, row, split) for row in bin_numbers(y, bins, binning)])


def _explicitness(z: Float[np.ndarray, "n k"], row: Int[np.ndarray, " n"], split: TrainTest) -> float:
    model = sklearn_module("linear_model").LogisticRegression(max_iter=1000).fit(z[split.train], row[split.train])
    decision, truth = model.predict_proba(z[split.test]), row[split.test]
    area = sklearn_module("metrics").roc_auc_score
    both = [c for c, bin_ in enumerate(model.classes_) if 0 < np.sum(truth == bin_) < len(truth)]  # in it and not
    return float(area(truth[:, None] == model.classes_[both], decision[:, both]))  # the mean over columns


def _squared_correlations(z: Float[np.ndarray, "n k"], y: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "k d"]:
    sd = z.std(0)
    a = (z - z.mean(0)) / np.where(sd > 0, sd, np.inf)
    b = (y - y.mean(0)) / y.std(0)
    return (a.T @ b / len(a)) ** 2


def _dci(boosted: Trees) -> DCI:
    r = boosted.importance
    of_codes = r.sum(1)
    per_code = _concentration(r.T / np.where(of_codes > 0, of_codes, 1.0))
    return DCI(float(per_code @ of_codes / of_codes.sum()), _concentration(r), boosted.r2, r)


def _concentration(share: Float[np.ndarray, "size m"]) -> Float[np.ndarray, " m"]:
    """Compute 1 - H / log size of each column of shares: 1 for one share of 1, 0 for equal ones."""
    if len(share) == 1:
        return np.ones(share.shape[1])
    return 1 + np.sum(share * np.log(np.where(share > 0, share, 1.0)), axis=0) / np.log(len(share))
