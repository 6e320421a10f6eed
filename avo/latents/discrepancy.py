r"""What a simulator leaves of signals, learned by a small variational autoencoder that cannot take what it explains.

Of each signal there is e = W (x - f(w)), in units of noise, and a basis Q of the span of W df/dw at its own w. With

    P = I - Q Q^T,    g = P h(z),    q(z | e) = N(mean(e), diag(exp(log_var(e)))),    p(z) = N(0, I)

the networks h, mean and log_var are trained by the negative ELBO at the noise that is left, m values each outside of Q,

    L = m / 2 log(mean |P (e - h(z))|^2 / m) + beta KL(q(z | e) || p(z))

(Rybkin, Daniilidis and Levine 2021, arXiv:2006.13202). Since Q^T g = 0 a small step of w cannot be replaced by g:
w stays the answer of least squares. That is Plumlee's (2017, JASA 112, 1274) orthogonal discrepancy, and to first order
the least g of APHYNITY (Yin et al. 2021, arXiv:2010.04456) in the norm of x.

Signals held out choose the step, and say whether g is there at all: where it does not lower L of them by `SURE`
standard errors, it is zero.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from avo.execution.blocks import batched
from avo.execution.programs import compiled
from avo.latents.models import gaussian_kl
from avo.layers import mlp

DEPTH, BATCH, RATE, FINAL = 2, 64, 2e-3, 0.05
LOOK = 50  # steps between two looks at what is held out
SURE = 2.0  # standard errors
ROWS, REFINED = 256, 12  # of one program; steps to the most probable z
ALONE = 1e-6  # of the largest singular value: a direction in which f does not move
LEAST = 1e-12  # of the size of e, below which there is nothing to learn


class Plan(NamedTuple):
    """How g is learned: number of z, width of the hidden layers, weight of KL, steps of Adam."""

    latents: int
    width: int
    beta: float
    steps: int


class Rows(NamedTuple):
    """What the physics leaves of signals: e, with shape (n, k), and Q, with shape (n, k, d), zero where w is held."""

    e: Any
    Q: Any


class Discrepancy(eqx.Module):
    """A trained g; of size zero where there is none.

    Args:
        encoder: e in units of `size` to mean and log variance of z, (2 latents,).
        decoder: z to h in units of `size`, (k,).
        size: of e.
        noise: variance of each value that g leaves.
        latents: how many.
    """

    encoder: Callable[[Array], Array]
    decoder: Callable[[Array], Array]
    size: Array
    noise: Array
    latents: int = eqx.field(static=True)

    @staticmethod
    def make(key: PRNGKeyArray, rows: Rows, plan: Plan) -> "Discrepancy":
        """Make one whose g is zero until it is trained."""
        key_encoder, key_decoder = jax.random.split(key)
        k, dtype = rows.e.shape[1], jnp.result_type(float)
        decoder = mlp(plan.latents, k, plan.width, DEPTH, jax.nn.silu, key_decoder)
        last: Any = lambda n: (n.layers[-1].weight, n.layers[-1].bias)  # noqa: E731
        return Discrepancy(
            encoder=mlp(k, 2 * plan.latents, plan.width, DEPTH, jax.nn.silu, key_encoder),
            decoder=eqx.tree_at(last, decoder, tuple(jnp.zeros_like(a) for a in last(decoder))),
            size=jnp.asarray(np.sqrt(np.mean(np.square(rows.e))), dtype),
            noise=jnp.ones((), dtype),
            latents=plan.latents,
        )

    def posterior(self, e: Float[Array, " k"]) -> tuple[Float[Array, " z"], Float[Array, " z"]]:
        """Compute mean and log variance of q(z | e)."""
        out = self.encoder(e / jnp.where(self.size > 0, self.size, 1.0))
        return out[: self.latents], out[self.latents :]

    def decode(self, z: Float[Array, " z"], Q: Float[Array, "k d"]) -> Float[Array, " k"]:
        """Compute g = P h(z)."""
        return self.size * _off(Q, self.decoder(z))

    def codes(self, rows: Rows) -> Float[np.ndarray, "n z"]:
        """Find the most probable z of each row, by Levenberg's and Marquardt's steps from the encoder's mean."""
        if not self.size > 0:
            return np.zeros((len(rows.e), self.latents))
        return _many(_codes, self, rows.e, rows.Q)

    def values(self, z: Float[np.ndarray, "n z"], Q: Float[np.ndarray, "n k d"]) -> Float[np.ndarray, "n k"]:
        """Compute g of many rows."""
        return _many(_values, self, z, Q)


