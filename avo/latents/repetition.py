"""One repetition of a comparison: on the data of one seed every route is learned, then measured.

Each repetition has training data and initial weights of its own. What is drawn, and by which seed:

    training signals      seed             the first `labels` of them labelled
    ceiling's labels      seed + 2^21
    small data            seed + 2^22      of each rung of the ladder; all labelled
    outside the model     seed             of another simulator, unless signals are given
    test set              2^20             the same for all seeds, as are
    shifted test set      2^20 + 1
    ranked signals        2^20 + 2         whose codes UDR compares between seeds

It is made of cells (avo/latents/cells.py), each of which stands alone: what cells share, the training signals and the
ceiling, is a function of the seed.
"""

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from avo.latents import cases, measures, routes
from avo.latents.cases import TRAINED, Case, Labelled
from avo.latents.cells import Cell, Cells
from avo.latents.family import LATENTS, MEMBERS, Size, train_member
from avo.latents.information import mig
from avo.latents.metrics import dci, scores
from avo.latents.plots import STEPS
from avo.latents.probes import linear_r2
from avo.latents.routes import Route

if TYPE_CHECKING:
    from avo.simulators import Problem

TEST, SHIFTED_TEST, RANKED = 2**20, 2**20 + 1, 2**20 + 2
CEILING, SMALL = 2**21, 2**22  # added to the seed
MANIPULATED = 500  # signals of the test set

Record = dict[str, Any]


class Setup(NamedTuple):
    """What all repetitions share.

    Args:
        case: the simulator, and signals from outside the model.
        suited: the simulator that suits the signals from outside the model.
        size: how much is spent.
        test: test set.
        shifted: test set of the shifted setting.
        ranked: signals whose codes UDR compares between seeds.
        given: real signals, in place of those that the case has from outside the model; None: those.
        tick: called with the number of steps that are done.
        cells: those that are finished.
    """

    case: Case
    suited: "Problem"
    size: Size
    test: Labelled
    shifted: Labelled
    ranked: np.ndarray
    given: np.ndarray | None
    tick: Callable[[int], Any]
    cells: Cells = Cells()

    def cell(self, name: str, make: Callable[[], Cell], ticks: int = 1) -> Cell:
        """Take or make a cell of so many steps, of which the last is done when it is kept."""
        cell, there = self.cells.of(name, make)
        self.tick(ticks if there else 1)
        return cell


class Repetition(NamedTuple):
    """What one seed gave.

    Args:
        records: its numbers.
        codes: of the ranked signals, by each autoencoder.
        moved: of the first seed, by route, the first signal of the test set with one code moved, (k, steps, points).
        active: likewise, which codes say something, with shape (k,).
    """

    records: list[Record]
    codes: dict[str, np.ndarray]
    moved: dict[str, np.ndarray]
    active: dict[str, np.ndarray]


class Sets(NamedTuple):
    """Labelled signals: those that probes learn from, the test set, and that of the shifted setting."""

    labels: Labelled
    test: Labelled
    shifted: Labelled


def record(seed: int | str, route: str, measure: str, value: float, parameter: str = "") -> Record:
    """Make a line of the comparison: one number."""
    return {"seed": seed, "route": route, "measure": measure, "parameter": parameter, "value": float(value)}


def _records(seed: int, route: str, measure: str, value: Any, names: Sequence[str]) -> list[Record]:
    """Make a line for one number, or one for each parameter; none where it is NaN."""
    if np.ndim(value) == 0:
        return [record(seed, route, measure, value)]
    each = zip(value, names, strict=True)
    return [record(seed, route, measure, v, name) for v, name in each if not np.isnan(v)]


