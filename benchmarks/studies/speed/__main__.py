"""How fast avo is, beside what one would use instead.

    python -m avo.benchmarks.studies.speed simulators --tasks brownian
    python -m avo.benchmarks.studies.speed report

Each study is a race (race.py) or several, of what its module's docstring says: `fit`, `host` and `refining` in fits.py,
`critic` in critic_step.py, `vae` in vae_step.py, `calls`, `simulators` and `scaling` in theirs. Measure on a machine
that does nothing else.
"""

from typing import Any

from avo.benchmarks.studies import study
from avo.benchmarks.studies.calibration import COVERED
from avo.benchmarks.studies.speed import calls, critic_step, fits, scaling, simulators, vae_step
from avo.benchmarks.studies.speed.race import duration, table
from avo.benchmarks.studies.study import Study

STUDIES = {
    "fit": Study(fits.fit, ["brownian"], (0, 1)),
    "host": Study(fits.host, ["poisson"], (0, 1)),
    "calls": Study(calls.race, list(calls.RACES), (0, 1)),
    "refining": Study(fits.refining, COVERED, (0, 1)),
    "critic": Study(critic_step.measure, ["1", "64", "256"], (0, 1)),
    "vae": Study(vae_step.measure, ["1", "2"], (0, 1)),
    "simulators": Study(simulators.measure, list(simulators.RACES), (0, 1)),
    "scaling": Study(scaling.measure, scaling.TASKS, (0, 1)),
}
UNITS = {"fit": "call", "host": "call", "calls": "call", "critic": "step", "vae": "training", "simulators": "row"}


def report(rows: list[dict[str, Any]]) -> str:
    """Render the finished races as Markdown."""
    parts = []
    for name in STUDIES:
        found = [row for row in rows if row["study"] == name]
        if not found:
            continue
        raced = [row for row in found if "cpu" in row or "wall" in row]
        text = scaling.report(found) if name == "scaling" else table(raced, UNITS.get(name, "fit"))
        parts += [f"## {name}", text, *_starts(found)]
    return "\n\n".join(parts)


def _starts(rows: list[dict[str, Any]]) -> list[str]:
    """Say how long the first runs took, which compile."""
    words = []
    for row in rows:
        for name, took in row.get("start", {}).items():
            words.append(
                f"{row['task']}, {name}: " + ", ".join(f"{duration(t)} ({clock})" for clock, t in took.items())
            )
    return ["First runs: " + "; ".join(words) + "."] if words else []


if __name__ == "__main__":
    study.main("speed", __doc__, STUDIES, report)
