"""How good a score of anomaly is, where labels are known: the ROC curve, its area, precision and recall.

With N1 anomalies and N0 normal observations, at each threshold on the score

    TPR = share of the anomalies above it,    FPR = share of the normal ones above it,    P = share of anomalies there
    AUC = P(s_anomaly > s_normal) + P(s_anomaly = s_normal) / 2,    AP = sum_n (TPR_n - TPR_(n-1)) P_n

The area alone misleads where anomalies are rare: at .2 % of all rows, 10 % false alarms and 91 % found leave 2 true in
100 alarms. `avo.latents.contaminate` makes cases with known labels.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import ArrayLike, Bool, Float, Int

from avo.checks import between, finite, whole
from avo.latents.anomaly import FALSE_ALARMS, check_scores
from avo.scikit import sklearn_module
from avo.tables import aligned


class Rate(NamedTuple):
    """A number with its bootstrap interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


class Detection(NamedTuple):
    """How well a score finds the anomalies.

    Args:
        auc: area under the ROC curve; .5 by chance.
        average_precision: sum over thresholds of (R_n - R_(n-1)) P_n; the share of anomalies by chance.
        tpr: share of the anomalies found where at most `false_alarms` of the normal ones are called anomalous.
        fpr_curve: of the ROC curve, with shape (points,).
        tpr_curve: likewise.
        anomalies: how many there are.
        normal: how many there are.
    """

    auc: Rate
    average_precision: Rate
    tpr: Rate
    fpr_curve: Float[np.ndarray, " points"]
    tpr_curve: Float[np.ndarray, " points"]
    anomalies: int
    normal: int


class Confusion(NamedTuple):
    """The confusion matrix of a threshold: how many of either kind are above it; print it as a table."""

    found: int
    missed: int
    false_alarms: int
    passed: int

    @property
    def tpr(self) -> float:
        """Share of the anomalies that are found."""
        return self.found / (self.found + self.missed)

    @property
    def fpr(self) -> float:
        """Share of the normal ones that are called anomalous."""
        return self.false_alarms / (self.false_alarms + self.passed)

    @property
    def precision(self) -> float:
        """Share of the alarms that are anomalies; NaN without an alarm."""
        alarms = self.found + self.false_alarms
        return self.found / alarms if alarms else float("nan")

    def __str__(self) -> str:
        rows = [
            ["", "alarm", "none"],
            ["anomaly", str(self.found), str(self.missed)],
            ["normal", str(self.false_alarms), str(self.passed)],
        ]
        return "\n".join(aligned(rows))


def confusion(scores: ArrayLike, labels: ArrayLike, above: float) -> Confusion:
    """Count anomalies and normal observations above a threshold, and the others.

    Args:
        scores: with shape (n,); large is anomalous.
        labels: true for anomalies, with shape (n,).
        above: the threshold, such as `avo.latents.threshold` gives; a score is an alarm if it is larger.

    Raises:
        ValueError: if scores are NaN, or there are not two kinds.

    Example:
        >>> print(confusion([0.1, 0.7, 0.3, 0.9, 0.5], [False, True, False, True, True], above=0.5))
                 alarm  none
        anomaly  2      1
        normal   0      2
    """
    s = check_scores("scores", scores)
    anomalous, alarm = _check_labels(labels, len(s)), s > finite("above", above)
    found, alarms = int(np.sum(alarm & anomalous)), int(np.sum(alarm & ~anomalous))
    return Confusion(found, int(anomalous.sum()) - found, alarms, int(np.sum(~anomalous)) - alarms)


