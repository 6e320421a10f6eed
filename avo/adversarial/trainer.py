"""Adversarial variational optimization, one step at a time.

The simulator is the generator of a Wasserstein GAN (Louppe, Hermans, Cranmer 2017, arXiv:1707.07113). With
u ~ q(u; psi), theta = constrain(u), x_fake ~ p(x | theta) and L_W = E_fake[d] - E_real[d], a step

    1. asks for thetas, `ask(key, state) -> (theta, state)`; you simulate them, anywhere, one x per row;
    2. is told the x, `tell(state, theta, x) -> (state, info)`: updates the critic d(x; phi) a few times,

           phi <- phi - rate * Adam(grad_phi [L_W + lambda * penalty]),

       and moves the proposal by the REINFORCE gradient (avo/adversarial/reinforce.py) from mirrored pairs u+-,

           psi <- psi - rate * Adam(E[(f - b) grad_psi log q(u; psi)] + gamma * grad_psi H(q)),    f = -d(x).

For one theta that all observations share (`target="point"`), only q's centre is learned; its spread explores, wide at
first, and is annealed to a floor, shaped by the metric of avo/adversarial/metric.py: as wide a spread as moves x
equally far in every direction. The move is made in zeta = L^-1 (u - loc), so a step of the same length moves x equally
far too. The critic watches a narrowed q: under a wide one x spreads more than at any single theta, and the fit would
pay for that by shrinking whichever parameters spread x. For a population (`target="population"`), every leaf of psi is
learned. Late iterates are averaged. The critic meets the observations in turn, each as often as any other; one that
takes a pack of several at once is shown simulations of one theta together for a point, each of its own theta for a
population.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from avo.adversarial.critic import Training, begin, describe, make_critic, optimiser, update
from avo.adversarial.metric import Metric
from avo.adversarial.proposals import Gaussian
from avo.adversarial.reinforce import orthogonal, reinforce_gradient
from avo.adversarial.settings import Settings
from avo.checks import takes
from avo.observations import frame, show, view
from avo.space import Interval, LogInterval, Space
from avo.types import Data, Info, Pending, State


class Trainer(NamedTuple):
    """The algorithm as three functions; between `ask` and `tell` you simulate.

    Args:
        init: `init(key) -> State`.
        ask: `ask(key, state) -> (theta, state)` with theta (settings.calls, d): first the critic's rows, then u+,
            then u-.
        tell: `tell(state, theta, x) -> (state, info)`; rows of x that are not finite count as failed simulations.
    """

    init: Callable[[PRNGKeyArray], State]
    ask: Callable[[PRNGKeyArray, State], tuple[Float[Array, "n d"], State]]
    tell: Callable[[State, Array, Array], tuple[State, Info]]


def _geometric(ends: tuple[float, float], fraction: Array | float) -> Array:
    first, last = ends
    return first * (last / first) ** jnp.clip(fraction, 0.0, 1.0)


def _rows(weight: Array, like: Array) -> Array:
    return weight.reshape(weight.shape + (1,) * (like.ndim - 1))


def _size(critic: Any) -> int:
    """Tell how many observations a critic takes at once."""
    return getattr(critic, "pack", 1)


def _packs(critic: Any, a: Array) -> Array:
    """Put rows together as the critic takes them, (n, ...) -> (n / pack, pack, ...)."""
    k = _size(critic)
    return a if k == 1 else a.reshape((a.shape[0] // k, k) + a.shape[1:])


def _ask(space: Space, s: Settings, key: PRNGKeyArray, state: State) -> tuple[Array, State]:
    key_u, key_rows, key_tell = jax.random.split(key, 3)
    key_z, key_pairs = jax.random.split(key_u)
    n_critic = s.critic_steps * s.batch
    # The simulations of a pack share their theta where all observations do
    shared = _size(state.critic) if s.target == "point" else 1
    watched = jax.random.normal(key_z, (n_critic // shared, space.dim))
    if s.target == "point":
        watched *= jnp.minimum(1.0, s.watch / jnp.max(state.proposal.sd()))
    if s.gradient == "plain":
        zeta = jax.random.normal(key_pairs, (2 * s.pairs, space.dim))
        blocks = [watched, zeta]
    else:
        zeta = jnp.repeat(orthogonal(key_pairs, s.pairs // shared, space.dim), shared, axis=0)
        blocks = [jnp.repeat(watched, shared, axis=0), zeta, -zeta]
    u = state.proposal.transform(jnp.concatenate(blocks))
    rows = jnp.zeros((len(u),), int)
    if state.data.inputs is not None:
        drawn = n_critic + len(zeta)
        rows = jax.random.randint(key_rows, (drawn,), 0, state.data.z.shape[0])
        rows = jnp.concatenate([rows, rows[n_critic : n_critic + len(u) - drawn]])
    return space.constrain(u), state._replace(pending=Pending(key_tell, u, zeta, rows))


def _met(place: Array, k: int, m: int) -> Array:
    """Find which of m observations the critic meets at these places of an endless queue.

    With packs of k, pack j holds j, j + s, j + 2 s, ..; the stride s changes each time that all have led a pack, so
    that an observation's neighbours change.
    """
    if k == 1:
        return place % m
    pack, member, widest = place // k, place % k, (m - 1) // (k - 1)
    return (pack + member * (widest - pack // m % widest)) % m


def _train_critic(loss: Any, s: Settings, state: State, z: Array, ok: Array) -> tuple[Any, Any, Array]:
    """Update the critic `passes` times per batch of simulations: the critic, its moments, the mean gap."""
    assert state.pending is not None
    observed, rate = state.data.z, _geometric(s.critic_rate, state.step / state.horizon)
    dynamic, static = eqx.partition(Training(state.critic, state.critic_moments), eqx.is_array)

    def step(dynamic: Any, batch: tuple[Array, ...]) -> tuple[Any, Array]:
        key, first, z_fake, ok = batch
        z_real = observed[_met(first + jnp.arange(s.batch), _size(state.critic), observed.shape[0])]
        real, fake, ok = (_packs(state.critic, a) for a in (z_real, z_fake, ok))
        w = jnp.all(ok.reshape(len(ok), -1), axis=1).astype(z.dtype)
        now = eqx.combine(dynamic, static)
        now, gap = update(loss, now, rate, real, fake, w, key, s.critic_optimiser)
        return eqx.filter(now, eqx.is_array), gap

    updates, batches = s.passes * s.critic_steps, (s.critic_steps, s.batch)
    xs = (
        jax.random.split(state.pending.key, updates),
        s.batch * (state.step * updates + jnp.arange(updates)),
        *(jnp.tile(a.reshape(batches + a.shape[1:]), (s.passes,) + a.ndim * (1,)) for a in (z, ok)),
    )
    dynamic, gaps = jax.lax.scan(step, dynamic, xs)
    return *eqx.combine(dynamic, static), gaps.mean()


def _gradient(loss: Any, s: Settings, proposal: Any, critic: Any, zeta: Array, z: Array, ok: Array) -> Any:
    """REINFORCE over the draws, a mirrored pair being one group: a tree like psi, the part for loc in units of zeta
    or, where the gradient is plain, of u.

    A failed simulation says nothing, but q must leave a region where most fail. It costs the share p that failed times
    the way from the mean cost to the worst: hardly anything where failures are rare.
    """
    k = _size(critic)
    ok = jnp.all(_packs(critic, ok).reshape(len(ok) // k, -1), axis=1)
    cost, valid = loss.cost(jax.vmap(critic)(_packs(critic, z))), jnp.maximum(ok.sum(), 1)
    mean = jnp.sum(cost, where=ok) / valid
    worst = jnp.max(cost, where=ok, initial=-jnp.inf)
    failed = jnp.where(ok.any(), mean + jnp.mean(~ok) * (worst - mean), 0.0)
    cost = jnp.repeat(jnp.where(ok, cost, failed), k)
    score = proposal.score(zeta if s.gradient == "plain" else jnp.concatenate([zeta, -zeta]))

    def grouped(a: Array) -> Array:
        if s.gradient == "paired":
            a = jnp.stack([a[: s.pairs], a[s.pairs :]], axis=1)
            return a.reshape((s.pairs // k, 2 * k) + a.shape[2:])
        return a.reshape((2 * s.pairs // k, k) + a.shape[1:])

    def estimate(leaf: Array) -> Array:
        flat = grouped(leaf.reshape(2 * s.pairs, -1))
        g = reinforce_gradient(grouped(cost), flat, s.baseline).reshape(leaf.shape[1:])
        # A pack's score is the sum over its thetas, the estimate a mean over rows
        return g if s.target == "point" else k * g

    if s.target == "point":
        return eqx.tree_at(lambda q: q.loc, jax.tree.map(jnp.zeros_like, proposal), estimate(score.loc))
    g = jax.tree.map(estimate, score)
    if s.gradient == "plain":  # the score for loc itself, L^-T z
        loc = jax.scipy.linalg.solve_triangular(proposal.factor(), g.loc, trans="T", lower=True)
        g = eqx.tree_at(lambda q: q.loc, g, loc)
    if s.entropy:
        g = jax.tree.map(lambda g, h: g + s.entropy * h, g, jax.grad(lambda q: q.entropy())(proposal))
    return g


def _move(space: Space, s: Settings, state: State, move: Any, dz: Array, ok: Array) -> tuple[Any, Metric]:
    """Move the proposal by Adam's step: along loc for a point, its spread annealed; all of psi for a population."""
    q, metric = state.proposal, state.metric
    annealed = (state.step + 1) / (s.anneal * state.horizon)
    bounded = np.array([isinstance(p, (Interval, LogInterval)) for p in space])
    reach = jnp.where(bounded, _geometric(s.reach, annealed), jnp.inf)
    along = move.loc if s.gradient == "plain" else q.factor() @ move.loc
    if s.target == "point":
        loc = jnp.clip(q.loc - s.proposal_rate[0] * along, -reach, reach)
        assert state.pending is not None
        metric = metric.update(2 * state.pending.zeta @ q.factor().T, dz, ok)
        spread = _geometric(s.spread, annealed), _geometric(s.ceiling, annealed)
        return eqx.tree_at(lambda q: q.loc, q, loc).with_factor(metric.factor(*spread)), metric
    rate = _geometric(s.proposal_rate, state.step / state.horizon)
    q = jax.tree.map(lambda p, m: p - rate * m, q, eqx.tree_at(lambda m: m.loc, move, along))
    return eqx.tree_at(lambda q: q.loc, q, jnp.clip(q.loc, -reach, reach)), metric


