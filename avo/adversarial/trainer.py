"""Adversarial variational optimization, one step at a time.

The simulator is the generator of a Wasserstein GAN (Louppe, Hermans, Cranmer 2017, arXiv:1707.07113). With
u ~ q(u; psi), theta = constrain(u), x_fake ~ p(x | theta) and L_W = E_fake[d] - E_real[d], a step

    1. asks for thetas, `ask(key, state) -> (theta, state)`; you simulate them, anywhere, one x per row;
    2. is told the x, `tell(state, theta, x) -> (state, info)`: updates the critic d(x; phi), once or a few times,

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
population. What is learned and how it moves is in avo/adversarial/targets.py, how it is sampled in sampling.py.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from avo.adversarial.critic import Training, begin, describe, make_critic, optimiser, pack_size, update
from avo.adversarial.metric import Metric
from avo.adversarial.packs import check_packs, met, packed_rows
from avo.adversarial.proposals import Gaussian
from avo.adversarial.reinforce import reinforce_gradient
from avo.adversarial.settings import Settings
from avo.adversarial.targets import Point, Population, geometric, target_of
from avo.checks import takes, whole
from avo.execution.failures import FARTHEST
from avo.execution.programs import compiled
from avo.execution.rounding import chances
from avo.gaps import Gaps
from avo.observations import make_frame, show, show_rows, validate_observations
from avo.sizes import padded, power_of_four
from avo.space import Space, check_space
from avo.types import Critic, Data, Info, Loss, MakeCritic, MakeProposal, Pending, Proposal, State
from avo.weights import row_at, turns_of

LEAST_PADDED = 4**5  # observations
PADDED = 2**20  # numbers in observations, beyond which memory matters more than compiling, and nothing is padded
LAST = 2**32 - 1  # of 32 bits


class Trainer(NamedTuple):
    """The algorithm as three functions; between `ask` and `tell` you simulate.

    Args:
        init: `init(key) -> State`.
        ask: `ask(key, state) -> (theta, state)` with theta (settings.calls, d), a column for each parameter, fixed
            ones too, counts whole: first the critic's rows, then those of the gradient: u+, then u-, or with "plain"
            independent ones.
        tell: `tell(state, theta, x) -> (state, info)`; rows of x that are not finite count as failed simulations.
    """

    init: Callable[[PRNGKeyArray], State]
    ask: Callable[[PRNGKeyArray, State], tuple[Float[Array, "n d"], State]]
    tell: Callable[[State, Array, Array], tuple[State, Info]]


def _ask(space: Space, target: Point | Population, key: PRNGKeyArray, state: State) -> tuple[Array, State]:
    """Draw the critic's rows, then those of the gradient, and the conditions that each is simulated under."""
    s, sampling, k = target.settings, target.sampling, pack_size(state.critic)
    key_u, key_rows, key_tell = jax.random.split(key, 3)
    key_watched, key_zeta = jax.random.split(key_u)
    watched = target.watched(key_watched, state.proposal, k)
    zeta = sampling.draw(key_zeta, space.dim, target.sharing(k))
    u = state.proposal.transform(jnp.concatenate([watched, sampling.rows(zeta)]))

    rows = jnp.zeros((len(u),), int)
    if state.data.inputs is not None:
        critic = s.critic_steps * s.batch
        rows = _conditions(key_rows, state.data, critic + sampling.own)
        rows = jnp.concatenate([rows[:critic], sampling.shared(rows[critic:])])
    theta = space.constrain(u)
    if counts := int(space.counts.sum()):  # rows of a pair share the chance, as they share all random numbers
        critic = s.critic_steps * s.batch
        chance = chances(key_u, critic + sampling.own, counts)
        theta = space.by_chance(theta, jnp.concatenate([chance[:critic], sampling.shared(chance[critic:])]))
    return space.full(theta), state._replace(pending=Pending(key_tell, u, zeta, rows))


def _conditions(key: PRNGKeyArray, data: Data, n: int) -> Int[Array, " n"]:
    """Draw of which observations rows have their conditions, in proportion to their weights."""
    if data.turns is None:
        return jax.random.randint(key, (n,), 0, data.m)
    return jnp.minimum(jnp.searchsorted(data.turns, jax.random.bits(key, (n,), jnp.uint32), side="right"), data.m - 1)


