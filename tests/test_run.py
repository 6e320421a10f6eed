"""avo.run: fit finds what was put in, spends no call too many, and continues where it stopped."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fits import LOSS, SPACE, TINY, TINY_BUDGET, TRUTH, X_OBS, equal, fit, simulate
from rows import row, rows

import avo
from avo.critics import wasserstein

pytestmark = pytest.mark.usefixtures("single_precision")

# --- estimates -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "simulator",
    [simulate, avo.from_numpy(row), avo.from_numpy(rows, batched=True)],
    ids=["jax", "numpy", "numpy-batched"],
)
def test_mean_and_sd_are_recovered(simulator: Any) -> None:
    result = fit(simulator, budget=10_000, settings=None, refine=True)
    mean, sd = result.theta
    # 5000 numbers fix the mean to .01 and the sd to 1 %; a fit this short comes within half a per cent of the box
    assert abs(mean - TRUTH[0]) < 0.05
    assert abs(np.log(sd / TRUTH[1])) < 0.05
    assert result.status in ("converged", "budget")


def test_slope_is_seen_in_the_joint_distribution_with_the_inputs() -> None:
    """x = slope c + noise with c symmetric: x alone fixes only slope^2 + noise^2, and never the sign."""

    def line(key: Any, theta: Any, c: Any) -> Any:
        return theta[:, 0] * c + theta[:, 1] * jax.random.normal(key, c.shape)

    truth = jnp.array([[-1.7, 0.6]])
    c = jax.random.normal(jax.random.key(2), (1000,))
    x = line(jax.random.key(3), jnp.tile(truth, (1000, 1)), c)
    space = avo.Space(slope=avo.Interval(-5, 5), noise=avo.LogInterval(0.05, 5))
    slope, noise = avo.fit(line, x, space, inputs=c, seed=1, budget=100_000, progress=False).theta
    # 1000 pairs fix the slope to .6 / sqrt(1000) = .02 and the noise to 2 %
    assert abs(slope + 1.7) < 0.06
    assert abs(noise / 0.6 - 1) < 0.1


def test_inputs_of_a_host_simulator_stay_with_their_observation() -> None:
    c = np.stack([np.arange(60.0), -np.arange(60.0)], axis=1)
    seen = []

    def line(rng: np.random.Generator, theta: np.ndarray, c: np.ndarray) -> float:
        seen.append(c)
        return theta[0] * c[0] + rng.normal()

    fit(avo.from_numpy(line), 0.3 * c[:, 0], inputs=c)
    arrived = np.stack(seen)
    np.testing.assert_array_equal(arrived[:, 1], -arrived[:, 0])
    assert set(arrived[:, 0]) == set(c[:, 0])  # 320 draws from 60 leave none out but once in 300 (fixed seed)
    # the mirrored halves of a step, its last eight rows, get the same
    for step in arrived.reshape(20, TINY.calls, 2):
        np.testing.assert_array_equal(step[8:12], step[12:])


def test_mirrored_halves_share_their_random_numbers() -> None:
    noise = []

    def seen(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
        noise.append(rng.normal(size=10))
        return theta[0] + theta[1] * noise[-1]

    fit(avo.from_numpy(seen))
    steps = np.stack(noise).reshape(20, TINY.calls, 10)
    np.testing.assert_array_equal(steps[:, 8:12], steps[:, 12:])
    assert np.unique(steps[:, :12]).size == steps[:, :12].size  # and no others do


# --- budget, compilation, seeds --------------------------------------------------------------------------------------


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("budget", [TINY_BUDGET, TINY_BUDGET + TINY.calls - 1, 50 * TINY.calls - 1])
def test_budget_is_a_hard_limit(budget: int, batched: bool) -> None:
    calls = 0

    def counted(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
        nonlocal calls
        calls += len(theta) if batched else 1
        return rows(rng, theta) if batched else row(rng, theta)

    result = fit(avo.from_numpy(counted, batched=batched), budget=budget)
    assert calls == result.calls <= budget
    assert result.calls > budget - 3 * TINY.calls
    np.testing.assert_array_equal(result.history["calls"], TINY.calls * np.arange(1, result.calls // TINY.calls + 1))


def test_a_fit_traces_the_simulator_once() -> None:
    traces = 0

    def counted(key: Any, theta: Any) -> Any:
        nonlocal traces
        traces += 1
        return simulate(key, theta)

    first = fit(counted, budget=100 * TINY.calls)  # several chunks
    assert traces == 1
    second = fit(counted, budget=100 * TINY.calls, x=X_OBS + 1.0, seed=4)
    assert traces == 1
    assert not np.array_equal(first.theta, second.theta)


@pytest.mark.parametrize("simulator", [simulate, avo.from_numpy(row)], ids=["jax", "numpy"])
def test_same_seed_same_numbers(simulator: Any) -> None:
    a, b, c = (fit(simulator, seed=seed) for seed in (3, 3, 4))
    assert equal(a, b)
    assert not equal(a, c)


def test_history() -> None:
    result = fit(simulate)
    steps = result.calls // TINY.calls
    assert {name: a.shape for name, a in result.history.items()} == {
        "calls": (steps,), "gap": (steps,), "failed": (steps,), "u": (steps, 2), "sd": (steps, 2), "theta": (steps, 2),
    }  # fmt: skip
    np.testing.assert_allclose(result.history["theta"], SPACE.constrain(result.history["u"]), rtol=1e-12)
    assert result.x_shape == (10,)
    assert result.settings["batch"] == 8
    assert result.failures == {"non-finite": 0}


# --- choices ---------------------------------------------------------------------------------------------------------


def test_the_loss_is_used() -> None:
    one, two = (fit(avo.from_numpy(row), loss=loss) for loss in (LOSS, wasserstein("two-sided")))
    assert not np.array_equal(one.history["gap"], two.history["gap"])


def test_custom_critic_instance() -> None:
    class Linear(eqx.Module):
        slope: Any

        def __call__(self, x: Any) -> Any:
            return jnp.sum(self.slope * x)

    result = fit(avo.from_numpy(row), critic=Linear(jnp.full(10, 0.25)))
    assert isinstance(result.critic, Linear)
    assert not np.array_equal(result.critic.slope, np.full(10, 0.25))  # it was trained


def test_the_fit_starts_at_the_given_proposal() -> None:
    seen = []

    def first(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
        seen.append(theta)
        return row(rng, theta)

    start = avo.Gaussian.start(2, loc=jnp.array([0.9, -1.1]), sd=0.01)
    instance = fit(avo.from_numpy(first), proposal=start)
    theta = np.stack(seen[: TINY.calls])
    u = np.asarray(SPACE.unconstrain(theta))
    assert np.all(np.abs(u - [0.9, -1.1]) < 0.01 * 5)
    factory = fit(
        avo.from_numpy(row), proposal=lambda dim: avo.Gaussian.start(dim, loc=jnp.array([0.9, -1.1]), sd=0.01)
    )
    assert equal(instance, factory)


def test_a_population_keeps_a_diagonal_start_diagonal() -> None:
    result = fit(avo.from_numpy(row), proposal=avo.Gaussian.start(2, full=False), target="population")
    assert result.proposal.lower is None
    assert result.settings["target"] == "population"
    # Its spread is learned, not annealed: 20 steps of Adam move log sd by no more than 20 * rate
    assert np.all(np.abs(np.log(result.history["sd"][-1] / 1.5)) < 20 * 0.1 * 1.5)
    assert np.all(np.diff(result.history["sd"], axis=0) != 0)


# --- failures --------------------------------------------------------------------------------------------------------


def test_failing_rows_are_counted_and_left_out() -> None:
    failed = 0

    def fragile(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
        nonlocal failed
        x = row(rng, theta)
        if theta[0] < -2.0:
            failed += 1
            x[3] = np.nan
        return x

    result = fit(avo.from_numpy(fragile))
    assert result.failures == {"non-finite": failed} and failed > 0
    assert int(result.history["failed"].sum()) == failed
    assert f"{failed} non-finite" in result.summary()


def test_a_fit_works_beside_a_region_that_fails() -> None:
    def fragile(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
        return np.where(theta[:, :1] < -1.0, np.nan, rows(rng, theta))

    result = fit(avo.from_numpy(fragile, batched=True), budget=30_000, settings=None, refine=True)
    # N(0, 1.5^2) in u puts two fifths of the first steps there; few of the last
    assert 100 < result.failures["non-finite"] < 15_000
    assert result.history["failed"][-100:].sum() == 0
    assert abs(result.theta[0] - TRUTH[0]) < 0.05
    assert abs(np.log(result.theta[1] / TRUTH[1])) < 0.05


def test_few_steps_are_not_called_converged() -> None:
    result = fit(
        avo.from_numpy(row), budget=100 * TINY.calls, settings=avo.Settings(batch=8, pairs=4, rate=(1e-9, 1e-9))
    )
    assert result.status == "budget" and result.message.startswith("100 steps are few")


@pytest.mark.usefixtures("double_precision")
def test_a_fit_that_still_moves_says_which_parameter() -> None:
    # The mean is far out of reach within 100 short steps
    slow = avo.Settings(batch=8, pairs=4, rate=(0.02, 0.02))
    result = fit(avo.from_numpy(row), X_OBS + 6.0, budget=100 * slow.calls, settings=slow)
    assert result.status == "budget" and "mean" in result.message and "still moved" in result.message


def test_a_critic_that_is_not_finite_is_blamed() -> None:
    class Broken(eqx.Module):
        slope: Any

        def __call__(self, x: Any) -> Any:
            return jnp.sum(self.slope * x) * jnp.nan

    for simulator in (simulate, avo.from_numpy(row)):
        result = fit(simulator, critic=Broken(jnp.ones(10)))
        assert result.status == "failed" and result.message.startswith("the critic or the proposal was not finite")


def test_the_order_of_observations_does_not_matter() -> None:
    ordered = X_OBS[np.argsort(X_OBS.mean(1))]
    result = fit(simulate, ordered, budget=10_000, settings=None, refine=True)
    assert abs(result.theta[0] - TRUTH[0]) < 0.05
    assert abs(np.log(result.theta[1] / TRUTH[1])) < 0.05


def test_single_precision_is_not_asked_for_too_much() -> None:
    far = avo.Space(mean=avo.Interval(1e6, 1e6 + 1), sd=avo.LogInterval(0.1, 10))
    with jax.enable_x64(False):
        with pytest.raises(ValueError, match=r"mean in .* is too narrow so far from zero for float32"):
            fit(avo.from_numpy(row), space=far)
        with pytest.warns(UserWarning, match=r"x_obs varies too little so far from zero for float32"):
            with pytest.raises(ValueError, match="budget=1 is too small"):
                fit(avo.from_numpy(row), X_OBS + 1e6, budget=1)


@pytest.mark.usefixtures("double_precision")
def test_nan_everywhere() -> None:
    simulator = avo.from_numpy(lambda rng, theta: np.full(10, np.nan))
    with pytest.raises(RuntimeError, match=r"13 of the first 13 calls failed.*'non-finite'.*at theta = \[-0\.09"):
        fit(simulator)


def test_nan_from_some_step_on_ends_as_failed() -> None:
    calls = 0

    def dies(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
        nonlocal calls
        calls += 1
        return row(rng, theta) if calls <= 5 * TINY.calls else np.full(10, np.inf)

    result = fit(avo.from_numpy(dies))
    words = (
        "more than 90 % of the simulations of the last {} were not finite around step {}; the estimate is of no use."
    )
    assert (result.status, result.message) == ("failed", words.format("step", 6))
    assert result.calls == calls == 6 * TINY.calls
    calls = 0  # 40 steps: two of them decide, though of all simulations fewer failed
    result = fit(avo.from_numpy(dies), budget=40 * TINY.calls)
    assert (result.status, result.message) == ("failed", words.format("2 steps", 7))


def test_an_error_of_the_users_function_ends_the_fit_where_no_call_succeeds() -> None:
    def broken(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
        raise OverflowError("too stiff")

    with pytest.raises(RuntimeError, match=r"failed at theta = \[.*\] with OverflowError: too stiff.*default_rng"):
        fit(avo.from_numpy(broken))


@pytest.mark.parametrize(
    ("fn", "batched", "words"),
    [
        (lambda rng, t: t, False, r"like a row of x_obs: expected \(10,\) for each theta, got \(2,\)"),
        (lambda rng, t: t[:1], False, r"expected \(10,\) for each theta, got \(1,\)"),
        (lambda rng, t: t, True, r"expected \(4, 10\) for 4 rows of theta, got \(4, 2\)"),
    ],
)
def test_another_shape_ends_the_fit(fn: Any, batched: bool, words: str) -> None:
    with pytest.raises(RuntimeError, match=words):
        fit(avo.from_numpy(fn, batched=batched))


# --- words -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("progress", [False, True])
def test_nothing_is_printed_away_from_a_terminal(progress: bool, capfd: pytest.CaptureFixture[str]) -> None:
    fit(avo.from_numpy(row), progress=progress)
    assert capfd.readouterr() == ("", "")


def test_few_observations_are_warned_of() -> None:
    # Stopped by their budget right after; warnings are errors in these tests, ten observations give none
    with pytest.warns(UserWarning, match=r"9 observations for 2 parameters.*posterior of a single observation"):
        with pytest.raises(ValueError, match="budget=1 is too small"):
            fit(avo.from_numpy(row), X_OBS[:9], budget=1)
    with pytest.raises(ValueError, match="budget=1 is too small"):
        fit(avo.from_numpy(row), X_OBS[:10], budget=1)


@pytest.mark.parametrize(
    ("simulator", "options", "words"),
    [
        (lambda theta: theta, {}, r"simulate must be callable as <lambda>\(key, theta\)"),
        (
            lambda key, theta, c: theta,
            {},
            r"got <lambda>\(key, theta, c\). Known conditions need .*inputs=",
        ),
        (lambda key, theta: theta, {"inputs": np.arange(500.0)}, r"\(key, theta, inputs\) since inputs were given"),
        (avo.from_numpy(row), {"inputs": np.arange(500.0)}, r"row\(rng, theta, inputs\) since inputs were given"),
        (3, {}, r"simulate must be a function simulate\(key, theta\) -> x; got 3"),
        (lambda key, theta: theta, {}, r"for theta \(4, 2\) expected x \(4, 10\), got \(4, 2\)"),
        (lambda key, theta: simulate(key, theta).T, {}, r"expected x \(4, 10\), got \(10, 4\)"),
        (lambda key, theta: (theta, theta), {}, r"simulate must return one row of x per row of theta"),
        (lambda key, theta: None, {}, r"expected x \(4, 10\), got None"),
        (
            lambda key, theta: np.random.normal(theta[:, :1], 1.0, (4, 10)),
            {},
            r"not written in JAX.*avo.from_numpy\(fn\)",
        ),
        (lambda key, theta: np.array([[float(t[0])] * 10 for t in theta]), {}, r"not written in JAX.*avo.from_numpy"),
        (lambda key, theta: theta[theta[:, 0] > 0], {}, r"not written in JAX.*avo.from_numpy"),
        (
            lambda key, theta: {}["sd"],
            {},
            r"simulate failed with KeyError: 'sd'. It was given a key, .*\(4, 2\), many",
        ),
        (row, {}, r"simulate failed with AttributeError.* has no attribute normal.*wrap it by avo.from_numpy\(fn\)"),
        (avo.simulators.get("poisson"), {}, r"got a Problem, pass its .simulate"),
        (simulate, {"loss": "two-sided"}, r"loss must be a critic's loss such as .*; got 'two-sided'"),
        (simulate, {"critic": "mlp"}, r"critic must be a module or a function critic\(key, x_shape\).*; got 'mlp'"),
        (
            simulate,
            {"critic": eqx.nn.Linear(10, 3, key=jax.random.key(0))},
            r"critic must map .* \(10,\), to a scalar",
        ),
        (simulate, {"proposal": 3}, r"proposal must be a module or a function proposal\(dim\) that makes one; got 3"),
        (simulate, {"proposal": avo.Gaussian.start(3)}, r"proposal must have one dimension per parameter, 2; got 3"),
        (simulate, {"settings": {"batch": 3}}, r"settings must be avo.Settings"),
        (simulate, {"space": {"mean": (0, 1)}}, r"space must be an avo.Space"),
        (simulate, {"inputs": np.arange(499.0)}, r"one row per observation: x_obs has 500, inputs 499"),
        (
            simulate,
            {"budget": 19 * TINY.calls},
            r"budget=304 is too small: a step takes 16.*at least 20 steps, 320 calls",
        ),
        (simulate, {"budget": 1e6}, r"budget must be a whole number from 1 to 10000000000; got 1000000.0"),
        (simulate, {"budget": True}, r"budget must be a whole number"),
        (simulate, {"seed": 1.5}, r"seed must be a whole number from 0 to 9223372036854775807; got 1.5"),
        (simulate, {"target": "cloud"}, r"target must be one of point, population; got 'cloud'"),
        (simulate, {"x": np.full((500, 10), np.nan)}, r"x_obs"),
        (simulate, {"x": X_OBS[:1]}, r"x_obs"),
    ],
)
@pytest.mark.usefixtures("double_precision")
def test_refusals(simulator: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fit(simulator, **options)
