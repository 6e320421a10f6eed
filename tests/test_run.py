"""avo.run: fit finds what was put in, spends no call too many, and continues where it stopped."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fits import LOSS, SPACE, TINY, TINY_BUDGET, TRUTH, X_OBS, equal, fit, row, rows, simulate

import avo
import avo.execution.blocks
from avo.critics import wasserstein

# --- estimates -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "simulator",
    [simulate, avo.from_numpy(row), avo.from_numpy(rows, batched=True)],
    ids=["jax", "numpy", "numpy-batched"],
)
def test_mean_and_sd_are_recovered(simulator: Any) -> None:
    result = fit(simulator, budget=40_000, settings=None, refine=True)
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
    for seed in (0, 1):
        slope, noise = avo.fit(line, x, space, inputs=c, seed=seed, budget=100_000, progress=False).theta
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

    result = fit(avo.from_numpy(fragile, batched=True), budget=100_000, settings=None, refine=True)
    # N(0, 1.5^2) in u puts two fifths of the first steps there; few of the last
    assert 100 < result.failures["non-finite"] < 50_000
    assert result.history["failed"][-100:].sum() == 0
    assert abs(result.theta[0] - TRUTH[0]) < 0.05
    assert abs(np.log(result.theta[1] / TRUTH[1])) < 0.05


def test_few_steps_are_not_called_converged() -> None:
    result = fit(
        avo.from_numpy(row), budget=100 * TINY.calls, settings=avo.Settings(batch=8, pairs=4, rate=(1e-9, 1e-9))
    )
    assert result.status == "budget" and result.message.startswith("100 steps are few")


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
    result = fit(simulate, ordered, budget=40_000, settings=None, refine=True)
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


def test_nan_everywhere() -> None:
    simulator = avo.from_numpy(lambda rng, theta: np.full(10, np.nan))
    with pytest.raises(
        ValueError, match=r"NaN or infinity in all of its first 16 draws, at parameters such as {'mean'"
    ):
        fit(simulator)


def test_nan_from_some_step_on_ends_as_failed() -> None:
    calls = 0

    def dies(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
        nonlocal calls
        calls += 1
        return row(rng, theta) if calls <= 5 * TINY.calls else np.full(10, np.inf)

    result = fit(avo.from_numpy(dies))
    assert result.status == "failed" and "of no use" in result.message
    assert result.calls == calls == 6 * TINY.calls


def test_an_error_of_the_users_function_is_passed_on() -> None:
    def broken(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
        raise OverflowError("too stiff")

    with pytest.raises(RuntimeError, match=r"failed at theta = \[.*\] with OverflowError: too stiff.*default_rng"):
        fit(avo.from_numpy(broken))


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
        (avo.from_numpy(lambda rng, t: t), {}, r"like a row of x_obs: expected \(10,\) for each theta, got \(2,\)"),
        (avo.from_numpy(lambda rng, t: t[:1]), {}, r"expected \(10,\) for each theta, got \(1,\)"),
        (avo.from_numpy(lambda rng, t: t, batched=True), {}, r"expected \(10,\) for each theta, got \(2,\)"),
        (simulate, {"space": {"mean": (0, 1)}}, r"space must be an avo.Space"),
        (simulate, {"inputs": np.arange(499.0)}, r"one row per observation: x_obs has 500, inputs 499"),
        (
            simulate,
            {"budget": 19 * TINY.calls},
            r"budget=304 is too small: a step takes 16.*at least 20 steps, 320 calls",
        ),
        (simulate, {"budget": 1e6}, r"budget must be a whole number of at least 1; got 1000000.0"),
        (simulate, {"budget": True}, r"budget must be a whole number"),
        (simulate, {"seed": 1.5}, r"seed must be a whole number of at least 0; got 1.5"),
        (simulate, {"target": "cloud"}, r"target must be one of point, population; got 'cloud'"),
        (simulate, {"x": np.full((500, 10), np.nan)}, r"x_obs"),
        (simulate, {"x": X_OBS[:1]}, r"x_obs"),
    ],
)
def test_refusals(simulator: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fit(simulator, **options)


# --- refining --------------------------------------------------------------------------------------------------------

# Three values and two parameters, as in the tests of Fisher scoring: these share their compiled programs
SHIFT = avo.Space(a=avo.Real(1.0, 2.0), b=avo.Interval(-4, 6))
X3 = np.random.default_rng(1).normal([2.0, 0.5, 0.5], [1.0, 1.0, 2.0], (300, 3))
REFINE_BUDGET = 16_000


def shift(key: Any, theta: Any) -> Any:
    return theta[:, jnp.array([0, 1, 1])] + jax.random.normal(key, (len(theta), 3)) * jnp.array([[1.0, 1.0, 2.0]])


def shift_rows(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
    return theta[:, [0, 1, 1]] + rng.normal(size=(len(theta), 3)) * [1.0, 1.0, 2.0]


class Stopping:
    """The batched NumPy simulator `shift_rows`, which counts its rows and is stopped by Ctrl-C after some."""

    def __init__(self, after: float = np.inf) -> None:
        self.rows, self.after, self.__qualname__ = 0, after, shift_rows.__qualname__

    def __call__(self, rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
        if self.rows + len(theta) > self.after:
            raise KeyboardInterrupt
        self.rows += len(theta)
        return shift_rows(rng, theta)


def refined(simulator: Any, **options: Any) -> avo.Result:
    start = avo.Gaussian.start(2, loc=jnp.array([0.4, -0.3]), sd=0.5)
    defaults: dict[str, Any] = dict(x=X3, space=SHIFT, budget=REFINE_BUDGET, refine=True, proposal=start)
    return fit(simulator, **(defaults | options))


@pytest.fixture(scope="module")
def done() -> avo.Result:
    return refined(shift)


def test_refining_finds_the_estimate_and_its_error(done: avo.Result) -> None:
    assert done.status == "converged", done.message
    best = np.array([X3[:, 0].mean(), (4 * X3[:, 1] + X3[:, 2]).mean() / 5])
    error = np.array([1.0, np.sqrt(4 / 5)]) / np.sqrt(300)
    assert done.stderr is not None
    # 300 rows know their spread to 4 %, a t learned from this few pairs loses up to a tenth
    np.testing.assert_allclose(done.stderr, error, rtol=0.2)
    assert np.all(np.abs(done.theta - best) < error)
    low, high = done.interval(0.9).T
    assert np.all((low < done.theta) & (done.theta < high))
    words = done.summary().splitlines()
    assert words[0].split() == ["parameter", "estimate", "stderr", "5", "%", "95", "%", "unit"]


@pytest.fixture(scope="module")
def counted() -> tuple[Stopping, avo.Result]:
    """The NumPy simulator that counted its rows, and the fit of a budget that no number of blocks makes up."""
    simulator = Stopping()
    return simulator, refined(avo.from_numpy(simulator, batched=True), budget=REFINE_BUDGET + 7)


def test_calls_are_steps_and_draws_within_the_budget(counted: tuple[Stopping, avo.Result]) -> None:
    simulator, result = counted
    budget = REFINE_BUDGET + 7
    assert simulator.rows == result.calls <= budget
    assert result.calls > budget - 4 * TINY.calls
    rest = int(0.75 * budget)  # what refining may have
    assert result.history["calls"][-1] <= budget - rest
    assert 0 <= rest - (result.calls - result.history["calls"][-1]) < TINY.calls


def test_same_seed_same_refined_numbers(done: avo.Result) -> None:
    again = refined(shift)
    assert equal(again, done)
    np.testing.assert_array_equal(again.stderr, done.stderr)
    np.testing.assert_array_equal(again.encode(X3[:9]), done.encode(X3[:9]))


def test_stopped_while_refining_it_goes_on_bit_for_bit(
    counted: tuple[Stopping, avo.Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(avo.execution.blocks, "KEEP_SECONDS", -1.0)
    known: Any = {"out": tmp_path, "budget": REFINE_BUDGET + 7}
    whole = counted[1]
    steps = int(whole.history["calls"][-1])
    first = Stopping(after=steps + 5003)
    stopped = refined(avo.from_numpy(first, batched=True), **known)
    assert stopped.status == "stopped" and stopped.message.startswith("stopped by the user while refining")
    assert stopped.stderr is None and not (tmp_path / "result.json").exists()
    last = Stopping()
    resumed = refined(avo.from_numpy(last, batched=True), **known, resume=True)
    assert equal(resumed, whole)
    assert resumed.estimate is not None and whole.estimate is not None
    np.testing.assert_array_equal(resumed.estimate.covariance, whole.estimate.covariance)
    np.testing.assert_array_equal(resumed.encode(X3[:9]), whole.encode(X3[:9]))
    # Nothing that was kept is simulated again: all blocks but the one that was cut short
    assert whole.calls - first.rows <= last.rows < whole.calls - first.rows + 4
    np.testing.assert_array_equal(avo.load(tmp_path).stderr, whole.stderr)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["arrays.npz", "fit.json", "result.json"]


def test_without_refining_there_is_no_error() -> None:
    for options in ({"refine": False}, {"budget": 800}):  # and none with calls too few for it
        result = refined(shift, **options)
        assert result.stderr is None and result.estimate is None
        asked = [
            lambda r: r.interval(), lambda r: r.identifiability(), lambda r: r.encode(X3), 
            lambda r: r.central(jax.random.key(0), 2), lambda r: r.replicate(jax.random.key(0), 2),
        ]  # fmt: skip
        for ask, name in zip(asked, ("interval", "identifiability", "encode", "central", "replicate"), strict=True):
            with pytest.raises(ValueError, match=rf"^{name} needs a fit with refine=True that found a solution"):
                ask(result)
        assert result.population is None


@pytest.mark.parametrize(("d", "budget"), [(4, 820), (4, 1000), (9, 1000), (12, 1000), (12, 1400)])
def test_few_calls_for_many_parameters_end_in_an_answer(d: int, budget: int) -> None:
    # Too few for parts of their own: t is learned from all near simulations together; of pairs there are more than d
    noise = jnp.resize(jnp.array([1.0, 0.5, 2.0, 0.3]), (1, d))

    def simulate(key: jax.Array, theta: jax.Array) -> jax.Array:
        return theta + noise * jax.random.normal(key, theta.shape)

    x = np.asarray(simulate(jax.random.key(2), jnp.tile(jnp.resize(jnp.array([0.3, -0.5, 1.2, 2.1]), d), (300, 1))))
    space = avo.Space(**{f"a{i}": avo.Interval(-9.0, 9.0) for i in range(d)})
    result = avo.fit(simulate, x, space, budget=budget, progress=False)
    assert 0.9 * budget < result.calls <= budget
    if result.stderr is not None:
        assert np.all(np.abs(result.theta - x.mean(0)) < 4 * result.stderr)


def test_groups_widen_the_error() -> None:
    x = np.repeat(X3[:100], 3, axis=0)
    apart, together = (refined(shift, x=x, groups=groups) for groups in (None, np.repeat(np.arange(100), 3)))
    assert together.estimate.freedom == 99 and apart.estimate.freedom == 299
    assert together.stderr is not None and apart.stderr is not None
    # Three copies of each: sqrt(3); each fit has slopes of its own, from some hundred pairs
    np.testing.assert_allclose(together.stderr / apart.stderr, np.sqrt(3 * 299 / 300 * 100 / 99), rtol=0.15)


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        (np.arange(299), r"groups must have one label for each observation, shape \(300,\); got shape \(299,\)"),
        (np.arange(600).reshape(300, 2), r"shape \(300,\); got shape \(300, 2\)"),
        (np.arange(300) % 6, r"groups names 6 clusters; an error for 2 parameters needs at least 8"),
    ],
)
def test_groups_that_do_not_fit_are_refused(groups: np.ndarray, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        refined(shift, groups=groups)


def test_encode_is_the_expectation_under_the_reference(done: avo.Result) -> None:
    assert done.estimate is not None
    loc, factor = done.estimate.reference
    u = np.array(loc)[None] + np.random.default_rng(5).normal(size=(2000, 2)) @ factor.T
    theta = np.asarray(SHIFT.constrain(u))
    x = theta[:, [0, 1, 1]] + np.random.default_rng(6).normal(size=(2000, 3)) * [1.0, 1.0, 2.0]
    found = done.encode(x)
    # b is nearly linear in u here: for both a normal theta ~ N(mean, C), estimated from these draws
    C, H = np.cov(theta.T), np.array([[1.0, 0], [0, 1], [0, 1]])
    K = C @ H.T @ np.linalg.inv(H @ C @ H.T + np.diag([1.0, 1.0, 4.0]))
    exact = theta.mean(0) + (x - H @ theta.mean(0)) @ K.T
    # some 500 pairs teach ten coefficients: a few per cent of the variance, and the curve of b
    assert np.all(np.mean((found - exact) ** 2, 0) / theta.var(0) < 0.08)
    line = np.linspace(-2, 2, 9)[:, None]
    a = done.encode(x.mean(0) + line * [[1.0, 0, 0]])[:, 0]
    b = done.encode(x.mean(0) + line * [[0, 1.0, 1.0]])[:, 1]
    assert np.all(np.diff(a) > 0) and np.all(np.diff(b) > 0)
    assert found.shape == (2000, 2)


@pytest.mark.parametrize("x", [np.zeros((4, 2)), np.zeros(3), np.zeros((4, 3, 1)), np.ones((2, 1, 3))])
def test_encode_refuses_another_shape(done: avo.Result, x: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"x must have one observation per row, shape \(n, 3\); got"):
        done.encode(x)
    with pytest.raises(ValueError, match=r"encode needs inputs= exactly if the fit had them"):
        done.encode(X3, inputs=X3)


def test_the_adversarial_fit_stands_where_refining_finds_nothing(
    done: avo.Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = refined(shift, refine=False, budget=4000)
    for moved in (np.inf, np.nan):
        found = replace(done.estimate, moved=moved)
        monkeypatch.setattr("avo.run.point", lambda *a, found=found: found)
        result = refined(shift)
        assert result.status == "budget" and result.stderr is None
        assert result.message.startswith("refining found no solution near the adversarial fit, which therefore stands")
        np.testing.assert_array_equal(result.theta, plain.theta)


def test_a_last_step_that_counts_as_an_error_is_not_called_converged(
    done: avo.Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    for moved, status in ((2.9, "converged"), (4.5, "budget")):
        found = replace(done.estimate, moved=moved)
        monkeypatch.setattr("avo.run.point", lambda *a, found=found: found)
        result = refined(shift)
        assert result.status == status and f"the last step was {moved} standard errors long" in result.message
        np.testing.assert_array_equal(result.stderr, done.stderr)
