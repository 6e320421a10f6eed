"""The methods of the suite, avo's and its rivals', under one protocol.

    fit(simulate, x_obs, space, budget, seed) -> Answer(theta, stderr)

`simulate` is a `Simulator`: it counts each simulated row as a call and makes no more than `budget` of them; a method
that asks for more meets `Spent`, and the best answer that it has noted by then counts. Errors are standard errors in
the unit of theta, infinite for what a method holds not identified, or None where it states none.

avo compiles the simulator into its own loop, where nothing can count: it calls `simulate.jax` and hands its own count
to `simulate.spend`, which holds it to the budget. A test compares that count with rows counted one by one.

A new method is one entry of `METHODS`: such a function, a line on what it does, and the packages that it needs.
`VARIANTS` are methods that run only where they are named.
"""

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.special import logit

import avo
from avo import critics
from avo.adversarial import recipes
from avo.adversarial.proposals import START_SD
from avo.benchmarks.suite.floors import jitted
from avo.benchmarks.suite.tasks import Task
from avo.budget import SEARCH_SHARE
from avo.execution.blocks import Draws, batched
from avo.observations import Observed
from avo.refine import point
from avo.refine.estimate import Estimate
from avo.refine.scores import Normal
from avo.search.region import search
from avo.space import Space

BLOCKS = (64, 512, 4096)  # rows of one compiled program, the least that holds what is asked for
EDGE = 1e-4  # positions of rivals stay so far inside the range


class Spent(Exception):
    """A method asked for more simulator calls than its budget."""


class Answer(NamedTuple):
    """What a method says: theta (d,), and the standard error of each, or None."""

    theta: Float[np.ndarray, " d"]
    stderr: Float[np.ndarray, " d"] | None = None


class Simulator:
    """A task's simulator, counted and capped.

    Args:
        task: what is simulated.
        budget: calls, at most.
        seed: of the random numbers.

    Example:
        >>> from avo.benchmarks.suite import tasks
        >>> simulate = Simulator(tasks.get("poisson"), budget=100, seed=0)
        >>> simulate(np.array([[7.0]] * 60)).shape, simulate.left
        ((60,), 40)
        >>> simulate(np.array([[7.0]] * 60))
        Traceback (most recent call last):
            ...
        avo.benchmarks.suite.methods.Spent: 60 calls asked for, 40 of 100 left
    """

    def __init__(self, task: Task, budget: int, seed: int) -> None:
        self.jax, self.space, self.summary, self.start = task.problem.simulate, task.space, task.summary, task.start
        self.discrete = "discrete" in task.problem.tags
        self.budget, self.calls, self.best = budget, 0, None
        self._key, self._fresh = jax.random.fold_in(jax.random.key(2**21), seed), 0

    best: Answer | None

    @property
    def left(self) -> int:
        """Calls that may still be made."""
        return self.budget - self.calls

    def spend(self, calls: int) -> None:
        """Count calls; raise `Spent`, and count none, where fewer are left."""
        if calls > self.left:
            raise Spent(f"{calls} calls asked for, {self.left} of {self.budget} left")
        self.calls += calls

    def note(self, theta: Float[np.ndarray, " d"], stderr: Float[np.ndarray, " d"] | None = None) -> Answer:
        """Keep the best answer so far, which counts if the budget ends the method."""
        self.best = Answer(np.asarray(theta, float), None if stderr is None else np.asarray(stderr, float))
        return self.best

    def __call__(self, theta: Float[np.ndarray, "n d"], stream: int | None = None) -> Float[np.ndarray, "n *x_shape"]:
        """Simulate one row per theta; calls with the same `stream` share their random numbers, row by row."""
        self.spend(len(theta))
        if stream is None:
            stream, self._fresh = -1 - self._fresh, self._fresh + 1
        key = jax.random.fold_in(self._key, stream % 2**32)
        size = next((b for b in BLOCKS if b >= len(theta)), BLOCKS[-1])
        number = count()

        def block(rows: np.ndarray) -> Array:
            return jitted(self.jax)(jax.random.fold_in(key, next(number)), jnp.asarray(rows))

        return batched(block, np.asarray(theta, np.float32), rows=size)

    def at(
        self, position: Float[np.ndarray, "n d"] | Float[np.ndarray, " d"], rows: int = 1, stream: int | None = None
    ) -> np.ndarray:
        """Simulate at positions in the unit cube, each `rows` times in turn, and take the task's summary."""
        theta = np.repeat(theta_at(self.space, np.atleast_2d(position)), rows, axis=0)
        return self.summary(self(theta, stream))


def theta_at(space: Space, position: Float[np.ndarray, "*n d"]) -> Float[np.ndarray, "*n d"]:
    """Map positions in the unit cube to theta."""
    u = logit(np.clip(np.asarray(position, float), EDGE, 1 - EDGE))
    return np.asarray(space.constrain(jnp.asarray(u)), float)


