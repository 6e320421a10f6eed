"""How well do so many numbers describe a recorded heartbeat: a simulator's parameters beside latents, as many of each?

    python -m avo.benchmarks.studies.codes curve
    python -m avo.benchmarks.studies.codes report

Beats are those of the study `latents`: record 100 by halves in time (the same patient on both sides), PTB in fifteen
leads by halves of its people (new subjects), split anew by each seed. Each method gets the same training signals.

    ecg 9, ecg 22    the simulator's parameters by least squares on its mean (`latents.Mechanistic`, all values of x
                     alike), 9 as in `latents.compare`, or all 22 of `avo.simulators.ecg.WIDE`; nothing is trained
    PCA k            principal components of the training signals
    AE k, VAE k      autoencoders of the comparison's family with k latents, a tenth of the signals chooses the epoch

Reported is the mean squared error of what is decoded, on the test signals, over the noise floor squared
(`avo.latents.measures`), and the share of their variance that is explained: medians over seeds, and their range.
"""

from typing import Any

import numpy as np

from avo import data, latents
from avo.benchmarks.studies import study
from avo.benchmarks.studies.latents import ONE_PERSON, ptb, record_100
from avo.benchmarks.studies.real import data_folder
from avo.benchmarks.studies.study import Study
from avo.latents import cases, measures, routes
from avo.latents.family import DEFAULT, FAMILY, train_member
from avo.latents.mechanistic import explained
from avo.simulators import ecg
from avo.simulators.ecg import WIDE
from avo.tables import markdown

CODES = (4, 9, 16, 22, 30)
METHODS = ("ecg 9", "ecg 22", *(f"{name} {k}" for k in CODES for name in ("PCA", "AE", "VAE")))
RECORDINGS = {"record 100": 180.0, "PTB": 200.0}  # Hz
TASKS = tuple(f"{recording}/{method}" for recording in RECORDINGS for method in METHODS)


def split_of(recording: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Read a recording's beats: those that train, and those of the test."""
    if recording == "record 100":
        x = record_100(data_folder())
        train, _, test = data.split(len(x), (0.5, 0.0, 0.5))
    else:
        x, people, _ = ptb(data_folder())
        people = np.where(people == ONE_PERSON[1], ONE_PERSON[0], people)
        train, _, test = data.split(len(x), (0.5, 0.0, 0.5), groups=people, seed=seed)
    return x[train], x[test]


def decoded(recording: str, method: str, train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """Encode the test signals by a method, and decode them."""
    name, _, number = method.partition(" ")
    k = int(number)
    if name == "PCA":
        route = routes.by_components(train, k)
        return route.decode(route.encode(test))
    if name in FAMILY:
        member = FAMILY[name]._replace(network=dict(FAMILY[name].network) | {"latents": k})
        model = train_member(member, train, DEFAULT, seed).model
        return model.decode(model.encode(test))
    rate = RECORDINGS[recording]
    if k == len(WIDE):
        window = (-0.3, -0.3 + test.shape[1] / rate)
        problem = ecg((*WIDE,), ranges=WIDE, rate=rate, window=window)
    else:
        problem = cases.get("ecg").suited(test)
    encoder = latents.Mechanistic(problem, noise="equal", seed=seed)
    return encoder.decode(encoder.encode(test))


def measure(task: str, seed: int) -> dict[str, Any]:
    """Measure one method on one split of a recording."""
    recording, _, method = task.partition("/")
    train, test = split_of(recording, seed)
    found = decoded(recording, method, train, test, seed)
    error = float(np.mean((test - found) ** 2) / measures.noise_floor(test) ** 2)
    return {"error": error, "explained": float(np.mean(explained(test, found))), "train": len(train), "test": len(test)}


def report(rows: list[dict[str, Any]]) -> str:
    """Render the finished cells as Markdown.

    Example:
        >>> row = {"task": "PTB/PCA 9", "seed": 0, "error": 2.0, "explained": 0.97}
        >>> print(report([row, row | {"seed": 1, "error": 3.0}]).splitlines()[-1])
        | PTB | PCA 9 | 2 | 2.5 (2.0 to 3.0) | 0.970 |
    """
    lines = []
    for task in TASKS:
        cells = [row for row in rows if row["task"] == task]
        if cells:
            error, share = (np.array([row[name] for row in cells]) for name in ("error", "explained"))
            recording, _, method = task.partition("/")
            ends = f"{np.median(error):.1f} ({error.min():.1f} to {error.max():.1f})"
            lines.append([recording, method, str(len(cells)), ends, f"{np.median(share):.3f}"])
    return "\n".join(markdown(["recording", "method", "seeds", "error over noise floor", "explained"], lines, right=2))


if __name__ == "__main__":
    study.main("codes", __doc__, {"curve": Study(measure, TASKS, (0, 3))}, report)
