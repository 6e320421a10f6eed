"""How fast the queue `mg1` is, against NumPy, side by side in one run.

    python -m avo.benchmarks.simulators_queue

All draw times between departures of 50 jobs at the default truth. "jobs one by one" is the straightforward simulation:
each queue a loop over its jobs, with NumPy's random numbers drawn at once. "rows at once" is what an expert writes: a
loop over the jobs, each step for all queues. Times are CPU seconds of the process per 1000 queues, measured in turns;
ratios are medians over the turns. Compilation is not in them, it is stated by itself.
"""

import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from avo.simulators import mg1

ROWS, LOOP_ROWS, POINTS, TURNS = 10_000, 500, 50, 9


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


def rows_at_once(rng: np.random.Generator, theta: np.ndarray, rows: int, points: int) -> np.ndarray:
    """Simulate all queues together, job by job, by their clocks."""
    shortest, spread, rate = theta
    arrivals = rng.exponential(1.0 / rate, (rows, points)).cumsum(axis=1)
    service = rng.uniform(shortest, shortest + spread, (rows, points))
    y, departure = np.empty((rows, points)), np.zeros(rows)
    for i in range(points):
        before, departure = departure, np.maximum(arrivals[:, i], departure) + service[:, i]
        y[:, i] = departure - before
    return y


def measure(rows: int = ROWS, loop_rows: int = LOOP_ROWS, points: int = POINTS, turns: int = TURNS) -> dict[str, float]:
    """Time the three in turns: CPU milliseconds per 1000 queues, ratios to `mg1`, and its seconds of compilation."""
    problem, rng = mg1(points), np.random.default_rng(0)
    simulate = jax.jit(problem.simulate)
    theta = jnp.tile(jnp.asarray(problem.theta_true, jnp.float32), (rows, 1))
    runs: dict[str, tuple[int, Callable[[int], object]]] = {
        "avo": (rows, lambda turn: simulate(jax.random.key(turn), theta).block_until_ready()),
        "rows_at_once": (rows, lambda _: rows_at_once(rng, problem.theta_true, rows, points)),
        "one_by_one": (loop_rows, lambda _: one_by_one(rng, problem.theta_true, loop_rows, points)),
    }
    start = time.perf_counter()
    runs["avo"][1](0)
    compiling = time.perf_counter() - start
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(turns):
        for name, (count, run) in runs.items():
            start = time.process_time()
            run(turn)
            times[name].append((time.process_time() - start) / count * 1e6)
    t = {name: np.array(values) for name, values in times.items()}
    return {
        **{f"{name}_ms": float(np.median(values)) for name, values in t.items()},
        "one_by_one_over_avo": float(np.median(t["one_by_one"] / t["avo"])),
        "rows_at_once_over_avo": float(np.median(t["rows_at_once"] / t["avo"])),
        "compile_s": compiling,
    }


def report(found: dict[str, float]) -> str:
    """Render what `measure` found as Markdown."""
    return "\n".join(
        [
            "| 1000 queues of 50 jobs | CPU ms | times avo |",
            "|---|---|---|",
            f"| avo, compiled in {found['compile_s']:.1f} s | {found['avo_ms']:.2f} | 1 |",
            f"| NumPy, rows at once | {found['rows_at_once_ms']:.2f} | {found['rows_at_once_over_avo']:.1f} |",
            f"| NumPy, jobs one by one | {found['one_by_one_ms']:.1f} | {found['one_by_one_over_avo']:.0f} |",
        ]
    )


if __name__ == "__main__":
    print(report(measure()))
