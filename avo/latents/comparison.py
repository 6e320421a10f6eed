"""Simulator parameters against latents: `compare` describes the same signals both ways and measures which is better.

The question is the one of a talk by A. Honchar ("GANs" vs "ODEs": the end of mathematical modelling?), whose table of
eight questions was filled by eye. Here each cell is a number, the same for every route, on the same data:

    row                  measured
    complex data         reconstruction error over the noise floor, on signals that the simulator was not made for
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

Every seed has training data and initial weights of its own; the signals that judge are the same for all (complex data
apart, which each seed draws anew), and those on which UDR compares the seeds are others again. The two members are
chosen once, with all labels; the curve of small data shows the same two. Supervised regression and ceiling draw new
signals at parameters of their own labels, so that they cannot lose the row of generation. On the shifted setting the
ceiling is none: its labels come from the other one, while the simulator's regression learns under the population that
it fitted, a normal distribution in u, whose tails reach there. Nor is it one on complex data, where both regressions
learn from simulations under the wide start of a fit.
"""

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from threading import Event
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import ArrayLike
from tqdm import tqdm

from avo.checks import one_of, whole
from avo.folder import write_bytes, write_json
from avo.latents import cases, measures, routes
from avo.latents.cases import SHIFTED, TRAINED, Case
from avo.latents.information import mig
from avo.latents.metrics import dci, scores
from avo.latents.models import BetaVAE
from avo.latents.objectives import Objective, autoencoder, beta, capacity, denoising
from avo.latents.probes import linear_r2
from avo.latents.ranking import udr
from avo.latents.routes import Route
from avo.latents.scikit import learn
from avo.latents.training import Trained, train
from avo.observations import validate_observations

if TYPE_CHECKING:
    from avo.simulators import Problem

LATENTS = 10


class Member(NamedTuple):
    """An autoencoder of the family.

    Args:
        objective: what it is trained by.
        network: options of `BetaVAE.for_data` that are not the usual ones; without any an MLP with ten latents.
    """

    objective: Objective
    network: Mapping[str, Any] = MappingProxyType({})


# Chosen by the search of benchmarks/results/latents.md. Two layers of width 128 serve as well as of 256, by the mean of
# MIG, disentanglement and R^2, and are trained faster; three layers do not
NARROW = {"width": 128}
FAMILY = {
    "AE": Member(autoencoder(), NARROW),
    "denoising AE": Member(denoising(0.3), NARROW),
    "VAE": Member(beta(1.0, calibrated=True), NARROW),
    "beta 4": Member(beta(4.0, calibrated=True), NARROW),
    "beta 4, 3 layers": Member(beta(4.0, calibrated=True), {"depth": 3}),
    "capacity 12": Member(capacity(10.0, 12.0), NARROW),
    "talk: capacity 25": Member(capacity(100.0, 25.0), NARROW),
}
WITHOUT, WITH = "VAE, chosen without labels", "VAE, chosen with labels"
ROUTES = ("simulator", WITHOUT, WITH, "PCA", "supervised", "ceiling")


# measure -> what the simulator's fit found no population of, so that a regression stands in for it
LOST = {
    "no population": "the signals",
    "no population of the fewest signals": "the fewest signals",
    "no population of complex data": "the complex data",
}


class Row(NamedTuple):
    """A row of the table: its name, the measure behind it, what it means, and which way is better."""

    name: str
    measure: str
    words: str
    best: str


TABLE = (
    Row("complex data", "foreign error", "reconstruction error / noise floor", "low"),
    Row("accuracy", "r2", "R^2", "high"),
    Row("accuracy, error", "nrmse", "NRMSE", "low"),
    Row("interpretability", "mig", "MIG", "high"),
    Row("interpretability, DCI", "dci_disentanglement", "DCI, disentanglement", "high"),
    Row("interpretability, moved", "monotone", "monotone in a parameter, 1 is best", "high"),
    Row("small data", "small r2", "R^2 from the fewest signals", "high"),
    Row("zero-shot reuse", "shifted r2", "R^2 on a shifted setting", "high"),
    Row("generation", "c2st", "classifier's accuracy, .5 is best", "low"),
    Row("generation, distance", "sliced", "sliced Wasserstein / null, 1 is best", "low"),
    Row("manipulation", "manipulation", "error / change", "low"),
    Row("prior knowledge", "coverage", "coverage of 90 % intervals", "0.9"),
)


