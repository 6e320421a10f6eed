"""Does a process that fits functions made anew, hundreds of them, end normally: its memory maps beside the fits.

    python -m avo.benchmarks.studies.closures fits
    python -m avo.benchmarks.studies.closures report

Each fit has a simulator that no fit before had, a lambda or a closure, so that nothing compiled before serves it. What
JAX compiles it keeps as long as its function lives, some hundreds of memory maps a fit, and Linux gives a process
65,530 (`vm.max_map_count`); beyond, it ends by a segmentation fault. The caches that hold functions must therefore be
bounded: after the first fits the count stops growing. A cell is a process of 300 fits of 600 calls each: its exit
status and the number of maps after every tenth.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np

import avo
from avo.benchmarks.studies import study
from avo.benchmarks.studies.study import Study
from avo.benchmarks.suite.run import environment
from avo.tables import markdown

FITS, EVERY, BUDGET = 300, 10, 600
KINDS = ("lambda", "closure")
MAPS = Path("/proc/self/maps")
_WORK = "import sys; from avo.benchmarks.studies.closures import fit_all; fit_all(sys.argv[1], int(sys.argv[2]))"


def made(kind: str, i: int) -> Any:
    """Make the i-th simulator, x ~ N(theta + i / 1000, 1)^2, a function of its own."""
    if kind == "lambda":
        return lambda key, theta: theta + i / 1000 + jax.random.normal(key, (len(theta), 2))
    shift = np.full(2, i / 1000, np.float32)

    def simulate(key: Any, theta: Any) -> Any:
        return theta + shift[None] + jax.random.normal(key, (len(theta), 2))

    return simulate


def maps() -> int:
    """Count the memory maps of this process."""
    with MAPS.open() as lines:
        return sum(1 for _ in lines)


def fit_all(kind: str, fits: int, every: int = EVERY) -> list[int]:
    """Fit so many functions, one after the other, and print the number of maps after every few."""
    space = avo.Space(mu=avo.Interval(-3.0, 4.0))
    x_obs = np.random.default_rng(0).normal(1.3, 1.0, size=(50, 2)).astype(np.float32)
    counted = []
    for i in range(1, fits + 1):
        avo.fit(made(kind, i), x_obs, space, budget=BUDGET, progress=False)
        if i % every == 0:
            counted.append(maps())
            print(json.dumps(counted[-1]), flush=True)
    return counted


def measure(kind: str, seed: int) -> dict[str, Any]:
    """Run a process of its own, and read how it ended."""
    if not MAPS.exists():
        raise SystemExit(f"this study counts the lines of {MAPS}, which this system does not have.")
    command = [sys.executable, "-c", _WORK, kind, str(FITS)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment())
    return {"status": done.returncode, "fits": FITS, "maps": [int(line) for line in done.stdout.split()]}


def report(rows: list[dict[str, Any]]) -> str:
    """Render the finished cells as Markdown.

    Example:
        >>> row = {"task": "lambda", "status": 0, "fits": 30, "maps": [2400, 2500, 2450]}
        >>> print(report([row]).splitlines()[-1])
        | lambda | 0 | 30 | 2,400 | 2,500 | 2,450 |
    """
    lines = [
        [row["task"], str(row["status"]), str(EVERY * len(row["maps"]))]
        + ([f"{n:,}" for n in (row["maps"][0], max(row["maps"]), row["maps"][-1])] if row["maps"] else ["-"] * 3)
        for row in rows
    ]
    return "\n".join(markdown(["function", "exit status", "fits", f"maps after {EVERY}", "most", "at the end"], lines))


if __name__ == "__main__":
    study.main("closures", __doc__, {"fits": Study(measure, KINDS, (0, 1))}, report)
