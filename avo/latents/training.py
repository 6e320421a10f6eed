"""Training a beta-VAE: all epochs in compiled chunks, between which only the progress bar moves.

An epoch is every observation once, in a new order, in batches; the few that fill no batch wait for the next order. Each
batch is one step of Adam (Kingma and Ba 2015) on the objective L of avo/latents/objectives.py, at

    rate_t = rate (final + (1 - final) (1 + cos(pi t / T)) / 2),    t = 0 .. T - 1

The history has for each epoch the means over its batches, each as it was before its step; and where there are
observations for validation, the same of them after the epoch, with the same draws in every epoch and with C as it will
be at the end, so that epochs can be compared. The model kept is then that of least validation loss, else the last.

With a folder, a checkpoint is kept between chunks (avo/latents/keeping.py).
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray
from tqdm import tqdm

from avo import checks
from avo.checks import between, positive, whole
from avo.latents.admission import admitted_model, check_pairs, check_precision
from avo.latents.discriminator import Discriminator, improved, untrained
from avo.latents.keeping import History, TrainingFolder, plan_of
from avo.latents.models import CHUNK, BetaVAE, Terms
from avo.latents.objectives import Objective, batch_terms, beta, checked
from avo.latents.trained import Trained, load
from avo.observations import validate_observations

EPOCHS = 10  # at most, of one call of the compiled program
ADAM = optax.scale_by_adam()
STEPS = 4000  # about, of one call: a bar that moves every few seconds


class _Data(NamedTuple):
    """What is learned from, what chooses the epoch, and what is paired with x."""

    x: Float[Array, "n *x_shape"]
    validation: Float[Array, "m *x_shape"] | None
    pairs: Float[Array, "n *x_shape"] | None


class _Plan(NamedTuple):
    """What the steps do, and how many there are: arrays are data of the compiled program, all else is part of it."""

    objective: Objective
    batch: int
    rate: Array
    final: Array
    epochs: Array


class _State(NamedTuple):
    """Networks in training and their optimiser's moments; the best so far, their loss and epoch; what learns beside."""

    networks: Any
    moments: Any
    best: Any
    least: Any
    epoch: Any
    discriminator: Discriminator | None = None


