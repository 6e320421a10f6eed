"""What the suite found: one line per task, method and budget over its seeds.

Errors are over the floor (tasks.py); the limit beside them is sqrt(1 + m / calls). A fit without an answer counts as an
infinite error and as no success. Intervals are 95 % bootstrap intervals over seeds; of the success, where ten of ten
would give none, the exact binomial one (Clopper and Pearson, Biometrika 26, 1934). A line is **red** where the median
error exceeds 3 limits or fewer than 90 % of the fits succeed: the method does not do the task with so many calls.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import stats

from avo.benchmarks.suite.methods import method_names
from avo.benchmarks.suite.run import STUDY
from avo.benchmarks.suite.tasks import get, task_names

RED_OVER, RED_SUCCESS = 3.0, 0.9
RESAMPLES = 2000
AVO, REFERENCE = "avo", "mle"
LEVEL = 0.95  # of the intervals
ENDS = (50 * (1 - LEVEL), 50 * (1 + LEVEL))  # percentiles


def bootstrap(
    values: Float[np.ndarray, "n *k"],
    statistic: Callable[..., np.ndarray],
    percentiles: Sequence[float],
    seed: int = 0,
) -> np.ndarray:
    """Compute percentiles of a statistic(resampled, axis=1) over resampled rows.

    Example:
        >>> values = np.random.default_rng(1).normal(3.0, 2.0, size=400)
        >>> low, high = bootstrap(values, np.mean, (2.5, 97.5))
        >>> round(float(high - low), 1)  # 2 x 1.96 x 2 / sqrt(400)
        0.4
    """
    rng = np.random.default_rng(seed)
    found = statistic(values[rng.integers(len(values), size=(RESAMPLES, len(values)))], axis=1)
    return np.percentile(found, percentiles, method="nearest")  # no interpolation between what may be infinite


class Line(NamedTuple):
    """One task, method and budget over its seeds; None where the method gives no such thing."""

    task: str
    method: str
    budget: int
    seeds: int
    failed: int
    over: float
    over_low: float | None
    over_high: float | None
    worst: float
    success: float
    success_low: float
    success_high: float
    covered: float | None
    covered_low: float | None
    covered_high: float | None
    finite: float | None
    width: float | None
    width_low: float | None
    width_high: float | None
    calls: float | None
    cpu: float | None
    peak_mb: float | None
    limit: float
    red: bool


def over(rows: Sequence[dict[str, Any]]) -> Float[np.ndarray, " n"]:
    """Take the errors over the floor, infinite where there is no answer."""
    found = np.array([row.get("over", np.inf) for row in rows], float)
    return np.where(np.isnan(found), np.inf, found)


def _median(rows: Sequence[dict[str, Any]], name: str) -> float | None:
    known = [row[name] for row in rows if row.get(name) is not None]
    return float(np.median(known)) if known else None


Ends = tuple[float | None, float | None]
_NO_ENDS: Ends = (None, None)


def _between(values: np.ndarray, statistic: Callable[..., np.ndarray]) -> Ends:
    """Compute a 95 % bootstrap interval; none of a single seed."""
    if len(values) < 2:
        return _NO_ENDS
    low, high = bootstrap(values, statistic, ENDS)
    return float(low), float(high)


def _held(counts: np.ndarray, axis: int) -> np.ndarray:
    held, known = np.moveaxis(counts[..., :2].sum(axis), -1, 0)
    return held / np.maximum(known, 1)


def _intervals(rows: Sequence[dict[str, Any]]) -> tuple[float | None, Ends, float | None]:
    """Compute the share of finite intervals that hold the truth, and that of intervals that are finite.

    A fit that states none, of a method that does, has only infinite ones. Neither where the parameters are not what is
    judged: one that the data leave open has no right interval.
    """
    stated = [row["stderr"] for row in rows if "stderr" in row and get(row["task"]).judge is None]
    if not stated:
        return None, _NO_ENDS, None
    counts = np.zeros((len(rows), 2))  # of each seed: intervals that hold the truth and are finite, that are finite
    for i, row in enumerate(rows):
        finite = np.array([sd is not None for sd in row.get("stderr", ())], bool)
        counts[i] = np.sum(finite & np.array(row.get("covered", ()), bool)), finite.sum()
    share = counts[:, 1].sum() / (len(rows) * len(stated[0]))
    if not share:
        return None, _NO_ENDS, 0.0
    return float(_held(counts, 0)), _between(counts, _held), float(share)


def _widths(rows: Sequence[dict[str, Any]]) -> tuple[float | None, Ends]:
    """Compute the median width of finite intervals."""
    found = [row.get("width", []) for row in rows]
    values = np.full((len(rows), max(map(len, found), default=0) or 1), np.nan)
    for i, some in enumerate(found):
        values[i, : len(some)] = some
    if np.isnan(values).all():
        return None, _NO_ENDS

    def median(values: np.ndarray, axis: int) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of resamples without a finite width: infinite
            return np.nan_to_num(np.nanmedian(values, (axis, axis + 1)), nan=np.inf)

    return float(median(values, 0)), _between(values, median)


def line(rows: Sequence[dict[str, Any]]) -> Line:
    """Summarise the cells of one task, method and budget."""
    first, errors = rows[0], over(rows)
    success = np.array([row.get("success", False) for row in rows], float)
    median = float(np.median(errors))
    exact = stats.binomtest(int(success.sum()), len(rows)).proportion_ci(LEVEL, method="exact")
    covered, covered_ends, finite = _intervals(rows)
    width, width_ends = _widths(rows)
    # Judging adds to the peak of the cells that follow in a process; the least is that of a first one
    peak = [row["peak_mb"] for row in rows if row.get("peak_mb") is not None]
    limit = float(np.sqrt(1 + get(first["task"]).m / first["budget"])) if first["budget"] else 1.0
    return Line(
        first["task"], first["method"], first["budget"], len(rows), int(np.isinf(errors).sum()), median,
        *_between(errors, np.median), float(errors.max()), float(success.mean()), float(exact.low), float(exact.high),
        covered, *covered_ends, finite, width, *width_ends,
        _median(rows, "calls"), _median(rows, "cpu"), min(peak) if peak else None, limit,
        bool(median > RED_OVER * limit or success.mean() < RED_SUCCESS),
    )  # fmt: skip


def grouped(rows: Sequence[dict[str, Any]]) -> dict[tuple[str, str, int], list[dict[str, Any]]]:
    """Group the suite's cells by task, method and budget, in the order of the suite, each by seed."""
    found: dict[tuple[str, str, int], list[dict[str, Any]]] = {}
    order = {name: i for known in (task_names(), method_names()) for i, name in enumerate(known)}
    for row in rows:
        if row["study"] == STUDY and row.get("task") in order and row["method"] in order:
            found.setdefault((row["task"], row["method"], row["budget"]), []).append(row)
    keys = sorted(found, key=lambda k: (k[2], order[k[0]], order[k[1]]))
    return {key: sorted(found[key], key=lambda row: row["seed"]) for key in keys}


def lines(rows: Sequence[dict[str, Any]]) -> list[Line]:
    """Summarise all cells of the suite."""
    return [line(group) for group in grouped(rows).values()]
