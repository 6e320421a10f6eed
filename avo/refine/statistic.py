"""A statistic of one observation, learned from simulations: the regression t(x) = E[y | x].

The regression comes in two parts,

    t(x) = W f(x) + b + s net(f(x)),

a ridge regression on summaries f of x that are known to matter (avo/refine/features.py), and a small network for what
that leaves, stopped where pairs held out gain no more. The network does not see the indicators among f: they are a
basis for functions of one column, which the regression has, and only noise to a network that finds the others. What y
is, so that t is a good statistic, is in avo/refine/scores.py; what is done with t in avo/refine/equation.py.
"""

from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray
from scipy import sparse
from scipy.linalg import lapack

from avo.clock import stage
from avo.execution.blocks import batched
from avo.execution.programs import compiled
from avo.folder import fill, leaves
from avo.gaps import Gaps
from avo.layers import mlp
from avo.observations import Observed
from avo.refine.features import CLIP, Features, make_features
from avo.sizes import padded, power_of_four

CHUNK = 1024  # rows of one compiled program, few enough for the processor's cache
WIDTH, DEPTH = 64, 2
STEPS, BATCH, RATE = 1500, 256, 3e-3
DECAY = 1.0  # of the network's weights, in units of the rate: what it need not know it forgets
NEWEST = 0.01  # share of the newest weights in their running average
SWEEPS = 20  # at most, of the ridge regression's penalties
LOOK = 50  # steps between two looks at the held-out pairs
HELD = 1 / 8  # fraction of the pairs that are held out
APART = ("custom", "gaps")  # parts of the features that are no single arrays
SEEN = 1024  # held-out pairs that are looked at together
LEAST_PADDED, MOST_PADDED = 4**6, 4**8  # pairs of the usual program, more of them where features are few
PADDED = 2**23  # numbers in features up to which they are few


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
        return f @ self.weights + self.bias + self.net_size * self.net(f[: self.net.in_size])

    def to_arrays(self, name: str) -> dict[str, Any]:
        """Name all arrays, for a file."""
        own = {k: a for k, a in vars(self.features).items() if a is not None and k not in APART}
        parts = {f"{name}.features.{k}": a for k, a in own.items()}
        custom, gaps = self.features.custom, self.features.gaps
        parts |= {} if gaps is None else gaps.to_arrays(f"{name}.gaps")
        if custom is not None:  # the function itself is in no file
            parts |= {f"{name}.custom.shift": custom.shift, f"{name}.custom.scale": custom.scale}
        parts |= {f"{name}.{k}": a for k, a in vars(self).items() if k not in ("features", "net")}
        return parts | leaves(f"{name}.net", self.net)

    @staticmethod
    def from_arrays(name: str, arrays: dict[str, np.ndarray], custom: Any = None) -> "LearnedStatistic":
        """Make the statistic from what `to_arrays` gave, and the user's own, if there was one."""
        saved: Any = {k.removeprefix(f"{name}."): jnp.asarray(a) for k, a in arrays.items() if k.startswith(f"{name}.")}
        gaps = jax.tree.map(jnp.asarray, Gaps.from_arrays("gaps", saved))
        if custom is not None:
            custom = custom.filled(saved["custom.shift"], saved["custom.scale"], gaps)
        kept = {k: saved.get(f"features.{k}") for k in Features.__dataclass_fields__ if k not in APART}
        features = Features(**kept, custom=custom, gaps=gaps)
        k, out = saved["weights"].shape
        net = fill(f"{name}.net", _network(jax.random.key(0), k - features.indicators, out), arrays)
        rest = {k: saved[k] for k in ("middle", "size", "weights", "bias", "net_size")}
        return LearnedStatistic(features=features, net=net, **rest)


def _network(key: PRNGKeyArray, k: int, out: int) -> eqx.nn.MLP:
    """Make the network, zero until it is trained."""
    net = mlp(k, out, WIDTH, DEPTH, jax.nn.silu, key)
    last = lambda n: (n.layers[-1].weight, n.layers[-1].bias)  # noqa: E731
    return eqx.tree_at(last, net, tuple(jnp.zeros_like(a) for a in last(net)))


@compiled
def _apply_chunk(fn: Any, x: Array, c: Array | None) -> Array:
    return jax.vmap(fn)(x) if c is None else jax.vmap(fn)(x, c)


