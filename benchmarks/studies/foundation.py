"""What the foundation claims, measured: reliability from any start, no harm from more work, and speed.

    python -m avo.benchmarks.studies.foundation reliability --tasks brownian ecg --seeds 0 100
    python -m avo.benchmarks.studies.foundation work
    python -m avo.benchmarks.studies.foundation speed
    python -m avo.benchmarks.studies.foundation host
    python -m avo.benchmarks.studies.foundation report

The first four append one line of JSON per finished cell to `--out`, so that a stopped study continues where it was;
the last, also without a word, prints the table from them. The file beside this module holds the cells of this version:
delete it to measure anew after a change. All fits are adversarial only, 1,200,000 calls for `reliability`; what
refining adds is in scores.py. Default settings, but for `work`, where both fits have those for 300,000 calls, so that
only the number of steps differs, and for `speed`, where a step is 5 critic updates of 256 rows and 128 pairs.

Errors are in *positions*: 0 at a parameter's lower bound, 1 at its upper, linear for `Interval`, logarithmic for
`LogInterval`. The error of the maximum-likelihood estimate is its standard deviation from the Fisher information
(likelihoods.py).
"""

import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import avo
from avo import critics, simulators
from avo.benchmarks.studies import simulators as races
from avo.benchmarks.studies import study
from avo.benchmarks.studies.study import Study
from avo.benchmarks.suite.floors import mle_sd
from avo.benchmarks.suite.tasks import OBSERVATIONS, observe, truth
from avo.simulators import Problem
from avo.simulators.ecg import FIFTEEN

BUDGET = 1_200_000
TASKS: dict[str, Callable[[], Problem]] = {
    "poisson": simulators.poisson,
    "brownian": simulators.brownian,
    "pendulum": simulators.pendulum,
    "ecg": simulators.ecg,
    "ecg15": lambda: simulators.ecg(free=FIFTEEN),
}


@lru_cache
def task(name: str) -> Problem:
    """Make a task once, so that its fits share one compiled program."""
    return TASKS[name]()


def reliability(name: str, seed: int) -> dict[str, Any]:
    """Fit one random truth with default settings; the row of the reliability table."""
    problem = task(name)
    position, theta = truth(problem, seed)
    x_obs = observe(problem, theta, OBSERVATIONS, seed)
    start = time.perf_counter()
    result = avo.fit(problem.simulate, x_obs, problem.space, seed=seed, budget=BUDGET, refine=False, progress=False)
    seconds = time.perf_counter() - start
    error = np.abs(np.asarray(jax.nn.sigmoid(result.proposal.loc)) - position)
    allowed = np.maximum(0.03, 4 * mle_sd(problem, position, OBSERVATIONS))
    row = {
        "error": error.tolist(),
        "allowed": allowed.tolist(),
        "within": bool((error <= allowed).all()),
        "within_3_percent": bool((error <= 0.03).all()),
        "calls": result.calls,
        "seconds": seconds,
        "status": result.status,
    }
    if name.startswith("ecg"):
        assert problem.mean is not None
        true, fitted = problem.mean(jnp.asarray(theta)), problem.mean(jnp.asarray(result.theta))
        row["waveform"] = float(jnp.sqrt(jnp.mean((fitted - true) ** 2) / jnp.mean(true**2)))
    return row


def work(name: str, seed: int) -> dict[str, Any]:
    """Fit the published task, 20,000 observations, with 300,000 calls and with four times as many steps."""
    problem = {"poisson": simulators.poisson, "linear5": simulators.linear5}[name]()
    x_obs = observe(problem, problem.theta_true, 20_000, seed)
    assert problem.mle is not None
    row: dict[str, Any] = {
        "mle": float(np.sqrt(np.mean((np.asarray(problem.mle(jnp.asarray(x_obs))) - problem.theta_true) ** 2)))
    }
    settings = avo.Settings.for_budget(300_000)
    for label, budget in (("quarter", 300_000), ("full", 1_200_000)):
        result = avo.fit(
            problem.simulate,
            x_obs,
            problem.space,
            seed=seed,
            budget=budget,
            settings=settings,
            refine=False,
            progress=False,
        )
        row[label] = float(np.sqrt(np.mean((result.theta - problem.theta_true) ** 2)))
    return row


