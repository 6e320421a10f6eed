"""avo.refine.custom: a sufficient statistic reaches the bound, one of no use costs nothing, no file holds it.

Simulations have three values, and two parameters, as in the other tests of refining.
"""

from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import avo
from avo.execution.blocks import Draws
from avo.folder import read_json
from avo.observations import Observed
from avo.refine.custom import custom_statistic
from avo.refine.estimate import Estimate
from avo.refine.features import CLIP
from avo.refine.point import solve_point
from avo.refine.population import solve_population
from avo.refine.scores import Normal
from avo.refine.statistic import apply

RNG = np.random.default_rng
SIZE, BUDGET, M = 64, 16_384, 300
SKEWED = avo.Space(mu=avo.Real(), sigma=avo.Positive(1.0))
PLANE = avo.Space(a=avo.Real(), b=avo.Real())


def lognormal(key: Any, theta: Any) -> Any:
    return jnp.exp(theta[:, :1] + theta[:, 1:] * jax.random.normal(key, (len(theta), 3)))


def solve(
    simulate: Any, x: np.ndarray, space: avo.Space, start: Any, statistic: Any = None, inputs: Any = None
) -> Estimate:
    draws = Draws(jax.jit(simulate), space, jax.random.key(7), SIZE, x.shape[1:], inputs)
    q = Normal(np.asarray(space.unconstrain(np.asarray(start))), 0.1 * np.eye(2))
    custom = custom_statistic(statistic, x, inputs)
    return solve_point(draws, Observed(x, inputs), q, budget=BUDGET, seed=3, custom=custom)


def sufficient(x: Any) -> Any:
    return jnp.stack([jnp.mean(jnp.log(x)), jnp.mean(jnp.log(x) ** 2)])


def test_a_sufficient_statistic_reaches_the_bound() -> None:
    """x lognormal: mean and standard deviation of the logarithms are best, and x and its products say less."""
    x = np.exp(RNG(0).normal(0.7, 1.2, (M, 3)))
    z = np.log(x)
    best = np.array([z.mean(), z.std()])
    squares = ((z - best[0]) ** 2).mean(1)
    error = np.array([z.mean(1).std(), squares.std() / 2 / best[1]]) / np.sqrt(M)  # the bound, as observed

    def ratio(statistic: Any) -> np.ndarray:
        found = solve(lognormal, x, SKEWED, [0.8, 1.1], statistic)
        stated = found.stderr(SKEWED) / (error * found.simulation_noise)
        # An estimate with r times the error of the best lies sqrt(r^2 - 1) of it away, and the simulations' noise
        apart = 4 * np.sqrt(found.simulation_noise**2 - 1) + 2 * np.sqrt(np.maximum(stated**2 - 1, 0))
        assert np.all(np.abs(np.asarray(SKEWED.constrain(found.loc)) - best) < apart * error)
        return stated

    # 300 rows know their spread to 4 %; t learned from 3000 pairs loses a few per cent
    assert 0.96 < ratio(None)[1] < 1.2
    for statistic in (avo.Only(sufficient), jnp.log):
        assert np.all((0.95 < ratio(statistic)) & (ratio(statistic) < 1.1))


def test_a_statistic_that_adds_nothing_costs_nothing() -> None:
    """Three normal values, of which two have the parameters as means: x itself is sufficient."""
    noise = np.array([1.0, 3.0, 0.5])
    x = [2.0, -1.0, 0.5] + RNG(5).normal(size=(M, 3)) * noise

    def gauss(key: Any, theta: Any) -> Any:
        e = jax.random.normal(key, (len(theta), 3)) * jnp.asarray(noise)[None]
        return jnp.concatenate([theta, jnp.full((len(theta), 1), 0.5)], axis=1) + e

    error = x[:, :2].std(0) / np.sqrt(M)
    plain, joined = (solve(gauss, x, PLANE, [2.1, -0.7], statistic) for statistic in (None, jnp.median))
    np.testing.assert_allclose(joined.stderr(PLANE), plain.stderr(PLANE), rtol=0.05)
    np.testing.assert_allclose(joined.stderr(PLANE), error * joined.simulation_noise, rtol=0.12)
    # An error 1.12 times as large as the best lies half of it away
    near = 4 * np.sqrt(joined.simulation_noise**2 - 1) + np.sqrt(1.12**2 - 1)
    assert np.all(np.abs(joined.loc - x[:, :2].mean(0)) < near * error)


