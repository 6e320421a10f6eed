"""What a beta-VAE is trained by: one formula, whose cases have names.

With R, K = sum_i K_i as in avo/latents/models.py, both averaged over the observations of a batch, at step t

    L = R + beta K + gamma |K - C(t)|,    C(t) = C min(1, t / (ramp T)),    T steps in all

    beta(b)           L = R + b K                            Higgins et al. 2017; 1 is the plain VAE, L = -ELBO
    beta(b, True)     the same, with R = D/2 (1 + log(2 pi MSE)), D values of x      Rybkin et al. 2021
    capacity(g, C)    L = R + g |K - C(t)|                   Burgess et al. 2018, arXiv:1804.03599, equation 8
    autoencoder()     L = R at z = mean(x)                   with "gaussian" and one noise, least squares
    denoising(sd)     the same, the encoder seeing x + sd scale eps       Vincent et al. 2008

The absolute value is taken of the batch's mean K, as in disentanglement_lib. All cases with a drawn z, whatever their
numbers, share one compiled program.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from avo.checks import between, nonnegative
from avo.latents.models import BetaVAE, Terms


class Objective(NamedTuple):
    """The weights of L, see avo/latents/objectives.py; `beta`, `capacity`, `autoencoder` and `denoising` make them.

    Args:
        beta: weight of K, per nat.
        gamma: weight of |K - C(t)|, per nat.
        capacity: C in nats, where C(t) ends.
        ramp: share of the training's steps over which C(t) grows, from 0 to 1.
        sampled: whether z is drawn from q(z|x), or its mean.
        corruption: standard deviation of the noise that is added to what the encoder sees, in units of `scale`.
        calibrated: 1 where R is taken at the noise that the batch leaves, 0 at the model's.
    """

    beta: float = 0.0
    gamma: float = 0.0
    capacity: float = 0.0
    ramp: float = 0.0
    sampled: bool = True
    corruption: float = 0.0
    calibrated: float = 0.0

    def traced(self) -> "Objective":
        """Make the numbers arrays, which a compiled program takes as they come; what is left decides the program."""
        dtype = jnp.result_type(float)
        names = "beta", "gamma", "capacity", "ramp", "calibrated"
        numbers: Any = {name: jnp.asarray(getattr(self, name), dtype) for name in names}
        return self._replace(**numbers)

    def capacity_at(self, progress: Array | float) -> Array:
        """Compute C(t) after a share `progress` = t / T of the training.

        Example:
            >>> [float(capacity(100.0, 25.0, ramp=0.5).capacity_at(p)) for p in (0.0, 0.2, 0.5, 1.0)]
            [0.0, 10.0, 25.0, 25.0]
        """
        grown = jnp.where(self.ramp > 0, progress / jnp.maximum(self.ramp, 1e-12), 1.0)
        return self.capacity * jnp.minimum(grown, 1.0)

    def loss(self, terms: Terms, progress: Array | float) -> Array:
        """Compute L of a batch from its terms, with shapes (n,), (n, k) and (n,).

        Example:
            >>> terms = Terms(jnp.array([3.0, 5.0]), jnp.array([[1.0, 0.5], [2.0, 0.5]]), jnp.zeros(2))
            >>> float(beta(4.0).loss(terms, 1.0)), float(capacity(10.0, 5.0).loss(terms, 1.0))
            (12.0, 34.0)
        """
        kl = jnp.mean(jnp.sum(terms.kl, axis=-1))
        return jnp.mean(terms.reconstruction) + self.beta * kl + self.gamma * jnp.abs(kl - self.capacity_at(progress))


def beta(weight: float = 4.0, calibrated: bool = False) -> Objective:
    """Make the objective R + weight K of the beta-VAE; a weight of 1 is the plain VAE.

    Args:
        weight: per nat.
        calibrated: whether the noise is the one that the model leaves, sqrt of the batch's MSE, in place of the stated
            one, of which a weight means little where it is far from that. Of a "gaussian" likelihood only.

    Source: Higgins et al., ICLR 2017; Rybkin, Daniilidis and Levine, ICML 2021, arXiv:2006.13202.

    Example:
        >>> beta(1.0).beta
        1.0
    """
    return Objective(beta=nonnegative("weight", weight), calibrated=float(bool(calibrated)))


def capacity(gamma: float, C: float, ramp: float = 0.5) -> Objective:
    """Make the objective R + gamma |K - C(t)|, which holds K, the information about x in z, at C(t).

    Args:
        gamma: weight, per nat.
        C: nats at the end.
        ramp: share of the training over which C(t) grows linearly from 0 to C; 0 for C at once.

    Source: Burgess et al. 2018, arXiv:1804.03599, equation 8.

    Example:
        >>> capacity(100.0, 25.0).capacity
        25.0
    """
    return Objective(gamma=nonnegative("gamma", gamma), capacity=nonnegative("C", C), ramp=between("ramp", ramp, 0, 1))


def autoencoder() -> Objective:
    """Make the objective R at z = mean(x): no draw, no prior; what the encoder says of log_var means nothing then.

    Example:
        >>> autoencoder().sampled
        False
    """
    return Objective(sampled=False)


def denoising(corruption: float = 0.5) -> Objective:
    """Make the objective of an autoencoder that sees x with Gaussian noise and is to return x without.

    Args:
        corruption: standard deviation of the noise, in units of the model's `scale`.

    Source: Vincent et al., ICML 2008.

    Example:
        >>> denoising(0.3).corruption
        0.3
    """
    return Objective(sampled=False, corruption=nonnegative("corruption", corruption))


def batch_terms(model: BetaVAE, objective: Objective, x: Float[Array, "n *x_shape"], key: PRNGKeyArray) -> Terms:
    """Compute the terms of a batch, z and corruption drawn as the objective says; those two decide the program."""
    key_z, key_x = jax.random.split(key)
    shape = (len(x), model.latents)
    eps = jax.random.normal(key_z, shape, x.dtype) if objective.sampled else jnp.zeros(shape, x.dtype)
    if objective.sampled or not objective.corruption:
        terms = jax.vmap(model.terms)(x, eps)
        left = jnp.maximum(jnp.mean(terms.mse), jnp.finfo(x.dtype).tiny)
        best = 0.5 * x[0].size * (1 + jnp.log(2 * jnp.pi * left))
        return terms._replace(reconstruction=jnp.where(objective.calibrated > 0, best, terms.reconstruction))
    noise = objective.corruption * jax.random.normal(key_x, x.shape, x.dtype)
    return jax.vmap(lambda x, eps, noise: model.terms(x, eps, x + model.scale * noise))(x, eps, noise)