def stderr_at(space: Space, position: Float[np.ndarray, " d"], sd: Float[np.ndarray, " d"]) -> np.ndarray:
    """Map standard errors of positions to those of theta; above a quarter of the range nothing is identified."""
    u = jnp.asarray(logit(np.clip(position, EDGE, 1 - EDGE)))
    slope = np.diag(np.asarray(jax.jacobian(space.constrain)(u), float)) / (
        np.clip(position, EDGE, 1 - EDGE) * (1 - np.clip(position, EDGE, 1 - EDGE))
    )
    return np.where(np.asarray(sd) > 0.25, np.inf, np.abs(slope) * sd)


# --- avo -------------------------------------------------------------------------------------------------------------


def _fitted(simulate: Simulator, x_obs: np.ndarray, space: Space, seed: int, options: dict[str, Any]) -> Answer:
    """Fit by `avo.fit`, from the task's start where it has one and the method none."""
    options = {"proposal": simulate.start, **options}
    result = avo.fit(simulate.jax, x_obs, space, seed=seed, progress=False, **options)
    simulate.spend(result.calls)
    if result.status == "failed":
        raise RuntimeError(result.message)
    return Answer(result.theta, result.stderr)


def _avo(**options: Any) -> Callable[..., Answer]:
    def fit(simulate: Simulator, x_obs: np.ndarray, space: Space, budget: int, seed: int) -> Answer:
        return _fitted(simulate, x_obs, space, seed, {"budget": budget, **options})

    return fit


def _draws(simulate: Simulator, x_obs: np.ndarray, space: Space, seed: int) -> Draws:
    return Draws(jitted(simulate.jax), space, jax.random.key(seed), 16, x_obs.shape[1:])


def _search(simulate: Simulator, x_obs: np.ndarray, space: Space, budget: int, seed: int) -> Answer:
    """Search the space; no error is stated."""
    draws = _draws(simulate, x_obs, space, seed)
    found = search(draws, Observed(x_obs), budget=budget, seed=seed)
    simulate.spend(draws.calls)
    return Answer(np.asarray(space.constrain(jnp.asarray(found.q.loc)), float), None)


def _search_scores(simulate: Simulator, x_obs: np.ndarray, space: Space, budget: int, seed: int) -> Answer:
    """Search with a part of the calls, then fit by learned scores from there, without the adversary."""
    draws = _draws(simulate, x_obs, space, seed)
    region = search(draws, Observed(x_obs), budget=int(SEARCH_SHARE * budget), seed=seed)
    solve = partial(point.solve_point, budget=budget - draws.calls, seed=seed, pool=region.drawn)
    return _solved(simulate, draws, solve(draws, Observed(x_obs), region.q))


def _scores(simulate: Simulator, x_obs: np.ndarray, space: Space, budget: int, seed: int) -> Answer:
    """Fit by learned scores from the wide start, without the adversary."""
    draws = _draws(simulate, x_obs, space, seed)
    wide = Normal(np.zeros(space.dim), START_SD * np.eye(space.dim))
    return _solved(simulate, draws, point.solve_point(draws, Observed(x_obs), wide, budget=budget, seed=seed))


def _solved(simulate: Simulator, draws: Draws, found: Estimate) -> Answer:
    simulate.spend(draws.calls)
    space = draws.space
    if not found.moved <= point.STILL:
        raise RuntimeError("the learned scores found no solution")
    return Answer(np.asarray(space.constrain(jnp.asarray(found.loc)), float), found.stderr(space))


def _recipe(name: str, changed: Callable[[dict[str, Any]], dict[str, Any]] = dict) -> Callable[..., Answer]:
    """Fit by a published recipe, from the task's start where it has one, with what its authors changed for a task."""

    def fit(simulate: Simulator, x_obs: np.ndarray, space: Space, budget: int, seed: int) -> Answer:
        options = recipes.get(name)
        if simulate.start is not None:
            options["proposal"] = simulate.start
        options = changed(options)
        options["budget"] = min(budget, options["budget"])  # more steps than its authors' make it worse
        return _fitted(simulate, x_obs, space, seed, options)._replace(stderr=None)

    return fit


def _wide_start(options: dict[str, Any]) -> dict[str, Any]:
    """Start where the code of 2017 does on Poisson."""
    return options | {"proposal": partial(avo.Gaussian.start, loc=float(np.log(5.0)), sd=1.0, full=False)}


