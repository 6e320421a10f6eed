"""The comparison as a whole, at a size that takes seconds; its arithmetic on records made by hand."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from avo.latents import comparison
from avo.latents.comparison import ROUTES, TABLE, WITH, WITHOUT, Comparison, Size, compare

TINY = Size(200, 100, 2, 20_000, (200,), ("AE", "beta 8"), 300, 2000)  # one shape, so that few programs are compiled


@pytest.fixture(scope="module")
def found() -> Comparison:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparison, "QUICK", TINY)
        return compare("oscillator", seeds=2, quick=True, progress=False)


def test_every_cell_of_the_table_has_a_number_of_each_seed(found: Comparison) -> None:
    for row in TABLE:
        for route in ROUTES:
            values = found.values(route, row.measure)
            assert values.shape == (2,) and np.isfinite(values).all(), (row.name, route)
    table = found.summary().splitlines()
    assert [line.split("  ")[0] for line in table[1:9]] == [row.name for row in TABLE]
    assert all("-" != cell for line in table[1:9] for cell in line.split("  "))


def test_the_simulator_is_near_the_ceiling_and_above_the_rest(found: Comparison) -> None:
    # 200 signals and 20,000 calls; the ceiling has 2000 labels here
    r2 = {route: float(np.median(found.values(route, "r2"))) for route in ROUTES}
    assert r2["simulator"] > r2["ceiling"] - 0.05
    assert r2["simulator"] > max(r2["PCA"], r2[WITH], r2[WITHOUT]) + 0.03
    assert np.abs(found.values("simulator", "coverage") - 0.9).max() < 0.1


def test_files_hold_the_same_numbers(found: Comparison, tmp_path: Path) -> None:
    paths = found.save(tmp_path / "out")
    assert {p.name for p in paths} == {"compare.csv", "compare.json", "traversals.png", "scores.png", "small_data.png"}
    assert all(p.stat().st_size > 100 for p in paths)
    with (tmp_path / "out" / "compare.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(found.records)
    mig = [float(r["value"]) for r in rows if r["route"] == "simulator" and r["measure"] == "mig"]
    words = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert words["table"]["interpretability"]["simulator"] == mig == found.values("simulator", "mig").tolist()
    assert set(words["chosen"]) == {WITH, WITHOUT}


def by_hand(**values: list[tuple[int, str, float]]) -> Comparison:
    records = [
        {"seed": seed, "route": route, "measure": measure, "parameter": "", "value": value}
        for measure, rows in values.items()
        for seed, route, value in rows
    ]
    settings = TINY._asdict() | {"seeds": 3, "complex": "none"}
    return Comparison("oscillator", records, {WITH: "AE", WITHOUT: "beta 8"}, settings, {})


def test_values_are_means_over_parameters_by_seed() -> None:
    rows = [(1, "PCA", 0.2), (0, "PCA", 0.5), (0, "PCA", 0.7), (1, "PCA", 0.4), (0, "AE", 0.9)]
    found = by_hand(r2=rows)
    assert np.allclose(found.values("PCA", "r2"), [0.6, 0.3])
    assert np.allclose(found.values(WITH, "r2"), [0.9]) and not len(found.values(WITHOUT, "r2"))
    assert "0.45 (0.30 .. 0.60)" in found.summary()


def test_the_family_is_ranked_by_labels_over_all_seeds() -> None:
    found = by_hand(**{"label score": [(0, "AE", 0.3), (1, "AE", 0.9), (0, "beta 8", 0.5), (1, "beta 8", 0.5)]})
    assert comparison._by_labels(found.records, ("AE", "beta 8")) == "AE"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"case": "rings"}, "case must be one of oscillator, ecg, brownian, pendulum; got 'rings'."),
        ({"seeds": 1}, "seeds must be at least 2"),
        ({"data": np.zeros((5, 64))}, r"data must be at least 40 signals of at least 16 points, .* got \(5, 64\)"),
    ],
)
def test_wrong_input_is_named(arguments: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        compare(**arguments)
