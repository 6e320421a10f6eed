"""From a region to an answer: learned scores.

Adversarial variational optimization finds the region of the answer. From there on, a statistic t(x) takes over, learned
from simulations. Fisher's identity, for p(x; psi) = int q(u; psi) p(x | u) du,

    grad_psi log p(x; psi) = E[grad_psi log q(u; psi) | x],

says that the least-squares regression of grad_psi log q on x, over pairs u ~ q, x ~ p(x | u), is the score of the
marginal likelihood: as q = N(loc, L L^T) narrows, t(x) = E[L^-1 (u - loc) | x] tends to L^T times the score of p(x | u)
at loc, the best statistic there is. Any other t costs efficiency, not correctness. What is done with t is in
avo/refine/equation.py; what the errors mean, in docs/errors.md.

Pairs of several proposals q_s = N(mu_s, C_s) near one another serve together: the scores of the marginals at mu_s
differ by constants, to first order, so that t is learned from C_s^-1 (u - mu_s) with a constant for each s. Pooled as
if from one q, which is then not Gaussian, t would bend: E[u | x] would tell the proposals apart.

The regression comes in two parts: a ridge regression on summaries of x that are known to matter, and a small network
for what that leaves, stopped where pairs held out gain no more.
"""

import math
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray
from scipy import sparse

from avo.execution.blocks import Drawn, Draws, batched
from avo.folder import fill, leaves
from avo.observations import Observed
from avo.refine.features import CLIP, Features, make_features

CHUNK = 1024  # rows of one compiled program, few enough for the processor's cache
WIDTH, DEPTH = 64, 2
STEPS, BATCH, RATE = 1500, 256, 3e-3
DECAY = 1.0  # of the network's weights, in units of the rate: what it need not know it forgets
NEWEST = 0.01  # share of the newest weights in their running average
SWEEPS = 20  # at most, of the ridge regression's penalties
LOOK = 50  # steps between two looks at the held-out pairs
HELD = 1 / 8  # fraction of the pairs that are held out
LEAST_PADDED = 7  # pairs are padded to a power of four, at least this one, so that few programs are compiled


class LearnedStatistic(eqx.Module):
    """A learned statistic of one observation, t(x) = W f + b + s net(f), f the standardised features of x and c."""

    features: Features
    middle: Float[Array, " k"]
    size: Float[Array, " k"]
    weights: Float[Array, "k out"]
    bias: Float[Array, " out"]
    net: eqx.nn.MLP
    net_size: Float[Array, " out"]

    def __call__(self, x: Float[Array, "*x_shape"], c: Array | None = None) -> Float[Array, " out"]:
        f = jnp.clip((self.features(x, c) - self.middle) / self.size, -CLIP, CLIP)
        return f @ self.weights + self.bias + self.net_size * self.net(f)

    def to_arrays(self, name: str) -> dict[str, Any]:
        """Name all arrays, for a file."""
        parts = {f"{name}.features.{k}": a for k, a in vars(self.features).items() if a is not None}
        parts |= {f"{name}.{k}": a for k, a in vars(self).items() if k not in ("features", "net")}
        return parts | leaves(f"{name}.net", self.net)

    @staticmethod
    def from_arrays(name: str, arrays: dict[str, np.ndarray]) -> "LearnedStatistic":
        """Make the statistic from what `to_arrays` gave."""
        known: Any = {k.removeprefix(f"{name}."): jnp.asarray(a) for k, a in arrays.items() if k.startswith(f"{name}.")}
        features = Features(**{k: known.get(f"features.{k}") for k in Features.__dataclass_fields__})
        net = fill(f"{name}.net", _network(jax.random.key(0), *known["weights"].shape), arrays)
        own = {k: known[k] for k in ("middle", "size", "weights", "bias", "net_size")}
        return LearnedStatistic(features=features, net=net, **own)


def _network(key: PRNGKeyArray, k: int, out: int) -> eqx.nn.MLP:
    """Make the network, zero until it is trained."""
    net = eqx.nn.MLP(k, out, WIDTH, DEPTH, activation=jax.nn.silu, key=key)
    last = lambda n: (n.layers[-1].weight, n.layers[-1].bias)  # noqa: E731
    return eqx.tree_at(last, net, tuple(jnp.zeros_like(a) for a in last(net)))


@eqx.filter_jit
def _apply_chunk(fn: Any, x: Array, c: Array | None) -> Array:
    return jax.vmap(fn)(x) if c is None else jax.vmap(fn)(x, c)


