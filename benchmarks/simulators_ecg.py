"""How fast electrocardiograms are simulated: `ecgsyn` in batches, against NeuroKit2's ECGSYN record by record.

    pip install neurokit2        (MIT licence; without it only the first column is measured)
    python -m avo.benchmarks.simulators_ecg [--rate 500] [--batch 200]

A record has 10 s, one lead or twelve, no noise. NeuroKit2 integrates the equation with SciPy's RK45 at a relative
tolerance of 1e-3, once per lead; `ecgsyn` knows its solution. Times are CPU seconds of the process, without
compilation, measured in turns; the fastest turn counts, since whatever else runs only adds to the others.
"""

import argparse
import importlib
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp

from avo.simulators import ecgsyn

DURATION, TURNS = 10.0, 5  # s
LEADS: tuple[Literal[1, 12], ...] = (1, 12)
METHODS = {1: "ecgsyn", 12: "multileads"}  # NeuroKit2's names


def seconds(run: Callable[..., Any], *arguments: Any, **options: Any) -> float:
    """CPU seconds of one call."""
    begin = time.process_time()
    run(*arguments, **options)
    return time.process_time() - begin


def records_per_second(leads: Literal[1, 12], rate: float = 500.0, batch: int = 200) -> dict[str, float]:
    """Measure records of 10 s per CPU second.

    Args:
        leads: 1 or 12.
        rate: sampling rate, in Hz.
        batch: records simulated at once by `ecgsyn`.

    Returns:
        "avo", and where NeuroKit2 is installed "neurokit2" and "ratio".
    """
    problem = ecgsyn(duration=DURATION, rate=rate, leads=leads, noise=())
    simulate, theta = jax.jit(problem.simulate), jnp.tile(jnp.asarray(problem.theta_true), (batch, 1))
    jax.block_until_ready(simulate(jax.random.key(0), theta))
    try:
        simulate_one = importlib.import_module("neurokit2").ecg_simulate
    except ImportError:
        simulate_one = None

    options = {"duration": DURATION, "sampling_rate": round(rate), "heart_rate": 60, "noise": 0}
    ours, theirs = [], []
    for turn in range(TURNS):
        ours.append(seconds(lambda key: jax.block_until_ready(simulate(key, theta)), jax.random.key(turn)) / batch)
        if simulate_one is not None:
            theirs.append(seconds(partial(simulate_one, **options), method=METHODS[leads], random_state=turn))
    row = {"avo": 1 / min(ours)}
    return row | ({"neurokit2": 1 / min(theirs), "ratio": min(theirs) / min(ours)} if theirs else {})


def table(rows: dict[int, dict[str, float]]) -> str:
    """Write rows as a Markdown table.

    Example:
        >>> print(table({1: {"avo": 1500.0, "neurokit2": 10.0, "ratio": 150.0}, 12: {"avo": 500.0}}))
        | leads | ecgsyn, records/s | NeuroKit2, records/s | ratio |
        |---:|---:|---:|---:|
        | 1 | 1500 | 10.00 | 150 |
        | 12 | 500 | not installed | |
    """
    lines = ["| leads | ecgsyn, records/s | NeuroKit2, records/s | ratio |", "|---:|---:|---:|---:|"]
    for leads, row in rows.items():
        other = f"{row['neurokit2']:.2f} | {row['ratio']:.0f}" if "ratio" in row else "not installed |"
        lines.append(f"| {leads} | {row['avo']:.0f} | {other} |")
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m avo.benchmarks.simulators_ecg", description="Speed of simulated electrocardiograms."
    )
    parser.add_argument("--rate", type=float, default=500.0, help="sampling rate in Hz")
    parser.add_argument("--batch", type=int, default=200, help="records simulated at once")
    options = parser.parse_args()
    print(table({leads: records_per_second(leads, options.rate, options.batch) for leads in LEADS}))


if __name__ == "__main__":
    main()
