"""What the suite found: one line per task, method and budget, and what is claimed of avo beside its rivals.

Errors are over the floor (tasks.py); the limit beside them is sqrt(1 + m / calls). A fit without an answer counts as an
infinite error and as no success. Brackets hold 95 % bootstrap intervals over seeds; of the success, where ten of ten
would give none, the exact binomial one (Clopper and Pearson, Biometrika 26, 1934). A line is **red** where the median
error exceeds 3 limits or fewer than 90 % of the fits succeed: the method does not do the task with so many calls.
"""

import csv
import io
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import stats

from avo.benchmarks.suite.methods import METHODS, method_names
from avo.benchmarks.suite.run import ABSENT, STUDY
from avo.benchmarks.suite.tasks import SIX, get, task_names

RED_OVER, RED_SUCCESS = 3.0, 0.9
RESAMPLES = 2000
NEAR = 2.0  # floors, "near the floor"
CLAIM_BUDGETS = (10_000, 100_000)
AVO, REFERENCE = "avo", "mle"
UPPER = 95.0  # percentile of the one-sided limit
LEAST_SEEDS = 10  # that a rival must share with avo, where any has as many


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
    low, high = bootstrap(values, statistic, (2.5, 97.5))
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
    exact = stats.binomtest(int(success.sum()), len(rows)).proportion_ci(0.95, method="exact")
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


# --- claims ----------------------------------------------------------------------------------------------------------


class Race(NamedTuple):
    """avo beside its best rival: ratio of the median errors, and its upper 95 % limit over the seeds of both.

    `ideal` is that limit for the maximum likelihood in avo's place, None where it was not measured: what seeds so few
    leave to a method that uses all that the data hold. `few` are the rivals that were left out for too few seeds.
    """

    task: str
    budget: int
    rival: str
    seeds: int
    ratio: float
    upper: float
    ideal: float | None
    few: tuple[str, ...] = ()


def race(rows: Sequence[dict[str, Any]], task: str, budget: int) -> Race | None:
    """Compare avo with its best rival, on seeds that both have; None where there is none.

    The best is the one beside which avo's median error is the largest, on the same seeds: some are luckier to all.
    Rivals that share fewer than ten seeds with avo, and fewer than another does, are left out. Where no rival has an
    answer the ratio is 0, or infinite where avo has none either.
    """
    groups = grouped(rows)

    def cells(method: str, calls: int) -> dict[int, dict[str, Any]]:
        return {row["seed"]: row for row in groups.get((task, method, calls), [])}

    own = cells(AVO, budget)

    def pairs(a: dict[int, dict[str, Any]], other: str) -> np.ndarray:
        b = cells(other, budget)
        seeds = sorted(a.keys() & b.keys() & own.keys())
        return np.stack([over([one[s] for s in seeds]) for one in (a, b)], 1)

    beside = {name: pairs(own, name) for name, method in METHODS.items() if method.rival}
    least = min(LEAST_SEEDS, max(map(len, beside.values())))
    if not least:
        return None
    enough = [name for name in beside if len(beside[name]) >= least]
    best = max(enough, key=lambda name: float(_ratio(beside[name], 0)))
    upper, ideal = (
        float(bootstrap(both, _ratio, (UPPER,))[0]) if len(both) else None
        for both in (beside[best], pairs(cells(REFERENCE, 0), best))
    )
    ratio = float(_ratio(beside[best], 0))
    few = tuple(name for name in beside if len(beside[name]) < least and name in {method for _, method, _ in groups})
    return Race(task, budget, best, len(beside[best]), ratio, np.inf if upper is None else upper, ideal, few)


def _ratio(pairs: np.ndarray, axis: int) -> np.ndarray:
    """Divide medians; infinite where ours is, whatever theirs."""
    ours, theirs = np.moveaxis(np.median(pairs, axis), -1, 0)
    return np.where(np.isfinite(ours), ours / np.where(np.isfinite(ours), theirs, 1.0), np.inf)


class Reach(NamedTuple):
    """Calls to twice the floor: avo's and the best rival's, infinite where never reached, and what was tried."""

    task: str
    own: float
    rival: str
    theirs: float
    least: int
    largest: int

    @property
    def ratio(self) -> float:
        """avo's calls over the rival's; where it never got there, at most that of the most tried."""
        return self.own / min(self.theirs, self.largest)