def apply(fn: Any, x: np.ndarray, c: np.ndarray | None = None, chunk: int = CHUNK) -> Float[np.ndarray, "n *out"]:
    """Apply a module of one observation to many, in chunks of one compiled program."""
    dtype = jnp.result_type(float)
    rows = (None if a is None else np.asarray(a, dtype) for a in (x, c))
    return np.asarray(batched(partial(_apply_chunk, fn), *rows, rows=chunk), np.float64)


def ridge(
    f: Float[np.ndarray, "n k"],
    y: Float[np.ndarray, "n out"],
    kinds: Int[np.ndarray, " k"],
    part: Int[np.ndarray, " n"] | None = None,
    weight: Float[np.ndarray, "parts out"] | None = None,
) -> Float[np.ndarray, "k out"]:
    """Regress y on f, both of mean zero, with a penalty for each kind of columns that the rows themselves choose.

    For each output, with W = diag(weight[part]), 1 where none are given, the mean of the posterior under
    w_j ~ N(0, s / p_kind(j)) and errors of variance s W^-1, where p and s maximise the marginal likelihood, by MacKay's
    iteration:

        w = (f^T W f + diag(p))^-1 f^T W y,    g_j = 1 - p_j (f^T W f + diag(p))^-1_jj,
        s = |W^1/2 (y - f w)|^2 / (n - sum_j g_j),    p_kind = s sum_kind g_j / sum_kind w_j^2

    So products that say nothing cost nothing, and no row is held out.

    Source: MacKay, Neural Computation 4 (1992), 415, equations for alpha and beta in section 4.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> f = rng.normal(size=(500, 3))
        >>> y = f @ np.array([[1.0], [0.0], [-2.0]]) + 1e-3 * rng.normal(size=(500, 1))
        >>> ridge(f, y, np.array([0, 0, 1]))[:, 0].round(2).tolist()
        [1.0, 0.0, -2.0]
    """
    n, k = f.shape
    member, found = kinds == np.arange(kinds.max() + 1)[:, None], np.zeros((k, y.shape[1]))
    part = np.zeros(n, int) if part is None else part
    weight = np.ones((1, y.shape[1])) if weight is None else weight
    rows = [f[part == s] for s in range(len(weight))]
    squares = np.stack([some.T @ some for some in rows])
    crosses = np.stack([some.T @ y[part == s] for s, some in enumerate(rows)])
    for out in range(y.shape[1]):
        square, cross = (np.tensordot(weight[:, out], a, 1) for a in (squares, crosses[..., out]))
        total = weight[part, out] @ y[:, out] ** 2
        penalty = np.full(len(member), 1e-3 * n)
        for _ in range(SWEEPS):
            own = penalty @ member
            inverse = np.linalg.inv(square + np.diag(own))
            w = inverse @ cross
            known = 1 - own * np.diagonal(inverse)
            s = max(float(total - 2 * w @ cross + w @ square @ w), 1e-12 * float(total)) / max(n - known.sum(), 1.0)
            last, penalty = penalty, s * (member @ known) / np.maximum(member @ w**2, 1e-300)
            penalty = np.clip(penalty, 1e-8 * n, 1e8 * n)
            if np.abs(np.log(penalty / last)).max() < 0.01:
                break
        found[:, out] = w
    return found


@eqx.filter_jit
def _train(keys: PRNGKeyArray, f: Array, y: Array, weight: Array, held: Array, n: Array, looks: Array) -> eqx.nn.MLP:
    """Train a network by weighted least squares on rows held .. n; return that of the least error on the rows before.

    Rows from n on are padding: sizes are data, so that fits of many sizes share one compiled program. The step size
    falls by a half cosine over `looks` times `LOOK` steps, and what is looked at is a running average.
    """
    key_net, key = keys
    params, static = eqx.partition(_network(key_net, f.shape[1], y.shape[1]), eqx.is_inexact_array)
    optimiser = optax.chain(optax.scale_by_adam(), optax.add_decayed_weights(DECAY))

    def errors(params: Any, rows: Any) -> Array:
        return jnp.mean(weight[rows] * (jax.vmap(eqx.combine(params, static))(f[rows]) - y[rows]) ** 2, axis=1)

    def left(params: Any) -> Array:
        seen = slice(0, int(HELD * len(f)) + 1)
        return jnp.mean(errors(params, seen), where=jnp.arange(len(f))[seen] < held)

    def step(i: Array, carry: Any) -> Any:
        params, moments, average = carry
        rows = jax.random.randint(jax.random.fold_in(key, i), (BATCH,), held, n)
        gradient = jax.grad(lambda p: jnp.mean(errors(p, rows)))(params)
        move, moments = optimiser.update(gradient, moments, params)
        rate = RATE * 0.5 * (1 + jnp.cos(jnp.pi * i / (looks * LOOK)))
        params = optax.apply_updates(params, jax.tree.map(lambda m: -rate * m, move))
        return params, moments, optax.incremental_update(params, average, NEWEST)

    def look(i: Array, carry: Any) -> Any:
        *carry, best, least = carry
        carry = jax.lax.fori_loop(i * LOOK, (i + 1) * LOOK, step, tuple(carry))
        now = left(carry[2])
        best = jax.tree.map(lambda a, b: jnp.where(now < least, a, b), carry[2], best)
        return *carry, best, jnp.minimum(now, least)

    start = (params, optimiser.init(params), params, params, left(params))
    return eqx.combine(jax.lax.fori_loop(0, looks, look, start)[3], static)


