"""Learned scores, measured: precision beside the maximum likelihood, honesty of the errors, and what it costs.

    python -m avo.benchmarks.studies.scores published
    python -m avo.benchmarks.studies.scores coverage --tasks poisson brownian
    python -m avo.benchmarks.studies.scores report

Default settings throughout, the same for all tasks; every call counts. `published` has the published tasks, starts and
budgets, 20,000 observations (1000 for `brownian`, at 100,000 calls). Errors of `epem` are those of c, the asymmetry.
The floor is the error of the maximum-likelihood estimate on the same observations; an estimate that compares m
observations with M simulations does no better than floor * sqrt(1 + m / M), and that limit stands beside it.
"""

import time
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import minimize_scalar

import avo
from avo import simulators
from avo.benchmarks.studies import foundation, published, study
from avo.benchmarks.studies.study import Study
from avo.benchmarks.suite import floors as likelihoods
from avo.benchmarks.suite import tasks
from avo.benchmarks.suite.methods import scores_alone
from avo.budget import plan
from avo.refine import point as fisher
from avo.simulators.epem import asymmetry

BUDGETS = {"poisson": 24_048, "linear5": 48_048, "epem": 48_048, "brownian": 100_000}
MLE_SD = {"poisson": 0.0027, "linear5": 0.0158, "epem": 0.0142}


@cache
def _ornstein_uhlenbeck() -> simulators.Problem:
    return simulators.ornstein_uhlenbeck(points=64, duration=6.4)


def own_estimate(result: avo.Result) -> np.ndarray:
    """Take the adversarial fit's own estimate, the mean of its last iterates, from a refined result: u."""
    last = int(result.settings["average"] * len(result.history["u"]))
    return result.history["u"][-last:].mean(0)


def _error_sd(name: str, result: avo.Result) -> float:
    """Compute the standard error of the error that a published task is judged by."""
    assert result.estimate is not None
    if name == "epem":
        free = result.estimate.vectors[:, ~result.estimate.identified]
        covariance = result.estimate.covariance - fisher.PRIOR**2 * free @ free.T
        u = jnp.asarray(result.estimate.loc, jnp.float32)
        slope = np.asarray(jax.grad(lambda u: asymmetry(result.space.constrain(u)))(u), float)
        return float(np.sqrt(slope @ covariance @ slope))
    return float(np.sqrt(np.mean(result.estimate.sd**2)))


def floor_epem(x: np.ndarray) -> float:
    """Maximise the likelihood of c, p(x) = 3/8 (1 + x^2 + c x)."""
    found = minimize_scalar(lambda c: -np.log(1 + x**2 + c * x).sum(), bounds=(-1.999, 1.999), method="bounded")
    return float(found.x)


def published_row(name: str, seed: int) -> dict[str, Any]:
    """Fit one published data set with the published start and number of calls."""
    if name == "brownian":
        problem = foundation.task("brownian")
        simulate, space, start, truth, m = problem.simulate, problem.space, None, problem.theta_true, 1000
    else:
        simulate, space, start, truth = published.task(name)
        m = published.OBSERVATIONS
    key = jax.random.fold_in(jax.random.key(2**20), seed)
    x_obs = np.asarray(simulate(key, jnp.tile(jnp.asarray(truth, jnp.float32), (m, 1))))
    began = time.perf_counter()
    result = avo.fit(simulate, x_obs, space, seed=seed, budget=BUDGETS[name], proposal=start, progress=False)
    row = {"calls": result.calls, "status": result.status, "seconds": time.perf_counter() - began}
    alone = np.asarray(space.constrain(own_estimate(result)))
    if result.estimate is not None:
        row |= {"limit": result.estimate.simulation_noise, "moved": result.estimate.moved}
        row |= {"sd": _error_sd(name, result)}
    if name == "epem":
        c = floor_epem(x_obs)
        return row | {
            "error": published.error(name, result.theta, truth), "alone": published.error(name, alone, truth),
            "floor": abs(c - float(asymmetry(truth))), "to mle": abs(c - float(asymmetry(result.theta))),
        }  # fmt: skip
    if name == "brownian":
        mle = np.asarray(problem.mle(jnp.asarray(x_obs)))
        sd = truth[1] / np.sqrt([m, 2 * 64 * m])
        distance = lambda theta: (np.abs(theta - mle) / sd).tolist()  # noqa: E731
        return row | {"to mle": distance(result.theta), "alone": distance(alone)}
    mle = np.log([x_obs.mean()]) if name == "poisson" else np.asarray(simulators.linear5().mle(jnp.asarray(x_obs)))
    return row | {
        "error": published.error(name, result.theta, truth), "alone": published.error(name, alone, truth),
        "floor": published.error(name, mle, truth), "to mle": published.error(name, result.theta, mle),
        "stderr": None if result.stderr is None else result.stderr.tolist(),
    }  # fmt: skip


