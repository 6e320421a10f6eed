"""`avo.check` measured: how often it rejects a right simulator, and how often a wrong one, by name of the deviation.

    python -m avo.benchmarks.studies.check size
    python -m avo.benchmarks.studies.check power --tasks series/student-5 --seeds 0 20
    python -m avo.benchmarks.studies.check report

Estimates are closed-form ones with known errors (`Known`), so that nothing but the check is measured. Two tasks:

    vector   x ~ N(theta, 1)^5, theta estimated by the mean of 500 observations; error 1 / sqrt(500)
    series   Brownian paths of 64 points, mu and sigma estimated by the maximum likelihood from 200; errors from the
             spread between paths, which is honest where the paths are not Brownian too

Size: rejections at 5 % where the data come from the simulator, with as many new observations as fitted ones and with 20
times as many. Power: with as many, where the data deviate. The estimate is that of the deviating data, so that what the
parameters can mend is mended; all deviations but `scale` keep the variance.
"""

import time
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

import avo
from avo import critics
from avo.benchmarks.studies import study
from avo.benchmarks.studies.study import Study
from avo.simulators import brownian
from avo.space import Space
from avo.tables import markdown

FITTED = {"vector": 500, "series": 200}
COLUMNS, POINTS = 5, 64
LEVEL = 0.05
_brownian = brownian(POINTS)


class Known:
    """Stands for the `Result` of a fit whose estimate is normal in u with a known error.

    Args:
        space: the parameters.
        x_obs: what was fitted, for the units in which the critic sees x.
        loc: the estimate, in u, with shape (d,).
        stderr: its standard error, in u, with shape (d,).
        sd: of a population, N(loc, sd^2) in u; None: a point.
        inputs: known conditions of what was fitted.
        critic: a module from an observation to a scalar; None: an untrained MLP.
    """

    def __init__(
        self,
        space: Space,
        x_obs: ArrayLike,
        loc: ArrayLike,
        stderr: ArrayLike,
        *,
        sd: ArrayLike | None = None,
        inputs: ArrayLike | None = None,
        critic: Any = None,
    ) -> None:
        x = np.asarray(x_obs)
        c = np.zeros((len(x), 0)) if inputs is None else np.asarray(inputs).reshape(len(x), -1)
        self.space, self.names, self.x_shape, self.settings = space, space.names, x.shape[1:], {"target": "point"}
        self.loc, self.error = jnp.asarray(loc, float), jnp.asarray(stderr, float)
        self.sd = jnp.zeros(space.dim) if sd is None else jnp.asarray(sd, float)
        self.shift, self.scale = x.mean(0), x.std(0)
        shape = self.x_shape if inputs is None else (x[0].size + c.shape[1],)
        self.critic = critics.mlp(jax.random.key(5), shape) if critic is None else critic
        self.theta = np.asarray(space.constrain(self.loc))
        self.stderr: Any = self.error

    def view(self, x: Any, inputs: Any = None) -> Array:
        z = jnp.asarray((x - self.shift[None]) / self.scale[None], float)
        return z if inputs is None else jnp.concatenate([inputs.reshape(len(z), -1), z.reshape(len(z), -1)], axis=1)

    def central(self, key: PRNGKeyArray, n: int) -> Array:
        return self.space.constrain(self.loc[None] + self.sd[None] * jax.random.normal(key, (n, self.space.dim)))

    def replicate(self, key: PRNGKeyArray, n: int) -> Array:
        key_error, key_rows = jax.random.split(key)
        loc = self.loc + self.error * jax.random.normal(key_error, self.loc.shape)
        return self.space.constrain(loc[None] + self.sd[None] * jax.random.normal(key_rows, (n, self.space.dim)))


@cache
def vector_space() -> Space:
    return Space(**{f"mean{i}": avo.Real(0.0, 1.0) for i in range(COLUMNS)})


@jax.jit
def vector(key: PRNGKeyArray, theta: Float[Array, "n 5"]) -> Float[Array, "n 5"]:
    """Draw x ~ N(theta, 1)^5."""
    return theta + jax.random.normal(key, theta.shape)