class Size(NamedTuple):
    """How much is spent.

    Args:
        signals: to train on.
        labels: how many of them have labels.
        epochs: of each autoencoder.
        budget: simulator calls of a fit.
        ladder: numbers of signals of the curve of small data.
        family: which autoencoders.
        judges: held-out signals.
        ceiling: labelled simulations of the ceiling.
        fit_complex: whether the simulator is fitted to complex data, or reads its parameters by a regression.
    """

    signals: int
    labels: int
    epochs: int
    budget: int
    ladder: tuple[int, ...]
    family: tuple[str, ...]
    judges: int
    ceiling: int
    fit_complex: bool = True

    @property
    def small(self) -> list[int]:
        """Rungs to be measured apart: one of as many signals as the comparison has, all labelled, is the comparison."""
        return [n for n in self.ladder if not n == self.signals == self.labels]


DEFAULT = Size(5000, 1000, 50, 200_000, (100, 1000, 10_000), tuple(FAMILY), 2000, 50_000)
QUICK = Size(1000, 1000, 50, 25_000, (100, 1000), ("VAE", "talk: capacity 25"), 1000, 16_000, False)


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """What `compare` found.

    Args:
        case: its name.
        records: one number each: seed, route, measure, parameter ("" for what is of no single one), value.
        chosen: the family's members shown as chosen without and with labels.
        settings: sizes, seeds, source of the complex signals.
        signals: what the pictures show: the routes of the first seed, and held-out signals.
    """

    case: str
    records: list[dict[str, Any]]
    chosen: dict[str, str]
    settings: dict[str, Any]
    signals: dict[str, Any]

    def __repr__(self) -> str:
        return f"Comparison({self.case}; {self.settings['seeds']} seeds, {len(self.records):,} numbers)"

    def values(self, route: str, measure: str) -> np.ndarray:
        """Collect a measure of one route, one number per seed: the mean over parameters where there are several."""
        route = self.chosen.get(route, route)
        for name, given, known in (
            ("route", route, {*ROUTES, *self.settings["family"]}),
            ("measure", measure, {row.measure for row in TABLE}),
        ):
            one_of(name, given, sorted(known | {r[name] for r in self.records}))
        if measure == "small r2":
            measure = "r2" if route == "ceiling" else f"r2 from {min(self.settings['ladder'])}"
        found: dict[int, list[float]] = {}
        for r in self.records:
            if r["route"] == route and r["measure"] == measure:
                found.setdefault(r["seed"], []).append(r["value"])
        return np.array([np.mean(found[seed]) for seed in sorted(found)])

    def summary(self) -> str:
        """Write the table: median over seeds, and in brackets the smallest and the largest."""
        head = ["", *ROUTES, "measured"]
        lines = [head]
        for row in TABLE:
            cells = [_cell(self.values(route, row.measure)) for route in ROUTES]
            lines.append([row.name, *cells, row.words])
        widths = [max(len(line[k]) for line in lines) for k in range(len(head))]
        table = ["  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines]
        return "\n".join([*table, "", *(f"{label}: {name}" for label, name in self.chosen.items()), *self._words()])

    def _words(self) -> list[str]:
        s = self.settings
        fallen = [
            f"simulator: no population of {what} found in {s[name]:.0f} of {s['seeds']} seeds; parameters are read "
            "there by a regression from simulations under the wide start"
            for name, what in LOST.items()
            if s.get(name)
        ]
        if not s["fit_complex"]:
            fallen.append(
                "simulator: no population is fitted to complex data of a quick look; parameters are read there by a "
                "regression from simulations under the wide start"
            )
        if s.get("quick"):
            fallen.append(
                f"a quick look: few signals and calls, and of the autoencoders {', '.join(s['family'])} alone; most "
                "numbers are worse than at default size"
            )
        return [
            *fallen,
            f"{s['seeds']} seeds: median (smallest .. largest); {s['signals']:,} training signals, {s['labels']:,} "
            f"labels; ceiling: {s['ceiling']:,} labels; small data: {min(s['ladder']):,} signals; complex data: "
            f"{s['complex']}",
        ]

    def save(self, out: str | Path) -> list[Path]:
        """Write `compare.csv`, one number a line, `compare.json`, `table.txt`, and pictures; returns the paths."""
        from avo.latents import pictures

        folder = Path(out)
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, ["seed", "route", "measure", "parameter", "value"])
        writer.writeheader()
        writer.writerows(self.records)
        write_bytes(folder / "compare.csv", buffer.getvalue().encode())
        table = {
            row.name: {route: self.values(route, row.measure).tolist() for route in ROUTES} | {"measured": row.words}
            for row in TABLE
        }
        words = {"case": self.case, "table": table, "chosen": self.chosen, "settings": self.settings}
        write_json(folder / "compare.json", words)
        write_bytes(folder / "table.txt", (self.summary() + "\n").encode())
        drawn = {"traversals": pictures.traversals, "scores": pictures.bars, "small_data": pictures.small_data}
        for name, draw in drawn.items():
            image = io.BytesIO()
            draw(self).savefig(image, format="png", dpi=110)
            write_bytes(folder / f"{name}.png", image.getvalue())
        return [
            folder / name for name in ("compare.csv", "compare.json", "table.txt", *(f"{name}.png" for name in drawn))
        ]


