"""BetaVAE: closed forms, probabilistic PCA, and what is done with a model."""

from typing import Any, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from latents.linear_vae import NOISE, SHIFT, D, K, exact_elbo, linear, weights
from scipy import integrate, stats

from avo.latents import BetaVAE
from avo.latents.models import gaussian_kl


@pytest.mark.parametrize("mean,sd", [(0.0, 1.0), (1.3, 0.4), (-2.7, 2.2)])
def test_kl_is_the_integral(mean: float, sd: float) -> None:
    q, p = cast(Any, stats.norm(mean, sd)), cast(Any, stats.norm())
    expected = integrate.quad(lambda z: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)), mean - 12 * sd, mean + 12 * sd)[0]
    np.testing.assert_allclose(gaussian_kl(jnp.array([mean]), jnp.log(jnp.array([sd**2]))), [expected], atol=1e-9)


def test_gaussian_reconstruction_is_minus_the_log_density() -> None:
    noise = np.array([0.3, 1.9])  # of the two channels
    x, eps = np.random.default_rng(0).normal(2.0, 3.0, (5, 2)), np.array([0.7, -1.2])
    model = BetaVAE.make(jax.random.key(0), (5, 2), latents=2, depth=0, shift=0.4, scale=[2.0, 5.0], noise=noise)
    mean, log_var = eqx.filter_jit(model.posterior)(jnp.asarray(x))
    f = np.asarray(model.predict(mean + jnp.exp(log_var / 2) * eps))
    terms = eqx.filter_jit(model.terms)(jnp.asarray(x), jnp.asarray(eps))
    assert terms.reconstruction == pytest.approx(-stats.norm.logpdf(x, f, noise).sum(), rel=1e-12)
    assert terms.mse == pytest.approx(np.mean((x - f) ** 2), rel=1e-12)
    assert terms.elbo == pytest.approx(-terms.reconstruction - np.sum(terms.kl))


@pytest.mark.parametrize("size", [1.0, 300.0])  # logits of hundreds must not overflow
def test_bernoulli_reconstruction_is_the_cross_entropy(size: float) -> None:
    x = np.array([0.0, 1.0, 0.3, 0.9, 1.0])
    model = BetaVAE.make(jax.random.key(0), (5,), latents=2, depth=0, likelihood="bernoulli")
    model = eqx.tree_at(lambda m: m.decoder.layers[0].weight, model, replace_fn=lambda w: size * w)
    mean, _ = eqx.filter_jit(model.posterior)(jnp.asarray(x))
    logits = np.asarray(model.decoder(mean))
    expected = np.sum(x * np.logaddexp(0, -logits) + (1 - x) * np.logaddexp(0, logits))
    terms = eqx.filter_jit(model.terms)(jnp.asarray(x), jnp.zeros(2))
    assert terms.reconstruction == pytest.approx(expected, rel=1e-12)
    assert terms.mse == pytest.approx(np.mean((x - 1 / (1 + np.exp(-logits))) ** 2), rel=1e-9)


def test_elbo_of_the_exact_posterior_is_the_log_density() -> None:
    rng = np.random.default_rng(1)
    w, x = weights(rng), rng.normal(1.0, 2.0, (20, D))
    law = stats.multivariate_normal(SHIFT, w @ w.T + NOISE**2 * np.eye(D))
    np.testing.assert_allclose(exact_elbo(linear(w), x), law.logpdf(x), rtol=1e-10)
    # By draws, within five standard errors
    found = np.stack([linear(w).evaluate(x[:3], draws=400, seed=seed).elbo for seed in range(10)])
    assert np.all(np.abs(found.mean(0) - law.logpdf(x[:3])) < 5 * found.std(0) / np.sqrt(9))


def test_probabilistic_pca_is_where_the_elbo_is_highest() -> None:
    rng = np.random.default_rng(2)
    x = SHIFT + rng.normal(size=(200, D)) @ np.diag([2.6, 2.1, 1.5, 0.7, 0.6, 0.5, 0.4])
    x += SHIFT - x.mean(0)
    values, vectors = np.linalg.eigh(np.cov(x.T, bias=True))
    rest = values[:-K].mean()  # the noise variance of maximum likelihood (Tipping and Bishop 1999, equation 8)
    model = linear(vectors[:, -K:] * np.sqrt(values[-K:] - rest), noise=float(np.sqrt(rest)))
    best = -0.5 * (D * np.log(2 * np.pi) + np.log(values[-K:]).sum() + (D - K) * np.log(rest) + D)
    assert float(exact_elbo(model, x).mean()) == pytest.approx(best, rel=1e-12)
    networks = eqx.filter((model.encoder, model.decoder), eqx.is_inexact_array)
    own = eqx.filter((model.encoder, model.decoder), eqx.is_inexact_array, inverse=True)

    @jax.jit
    @jax.grad
    def slope(networks: Any) -> Any:
        encoder, decoder = eqx.combine(networks, own)
        whole = eqx.tree_at(lambda m: (m.encoder, m.decoder), model, (encoder, decoder))
        return jnp.mean(exact_elbo(whole, x))

    assert max(float(jnp.abs(a).max()) for a in jax.tree.leaves(slope(networks))) < 1e-9


