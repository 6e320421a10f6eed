"""avo.disk: observations on disk are those in memory, and their mean is taken block by block."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import avo
from avo.disk import SAMPLE, Pages, is_large, opened
from avo.folder import digest
from avo.observations import Observed, sampled_from
from avo.refine.equation import Equation, covariance_of_mean

SPACE = avo.Space(mu=avo.Interval(-3, 5))
M = SAMPLE + 7001
X = np.random.default_rng(0).normal([300.0, -1.2], [0.5, 2.0], size=(M, 2)).astype(np.float32)


def statistic(x: Any) -> Any:
    return x[..., :2] * x[..., 1:]


@pytest.fixture
def held(tmp_path: Path) -> Any:
    np.save(tmp_path / "x.npy", X)
    return opened("x_obs", tmp_path / "x.npy")


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avo.disk.BLOCK", 2 * 997)  # rows that no number of blocks makes up


def test_pages_are_the_array(held: Any, small_blocks: None) -> None:
    assert isinstance(held, np.memmap) and is_large(held) and not is_large(held[:SAMPLE]) and not is_large(X)
    pages = Pages("x_obs", held)
    assert len(pages) == M and pages.digest() == digest(X.astype(np.float64))
    np.testing.assert_array_equal(np.concatenate(list(pages.blocks())), X)
    np.testing.assert_array_equal(pages.sample, X[pages.rows])
    assert len(pages.rows) == SAMPLE == len(np.unique(pages.rows)) and abs(pages.rows.mean() / M - 0.5) < 0.02


def test_moments_are_those_of_all_rows(held: Any, small_blocks: None) -> None:
    found, t = Pages("x_obs", held).moments(statistic), statistic(X.astype(float))
    np.testing.assert_allclose(found.mean, t.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.V, covariance_of_mean(t), rtol=1e-9)
    assert found.V_obs is found.V


def test_clusters_count(held: Any, small_blocks: None) -> None:
    pages, labels = Pages("x_obs", held), np.random.default_rng(1).integers(0, 50, M)
    observed = sampled_from(pages, pages.sample, labels, 1)
    assert observed.count == M and observed.freedom == 49 and observed.sample.count == SAMPLE
    assert observed.clusters is not None
    np.testing.assert_array_equal(observed.clusters, labels[pages.rows])
    t, found = statistic(X.astype(float)), pages.moments(statistic)
    np.testing.assert_allclose(found.V_obs, covariance_of_mean(t, labels), rtol=1e-9)
    assert observed.digest == Observed(X.astype(float), None, labels).digest


def test_the_equation_rests_on_all_rows(held: Any) -> None:
    pages = Pages("x_obs", held)
    draws: Any = None
    whole = Equation(draws, Observed(X.astype(float)), lambda x: x[:1] / 100)
    paged = Equation(draws, Observed(pages.sample, pages=pages), lambda x: x[:1] / 100)
    t = np.random.default_rng(2).normal(size=(40, 1))
    for one, other in zip(whole.residual(whole.t_obs, t), paged.residual(paged.t_obs, t), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_few_rows_on_disk_are_those_in_memory(tmp_path: Path) -> None:
    x = np.random.default_rng(3).normal(1.3, 1.0, size=(60, 3))
    np.save(tmp_path / "x.npy", x)

    def simulate(key: Any, theta: Any) -> Any:
        return theta + jax.random.normal(key, (len(theta), 3))

    known: Any = dict(budget=640, refine=False, progress=False, settings=avo.Settings(batch=8, pairs=4))
    found = [avo.fit(simulate, held, SPACE, **known) for held in (x, str(tmp_path / "x.npy"))]
    assert found[0].data == found[1].data
    np.testing.assert_array_equal(found[0].history["u"], found[1].history["u"])


@pytest.mark.parametrize("package", ["h5py", "zarr"])
def test_arrays_of_other_packages(package: str, tmp_path: Path) -> None:
    module = pytest.importorskip(package)
    if package == "h5py":
        with module.File(tmp_path / "x.h5", "w") as file:
            file["x"] = X
        array = module.File(tmp_path / "x.h5", "r")["x"]
    else:
        array = module.create_array(str(tmp_path / "x.zarr"), data=X)
    assert is_large(array)
    pages = Pages("x_obs", array)
    np.testing.assert_array_equal(pages.sample, X[pages.rows])
    assert pages.digest() == digest(X.astype(np.float64))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: x.astype(complex), r"x_obs must hold real numbers; got dtype complex128"),
        (lambda x: np.where(np.arange(M)[:, None] == 25_003, np.nan, x), r"row 25003 does not"),
        (lambda x: np.where(np.arange(M)[:, None] == 25_004, 1e31, x), r"within 1e\+30 of zero; row 25004 does not"),
    ],
)
def test_what_are_no_finite_numbers_is_refused(change: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Pages("x_obs", change(X))


def test_what_needs_memory_and_what_is_no_file_is_refused(held: Any, tmp_path: Path) -> None:
    for given, named in (({"inputs": X, "missing": True}, "inputs=, missing="), ({"target": "population"}, "target=")):
        with pytest.raises(ValueError, match=f"more than 20,000 rows, does not go together with {named};"):
            avo.fit(lambda key, theta: theta, held, SPACE, **given)
    with pytest.raises(ValueError, match=r"x_obs must be an array, or the path of a .npy file; got 'x.csv'"):
        avo.fit(lambda key, theta: theta, "x.csv", SPACE)
    with pytest.raises(ValueError, match=r"x_obs: .*none.npy cannot be read as an array"):
        avo.fit(lambda key, theta: theta, tmp_path / "none.npy", SPACE)
