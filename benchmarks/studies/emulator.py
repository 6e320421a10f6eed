"""Which emulator should move the sliders of a report: polynomials, a kernel, or a network.

    python -m avo.benchmarks.studies.emulator --runs runs/emulator --out emulator.jsonl

Each task is fitted once, with few calls, and the rows that its result keeps teach each emulator of E[x | theta]. These
are compared with the simulator itself, 4,000 simulations at each of 30 settings within reach of the sliders: the root
mean square over settings and numbers of x of the difference, in standard deviations of x there, what lies beyond 8
observed standard deviations cut off, as the report does. `band` is the share of
those simulations within the report's 90 % band, and its extremes over the settings. `seconds` is what learning took.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.kernel_ridge import KernelRidge
from sklearn.neural_network import MLPRegressor

import avo
from avo import simulators
from avo.refine.kept import Kept
from avo.report.emulator import FAR, exponents, monomials
from avo.report.sliders import Sliders
from avo.simulators import Problem
from avo.tables import markdown

TASKS = {  # observations and calls
    "poisson": (500, 45_000),
    "brownian": (400, 60_000),
    "linear5": (500, 45_000),
    "g_and_k": (500, 60_000),
    "ecg": (300, 60_000),
    "detector": (300, 30_000),
}
SETTINGS, EACH = 30, 4000
KERNEL_ROWS = 2000  # of which a kernel's matrix is made
HIDDEN = (32, 32)


def fitted(name: str, problem: Problem, runs: Path) -> avo.Result:
    """Fit a task, or take the fit that is there."""
    if (runs / name).exists():
        return avo.load(runs / name)
    n, budget = TASKS[name]
    theta = jnp.tile(jnp.asarray(problem.theta_true, float), (n, 1))
    x = problem.simulate(jax.random.key(0), theta)
    result = avo.fit(problem.simulate, x, problem.space, budget=budget, progress=False)
    result.save(runs / name)
    return result


def settings(sliders: Sliders) -> np.ndarray:
    """Draw settings evenly within reach of the sliders, and near the kept simulations."""
    rng, low, high = np.random.default_rng(0), *_ends(sliders)
    z = low + (high - low) * rng.random((100 * SETTINGS, len(low)))
    near = np.einsum("nd,de,ne->n", z, sliders.precision, z) < sliders.far
    return z[near][:SETTINGS]


def _ends(sliders: Sliders) -> tuple[np.ndarray, np.ndarray]:
    line = sliders.line
    low, high = ((end - sliders.centre) / sliders.half for end in (line.low, line.high))
    return np.maximum(low, -1), np.minimum(high, 1)


def learned(z: np.ndarray, y: np.ndarray) -> dict[str, tuple[Any, float]]:
    """Learn every rival's mean: a function of z, and the seconds that it took."""
    found = {}
    for degree in (1, 2, 3):
        powers, began = exponents(z.shape[1], degree), time.perf_counter()
        b = np.linalg.lstsq(monomials(z, powers), y, rcond=None)[0]
        found[f"degree {degree}"] = (lambda at, p=powers, b=b: monomials(at, p) @ b), time.perf_counter() - began
    network: Any = dict(hidden_layer_sizes=HIDDEN, alpha=1e-3, early_stopping=True, max_iter=200, random_state=0)
    rivals: Any = (
        ("kernel", KernelRidge(alpha=1, kernel="rbf", gamma=0.5), KERNEL_ROWS),
        ("network", MLPRegressor(**network), len(z)),
    )
    for name, model, rows in rivals:
        began, some = time.perf_counter(), np.random.default_rng(1).permutation(len(z))[:rows]
        model.fit(z[some], y[some] if y.shape[1] > 1 else y[some, 0])
        found[name] = (lambda at, m=model: m.predict(at).reshape(len(at), -1)), time.perf_counter() - began
    return found


def compare(name: str, runs: Path) -> list[dict[str, Any]]:
    """Compare emulators on one task: a row each."""
    problem = simulators.get(name)
    result = fitted(name, problem, runs)
    kept: Kept | None = result.kept
    assert kept is not None
    began = time.perf_counter()
    sliders = Sliders(result, kept)
    seconds = time.perf_counter() - began
    places = settings(sliders)
    theta = np.asarray(sliders.line.constrain(sliders.centre + places * sliders.half))
    simulate = jax.jit(problem.simulate)
    mean, sd, inside = [], [], []
    reach = FAR * np.sqrt(np.maximum(kept.moments[2], 0))
    ends = kept.moments[0] - reach, kept.moments[0] + reach
    _, low, high = sliders.emulator(places)
    for i, at in enumerate(theta):
        x = sliders.view(np.asarray(simulate(jax.random.key(100 + i), jnp.tile(jnp.asarray(at, float), (EACH, 1)))))
        x = np.clip(x, *ends)
        mean.append(x.mean(0))
        sd.append(x.std(0))
        some = sd[-1] > 0
        inside.append(float(np.mean(((x >= low[i]) & (x <= high[i]))[:, some])))
    true, sd = np.array(mean), np.array(sd)
    some = sd.min(0) > 0
    own = np.clip(kept.x, *ends)
    shift, scale = own.mean(0), np.maximum(own.std(0), 1e-12)
    rivals = learned(sliders.z, (own - shift) / scale)
    found = {key: (fn(places) * scale + shift, taken) for key, (fn, taken) in rivals.items()}
    found["report"] = sliders.emulator(places)[0], seconds
    rows = []
    for key, (at, taken) in found.items():
        off = float(np.sqrt(np.mean(((at - true)[:, some] / sd[:, some]) ** 2)))
        rows.append(
            {"task": name, "emulator": key, "off": round(off, 4), "seconds": round(taken, 2), "rows": len(kept.u)}
        )
    rows[-1] |= {
        "degree": sliders.emulator.degree, "stated": round(sliders.emulator.off, 4),
        "band": [round(float(v), 3) for v in (np.mean(inside), min(inside), max(inside))],
    }  # fmt: skip
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Write rows as the table of docs/report.md."""
    names = ["degree 1", "degree 2", "degree 3", "kernel", "network", "report"]
    head, lines = ["task", *names, "stated", "band"], []
    for task in dict.fromkeys(row["task"] for row in rows):
        own = {row["emulator"]: row for row in rows if row["task"] == task}
        last = own["report"]
        lines.append(
            [task, *(f"{own[name]['off']:.3f}" for name in names), f"{last['stated']:.3f}", f"{last['band'][0]:.3f}"]
        )
    return "\n".join(markdown(head, lines, right=1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--runs", type=Path, default=Path("runs/emulator"), help="fits that are there are taken")
    parser.add_argument("--out", type=Path, default=Path("emulator.jsonl"))
    given = parser.parse_args()
    rows = []
    for name in given.tasks:
        rows += compare(name, given.runs)
        given.out.write_text("".join(json.dumps(row) + "\n" for row in rows))
    print(table(rows))


if __name__ == "__main__":
    main()
