"""The potential of studies/minfunnel.py is 1-Lipschitz, every pair attains it, and so W1 is what it is said to be."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import kstest

from avo.benchmarks.studies import minfunnel

PAIRS = pytest.mark.parametrize(("dim", "count"), [*minfunnel.PUBLISHED, (2, 1)])


def made(dim, count, rows):
    rng = np.random.default_rng([7, dim, count])
    funnels = minfunnel.draw(dim, count, rng)
    return funnels, *minfunnel.sample(funnels, rows, rng)


@PAIRS
def test_each_pair_attains_the_distance(dim, count):
    funnels, x, y, uphill = made(dim, count, 20_000)
    distance = np.linalg.norm(x - y, axis=1)
    np.testing.assert_allclose(funnels.heights(y).min(1) - funnels.heights(x).min(1), distance, atol=1e-5)
    np.testing.assert_allclose(x + distance[:, None] * uphill, y, atol=1e-9)


@PAIRS
def test_slope_is_one(dim, count):
    funnels, *_ = made(dim, count, 1)
    points = np.random.default_rng(1).uniform(-minfunnel.BOX, minfunnel.BOX, (1000, dim))

    def u(z):
        return jnp.min(jnp.linalg.norm(z[None] - funnels.centres, axis=1) + funnels.biases)

    np.testing.assert_allclose(jax.vmap(u)(points), funnels.heights(points).min(1), rtol=1e-12)
    np.testing.assert_allclose(jnp.linalg.norm(jax.vmap(jax.grad(u))(points), axis=1), 1.0, rtol=1e-9)


@PAIRS
def test_rays_end_where_the_box_or_the_funnel_does(dim, count):
    funnels, _, y, _ = made(dim, count, 5000)
    ray = minfunnel.rays(funnels, y)
    assert np.all(ray.place <= ray.length * (1 + 1e-12))
    own = funnels.heights(y).argmin(1)
    inside, beyond = ray.at(ray.length * (1 - 1e-6)), ray.at(ray.length * (1 + 1e-6))
    assert np.all(np.abs(inside) <= minfunnel.BOX)
    np.testing.assert_array_equal(funnels.heights(inside).argmin(1), own)
    assert np.all((np.abs(beyond).max(1) > minfunnel.BOX) | (funnels.heights(beyond).argmin(1) != own))


@PAIRS
def test_samples_lie_in_the_box_and_one_is_uniform(dim, count):
    _, x, y, _ = made(dim, count, 20_000)
    assert np.abs(x).max() <= minfunnel.BOX + 1e-12
    for column in y.T:  # 38 of them in all five cases
        assert kstest(column, "uniform", (-minfunnel.BOX, 2 * minfunnel.BOX)).pvalue > 1e-5


@pytest.mark.parametrize("count", [4, 64])
def test_optimal_transport_agrees(count):
    ot = pytest.importorskip("ot")
    n, weights = 1000, np.full(1000, 1e-3)
    funnels, x, y, _ = made(2, count, 2 * n)
    near = np.linalg.norm(x - y, axis=1)

    def emd(a, b):
        return ot.emd2(weights, weights, ot.dist(a, b, metric="euclidean"))

    assert emd(x[:n], y[:n]) == pytest.approx(near[:n].mean(), rel=1e-9)  # the pairs themselves are optimal
    # Of independent halves: above u's own gap, and below the pairs' distance and what lies between the two halves of y
    u = [funnels.heights(rows).min(1) for rows in (x[:n], y[n:])]
    found, noise = emd(x[:n], y[n:]), emd(y[:n], y[n:])
    assert u[1].mean() - u[0].mean() <= found <= near[:n].mean() + noise
    _, x, y, _ = made(2, count, 200_000)
    truth = np.linalg.norm(x - y, axis=1).mean()
    error = np.sqrt((u[0].var() + u[1].var()) / n)
    assert truth - 4 * error <= found <= truth + 4 * error + noise


def test_a_cell_and_its_report(monkeypatch):
    monkeypatch.setattr(minfunnel, "ROWS", 2000)
    monkeypatch.setattr(minfunnel, "FRESH", 2000)
    monkeypatch.setitem(minfunnel.KINDS, "LP", minfunnel.KINDS["LP"]._replace(steps=200))
    row = minfunnel.measure("2-4-LP", 0)
    assert 0.5 < row["gap"] / row["w1"] < 1.5 and 0.3 < row["cosine"] <= 1
    assert "| 2, 4 | LP |" in minfunnel.report([{"study": "measure", "task": "2-4-LP", "seed": 0, **row}])
