"""Counts and angles against the maximum likelihood of the same observations: which whole number, and beside the seam.

    python -m avo.benchmarks.studies.kinds counts
    python -m avo.benchmarks.studies.kinds angles
    python -m avo.benchmarks.studies.kinds report

**Counts.** 100 observations each, data sets drawn anew with every seed, fits of 40,000 calls.

    stages      four sojourn times of n stages in turn, Gamma(n, tau / n), n = 13 of 1 to 30, tau = 2
    binomial    four numbers of successes in n trials, each with probability p, n = 12 of 1 to 40, p = .7

The exact answer is the whole number of largest likelihood, with the other parameter at its best beside it. What
rounding by chance does to t, the estimate between whole numbers, shows beside the maximum of the likelihood over all
real n, which both laws have: log p with gamma functions in place of factorials.

**Angles.** 100 angles each, von Mises with concentration 2 around the truth, seen as cosine and sine; fits of 30,000
calls. The maximum likelihood is the direction of the mean. Truths: at the seam (0 degrees), beside it (357), and away
from it (123).
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import optimize, special, stats

import avo
from avo.benchmarks.studies import study
from avo.benchmarks.studies.study import Study
from avo.parameters import unwound
from avo.tables import markdown

ROWS, EACH = 100, 4
BUDGET = {"counts": 40_000, "angles": 30_000}
TRIALS, KAPPA = 40, 2.0
STAGES = avo.Space(n=avo.Count(1, 30), tau=avo.LogInterval(0.1, 10))
BINOMIAL = avo.Space(n=avo.Count(1, TRIALS), p=avo.Interval(0.05, 0.95))
PHASE = avo.Space(phase=avo.Angle(360, unit="deg"))
TRUTHS = {"stages": (13.0, 2.0), "binomial": (12.0, 0.7), "seam": (0.0,), "beside": (357.0,), "away": (123.0,)}
_LEVELS = (np.arange(4096) + 0.5) / 4096
_FINE = np.linspace(-math.pi, math.pi, 2**16 + 1)
_ANGLES = jnp.asarray(np.interp(_LEVELS, stats.vonmises.cdf(_FINE, KAPPA), _FINE))  # SciPy's ppf takes seconds


def stages(key: Any, theta: Any) -> Any:
    """Draw logarithms of sojourn times."""
    n, tau = theta[:, :1], theta[:, 1:]
    return jnp.log(tau / n * jax.random.gamma(key, jnp.tile(n, (1, EACH))))


def binomial(key: Any, theta: Any) -> Any:
    """Draw numbers of successes."""
    n, p = theta[:, :1, None], theta[:, 1:, None]
    tried = jnp.arange(TRIALS) < n
    return jnp.sum((jax.random.uniform(key, (len(theta), EACH, TRIALS)) < p) & tried, axis=-1).astype(theta.dtype)


def direction(key: Any, theta: Any) -> Any:
    """Draw angles around theta, by the inverse of their distribution function."""
    a = theta[:, 0] * (math.pi / 180) + jnp.interp(jax.random.uniform(key, (len(theta),)), _LEVELS, _ANGLES)
    return jnp.stack([jnp.cos(a), jnp.sin(a)], axis=1)


def likelihood(task: str, x: np.ndarray, n: float) -> tuple[float, float]:
    """Compute the log likelihood of n, real or whole, at the best value of the other parameter, and that value."""
    if task == "stages":
        y = np.exp(x)
        tau = float(y.mean())
        return float(stats.gamma.logpdf(y, n, scale=tau / n).sum()), tau
    p = min(float(x.mean()) / n, 1 - 1e-9)
    choose = special.gammaln(n + 1) - special.gammaln(x + 1) - special.gammaln(n - x + 1)
    return float(np.sum(choose + x * np.log(p) + (n - x) * np.log1p(-p))), p


def best(task: str, x: np.ndarray) -> tuple[int, float, float]:
    """Find the whole number of largest likelihood, the other parameter beside it, and the best real number."""
    low, high = STAGES["n"].support if task == "stages" else (float(max(x.max(), 1)), float(TRIALS))
    wholes = np.arange(int(low), int(high) + 1)
    n = int(wholes[np.argmax([likelihood(task, x, float(k))[0] for k in wholes])])
    real: Any = optimize.minimize_scalar(
        lambda k: -likelihood(task, x, k)[0], bounds=(max(low, n - 1.5), min(high, n + 1.5)), method="bounded"
    )
    return n, likelihood(task, x, n)[1], float(real.x)


def observed(simulate: Any, task: str, seed: int) -> np.ndarray:
    """Simulate the observations of a cell."""
    theta = jnp.tile(jnp.asarray(TRUTHS[task]), (ROWS, 1))
    return np.asarray(simulate(jax.random.key(10_000 + seed), theta), float)


def count(task: str, seed: int) -> dict[str, Any]:
    """Fit a count, beside its maximum likelihood."""
    simulate, space = (stages, STAGES) if task == "stages" else (binomial, BINOMIAL)
    x = observed(simulate, task, seed)
    result = avo.fit(simulate, x, space, budget=BUDGET["counts"], seed=seed, progress=False)
    n, other, real = best(task, x)
    found = {"status": result.status, "theta": result.theta.tolist(), "mle": [n, other], "real mle": real}
    if result.estimate is None or result.stderr is None:
        return found
    low, high = result.interval(0.9).T
    truth = np.array(TRUTHS[task])
    return found | {
        "between": float(result.estimate.continuous(space)[0]),
        "stderr": result.stderr.tolist(),
        "covered": ((low <= truth) & (truth <= high)).tolist(),
        "wholes": float(high[0] - low[0] + 1),
        "p": result.estimate.p_value,
    }


def angle(task: str, seed: int) -> dict[str, Any]:
    """Fit an angle, beside its maximum likelihood; both as degrees from the truth."""
    x, (truth,) = observed(direction, task, seed), TRUTHS[task]
    result = avo.fit(direction, x, PHASE, budget=BUDGET["angles"], seed=seed, progress=False)
    mle = math.degrees(math.atan2(*x.mean(0)[::-1]))
    length = float(special.i1(KAPPA) / special.i0(KAPPA))
    away, mle = (float(unwound(value - truth, 0.0, 360.0)) for value in (float(result.theta[0]), mle))
    found = {"status": result.status, "modes": len(result.modes), "error": away, "mle": mle}
    found["floor"] = math.degrees(1 / math.sqrt(ROWS * KAPPA * length))
    if result.stderr is None:
        return found
    low, high = result.interval(0.9)[0] - truth
    covered = bool(math.fmod(-low + 720, 360) <= high - low)
    return found | {"stderr": float(result.stderr[0]), "covered": covered, "width": float(high - low)}


def report(rows: list[dict[str, Any]]) -> str:
    """Render the finished cells as Markdown."""
    lines = []
    for task in ("stages", "binomial"):
        if not (some := [row for row in rows if row["task"] == task and "between" in row]):
            continue
        truth = TRUTHS[task]
        n, exact = (np.array([row[name][0] for row in some]) - truth[0] for name in ("theta", "mle"))
        other, exact_other = (np.array([row[name][1] for row in some]) - truth[1] for name in ("theta", "mle"))
        apart = np.array([row["between"] - row["real mle"] for row in some])
        stated = np.array([row["stderr"] for row in some])
        covered = np.mean([row["covered"] for row in some], axis=0)
        lines.append([
            task, str(len(some)), f"{_rms(n):.2f}", f"{_rms(exact):.2f}", f"{np.median(stated[:, 0]):.2f}",
            f"{apart.mean():+.3f} +- {apart.std(ddof=1) / math.sqrt(len(apart)):.3f}", f"{_rms(other):.4f}",
            f"{_rms(exact_other):.4f}", f"{np.median(stated[:, 1]):.4f}", f"{covered[0]:.0%}", f"{covered[1]:.0%}",
        ])  # fmt: skip
    head = ["task", "data sets", "rms of n", "of the MLE", "stated (median)", "t less the real MLE", "rms of the other"]
    head += ["of the MLE", "stated (median)", "n covered", "other covered"]
    text = markdown(head, lines, right=1)
    lines = []
    for task in ("seam", "beside", "away"):
        if not (some := [row for row in rows if row["task"] == task and "stderr" in row]):
            continue
        columns = {name: np.array([row[name] for row in some]) for name in ("error", "mle", "stderr", "floor")}
        lines.append([
            task, str(len(some)), *(f"{_rms(columns[name]):.2f}" for name in ("error", "mle")),
            f"{columns['floor'][0]:.2f}", f"{np.median(columns['stderr']):.2f}",
            f"{_rms(columns['error'] - columns['mle']):.2f}", f"{np.mean([row['covered'] for row in some]):.0%}",
            str(max(row["modes"] for row in some)),
        ])  # fmt: skip
    head = ["truth", "data sets", "rms (deg)", "of the MLE", "floor", "stated", "from the MLE", "covered", "most modes"]
    return "\n".join([*text, "", *markdown(head, lines, right=1)]).replace("%", " %")


def _rms(a: np.ndarray) -> float:
    return float(np.sqrt(np.mean(a**2)))


STUDIES = {
    "counts": Study(count, ("stages", "binomial"), (0, 50)),
    "angles": Study(angle, ("seam", "beside", "away"), (0, 30)),
}

if __name__ == "__main__":
    study.main("kinds", __doc__, STUDIES, report)
