"""From a region to an answer: learned scores.

Adversarial variational optimization finds the region of the answer. From there on, a statistic t(x) takes over, learned
from simulations. Fisher's identity, for p(x; psi) = int q(u; psi) p(x | u) du,

    grad_psi log p(x; psi) = E[grad_psi log q(u; psi) | x],

says that the least-squares regression of grad_psi log q on x, over pairs u ~ q, x ~ p(x | u), is the score of the
marginal likelihood: as q = N(loc, L L^T) narrows, t(x) = E[L^-1 (u - loc) | x] tends to L^T times the score of p(x | u)
at loc, the best statistic there is. Any other t costs efficiency, not correctness. What is done with t is in
avo/fisher.py; what the errors mean, in docs/errors.md.

Pairs of several proposals q_s = N(mu_s, C_s) near one another serve together: the scores of the marginals at mu_s
differ by constants, to first order, so that t is learned from C_s^-1 (u - mu_s) with a constant for each s. Pooled as
if from one q, which is then not Gaussian, t would bend: E[u | x] would tell the proposals apart.

The regression comes in two parts: a ridge regression on summaries of x that are known to matter, and a small network
for what that leaves, stopped where pairs held out gain no more.
"""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray
from scipy import sparse

from avo import files
from avo.view import standardize

ALL_PRODUCTS = 32  # values up to which x shows all its products to the regression
WIDEST = 512  # values beyond which x is shown by its principal components and by what u moves
COMPONENTS = 256
SERIES = 16  # time points from which an x of one or two axes is a series
CHANNELS = 16  # of a series, at most: an x of two axes with more is an image
BLOCKS = 6  # along each side of an image, of which all products are shown
LAGS = (1, 2, 4)
SEGMENTS = 4
CLIP = 8.0  # standard deviations at which a summary is cut off, so that no outlier rules the mean of t
CHUNK = 1024  # rows of one compiled program, few enough for the processor's cache
WIDTH, DEPTH = 64, 2
STEPS, BATCH, RATE = 1500, 256, 3e-3
DECAY = 1.0  # of the network's weights, in units of the rate: what it need not know it forgets
NEWEST = 0.01  # share of the newest weights in their running average
SWEEPS = 20  # at most, of the ridge regression's penalties
LOOK = 50  # steps between two looks at the held-out pairs
HELD = 1 / 8  # fraction of the pairs that are held out
LEAST_PADDED = 7  # pairs are padded to a power of four, at least this one, so that few programs are compiled


def _mean(h: Float[Array, "T C"], segments: int = 1) -> Float[Array, "segments C"]:
    """Average over time, in segments: as a product of matrices, which is some five times as fast as sums."""
    parts = np.array_split(np.arange(len(h)), segments)
    weights = np.zeros((segments, len(h)))
    for segment, part in zip(weights, parts, strict=True):
        segment[part] = 1 / len(part)
    return jnp.asarray(weights, h.dtype) @ h


def _moments(h: Float[Array, "T C"]) -> list[Array]:
    """Average products of a series: of all channels at the same time, in four segments, and of each with its past."""
    i, j = np.triu_indices(h.shape[1])
    return [_mean(h[:, i] * h[:, j], SEGMENTS)] + [_mean(h[lag:] * h[:-lag]) for lag in LAGS]


def _block_products(z: Float[Array, "H W *rest"]) -> Array:
    """Multiply the means of an image's blocks, each with each."""
    h = jnp.mean(z.reshape(*z.shape[:2], -1), axis=2)
    for axis in (0, 1):
        parts = np.array_split(np.arange(h.shape[axis]), min(BLOCKS, h.shape[axis]))
        h = jnp.stack([jnp.mean(jnp.take(h, part, axis), axis) for part in parts], axis)
    i, j = np.triu_indices(h.size)
    flat = jnp.ravel(h)
    return flat[i] * flat[j]


