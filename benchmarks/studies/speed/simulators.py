"""How fast simulators are, beside what one would use instead: side by side in one run.

A compiled simulator in batches, on one thread, and its rival; per row.

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

"Against arrays" is code of simulators_numpy.py, for all rows at once and as fast as we could
write it.
"""

import math
import time
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from scipy.integrate import odeint, solve_ivp

from avo import simulators
from avo.benchmarks.studies.speed import race, simulators_numpy
from avo.benchmarks.studies.speed.race import Way
from avo.simulators.pendulum import exact, trajectory

CALLS = 10  # of a compiled simulator in a turn
FEW = 50  # rows of a rival that makes them one by one


Ways = dict[str, Way]


def batches(simulate: Callable[..., jax.Array], theta: Any, note: str = "single") -> Way:
    """Make CALLS batches of a compiled simulator one run."""
    compiled = jax.jit(simulate)

    def run(seed: int) -> None:
        for i in range(CALLS):
            compiled(jax.random.key(CALLS * seed + i), theta).block_until_ready()

    return Way(run, CALLS * len(theta), note)


# --- diffusions ------------------------------------------------------------------------------------------------------

PATHS, STEPS, DRIFT, SPREAD = 1000, 256, 0.5, 0.3


def diffusion(name: Literal["brownian", "euler", "milstein"], method: str | None = None) -> Ways:
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

    def one_by_one(seed: int) -> None:
        import sdeint

        rng = np.random.default_rng(seed)
        for _ in range(FEW):
            getattr(sdeint, str(method))(drift, noise, start, times, generator=rng)

    def arrays(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(CALLS):
            if name == "brownian":
                simulators_numpy.brownian(rng, DRIFT, SPREAD, PATHS, STEPS)
            else:
                simulators_numpy.geometric(rng, DRIFT, SPREAD, PATHS, STEPS, {"euler": 0.5, "milstein": 1.0}[name])

    if method is None:
        return {"avo": batches(simulate, theta), "NumPy, all paths at once": Way(arrays, CALLS * PATHS, "single")}
    return {"avo": batches(simulate, theta), f"sdeint.{method}": Way(one_by_one, FEW, "double")}


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


def pendulum(name: Literal["exact", "rk4"], at_once: bool = False) -> Ways:
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

    def ours(seed: int) -> None:
        with jax.enable_x64(True):
            compiled.run(seed)

    def one_by_one(seed: int) -> None:
        for start in starts[seed * FEW % PATHS :][:FEW]:
            solve(method, tolerance, start)

    def arrays(seed: int) -> None:
        simulators_numpy.pendulum(W0_SQ, starts[:, 0], starts[:, 1], TIMES)

    exact_to = "double, off by {:.0e} rad".format
    ways = {"avo": compiled._replace(run=ours, note=exact_to(error))}
    if at_once:
        return ways | {"scipy.special, all at once": Way(arrays, PATHS, exact_to(off))}
    return ways | {f"solve_ivp, {method}, tolerance {tolerance:.1e}": Way(one_by_one, FEW, exact_to(off))}


# --- electrocardiogram -----------------------------------------------------------------------------------------------


def heart(leads: Literal[1, 12]) -> Ways:
    """Records of one lead or twelve, without noise, against NeuroKit2."""
    import neurokit2

    problem = simulators.ecgsyn(duration=10.0, rate=500.0, leads=leads, noise=())
    theta = jnp.tile(jnp.asarray(problem.theta_true, jnp.float32), (200, 1))
    method = "ecgsyn" if leads == 1 else "multileads"

    def theirs(seed: int) -> None:
        neurokit2.ecg_simulate(duration=10, sampling_rate=500, noise=0, heart_rate=60, method=method, random_state=seed)

    return {"avo": batches(problem.simulate, theta), f"neurokit2, {method}": Way(theirs, 1, "double")}


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


def queue(way: Callable[..., np.ndarray], rows: int, rival: str, precision: str = "double") -> Ways:
    """Queues of 50 jobs at the default truth."""
    problem = simulators.mg1(JOBS)
    theta = jnp.tile(jnp.asarray(problem.theta_true, jnp.float32), (ROWS, 1))

    def theirs(seed: int) -> None:
        way(np.random.default_rng(seed), problem.theta_true, rows, JOBS)

    return {"avo": batches(problem.simulate, theta), rival: Way(theirs, rows, precision)}


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


def epidemic(way: Callable[..., np.ndarray], rival: str, precision: str = "double", rows: int = 20) -> Ways:
    """Epidemics at medians of the prior, moved by a tenth; those in single precision all at once."""
    theta = np.array([0.4, 0.125]) * np.exp(0.1 * np.random.default_rng(0).normal(size=(ROWS, 2)))

    def one_by_one(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for beta, gamma in theta[:rows]:
            rng.binomial(1000, way(beta, gamma))

    def arrays(seed: int) -> None:
        np.random.default_rng(seed).binomial(1000, way(*theta.T))

    theirs = Way(arrays, ROWS, precision) if precision == "single" else Way(one_by_one, rows, precision)
    return {"avo": batches(simulators.sir().simulate, jnp.asarray(theta, jnp.float32)), rival: theirs}


# --- the study -------------------------------------------------------------------------------------------------------

RACES: dict[str, Callable[[], Ways]] = {
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


def measure(name: str, seed: int) -> dict[str, Any]:
    """Race a simulator against its rival, per row."""
    ways = RACES[name]()
    _, rival = ways
    return race.measure(ways, [(rival, "avo")], first=seed)
