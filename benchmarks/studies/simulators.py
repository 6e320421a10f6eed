"""How fast simulators are, beside what one would use instead: side by side in one run.

    python -m avo.benchmarks.studies.simulators race
    python -m avo.benchmarks.studies.simulators report

Each cell is one turn of a race: rows per CPU second of the process, on one thread, of a compiled simulator in batches
and then of its rival. Compilation is left out. The report's ratio is the median over the turns.

    brownian, sde       1000 paths of 256 steps; sdeint solves one path at a time, NumPy cumulates the increments of all
                        or steps all paths at once
    pendulum            1000 undamped swings and rotations, 100 points over 10 s; SciPy's `solve_ivp` solves one at a
                        time, with whichever of RK45, DOP853 and LSODA is fastest at a tolerance that makes it as exact,
                        or exact to 1e-9 rad where ours is more exact; or SciPy's elliptic functions of all at once.
                        Errors: the largest over times and 20 pendulums, from DOP853 at its tightest tolerance
    ecgsyn              200 records of 10 s at 500 Hz; NeuroKit2 integrates by SciPy's RK45 at a relative tolerance of
                        1e-3, one record at a time and once per lead
    mg1                 10,000 queues of 50 jobs; NumPy queue by queue and job by job, or all queues at once
    sir                 ten counts of 10,000 thetas; the same Runge-Kutta steps in NumPy, for one theta at a time or for
                        all at once, or SciPy's `odeint` one at a time, then NumPy's binomials

"Against arrays" is code of `avo.benchmarks.studies.simulators_numpy`, for all rows at once and as fast as we could
write it.
"""

import math
import time
from collections.abc import Callable
from functools import cache
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.integrate import odeint, solve_ivp

from avo import simulators
from avo.benchmarks.studies import simulators_numpy, study
from avo.benchmarks.studies.study import Study
from avo.simulators.pendulum import exact, trajectory

CALLS = 10  # of a compiled simulator in a turn


class Race(NamedTuple):
    """Two ways to the same draws; each runs and returns how many rows it made.

    Args:
        ours: takes a seed.
        theirs: takes a seed.
        rival: what the other is.
        precision: of both, "single" or "double".
        errors: of both in rad, where they solve an equation.
    """

    ours: Callable[[int], int]
    theirs: Callable[[int], int]
    rival: str
    precision: tuple[str, str] = ("single", "double")
    errors: tuple[float, float] | None = None


def batches(simulate: Callable[..., jax.Array], theta: Any) -> Callable[[int], int]:
    """Make CALLS batches of a compiled simulator one run, and compile it."""
    compiled = jax.jit(simulate)
    compiled(jax.random.key(0), theta).block_until_ready()

    def run(seed: int) -> int:
        for i in range(CALLS):
            compiled(jax.random.key(CALLS * seed + i), theta).block_until_ready()
        return CALLS * len(theta)

    return run


# --- diffusions ------------------------------------------------------------------------------------------------------

PATHS, STEPS, DRIFT, SPREAD = 1000, 256, 0.5, 0.3


def diffusion(name: Literal["brownian", "euler", "milstein"], method: str | None = None) -> Race:
    """Brownian motion with drift, or geometric Brownian motion by `sde`, against a method of sdeint or all at once."""
    theta, times = jnp.tile(jnp.array([DRIFT, SPREAD]), (PATHS, 1)), np.linspace(0.0, 1.0, STEPS + 1)
    if name == "brownian":
        simulate = simulators.brownian(points=STEPS).simulate
        drift, noise, start = lambda y, t: DRIFT, lambda y, t: SPREAD, 0.0
    else:
        simulate = simulators.sde(
            lambda x, t, theta: theta[0] * x, lambda x, t, theta: theta[1] * x, 1.0, STEPS, substeps=1, method=name
        )
        drift, noise, start = lambda y, t: DRIFT * y, lambda y, t: SPREAD * y, 1.0

    def theirs(seed: int, paths: int = 50) -> int:
        import sdeint

        rng = np.random.default_rng(seed)
        for _ in range(paths):
            getattr(sdeint, str(method))(drift, noise, start, times, generator=rng)
        return paths

    def arrays(seed: int) -> int:
        rng = np.random.default_rng(seed)
        for _ in range(CALLS):
            if name == "brownian":
                simulators_numpy.brownian(rng, DRIFT, SPREAD, PATHS, STEPS)
            else:
                simulators_numpy.geometric(rng, DRIFT, SPREAD, PATHS, STEPS, {"euler": 0.5, "milstein": 1.0}[name])
        return CALLS * PATHS

    if method is None:
        return Race(batches(simulate, theta), arrays, "NumPy, all paths at once", ("single", "single"))
    return Race(batches(simulate, theta), theirs, f"sdeint.{method}")


