"""One repetition of a comparison: on the data of one seed every route is learned, then measured.

Each repetition has training data and initial weights of its own. What is drawn, and by which seed:

    training signals      seed             the first `labels` of them labelled
    ceiling's labels      seed + 2^21
    small data            seed + 2^22      of each rung of the ladder; all labelled
    outside the model     seed             of another simulator, unless signals are given
    test set              2^20             the same for all seeds, as are
    shifted test set      2^20 + 1
    ranked signals        2^20 + 2         whose codes UDR compares between seeds
"""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from avo.latents import cases, measures, routes
from avo.latents.cases import TRAINED, Case, Labelled
from avo.latents.family import FAMILY, LATENTS, Size, train_member
from avo.latents.information import mig
from avo.latents.metrics import dci, scores
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
    """

    case: Case
    suited: "Problem"
    size: Size
    test: Labelled
    shifted: Labelled
    ranked: np.ndarray
    given: np.ndarray | None
    tick: Callable[[int], Any]


class Repetition(NamedTuple):
    """What one seed gave: numbers, codes of the ranked signals by each autoencoder, and all routes by name."""

    records: list[Record]
    codes: dict[str, np.ndarray]
    routes: dict[str, Route]


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


def measure_seed(setup: Setup, seed: int) -> Repetition:
    """Learn all routes from one set of training data, and measure them on the test sets."""
    problem, size = setup.case.problem, setup.size
    theta, x = cases.draw(problem, size.signals, TRAINED, seed)
    labels = Labelled(theta[: size.labels], x[: size.labels])
    many = cases.draw(problem, size.ceiling, TRAINED, seed + CEILING)
    noise: dict[str, float] = {}

    def regressions_and_fit() -> list[Route]:
        made = [
            routes.by_labels(problem, *many, seed)._replace(name="ceiling"),
            routes.by_labels(problem, *labels, seed),
            routes.by_components(x, LATENTS),
        ]
        setup.tick(1)
        made.append(routes.by_simulator(problem, x, size.budget, seed, size.ceiling))
        setup.tick(1)
        return made

    def autoencoders() -> list[Route]:
        made = []
        for name in size.family:
            trained = train_member(FAMILY[name], x, size, seed)
            made.append(routes.by_latents(name, trained, x))
            noise[name] = float(trained.model.noise / trained.model.scale)
            setup.tick(1)
        return made

    made = [*chain(*_in_turn(seed, regressions_and_fit, autoencoders))]
    ceiling = made[0]
    records, mean = [], routes.mean_of(problem)
    sets = Sets(labels, setup.test, setup.shifted)
    for route in made:
        for measure, value in measure_route(route, sets, ceiling, mean, seed).items():
            records += _records(seed, route.name, measure, value, problem.space.names)
        setup.tick(1 if route.name in noise else 0)
    records += [record(seed, name, "noise over scale", value) for name, value in noise.items()]
    records.append(record(seed, "simulator", "no population", _no_population(made)))
    named = {route.name: route for route in made}
    codes = {name: named[name].encode(setup.ranked)[:, named[name].active] for name in noise}
    return Repetition(records, codes, named)


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
    if route.name in FAMILY:
        numbers["label score"] = _label_score(route, sets.labels, seed)
    return numbers


def _label_score(route: Route, labels: Labelled, seed: int) -> float:
    """Score an autoencoder by labelled training signals alone: the mean of MIG, disentanglement and linear R^2."""
    own = route.encode(labels.x), labels.theta
    return float(np.mean([mig(*own).mean(), dci(*own, seed=seed).disentanglement, linear_r2(*own, seed=seed).mean()]))


def measure_rest(setup: Setup, members: Sequence[str], seed: int) -> list[Record]:
    """Measure small data, and signals from outside the model: of these members, or without any, of all other routes."""

    def small_data() -> list[Record]:
        records = []
        for n in setup.size.small:
            records += _small(setup, members, n, seed)
            setup.tick(1)
        return records

    def outside() -> list[Record]:
        records = _outside(setup, members, seed)
        setup.tick(1)
        return records

    return [*chain(*_in_turn(seed, small_data, outside))]


def _small(setup: Setup, members: Sequence[str], n: int, seed: int) -> list[Record]:
    """R^2 of routes learned from n signals, all of them labelled for probe and regression."""
    problem, size = setup.case.problem, setup.size
    theta, x = cases.draw(problem, n, TRAINED, seed + SMALL)
    made = [routes.by_latents(name, train_member(FAMILY[name], x, size, seed), x) for name in members]
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
    made = [routes.by_latents(name, train_member(FAMILY[name], train, size, seed), train) for name in members]
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
