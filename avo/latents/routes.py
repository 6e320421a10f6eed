"""Ways to describe signals by a few numbers, under one protocol: the simulator, latents, principal components.

A `Route` turns observations into codes and codes into signals. Where the codes are the simulator's parameters
themselves, they are taken as they are; the meaning of all others has to be read off by a probe, a linear regression of
the parameters on the codes of observations whose parameters are known, the labels.

- `by_simulator`: `avo.fit` finds the population of parameters that reproduces the signals, `result.encode` those of
  each signal. Needs the simulator, no label.
- `by_labels`: the same regression, learned from labelled signals. With as many labels as one likes it is the ceiling.
- `by_latents`: a beta-VAE or one of its relatives. Needs neither simulator nor label.
- `by_components`: principal components, and for new signals a normal distribution with their variances.
"""

from collections.abc import Callable
from functools import cache, lru_cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float, PRNGKeyArray

from avo.adversarial.proposals import START_SD
from avo.latents.cases import simulate
from avo.latents.trained import Trained
from avo.observations import Observed
from avo.refine.statistic import Pairs, apply, learn_statistic
from avo.run import fit

if TYPE_CHECKING:
    from avo.simulators import Problem

FEW_LABELS = 5000  # below, a regression's residuals on its own labels are too small
ACTIVE = 0.01  # nats of KL, or variation of an autoencoder's code, above which a latent is active
EDGE = 0.01  # share of a range by which an estimate keeps away from its bounds

Array2 = Float[np.ndarray, "n k"]


class Route(NamedTuple):
    """A way to describe signals.

    Args:
        name: what it is called in tables.
        encode: x (n, *x_shape) -> codes (n, k).
        decode: codes (n, k) -> x without noise (n, *x_shape).
        sample: `sample(key, n)` draws new signals, with noise.
        own: whether the codes are the simulator's parameters.
        encode_sd: x -> standard deviations of the codes, (n, k), which the route states itself; None: it states none.
        words: how it came about.
        fitted: whether the simulator's own fit found a population; of others, true.
        active: which codes say something, with shape (k,); None: all.
    """

    name: str
    encode: Callable[[np.ndarray], Array2]
    decode: Callable[[Array2], np.ndarray]
    sample: Callable[[PRNGKeyArray, int], np.ndarray]
    own: bool
    encode_sd: Callable[[np.ndarray], Array2] | None = None
    words: str = ""
    fitted: bool = True
    active: Bool[np.ndarray, " k"] | None = None


def mean_of(problem: "Problem") -> Callable[[Array2], np.ndarray]:
    """Make the decoder of parameters: the simulator's mean, or where it is not known that of 64 simulations."""
    support = np.array([parameter.support for parameter in problem.space])
    width = np.where(np.isfinite(support).all(1), np.ptp(np.where(np.isfinite(support), support, 0), axis=1), 0.0)
    low, high = support[:, 0] + EDGE * width, support[:, 1] - EDGE * width
    curve = _average(problem.simulate) if problem.mean is None else problem.mean
    return lambda theta: apply(curve, np.clip(theta, low, high))


@lru_cache(maxsize=8)  # so that programs that decode by it are shared
def _average(simulate: Callable) -> Callable:
    keys = jax.random.split(jax.random.key(0), 64)
    return lambda theta: jax.vmap(simulate, (0, None))(keys, theta[None]).mean((0, 1))


def by_simulator(
    problem: "Problem", x: np.ndarray, budget: int, seed: int, pairs: int = 50_000, wide: Route | None = None
) -> Route:
    """Fit the simulator to the population of signals, and encode by it.

    Where no population of the simulator reproduces them (signals that it was not made for), the regression is learned
    under the wide start of the fit instead, N(0, 1.5^2) in u, from so many pairs, and `words` says so; it is `wide`, if
    that is at hand.
    """
    result = fit(problem.simulate, x, problem.space, target="population", budget=budget, seed=seed, progress=False)
    if result.estimate is None:
        route = by_simulations(problem, x, pairs, seed) if wide is None else wide
        return route._replace(words=f"no population found ({result.status}); {route.words}", fitted=False)

    def sample(key: PRNGKeyArray, n: int) -> np.ndarray:
        key_theta, key_x = jax.random.split(key)
        return simulate(problem, key_x, result.central(key_theta, n))

    def errors() -> np.ndarray:
        theta = np.asarray(result.central(jax.random.key(seed), 4000), np.float64)
        return theta - result.encode(simulate(problem, jax.random.key(seed + 1), theta))

    return Route(
        name="simulator",
        encode=result.encode,
        decode=mean_of(problem),
        sample=sample,
        own=True,
        encode_sd=_constant_sd(errors),
        words=f"{result.status}, {result.calls:,} calls",
    )


def _constant_sd(errors: Callable[[], Array2]) -> Callable[[np.ndarray], Array2]:
    """Make a function that states the standard deviations of errors for any x; computed when first asked for."""
    sd = cache(lambda: errors().std(0))
    return lambda x: np.tile(sd(), (len(x), 1))