def _tell(loss: Loss, target: Point | Population, state: State, theta: Array, x: Array) -> tuple[State, Info]:
    s = target.settings
    if state.pending is None:
        raise ValueError("tell needs the state that ask returned, once; ask again before the next tell.")
    _check_rows("theta", theta, (len(state.pending.u), len(target.space.columns)))
    _check_rows("x", x, (len(state.pending.u), *state.data.shift.shape))
    z, ok = _shown(state, x)
    watched, drawn = slice(None, s.critic_steps * s.batch), slice(s.critic_steps * s.batch, None)

    critic, critic_moments, gap = _train_critic(loss, s, state, z[watched], ok[watched])
    gradient = _gradient(loss, target, state, critic, z[drawn], ok[drawn])
    step, proposal_moments = optimiser(s.proposal_optimiser).update(gradient, state.proposal_moments)
    proposal, metric = target.move(state, step, z[drawn], ok[drawn])

    state = state._replace(
        step=state.step + 1,
        proposal=proposal,
        critic=critic,
        proposal_moments=proposal_moments,
        critic_moments=critic_moments,
        metric=metric,
        average=_averaged(s, state, proposal),
        pending=None,
    )
    return state, Info(gap, proposal.loc, proposal.sd(), jnp.sum(~ok))


def _check_rows(name: str, rows: Array, shape: tuple[int, ...]) -> None:
    if jnp.shape(rows) != shape:
        raise ValueError(
            f"tell: {name} must have a row for each theta that ask gave, shape {shape}; got {jnp.shape(rows)}."
        )


def _shown(state: State, x: Float[Array, "n *x_shape"]) -> tuple[Float[Array, "n *z_shape"], Bool[Array, " n"]]:
    """Show simulations to the critic, zeros in place of those that failed, and say which did not."""
    assert state.pending is not None
    z = show_rows(state.data, x.astype(state.pending.u.dtype), state.pending.rows)
    ok = jnp.all(jnp.isfinite(z.reshape(z.shape[0], -1)), axis=1)
    ok &= jnp.all(jnp.abs(x.reshape(x.shape[0], -1)) <= FARTHEST, axis=1)
    return jnp.where(ok.reshape(ok.shape + (1,) * (z.ndim - 1)), z, 0.0), ok


def _train_critic(
    loss: Loss, s: Settings, state: State, z: Float[Array, "n *z_shape"], ok: Bool[Array, " n"]
) -> tuple[Critic, optax.OptState, Float[Array, ""]]:
    """Update the critic `passes` times per batch of simulations: the critic, its moments, the mean gap."""
    assert state.pending is not None
    observed, m, turns = state.data.z, state.data.m, state.data.turns
    k, rate = pack_size(state.critic), geometric(s.critic_rate, state.step / state.horizon)
    dynamic, static = eqx.partition(Training(state.critic, state.critic_moments), eqx.is_array)

    def step(dynamic: Any, batch: tuple[Array, ...]) -> tuple[Any, Array]:
        key, first, z_fake, ok = batch
        place = first + jnp.arange(s.batch)
        z_real = observed[met(place, k, m) if turns is None else jnp.minimum(row_at(place, turns), m - 1)]
        real, fake, ok = (packed_rows(a, k) for a in (z_real, z_fake, ok))
        w = jnp.all(ok.reshape(len(ok), -1), axis=1).astype(z.dtype)
        now, gap = update(loss, eqx.combine(dynamic, static), rate, real, fake, w, key=key, by=s.critic_optimiser)
        return eqx.filter(now, eqx.is_array), gap

    updates = s.passes * s.critic_steps

    def batches(a: Array) -> Array:
        a = a.reshape((s.critic_steps, s.batch) + a.shape[1:])
        return jnp.tile(a, (s.passes,) + (a.ndim - 1) * (1,))

    keys = jax.random.split(state.pending.key, updates)
    firsts = s.batch * (state.step * updates + jnp.arange(updates))
    dynamic, gaps = jax.lax.scan(step, dynamic, (keys, firsts, batches(z), batches(ok)))
    return *eqx.combine(dynamic, static), gaps.mean()


