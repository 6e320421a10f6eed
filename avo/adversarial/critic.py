"""The critic's update, and a loop of it: what the trainer and `avo.critics.distance` share."""

from functools import cache
from typing import Any, NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, DTypeLike, Float, PRNGKeyArray

from avo.checks import takes, whole
from avo.types import Critic, Loss, MakeCritic

C = TypeVar("C", bound=Critic)
Optimiser = tuple[str, *tuple[float, ...]]

# Little momentum: the critic chases a moving target (Gulrajani et al. 2017 take b1 = 0)
ADAM: Optimiser = ("adam", 0.5, 0.9)


@cache
def optimiser(words: Optimiser) -> optax.GradientTransformation:
    """Make the transformation of a gradient into a move from its description, which JSON can hold.

    Args:
        words: ("adam", b1, b2), or ("rms", decay, start), whose mean square begins at `start` (Tieleman and Hinton
            2012): the first steps are short where the gradient is shorter than its root.

    Raises:
        ValueError: if the description is not one of these.

    Example:
        >>> move, _ = optimiser(("adam", 0.5, 0.9)).update(jnp.array(3.0), optimiser(("adam", 0.5, 0.9)).init(0.0))
        >>> round(float(move), 5)
        1.0
    """
    match words:
        case ("adam", b1, b2) if 0 <= b1 < 1 and 0 <= b2 < 1:
            return optax.scale_by_adam(b1=b1, b2=b2)
        case ("rms", decay, start) if 0 <= decay < 1 and start >= 0:
            return optax.scale_by_rms(decay=decay, initial_scale=start)
    raise ValueError(
        f"an optimiser is ('adam', b1, b2) or ('rms', decay, start), b1, b2 and decay in [0, 1); got {words!r}."
    )


class Training(NamedTuple):
    """A critic in training: the module and its optimiser's moments."""

    critic: Any
    moments: optax.OptState


def begin(critic: Critic, by: Optimiser = ADAM) -> Training:
    """Put an untrained critic beside the moments of its optimiser."""
    return Training(critic, optimiser(by).init(eqx.filter(critic, eqx.is_inexact_array)))


def update(
    loss: Loss,
    state: Training,
    rate: float | Float[Array, ""],
    x_real: Float[Array, "n *x_shape"],
    x_fake: Float[Array, "n *x_shape"],
    w: Float[Array, " n"],
    *,
    key: PRNGKeyArray,
    by: Optimiser = ADAM,
) -> tuple[Training, Float[Array, ""]]:
    """Take one step, phi <- phi - rate * Adam(grad_phi L): the critic in training, and the gap before the step.

    Args:
        loss: such as `wasserstein()`.
        state: of `begin`, or the last update.
        rate: step size.
        x_real: observations, as the critic takes them.
        x_fake: simulations.
        w: 0 for simulations to leave out, 1 for the others.
        key: randomness of interpolates and instance noise.
        by: the optimiser that `begin` was given.
    """
    phi, static = eqx.partition(state.critic, eqx.is_inexact_array)

    def objective(phi: Any) -> tuple[Array, Array]:
        return loss.critic(eqx.combine(phi, static), x_real, x_fake, w, key)

    gradient, gap = jax.grad(objective, has_aux=True)(phi)
    move, moments = optimiser(by).update(gradient, state.moments, phi)
    return Training(eqx.combine(jax.tree.map(lambda p, g: p - rate * g, phi, move), static), moments), gap


def pack_size(critic: object) -> int:
    """Tell how many observations a critic takes at once."""
    return getattr(critic, "pack", 1)


def describe(critic: object) -> dict[str, Any] | None:
    """Describe a critic of avo's so that it can be made again, in words that JSON can hold; None for any other.

    Example:
        >>> from avo.critics import linear
        >>> describe(linear(jax.random.key(0), (5,)))
        {'name': 'linear', 'x_shape': [5], 'options': {}, 'pack': 1}
    """
    if getattr(critic, "recipe", None) is None:
        return None
    made: Any = critic
    name, x_shape, options = made.recipe
    return {"name": name, "x_shape": list(x_shape), "options": dict(options), "pack": made.pack}