def _tell(space: Space, loss: Any, s: Settings, state: State, theta: Array, x: Array) -> tuple[State, Info]:
    assert state.pending is not None
    z = view(state.data, x.astype(state.pending.u.dtype), state.pending.rows)
    ok = jnp.all(jnp.isfinite(z.reshape(z.shape[0], -1)), axis=1)
    z = jnp.where(_rows(ok, z), z, 0.0)

    pairs = s.critic_steps * s.batch
    critic, critic_moments, gap = _train_critic(loss, s, state, z[:pairs], ok[:pairs])
    g = _gradient(loss, s, state.proposal, critic, state.pending.zeta, z[pairs:], ok[pairs:])
    step: Any
    step, proposal_moments = optimiser(s.proposal_optimiser).update(g, state.proposal_moments)
    minus = pairs + s.pairs
    proposal, metric = _move(space, s, state, step, z[pairs:minus] - z[minus:], ok[pairs:minus] & ok[minus:])

    count = jnp.maximum(state.step + 1 - jnp.floor((1 - s.average) * state.horizon), 1)
    average = jax.tree.map(lambda a, p: a + (p - a) / count, state.average, proposal)
    state = State(
        state.step + 1, state.horizon, proposal, critic, proposal_moments, critic_moments, metric, average,
        state.data, None,
    )  # fmt: skip
    return state, Info(gap, proposal.loc, proposal.sd(), jnp.sum(~ok))