class _Seed:
    """What the cells of one seed share, made when the first of them needs it."""

    def __init__(self, setup: Setup, seed: int) -> None:
        self.setup, self.seed = setup, seed
        self.problem, self.size = setup.case.problem, setup.size

    @cached_property
    def signals(self) -> Labelled:
        """The training signals."""
        return cases.draw(self.problem, self.size.signals, TRAINED, self.seed)

    @cached_property
    def labels(self) -> Labelled:
        """Those that are labelled."""
        return Labelled(*(a[: self.size.labels] for a in self.signals))

    @cached_property
    def ceiling(self) -> Route:
        """The best regression there is."""
        many = cases.draw(self.problem, self.size.ceiling, TRAINED, self.seed + CEILING)
        return routes.by_labels(self.problem, *many, self.seed)._replace(name="ceiling")

    def measured(self, route: Route) -> list[Record]:
        """Measure a route."""
        sets = Sets(self.labels, self.setup.test, self.setup.shifted)
        found = measure_route(route, sets, self.ceiling, routes.mean_of(self.problem), self.seed)
        names = self.problem.space.names
        return [r for measure, value in found.items() for r in _records(self.seed, route.name, measure, value, names)]

    def shown(self, route: Route) -> dict[str, np.ndarray]:
        """Move the codes of a signal, of the first seed, for the pictures."""
        if self.seed:
            return {}
        moved = traversed(route, self.setup.test.x[0])
        return {"moved": moved, "active": np.ones(len(moved), bool) if route.active is None else route.active}

    def regressions(self) -> Cell:
        """Learn from labels and by principal components, and fit the simulator."""
        made = [
            self.ceiling,
            routes.by_labels(self.problem, *self.labels, self.seed),
            routes.by_components(self.signals.x, LATENTS),
        ]
        self.setup.tick(1)
        made.append(routes.by_simulator(self.problem, self.signals.x, self.size.budget, self.seed, self.size.ceiling))
        records = [r for route in made for r in self.measured(route)]
        records.append(record(self.seed, "simulator", "no population", _no_population(made)))
        return Cell(records, self.shown(made[-1]))

    def autoencoder(self, name: str) -> Cell:
        """Train a member of the family."""
        trained = train_member(MEMBERS[name], self.signals.x, self.size, self.seed)
        route = routes.by_latents(name, trained, self.signals.x)
        self.setup.tick(1)
        noise = float(trained.model.noise / trained.model.scale)
        records = [*self.measured(route), record(self.seed, name, "noise over scale", noise)]
        return Cell(records, self.shown(route) | {"codes": route.encode(self.setup.ranked)[:, route.active]})


def measure_seed(setup: Setup, seed: int) -> Repetition:
    """Learn all routes from one set of training data, and measure them on the test sets."""
    of, family = _Seed(setup, seed), setup.size.family

    def regressions() -> list[Cell]:
        return [setup.cell(f"seed {seed} regressions", of.regressions, ticks=2)]

    def autoencoders() -> list[Cell]:
        return [setup.cell(f"seed {seed} {name}", partial(of.autoencoder, name), ticks=2) for name in family]

    cells = dict(zip(("simulator", *family), chain(*_in_turn(seed, regressions, autoencoders)), strict=True))
    return Repetition(
        records=[r for cell in cells.values() for r in cell.records],
        codes={name: cells[name].arrays["codes"] for name in family},
        **{
            part: {name: cell.arrays[part] for name, cell in cells.items() if part in cell.arrays}
            for part in ("moved", "active")
        },
    )


def traversed(route: Route, base: np.ndarray) -> np.ndarray:
    """Decode one signal's codes with each code moved in turn, with shape (k, steps, points).

    Codes move from -3 to 3 standard deviations about their mean, over new signals that the route makes itself.
    """
    sample = route.encode(route.sample(jax.random.key(0), 500))
    centre, size = sample.mean(0), sample.std(0)
    z = np.repeat(route.encode(base[None]), len(STEPS), axis=0)
    curves = []
    for k in range(z.shape[1]):
        moved = z.copy()
        moved[:, k] = centre[k] + size[k] * STEPS
        curves.append(route.decode(moved))
    return np.array(curves)