def make_critic(critic: Critic | MakeCritic, key: PRNGKeyArray, x_shape: tuple[int, ...], dtype: DTypeLike) -> Critic:
    """Take a critic, or make one by its factory, and check that it maps one observation to a scalar.

    Args:
        critic: a module, or a factory `critic(key, x_shape)`.
        key: randomness of the initial weights.
        x_shape: shape of one observation.
        dtype: of the observations.

    Raises:
        ValueError: if it is neither, or what it makes cannot be applied or gives no scalar.

    Example:
        >>> from avo.critics import mlp
        >>> make_critic(mlp, jax.random.key(0), (5,), float)(jnp.ones(5)).shape
        ()
    """
    make: Any = critic
    if not isinstance(critic, eqx.Module):
        if not (callable(critic) and takes(critic, 2)):
            raise ValueError(
                "critic must be an Equinox module from one observation to a scalar, or a factory "
                f"critic(key, x_shape) that makes one, such as avo.critics.mlp; got {critic!r}."
            )
        make = make(key, x_shape)
    made: Any = make
    pack = pack_size(made)
    shape = x_shape if pack == 1 else (pack, *x_shape)
    try:
        value = eqx.filter_eval_shape(made, jax.ShapeDtypeStruct(shape, dtype))
    except (TypeError, ValueError, IndexError) as error:
        raise ValueError(
            f"critic cannot be applied to one observation, here an array {shape}: {' '.join(str(error).split())[:200]}"
        ) from error
    if getattr(value, "shape", None) != ():
        came = getattr(value, "shape", value)
        raise ValueError(f"critic must map one observation, here {shape}, to a scalar; it makes {came}.")
    return made


def train_critic(
    key: PRNGKeyArray,
    critic: C,
    loss: Loss,
    x_real: Float[Array, "n *x_shape"],
    x_fake: Float[Array, "m *x_shape"],
    *,
    steps: int = 1500,
    batch: int = 256,
    rate: float = 2e-3,
) -> tuple[C, Float[Array, " steps"]]:
    """Train a critic on two samples in one compiled loop, batches drawn with replacement, the rate falling to zero.

        rate_t = rate (1 + cos(pi t / steps)) / 2

    Args:
        key: randomness; same key, same bits.
        critic: module from one row to a scalar, `critic.pack` 1.
        loss: such as `wasserstein()`.
        x_real: observations, in units in which their spread is about 1.
        x_fake: simulations.
        steps: updates.
        batch: rows per update.
        rate: first step size of Adam.

    Returns:
        The trained critic, and the gap before each step.

    Raises:
        ValueError: if the critic does not take rows of these samples, or a number is out of range.

    Example:
        >>> from avo.critics import linear, wasserstein
        >>> x = jax.random.normal(jax.random.key(0), (2, 1000, 3))
        >>> untrained = linear(jax.random.key(2), (3,))
        >>> critic, gaps = train_critic(jax.random.key(1), untrained, wasserstein(), x[0] + 1.0, x[1])
        >>> bool(abs(gaps[-100:].mean() / (3**0.5 * (1 + 3**0.5 / 20)) - 1) < 0.1)  # W = sqrt 3, gap = W (1 + W / 20)
        True
    """
    x_real, x_fake = jnp.asarray(x_real), jnp.asarray(x_fake)
    if (pack := pack_size(critic)) != 1:
        raise ValueError(f"critic takes {pack} observations at once; train_critic takes critics of one.")
    steps, batch = whole("steps", steps), whole("batch", batch)
    return _train(key, critic, loss, x_real, x_fake, steps=steps, batch=batch, rate=rate)


@eqx.filter_jit
def _train(
    key: PRNGKeyArray, critic: C, loss: Loss, x_real: Array, x_fake: Array, *, steps: int, batch: int, rate: float
) -> tuple[C, Float[Array, " steps"]]:
    make_critic(critic, key, x_real.shape[1:], x_real.dtype)  # once per shape, where the program is made
    dynamic, static = eqx.partition(begin(critic), eqx.is_array)
    rates = optax.cosine_decay_schedule(rate, steps)

    def step(dynamic: Any, i: Array) -> tuple[Any, Array]:
        key_real, key_fake, key_loss = jax.random.split(jax.random.fold_in(key, i), 3)
        real = x_real[jax.random.randint(key_real, (batch,), 0, x_real.shape[0])]
        fake = x_fake[jax.random.randint(key_fake, (batch,), 0, x_fake.shape[0])]
        state, gap = update(
            loss, eqx.combine(dynamic, static), jnp.asarray(rates(i)), real, fake, jnp.ones(batch), key=key_loss
        )
        return eqx.filter(state, eqx.is_array), gap

    dynamic, gaps = jax.lax.scan(step, dynamic, jnp.arange(steps))
    return eqx.combine(dynamic, static).critic, gaps
