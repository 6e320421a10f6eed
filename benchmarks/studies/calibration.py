"""Are the stated errors honest: of points over many data sets of one truth, and of populations.

    python -m avo.benchmarks.studies.calibration coverage --tasks poisson brownian
    python -m avo.benchmarks.studies.calibration population
    python -m avo.benchmarks.studies.calibration report

Default settings throughout, the same for all tasks; every call counts. The suite measures coverage too, over random
truths and few seeds; here one truth has hundreds of data sets, so that each parameter's share is known to 2 %, beside
that of the maximum likelihood on the same data. `population` fits 2000 Brownian paths whose (mu, log sigma) is normal,
in a space where the fitted family holds that population (`normal`) and in one with bounds where it does not
(`bounded`), and lets `avo.check` judge by 10,000 other paths.
"""

import time
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

import avo
from avo import simulators
from avo.benchmarks.studies import study
from avo.benchmarks.studies.study import Study
from avo.benchmarks.suite import floors
from avo.benchmarks.suite.floors import jitted, unconstrain
from avo.simulators import Problem
from avo.tables import markdown

COVERED = ("poisson", "brownian", "linear5", "pendulum", "ecg", "ou")
CLOSED = ("poisson", "brownian", "linear5")  # whose maximum likelihood has a closed form
LEVEL = 0.9
OBSERVATIONS, PATHS = 1000, 2000
NEW = 10_000  # observations by which `check` judges
# Means, standard deviations and correlation of (mu, log sigma), and of (mu, sigma)
POPULATION = {
    "normal": np.array([0.4, -0.5, 0.6, 0.3, 0.5]),
    "bounded": np.array([0.4, 0.634448, 0.6, 0.194698, 0.488787]),
}
SECOND = {"normal": "log sigma", "bounded": "sigma"}  # name of the population's second parameter


@cache
def problem_of(name: str) -> Problem:
    """Make a problem once, so that its fits share one compiled program."""
    return simulators.ornstein_uhlenbeck(points=64, duration=6.4) if name == "ou" else simulators.get(name)


def observe(problem: Problem, theta: np.ndarray, seed: int, stream: int = 0) -> np.ndarray:
    """Simulate one observation of each theta (n, d), from randomness that no fit uses."""
    key = jax.random.fold_in(jax.random.key(2**21), seed)
    key = jax.random.fold_in(key, stream) if stream else key
    return np.asarray(jitted(problem.simulate)(key, jnp.asarray(theta, jnp.float32)))


@cache
def floor(name: str) -> np.ndarray:
    """Compute the standard deviation of the maximum-likelihood estimate, in u; of `ou` by 200,000 series."""
    problem = problem_of(name)
    u = unconstrain(problem.space, problem.theta_true)
    F = floors.by_simulation(problem, u, 200_000) if name == "ou" else floors.information(problem, u)
    return np.sqrt(np.diag(floors.covariance(F, OBSERVATIONS)))


def coverage(name: str, seed: int) -> dict[str, Any]:
    """Fit one of many data sets of one task: errors in u, and what is said of them.

    `alone` is the error of the adversarial half's own estimate, the mean of its last iterates.
    """
    problem = problem_of(name)
    truth = problem.theta_true
    u_true = np.asarray(problem.space.unconstrain(jnp.asarray(truth)), float)
    x_obs = observe(problem, np.tile(truth, (OBSERVATIONS, 1)), seed)
    began = time.perf_counter()
    result = avo.fit(problem.simulate, x_obs, problem.space, seed=seed, progress=False)
    last = int(result.settings["average"] * len(result.history["u"]))
    row = {
        "calls": result.calls, "status": result.status, "seconds": time.perf_counter() - began,
        "sd of mle": floor(name).tolist(), "alone": (result.history["u"][-last:].mean(0) - u_true).tolist(),
    }  # fmt: skip
    if name in CLOSED:
        mle = problem.mle(jnp.asarray(x_obs))
        assert mle is not None
        row["error of mle"] = (np.asarray(problem.space.unconstrain(mle)) - u_true).tolist()
    if (estimate := result.estimate) is None:
        return row
    low, high = result.interval(LEVEL).T
    return row | {
        "error": (estimate.loc - u_true).tolist(), "sd": estimate.sd.tolist(), "limit": estimate.simulation_noise,
        "below": (truth < low).tolist(), "above": (truth > high).tolist(),
    }  # fmt: skip