# --- pendulum --------------------------------------------------------------------------------------------------------

W0_SQ, TIMES, SUBSTEPS = 24.5, np.linspace(0.1, 10.0, 100), 10


def solve(method: str, tolerance: float, start: np.ndarray) -> np.ndarray:
    """Swing one pendulum by SciPy."""
    swing = lambda t, y: (y[1], -W0_SQ * math.sin(y[0]))  # noqa: E731
    return solve_ivp(swing, (0.0, TIMES[-1]), start, method, t_eval=TIMES, rtol=tolerance, atol=tolerance).y[0]


def as_exact_as(error: float, starts: np.ndarray, truth: np.ndarray) -> tuple[str, float, float]:
    """Find SciPy's fastest method that is at least so exact: method, tolerance, its error."""
    found = []
    for method in ("RK45", "DOP853", "LSODA"):
        for tolerance in 10.0 ** -np.arange(3.0, 13.25, 0.25):
            began = time.process_time()
            off = float(np.abs(np.array([solve(method, tolerance, start) for start in starts]) - truth).max())
            if off <= error:
                found.append((time.process_time() - began, method, float(tolerance), off))
                break
    return min(found)[1:]


def pendulum(name: Literal["exact", "rk4"], at_once: bool = False) -> Race:
    """Undamped pendulums, one in eight or so of which rotates, by closed form or by Runge-Kutta steps."""
    rng = np.random.default_rng(0)
    starts = np.stack([rng.uniform(-2.5, 2.5, PATHS), rng.uniform(-8.0, 8.0, PATHS)], axis=1)

    def draw(angle: jax.Array, velocity: jax.Array) -> jax.Array:
        if name == "exact":
            return exact(W0_SQ, angle, velocity, TIMES)[:, 0]
        path = trajectory(W0_SQ, 0.0, angle, velocity, TIMES[0] / SUBSTEPS, SUBSTEPS * len(TIMES))
        return path[SUBSTEPS - 1 :: SUBSTEPS, 0]

    with jax.enable_x64(True):
        few = starts[:20]
        truth = np.array([solve("DOP853", 2.3e-14, start) for start in few])  # the least that SciPy accepts
        error = float(np.abs(jax.vmap(draw)(*few.T) - truth).max())
        if at_once:
            off = float(np.abs(simulators_numpy.pendulum(W0_SQ, few[:, 0], few[:, 1], TIMES) - truth).max())
        else:
            method, tolerance, off = as_exact_as(max(error, 1e-9), few, truth)
        compiled = batches(lambda key, rows: jax.vmap(draw)(*rows.T), jnp.asarray(starts))

    def ours(seed: int) -> int:
        with jax.enable_x64(True):
            return compiled(seed)

    def theirs(seed: int, count: int = 50) -> int:
        for start in starts[seed * count % PATHS :][:count]:
            solve(method, tolerance, start)
        return count

    def arrays(seed: int) -> int:
        simulators_numpy.pendulum(W0_SQ, starts[:, 0], starts[:, 1], TIMES)
        return PATHS

    if at_once:
        return Race(ours, arrays, "scipy.special, all at once", ("double", "double"), (error, off))
    return Race(ours, theirs, f"solve_ivp, {method}, tolerance {tolerance:.1e}", ("double", "double"), (error, off))