@stage("features")
def apply(fn: Any, x: np.ndarray, c: np.ndarray | None = None, chunk: int = CHUNK) -> Float[np.ndarray, "n *out"]:
    """Apply a module of one observation to many, in chunks of one compiled program."""
    dtype = jnp.result_type(float)
    rows = (None if a is None else np.asarray(a, dtype) for a in (x, c))
    return np.asarray(batched(partial(_apply_chunk, fn), *rows, rows=chunk), np.float64)


@stage("ridge")
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
    part = np.zeros(len(f), int) if part is None else part
    weight = np.ones((1, y.shape[1])) if weight is None else weight
    rows = [f[part == s] for s in range(len(weight))]
    squares = np.stack([some.T @ some for some in rows])
    crosses = np.stack([some.T @ y[part == s] for s, some in enumerate(rows)])
    member, found = kinds == np.arange(kinds.max() + 1)[:, None], np.zeros((f.shape[1], y.shape[1]))
    for out in range(y.shape[1]):
        square, cross = (np.tensordot(weight[:, out], a, 1) for a in (squares, crosses[..., out]))
        total = float(weight[part, out] @ y[:, out] ** 2)
        found[:, out] = _ridge_by_evidence(len(f), square, cross, total, member)
    return found


def _ridge_by_evidence(n: int, square: np.ndarray, cross: np.ndarray, total: float, member: np.ndarray) -> np.ndarray:
    """Iterate penalties and coefficients for one output, from f^T W f, f^T W y and y^T W y.

    With f^T W f + diag(p) = L L^T, the inverse of L gives w and the diagonal, at a third of the whole inverse's cost.
    """
    penalty = np.full(len(member), 1e-3 * n)
    for _ in range(SWEEPS):
        p = penalty @ member
        factor = np.linalg.cholesky(square + np.diag(p))
        lower, _ = lapack.dtrtri(factor, lower=1)  # pyright: ignore[reportAttributeAccessIssue] - made when imported
        w = lower.T @ (lower @ cross)
        g = 1 - p * np.sum(lower**2, axis=0)
        s = max(float(total - 2 * w @ cross + w @ square @ w), 1e-12 * total) / max(n - g.sum(), 1.0)
        last, penalty = penalty, s * (member @ g) / np.maximum(member @ w**2, 1e-300)
        penalty = np.clip(penalty, 1e-8 * n, 1e8 * n)
        if np.abs(np.log(penalty / last)).max() < 0.01:
            break
    return w


class Rows(NamedTuple):
    """Rows of a regression by least squares: the first `held` are held out, and those from n on are padding."""

    f: Float[Array, "N k"]
    y: Float[Array, "N out"]
    weight: Float[Array, "N out"]
    held: Array
    n: Array


