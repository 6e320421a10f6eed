"""The comparison as a whole, at a size that takes seconds; its arithmetic on records made by hand."""

import csv
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Event, Thread
from time import sleep
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from avo.latents import cases, comparison, pictures, repetition
from avo.latents.cases import SHIFTED, TRAINED
from avo.latents.comparison import Comparison, compare
from avo.latents.family import Size
from avo.latents.repetition import Record, Repetition, Setup, record
from avo.latents.routes import Route
from avo.latents.table import NO_POPULATION, ROUTES, TABLE, WITH, WITHOUT
from avo.simulators import Problem

# One shape, so that few programs are compiled; signals from outside the model are fitted in test_repetition.py
TINY = Size(200, 100, 2, 12_000, (200,), ("AE", "beta 4"), 300, 2000, fit_outside=False)
FITTED: list[Route] = []  # by the comparison below: the simulator's, of each seed and set of signals
DRAWN: list[tuple[int, tuple[float, float], int]] = []  # by the comparison below: how many, from where, which seed


pytestmark = pytest.mark.usefixtures("single_precision")  # the networks take half the time


@pytest.fixture(scope="module")
def found() -> Comparison:
    draw = cases.draw

    def noted(problem: Problem, n: int, between: tuple[float, float], seed: int) -> Any:
        if problem.name == "oscillator":  # signals from outside the model are pendulums
            DRAWN.append((n, between, seed))
        return draw(problem, n, between, seed)

    fit = repetition.routes.by_simulator

    def fitted(*arguments: Any, **options: Any) -> Route:
        FITTED.append(fit(*arguments, **options))
        return FITTED[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparison, "QUICK", TINY)
        patch.setattr(repetition.routes, "by_simulator", fitted)
        patch.setattr(comparison.cases, "draw", noted)
        return compare("oscillator", seeds=2, quick=True, progress=False)


