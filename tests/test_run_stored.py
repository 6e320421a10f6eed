"""`fit` of stored pairs: the maximum likelihood and its error, whatever theta was drawn from, without a simulator."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import avo

pytestmark = pytest.mark.usefixtures("single_precision")

SPACE = avo.Space(mean=avo.Interval(-2, 6), sd=avo.LogInterval(0.2, 4))
TRUTH, M, N = np.array([2.5, 0.7]), 300, 6000
X_OBS = np.random.default_rng(5).normal(*TRUTH, (M, 2))  # two numbers a row


def uniform(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.uniform(size=(n, 2))


def skewed(rng: np.random.Generator, n: int) -> np.ndarray:
    """Four times as dense on one side of the answer as on the other."""
    return np.column_stack([rng.beta(4, 2, n), rng.beta(1.5, 3, n)])


def stored(design: Any, n: int = N, scale: float = 1.0) -> avo.Stored:
    rng = np.random.default_rng(11)
    v = design(rng, n)
    theta = np.column_stack([-2 + 8 * v[:, 0], 0.2 * 20 ** v[:, 1]])
    return avo.Stored(theta, theta[:, :1] + scale * theta[:, 1:] * rng.normal(size=(n, 2)))


@pytest.fixture(scope="module", params=[uniform, skewed], ids=lambda design: design.__name__)
def result(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> avo.Result:
    out = tmp_path_factory.mktemp("stored") / "run"
    found = avo.fit(stored(request.param), X_OBS, SPACE, out=out)
    again = avo.fit(stored(request.param), X_OBS, SPACE, out=out, resume=True)
    np.testing.assert_array_equal(again.theta, found.theta)
    np.testing.assert_array_equal(avo.load(out).stderr, found.stderr)
    with pytest.raises(ValueError, match=r"holds a run with other stored pairs; resume needs the same"):
        avo.fit(stored(request.param, 500), X_OBS, SPACE, out=out, resume=True)
    return found


def test_the_estimate_is_the_maximum_likelihood_within_the_rows_noise(result: avo.Result) -> None:
    exact = TRUTH[1] * np.array([1, 0.5**0.5]) / np.sqrt(2 * M)  # of the mean and sd of 2 m normal numbers
    mle = np.array([X_OBS.mean(), X_OBS.std()])
    assert result.stderr is not None and result.estimate is not None
    assert result.status == "converged" and result.calls == N and result.critic is None
    ratio = result.stderr / exact
    assert np.all((ratio > 1) & (ratio < 4))
    # What is left of the error, when the observations' share is taken away, is that of the rows
    own = np.sqrt(np.maximum(result.stderr**2 - exact**2, 0))
    assert np.all(np.abs(result.theta - mle) < 3 * own + 0.5 * exact)
    assert result.estimate.p_value is not None and result.estimate.p_value > 0.005
    assert "6,000 stored pairs" in result.summary()


def test_encoding_works_without_a_simulator(result: avo.Result) -> None:
    theta = result.encode(X_OBS)
    # Of each row the mean of its two numbers says most: E[mean | x] follows it, shrunk
    assert np.corrcoef(theta[:, 0], X_OBS.mean(1))[0, 1] > 0.95
    with pytest.raises(ValueError, match=r"result is of stored pairs, and a check needs the critic"):
        avo.check(result, lambda key, theta: theta, X_OBS)
    with pytest.raises(ValueError, match=r"a fit of stored pairs has none to draw"):
        avo.plots.history(result)


def test_too_few_pairs_near_the_answer_are_no_answer() -> None:
    pairs = stored(uniform)
    theta, x = np.asarray(pairs.theta), np.asarray(pairs.x)
    for keep, words in (
        (np.arange(N) < 100, "100 stored pairs are too few; for 2 parameters at least 156 are needed"),
        (theta[:, 0] > 4.5, "the stored pairs do not tell what x does at the place that is most like"),
    ):
        found = avo.fit(avo.Stored(theta[keep], x[keep]), X_OBS, SPACE)
        assert found.status == "budget" and found.stderr is None and not found.answered
        assert words in found.message and found.calls == keep.sum()


def test_a_wrong_simulator_is_a_misfit() -> None:
    x = 1.8 + np.random.default_rng(1).exponential(0.7, size=(M, 2))
    assert avo.fit(stored(uniform), x, SPACE).status == "misfit"


def test_failed_rows_are_counted_and_left_out(tmp_path: Path) -> None:
    pairs = stored(uniform, 1500)
    theta, x = np.asarray(pairs.theta), np.asarray(pairs.x).copy()
    x[theta[:, 1] > 2.0] = np.nan
    found = avo.fit(avo.Stored(theta, x), X_OBS, SPACE, start={"mean": 2.4, "sd": 0.8})
    assert found.failures["non-finite"] == np.sum(theta[:, 1] > 2.0)
    assert found.failures.place is not None and "sd > 2" in str(found.failures.place)


def test_what_acts_on_simulations_is_refused() -> None:
    pairs = stored(uniform, 200)
    with pytest.raises(ValueError, match=r"budget=, executor= act on simulations that a fit makes"):
        avo.fit(pairs, X_OBS, SPACE, budget=1000, executor=2)
    with pytest.raises(ValueError, match=r"target= acts on simulations"):
        avo.fit(pairs, X_OBS, SPACE, target="population")
