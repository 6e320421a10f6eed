"""Training: what is learned where the answer is known, and that a run can be repeated."""

from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from latents.plane import MAKE, NOISE, D, K, N, X, train

from avo import latents
from avo.latents import BetaVAE, Objective, Trained, autoencoder, beta, capacity, denoising

VALUES, VECTORS = np.linalg.eigh(np.cov(X.T, bias=True))


def fit(objective: Any, epochs: int = 400, rate: float = 0.02, **options: Any) -> Trained:
    return train(MAKE, X, objective=objective, epochs=epochs, rate=rate, final=0.0, **options)


@pytest.fixture(scope="module")
def plain() -> Trained:
    return fit(beta(1.0))


def angle(model: BetaVAE) -> float:
    """Largest angle between the decoder's plane and that of the two leading principal components."""
    decoder = np.linalg.qr(np.asarray(model.decoder.layers[0].weight))[0]
    return float(np.arccos(np.linalg.svd(decoder.T @ VECTORS[:, -K:])[1].min()))


def test_a_linear_vae_finds_probabilistic_pca(plain: Trained) -> None:
    # log p of the best W at this noise: covariance U diag(values) U^T in the plane, noise^2 outside
    kept, rest = VALUES[-K:], VALUES[:-K].sum() / NOISE**2
    best = -0.5 * (D * np.log(2 * np.pi) + np.log(kept).sum() + (D - K) * np.log(NOISE**2) + K + rest)
    # The ELBO of a linear decoder is the mean over 2 k points, exactly
    root = jnp.sqrt(float(K)) * jnp.eye(K)
    elbo = lambda model, x, eps: jax.vmap(jax.vmap(model.terms, (None, 0)), (0, None))(x, eps).elbo  # noqa: E731
    found = eqx.filter_jit(elbo)(plain.model, jnp.asarray(X), jnp.concatenate([root, -root])).mean()
    assert best - 0.01 < found <= best
    # By 4 draws for each of 500 observations, whose sd of about 1 leaves .02
    assert plain.model.evaluate(X, draws=4).elbo.mean() == pytest.approx(best, abs=0.1)
    assert angle(plain.model) < 0.03
    # K = sum (mean^2 + var - 1 - log var) / 2 averages to log(value / noise^2) / 2 at the optimum (mean^2 + var to 1)
    np.testing.assert_allclose(np.sort(plain.history["kl_per_latent"][-1]), 0.5 * np.log(kept / NOISE**2), atol=0.1)
    np.testing.assert_allclose(plain.history["kl"], plain.history["kl_per_latent"].sum(1))
    np.testing.assert_allclose(plain.history["loss"], plain.history["reconstruction"] + plain.history["kl"])
    constant = D * np.log(2 * np.pi * NOISE**2) / 2
    np.testing.assert_allclose(plain.history["reconstruction"], D * plain.history["mse"] / (2 * NOISE**2) + constant)


def test_a_calibrated_linear_vae_finds_the_noise_of_probabilistic_pca() -> None:
    # Tipping and Bishop (1999), equation 8: the mean of the values off the plane; started at six times the noise
    best = VALUES[:-K].mean()
    trained = train(
        partial(MAKE, noise=6 * NOISE), X, objective=beta(1.0, calibrated=True), epochs=400, rate=0.02, final=0.0
    )
    assert float(trained.model.noise) ** 2 == pytest.approx(best, rel=0.02)
    kl = np.sort(trained.history["kl_per_latent"][-1])
    np.testing.assert_allclose(kl, 0.5 * np.log(VALUES[-K:] / best), atol=0.1)
    left = 0.5 * D * (1 + np.log(2 * np.pi * trained.history["mse"][-1]))
    assert trained.history["reconstruction"][-1] == pytest.approx(left, abs=0.01)  # of batches, whose logs differ
    # Twice the weight: what carries information is known as if the noise variance were twice what is left
    history = train(MAKE, X, objective=beta(2.0, True), epochs=200, rate=0.02, final=0.0).history
    kl, left = np.sort(history["kl_per_latent"][-1]), history["mse"][-1]
    np.testing.assert_allclose(kl, 0.5 * np.log(VALUES[-K:] / (2 * left)), atol=0.1)


def test_a_linear_autoencoder_is_pca() -> None:
    trained = fit(autoencoder())
    assert trained.model.evaluate(X, draws=0).mse.mean() == pytest.approx(VALUES[:-K].sum() / D, rel=0.005)
    assert angle(trained.model) < 0.03
    assert "kl" not in trained.history and "capacity" not in trained.history


def test_more_beta_less_information() -> None:
    kl = [fit(beta(b), epochs=100).history["kl"][-1] for b in (0.5, 2.0, 8.0)]
    # The plane's values v carry log(v / (beta noise^2)) / 2 nats where positive (scale noise by sqrt(beta))
    for b, found in zip((0.5, 2.0, 8.0), kl, strict=True):
        assert found == pytest.approx(0.5 * np.log(np.maximum(VALUES[-K:] / (b * NOISE**2), 1)).sum(), abs=0.25)


