"""The published recipes of adversarial variational optimization beside avo's default, on the published tasks.

    python -m avo.benchmarks.studies.published recipes
    python -m avo.benchmarks.studies.published report

20,000 observations of each task, its published start, the recipe's own number of steps, 8 seeds. The published level is
that of restatements of the authors' code, for gp-2017 of that code itself. Errors are of theta (root mean
square; log rate for `poisson`), for `epem` of the asymmetry a, since nothing else is identified there. `avo` is
`avo.fit` with default settings and that start at the same number of calls, adversarial only; see scores.py for more.
"""

from dataclasses import replace
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

import avo
from avo import simulators
from avo.adversarial import recipes
from avo.benchmarks.studies import study
from avo.benchmarks.studies.study import Study
from avo.simulators.epem import asymmetry

OBSERVATIONS = 20_000

# task/recipe -> what the published code does there: median and worst error, seeds, in calls
PUBLISHED: dict[str, tuple[float, float, int, int]] = {
    "poisson/gp-2017": (0.0112, 0.0112, 1, 985_664),
    "poisson/r1-2018": (0.0081, 0.0879, 8, 24_048),
    "poisson/bce-2018": (0.0085, 0.0557, 3, 320_000),
    "linear5/r1-2018": (0.126, 0.232, 8, 48_048),
    "epem/r1-2018": (0.079, 0.206, 8, 48_048),
}


@cache
def task(name: str) -> tuple[Any, avo.Space, avo.Gaussian, np.ndarray]:
    """Make a task as published: simulator, space in which u is the published parameter, start, and the truth."""
    if name == "linear5":
        problem = simulators.linear5()
        return problem.simulate, problem.space, avo.Gaussian.start(2, 0.0, 1.0, full=False), problem.theta_true
    if name == "epem":
        space = avo.Space(energy=avo.Real(40.0, 10.0), coupling=avo.Real(0.5, 1.0))
        return simulators.epem().simulate, space, avo.Gaussian.start(2, 0.5, 0.1, full=False), np.array([42.0, 1.1])

    def simulate(key: Array, theta: Array) -> Array:
        return simulators.poisson().simulate(key, jnp.exp(theta))

    start = avo.Gaussian.start(1, float(np.log(5.0)), 0.1, full=False)
    return simulate, avo.Space(log_rate=avo.Real(0.0, 1.0)), start, np.log([7.0])


@cache
def configuration(name: str, recipe: str) -> dict[str, Any]:
    """Take a recipe with what its authors changed for the task."""
    found = recipes.get(recipe)
    if recipe == "gp-2017":
        found["proposal"] = partial(avo.Gaussian.start, loc=float(np.log(5.0)), sd=1.0, full=False)
    if recipe == "r1-2018" and name != "poisson":
        rate = (1e-3, 1e-3) if name == "epem" else (1e-2, 1e-2)
        found["settings"] = replace(found["settings"], critic_rate=rate, rate=rate)
        found["loss"] = avo.critics.wasserstein("r1", weight=4 * 20.0)
        found["critic"] = partial(avo.critics.leaky, width=50 if name == "epem" else 10)
        found["budget"] = 1001 * found["settings"].calls
    return found


def error(name: str, theta: np.ndarray, truth: np.ndarray) -> float:
    """Compute the error that the task is judged by."""
    if name == "epem":
        return float(jnp.abs(asymmetry(theta) - asymmetry(truth)))
    return float(np.sqrt(np.mean((theta - truth) ** 2)))


def measure(cell: str, seed: int) -> dict[str, Any]:
    """Fit one data set by a recipe, and by avo's default from the same start with the same calls."""
    name, recipe = cell.split("/")
    simulate, space, start, truth = task(name)
    key = jax.random.fold_in(jax.random.key(2**20), seed)
    x_obs = np.asarray(simulate(key, jnp.tile(jnp.asarray(truth, jnp.float32), (OBSERVATIONS, 1))))
    keywords = {"proposal": start, **configuration(name, recipe)}
    if recipe != "gp-2017":
        keywords["proposal"] = start
    fitted = avo.fit(simulate, x_obs, space, seed=seed, progress=False, **keywords)
    default = avo.fit(
        simulate, x_obs, space, seed=seed, progress=False, budget=fitted.calls, proposal=start, refine=False
    )
    return {
        "error": error(name, fitted.theta, truth),
        "sd": float(fitted.proposal.sd().max()),
        "avo": error(name, default.theta, truth),
        "calls": fitted.calls,
    }


def report(rows: list[dict[str, Any]]) -> str:
    """Render the finished cells as Markdown."""
    lines = [
        "| task | recipe | published median (worst, seeds, calls) | here: median (worst, seeds, calls) | "
        "avo default, same calls: median (worst) |",
        "|---|---|---|---|---|",
    ]
    for cell, (median, worst, seeds, calls) in PUBLISHED.items():
        found = [r for r in rows if r["task"] == cell]
        if found:
            errors, ours = [r["error"] for r in found], [r["avo"] for r in found]
            lines.append(
                f"| {' | '.join(cell.split('/'))} | {median:.4f} ({worst:.4f}, {seeds}, {calls:,}) | "
                f"{np.median(errors):.4f} ({max(errors):.4f}, {len(found)}, {found[0]['calls']:,}) | "
                f"{np.median(ours):.4f} ({max(ours):.4f}) |"
            )
    return "\n".join(lines)


STUDIES = {"recipes": Study(measure, list(PUBLISHED), (0, 8))}

if __name__ == "__main__":
    study.main("published", __doc__, STUDIES, report)
