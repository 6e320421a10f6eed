"""Linear VAEs, whose posterior and ELBO are known exactly."""

from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from avo.latents import BetaVAE

D, K = 7, 3
SHIFT, SCALE, NOISE = np.linspace(1.3, -2.1, D), 1.7, 0.6


def with_weights(model: BetaVAE, *new: np.ndarray) -> BetaVAE:
    """Replace weight and bias of a linear encoder, then of a linear decoder."""

    def where(m: Any) -> tuple[Any, ...]:
        encoder, decoder = m.encoder.layers[1].layers[0], m.decoder.layers[0]
        return encoder.weight, encoder.bias, decoder.weight, decoder.bias

    return eqx.tree_at(where, model, tuple(map(jnp.asarray, new)))


def linear(weight: np.ndarray, noise: float = NOISE) -> BetaVAE:
    """The linear VAE whose decoder is N(shift + weight z, noise^2 I), and whose encoder is its exact posterior.

    With orthogonal columns the posterior N(M^-1 W^T (x - shift), noise^2 M^-1), M = W^T W + noise^2 I, has a diagonal
    covariance, as a VAE has it (Tipping and Bishop 1999, equation 6).
    """
    model = BetaVAE.make(
        jax.random.key(0), (len(weight),), latents=K, depth=0, shift=SHIFT[: len(weight)], scale=SCALE, noise=noise
    )
    inverse = np.linalg.inv(weight.T @ weight + noise**2 * np.eye(K))
    encoder = np.concatenate([inverse @ weight.T * SCALE, np.zeros((K, len(weight)))])
    bias = np.concatenate([np.zeros(K), np.log(noise**2 * np.diag(inverse))])
    return with_weights(model, encoder, bias, weight / SCALE, np.zeros(len(weight)))


@eqx.filter_jit
def exact_elbo(model: BetaVAE, x: Any) -> Any:
    """The ELBO of a linear decoder, exactly: 2 k points whose mean is that of N(0, I) for every quadratic in eps."""
    root = jnp.sqrt(float(K)) * jnp.eye(K)
    terms = jax.vmap(jax.vmap(model.terms, (None, 0)), (0, None))(jnp.asarray(x), jnp.concatenate([root, -root]))
    return jnp.mean(terms.elbo, axis=1)


def weights(rng: np.random.Generator) -> np.ndarray:
    return np.linalg.qr(rng.normal(size=(D, K)))[0] * np.array([2.5, 1.4, 0.8])


def magnified(model: BetaVAE, decoder: float, encoder: float = 1.0) -> BetaVAE:
    """The model with larger weights: one that is bent, and whose latents speak."""

    def times(by: float, tree: Any) -> Any:
        return jax.tree.map(lambda a: by * a if eqx.is_array(a) else a, tree)

    return replace(model, decoder=times(decoder, model.decoder), encoder=times(encoder, model.encoder))