def _gradient(
    loss: Loss,
    target: Point | Population,
    state: State,
    critic: Critic,
    z: Float[Array, "rows *z_shape"],
    ok: Bool[Array, " rows"],
) -> Any:
    """Estimate the gradient by REINFORCE: a tree like psi, the part for loc in the units in which it is moved."""
    assert state.pending is not None
    k, sampling = pack_size(critic), target.sampling
    cost = sampling.grouped(_costs(loss, critic, z, ok), k)

    def estimate(score: Float[Array, "rows *leaf"]) -> Float[Array, "*leaf"]:
        flat = sampling.grouped(score.reshape(len(score), -1), k)
        return reinforce_gradient(cost, flat, target.settings.baseline).reshape(score.shape[1:])

    score = state.proposal.score(sampling.rows(state.pending.zeta))
    return target.gradient(estimate, state.proposal, score, k)


def _costs(loss: Loss, critic: Critic, z: Float[Array, "rows *z"], ok: Bool[Array, " rows"]) -> Float[Array, " rows"]:
    """Compute what each row costs, that of its pack.

    A failed simulation says nothing, but q must leave a region where most fail. It costs the share p that failed times
    the way from the mean cost to the worst: hardly anything where failures are rare.
    """
    k = pack_size(critic)
    ok = jnp.all(packed_rows(ok, k).reshape(len(ok) // k, -1), axis=1)
    cost, valid = loss.cost(jax.vmap(critic)(packed_rows(z, k))), jnp.maximum(ok.sum(), 1)
    mean = jnp.sum(cost, where=ok) / valid
    worst = jnp.max(cost, where=ok, initial=-jnp.inf)
    failed = jnp.where(ok.any(), mean + jnp.mean(~ok) * (worst - mean), 0.0)
    return jnp.repeat(jnp.where(ok, cost, failed), k)


def _averaged(s: Settings, state: State, proposal: Proposal) -> Proposal:
    """Average the proposals of the last steps, as they come."""
    count = jnp.maximum(state.step + 1 - jnp.floor((1 - s.average) * state.horizon), 1)
    return jax.tree.map(lambda a, p: a + (p - a) / count, state.average, proposal)


@lru_cache(maxsize=16)
def _functions(space: Space, loss: Loss, settings: Settings) -> tuple[Callable, Callable]:
    """Compile ask and tell. They close over hashable values only, so that equal fits share one compiled program.

    The settings' rate is not theirs: the state has it.
    """
    target = target_of(space, settings)
    return compiled(partial(_ask, space, target), quick=True), compiled(partial(_tell, loss, target), quick=True)


PROPOSAL = ("loc", "transform", "score", "factor", "sd")  # some of what a proposal has, and nothing else


def _check_parts(loss: object, critic: object, proposal: object) -> None:
    if not (hasattr(loss, "critic") and hasattr(loss, "cost")):
        raise ValueError(f"loss must be a critic's loss such as avo.critics.wasserstein('two-sided'); got {loss!r}.")
    for name, part, call, count in (("critic", critic, "(key, x_shape)", 2), ("proposal", proposal, "(dim)", 1)):
        if not (part is None or isinstance(part, eqx.Module) or (callable(part) and takes(part, count))):
            raise ValueError(f"{name} must be a module or a function {name}{call} that makes one; got {part!r}.")


def _check_flat(critic: Critic) -> None:
    name = (describe(critic) or {}).get("name")
    if name in ("conv1d", "conv2d", "lenet", "gru", "lstm") or (name == "deep_sets" and pack_size(critic) == 1):
        raise ValueError(
            f"critic {name} needs the axes of x, and with inputs a critic sees the flat vector (c, x), with missing "
            "values the mask among c; use avo.critics.mlp, or a module of your own that takes the vector apart."
        )


def _begun_at(q: Proposal, s: Settings) -> Settings:
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
    loss: Loss | None = None,
    critic: Critic | MakeCritic | None = None,
    proposal: Proposal | MakeProposal | None = None,
    settings: Settings | None = None,
    shares: np.ndarray | None = None,
    gaps: Gaps | None = None,
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
        shares: weights of the observations, above zero, that sum to one; None: equal ones.
        gaps: what is missing of the observations, which then are filled, with the mask in their inputs; None: nothing.
            Simulations are told as they are to be seen, `gaps.filled(x, inputs[rows])` (avo/gaps.py).

    Returns:
        `Trainer(init, ask, tell)`.

    Raises:
        ValueError: if an argument is not as described.

    Example:
        >>> from avo import Interval, Space
        >>> space = Space(mu=Interval(-3, 5))
        >>> key, rng = jax.random.key(0), np.random.default_rng(0)
        >>> trainer = make_trainer(space, rng.normal(1.7, 1.0, 300), steps=500)
        >>> state = trainer.init(key)
        >>> for i in range(500):
        ...     theta, state = trainer.ask(jax.random.fold_in(key, i), state)
        ...     x = np.asarray(theta)[:, 0] + rng.normal(size=len(theta))  # anywhere, in any language
        ...     state, info = trainer.tell(state, theta, jnp.asarray(x))
        >>> bool(abs(space.constrain(state.proposal.loc)[0] - 1.7) < 0.5)
        True
    """
    from avo import critics

    check_space(space)
    if not (settings is None or isinstance(settings, Settings)):
        raise ValueError(f"settings must be avo.Settings(...); got {settings!r}.")
    x_obs, steps, settings = validate_observations(x_obs), whole("steps", steps), settings or Settings()
    if inputs is not None:
        inputs = validate_observations(inputs, "inputs")
        if len(inputs) != len(x_obs):
            raise ValueError(
                f"inputs must have one row per observation: x_obs has {len(x_obs)}, inputs {len(inputs)}. "
                f"Their shapes are {x_obs.shape} and {inputs.shape}."
            )
    loss = critics.wasserstein() if loss is None else loss
    _check_parts(loss, critic, proposal)
    q: Any = Gaussian.start if proposal is None else proposal
    q = q if isinstance(q, eqx.Module) else q(space.dim)
    if not all([isinstance(q, eqx.Module), *(hasattr(q, name) for name in PROPOSAL)]):
        raise ValueError(
            f"proposal must be one such as avo.Gaussian.start({space.dim}), or a function (dim) that makes one; "
            f"got {q!r}."
        )
    if q.loc.shape != (space.dim,):
        raise ValueError(f"proposal must have one dimension per parameter, {space.dim}; got {q.loc.shape[0]}.")
    fixed = replace(settings if proposal is None else _begun_at(q, settings), rate=None)
    ask, tell = _functions(space, loss, fixed)
    dtype = jnp.result_type(float)
    bare = x_obs if gaps is None or inputs is None else gaps.bare(x_obs, inputs)
    seen = make_frame(bare, inputs, settings.standardize, shares)
    z = show(seen, x_obs, inputs)

    def as_jax(a: np.ndarray) -> Array:
        return jnp.asarray(a, dtype)

    # The critic meets the observations in this order; that of the file may be by time, by dose, by size
    order = np.random.default_rng(0).permutation(len(z))
    full = power_of_four(len(z), LEAST_PADDED) if z.size <= PADDED else len(z)
    known = None if inputs is None else as_jax(padded(np.asarray(inputs)[order], full))
    turns = None if shares is None else np.concatenate([turns_of(shares[order]), [LAST]]).astype(np.uint32)
    data = Data(
        as_jax(padded(z[order], full)), known, jnp.asarray(len(z)), as_jax(seen.shift), as_jax(seen.scale),
        as_jax(seen.far), None if turns is None else jnp.asarray(padded(turns, full, LAST)),
        None if gaps is None else jax.tree.map(jnp.asarray, gaps),
    )  # fmt: skip

    def init(key: PRNGKeyArray) -> State:
        d = make_critic(critics.for_shape if critic is None else critic, key, z.shape[1:], dtype)
        check_packs(d, settings, len(z))
        if inputs is not None:
            _check_flat(d)
        return State(
            step=jnp.array(0),
            horizon=jnp.array(steps),
            rate=jnp.array(settings.proposal_rate, dtype),
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
