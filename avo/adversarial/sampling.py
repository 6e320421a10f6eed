"""How the proposal is sampled for its gradient, and in which units it moves: two ways, chosen by `Settings.gradient`.

    paired    u+- = loc +- L zeta, zeta ~ N(0, I), orthogonal in blocks. The halves of a pair share random numbers and
              conditions and are one group of the baseline; loc is moved in zeta = L^-1 (u - loc),

                  loc <- loc - rate * L move(g),    g = E[(f - b) grad_zeta log q]

              Orthogonal blocks share one length, which leaves little of the gradient for the spread: who learns that
              too (avo/variational/natural.py) draws independent zeta.

    plain     2 * pairs independent u = loc + L zeta, as published; loc is moved in u,

                  loc <- loc - rate * move(L^-T g)

Rows are the simulations of the gradient, u+ then u-, or all u; k of them make up what the critic takes at once.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from avo.adversarial.reinforce import orthogonal
from avo.types import Proposal


@dataclass(frozen=True)
class Paired:
    """Mirrored pairs with common random numbers, zeta in orthogonal blocks or each by itself."""

    pairs: int
    blocks: bool = True

    @property
    def own(self) -> int:
        """Number of draws with random numbers and conditions of their own, one per pair."""
        return self.pairs

    def draw(self, key: PRNGKeyArray, d: int, sharing: int = 1) -> Float[Array, "pairs d"]:
        """Draw zeta; `sharing` rows in turn have the same."""
        n = self.pairs // sharing
        return jnp.repeat(orthogonal(key, n, d) if self.blocks else jax.random.normal(key, (n, d)), sharing, axis=0)

    def rows(self, zeta: Float[Array, "pairs d"]) -> Float[Array, "rows d"]:
        """Give the zeta of every row."""
        return jnp.concatenate([zeta, -zeta])

    def shared(self, a: Array) -> Array:
        """Hand what each draw has of its own, a key or a condition, to every row."""
        return jnp.concatenate([a, a])

    def grouped(self, a: Float[Array, "rows *p"], k: int) -> Float[Array, "groups g *p"]:
        """Put together the rows that share random numbers or stand in one pack."""
        halves = jnp.stack([a[: self.pairs], a[self.pairs :]], axis=1)
        return halves.reshape((self.pairs // k, 2 * k) + a.shape[1:])

    def gradient(self, q: Proposal, g: Float[Array, " d"]) -> Float[Array, " d"]:
        """Take the gradient for zeta to the units in which loc is moved."""
        return g

    def step(self, q: Proposal, move: Float[Array, " d"]) -> Float[Array, " d"]:
        """Take a move from those units to u."""
        return q.factor() @ move


@dataclass(frozen=True)
class Plain:
    """Independent draws, moved in u."""

    pairs: int

    @property
    def own(self) -> int:
        """Number of draws with random numbers and conditions of their own, all of them."""
        return 2 * self.pairs

    def draw(self, key: PRNGKeyArray, d: int, sharing: int = 1) -> Float[Array, "rows d"]:
        """Draw zeta, for a population, whose simulations share no theta."""
        assert sharing == 1
        return jax.random.normal(key, (2 * self.pairs, d))

    def rows(self, zeta: Float[Array, "rows d"]) -> Float[Array, "rows d"]:
        """Give the zeta of every row."""
        return zeta

    def shared(self, a: Array) -> Array:
        """Hand what each draw has of its own, a key or a condition, to every row."""
        return a

    def grouped(self, a: Float[Array, "rows *p"], k: int) -> Float[Array, "groups g *p"]:
        """Put together the rows that stand in one pack."""
        return a.reshape((2 * self.pairs // k, k) + a.shape[1:])

    def gradient(self, q: Proposal, g: Float[Array, " d"]) -> Float[Array, " d"]:
        """Take the gradient for zeta to the units in which loc is moved."""
        return jax.scipy.linalg.solve_triangular(q.factor(), g, trans="T", lower=True)

    def step(self, q: Proposal, move: Float[Array, " d"]) -> Float[Array, " d"]:
        """Take a move from those units to u."""
        return move


Sampling = Paired | Plain
