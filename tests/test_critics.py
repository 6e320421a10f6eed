"""avo.critics: penalties by hand, their gradient by differences, and what a trained critic must reach."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

from avo.critics import mlp, wasserstein
from avo.critics.losses import gradient_norm, interpolate

X_REAL = jnp.asarray(np.random.default_rng(0).normal(0.7, 1.2, (6, 2)))
X_FAKE = jnp.asarray(np.random.default_rng(1).normal(-0.4, 0.9, (6, 2)))
ONES = jnp.ones(6)
KEY = jax.random.key(2)


class Linear(eqx.Module):
    """d(x) = slope . x + 2.5: |grad d| is |slope| everywhere."""

    slope: Any

    def __call__(self, x: Any) -> Any:
        return jnp.sum(self.slope * x) + 2.5


def linear(norm: float) -> Linear:
    return Linear(norm * jnp.array([0.6, -0.8]))


@pytest.mark.parametrize(
    ("penalty", "norm", "value"),
    [
        ("two-sided", 3.5, 6.25),
        ("two-sided", 0.3, 0.49),
        ("one-sided", 3.5, 6.25),
        ("one-sided", 0.3, 0.0),
        ("one-sided", 0.999, 0.0),
        ("none", 3.5, 0.0),
    ],
)
@pytest.mark.parametrize("weight", [10.0, 0.7])
def test_loss_of_a_linear_critic_by_hand(penalty: Any, norm: float, value: float, weight: float) -> None:
    d = linear(norm)
    loss, gap = wasserstein(penalty, weight).critic(d, X_REAL, X_FAKE, ONES, KEY)
    expected_gap = float(jnp.sum(d.slope * (X_REAL.mean(0) - X_FAKE.mean(0))))
    np.testing.assert_allclose(float(gap), expected_gap, rtol=1e-12)
    np.testing.assert_allclose(float(loss), -expected_gap + weight * value, rtol=1e-9)


def test_the_default_is_one_sided_with_weight_ten() -> None:
    for norm, value in ((3.5, 62.5), (0.3, 0.0)):
        loss, gap = wasserstein().critic(linear(norm), X_REAL, X_FAKE, ONES, KEY)
        np.testing.assert_allclose(float(loss + gap), value, rtol=1e-9, atol=1e-12)


def test_cost_is_minus_d() -> None:
    np.testing.assert_array_equal(wasserstein("two-sided").cost(jnp.array([1.5, -0.7])), [-1.5, 0.7])


def test_gradient_norm_by_hand() -> None:
    x = jnp.array([[0.5, -1.5], [2.0, 0.3]])
    found = gradient_norm(lambda x: 3.0 * x[0] ** 2 - x[1], x)
    np.testing.assert_allclose(found, [np.hypot(3.0, 1.0), np.hypot(12.0, 1.0)], rtol=1e-12)
    series = gradient_norm(lambda x: jnp.sum(x**2), jnp.full((3, 4, 2), 0.7))
    np.testing.assert_allclose(series, [1.4 * np.sqrt(8)] * 3, rtol=1e-12)


@pytest.mark.parametrize("penalty", ["one-sided", "two-sided"])
def test_gradient_of_the_penalty_against_differences(penalty: Any) -> None:
    critic = mlp(jax.random.key(4), (2,), width=5, depth=2)
    steep = jax.tree.map(lambda a: 3.0 * a if eqx.is_inexact_array(a) else a, critic)  # some slopes above 1, some below
    phi, unravel = ravel_pytree(eqx.filter(steep, eqx.is_inexact_array))
    static = eqx.filter(steep, eqx.is_inexact_array, inverse=True)

    def penalised(phi: Any) -> Any:
        loss, gap = wasserstein(penalty, 10.0).critic(eqx.combine(unravel(phi), static), X_REAL, X_FAKE, ONES, KEY)
        return loss + gap

    norms = gradient_norm(steep, interpolate(KEY, X_REAL, X_FAKE))
    assert float(norms.min()) < 0.95 and float(norms.max()) > 1.05
    exact = np.asarray(jax.jit(jax.grad(penalised))(phi))
    moves = np.concatenate([1e-5 * np.eye(phi.size), -1e-5 * np.eye(phi.size)])
    values = np.asarray(jax.jit(jax.vmap(penalised))(phi[None] + moves))
    differences = (values[: phi.size] - values[phi.size :]) / 2e-5
    np.testing.assert_allclose(exact, differences, rtol=1e-6, atol=1e-6 * np.abs(exact).max())
    assert np.abs(exact).max() > 0.1


@pytest.mark.parametrize("penalty", ["one-sided", "two-sided"])
def test_gradient_is_finite_where_the_critic_is_constant(penalty: Any) -> None:
    def value(d: Linear) -> Any:
        return wasserstein(penalty).critic(d, X_REAL, X_FAKE, ONES, KEY)[0]

    loss, gradient = jax.value_and_grad(value)(Linear(jnp.zeros(2)))
    np.testing.assert_allclose(float(loss), 0.0 if penalty == "one-sided" else 10.0, rtol=1e-5)
    # At zero slope the penalty's derivative is taken as zero: what is left is the gap's
    np.testing.assert_allclose(gradient.slope, X_FAKE.mean(0) - X_REAL.mean(0), rtol=1e-9)


def test_interpolates_lie_on_the_segment_of_their_own_pair() -> None:
    n = 1000
    rng = np.random.default_rng(5)
    real, fake = rng.normal(size=(n, 3, 2)), rng.normal(5.0, 2.0, size=(n, 3, 2))
    x_hat = np.asarray(interpolate(KEY, jnp.asarray(real), jnp.asarray(fake)))
    eps = (x_hat - fake) / (real - fake)
    np.testing.assert_allclose(eps, np.broadcast_to(eps[:, :1, :1], eps.shape), rtol=1e-6, atol=1e-9)
    eps = eps[:, 0, 0]
    assert np.unique(eps).size == n
    assert eps.min() > 0 and eps.max() < 1
    # U[0, 1] has mean 1/2 and variance 1/12: four standard errors, sqrt(1/12 n) and sqrt(1/180 n)
    assert abs(eps.mean() - 1 / 2) < 4 * np.sqrt(1 / 12 / n)
    assert abs(eps.var() - 1 / 12) < 4 * np.sqrt(1 / 180 / n)


def test_rows_never_mix() -> None:
    changed = X_REAL.at[2].add(100.0)
    a, b = interpolate(KEY, X_REAL, X_FAKE), interpolate(KEY, changed, X_FAKE)
    different = np.any(np.asarray(a != b), axis=1)
    np.testing.assert_array_equal(different, np.arange(6) == 2)


@pytest.mark.parametrize("penalty", ["one-sided", "two-sided", "none"])
def test_masked_rows_have_no_influence(penalty: Any) -> None:
    critic = mlp(jax.random.key(6), (2,), width=5, depth=1)
    w = jnp.array([1.0, 0.0, 1.0, 1.0, 0.0, 1.0])
    other = jnp.where(w[:, None] > 0, X_FAKE, jnp.asarray(np.random.default_rng(7).normal(9.0, 5.0, (6, 2))))

    def value(critic: Any, x: Any) -> Any:
        return wasserstein(penalty).critic(critic, X_REAL, x, w, KEY)

    a, b = (eqx.filter_value_and_grad(lambda c, x=x: value(c, x)[0])(critic) for x in (X_FAKE, other))
    assert all(np.array_equal(p, q) for p, q in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))
    assert float(value(critic, X_FAKE)[1]) == float(value(critic, other)[1])


def test_masked_loss_is_the_mean_over_the_others() -> None:
    d, keep = linear(2.0), np.array([0, 2, 3, 5])
    w = jnp.asarray(np.isin(np.arange(6), keep).astype(float))
    loss, gap = wasserstein("two-sided", 3.0).critic(d, X_REAL, X_FAKE, w, KEY)
    expected = float(jnp.sum(d.slope * (X_REAL.mean(0) - X_FAKE[keep].mean(0))))
    np.testing.assert_allclose(float(gap), expected, rtol=1e-12)
    np.testing.assert_allclose(float(loss), -expected + 3.0, rtol=1e-9)


@pytest.mark.parametrize("penalty", ["one-sided", "two-sided"])
def test_trained_critic_reaches_the_distance_of_two_shifted_normals(penalty: Any) -> None:
    """N(W, 1) against N(0, 1): the mean slope tends to 1 + W / (2 lambda), and gap / slope to W."""
    shift, weight, steps, batch = 5.0, 10.0, 1500, 128
    loss = wasserstein(penalty, weight)
    key_init, key_run, key_test = jax.random.split(jax.random.key(8), 3)
    # The linear part starts in the right direction: turning a slope round is where the two-sided penalty can trap
    start = eqx.tree_at(lambda c: c.skip.weight, mlp(key_init, (1,), width=16, depth=2), jnp.ones((1, 1)))
    phi, static = eqx.partition(start, eqx.is_inexact_array)
    adam = optax.adam(optax.exponential_decay(5e-3, steps, 0.02), b1=0.5, b2=0.9)

    def draw(key: Any, n: int) -> tuple[Any, Any]:
        x = jax.random.normal(key, (2, n, 1))
        return shift + x[0], x[1]

    def update(carry: Any, key: Any) -> tuple[Any, None]:
        phi, moments = carry
        key_x, key_eps = jax.random.split(key)
        real, fake = draw(key_x, batch)
        gradient = jax.grad(lambda phi: loss.critic(eqx.combine(phi, static), real, fake, jnp.ones(batch), key_eps)[0])(
            phi
        )
        move, moments = adam.update(gradient, moments)
        return (optax.apply_updates(phi, move), moments), None

    run = jax.jit(lambda phi, keys: jax.lax.scan(update, (phi, adam.init(phi)), keys)[0][0])
    critic = eqx.combine(run(phi, jax.random.split(key_run, steps)), static)
    real, fake = draw(key_test, 20_000)
    # 20,000 fresh pairs: the gap's standard error is about slope sqrt(2 / 20000), a fifth of a percent of W
    gap = float(jnp.mean(jax.vmap(critic)(real)) - jnp.mean(jax.vmap(critic)(fake)))
    slope = float(jnp.mean(gradient_norm(critic, interpolate(key_test, real, fake))))
    assert abs(slope / (1 + shift / (2 * weight)) - 1) < 0.03
    assert abs(gap / slope / shift - 1) < 0.05


@pytest.mark.parametrize("x_shape", [(), (5,), (4, 3)])
def test_mlp_takes_any_shape(x_shape: tuple[int, ...]) -> None:
    critic = mlp(jax.random.key(9), x_shape, width=6, depth=3)
    x = jax.random.normal(jax.random.key(10), (7, *x_shape))
    d = jax.vmap(critic)(x)
    assert d.shape == (7,)
    np.testing.assert_allclose(d[3], critic(x[3]), rtol=1e-12)
    assert np.unique(np.asarray(d)).size == 7
    # every entry counts
    assert np.all(np.asarray(jax.grad(critic)(x[0])) != 0)


def test_mlp_follows_its_key() -> None:
    x = jnp.array([0.5, -1.2, 2.0])
    a, b, c = (float(mlp(jax.random.key(k), (3,))(x)) for k in (1, 1, 2))
    assert a == b != c


def test_mlp_is_network_plus_linear_part() -> None:
    critic = mlp(jax.random.key(11), (3,))
    x = jnp.array([0.5, -1.2, 2.0])
    without = eqx.tree_at(lambda c: c.skip.weight, critic, jnp.zeros((1, 3)))
    np.testing.assert_allclose(critic(x) - without(x), jnp.sum(critic.skip.weight[0] * x), rtol=1e-12)


def test_errors() -> None:
    with pytest.raises(ValueError, match=r"penalty must be one of one-sided, two-sided, none; got 'l2'"):
        wasserstein("l2")  # type: ignore[arg-type]
    for weight in (-1.0, float("nan")):
        with pytest.raises(ValueError, match=r"weight must be zero or more"):
            wasserstein(weight=weight)
