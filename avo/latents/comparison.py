"""Simulator parameters against latents: `compare` describes the same signals both ways and measures which is better.

The question is the one of a talk by A. Honchar ("GANs" vs "ODEs": the end of mathematical modelling?), whose table of
eight questions was filled by eye. Here each cell is a number, the same for every route, on the same data:

    row                  measured
    outside the model    reconstruction error over the noise floor, on signals that the simulator was not made for
    accuracy             R^2 and NRMSE of the parameters, means over parameters
    interpretability     MIG and DCI's disentanglement of the codes, and monotone traversals
    small data           R^2 learned from 100 signals
    zero-shot reuse      R^2 on a shifted setting, nothing fitted anew
    generation           new signals against held-out ones: accuracy of a classifier, .5 is best, and sliced Wasserstein
    manipulation         error of changing one parameter, over the change
    prior knowledge      share of parameters inside the stated 90 % intervals

Routes (avo/latents/routes.py): the simulator fitted by AVO, which sees signals without labels and calls the simulator;
a family of autoencoders, which see the same signals; principal components; and two regressions on labels. Whatever is
no parameter is read by a linear probe from `labels` labelled signals, the same for all. Of the family two members are
shown: the one that UDR prefers, which takes no labels, and the one that its scores on the labelled signals prefer
(mean of MIG, DCI's disentanglement and linear R^2).

Every seed has training data and initial weights of its own; the test set is the same for all (signals from outside the
model apart, which each seed draws anew), and the signals on which UDR compares the seeds are others again
(avo/latents/repetition.py). The two members are chosen once, with all labels; the curve of small data shows the same
two. Supervised regression and ceiling draw new signals at parameters of their own labels, so that they cannot lose the
row of generation. On the shifted setting the ceiling is none: its labels come from the other one, while the simulator's
regression learns under the population that it fitted, a normal distribution in u, whose tails reach there. Nor is it
one outside the model, where both regressions learn from simulations under the wide start of a fit.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import ArrayLike, Bool, Float
from tqdm import tqdm

from avo.checks import one_of, whole
from avo.folder import digest, write_bytes, write_json
from avo.latents import cases, measures, pictures
from avo.latents.cases import SHIFTED, TRAINED
from avo.latents.cells import Cells, ComparisonFolder
from avo.latents.family import DEFAULT, QUICK, RIVALS, Size, rank_members
from avo.latents.repetition import (
    RANKED,
    SHIFTED_TEST,
    TEST,
    Record,
    Repetition,
    Setup,
    measure_rest,
    measure_seed,
    record,
)
from avo.latents.table import NO_POPULATION, ROUTES, TABLE, WITH, WITHOUT
from avo.observations import validate_observations
from avo.scikit import sklearn_module
from avo.tables import aligned

if TYPE_CHECKING:
    from avo.simulators import Problem

LEAST_SIGNALS, LEAST_POINTS = 40, 16
SHOWN = 8  # signals of the test set, for the pictures


class Shown(NamedTuple):
    """What the pictures show: the simulator, what each route of the first seed makes of the first signal, and signals.

    Args:
        problem: the simulator.
        moved: by route, the first signal with one code moved, with shape (k, steps, points).
        active: by route, which codes say something, with shape (k,).
        x: signals of the test set.
    """

    problem: "Problem"
    moved: dict[str, Float[np.ndarray, "k steps points"]]
    active: dict[str, Bool[np.ndarray, " k"]]
    x: Float[np.ndarray, "n points"]


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """What `compare` found.

    Args:
        case: its name.
        records: one number each: seed, route, measure, parameter ("" for what is of no single one), value.
        chosen: the family's members shown as chosen without and with labels.
        settings: sizes, seeds, source of the signals from outside the model, and in how many seeds no population was
            found.
        shown: what the pictures show.
    """

    case: str
    records: list[Record]
    chosen: dict[str, str]
    settings: dict[str, Any]
    shown: Shown

    def __repr__(self) -> str:
        return f"Comparison({self.case}; {self.settings['seeds']} seeds, {len(self.records):,} numbers)"

    def values(self, route: str, measure: str) -> Float[np.ndarray, " seeds"]:
        """Collect a measure of one route, one number per seed: the mean over parameters where there are several.

        Raises:
            ValueError: if there is no such route, or no such measure.
        """
        route = self.chosen.get(route, route)
        one_of("route", route, sorted({*ROUTES, *self.settings["family"], *(r["route"] for r in self.records)}))
        one_of("measure", measure, sorted({*(row.measure for row in TABLE), *(r["measure"] for r in self.records)}))
        if measure == "small r2":
            measure = "r2" if route == "ceiling" else f"r2 from {min(self.settings['ladder'])}"
        found: dict[int, list[float]] = {}
        for r in self.records:
            if r["route"] == route and r["measure"] == measure:
                found.setdefault(r["seed"], []).append(r["value"])
        return np.array([np.mean(found[seed]) for seed in sorted(found)])

    def summary(self) -> str:
        """Write the table: median over seeds, and in brackets the smallest and the largest."""
        lines = [["", *ROUTES, "measured"]]
        for row in TABLE:
            cells = [_cell(self.values(route, row.measure)) for route in ROUTES]
            lines.append([row.name, *cells, row.words])
        chosen = [f"{label}: {name}" for label, name in self.chosen.items()]
        return "\n".join([*aligned(lines), "", *chosen, *self._caveats(), self._sizes()])

    def _caveats(self) -> list[str]:
        """Say where a regression stands in for the simulator's fit, and what a quick look leaves out."""
        s = self.settings
        said = [
            f"simulator: no population of {what} found in {s[name]:.0f} of {s['seeds']} seeds; parameters are read "
            "there by a regression from simulations under the wide start"
            for name, what in NO_POPULATION.items()
            if s.get(name)
        ]
        if not s["fit_outside"]:
            said.append(
                "simulator: no population is fitted to signals from outside the model in a quick look; parameters are "
                "read there by a regression from simulations under the wide start"
            )
        if s.get("quick"):
            said.append(
                f"a quick look: few signals and calls, and of the autoencoders {', '.join(s['family'])} alone; most "
                "numbers are worse than at default size"
            )
        return said

    def _sizes(self) -> str:
        s = self.settings
        return (
            f"{s['seeds']} seeds: median (smallest .. largest); {s['signals']:,} training signals, {s['labels']:,} "
            f"labels; test set: {s['test']:,} signals; ceiling: {s['ceiling']:,} labels; small data: "
            f"{min(s['ladder']):,} signals; outside the model: {s['outside']}"
        )

    def save(self, out: str | Path) -> list[Path]:
        """Write `compare.csv`, one number a line, `compare.json`, `table.txt`, and pictures; returns the paths."""
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, ["seed", "route", "measure", "parameter", "value"])
        writer.writeheader()
        writer.writerows(self.records)
        table = {
            row.name: {route: self.values(route, row.measure).tolist() for route in ROUTES} | {"measured": row.words}
            for row in TABLE
        }
        words = {"case": self.case, "table": table, "chosen": self.chosen, "settings": self.settings}
        folder = Path(out)
        write_bytes(folder / "compare.csv", buffer.getvalue().encode())
        write_json(folder / "compare.json", words)
        write_bytes(folder / "table.txt", (self.summary() + "\n").encode())
        drawn = {"traversals": pictures.traversals, "scores": pictures.bars, "small_data": pictures.small_data}
        for name, draw in drawn.items():
            image = io.BytesIO()
            draw(self).savefig(image, format="png", dpi=110)
            write_bytes(folder / f"{name}.png", image.getvalue())
        return [folder / name for name in ("compare.csv", "compare.json", "table.txt", *(f"{n}.png" for n in drawn))]


