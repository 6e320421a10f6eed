"""A race: several ways to the same work, in turns within one run.

What else runs on a machine slows all ways of one turn alike, so that ways are compared within turns: a ratio is the
median over the turns of (seconds of one) / (seconds of the other), beside the least and the largest. Compilation is
left out, by a turn before that does not count. Times are CPU seconds of the process, which other work does not stretch,
and wall seconds beside them, which count waiting and other processes too.

A measured race is plain values: each clock's `each` (median seconds for one unit of the work) and `ratio`. Rows of
earlier versions hold what these measured: one clock in some, a ratio without its ends in others.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from avo.tables import markdown

CLOCKS = {"cpu": time.process_time, "wall": time.perf_counter}
SCALES = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


class Way(NamedTuple):
    """A way to do the work.

    Args:
        run: takes the number of the turn, as a seed, and does the work once.
        units: how many rows, steps or calls one run makes.
        note: what a reader should know of it.
    """

    run: Callable[[int], Any]
    units: float = 1.0
    note: str = ""


def seconds(run: Callable[[], Any]) -> dict[str, float]:
    """Do the work once: seconds by each clock."""
    began = {name: clock() for name, clock in CLOCKS.items()}
    run()
    return {name: clock() - began[name] for name, clock in CLOCKS.items()}


def measure(
    ways: Mapping[str, Way], ratios: Sequence[tuple[str, str]] = (), turns: int = 5, first: int = 0
) -> dict[str, Any]:
    """Let all ways run in turns, after one turn that does not count.

    Args:
        ways: name -> way.
        ratios: pairs of names (a, b), for seconds of a / seconds of b.
        turns: number of turns.
        first: number of the first turn.

    Example:
        >>> row = measure({"sum": Way(lambda _: sum(range(20_000)), units=20_000)}, turns=3)
        >>> row["turns"], 0 < row["cpu"]["each"]["sum"] < 1e-3
        (3, True)
    """
    for way in ways.values():
        way.run(first)
    took: dict[str, dict[str, list[float]]] = {clock: {name: [] for name in ways} for clock in CLOCKS}
    for turn in range(first, first + turns):
        for name, way in ways.items():
            for clock, found in seconds(lambda w=way, t=turn: w.run(t)).items():
                took[clock][name].append(found / way.units)
    return {
        "turns": turns,
        **{clock: summary(each, ratios) for clock, each in took.items()},
        "notes": {name: way.note for name, way in ways.items() if way.note},
    }


def summary(each: Mapping[str, Sequence[float]], ratios: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Summarise the turns of one clock: medians, and each ratio's median, least and largest.

    Example:
        >>> summary({"a": [2.0, 9.0, 4.0], "b": [1.0, 3.0, 1.0]}, [("a", "b")])
        {'each': {'a': 4.0, 'b': 1.0}, 'ratio': {'a/b': [3.0, 2.0, 4.0]}}
    """
    turns = {name: np.array(values) for name, values in each.items()}
    ratio = {f"{a}/{b}": turns[a] / turns[b] for a, b in ratios}
    return {
        "each": {name: float(np.median(values)) for name, values in turns.items()},
        "ratio": {pair: [float(f(r)) for f in (np.median, np.min, np.max)] for pair, r in ratio.items()},
    }


def duration(value: float) -> str:
    """Write seconds with three digits.

    Example:
        >>> duration(1.2797e-3), duration(13.76), duration(2e-10)
        ('1.28 ms', '13.8 s', '0.2 ns')
    """
    unit, scale = next(((u, s) for u, s in SCALES.items() if value >= s), ("ns", 1e-9))
    return f"{value / scale:.3g} {unit}"


def table(rows: Sequence[dict[str, Any]], unit: str) -> str:
    """Render races as Markdown; ratios are of CPU seconds, where these were kept.

    Example:
        >>> times = {"each": {"avo": 2e-6, "loop": 8e-4}, "ratio": {"loop/avo": [400.0, 390.0, 420.0]}}
        >>> print(table([{"task": "brownian", "cpu": times, "notes": {"loop": "double"}}], "row"))
        | race | way | CPU time a row | wall time | rows per CPU second | ratio (lowest .. highest) | |
        |---|---|---|---|---|---|---|
        | brownian | avo | 2 us | | 500,000 | | |
        | brownian | loop | 800 us | | 1,250 | 400 avo (390 .. 420) | double |
    """
    lines = []
    for row in rows:
        known = [row[clock] for clock in CLOCKS if clock in row]
        for name in known[0]["each"]:
            times = {clock: row[clock]["each"][name] for clock in CLOCKS if clock in row}
            ratio = [
                f"{_ratio(values)[0]} {pair.split('/')[1]}{_ratio(values)[1]}"
                for pair, values in known[0].get("ratio", {}).items()
                if pair.split("/")[0] == name
            ]
            rate = f"{1 / times['cpu']:,.{1 if times['cpu'] > 0.01 else 0}f}" if "cpu" in times else ""
            each = [duration(times[clock]) if clock in times else "" for clock in CLOCKS]
            lines.append([row["task"], name, *each, rate, ", ".join(ratio), row.get("notes", {}).get(name, "")])
    head = [
        "race",
        "way",
        f"CPU time a {unit}",
        "wall time",
        f"{unit}s per CPU second",
        "ratio (lowest .. highest)",
        "",
    ]
    return "\n".join(markdown(head, lines))


def _ratio(values: Sequence[float]) -> tuple[str, str]:
    """Write a ratio, and its ends where they were kept."""
    middle, *ends = (f"{v:,.{2 if v < 10 else 0}f}" for v in values)
    return middle, f" ({' .. '.join(ends)})" if ends else ""
