"""What `avo.check` looks at: each feature by NumPy and SciPy, under its name."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import avo
from avo.benchmarks.studies.check import Known
from avo.diagnostics.features import look_of, names

RNG = np.random.default_rng
check = partial(avo.check, progress=False)


def autocorrelation(y: np.ndarray, lag: int) -> np.ndarray:
    deviation = y - y.mean(1, keepdims=True)
    return np.array([np.dot(row[lag:], row[:-lag]) / np.dot(row, row) for row in deviation])


def expected_of_series(y: np.ndarray) -> dict[str, np.ndarray]:
    """The summaries of rows of a series, by NumPy and SciPy."""
    d = np.diff(y, axis=1)
    t = y.shape[1]
    found = {
        "level": y.mean(1),
        "net change": y[:, -1] - y[:, 0],
        "sd within an observation": y.std(1),
        "sd of increments": d.std(1),
        "skewness of increments": stats.skew(d, axis=1),
        "kurtosis of increments": stats.kurtosis(d, axis=1, fisher=False),
    }
    for name, values, lags in (("values", y, (1, t // 8, t // 4)), ("increments", d, (1, 2, 5))):
        found |= {f"autocorrelation of {name}, lag {lag}": autocorrelation(values, lag) for lag in lags}
    return found | {f"autocorrelation of |increments|, lag {k}": autocorrelation(np.abs(d), k) for k in (1, 2, 5)}


@pytest.mark.parametrize("channels", [(), (2,)])
def test_features_of_series_are_exact(channels: tuple[int, ...]) -> None:
    x = 70.0 + 3.0 * np.cumsum(RNG(1).gamma(2.0, size=(60, 40, *channels)), axis=1)

    def simulate(key: Any, theta: Any) -> Any:
        steps = jax.random.gamma(key, 2.0, (len(theta), 40, *channels))
        return 70.0 + 3.0 * jnp.cumsum(steps, axis=1)

    found = check(Known(avo.Space(a=avo.Real()), x, [0.0], [0.1]), simulate, x, replicates=19)
    table = {row.name: row.observed for row in found.table}
    series = [("", x)] if not channels else [(f"channel {c}: ", x[:, :, c]) for c in range(2)]
    count = 0
    for prefix, y in series:
        values = expected_of_series(y)
        values |= {f"value at point {i}": y[:, i] for i in range(4 + 5 * len(channels), 40, 5 + 5 * len(channels))}
        for name, value in values.items():
            np.testing.assert_allclose(table[f"{prefix}{name}, mean"], value.mean(), rtol=1e-9, err_msg=name)
            np.testing.assert_allclose(table[f"{prefix}{name}, sd"], value.std(), rtol=1e-9, err_msg=name)
            count += 2
    assert count == len(table)


@pytest.mark.parametrize("columns", [1, 3, 9])
def test_features_of_vectors_are_exact(columns: int) -> None:
    rng = RNG(2)
    mix = np.eye(columns) + 0.4 * rng.normal(size=(columns, columns))
    draw = lambda n: 50.0 + rng.gamma(2.0, size=(n, columns)) @ mix  # noqa: E731
    x, simulated = draw(80), jnp.asarray(draw(80))
    # Each draw is the same sample, in another order: what is expected is then known exactly, too
    result = Known(avo.Space(a=avo.Real()), x, [0.0], [0.1])
    found = check(result, lambda key, theta: jax.random.permutation(key, simulated)[: len(theta)], x, replicates=19)
    upper = np.triu_indices(columns, 1)

    def features(y: np.ndarray) -> dict[str, float]:
        names = [f"column {i}" for i in range(columns)] if columns > 1 else ["x"]
        known = {f"{name}, mean": v for name, v in zip(names, y.mean(0), strict=True)}
        known |= {f"{name}, sd": v for name, v in zip(names, y.std(0), strict=True)}
        end = ", mean over columns" if columns > 1 else ""
        known |= {f"skewness{end}": stats.skew(y).mean(), f"kurtosis{end}": stats.kurtosis(y, fisher=False).mean()}
        r, centre = (np.atleast_2d(np.corrcoef(a.T))[upper] for a in (y, np.asarray(simulated)))
        if columns == 9:
            known["correlation of columns, mean over pairs"] = r.mean()
            known["correlation of columns, distance from expected"] = np.sqrt(np.mean((r - centre) ** 2))
        elif columns == 3:
            pairs = zip(*upper, r, strict=True)
            known |= {f"correlation of column {i} and column {j}": v for i, j, v in pairs}
        return known

    assert {row.name: row.observed for row in found.table} == pytest.approx(features(x), rel=1e-9)
    expected = features(np.asarray(simulated))
    assert {row.name: row.expected for row in found.table} == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("channels", [(), (2,)])
def test_features_of_images_are_exact(channels: tuple[int, ...]) -> None:
    rng = RNG(3)
    shape = (13, 32, *channels)
    units = 1.0 + 9.0 * np.arange(2 if channels else 1).reshape(channels)
    draw = lambda n: units * (50.0 + rng.gamma(2.0, size=(n, 1, 32, *channels)) + rng.normal(size=(n, *shape)))  # noqa: E731
    x, simulated = draw(60), jnp.asarray(draw(60))
    result = Known(avo.Space(a=avo.Real()), x, [0.0], [0.1])
    found = check(result, lambda key, theta: jax.random.permutation(key, simulated)[: len(theta)], x, replicates=19)

    def features(y: np.ndarray) -> dict[str, float]:
        blocks: dict[str, np.ndarray] = {}
        for rows in ("0-2", "3-4", "5-6", "7-8", "9-10", "11-12"):
            for columns in ("0-5", "6-11", "12-16", "17-21", "22-26", "27-31"):
                (a, b), (left, right) = (map(int, ends.split("-")) for ends in (rows, columns))
                means = y[:, a : b + 1, left : right + 1].mean((1, 2))
                name = f"rows {rows}, columns {columns}"
                blocks |= {f"channel {c}: {name}": means[:, c] for c in range(2)} if channels else {name: means}
        of = np.stack(list(blocks.values()), axis=1)
        r = np.corrcoef(of.T)[np.triu_indices(of.shape[1], 1)]
        summaries = ("mean", np.mean), ("sd", np.std)
        known = {f"{name}, {what}": float(f(v)) for name, v in blocks.items() for what, f in summaries}
        known |= {
            "skewness, mean over blocks": float(stats.skew(of).mean()),
            "correlation of blocks, mean over pairs": float(r.mean()),
        }
        known["kurtosis, mean over blocks"] = float(stats.kurtosis(of, fisher=False).mean())
        return known

    for values, expected in (
        ({row.name: row.observed for row in found.table}, features(x)),
        ({row.name: row.expected for row in found.table}, features(np.asarray(simulated))),
    ):
        assert values.pop("correlation of blocks, distance from expected") >= 0
        assert values == pytest.approx(expected, rel=1e-9)


def test_how_shapes_are_looked_at() -> None:
    assert look_of(()).chosen == (0,)
    assert look_of((15,)).kind == "vector" and look_of((16,)).kind == "series"
    assert look_of((16, 3)).kind == "series" and look_of((15, 3)).kind == "image"
    assert look_of((20, 20, 3)).kind == "image" and len(look_of((100, 9)).chosen) == 4
    assert names(look_of((20, 20, 3)))[1] == "channel 1: rows 0-3, columns 0-3, mean"
    assert len(look_of((20, 20, 7)).chosen) == 4
