"""A beta-VAE: an encoder q(z|x), a decoder p(x|z), both of which fit one observation x; many at the edge.

With z in R^k, and net an MLP or a stack of convolutions (Kingma and Welling 2014, arXiv:1312.6114),

    p(z) = N(0, I),    q(z|x) = N(mean(x), diag(exp(log_var(x)))),
    p(x|z) = N(f(z), noise^2),        f(z) = shift + scale net(z)        "gaussian"
    p(x|z) = Bernoulli(f(z)),         f(z) = 1 / (1 + exp(-net(z)))      "bernoulli"

All that is said of a model's quality is in these conventions, so that numbers of different data can be read:

    R(x)   = E_q[-log p(x|z)], summed over the D values of x, all constants in it, in nats; for "gaussian"
             sum_j (x_j - f_j)^2 / (2 noise_j^2) + log(2 pi noise_j^2) / 2
             and for "bernoulli"  -sum_j x_j log f_j + (1 - x_j) log(1 - f_j)
    K_i(x) = KL(N(mean_i, exp(log_var_i)) || N(0, 1)) = (mean_i^2 + exp(log_var_i) - 1 - log_var_i) / 2, in nats
    MSE(x) = mean_j (x_j - f_j)^2, per value, in units of x squared
    ELBO(x) = -R - sum_i K_i <= log p(x)

With one noise for all values R = D (MSE / noise^2 + log(2 pi noise^2)) / 2. Code elsewhere that adds beta KL to the
squared error summed over x has noise^2 = 1/2 in this sense, and code that adds it to the mean over x noise^2 = D/2: the
same beta then means another model. For x between 0 and 1, not at them, the Bernoulli is no density of x
(Loaiza-Ganem and Cunningham 2019, arXiv:1907.06845); its R is then a loss, bounded below by the entropy of x.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal, NamedTuple, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from avo.checks import one_of, shaped, whole
from avo.latents.networks import SIZES, Network, encoder_and_decoder
from avo.observations import validate_observations
from avo.refine.statistic import apply

Likelihood = Literal["gaussian", "bernoulli"]
CHUNK = 256  # rows of one compiled program, where many are encoded or decoded
NOISE = 0.1  # where none is named, in units of scale


class Terms(NamedTuple):
    """What an objective is made of, for one observation and one draw of z: R, K_i and MSE of the module's docstring.

    In a training also z, and mean and log variance of the q(z|x) that it is drawn from.
    """

    reconstruction: Any
    kl: Any
    mse: Any
    z: Any = None
    mean: Any = None
    log_var: Any = None

    @property
    def elbo(self) -> Any:
        """-R - sum_i K_i, in nats."""
        return -(self.reconstruction + self.kl.sum(-1))


def gaussian_kl(mean: Float[Array, " k"], log_var: Float[Array, " k"]) -> Float[Array, " k"]:
    """Compute KL(N(mean, exp(log_var)) || N(0, 1)) = (mean^2 + exp(log_var) - 1 - log_var) / 2 of each latent, in nats.

    Example:
        >>> gaussian_kl(jnp.array([0.0, 2.0]), jnp.zeros(2)).tolist()
        [0.0, 2.0]
    """
    return 0.5 * (mean**2 + jnp.exp(log_var) - 1.0 - log_var)


class BetaVAE(eqx.Module):
    """A variational autoencoder; which objective it is trained by is not its own (avo/latents/objectives.py).

    `posterior`, `predict` and `terms` take one observation or one z, as JAX functions; `encode` and the others take
    many, as a user has them. Make one by `BetaVAE.make`, or by `BetaVAE.for_data`, which takes the units from data;
    or hand over networks of your own.

    Args:
        encoder: module from one observation, standardised and shaped as x, to the mean and log variance of z, (2 k,).
        decoder: module from z to one observation in the same units, of any shape with as many values.
        shift, scale, noise: location and scale of x, and standard deviation of x given z in units of x, each one number
            or one that broadcasts to one x; not trained. A Bernoulli has no noise, and its x no shift and scale but for
            the encoder.
        x_shape: shape of one observation.
        latents: number k of latents.
        likelihood: "gaussian", or "bernoulli" for x in [0, 1].
        recipe: options of `make`, from which `avo.latents.load` makes the like of it; None for networks of your own.
    """

    encoder: Callable[[Array], Array]
    decoder: Callable[[Array], Array]
    shift: Array
    scale: Array
    noise: Array
    x_shape: tuple[int, ...] = eqx.field(static=True)
    latents: int = eqx.field(static=True)
    likelihood: Likelihood = eqx.field(static=True, default="gaussian")
    recipe: tuple[tuple[str, Any], ...] | None = eqx.field(static=True, default=None)

    @staticmethod
    def make(
        key: PRNGKeyArray,
        x_shape: tuple[int, ...],
        *,
        latents: int = 10,
        network: Network = "mlp",
        width: int | None = None,
        depth: int | None = None,
        likelihood: Likelihood = "gaussian",
        shift: ArrayLike = 0.0,
        scale: ArrayLike = 1.0,
        noise: ArrayLike | None = None,
    ) -> "BetaVAE":
        """Make an untrained model.

        Args:
            key: randomness of the initial weights.
            x_shape: shape of one observation; (T,) or (T, channels) for "conv1d".
            latents: number of latents, the bottleneck.
            network: "mlp", fully connected on the flattened observation; or "conv1d", convolutions over time of stride
                2, and their mirror image in the decoder. Activations are SiLU.
            width: units per hidden layer, 256 where none is named; channels of "conv1d", 16.
            depth: hidden layers of encoder and of decoder, 2 where none is named, 0 for linear maps; of "conv1d", 3.
            likelihood: "gaussian", or "bernoulli" for x in [0, 1].
            shift: location of x; broadcasts to one x.
            scale: scale of x, positive.
            noise: standard deviation of x given z in units of x, positive; a tenth of `scale` where none is named. It
                sets what a given beta means: noise^2 = 1/2 is the loss "sum of squared errors + beta KL".

        Raises:
            ValueError: if an argument is not as described.

        Example:
            >>> model = BetaVAE.make(jax.random.key(0), (64,), latents=4, scale=2.0)
            >>> mean, log_var = model.posterior(jnp.ones(64))
            >>> mean.shape, model.predict(mean).shape, round(float(model.noise), 3)
            ((4,), (64,), 0.2)
        """
        x_shape = tuple(whole("x_shape", n) for n in x_shape)
        one_of("network", network, get_args(Network))
        one_of("likelihood", likelihood, get_args(Likelihood))
        if network == "conv1d" and len(x_shape) not in (1, 2):
            raise ValueError(f"conv1d needs observations with shape (T,) or (T, channels); got {x_shape}. Use 'mlp'.")
        usual_width, usual_depth = SIZES[network]
        options = {
            "x_shape": x_shape,
            "latents": whole("latents", latents),
            "network": network,
            "width": whole("width", usual_width if width is None else width),
            "depth": whole("depth", usual_depth if depth is None else depth, least=0 if network == "mlp" else 1),
        }
        shift, scale = _unit("shift", shift, x_shape), _unit("scale", scale, x_shape)
        noise = NOISE * scale if noise is None else _unit("noise", noise, x_shape)
        for name, value in (("scale", scale), ("noise", noise)):
            if not np.all(value > 0):
                raise ValueError(f"{name} must be positive; got {float(np.min(value)):g}.")
        encoder, decoder = encoder_and_decoder(key, **options)
        dtype = jnp.result_type(float)
        return BetaVAE(
            encoder=encoder,
            decoder=decoder,
            shift=jnp.asarray(shift, dtype),
            scale=jnp.asarray(scale, dtype),
            noise=jnp.asarray(noise, dtype),
            x_shape=x_shape,
            latents=latents,
            likelihood=likelihood,
            recipe=tuple((options | {"likelihood": likelihood}).items()),
        )

    @staticmethod
    def for_data(key: PRNGKeyArray, x: ArrayLike, **options: Any) -> "BetaVAE":
        """Make an untrained model whose units are those of observations: `make` with shift and scale from x.

        The shift is the mean of each value of x over the observations, the scale one number, the standard deviation
        about it of all values together; of a series (T, channels) one for each channel. A single scale keeps the
        shape of a curve, and with a single noise the squared error of all points counts alike.

        Args:
            key: randomness of the initial weights.
            x: observations, with shape (n, *x_shape).
            options: as for `make`.

        Example:
            >>> x = 3.0 + 2.0 * jax.random.normal(jax.random.key(0), (5000, 8))
            >>> model = BetaVAE.for_data(jax.random.key(1), x, latents=2)
            >>> model.shift.shape, round(float(model.scale), 1), round(float(model.noise), 2)
            ((8,), 2.0, 0.2)
        """
        x = validate_observations(x, "x")
        shift = x.mean(axis=0)
        axes = (0, 1) if x.ndim == 3 else None
        scale = np.sqrt(np.mean((x - shift) ** 2, axis=axes))
        # Values that never differ have no scale; what is left of one by rounding is none either
        scale = np.where(scale > 1e-6 * np.abs(x).max(), scale, 1.0)
        return BetaVAE.make(key, x.shape[1:], **({"shift": shift, "scale": scale} | options))

    def posterior(self, x: Float[Array, "*x_shape"]) -> tuple[Float[Array, " k"], Float[Array, " k"]]:
        """Compute mean and log variance of q(z|x), of one observation."""
        out = self.encoder((x - self.shift) / self.scale)
        return out[: self.latents], out[self.latents :]

    def mean(self, x: Float[Array, "*x_shape"]) -> Float[Array, " k"]:
        """Compute the mean of q(z|x), of one observation."""
        return self.posterior(x)[0]

    def sd(self, x: Float[Array, "*x_shape"]) -> Float[Array, " k"]:
        """Compute the standard deviations of q(z|x), of one observation."""
        return jnp.exp(0.5 * self.posterior(x)[1])

    def predict(self, z: Float[Array, " k"]) -> Float[Array, "*x_shape"]:
        """Compute f(z) = E[x|z], of one z."""
        net = self.decoder(z).reshape(self.x_shape)
        return jax.nn.sigmoid(net) if self.likelihood == "bernoulli" else self.shift + self.scale * net

    def terms(self, x: Float[Array, "*x_shape"], eps: Float[Array, " k"], seen: Array | None = None) -> Terms:
        """Compute R, K_i and MSE of one observation at z = mean + exp(log_var / 2) eps.

        Args:
            x: the observation to reconstruct.
            eps: standard normal numbers; zeros for z = mean.
            seen: what the encoder sees in its place, for denoising.

        Example:
            >>> model = BetaVAE.make(jax.random.key(0), (8,), latents=2)
            >>> model.terms(jnp.ones(8), jnp.zeros(2)).kl.shape
            (2,)
        """
        return self.terms_at(x, eps, *self.posterior(x if seen is None else seen))

    def terms_at(
        self, x: Array, eps: Float[Array, " k"], mean: Float[Array, " k"], log_var: Float[Array, " k"]
    ) -> Terms:
        """Compute what `terms` does at any N(mean, exp(log_var)), in place of q(z|x)."""
        z = mean + jnp.exp(0.5 * log_var) * eps
        net = self.decoder(z).reshape(self.x_shape)
        if self.likelihood == "bernoulli":
            # log(1 + exp(net)) - x net = -x log f - (1 - x) log(1 - f), without overflow
            error, nats = x - jax.nn.sigmoid(net), jax.nn.softplus(net) - x * net
        else:
            error = x - (self.shift + self.scale * net)
            nats = 0.5 * (error / self.noise) ** 2 + jnp.log(self.noise) + 0.5 * math.log(2 * math.pi)
        return Terms(jnp.sum(nats), gaussian_kl(mean, log_var), jnp.mean(error**2), z, mean, log_var)

    def encode(self, x: ArrayLike) -> Float[np.ndarray, "n k"]:
        """Compute the means of q(z|x) of many observations, with shape (n, *x_shape)."""
        return self._apply(self.mean, self._observations(x))

    def encode_sd(self, x: ArrayLike) -> Float[np.ndarray, "n k"]:
        """Compute the standard deviations of q(z|x) of many observations, with shape (n, *x_shape)."""
        return self._apply(self.sd, self._observations(x))

    def decode(self, z: ArrayLike) -> Float[np.ndarray, "n *x_shape"]:
        """Compute f(z) = E[x|z] of many z, with shape (n, k)."""
        z = validate_observations(z, "z", least=1)
        if z.ndim != 2 or z.shape[1] != self.latents:
            raise ValueError(f"z must have one row of {self.latents} latents for each x to make; got shape {z.shape}.")
        return self._apply(self.predict, z)

    def reconstruct(self, x: ArrayLike) -> Float[np.ndarray, "n *x_shape"]:
        """Compute f(mean(x)) of many observations, with shape (n, *x_shape)."""
        return self.decode(self.encode(x))

    def evaluate(self, x: ArrayLike, *, draws: int = 16, seed: int = 0) -> Terms:
        """Compute R, K_i and MSE of many observations, and by `.elbo` what bounds their log p(x).

        Observation i has its own draws, of `fold_in(key(seed), i)`: what is said of it does not depend on the others.

        Args:
            x: observations, with shape (n, *x_shape).
            draws: of z for each observation, over which R and MSE are averaged; 0 for z = mean(x), which is what an
                autoencoder does.
            seed: same seed, same draws.

        Returns:
            `Terms` of NumPy arrays with shapes (n,), (n, k) and (n,).

        Example:
            >>> x = jax.random.normal(jax.random.key(0), (20, 8))
            >>> terms = BetaVAE.for_data(jax.random.key(1), x, latents=2).evaluate(x)
            >>> bool(np.all(terms.elbo < terms.kl.sum(1)))
            True
        """
        fn, x = _Evaluation(self, jax.random.key(seed), whole("draws", draws, least=0)), self._observations(x)
        found = apply(fn, x, np.arange(len(x)), chunk=CHUNK)
        return Terms(found[:, 0], found[:, 2:], found[:, 1])

    def calibrated(self, x: ArrayLike, *, draws: int = 16) -> "BetaVAE":
        """Give the model the one noise under which the ELBO of observations is the largest, all else as it is.

            noise^2 = mean over x of E_q[MSE(x)]

        What `sample` draws then scatters about its decodes as observations do. A model trained at another noise n by
        R + beta KL is one trained at this noise by R + beta (n / noise)^2 KL. The "optimal sigma" of Rybkin, Daniilidis
        and Levine (ICML 2021, arXiv:2006.13202).

        Args:
            x: observations, with shape (n, *x_shape), best ones that the model was not trained on.
            draws: of z for each observation; 0 for z = mean(x), which is what an autoencoder does.

        Raises:
            ValueError: if the likelihood is "bernoulli", which has no noise, or x is not as described.

        Example:
            >>> x = 3.0 + 2.0 * jax.random.normal(jax.random.key(0), (5000, 8))
            >>> model = BetaVAE.for_data(jax.random.key(1), x, latents=2).calibrated(x, draws=0)
            >>> bool(abs(model.noise - np.sqrt(np.mean((x - model.reconstruct(x)) ** 2))) < 1e-3)
            True
        """
        if self.likelihood == "bernoulli":
            raise ValueError('only a "gaussian" likelihood has a noise to calibrate; this model is "bernoulli".')
        left = float(np.sqrt(self.evaluate(x, draws=draws).mse.mean()))
        return replace(self, noise=jnp.full_like(self.noise, max(left, 1e-12)))

    def sample(self, key: PRNGKeyArray, n: int, *, noisy: bool = True) -> Float[np.ndarray, "n *x_shape"]:
        """Draw x from the model: z ~ N(0, I), then x ~ p(x|z), or its mean f(z) where not `noisy`.

        Args:
            key: randomness.
            n: number of draws.
            noisy: whether x has the noise that the model says it has; pictures mostly show f(z).
        """
        key_z, key_x = jax.random.split(key)
        f = self.decode(jax.random.normal(key_z, (whole("n", n), self.latents)))
        if not noisy:
            return f
        if self.likelihood == "bernoulli":
            return np.asarray(jax.random.bernoulli(key_x, f), np.float64)
        return f + np.asarray(self.noise, np.float64) * np.asarray(jax.random.normal(key_x, f.shape), np.float64)

    def traverse(
        self, x: ArrayLike, latent: int, values: ArrayLike | None = None
    ) -> Float[np.ndarray, "values *x_shape"]:
        """Encode one observation and decode it with one latent set to each of some values, the others as they are.

        Args:
            x: one observation, with shape x_shape.
            latent: which latent, counted from 0.
            values: what it is set to, in standard deviations of the prior; None for -3, -2, ..., 3.

        Returns:
            The decoded observations, with shape (values, *x_shape).

        Raises:
            ValueError: if x has another shape, or there is no such latent.

        Example:
            >>> model = BetaVAE.make(jax.random.key(0), (8,), latents=2)
            >>> model.traverse(np.ones(8), 1).shape
            (7, 8)
        """
        latent = whole("latent", latent, least=0, most=self.latents - 1)
        values = np.linspace(-3.0, 3.0, 7) if values is None else np.asarray(values, np.float64)
        if values.ndim != 1 or not len(values) or not np.all(np.isfinite(values)):
            raise ValueError(f"values must be finite numbers with shape (values,); got {values!r}.")
        x = shaped("x", np.asarray(x, np.float64), self.x_shape, "one observation")
        z = np.repeat(self.encode(x[None]), len(values), axis=0)
        z[:, latent] = values
        return self.decode(z)

    def _observations(self, x: ArrayLike) -> np.ndarray:
        x = validate_observations(x, "x", least=1)
        if x.shape[1:] != self.x_shape:
            raise ValueError(
                f"x must have one observation per row, shape (n, {', '.join(map(str, self.x_shape))}); got {x.shape}."
            )
        return x

    def _apply(self, fn: Callable, x: np.ndarray) -> np.ndarray:
        return apply(fn, x, chunk=CHUNK)


class _Evaluation(eqx.Module):
    model: BetaVAE
    key: PRNGKeyArray
    draws: int = eqx.field(static=True)

    def __call__(self, x: Array, i: Array) -> Array:
        shape = (max(self.draws, 1), self.model.latents)
        key = jax.random.fold_in(self.key, i.astype(jnp.uint32))
        eps = jax.random.normal(key, shape, x.dtype) if self.draws else jnp.zeros(shape, x.dtype)
        terms = jax.vmap(self.model.terms, in_axes=(None, 0))(x, eps)
        return jnp.concatenate([jnp.stack([jnp.mean(terms.reconstruction), jnp.mean(terms.mse)]), terms.kl[0]])


def _unit(name: str, value: ArrayLike, x_shape: tuple[int, ...]) -> np.ndarray:
    unit = np.asarray(value, np.float64)
    try:
        fits = np.broadcast_shapes(unit.shape, x_shape) == x_shape
    except ValueError:
        fits = False
    if not fits or not np.all(np.isfinite(unit)):
        raise ValueError(
            f"{name} must be a finite number, or an array that broadcasts to one x {x_shape}; got {value}."
        )
    # As many axes as x, or none, so that no rank is promoted
    return unit.reshape((1,) * (len(x_shape) - unit.ndim) + unit.shape) if unit.ndim else unit
