"""avo.critics.networks: what every critic must be, whatever its x, and the slopes that `lipschitz` may not exceed."""

from dataclasses import replace
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import correlate
from scipy.special import expit

from avo.critics import (
    conv1d,
    conv2d,
    deep_sets,
    for_shape,
    gru,
    leaky,
    lenet,
    linear,
    lipschitz,
    logistic,
    lstm,
    mlp,
    packed,
    train_critic,
    wasserstein,
)
from avo.critics.networks import FACTORIES, rebuild

KEY = jax.random.key(2)
# Odd sizes, not those of x; one case at least of every factory and of every number of axes that it takes
CASES: dict[str, tuple[Any, tuple[int, ...]]] = {
    "linear": (linear, (4, 3)),
    "logistic": (logistic, (5,)),
    "mlp of a number": (partial(mlp, width=6, depth=1), ()),
    "mlp of a series": (partial(mlp, width=7, depth=2), (4, 3)),
    "leaky": (leaky, (5,)),
    "conv1d": (partial(conv1d, width=4, depth=2), (13,)),
    "conv1d of channels": (partial(conv1d, width=3, depth=1, kernel=3), (10, 3)),
    "conv2d": (partial(conv2d, width=3, depth=2), (7, 6)),
    "conv2d of channels": (partial(conv2d, width=3, depth=1, kernel=5), (6, 5, 2)),
    "lenet": (partial(lenet, width=3, hidden=7, kernel=3), (7, 6)),
    "lenet of channels": (partial(lenet, width=2, hidden=6), (5, 9, 2)),
    "lstm": (partial(lstm, width=5), (6,)),
    "lstm of channels": (partial(lstm, width=4), (6, 3)),
    "gru": (partial(gru, width=5), (6,)),
    "gru of channels": (partial(gru, width=4), (6, 3)),
    "deep_sets": (partial(deep_sets, width=6), (5,)),
    "deep_sets of vectors": (partial(deep_sets, width=5, depth=1), (4, 3)),
    "lipschitz": (partial(lipschitz, width=9, depth=1), (3,)),
    "lipschitz of more than its width": (partial(lipschitz, width=2, depth=2), (3, 2)),
    "packed deep_sets": (packed(3, partial(deep_sets, width=5)), (4,)),
    "packed mlp": (packed(2, partial(mlp, width=6, depth=1)), (3,)),
}
EACH = pytest.mark.parametrize("name", CASES)


def made(name: str) -> tuple[Any, tuple[int, ...]]:
    """The factory of a case, and the shape of what its critic is called with."""
    make, x_shape = CASES[name]
    return make, (make.pack, *x_shape) if isinstance(make, packed) else x_shape


def arrays(tree: Any) -> list[Any]:
    return jax.tree.leaves(eqx.filter(tree, lambda a: hasattr(a, "shape")))


def test_every_factory_has_a_case() -> None:
    assert {word for name in CASES for word in name.split()} >= set(FACTORIES)


