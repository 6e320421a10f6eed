"""`avo.minimize` on standard functions, beside CMA-ES and differential evolution with the same calls.

    python -m avo.benchmarks.studies.minimize minima
    python -m avo.benchmarks.studies.minimize report

Each function of x = theta - shift is least at a place of its own for every seed, shift ~ U(-2, 2)^d, in a box
(-5, 5)^d; d = 2, 5 and 20, with 2,000 calls for each parameter (the functions of Hansen et al. 2009, black-box
optimization benchmarking, but neither turned nor bent).

    sphere       sum x_i^2
    ellipsoid    sum 10^(6 (i - 1) / (d - 1)) x_i^2                  condition 10^6
    rosenbrock   sum 100 (y_i+1 - y_i^2)^2 + (1 - y_i)^2,  y = x + 1
    rastrigin    10 d + sum x_i^2 - 10 cos(2 pi x_i)                 a minimum near every point of whole numbers
    noisy        sphere + N(0, 1), of every call its own
    steps        sum floor(x_i + 1/2)^2                              flat almost everywhere

A row has f at the answer without its noise, less the minimum, 0, and the calls until one was below 1e-8, on the way (of
`noisy`, never). All search in the box. `avo` begins at N(0, 1.5^2) in u; `avo-50` has 50 pairs a step in place of the
default 4 to 7. `cma`, pycma with its defaults, begins at the centre with a spread of 3/10 of the box, and answers with
its best call, of `noisy` with its favourite, the mean; it ends where it has converged and is not started again, as avo
is not. `cma-noise` is pycma with its handling of noise by further calls. `de` is SciPy's differential evolution,
without the polish, and answers with its best member.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import differential_evolution

import avo
from avo.benchmarks.studies import study
from avo.benchmarks.studies.study import Study
from avo.tables import markdown

EACH, BOX, REACHED = 2000, 5.0, 1e-8
DIMS = (2, 5, 20)
FUNCTIONS = ("sphere", "ellipsoid", "rosenbrock", "rastrigin", "noisy", "steps")
METHODS = ("avo", "avo-50", "cma", "cma-noise", "de")


class Spent(Exception):
    """All calls are made."""


def clear(name: str, x: Any) -> Any:
    """Compute a function without its noise, over the last axis of x, NumPy's or JAX's."""
    xp: Any = jnp if isinstance(x, jax.Array) else np
    d = x.shape[-1]
    if name == "ellipsoid":
        scale = 10 ** (6 * np.arange(d) / (d - 1))
        return xp.sum(scale.reshape((1,) * (x.ndim - 1) + (d,)) * x**2, -1)
    if name == "rosenbrock":
        y = x + 1
        return xp.sum(100 * (y[..., 1:] - y[..., :-1] ** 2) ** 2 + (1 - y[..., :-1]) ** 2, -1)
    if name == "rastrigin":
        return 10 * d + xp.sum(x**2 - 10 * xp.cos(2 * math.pi * x), -1)
    if name == "steps":
        return xp.sum(xp.floor(x + 0.5) ** 2, -1)
    return xp.sum(x**2, -1)


class Counted:
    """A function of one point in the box, which counts its calls and remembers when it was low."""

    def __init__(self, name: str, shift: np.ndarray, seed: int, most: int) -> None:
        self.name, self.shift, self.most = name, shift, most
        self.rng, self.calls, self.reached = np.random.default_rng(seed), 0, None

    def __call__(self, theta: np.ndarray) -> float:
        """Call it.

        Raises:
            Spent: beyond the budget.
        """
        if self.calls == self.most:
            raise Spent
        self.calls += 1
        value = float(clear(self.name, np.asarray(theta) - self.shift))
        if self.name == "noisy":
            return value + self.rng.normal()
        if self.reached is None and value < REACHED:
            self.reached = self.calls
        return value


def _noisy(name: str, shift: Any, key: Any, theta: Any) -> Any:
    """Call many rows in JAX; the halves of a pair get one key, and noise of their own all the same."""
    value = clear(name, theta - shift[None])
    if name != "noisy":
        return value

    def own(key: Any, row: Any) -> Any:
        return jax.random.normal(jax.random.fold_in(key, jnp.abs(1e6 * row[0]).astype(int) & 0xFFFF))

    return value + jax.vmap(own)(jax.random.split(key, len(theta)), theta)


def by_avo(name: str, shift: np.ndarray, seed: int, pairs: int | None) -> dict[str, Any]:
    """Minimise by avo."""
    d = len(shift)
    space = avo.Space(**{f"x{i}": avo.Interval(-BOX, BOX) for i in range(d)})
    f = partial(_noisy, name, jnp.asarray(shift))
    found = avo.minimize(f, space, budget=EACH * d, seed=seed, pairs=pairs, tolerance=1e-9, progress=False)
    below = np.flatnonzero(found.history["low"] < REACHED)
    reached = int(found.history["calls"][below[0]]) if len(below) and name != "noisy" else None
    return {"theta": found.theta, "calls": found.calls, "reached": reached, "status": found.status}


def by_cma(name: str, shift: np.ndarray, seed: int, noise: bool) -> dict[str, Any]:
    """Minimise by pycma."""
    import cma  # pyright: ignore[reportMissingImports]

    d = len(shift)
    f = Counted(name, shift, seed, EACH * d)
    options = {"bounds": [-BOX, BOX], "seed": seed + 1, "verbose": -9, "maxfevals": EACH * d}
    search = cma.CMAEvolutionStrategy(np.zeros(d), 0.3 * 2 * BOX, options)
    handler: Any = cma.NoiseHandler(d) if noise else None
    try:
        while not search.stop():
            rows = search.ask()
            values = [f(row) for row in rows]
            search.tell(rows, values)
            if handler is not None:
                search.sigma *= handler(rows, values, f, search.ask)
                search.countevals += handler.evaluations_just_done
    except Spent:
        pass
    mean = name == "noisy" or search.result.xbest is None
    theta = search.result.xfavorite if mean else search.result.xbest
    return {"theta": np.asarray(theta), "calls": f.calls, "reached": f.reached}


def by_de(name: str, shift: np.ndarray, seed: int) -> dict[str, Any]:
    """Minimise by differential evolution."""
    d = len(shift)
    f, last = Counted(name, shift, seed, EACH * d), [np.zeros(d)]

    def keep(intermediate_result: Any) -> None:
        last[0] = intermediate_result.x

    options: Any = {"maxiter": 10**6, "rng": seed, "polish": False, "callback": keep, "tol": 0, "atol": 1e-12}
    try:
        last[0] = differential_evolution(f, [(-BOX, BOX)] * d, **options).x
    except Spent:
        pass
    return {"theta": last[0], "calls": f.calls, "reached": f.reached}


BY: dict[str, Callable[[str, np.ndarray, int], dict[str, Any]]] = {
    "avo": partial(by_avo, pairs=None),
    "avo-50": partial(by_avo, pairs=50),
    "cma": partial(by_cma, noise=False),
    "cma-noise": partial(by_cma, noise=True),
    "de": by_de,
}


def minimum(task: str, seed: int) -> dict[str, Any]:
    """Measure one cell: a function in d dimensions by a method."""
    name, dim, method = task.split("/")
    shift = np.random.default_rng([seed, int(dim)]).uniform(-2, 2, int(dim))
    with jax.enable_x64(True):
        found = BY[method](name, shift, seed)
    value = float(clear(name, np.asarray(found.pop("theta"), float) - shift))
    return {"value": value, **found}


def _cell(rows: list[dict[str, Any]]) -> str:
    """Write median and worst f, and the median of the calls to the target where all seeds reached it."""
    values, reached = [row["value"] for row in rows], [row["reached"] for row in rows]
    words = f"{np.median(values):.1e} ({max(values):.1e})"
    if all(reached):
        return f"{np.median(reached):,.0f} calls"
    return words + (f", {sum(map(bool, reached))} of {len(rows)}" if any(reached) else "")


def report(rows: list[dict[str, Any]]) -> str:
    """Write the table."""
    cells: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        cells.setdefault(row["task"], []).append(row)
    lines = []
    for name in FUNCTIONS:
        for d in DIMS:
            found = [cells.get(f"{name}/{d}/{method}") for method in METHODS]
            if any(found):
                lines.append([name, str(d), *("" if one is None else _cell(one) for one in found)])
    return "\n".join(markdown(["function", "d", *METHODS], lines, right=1))


STUDIES = {
    "minima": Study(minimum, [f"{n}/{d}/{m}" for n in FUNCTIONS for d in DIMS for m in METHODS if
                              m != "cma-noise" or n == "noisy"], (0, 5)),
}  # fmt: skip

if __name__ == "__main__":
    study.main("minimize", __doc__, STUDIES, report)
