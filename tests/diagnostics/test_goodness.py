"""avo.check: the right size whatever the number of new observations, power, same numbers, and plain errors."""

from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import results
from matplotlib.patches import Rectangle

import avo
from avo import critics, plots
from avo.benchmarks.studies import check as study
from avo.benchmarks.studies.check import Known
from avo.diagnostics import classifier
from avo.diagnostics.goodness import Check

RNG = np.random.default_rng
check = partial(avo.check, progress=False)


@jax.jit
def normal(key: Any, theta: Any) -> Any:
    """x ~ N(theta, 1)^2, theta (n, 2)."""
    return theta + jax.random.normal(key, theta.shape)


PLANE = avo.Space(a=avo.Real(), b=avo.Real())


def plane(x: np.ndarray) -> Known:
    """The fit of x ~ N(theta, 1)^2 by the mean, whose error is exact."""
    return Known(PLANE, x, x.mean(0), [len(x) ** -0.5] * 2, critic=critics.linear(jax.random.key(3), (2,)))


def p_values(times: int, trials: int = 60, fitted: int = 40, **changed: Any) -> np.ndarray:
    """p of overall, classifier and gap, and the least p of the table, for a right simulator."""
    found = []
    for seed in range(trials):
        x = RNG([7, seed]).normal(size=(fitted * (1 + times), 2)) + [0.3, -1.0]
        result = plane(x[:fitted])
        for name, value in changed.items():
            setattr(result, name, getattr(result, value))
        c = check(result, normal, x[fitted:], replicates=39, seed=seed)
        found.append([c.p_value, c.classifier.p, c.gap.p, min(row.p for row in c.table)])
    return np.array(found)


@pytest.mark.parametrize("times", [1, 8])
def test_size(times: int) -> None:
    """Of 60 checks of a right simulator about 3 reject at 5 %; 10 or more would in one case of 1300."""
    p = p_values(times)
    assert np.all((p <= 0.05).sum(0) < 10), (p <= 0.05).sum(0)
    # Ranks are uniform on 1/40 .. 40/40, their mean over 60 checks has a standard deviation of 0.037
    assert np.all(np.abs(p[:, :3].mean(0) - 0.5125) < 3.5 * 0.037), p.mean(0)


