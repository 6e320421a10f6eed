"""Are weighted rows, and rows of which values are missing, fitted as well as can be, with honest errors?

    python -m avo.benchmarks.studies.rows fits
    python -m avo.benchmarks.studies.rows report

A cell is a fit of new observations at a known truth, with 40,000 calls, beside the best estimate that there is:

    complete    600 pairs of normal numbers, two means and a correlation of .8; the maximum likelihood
    patterns    the same, a quarter of the rows without the first number, a quarter without the second; the maximum of
                the likelihood of what was seen
    lengths     300 random walks of 5 to 30 steps, their drift and scale; the maximum likelihood
    survey      pairs as above, asked for with a chance that grows with the first number, and weighted by its inverse;
                the maximum of the weighted likelihood, and its sandwich

Reported are, in that estimate's own errors, the root mean square of the distance from it over fits that converged,
median and worst of the stated errors, and how often the 90 % interval covers the truth, over all parameters and fits.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy import optimize

import avo
from avo.benchmarks.studies import study
from avo.benchmarks.studies.study import Study
from avo.tables import markdown

BUDGET, ROWS, WALKS = 40_000, 600, 300
TASKS = ("complete", "patterns", "lengths", "survey")
PAIRS = avo.Space(m1=avo.Interval(-5, 5), m2=avo.Interval(-5, 5), rho=avo.Interval(-0.99, 0.99))
WALK = avo.Space(drift=avo.Interval(-2, 2), scale=avo.LogInterval(0.1, 10))
TRUTH = {"pairs": np.array([0.7, -1.2, 0.8]), "walks": np.array([0.3, 1.2])}
STEP = 1e-4  # of numerical derivatives


def pairs(key: Any, theta: Any) -> Any:
    """Two normal numbers of variances 1 and 4."""
    z = jax.random.normal(key, (len(theta), 2))
    m1, m2, rho = theta.T
    return jnp.stack([m1 + z[:, 0], m2 + 2 * (rho * z[:, 0] + jnp.sqrt(1 - rho**2) * z[:, 1])], axis=1)


def walks(key: Any, theta: Any) -> Any:
    """Random walks of 30 steps from zero."""
    return jnp.cumsum(theta[:, :1] + theta[:, 1:] * jax.random.normal(key, (len(theta), 30)), axis=1)


def log_likelihoods(x: Float[np.ndarray, "m 2"], theta: Float[np.ndarray, " 3"]) -> Float[np.ndarray, " m"]:
    """Compute the log likelihood of what was seen of each pair.

    Example:
        >>> x = np.array([[0.7, np.nan], [np.nan, 0.8]])
        >>> log_likelihoods(x, TRUTH["pairs"]).round(3).tolist()
        [-0.919, -2.112]
    """
    sd, z = np.array([1.0, 2.0]), (x - theta[:2]) / np.array([1.0, 2.0])
    rest = 1 - theta[2] ** 2
    both = -0.5 * (z[:, 0] ** 2 - 2 * theta[2] * z.prod(1) + z[:, 1] ** 2) / rest - np.log(
        2 * np.pi * 2 * np.sqrt(rest)
    )
    one = -0.5 * z**2 - np.log(np.sqrt(2 * np.pi) * sd)
    seen = ~np.isnan(x)
    return np.where(seen.all(1), both, np.where(seen, one, 0.0).sum(1))


def best(
    of_rows: Callable[[np.ndarray], np.ndarray], start: np.ndarray, w: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Maximise a weighted sum of log likelihoods: the place, and its errors by the sandwich H^-1 J H^-1."""
    found = optimize.minimize(
        lambda theta: -w @ of_rows(theta), start, method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-9}
    )
    steps = STEP * np.eye(len(start))
    score = lambda theta: np.stack([(of_rows(theta + e) - of_rows(theta - e)) / (2 * STEP) for e in steps], 1)  # noqa: E731
    H = np.stack([w @ (score(found.x + e) - score(found.x - e)) / (2 * STEP) for e in steps])
    weighted = w[:, None] * score(found.x)
    inverse = np.linalg.inv(H)
    plain = -inverse if np.ptp(w) == 0 else inverse @ weighted.T @ weighted @ inverse
    return found.x, np.sqrt(np.diagonal(plain))


