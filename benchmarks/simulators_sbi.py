"""How fast the epidemic of `simulators.sir` is simulated: against NumPy and SciPy, one theta after the other.

    python -m avo.benchmarks.simulators_sbi

All draw the ten counts of ROWS thetas, the prior medians moved by a tenth of their size:

    avo          one compiled call on all rows, in single precision
    numpy        a loop over rows and time of the same Runge-Kutta steps, five a day, then `rng.binomial`
    numpy batch  the same steps for all rows at once: a loop over time only
    odeint       a loop over rows of `scipy.integrate.odeint` at its default tolerance, then `rng.binomial`

They are measured in turns within one run, in CPU seconds of the process on its one thread, without compilation; a ratio
is the median over the turns. The slow loops are timed on fewer rows, as rows per second.
"""

import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from scipy.integrate import odeint

from avo import simulators

ROWS, LOOPED, TURNS = 10_000, 20, 7
DAYS = 17.0 * np.arange(10)
STEP, SUBSTEPS = 0.2, 85


def rate(y: np.ndarray, beta: np.ndarray, gamma: np.ndarray) -> np.ndarray:
    """Time derivative of the fractions (s, i), one or many in the last axis."""
    s, i = y
    return np.array([-beta * s * i, (beta * s - gamma) * i])


def stepped(beta: np.ndarray, gamma: np.ndarray) -> np.ndarray:
    """Fractions of infected on the ten days, by Runge-Kutta steps in NumPy, with shape (10, ...)."""
    y = np.array([1.0 - 1e-6 + 0.0 * beta, 1e-6 + 0.0 * beta])
    kept = [y[1]]
    for _ in range(9):
        for _ in range(SUBSTEPS):
            k1 = rate(y, beta, gamma)
            k2 = rate(y + 0.5 * STEP * k1, beta, gamma)
            k3 = rate(y + 0.5 * STEP * k2, beta, gamma)
            k4 = rate(y + STEP * k3, beta, gamma)
            y = y + STEP / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
        kept.append(y[1])
    return np.stack(kept)


def sir_speed(rows: int = ROWS, turns: int = TURNS) -> dict[str, float]:
    """Measure thetas per second of each way in turns, and how many times faster avo is.

    Args:
        rows: thetas of one call of avo and of the batch in NumPy; the loops take `LOOPED` of them.
        turns: number of measurements of each.

    Returns:
        Rows per second by name, and the ratios "avo / numpy", "avo / numpy batch" and "avo / odeint".
    """
    rng = np.random.default_rng(0)
    theta = np.array([0.4, 0.125]) * np.exp(0.1 * rng.normal(size=(rows, 2)))
    simulate, theta_jax = jax.jit(simulators.sir().simulate), jnp.asarray(theta, jnp.float32)
    y0 = [1.0 - 1e-6, 1e-6]

    def ours() -> int:
        simulate(jax.random.key(1), theta_jax).block_until_ready()
        return rows

    def loop() -> int:
        for beta, gamma in theta[:LOOPED]:
            rng.binomial(1000, stepped(beta, gamma))
        return LOOPED

    def batch() -> int:
        rng.binomial(1000, stepped(theta[:, 0], theta[:, 1]))
        return rows

    def adaptive() -> int:
        for beta, gamma in theta[:LOOPED]:
            path = odeint(lambda y, t, b, g: [-b * y[0] * y[1], (b * y[0] - g) * y[1]], y0, DAYS, args=(beta, gamma))
            rng.binomial(1000, np.clip(path[:, 1], 0.0, 1.0))
        return LOOPED

    ways: dict[str, Callable[[], int]] = {"avo": ours, "numpy": loop, "numpy batch": batch, "odeint": adaptive}
    ours()  # compile
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(turns):
        for name, way in ways.items():
            start = time.process_time()
            done = way()
            speeds[name].append(done / (time.process_time() - start))
    result = {name: float(np.median(found)) for name, found in speeds.items()}
    for name in list(ways)[1:]:
        result[f"avo / {name}"] = float(np.median(np.array(speeds["avo"]) / np.array(speeds[name])))
    return result


if __name__ == "__main__":
    for label, value in sir_speed().items():
        print(f"{label:18} {value:12,.1f}")