def test_a_statistic_of_x_and_its_condition() -> None:
    """Lines through zero: c x and c^2 are sufficient, and the error that of least squares."""
    c, noise = RNG(2).normal(2.0, 3.0, (M, 1)), np.array([0.5, 4.0, 1.0])
    x = np.append(c * [0.7, -4.0], np.zeros((M, 1)), 1) + RNG(3).normal(size=(M, 3)) * noise

    def lines(key: Any, theta: Any, c: Any) -> Any:
        e = jax.random.normal(key, (len(theta), 3)) * jnp.asarray(noise)[None]
        return jnp.concatenate([theta * c, jnp.zeros_like(c)], axis=1) + e

    found = solve(lines, x, PLANE, [0.75, -4.3], avo.Only(lambda x, c: jnp.concatenate([c * x[:2], c, c**2])), c)
    best = (c * x[:, :2]).sum(0) / (c**2).sum()
    error = np.sqrt((c**2 * (x[:, :2] - c * best) ** 2).sum(0)) / (c**2).sum()
    ratio = found.stderr(PLANE) / (error * found.simulation_noise)
    assert np.all((0.95 < ratio) & (ratio < 1.35))  # t must learn products; as where avo chooses the features
    apart = 4 * np.sqrt(found.simulation_noise**2 - 1) + 2 * np.sqrt(np.maximum(ratio**2 - 1, 0))
    assert np.all(np.abs(found.loc - best) < apart * error)


def test_a_population_by_its_sufficient_statistic() -> None:
    """log x = u + e: mean and covariance of the logarithms, less the noise's."""
    m, C, sd = 1000, np.array([[0.5, -0.2], [-0.2, 0.3]]), np.array([0.3, 0.5])
    rng = RNG(6)
    z = rng.multivariate_normal([0.6, -1.1], C, m) + rng.normal(size=(m, 2)) * sd
    x = np.exp(np.concatenate([z, rng.normal(size=(m, 1))], 1))

    def noisy(key: Any, theta: Any) -> Any:
        e = jax.random.normal(key, (len(theta), 3))
        return jnp.exp(jnp.concatenate([theta + e[:, :2] * sd[None], e[:, 2:]], axis=1))

    draws, q = (
        Draws(jax.jit(noisy), PLANE, jax.random.key(7), SIZE, (3,)),
        Normal(np.array([0.4, -0.9]), 0.5 * np.eye(2)),
    )
    custom = custom_statistic(avo.Only(jnp.log), x)
    found = solve_population(draws, Observed(x), q, budget=40_960, seed=3, custom=custom)
    assert found.population_covariance is not None and found.moved < 3
    i, j = np.triu_indices(2)
    centred = z - z.mean(0)
    entries = (centred[:, i] * centred[:, j]).std(0) / np.sqrt(m)
    # Of an error: the simulations' noise, and what t loses
    near = 4 * np.sqrt(found.simulation_noise**2 - 1) + 0.15
    assert np.all(np.abs(found.loc - z.mean(0)) < near * z.std(0) / np.sqrt(m))
    expected = np.cov(z.T, bias=True) - np.diag(sd**2)
    assert np.all(np.abs(found.population_covariance - expected)[i, j] < near * entries)
    np.testing.assert_allclose(np.sqrt(np.diagonal(found.covariance)[2:]), entries * found.simulation_noise, rtol=0.1)


def test_values_are_in_units_of_the_observations_cut_and_finite() -> None:
    x = np.array([[1.0, 2.0], [3.0, 2.0], [5.0, 2.0]])
    custom = custom_statistic(jnp.log, x)
    assert custom is not None
    z = np.log(x[:, 0])
    np.testing.assert_allclose(custom(jnp.array([4.0, 4.0])), [(np.log(4) - z.mean()) / z.std(), np.log(2)])
    np.testing.assert_allclose(custom(jnp.array([-1.0, 0.0])), [0.0, 0.0])  # no number, and none that is finite
    np.testing.assert_allclose(custom(jnp.array([1e300, 1e-300])), [CLIP, -CLIP])
    assert custom_statistic(None, x) is None
    number = custom_statistic(lambda x: jnp.sum(x > 2), x)
    assert number is not None and number(jnp.array([3.0, 3.0])).shape == (1,)


