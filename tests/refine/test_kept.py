"""What a result keeps of its simulations and observations: the right rows, seen rightly, and bounded."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import avo
from avo.containers import Axis
from avo.execution.blocks import Drawn
from avo.gaps import find_gaps
from avo.observations import Observed
from avo.refine import keeping
from avo.refine.equation import Equation
from avo.refine.kept import LEVELS, view_of

pytestmark = pytest.mark.usefixtures("single_precision")

RNG = np.random.default_rng(3)


def test_views_show_columns_points_and_blocks():
    x = RNG.normal(size=(7, 3, 4))
    np.testing.assert_array_equal(view_of((3, 4))(x), x.reshape(7, 12))  # no more than 32 numbers: all of them
    x = RNG.normal(size=(5, 1000, 3))
    view = view_of((1000, 3))
    points = list(view.places[0])
    assert view.shape == (40, 3) and points[0] == 0 and points[-1] == 999 and not view.whole
    np.testing.assert_array_equal(view(x).reshape(5, 40, 3), x[:, points])
    x = RNG.normal(size=(5, 20, 33, 2))
    shown = view_of((20, 33, 2))(x).reshape(5, 10, 10)
    np.testing.assert_allclose(shown[:, 0, 0], x[:, :2, :3].mean((1, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(shown[:, 9, 9], x[:, 18:, 29:].mean((1, 2, 3)), rtol=1e-12)
    assert view_of(())(np.array([1.5, 2.5])).tolist() == [[1.5], [2.5]]
    assert view_of((64,)).whole and view_of((5,)).shape == (5,)


def test_views_of_axes_name_what_is_shown():
    time = Axis("time", "s", np.linspace(0.0, 2.0, 1000))
    lead = Axis("lead", "", np.arange(2), ("II", "V5"))
    thin, channels = view_of((1000, 2)).axes((time, lead))
    np.testing.assert_allclose(thin.values[[0, 1, -1]], [0.0, 17 * 2 / 999, 2.0], rtol=1e-9)
    assert (thin.name, thin.unit, channels.labels) == ("time", "s", ("II", "V5"))
    rows, columns = (Axis(name, "mm", np.arange(size) * 2.0) for name, size in (("y", 20), ("x", 33)))
    assert [axis.values[0] for axis in view_of((20, 33)).axes((rows, columns))] == [1.0, 2.0]
    assert view_of((20, 33)).axes((rows,)) == ()


def chosen(x: np.ndarray, clusters: np.ndarray | None = None, failed: int = 0, **limits: Any) -> Any:
    """What is kept of 60 observations of 3 numbers, 500 simulations at the estimate and 200 and 900 around it."""

    def drawn(n: int, at: float) -> Drawn:
        ok = np.ones(n, bool)
        ok[:failed] = False
        u = np.full((n, 2), at) + np.arange(n)[:, None]
        return Drawn(u, np.where(ok[:, None], at + np.arange(3) + np.zeros((n, 1)), np.nan), None, ok)

    observed = Observed(x, None, clusters)
    equation = Equation(None, observed, lambda x, c=None: x[:2] * jnp.array([2.0, -1.0]))  # pyright: ignore[reportArgumentType]
    with pytest.MonkeyPatch.context() as patch:
        for name, value in limits.items():
            patch.setattr(keeping, name, value)
        return keeping.keep(equation, drawn(500, 0.0), [drawn(200, 1.0), drawn(900, 2.0)], lambda w: 10 * w)


def test_rows_are_kept_with_u_x_and_scores():
    x = RNG.normal([1.3, -2.0, 30.0], [0.5, 2.0, 7.0], size=(60, 3))
    kept = chosen(x, failed=4)
    assert kept.there == 496 and len(kept.x) == 496 + 196 + 896 and kept.rows == 60
    np.testing.assert_array_equal(kept.u[0], [40.0, 40.0])  # the first row that succeeded, in u
    np.testing.assert_array_equal(kept.x[[0, 496, -1]], [[0, 1, 2], [1, 2, 3], [2, 3, 4]])
    np.testing.assert_array_equal(kept.t[-1], [4.0, -3.0])
    np.testing.assert_allclose(kept.observed, x, rtol=1e-6)
    np.testing.assert_allclose(kept.quantiles, np.quantile(x, LEVELS, axis=0), rtol=1e-6)
    squares = (x - x.mean(0)) ** 2
    error = lambda a: a.std(0, ddof=1) / np.sqrt(60)  # noqa: E731
    np.testing.assert_allclose(kept.moments, [x.mean(0), error(x), squares.mean(0), error(squares)], rtol=1e-5)
    np.testing.assert_allclose(kept.scores, [x.mean(0)[:2] * [2, -1], error(x)[:2] * [2, 1]], rtol=1e-5)


def test_errors_of_the_observations_count_clusters():
    x = np.repeat(RNG.normal(size=(20, 3)), 3, axis=0)  # each three times: clusters of what is one observation
    kept = chosen(x, clusters=np.repeat(np.arange(20), 3))
    np.testing.assert_allclose(kept.moments[1], x[::3].std(0, ddof=1) / np.sqrt(20), rtol=1e-5)


def test_what_is_kept_is_bounded():
    x = RNG.normal(size=(60, 3))
    kept = chosen(x, NUMBERS=700, OBSERVED_NUMBERS=33)
    assert kept.x.size + kept.u.size + kept.t.size <= 700 and kept.there == 30 and len(kept.x) == 30 + 35 + 35
    np.testing.assert_allclose(kept.observed, x[[0, 6, 12, 18, 24, 30, 35, 41, 47, 53, 59]], rtol=1e-6)
    assert len(chosen(x, ROWS=50).x) == 49


def test_nothing_is_kept_where_all_failed():
    assert chosen(RNG.normal(size=(60, 3)), failed=200) is None


def test_a_fit_of_a_population_keeps_its_members_and_files_hold_them(tmp_path):
    space = avo.Space(mean=avo.Interval(-10, 10), sd=avo.LogInterval(0.1, 10))
    simulate = lambda key, theta: theta[:, :1] + theta[:, 1:] * jax.random.normal(key, (len(theta), 3))  # noqa: E731
    x = np.asarray(simulate(jax.random.key(1), jnp.tile(jnp.array([2.5, 0.7]), (200, 1))))
    result: Any = avo.fit(simulate, x, space, budget=12_000, target="population", progress=False)
    kept, moments = result.kept, result.population.theta
    assert sum(result.phases.values()) == result.calls and result.phases["search"] == 0
    assert kept.encoded.shape == (200, 2) and len(kept.t) == len(kept.u) == len(kept.x) and kept.x.shape[1] == 3
    # x of the first rows has mean and sd of the whole population, to 5 standard errors and a tenth
    there = kept.x[: kept.there].ravel()
    sd = np.sqrt(moments.sd[0] ** 2 + moments.mean[1] ** 2 + moments.sd[1] ** 2)
    assert abs(there.mean() - moments.mean[0]) < 5 * sd / np.sqrt(there.size)
    assert there.std() == pytest.approx(sd, rel=5 / np.sqrt(2 * there.size) + 0.1)
    # Three draws alike: what two leave of a member, and what one does
    parts = result.sensitivity()
    assert np.all((parts.without > 0.99) & (parts.without < parts.alone) & (parts.alone < parts.spread + 0.02))
    assert np.all(np.abs(np.nan_to_num(parts.z)) < 4.5)
    back = avo.load(result.save(tmp_path / "run"))
    assert back.phases == result.phases and back.budget == result.budget == 12_000
    for name, value in kept._asdict().items():
        np.testing.assert_array_equal(getattr(back.kept, name), value)


@pytest.mark.parametrize("lacking", [False, True])
def test_conditions_and_weights_are_kept_beside_their_rows(lacking):
    x, c = RNG.normal([1.3, -2.0, 30.0], size=(60, 3)), RNG.normal(4.0, 2.0, (60, 2, 1))
    shares = RNG.uniform(1, 3, 60)
    shares /= shares.sum()
    lost = np.zeros(x.shape, bool)
    lost[5:23, 1] = lacking
    gaps = find_gaps(np.where(lost, np.nan, x), c)
    own = c if gaps is None else gaps.conditions(lost, c)  # with the mask, as critic and scores see it
    observed = Observed(x, own, None, shares, gaps)
    equation = Equation(None, observed, lambda x, c=None: x[:2] * 1.0)  # pyright: ignore[reportArgumentType]
    rows = np.arange(400) % 60
    drawn = Drawn(np.zeros((400, 2)), x[rows] + 0.5, own[rows], np.ones(400, bool))
    kept: Any = keeping.keep(equation, drawn, [drawn], lambda w: w)
    np.testing.assert_allclose(kept.inputs, np.tile(c[rows].reshape(400, 2), (2, 1)), rtol=1e-6)
    np.testing.assert_allclose(kept.observed_inputs, c.reshape(60, 2), rtol=1e-6)
    np.testing.assert_allclose(kept.shares, shares, rtol=1e-6)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keeping, "OBSERVED_NUMBERS", 33)
        patch.setattr(keeping, "NUMBERS", 900)
        few: Any = keeping.keep(equation, drawn, [drawn], lambda w: w)
    at = [0, 6, 12, 18, 24, 30, 35, 41, 47, 53, 59]
    np.testing.assert_allclose(few.observed_inputs, c[at].reshape(11, 2), rtol=1e-6)
    np.testing.assert_allclose(few.shares, shares[at] / shares[at].sum(), rtol=1e-6)
    assert few.x.size + few.u.size + few.t.size + few.inputs.size <= 900
    assert chosen(x).inputs is None and chosen(x).shares is None


# --- missing values --------------------------------------------------------------------------------------------------


def test_blocks_of_images_are_means_of_what_is_there():
    x = RNG.normal(4.0, 1.0, size=(3, 20, 33))
    x[0, :2, 1:3] = np.nan
    x[1, :2, :3] = np.nan
    shown = view_of((20, 33))(x).reshape(3, 10, 10)
    np.testing.assert_allclose(shown[0, 0, 0], x[0, :2, 0].mean(), rtol=1e-12)
    assert np.isnan(shown[1, 0, 0]) and np.isnan(shown).sum() == 1


def with_gaps(lost: np.ndarray, x: np.ndarray, clusters: np.ndarray | None = None) -> Any:
    """What is kept of observations, and of 400 simulations about 7, which lack some values."""
    bare = np.where(lost, np.nan, x)
    gaps = find_gaps(bare, None)
    assert gaps is not None
    c = gaps.conditions(lost, None)
    observed = Observed(np.asarray(gaps.filled(x, c)), c, clusters, gaps=gaps)
    equation = Equation(None, observed, lambda x, c=None: x[:2] * 1.0)  # pyright: ignore[reportArgumentType]

    def drawn(seed: int) -> Drawn:
        rows = np.arange(400) % len(x)
        sim = np.random.default_rng(seed).normal(7.0, 1.0, (400, x.shape[1]))
        return Drawn(np.zeros((400, 2)), np.asarray(gaps.filled(sim, c[rows])), c[rows], np.ones(400, bool))

    return keeping.keep(equation, drawn(0), [drawn(1)], lambda w: w)


@pytest.mark.parametrize("clustered", [False, True])
def test_what_is_missing_is_kept_as_missing(clustered):
    x = RNG.normal([1.3, -2.0, 30.0], [0.5, 2.0, 7.0], size=(60, 3))
    lost = np.zeros(x.shape, bool)
    lost[5:23, 1], lost[:, 2] = True, RNG.random(60) < 0.4
    clusters = np.arange(60) if clustered else None  # each its own cluster: as without
    kept = with_gaps(lost, x, clusters)
    np.testing.assert_allclose(kept.observed, np.where(lost, np.nan, x), rtol=1e-6)
    np.testing.assert_array_equal(np.isnan(kept.x[:60]), lost)
    assert np.nanmin(kept.x) > 2  # nothing that was filled in, which is about 1, -2 and 30
    for j in range(3):
        own = x[~lost[:, j], j]
        m, squares = len(own), (own - own.mean()) ** 2
        found = [own.mean(), own.std(ddof=1) / np.sqrt(m), squares.mean(), squares.std(ddof=1) / np.sqrt(m)]
        np.testing.assert_allclose(kept.moments[:, j], found, rtol=1e-5)
        # Quantiles of so few: between neighbours in rank
        ranks = [np.mean(own <= q) for q in kept.quantiles[:, j]]
        np.testing.assert_allclose(ranks, LEVELS, atol=1.01 / m)