def _less_its_mean(a: Float[np.ndarray, "n k"], part: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n k"]:
    """Take from each row the mean of its part."""
    rows = np.bincount(part)
    sums = sparse.coo_array((np.ones(len(part)), (part, np.arange(len(part)))), (len(rows), len(part))) @ a
    return a - (sums / np.maximum(rows, 1)[:, None])[part]


def learn_statistic(
    key: PRNGKeyArray,
    x_obs: np.ndarray,
    c_obs: np.ndarray | None,
    zeta: Float[np.ndarray, "n d"],
    x: np.ndarray,
    c: np.ndarray | None,
    y: Float[np.ndarray, "n out"],
    part: Int[np.ndarray, " n"] | None = None,
    weight: Float[np.ndarray, "parts out"] | None = None,
    steps: int = STEPS,
) -> LearnedStatistic:
    """Learn t(x) = E[y | x] from pairs, up to a constant where they come in parts that each have their own.

    Args:
        key: randomness of the network and its batches.
        x_obs: observations, which give the units of x.
        c_obs: their known conditions, or None.
        zeta: where the simulations were, in units of their proposal's spread.
        x: simulations, with shape (n, *x_shape).
        c: their conditions, or None.
        y: what to predict.
        part: to which part each pair belongs, 0, 1, ...; None for one part.
        weight: of a part's errors; None for equal ones.
        steps: of training the network.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> u = rng.normal(size=(2000, 1))
        >>> x = u + rng.normal(size=(2000, 1))  # E[u | x] = x / 2
        >>> t = learn_statistic(jax.random.key(0), x, None, u, x, None, u)
        >>> bool(abs(float(t(jnp.array([1.0]))[0]) - 0.5) < 0.1)
        True
    """
    order = np.random.default_rng(0).permutation(len(x))  # pairs may come in rounds; those held out are of all rounds
    part = np.zeros(len(x), int) if part is None else part
    weight = np.ones((int(part.max()) + 1, y.shape[1])) if weight is None else weight
    x, y, zeta, part = (a[order] for a in (x, y, zeta, part))
    c = None if c is None else c[order]
    features = make_features(x_obs, c_obs, zeta, x)
    f = apply(features, x, c)
    middle, size = f.mean(0), f.std(0)
    size = np.where(size > 1e-6 * (np.abs(middle) + 1e-30), size, 1.0)
    f = np.clip((f - middle) / size, -CLIP, CLIP)
    n, held = len(f), max(int(HELD * len(f)), 1)
    weights = ridge(_less_its_mean(f, part), _less_its_mean(y, part), features.kinds(f.shape[1]), part, weight)
    bias = np.mean(y - f @ weights, axis=0)
    rest = _less_its_mean(y - f @ weights, part)
    net_size = np.maximum(np.sqrt(np.mean(weight[part] * rest**2, axis=0)), 1e-12)
    dtype = jnp.result_type(float)

    def pad(a: np.ndarray) -> Array:
        padded = np.zeros((4 ** max(math.ceil(math.log(n, 4)), LEAST_PADDED), a.shape[1]), dtype)
        padded[:n] = a
        return jnp.asarray(padded)

    data = pad(f), pad(rest / net_size), pad(weight[part])
    net = _train(jax.random.split(key), *data, jnp.asarray(held), jnp.asarray(n), jnp.asarray(steps // LOOK))
    middle, size, weights, bias, net_size = (jnp.asarray(a, dtype) for a in (middle, size, weights, bias, net_size))
    return LearnedStatistic(features, middle, size, weights, bias, net=net, net_size=net_size)


LEAST = 20  # rows for each parameter of a part of the simulations that t is learned from
LEAST_SPREAD = 1e-3  # of such a part, in units of q
REACH = 3.0  # longest step, in standard deviations of the q that gave the slope


def monomials(zeta: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n k"]:
    """Compute the score of N(loc + L a, L (I + S) L^T) at a = 0, S = 0, for u = loc + L zeta.

        d log q / da = zeta,    d log q / dS_ii = (zeta_i^2 - 1) / 2,    d log q / dS_ij = zeta_i zeta_j  for i < j

    Example:
        >>> monomials(np.array([[2.0, -3.0]])).tolist()
        [[2.0, -3.0, 1.5, -6.0, 4.0]]
    """
    i, j = np.triu_indices(zeta.shape[1])
    return np.concatenate([zeta, (zeta[:, i] * zeta[:, j] - (i == j)) * np.where(i == j, 0.5, 1.0)], 1)


def _own_scores(
    zeta: Float[np.ndarray, "n d"], part: Int[np.ndarray, " n"], known: Float[np.ndarray, " d"]
) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "parts d"]]:
    """Compute what each part N(mean, C) teaches about one score in units of q = N(0, 1), and the weight of its errors.

        y = (I + 1)^-1 (I + C^-1) (zeta - mean),    weight = min((I_i + 1) / (I + C^-1)_ii, 1)

    with I what one observation tells, `known` on its diagonal: E[zeta - mean | x] = (I + C^-1)^-1 times the score where
    the likelihood is Gaussian. A part that is too small or does not spread teaches nothing and has no weight.
    """
    y, weight = np.zeros_like(zeta), np.zeros((int(part.max()) + 1, zeta.shape[1]))
    for s in range(len(weight)):
        some = zeta[part == s]
        spread = np.cov(some.T).reshape(2 * some.shape[1:]) if len(some) >= LEAST * zeta.shape[1] else np.zeros((1, 1))
        if np.linalg.eigvalsh(spread)[0] > LEAST_SPREAD**2:
            precision = np.diag(known) + np.linalg.inv(spread)
            y[part == s] = (some - some.mean(0)) @ precision / (known + 1)
            weight[s] = np.minimum((known + 1) / np.diagonal(precision), 1.0)
    return y, weight


def learn_at(
    draws: Draws, observed: Observed, key: PRNGKeyArray, loc: np.ndarray, factor: np.ndarray, pool: list[Drawn],
    known: np.ndarray | None = None, squares: bool = False, steps: int = STEPS,
) -> LearnedStatistic:  # fmt: skip
    """Learn t(x) from all simulations of a pool that lie near N(loc, factor factor^T), in units of factor.

    Where it is known how much one observation tells about each of these units, and a part of the pool is large enough,
    each part has its own score; else all are taken as if from one q.
    """
    u, x, inputs, ok = Drawn.joined(pool)
    zeta = np.linalg.solve(factor, (u - loc).T).T
    ok = ok & (np.linalg.norm(zeta, axis=1) < REACH + np.sqrt(len(loc)))
    y, part, weight = monomials(zeta[ok]) if squares else zeta[ok], None, None
    if known is not None:
        part = np.repeat(np.arange(len(pool)), [len(drawn.u) for drawn in pool])[ok]
        own, weight = _own_scores(zeta[ok], part, known)
        taught = np.any(weight, axis=1)[part]
        if taught.any():
            ok[ok], y, part = taught, own[taught], part[taught]
        else:  # all parts of so few calls are too small
            part = weight = None
    c = None if inputs is None else inputs[ok]
    return learn_statistic(key, observed.x, observed.inputs, zeta[ok], x[ok], c, y, part, weight, steps)


def learn_encoder(
    draws: Draws, observed: Observed, key: PRNGKeyArray, reference: tuple[np.ndarray, np.ndarray], drawn: Drawn
) -> LearnedStatistic:
    """Learn E[theta | x] under a reference N(loc, factor factor^T) from simulations of it."""
    loc, factor = reference
    u, x, inputs, ok = drawn
    c, zeta = None if inputs is None else inputs[ok], np.linalg.solve(factor, (u[ok] - loc).T).T
    return learn_statistic(key, observed.x, observed.inputs, zeta, x[ok], c, apply(draws.space.constrain, u[ok]))