def test_records_come_in_the_order_of_seeds_whichever_ends_first(monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(setup: Setup, seed: int) -> Repetition:
        sleep(0.1 * (3 - seed))
        rng = np.random.default_rng(seed)
        records = [record(seed, name, "label score", rng.uniform()) for name in TINY.family]
        return Repetition(records, {name: rng.normal(size=(50, 3)) for name in TINY.family}, {}, {})

    def rest(setup: Setup, members: Sequence[str], seed: int) -> list[Record]:
        sleep(0.1 * (3 - seed))
        return [record(seed, " and ".join(members), "rest", seed)]

    for name, replaced in (("QUICK", TINY), ("measure_seed", measured), ("measure_rest", rest)):
        monkeypatch.setattr(comparison, name, replaced)
    one, three = (compare("oscillator", seeds=3, quick=True, progress=False, jobs=jobs) for jobs in (1, 3))
    assert one.records == three.records and one.chosen == three.chosen
    assert [(r["seed"], bool(r["route"])) for r in three.records if r["measure"] == "rest"] == [
        *((seed, False) for seed in range(3)),
        *((seed, True) for seed in range(3)),
    ]


def test_nothing_of_the_test_set_was_learned_from(found: Comparison) -> None:
    """Signals and labels of both seeds, the ceiling's, those of small data; test set, shifted ones, those of UDR.

    Small data are drawn twice, for the members and for the other routes, which see the same.
    """
    drawn = set(DRAWN)
    assert sorted(n for n, _, _ in drawn) == sorted(2 * [200, 2000, 200] + 3 * [300])
    assert len(drawn) == len({seed for _, _, seed in drawn}) == len(DRAWN) - 2
    (other,) = (seed for _, between, seed in drawn if between == SHIFTED)
    test = min(seed for n, between, seed in drawn if n == 300 and between == TRAINED)
    assert other > test and all(between in (TRAINED, SHIFTED) for _, between, _ in drawn)
    shown = cases.draw(cases.get("oscillator").problem, 300, TRAINED, test).x[:8]
    assert np.array_equal(found.shown.x, shown)


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
    # A test set of 300, four parameters: the share has an error of .01; errors stated 15 % too large would cover .94
    assert np.abs(found.values("simulator", "coverage") - 0.9).max() < 0.03
    with pytest.raises(ValueError, match=r"route must be one of .*simulator.*; got 'simulatr'"):
        found.values("simulatr", "mig")
    with pytest.raises(ValueError, match=r"measure must be one of .*mig.*; got 'mgi'"):
        found.values("simulator", "mgi")
    stated = np.array([r["value"] for r in found.records if (r["route"], r["measure"]) == ("simulator", "stated sd")])
    left = np.array([1 - r["value"] for r in found.records if (r["route"], r["measure"]) == ("simulator", "r2")])
    # Stated errors beside those of a test set of 300, each known to 4 %, by a fit of 20,000 calls
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


def test_fits_without_a_population_are_counted(found: Comparison) -> None:
    s = found.settings
    for name in NO_POPULATION:
        each = [r["value"] for r in found.records if (r["route"], r["measure"]) == ("simulator", name)]
        assert len(each) == 2 and s[name] == sum(each)
    without = s | {"no population": 1.0, "quick": False, "fit_outside": True}
    told = Comparison(found.case, found.records, found.chosen, without, found.shown).summary()
    assert "simulator: no population of the signals found in 1 of 2 seeds" in told and "quick look" not in told
    assert "a quick look: few signals and calls, and of the autoencoders AE, beta 4 alone" in found.summary()
    assert "simulator: no population is fitted to signals from outside the model in a quick look" in found.summary()


def test_pictures_show_what_they_say(found: Comparison) -> None:
    left, right = (pictures.traversals(found).axes[k] for k in (0, 1))
    for axes in (left, right):
        *moved, black = axes.get_lines()
        assert len(moved) == 7 and black.get_color() == "black"
        np.testing.assert_array_equal(black.get_ydata(), found.shown.x[0])
    assert left.get_ylabel() == "frequency" and right.get_ylabel().startswith("latent ")
    x = found.shown.x
    drawn = np.array([line.get_ydata() for line in left.get_lines()[:7]], float)
    errors = []
    for route in FITTED:  # one of them is that of the first seed
        theta = np.tile(route.encode(x[:1]), (7, 1))
        theta[:, 0] = route.encode(drawn)[:, 0]
        # The curves are decodes in which the first parameter alone moves, upwards from dark to light
        assert np.all(np.diff(theta[:, 0]) > 0)
        errors.append(np.sqrt(np.mean((route.decode(theta) - drawn) ** 2)) / np.ptp(drawn))
    assert min(errors) < 0.05
    axes = pictures.small_data(found).axes[0]
    line = next(line for line in axes.get_lines() if line.get_label() == "PCA")
    assert list(line.get_xdata()) == [200]
    np.testing.assert_allclose(line.get_ydata(), [np.median(found.values("PCA", "r2 from 200"))])


def test_the_curve_of_small_data_rises_as_its_numbers_do() -> None:
    rows = {
        f"r2 from {n}": [(0, route, r + 0.01 * i) for i, route in enumerate(("simulator", "PCA", "supervised"))]
        + [(0, name, r) for name in ("AE", "beta 4")]
        for n, r in ((100, 0.2), (1000, 0.6))
    }
    made = by_hand(r2=[(0, "ceiling", 0.9)], **rows)
    made.settings["ladder"] = (100, 1000)
    lines = {str(line.get_label()): line for line in pictures.small_data(made).axes[0].get_lines()}
    assert list(lines["PCA"].get_xdata()) == [100, 1000]
    np.testing.assert_allclose(lines["PCA"].get_ydata(), [0.21, 0.61])
    once = Comparison(made.case, made.records, {WITH: "AE", WITHOUT: "AE"}, made.settings, made.shown)
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
    settings = TINY._asdict() | {"seeds": 3, "outside": "none"}
    return Comparison("oscillator", records, {WITH: "AE", WITHOUT: "beta 4"}, settings, cast(Any, None))


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
