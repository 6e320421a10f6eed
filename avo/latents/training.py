"""Training a beta-VAE: all epochs in compiled chunks, between which only the progress bar moves.

An epoch is every observation once, in a new order, in batches; the few that fill no batch wait for the next order. Each
batch is one step of Adam (Kingma and Ba 2015) on the objective L of avo/latents/objectives.py, at

    rate_t = rate (final + (1 - final) (1 + cos(pi t / T)) / 2),    t = 0 .. T - 1

The history has for each epoch the means over its batches, each as it was before its step; and where there are
observations for validation, the same of them after the epoch, with the same draws in every epoch and with C as it will
be at the end, so that epochs can be compared. The model kept is then that of least validation loss, else the last.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from numbers import Real
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray
from tqdm import tqdm

from avo.checks import between, one_of, positive, whole
from avo.folder import damaged, fill, leaves, read_arrays, read_json, refuse_others, write_arrays, write_json
from avo.latents.models import CHUNK, BetaVAE, Terms
from avo.latents.objectives import Objective, batch_terms, beta, capacity
from avo.observations import validate_observations

EPOCHS = 10  # at most, of one call of the compiled program
ADAM = optax.scale_by_adam()
STEPS = 4000  # about, of one call: a bar that moves every few seconds


@dataclass(frozen=True, eq=False, repr=False)
class Trained:
    """A trained model and how it came about.

    Args:
        model: the model, of epoch `epoch`.
        objective: what it was trained by.
        history: name -> array over epochs: loss, reconstruction, kl (nats, summed over latents), mse and capacity, and
            kl_per_latent with one column for each; the same under validation_... where there was one. Without a drawn
            z nothing is said of kl.
        epoch: the epoch whose model this is, counted from 1.
        settings: the numbers of the training, by name.
    """

    model: BetaVAE
    objective: Objective
    history: Mapping[str, np.ndarray]
    epoch: int
    settings: Mapping[str, Any]

    def __repr__(self) -> str:
        last = {name: float(self.history[name][self.epoch - 1]) for name in ("loss", "mse")}
        words = ", ".join(f"{name}={value:.4g}" for name, value in last.items())
        return f"Trained({self.model.latents} latents; epoch {self.epoch} of {self.settings['epochs']}: {words})"

    def save(self, path: str | Path) -> Path:
        """Write the model into a folder: `trained.json` and `arrays.npz`, for `avo.latents.load`.

        Raises:
            FileExistsError: if the folder already holds one, or another `arrays.npz`, as that of a fit.
        """
        folder = Path(path)
        if (folder / "trained.json").exists():
            raise FileExistsError(f"{folder} already holds a trained model; choose another folder.")
        refuse_others(folder, "model")
        history = {f"history.{name}": a for name, a in self.history.items()}
        write_arrays(folder / "arrays.npz", leaves("model", self.model) | history)
        # Written last: a folder with trained.json is a whole model
        recipe = self.model.recipe
        words = {
            "epoch": self.epoch,
            "objective": self.objective._asdict(),
            "settings": dict(self.settings),
            "model": None if recipe is None else dict(recipe),
            "units": {name: list(getattr(self.model, name).shape) for name in ("shift", "scale", "noise")},
        }
        write_json(folder / "trained.json", words)
        return folder


class _State(NamedTuple):
    """Networks in training and their optimiser's moments; the best networks so far, their loss and epoch."""

    networks: Any
    moments: Any
    best: Any
    least: Any
    epoch: Any


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
    seed: int = 0,
    progress: bool = True,
) -> Trained:
    """Train a beta-VAE, or one of its relatives, on observations.

    One compiled program serves all seeds and all numbers of the objective, of epochs and of rates, given shapes.

    Args:
        model: a model, or a factory `model(key, x)` such as `BetaVAE.for_data` or
            `functools.partial(BetaVAE.for_data, latents=5)`.
        x: observations, with shape (n, *x_shape).
        objective: `beta`, `capacity`, `autoencoder` or `denoising`, with their numbers; None: beta(4.0).
        epochs: how often each observation is seen.
        batch: observations per step; all, where there are fewer.
        rate: step size of Adam.
        final: share of it that is left at the end, to which it falls by a half cosine; 1 keeps it.
        validation: observations that are not trained on, by whose loss the best epoch is chosen; None: the last epoch.
        seed: of weights (where a factory makes them), orders and draws; same seed, same bits.
        progress: show a bar.

    Returns:
        `Trained`, with `.model`, `.history`, `.epoch` and `.save`.

    Raises:
        ValueError: if an argument is not as described, or the loss became infinite or NaN.

    Example:
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
    seen = None if validation is None else validate_observations(validation, "validation")
    epochs, seed, batch = whole("epochs", epochs), whole("seed", seed, least=0), min(whole("batch", batch), len(x))
    positive("rate", rate)
    between("final", final, 0, 1)
    objective = beta(4.0) if objective is None else objective
    if not isinstance(objective, Objective):
        raise ValueError(f"objective must be one of avo.latents, such as avo.latents.beta(4.0); got {objective!r}.")
    if not all(isinstance(a, Real) and 0 <= a < np.inf for a in objective) or objective.ramp > 1:
        raise ValueError(f"objective must have finite numbers of at least 0, and a ramp of at most 1; got {objective}.")
    key_model, key = jax.random.split(jax.random.key(seed))
    made = _made(model, key_model, x, seen)
    if objective.calibrated and made.likelihood != "gaussian":
        raise ValueError(f"objective must not be calibrated for likelihood={made.likelihood!r}, which has no noise.")

    dtype = jnp.result_type(float)
    _resolved(x, dtype)
    data = jnp.asarray(x, dtype), None if seen is None else jnp.asarray(seen, dtype)
    networks = eqx.filter((made.encoder, made.decoder), eqx.is_inexact_array)
    best = None if seen is None else networks
    state = _State(networks, ADAM.init(networks), best, jnp.asarray(jnp.inf, dtype), jnp.zeros((), int))
    rates = jnp.asarray(rate, dtype), jnp.asarray(final, dtype)
    chunk = max(1, min(EPOCHS, STEPS // (len(x) // batch)))
    parts: list[dict[str, np.ndarray]] = []
    with tqdm(total=epochs, unit=" epochs", disable=None if progress else True, dynamic_ncols=True) as bar:
        for first in range(0, epochs, chunk):
            last = min(first + chunk, epochs)
            span = jnp.asarray([first, last])
            state, found = _run(key, made, objective.traced(), *data, batch, rates, jnp.asarray(epochs), span, state)
            parts.append({name: np.asarray(a, np.float64)[: last - first] for name, a in found.items()})
            bar.update(last - first)
            bar.set_postfix(loss=f"{parts[-1]['loss'][-1]:.4g}")
            if not all(np.all(np.isfinite(a)) for a in parts[-1].values()):
                raise ValueError(f"the loss is not finite after epoch {last}; take a rate below {rate:g}.")
    history = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    chosen, epoch = (state.networks, epochs) if seen is None else (state.best, int(state.epoch))
    trained = _with(made, chosen)
    if objective.calibrated:
        trained = trained.calibrated(x if seen is None else seen, draws=16 if objective.sampled else 0)
    settings = {"epochs": epochs, "batch": batch, "rate": float(rate), "final": float(final), "seed": seed}
    return Trained(trained, objective, history, epoch, settings | {"observations": len(x)})


def _resolved(x: np.ndarray, dtype: Any) -> None:
    """Refuse what numbers of this precision do not tell apart, or whose squares they do not hold."""
    spread, largest, numbers = float(np.std(x - x.mean(0))), float(np.abs(x).max()), jnp.finfo(dtype)
    least, most = float(numbers.tiny) ** 0.4, float(numbers.max) ** 0.4
    if spread and not (least < spread and largest < most and largest * float(numbers.eps) < 0.1 * spread):
        raise ValueError(
            f"x scatters by {spread:.2g} about values of up to {largest:.2g}, which {numbers.dtype} does not "
            'hold; subtract its mean, divide by its scale, or call jax.config.update("jax_enable_x64", True).'
        )


def _made(model: Any, key: PRNGKeyArray, x: np.ndarray, validation: np.ndarray | None) -> BetaVAE:
    """Take a model, or make one, and check that it takes what it is to be trained on."""
    if not isinstance(model, BetaVAE):
        if not callable(model) or isinstance(model, eqx.Module | type):
            raise ValueError(f"model must be a BetaVAE or a factory (key, x), such as BetaVAE.for_data; got {model!r}.")
        model = model(key, x)
    if not isinstance(model, BetaVAE):
        raise ValueError(f"model, a factory, must make a BetaVAE; it made {model!r}.")
    for name, rows in (("x", x), ("validation", validation)):
        if rows is None:
            continue
        if rows.shape[1:] != model.x_shape:
            raise ValueError(f"{name} must have rows shaped as the model's x, {model.x_shape}; got {rows.shape[1:]}.")
        if model.likelihood == "bernoulli" and not (rows.min() >= 0 and rows.max() <= 1):
            raise ValueError(
                f"{name} must lie in [0, 1] for likelihood='bernoulli'; it goes from {rows.min():g} to {rows.max():g}."
            )
    dtype = jnp.result_type(float)
    one, z = (jax.ShapeDtypeStruct(shape, dtype) for shape in (model.x_shape, (model.latents,)))
    try:
        shapes = [a.shape for a in eqx.filter_eval_shape(model.posterior, one)]
        shapes += [eqx.filter_eval_shape(model.predict, z).shape]
    except (TypeError, ValueError) as error:
        said = " ".join(str(error).split())[:200]
        raise ValueError(f"model's networks cannot be applied to x {one.shape} and z {z.shape}: {said}") from error
    if shapes != [z.shape, z.shape, one.shape]:
        raise ValueError(
            f"model's encoder must give mean and log variance of z, each {z.shape}, and its decoder as many values as "
            f"x {one.shape}; got {shapes}."
        )
    return model


def _with(model: BetaVAE, networks: Any) -> BetaVAE:
    own = eqx.filter((model.encoder, model.decoder), eqx.is_inexact_array, inverse=True)
    encoder, decoder = eqx.combine(networks, own)
    return replace(model, encoder=encoder, decoder=decoder)


@eqx.filter_jit
def _run(
    key: PRNGKeyArray,
    model: BetaVAE,
    objective: Objective,
    x: Float[Array, "n *x_shape"],
    validation: Float[Array, "m *x_shape"] | None,
    batch: int,
    rates: tuple[Array, Array],
    epochs: Array,
    span: Array,
    state: _State,
) -> tuple[_State, dict[str, Array]]:
    """Train from epoch span[0] to before span[1], at most EPOCHS of them: the state, and the history of these."""
    key_order, key_draw, key_validation = jax.random.split(key, 3)
    steps = len(x) // batch
    end = (epochs * steps).astype(x.dtype)

    def step(carry: Any, at: tuple[Array, Array]) -> tuple[Any, dict[str, Array]]:
        (networks, moments), (t, rows) = carry, at

        def loss(networks: Any) -> tuple[Array, Terms]:
            terms = batch_terms(_with(model, networks), objective, x[rows], jax.random.fold_in(key_draw, t))
            return objective.loss(terms, t / end), terms

        gradient, terms = jax.grad(loss, has_aux=True)(networks)
        rate = rates[0] * (rates[1] + (1 - rates[1]) * 0.5 * (1 + jnp.cos(jnp.pi * t / end)))
        move, moments = ADAM.update(gradient, moments)
        networks = jax.tree.map(lambda p, m: p - rate * m, networks, move)
        return (networks, moments), _means(objective, terms, t / end)

    def epoch(i: Array, carry: tuple[_State, dict[str, Array]]) -> tuple[_State, dict[str, Array]]:
        state, history = carry
        rows = jax.random.permutation(jax.random.fold_in(key_order, i), len(x))[: steps * batch]
        at = (i * steps + jnp.arange(steps)).astype(x.dtype), rows.reshape(steps, batch)
        (networks, moments), found = jax.lax.scan(step, (state.networks, state.moments), at)
        found = jax.tree.map(lambda a: jnp.mean(a, axis=0), found)
        state = state._replace(networks=networks, moments=moments)
        if validation is not None:
            terms = _validate(_with(model, networks), objective, validation, key_validation)
            found |= {f"validation_{name}": a for name, a in _means(objective, terms, jnp.ones(())).items()}
            state = _chosen(state, found["validation_loss"], i + 1)
        return state, {name: a.at[i - span[0]].set(found[name]) for name, a in history.items()}

    return jax.lax.fori_loop(span[0], span[1], epoch, (state, _blank(model, objective, validation is not None)))


def _means(objective: Objective, terms: Terms, progress: Array) -> dict[str, Array]:
    """Average the terms of a batch, under the names of the history."""
    means = {
        "loss": objective.loss(terms, progress),
        "reconstruction": jnp.mean(terms.reconstruction),
        "mse": jnp.mean(terms.mse),
    }
    if objective.sampled:
        kl = jnp.mean(terms.kl, axis=0)
        means |= {"kl": jnp.sum(kl), "kl_per_latent": kl, "capacity": objective.capacity_at(progress)}
    return means


def _blank(model: BetaVAE, objective: Objective, validated: bool) -> dict[str, Array]:
    """Make the empty history of EPOCHS epochs."""
    dtype = model.shift.dtype
    one = Terms(jnp.zeros(1, dtype), jnp.zeros((1, model.latents), dtype), jnp.zeros(1, dtype))
    like = _means(objective, one, jnp.ones((), dtype))
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


def _chosen(state: _State, loss: Array, epoch: Array) -> _State:
    """Keep the networks where their loss is the least so far."""
    better = loss < state.least
    best = jax.tree.map(lambda new, old: jnp.where(better, new, old), state.networks, state.best)
    return state._replace(best=best, least=jnp.minimum(loss, state.least), epoch=jnp.where(better, epoch, state.epoch))


def load(path: str | Path, like: BetaVAE | None = None) -> Trained:
    """Read what `Trained.save` wrote.

    Args:
        path: the folder.
        like: where the networks were your own, a model of the same structure to fill.

    Returns:
        The `Trained`, equal to the saved one to the bit.

    Raises:
        FileNotFoundError: if the folder holds no trained model.
        ValueError: if the networks were custom ones and `like` does not fit them.

    Example:
        >>> import tempfile
        >>> x = np.random.default_rng(0).normal(size=(500, 3))
        >>> trained = train(partial(BetaVAE.for_data, latents=2, width=16), x, epochs=2, progress=False)
        >>> folder = trained.save(tempfile.mkdtemp())
        >>> bool(np.all(load(folder).model.encode(x) == trained.model.encode(x)))
        True
    """
    folder = Path(path)
    if not (folder / "trained.json").is_file():
        raise FileNotFoundError(f"{folder} holds no trained model (no trained.json); Trained.save writes one.")
    words, arrays = read_json(folder / "trained.json"), read_arrays(folder / "arrays.npz")
    try:
        options, objective = words["model"], Objective(**words["objective"])
        epoch, settings = words["epoch"], words["settings"]
        units: dict[str, Any] = {name: np.ones(words["units"][name]) for name in ("shift", "scale", "noise")}
        made = None if options is None else BetaVAE.make(jax.random.key(0), **options, **units)
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(folder / "trained.json") from error
    like = like if made is None else made
    if like is None:
        raise ValueError("this model has networks of your own; pass like=, a model of the same structure, to fill.")
    return Trained(
        model=fill("model", like, arrays),
        objective=objective,
        history={name.removeprefix("history."): a for name, a in arrays.items() if name.startswith("history.")},
        epoch=epoch,
        settings=settings,
    )


def recipe(name: str) -> dict[str, Any]:
    """Make the keywords of `train` with which a talk trained its beta-VAE: model, objective, epochs, batch and rate.

    Known are (A. Honchar's slides and article on disentangled representations of time series, after Burgess et al.
    2018): an MLP with 10 latents, an objective of capacity C and weight gamma, mean squared error, 50 epochs at a rate
    of 5e-4.

        ecg-talk      C = 25 nats, gamma = 100; one heartbeat for each x (`avo.data.padded_beats`)
        prices-talk   C = 100 nats, gamma = 1000; 180 one-minute prices (`avo.data.log_price_windows`)

    Not known are the widths of the hidden layers (here 256, 256), the batch (64), how C grew (over half of the
    training), and by what factor the squared error was weighted (here noise = a tenth of the scale of x).

    Raises:
        ValueError: if there is no such recipe.

    Example:
        >>> recipe("ecg-talk")["objective"].capacity, recipe("prices-talk")["objective"].gamma
        (25.0, 1000.0)
    """
    known = {"ecg-talk": capacity(gamma=100.0, C=25.0), "prices-talk": capacity(gamma=1000.0, C=100.0)}
    one_of("recipe", name, known)
    model = partial(BetaVAE.for_data, latents=10, network="mlp", width=256, depth=2)
    return {"model": model, "objective": known[name], "epochs": 50, "batch": 64, "rate": 5e-4}