class Features(eqx.Module):
    """What the regression sees of x and its condition c: values, and averages of products.

    A vector of up to 32 values shows itself and all products. A series shows its values, second moments of values and
    of increments d (in segments, and at lags), mean |d|^k for k = 1/2, 1, 3, 4, its ends squared, and moments of the
    residual that is left when all that u moves on average is projected out. For Gaussian noise, processes with
    independent increments and autoregressions the score is a sum of these. An x of two axes that is no series is an
    image, and shows its values and all products of the means of 6 x 6 blocks. Longer x show principal components.

    Args:
        shift, scale: location and scale of x_obs, as the critic sees it; likewise of the conditions.
        level, spread: location and scale of each channel of a series, else None.
        basis: columns onto which long x are projected, else None.
        moved: orthonormal directions in which u moves a series on average, else None.
    """

    shift: Array
    scale: Array
    c_shift: Array | None
    c_scale: Array | None
    level: Array | None
    spread: Array | None
    basis: Array | None
    moved: Array | None

    def flat(self, x: Array, c: Array | None) -> Array:
        """Standardise values and condition."""
        z = jnp.ravel((x - self.shift) / self.scale)
        z = z if self.basis is None else z @ self.basis
        if c is None or self.c_shift is None or self.c_scale is None:
            return z
        return jnp.concatenate([jnp.ravel((c - self.c_shift) / self.c_scale), z])

    def __call__(self, x: Float[Array, "*x_shape"], c: Array | None = None) -> Float[Array, " k"]:
        flat = self.flat(x, c)
        parts = [flat]
        if flat.size <= ALL_PRODUCTS:
            i, j = np.triu_indices(flat.size)
            cut = jnp.clip(flat, -CLIP, CLIP)
            parts.append(cut[i] * cut[j])
        elif self.level is None and x.ndim >= 2:  # an image
            parts.append(_block_products((x - self.shift) / self.scale))
        if self.level is not None:
            parts += self._series(x)
        return jnp.concatenate([jnp.ravel(part) for part in parts])

    def kinds(self, k: int) -> Int[np.ndarray, " k"]:
        """Tell the kind of each of k features: 0 for values, 1 for products of values, 2 for moments of a series."""
        values = self.shift.size if self.basis is None else self.basis.shape[1]
        values += 0 if self.c_shift is None else self.c_shift.size
        products = values * (values + 1) // 2 if values <= ALL_PRODUCTS else 0
        return np.repeat([0, 1, 2], [values, products, k - values - products])

    def _series(self, x: Array) -> list[Array]:
        assert self.moved is not None and self.level is not None and self.spread is not None
        h = (x.reshape(x.shape[0], -1) - self.level[None]) / self.spread[None]
        d = jnp.diff(h, axis=0)
        a = jnp.abs(d)
        z = jnp.ravel((x - self.shift) / self.scale)
        r = (z - self.moved @ (self.moved.T @ z)).reshape(h.shape)
        powers = [_mean(a), _mean(a**3), _mean(a**4), _mean(jnp.sqrt(a + 1e-12))]
        residual = [_mean(r * r), _mean(r[1:] * r[:-1]), _mean(r[2:] * r[:-2])]
        return [*_moments(h), *_moments(d), *powers, *residual, h[0] ** 2, h[-1] ** 2]


def quadratic(z: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n q"]:
    i, j = np.triu_indices(z.shape[1])
    return z[:, i] * z[:, j]


def _orthonormal(columns: Float[np.ndarray, "p k"]) -> Float[np.ndarray, "p r"]:
    """Find an orthonormal basis of the columns' span, leaving out what is rounding error."""
    left, size, _ = np.linalg.svd(columns, full_matrices=False)
    return left[:, size > 1e-5 * max(size[0], 1e-30)]


def make_features(
    x_obs: np.ndarray, c_obs: np.ndarray | None, zeta: Float[np.ndarray, "n d"], x: np.ndarray
) -> Features:
    """Choose features by the shape of x, from observations and from simulations x of u = loc + L zeta."""
    dtype = jnp.result_type(float)
    units = [*standardize(x_obs), *((None, None) if c_obs is None else standardize(c_obs))]
    # All products of many channels would be too many features to regress on: 4969 for an image of 32 x 32
    series = x_obs.ndim == 2 or (x_obs.ndim == 3 and x_obs.shape[2] <= CHANNELS)
    series = series and x_obs.shape[1] >= SERIES and x_obs[0].size > ALL_PRODUCTS
    level = spread = basis = moved = None
    if series or x_obs[0].size > WIDEST:
        z = ((x - units[0]) / units[1]).reshape(len(x), -1)
        design = np.concatenate([np.ones((len(zeta), 1)), zeta, quadratic(zeta)], 1)
        moved = _orthonormal(np.linalg.lstsq(design.T @ design, design.T @ z, rcond=1e-12)[0][1:].T)
        if x_obs[0].size > WIDEST:
            some = z[:2000] - z[:2000].mean(0)
            basis = np.concatenate([moved, np.linalg.svd(some, full_matrices=False)[2][:COMPONENTS].T], 1)
    if series:
        channels = x_obs.reshape(*x_obs.shape[:2], -1)
        level, spread = channels.mean((0, 1)), np.maximum(channels.std((0, 1)), 1e-12)
    arrays: Any = (*units, level, spread, basis, moved if series else None)
    made: Any = [None if a is None else jnp.asarray(a, dtype) for a in arrays]
    return Features(*made)


class Scores(eqx.Module):
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
        return parts | files.leaves(f"{name}.net", self.net)

    @staticmethod
    def from_arrays(name: str, arrays: dict[str, np.ndarray]) -> "Scores":
        """Make the statistic from what `to_arrays` gave."""
        known: Any = {k.removeprefix(f"{name}."): jnp.asarray(a) for k, a in arrays.items() if k.startswith(f"{name}.")}
        features = Features(**{k: known.get(f"features.{k}") for k in Features.__dataclass_fields__})
        net = files.fill(f"{name}.net", _network(jax.random.key(0), *known["weights"].shape), arrays)
        own = {k: known[k] for k in ("middle", "size", "weights", "bias", "net_size")}
        return Scores(features=features, net=net, **own)


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
    dtype, parts = jnp.result_type(float), []
    for first in range(0, len(x), chunk):
        some = [None if a is None else np.asarray(a[first : first + chunk], dtype) for a in (x, c)]
        n = min(chunk, len(x) - first)
        padded: Any = [None if a is None else np.concatenate([a, np.repeat(a[:1], chunk - n, 0)]) for a in some]
        parts.append(np.asarray(_apply_chunk(fn, *padded), np.float64)[:n])
    return np.concatenate(parts)


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


def learn(
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
) -> Scores:
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
        >>> t = learn(jax.random.key(0), x, None, u, x, None, u)
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
    return Scores(features, middle, size, weights, bias, net=net, net_size=net_size)
