"""What a beta-VAE is trained by: one formula, whose cases have names.

With R, K = sum_i K_i as in avo/latents/models.py, both averaged over the observations of a batch, at step t

    L = R + beta K + gamma |K - C(t)| + weight P,    C(t) = C min(1, t / (ramp T)),    T steps in all

    beta(b)           L = R + b K                            Higgins et al. 2017; 1 is the plain VAE, L = -ELBO
    beta(b, True)     the same, with R = D/2 (1 + log(2 pi MSE)), D values of x      Rybkin et al. 2021
    capacity(g, C)    L = R + g |K - C(t)|                   Burgess et al. 2018, arXiv:1804.03599, equation 8
    autoencoder()     L = R at z = mean(x)                   with "gaussian" and one noise, least squares
    denoising(sd)     the same, the encoder seeing x + sd scale eps       Vincent et al. 2008

and with P the total correlation TC of the codes, avo/latents/correlation.py, or pairs, avo/latents/weak.py,

    beta_tcvae(b)     L = R + K + (b - 1) TC, from the batch                  Chen et al. 2018, arXiv:1802.04942
    factor_vae(w)     L = R + K + w TC, from a discriminator                  Kim and Mnih 2018, arXiv:1802.05983
    ada_gvae(b)       L = R + b K at posteriors that pairs share              Locatello et al. 2020, arXiv:2002.02886

The absolute value is taken of the batch's mean K, as in disentanglement_lib. All cases with a drawn z, no penalty and
no pairs share one compiled program, whatever their numbers; each of the others has one.
"""

from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from avo.checks import between, nonnegative, one_of
from avo.latents.correlation import total_correlation
from avo.latents.discriminator import Discriminator, mean_log_ratio
from avo.latents.models import BetaVAE, Terms
from avo.latents.weak import with_shared

Penalty = Literal["", "total correlation", "density ratio"]


class Objective(NamedTuple):
    """The weights of L, see avo/latents/objectives.py; `beta`, `capacity`, `beta_tcvae` and the others make them.

    Args:
        beta: weight of K, per nat.
        gamma: weight of |K - C(t)|, per nat.
        capacity: C in nats, where C(t) ends.
        ramp: share of the training's steps over which C(t) grows, from 0 to 1.
        sampled: whether z is drawn from q(z|x), or its mean.
        corruption: standard deviation of the noise that is added to what the encoder sees, in units of `scale`.
        calibrated: 1 where R is taken at the noise that the batch leaves, 0 at the model's.
        weight: of the penalty P.
        penalty: which P; "" for none.
        paired: whether each observation comes with another one, with which it shares latents.
    """

    beta: float = 0.0
    gamma: float = 0.0
    capacity: float = 0.0
    ramp: float = 0.0
    sampled: bool = True
    corruption: float = 0.0
    calibrated: float = 0.0
    weight: float = 0.0
    penalty: Penalty = ""
    paired: bool = False

    def traced(self) -> "Objective":
        """Make the numbers arrays, which a compiled program takes as they come; what is left decides the program."""
        dtype = jnp.result_type(float)
        names = "beta", "gamma", "capacity", "ramp", "calibrated", "weight"
        numbers: Any = {name: jnp.asarray(getattr(self, name), dtype) for name in names}
        return self._replace(**numbers)

    @property
    def adversarial(self) -> bool:
        """Whether a discriminator is trained beside."""
        return self.penalty == "density ratio"

    def capacity_at(self, progress: Array | float) -> Array:
        """Compute C(t) after a share `progress` = t / T of the training.

        Example:
            >>> [float(capacity(100.0, 25.0, ramp=0.5).capacity_at(p)) for p in (0.0, 0.2, 0.5, 1.0)]
            [0.0, 10.0, 25.0, 25.0]
        """
        grown = jnp.where(self.ramp > 0, progress / jnp.maximum(self.ramp, 1e-12), 1.0)
        return self.capacity * jnp.minimum(grown, 1.0)

    def loss(self, terms: Terms, progress: Array | float, penalty: Array | float = 0.0) -> Array:
        """Compute L of a batch from its terms, with shapes (n,), (n, k) and (n,), and its P.

        Example:
            >>> terms = Terms(jnp.array([3.0, 5.0]), jnp.array([[1.0, 0.5], [2.0, 0.5]]), jnp.zeros(2))
            >>> float(beta(4.0).loss(terms, 1.0)), float(capacity(10.0, 5.0).loss(terms, 1.0))
            (12.0, 34.0)
        """
        kl = jnp.mean(jnp.sum(terms.kl, axis=-1))
        loss = jnp.mean(terms.reconstruction) + self.beta * kl + self.gamma * jnp.abs(kl - self.capacity_at(progress))
        return loss + self.weight * penalty if self.penalty else loss

    def penalty_of(self, terms: Terms, count: int, discriminator: Discriminator | None = None) -> Array:
        """Compute P of a batch; 0 where there is none.

        Args:
            terms: of the batch, with z and its posteriors.
            count: number N of observations, of which the batch is a part.
            discriminator: for "density ratio".
        """
        if self.penalty == "total correlation":
            return total_correlation(terms.z, terms.mean, terms.log_var, count)
        if discriminator is not None:
            return mean_log_ratio(discriminator, terms.z)
        return jnp.zeros(())


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


