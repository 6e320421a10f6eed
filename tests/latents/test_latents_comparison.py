"""The comparison as a whole, at a size that takes seconds; its arithmetic on records made by hand."""

import csv
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Event, Thread
from time import sleep
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from avo.latents import cases, comparison, pictures, routes
from avo.latents.cases import SHIFTED, TRAINED
from avo.latents.comparison import LOST, ROUTES, TABLE, WITH, WITHOUT, Comparison, Size, compare
from avo.latents.routes import Route
from avo.simulators import Problem

TINY = Size(200, 100, 2, 20_000, (200,), ("AE", "beta 4"), 300, 2000)  # one shape, so that few programs are compiled


DRAWN: list[tuple[int, tuple[float, float], int]] = []  # by the comparison below: how many, from where, which seed


@pytest.fixture(scope="module")
def found() -> Comparison:
    draw = cases.draw

    def noted(problem: Problem, n: int, between: tuple[float, float], seed: int) -> Any:
        if problem.name == "oscillator":  # foreign signals are pendulums
            DRAWN.append((n, between, seed))
        return draw(problem, n, between, seed)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparison, "QUICK", TINY)
        patch.setattr(comparison.cases, "draw", noted)
        return compare("oscillator", seeds=2, quick=True, progress=False)


def test_records_come_in_the_order_of_seeds_whichever_ends_first(monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(*arguments: Any) -> Any:
        seed = arguments[-1]
        sleep(0.1 * (3 - seed))
        rng = np.random.default_rng(seed)
        records = [comparison._record(seed, name, "label score", rng.uniform()) for name in TINY.family]
        return records, {"codes": {name: rng.normal(size=(50, 3)) for name in TINY.family}, "routes": {}}

    def rest(*arguments: Any) -> list[dict[str, Any]]:
        members, seed = arguments[-2:]
        sleep(0.1 * (3 - seed))
        return [comparison._record(seed, " and ".join(members), "rest", seed)]

    for name, replaced in (("QUICK", TINY), ("_seed", measured), ("_rest", rest)):
        monkeypatch.setattr(comparison, name, replaced)
    one, three = (compare("oscillator", seeds=3, quick=True, progress=False, jobs=jobs) for jobs in (1, 3))
    assert one.records == three.records and one.chosen == three.chosen
    assert [(r["seed"], bool(r["route"])) for r in three.records if r["measure"] == "rest"] == [
        *((seed, False) for seed in range(3)),
        *((seed, True) for seed in range(3)),
    ]


def test_nothing_that_judges_was_learned_from(found: Comparison) -> None:
    """Signals and labels of both seeds, the ceiling's, those of small data; judges, shifted ones, those of UDR.

    Small data are drawn twice, for the members and for the other routes, which see the same.
    """
    drawn = set(DRAWN)
    assert sorted(n for n, _, _ in drawn) == sorted(2 * [200, 2000, 200] + 3 * [300])
    assert len(drawn) == len({seed for _, _, seed in drawn}) == len(DRAWN) - 2
    (other,) = (seed for _, between, seed in drawn if between == SHIFTED)
    judges = min(seed for n, between, seed in drawn if n == 300 and between == TRAINED)
    assert other > judges and all(between in (TRAINED, SHIFTED) for _, between, _ in drawn)
    shown = cases.draw(cases.get("oscillator").problem, 300, TRAINED, judges)[1][:8]
    assert np.array_equal(found.signals["x"], shown)


def test_every_cell_of_the_table_has_a_number_of_each_seed(found: Comparison) -> None:
    for row in TABLE:
        for route in ROUTES:
            values = found.values(route, row.measure)
            assert values.shape == (2,) and np.isfinite(values).all(), (row.name, route)
    table = found.summary().splitlines()
    assert [line.split("  ")[0] for line in table[1:13]] == [row.name for row in TABLE]
    assert all("-" != cell for line in table[1:13] for cell in line.split("  "))


def test_the_simulator_is_near_the_ceiling_and_above_the_rest(found: Comparison) -> None:
    # 200 signals and 20,000 calls; the ceiling has 2000 labels here
    r2 = {route: float(np.median(found.values(route, "r2"))) for route in ROUTES}
    assert r2["simulator"] > r2["ceiling"] - 0.05
    assert r2["simulator"] > max(r2["PCA"], r2[WITH], r2[WITHOUT]) + 0.03
    # 300 judges, four parameters: the share has an error of .01; errors stated 15 % too large would cover .94
    assert np.abs(found.values("simulator", "coverage") - 0.9).max() < 0.03
    with pytest.raises(ValueError, match=r"route must be one of .*simulator.*; got 'simulatr'"):
        found.values("simulatr", "mig")
    with pytest.raises(ValueError, match=r"measure must be one of .*mig.*; got 'mgi'"):
        found.values("simulator", "mgi")
    stated = np.array([r["value"] for r in found.records if (r["route"], r["measure"]) == ("simulator", "stated sd")])
    left = np.array([1 - r["value"] for r in found.records if (r["route"], r["measure"]) == ("simulator", "r2")])
    # Stated errors beside those of 300 judges, each known to 4 %, by a fit of 20,000 calls
    assert abs(np.mean(stated / np.sqrt(left)) - 1) < 0.1


def test_files_hold_the_same_numbers(found: Comparison, tmp_path: Path) -> None:
    paths = found.save(tmp_path / "out")
    assert {p.name for p in paths} == {
        "compare.csv",
        "compare.json",
        "table.txt",
        "traversals.png",
        "scores.png",
        "small_data.png",
    }
    assert all(p.stat().st_size > 100 for p in paths)
    with (tmp_path / "out" / "compare.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(found.records)
    mig = [float(r["value"]) for r in rows if r["route"] == "simulator" and r["measure"] == "mig"]
    words = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert words["table"]["interpretability"]["simulator"] == mig == found.values("simulator", "mig").tolist()
    assert set(words["chosen"]) == {WITH, WITHOUT}


def test_the_member_shown_is_the_one_that_udr_prefers(found: Comparison) -> None:
    rank = {r["route"]: r["value"] for r in found.records if r["measure"] == "udr"}
    assert found.chosen[WITHOUT] == max(rank, key=lambda name: rank[name]) and len(set(rank.values())) == 2


def test_probe_and_choice_see_labels_only_and_the_shifted_setting_is_its_own() -> None:
    """theta is 2 z on the labels and on the shifted setting; on the judges it has nothing to do with z."""
    rng = np.random.default_rng(0)
    x = {name: rng.normal(3.0, 2.0, (200, 20)) for name in ("labels", "judges", "shifted")}
    theta = {name: 2 * a[:, :2] for name, a in x.items()} | {"judges": rng.normal(size=(200, 2))}
    new = rng.normal(3.0, 2.0, (100, 20))
    route = Route("AE", lambda x: x[:, :2], lambda z: np.tile(z, 10), lambda key, n: new[:n], own=False)
    of = {name: (theta[name], x[name]) for name in x}
    found = comparison._numbers(
        route, of["labels"], of["judges"], of["shifted"], route, lambda theta: np.tile(theta, 10), 0
    )  # fmt: skip
    left = theta["judges"] - 2 * x["judges"][:, :2]
    np.testing.assert_allclose(found["r2"], 1 - np.mean(left**2, 0) / theta["judges"].var(0), rtol=1e-6)
    np.testing.assert_allclose(found["shifted r2"], 1.0, atol=1e-9)
    assert found["label score"] > 0.8 and found["linear_r2"].max() < 0.1


@pytest.mark.parametrize("fit_complex", [True, False])
def test_foreign_signals_are_judged_on_their_second_half(monkeypatch: pytest.MonkeyPatch, fit_complex: bool) -> None:
    calls, trained_on, x = [], [], np.repeat([3.0, 7.0], 50)[:, None] * np.ones((100, 20))

    def made(name: str):
        def make(*arguments: object, wide: Route | None = None, **_: object) -> Route:
            calls.append(name)
            assert name != "by_simulator" or (wide is not None and wide.name == "by_simulations")
            trained_on.append(next(float(a.mean()) for a in arguments if isinstance(a, np.ndarray)))
            return Route(name, lambda x: x, lambda z: z, lambda key, n: x[:n], own=True)

        return make

    for name in ("by_simulator", "by_components", "by_simulations", "by_latents"):
        monkeypatch.setattr(comparison.routes, name, made(name))
    monkeypatch.setattr(comparison, "trained", lambda objective, x, size, seed: trained_on.append(float(x.mean())))
    monkeypatch.setattr(comparison.measures, "reconstruction", lambda route, x: float(x.mean()))
    size = TINY._replace(fit_complex=fit_complex)
    problem = cases.get("oscillator").problem
    records = [r for members in ((), ("AE",)) for r in comparison._foreign(problem, size, x, members, 0)]
    assert (calls.count("by_simulator"), calls.count("by_simulations")) == ((1, 2) if fit_complex else (0, 2))
    errors = [r["value"] for r in records if r["measure"] == "foreign error"]
    assert errors == [7.0] * 5 and set(trained_on) == {3.0}


def test_a_regression_at_hand_stands_in_for_a_fit_without_a_population(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = SimpleNamespace(estimate=None, status="budget")
    monkeypatch.setattr(routes, "fit", lambda *_, **__: lost)
    wide = Route("simulator", lambda x: x, lambda z: z, lambda key, n: np.zeros(n), own=True, words="learned before")
    found = routes.by_simulator(cases.get("oscillator").problem, np.zeros((3, 64)), 1000, 0, wide=wide)
    assert found.encode is wide.encode and not found.fitted
    assert (found.name, found.words) == ("simulator", "no population found (budget); learned before")


def test_fits_without_a_population_are_counted(found: Comparison) -> None:
    s = found.settings
    for name in LOST:
        each = [r["value"] for r in found.records if (r["route"], r["measure"]) == ("simulator", name)]
        assert len(each) == 2 and s[name] == sum(each)
    lost = s | {"no population": 1.0, "quick": False}
    told = Comparison(found.case, found.records, found.chosen, lost, found.signals).summary()
    assert "simulator: no population of the signals found in 1 of 2 seeds" in told and "quick look" not in told
    assert "a quick look: few signals and calls, and of the autoencoders AE, beta 4 alone" in found.summary()
    quick = Comparison(found.case, found.records, found.chosen, s | {"fit_complex": False}, found.signals).summary()
    assert "simulator: no population is fitted to complex data of a quick look" in quick


def test_pictures_show_what_they_say(found: Comparison) -> None:
    left, right = (pictures.traversals(found).axes[k] for k in (0, 1))
    for axes in (left, right):
        *moved, black = axes.get_lines()
        assert len(moved) == 7 and black.get_color() == "black"
        np.testing.assert_array_equal(black.get_ydata(), found.signals["x"][0])
    assert left.get_ylabel() == "frequency" and right.get_ylabel().startswith("latent ")
    route, x = found.signals["routes"]["simulator"], found.signals["x"]
    drawn = np.array([line.get_ydata() for line in left.get_lines()[:7]], float)
    theta = np.tile(route.encode(x[:1]), (7, 1))
    theta[:, 0] = route.encode(drawn)[:, 0]
    # The curves are decodes in which the first parameter alone moves, upwards from dark to light
    assert np.all(np.diff(theta[:, 0]) > 0)
    assert np.sqrt(np.mean((route.decode(theta) - drawn) ** 2)) < 0.05 * np.ptp(drawn)
    axes = pictures.small_data(found).axes[0]
    line = next(line for line in axes.get_lines() if line.get_label() == "PCA")
    assert list(line.get_xdata()) == [200]
    np.testing.assert_allclose(line.get_ydata(), [np.median(found.values("PCA", "r2 from 200"))])


def test_the_curve_of_small_data_rises_as_its_numbers_do() -> None:
    rows = {f"r2 from {n}": [(0, route, r + 0.01 * i) for i, route in enumerate(("simulator", "PCA", "supervised"))]
            + [(0, name, r) for name in ("AE", "beta 4")] for n, r in ((100, 0.2), (1000, 0.6))}  # fmt: skip
    made = by_hand(r2=[(0, "ceiling", 0.9)], **rows)
    made.settings["ladder"] = (100, 1000)
    lines = {str(line.get_label()): line for line in pictures.small_data(made).axes[0].get_lines()}
    assert list(lines["PCA"].get_xdata()) == [100, 1000]
    np.testing.assert_allclose(lines["PCA"].get_ydata(), [0.21, 0.61])
    once = Comparison(made.case, made.records, {WITH: "AE", WITHOUT: "AE"}, made.settings, {})
    texts = [str(line.get_label()) for line in pictures.small_data(once).axes[0].get_lines()]
    assert texts == ["simulator", "VAE, chosen with and without labels: AE", "PCA", "supervised", "ceiling"]


def test_after_an_interruption_other_seeds_stop_at_their_next_step() -> None:
    started, told, steps = Event(), Event(), []

    def work(tick: Callable[[int], None]) -> None:
        started.set()
        told.wait(10)
        tick(1)

    bar = SimpleNamespace(update=steps.append)
    pool = ThreadPoolExecutor(1)
    with pytest.raises(KeyboardInterrupt), comparison._ending(pool) as stopped:  # noqa: PT012
        running, waiting = (pool.submit(work, partial(comparison._tick, bar, stopped)) for _ in range(2))
        started.wait(10)
        told_soon(told, stopped)
        raise KeyboardInterrupt
    assert isinstance(running.exception(), InterruptedError) and waiting.cancelled() and not steps


def told_soon(told: Event, stopped: Event) -> None:
    """Let the work go on once it is to stop."""

    def watch() -> None:
        while not stopped.is_set():
            sleep(0.001)
        told.set()

    Thread(target=watch, daemon=True).start()


def by_hand(**values: list[tuple[int, str, float]]) -> Comparison:
    records = [
        {"seed": seed, "route": route, "measure": measure, "parameter": "", "value": value}
        for measure, rows in values.items()
        for seed, route, value in rows
    ]
    settings = TINY._asdict() | {"seeds": 3, "complex": "none"}
    return Comparison("oscillator", records, {WITH: "AE", WITHOUT: "beta 4"}, settings, {})


def test_values_are_means_over_parameters_by_seed() -> None:
    rows = [(1, "PCA", 0.2), (0, "PCA", 0.5), (0, "PCA", 0.7), (1, "PCA", 0.4), (0, "AE", 0.9)]
    found = by_hand(r2=rows)
    assert np.allclose(found.values("PCA", "r2"), [0.6, 0.3])
    assert np.allclose(found.values(WITH, "r2"), [0.9]) and not len(found.values(WITHOUT, "r2"))
    assert "0.45 (0.30 .. 0.60)" in found.summary()


def test_the_family_is_ranked_by_labels_over_all_seeds() -> None:
    found = by_hand(**{"label score": [(0, "AE", 0.3), (1, "AE", 0.9), (0, "beta 4", 0.5), (1, "beta 4", 0.5)]})
    assert comparison._by_labels(found.records, ("AE", "beta 4")) == "AE"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"case": "rings"}, "case must be one of oscillator, ecg, brownian, pendulum; got 'rings'."),
        ({"case": np.zeros(3)}, "case must be one of oscillator"),
        ({"seeds": 1}, "seeds must be a whole number of at least 2; got 1"),
        ({"data": np.zeros((60, 64))}, "its first half has no noise"),
        ({"data": np.repeat(np.arange(60.0)[:, None], 64, 1)}, "its first half has no noise"),
        ({"data": np.zeros((5, 64))}, r"data must be at least 40 signals of at least 16 points, .* got \(5, 64\)"),
    ],
)
def test_wrong_input_is_named(arguments: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        compare(**arguments)
