"""Does a run that is killed at a random moment go on to the same bits, whatever it was doing?

    python -m avo.benchmarks.studies.faults kills
    python -m avo.benchmarks.studies.faults report

A cell is a small run in a process of its own, sent SIGKILL at a moment drawn evenly over the time that the run takes
when nobody disturbs it, then continued by `resume=True`. Its theta, errors, history and counts must be those of the
undisturbed run to the bit, and its folder must hold the files of a finished run and no others. Runs are of a simulator
in JAX, in NumPy (here, and on two workers), of a program, and on a Dask cluster of two workers. Processes share their
compiled programs.
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

import avo
from avo.benchmarks.studies import study
from avo.benchmarks.studies.study import Study
from avo.tables import markdown

KINDS = ("jax", "numpy", "workers", "command", "dask")
BUDGETS = {"jax": 60_000, "numpy": 6000, "workers": 6000, "command": 1500, "dask": 3000}
PROGRAM = (
    "BEGIN {{ srand(s); for (i = 0; i < 6; i++) {{ e = 0; for (j = 0; j < 12; j++) e += rand(); print m + e - 6 }} }}"
)
_WORK = "import sys; from avo.benchmarks.studies.faults import work; work(sys.argv[1], sys.argv[2])"
BEGUN = "begun"  # what a run prints where it starts


def row(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
    """Draw six numbers from N(mean, sd^2); one call in twenty raises."""
    x = rng.normal(theta[0], theta[1], 6)
    if rng.random() < 0.05:
        raise ArithmeticError("no water")
    return x


def simulate(key: Any, theta: Any) -> Any:
    """Draw the same in JAX."""
    import jax

    return theta[:, :1] + theta[:, 1:] * jax.random.normal(key, (len(theta), 6))


def work(kind: str, out: str) -> None:
    """Make or continue a run, and print what it came to."""
    space = avo.Space(mean=avo.Interval(-10, 10), sd=avo.LogInterval(0.1, 10))
    x_obs = np.random.default_rng(0).normal(2.5, 0.7, (200, 6))
    options: dict[str, Any] = {"budget": BUDGETS[kind], "out": out, "resume": True, "progress": False}
    simulator: Any = simulate if kind == "jax" else avo.from_numpy(row)
    with ExitStack() as stack:
        if kind == "command":
            space = avo.Space(m=avo.Interval(-10, 10))
            simulator = avo.from_command(["awk", "-v", "m={m}", "-v", "s={seed}", PROGRAM])
        if kind == "workers":
            options["executor"] = 2
        if kind == "dask":
            from distributed import Client, LocalCluster

            cluster = stack.enter_context(LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0"))
            options["executor"] = stack.enter_context(Client(cluster)).get_executor()
        print(BEGUN, flush=True)
        result = avo.fit(simulator, x_obs, space, **options)
    arrays = [result.theta, result.stderr, *(result.history[name] for name in sorted(result.history))]
    bits = hashlib.sha256(b"".join(np.ascontiguousarray(a, float).tobytes() for a in arrays)).hexdigest()
    print(json.dumps({"bits": bits, "calls": result.calls, "failures": dict(result.failures)}))


@lru_cache
def _home() -> Path:
    return Path(tempfile.mkdtemp(prefix="avo-faults-"))


def _started(kind: str, out: Path) -> subprocess.Popen:
    env = os.environ | {
        "JAX_COMPILATION_CACHE_DIR": str(_home() / "programs"),
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    process = subprocess.Popen(
        [sys.executable, "-c", _WORK, kind, str(out)], env=env, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    while process.stdout.readline().strip() not in (BEGUN, ""):
        pass
    return process


def _ended(process: subprocess.Popen) -> dict[str, Any]:
    assert process.stdout is not None
    lines = process.stdout.read().strip().splitlines()
    if process.wait() or not lines:
        return {"status": process.returncode}
    return json.loads(lines[-1])


@lru_cache
def _whole(kind: str) -> tuple[dict[str, Any], list[str], float]:
    """Run undisturbed, twice, of which the first compiles: what it came to, its files, its seconds."""
    for i in range(2):
        process, began = _started(kind, _home() / f"{kind}-whole-{i}"), time.monotonic()
        found = _ended(process)
    names = sorted(path.name for path in (_home() / f"{kind}-whole-1").iterdir())
    return found, names, time.monotonic() - began


def measure(kind: str, seed: int) -> dict[str, Any]:
    """Kill a run once, continue it, and compare."""
    expected, names, seconds = _whole(kind)
    out, moment = _home() / f"{kind}-{seed}", float(np.random.default_rng([seed, len(kind)]).uniform(0, seconds))
    process = _started(kind, out)
    time.sleep(moment)
    process.send_signal(signal.SIGKILL)
    process.wait()
    left = sorted(path.name for path in out.iterdir()) if out.exists() else []
    found = _ended(_started(kind, out))
    return {
        "moment": moment / seconds,
        "left": left,
        "same": found == expected and "bits" in expected,
        "clean": sorted(path.name for path in out.iterdir()) == names,
    }


def report(rows: list[dict[str, Any]]) -> str:
    """Render the finished cells as Markdown.

    Example:
        >>> row = {"task": "numpy", "same": True, "clean": True, "left": ["fit.json"]}
        >>> print(report([row, row, row | {"same": False}]).splitlines()[-1])
        | numpy | 3 | 2 | 3 | 0 |
    """
    lines = []
    for kind in KINDS:
        found = [row for row in rows if row["task"] == kind]
        done = sum("result.json" in row["left"] for row in found)
        if found:
            counts = (len(found), sum(row["same"] for row in found), sum(row["clean"] for row in found), done)
            lines.append([kind, *map(str, counts)])
    return "\n".join(markdown(["run", "kills", "same bits", "same files", "killed when done"], lines))


if __name__ == "__main__":
    study.main("faults", __doc__, {"kills": Study(measure, KINDS, (0, 40))}, report)
