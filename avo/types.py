"""The words of the library as types: what a simulator is, what a trainer carries from step to step, what it reports."""

from typing import Any, NamedTuple, Protocol

import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray


class Simulator(Protocol):
    """Draw one x per row of theta: theta (n, d) -> x (n, *x_shape); with known conditions, inputs (n, *c_shape) too."""

    def __call__(self, key: Any, theta: Any, *inputs: Any) -> Any: ...


class Frame(NamedTuple):
    """The units in which the critic sees x and its known conditions: location and scale of the observed ones."""

    shift: np.ndarray
    scale: np.ndarray
    c_shift: np.ndarray | None
    c_scale: np.ndarray | None

    def view(self, x: np.ndarray, inputs: np.ndarray | None = None) -> np.ndarray:
        """Show x to the critic: (x - shift) / scale, and with conditions the flat pair (c, x)."""
        z = (np.asarray(x, np.float64) - self.shift) / self.scale
        if inputs is None or self.c_shift is None or self.c_scale is None:
            return z
        c = (np.asarray(inputs, np.float64) - self.c_shift) / self.c_scale
        return np.concatenate([c.reshape(len(c), -1), z.reshape(len(z), -1)], axis=1)


class Data(NamedTuple):
    """The observations as the critic sees them, and the affine map that takes simulations there.

    z holds the standardised x, (m, *x_shape); where there are inputs, each row is the flat pair (c, x) instead.
    """

    z: Float[Array, "m *z_shape"]
    inputs: Float[Array, "m *c_shape"] | None
    shift: Float[Array, "*x_shape"]
    scale: Float[Array, "*x_shape"]


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