@pytest.mark.parametrize("C", [1.5, 6.0])  # less and more than the 3.7 nats of the plain VAE
def test_capacity_holds_the_information(C: float) -> None:
    history = fit(capacity(100.0, C, ramp=0.25), epochs=100).history
    assert history["kl"][-10:].mean() == pytest.approx(C, abs=0.1)
    # Epoch e holds steps 5 e .. 5 e + 4 of 500; C(t) = C t / 125 until step 125
    steps = np.arange(500).reshape(100, 5)
    np.testing.assert_allclose(history["capacity"], np.minimum(C, C * steps / 125).mean(1), rtol=1e-12)
    np.testing.assert_allclose(history["kl"][5:20], history["capacity"][5:20], atol=0.3)


def test_first_step_and_first_loss() -> None:
    model = MAKE(jax.random.key(3), X)
    trained = latents.train(model, X, objective=autoencoder(), epochs=1, batch=N, rate=0.0123, progress=False)
    before = model.evaluate(X, draws=0)
    assert trained.history["reconstruction"] == pytest.approx([before.reconstruction.mean()])
    assert trained.history["mse"] == pytest.approx([before.mse.mean()])
    # Adam's first move has the length of the rate in every weight that has a gradient
    moved = np.asarray(trained.model.decoder.layers[0].weight - model.decoder.layers[0].weight)
    np.testing.assert_allclose(np.abs(moved), 0.0123, rtol=1e-3)
    for name in ("shift", "scale", "noise"):
        assert np.array_equal(getattr(trained.model, name), getattr(model, name))


def test_the_best_epoch_is_kept() -> None:
    # Twenty observations of noise: what is learned of them does not hold for others
    rng = np.random.default_rng(5)
    x, other = rng.normal(size=(20, D)), rng.normal(size=(300, D))
    make = partial(BetaVAE.for_data, latents=3, width=32, depth=1, noise=1.0)
    trained = train(make, x, objective=autoencoder(), epochs=300, rate=5e-3, validation=other)
    losses = trained.history["validation_loss"]
    assert trained.epoch == losses.argmin() + 1 < 300 and losses[-1] > losses.min() + 1
    found = trained.model.evaluate(other, draws=0)  # 300 observations are more than one chunk of validation
    assert found.mse.mean() == pytest.approx(trained.history["validation_mse"][trained.epoch - 1], rel=1e-9)
    assert found.reconstruction.mean() == pytest.approx(losses.min(), rel=1e-9)


def test_denoising_returns_the_clean_observation() -> None:
    # The best linear map from x + noise to x, of rank k: reduced-rank regression (Bourlard and Kamp 1988 for sd = 0)
    sd = 0.8
    trained = fit(denoising(sd))
    corrupted = VALUES[-K:] / (VALUES[-K:] + (sd * float(trained.model.scale)) ** 2)
    expected = (VALUES[:-K].sum() + np.sum(VALUES[-K:] * (1 - corrupted))) / D
    assert trained.history["mse"][-20:].mean() == pytest.approx(expected, rel=0.05)


class Counting(eqx.Module):
    """A decoder that notes each time it is traced."""

    line: eqx.nn.Linear
    traces: list[int] = eqx.field(static=True)

    def __call__(self, z: Any) -> Any:
        self.traces.append(1)
        return self.line(z)


