"""Are errors of fits by stored pairs honest, whatever distribution theta was drawn from.

    python -m avo.benchmarks.studies.stored coverage
    python -m avo.benchmarks.studies.stored report

A cell is a data set of 500 normal numbers of mean 2.5 and standard deviation .7, fitted by 20,000 stored pairs of one
number each, whose theta, mean in (-2, 6) and sd in (.2, 4) on a logarithmic scale, are

    uniform    over the box
    skewed     Beta(4, 2) and Beta(1.5, 3) over it
    grid       one of 40 x 40 places, each drawn at random
    earlier    half uniform, half normal around a place two widths of one observation away

The exact answer is the maximum likelihood. The table has the rms distance to the truth, and that to the maximum
likelihood, in exact standard errors; the stated error in exact ones; how many 90 % intervals hold the truth.
"""

from typing import Any

import numpy as np

import avo
from avo.benchmarks.studies import study
from avo.benchmarks.studies.study import Study
from avo.tables import markdown

SPACE = avo.Space(mean=avo.Interval(-2.0, 6.0), sd=avo.LogInterval(0.2, 4.0))
TRUTH, M, N = np.array([2.5, 0.7]), 500, 20_000
DESIGNS = ("uniform", "skewed", "grid", "earlier")


def places(design: str, rng: np.random.Generator) -> np.ndarray:
    """Draw places of theta in the unit square."""
    if design == "skewed":
        return np.column_stack([rng.beta(4, 2, N), rng.beta(1.5, 3, N)])
    v = rng.uniform(size=(N, 2))
    if design == "grid":
        return (np.floor(40 * v) + 0.5) / 40
    if design == "earlier":
        v[::2] = np.clip(rng.normal([0.74, 0.6], [0.1, 0.15], size=v[::2].shape), 0.001, 0.999)
    return v


def measure(design: str, seed: int) -> dict[str, Any]:
    """Fit one data set."""
    rng = np.random.default_rng(seed)
    v = places(design, rng)
    theta = np.column_stack([-2 + 8 * v[:, 0], 0.2 * 20 ** v[:, 1]])
    x_obs = rng.normal(*TRUTH, size=(M, 1))
    result = avo.fit(avo.Stored(theta, theta[:, :1] + theta[:, 1:] * rng.normal(size=(N, 1))), x_obs, SPACE)
    stderr = None if result.stderr is None or not np.isfinite(result.stderr).all() else result.stderr.tolist()
    inside = None
    if stderr is not None:
        ends = result.interval(0.9)
        inside = ((ends[:, 0] < TRUTH) & (TRUTH < ends[:, 1])).tolist()
    return {
        "status": result.status, "theta": result.theta.tolist(), "stderr": stderr, "inside": inside,
        "mle": [float(x_obs.mean()), float(x_obs.std())],
        "p": None if result.estimate is None else result.estimate.p_value,
        "noise": None if result.estimate is None else result.estimate.simulation_noise,
    }  # fmt: skip


def report(rows: list[dict[str, Any]]) -> str:
    """Write a row of the table for each design."""
    exact = TRUTH[1] * np.array([1, 0.5**0.5]) / np.sqrt(M)
    head = ["theta", "fits", "with errors", "to truth", "to maximum likelihood", "stated", "inside 90 %", "p < .05"]
    table = []
    for design in DESIGNS:
        own = [row for row in rows if row["task"] == design]
        good = [row for row in own if row["stderr"] is not None]
        if not good:
            continue  # not measured
        theta, stderr, mle = (np.array([row[name] for row in good]) for name in ("theta", "stderr", "mle"))
        rms = [np.sqrt(np.mean(((theta - to) / exact) ** 2, axis=0)) for to in (TRUTH, mle)]
        cells = [*rms, np.median(stderr, axis=0) / exact]
        words = [" ".join(f"{value:.2f}" for value in cell) for cell in cells]
        held = np.mean([row["inside"] for row in good], axis=0)
        small = np.mean([row["p"] < 0.05 for row in good if row["p"] is not None])
        last = [" ".join(f"{value:.0%}" for value in held), f"{small:.0%}"]
        table.append([design, str(len(own)), str(len(good)), *words, *last])
    return "\n".join(markdown(head, table, right=1))


STUDIES = {"coverage": Study(measure, DESIGNS, (0, 50))}

if __name__ == "__main__":
    study.main("stored", __doc__, STUDIES, report)
