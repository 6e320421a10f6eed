"""Losses and training of critics: losses by hand, gradients by differences, what a trained critic must reach."""

import math
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from scipy.integrate import quad
from scipy.special import expit
from scipy.stats import norm as normal

from avo import critics
from avo.adversarial.critic import begin, update
from avo.critics import jensen_shannon, logistic, mlp, train_critic, wasserstein
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
        ("r1", 3.5, 6.125),
        ("r1", 0.3, 0.045),
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


@pytest.mark.parametrize("penalty", ["one-sided", "two-sided", "r1"])
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


@pytest.mark.parametrize("penalty", ["one-sided", "two-sided", "r1"])
def test_gradient_is_finite_where_the_critic_is_constant(penalty: Any) -> None:
    def value(d: Linear) -> Any:
        return wasserstein(penalty).critic(d, X_REAL, X_FAKE, ONES, KEY)[0]

    loss, gradient = jax.value_and_grad(value)(Linear(jnp.zeros(2)))
    np.testing.assert_allclose(float(loss), 10.0 if penalty == "two-sided" else 0.0, rtol=1e-5, atol=1e-12)
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


@pytest.mark.parametrize("penalty", ["one-sided", "two-sided", "r1", "none"])
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


@pytest.mark.parametrize("penalty", ["one-sided", "two-sided", "r1", "none"])
def test_equivariant_in_the_units_of_x(penalty: Any) -> None:
    """d_c(x) = c d(x / c) has the slopes of d and c times its gap: with weight c lambda, c times its loss."""
    c, d = 3.7, mlp(jax.random.key(4), (2,), width=5, depth=1)
    loss, gap = wasserstein(penalty, 10.0).critic(d, X_REAL, X_FAKE, ONES, KEY)
    found = wasserstein(penalty, c * 10.0).critic(lambda x: c * d(x / c), c * X_REAL, c * X_FAKE, ONES, KEY)
    np.testing.assert_allclose(found, (c * loss, c * gap), rtol=1e-10)


def test_r1_by_hand() -> None:
    def d(x: Any) -> Any:
        return x[0] ** 2 - 3.0 * x[1]

    loss, gap = jensen_shannon(weight=2.5).critic(d, X_REAL, X_FAKE, ONES, KEY)
    x = np.asarray(X_REAL)
    np.testing.assert_allclose(float(loss + gap), 2.5 * np.mean(4 * x[:, 0] ** 2 + 9) / 2, rtol=1e-10)


def test_jensen_shannon_by_hand() -> None:
    d = linear(2.0)
    w = jnp.array([1.0, 0.0, 1.0, 1.0, 0.0, 1.0])
    slope = np.asarray(d.slope)
    real, fake = np.asarray(X_REAL) @ slope + 2.5, (np.asarray(X_FAKE) @ slope + 2.5)
    for weights, kept in ((ONES, fake), (w, fake[np.asarray(w) > 0])):
        expected = np.mean(np.log(expit(real))) + np.mean(np.log(1 - expit(kept))) + np.log(4)
        loss, gap = jensen_shannon(penalty="two-sided", weight=3.0).critic(d, X_REAL, X_FAKE, weights, KEY)
        np.testing.assert_allclose([float(gap), float(loss)], [expected, 3.0 - expected], rtol=1e-9)


def test_jensen_shannon_stays_finite_far_out() -> None:
    def value(d: Linear) -> Any:
        return jensen_shannon().critic(d, X_REAL, X_FAKE, ONES, KEY)[0]

    loss, gradient = jax.value_and_grad(value)(Linear(jnp.array([3e4, -2e4])))
    assert np.isfinite(float(loss)) and np.all(np.isfinite(gradient.slope))


def test_jensen_shannon_masks_by_the_row() -> None:
    d, spoiled = linear(2.0), X_FAKE.at[1].set(1e6)
    w = ONES.at[1].set(0.0)
    for penalty in ("r1", "one-sided", "none"):
        loss = jensen_shannon(penalty=penalty)
        a, b = (loss.critic(d, X_REAL, x, w, KEY) for x in (X_FAKE, spoiled))
        assert a == b