def basis(J: Float[np.ndarray, "n k d"]) -> Float[np.ndarray, "n k d"]:
    """Compute orthonormal columns that span those of J, of each row; zeros stand for what they do not span.

    Example:
        >>> Q = basis(np.array([[[3.0, 6.0, 0.0], [4.0, 8.0, 0.0], [0.0, 0.0, 0.0]]]))
        >>> np.abs(Q[0]).round(3).tolist()
        [[0.6, 0.0, 0.0], [0.8, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """
    size = np.sqrt(np.sum(J**2, axis=1, keepdims=True))
    size = np.where(size > ALONE * size.max(2, keepdims=True), size, np.inf)
    left, values, _ = np.linalg.svd(J / size, full_matrices=False)
    alive = values > ALONE * np.maximum(values[:, :1], 1e-300)
    return np.pad(left * alive[:, None], ((0, 0), (0, 0), (0, J.shape[2] - left.shape[2])))


def learn(key: PRNGKeyArray, rows: Rows, held: Int[np.ndarray, " h"], plan: Plan) -> tuple[Discrepancy, float]:
    """Train a g, and say how many nats of L, per signal that was held out, it gains; none where it is not sure to.

    Args:
        key: of weights, batches and draws.
        rows: all of them.
        held: which are held out.
        plan: how.
    """
    key_net, key_run = jax.random.split(key)
    net, dtype = Discrepancy.make(key_net, rows, plan), jnp.result_type(float)
    rows = Rows(*(jnp.asarray(a, dtype) for a in rows))
    learned = np.setdiff1d(np.arange(len(rows.e)), held)
    if not net.size > LEAST:
        return replace(net, size=jnp.zeros((), dtype)), 0.0
    # Both repeated to lengths that do not depend on the split, for one compiled program
    chosen = np.resize(learned, len(rows.e)), np.resize(held, max(len(rows.e) // 4, 1))
    net = _run(net, key_run, rows, *chosen, (jnp.asarray(plan.beta, dtype), -(-plan.steps // LOOK)))
    some = Rows(rows.e[held], rows.Q[held])
    square, kl = _terms(net, jax.random.fold_in(key_run, 0), some)
    free, before = _free(some.Q), jnp.sum(jax.vmap(_off)(some.Q, some.e) ** 2, axis=1)
    net = replace(net, noise=jnp.sum(square) / jnp.sum(free))
    gain = np.asarray(_nats(before, free) - _nats(square, free) - kl, np.float64)
    sure = gain.mean() > SURE * gain.std(ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else gain.mean() > 0
    return (net, float(gain.mean())) if sure else (replace(net, size=jnp.zeros((), dtype)), 0.0)


def _off(Q: Float[Array, "k d"], v: Float[Array, " k"]) -> Float[Array, " k"]:
    """Compute P v."""
    return v - Q @ (Q.T @ v)


def _free(Q: Float[Array, "n k d"]) -> Float[Array, " n"]:
    """Count the values outside of Q."""
    return Q.shape[1] - jnp.sum(Q**2, axis=(1, 2))


def _nats(square: Float[Array, " n"], free: Float[Array, " n"]) -> Float[Array, " n"]:
    """Compute -log p of rows at the noise that is left of all of them, but for a constant."""
    noise = jnp.sum(square) / jnp.sum(free) + jnp.finfo(square.dtype).tiny
    return 0.5 * (square / noise + free * jnp.log(noise))


def _terms(net: Discrepancy, key: PRNGKeyArray, rows: Rows) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """Compute |P (e - h(z))|^2 and KL of each row, z drawn."""

    def one(e: Array, Q: Array, eps: Array) -> tuple[Array, Array]:
        e = _off(Q, e)
        mean, log_var = net.posterior(e)
        left = e - net.decode(mean + jnp.exp(0.5 * log_var) * eps, Q)
        return jnp.sum(left**2), jnp.sum(gaussian_kl(mean, log_var))

    eps = jax.random.normal(key, (len(rows.e), net.latents), rows.e.dtype)
    return jax.vmap(one)(rows.e, rows.Q, eps)


@compiled
def _run(
    net: Discrepancy, key: PRNGKeyArray, rows: Rows, learned: Array, held: Array, plan: tuple[Array, int]
) -> Discrepancy:
    """Take all steps, and keep the networks whose L of what is held out is least."""
    beta, looks = plan
    move = optax.adam(optax.cosine_decay_schedule(RATE, looks * LOOK, FINAL))
    own = (net.encoder, net.decoder)
    weights, rest = eqx.partition(own, eqx.is_array)

    def of(weights: Any) -> Discrepancy:
        encoder, decoder = eqx.combine(weights, rest)
        return replace(net, encoder=encoder, decoder=decoder)

    def loss(weights: Any, key: PRNGKeyArray, some: Array) -> Array:
        batch = Rows(rows.e[some], rows.Q[some])
        square, kl = _terms(of(weights), key, batch)
        return jnp.mean(_nats(square, _free(batch.Q)) + beta * kl)

    def step(carry: Any, i: Array) -> tuple[Any, None]:
        weights, moments = carry
        key_rows, key_draw = jax.random.split(jax.random.fold_in(key, i + 1))
        some = learned[jax.random.randint(key_rows, (min(BATCH, len(learned)),), 0, len(learned))]
        change, moments = move.update(jax.grad(loss)(weights, key_draw, some), moments)
        return (optax.apply_updates(weights, change), moments), None

    def look(carry: Any, first: Array) -> tuple[Any, None]:
        now, best, least = carry
        now, _ = jax.lax.scan(step, now, first + jnp.arange(LOOK))
        found = loss(now[0], jax.random.fold_in(key, 0), held)
        best = jax.tree.map(lambda new, old: jnp.where(found < least, new, old), now[0], best)
        return (now, best, jnp.minimum(found, least)), None

    start = (weights, move.init(weights)), weights, jnp.asarray(jnp.inf, beta.dtype)
    (_, best, _), _ = jax.lax.scan(look, start, LOOK * jnp.arange(looks))
    return of(best)


def _many(fn: Callable[..., Any], net: Discrepancy, *arrays: np.ndarray) -> np.ndarray:
    """Apply a compiled function of the networks to many rows."""
    rows = (np.asarray(a, jnp.result_type(float)) for a in arrays)
    return batched(lambda *some: fn(net, *some), *rows, rows=ROWS).astype(np.float64)


@compiled
def _values(net: Discrepancy, z: Array, Q: Array) -> Array:
    return jax.vmap(net.decode)(z, Q)


@compiled
def _codes(net: Discrepancy, e: Array, Q: Array) -> Array:
    """Minimise |P (e - h(z))|^2 / noise + |z|^2 of each row."""
    scale = 1 / jnp.sqrt(jnp.maximum(net.noise, jnp.finfo(e.dtype).tiny))

    def one(e: Array, Q: Array) -> Array:
        e = _off(Q, e)
        rest = lambda z: jnp.concatenate([scale * (e - net.decode(z, Q)), z])  # noqa: E731

        def step(_: int, at: tuple[Array, Array]) -> tuple[Array, Array]:
            z, damping = at
            r, J = rest(z), jax.jacfwd(rest)(z)
            A = J.T @ J
            new = z - jnp.linalg.solve(A + damping * jnp.diag(jnp.diag(A)), J.T @ r)
            better = jnp.sum(rest(new) ** 2) < jnp.sum(r**2)
            return jnp.where(better, new, z), jnp.where(better, damping / 3, damping * 4)

        start = net.posterior(e)[0], jnp.asarray(1e-2, e.dtype)
        return jax.lax.fori_loop(0, REFINED, step, start)[0]

    return jax.vmap(one)(e, Q)