def _cell(values: Float[np.ndarray, " seeds"]) -> str:
    if not len(values):
        return "-"
    return f"{np.median(values):.2f} ({values.min():.2f} .. {values.max():.2f})"


def compare(
    case: str = "ecg",
    *,
    data: ArrayLike | None = None,
    seeds: int = 5,
    quick: bool = False,
    rivals: bool = False,
    jobs: int = 2,
    out: str | Path | None = None,
    resume: bool = False,
    progress: bool = True,
) -> Comparison:
    """Compare simulator parameters with latents of autoencoders on the same signals.

    Args:
        case: "ecg" (lead, pulse, infarction and size of a heartbeat), "brownian", "pendulum" or "oscillator".
        data: real signals, with shape (n, points), for the row "outside the model"; None: those of another simulator.
            Of "ecg" they are beats in mV from 0.3 s before R to 0.55 s after it, of "brownian" paths, of "pendulum"
            angles in rad over 4 s. The first half trains, the second is the test set: keep their order in time.
        seeds: number of repetitions; at least 2, since choosing without labels compares seeds.
        quick: sizes for a first look, in a minute or two on two cores; of signals from outside the model that are not
            given, parameters are read by a regression from simulations, and no population is fitted.
        rivals: whether beta-TCVAE and FactorVAE join the family, two more autoencoders for each seed; of the others
            only which one is shown may change.
        jobs: tasks done at the same time; the numbers do not depend on it.
        out: a folder that keeps each cell as it is finished (avo/latents/cells.py); None: nothing is kept. `.save`
            writes the rest.
        resume: continue the comparison in `out`, to the same numbers; with more seeds, if you like.
        progress: show a bar.

    Returns:
        `Comparison`: `.summary()`, `.save(folder)`, `.records`, `.values(route, measure)`.

    Raises:
        ValueError: if an argument is not as described, or `out` holds another comparison.
        FileExistsError: if `out` holds a run already.
        ImportError: if scikit-learn is not installed.

    Example:
        >>> compare("rings")
        Traceback (most recent call last):
        ...
        ValueError: case must be one of oscillator, ecg, brownian, pendulum; got 'rings'.
    """
    cases.get(case)
    whole("seeds", seeds, least=2)  # choosing without labels compares seeds
    whole("jobs", jobs)
    given = None if data is None else _signals(data)
    size = QUICK if quick else DEFAULT
    size = size._replace(family=size.family + tuple(RIVALS)) if rivals else size
    setup = _setup(case, size, given)
    plan = {"case": case, "size": setup.size._asdict(), "signals": None if given is None else digest(given)}
    folder = None if out is None else ComparisonFolder(out, resume, plan)
    cells = Cells(folder)
    try:
        if folder is not None:
            folder.claim()
        repetitions, records, chosen = _measured(setup._replace(cells=cells), seeds, jobs, progress)
    except BaseException:
        if folder is not None and not cells.count:
            folder.free()
        raise
    finally:
        if folder is not None:
            folder.close()
    source = setup.case.words if given is None else f"{len(given):,} given signals"
    settings = setup.size._asdict() | {"seeds": seeds, "quick": quick, "outside": source}
    settings |= {name: sum(r["value"] for r in records if r["measure"] == name) for name in NO_POPULATION}
    first = repetitions[0]
    shown = Shown(setup.case.problem, first.moved, first.active, setup.test.x[:SHOWN])
    return Comparison(case=case, records=records, chosen=chosen, settings=settings, shown=shown)