def reach(rows: Sequence[dict[str, Any]], task: str) -> Reach | None:
    """Find the rival that comes to twice the floor first, on the budgets that avo and it were run at."""
    groups = grouped(rows)
    tried = {name: {b for t, m, b in groups if (t, m) == (task, name)} for name in METHODS}
    found = []
    for name, method in METHODS.items():
        budgets = tried[AVO] & tried[name]
        if method.rival and budgets:
            some = [row for row in rows if row.get("budget") in budgets]
            own, theirs = (calls_to(some, task, who) or np.inf for who in (AVO, name))
            found.append(Reach(task, own, name, theirs, min(budgets), max(budgets)))
    return min(found, key=lambda r: (r.theirs, -r.largest)) if found else None


def calls_to(rows: Sequence[dict[str, Any]], task: str, method: str, times: float = NEAR) -> int | None:
    """Find the least budget at which the median error is at most so many floors."""
    groups = grouped(rows)
    for (t, name, budget), group in groups.items():
        if (t, name) == (task, method) and np.median(over(group)) <= times:
            return budget
    return None


# --- text ------------------------------------------------------------------------------------------------------------


def _number(value: float | None, form: str = ".2f") -> str:
    if value is None:
        return "-"
    return "none" if np.isinf(value) else f"{value:{form}}"


def _percent(value: float | None) -> str:
    """Write a share in per cent; 100 is all."""
    return "-" if value is None else f"{min(100 * value, 100 if value == 1 else 99):.0f}"


def _within(low: float | None, high: float | None, write: Callable[[float | None], str] = _number) -> str:
    return "" if low is None else f" [{write(low)}, {write(high)}]"


def _row(s: Line) -> str:
    star = "" if get(s.task).has_likelihood else "\\*"
    return (
        f"| {s.task}{star} | {s.method} | {s.seeds} | {_number(s.over)}{_within(s.over_low, s.over_high)} "
        f"| {_number(s.limit)} | {_number(s.worst)} "
        f"| {_percent(s.success)}{_within(s.success_low, s.success_high, _percent)} "
        f"| {_percent(s.covered)}{_within(s.covered_low, s.covered_high, _percent)} | {_percent(s.finite)} "
        f"| {_number(s.width)}{_within(s.width_low, s.width_high)} | {_number(s.calls, ',.0f')} "
        f"| {_number(s.cpu, '.1f')} | {_number(s.peak_mb, '.0f')} | {'**red**' if s.red else 'ok'} |"
    )


_HEAD = (
    "| task | method | seeds | error over floor: median [95 %] | limit | worst | success, % [95 %] "
    "| covered by 90 %, % [95 %] | finite, % | width over floor's [95 %] | calls | CPU s | peak MB | |"
)


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """Render the finished cells: one table per budget, the claims, what failed, and what is not installed."""
    parts = []
    found = lines(rows)
    for budget in sorted({s.budget for s in found}):
        title = f"{budget:,} calls" if budget else "No calls: the maximum likelihood on the same observations"
        table = [_HEAD, "|---" * 14 + "|", *(_row(s) for s in found if s.budget == budget)]
        parts.append(f"### {title}\n\n" + "\n".join(table))
    if not found:
        return "\n\n".join(["No finished cells.", *filter(None, [_absent(rows)])])
    if not all(get(s.task).has_likelihood for s in found):
        parts.append("\\* no likelihood: the floor is the spread of the best weighted features, and no bound.")
    parts += filter(None, [_claims(rows), _failures(rows), _absent(rows)])
    return "\n\n".join(parts)


