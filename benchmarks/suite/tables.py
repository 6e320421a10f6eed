"""The suite's report as text: a table per budget, the claims, what failed, and the same lines as CSV."""

import csv
import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from avo import tables
from avo.benchmarks.suite.claims import Reach, race, reach
from avo.benchmarks.suite.methods import METHODS
from avo.benchmarks.suite.run import ABSENT, STUDY
from avo.benchmarks.suite.summary import AVO, Line, grouped, lines
from avo.benchmarks.suite.tasks import SIX, get

CLAIM_BUDGETS = (10_000, 100_000)
ALLOWED = 1.1  # upper limit of the ratio of errors


def _number(value: float | None, form: str = ".2f") -> str:
    if value is None:
        return "-"
    return "none" if np.isinf(value) else f"{value:{form}}"


def _percent(value: float | None) -> str:
    """Write a share in per cent; 100 is all."""
    return "-" if value is None else f"{min(100 * value, 100 if value == 1 else 99):.0f}"


def _within(low: float | None, high: float | None, write: Callable[[float | None], str] = _number) -> str:
    return "" if low is None else f" [{write(low)}, {write(high)}]"


def _row(s: Line) -> list[str]:
    star = "" if get(s.task).has_likelihood else "\\*"
    return [
        s.task + star, s.method, str(s.seeds), _number(s.over) + _within(s.over_low, s.over_high), _number(s.limit),
        _number(s.worst), _percent(s.success) + _within(s.success_low, s.success_high, _percent),
        _percent(s.covered) + _within(s.covered_low, s.covered_high, _percent), _percent(s.finite),
        _number(s.width) + _within(s.width_low, s.width_high), _number(s.calls, ",.0f"), _number(s.cpu, ".1f"),
        _number(s.peak_mb, ".0f"), "**red**" if s.red else "ok",
    ]  # fmt: skip


_HEAD = [
    "task", "method", "seeds", "error over floor: median [95 %]", "limit", "worst", "success, % [95 %]",
    "covered by 90 %, % [95 %]", "finite, %", "width over floor's [95 %]", "calls", "CPU s", "peak MB", "",
]  # fmt: skip


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """Render the finished cells: one table per budget, the claims, what failed, and what is not installed."""
    parts = []
    found = lines(rows)
    for budget in sorted({s.budget for s in found}):
        title = f"{budget:,} calls" if budget else "No calls: the maximum likelihood on the same observations"
        table = tables.markdown(_HEAD, [_row(s) for s in found if s.budget == budget])
        parts.append(f"### {title}\n\n" + "\n".join(table))
    if not found:
        return "\n\n".join(["No finished cells.", *filter(None, [_absent(rows)])])
    if not all(get(s.task).has_likelihood for s in found):
        parts.append("\\* no likelihood: the floor is the spread of the best weighted features, and no bound.")
    parts += filter(None, [_claims(rows), _failures(rows), _absent(rows)])
    return "\n\n".join(parts)


def _claims(rows: Sequence[dict[str, Any]]) -> str:
    return "\n\n".join(filter(None, [_races(rows), _reaches(rows), _successes(rows)]))


def _races(rows: Sequence[dict[str, Any]]) -> str:
    """Render the ratios of errors, and who was left out."""
    races = [r for task in SIX for budget in CLAIM_BUDGETS if (r := race(rows, task, budget))]
    if not races:
        return ""
    table = tables.markdown(
        ["task", "calls", "best rival", "seeds", "error ratio", "upper 95 %", "", "that of the maximum likelihood"],
        [
            [r.task, f"{r.budget:,}", r.rival, str(r.seeds), _number(r.ratio), _number(r.upper),
             "ok" if r.upper <= ALLOWED else f"**above {ALLOWED}**", _number(r.ideal)]
            for r in races
        ],
    )  # fmt: skip
    held = sum(r.upper <= ALLOWED for r in races)
    text = f"Upper limit at most {ALLOWED} in {held} of {len(races)} cells."
    if known := [r.ideal for r in races if r.ideal is not None]:
        held = sum(ideal <= ALLOWED for ideal in known)
        text += f" With the maximum likelihood in avo's place it would be in {held} of {len(known)}."
    few: dict[tuple[str, int], list[str]] = {}
    for r in races:
        for name in r.few:
            few.setdefault((name, r.budget), []).append(r.task)
    left_out = [
        f"- Left out for fewer seeds than others have: {name} at {budget:,} calls on {', '.join(tasks)}."
        for (name, budget), tasks in few.items()
    ]
    parts = ["### avo beside its best rival", "\n".join(table), text, "\n".join(left_out)]
    return "\n\n".join(filter(None, parts))


def _reaches(rows: Sequence[dict[str, Any]]) -> str:
    """Render the calls to twice the floor, beside the ratio where avo comes there."""
    found = [r for task in SIX if (r := reach(rows, task))]
    if not found:
        return ""

    def calls(value: float, r: Reach) -> str:
        least = "at most " * (value == r.least)
        return f"{least}{value:,}" if np.isfinite(value) else f"more than {r.largest:,}"

    table = tables.markdown(
        ["task", "calls to twice the floor: avo", "best rival", "", "ratio"],
        [[r.task, calls(r.own, r), calls(r.theirs, r), r.rival, _ratio_of(r)] for r in found],
    )
    median = _number(float(np.median([r.ratio for r in found])))
    text = (
        f"Median ratio: {median}, where each count that is a bound is taken for the count itself. "
        "Each on the budgets that both were run at."
    )
    return "\n\n".join(["\n".join(table), text])


def _successes(rows: Sequence[dict[str, Any]]) -> str:
    """Say on how many tasks avo is never lost."""
    tried = {t for (t, m, b) in grouped(rows) if (m, b) == (AVO, 100_000)}
    if not tried:
        return ""
    whole = [s.task for s in lines(rows) if (s.method, s.budget) == (AVO, 100_000) and s.success == 1.0]
    rest = sorted(tried - set(whole))
    text = f"avo succeeds in all seeds on {len(whole)} of {len(tried)} tasks at 100,000 calls."
    return text + (f" Not on {', '.join(rest)}." if rest else "")


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