def _measured(
    setup: Setup, seeds: int, jobs: int, progress: bool
) -> tuple[list[Repetition], list[Record], dict[str, str]]:
    """Measure all seeds, so many at a time: each seed, all numbers, and the members that are shown."""
    size = setup.size
    total = seeds * (2 * len(size.family) + 2 + 2 * (len(size.small) + 1))
    limited = partial(_thread_limits(), 1)  # of OpenMP each thread has a limit of its own
    workers = ThreadPoolExecutor(jobs, initializer=limited)
    with limited(), tqdm(total=total, disable=None if progress else True) as bar, _ending(workers) as stopped:
        setup = setup._replace(tick=partial(_tick, bar, stopped))
        seeded = workers.map(partial(measure_seed, setup), range(seeds))
        # Fills the time in which the last seed runs alone
        others = workers.map(partial(measure_rest, setup, ()), range(seeds))
        repetitions = list(seeded)
        records, chosen = _chosen(repetitions, size)
        of_chosen = workers.map(partial(measure_rest, setup, sorted(set(chosen.values()))), range(seeds))
        for part in (*others, *of_chosen):
            records += part
        bar.update(total - bar.n)
    return repetitions, records, chosen


def _signals(data: ArrayLike) -> Float[np.ndarray, "n points"]:
    """Check real signals."""
    x = validate_observations(data, "data")
    if x.ndim != 2 or len(x) < LEAST_SIGNALS or x.shape[1] < LEAST_POINTS:
        raise ValueError(
            f"data must be at least {LEAST_SIGNALS} signals of at least {LEAST_POINTS} points, shape (n, points); got "
            f"{x.shape}. From a record avo.data.read_beats cuts heartbeats, from prices avo.data.log_price_windows "
            "paths."
        )
    for half, name in zip(np.array_split(x, 2), ("first", "second"), strict=True):
        if not (measures.noise_floor(half) > 0 and (half.std(0) > 0).any()):
            raise ValueError(
                f"data must differ from row to row and from point to point; its {name} half has no noise. Leave out "
                "constant signals."
            )
    return x


