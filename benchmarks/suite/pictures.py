"""Pictures of the suite: error over the floor against calls, and all tasks by all methods at one budget."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from avo.benchmarks.suite.methods import method_names, method_of
from avo.benchmarks.suite.summary import REFERENCE, Line
from avo.benchmarks.suite.tasks import get, task_names
from avo.plots.style import decades

_PALETTE = (*(f"C{i}" for i in range(10)), "gold", "navy", "black", "lime")
COLOURS = {name: _PALETTE[i % len(_PALETTE)] for i, name in enumerate(n for n in method_names() if n != REFERENCE)}


HIGHEST = 100.0  # floors; what lies above is drawn at the edge


def _style(method: str) -> dict[str, Any]:
    dashes = ":" if method in ("gp-2017", "r1-2018", "bce-2018") else "--" if method_of(method).rival else "-"
    return {"color": COLOURS[method], "ls": dashes, "lw": 2.2 if method == "avo" else 1.2, "marker": "o", "ms": 3.5}


def curves(found: Sequence[Line]) -> Figure:
    """Draw the median error over the floor against calls, a panel per task, with 95 % bootstrap intervals.

    What lies above 100 floors is drawn at the upper edge.

    Raises:
        ValueError: if no method with calls is among the lines.
    """
    found = [s for s in found if s.method != REFERENCE]
    tasks = [name for name in task_names() if any(s.task == name for s in found)]
    if not tasks:
        raise ValueError("found must hold a line of a method that makes calls; got none.")
    columns = min(4, len(tasks))
    height = -(-len(tasks) // columns)
    figure = Figure(figsize=(3.1 * columns + 1.6, 2.7 * height + 0.6), layout="constrained")
    axes = figure.subplots(height, columns, squeeze=False)
    least, most = min(s.budget for s in found), max(s.budget for s in found)
    calls = np.geomspace(least / 1.5, most * 1.5, 50)
    handles: dict[str, Any] = {}
    for ax, task in zip(axes.flat, tasks, strict=False):
        handles["floor x sqrt(1 + m/calls)"] = ax.plot(
            calls, np.sqrt(1 + get(task).m / calls), color="black", lw=1
        )[0]  # fmt: skip
        for method in method_names():
            some = [s for s in found if (s.task, s.method) == (task, method) and np.isfinite(s.over)]
            if some:
                x, y = [s.budget for s in some], np.array([s.over for s in some])
                handles[method] = ax.plot(x, np.minimum(y, HIGHEST), **_style(method), clip_on=False)[0]
                for s in some:
                    if s.over_low is not None and s.over_high is not None:
                        ends = np.minimum([s.over_low, s.over_high], HIGHEST)
                        ax.vlines(s.budget, *ends, color=COLOURS[method], lw=0.8)
        ax.set(title=task, xlim=(calls[0], calls[-1]))
        ax.title.set_fontsize(10)
        decades(ax, "x")
        decades(ax, "y")
        ax.set_ylim(top=min(ax.get_ylim()[1], HIGHEST))
    for ax in axes.flat[len(tasks) :]:
        ax.set_axis_off()
    for ax in axes[:, 0]:
        ax.set_ylabel("error / floor")
    for i in range(columns):
        axes[(len(tasks) - 1 - i) // columns, i].set_xlabel("simulator calls")
    figure.legend(list(handles.values()), list(handles), loc="outside right upper", frameon=False, fontsize=8)
    return figure


def heat_map(found: Sequence[Line], budget: int) -> Figure:
    """Draw the median error over the floor of every task and method at a budget; red text where a line is red."""
    found = [s for s in found if s.budget in (budget, 0)]
    tasks = [name for name in task_names() if any(s.task == name for s in found)]
    methods = [name for name in method_names() if any(s.method == name for s in found)]
    values = np.full((len(tasks), len(methods)), np.nan)
    figure = Figure(figsize=(0.85 * len(methods) + 3.4, 0.38 * len(tasks) + 1.9), layout="constrained")
    ax = figure.subplots()
    for s in found:
        i, j = tasks.index(s.task), methods.index(s.method)
        values[i, j] = s.over
        text = "none" if np.isinf(s.over) else f"{s.over:.1f}" if s.over < 100 else f"{s.over:.0f}"
        ax.text(j, i, text, ha="center", va="center", fontsize=8, color="tab:red" if s.red else "black",
                fontweight="bold" if s.red else "normal")  # fmt: skip
    shown = ax.imshow(
        np.where(np.isinf(values), 1e9, values), norm=LogNorm(1, 100), cmap="Blues", aspect="auto", alpha=0.6
    )
    ax.set_xticks(range(len(methods)), methods, rotation=40, ha="right")
    ax.set_yticks(range(len(tasks)), tasks)
    figure.suptitle(f"{budget:,} calls\nred: does not do the task", fontsize=10)
    figure.colorbar(shown, ax=ax, label="median error / floor", extend="both")
    return figure