def bare_loop(problem: Problem, z_obs: jax.Array, steps: int) -> Callable[[], float]:
    """Make a compiled loop of simulations, critic gradients and critic updates only; it returns calls per second."""
    batch, loss, optimiser = 256, critics.wasserstein(), optax.adam(1e-3)
    critic = critics.mlp(jax.random.key(0), problem.x_shape)
    phi, static = eqx.partition(critic, eqx.is_inexact_array)
    u = jnp.zeros((batch, problem.space.dim))

    @jax.jit
    def loop(phi: Any, moments: Any) -> Any:
        def step(carry: Any, key: jax.Array) -> tuple[Any, None]:
            phi, moments = carry
            key_u, key_x, key_real, key_loss = jax.random.split(key, 4)
            theta = problem.space.constrain(u + 0.1 * jax.random.normal(key_u, u.shape))
            x = problem.simulate(key_x, theta)
            real = z_obs[jax.random.randint(key_real, (batch,), 0, z_obs.shape[0])]
            gradient = jax.grad(
                lambda phi: loss.critic(eqx.combine(phi, static), real, x, jnp.ones(batch), key_loss)[0]
            )(phi)
            move, moments = optimiser.update(gradient, moments)
            return (optax.apply_updates(phi, move), moments), None

        return jax.lax.scan(step, (phi, moments), jax.random.split(jax.random.key(1), steps))[0]

    jax.block_until_ready(loop(phi, optimiser.init(phi)))

    def run() -> float:
        start = time.perf_counter()
        jax.block_until_ready(loop(phi, optimiser.init(phi)))
        return steps * batch / (time.perf_counter() - start)

    return run


def speed(_: str, repeats: int) -> dict[str, Any]:
    """Measure, in turns within one run, the whole fit against the bare loop and the Brownian sampler against sdeint."""
    problem = simulators.brownian()
    x_obs = observe(problem, problem.theta_true, OBSERVATIONS, 0)
    settings = avo.Settings(batch=256, critic_steps=5, pairs=128)
    budget = 1000 * settings.calls

    def whole_fit() -> float:
        start = time.perf_counter()
        calls = avo.fit(
            problem.simulate, x_obs, problem.space, settings=settings, budget=budget, refine=False, progress=False
        ).calls
        return calls / (time.perf_counter() - start)

    start = time.perf_counter()
    first = whole_fit()
    compile_seconds = time.perf_counter() - start
    bare = bare_loop(problem, jnp.asarray(x_obs), 5000)
    pairs = [(whole_fit(), bare()) for _ in range(repeats)]
    compile_seconds -= budget / np.median([a for a, _ in pairs])

    race = races.diffusion("brownian", "itoEuler")
    paths = [(races.rate(race.ours, i), races.rate(race.theirs, i)) for i in range(repeats)]
    ratio = lambda rows: float(np.median([a / b for a, b in rows]))  # noqa: E731
    return {
        "fit_calls_per_second": float(np.median([a for a, _ in pairs])),
        "bare_calls_per_second": float(np.median([b for _, b in pairs])),
        "fit_over_bare": ratio(pairs),
        "fit_over_bare_by_updates": ratio(pairs) * settings.critic_steps * settings.batch / settings.calls,
        "first_fit_calls_per_second": first,
        "compile_seconds": float(compile_seconds),
        "paths_per_second": float(np.median([a for a, _ in paths])),
        "paths_over_sdeint": ratio(paths),
    }