@pytest.mark.parametrize(
    ("statistic", "words"),
    [
        ("median", r"statistic must be a JAX function of one observation .* got 'median'"),
        (avo.Only(3), r"avo.Only\(function\); got 3"),  # pyright: ignore[reportArgumentType]
        (
            lambda x: np.median(x),
            r"x with shape \(2,\); it raised TracerArrayConversionError: .*Write it with jax.numpy",
        ),
        (lambda x: x @ jnp.ones(3), r"x with shape \(2,\); it raised TypeError"),
        (lambda x: (jnp.mean(x), jnp.max(x)), r"must return one array of real numbers; got tuple. Put several"),
        (lambda x: x + 1j, r"must return one array of real numbers; got complex128"),
        (lambda x: "a", r"must return one array of real numbers; got str"),
        (lambda x: jnp.zeros(600), r"must return 1 to 512 numbers; got 600"),
        (lambda x: x[:0], r"must return 1 to 512 numbers; got 0"),
        (jnp.log, r"log gives nan for x_obs\[1\] \(1 of 3 observations\)"),
    ],
)
def test_what_is_no_statistic_is_refused(statistic: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        custom_statistic(statistic, np.array([[1.0, 2.0], [-1.0, 2.0], [3.0, 1.0]]))


class Scaled(eqx.Module):
    """A statistic with numbers of its own."""

    weights: Any

    def __call__(self, x: Any) -> Any:
        return self.weights * jnp.log(x)


def fitted(statistic: Any, **options: Any) -> avo.Result:
    x = np.exp(RNG(0).normal(0.7, 1.2, (M, 3)))
    return avo.fit(lognormal, x, SKEWED, statistic=statistic, budget=6000, progress=False, **options)


def test_a_file_holds_the_name_and_not_the_function(tmp_path: Path) -> None:
    x, weights = np.exp(RNG(4).normal(0.7, 1.2, (5, 3))), jnp.array([1.0, 2.0, 3.0])
    result = fitted(avo.Only(Scaled(weights)), out=tmp_path / "run")
    assert result.estimate is not None
    described = read_json(tmp_path / "run" / "fit.json")["statistic"]
    assert (described["name"], described["alone"]) == ("Scaled", True)

    bare = avo.load(tmp_path / "run")
    np.testing.assert_array_equal(bare.theta, result.theta)
    assert bare.summary() == result.summary()
    with pytest.raises(ValueError, match=r"used the statistic 'Scaled', a function that no file holds; .*statistic="):
        bare.encode(x)

    whole = avo.load(tmp_path / "run", statistic=avo.Only(Scaled(weights)))
    np.testing.assert_array_equal(whole.encode(x), result.encode(x))
    assert whole.estimate is not None
    np.testing.assert_array_equal(apply(whole.estimate.statistic, x), apply(result.estimate.statistic, x))
    again = fitted(avo.Only(Scaled(weights)), out=tmp_path / "run", resume=True)
    np.testing.assert_array_equal(again.encode(x), result.encode(x))
    for other, words in (
        (Scaled(weights), r"used the statistic avo.Only\(Scaled\); got Scaled. Pass"),
        (avo.Only(Scaled(2 * weights)), r"used the statistic avo.Only\(Scaled\); got .*, with other arrays. Pass"),
        (avo.Only(jnp.log), r"used the statistic avo.Only\(Scaled\); got avo.Only\(log\)"),
    ):
        with pytest.raises(ValueError, match=words):
            avo.load(tmp_path / "run", statistic=other)
    with pytest.raises(ValueError, match=r"holds a run with other statistic; resume needs the same"):
        fitted(jnp.log, out=tmp_path / "run", resume=True)


def test_a_statistic_needs_refining() -> None:
    with pytest.raises(ValueError, match=r"statistic= acts where the estimate is refined, and refine=False"):
        fitted(jnp.log, refine=False)
