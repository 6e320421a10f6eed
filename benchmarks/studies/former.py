"""Rows of studies that are gone, because the suite makes their fits: one summary for all of them.

    python -m avo.benchmarks.studies.former

What stood for themselves are tasks and methods of the suite now (benchmarks/results/README.md names them). Their rows
were recorded in the commits that benchmarks/results/foundation.md, critics.md and scores.md name, and no more are made.
"""

from typing import Any

import numpy as np

from avo.benchmarks.studies import study
from avo.tables import markdown


def report(rows: list[dict[str, Any]]) -> str:
    """Summarise each study and task: how many are true of what is true or false, medians (least .. largest) of numbers.

    Example:
        >>> cells = [{"study": "s", "task": "t", "seed": i, "within": i > 0, "error": 2.0 * i} for i in range(3)]
        >>> print(report(cells).splitlines()[-1])
        | s | t | 3 | within 2; error 2 (0 .. 4) |
    """
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["study"], row["task"]), []).append(row)
    lines = []
    for (name, task), group in groups.items():
        keys = dict.fromkeys(key for row in group for key in row if key not in ("study", "task", "seed"))
        words = [_words(key, [row[key] for row in group if row.get(key) is not None]) for key in keys]
        lines.append([name, task, str(len(group)), "; ".join(filter(None, words))])
    return "\n".join(markdown(["study", "task", "fits", ""], lines))


def _words(key: str, values: list[Any]) -> str:
    """Summarise one kind of value; lists and words of rows have no summary."""
    if values and all(isinstance(v, bool) for v in values):
        return f"{key} {sum(values)}"
    if values and all(isinstance(v, int | float) for v in values):
        ends = np.median(values), min(values), max(values)
        middle, low, high = (f"{v:,.0f}" if abs(v) >= 1000 else f"{v:.3g}" for v in ends)
        return f"{key} {middle} ({low} .. {high})"
    return ""


if __name__ == "__main__":
    study.main("former", __doc__, {}, report)
