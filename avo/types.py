"""The words of the library as types: what users may hand in, what a trainer carries from step to step, what it reports.

Symbols of shapes: n rows of a batch, d parameters, m observations; x_shape and c_shape are those of one observation and
of its known conditions.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray, UInt32

from avo.adversarial.metric import Metric


class Simulator(Protocol):
    """Draw one x per row of theta: theta (n, d) in physical units -> x (n, *x_shape), rows independent given theta.

    `simulate(key, theta)`, or `simulate(key, theta, inputs)` with known conditions (n, *c_shape); avo gives no options.
    """

    def __call__(self, key: Any, theta: Any, /, *inputs: Any, **options: Any) -> Any: ...


class Proposal(Protocol):
    """A distribution q(u; psi) over unconstrained parameters: an Equinox module whose leaves are psi.

    u = loc + L z with z ~ N(0, I); `avo.Gaussian` is one.
    """

    @property
    def loc(self) -> Float[Array, " d"]:
        """Centre of q, one of the leaves."""
        ...

    def factor(self) -> Float[Array, "d d"]:
        """Compute L, lower triangular."""
        ...

    def with_factor(self, factor: Float[Array, "d d"]) -> "Proposal":
        """Keep the centre and take another covariance, factor factor^T."""
        ...

    def transform(self, z: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """Map z to u = loc + L z."""
        ...

    def score(self, z: Float[Array, "n d"]) -> "Proposal":
        """Compute grad_psi log q at u = loc + L z, a tree like psi with a leading axis n; for loc in units of z."""
        ...

    def sample(self, key: PRNGKeyArray, n: int) -> Float[Array, "n d"]:
        """Draw n values of u."""
        ...

    def entropy(self) -> Float[Array, ""]:
        """Compute the entropy of q."""
        ...

    def sd(self) -> Float[Array, " d"]:
        """Compute the standard deviation of each coordinate of u."""
        ...


class Critic(Protocol):
    """A function d(x; phi) of one observation, shaped (*x_shape) -> scalar: an Equinox module whose leaves are phi.

    One with an attribute `pack` = k > 1 takes k observations at once, (k, *x_shape).
    """

    def __call__(self, x: Any, /) -> Array: ...


class Loss(Protocol):
    """What a critic minimises and what a simulation costs the proposal; `avo.critics.wasserstein()` is one."""

    @property
    def critic(self) -> Callable[..., tuple[Array, Array]]:
        """`critic(d, x_real, x_fake, w, key) -> (loss, gap)`, rows (n, *x_shape), w (n,) 0 for rows to leave out."""
        ...

    @property
    def cost(self) -> Callable[[Array], Array]:
        """`cost(d(x)) -> cost`, elementwise, for the proposal to minimise."""
        ...


class Statistic(Protocol):
    """Say what matters of one observation: x (*x_shape), with inputs its condition too, to real numbers, by JAX."""

    def __call__(self, x: Any, *inputs: Any) -> Any: ...


MakeCritic = Callable[..., Critic]  # critic(key, x_shape)
MakeProposal = Callable[[int], Proposal]  # proposal(dim)


class Frame(NamedTuple):
    """The units in which the critic sees x and known conditions, and where bending begins, avo/observations.py."""

    shift: np.ndarray
    scale: np.ndarray
    c_shift: np.ndarray | None
    c_scale: np.ndarray | None
    far: np.ndarray = np.array(np.inf)


class Data(NamedTuple):
    """The observations as the critic sees them, and the map that takes simulations there, avo/observations.py.

    z holds x as it is shown, in its first m rows; those from m on are padding. Where there are inputs, each row is the
    flat pair (c, x) instead. turns say how often each row comes up, where observations have weights
    (`avo.weights.row_at`), gaps what of it is missing.
    """

    z: Float[Array, "M *z_shape"]
    inputs: Float[Array, "M *c_shape"] | None
    m: Int[Array, ""]
    shift: Float[Array, "*x_shape"]
    scale: Float[Array, "*x_shape"]
    far: Float[Array, ""]
    turns: UInt32[Array, " _"] | None = None
    gaps: Any = None


class Pending(NamedTuple):
    """What `ask` handed out and `tell` will need: u is carried along, never recovered from theta.

    zeta holds the proposal's draws in units of its spread: of mirrored pairs, u+- = loc +- L zeta, one half.
    """

    key: PRNGKeyArray
    u: Float[Array, "n d"]
    zeta: Float[Array, "draws d"]
    rows: Int[Array, " n"]


class State(NamedTuple):
    """All that the next step needs: a `Proposal`, a `Critic`, the average of late proposals, and what moves them.

    Number of steps and step sizes, which a budget decides, are data, so that fits of many share one compiled program.

    Which ones the user decides, and jax's transformations of trees forget: they are not typed here.
    """

    step: Int[Array, ""]
    horizon: Int[Array, ""]
    rate: Float[Array, "2"]
    proposal: Any
    critic: Any
    proposal_moments: optax.OptState
    critic_moments: optax.OptState
    metric: Metric
    average: Any
    data: Data
    pending: Pending | None


class Info(NamedTuple):
    """What a reader may want to know about one step.

    Args:
        gap: the critic's, on the step's simulations, before it is updated; the mean over its updates.
        u: the proposal's centre after the step.
        sd: its standard deviations.
        failed: rows of x that were not finite.
    """

    gap: Float[Array, ""]
    u: Float[Array, " d"]
    sd: Float[Array, " d"]
    failed: Int[Array, ""]