def train(
    model: BetaVAE | Callable[[PRNGKeyArray, np.ndarray], BetaVAE],
    x: ArrayLike,
    *,
    objective: Objective | None = None,
    epochs: int = 50,
    batch: int = 64,
    rate: float = 5e-4,
    final: float = 1.0,
    validation: ArrayLike | None = None,
    pairs: ArrayLike | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    resume: bool = False,
    progress: bool = True,
) -> Trained:
    """Train a beta-VAE, or one of its relatives, on observations.

    One compiled program serves all seeds, all numbers of one kind of objective, of epochs and of rates, given shapes.

    Args:
        model: a model, or a factory `model(key, x)` such as `BetaVAE.for_data` or
            `functools.partial(BetaVAE.for_data, latents=5)`.
        x: observations, with shape (n, *x_shape).
        objective: `beta`, `capacity`, `beta_tcvae` or another of avo.latents, with its numbers; None: beta(4.0).
        epochs: how often each observation is seen.
        batch: observations per step; all, where there are fewer.
        rate: step size of Adam.
        final: share of it that is left at the end, to which it falls by a half cosine; 1 keeps it.
        validation: observations that are not trained on, by whose loss the best epoch is chosen; None: the last epoch.
        pairs: for each observation another one that shares most of what made it, such as the next in time, with the
            shape of x; for `ada_gvae` only.
        seed: of weights (where a factory makes them), orders and draws; same seed, same bits.
        out: a folder for the model, and for checkpoints on the way; None: nothing is written.
        resume: continue the training in `out`, to the same bits; where it is done, its model is read.
        progress: show a bar.

    Returns:
        `Trained`, with `.model`, `.history`, `.epoch` and `.save`.

    Raises:
        ValueError: if an argument is not as described, the loss became infinite or NaN, or `out` holds another
            training.
        FileExistsError: if `out` holds a run already.

    Example:
        >>> from functools import partial
        >>> z = jax.random.normal(jax.random.key(0), (500, 1))
        >>> x = jnp.concatenate([z, -z, 2 * z], axis=1) + 0.1 * jax.random.normal(jax.random.key(1), (500, 3))
        >>> make = partial(BetaVAE.for_data, latents=2, width=16, noise=0.1)
        >>> trained = train(make, x, objective=beta(1.0), epochs=60, rate=5e-3, progress=False)
        >>> bool(abs(np.corrcoef(trained.model.encode(x).T, z[:, 0])[:2, 2]).max() > 0.99)
        True
    """
    x = validate_observations(x, "x")
    if x.ndim < 2:
        raise ValueError(
            f"x must have one observation per row, shape (n, *x_shape); got {x.shape}. One value: x[:, None]."
        )
    held_out = None if validation is None else validate_observations(validation, "validation")
    epochs, seed, batch = whole("epochs", epochs), checks.seed("seed", seed), min(whole("batch", batch), len(x))
    rate, final = positive("rate", rate), between("final", final, 0, 1)
    objective = checked(beta(4.0) if objective is None else objective)
    sets = {"x": x, "validation": held_out, "pairs": check_pairs(pairs, x, objective.paired)}
    key_model, key = jax.random.split(jax.random.key(seed))
    made = admitted_model(model, key_model, sets)
    if objective.calibrated and made.likelihood != "gaussian":
        raise ValueError(f"objective must not be calibrated for likelihood={made.likelihood!r}, which has no noise.")
    check_precision(x, jnp.result_type(float))

    settings = {"epochs": epochs, "batch": batch, "rate": rate, "final": final, "seed": seed, "observations": len(x)}
    folder = None if out is None else TrainingFolder(out, resume, plan_of(made, objective, settings, **sets))
    try:
        if folder is not None and folder.finished:
            folder.clear()  # of a training that was killed at its very end
            return load(folder.path, like=made)
        if folder is not None:
            folder.claim()
        trained = _train(key, made, sets, objective, settings, folder=folder, progress=progress)
        if folder is not None:
            trained.save(folder.path)
            folder.clear()
        return trained
    except BaseException:
        # One of no use leaves the folder free for the next try
        if folder is not None and not (folder.finished or folder.checkpoint.exists()):
            folder.free()
        raise
    finally:
        if folder is not None:
            folder.close()


def _train(
    key: PRNGKeyArray, made: BetaVAE, sets: dict[str, Any], objective: Objective,
    settings: dict[str, Any], *, folder: TrainingFolder | None, progress: bool,
) -> Trained:  # fmt: skip
    """Take all steps, from the last checkpoint if there is one, and the model that they end in."""
    dtype = jnp.result_type(float)
    data = _Data(**{name: None if a is None else jnp.asarray(a, dtype) for name, a in sets.items()})  # pyright: ignore
    rates = (jnp.asarray(settings[name], dtype) for name in ("rate", "final"))
    plan = _Plan(objective.traced(), settings["batch"], *rates, epochs=jnp.asarray(settings["epochs"]))
    state, history = _run_epochs(key, made, data, plan, folder, progress)
    networks, epoch = (
        (state.networks, settings["epochs"]) if data.validation is None else (state.best, int(state.epoch))
    )
    trained = _with_networks(made, networks)
    if objective.calibrated:
        trained = trained.calibrated(
            sets["x" if data.validation is None else "validation"], draws=16 if objective.sampled else 0
        )
    return Trained(model=trained, objective=objective, history=history, epoch=epoch, settings=settings)


def _with_networks(model: BetaVAE, networks: Any) -> BetaVAE:
    own = eqx.filter((model.encoder, model.decoder), eqx.is_inexact_array, inverse=True)
    encoder, decoder = eqx.combine(networks, own)
    return replace(model, encoder=encoder, decoder=decoder)