def _smaller(rate: float, width: int) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Take what the code of 2018 has on tasks other than Poisson: other rates, a weight of 80, a narrow critic."""

    def changed(options: dict[str, Any]) -> dict[str, Any]:
        settings = replace(options["settings"], critic_rate=(rate, rate), rate=(rate, rate))
        return options | {
            "settings": settings,
            "loss": critics.wasserstein("r1", weight=80.0),
            "critic": partial(critics.leaky, width=width),
            "budget": 1001 * settings.calls,
        }

    return changed


# --- the list --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Method:
    """A method of the suite.

    Args:
        summary: what it does, in a line.
        fit: the protocol's function; None: the maximum likelihood, which needs the density and no simulation.
        needs: packages that must be installed, by the name they are imported by.
        rival: whether it is no part of avo.
    """

    summary: str
    fit: Callable[[Simulator, np.ndarray, Space, int, int], Answer] | None
    needs: tuple[str, ...] = ()
    rival: bool = False

    @property
    def missing(self) -> tuple[str, ...]:
        """Packages that are not installed."""
        return tuple(name for name in self.needs if importlib.util.find_spec(name) is None)


def _late(module: str, name: str) -> Callable[..., Answer]:
    """Import a rival where it is first used."""

    def fit(*arguments: Any) -> Answer:
        return getattr(importlib.import_module(f"avo.benchmarks.suite.rivals.{module}"), name)(*arguments)

    return fit


METHODS: dict[str, Method] = {
    "mle": Method("maximum likelihood, from the truth: what the data allow; no simulation", None),
    "avo": Method("avo.fit with default settings", _avo()),
    "avo-alone": Method("avo.fit without learned scores", _avo(refine=False)),
    "scores": Method("learned scores from the wide start, without the adversary", _scores),
    **{name: Method(f"published recipe {name}", _recipe(name)) for name in recipes.names()},
    "cma": Method("CMA-ES on sliced Wasserstein", _late("optimisers", "cma_es"), ("cma", "ot"), True),
    "de": Method("differential evolution on sliced Wasserstein", _late("optimisers", "evolution"), ("ot",), True),
    "moments": Method("simulated moments of summaries, Gauss-Newton", _late("optimisers", "moments"), (), True),
    "abc-smc": Method("ABC-SMC on sliced Wasserstein", _late("posteriors", "abc_smc"), ("pyabc", "ot"), True),
    "npe": Method("neural posterior from statistics of sets", _late("posteriors", "npe"), ("sbi", "torch"), True),
    "nle": Method("neural likelihood, product over observations", _late("posteriors", "nle"), ("sbi", "torch"), True),
    "nre": Method("neural ratio, product over observations", _late("posteriors", "nre"), ("sbi", "torch"), True),
}


def _critics() -> dict[str, Method]:
    """Make a method of each network and loss that were tried as the default."""
    losses: dict[str, critics.Loss] = {
        "one-sided": critics.wasserstein(),
        "two-sided": critics.wasserstein("two-sided"),
        "js": critics.jensen_shannon(),
        "none": critics.wasserstein("none"),
        "wgan-r1": critics.wasserstein("r1"),
        "one-sided-noise": critics.wasserstein(noise=0.1),
        "js-saturating": critics.jensen_shannon("saturating"),
        "js-one-sided": critics.jensen_shannon(penalty="one-sided", weight=10.0),
    }
    few = ("one-sided", "two-sided", "js")
    tried: dict[str, tuple[Callable[..., Any], Sequence[str]]] = {
        "mlp": (critics.mlp, [name for name in losses if name != "none"]),
        "linear": (critics.linear, few),
        "packed": (critics.packed(4), few),
        "packed-mlp": (critics.packed(4, critics.mlp), few),
        "lipschitz": (critics.lipschitz, ["none"]),
        "conv1d": (critics.conv1d, few),
        "gru": (critics.gru, ["one-sided"]),
    }
    return {
        f"avo-alone/{critic}/{loss}": Method(
            f"avo.fit without learned scores, critic {critic}, loss {loss}",
            _avo(refine=False, critic=network, loss=losses[loss]),
        )
        for critic, (network, names) in tried.items()
        for loss in names
    }


# Run where they are named: what the defaults were chosen from, and the recipes as their authors ran them on each task
VARIANTS: dict[str, Method] = {
    **_critics(),
    "avo/no-search": Method("avo without the search, its steps from the wide start", _avo(proposal=avo.Gaussian.start)),
    "search": Method("the search of the space alone", _search),
    "search/scores": Method("the search, then learned scores from there, without the adversary", _search_scores),
    "avo-alone/slow": Method(
        "avo.fit without learned scores, settings of 300,000 calls whatever the budget",
        _avo(refine=False, settings=avo.Settings.for_budget(300_000)),
    ),
    "gp-2017/poisson": Method("published recipe gp-2017, its start", _recipe("gp-2017", _wide_start)),
    "r1-2018/linear5": Method(
        "published recipe r1-2018, its settings on linear5", _recipe("r1-2018", _smaller(1e-2, 10))
    ),
    "r1-2018/epem": Method("published recipe r1-2018, as on epem", _recipe("r1-2018", _smaller(1e-3, 50))),
}


def method_names() -> list[str]:
    """Name the methods of the study, then the variants."""
    return [*METHODS, *VARIANTS]


def method_of(name: str) -> Method:
    """Find a method of the study, or a variant."""
    return (METHODS | VARIANTS)[name]
