"""avo.benchmarks.suite.floors and .tasks: floors against closed forms, each other and simulated spread."""

import jax
import numpy as np
import pytest
from scipy import integrate

from avo.benchmarks.suite import floors as likelihoods
from avo.benchmarks.suite import tasks
from avo.benchmarks.suite.floors import (
    by_simulation,
    covariance,
    information,
    maximise,
    scores,
    unconstrain,
)

FORMULA = ("linear5", "epem2", "brownian", "geometric_brownian", "pendulum", "ecg", "lotka_volterra", "sir")


def at(name: str, seed: int = 3) -> tuple[tasks.Task, np.ndarray]:
    task = tasks.get(name)
    return task, unconstrain(task.space, task.truth(seed))


@pytest.mark.parametrize("name", FORMULA)
def test_information_by_formula_is_that_of_simulated_scores(name: str) -> None:
    """Covariance of 2000 scores: off by 4 sqrt(kurtosis / 2000), 15 %, in units of the exact one's root."""
    task, u = at(name)
    exact, simulated = information(task.problem, u), by_simulation(task.problem, u, 2000)
    scale = np.sqrt(np.diag(exact))
    assert np.abs((simulated - exact) / np.outer(scale, scale)).max() < 0.15


def test_floors_in_closed_form() -> None:
    for name, seed in (("poisson", 5), ("linear5", 5), ("brownian", 5)):
        task = tasks.get(name)
        theta = task.truth(seed)
        if name == "poisson":
            expected = np.sqrt(theta / 1000) / 29
        elif name == "linear5":
            expected = np.array([1.0, 3.0]) / np.sqrt(1000) / 10
        else:
            expected = theta[1] / np.sqrt([1000, 2 * 64 * 1000]) / [6.0, theta[1] * np.log(60.0)]
        np.testing.assert_allclose(task.floor(seed), expected, rtol=1e-4)


def test_the_floor_of_epem_is_that_of_the_asymmetry() -> None:
    """Integrated by another rule; a position of a is a quarter of it."""
    task, seed = tasks.get("epem"), 7
    energy, coupling = task.truth(seed)
    a = 2 * coupling * np.tanh((2 * energy - 90) / 9)
    told = integrate.quad(lambda x: 3 / 8 * x**2 / (1 + x**2 + a * x), -1, 1)[0]
    np.testing.assert_allclose(task.floor(seed), [1 / np.sqrt(1000 * told) / 4], rtol=1e-4)
    assert task.judged(np.array([42.0, 0.9])) == pytest.approx([(-1.0490 + 2) / 4], abs=1e-4)


@pytest.mark.parametrize("name", ["ornstein_uhlenbeck", "g_and_k", "merton", "cir", "ecg", "lotka_volterra", "sir"])
def test_scores_average_to_zero_at_the_truth(name: str) -> None:
    """Each mean of 4000 scores within 4.5 standard errors of zero."""
    task, u = at(name)
    x = likelihoods.simulate(task.problem, task.truth(3), 4000, jax.random.key(11))
    score = scores(task.problem, u, x)
    assert (np.abs(score.mean(0)) < 4.5 * score.std(0) / np.sqrt(4000)).all()


def test_the_maximum_of_the_likelihood_is_the_known_one() -> None:
    """Scoring ends within a thousandth of the error; the closed forms are the simulators' own."""
    for name in ("linear5", "geometric_brownian"):
        task, u = at(name, seed=2)
        found = maximise(task.problem, task.observe(2), u + 0.05)
        exact = unconstrain(task.space, np.asarray(task.problem.mle(task.observe(2)), float))
        assert (np.abs(found.u - exact) < 2e-3 * np.sqrt(np.diag(found.covariance)) + 1e-5).all()


def test_errors_of_the_maximum_likelihood_scatter_by_the_floor() -> None:
    """25 seeds of poisson and epem: the rms of error / floor is 1 within 4 / sqrt(50)."""
    for name in ("poisson", "epem"):
        task = tasks.get(name)
        over = [(task.judged(task.mle(s)[0]) - task.judged(task.truth(s))) / task.floor(s) for s in range(25)]
        assert abs(np.sqrt(np.mean(np.square(over))) - 1) < 4 / np.sqrt(50)


def test_weighted_features_know_what_the_likelihood_knows_where_they_suffice() -> None:
    """Of brownian paths, end and squared steps do; the covariance of 20,000 has an error of 1 %."""
    task, u = at("brownian")

    def features(x: np.ndarray) -> np.ndarray:
        x = np.asarray(x, float)
        steps = np.diff(x, axis=1, prepend=0.0)
        return np.stack([x[:, -1], (steps**2).sum(1)], 1)

    exact = covariance(information(task.problem, u), 1)
    ours = covariance(likelihoods.by_features(task.problem, u, features), 1)
    np.testing.assert_allclose(np.sqrt(np.diag(ours)), np.sqrt(np.diag(exact)), rtol=0.03)


def test_truths_lie_in_the_inner_part_and_observations_follow_the_seed() -> None:
    for name in tasks.TASKS:
        task = tasks.get(name)
        inner = np.array([task.inner.get(p, tasks.INNER) for p in task.space.names]).T
        position = 1 / (1 + np.exp(-unconstrain(task.space, task.truth(4))))
        assert (inner[0] - 1e-5 <= position).all() and (position <= inner[1] + 1e-5).all()
    task = tasks.get("linear5")
    assert np.array_equal(task.observe(1), task.observe(1)) and not np.array_equal(task.observe(1), task.observe(2))
    with pytest.raises(ValueError, match="task must be one of poisson, .*; got 'x'"):
        tasks.get("x")
