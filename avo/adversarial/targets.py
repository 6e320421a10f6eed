"""What of the proposal is learned, and how it moves: for one theta its centre, for a population all of psi.

A point's centre follows the gradient; its spread only explores. It is annealed and shaped by the metric, whatever the
gradient for it would be,

    loc <- loc - rate * step,    L <- metric.factor(spread(t), ceiling(t)),

and the critic watches q narrowed to `watch`. A population's q is the answer: every leaf is learned, the entropy may be
weighed, and the critic watches q as it is,

    psi <- psi - rate(t) * step,    the part for loc in the units of avo/adversarial/sampling.py.

Either way loc stays within reach(t) where a parameter has two bounds: sigmoid(u) is flat far out.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from avo.adversarial.metric import Metric
from avo.adversarial.sampling import Paired, Plain, Sampling
from avo.adversarial.settings import Settings
from avo.space import Space
from avo.types import Proposal, State


def geometric(ends: tuple[Array | float, Array | float], fraction: Array | float) -> Array:
    """Go geometrically from the first number to the last as `fraction` goes from 0 to 1, and stay there."""
    first, last = ends
    return first * (last / first) ** jnp.clip(fraction, 0.0, 1.0)


def _reach(space: Space, s: Settings, state: State) -> Float[Array, " d"]:
    return jnp.where(space.bounded, geometric(s.reach, _annealed(s, state)), jnp.inf)


def _annealed(s: Settings, state: State) -> Array:
    """How much of the annealing is done after this step."""
    return (state.step + 1) / (s.anneal * state.horizon)


def _with_loc(tree: Any, loc: Array) -> Any:
    return eqx.tree_at(lambda q: q.loc, tree, loc)


@dataclass(frozen=True)
class Point:
    """One theta for all observations: the simulations of a pack share it."""

    space: Space
    settings: Settings
    sampling: Sampling

    def sharing(self, k: int) -> int:
        """Number of rows in turn with one theta, where the critic takes k at once."""
        return k

    def watched(self, key: PRNGKeyArray, q: Proposal, k: int) -> Float[Array, "n d"]:
        """Draw z of the critic's rows, from q narrowed."""
        s = self.settings
        z = jax.random.normal(key, (s.critic_steps * s.batch // k, self.space.dim))
        z *= jnp.minimum(1.0, s.watch / jnp.max(q.sd()))
        return jnp.repeat(z, k, axis=0)

    def gradient(self, estimate: Callable[[Array], Array], q: Proposal, score: Proposal, k: int) -> Any:
        """Estimate a tree like psi, nothing but the part for loc."""
        return _with_loc(jax.tree.map(jnp.zeros_like, q), self.sampling.gradient(q, estimate(score.loc)))

    def move(
        self, state: State, step: Any, z: Float[Array, "rows *z"], ok: Bool[Array, " rows"]
    ) -> tuple[Proposal, Metric]:
        """Move the centre by the optimiser's step, and let the spread follow annealing and metric."""
        s, q = self.settings, state.proposal
        reach, done = _reach(self.space, s, state), _annealed(s, state)
        loc = jnp.clip(q.loc - state.rate[0] * self.sampling.step(q, step.loc), -reach, reach)
        metric = self._metric(state, z, ok)
        factor = metric.factor(geometric(s.spread, done), geometric(s.ceiling, done))
        return _with_loc(q, loc).with_factor(factor), metric

    def _metric(self, state: State, z: Array, ok: Array) -> Metric:
        """Add this step's pairs: u+ - u- = 2 L zeta moves x by z+ - z-."""
        assert state.pending is not None
        plus, minus = slice(None, self.settings.pairs), slice(self.settings.pairs, None)
        du = 2 * state.pending.zeta @ state.proposal.factor().T
        return state.metric.update(du, z[plus] - z[minus], ok[plus] & ok[minus])


@dataclass(frozen=True)
class Population:
    """A theta of its own for every observation: all of psi is learned."""

    space: Space
    settings: Settings
    sampling: Sampling

    def sharing(self, k: int) -> int:
        """Number of rows in turn with one theta: one, whatever the critic takes at once."""
        return 1

    def watched(self, key: PRNGKeyArray, q: Proposal, k: int) -> Float[Array, "n d"]:
        """Draw z of the critic's rows, from q as it is."""
        return jax.random.normal(key, (self.settings.critic_steps * self.settings.batch, self.space.dim))

    def gradient(self, estimate: Callable[[Array], Array], q: Proposal, score: Proposal, k: int) -> Any:
        """Estimate a tree like psi, and add what the entropy weighs."""

        def of_pack(leaf: Array) -> Array:
            # A pack's score is the sum over its thetas, the estimate a mean over rows
            return k * estimate(leaf)

        g = jax.tree.map(of_pack, score)
        g = _with_loc(g, self.sampling.gradient(q, g.loc))
        gamma = self.settings.entropy
        if gamma:
            g = jax.tree.map(lambda g, h: g + gamma * h, g, jax.grad(lambda q: q.entropy())(q))
        return g

    def move(
        self, state: State, step: Any, z: Float[Array, "rows *z"], ok: Bool[Array, " rows"]
    ) -> tuple[Proposal, Metric]:
        """Move all of psi by the optimiser's step; the metric is of no use here."""
        q, reach = state.proposal, _reach(self.space, self.settings, state)
        rate = geometric((state.rate[0], state.rate[1]), state.step / state.horizon)
        step = _with_loc(step, self.sampling.step(q, step.loc))
        q = jax.tree.map(lambda p, m: p - rate * m, q, step)
        return _with_loc(q, jnp.clip(q.loc, -reach, reach)), state.metric


def sampling_of(settings: Settings) -> Sampling:
    """Choose how the proposal is sampled."""
    return {"paired": Paired, "plain": Plain}[settings.gradient](settings.pairs)


def target_of(space: Space, settings: Settings) -> Point | Population:
    """Choose what is learned."""
    return {"point": Point, "population": Population}[settings.target](space, settings, sampling_of(settings))