def _run_epochs(
    key: PRNGKeyArray, model: BetaVAE, data: _Data, plan: _Plan, folder: TrainingFolder | None, progress: bool
) -> tuple[_State, History]:
    """Train all epochs, a compiled chunk at a time, between which the bar moves; the last state, and the history."""
    epochs, dtype = int(plan.epochs), data.x.dtype
    networks = eqx.filter((model.encoder, model.decoder), eqx.is_inexact_array)
    state = _State(
        networks=networks,
        moments=ADAM.init(networks),
        best=None if data.validation is None else networks,
        least=jnp.asarray(jnp.inf, dtype),
        epoch=jnp.zeros((), int),
        discriminator=untrained(jax.random.fold_in(key, 3), model.latents) if plan.objective.adversarial else None,
    )
    chunk = max(1, min(EPOCHS, STEPS // (len(data.x) // plan.batch)))
    # State, history and number of epochs change at once: whenever Ctrl-C comes, they are of the same moment
    at: tuple[_State, History, int] = (state, {}, 0)
    if folder is not None:
        at = folder.kept(state) or at
    bar = tqdm(total=epochs, initial=at[2], unit=" epochs", disable=None if progress else True, dynamic_ncols=True)
    try:
        with bar:
            while (first := at[2]) < epochs:
                last = min(first + chunk, epochs)
                state, found = _run(key, model, data, plan, jnp.asarray([first, last]), at[0])
                at = state, _joined(at[1], found, last - first, last, plan), last
                bar.update(last - first)
                bar.set_postfix(loss=f"{at[1]['loss'][-1]:.4g}")
                if folder is not None:
                    folder.keep(*at)
    except KeyboardInterrupt as stop:
        if folder is None or not at[2]:
            raise
        folder.keep(*at, force=True)
        words = f"stopped after epoch {at[2]} of {epochs}, which is kept in {folder.path}; resume continues there"
        raise KeyboardInterrupt(words) from stop
    return at[0], at[1]


def _joined(before: History, found: dict[str, Array], count: int, last: int, plan: _Plan) -> History:
    """Put the history of a chunk's epochs behind that of those before."""
    new = {name: np.asarray(a, np.float64)[:count] for name, a in found.items()}
    if not all(np.all(np.isfinite(a)) for a in new.values()):
        raise ValueError(f"the loss is not finite after epoch {last}; take a rate below {plan.rate:g}.")
    return {name: np.concatenate([before[name], a]) if before else a for name, a in new.items()}


@eqx.filter_jit
def _run(
    key: PRNGKeyArray, model: BetaVAE, data: _Data, plan: _Plan, span: Array, state: _State
) -> tuple[_State, dict[str, Array]]:
    """Train from epoch span[0] to before span[1], at most EPOCHS of them: the state, and the history of these."""
    x, validation, pairs = data
    objective, batch, rate, final, epochs = plan
    key_order, key_draw, key_validation = jax.random.split(key, 3)
    steps = len(x) // batch
    end = (epochs * steps).astype(x.dtype)

    def step(carry: Any, at: tuple[Array, Array]) -> tuple[Any, dict[str, Array]]:
        (networks, moments, discriminator), (t, rows) = carry, at
        key_t, others = jax.random.fold_in(key_draw, t), None if pairs is None else pairs[rows]

        def loss(networks: Any) -> tuple[Array, tuple[Terms, Array]]:
            terms = batch_terms(_with_networks(model, networks), objective, x[rows], key_t, others)
            penalty = objective.penalty_of(terms, len(x), discriminator)
            return objective.loss(terms, t / end, penalty), (terms, penalty)

        gradient, (terms, penalty) = jax.grad(loss, has_aux=True)(networks)
        rate_t = rate * (final + (1 - final) * 0.5 * (1 + jnp.cos(jnp.pi * t / end)))
        move, moments = ADAM.update(gradient, moments)
        networks = jax.tree.map(lambda p, m: p - rate_t * m, networks, move)
        if discriminator is not None:
            discriminator = improved(discriminator, terms.z, jax.random.fold_in(key_t, 1))
        return (networks, moments, discriminator), _means(objective, terms, t / end, penalty)

    def epoch(i: Array, carry: tuple[_State, dict[str, Array]]) -> tuple[_State, dict[str, Array]]:
        state, history = carry
        rows = jax.random.permutation(jax.random.fold_in(key_order, i), len(x))[: steps * batch]
        at = (i * steps + jnp.arange(steps)).astype(x.dtype), rows.reshape(steps, batch)
        learning = state.networks, state.moments, state.discriminator
        (networks, moments, discriminator), found = jax.lax.scan(step, learning, at)
        found = jax.tree.map(lambda a: jnp.mean(a, axis=0), found)
        state = state._replace(networks=networks, moments=moments, discriminator=discriminator)
        if validation is not None:
            terms = _validate(_with_networks(model, networks), objective, validation, key_validation)
            # Those of the first chunk are as many as a penalty can take: its memory grows with their square
            some = jax.tree.map(lambda a: a[:CHUNK], terms)
            penalty = objective.penalty_of(some, len(validation), discriminator)
            found |= {f"validation_{name}": a for name, a in _means(objective, terms, jnp.ones(()), penalty).items()}
            state = _keep_best(state, found["validation_loss"], i + 1)
        return state, {name: a.at[i - span[0]].set(found[name]) for name, a in history.items()}

    return jax.lax.fori_loop(span[0], span[1], epoch, (state, _blank_history(model, objective, validation is not None)))


def _means(objective: Objective, terms: Terms, progress: Array, penalty: Array) -> dict[str, Array]:
    """Average the terms of a batch, under the names of the history."""
    means = {
        "loss": objective.loss(terms, progress, penalty),
        "reconstruction": jnp.mean(terms.reconstruction),
        "mse": jnp.mean(terms.mse),
    }
    if objective.sampled:
        kl = jnp.mean(terms.kl, axis=0)
        means |= {"kl": jnp.sum(kl), "kl_per_latent": kl, "capacity": objective.capacity_at(progress)}
    return means | ({"penalty": penalty} if objective.penalty else {})


def _blank_history(model: BetaVAE, objective: Objective, validated: bool) -> dict[str, Array]:
    """Make the empty history of EPOCHS epochs."""
    dtype = model.shift.dtype
    one = Terms(jnp.zeros(1, dtype), jnp.zeros((1, model.latents), dtype), jnp.zeros(1, dtype))
    like = _means(objective, one, jnp.ones((), dtype), jnp.zeros((), dtype))
    if validated:
        like |= {f"validation_{name}": a for name, a in like.items()}
    return {name: jnp.zeros((EPOCHS, *a.shape), dtype) for name, a in like.items()}


def _validate(model: BetaVAE, objective: Objective, x: Float[Array, "m *x_shape"], key: PRNGKeyArray) -> Terms:
    """Compute the terms of the observations for validation, in chunks that bound the memory."""
    size = min(CHUNK, len(x))
    chunks = -(-len(x) // size)
    filled = jnp.concatenate([x, jnp.repeat(x[:1], chunks * size - len(x), axis=0)]).reshape(chunks, size, *x.shape[1:])
    found = jax.lax.map(lambda at: batch_terms(model, objective, *at), (filled, jax.random.split(key, chunks)))
    return jax.tree.map(lambda a: a.reshape(chunks * size, *a.shape[2:])[: len(x)], found)


def _keep_best(state: _State, loss: Array, epoch: Array) -> _State:
    """Keep the networks where their loss is the least so far."""
    better = loss < state.least
    best = jax.tree.map(lambda new, old: jnp.where(better, new, old), state.networks, state.best)
    return state._replace(best=best, least=jnp.minimum(loss, state.least), epoch=jnp.where(better, epoch, state.epoch))
