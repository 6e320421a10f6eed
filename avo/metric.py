"""How far x moves when u moves: the metric that shapes the proposal's spread.

Parameters differ in how strongly they move x, often by factors of a hundred, and in mixtures. A proposal that is
equally wide in all of them is too wide for some and too narrow for others. Mirrored pairs u+ = loc + v, u- = loc - v,
simulated with the same random numbers, show the difference at no extra call: with phi(x) = (x, x^2), standardised,

    J = argmin sum |phi(x+) - phi(x-) - (u+ - u-) J|^2,    M = J J^T,

by least squares over recent pairs with exponentially fading weights. The squares let parameters of spread count, which
leave the mean of x alone. For a given size s of the spread, the proposal's factor is then

    L = V diag(min(s sqrt(lambda_max / lambda_k), ceiling))    with M = V diag(lambda) V^T,

so a step of the same length in z = L^-1 (u - loc) moves x by the same distance in every direction, except where x
hardly moves: there the ceiling holds. Only the path to the answer depends on M, not the answer. No gradient of the
simulator is needed.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

MEMORY = 0.98  # pairs of about the last 50 steps: enough to determine J, short enough to follow the proposal
RIDGE = 1e-3  # relative change of x below which a direction counts as flat


class Metric(NamedTuple):
    """Moments of recent mirrored pairs: du du^T, with shape (d, d), and du dphi^T, with shape (d, p)."""

    square: Float[Array, "d d"]
    cross: Float[Array, "d p"]

    @staticmethod
    def start(d: int, size: int) -> "Metric":
        """Make the empty metric for d parameters and observations of `size` values."""
        dtype = jnp.result_type(float)
        return Metric(jnp.zeros((d, d), dtype), jnp.zeros((d, 2 * size), dtype))

    def update(
        self, du: Float[Array, "n d"], plus: Float[Array, "n *z"], minus: Float[Array, "n *z"], ok: Bool[Array, " n"]
    ) -> "Metric":
        """Add pairs that differ by `du`, with standardised x `plus` and `minus`; leave out those not `ok`."""
        plus, minus = plus.reshape(du.shape[0], -1), minus.reshape(du.shape[0], -1)
        dphi = jnp.concatenate([plus - minus, plus**2 - minus**2], axis=1)
        # The spread shrinks over a fit: without this weight the old, wide pairs would drown the recent ones.
        weight = ok / jnp.maximum(jnp.mean(jnp.sum(du**2, axis=1)), 1e-12)
        weighted = du * weight[:, None]
        return Metric(MEMORY * self.square + weighted.T @ du, MEMORY * self.cross + weighted.T @ dphi)

    def matrix(self) -> Float[Array, "d d"]:
        """Compute M = J J^T, with shape (d, d)."""
        d = self.square.shape[0]
        jitter = 1e-6 * jnp.trace(self.square) / d + 1e-12
        j = jnp.linalg.solve(self.square + jitter * jnp.eye(d, dtype=self.square.dtype), self.cross)
        return j @ j.T

    def factor(self, sd: Float[Array, ""], ceiling: Float[Array, ""]) -> Float[Array, "d d"]:
        """Compute L for a spread `sd` in the stiffest direction and at most `ceiling` in any.

        Example:
            >>> metric = Metric(jnp.eye(2), jnp.array([[3.0, 4.0], [0.0, 0.0]]))
            >>> covariance = metric.factor(jnp.array(0.1), jnp.array(0.5))
            >>> (covariance @ covariance.T).round(3).tolist() == jnp.diag(jnp.array([0.01, 0.25])).round(3).tolist()
            True
        """
        eigenvalues, vectors = jnp.linalg.eigh(self.matrix())
        largest = jnp.maximum(eigenvalues[-1], 1e-30)
        stretch = jnp.sqrt(largest / jnp.maximum(eigenvalues, RIDGE**2 * largest))
        return vectors * jnp.minimum(sd * stretch, jnp.maximum(ceiling, sd))[None, :]