def _claims(rows: Sequence[dict[str, Any]]) -> str:
    races = [r for task in SIX for budget in CLAIM_BUDGETS if (r := race(rows, task, budget))]
    text = []
    if races:
        text += [
            "### avo beside its best rival", "",
            "| task | calls | best rival | seeds | error ratio | upper 95 % | | that of the maximum likelihood |",
            "|---|---|---|---|---|---|---|---|",
        ]  # fmt: skip
        text += [
            f"| {r.task} | {r.budget:,} | {r.rival} | {r.seeds} | {_number(r.ratio)} | {_number(r.upper)} "
            f"| {'ok' if r.upper <= 1.1 else '**above 1.1**'} | {_number(r.ideal)} |"
            for r in races
        ]
        held = sum(r.upper <= 1.1 for r in races)
        text += ["", f"Upper limit at most 1.1 in {held} of {len(races)} cells."]
        if known := [r.ideal for r in races if r.ideal is not None]:
            text[-1] += (
                f" With the maximum likelihood in avo's place it would be in {sum(i <= 1.1 for i in known)} of "
                f"{len(known)}."
            )
        few: dict[tuple[str, int], list[str]] = {}
        for r in races:
            for name in r.few:
                few.setdefault((name, r.budget), []).append(r.task)
        text += [""] * bool(few) + [
            f"- Left out for fewer seeds than others have: {name} at {budget:,} calls on {', '.join(tasks)}."
            for (name, budget), tasks in few.items()
        ]
        text += _reaches([found for task in SIX if (found := reach(rows, task))])
    tried = {t for (t, m, b) in grouped(rows) if (m, b) == (AVO, 100_000)}
    if tried:
        whole = [s.task for s in lines(rows) if (s.method, s.budget) == (AVO, 100_000) and s.success == 1.0]
        text += ["", f"avo succeeds in all seeds on {len(whole)} of {len(tried)} tasks at 100,000 calls."]
        if rest := sorted(tried - set(whole)):
            text[-1] += f" Not on {', '.join(rest)}."
    return "\n".join(text).strip()


def _reaches(found: Sequence[Reach]) -> list[str]:
    """Render the calls to twice the floor, beside the ratio where avo comes there."""

    def calls(value: float, r: Reach) -> str:
        least = "at most " * (value == r.least)
        return f"{least}{value:,}" if np.isfinite(value) else f"more than {r.largest:,}"

    text = ["", "| task | calls to twice the floor: avo | best rival | | ratio |", "|---|---|---|---|---|"]
    for r in found:
        text.append(f"| {r.task} | {calls(r.own, r)} | {calls(r.theirs, r)} | {r.rival} | {_ratio_of(r)} |")
    median = np.median([r.ratio for r in found])
    return [
        *text, "",
        f"Median ratio: {_number(float(median))}, where each count that is a bound is taken for the count itself. "
        "Each on the budgets that both were run at.",
    ]  # fmt: skip


def _ratio_of(r: Reach) -> str:
    """Write the ratio of two counts, of which the least and the largest tried are bounds."""
    if np.isinf(r.own) or r.own == r.theirs == r.least:
        return "-"
    below = r.own == r.least or np.isinf(r.theirs)
    sign = "at least " if r.theirs == r.least else "at most " if below else ""
    return sign + _number(r.ratio)


def _failures(rows: Sequence[dict[str, Any]]) -> str:
    found: dict[tuple[str, int, str], list[str]] = {}
    for (task, method, budget), group in grouped(rows).items():
        for row in group:
            if row["ended"] == "failed":
                found.setdefault((method, budget, row.get("why", "")), []).append(task)
    items = [
        f"- {method}, {budget:,} calls, {len(tasks)} cells ({', '.join(dict.fromkeys(tasks))}): {why}"
        for (method, budget, why), tasks in found.items()
    ]
    return "### Fits without an answer\n\n" + "\n".join(items) if items else ""


def _absent(rows: Sequence[dict[str, Any]]) -> str:
    run = {method for _, method, _ in grouped(rows)}
    absent = {r["method"]: r.get("why", "") for r in rows if r["study"] == STUDY and r["ended"] == ABSENT}
    items = [f"- {name}: not installed, needs {why}" for name, why in absent.items() if name not in run]
    items += [f"- {name}: not run" for name in METHODS if name not in run and name not in absent]
    return "### Methods without cells\n\n" + "\n".join(items) if items else ""


def comma_separated(found: Sequence[Line]) -> str:
    """Write the lines as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Line._fields)
    writer.writerows([["" if v is None else v for v in s] for s in found])
    return text.getvalue()