@cache
def _functions(space: Space, loss: Any, settings: Settings) -> tuple[Callable, Callable]:
    """Compile ask and tell. They close over hashable values only, so that equal fits share one compiled program."""
    return eqx.filter_jit(partial(_ask, space, settings)), eqx.filter_jit(partial(_tell, space, loss, settings))


def _check_parts(loss: Any, critic: Any, proposal: Any) -> None:
    if not (hasattr(loss, "critic") and hasattr(loss, "cost")):
        raise ValueError(f"loss must be a critic's loss such as avo.critics.wasserstein('two-sided'); got {loss!r}.")
    for name, part, call, count in (("critic", critic, "(key, x_shape)", 2), ("proposal", proposal, "(dim)", 1)):
        if not (part is None or isinstance(part, eqx.Module) or (callable(part) and takes(part, count))):
            raise ValueError(f"{name} must be a module or a function {name}{call} that makes one; got {part!r}.")


def _check_packs(critic: Any, s: Settings, observations: int) -> None:
    k = _size(critic)
    if observations < k:
        raise ValueError(f"critic takes {k} observations at once; x_obs has {observations}.")
    if s.batch % k or s.pairs % k or (k > 1 and s.pairs < 2 * k):
        batch, pairs = k * max(1, -(-s.batch // k)), k * max(2, -(-s.pairs // k))
        raise ValueError(
            f"critic takes {k} observations at once, so batch and pairs of the settings must be multiples of {k} "
            f"and pairs at least {2 * k}; got batch={s.batch}, pairs={s.pairs}. Pass "
            f"settings=avo.Settings(batch={batch}, pairs={pairs})."
        )


def _check_flat(critic: Any) -> None:
    name = (describe(critic) or {}).get("name")
    if name in ("conv1d", "conv2d", "gru") or (name == "deep_sets" and _size(critic) == 1):
        raise ValueError(
            f"critic {name} needs the axes of x, and with inputs a critic sees the flat vector (c, x); use "
            "avo.critics.mlp, or a module of your own that takes the vector apart."
        )


def _from(q: Any, s: Settings) -> Settings:
    """Begin where a given proposal is: at its own width, and no nearer to u = 0."""
    width, far = float(jnp.max(q.sd())), float(jnp.max(jnp.abs(q.loc)))
    return replace(
        s,
        spread=(width, min(width, s.spread[1])),
        ceiling=(width, min(width, s.ceiling[1])),
        reach=(max(far, s.reach[0]), max(far, s.reach[1])),
    )


def make_trainer(
    space: Space,
    x_obs: np.ndarray,
    *,
    steps: int,
    inputs: np.ndarray | None = None,
    loss: Any = None,
    critic: Any = None,
    proposal: Any = None,
    settings: Settings | None = None,
) -> Trainer:
    """Make the three functions of adversarial variational optimization for given observations.

    Args:
        space: the parameters.
        x_obs: observations, with shape (m, *x_shape), finite.
        steps: number of steps over which spread and step sizes are annealed.
        inputs: known conditions, with shape (m, *c_shape); the rows of theta are then simulated with
            `inputs[state.pending.rows]`.
        loss: a critic's loss such as `avo.critics.wasserstein("two-sided")`; None: one-sided Wasserstein.
        critic: a module, or a factory `critic(key, z_shape)`; None: `avo.critics.for_shape`. With inputs it sees the
            flat vector (c, x).
        proposal: a proposal to start from, or a factory `proposal(dim)`; None: N(0, 1.5^2 I).
        settings: the numbers of the algorithm; None: the defaults.

    Returns:
        `Trainer(init, ask, tell)`.

    Example:
        >>> from avo import Interval, Space
        >>> space = Space(mu=Interval(-3, 5))
        >>> key, rng = jax.random.key(0), np.random.default_rng(0)
        >>> trainer = make_trainer(space, rng.normal(1.7, 1.0, 300), steps=1000)
        >>> state = trainer.init(key)
        >>> for i in range(1000):
        ...     theta, state = trainer.ask(jax.random.fold_in(key, i), state)
        ...     x = np.asarray(theta)[:, 0] + rng.normal(size=len(theta))  # anywhere, in any language
        ...     state, info = trainer.tell(state, theta, jnp.asarray(x))
        >>> bool(abs(space.constrain(state.proposal.loc)[0] - 1.7) < 0.5)
        True
    """
    from avo import critics

    settings = settings or Settings()
    loss = loss or critics.wasserstein()
    _check_parts(loss, critic, proposal)
    q: Any = Gaussian.start if proposal is None else proposal
    q = q if isinstance(q, eqx.Module) else q(space.dim)
    if q.loc.shape != (space.dim,):
        raise ValueError(f"proposal must have one dimension per parameter, {space.dim}; got {q.loc.shape[0]}.")
    ask, tell = _functions(space, loss, settings if proposal is None else _from(q, settings))
    dtype = jnp.result_type(float)
    seen = frame(x_obs, inputs, settings.standardize)
    z = show(seen, x_obs, inputs)

    def as_jax(a: np.ndarray) -> Array:
        return jnp.asarray(a, dtype)

    # The critic meets the observations in this order; that of the file may be by time, by dose, by size
    order = np.random.default_rng(0).permutation(len(z))
    known = None if inputs is None else as_jax(np.asarray(inputs)[order])
    data = Data(as_jax(z[order]), known, as_jax(seen.shift), as_jax(seen.scale), as_jax(seen.far))

    def init(key: PRNGKeyArray) -> State:
        d = make_critic(critics.for_shape if critic is None else critic, key, z.shape[1:], dtype)
        _check_packs(d, settings, len(z))
        if inputs is not None:
            _check_flat(d)
        return State(
            step=jnp.array(0),
            horizon=jnp.array(steps),
            proposal=q,
            critic=d,
            proposal_moments=optimiser(settings.proposal_optimiser).init(q),
            critic_moments=begin(d, settings.critic_optimiser).moments,
            metric=Metric.start(space.dim, math.prod(z.shape[1:])),
            average=q,
            data=data,
            pending=None,
        )

    return Trainer(init, ask, tell)