def detection(
    scores: ArrayLike,
    labels: ArrayLike,
    *,
    false_alarms: float = FALSE_ALARMS,
    level: float = 0.9,
    resamples: int = 1000,
    seed: int = 0,
) -> Detection:
    """Test scores by labels: ROC curve, area, average precision and the share found at few false alarms.

    Intervals are percentiles over bootstrap samples of the anomalies and of the normal ones, so that their shares stay
    as they are; they hold the chance of the rows, not that of the model behind the scores. With fewer than about 50
    anomalies quote nothing without them.

    Args:
        scores: with shape (n,); large is anomalous. Infinite ones are the largest.
        labels: true for anomalies, with shape (n,).
        false_alarms: of the normal ones, for `Detection.tpr`, which is not interpolated between thresholds.
        level: of the intervals.
        resamples: bootstrap samples.
        seed: same seed, same numbers.

    Raises:
        ValueError: if scores are NaN, or there are not two kinds.
        ImportError: if scikit-learn is not installed.

    Example:
        >>> found = detection([0.1, 0.2, 0.3, 0.4], [False, True, False, True])
        >>> found.auc.value, round(found.average_precision.value, 4), found.tpr.value
        (0.75, 0.8333, 0.5)
    """
    s = check_scores("scores", scores)
    anomalous = _check_labels(labels, len(s))
    between("false_alarms", false_alarms, 0, 1, "[)")
    between("level", level, 0, 1, "()")
    # Ranks: infinite scores are in order, and scikit-learn takes them
    rank = np.unique(s, return_inverse=True)[1]
    metrics = sklearn_module("metrics")
    # All thresholds: points between two others on a line may be the last with few enough false alarms
    fpr, tpr, _ = metrics.roc_curve(anomalous, rank, drop_intermediate=False)
    values = (
        metrics.roc_auc_score(anomalous, rank),
        metrics.average_precision_score(anomalous, rank),
        tpr[fpr <= false_alarms].max(),
    )
    rng = np.random.default_rng(whole("seed", seed, least=0))
    samples = (_bootstrap_counts(rng, rank, anomalous) for _ in range(whole("resamples", resamples)))
    rates = np.stack([_rates(*counts, false_alarms) for counts in samples])
    low, high = np.quantile(rates, [(1 - level) / 2, (1 + level) / 2], axis=0)
    auc, precision, found = (Rate(float(v), float(a), float(b)) for v, a, b in zip(values, low, high, strict=True))
    return Detection(
        auc=auc,
        average_precision=precision,
        tpr=found,
        fpr_curve=fpr,
        tpr_curve=tpr,
        anomalies=int(anomalous.sum()),
        normal=int(np.sum(~anomalous)),
    )


def _check_labels(labels: ArrayLike, rows: int) -> Bool[np.ndarray, " n"]:
    label = np.asarray(labels)
    if label.dtype.kind not in "biuf" or not np.isin(label, (0, 1)).all():
        raise ValueError(
            f"labels must be true for anomalies, else false; got {label.dtype}. Compare them: labels == 'V'."
        )
    anomalous = label.astype(bool)
    if anomalous.shape != (rows,) or not 0 < anomalous.sum() < len(anomalous):
        raise ValueError(
            f"labels must say of each of {rows} scores whether it is an anomaly, and name some of both kinds; got "
            f"{int(anomalous.sum())} anomalies in shape {anomalous.shape}."
        )
    return anomalous


def _bootstrap_counts(
    rng: np.random.Generator, rank: Int[np.ndarray, " n"], anomalous: Bool[np.ndarray, " n"]
) -> tuple[Int[np.ndarray, " scores"], Int[np.ndarray, " scores"]]:
    """Count, per distinct score from the largest, anomalies and normal ones of a bootstrap sample."""
    size = rank.max() + 1
    drawn = [rng.choice(rank[kind], size=kind.sum()) for kind in (anomalous, ~anomalous)]
    anomalies, normal = (np.bincount(each, minlength=size)[::-1] for each in drawn)
    return anomalies, normal


def _rates(
    anomalies: Int[np.ndarray, " scores"], normal: Int[np.ndarray, " scores"], false_alarms: float
) -> tuple[float, float, float]:
    """Compute area, average precision and the share found, from counts per distinct score from the largest."""
    found, alarms = np.cumsum(anomalies), np.cumsum(normal)
    area = np.sum(anomalies * (normal.sum() - alarms + normal / 2)) / (anomalies.sum() * normal.sum())
    precision = found / np.maximum(found + alarms, 1)
    allowed = found[alarms / normal.sum() <= false_alarms]
    recall = (allowed.max() if len(allowed) else 0) / anomalies.sum()
    return area, np.sum(anomalies * precision) / anomalies.sum(), recall
