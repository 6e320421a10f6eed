"""What tests of several rooms share: small fits by hand, simulators and critics with known answers."""

from types import SimpleNamespace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import avo
from avo.adversarial.targets import target_of
from avo.adversarial.trainer import _gradient
from avo.critics import mlp, wasserstein

# --- the adversarial steps -------------------------------------------------------------------------------------------

# Odd sizes, so that nothing fits by accident
SMALL = avo.Settings(critic_steps=2, batch=9, pairs=6, average=0.25)
PLAIN = avo.Settings(critic_steps=2, batch=9, pairs=6, gradient="plain", target="population", baseline="none")
SPACE = avo.Space(mu=avo.Interval(-3, 5), tau=avo.Positive(2.5), nu=avo.Real(1.3, 0.7))
KEY = jax.random.key(3)
LOSS = wasserstein()  # one object for all fits, so that equal ones share their compiled program


def small_critic(key: Any, x_shape: tuple[int, ...]) -> Any:
    return mlp(key, x_shape, width=8, depth=1)


def two_numbers(key: Any, theta: Any) -> Any:
    """Two numbers that depend on all three parameters."""
    noise = jax.random.normal(key, (theta.shape[0], 2))
    return jnp.stack([theta[:, 0] + theta[:, 2], theta[:, 1]], axis=1) + 0.3 * noise


X_OBS = np.asarray(two_numbers(jax.random.key(1), jnp.tile(jnp.array([[0.8, 1.7, 2.1]]), (50, 1))))


class First(eqx.Module):
    """d(x) = x_0."""

    def __call__(self, x: Any) -> Any:
        return x[0]


class PackSum(eqx.Module):
    """d(x_1 .. x_k) = sum of the first entries squared: knows its pack as a whole only."""

    pack: int = eqx.field(static=True)

    def __call__(self, x: Any) -> Any:
        return jnp.sum(x[:, 0]) ** 2


def gradient(settings: avo.Settings, q: Any, critic: Any, zeta: Any, z: Any, ok: Any) -> Any:
    """REINFORCE over given draws, in a space of unbounded parameters."""
    space = avo.Space(**{f"p{i}": avo.Real() for i in range(len(q.loc))})
    state: Any = SimpleNamespace(proposal=q, pending=SimpleNamespace(zeta=jnp.asarray(zeta)))
    return _gradient(LOSS, target_of(space, settings), state, critic, jnp.asarray(z), jnp.asarray(ok))


class Fit:
    """The loop that a user writes around `ask` and `tell`."""

    def __init__(self, space: avo.Space, x_obs: np.ndarray, settings: avo.Settings, steps: int) -> None:
        self.trainer = avo.make_trainer(space, x_obs, steps=steps, settings=settings, critic=small_critic, loss=LOSS)
        self.ask, self.tell = eqx.filter_jit(self.trainer.ask), eqx.filter_jit(self.trainer.tell)

    def run(self, simulate: Any, steps: int, key: Any = KEY) -> tuple[Any, list[Any]]:
        state, infos = self.trainer.init(key), []
        for i in range(steps):
            key_ask, key_x = jax.random.split(jax.random.fold_in(key, i))
            theta, state = self.ask(key_ask, state)
            state, info = self.tell(state, theta, simulate(key_x, theta))
            infos.append(info)
        return state, infos


def same(a: Any, b: Any) -> bool:
    """Whether all arrays of two trees are equal to the bit."""
    leaves = [jax.tree.leaves(eqx.filter(tree, eqx.is_array)) for tree in (a, b)]
    as_words = lambda a: np.asarray(jax.random.key_data(a) if jnp.issubdtype(a.dtype, jax.dtypes.prng_key) else a)  # noqa: E731
    return len(leaves[0]) == len(leaves[1]) and all(
        np.array_equal(as_words(p), as_words(q)) for p, q in zip(*leaves, strict=True)
    )


# --- a parameter that shows in a product of columns alone ------------------------------------------------------------

CORRELATED = avo.Space(a=avo.Interval(-50, 50), b=avo.Interval(0, 5000), r=avo.Interval(-0.99, 0.99))
CORRELATION = (11.3, 2200.0, 0.85)


def correlated(key: Any, theta: Any) -> Any:
    """Two columns of means a and b and standard deviations 2 and 100, of correlation r."""
    (a, b, r), (y, z) = theta.T, jax.random.normal(key, (2, len(theta)))
    return jnp.stack([a + 2 * y, b + 100 * (r * y + jnp.sqrt(1 - r**2) * z)], 1)