def _setup(name: str, size: Size, given: np.ndarray | None) -> Setup:
    """Draw what all repetitions share."""
    case = cases.get(name)
    return Setup(
        case=case,
        suited=case.suited(case.outside(2 * size.signals, 0) if given is None else given),
        size=size._replace(fit_outside=size.fit_outside or given is not None),
        test=cases.draw(case.problem, size.test, TRAINED, TEST),
        shifted=cases.draw(case.problem, size.test, SHIFTED, SHIFTED_TEST),
        ranked=cases.draw(case.problem, size.test, TRAINED, RANKED).x,
        given=given,
        tick=lambda steps: None,
    )


def _chosen(repetitions: Sequence[Repetition], size: Size) -> tuple[list[Record], dict[str, str]]:
    """Gather the numbers of all seeds, and choose the two members of the family that are shown."""
    records = [r for repetition in repetitions for r in repetition.records]
    # The rung of as many signals as the comparison has, all labelled, is the comparison
    records += [
        r | {"measure": f"r2 from {n}"}
        for n in set(size.ladder) - set(size.small)
        for r in records
        if r["measure"] == "r2"
    ]
    rank = rank_members([repetition.codes for repetition in repetitions], size.family)
    records += [record("all", name, "udr", value) for name, value in rank.items()]
    return records, {WITHOUT: max(rank, key=lambda name: rank[name]), WITH: _by_labels(records, size.family)}


def _by_labels(records: Sequence[Record], family: Sequence[str]) -> str:
    """Choose the member of the family whose scores on labelled signals are best, mean over scores and seeds."""
    of = {
        name: [r["value"] for r in records if r["route"] == name and r["measure"] == "label score"] for name in family
    }
    return max(family, key=lambda name: float(np.mean(of[name])))


@contextmanager
def _ending(pool: ThreadPoolExecutor) -> Iterator[Event]:
    """End a pool's threads with what it is used for: at once, or by the event that tells them to stop after Ctrl-C."""
    stopped = Event()
    try:
        yield stopped
    except BaseException:
        stopped.set()
        raise
    finally:
        pool.shutdown(cancel_futures=stopped.is_set())


def _tick(bar: Any, stopped: Event, steps: int) -> None:
    if stopped.is_set():
        raise InterruptedError("stopped")
    bar.update(steps)


def _thread_limits() -> Any:
    """Import what keeps NumPy and scikit-learn from threads of their own, which fight with the seeds side by side."""
    sklearn_module("ensemble")
    from threadpoolctl import threadpool_limits

    return threadpool_limits
