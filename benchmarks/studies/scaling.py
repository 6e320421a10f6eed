"""How the cost of a fit grows: seconds against batch, observations, data dimension, parameters and steps.

    python -m avo.benchmarks.studies.scaling curve
    python -m avo.benchmarks.studies.scaling report      # prints the table and draws scaling.png beside this module

One quantity grows, the others stay at the values of `BASE`. The simulator costs next to nothing, so that what is
measured is avo's own: x = A theta + noise, A a fixed matrix (n, d). `avo alone` is the adversarial fit of so many
steps, `whole fit` one of 100,000 calls with default settings, learned scores included. Programs are compiled before,
one core is used, the least of three runs counts. The exponent e of seconds = c quantity^e is fitted to the upper half
of each curve by least squares in logarithms, since small fits cost what their parts cost that do not grow.
"""

import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

import avo
from avo.benchmarks.studies import study
from avo.benchmarks.studies.study import Study
from avo.space import Interval, Space

PICTURE = Path("scaling.png")
BASE = {"batch": 64, "observations": 1000, "dimension": 20, "parameters": 4, "steps": 500}
CURVES = {
    "batch": (16, 64, 256, 1024, 4096),
    "observations": (100, 1000, 10_000, 100_000, 1_000_000),
    "dimension": (4, 20, 100, 500, 2500),
    "parameters": (2, 4, 8, 16, 32, 64),
    "steps": (100, 500, 2500, 12_500),
}
TASKS = [f"{name}/{value}" for name, values in CURVES.items() for value in values]
WHOLE = ("observations", "dimension", "parameters")
COSTS = {"avo_s": "avo alone", "whole_s": "whole fit"}
BUDGET = 100_000  # calls of the whole fit
REPEATS = 3


@cache
def simulator(dimension: int, parameters: int) -> tuple[Callable, Space]:
    """Make x = A theta + noise and its space; A has orthogonal directions where there are as many."""
    A = np.random.default_rng(0).normal(size=(parameters, dimension)) / np.sqrt(parameters)
    A = jnp.asarray(A, jnp.float32)

    def simulate(key: jax.Array, theta: jax.Array) -> jax.Array:
        return theta @ A + jax.random.normal(key, (len(theta), dimension))

    return simulate, Space(**{f"p{i}": Interval(-3.0, 4.0) for i in range(parameters)})


def measure(task: str, seed: int) -> dict[str, Any]:
    """Time fits of one size, without what compiles."""
    name, value = task.split("/")
    n = BASE | {name: int(value)}
    simulate, space = simulator(n["dimension"], n["parameters"])
    theta = np.linspace(-1.0, 1.5, n["parameters"], dtype=np.float32)
    x_obs = np.asarray(simulate(jax.random.key(2**20), jnp.tile(theta, (n["observations"], 1))))
    settings = avo.Settings(batch=n["batch"], pairs=max(n["batch"] // 2, 2))
    alone = {"budget": n["steps"] * settings.calls, "settings": settings, "refine": False}

    def seconds(**keywords: Any) -> float:
        return _least(lambda k: avo.fit(simulate, x_obs, space, seed=k, progress=False, **keywords))

    found = {"avo_s": seconds(**alone)}
    return found | ({"whole_s": seconds(budget=BUDGET)} if name in WHOLE else {})


def _least(run: Callable[[int], Any]) -> float:
    """Run once to compile, then take the least of some repetitions."""
    took = []
    for k in range(REPEATS + 1):
        began = time.perf_counter()
        run(k)
        took.append(time.perf_counter() - began)
    return min(took[1:])


def exponent(values: list[float], seconds: list[float]) -> float:
    """Fit e of seconds = c value^e to the upper half of a curve.

    Example:
        >>> round(exponent([1, 10, 100, 1000], [5.0, 5.0, 10.0, 100.0]), 6)
        1.0
    """
    half = len(values) // 2
    return float(np.polyfit(np.log(values[half:]), np.log(seconds[half:]), 1)[0])


def _curves(rows: list[dict[str, Any]]) -> dict[tuple[str, str], tuple[list[float], list[float]]]:
    """Collect (quantity, cost) -> values and seconds."""
    found = {}
    for name in CURVES:
        for cost in ("avo_s", "whole_s"):
            some = {
                int(r["task"].split("/")[1]): r[cost] for r in rows if r["task"].startswith(name + "/") and cost in r
            }
            if some:
                found[name, cost] = sorted(some), [some[v] for v in sorted(some)]
    return found


def report(rows: list[dict[str, Any]]) -> str:
    """Write the curves as a table, with their exponents."""
    lines = ["| quantity | cost | seconds at each value | exponent |", "|---|---|---|---|"]
    for (name, cost), (values, seconds) in _curves(rows).items():
        each = ", ".join(f"{v:,}: {s:.3g}" for v, s in zip(values, seconds, strict=True))
        e = f"{exponent(values, seconds):.2f}" if len(values) > 3 else "-"
        lines.append(f"| {name} | {COSTS[cost]} | {each} | {e} |")
    picture(rows).savefig(PICTURE, dpi=110)
    others = ", ".join(f"{name} {value:,}" for name, value in BASE.items())
    return "\n".join([*lines, "", f"The others stay at {others}."])


def picture(rows: list[dict[str, Any]]) -> Figure:
    """Draw seconds against each quantity, with lines of exponent 1."""
    figure = Figure(figsize=(3.0 * len(CURVES), 3.2), layout="constrained")
    panels = figure.subplots(1, len(CURVES), sharey=True)
    curves = _curves(rows)
    for axes, name in zip(panels, CURVES, strict=True):
        for cost, colour in zip(COSTS, ("#1f6fb4", "#d95f02"), strict=True):
            if (name, cost) in curves:
                values, seconds = curves[name, cost]
                words = f"{COSTS[cost]}: exponent {exponent(values, seconds):.2f}" if len(values) > 3 else COSTS[cost]
                axes.plot(values, seconds, "o-", color=colour, label=words)
        low, high = min(CURVES[name]) / 1.5, max(CURVES[name])
        top = max(s[-1] for (n, _), (_, s) in curves.items() if n == name)
        axes.plot([high / 30, high], [top / 30, top], color="0.6", ls=":", label="exponent 1")
        axes.set(xscale="log", yscale="log", xlabel=name, xlim=(low, None))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.legend(frameon=False, fontsize=7)
    panels[0].set_ylabel("seconds of a fit, compiled before")
    return figure


if __name__ == "__main__":
    study.main("scaling", __doc__, {"curve": Study(measure, TASKS, (0, 1))}, report)