def by_simulations(problem: "Problem", x: np.ndarray, pairs: int, seed: int) -> Route:
    """Learn E[theta | x] from simulations under the wide start of a fit, N(0, 1.5^2) in u; x gives the units."""
    key_u, key_x = jax.random.split(jax.random.key(seed))
    theta = problem.space.constrain(START_SD * jax.random.normal(key_u, (pairs, problem.space.dim)))
    route = by_labels(problem, np.asarray(theta, np.float64), simulate(problem, key_x, theta), seed, x)
    return route._replace(name="simulator", words=f"learned under the wide start from {pairs:,} simulations")


def by_labels(problem: "Problem", theta: Array2, x: np.ndarray, seed: int, x_obs: np.ndarray | None = None) -> Route:
    """Regress the parameters on signals whose parameters are known.

    Args:
        problem: the simulator, which decodes.
        theta: the labels, with shape (n, d).
        x: their signals, with shape (n, *x_shape).
        seed: of the network.
        x_obs: signals that give the units of x; None: those of the labels.
    """
    middle, size = theta.mean(0), theta.std(0)
    z = (theta - middle) / size
    key, units = jax.random.key(seed), Observed(x if x_obs is None else x_obs)
    t: Any = learn_statistic(key, units, Pairs(z, x, y=z))

    def errors() -> np.ndarray:
        if len(theta) >= FEW_LABELS:
            return size * (z - apply(t, x))
        # Residuals on its own labels are too small: another regression learns without a fifth of them
        n = len(theta) // 5
        return size * (z[:n] - apply(learn_statistic(key, units, Pairs(z[n:], x[n:], y=z[n:])), x[:n]))

    def sample(key: PRNGKeyArray, n: int) -> np.ndarray:
        key_rows, key_x = jax.random.split(key)
        rows = np.asarray(jax.random.randint(key_rows, (n,), 0, len(theta)))
        return simulate(problem, key_x, theta[rows])

    return Route(
        name="supervised",
        encode=lambda x: middle + size * apply(t, x),
        decode=mean_of(problem),
        sample=sample,
        own=True,
        encode_sd=_constant_sd(errors),
        words=f"{len(theta):,} labels",
    )


def active_latents(trained: Trained, x: np.ndarray) -> Bool[np.ndarray, " k"]:
    """Find the latents that say something: of a VAE those with KL, of an autoencoder those that vary; at least one."""
    model = trained.model
    told = model.evaluate(x[:500]).kl.mean(0) if trained.objective.sampled else model.encode(x).std(0)
    return (told > ACTIVE) | (told == told.max())


def by_latents(name: str, trained: Trained, x: np.ndarray) -> Route:
    """Describe signals by the latents of a model trained on x.

    New signals come from z ~ N(0, I), as the model has it; an autoencoder says nothing of z, and its new signals come
    from a normal distribution with the moments of the codes of x. Either way they scatter by the model's noise.
    """
    model, active = trained.model, active_latents(trained, x)
    words = f"epoch {trained.epoch} of {trained.settings['epochs']}, {active.sum()} of {len(active)} latents active"
    latent = partial(Route, name, model.encode, model.decode, own=False, words=words, active=active)
    if trained.objective.sampled:
        return latent(sample=model.sample, encode_sd=model.encode_sd)
    z = model.encode(x)
    middle, factor = z.mean(0), np.linalg.cholesky(np.cov(z.T) + 1e-9 * np.eye(z.shape[1]))

    def sample(key: PRNGKeyArray, n: int) -> np.ndarray:
        rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
        made = model.decode(middle + rng.normal(size=(n, len(middle))) @ factor.T)
        return made + np.asarray(model.noise, np.float64) * rng.normal(size=made.shape)

    return latent(sample=sample)


def by_components(x: np.ndarray, k: int) -> Route:
    """Describe signals by their first k principal components, in units of their standard deviations."""
    flat = x.reshape(len(x), -1)
    middle = flat.mean(0)
    _, values, vectors = np.linalg.svd(flat - middle, full_matrices=False)
    k = min(k, int(np.sum(values > 1e-9 * values[0])))
    size, vectors = values[:k] / np.sqrt(len(x)), vectors[:k]
    noise = float(np.sqrt(np.sum(values[k:] ** 2) / (len(x) * max(flat.shape[1] - k, 1))))

    def decode(z: Array2) -> np.ndarray:
        return (middle + (z * size) @ vectors).reshape(len(z), *x.shape[1:])

    def sample(key: PRNGKeyArray, n: int) -> np.ndarray:
        rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
        made = decode(rng.normal(size=(n, k)))
        return made + noise * rng.normal(size=made.shape)

    def encode(x: np.ndarray) -> Array2:
        return (x.reshape(len(x), -1) - middle) @ vectors.T / size

    return Route(name="PCA", encode=encode, decode=decode, sample=sample, own=False, words=f"{k} components")