def measure(task: str, seed: int) -> dict[str, Any]:
    """Fit one set of observations, and hold the answer against the best one."""
    rng, key = np.random.default_rng([seed, 11]), jax.random.fold_in(jax.random.key(11), seed)
    more: dict[str, Any] = {}
    if task == "lengths":
        truth, lengths = TRUTH["walks"], rng.integers(5, 31, WALKS)
        lengths[0] = 30
        whole = np.asarray(walks(key, jnp.tile(truth, (WALKS, 1))), float)
        x: Any = [path[:n] for path, n in zip(whole, lengths, strict=True)]
        steps, more = np.concatenate([np.diff(path, prepend=0.0) for path in x]), {"missing": True}
        mle = np.array([steps.mean(), steps.std()])
        errors = mle[1] / np.sqrt(len(steps) * np.array([1.0, 2.0]))
        simulate, space = walks, WALK
    else:
        truth, count = TRUTH["pairs"], 3 * ROWS if task == "survey" else ROWS
        x, w = np.array(pairs(key, jnp.tile(truth, (count, 1))), float), np.ones(count)
        if task == "patterns":
            x[: ROWS // 4, 0] = x[ROWS // 4 : ROWS // 2, 1] = np.nan
            more = {"missing": True}
        if task == "survey":
            chance = 0.1 + 0.5 / (1 + np.exp(-2 * (x[:, 0] - 0.7)))
            asked = rng.random(count) < chance
            x, w = x[asked], 1 / chance[asked]
            more = {"weights": w}
        mle, errors = best(lambda theta: log_likelihoods(x, theta), truth, w)
        simulate, space = pairs, PAIRS
    result = avo.fit(simulate, x, space, budget=BUDGET, seed=seed, progress=False, **more)
    if result.stderr is None:
        return {"status": result.status}
    low, high = result.interval(0.9).T
    return {
        "status": result.status,
        "apart": ((result.theta - mle) / errors).tolist(),
        "wide": (result.stderr / errors).tolist(),
        "covered": ((low < truth) & (truth < high)).tolist(),
        "p": None if result.estimate is None else result.estimate.p_value,
    }


def report(rows: list[dict[str, Any]]) -> str:
    """Render the finished cells as Markdown.

    Example:
        >>> row = {"task": "survey", "status": "converged", "apart": [0.3, -0.4], "wide": [1.0, 1.1]}
        >>> print(report([row | {"covered": [True, False], "p": 0.3}]).splitlines()[-1])
        | survey | 1 | 0.35 | 1.05 | 1.10 | 50 % of 2 |  |
    """
    head = ["task", "fits", "distance", "error, median", "error, worst", "covered at 90 %", "not converged"]
    lines = []
    for task in TASKS:
        cells = [row for row in rows if row["task"] == task]
        if not cells:
            continue
        found = [row for row in cells if "apart" in row]
        wide, covered = (np.concatenate([row[name] for row in found]) for name in ("wide", "covered"))
        apart = np.concatenate([row["apart"] for row in found if row["status"] == "converged"] or [[np.nan]])
        lost = len(cells) - sum(row["status"] == "converged" for row in cells)
        lines.append([
            task, str(len(cells)), f"{np.sqrt(np.mean(apart**2)):.2f}", f"{np.median(wide):.2f}", f"{wide.max():.2f}",
            f"{100 * covered.mean():.0f} % of {covered.size}", str(lost) if lost else "",
        ])  # fmt: skip
    return "\n".join(markdown(head, lines))


if __name__ == "__main__":
    study.main("rows", __doc__, {"fits": Study(measure, TASKS, (0, 25))}, report)