def host(_: str, repeats: int) -> dict[str, Any]:
    """Measure, in turns within one run, a fit with a NumPy simulator against a loop that only calls it."""
    problem, calls = simulators.poisson(), 20_000
    x_obs = observe(problem, problem.theta_true, OBSERVATIONS, 0)

    def draw(rng: np.random.Generator, theta: np.ndarray) -> Any:
        return rng.poisson(theta[0])

    simulate, theta = avo.from_numpy(draw), np.tile(problem.theta_true, (calls, 1))

    def whole_fit() -> float:
        start = time.perf_counter()
        made = avo.fit(simulate, x_obs, problem.space, budget=calls, refine=False, progress=False).calls
        return (time.perf_counter() - start) / made

    def bare() -> float:
        rng, start = np.random.default_rng(0), time.perf_counter()
        for row in theta:
            draw(rng, row)
        return (time.perf_counter() - start) / calls

    whole_fit()  # compiles
    pairs = [(whole_fit(), bare()) for _ in range(repeats)]
    return {
        "host_call_us": float(1e6 * np.median([a for a, _ in pairs])),
        "bare_call_us": float(1e6 * np.median([b for _, b in pairs])),
        "overhead_us": float(1e6 * np.median([a - b for a, b in pairs])),
    }


def report(rows: list[dict[str, Any]]) -> str:
    """Render the finished cells as Markdown."""
    lines = ["| task | fits | within | within 3 % alone | waveform within 2 % | median worst error | calls | s/fit |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for name in TASKS:
        found = [r for r in rows if r["study"] == "reliability" and r["task"] == name]
        if found:
            wave = [r["waveform"] for r in found if "waveform" in r]
            lines.append(
                f"| {name} | {len(found)} | {sum(r['within'] for r in found)} | "
                f"{sum(r['within_3_percent'] for r in found)} | {sum(w <= 0.02 for w in wave) if wave else '-'} | "
                f"{np.median([max(r['error']) for r in found]):.4f} | "
                f"{found[0]['calls']:,} | {np.median([r['seconds'] for r in found]):.1f} |"
            )
    lines += [
        "",
        "| task, m = 20,000 | seeds | median error, 300,000 calls | four times the steps | ratio | MLE |",
        "|---|---|---|---|---|---|",
    ]
    for name in ("poisson", "linear5"):
        found = [r for r in rows if r["study"] == "work" and r["task"] == name]
        if found:
            quarter, full, mle = (float(np.median([r[k] for r in found])) for k in ("quarter", "full", "mle"))
            lines.append(f"| {name} | {len(found)} | {quarter:.4f} | {full:.4f} | {full / quarter:.2f} | {mle:.4f} |")
    for r in rows:
        if r["study"] == "speed":
            lines += [
                "",
                f"A whole fit makes {r['fit_calls_per_second']:,.0f} calls per second, {r['fit_over_bare']:.2f} of a "
                f"bare loop's {r['bare_calls_per_second']:,.0f} (counting critic updates, since one call in six serves "
                f"the proposal instead: {r['fit_over_bare_by_updates']:.2f}); compilation takes "
                f"{r['compile_seconds']:.1f} s. The "
                f"Brownian sampler makes {r['paths_per_second']:,.0f} paths of 256 steps per CPU second, "
                f"{r['paths_over_sdeint']:,.0f} times sdeint.itoEuler.",
            ]
        if r["study"] == "host":
            lines += [
                "",
                f"A call of a NumPy simulator costs {r['host_call_us']:.0f} us in a fit, {r['bare_call_us']:.1f} us "
                f"in a loop that only calls it: {r['overhead_us']:.0f} us more, of which training is a part.",
            ]
    return "\n".join(lines)


STUDIES = {
    "reliability": Study(reliability, list(TASKS), (0, 100)),
    "work": Study(work, ["poisson", "linear5"], (0, 10)),
    "speed": Study(speed, ["brownian"], (5, 6)),
    "host": Study(host, ["poisson"], (5, 6)),
}

if __name__ == "__main__":
    study.main("foundation", __doc__, STUDIES, report)