@pytest.mark.parametrize(
    "x_shape,options",
    [
        ((), {"depth": 0}),
        ((4, 3, 2), {}),
        ((9, 3), {"network": "conv1d", "depth": 2}),
        ((7,), {"network": "conv1d", "depth": 1}),
    ],
)
def test_shapes(x_shape: tuple[int, ...], options: dict[str, Any]) -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(3.0, 2.0, (6, *x_shape))
    model = BetaVAE.for_data(jax.random.key(0), x, latents=2, **({"width": 8} | options))
    assert model.encode(x).shape == model.encode_sd(x).shape == (6, 2)
    assert model.reconstruct(x).shape == x.shape
    # A batch of one is the row of a batch, whatever else is in it
    np.testing.assert_allclose(model.encode(x[2:3])[0], model.encode(x)[2], rtol=1e-12)
    np.testing.assert_allclose(model.evaluate(x[:1]).elbo[0], model.evaluate(x).elbo[0], rtol=1e-12)


def test_units_of_data() -> None:
    rng = np.random.default_rng(5)
    curves = rng.normal(size=(500, 30)) * np.linspace(0.5, 2.0, 30) + np.linspace(-5, 9, 30)
    model = BetaVAE.for_data(jax.random.key(0), curves, depth=0)
    np.testing.assert_allclose(model.shift, curves.mean(0))
    np.testing.assert_allclose(model.scale, np.sqrt(curves.var(0).mean()))  # one for all points
    np.testing.assert_allclose(model.noise, 0.1 * np.asarray(model.scale))
    channels = np.stack([curves, 100 * curves], axis=-1)
    model = BetaVAE.for_data(jax.random.key(0), channels, noise=0.3, depth=0)
    np.testing.assert_allclose(model.scale, np.sqrt(channels.var(0).mean(0))[None])
    assert float(model.noise) == 0.3
    assert float(BetaVAE.for_data(jax.random.key(0), np.full((9, 30), 0.1), depth=0).scale) == 1


def test_encode_and_traverse_of_a_linear_model() -> None:
    rng = np.random.default_rng(6)
    w, x = weights(rng), rng.normal(1.0, 2.0, (300, D))
    model = linear(w)
    inverse = np.linalg.inv(w.T @ w + NOISE**2 * np.eye(K))
    z = (x - SHIFT) @ w @ inverse
    np.testing.assert_allclose(model.encode(x), z, rtol=1e-10)
    np.testing.assert_allclose(model.encode_sd(x), np.tile(NOISE * np.sqrt(np.diag(inverse)), (300, 1)), rtol=1e-10)
    np.testing.assert_allclose(model.reconstruct(x), SHIFT + z @ w.T, rtol=1e-9)
    # One latent takes the values, the others stay
    at = np.array([-2.5, 0.4, 3.0])
    moved = model.traverse(x[0], 1, at) - model.reconstruct(x[:1])
    np.testing.assert_allclose(moved, (at - z[0, 1])[:, None] * w[:, 1], rtol=1e-9)
    assert model.traverse(x[0], 1).shape == (7, D)
    np.testing.assert_allclose(model.traverse(x[0], 2)[-1] - model.traverse(x[0], 2)[0], 6 * w[:, 2], rtol=1e-9)


def test_samples_have_the_model_s_covariance() -> None:
    w, n = weights(np.random.default_rng(7)), 10_000
    model = linear(w)
    for noisy, c in ((True, w @ w.T + NOISE**2 * np.eye(D)), (False, w @ w.T)):
        x = model.sample(jax.random.key(0), n, noisy=noisy)
        error = np.sqrt((c**2 + np.outer(np.diag(c), np.diag(c))) / n)  # of a covariance of normal numbers
        assert np.all(np.abs(np.cov(x.T) - c) < 5 * error + 1e-12)
        assert np.all(np.abs(x.mean(0) - SHIFT) < 5 * np.sqrt(np.diag(c) / n))
    binary = BetaVAE.make(jax.random.key(0), (D,), latents=K, likelihood="bernoulli", depth=0)
    assert set(np.unique(binary.sample(jax.random.key(0), 50))) == {0.0, 1.0}


