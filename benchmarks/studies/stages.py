"""Where does the time of a fit go, by the shape of an observation?

    python -m avo.benchmarks.studies.stages fits
    python -m avo.benchmarks.studies.stages report

A cell is a process that fits one simulator twice, the second time other observations, more of them, from another seed:
seconds by stage (avo/clock.py) and compiled programs of each fit. The first one compiles everything, as no programs are
kept on disk. All have 60,000 calls, that of a NumPy simulator which takes a millisecond 3000.
"""

import json
import subprocess
import sys
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import avo
from avo import simulators
from avo.benchmarks.studies import study
from avo.benchmarks.studies.study import Study
from avo.clock import Clock
from avo.tables import markdown

BUDGET, SLOW_BUDGET = 60_000, 3000
OBSERVATIONS = {"million": 1_000_000, "points-5000": 200, "leads-12": 200, "image-64": 300, "image-32x3": 300}
TASKS = (
    "scalar", "five", "forty", "points-64", "points-5000", "leads-12", "image-28", "image-64", "image-32x3", "million",
    "numpy-1ms",
)  # fmt: skip
IMAGES = {"image-28": (28, 28), "image-64": (64, 64), "image-32x3": (32, 32, 3)}
SERIES = {"points-5000": (5000,), "leads-12": (1000, 12)}
_WORK = "import sys; from avo.benchmarks.studies.stages import both; both(sys.argv[1], int(sys.argv[2]))"


def _normal(width: int) -> Any:
    def simulate(key: Any, theta: Any) -> Any:
        return theta[:, :1] + theta[:, 1:] * jax.random.normal(key, (len(theta), width))

    return simulate


def _slow(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
    time.sleep(1e-3)
    return theta[0] + theta[1] * rng.normal(size=4)


def _means(key: Any, theta: Any) -> Any:
    return theta + jax.random.normal(key, theta.shape)


def _image(shape: tuple[int, ...]) -> Any:
    """Spots of light at a place, of a width, on noisy pixels."""
    at = jnp.linspace(-1, 1, shape[0])

    def simulate(key: Any, theta: Any) -> Any:
        x, y, width = theta.T[:, :, None, None]
        spot = jnp.exp(-((at[None, :, None] - y) ** 2 + (at[None, None, :] - x) ** 2) / (2 * width**2))
        spot = spot.reshape(spot.shape + (1,) * (len(shape) - 2))
        return spot + 0.3 * jax.random.normal(key, (len(theta), *shape))

    return simulate


def _wave(shape: tuple[int, ...]) -> Any:
    """A damped sine in noise, in all channels."""
    t = jnp.arange(shape[0]) / shape[0]

    def simulate(key: Any, theta: Any) -> Any:
        size, damping, noise = theta.T[:, :, None]
        wave = size * jnp.exp(-damping * t[None]) * jnp.sin(40 * t[None])
        wave = wave.reshape(wave.shape + (1,) * (len(shape) - 1))
        noise = noise.reshape((-1,) + (1,) * len(shape))
        return wave + noise * jax.random.normal(key, (len(theta), *shape))

    return simulate


def problem_of(task: str) -> tuple[Any, avo.Space, np.ndarray]:
    """Make the simulator of a task, its parameters, and the truth."""
    if task in ("scalar", "five", "points-64"):
        name = {"scalar": "poisson", "five": "linear5", "points-64": "brownian"}[task]
        problem = simulators.get(name)
        return problem.simulate, problem.space, problem.theta_true
    if task == "forty":
        space = avo.Space(**{f"m{i}": avo.Interval(-3, 5) for i in range(40)})
        return _means, space, np.linspace(-1.5, 3.5, 40)
    if task in IMAGES:
        space = avo.Space(x=avo.Interval(-1, 1), y=avo.Interval(-1, 1), width=avo.LogInterval(0.05, 1))
        return _image(IMAGES[task]), space, np.array([0.3, -0.2, 0.25])
    if task in SERIES:
        space = avo.Space(size=avo.Interval(0, 5), damping=avo.Interval(0, 10), noise=avo.LogInterval(0.1, 5))
        return _wave(SERIES[task]), space, np.array([1.3, 2.7, 0.8])
    space = avo.Space(mean=avo.Interval(-3, 7), sd=avo.LogInterval(0.1, 5))
    simulate = avo.from_numpy(_slow) if task == "numpy-1ms" else _normal(64)
    return simulate, space, np.array([2.5, 0.7])


def observed(task: str, simulate: Any, truth: np.ndarray, seed: int) -> np.ndarray:
    """Draw observations in single precision, those of another seed a tenth more."""
    m = OBSERVATIONS.get(task, 1000)
    m += seed * (m // 10)
    if task == "million":
        return np.random.default_rng(seed).normal(*truth, size=(m, 64)).astype(np.float32)
    if task == "numpy-1ms":
        return np.random.default_rng(seed).normal(*truth, size=(m, 4))
    return np.asarray(jax.jit(simulate)(jax.random.key(seed), jnp.tile(jnp.asarray(truth), (m, 1))))


def both(task: str, seed: int) -> None:
    """Fit twice, and print where the time went."""
    simulate, space, truth = problem_of(task)
    found = {}
    for name, own in (("first", 2 * seed), ("second", 2 * seed + 1)):
        x_obs = observed(task, simulate, truth, own % 2)
        budget = SLOW_BUDGET if task == "numpy-1ms" else BUDGET
        with Clock() as clock:
            result = avo.fit(simulate, x_obs, space, budget=budget, seed=own, progress=False)
        found[name] = dict(clock.seconds) | {"programs": clock.programs, "status": result.status}
    print(json.dumps(found))


def measure(task: str, seed: int) -> dict[str, Any]:
    """Measure in a process of its own, which has compiled nothing."""
    done = subprocess.run([sys.executable, "-c", _WORK, task, str(seed)], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def report(rows: list[dict[str, Any]]) -> str:
    """Render the finished cells as Markdown: what the first fit traced and compiled, and the stages of the second.

    Example:
        >>> second = {"programs": 0, "status": "converged", "features": 1.5, "rest": 0.5}
        >>> first = {"programs": 90, "status": "converged", "compile": 6.0, "trace": 1.0, "rest": 0.5}
        >>> print(report([{"task": "five", "first": first, "second": second}]).splitlines()[-1])
        | five | 6.0 | 1.0 | 90 | 2.0 | 0 | features 75 %, rest 25 % |
    """
    head = ["shape", "compile, s", "trace, s", "programs", "second fit, s", "programs", "of which"]
    lines = []
    for row in sorted(rows, key=lambda row: TASKS.index(row["task"])):
        first, second = ({k: v for k, v in row[name].items() if k != "status"} for name in ("first", "second"))
        counts = [str(fit.pop("programs")) for fit in (first, second)]
        whole = sum(second.values())
        parts = sorted(second.items(), key=lambda pair: -pair[1])
        shares = ", ".join(f"{name} {100 * s / whole:.0f} %" for name, s in parts if s >= 0.05 * whole)
        begun = [f"{first.get(name, 0.0):.1f}" for name in ("compile", "trace")]
        lines.append([row["task"], *begun, counts[0], f"{whole:.1f}", counts[1], shares])
    return "\n".join(markdown(head, lines))


if __name__ == "__main__":
    study.main("stages", __doc__, {"fits": Study(measure, TASKS, (0, 1))}, report)