def coverage_row(name: str, seed: int) -> dict[str, Any]:
    """Fit one of many simulated data sets of one task with default settings: errors, and what is said of them."""
    problem = _task(name)
    simulate, space, truth = problem.simulate, problem.space, problem.theta_true
    x_obs = _observe(simulate, truth, seed)
    if name == "ou":
        sd = _ou_sd() / np.sqrt(len(x_obs))
    else:
        u = np.asarray(space.unconstrain(jnp.asarray(truth)), float)
        sd = _mle_sd(problem, u, len(x_obs))
    began = time.perf_counter()
    result = avo.fit(simulate, x_obs, space, seed=seed, progress=False)
    seconds = time.perf_counter() - began
    u_true = np.asarray(space.unconstrain(jnp.asarray(truth)), float)
    estimate = result.estimate
    row = {"calls": result.calls, "status": result.status, "seconds": seconds, "sd of mle": sd.tolist()}
    row |= {"alone": (own_estimate(result) - u_true).tolist()} | _error_of_mle(problem, x_obs, u_true)
    if estimate is None:
        return row
    low, high = result.interval(0.9).T
    return row | {
        "error": (estimate.loc - u_true).tolist(), "sd": estimate.sd.tolist(), "limit": estimate.simulation_noise,
        "below": (truth < low).tolist(), "above": (truth > high).tolist(),
    }  # fmt: skip


def _error_of_mle(problem: simulators.Problem, x_obs: np.ndarray, u_true: np.ndarray) -> dict[str, Any]:
    """Compute how far the maximum likelihood is off on the same observations, where it is closed: their luck."""
    if problem.name not in ("poisson", "brownian", "linear5"):
        return {}
    mle = problem.mle(jnp.asarray(x_obs))
    assert mle is not None
    return {"error of mle": (np.asarray(problem.space.unconstrain(mle)) - u_true).tolist()}


@cache
def _linear5() -> simulators.Problem:
    return simulators.linear5()


def _task(name: str) -> simulators.Problem:
    return {"ou": _ornstein_uhlenbeck, "linear5": _linear5}.get(name, lambda: foundation.task(name))()


def _observe(simulate: Any, truth: np.ndarray, seed: int, m: int = 1000) -> np.ndarray:
    """Simulate m observations, from randomness that no fit uses."""
    key = jax.random.fold_in(jax.random.key(2**21), seed)
    return np.asarray(likelihoods.jitted(simulate)(key, jnp.tile(jnp.asarray(truth, jnp.float32), (m, 1))))


def _mle_sd(problem: simulators.Problem, u: np.ndarray, m: int) -> np.ndarray:
    """Compute the standard deviation of the maximum-likelihood estimate, in u."""
    return np.sqrt(np.diag(likelihoods.covariance(likelihoods.information(problem, u), m)))


@cache
def _ou_sd() -> np.ndarray:
    """Compute what one Ornstein-Uhlenbeck series leaves, in u, from the scores of 200,000 series."""
    problem = _ornstein_uhlenbeck()
    u = likelihoods.unconstrain(problem.space, problem.theta_true)
    return np.sqrt(np.diag(np.linalg.inv(likelihoods.by_simulation(problem, u, 200_000))))


# Means, spreads and correlation of (mu, log sigma), and of (mu, sigma)
POPULATION = {
    "normal": np.array([0.4, -0.5, 0.6, 0.3, 0.5]),
    "bounded": np.array([0.4, 0.634448, 0.6, 0.194698, 0.488787]),
}
NEW = 10_000  # observations by which `check` judges


