import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from avo.layers import linear, mlp

KEY = jax.random.key(3)


@pytest.mark.parametrize("inputs,outputs,bias", [(1, 1, True), (7, "scalar", True), (130, 100, True), (5, 3, False)])
def test_weights_are_equinox_own(inputs: int, outputs: int | str, bias: bool) -> None:
    """Layers of less and more numbers than are drawn together are those that Equinox makes, to the bit."""
    expected = eqx.nn.Linear(inputs, outputs, bias, key=KEY)  # pyright: ignore[reportArgumentType]
    assert eqx.tree_equal(linear(inputs, outputs, KEY, bias), expected)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_networks_are_equinox_own(depth: int) -> None:
    """Each layer has its own key, inside a compiled program too."""
    expected = eqx.nn.MLP(9, 2, 20, depth, activation=jax.nn.silu, key=KEY)
    assert eqx.tree_equal(mlp(9, 2, 20, depth, jax.nn.silu, KEY), expected)
    traced = eqx.filter_jit(lambda key: mlp(9, 2, 20, depth, jax.nn.silu, key)(jnp.arange(9.0)))(KEY)
    assert jnp.allclose(traced, expected(jnp.arange(9.0)), rtol=1e-12)


def test_weights_of_many_sizes_are_drawn_by_one_program(caplog: pytest.LogCaptureFixture) -> None:
    """Sizes that were never seen need no program of their own."""
    linear(3, 41, KEY)
    with jax.log_compiles():
        linear(29, 43, KEY)
        mlp(11, 17, 47, 1, jax.nn.silu, KEY)
        assert "Compiling jit(_uniform)" not in caplog.text
        eqx.nn.Linear(31, 53, key=KEY)
        assert "Compiling jit(_uniform)" in caplog.text  # as would be seen