def test_costs_of_jensen_shannon_by_hand() -> None:
    d = jnp.array([-3.0, -0.4, 0.0, 1.7, 40.0, -800.0])
    s = expit(np.asarray(d[:5]))
    steep, flat = (jensen_shannon(cost).cost for cost in ("non-saturating", "saturating"))
    np.testing.assert_allclose(steep(d)[:4], -np.log(s[:4]), rtol=1e-12)
    np.testing.assert_allclose(flat(d)[:4], np.log(1 - s[:4]), rtol=1e-12)
    # d cost / d d: both fall with d, -(1 - s) and -s; at d = -800 the first is steep, the second flat
    np.testing.assert_allclose(jax.vmap(jax.grad(steep))(d), [*(s - 1), -1.0], rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(jax.vmap(jax.grad(flat))(d), [*-s, 0.0], rtol=1e-9, atol=1e-15)
    assert np.isfinite(steep(d)).all() and np.isfinite(flat(d)).all()


def test_gap_at_the_log_odds_is_twice_the_divergence() -> None:
    """N(0.8, 1) against N(-0.3, 1.5^2), judged by d = log p / q."""

    def integrand(x: float) -> float:
        a, b = normal.pdf(x, 0.8, 1.0), normal.pdf(x, -0.3, 1.5)
        return float(a * np.log(2 * a / (a + b)) + b * np.log(2 * b / (a + b)))

    expected = quad(integrand, -12, 12, epsabs=1e-12)[0]  # twice (KL(p | m) + KL(q | m)) / 2
    rng, n = np.random.default_rng(3), 200_000
    real, fake = jnp.asarray(rng.normal(0.8, 1.0, (n, 1))), jnp.asarray(rng.normal(-0.3, 1.5, (n, 1)))

    def odds(x: Any) -> Any:
        return -0.5 * (x[0] - 0.8) ** 2 + 0.5 * ((x[0] + 0.3) / 1.5) ** 2 + jnp.log(1.5)

    _, gap = jensen_shannon(penalty="none").critic(odds, real, fake, jnp.ones(n), KEY)
    d_real, d_fake = (np.asarray(jax.vmap(odds)(x)) for x in (real, fake))
    error = np.sqrt((np.var(np.log(expit(d_real))) + np.var(np.log(expit(-d_fake)))) / n)
    assert abs(float(gap) - expected) < 3 * error
    assert 3 * error < 0.02 * expected
    _, worse = jensen_shannon(penalty="none").critic(lambda x: 1.1 * odds(x) + 0.1, real, fake, jnp.ones(n), KEY)
    assert worse < gap  # the same rows: the optimum is an optimum


def test_instance_noise() -> None:
    """For d = x_1^2 it adds noise^2 to E[d] on either side: nothing to the gap, and to the penalty of slope 2 x_1."""
    noise, keys = 0.6, jax.random.split(jax.random.key(5), 20_000)

    def square(x: Any) -> Any:
        return x[0] ** 2

    def mean(loss: Any, d: Any, w: Any, real: Any = X_REAL, fake: Any = X_FAKE) -> tuple[np.ndarray, np.ndarray]:
        """Loss + gap, hence the weighted penalty, and gap: means over the keys and three of their standard errors."""

        def both(key: Any) -> Any:
            loss_, gap = loss.critic(d, real, fake, w, key)
            return jnp.stack([loss_ + gap, gap])

        found = np.asarray(jax.jit(jax.vmap(both))(keys))
        return found.mean(0), 3 * found.std(0) / np.sqrt(len(keys))

    real, fake = np.mean(np.asarray(X_REAL)[:, 0] ** 2), np.mean(np.asarray(X_FAKE)[:, 0] ** 2)
    noisy = wasserstein("r1", 2.0, noise)
    found, error = mean(noisy, square, ONES)
    assert abs(found[1] - (real - fake)) < error[1] and abs(found[0] - 4 * (real + noise**2)) < error[0]
    assert error[1] > 1e-3  # the noise is there
    found, error = mean(noisy, square, jnp.zeros(6))  # the observations alone
    assert abs(found[1] - (real + noise**2)) < error[1] < 0.2 * noise**2
    found, error = mean(noisy, linear(2.0), ONES)
    assert abs(found[1] - float(jnp.sum(linear(2.0).slope * (X_REAL - X_FAKE).mean(0)))) < error[1]
    # Observations and simulations have their own noise: equal rows do not give the gap zero
    _, gap = noisy.critic(square, X_REAL, X_REAL, ONES, KEY)
    assert abs(float(gap)) > 1e-3


@pytest.mark.parametrize("make", [wasserstein, jensen_shannon])
def test_no_instance_noise_by_default(make: Any) -> None:
    d = mlp(jax.random.key(4), (2,), width=5, depth=1)
    for penalty in ("none", "r1", "one-sided"):
        a = make(penalty=penalty).critic(d, X_REAL, X_FAKE, ONES, KEY)
        assert a == make(penalty=penalty, noise=0.0).critic(d, X_REAL, X_FAKE, ONES, KEY)
        if penalty != "one-sided":  # nothing else is random
            assert a == make(penalty=penalty).critic(d, X_REAL, X_FAKE, ONES, jax.random.key(77))


def test_equal_losses_are_the_same_object() -> None:
    assert wasserstein("r1", 3.0, 0.5) is wasserstein("r1", 3.0, 0.5)
    assert jensen_shannon("saturating") is jensen_shannon("saturating")
    assert wasserstein() is wasserstein("one-sided", 10.0) is wasserstein(weight=10)
    different = [
        *(wasserstein(penalty) for penalty in ("one-sided", "two-sided", "r1", "none")),
        wasserstein(weight=3.0),
        wasserstein(noise=0.1),
        *(jensen_shannon(cost) for cost in ("saturating", "non-saturating")),
        jensen_shannon(penalty="none"),
    ]
    assert len({loss.name for loss in different}) == len({id(loss) for loss in different}) == len(different)


@pytest.mark.parametrize("penalty", ["one-sided", "two-sided"])
def test_slope_of_two_shifted_normals(penalty: Any) -> None:
    """N(W, 1) against N(0, 1): the mean slope tends to 1 + W / (2 lambda), and gap / slope to W."""
    n, weight = 20_000, 10.0
    key_x, key_run, key_eps = jax.random.split(jax.random.key(8), 3)
    real, fake = jax.random.normal(key_x, (2, n, 1))
    # The linear part starts in the right direction: turning a slope round is where the two-sided penalty can trap
    start = mlp(jax.random.key(3), (1,), width=16, depth=1)
    start = eqx.tree_at(lambda c: c.skip.weight, start, jnp.ones((1, 1)))
    for w1 in (1.0, 5.0, 20.0):
        loss = wasserstein(penalty, weight)
        critic, _ = train_critic(key_run, start, loss, w1 + real, fake, steps=600, batch=128, rate=5e-3)
        slope = float(jnp.mean(gradient_norm(critic, interpolate(key_eps, w1 + real, fake))))
        gap = float(jnp.mean(jax.vmap(critic)(w1 + real)) - jnp.mean(jax.vmap(critic)(fake)))
        assert abs(slope / (1 + w1 / (2 * weight)) - 1) < 0.03
        # 20,000 rows each: the gap's standard error is slope sqrt(2 / 20000), 1 % of W = 1
        assert abs(gap / slope / w1 - 1) < 0.03


def cosine(a: Any, b: Any) -> float:
    a, b = np.asarray(a), np.asarray(b)
    return float(np.mean(np.sum(a * b, axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)))


@pytest.mark.parametrize("d", [16, 64])
def test_gradient_points_where_mass_must_move(d: int) -> None:
    """The way from simulations to observations: along delta for a shift by it, outwards for a scale."""
    rng, n = np.random.default_rng(d), 20_000
    noise = jnp.asarray(rng.normal(size=(2, n, d)))
    delta = rng.normal(size=d)
    delta = jnp.asarray(1.7 * delta / np.linalg.norm(delta))[None]
    start = mlp(jax.random.key(3), (d,), width=32)
    cases = [(noise[0] + delta, jnp.broadcast_to(delta, (n, d)), 0.95)]
    if d == 16:
        cases.append((2.0 * noise[0], noise[0], 0.9))
    for real, way, least in cases:
        critic, _ = train_critic(KEY, start, wasserstein(), real, noise[1], steps=600, batch=128, rate=4e-3)
        slopes = jax.vmap(jax.grad(critic))(real[:2000])
        assert cosine(slopes, way[:2000]) > least


def whole(critic: Any, loss: Any, real: Any, fake: Any, steps: int, rate: float) -> Any:
    """Train on all rows at once, the rate falling by a factor of 1000."""
    dynamic, static = eqx.partition(begin(critic), eqx.is_array)

    def step(dynamic: Any, rate: Any) -> tuple[Any, None]:
        state, _ = update(loss, eqx.combine(dynamic, static), rate, real, fake, jnp.ones(len(fake)), key=KEY)
        return eqx.filter(state, eqx.is_array), None

    run = jax.jit(lambda dynamic: jax.lax.scan(step, dynamic, rate * jnp.geomspace(1.0, 1e-3, steps))[0])
    return eqx.combine(run(dynamic), static).critic


# Unequal scales, correlated, off the origin
MIX = np.array([[1.3, 0.0, 0.0], [0.5, 0.7, 0.0], [-0.4, 0.2, 2.1]])
SHIFT = np.array([0.9, -0.6, 0.8])


def two_normals(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    fake = rng.normal(size=(n, 3)) @ MIX.T + [0.5, -0.7, 0.2]
    return rng.normal(size=(n, 3)) @ MIX.T + [0.5, -0.7, 0.2] + SHIFT, fake


def test_linear_jensen_shannon_is_logistic_regression() -> None:
    sklearn = pytest.importorskip("sklearn.linear_model")
    real, fake = two_normals(300, 5)
    loss, start = jensen_shannon(penalty="none"), critics.linear(KEY, (3,))
    found = whole(start, loss, jnp.asarray(real), jnp.asarray(fake), 1500, 0.05)
    fit = sklearn.LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000)
    fit.fit(np.concatenate([real, fake]), np.repeat([1, 0], 300))
    np.testing.assert_allclose(found.skip.weight[0], fit.coef_[0], rtol=1e-4)
    np.testing.assert_allclose(found.net.bias, fit.intercept_[0], rtol=1e-4)


def test_linear_jensen_shannon_is_fishers_discriminant() -> None:
    real, fake = two_normals(20_000, 6)
    start = critics.linear(KEY, (3,))
    found = whole(start, jensen_shannon(penalty="none"), jnp.asarray(real), jnp.asarray(fake), 800, 0.05)
    covariance = MIX @ MIX.T
    # Standard errors of the coefficients are about sqrt(diag(S^-1) * 6 / 40000), a hundredth of the largest of them
    exact = np.linalg.solve(covariance, SHIFT)
    error = np.sqrt(np.diag(np.linalg.inv(covariance)) * 6 / 40_000)
    assert np.all(np.abs(np.asarray(found.skip.weight[0]) - exact) < 4 * error)
    assert np.abs(exact / error).max() > 50  # a percent or two of the largest


def test_logistic_gap_is_twice_the_accuracy_less_one() -> None:
    real, fake = map(jnp.asarray, two_normals(20_000, 7))
    critic, _ = train_critic(KEY, logistic(KEY, (3,)), wasserstein("none"), real, fake, steps=1000, batch=256, rate=0.1)
    gap = float(jnp.mean(jax.vmap(critic)(real)) - jnp.mean(jax.vmap(critic)(fake)))
    squared = SHIFT @ np.linalg.solve(MIX @ MIX.T, SHIFT)
    exact = 2 * normal.cdf(math.sqrt(squared) / 2) - 1
    # Standard error sqrt(2 p (1 - p) / 20000) < 0.005; the slope stays finite, so the gap comes from below
    assert -0.03 < gap - exact < 0.015


CALLS: list[int] = []


class Counting(eqx.Module):
    """A critic that notes each time it is traced."""

    inner: Any

    def __call__(self, x: Any) -> Any:
        CALLS.append(1)
        return self.inner(x)


def test_scan_is_a_loop_of_updates_and_is_compiled_once() -> None:
    rng = np.random.default_rng(9)
    real, fake = jnp.asarray(rng.normal(0.8, 1.0, (50, 3))), jnp.asarray(rng.normal(size=(41, 3)))
    start, loss, steps, batch, rate = mlp(KEY, (3,), width=5, depth=1), wasserstein(), 25, 7, 1e-2
    watched = partial(train_critic, loss=loss, steps=steps, batch=batch, rate=rate)
    CALLS.clear()
    (scanned, gaps), count = watched(KEY, Counting(start), x_real=real, x_fake=fake), len(CALLS)
    again, gaps_again = watched(KEY, Counting(start), x_real=real, x_fake=fake)
    other, _ = watched(jax.random.key(3), Counting(mlp(KEY, (3,), width=5, depth=1)), x_real=real + 1.0, x_fake=fake)
    assert len(CALLS) == count > 0
    for a, b in zip(jax.tree.leaves((scanned, gaps)), jax.tree.leaves((again, gaps_again)), strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.all(np.asarray(other.inner.skip.weight) != scanned.inner.skip.weight)

    step = eqx.filter_jit(lambda *args, key: update(loss, *args, key=key))
    state, by_hand = begin(start), []
    for i in range(steps):
        key_real, key_fake, key_loss = jax.random.split(jax.random.fold_in(KEY, i), 3)
        rows_real, rows_fake = (
            jax.random.randint(k, (batch,), 0, len(x)) for k, x in ((key_real, real), (key_fake, fake))
        )
        now = jnp.asarray(rate * (1 + math.cos(math.pi * i / steps)) / 2)
        state, gap = step(state, now, real[rows_real], fake[rows_fake], jnp.ones(batch), key=key_loss)
        by_hand.append(float(gap))
    np.testing.assert_allclose(gaps, by_hand, rtol=0, atol=1e-6)
    ends = [ravel_pytree(eqx.filter(critic, eqx.is_inexact_array))[0] for critic in (scanned.inner, state.critic)]
    np.testing.assert_allclose(*ends, rtol=0, atol=1e-6)


def test_one_update_by_hand() -> None:
    """Adam's first step is the rate along the sign of the gradient: down the loss, whatever its size."""
    d = linear(2.0)
    state, gap = update(wasserstein(), begin(d), 0.03, X_REAL, X_FAKE, ONES, key=KEY)
    (loss, before), gradient = jax.value_and_grad(
        lambda d: wasserstein().critic(d, X_REAL, X_FAKE, ONES, KEY), has_aux=True
    )(d)
    np.testing.assert_allclose(state.critic.slope, d.slope - 0.03 * jnp.sign(gradient.slope), rtol=1e-6)
    assert float(gap) == float(before)
    assert float(wasserstein().critic(state.critic, X_REAL, X_FAKE, ONES, KEY)[0]) < float(loss)


def test_errors() -> None:
    with pytest.raises(ValueError, match=r"penalty must be one of one-sided, two-sided, r1, none; got 'l2'"):
        wasserstein("l2")  # type: ignore[arg-type]
    for weight in (-1.0, float("nan")):
        with pytest.raises(ValueError, match=r"weight must be a finite number of at least 0"):
            wasserstein(weight=weight)
        with pytest.raises(ValueError, match=r"noise must be a finite number of at least 0"):
            jensen_shannon(noise=weight)
    assert wasserstein(weight=np.array(10.0), noise=jnp.array(0.0)) is wasserstein()  # type: ignore[arg-type]
    assert wasserstein(weight=10.000001).name != wasserstein().name
    for weight in ("a", None, np.array([1.0, 2.0])):
        with pytest.raises(ValueError, match=r"weight must be a finite number of at least 0; got"):
            wasserstein(weight=weight)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"penalty must be one of .*; got \['r1'\]"):
        wasserstein(["r1"])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"cost must be one of non-saturating, saturating; got 'hinge'"):
        jensen_shannon("hinge")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"penalty must be one of one-sided, two-sided, r1, none; got 'r2'"):
        jensen_shannon(penalty="r2")  # type: ignore[arg-type]