def population_row(name: str, seed: int) -> dict[str, Any]:
    """Fit a population of 2000 Brownian paths, in a space where it is normal or not (`bounded`); check it on others."""
    problem = foundation.task("brownian")
    space = avo.Space(mu=avo.Real(0, 1), sigma=avo.Positive(0.6)) if name == "normal" else problem.space
    rng = np.random.default_rng(seed)
    spread = np.array([[0.36, 0.09], [0.09, 0.09]])
    u = rng.multivariate_normal(POPULATION["normal"][:2], spread, size=2000)
    more = rng.multivariate_normal(POPULATION["normal"][:2], spread, size=NEW)
    theta = jnp.asarray(np.stack([np.append(u, more, 0)[:, 0], np.exp(np.append(u, more, 0)[:, 1])], 1), jnp.float32)
    key = jax.random.fold_in(jax.random.key(2**21), seed)
    x_obs = np.asarray(likelihoods.jitted(problem.simulate)(key, theta[:2000]))
    x_new = np.asarray(likelihoods.jitted(problem.simulate)(jax.random.fold_in(key, 1), theta[2000:]))
    began = time.perf_counter()
    result = avo.fit(problem.simulate, x_obs, space, target="population", seed=seed, progress=False)
    row = {"calls": result.calls, "status": result.status, "seconds": time.perf_counter() - began}
    if result.estimate is None or result.population is None:
        return row
    of = result.population.u if name == "normal" else result.population.theta
    shift = np.array([0.0, np.log(0.6)]) if name == "normal" else np.zeros(2)
    found = avo.check(result, problem.simulate, x_new, seed=seed)
    drawn = np.asarray(result.sample(jax.random.key(seed), 200_000))
    row |= {"check": found.p_value, "sd of log sigma": float(np.log(drawn[:, 1]).std())}
    return row | {
        "values": [*(of.mean + shift), *of.sd, of.corr[0, 1]],
        "errors": [*of.mean_stderr, *of.sd_stderr, of.corr_stderr[0, 1]],
    }  # fmt: skip


def cost_row(name: str, seed: int) -> dict[str, Any]:
    """Time a fit at default settings with refining and without, the same number of steps, all compiled before."""
    problem = _task(name)
    simulate, space = likelihoods.jitted(problem.simulate), problem.space
    x_obs = _observe(problem.simulate, problem.theta_true, seed)
    settings, steps, *_ = plan(None, None, None, False, len(x_obs), space.dim, True)
    seconds: dict[str, float] = {}
    for way, options in 2 * [("both", {}), ("alone", {"refine": False, "budget": steps * settings.calls})]:
        began = time.perf_counter()
        avo.fit(simulate, x_obs, space, seed=seed, progress=False, **options)
        seconds[way] = time.perf_counter() - began
    return seconds


LADDER = (6_000, 12_000, 24_000, 48_000, 100_000, 300_000, 1_300_000)
WAYS = ("avo", "scores", "both")


def ablation_row(name: str, seed: int) -> dict[str, Any]:
    """Fit with the adversary alone, with learned scores alone from the wide start, and with one after the other."""
    task, way, budget = name.split("/")
    problem = _task(task)
    _, theta = tasks.truth(problem, seed) if task != "linear5" else (None, problem.theta_true)
    x_obs = _observe(problem.simulate, theta, seed)
    u = np.asarray(problem.space.unconstrain(jnp.asarray(theta)), float)
    fitted = _ways(problem, x_obs, int(budget), way, seed)
    if fitted is None:
        return {"over": None}
    error = (fitted - u) / _mle_sd(problem, u, len(x_obs))
    return {"over": float(np.sqrt(np.mean(error**2)))}


def _ways(problem: simulators.Problem, x_obs: np.ndarray, budget: int, way: str, seed: int) -> np.ndarray | None:
    if way != "scores":
        result = avo.fit(
            problem.simulate, x_obs, problem.space, seed=seed, budget=budget, refine=way == "both", progress=False
        )
        return np.asarray(result.proposal.loc, float)
    found, _ = scores_alone(problem.simulate, x_obs, problem.space, budget, seed)
    return found.loc if found.moved <= fisher.STILL else None


def report(rows: list[dict[str, Any]]) -> str:
    """Render the finished cells as Markdown."""
    return "\n\n".join(
        filter(None, [part(rows) for part in (_published, _coverage, _population, _ablation, _cost, _never)])
    )


