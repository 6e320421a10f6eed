"""Proposal distributions q(u; psi) over unconstrained parameters.

A proposal is an Equinox module whose leaves are psi, with its centre `loc` among them. A module that has what
`avo.types.Proposal` says can be handed to `avo.fit(proposal=...)`.
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from avo.checks import positive, whole

START_SD = 1.5  # N(0, 1.5^2) in u covers an Interval almost evenly: theta's density is flat within a factor of two


class Gaussian(eqx.Module):
    """Gaussian proposal q(u; psi) = N(loc, L L^T), diagonal or full.

    The scale factor is L = diag(exp(log_scale)) (I + strictly_lower), positive definite for every psi:

        log q(u; psi) = -|z|^2 / 2 - sum(log_scale) - (d / 2) log 2 pi,    z = L^-1 (u - loc)

    Args:
        loc: centre, with shape (d,).
        log_scale: logarithms of L's diagonal, with shape (d,).
        lower: entries below the diagonal, with shape (d, d), the rest ignored; None makes q diagonal.

    Example:
        >>> q = Gaussian.start(dim=2, sd=0.5)
        >>> q.sample(jax.random.key(0), 3).shape
        (3, 2)
        >>> round(float(q.log_prob(jnp.zeros(2))), 6) == round(-math.log(2 * math.pi * 0.25), 6)
        True
    """

    loc: Float[Array, " d"]
    log_scale: Float[Array, " d"]
    lower: Float[Array, "d d"] | None = None

    @staticmethod
    def start(dim: int, loc: float | Float[Array, " d"] = 0.0, sd: float = START_SD, full: bool = True) -> "Gaussian":
        """Make the isotropic start N(loc, sd^2 I); `full=False` keeps it diagonal for good."""
        whole("Gaussian.start: dim", dim)
        sd, dtype = positive("Gaussian.start: sd", sd), jnp.result_type(float)
        return Gaussian(
            loc=jnp.broadcast_to(jnp.asarray(loc, dtype), (dim,)),
            log_scale=jnp.full((dim,), math.log(sd), dtype),
            lower=jnp.zeros((dim, dim), dtype) if full else None,
        )

    def factor(self) -> Float[Array, "d d"]:
        """Compute L, the lower-triangular factor of the covariance, with shape (d, d).

        Example:
            >>> Gaussian(jnp.zeros(2), jnp.zeros(2), jnp.array([[0.0, 0.0], [0.5, 0.0]])).factor().tolist()
            [[1.0, 0.0], [0.5, 1.0]]
        """
        unit = jnp.eye(self.loc.shape[0], dtype=self.loc.dtype)
        if self.lower is not None:
            unit = unit + jnp.tril(self.lower, -1)
        return jnp.exp(self.log_scale)[:, None] * unit

    def transform(self, z: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """Map standard normal z to u = loc + L z."""
        return self.loc[None, :] + z @ self.factor().T

    def sample(self, key: PRNGKeyArray, n: int) -> Float[Array, "n d"]:
        """Draw n values of u."""
        return self.transform(jax.random.normal(key, (n, self.loc.shape[0]), self.loc.dtype))

    def log_prob(self, u: Float[Array, " d"]) -> Float[Array, ""]:
        """Compute log q(u; psi) of one u."""
        z = jax.scipy.linalg.solve_triangular(self.factor(), u - self.loc, lower=True)
        return -0.5 * jnp.sum(z**2) - jnp.sum(self.log_scale) - 0.5 * u.shape[0] * math.log(2 * math.pi)

    def score(self, z: Float[Array, "n d"]) -> "Gaussian":
        """Compute grad_psi log q at u = loc + L z, the part for loc in units of z: L^T grad_loc log q = z.

        With L = D (I + M), D = diag(exp(log_scale)), y = (I + M) z and w = (I + M)^-T z,

            d log q / d log_scale_i = y_i w_i - 1,    d log q / d M_ij = w_i z_j for j < i.

        Returns:
            A tree like psi, each leaf with a leading axis n.

        Example:
            >>> Gaussian.start(1, full=False).score(jnp.array([[2.0], [0.5]])).log_scale.tolist()
            [[3.0], [-0.75]]
        """
        if self.lower is None:
            return Gaussian(z, z**2 - 1)
        unit = jnp.eye(z.shape[1], dtype=z.dtype) + jnp.tril(self.lower, -1)
        w = jax.scipy.linalg.solve_triangular(unit, z.T, trans="T", lower=True, unit_diagonal=True).T
        return Gaussian(z, (z @ unit.T) * w - 1, jnp.tril(w[:, :, None] * z[:, None, :], -1))

    def entropy(self) -> Float[Array, ""]:
        """Compute the entropy, sum(log_scale) + (d / 2) log(2 pi e)."""
        return jnp.sum(self.log_scale) + 0.5 * self.loc.shape[0] * math.log(2 * math.pi * math.e)

    def sd(self) -> Float[Array, " d"]:
        """Compute the standard deviation of each coordinate of u."""
        return jnp.sqrt(jnp.sum(self.factor() ** 2, axis=1))

    def stretched(self, by: "Gaussian") -> "Gaussian":
        """Take what `by` is in units of z, N(loc, L L^T) about 0, to u: N(loc + L by.loc, (L by.L) (L by.L)^T).

        Example:
            >>> q = Gaussian.start(2, loc=1.0, sd=2.0).stretched(Gaussian(jnp.array([0.5, 0.0]), jnp.zeros(2)))
            >>> q.loc.tolist(), q.factor().round(5).tolist()
            ([2.0, 1.0], [[2.0, 0.0], [0.0, 2.0]])
        """
        old, factor = self.factor(), self.factor() @ by.factor()  # lower triangular, as both are
        scale = jnp.diagonal(factor)
        lower = None if self.lower is None else jnp.tril(factor / scale[:, None], -1)
        return Gaussian(self.loc + old @ by.loc, jnp.log(scale), lower)

    def with_factor(self, factor: Float[Array, "d d"]) -> "Gaussian":
        """Keep the centre and take the covariance factor factor^T; a diagonal proposal takes its diagonal only.

        Example:
            >>> q = Gaussian.start(2).with_factor(jnp.array([[0.0, 3.0], [0.5, 0.0]]))
            >>> bool(jnp.allclose(q.factor(), jnp.diag(jnp.array([3.0, 0.5]))))
            True
        """
        covariance = factor @ factor.T
        if self.lower is None:
            return Gaussian(self.loc, 0.5 * jnp.log(jnp.diagonal(covariance)))
        cholesky = jnp.linalg.cholesky(covariance)
        scale = jnp.diagonal(cholesky)
        return Gaussian(self.loc, jnp.log(scale), jnp.tril(cholesky / scale[:, None], -1))