def _cell(values: np.ndarray) -> str:
    if not len(values):
        return "-"
    return f"{np.median(values):.2f} ({values.min():.2f} .. {values.max():.2f})"


def compare(
    case: str = "ecg",
    *,
    data: ArrayLike | None = None,
    seeds: int = 5,
    quick: bool = False,
    jobs: int = 2,
    progress: bool = True,
) -> Comparison:
    """Compare simulator parameters with latents of autoencoders on the same signals.

    Args:
        case: "ecg" (lead, pulse, infarction and size of a heartbeat), "brownian", "pendulum" or "oscillator".
        data: real signals, with shape (n, points), for the row of complex data; None: those of another simulator. Of
            "ecg" they are beats in mV from 0.3 s before R to 0.55 s after it, of "brownian" paths, of "pendulum" angles
            in rad over 4 s. The first half trains, the second judges: keep their order in time.
        seeds: number of repetitions; at least 2, since choosing without labels compares seeds.
        quick: sizes for a first look, in a minute or two on two cores; complex data that are not given are read by a
            regression from simulations, to which no population is fitted.
        jobs: tasks done at the same time; the numbers do not depend on it.
        progress: show a bar.

    Returns:
        `Comparison`: `.summary()`, `.save(folder)`, `.records`, `.values(route, measure)`.

    Raises:
        ValueError: if an argument is not as described.
        ImportError: if scikit-learn is not installed.

    Example:
        >>> compare("rings")
        Traceback (most recent call last):
        ...
        ValueError: case must be one of oscillator, ecg, brownian, pendulum; got 'rings'.
    """
    known = cases.get(case)
    whole("seeds", seeds, least=2)  # choosing without labels compares seeds
    whole("jobs", jobs)
    size = QUICK if quick else DEFAULT
    given = None if data is None else _signals(data)
    size = size._replace(fit_complex=size.fit_complex or given is not None)
    real = known.real(known.foreign(2 * size.signals, 0) if given is None else given)
    judges = cases.draw(known.problem, size.judges, TRAINED, seed=2**20)
    shifted = cases.draw(known.problem, size.judges, SHIFTED, seed=2**20 + 1)
    seen = cases.draw(known.problem, size.judges, TRAINED, seed=2**20 + 2)[1]  # chooses without labels
    total = seeds * (2 * len(size.family) + 2 + 2 * (len(size.small) + 1))
    limited = partial(_thread_limits(), 1)  # of OpenMP each thread has a limit of its own
    workers = ThreadPoolExecutor(jobs, initializer=limited)
    with limited(), tqdm(total=total, disable=None if progress else True) as bar, _ending(workers) as stopped:
        tick = partial(_tick, bar, stopped)
        rest = partial(_rest, known, real, size, judges, given, tick)
        seeded = workers.map(partial(_seed, known, size, judges, shifted, seen, tick), range(seeds))
        others = workers.map(partial(rest, ()), range(seeds))  # fills the time in which the last seed runs alone
        found = list(seeded)
        records = [record for each, _ in found for record in each]
        records += [
            r | {"measure": f"r2 from {n}"}
            for n in set(size.ladder) - set(size.small)
            for r in records
            if r["measure"] == "r2"
        ]
        rank = ranks([kept["codes"] for _, kept in found], size.family)
        records += [_record("all", name, "udr", value) for name, value in rank.items()]
        chosen = {WITHOUT: max(rank, key=lambda name: rank[name]), WITH: _by_labels(records, size.family)}
        shown = sorted(set(chosen.values()))
        for each in chain(others, workers.map(partial(rest, shown), range(seeds))):
            records += each
        bar.update(total - bar.n)
    source = known.words if given is None else f"{len(given):,} given signals"
    settings = size._asdict() | {"seeds": seeds, "quick": quick, "complex": source}
    settings |= {name: sum(r["value"] for r in records if r["measure"] == name) for name in LOST}
    kept = found[0][1]
    signals = {"routes": kept["routes"], "x": judges[1][:8], "axes": known.problem.axes, "problem": known.problem}
    return Comparison(case, records, chosen, settings, signals)


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
    learn("ensemble")
    from threadpoolctl import threadpool_limits

    return threadpool_limits


