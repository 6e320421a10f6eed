"""Small fits for tests of the way of `fit`: a simulator in JAX and in NumPy, quick settings, and what is equal."""

from typing import Any

import equinox as eqx
import jax
import numpy as np
from rows import row

import avo
from avo.critics import mlp, wasserstein

# Quick enough for tests of the machinery: 16 calls a step
TINY = avo.Settings(batch=8, pairs=4)
TINY_BUDGET = 20 * TINY.calls
# One object for all fits, so that equal ones share their compiled program
LOSS = wasserstein()
SPACE = avo.Space(mean=avo.Interval(-10, 10), sd=avo.LogInterval(0.1, 10))
TRUTH = np.array([2.5, 0.7])
X_OBS = np.random.default_rng(0).normal(*TRUTH, (500, 10))


def small_critic(key: Any, x_shape: tuple[int, ...]) -> Any:
    return mlp(key, x_shape, width=16, depth=2)


def simulate(key: Any, theta: Any) -> Any:
    """Ten draws from N(mean, sd^2) for each theta."""
    return theta[:, :1] + theta[:, 1:] * jax.random.normal(key, (theta.shape[0], 10))


def fit(simulator: Any, x: Any = X_OBS, space: Any = SPACE, **options: Any) -> avo.Result:
    """A fit of 20 small steps without refining, unless said otherwise."""
    defaults: dict[str, Any] = dict(
        budget=TINY_BUDGET, settings=TINY, critic=small_critic, loss=LOSS, refine=False, progress=False
    )
    return avo.fit(simulator, x, space, **(defaults | options))


def equal(a: avo.Result, b: avo.Result) -> bool:
    leaves = lambda r: jax.tree.leaves(eqx.filter((r.proposal, r.critic), eqx.is_array))  # noqa: E731
    return (
        all(np.array_equal(p, q) for p, q in zip(leaves(a), leaves(b), strict=True))
        and a.history.keys() == b.history.keys()
        and all(np.array_equal(a.history[name], b.history[name]) for name in a.history)
        and (a.calls, a.status, a.message, a.failures) == (b.calls, b.status, b.message, b.failures)
    )


class Interrupted:
    """The NumPy simulator `row`, stopped by Ctrl-C after some calls."""

    def __init__(self, after: int) -> None:
        self.left, self.__qualname__ = after, row.__qualname__

    def __call__(self, rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return row(rng, theta)


LONG = 60 * TINY.calls
