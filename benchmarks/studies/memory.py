"""How much memory does a fit take, by the number of observations on disk and of steps.

    python -m avo.benchmarks.studies.memory resident
    python -m avo.benchmarks.studies.memory report

A cell is a process that fits mean and standard deviation of rows of four normal numbers in single precision, which lie
in a file of NumPy's: the largest anonymous resident memory that it had, in MB (RssAnon of /proc/self/status, looked at
every 20 ms), the estimate and its error. Tasks are ROWS-STEPS: the number of observations, and of adversarial steps.
"""

import json
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import jax
import numpy as np

import avo
from avo.benchmarks.studies import study
from avo.benchmarks.studies.study import Study
from avo.tables import markdown

TRUTH, WIDTH = (2.5, 0.7), 4
TASKS = ("10000-200", "10000-20000", "10000000-200", "10000000-20000")
STEP = 32  # calls
REFINE = 20_000  # calls, at least, beside the steps
_WORK = "import sys; from avo.benchmarks.studies.memory import fit; fit(sys.argv[1], int(sys.argv[2]))"


def simulate(key: Any, theta: Any) -> Any:
    """Draw rows of normal numbers."""
    return theta[:, :1] + theta[:, 1:] * jax.random.normal(key, (len(theta), WIDTH))


def anonymous() -> int:
    """Read the anonymous resident memory of this process, in kB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("RssAnon")).split()[1])


def fit(path: str, steps: int) -> None:
    """Fit the observations of a file, and print what memory it took."""
    most, done = [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            most[0] = max(most[0], anonymous())

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    space = avo.Space(mean=avo.Interval(-3.0, 7.0), sd=avo.LogInterval(0.1, 5.0))
    settings, proposal = avo.Settings(batch=16, pairs=8), avo.Gaussian.start(2)
    result = avo.fit(
        simulate, path, space, budget=4 * steps * STEP if 3 * steps * STEP < REFINE else steps * STEP + 70_000,
        settings=settings, proposal=proposal, progress=False,
    )  # fmt: skip
    done.set()
    watching.join()
    stderr = None if result.stderr is None else result.stderr.tolist()
    words = {"anonymous, MB": most[0] / 1024, "theta": result.theta.tolist(), "stderr": stderr}
    print(json.dumps(words | {"status": result.status, "steps": len(result.history["calls"])}))


def measure(task: str, seed: int) -> dict[str, Any]:
    """Write the observations, and fit them in a process of its own."""
    rows, steps = map(int, task.split("-"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.npy"
        held = np.lib.format.open_memmap(path, "w+", np.float32, (rows, WIDTH))
        rng = np.random.default_rng(seed)
        for first in range(0, rows, 10**5):
            part = held[first : first + 10**5]
            part[:] = rng.normal(*TRUTH, size=part.shape)
        held.flush()
        done = subprocess.run(
            [sys.executable, "-c", _WORK, str(path), str(steps)], capture_output=True, text=True, check=True
        )
    return json.loads(done.stdout.splitlines()[-1])


def report(rows: list[dict[str, Any]]) -> str:
    """Write a row of the table for each cell."""
    cells = []
    for row in rows:
        m, _ = row["task"].split("-")
        theta = " ".join(f"{value:.5f}" for value in row["theta"])
        stderr = " ".join(f"{value:.5f}" for value in row["stderr"] or [])
        cells.append([f"{int(m):,}", f"{row['steps']:,}", f"{row['anonymous, MB']:.0f}", theta, stderr])
    return "\n".join(markdown(["observations", "steps", "anonymous, MB", "estimate", "stderr"], cells, right=1))


STUDIES = {"resident": Study(measure, TASKS, (0, 1))}

if __name__ == "__main__":
    study.main("memory", __doc__, STUDIES, report)