# --- electrocardiogram -----------------------------------------------------------------------------------------------


def heart(leads: Literal[1, 12]) -> Race:
    """Records of one lead or twelve, without noise, against NeuroKit2."""
    import neurokit2

    problem = simulators.ecgsyn(duration=10.0, rate=500.0, leads=leads, noise=())
    theta = jnp.tile(jnp.asarray(problem.theta_true, jnp.float32), (200, 1))
    method = "ecgsyn" if leads == 1 else "multileads"

    def theirs(seed: int) -> int:
        neurokit2.ecg_simulate(duration=10, sampling_rate=500, noise=0, heart_rate=60, method=method, random_state=seed)
        return 1

    return Race(batches(problem.simulate, theta), theirs, f"neurokit2, {method}")


# --- queue -----------------------------------------------------------------------------------------------------------

ROWS, JOBS = 10_000, 50


def one_by_one(rng: np.random.Generator, theta: np.ndarray, rows: int, points: int) -> np.ndarray:
    """Simulate each queue job by job, by its clock: arrival, start of service, departure."""
    shortest, spread, rate = theta
    y = np.empty((rows, points))
    for row in y:
        waits = rng.exponential(1.0 / rate, points)
        service = rng.uniform(shortest, shortest + spread, points)
        arrival = departure = 0.0
        for i in range(points):
            arrival += waits[i]
            before, departure = departure, max(arrival, departure) + service[i]
            row[i] = departure - before
    return y


def queue(way: Callable[..., np.ndarray], rows: int, rival: str, precision: str = "double") -> Race:
    """Queues of 50 jobs at the default truth."""
    problem = simulators.mg1(JOBS)
    theta = jnp.tile(jnp.asarray(problem.theta_true, jnp.float32), (ROWS, 1))

    def theirs(seed: int) -> int:
        return len(way(np.random.default_rng(seed), problem.theta_true, rows, JOBS))

    return Race(batches(problem.simulate, theta), theirs, rival, ("single", precision))


# --- epidemic --------------------------------------------------------------------------------------------------------

DAYS, STEP, HELD = 17.0 * np.arange(10), 0.2, 85  # days of the counts, step in days, steps between two counts


def infected(beta: np.ndarray, gamma: np.ndarray) -> np.ndarray:
    """Fractions of infected on the ten days, by Runge-Kutta steps in NumPy, with shape (10, ...)."""

    def rate(y: np.ndarray) -> np.ndarray:
        s, i = y
        return np.array([-beta * s * i, (beta * s - gamma) * i])

    y = np.array([1.0 - 1e-6 + 0.0 * beta, 1e-6 + 0.0 * beta])
    kept = [y[1]]
    for _ in DAYS[1:]:
        for _ in range(HELD):
            k1 = rate(y)
            k2 = rate(y + 0.5 * STEP * k1)
            k3 = rate(y + 0.5 * STEP * k2)
            k4 = rate(y + STEP * k3)
            y = y + STEP / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
        kept.append(y[1])
    return np.stack(kept)


def integrated(beta: float, gamma: float) -> np.ndarray:
    """Compute the same by SciPy at its default tolerance."""
    slope = lambda y, t: [-beta * y[0] * y[1], (beta * y[0] - gamma) * y[1]]  # noqa: E731
    return np.clip(odeint(slope, [1.0 - 1e-6, 1e-6], DAYS)[:, 1], 0.0, 1.0)


def infected_at_once(beta: np.ndarray, gamma: np.ndarray) -> np.ndarray:
    """Compute the same for all thetas at once, in single precision."""
    return np.clip(simulators_numpy.infected(beta, gamma, STEP, HELD, len(DAYS)), 0.0, 1.0)