def measure_route(
    route: Route, sets: Sets, ceiling: Route, mean: Callable[[np.ndarray], np.ndarray], seed: int
) -> dict[str, Any]:
    """Measure one route.

    Args:
        route: which.
        sets: probes learn from the labels, all else is measured on the test sets.
        ceiling: the best regression there is, which reads parameters off decoded signals.
        mean: theta -> x without noise.
        seed: of splits and of new signals.

    Returns:
        measure -> a number, or one for each parameter with shape (d,); NaN where a parameter has none.
    """
    theta, x = sets.test
    probe = measures.fit_probe(route, sets.labels.x, sets.labels.theta)
    moving = measures.fit_probe(route, sets.labels.x, sets.labels.theta, drawn=True)
    scored = scores(route.encode(x), theta, rows=len(x), seed=seed, active=route.active)
    numbers: dict[str, Any] = measures.accuracy(route, probe, x, theta)
    numbers |= {name: scored[name] for name in scored if name not in ("linear_r2", "boosted_r2", "nrmse")}
    numbers |= {name: scored.per_factor[name] for name in ("linear_r2", "boosted_r2")}
    numbers |= measures.generation(route.sample(jax.random.key(seed), len(x) // 2), x, seed)
    numbers["manipulation"] = measures.manipulation(route, moving, mean, x[:MANIPULATED], theta[:MANIPULATED])
    # No traversal moves what the mean of x does not depend on
    numbers["monotone"] = measures.monotone(route, x, ceiling.encode) + 0 * numbers["manipulation"]
    numbers["coverage"] = measures.coverage(route, moving, x, theta)
    numbers["stated sd"] = measures.stated_sd(route, moving, x).mean(0) / theta.std(0)
    numbers["shifted r2"] = measures.accuracy(route, probe, sets.shifted.x, sets.shifted.theta)["r2"]
    if route.name in MEMBERS:
        numbers["label score"] = _label_score(route, sets.labels, seed)
    return numbers


def _label_score(route: Route, labels: Labelled, seed: int) -> float:
    """Score an autoencoder by labelled training signals alone: the mean of MIG, disentanglement and linear R^2."""
    own = route.encode(labels.x), labels.theta
    return float(np.mean([mig(*own).mean(), dci(*own, seed=seed).disentanglement, linear_r2(*own, seed=seed).mean()]))


def measure_rest(setup: Setup, members: Sequence[str], seed: int) -> list[Record]:
    """Measure small data, and signals from outside the model: of these members, or without any, of all other routes."""

    who = f" of {' and '.join(members)}" if members else ""

    def small_data() -> list[Record]:
        kept = []
        for n in setup.size.small:
            make = partial(_small, setup, members, n, seed)
            kept += setup.cell(f"seed {seed} small {n}{who}", lambda make=make: Cell(make(), {})).records
        return kept

    def outside() -> list[Record]:
        return setup.cell(f"seed {seed} outside{who}", lambda: Cell(_outside(setup, members, seed), {})).records

    return [*chain(*_in_turn(seed, small_data, outside))]


def _small(setup: Setup, members: Sequence[str], n: int, seed: int) -> list[Record]:
    """R^2 of routes learned from n signals, all of them labelled for probe and regression."""
    problem, size = setup.case.problem, setup.size
    theta, x = cases.draw(problem, n, TRAINED, seed + SMALL)
    made = [routes.by_latents(name, train_member(MEMBERS[name], x, size, seed), x) for name in members]
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
            records.append(record(seed, "simulator", "no population of the fewest signals", _no_population(made)))
    for route in made:
        probe = measures.fit_probe(route, x, theta)
        values = measures.accuracy(route, probe, setup.test.x, setup.test.theta)["r2"]
        records += _records(seed, route.name, f"r2 from {n}", values, problem.space.names)
    return records


def _outside(setup: Setup, members: Sequence[str], seed: int) -> list[Record]:
    """Reconstruct the second half of signals from outside the model; regressions take their labels from simulations."""
    problem, size = setup.suited, setup.size
    x = setup.case.outside(2 * size.signals, seed) if setup.given is None else setup.given
    train, test = x[: len(x) // 2], x[len(x) // 2 :]
    made = [routes.by_latents(name, train_member(MEMBERS[name], train, size, seed), train) for name in members]
    if not members:
        few, many = (routes.by_simulations(problem, train, pairs, seed) for pairs in (size.labels, size.ceiling))
        simulator = many
        if size.fit_outside:
            simulator = routes.by_simulator(problem, train, size.budget, seed, wide=many)
        made = [simulator, few._replace(name="supervised"), many._replace(name="ceiling")]
        made.append(routes.by_components(train, LATENTS))
    records = [record(seed, route.name, "outside error", measures.reconstruction(route, test)) for route in made]
    if not members:
        records.append(record(seed, "simulator", "no population outside the model", _no_population(made)))
    return records


def _in_turn(seed: int, *tasks: Callable[[], list]) -> list[list]:
    """Do tasks forwards in even seeds, backwards in odd ones, and return what they gave in the order of the tasks.

    Two seeds side by side then compile different programs, of which the other later finds all compiled, where else both
    would compile the same ones.
    """
    found: list[list] = [[] for _ in tasks]
    for i in range(len(tasks))[:: -1 if seed % 2 else 1]:
        found[i] = tasks[i]()
    return found


def _no_population(made: Sequence[Route]) -> bool:
    """Tell whether the simulator's fit found no population, so that its route was learned from simulations alone."""
    return any(route.name == "simulator" and not route.fitted for route in made)
