"""What a page evaluates: layers are the decoder's, polynomials are found, and how far they are off is said honestly."""

import base64

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avo.latents import BetaVAE
from avo.latents.attributes import learned
from avo.latents.curves import MONOMIALS, SAME, emulated, evaluate, layers_of, network, packed

Z = np.random.default_rng(4).normal(size=(20, 3))
KEY = jax.random.key(3)


@pytest.mark.parametrize("options", [{}, {"depth": 0}, {"depth": 1, "likelihood": "bernoulli"}])
def test_layers_make_what_the_decoder_makes(options: dict) -> None:
    shift = np.linspace(-2, 3, 9)
    model = BetaVAE.make(KEY, (9,), latents=3, width=7, shift=shift, scale=4.0, **options)
    places = np.array([0, 3, 8])
    words = network(model, places, Z)
    assert words is not None and words["layers"][-1]["shape"][0] == 3
    layers = layers_of(model.decoder)
    assert layers is not None and [layer.activation for layer in layers[:-1]] == ["silu"] * (len(layers) - 1)
    net = evaluate(layers, Z)
    made = 1 / (1 + np.exp(-net)) if "likelihood" in options else shift + 4.0 * net
    np.testing.assert_allclose(made, model.decode(Z), atol=1e-5)


def test_layers_of_a_sequence() -> None:
    keys = jax.random.split(KEY, 2)
    first, second = eqx.nn.Linear(3, 5, key=keys[0]), eqx.nn.Linear(5, 4, use_bias=False, key=keys[1])
    decoder = eqx.nn.Sequential([first, eqx.nn.Lambda(jnp.tanh), second])
    layers = layers_of(decoder)
    assert layers is not None and [layer.activation for layer in layers] == ["tanh", ""]
    np.testing.assert_allclose(evaluate(layers, Z), jax.vmap(decoder)(jnp.asarray(Z)), atol=1e-6)


def test_what_is_no_small_network_of_such_layers_is_not_written_as_one() -> None:
    convolutional = BetaVAE.make(KEY, (16,), latents=3, network="conv1d", width=4, depth=2)
    assert network(convolutional, np.arange(16), Z) is None
    large = BetaVAE.make(KEY, (8,), latents=3, width=600)
    assert network(large, np.arange(8), Z) is None
    model = BetaVAE.make(KEY, (9,), latents=3, width=7)
    odd = eqx.tree_at(lambda m: m.decoder.final_activation, model, jnp.sin)  # which no layer's name tells
    assert network(model, np.arange(9), Z) is not None and network(odd, np.arange(9), Z) is None
    assert SAME < 1e-4


@pytest.mark.parametrize("d", [1, 2, 5, 12])
def test_a_polynomial_is_found_and_its_error_is_measured(d: int) -> None:
    found = emulated(lambda v: np.stack([1.0 + v[:, 0] * v[:, -1], 0 * v[:, 0]], axis=1), d)
    v = np.random.default_rng(1).uniform(-1, 1, (30, d))
    np.testing.assert_allclose(found(v), np.stack([1.0 + v[:, 0] * v[:, -1], 0 * v[:, 0]], 1), atol=1e-9)
    assert found.off < 1e-9 and len(found.powers) <= MONOMIALS


def test_a_curve_that_is_no_polynomial_is_said_to_be_off() -> None:
    def curve(v: np.ndarray) -> np.ndarray:
        return np.sin(9 * v.sum(1, keepdims=True))

    found = emulated(curve, 2)
    v = np.random.default_rng(2).uniform(-1, 1, (4000, 2))
    v[:1333] *= np.eye(2)[np.arange(1333) % 2]
    off = np.sqrt(np.mean((found(v) - curve(v)) ** 2) / curve(v).var())
    assert 0.02 < off < 1.5 * found.off and found.off < 2 * off
    with pytest.raises(ValueError, match="the curve must be finite in most of the box; it is at 0 of"):
        emulated(lambda v: np.full((len(v), 1), np.nan), 2)


def test_numbers_are_written_in_single_precision() -> None:
    a = np.array([[1.5, -2.25], [0.1, 3e8]])
    np.testing.assert_array_equal(np.frombuffer(base64.b64decode(packed(a)), "<f4"), a.ravel().astype("f4"))


def test_an_attribute_is_linear_or_quadratic_or_not_measurable() -> None:
    v = np.random.default_rng(0).normal(size=(300, 3))
    plain, bent = learned("a", v, 1 - 2 * v[:, 1]), learned("b", v, v[:, 0] * v[:, 1] + v[:, 2])
    assert plain.powers.sum(1).max() in (1, 2) and bent.powers.sum(1).max() == 2
    np.testing.assert_allclose(bent(v), v[:, 0] * v[:, 1] + v[:, 2], atol=1e-9)
    assert plain.measurable and bent.measurable and bent.r2 > 0.999
    chance = learned("c", v, np.random.default_rng(1).normal(size=300))
    assert not chance.measurable and chance.r2 < 0.1
    assert not learned("d", v, np.full(300, 7.0)).measurable
