"""How fast pendulums and diffusions are simulated, beside SciPy and sdeint, side by side in one run.

    python -m avo.benchmarks.simulators_dynamics

Times are CPU seconds of the process, on one thread, compilation left out; both sides are measured in turns, and a ratio
is the median over the turns. Diffusions: 1000 paths of 256 steps, single precision, against the same number of steps of
sdeint, which solves one path at a time in double precision. Pendulums: 1000 undamped swings and rotations of 100 points
over 10 s, in double precision, against `scipy.integrate.solve_ivp`, one at a time, with whichever of its methods RK45,
DOP853 and LSODA is fastest at a tolerance that makes it as exact as ours, or exact to 1e-9 rad if ours is more exact.
Errors are the largest over times and over 20 of the pendulums, from the closed form.
"""

import math
import time
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from scipy.integrate import solve_ivp

from avo import simulators
from avo.simulators.pendulum import exact, trajectory

PATHS, STEPS = 1000, 256
W0_SQ, TIMES, SUBSTEPS = 24.5, np.linspace(0.1, 10.0, 100), 10
THETA = (0.5, 0.3)  # drift and diffusion


def rows_per_second(simulate: Callable[..., jax.Array], theta: Any, calls: int = 20) -> float:
    """Rows that a compiled simulator draws per CPU second; compile it by a call before."""
    start = time.process_time()
    for i in range(calls):
        simulate(jax.random.key(i), theta).block_until_ready()
    return calls * len(theta) / (time.process_time() - start)


def sdeint_paths_per_second(method: str, drift: Callable, diffusion: Callable, start: float, paths: int = 50) -> float:
    """Paths of STEPS steps over one second of model time that sdeint solves per CPU second."""
    import sdeint

    integrate, times, rng = getattr(sdeint, method), np.linspace(0.0, 1.0, STEPS + 1), np.random.default_rng(0)
    began = time.process_time()
    for _ in range(paths):
        integrate(drift, diffusion, start, times, generator=rng)
    return paths / (time.process_time() - began)


def _in_turns(ours: Callable[[], float], theirs: Callable[[], float], turns: int) -> dict[str, float]:
    rates = [(ours(), theirs()) for _ in range(turns)]
    a, b = np.median(rates, axis=0)
    return {"ours": float(a), "theirs": float(b), "ratio": float(np.median([a / b for a, b in rates]))}


def diffusion(name: Literal["brownian", "euler", "milstein"], method: str, turns: int) -> dict[str, Any]:
    """Race a simulator against a method of sdeint: "brownian", or geometric Brownian motion by `sde`."""
    theta = jnp.tile(jnp.array(THETA), (PATHS, 1))
    mu, sigma = THETA
    if name == "brownian":
        simulate = simulators.brownian(points=STEPS).simulate
        drift, noise, start = lambda y, t: mu, lambda y, t: sigma, 0.0
    else:
        simulate = simulators.sde(
            lambda x, t, theta: theta[0] * x, lambda x, t, theta: theta[1] * x, 1.0, STEPS, substeps=1, method=name
        )
        drift, noise, start = lambda y, t: mu * y, lambda y, t: sigma * y, 1.0
    simulate = jax.jit(simulate)
    simulate(jax.random.key(0), theta).block_until_ready()
    rates = _in_turns(
        lambda: rows_per_second(simulate, theta), lambda: sdeint_paths_per_second(method, drift, noise, start), turns
    )
    return {"ours_is": name, "theirs_is": f"sdeint.{method}", **rates}


def _starts() -> np.ndarray:
    """Angles and velocities of PATHS pendulums; one in eight or so rotates."""
    rng = np.random.default_rng(0)
    return np.stack([rng.uniform(-2.5, 2.5, PATHS), rng.uniform(-8.0, 8.0, PATHS)], axis=1)


