"""The scale w on which what x shows follows a parameter most nearly in proportion, for the last steps and their errors.

    w = 4 sigmoid(u)    for a parameter with two bounds: its place in its range, in quarters of it
    w = u               else, four units a turn of an angle

Towards a bound theta hardly moves with u, so that a parameter which the data determine to a hundredth of its range
would seem not to be identified there. Moments of x follow theta, or its logarithm, near a bound as anywhere; so the
place w and its error are those of an ordinary estimate, cut off at the bound. In the middle of a range dw = du.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy import optimize, special

from avo.execution.blocks import Drawn, Draws
from avo.space import Count, Space

WIDTH = 4.0  # of a range in w
EDGE = 1e-6 * WIDTH  # least distance of a place from a bound, where u is still a number


class LinearSpace:
    """Parameters on the scale w: what the last steps of a point need of a `Space`.

    Args:
        space: the parameters.

    Example:
        >>> from avo.space import Interval, Real
        >>> line = LinearSpace(Space(a=Interval(0, 8), b=Real()))
        >>> line.of(np.array([np.log(3.0), 5.0])).tolist(), line.rate(np.array([np.log(3.0), 5.0])).tolist()
        ([3.0, 5.0], [0.75, 1.0])
        >>> line.constrain(np.array([3.0, 5.0])).round(6).tolist()
        [6.0, 5.0]
    """

    def __init__(self, space: Space) -> None:
        self.space, self.dim, self.bounded = space, space.dim, space.bounded
        self.angles, self.counts = space.angles, space.counts
        self.steps = np.array([p.high - p.low if isinstance(p, Count) else 0 for p in space])
        self.gap = np.where(self.counts, WIDTH / np.maximum(self.steps, 1), np.inf)  # between whole numbers
        self.low = np.where(self.bounded, EDGE, -np.inf)
        self.high = np.where(self.bounded, WIDTH - EDGE, np.inf)

    def of(self, u: Float[np.ndarray, "*n d"]) -> Float[np.ndarray, "*n d"]:
        """Map u to w."""
        return np.where(self.bounded, WIDTH * special.expit(u), u)

    def rate(self, u: Float[np.ndarray, "*n d"]) -> Float[np.ndarray, "*n d"]:
        """Compute dw / du."""
        return np.where(self.bounded, WIDTH * special.expit(u) * special.expit(-u), 1.0)

    def inside(self, w: Float[np.ndarray, "*n d"]) -> Float[np.ndarray, "*n d"]:
        """Move what lies beyond a bound to it."""
        return np.clip(w, self.low, self.high)

    def near(self, w: Any, centre: Any) -> Any:
        """Move w by whole turns of its angles to where it is nearest to a centre."""
        return self.space.near(w, centre)

    def circles(self, theta: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n k"]:
        """Write angles as cosine and sine, as the space does."""
        return self.space.circles(theta)

    def u(self, w: Any) -> Any:
        """Map w to u, what lies beyond a bound as the bound; arrays of NumPy or JAX."""
        xp: Any = jnp if isinstance(w, jax.Array) else np
        wide = tuple(xp.broadcast_to(a, w.shape) for a in (self.low, self.high, self.bounded))
        v = xp.where(wide[2], xp.clip(w, *wide[:2]) / WIDTH, 0.5)
        return xp.where(wide[2], xp.log(v) - xp.log1p(-v), w)

    def constrain(self, w: Float[np.ndarray, "*n d"]) -> Float[Array, "*n d"]:
        """Map w to theta."""
        return self.space.constrain(self.u(w))


class LinearDraws:
    """Simulations at given w, as `Draws` are at given u, which makes and counts them.

    Args:
        draws: where simulations come from.

    What is asked for beyond a bound is simulated at it.
    """

    def __init__(self, draws: Draws) -> None:
        self.draws, self.space, self.size, self.whole = draws, LinearSpace(draws.space), draws.size, draws.whole

    @property
    def calls(self) -> int:
        """Simulator calls so far."""
        return self.draws.calls

    @property
    def failed(self) -> int:
        """Those of them that failed."""
        return self.draws.failed

    def __call__(self, w: Float[np.ndarray, "n d"], mirrored: bool = False) -> Drawn:
        """Simulate one row per row of w; `mirrored` as for `Draws`. Where they were is in w, too."""
        return self.draws(self.space.u(w), mirrored)._replace(u=self.space.inside(w))


def held(
    space: LinearSpace, start: Float[np.ndarray, " d"], step: Float[np.ndarray, " d"],
    covariance: Float[np.ndarray, "d d"],
) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, "d d"]]:  # fmt: skip
    """Hold a step at the bounds: the nearest one inside, in the metric of the error's covariance C.

        argmin over s of (s - step)^T C^-1 (s - step),  low <= start + s <= high,    P = I - C_.B C_BB^-1 I_B

    B are the parameters that end at a bound: held there, they are no longer fitted, and P makes of the map that solves
    for all of u that which solves for the others.

    Returns:
        The step, and P.

    Example:
        >>> from avo.space import Interval, Real
        >>> line = LinearSpace(Space(a=Interval(0, 1), b=Real()))
        >>> C = np.array([[4.0, 2.0], [2.0, 3.0]])
        >>> move, P = held(line, np.array([1.0, 0.0]), np.array([-3.0, 1.0]), C)
        >>> move.round(4).tolist(), P.round(4).tolist()
        ([-1.0, 2.0], [[0.0, 0.0], [-0.5, 1.0]])
    """
    if np.array_equal(space.inside(start + step), start + step):
        return step, np.eye(len(step))
    # What is not identified has no variance, and moves only where nothing else can
    values, vectors = np.linalg.eigh(covariance)
    root = vectors / np.sqrt(np.maximum(values, 1e-12 * values[-1] + 1e-30)) @ vectors.T
    box = optimize.lsq_linear(root, root @ step, (space.low - start, space.high - start), method="bvls")
    at = box.active_mask != 0
    follow = covariance[:, at] @ np.linalg.pinv(covariance[np.ix_(at, at)], hermitian=True)
    follow[at] = np.eye(at.sum())
    return space.inside(start + box.x) - start, np.eye(len(step)) - follow @ np.eye(len(step))[at]