class Names(list[int]):
    """A list that can be the static part of a module."""

    def __hash__(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return id(self)


def test_one_program_and_the_same_bits() -> None:
    traces = Names()
    model = MAKE(jax.random.key(0), X)
    model = eqx.tree_at(lambda m: m.decoder, model, Counting(eqx.nn.Linear(K, D, key=jax.random.key(1)), traces))
    run = partial(train, model, X, epochs=3)
    first = run(seed=4)
    count = len(traces)
    again = run(seed=4)
    others = [run(seed=5), run(objective=beta(2.0)), run(objective=capacity(50.0, 3.0)), run(rate=1e-3, final=0.5)]
    longer = train(model, X, epochs=23)  # three calls of the program
    assert len(traces) == count + 6  # what checks the model, once for each training
    assert all(len(longer.history[name]) == 23 for name in longer.history)
    for a, b in zip(jax.tree.leaves(first.model), jax.tree.leaves(again.model), strict=True):
        assert np.array_equal(a, b)
    assert len({float(t.history["loss"][-1]) for t in (first, *others)}) == 5

    known = len(traces)
    train(model, X[50:], epochs=3, validation=X[:50])
    once = len(traces) - known
    train(model, X[50:], epochs=23, validation=X[:50])
    assert len(traces) == known + once + 1


def test_the_talk_s_settings() -> None:
    for name, C, gamma in (("ecg-talk", 25.0, 100.0), ("prices-talk", 100.0, 1000.0)):
        recipe = latents.recipe(name)
        assert (recipe["epochs"], recipe["rate"]) == (50, 5e-4)
        assert recipe["objective"] == capacity(gamma, C)
        assert recipe["model"].func == BetaVAE.for_data
        assert recipe["model"].keywords == {"latents": 10, "network": "mlp", "width": 256, "depth": 2}
    with pytest.raises(ValueError, match=r"recipe must be one of ecg-talk, prices-talk, fraud-talk; got 'ecg'"):
        latents.recipe("ecg")


WRONG = BetaVAE(
    eqx.nn.Linear(D, 3, key=jax.random.key(0)),
    eqx.nn.Linear(2, D, key=jax.random.key(0)),
    jnp.ones(()),
    jnp.ones(()),
    jnp.ones(()),
    (D,),
    2,
)
NARROW = BetaVAE(
    eqx.nn.Linear(4, 4, key=jax.random.key(0)), WRONG.decoder, WRONG.shift, WRONG.scale, WRONG.noise, (D,), 2
)


@pytest.mark.parametrize(
    "model,x,options,message",
    [
        (MAKE, X, {"epochs": 0}, r"epochs must be a whole number of at least 1; got 0"),
        (MAKE, X, {"batch": 2.5}, r"batch must be a whole number of at least 1; got 2.5"),
        (MAKE, X, {"rate": 0.0}, r"rate must be a finite number above zero; got 0.0"),
        (MAKE, X, {"final": 2.0}, r"final must be a number in \[0, 1\]; got 2.0"),
        (MAKE, X, {"objective": "beta"}, r"objective must be one of avo.latents, .* got 'beta'"),
        (MAKE, X, {"rate": "1e-3"}, r"rate must be a finite number above zero; got '1e-3'"),
        (MAKE, X * np.nan, {}, r"x must hold finite numbers"),
        (MAKE, X[:, 0], {}, r"x must have one observation per row, .* One value: x\[:, None\]"),
        (MAKE, X, {"validation": X[:, :3]}, r"validation must have rows shaped as the model's x, \(6,\); got \(3,\)"),
        (MAKE(jax.random.key(0), X), X[:, :4], {}, r"x must have rows shaped as the model's x, \(6,\); got \(4,\)"),
        (
            partial(MAKE, likelihood="bernoulli"),
            X * 0 + 0.5,
            {"objective": beta(1.0, calibrated=True)},
            r"objective must not be calibrated for likelihood='bernoulli', which has no noise",
        ),
        (partial(MAKE, likelihood="bernoulli"), X, {}, r"x must lie in \[0, 1\] for likelihood='bernoulli'; it goes"),
        ("mlp", X, {}, r"model must be a BetaVAE or a factory \(key, x\)"),
        (BetaVAE, X, {}, r"model must be a BetaVAE or a factory \(key, x\)"),
        (lambda key, x: key, X, {}, r"model, a factory, must make a BetaVAE"),
        (WRONG, X, {}, r"encoder must give mean and log variance of z, each \(2,\)"),
        (NARROW, X, {}, r"networks cannot be applied to x \(6,\) and z \(2,\)"),
        (MAKE, X, {"rate": 1e200, "epochs": 2}, r"loss is not finite after epoch 2; take a rate below 1e\+200"),
    ],
)
def test_wrong_input(model: Any, x: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train(model, x, **options)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda x: x + 1e8,
            r"x scatters by 1\.\d+ about values of up to 1e\+08, which float32 does not hold; subtract",
        ),
        (lambda x: 1e-20 * x, r"x scatters by 1\.\d+e-20 about .* divide by its scale"),
        (lambda x: 1e25 * x, r"x scatters by 1\.\d+e\+25 about .* divide by its scale"),
    ],
)
def test_what_single_precision_does_not_hold_is_refused(change: Any, says: str) -> None:
    x = 1.3 * np.random.default_rng(0).normal(size=(300, 4))
    make = partial(BetaVAE.for_data, latents=2, width=8)
    with jax.enable_x64(False):
        with pytest.raises(ValueError, match=says):
            latents.train(make, change(x), epochs=1, progress=False)
        # A standard deviation well above the rounding is learned from: 1000 is 770 of them
        assert latents.train(make, x + 1000, epochs=1, progress=False).history["mse"][-1] > 0


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"beta": -4.0}, r"objective.beta must be a finite number of at least 0; got -4.0"),
        ({"beta": float("nan")}, r"objective.beta must be a finite number of at least 0; got nan"),
        ({"gamma": 1.0, "ramp": 1.5}, r"objective.ramp must be a number in \[0, 1\]; got 1.5"),
    ],
)
def test_objectives_numbers_are_checked(numbers: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        latents.train(BetaVAE.for_data, np.ones((60, 3)), objective=Objective(**numbers), progress=False)