def beta_tcvae(weight: float = 6.0, calibrated: bool = False) -> Objective:
    """Make the objective R + K + (weight - 1) TC of the beta-TCVAE, TC the total correlation of the latents.

    Args:
        weight: of the total correlation in all, per nat; 1 is the plain VAE.
        calibrated: as for `beta`.

    Source: Chen, Li, Grosse and Duvenaud 2018, arXiv:1802.04942, equation 4 with alpha = gamma = 1.

    Example:
        >>> beta_tcvae(6.0).weight
        5.0
    """
    if nonnegative("weight", weight) < 1:
        raise ValueError(f"weight must be a finite number of at least 1; got {weight!r}.")
    return Objective(
        beta=1.0, weight=float(weight) - 1, penalty="total correlation", calibrated=float(bool(calibrated))
    )


def factor_vae(weight: float = 10.0, calibrated: bool = False) -> Objective:
    """Make the objective R + K + weight TC of FactorVAE, TC as a discriminator trained beside the model knows it.

    Args:
        weight: of the total correlation, per nat.
        calibrated: as for `beta`.

    Source: Kim and Mnih 2018, arXiv:1802.05983, equation 2.

    Example:
        >>> factor_vae(10.0).penalty
        'density ratio'
    """
    number = nonnegative("weight", weight)
    return Objective(beta=1.0, weight=number, penalty="density ratio", calibrated=float(bool(calibrated)))


def ada_gvae(weight: float = 1.0, calibrated: bool = False) -> Objective:
    """Make the objective R + weight K of Ada-GVAE, which takes pairs of observations: `train(pairs=)`.

    Args:
        weight: per nat.
        calibrated: as for `beta`.

    Source: Locatello et al. 2020, arXiv:2002.02886.

    Example:
        >>> ada_gvae().paired
        True
    """
    return Objective(beta=nonnegative("weight", weight), paired=True, calibrated=float(bool(calibrated)))


def checked(objective: Any) -> Objective:
    """Check an objective, whoever made it.

    Raises:
        ValueError: if it is none, or a number is not as described.
    """
    if not isinstance(objective, Objective):
        raise ValueError(f"objective must be one of avo.latents, such as avo.latents.beta(4.0); got {objective!r}.")
    for name in ("beta", "gamma", "capacity", "corruption", "calibrated", "weight"):
        nonnegative(f"objective.{name}", getattr(objective, name))
    between("objective.ramp", objective.ramp, 0, 1)
    one_of("objective.penalty", objective.penalty, get_args(Penalty))
    if (objective.penalty or objective.paired) and not objective.sampled:
        raise ValueError("objective must draw z, sampled=True, where it has a penalty or pairs.")
    return objective


def batch_terms(
    model: BetaVAE,
    objective: Objective,
    x: Float[Array, "n *x_shape"],
    key: PRNGKeyArray,
    others: Float[Array, "n *x_shape"] | None = None,
) -> Terms:
    """Compute the terms of a batch, z and corruption drawn as the objective says; those two decide the program.

    With `others`, one for each observation, both have the posteriors that the pair shares; theirs are the last n.
    """
    key_z, key_x = jax.random.split(key)
    if others is not None:
        return _left_calibrated(objective, _paired_terms(model, jnp.stack([x, others]), key_z), x[0].size)
    shape = (len(x), model.latents)
    eps = jax.random.normal(key_z, shape, x.dtype) if objective.sampled else jnp.zeros(shape, x.dtype)
    if objective.sampled or not objective.corruption:
        return _left_calibrated(objective, jax.vmap(model.terms)(x, eps), x[0].size)
    noise = objective.corruption * jax.random.normal(key_x, x.shape, x.dtype)
    return jax.vmap(lambda x, eps, noise: model.terms(x, eps, x + model.scale * noise))(x, eps, noise)


def _left_calibrated(objective: Objective, terms: Terms, size: int) -> Terms:
    """Take R at the noise that the batch leaves, where the objective says so."""
    left = jnp.maximum(jnp.mean(terms.mse), jnp.finfo(terms.mse.dtype).tiny)
    best = 0.5 * size * (1 + jnp.log(2 * jnp.pi * left))
    return terms._replace(reconstruction=jnp.where(objective.calibrated > 0, best, terms.reconstruction))


def _paired_terms(model: BetaVAE, x: Float[Array, "two n *x_shape"], key: PRNGKeyArray) -> Terms:
    mean, log_var = with_shared(*jax.vmap(jax.vmap(model.posterior))(x))
    eps = jax.random.normal(key, mean.shape, x.dtype)
    terms = jax.vmap(jax.vmap(model.terms_at))(x, eps, mean, log_var)
    return jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), terms)