def test_clusters_of_rows_are_no_evidence_against_a_right_simulator() -> None:
    """Twenty clusters of 15 rows whose means scatter by 1: taken as independent, most would be rejected."""
    plain, grouped, labels = [], [], np.repeat(np.arange(20), 15)
    for seed in range(20):
        rng = RNG([8, seed])
        mean = rng.normal(size=(20, 2))
        x = mean[labels] + rng.normal(size=(300, 2)) + [0.3, -1.0]
        first = rng.normal(size=(20, 2)) * np.sqrt(2.0) + [0.3, -1.0]
        result = Known(PLANE, first, first.mean(0), np.full(2, np.sqrt(2 / 20)), sd=[1.0, 1.0])
        plain.append(check(result, normal, x, replicates=19, seed=seed).p_value)
        found = check(result, normal, x, groups=labels, replicates=19, seed=seed)
        assert found.rows == 20
        grouped.append(found.p_value)
    # The mean of 20 uniform p has a standard deviation of 0.065
    assert np.mean(plain) < 0.525 - 3.5 * 0.065 < np.mean(grouped) < 0.525 + 3.5 * 0.065
    with pytest.raises(ValueError, match="groups must name at least 20 clusters; got 10"):
        check(result, normal, x, groups=labels // 2, replicates=19)
    with pytest.raises(ValueError, match="groups must have one label for each observation"):
        check(result, normal, x, groups=labels[:5], replicates=19)


def test_without_the_estimates_error_a_right_simulator_is_rejected() -> None:
    """What `test_size` would see, were the replicates simulated at the estimate itself."""
    p = p_values(20, trials=12, replicate="central")
    assert (p[:, 0] <= 0.05).sum() > 6 and (p[:, 1] <= 0.05).sum() > 6


@pytest.mark.parametrize(
    ("cell", "fitted", "named"),
    [
        ("vector/student-5", 500, "kurtosis"),
        ("vector/scale-1.05", 3000, ", sd"),
        ("vector/correlation-0.1", 1500, "correlation of"),
        ("series/student-5", 500, "kurtosis of increments, mean"),
        ("series/ar-0.1", 500, "autocorrelation of increments, lag 1, mean"),
        ("series/drift-halves", 500, "value at point 31, mean"),
        ("series/outliers", 500, "sd of increments, sd"),
    ],
)
def test_power(cell: str, fitted: int, named: str) -> None:
    found = study.trial(cell, 1, 39, fitted)
    assert found["p"] == 1 / 40, found
    assert found["feature"] < 0.01 and named in found["named"], found


@pytest.mark.parametrize("cell", ["vector/two-clusters", "vector/student-5", "series/student-5", "series/ar-0.1"])
def test_power_of_the_classifier(cell: str) -> None:
    """No feature is made for two clusters, since mean and variance are right."""
    found = study.trial(cell, 2, 39, 1500)
    assert found["classifier"] == 1 / 40 and found["p"] == 1 / 40, found


@pytest.fixture(scope="module")
def vectors() -> dict[str, Any]:
    x = RNG(8).normal(size=(300, 2))
    result = plane(x[:100])
    return {"x": x[100:], "result": result, "found": check(result, normal, x[100:], replicates=29)}


def test_same_seed_same_bits(vectors: dict[str, Any]) -> None:
    found = vectors["found"]
    again = check(vectors["result"], normal, vectors["x"], replicates=29)
    assert again.table == found.table and again.p_value == found.p_value
    np.testing.assert_array_equal(again.classifier.null, found.classifier.null)
    np.testing.assert_array_equal(again.gap.null, found.gap.null)
    other = check(vectors["result"], normal, vectors["x"], replicates=29, seed=1)
    assert [row.observed for row in other.table] == pytest.approx([row.observed for row in found.table])
    assert other.table != found.table
    # More replicates begin with the same ones
    more = check(vectors["result"], normal, vectors["x"], replicates=31)
    np.testing.assert_array_equal(more.gap.null[:29], found.gap.null)


def test_rows_in_any_order(vectors: dict[str, Any]) -> None:
    found, moved = vectors["found"], check(vectors["result"], normal, RNG(9).permutation(vectors["x"]), replicates=29)
    for a, b in zip(found.table, moved.table, strict=True):
        assert a[1:] == pytest.approx(b[1:], rel=1e-6, abs=1e-9)
    assert moved.gap.statistic == pytest.approx(found.gap.statistic)
    # The halves are others: another classifier, of one law
    assert moved.classifier.statistic != found.classifier.statistic


def test_units_do_not_matter(vectors: dict[str, Any]) -> None:
    """In other units z and p are the same, and the table is in those units."""
    unit, offset = np.array([1e-6, 40.0]), np.array([5.0, -300.0])
    result = plane(RNG(8).normal(size=(300, 2))[:100])
    result.shift, result.scale = unit * result.shift + offset, unit * result.scale
    simulate = lambda key, theta: unit[None] * normal(key, theta) + offset[None]  # noqa: E731
    found = check(result, simulate, vectors["x"] * unit + offset, replicates=29)
    for a, b in zip(vectors["found"].table, found.table, strict=True):
        assert (a.z, a.p) == pytest.approx((b.z, b.p), rel=1e-4, abs=1e-6)
    assert found.table[0].observed == pytest.approx(vectors["x"][:, 0].mean() * 1e-6 + 5.0, rel=1e-12)
    assert found.table[2].observed == pytest.approx(vectors["x"][:, 0].std() * 1e-6, rel=1e-6)
    assert found.p_value == vectors["found"].p_value


TRACES: list[str] = []


class Counted(eqx.Module):
    """A linear critic that notes each time it is traced."""

    line: Any

    def __call__(self, x: Any) -> Any:
        TRACES.append("critic")
        return self.line(x)


def test_compiled_once() -> None:
    def simulate(key: Any, theta: Any) -> Any:
        TRACES.append("simulate")
        return theta + jax.random.normal(key, theta.shape)

    x = RNG(10).normal(size=(150, 2))
    result = plane(x[:50])
    result.critic = Counted(result.critic)
    TRACES.clear()
    check(result, simulate, x[50:], replicates=19)
    # Both are asked once for the shape of what they return, and traced once where their program is made
    assert sorted(TRACES) == ["critic"] * 2 + ["simulate"] * 2
    check(result, simulate, x[:100], replicates=25, seed=3)
    assert sorted(TRACES) == ["critic"] * 3 + ["simulate"] * 2


def constant(key: Any, theta: Any) -> Any:
    return theta + 0.0


def test_the_gap_is_observed_less_simulated() -> None:
    """Of simulations without noise, each at the estimate, it is known exactly."""
    x = RNG(11).normal(size=(60, 2)) + [1.0, 2.0]
    result = plane(x[:20])
    value = jax.vmap(result.critic)
    expected = value(result.view(x[20:])).mean() - value(result.view(x[:20].mean(0, keepdims=True)))[0]
    found = check(result, constant, x[20:], replicates=19)
    assert found.gap.statistic == pytest.approx(float(expected), rel=1e-9)
    assert found.p_value == 0.05


def test_packs_are_consecutive_rows() -> None:
    x = RNG(12).normal(size=(63, 2))
    result = plane(x[:20])
    result.critic = critics.packed(4)(jax.random.key(1), (2,))
    found = check(result, constant, x[20:], replicates=19)
    z = np.asarray(result.view(x[20:]))[:40].reshape(10, 4, 2)
    at = np.tile(np.asarray(result.view(x[:20].mean(0, keepdims=True))), (4, 1))
    expected = np.mean([result.critic(jnp.asarray(pack)) for pack in z]) - result.critic(jnp.asarray(at))
    assert found.gap.statistic == pytest.approx(float(expected), rel=1e-9)


def test_a_column_that_should_not_vary() -> None:
    def simulate(key: Any, theta: Any) -> Any:
        return jnp.concatenate([normal(key, theta), jnp.full((len(theta), 1), 7.3)], axis=1)

    x = np.c_[RNG(13).normal(size=(200, 2)), np.full(200, 7.3)]
    result = Known(PLANE, x[:100], x[:100, :2].mean(0), [0.1, 0.1], critic=critics.linear(jax.random.key(3), (3,)))
    right = check(result, simulate, x[100:], replicates=19)
    assert {row.name: (row.z, row.p) for row in right.table}["column 2, mean"] == (0.0, 1.0)
    assert np.isfinite([row.z for row in right.table]).all()
    x[150, 2] = 7.4
    wrong = check(result, simulate, x[100:], replicates=19)
    assert {row.name: (row.z, row.p) for row in wrong.table}["column 2, mean"] == (np.inf, 0.0)
    assert wrong.p_value == 0.05
    assert "+inf" in wrong.summary() and plots.check(wrong)


def test_host_simulators_and_failures() -> None:
    calls = []

    def draw(rng: Any, theta: Any) -> Any:
        calls.append(1)
        x = rng.normal(theta)
        return x if rng.random() > 0.35 else np.full(2, np.nan)

    x = RNG(14).normal(size=(500, 2))
    found = check(plane(x[:200]), avo.from_numpy(draw), x[200:], replicates=19)
    assert found.calls == len(calls) == (19 + 4) * 300
    # 35 % of 6900 calls, a standard deviation of 40
    assert abs(found.failed - 2415) < 160
    assert f"{found.calls:,} simulator calls, of which {found.failed:,} failed" in found.summary()
    # Rows that failed have no weight: they would halve the standard deviation
    assert found.p_value > 0.05 and max(abs(row.z) for row in found.table) < 4
    assert np.abs(found.classifier.null).max() < 6 and abs(found.classifier.statistic) < 6


def known_line(c: np.ndarray, x: np.ndarray) -> Known:
    """The fit of x = slope c + noise by least squares, whose error is exact."""
    slope = (c @ x) / (c @ c)
    space = avo.Space(slope=avo.Real())
    return Known(space, x, [slope], [1 / np.sqrt(c @ c)], inputs=c, critic=critics.linear(jax.random.key(3), (2,)))


def line(key: Any, theta: Any, inputs: Any) -> Any:
    return theta[:, 0] * inputs + jax.random.normal(key, inputs.shape)


def test_inputs() -> None:
    """Each new observation has its own condition, in x_new as in the replicates."""
    p = []
    for seed in range(30):
        rng = RNG([15, seed])
        c = rng.uniform(-2.0, 2.0, 120)
        x = 0.7 * c + rng.normal(size=120)
        found = check(known_line(c[:40], x[:40]), line, x[40:], inputs=c[40:], replicates=19, seed=seed)
        p.append([found.p_value, found.classifier.p, found.gap.p])
    assert np.all(np.abs(np.mean(p, axis=0) - 0.525) < 3.5 * 0.29 / np.sqrt(30))
    # Mean, standard deviation and all the rest are right, but not what belongs to what
    c = rng.uniform(-2.0, 2.0, 600)
    x = 0.7 * c + rng.normal(size=600)
    mixed = rng.permutation(x[300:])
    wrong = check(known_line(c[:300], x[:300]), line, mixed, inputs=c[300:], replicates=99)
    assert wrong.p_value == 0.01 and wrong.classifier.p == 0.01
    least = min(wrong.table, key=lambda row: row.p)
    assert least.name == "x, correlation with input 0"
    assert least.observed == pytest.approx(np.corrcoef(c[300:], mixed)[0, 1], rel=1e-9)


def test_populations() -> None:
    """x ~ N(theta, 1), theta ~ N(0.5, 2^2): rows scatter by sqrt 5, which no single theta makes."""
    p = []
    for seed in range(30):
        x = RNG([16, seed]).normal(size=(240, 2)) * np.sqrt(5.0) + 0.5
        result = Known(PLANE, x[:120], x[:120].mean(0), np.full(2, np.sqrt(5 / 120)), sd=[2.0, 2.0])
        p.append(check(result, normal, x[120:], replicates=19, seed=seed).p_value)
    assert abs(np.mean(p) - 0.525) < 3.5 * 0.29 / np.sqrt(30)
    result.sd = jnp.zeros(2)
    assert check(result, normal, x[120:], replicates=39).p_value == 1 / 40


def test_what_the_summary_says(vectors: dict[str, Any]) -> None:
    found: Check = vectors["found"]
    assert "is not found to differ from the 200 new observations: p = " in found.summary()
    assert "29 replicates, 6,800 simulator calls" in found.summary(features=3)
    assert "(4 more features)" in found.summary(features=3)
    wrong = check(vectors["result"], normal, 1.5 * vectors["x"], replicates=29)
    text = wrong.summary()
    assert "does not reproduce the 200 new observations: p = 0.0333" in text
    assert "column 0, sd" in text.splitlines()[5] + text.splitlines()[6]
    row = next(row for row in wrong.table if row.name == "column 0, sd")
    assert row.observed == pytest.approx(1.5 * vectors["x"][:, 0].std()) and abs(row.expected - 1) < 0.05 and row.z > 0
    assert repr(wrong) == "Check(p_value=0.0333; 200 observations, 29 replicates)"


def test_picture(vectors: dict[str, Any]) -> None:
    wrong = check(vectors["result"], normal, 1.5 * vectors["x"], replicates=29)
    features, classifier, gap = plots.check(wrong, features=4).axes
    largest = sorted(wrong.table, key=lambda row: abs(row.z))[-4:]
    assert [tick.get_text() for tick in features.get_yticklabels()] == [row.name for row in largest]
    drawn = np.concatenate([np.asarray(dots.get_offsets()) for dots in features.collections])
    assert sorted(drawn[:, 0]) == pytest.approx(sorted(np.clip(row.z, -20, 20) for row in largest))
    for axes, part in ((classifier, wrong.classifier), (gap, wrong.gap)):
        assert sum(bar.get_height() for bar in axes.patches if isinstance(bar, Rectangle)) == 29
        assert float(np.asarray(axes.lines[0].get_xdata())[0]) == part.statistic


def test_many_rows_are_classified_by_a_subset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier, "CLASSIFIED", 50)
    x = RNG(17).normal(size=(190, 2))
    found = check(plane(x[:100]), normal, x[100:], replicates=19)
    assert found.classified == 50 and "on 50 of the observations" in found.summary()


