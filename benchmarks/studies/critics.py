"""Which critic and which loss to take: reliability and precision of fits over critics x losses on four tasks.

    python -m avo.benchmarks.studies.critics table
    python -m avo.benchmarks.studies.critics table --tasks brownian/mlp/one-sided --seeds 0 5
    python -m avo.benchmarks.studies.critics report

20 random truths each, 1000 observations, 300,000 calls, all else the default settings. A fit counts as reliable where
every parameter is within max(3 % of its range, 4 standard deviations of the maximum-likelihood estimate); its precision
is the error in units of those standard deviations, root mean square over the parameters. Truths, observations and
deviations are those of `avo.benchmarks.studies.foundation`.
"""

import time
from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import numpy as np

import avo
from avo import critics, simulators
from avo.benchmarks.studies import study
from avo.benchmarks.studies.study import Study
from avo.benchmarks.suite.floors import mle_sd
from avo.benchmarks.suite.tasks import OBSERVATIONS, observe, truth
from avo.simulators import Problem

BUDGET = 300_000

CRITICS: dict[str, Callable[..., Any]] = {
    "linear": critics.linear,
    "mlp": critics.mlp,
    "packed": critics.packed(4),
    "packed-mlp": critics.packed(4, critics.mlp),
    "conv1d": critics.conv1d,
    "gru": critics.gru,
    "lipschitz": critics.lipschitz,
}
LOSSES: dict[str, critics.Loss] = {
    "one-sided": critics.wasserstein(),
    "two-sided": critics.wasserstein("two-sided"),
    "none": critics.wasserstein("none"),
    "wgan-r1": critics.wasserstein("r1"),
    "one-sided-noise": critics.wasserstein(noise=0.1),
    "js": critics.jensen_shannon(),
    "js-saturating": critics.jensen_shannon("saturating"),
    "js-one-sided": critics.jensen_shannon(penalty="one-sided", weight=10.0),
}
PLAIN = ["one-sided", "two-sided", "wgan-r1", "one-sided-noise", "js", "js-saturating", "js-one-sided"]
FEW = ["one-sided", "two-sided", "js"]
COMBINATIONS = [("mlp", loss) for loss in PLAIN]
COMBINATIONS += [(critic, loss) for critic in ("linear", "packed", "packed-mlp") for loss in FEW]
COMBINATIONS += [("lipschitz", "none")]
CONVOLUTIONS, RECURRENT = [("conv1d", loss) for loss in FEW], [("gru", "one-sided")]
TASKS = {
    "poisson": COMBINATIONS,
    "linear5": COMBINATIONS,
    "brownian": COMBINATIONS + CONVOLUTIONS + RECURRENT,
    "ecg": COMBINATIONS + CONVOLUTIONS[:1],
}
NAMES = [f"{task}/{critic}/{loss}" for task, combinations in TASKS.items() for critic, loss in combinations]


@cache
def _problem(name: str) -> Problem:
    return simulators.get(name)


def fit(cell: str, seed: int, budget: int = BUDGET) -> dict[str, Any]:
    """Fit one random truth by a task, a critic and a loss."""
    name, critic, loss = cell.split("/")
    problem = _problem(name)
    position, theta = truth(problem, seed)
    x_obs = observe(problem, theta, OBSERVATIONS, seed)
    start = time.process_time()
    result = avo.fit(
        problem.simulate, x_obs, problem.space,
        seed=seed, budget=budget, critic=CRITICS[critic], loss=LOSSES[loss], refine=False, progress=False,
    )  # fmt: skip
    error = np.abs(np.asarray(jax.nn.sigmoid(result.proposal.loc)) - position)
    sd = mle_sd(problem, position, OBSERVATIONS)
    return {
        "within": bool((error <= np.maximum(0.03, 4 * sd)).all()),
        "over_floor": float(np.sqrt(np.mean((error / sd) ** 2))),
        "worst": float(error.max()),
        "seconds": time.process_time() - start,
    }


def report(rows: list[dict[str, Any]]) -> str:
    """Render the finished cells as Markdown."""
    pairs = [pair for pair in TASKS["brownian"] if any(r["task"].endswith("/".join(("", *pair))) for r in rows)]
    lines = [
        "Fits within the limit of 20 random truths; in brackets the median error over the maximum-likelihood estimate's"
        " standard deviation.",
        "",
        "| critic | loss | " + " | ".join(TASKS) + " | CPU s/fit |",
        "|---|---|" + "---|" * (len(TASKS) + 1),
    ]
    for critic, loss in pairs:
        line, seconds = [critic, loss], []
        for task in TASKS:
            found = [r for r in rows if r["task"] == f"{task}/{critic}/{loss}"]
            seconds += [r["seconds"] for r in found]
            within, middle = sum(r["within"] for r in found), np.median([r["over_floor"] for r in found] or [np.nan])
            line.append(f"{within}/{len(found)} ({middle:.1f})" if found else "-")
        lines.append("| " + " | ".join([*line, f"{np.median(seconds):.1f}"]) + " |")
    return "\n".join(lines)


STUDIES = {"table": Study(fit, NAMES, (0, 20))}

if __name__ == "__main__":
    study.main("critics", __doc__, STUDIES, report)