def test_calibrated_noise_is_the_model_s_own_and_the_elbo_s_best() -> None:
    """With its exact posterior a linear VAE leaves its own noise in its own samples: the fixed point of EM."""
    right = linear(weights(np.random.default_rng(7)))
    x = right.sample(jax.random.key(1), 10_000)
    off = eqx.tree_at(lambda m: m.noise, right, jnp.asarray(5.0))
    found = off.calibrated(x)
    assert abs(float(found.noise) / NOISE - 1) < 5 / np.sqrt(2 * D * 10_000)
    some = x[:500]
    best = [eqx.tree_at(lambda m: m.noise, off, f * off.calibrated(some).noise) for f in (1.0, 1.05, 1 / 1.05)]
    elbo = [model.evaluate(some).elbo.mean() for model in best]
    assert elbo[0] > max(elbo[1:])
    at_means = np.sqrt(np.mean((some - off.reconstruct(some)) ** 2))
    np.testing.assert_allclose(off.calibrated(some, draws=0).noise, at_means, rtol=1e-9)


def test_evaluation_at_the_mean() -> None:
    rng = np.random.default_rng(8)
    model, x = linear(weights(rng)), rng.normal(1.0, 2.0, (30, D))
    found = model.evaluate(x, draws=0)
    np.testing.assert_allclose(found.mse, np.mean((x - model.reconstruct(x)) ** 2, axis=1), rtol=1e-10)
    np.testing.assert_allclose(found.kl, gaussian_kl(model.encode(x), 2 * np.log(model.encode_sd(x))), rtol=1e-10)
    again = [model.evaluate(x, seed=s).elbo for s in (0, 0, 1)]
    assert np.array_equal(again[0], again[1]) and not np.array_equal(again[0], again[2])


MODEL = BetaVAE.make(jax.random.key(0), (D,), latents=K, depth=0)


@pytest.mark.parametrize(
    "call,message",
    [
        (
            lambda: BetaVAE.make(jax.random.key(0), (4,), network="gru"),
            r"network must be one of mlp, conv1d; got 'gru'",
        ),
        (lambda: BetaVAE.make(jax.random.key(0), (4,), likelihood="mse"), r"one of gaussian, bernoulli; got 'mse'"),
        (lambda: BetaVAE.make(jax.random.key(0), (4, 4, 3), network="conv1d"), r"shape \(T,\) or \(T, channels\)"),
        (lambda: BetaVAE.make(jax.random.key(0), (4,), latents=0), r"latents must be a whole number of at least 1"),
        (lambda: BetaVAE.make(jax.random.key(0), (9,), network="conv1d", depth=0), r"depth must be a whole number"),
        (lambda: BetaVAE.make(jax.random.key(0), (4,), noise=0.0), r"noise must be positive; got 0"),
        (
            lambda: BetaVAE.make(jax.random.key(0), (4,), scale=[1.0, 2.0]),
            r"scale must be .* broadcasts to one x \(4,\)",
        ),
        (lambda: BetaVAE.make(jax.random.key(0), (4,), shift=np.nan), r"shift must be a finite number"),
        (lambda: MODEL.encode(np.ones((3, 5))), r"one observation per row, shape \(n, 7\); got \(3, 5\)"),
        (lambda: MODEL.encode(np.array([D * [np.nan]])), r"x must hold finite numbers; x\[0, 0\] is nan"),
        (lambda: MODEL.decode(np.full((2, K), np.inf)), r"z must hold finite numbers; z\[0, 0\] is inf"),
        (lambda: MODEL.encode("abc"), r"x must be an array of real numbers, .*; got 'abc'"),
        (lambda: MODEL.encode(np.ones((4, 6)) + 1j), r"x must be an array of real numbers; got dtype complex128"),
        (lambda: MODEL.decode([["a", "b"]]), r"z must be an array of real numbers; got dtype <U1"),
        (lambda: MODEL.decode(np.ones(K)), r"z must have one row of 3 latents for each x to make; got shape \(3,\)"),
        (lambda: MODEL.traverse(np.ones((1, D)), 0), r"x must have one observation, shape \(7,\); got shape \(1, 7\)"),
        (lambda: MODEL.traverse(np.ones(D), 3), r"latent must be a whole number from 0 to 2; got 3"),
        (lambda: MODEL.traverse(np.ones(D), 0, [[1.0]]), r"values must be finite numbers with shape \(values,\)"),
        (lambda: MODEL.traverse(np.ones(D), 0, []), r"values must be finite numbers with shape \(values,\)"),
        (
            lambda: BetaVAE.make(jax.random.key(0), (D,), likelihood="bernoulli").calibrated(np.ones((3, D))),
            r'only a "gaussian" likelihood has a noise',
        ),
        (lambda: MODEL.evaluate(np.ones((2, D)), draws=-1), r"draws must be a whole number of at least 0; got -1"),
    ],
)
def test_wrong_input(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