def ranks(codes: Sequence[dict[str, np.ndarray]], family: Sequence[str]) -> dict[str, float]:
    """Compute the median UDR of each member of the family, from its codes in each seed."""
    return {name: float(np.median(udr([each[name] for each in codes]))) for name in family}


def _signals(data: ArrayLike) -> np.ndarray:
    x = validate_observations(data, "data")
    if x.ndim != 2 or len(x) < 40 or x.shape[1] < 16:
        raise ValueError(
            f"data must be at least 40 signals of at least 16 points, shape (n, points); got {x.shape}. From a record "
            "avo.data.read_beats cuts heartbeats, from prices avo.data.log_price_windows paths."
        )
    for half, name in zip(np.array_split(x, 2), ("first", "second"), strict=True):
        if not (measures.floor(half) > 0 and (half.std(0) > 0).any()):
            raise ValueError(
                f"data must differ from row to row and from point to point; its {name} half has no noise. Leave out "
                "constant signals."
            )
    return x


def _record(seed: int | str, route: str, measure: str, value: float, parameter: str = "") -> dict[str, Any]:
    return {"seed": seed, "route": route, "measure": measure, "parameter": parameter, "value": float(value)}


def _by_labels(records: Sequence[dict[str, Any]], family: Sequence[str]) -> str:
    """Choose the member of the family whose scores on labelled signals are best, mean over scores and seeds."""
    of = {
        name: [r["value"] for r in records if r["route"] == name and r["measure"] == "label score"] for name in family
    }
    return max(family, key=lambda name: float(np.mean(of[name])))