def _scipy(method: str, tolerance: float, start: np.ndarray) -> np.ndarray:
    solution = solve_ivp(
        lambda t, y: (y[1], -W0_SQ * math.sin(y[0])),
        (0.0, TIMES[-1]), start, method, t_eval=TIMES, rtol=tolerance, atol=tolerance,
    )  # fmt: skip
    return solution.y[0]


def _as_exact_as(error: float, starts: np.ndarray, truth: np.ndarray) -> tuple[str, float, float, float]:
    """Find SciPy's fastest method that is at least so exact: method, tolerance, its error, seconds per pendulum."""
    found = []
    for method in ("RK45", "DOP853", "LSODA"):
        for tolerance in 10.0 ** -np.arange(3.0, 13.25, 0.25):
            began = time.process_time()
            theirs = np.array([_scipy(method, tolerance, start) for start in starts])
            seconds, theirs_error = (time.process_time() - began) / len(starts), np.abs(theirs - truth).max()
            if theirs_error <= error:
                found.append((method, float(tolerance), float(theirs_error), seconds))
                break
    return min(found, key=lambda row: row[3])


def pendulum(name: str, turns: int) -> dict[str, Any]:
    """Race "exact" or "rk4" against SciPy at equal accuracy."""
    with jax.enable_x64(True):
        starts, step = _starts(), TIMES[0] / SUBSTEPS

        def solve(angle: jax.Array, velocity: jax.Array) -> jax.Array:
            if name == "exact":
                return exact(W0_SQ, angle, velocity, TIMES)[:, 0]
            path = trajectory(W0_SQ, 0.0, angle, velocity, step, SUBSTEPS * len(TIMES))
            return path[SUBSTEPS - 1 :: SUBSTEPS, 0]

        batch = jax.jit(jax.vmap(solve))
        few = starts[:20]
        truth = np.array(jax.vmap(lambda a, v: exact(W0_SQ, a, v, TIMES)[:, 0])(*few.T))
        error = 0.0 if name == "exact" else float(np.abs(batch(*few.T) - truth).max())
        method, tolerance, theirs_error, _ = _as_exact_as(max(error, 1e-9), few, truth)
        simulate = lambda key, rows: batch(*rows.T)  # noqa: E731
        simulate(None, starts).block_until_ready()

        def theirs() -> float:
            began = time.process_time()
            for start in starts[:50]:
                _scipy(method, tolerance, start)
            return 50 / (time.process_time() - began)

        rates = _in_turns(lambda: rows_per_second(simulate, starts), theirs, turns)
    return {
        "ours_is": f"pendulum, {name}", "theirs_is": f"solve_ivp {method}, tolerance {tolerance:.1e}", **rates,
        "error": error, "theirs_error": theirs_error,
    }  # fmt: skip


RACES: dict[str, Callable[[int], dict[str, Any]]] = {
    "brownian": lambda turns: diffusion("brownian", "itoEuler", turns),
    "sde euler": lambda turns: diffusion("euler", "itoEuler", turns),
    "sde milstein": lambda turns: diffusion("milstein", "itoint", turns),
    "pendulum exact": lambda turns: pendulum("exact", turns),
    "pendulum rk4": lambda turns: pendulum("rk4", turns),
}


def speed(name: str, turns: int = 5) -> dict[str, Any]:
    """Run one race of `RACES`: names, rates in paths per CPU second, their ratio, and the pendulums' errors in rad."""
    return RACES[name](turns)


def report(rows: list[dict[str, Any]]) -> str:
    """Render the races as Markdown."""
    lines = ["| avo | against | avo, paths/s | against, paths/s | ratio | errors, rad |", "|---|---|---|---|---|---|"]
    for r in rows:
        errors = f"{r['error']:.1e}, {r['theirs_error']:.1e}" if "error" in r else "-"
        rates = f"{r['ours']:,.0f} | {r['theirs']:,.1f} | {r['ratio']:,.0f}"
        lines.append(f"| {r['ours_is']} | {r['theirs_is']} | {rates} | {errors} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(report([speed(name) for name in RACES]))
