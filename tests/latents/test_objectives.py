"""Objectives: their formula by hand, and what they show the networks."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from latents.linear_vae import SCALE, D, K, linear, weights

from avo.latents import autoencoder, beta, capacity, denoising, objectives
from avo.latents.models import Terms

batch_terms = eqx.filter_jit(objectives.batch_terms)  # one program is compiled sooner than its many operations


def test_objectives_by_hand() -> None:
    terms = Terms(jnp.array([7.0, 3.0]), jnp.array([[1.0, 0.2, 0.3], [2.0, 0.4, 0.1]]), jnp.array([9.0, 9.0]))
    assert float(beta(4.0).loss(terms, 0.3)) == pytest.approx(5 + 4 * 2)
    assert float(autoencoder().loss(terms, 0.3)) == float(denoising(0.2).loss(terms, 0.3)) == 5
    for progress, C in ((0.0, 0.0), (0.1, 2.0), (0.25, 5.0), (0.9, 5.0)):
        objective = capacity(10.0, 5.0, ramp=0.25)
        assert float(objective.capacity_at(progress)) == pytest.approx(C)
        assert float(objective.loss(terms, progress)) == pytest.approx(5 + 10 * abs(2 - C))
    assert float(capacity(10.0, 5.0, ramp=0.0).capacity_at(0.0)) == 5


def test_what_an_objective_shows_the_networks() -> None:
    model, x = linear(weights(np.random.default_rng(3))), jnp.full((4000, D), 1.1)
    mean = batch_terms(model, autoencoder(), x[:2], jax.random.key(0))
    np.testing.assert_allclose(mean.mse, np.mean((model.reconstruct(x[:2]) - np.asarray(x[:2])) ** 2, axis=1))
    drawn = batch_terms(model, beta(), x, jax.random.key(0))
    assert len(np.unique(drawn.mse)) == 4000
    # The mean of a linear encoder moves by A (sd scale eps): variance sd^2 scale^2 (A A^T)_ii, to 5 sigma of 4000 draws
    a = np.asarray(model.encoder.layers[1].layers[0].weight)[:K] / SCALE
    noisy = batch_terms(model, denoising(0.3), x, jax.random.key(0))
    log_var = np.asarray(model.posterior(x[0])[1])
    square = 2 * np.asarray(noisy.kl) - np.exp(log_var) + 1 + log_var  # mean(x + noise)^2
    expected = np.asarray(model.mean(x[0])) ** 2 + (0.3 * SCALE) ** 2 * np.sum(a**2, axis=1)
    assert np.all(np.abs(square.mean(0) - expected) < 5 * square.std(0) / np.sqrt(4000))
    assert not np.allclose(expected, np.asarray(model.mean(x[0])) ** 2, rtol=0.05)


@pytest.mark.parametrize(
    "make,message",
    [
        (lambda: beta(-1.0), r"weight must be a finite number of at least 0; got -1.0"),
        (lambda: capacity("a", 5.0), r"gamma must be a finite number of at least 0; got 'a'"),
        (lambda: capacity(10.0, np.inf), r"C must be a finite number of at least 0; got inf"),
        (lambda: capacity(10.0, 5.0, ramp=1.5), r"ramp must be a number in \[0, 1\]; got 1.5"),
        (lambda: denoising(True), r"corruption must be a finite number of at least 0; got True"),
    ],
)
def test_wrong_objectives(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
