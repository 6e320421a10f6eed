"""The words of the library as types: what a simulator is, what a trainer carries from step to step, what it reports."""

from typing import Any, NamedTuple, Protocol

import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray


class Simulator(Protocol):
    """Draw one x per row of theta: theta (n, d) -> x (n, *x_shape); with known conditions, inputs (n, *c_shape) too."""

    def __call__(self, key: Any, theta: Any, *inputs: Any) -> Any: ...


class Frame(NamedTuple):
    """The units in which the critic sees x and known conditions, and where bending begins, avo/observations.py."""

    shift: np.ndarray
    scale: np.ndarray
    c_shift: np.ndarray | None
    c_scale: np.ndarray | None
    far: np.ndarray = np.array(np.inf)


class Data(NamedTuple):
    """The observations as the critic sees them, and the map that takes simulations there, avo/observations.py.

    z holds x as it is shown, (m, *x_shape); where there are inputs, each row is the flat pair (c, x) instead.
    """

    z: Float[Array, "m *z_shape"]
    inputs: Float[Array, "m *c_shape"] | None
    shift: Float[Array, "*x_shape"]
    scale: Float[Array, "*x_shape"]
    far: Float[Array, ""]


class Pending(NamedTuple):
    """What `ask` handed out and `tell` will need: u is carried along, never recovered from theta.

    zeta holds the proposal's draws in units of its spread: of mirrored pairs, u+- = loc +- L zeta, one half.
    """

    key: PRNGKeyArray
    u: Float[Array, "n d"]
    zeta: Float[Array, "draws d"]
    rows: Int[Array, " n"]


class State(NamedTuple):
    """All that the next step needs."""

    step: Int[Array, ""]
    horizon: Int[Array, ""]
    proposal: Any
    critic: Any
    proposal_moments: Any
    critic_moments: Any
    metric: Any
    average: Any
    data: Data
    pending: Pending | None


class Info(NamedTuple):
    """What a reader may want to know about one step."""

    gap: Float[Array, ""]
    u: Float[Array, " d"]
    sd: Float[Array, " d"]
    failed: Int[Array, ""]