def _seed(
    case: Case, size: Size, judges: Any, shifted: Any, seen: np.ndarray, tick: Callable[[int], Any], seed: int
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Measure all routes on one set of training data."""
    problem, names = case.problem, case.problem.space.names
    theta, x = cases.draw(problem, size.signals, TRAINED, seed)
    labels = theta[: size.labels], x[: size.labels]
    many = cases.draw(problem, size.ceiling, TRAINED, seed + 2**21)
    noise: dict[str, float] = {}

    def regressions_and_fit() -> list[Route]:
        made = [routes.by_labels(problem, *many, seed)._replace(name="ceiling"),
                routes.by_labels(problem, *labels, seed), routes.by_components(x, LATENTS)]  # fmt: skip
        tick(1)
        made.append(routes.by_simulator(problem, x, size.budget, seed, size.ceiling))
        tick(1)
        return made

    def autoencoders() -> list[Route]:
        made = []
        for name in size.family:
            found = trained(FAMILY[name], x, size, seed)
            made.append(routes.by_latents(name, found, x))
            noise[name] = float(found.model.noise / found.model.scale)
            tick(1)
        return made

    made = [*chain(*_in_turn(seed, regressions_and_fit, autoencoders))]
    ceiling = made[0]
    records, mean = [], routes.mean_of(problem)
    for route in made:
        for measure, value in _numbers(route, labels, judges, shifted, ceiling, mean, seed).items():
            records += _records(seed, route.name, measure, value, names)
        tick(1 if route.name in noise else 0)
    records += [_record(seed, name, "noise over scale", value) for name, value in noise.items()]
    records.append(_record(seed, "simulator", "no population", _lost(made)))
    named = {route.name: route for route in made}
    codes = {name: named[name].encode(seen)[:, named[name].informative] for name in noise}
    return records, {"codes": codes, "routes": named}


def _in_turn(seed: int, *tasks: Callable[[], list]) -> list[list]:
    """Do tasks forwards in even seeds, backwards in odd ones, and return what they gave in the order of the tasks.

    Two seeds side by side then compile different programs, of which the other later finds all compiled, where else both
    would compile the same ones.
    """
    found: list[list] = [[] for _ in tasks]
    for i in range(len(tasks))[:: -1 if seed % 2 else 1]:
        found[i] = tasks[i]()
    return found


def _lost(made: Sequence[Route]) -> bool:
    """Tell whether the simulator's fit found no population, so that its route was learned from simulations alone."""
    return any(route.name == "simulator" and not route.fitted for route in made)


def _records(seed: int, route: str, measure: str, value: Any, names: Sequence[str]) -> list[dict[str, Any]]:
    if np.ndim(value) == 0:
        return [_record(seed, route, measure, value)]
    each = zip(value, names, strict=True)
    return [_record(seed, route, measure, v, name) for v, name in each if not np.isnan(v)]


def trained(member: Member, x: np.ndarray, size: Size, seed: int, **training: Any) -> Trained:
    """Train one member of the family; a tenth of the signals, the first, chooses the epoch, and gives it its noise.

    Fewer signals than `size.signals` are repeated up to that number: as many steps, and the same compiled program.

    Args:
        member: which.
        x: signals, with shape (n, points).
        size: numbers of signals and of epochs.
        seed: of weights and order.
        training: options of `avo.latents.train` that are to be others.
    """
    held = max(len(x) // 10, 1)
    rows, seen = (max(n * size.signals // len(x), n) for n in (len(x) - held, held))
    options = {"epochs": size.epochs, "rate": 1e-3, "final": 0.05} | training
    found = train(
        partial(BetaVAE.for_data, **({"latents": LATENTS} | dict(member.network))),
        np.resize(x[held:], (rows, *x.shape[1:])), objective=member.objective,
        validation=np.resize(x[:held], (seen, *x.shape[1:])), seed=seed, progress=False, **options,
    )  # fmt: skip
    return replace(found, model=found.model.calibrated(x[:held], draws=16 if member.objective.sampled else 0))


def _numbers(
    route: Route, labels: Any, judges: Any, shifted: Any, ceiling: Route, mean: Callable, seed: int
) -> dict[str, Any]:
    theta, x = judges
    reader = measures.probe(route, labels[1], labels[0])
    z = route.encode(x)
    judged = scores(z, theta, rows=len(x), seed=seed, active=route.informative)
    drawn = measures.probe(route, labels[1], labels[0], drawn=True)
    numbers: dict[str, Any] = measures.accuracy(route, reader, x, theta)
    numbers |= {name: judged[name] for name in judged if name not in ("linear_r2", "boosted_r2", "nrmse")}
    numbers |= {"linear_r2": judged.per_factor["linear_r2"], "boosted_r2": judged.per_factor["boosted_r2"]}
    numbers |= measures.generation(measures.drawn(route, len(x) // 2, seed), x, seed)
    numbers["manipulation"] = measures.manipulation(route, drawn, mean, x[:500], theta[:500])
    # No traversal moves what the mean of x does not depend on
    numbers["monotone"] = measures.monotone(route, x, ceiling.encode) + 0 * numbers["manipulation"]
    numbers["coverage"] = measures.coverage(route, drawn, x, theta)
    numbers["stated sd"] = measures.stated(route, drawn, x).mean(0) / theta.std(0)
    numbers["shifted r2"] = measures.accuracy(route, reader, shifted[1], shifted[0])["r2"]
    if route.name in FAMILY:
        own = route.encode(labels[1]), labels[0]
        each = mig(*own).mean(), dci(*own, seed=seed).disentanglement, linear_r2(*own, seed=seed).mean()
        numbers["label score"] = np.mean(each)
    return numbers


def _rest(
    case: Case, real: "Problem", size: Size, judges: Any, given: np.ndarray | None, tick: Callable[[int], Any],
    members: Sequence[str], seed: int,
) -> list[dict[str, Any]]:  # fmt: skip
    """Measure small data and complex data: of these members of the family, or without any, of all other routes."""

    def small_data() -> list[dict[str, Any]]:
        records = []
        for n in size.small:
            records += _small(case, size, judges, members, n, seed)
            tick(1)
        return records

    def complex_data() -> list[dict[str, Any]]:
        x = case.foreign(2 * size.signals, seed) if given is None else given
        records = _foreign(real, size, x, members, seed)
        tick(1)
        return records

    return [*chain(*_in_turn(seed, small_data, complex_data))]


def _small(case: Case, size: Size, judges: Any, members: Sequence[str], n: int, seed: int) -> list[dict[str, Any]]:
    """R^2 of routes learned from n signals, all of them labelled for probe and regression."""
    problem = case.problem
    theta, x = cases.draw(problem, n, TRAINED, seed + 2**22)
    made = [routes.by_latents(name, trained(FAMILY[name], x, size, seed), x) for name in members]
    records = []
    if not members:
        # Repeated, signals have the same moments, and a smaller number of them takes no compiled program of its own
        some = np.resize(x, (max(n, size.signals), *x.shape[1:]))
        made = [
            routes.by_simulator(problem, some, size.budget, seed, size.ceiling),
            routes.by_labels(problem, theta, x, seed),
            routes.by_components(x, min(LATENTS, n // 4)),
        ]
        if n == min(size.ladder):
            records.append(_record(seed, "simulator", "no population of the fewest signals", _lost(made)))
    for route in made:
        values = measures.accuracy(route, measures.probe(route, x, theta), judges[1], judges[0])["r2"]
        records += _records(seed, route.name, f"r2 from {n}", values, problem.space.names)
    return records


def _foreign(problem: "Problem", size: Size, x: np.ndarray, members: Sequence[str], seed: int) -> list[dict[str, Any]]:
    """Reconstruct signals that the simulator was not made for; regressions take their labels from simulations."""
    first, second = x[: len(x) // 2], x[len(x) // 2 :]
    made = [routes.by_latents(name, trained(FAMILY[name], first, size, seed), first) for name in members]
    if not members:
        few, many = (routes.by_simulations(problem, first, pairs, seed) for pairs in (size.labels, size.ceiling))
        simulator = many
        if size.fit_complex:
            simulator = routes.by_simulator(problem, first, size.budget, seed, wide=many)
        made = [simulator, few._replace(name="supervised"), many._replace(name="ceiling")]
        made.append(routes.by_components(first, LATENTS))
    records = [_record(seed, route.name, "foreign error", measures.reconstruction(route, second)) for route in made]
    return records if members else [*records, _record(seed, "simulator", "no population of complex data", _lost(made))]