def epidemic(way: Callable[..., np.ndarray], rival: str, precision: str = "double", rows: int = 20) -> Race:
    """Epidemics at medians of the prior, moved by a tenth; those in single precision all at once."""
    theta = np.array([0.4, 0.125]) * np.exp(0.1 * np.random.default_rng(0).normal(size=(ROWS, 2)))

    def theirs(seed: int) -> int:
        rng = np.random.default_rng(seed)
        if precision == "single":
            rng.binomial(1000, way(*theta.T))
            return ROWS
        for beta, gamma in theta[:rows]:
            rng.binomial(1000, way(beta, gamma))
        return rows

    ours = batches(simulators.sir().simulate, jnp.asarray(theta, jnp.float32))
    return Race(ours, theirs, rival, ("single", precision))


# --- the study -------------------------------------------------------------------------------------------------------

RACES: dict[str, Callable[[], Race]] = {
    "brownian": lambda: diffusion("brownian", "itoEuler"),
    "brownian against arrays": lambda: diffusion("brownian"),
    "sde, Euler-Maruyama": lambda: diffusion("euler", "itoEuler"),
    "sde, Euler-Maruyama against arrays": lambda: diffusion("euler"),
    "sde, Milstein": lambda: diffusion("milstein", "itoint"),
    "sde, Milstein against arrays": lambda: diffusion("milstein"),
    "pendulum, exact": lambda: pendulum("exact"),
    "pendulum, exact against arrays": lambda: pendulum("exact", at_once=True),
    "pendulum, rk4": lambda: pendulum("rk4"),
    "ecgsyn, 1 lead": lambda: heart(1),
    "ecgsyn, 12 leads": lambda: heart(12),
    "mg1 against loops": lambda: queue(one_by_one, 500, "NumPy, job by job"),
    "mg1 against arrays": lambda: queue(simulators_numpy.queues, ROWS, "NumPy, all queues at once", "single"),
    "sir against loops": lambda: epidemic(infected, "NumPy, theta by theta"),
    "sir against arrays": lambda: epidemic(infected_at_once, "NumPy, all thetas at once", "single"),
    "sir against odeint": lambda: epidemic(integrated, "scipy.integrate.odeint"),
}
start = cache(lambda name: RACES[name]())


def rate(run: Callable[[int], int], seed: int) -> float:
    """Rows per CPU second."""
    began = time.process_time()
    rows = run(seed)
    return rows / (time.process_time() - began)


def turn(name: str, seed: int) -> dict[str, Any]:
    """Let both run once."""
    race = start(name)
    row = {"rival": race.rival, "ours": rate(race.ours, seed), "theirs": rate(race.theirs, seed)}
    row["precision"] = list(race.precision)
    return row | ({} if race.errors is None else {"errors": list(race.errors)})


def report(rows: list[dict[str, Any]]) -> str:
    """Render the races as Markdown.

    Example:
        >>> turn = {"rival": "sdeint", "ours": 9e4, "theirs": 300.0, "precision": ["single", "double"]}
        >>> print(report([{"task": "brownian", **turn}]))
        | simulator | rows/s | rival | rows/s | ratio, lowest to highest | precision | errors (rad) |
        |---|---|---|---|---|---|---|
        | brownian | 90,000 | sdeint | 300.0 | 300 (300 .. 300) | single, double |  |
    """
    head = "| simulator | rows/s | rival | rows/s | ratio, lowest to highest | precision | errors (rad) |"
    lines = [head, "|---" * 7 + "|"]
    for name in RACES:
        if found := [r for r in rows if r["task"] == name]:
            ours, theirs = (np.array([r[side] for r in found]) for side in ("ours", "theirs"))
            ratio, last = ours / theirs, found[-1]
            errors = ", ".join(f"{e:.0e}" for e in last.get("errors", ()))
            times = [f"{r:,.{1 if r < 10 else 0}f}" for r in (np.median(ratio), ratio.min(), ratio.max())]
            lines.append(
                f"| {name} | {np.median(ours):,.0f} | {last['rival']} | {np.median(theirs):,.1f} "
                f"| {times[0]} ({times[1]} .. {times[2]}) | {', '.join(last['precision'])} | {errors} |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    study.main("simulators", __doc__, {"race": Study(turn, list(RACES), (0, 5))}, report)