@EACH
def test_what_every_critic_must_be(name: str) -> None:
    make, seen = made(name)
    x, y = np.random.default_rng(10).normal(size=(2, 7, *seen))
    compiled = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
    fresh = compiled(lambda key: eqx.filter(make(key, CASES[name][1]), eqx.is_array))
    empty = eqx.filter_eval_shape(make, KEY, CASES[name][1])
    static = eqx.filter(empty, lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct), inverse=True)

    @compiled  # one program: values, slopes, and the gradient of a loss that holds slopes
    def probe(phi: Any, x: Any, y: Any) -> Any:
        critic = eqx.combine(phi, static)
        steep = jax.tree.map(lambda a: 2.0 * a if eqx.is_inexact_array(a) else a, critic)
        second = eqx.filter_grad(lambda d: wasserstein().critic(d, x, y, jnp.ones(7), KEY)[0])(steep)
        row, slope = jax.value_and_grad(critic)(x[0])
        return jax.vmap(critic)(x), row, slope, [jnp.ravel(leaf) for leaf in arrays(second)]

    one, same, other = map(fresh, jax.random.split(KEY, 2)[jnp.array([0, 0, 1])])
    values, row, slope, second = probe(one, x, y)
    assert values.shape == (7,) and np.unique(values).size == 7
    np.testing.assert_allclose(values[0], row, rtol=1e-9)
    np.testing.assert_array_equal(values, probe(same, x, y)[0])
    assert np.all(values != probe(other, x, y)[0])
    assert slope.shape == seen and np.all(slope != 0)  # every entry counts
    if one.skip is not None and name != "linear":  # and not in the linear part alone
        line = np.asarray(one.skip.weight).ravel()
        line = np.tile(line, max(1, slope.size // line.size)).reshape(seen) * line.size / slope.size
        assert np.all(np.abs(slope - line) > 1e-9)
    second = np.concatenate(second)
    assert np.all(np.isfinite(second)) and np.any(second != 0)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@EACH
def test_shape_and_dtype_of_the_value(name: str, dtype: Any) -> None:
    make, seen = made(name)

    def value(key: Any, x: Any) -> Any:
        critic = make(key, CASES[name][1])
        return jax.tree.map(lambda a: a.astype(dtype) if eqx.is_inexact_array(a) else a, critic)(x)

    found = jax.eval_shape(value, KEY, jax.ShapeDtypeStruct(seen, dtype))
    assert found.shape == () and found.dtype == dtype


@EACH
def test_rebuilt_from_its_recipe(name: str) -> None:
    make, seen = made(name)
    critic = eqx.filter_eval_shape(make, KEY, CASES[name][1])
    assert critic.recipe[1] == seen
    word, x_shape, options = critic.recipe
    again = eqx.filter_eval_shape(lambda: rebuild(word, x_shape, dict(options), critic.pack))
    assert jax.tree.structure(eqx.filter(again, eqx.is_array_like)) == jax.tree.structure(
        eqx.filter(critic, eqx.is_array_like)
    )
    assert [a.shape for a in arrays(again)] == [a.shape for a in arrays(critic)] != []


def test_choice_for_a_shape() -> None:
    chosen = {
        shape: eqx.filter_eval_shape(for_shape, KEY, shape).recipe[:2]
        for shape in ((), (5,), (64,), (50, 3), (1, 1), (32, 32), (9, 7, 2), (2, 3, 4, 5))
    }
    assert {shape: name for shape, (name, _) in chosen.items()} == {
        (): "mlp",
        (5,): "mlp",
        (64,): "mlp",
        (50, 3): "conv1d",
        (1, 1): "mlp",
        (32, 32): "conv2d",
        (9, 7, 2): "conv2d",
        (2, 3, 4, 5): "mlp",
    }
    assert all(shape == of for shape, (_, of) in chosen.items())


@pytest.mark.parametrize(
    ("make", "x_shape", "axes"), [(conv1d, (), 1), (conv1d, (4, 3, 2), 1), (conv2d, (5,), 2), (conv2d, (4, 3, 2, 2), 2)]
)
def test_wrong_number_of_axes(make: Any, x_shape: tuple[int, ...], axes: int) -> None:
    with pytest.raises(ValueError) as error:
        make(KEY, x_shape)
    assert f"{make.__name__} needs x with {axes} axes" in str(error.value)
    assert f"got {x_shape}" in str(error.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (partial(mlp, depth=-1), r"mlp: depth must be a whole number of at least 1; got -1"),
        (partial(conv1d, depth=0), r"conv1d: depth must be"),
        (partial(conv1d, width=1.5), r"conv1d: width must be a whole number of at least 1; got 1.5"),
        (partial(conv1d, kernel=4), r"conv1d needs an odd kernel; got 4"),
        (partial(gru, width=0), r"gru: width must be"),
        (partial(lstm, width=0), r"lstm: width must be"),
        (partial(deep_sets, width=-3), r"deep_sets: width must be"),
        (partial(lipschitz, depth=0), r"lipschitz: depth must be"),
        (partial(leaky, width=0), r"leaky: width must be"),
    ],
)
def test_wrong_sizes(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(KEY, (6,))


def test_x_of_another_shape_than_made_for() -> None:
    with pytest.raises(ValueError, match=r"critic linear was made for x of shape \(1,\); got \(2,\)"):
        linear(KEY, (1,))(jnp.ones(2))
    with pytest.raises(ValueError, match=r"critic mlp was made for x of shape \(4, 5\); got \(3, 5\)"):
        packed(4, mlp)(KEY, (5,))(jnp.ones((3, 5)))


@pytest.mark.parametrize("make", [gru, lstm, deep_sets])
def test_a_single_number_is_no_series_and_no_set(make: Any) -> None:
    with pytest.raises(ValueError, match=rf"{make.__name__} needs observations of several rows"):
        make(KEY, ())


def test_mlp_is_network_plus_linear_part() -> None:
    critic = mlp(jax.random.key(11), (3,), width=5, depth=1)
    x = jnp.array([0.5, -1.2, 2.0])
    without = eqx.tree_at(lambda c: c.skip.weight, critic, jnp.zeros((1, 3)))
    np.testing.assert_allclose(critic(x) - without(x), jnp.sum(critic.skip.weight[0] * x), rtol=1e-12)


def test_linear_and_logistic_by_hand() -> None:
    x = jnp.array([[0.5, -1.2, 2.0], [1.0, 0.3, -0.7]])
    v, c = jnp.array([[0.4, -0.9, 1.7]]), jnp.array(0.6)
    line = eqx.tree_at(lambda d: (d.skip.weight, d.net.bias), linear(KEY, (3,)), (v, c))
    expected = np.asarray(x) @ np.asarray(v[0]) + 0.6
    np.testing.assert_allclose(jax.vmap(line)(x), expected, rtol=1e-12)
    curve = eqx.tree_at(lambda d: (d.net.line.weight, d.net.line.bias), logistic(KEY, (3,)), (v, c[None]))
    np.testing.assert_allclose(jax.vmap(curve)(x), 1 / (1 + np.exp(-expected)), rtol=1e-12)


def test_leaky_by_hand() -> None:
    critic = leaky(KEY, (3,), width=4, slope=0.3, last=0.5)
    a, b, c = (np.asarray(layer.weight) for layer in critic.net.net.layers)
    h = np.array([0.5, -1.2, 2.0])
    for w in (a, b):
        h = w @ h
        h = np.where(h > 0, h, 0.3 * h)
    np.testing.assert_allclose(critic(jnp.array([0.5, -1.2, 2.0])), (c @ h).item(), rtol=1e-12)
    assert all(np.all(np.asarray(layer.bias) == 0) for layer in critic.net.net.layers)
    # Glorot's bound is sqrt(6 / (in + out)): a tenth of it, and for the last layer `last` of it
    for w, factor in ((a, 0.1), (b, 0.1), (c, 0.5)):
        bound = factor * np.sqrt(6 / sum(w.shape))
        assert 0.3 * bound < np.abs(w).max() < bound


def test_deep_sets_ignore_the_order_and_repetition() -> None:
    size = 7
    critic = deep_sets(KEY, (size, 2), width=16)
    x = jax.random.normal(jax.random.key(3), (size, 2))
    values = [critic(x[jnp.asarray(np.random.default_rng(s).permutation(size))]) for s in range(5)]
    np.testing.assert_allclose(values, critic(x), rtol=0, atol=1e-6)
    # means, not sums: a set in which each member comes twice is the same law
    np.testing.assert_allclose(critic(jnp.concatenate([x, x])), critic(x), rtol=0, atol=1e-6)
    assert abs(float(critic(x.at[0].add(1.0)) - critic(x))) > 1e-3


def test_deep_sets_see_more_than_a_mean_over_members() -> None:
    """A sum of one function over the members could not: swapping members between two sets changes d(a) + d(b)."""
    critic = deep_sets(KEY, (2, 1), width=16)
    u, v = 2.0, -1.5
    together = critic(jnp.array([[u], [u]])) + critic(jnp.array([[v], [v]]))
    apart = critic(jnp.array([[u], [v]])) + critic(jnp.array([[v], [u]]))
    assert abs(float(together - apart)) > 1e-3


def test_packed_sets_are_deep_sets_of_packs() -> None:
    pack, alone = packed(4)(KEY, (3, 2)), deep_sets(KEY, (4, 3, 2))
    assert (packed(4).pack, pack.pack, alone.pack) == (4, 4, 1)
    assert pack.recipe == alone.recipe
    x = jax.random.normal(jax.random.key(3), (4, 3, 2))
    assert pack(x).shape == ()
    assert float(pack(x)) == float(alone(x))
    np.testing.assert_allclose(pack(x[::-1]), pack(x), rtol=0, atol=1e-6)
    order = packed(4, mlp)(KEY, (3, 2))
    assert order.pack == 4 and abs(float(order(x[::-1]) - order(x))) > 1e-3


def test_packed_takes_any_module() -> None:
    class Sum(eqx.Module):
        def __call__(self, x: Any) -> Any:
            return jnp.sum(x)

    critic = packed(2, lambda key, x_shape: Sum())(KEY, (3,))
    assert critic.pack == 2 and critic.recipe is None
    assert float(critic(jnp.ones((2, 3)))) == 6.0


@pytest.mark.parametrize("size", [0, -1, 2.0, True, "3", KEY])
def test_wrong_size_of_a_pack(size: Any) -> None:
    with pytest.raises(ValueError, match=r"packed: size must be a whole number of at least 1; got"):
        packed(size)


def test_packs_are_of_single_critics() -> None:
    assert packed(np.int64(4)) == packed(4)  # type: ignore[arg-type]
    for make in ("mlp", packed(2), mlp(KEY, (3,))):
        with pytest.raises(ValueError, match=r"packed: make must be a factory of critics"):
            packed(4, make)  # type: ignore[arg-type]


def patch_sums(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """A convolution of stride 2 place by place, zeros beyond the edges; weight with shape (out, *kernel, in)."""
    dims, kernel = x.ndim - 1, weight.shape[1]
    padded = np.pad(x, [(kernel // 2,) * 2] * dims + [(0, 0)])
    out = np.empty(tuple((n + 1) // 2 for n in x.shape[:-1]) + (len(weight),))
    for place in np.ndindex(*out.shape[:-1]):
        patch = padded[tuple(slice(2 * i, 2 * i + kernel) for i in place)]
        out[place] = np.tensordot(weight, patch, dims + 1) + bias
    return out


@pytest.mark.parametrize(("make", "x_shape", "kernel"), [(conv1d, (9,), 5), (conv2d, (5, 6, 2), 3)])
def test_convolutions_place_by_place(make: Any, x_shape: tuple[int, ...], kernel: int) -> None:
    dims = 1 if make is conv1d else 2
    critic = make(KEY, x_shape, width=3, depth=2, kernel=kernel)
    x = np.random.default_rng(4).normal(size=x_shape)
    h = x.reshape(*x_shape[:dims], -1)
    for layer in critic.net.layers:
        h = patch_sums(h, np.asarray(layer.weight).reshape(3, *(kernel,) * dims, -1), np.asarray(layer.bias))
        h = h / (1 + np.exp(-h))
    expected = np.asarray(critic.net.head.weight)[0] @ h.ravel() + np.asarray(critic.net.head.bias)[0]
    expected += np.asarray(critic.skip.weight)[0] @ x.ravel()
    np.testing.assert_allclose(critic(jnp.asarray(x)), expected, rtol=1e-9)


def _enlarge(critic: Any, by: float) -> Any:
    return eqx.tree_at(lambda c: (c.net.weights, c.net.log_q), critic, (by * critic.net.weights, critic.net.biases))


@pytest.fixture(scope="module")
def bounded() -> dict[str, Any]:
    """1-Lipschitz critics, at random and as training leaves them."""
    rng = np.random.default_rng(6)
    real, fake = rng.normal(size=(4000, 3)) * [3.0, 1.0, 0.5], rng.normal(size=(3000, 3)) + [0.4, -0.8, 0.0]
    random = lipschitz(KEY, (3,), width=7, depth=3)
    trained, gaps = train_critic(
        KEY, random, wasserstein("none"), jnp.asarray(real), jnp.asarray(fake), steps=400, batch=64, rate=2e-2
    )
    assert gaps[-50:].mean() > gaps[:50].mean() + 0.3  # it has learnt something
    wide = lipschitz(KEY, (3, 4), width=5, depth=2)
    return {"random": random, "trained": trained, "enlarged": _enlarge(random, 30.0), "wide": _enlarge(wide, 0.05)}


@pytest.mark.parametrize("name", ["random", "trained", "enlarged", "wide"])
def test_lipschitz_layers_have_no_slope_above_one(bounded: dict[str, Any], name: str) -> None:
    critic = bounded[name]
    depth, size = critic.net.biases.shape

    def layer(i: int, h: Any) -> Any:
        """One residual layer, read off through each of the unit vectors."""
        one = replace(critic.net, **{k: getattr(critic.net, k)[i : i + 1] for k in ("weights", "biases", "log_q")})
        return jax.vmap(lambda e: replace(one, out=e)(h))(jnp.eye(size))

    @jax.jit
    def slopes(h: Any, x: Any) -> Any:
        jacobians = jnp.stack([jax.vmap(jax.jacobian(partial(layer, i)))(h) for i in range(depth)])
        full = jax.vmap(jax.jacobian(lambda x: jax.vmap(lambda e: replace(critic.net, out=e)(x))(jnp.eye(size))))(x)
        scalar = jax.vmap(jax.grad(critic))(x)
        return jacobians, full.reshape(len(x), size, -1), scalar.reshape(len(x), -1)

    key_h, key_x = jax.random.split(jax.random.key(8))
    h, x = 2.0 * jax.random.normal(key_h, (40, size)), 2.0 * jax.random.normal(key_x, (40, *critic.recipe[1]))
    layers, full, scalar = map(np.asarray, slopes(h, x))
    # Singular values are what power iterations tend to
    assert np.linalg.svd(layers, compute_uv=False).max() <= 1 + 1e-4
    assert np.linalg.svd(full, compute_uv=False).max() <= 1 + 1e-4
    assert np.linalg.norm(scalar, axis=1).max() <= 1 + 1e-4
    assert np.abs(layers - np.eye(size)).max() > 0.1  # the layers are not the identity


@pytest.mark.parametrize("name", ["random", "trained", "enlarged", "wide"])
def test_lipschitz_values_differ_by_no_more_than_the_points(bounded: dict[str, Any], name: str) -> None:
    critic = bounded[name]
    x, y = np.random.default_rng(9).normal(0.0, 2.0, (2, 500, *critic.recipe[1]))
    y[250:] = x[250:] + 1e-3 * y[250:]  # far pairs and near ones
    rise = np.abs(np.asarray(jax.vmap(critic)(jnp.asarray(x)) - jax.vmap(critic)(jnp.asarray(y))))
    run = np.linalg.norm((x - y).reshape(500, -1), axis=1)
    assert np.all(rise <= run * (1 + 1e-6))
    assert np.max(rise / run) > 0.3


def test_lenet_by_hand() -> None:
    """Filters by SciPy's correlation, means of 2 x 2, and matrix products."""
    critic, x = lenet(KEY, (5, 4, 2), width=3, hidden=10, kernel=3), np.random.default_rng(0).normal(size=(5, 4, 2))
    h = x
    for layer in critic.net.filters:
        w = np.asarray(layer.weight).reshape(-1, 3, 3, h.shape[2])
        maps = [sum(correlate(h[..., c], own[..., c], mode="constant") for c in range(h.shape[2])) for own in w]
        h = np.tanh(np.stack(maps, -1) + np.asarray(layer.bias))
        h = np.concatenate([h, h[-1:]]) if len(h) % 2 else h
        h = np.concatenate([h, h[:, -1:]], axis=1) if h.shape[1] % 2 else h
        h = (h[::2, ::2] + h[1::2, ::2] + h[::2, 1::2] + h[1::2, 1::2]) / 4
    assert h.shape == (2, 1, 8) and [len(layer.bias) for layer in critic.net.dense] == [10, 7, 1]
    h = h.ravel()
    for layer in critic.net.dense[:-1]:
        h = np.tanh(np.asarray(layer.weight) @ h + np.asarray(layer.bias))
    last = critic.net.dense[-1]
    expected = (np.asarray(last.weight) @ h + np.asarray(last.bias)).item() + (critic.skip.weight[0] @ x.ravel())
    np.testing.assert_allclose(critic(jnp.asarray(x)), expected, rtol=1e-10)


def test_lstm_by_hand() -> None:
    """Gates in Equinox's order, input, forget, cell, output."""
    critic, x = lstm(KEY, (4, 3), width=5), np.random.default_rng(1).normal(size=(4, 3))
    cell = critic.net.cell
    h = c = np.zeros(5)
    for row in x:
        i, f, g, o = np.split(np.asarray(cell.weight_ih) @ row + np.asarray(cell.weight_hh) @ h + cell.bias, 4)
        c = expit(f) * c + expit(i) * np.tanh(g)
        h = expit(o) * np.tanh(c)
    expected = np.asarray(critic.net.head.weight) @ h + np.asarray(critic.net.head.bias)
    np.testing.assert_allclose(critic(jnp.asarray(x)), expected.item() + critic.skip.weight[0] @ x.ravel(), rtol=1e-10)
