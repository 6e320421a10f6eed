"""How the cost of a fit grows: seconds against batch, observations, data dimension, parameters and steps.

One quantity grows, the others stay at the values of `BASE`. The simulator costs next to nothing, so that what is
measured is avo's own: x = A theta + noise, A a fixed matrix (n, d). `avo alone` is the adversarial fit of so many
steps, `whole fit` one of 100,000 calls with default settings, learned scores included. One core is used, and wall time
counts. The exponent e of seconds = c quantity^e is fitted to the upper half of each curve by least squares in
logarithms, since small fits cost what their parts cost that do not grow.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

import avo
from avo.benchmarks.studies.speed import race
from avo.benchmarks.studies.speed.race import Way
from avo.plots.style import decades
from avo.space import Interval, Space
from avo.tables import markdown

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
COSTS = {"avo alone": "#1f6fb4", "whole fit": "#d95f02"}  # and their colours
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

    def run(**options: Any) -> Way:
        return Way(lambda seed: avo.fit(simulate, x_obs, space, seed=seed, progress=False, **options))

    ways = {"avo alone": run(**alone)} | ({"whole fit": run(budget=BUDGET)} if name in WHOLE else {})
    return race.measure(ways, turns=REPEATS, first=seed)


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
    found: dict[tuple[str, str], dict[int, float]] = {}
    for row in rows:
        name, value = row["task"].split("/")
        for cost, seconds in row["wall"]["each"].items():
            found.setdefault((name, cost), {})[int(value)] = seconds
    order = [(name, cost) for name in CURVES for cost in COSTS if (name, cost) in found]
    return {key: tuple(map(list, zip(*sorted(found[key].items()), strict=True))) for key in order}  # pyright: ignore


def report(rows: list[dict[str, Any]]) -> str:
    """Write the curves as a table, with their exponents, and draw them."""
    lines = []
    for (name, cost), (values, seconds) in _curves(rows).items():
        each = ", ".join(f"{v:,}: {s:.3g}" for v, s in zip(values, seconds, strict=True))
        lines.append([name, cost, each, f"{exponent(values, seconds):.2f}" if len(values) > 3 else "-"])
    picture(rows).savefig(PICTURE, dpi=110)
    others = ", ".join(f"{name} {value:,}" for name, value in BASE.items())
    table = markdown(["quantity", "cost", "seconds at each value", "exponent"], lines)
    return "\n".join([*table, "", f"The others stay at {others}. Drawn in {PICTURE}."])


def picture(rows: list[dict[str, Any]]) -> Figure:
    """Draw seconds against each quantity, with lines of exponent 1."""
    curves = _curves(rows)
    names = [name for name in CURVES if any(n == name for n, _ in curves)]
    figure = Figure(figsize=(3.0 * len(names), 3.2), layout="constrained")
    panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    for axes, name in zip(panels, names, strict=True):
        for cost, colour in COSTS.items():
            if (name, cost) in curves:
                values, seconds = curves[name, cost]
                words = f"{cost}: exponent {exponent(values, seconds):.2f}" if len(values) > 3 else cost
                axes.plot(values, seconds, "o-", color=colour, label=words)
        low, high = min(CURVES[name]) / 1.5, max(CURVES[name])
        top = max(s[-1] for (n, _), (_, s) in curves.items() if n == name)
        axes.plot([high / 30, high], [top / 30, top], color="0.6", ls=":", label="exponent 1")
        axes.set(xlabel=name, xlim=(low, None))
        decades(axes, "x")
        decades(axes, "y")
        axes.legend(frameon=False, fontsize=7)
    panels[0].set_ylabel("seconds of a fit, compiled before")
    return figure