def _published(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| task, calls | median error | floor | floor x sqrt(1 + m/M) | ratio of medians, 90 % interval | ratio of rms "
        "| worst | 4 sd x sqrt(1 + m/M) | AVO alone, median (worst) | converged |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name in ("poisson", "linear5", "epem"):
        found = [r for r in rows if r["study"] == "published" and r["task"] == name]
        if not found:
            continue
        error, floor, alone = (np.array([r[k] for r in found]) for k in ("error", "floor", "alone"))
        limit = np.median([r.get("limit", np.nan) for r in found])
        lines.append(
            f"| {name}, {BUDGETS[name]:,} | {np.median(error):.4f} | {np.median(floor):.4f} "
            f"| {np.median(floor) * limit:.4f} | {_ratio(error, floor, limit)} "
            f"| {np.sqrt(np.mean(error**2) / np.mean(floor**2)) / limit:.2f} | {error.max():.4f} "
            f"| {4 * MLE_SD[name] * limit:.4f} | {np.median(alone):.4f} ({alone.max():.4f}) "
            f"| {sum(r['status'] == 'converged' for r in found)} of {len(found)} |"
        )
    found = [r for r in rows if r["study"] == "published" and r["task"] == "brownian"]
    if found:
        far, alone = np.array([r["to mle"] for r in found]), np.array([r["alone"] for r in found])
        lines += [
            "",
            f"brownian, {BUDGETS['brownian']:,} calls, {len(found)} seeds: distance to the maximum likelihood in its "
            f"sd, median {np.median(far, 0).round(2).tolist()}, worst {far.max(0).round(2).tolist()} (mu, sigma); "
            f"AVO alone {np.median(alone, 0).round(2).tolist()}, {alone.max(0).round(2).tolist()}.",
        ]
    return "\n".join(lines) if len(lines) > 2 else ""


def _ratio(error: np.ndarray, floor: np.ndarray, limit: float) -> str:
    """Compare medians, with a bootstrap interval over data sets."""
    rows = np.random.default_rng(0).integers(0, len(error), (2000, len(error)))
    spread = np.percentile(np.median(error[rows], 1) / np.median(floor[rows], 1) / limit, [5, 95])
    return f"{np.median(error) / np.median(floor) / limit:.2f} ({spread[0]:.2f} .. {spread[1]:.2f})"


def _coverage(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| task, data sets | converged | covered by 90 %, per parameter | pooled | MLE's own "
        "| truth below, above, worst | rms error / sd | sd / (sd of MLE x limit), worst median | seconds |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name in COVERED:
        found = [r for r in rows if r["study"] == "coverage" and r["task"] == name]
        done = [r for r in found if "error" in r]
        if not done:
            continue
        below, above = np.array([r["below"] for r in done]), np.array([r["above"] for r in done])
        covered = ~(below | above)
        error, sd = np.array([r["error"] for r in done]), np.array([r["sd"] for r in done])
        ratio = np.median([np.array(r["sd"]) / np.array(r["sd of mle"]) / r["limit"] for r in done], 0)
        lines.append(
            f"| {name}, {len(found)} | {len(done)} | {', '.join(f'{100 * c:.1f}' for c in covered.mean(0))} "
            f"| {100 * covered.mean():.1f} | {_covered_by_mle(done)} "
            f"| {100 * below.mean(0).max():.1f}, {100 * above.mean(0).max():.1f} "
            f"| {np.sqrt(np.mean((error / sd) ** 2)):.2f} | {ratio.max():.2f} "
            f"| {np.median([r['seconds'] for r in found]):.1f} |"
        )
    return "\n".join(lines) if len(lines) > 2 else ""


def _covered_by_mle(rows: list[dict[str, Any]]) -> str:
    """Count how often the maximum likelihood's interval, of the exact standard deviation, covers on the same data."""
    if not all("error of mle" in r for r in rows):
        return "-"
    z = np.array([np.array(r["error of mle"]) / np.array(r["sd of mle"]) for r in rows])
    return f"{100 * np.mean(np.abs(z) < 1.6448536):.1f}"


def _population(rows: list[dict[str, Any]]) -> str:
    lines: list[str] = []
    for name, sigma in (("normal", "log sigma"), ("bounded", "sigma")):
        found = [r for r in rows if r["study"] == "population" and r["task"] == name]
        done = [r for r in found if "values" in r]
        if not done:
            continue
        values, errors = np.array([r["values"] for r in done]), np.array([r["errors"] for r in done])
        inside = (np.abs(values - POPULATION[name]) < 3 * errors).all(1)
        spread = values.std(0, ddof=1)
        table = {"truth": POPULATION[name], "mean over seeds": values.mean(0), "spread over seeds": spread,
                 "reported error": errors.mean(0), "spread / reported": spread / errors.mean(0)}  # fmt: skip
        lines += [
            f"| Brownian paths, {name} in u | mean mu | mean {sigma} | sd mu | sd {sigma} | correlation |",
            "|---|---|---|---|---|---|",
            *(f"| {label} | {' | '.join(f'{v:.4f}' for v in row)} |" for label, row in table.items()),
            "",
            f"All five within three errors in {inside.sum()} of {len(found)} seeds.",
        ]
        if checked := [r for r in done if "check" in r]:
            told = np.mean([r["sd of log sigma"] for r in checked])
            lines[-1] += (
                f" The fitted population's spread of log sigma is {told:.4f} (truth .3); `check` rejects it at 5 % by "
                f"{NEW:,} new observations in {sum(r['check'] < 0.05 for r in checked)} of {len(checked)}."
            )
        lines.append("")
    return "\n".join(lines[:-1])


def _ablation(rows: list[dict[str, Any]]) -> str:
    found = [r for r in rows if r["study"] == "ablation"]
    if not found:
        return ""
    lines = [
        "| task, way | " + " | ".join(f"{b:,}" for b in LADDER) + " | calls to twice the floor |",
        "|---" * (len(LADDER) + 2) + "|",
    ]
    for task in ("poisson", "linear5", "brownian", "pendulum"):
        for way in WAYS:
            cells_, enough = [], "more"
            for budget in reversed(LADDER):
                some = [r["over"] for r in found if r["task"] == f"{task}/{way}/{budget}"]
                known = [v for v in some if v is not None]
                lost = f" ({len(some) - len(known)} lost)" if len(known) < len(some) else ""
                cells_.append(f"{np.median(known):.1f}, {max(known):.0f}{lost}" if known else ("lost" if some else ""))
                if some and np.median([np.inf if v is None else v for v in some]) <= 2:
                    enough = f"{budget:,}"
            lines.append(f"| {task}, {way} | {' | '.join(reversed(cells_))} | {enough} |")
    return "\n".join(
        [
            "Error over the standard deviation of the maximum likelihood, rms over parameters: median, worst; and the "
            "fewest of these calls with a median of at most 2. Lost: no estimate.",
            "",
            *lines,
        ]
    )


def _cost(rows: list[dict[str, Any]]) -> str:
    found = [r for r in rows if r["study"] == "cost"]
    if not found:
        return ""
    lines = ["| task | AVO alone, s | AVO and refining, s | refining / AVO |", "|---|---|---|---|"]
    for name in COVERED:
        if some := [r for r in found if r["task"] == name]:
            alone, both = (np.array([r[k] for r in some]) for k in ("alone", "both"))
            lines.append(
                f"| {name} | {np.median(alone):.1f} | {np.median(both):.1f} | {np.median(both / alone - 1):.2f} |"
            )
    return "\n".join(lines)


def _never(rows: list[dict[str, Any]]) -> str:
    """Count the fits that refining made worse."""
    worse = [0, 0, 0]
    for r in rows:
        if r["study"] == "coverage" and "error" in r:
            error, alone, sd = (np.abs(r[k]) for k in ("error", "alone", "sd"))
            by = ((error - alone) / sd).max()
            worse = [worse[0] + 1, worse[1] + (by > 2), worse[2] + (by > 4)]
        elif r["study"] == "published" and r.get("sd") and "error" in r:
            by = (r["error"] - r["alone"]) / r["sd"]
            worse = [worse[0] + 1, worse[1] + (by > 2), worse[2] + (by > 4)]
    if not worse[0]:
        return ""
    return (
        f"Never worse: of {worse[0]} refined fits, {worse[1]} have a parameter whose error exceeds that of the "
        f"adversarial fit by more than 2 standard errors, {worse[2]} by more than 4."
    )


COVERED = ("poisson", "brownian", "linear5", "pendulum", "ecg", "ou")
STUDIES = {
    "published": Study(published_row, list(BUDGETS), (0, 120)),
    "coverage": Study(coverage_row, COVERED, (0, 200)),
    "population": Study(population_row, ["normal", "bounded"], (0, 20)),
    "cost": Study(cost_row, COVERED, (0, 3)),
    "ablation": Study(
        ablation_row,
        [f"{t}/{w}/{b}" for t in ("poisson", "linear5", "brownian", "pendulum") for b in LADDER for w in WAYS],
        (0, 10),
    ),
}

if __name__ == "__main__":
    study.main("scores", __doc__, STUDIES, report)