@stage("network")
@partial(compiled, quick=True)
def _train(key: PRNGKeyArray, net: eqx.nn.MLP, rows: Rows, looks: Array) -> eqx.nn.MLP:
    """Train a network by weighted least squares; return that of the least error on the rows held out.

    Sizes are data, so that fits of many sizes share one compiled program. The step size falls by a half cosine over
    `looks` times `LOOK` steps, and what is looked at is a running average.
    """
    f, y, weight, held, n = rows
    params, static = eqx.partition(net, eqx.is_inexact_array)
    optimiser = optax.chain(optax.scale_by_adam(), optax.add_decayed_weights(DECAY))

    def errors(params: Any, some: Any) -> Array:
        return jnp.mean(weight[some] * (jax.vmap(eqx.combine(params, static))(f[some]) - y[some]) ** 2, axis=1)

    def left(params: Any) -> Array:
        def part(i: Array, total: Array) -> Array:  # few rows at a time, none of them padding
            some = i * SEEN + jnp.arange(SEEN)
            return total + jnp.sum(errors(params, some), where=some < held)

        return jax.lax.fori_loop(0, -(-held // SEEN), part, jnp.zeros((), f.dtype)) / held

    def step(i: Array, carry: Any) -> Any:
        params, moments, average = carry
        some = jax.random.randint(jax.random.fold_in(key, i), (BATCH,), held, n)
        gradient = jax.grad(lambda p: jnp.mean(errors(p, some)))(params)
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


def _freed(
    part: Int[np.ndarray, " n"], aside: Float[np.ndarray, "n q"] | None, a: Float[np.ndarray, "n k"]
) -> Float[np.ndarray, "n k"]:
    """Take from each row the mean of its part, and what columns set aside explain of it."""
    a = _less_its_mean(a, part)
    return a if aside is None else a - aside @ np.linalg.lstsq(aside, a, rcond=None)[0]


class Pairs(NamedTuple):
    """Simulations to learn E[y | x] from.

    Args:
        zeta: where the simulations were, in units of their proposal's width.
        x: simulations, with shape (n, *x_shape).
        y: what to predict.
        inputs: their conditions, or None.
        part: to which part each pair belongs, 0, 1, ...; None for one part.
        weight: of a part's errors; None for equal ones.
        aside: columns that y and the features are freed of, by least squares, before W is found: what of both a wide
            proposal bends, squares of zeta, would else be noise of x.
    """

    zeta: Float[np.ndarray, "n d"]
    x: np.ndarray
    y: Float[np.ndarray, "n out"]
    inputs: np.ndarray | None = None
    part: Int[np.ndarray, " n"] | None = None
    weight: Float[np.ndarray, "parts out"] | None = None
    aside: Float[np.ndarray, "n q"] | None = None

    def shuffled(self) -> "Pairs":
        """Mix pairs, which may come in rounds, so that those held out are of all rounds."""
        order = np.random.default_rng(0).permutation(len(self.x))
        zeta, x, y, inputs, part = (None if a is None else a[order] for a in self[:5])
        aside = None if self.aside is None else self.aside[order]
        return Pairs(zeta, x, y, inputs, part, self.weight, aside)  # pyright: ignore[reportArgumentType]


def learn_statistic(
    key: PRNGKeyArray, observed: Observed, pairs: Pairs, *, custom: Any = None, steps: int = STEPS
) -> LearnedStatistic:
    """Learn t(x) = E[y | x] from pairs, up to a constant where they come in parts that each have their own.

        t(x) = W f(x) + b + s net(f(x))

    W by ridge regression on the features f, then the network on what that leaves.

    Args:
        key: randomness of the network and its batches.
        observed: observations, which give the units of x.
        pairs: what to learn from.
        custom: the user's own statistic, which the regression sees too, or instead.
        steps: of training the network; 0: there is none.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> u = rng.normal(size=(2000, 1))
        >>> x = u + rng.normal(size=(2000, 1))  # E[u | x] = x / 2
        >>> t = learn_statistic(jax.random.key(0), Observed(x), Pairs(u, x, y=u))
        >>> bool(abs(float(t(jnp.array([1.0]))[0]) - 0.5) < 0.1)
        True
    """
    zeta, x, y, c, part, weight, aside = pairs.shuffled()
    part = np.zeros(len(x), int) if part is None else part
    weight = np.ones((int(part.max()) + 1, y.shape[1])) if weight is None else weight
    features = make_features(
        observed.bare, observed.inputs, zeta, x, custom, c=c, gaps=observed.gaps, shares=observed.shares
    )
    f = apply(features, x, c)
    middle, size = f.mean(0), f.std(0)
    size = np.where(size > 1e-6 * (np.abs(middle) + 1e-30), size, 1.0)
    f = np.clip((f - middle) / size, -CLIP, CLIP)
    free = partial(_freed, part, None if aside is None else _less_its_mean(aside, part))
    weights = ridge(free(f), free(y), features.kinds(f.shape[1]), part, weight)
    bias = np.mean(y - f @ weights, axis=0)
    rest = _less_its_mean(y - f @ weights, part)
    net_size = np.maximum(np.sqrt(np.mean(weight[part] * rest**2, axis=0)), 1e-12)
    seen = f[:, : f.shape[1] - features.indicators]
    key_net, key = jax.random.split(key)
    net = _network(key_net, seen.shape[1], y.shape[1])
    if steps:
        net = _train(key, net, _padded(seen, rest / net_size, weight[part]), jnp.asarray(steps // LOOK))
    dtype = jnp.result_type(float)
    middle, size, weights, bias, net_size = (jnp.asarray(a, dtype) for a in (middle, size, weights, bias, net_size))
    return LearnedStatistic(features, middle, size, weights, bias, net=net, net_size=net_size)


def _padded(f: np.ndarray, y: np.ndarray, weight: np.ndarray) -> Rows:
    n, dtype = len(f), jnp.result_type(float)
    full = power_of_four(n, MOST_PADDED if MOST_PADDED * f.shape[1] <= PADDED else LEAST_PADDED)
    known = [jnp.asarray(padded(a.astype(dtype), full)) for a in (f, y, weight)]
    return Rows(known[0], known[1], known[2], jnp.asarray(max(int(HELD * n), 1)), jnp.asarray(n))