def population(name: str, seed: int) -> dict[str, Any]:
    """Fit a population of Brownian paths, in a space where it is normal or not, and check it on others."""
    problem, rng = problem_of("brownian"), np.random.default_rng(seed)
    space = avo.Space(mu=avo.Real(0, 1), sigma=avo.Positive(0.6)) if name == "normal" else problem.space
    mean, covariance = POPULATION["normal"][:2], np.array([[0.36, 0.09], [0.09, 0.09]])
    u = np.concatenate([rng.multivariate_normal(mean, covariance, size=n) for n in (PATHS, NEW)])
    theta = np.stack([u[:, 0], np.exp(u[:, 1])], 1)
    x_obs, x_new = observe(problem, theta[:PATHS], seed), observe(problem, theta[PATHS:], seed, 1)
    began = time.perf_counter()
    result = avo.fit(problem.simulate, x_obs, space, target="population", seed=seed, progress=False)
    row = {"calls": result.calls, "status": result.status, "seconds": time.perf_counter() - began}
    if result.estimate is None or result.population is None:
        return row
    found = result.population.u if name == "normal" else result.population.theta
    shift = np.array([0.0, np.log(0.6)]) if name == "normal" else np.zeros(2)
    drawn = np.asarray(result.sample(jax.random.key(seed), 200_000))
    return row | {
        "check": avo.check(result, problem.simulate, x_new, seed=seed).p_value,
        "sd of log sigma": float(np.log(drawn[:, 1]).std()),
        "values": [*(found.mean + shift), *found.sd, found.corr[0, 1]],
        "errors": [*found.mean_stderr, *found.sd_stderr, found.corr_stderr[0, 1]],
    }


def report(rows: list[dict[str, Any]]) -> str:
    """Render the finished cells as Markdown."""
    covered = [r for r in rows if r["study"] == "coverage"]
    parts = [_coverage(covered), _never(covered)]
    parts += [
        _population(name, [r for r in rows if (r["study"], r["task"]) == ("population", name)]) for name in SECOND
    ]
    return "\n\n".join(filter(None, parts))


def _coverage(rows: list[dict[str, Any]]) -> str:
    lines = []
    for name in COVERED:
        found = [r for r in rows if r["task"] == name]
        done = [r for r in found if "error" in r]
        if not done:
            continue
        below, above, error, sd = (np.array([r[k] for r in done]) for k in ("below", "above", "error", "sd"))
        covered = ~(below | above)
        ratio = np.median([np.array(r["sd"]) / np.array(r["sd of mle"]) / r["limit"] for r in done], 0)
        lines.append([
            f"{name}, {len(found)}", str(len(done)), ", ".join(f"{100 * c:.1f}" for c in covered.mean(0)),
            f"{100 * covered.mean():.1f}", _covered_by_mle(done),
            f"{100 * below.mean(0).max():.1f}, {100 * above.mean(0).max():.1f}",
            f"{np.sqrt(np.mean((error / sd) ** 2)):.2f}", f"{ratio.max():.2f}",
            f"{np.median([r['seconds'] for r in found]):.1f}",
        ])  # fmt: skip
    head = [
        "task, data sets", "converged", "covered by 90 %, per parameter", "pooled", "MLE's own",
        "truth below, above, worst", "rms error / sd", "sd / (sd of MLE x limit), worst median", "seconds",
    ]  # fmt: skip
    return "\n".join(markdown(head, lines)) if lines else ""


def _covered_by_mle(rows: list[dict[str, Any]]) -> str:
    """Count how often the maximum likelihood's interval, of the exact standard deviation, covers on the same data."""
    if not all("error of mle" in r for r in rows):
        return "-"
    z = np.array([np.array(r["error of mle"]) / np.array(r["sd of mle"]) for r in rows])
    return f"{100 * np.mean(np.abs(z) < stats.norm.isf((1 - LEVEL) / 2)):.1f}"


def _never(rows: list[dict[str, Any]]) -> str:
    """Count the fits that refining made worse."""
    done = [[np.abs(r[k]) for k in ("error", "alone", "sd")] for r in rows if "error" in r]
    if not done:
        return ""
    by = np.array([((error - alone) / sd).max() for error, alone, sd in done])
    return (
        f"Never worse: of {len(by)} refined fits, {np.sum(by > 2)} have a parameter whose error exceeds that of the "
        f"adversarial fit by more than 2 standard errors, {np.sum(by > 4)} by more than 4."
    )


def _population(name: str, rows: list[dict[str, Any]]) -> str:
    done = [r for r in rows if "values" in r]
    if not done:
        return ""
    values, errors = np.array([r["values"] for r in done]), np.array([r["errors"] for r in done])
    inside = (np.abs(values - POPULATION[name]) < 3 * errors).all(1)
    spread = values.std(0, ddof=1)
    table = {"truth": POPULATION[name], "mean over seeds": values.mean(0), "spread over seeds": spread,
             "reported error": errors.mean(0), "spread / reported": spread / errors.mean(0)}  # fmt: skip
    second = SECOND[name]
    head = [f"Brownian paths, {name} in u", "mean mu", f"mean {second}", "sd mu", f"sd {second}", "correlation"]
    lines = markdown(head, [[label, *(f"{v:.4f}" for v in row)] for label, row in table.items()])
    text = f"All five within three errors in {inside.sum()} of {len(rows)} seeds."
    if checked := [r for r in done if "check" in r]:
        told = np.mean([r["sd of log sigma"] for r in checked])
        text += (
            f" The fitted population's spread of log sigma is {told:.4f} (truth .3); `check` rejects it at 5 % by "
            f"{NEW:,} new observations in {sum(r['check'] < 0.05 for r in checked)} of {len(checked)}."
        )
    return "\n".join([*lines, "", text])


STUDIES = {
    "coverage": Study(coverage, COVERED, (0, 200)),
    "population": Study(population, list(SECOND), (0, 20)),
}

if __name__ == "__main__":
    study.main("calibration", __doc__, STUDIES, report)
