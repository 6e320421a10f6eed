"""The systems on which `compare` sets simulator parameters against latents.

A case is a simulator whose every observation has parameters of its own, known to whoever made the data. Training data
have positions between .1 and .6 of each range (0 the lower bound, 1 the upper, in the space's own scale), data of the
*shifted* setting between .5 and .9: mostly where no training data were. Signals from *outside the model* come from a
simulator that is not the case's own, as real ones do.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from avo.checks import one_of
from avo.execution.blocks import batched
from avo.execution.programs import compile_simulator
from avo.space import Interval, LogInterval, Space

if TYPE_CHECKING:
    from avo.simulators import Problem

TRAINED, SHIFTED = (0.1, 0.6), (0.5, 0.9)
BLOCK = 1000  # rows of one compiled program


class Case(NamedTuple):
    """A simulator, and signals from outside the model.

    Args:
        problem: the simulator with its parameters.
        outside: `outside(n, seed)` draws signals of something else, with shape (n, *x_shape).
        words: what these are.
        suited: `suited(x)` makes the simulator that suits given signals x, with shape (n, points).
    """

    problem: "Problem"
    outside: Callable[[int, int], np.ndarray]
    words: str
    suited: "Callable[[np.ndarray], Problem]"


class Labelled(NamedTuple):
    """Parameters theta, with shape (n, d), and one observation of each, with shape (n, *x_shape)."""

    theta: Float[np.ndarray, "n d"]
    x: Float[np.ndarray, "n *x_shape"]


def positions(n: int, dim: int, between: tuple[float, float], rng: np.random.Generator) -> Float[np.ndarray, "n d"]:
    """Draw positions in a box, each parameter independently and uniformly."""
    return rng.uniform(*between, (n, dim))


def draw(problem: "Problem", n: int, between: tuple[float, float], seed: int) -> Labelled:
    """Draw thetas in a box of positions, and one observation of each.

    Example:
        >>> import avo
        >>> theta, x = draw(avo.simulators.poisson(), 5, TRAINED, seed=3)
        >>> theta.shape, x.shape
        ((5, 1), (5,))
    """
    at = positions(n, problem.space.dim, between, np.random.default_rng(seed))
    u = np.asarray(np.log(at / (1 - at)), jnp.result_type(float))
    theta = _in_blocks(lambda i, block: problem.space.constrain(block), u)
    return Labelled(theta, simulate(problem, jax.random.key(seed), theta))


def simulate(problem: "Problem", key: PRNGKeyArray, theta: ArrayLike) -> Float[np.ndarray, "n *x_shape"]:
    """Simulate one observation of each theta, block by block."""
    fn = compile_simulator(problem.simulate)
    rows = np.asarray(theta, jnp.result_type(float))
    return _in_blocks(lambda i, block: fn(jax.random.fold_in(key, i), block), rows)


def _in_blocks(fn: Callable[[int, np.ndarray], Array], rows: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n *out"]:
    """Apply fn(i, block) to blocks of rows, the last one filled up: any number of them takes one compiled program."""
    number = count()
    return np.asarray(batched(lambda block: fn(next(number), block), rows, rows=BLOCK), np.float64)


def get(name: str) -> Case:
    """Build a case by name.

    Raises:
        ValueError: if there is none of this name.

    Example:
        >>> get("pendulum").problem.space.names
        ('w0_sq', 'damping', 'start')
    """
    one_of("case", name, NAMES)
    return {"oscillator": _oscillator, "ecg": _ecg, "brownian": _brownian, "pendulum": _pendulum}[name]()


NAMES = ("oscillator", "ecg", "brownian", "pendulum")


@cache
def _oscillator() -> Case:
    from avo import simulators

    problem, swing = simulators.oscillator(), simulators.pendulum(64, 8.0, values={"damping": 0.3})
    return Case(
        problem,
        lambda n, seed: draw(swing, n, (0.1, 0.9), seed)[1],
        "pendulums, swinging wide",
        lambda x: problem if x.shape[1:] == problem.x_shape else simulators.oscillator(x.shape[1]),
    )


BEAT = (-0.3, 0.55)  # s, first time and end of a heartbeat, R at 0


@cache
def _ecg() -> Case:
    from avo import simulators
    from avo.simulators.ecg import WIDE

    names = ("p_amp", "p_centre", "q_amp", "r_amp", "r_width", "s_amp", "t_amp", "t_centre", "t_width")

    def suited(x: np.ndarray) -> "Problem":
        rate = x.shape[1] / (BEAT[1] - BEAT[0])
        noise = {"white": 25.0, "wander": 15.0}
        return simulators.ecg(names, rate=rate, window=BEAT, ranges={n: WIDE[n] for n in names}, noise=noise)

    free = ("heart_rate", "p_a", "q_a", "r_a", "s_a", "t_a", "t_angle", "t_width")
    beats = simulators.ecgsyn(free, rate=128 / (BEAT[1] - BEAT[0]), window=BEAT)
    return Case(
        simulators.ecg_factors(), lambda n, seed: draw(beats, n, (0.1, 0.9), seed)[1], "heartbeats of ECGSYN", suited
    )


@cache
def _brownian() -> Case:
    from avo import simulators

    jumps = simulators.merton(64)

    def suited(x: np.ndarray) -> "Problem":
        scale = float(np.diff(x, axis=1).std()) * x.shape[1] ** 0.5
        ranges = Space(mu=Interval(-6 * scale, 6 * scale), sigma=LogInterval(scale / 30, scale * 30))
        return replace(simulators.brownian(x.shape[1]), space=ranges)

    return Case(
        simulators.brownian(),
        lambda n, seed: np.log(draw(jumps, n, (0.1, 0.9), seed)[1]),
        "log prices with jumps",
        suited,
    )


@cache
def _pendulum() -> Case:
    from avo import simulators

    lossy = simulators.pendulum(free=("w0_sq", "start", "velocity", "drag", "friction"), values={"damping": 0.0})
    return Case(
        simulators.pendulum(),
        lambda n, seed: draw(lossy, n, (0.1, 0.9), seed)[1],
        "pendulums with drag and dry friction",
        lambda x: simulators.pendulum(x.shape[1], free=("w0_sq", "damping", "start", "velocity")),
    )