def test_errors() -> None:
    x = RNG(18).normal(size=(60, 2))
    good = plane(x)
    spoiled = x.copy()
    spoiled[7, 1] = np.nan
    unsure = plane(x)
    unsure.stderr = None
    for arguments, options, message in (
        ((unsure, normal, x), {}, r"result has no error .*refine=True"),
        ((normal, normal, x), {}, r"result must be what avo.fit returned"),
        ((good, normal, x[:, :1]), {}, r"x_new must have rows like those .* \(2,\); got \(1,\)"),
        ((good, normal, x[:19]), {}, r"x_new must have at least 20 rows, one observation each; got 19"),
        ((good, normal, spoiled), {}, r"x_new must hold finite numbers; x_new\[7, 1\] is nan"),
        ((good, "normal", x), {}, r"simulate must be a function simulate\(key, theta\) -> x; got 'normal'"),
        ((good, lambda key: key, x), {}, r"simulate must be callable as"),
        ((good, lambda key, theta: theta[:, :1], x), {}, r"simulate must return one row of x per row of theta"),
        ((good, lambda key, theta: theta / 0.0 * 0.0, x), {}, r"NaN or infinity in 60 of 60 draws, at parameters"),
        ((good, normal, x), {"budget": 2_159}, r"budget=2,159 .* takes at least 2,160 simulator calls"),
        ((good, normal, x), {"replicates": 18}, r"replicates must be a whole number of at least 19; got 18"),
        ((good, normal, x), {"replicates": 20.5}, r"replicates must be a whole number"),
        ((good, normal, x), {"seed": -1}, r"seed must be a whole number from 0 to 9223372036854775807; got -1"),
        ((good, normal, x), {"inputs": x[:30]}, r"inputs must have one row per observation: x_new has 60, inputs 30"),
        (
            (good, normal, x),
            {"inputs": x},
            r"with inputs of shape \(2,\) is not what this fit's critic was made for",
        ),
        ((known_line(x[:, 0], x[:, 1]), line, x[:, 1]), {}, r"with no inputs is not what this fit's critic"),
    ):
        with pytest.raises(ValueError, match=message):
            check(*arguments, **options)