def _normal(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return rng.normal(size=shape)


def _student(degrees: int, rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return rng.standard_t(degrees, shape) * np.sqrt((degrees - 2) / degrees)


def _correlated(rho: float, rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return np.sqrt(rho) * rng.normal(size=(shape[0], 1)) + np.sqrt(1 - rho) * rng.normal(size=shape)


def _scaled(factor: float, rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return factor * rng.normal(size=shape)


def _mixture(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Two clusters along the first column, of the same mean and variance."""
    noise = rng.normal(size=shape)
    noise[:, 0] = 0.8 * rng.choice([-1.0, 1.0], shape[0]) + 0.6 * noise[:, 0]
    return noise


def _ring(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Columns uncorrelated and normal, but the sign of the product of the first three is more often positive."""
    noise = rng.normal(size=shape)
    flip = (np.sign(noise[:, 0] * noise[:, 1] * noise[:, 2]) < 0) & (rng.random(shape[0]) < 0.3)
    noise[:, 0] *= np.where(flip, -1.0, 1.0)
    return noise


def _autoregressive(rho: float, rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    noise = rng.normal(size=shape)
    for i in range(1, shape[1]):
        noise[:, i] = rho * noise[:, i - 1] + np.sqrt(1 - rho**2) * noise[:, i]
    return noise


def _bent(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """A drift that is larger in the first half, by 0.1 standard deviations of an increment."""
    noise = rng.normal(size=shape)
    return noise + np.where(np.arange(shape[1]) < shape[1] // 2, 0.05, -0.05)


def _outliers(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Of the paths 5 % are wilder by half."""
    return rng.normal(size=shape) * np.where(rng.random((shape[0], 1)) < 0.05, 1.5, 1.0)


Noise = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]
NOISES: dict[str, dict[str, Noise]] = {
    "vector": {
        "none": _normal,
        "student-5": partial(_student, 5),
        "correlation-0.1": partial(_correlated, 0.1),
        "scale-1.05": partial(_scaled, 1.05),
        "two-clusters": _mixture,
        "three-way": _ring,
    },
    "series": {
        "none": _normal,
        "student-3": partial(_student, 3),
        "student-5": partial(_student, 5),
        "student-10": partial(_student, 10),
        "ar-0.05": partial(_autoregressive, 0.05),
        "ar-0.1": partial(_autoregressive, 0.1),
        "drift-halves": _bent,
        "outliers": _outliers,
    },
}


def observe(task: str, noise: str, rows: int, rng: np.random.Generator) -> np.ndarray:
    """Draw observations: a task's noise put in place of the normal one."""
    made = NOISES[task][noise]
    if task == "vector":
        return 0.3 + made(rng, (rows, COLUMNS))
    return np.cumsum((0.8 + 0.5 * np.sqrt(POINTS) * made(rng, (rows, POINTS))) / POINTS, axis=1)


def known(task: str, x: np.ndarray) -> tuple[Any, Any]:
    """Estimate by the maximum likelihood: simulator and result."""
    if task == "vector":
        return vector, Known(vector_space(), x, x.mean(0), np.full(COLUMNS, len(x) ** -0.5))
    space = Space(mu=avo.Real(), sigma=avo.Positive())
    steps = np.diff(x, axis=1, prepend=0.0) * POINTS
    mu = steps.mean()
    squares = ((steps - mu) ** 2).mean(1)  # of each path, whose mean is points sigma^2
    stderr = np.array([steps.mean(1).std(), squares.std() / squares.mean() / 2]) / np.sqrt(len(x))
    return _brownian.simulate, Known(space, x, np.array([mu, np.log(squares.mean() / POINTS) / 2]), stderr)


def trial(cell: str, seed: int, replicates: int = 99, fitted: int | None = None) -> dict[str, Any]:
    """Fit and check one data set; `cell` is task/deviation, or task/deviation/times as many new rows as fitted ones."""
    task, noise, *times = cell.split("/")
    rows = fitted or FITTED[task]
    rng = np.random.default_rng([seed, sum(map(ord, cell))])
    x = observe(task, noise, rows * (1 + int(times[0] if times else 1)), rng)
    simulate, result = known(task, x[:rows])
    start = time.perf_counter()
    found = avo.check(result, simulate, x[rows:], replicates=replicates, seed=seed, progress=False)
    least = min(found.table, key=lambda row: (row.p, -abs(row.z)))
    return {
        "p": found.p_value,
        "classifier": found.classifier.p,
        "gap": found.gap.p,
        "feature": least.p,
        "named": least.name,
        "seconds": round(time.perf_counter() - start, 2),
    }


def report(rows: list[dict[str, Any]]) -> str:
    """Render the finished cells as Markdown."""
    lines = []
    for cell in dict.fromkeys(r["task"] for r in rows):
        found = [r for r in rows if r["task"] == cell]
        shares = [f"{np.mean([r[k] <= LEVEL for r in found]):.1%}" for k in ("p", "classifier", "gap", "feature")]
        named = [r["named"] for r in found if r["feature"] <= LEVEL]
        often = max(sorted(set(named)), key=named.count) if named else "-"
        seconds = f"{np.median([r['seconds'] for r in found]):.1f}"
        lines.append([cell, str(len(found)), *shares, often, seconds])
    head = [
        "data",
        "trials",
        "overall",
        "classifier",
        "gap",
        "any feature (Holm)",
        "feature most often named",
        "s/check",
    ]
    text = "Share of checks with p at most 5 %. A share of 5 % from 200 trials has a standard error of 1.5 %."
    return "\n".join([text, "", *markdown(head, lines)])


SIZES = [f"{task}/none/{times}" for task in NOISES for times in (1, 20)]
POWERS = [f"{task}/{noise}" for task, noises in NOISES.items() for noise in noises if noise != "none"]
STUDIES = {"size": Study(trial, SIZES, (0, 200)), "power": Study(trial, POWERS, (0, 50))}

if __name__ == "__main__":
    study.main("check", __doc__, STUDIES, report)
