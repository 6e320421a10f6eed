"""avo.run: learned scores finish a fit within its budget, say how sure one may be, and go on where they stopped."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fits import TINY, equal, fit

import avo
from avo.budget import PROBES
from avo.refine.linear import LinearSpace

pytestmark = pytest.mark.usefixtures("single_precision")

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


def test_simulations_at_the_estimate_and_around_it_are_kept(done: avo.Result) -> None:
    """x of the first rows is N(theta, 1 or 4) at one place; the learned scores of both have the same mean."""
    kept = done.kept
    assert kept is not None and sum(done.phases.values()) == done.calls and done.budget == REFINE_BUDGET
    there, sd = kept.x[: kept.there], np.array([1.0, 1.0, 2.0])
    assert np.ptp(kept.u[: kept.there], axis=0).max() == 0 and kept.u[kept.there :].std(0).min() > 0.01
    np.testing.assert_array_less(np.abs(there.mean(0) - done.theta[[0, 1, 1]]), 5 * sd / np.sqrt(kept.there) + 0.02)
    np.testing.assert_allclose(there.std(0), sd, rtol=5 / np.sqrt(2 * kept.there))
    np.testing.assert_allclose(kept.moments[0], X3.mean(0), rtol=1e-5)
    apart = kept.t[: kept.there].mean(0) - kept.scores[0]
    assert np.all(np.abs(apart) < 5 * kept.t.std(0) * np.sqrt(1 / kept.there + 1 / kept.rows))
    assert kept.encoded is None and kept.observed.shape == (300, 3)


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


def test_stopped_while_refining_it_goes_on_bit_for_bit(counted: tuple[Stopping, avo.Result], tmp_path: Path) -> None:
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
    # Nothing that was kept is simulated again: all but the chunk that was cut short
    assert whole.calls - first.rows <= last.rows < whole.calls - first.rows / 2
    np.testing.assert_array_equal(avo.load(tmp_path).stderr, whole.stderr)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["arrays.npz", "calls.sqlite", "fit.json", "result.json"]


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


@pytest.mark.parametrize(("d", "budget"), [(4, 820), (12, 1400)])
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
        (
            np.arange(300) % 6,
            "holds 6 different labels, .* are 6 clusters, .*; an error for 2 parameters needs at least 8",
        ),
    ],
)
def test_groups_that_do_not_fit_are_refused(groups: np.ndarray, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        refined(shift, groups=groups)


def test_encode_is_the_expectation_under_the_reference(done: avo.Result) -> None:
    assert done.estimate is not None
    loc, factor = done.estimate.reference
    w = np.array(loc)[None] + np.random.default_rng(5).normal(size=(2000, 2)) @ factor.T
    theta = np.asarray(LinearSpace(SHIFT).constrain(w))
    x = theta[:, [0, 1, 1]] + np.random.default_rng(6).normal(size=(2000, 3)) * [1.0, 1.0, 2.0]
    found = done.encode(x)
    # For both a normal theta ~ N(mean, C), estimated from these draws
    C, H = np.cov(theta.T), np.array([[1.0, 0], [0, 1], [0, 1]])
    K = C @ H.T @ np.linalg.inv(H @ C @ H.T + np.diag([1.0, 1.0, 4.0]))
    exact = theta.mean(0) + (x - H @ theta.mean(0)) @ K.T
    # some 500 pairs teach ten coefficients: a few per cent of the variance
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
    with pytest.raises(ValueError, match=r"inputs= must be as in the fit; "):
        done.encode(X3, inputs=X3)


def test_the_adversarial_fit_stands_where_refining_finds_nothing(
    done: avo.Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, elsewhere = refined(shift, refine=False, budget=4000), np.array([0.3, -0.2])
    for moved, came in ((np.inf, False), (np.nan, True)):
        # Where it was looked for: at the steps' end, or where a descent led from there
        led = (lambda *a, **k: a[2]._replace(loc=elsewhere)) if came else (lambda *a, **k: a[2])
        monkeypatch.setattr("avo.stages.nearer", led)
        found = replace(done.estimate, moved=moved)
        monkeypatch.setattr("avo.stages.solve_point", lambda *a, found=found, **k: found)
        result = refined(shift)
        assert result.status == "budget" and result.stderr is None
        assert result.message.startswith("refining found no solution near the adversarial fit, which therefore stands")
        expected = SHIFT.constrain(elsewhere) if came else plain.theta
        np.testing.assert_allclose(result.theta, expected, rtol=1e-6 if came else 0)


def test_a_last_step_that_counts_as_an_error_is_not_called_converged(
    done: avo.Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    for moved, status in ((2.9, "converged"), (4.5, "budget")):
        found = replace(done.estimate, moved=moved)
        monkeypatch.setattr("avo.stages.solve_point", lambda *a, found=found, **k: found)
        result = refined(shift)
        assert result.status == status and f"the last step was {moved} standard errors long" in result.message
        np.testing.assert_array_equal(result.stderr, done.stderr)


@pytest.mark.parametrize(("target", "budget", "steps"), [("point", 820, 20), ("population", 5340, 83)])
def test_the_adversarial_fit_stands_where_simulations_near_it_fail(
    target: str, budget: int, steps: int, tmp_path: Path
) -> None:
    class Late:  # fails in each simulation after the steps
        rows = 0

        def __call__(self, rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
            self.rows += len(theta)
            return np.where(self.rows > steps * TINY.calls + PROBES, np.nan, 1.0) * shift_rows(rng, theta)

    result = refined(avo.from_numpy(Late(), batched=True), budget=budget, target=target, out=tmp_path)
    assert result.status == "budget" and result.stderr is None
    assert result.message == (
        "refining found no solution near the adversarial fit, which therefore stands, without errors; too few "
        "simulations near the adversarial fit were finite."
    )
    assert result.failures["non-finite"] == result.calls - steps * TINY.calls - PROBES > 0
    np.testing.assert_array_equal(avo.load(tmp_path).theta, result.theta)


def test_the_adversarial_fit_stands_where_linear_algebra_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise np.linalg.LinAlgError("Singular matrix")

    monkeypatch.setattr("avo.stages.solve_point", fails)
    result = refined(avo.from_numpy(shift_rows, batched=True), budget=820)
    assert result.status == "budget" and result.stderr is None
    assert result.message.endswith("its equations cannot be solved (Singular matrix).")