@pytest.mark.parametrize("batched", [False, True])
def test_calls_that_fail_are_left_out_wherever_they_are_made(batched: bool) -> None:
    def flaky(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
        x = rng.normal(theta, 1.0)
        if batched:
            return np.where(rng.random((len(theta), 1)) < 0.1, np.nan, x)
        if rng.random() < 0.1:
            raise ArithmeticError("no water")
        return x

    x = np.random.default_rng(11).normal(size=(300, 2))
    good, simulate = plane(x), avo.from_numpy(flaky, batched)
    found, again = (
        check(good, simulate, x, replicates=19, executor=executor, progress=False) for executor in (None, 2)
    )
    assert found.calls == 23 * 300 and abs(found.failed - 690) < 4 * np.sqrt(690)
    assert found.p_value > 0.05
    assert (again.p_value, again.failed, again.table) == (found.p_value, found.failed, found.table)
    with pytest.raises(RuntimeError, match=r"like a row of x_obs: expected"):
        check(good, avo.from_numpy(lambda rng, theta: theta[..., :1], batched), x, progress=False)


def test_report_of_the_study() -> None:
    row = {
        "task": "vector/none/1",
        "p": 0.04,
        "classifier": 0.5,
        "gap": 0.05,
        "feature": 0.01,
        "named": "a",
        "seconds": 1,
    }
    rows = [row, row | {"p": 0.3, "feature": 0.2, "named": "b"}]
    assert study.report(rows).splitlines()[-1] == "| vector/none/1 | 2 | 50.0% | 0.0% | 100.0% | 50.0% | a | 1.0 |"


def test_bitcoin_is_not_brownian(shared_data: Any) -> None:
    """One-minute log-returns have an excess kurtosis near 160, and volatility that lasts."""
    from avo.benchmarks.studies.real import MINUTES, price_paths
    from avo.simulators import brownian

    paths = price_paths(shared_data)
    sigma = np.diff(paths, axis=1, prepend=0.0)[:100].std()
    space = avo.Space(mu=avo.Real(0.0, 1e-5), sigma=avo.Positive(1e-3))
    result = Known(space, paths[:100], [0.0, np.log(sigma / 1e-3)], [0.5, 0.01])
    found = check(result, brownian(MINUTES, float(MINUTES)).simulate, paths[100:], replicates=39)
    assert found.p_value == 1 / 40
    named = {row.name for row in found.table if row.p < 1e-6}
    assert {"kurtosis of increments, mean", "autocorrelation of |increments|, lag 1, mean"} <= named


@pytest.mark.parametrize("beside", [{}, {"groups": np.repeat(np.arange(30), 4)}, {"weights": np.linspace(1, 2, 120)}])
def test_the_observations_of_the_fit_are_no_test_of_its_simulator(beside: dict[str, Any]) -> None:
    x = RNG(21).normal(size=(240, 2)) + [0.5, -0.7]
    result = avo.fit(normal, x[:120], PLANE, budget=2560, progress=False, **beside)
    few = partial(check, result, normal, replicates=19, **beside)
    with pytest.warns(UserWarning, match="x_new: these are the observations of the fit, .* Split yours before the fit"):
        found = few(x[:120])
    assert found.fitted and found.summary().startswith("No test of the simulator, these are the observations of the")
    assert not few(x[120:]).fitted


def test_conditions_are_those_of_the_fit() -> None:
    x, known = np.random.default_rng(0).normal(size=(30, 4, 2)), lambda key, theta, inputs: theta
    for had, given, words in (
        (True, {}, r"^inputs must be the known conditions of x_new, shape \(30, 1\), as the fit had inputs=; got none"),
        (True, {"inputs": np.ones((30, 3))}, r"rows as in the fit, shape \(30, 1\); got inputs of shape \(30, 3\)"),
        (False, {"inputs": np.ones((30, 1))}, r"^inputs must be left out, as the fit had none; got inputs of shape"),
    ):
        with pytest.raises(ValueError, match=words):
            check(results.refined(inputs=had), known, x, **given)
