"""How far x moves when u moves: the metric that shapes the proposal's spread.

Parameters differ in how strongly they move x, often by factors of a hundred, and in mixtures. A proposal that is
equally wide in all of them is too wide for some and too narrow for others. Mirrored pairs u+ = loc + v, u- = loc - v,
simulated with the same random numbers, show the difference at no extra call. With du = u+ - u- and dx = x+ - x-,

    dx = J^T du + rest,    |rest|^2 = sum_k D_k du_k^2 + error,    M = J J^T + diag(D),    D >= 0,

both by least squares over recent pairs with exponentially fading weights. J holds what moves the mean of x; D what
moves each x in its own way and leaves the mean alone: a noise level, a correlation, the slope against an input. For a
given size s of the spread, the proposal's factor is then

    L = V diag(min(s sqrt(lambda_max / lambda_k), ceiling))    with M = V diag(lambda) V^T,

so a step of the same length in z = L^-1 (u - loc) moves x by the same distance in every direction, except where x
hardly moves: there the ceiling holds. Only the path to the answer depends on M, not the answer. No gradient of the
simulator is needed.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

MEMORY = 0.98  # pairs of about the last 50 steps: enough to determine M, short enough to follow the proposal
RIDGE = 1e-3  # relative change of x below which a direction counts as flat


def _solve(a: Float[Array, "d d"], b: Float[Array, "d k"]) -> Float[Array, "d k"]:
    """Solve a y = b in units in which a's diagonal is one, since spreads differ by factors of a hundred."""
    scale = jnp.sqrt(jnp.maximum(jnp.diagonal(a), 1e-30))[:, None]
    jitter = 1e-5 * jnp.eye(len(a), dtype=a.dtype)
    return jnp.linalg.solve(a / (scale * scale.T) + jitter, b / scale) / scale


class Metric(NamedTuple):
    """Weighted moments of recent mirrored pairs: of du du^T, du dx^T, and with v_k = du_k^2 of v v^T, v |rest|^2."""

    square: Float[Array, "d d"]
    cross: Float[Array, "d p"]
    quartic: Float[Array, "d d"]
    power: Float[Array, "d 1"]

    @staticmethod
    def start(d: int, size: int) -> "Metric":
        """Make the empty metric for d parameters and observations of `size` values."""
        dtype = jnp.result_type(float)
        return Metric(*(jnp.zeros(shape, dtype) for shape in ((d, d), (d, size), (d, d), (d, 1))))

    def update(self, du: Float[Array, "n d"], dx: Float[Array, "n *x_shape"], ok: Bool[Array, " n"]) -> "Metric":
        """Add pairs that differ by `du` and whose standardised x differ by `dx`; leave out those not `ok`."""
        dx = dx.reshape(du.shape[0], -1)
        # The spread shrinks over a fit: without this weight the old, wide pairs would drown the recent ones.
        weight = (ok / jnp.maximum(jnp.mean(jnp.sum(du**2, axis=1)), 1e-12))[:, None]
        square = MEMORY * self.square + (weight * du).T @ du
        cross = MEMORY * self.cross + (weight * du).T @ dx
        rest = jnp.sum((dx - du @ _solve(square, cross)) ** 2, axis=1, keepdims=True)
        v = weight * du**2
        return Metric(square, cross, MEMORY * self.quartic + v.T @ v, MEMORY * self.power + v.T @ (weight * rest))

    def matrix(self) -> Float[Array, "d d"]:
        """Compute M = J J^T + diag(D), with shape (d, d)."""
        j = _solve(self.square, self.cross)
        return j @ j.T + jnp.diag(jnp.maximum(_solve(self.quartic, self.power)[:, 0], 0.0))

    def factor(self, sd: Float[Array, ""], ceiling: Float[Array, ""]) -> Float[Array, "d d"]:
        """Compute L for a spread `sd` in the stiffest direction and at most `ceiling` in any.

        Example:
            >>> du = jnp.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, -1.0]])
            >>> dx = du[:, :1] * jnp.array([[3.0, 4.0]])  # u moves x through its first component only
            >>> metric = Metric.start(2, 2).update(du, dx, jnp.ones(4, bool))
            >>> factor = metric.factor(jnp.array(0.1), jnp.array(0.5))
            >>> jnp.allclose(factor @ factor.T, jnp.diag(jnp.array([0.01, 0.25])), atol=1e-4).item()
            True
        """
        eigenvalues, vectors = jnp.linalg.eigh(self.matrix())
        largest = jnp.maximum(eigenvalues[-1], 1e-30)
        stretch = jnp.sqrt(largest / jnp.maximum(eigenvalues, RIDGE**2 * largest))
        return vectors * jnp.minimum(sd * stretch, jnp.maximum(ceiling, sd))[None, :]
