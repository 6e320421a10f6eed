"""What the regression of scores sees of rows of which some values are missing.

The score of what was seen of a row is the expectation, given that, of the score of the whole row (Fisher's identity).
For a normal law the latter is quadratic; given what was seen o, with mean mu and covariance S,

    E[z_m | z_o] = mu_m + S_mo S_oo^-1 (z_o - mu_o),    Cov[z_m | z_o] = S_mm - S_mo S_oo^-1 S_om,

so that the expected values and products say all there is, whatever is missing: the E step of the EM algorithm. For
other laws they are a start, beside the values that are there, the mask, and a network. Averages over a series are over
the points, or pairs of points, that were seen; across a gap over the two points beside it.

Source: Dempster, Laird, Rubin, J. R. Stat. Soc. B 39 (1977), 1, section 4.1.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

LEAST = 1e-3  # of a covariance's largest eigenvalue: pairs of columns seen in different rows need not make up one


def law_of(
    v: Float[np.ndarray, "n k"], seen: Float[np.ndarray, "n k"], zeta: Float[np.ndarray, "n d"]
) -> tuple[np.ndarray, np.ndarray]:
    """Estimate mean and covariance of columns at zeta = 0, each pair from the rows in which both were seen.

        v = mean + B zeta + rest,    covariance = Cov(rest)

    What zeta moves is taken out: it would widen the law, and loosen what one column says of another.

    Example:
        >>> zeta = np.array([[-1.0], [0.0], [1.0], [0.0]])
        >>> v = np.array([[2.0, 7.0], [4.0, 9.0], [4.0, 9.0], [2.0, 0.0]])
        >>> mean, covariance = law_of(v, np.array([[1.0, 1.0], [1.0, 1.0], [1.0, 1.0], [1.0, 0.0]]), zeta)
        >>> mean.round(3).tolist(), covariance.round(3).tolist()
        ([3.0, 8.333], [[0.5, 0.222], [0.222, 0.222]])
    """
    design = np.concatenate([np.ones((len(v), 1)), zeta], 1)
    found = [np.linalg.lstsq(s[:, None] * design, s * column)[0] for column, s in zip(v.T, seen.T, strict=True)]
    mean, rest = np.array([own[0] for own in found]), seen * (v - design @ np.stack(found, 1))
    covariance = rest.T @ rest / np.maximum(seen.T @ seen, 1)
    values, vectors = np.linalg.eigh(covariance)
    return mean, vectors * np.maximum(values, LEAST * max(values[-1], 1e-30)) @ vectors.T


def expected(
    v: Float[Array, " k"], seen: Float[Array, " k"], mean: Float[Array, " k"], covariance: Float[Array, "k k"]
) -> tuple[Float[Array, " k"], Float[Array, "k k"]]:
    """Compute E[v | what was seen] and Cov[v | what was seen], zero where it was.

    Args:
        v: values, anything where they are missing.
        seen: 1 where they are there, else 0.
        mean: of v.
        covariance: of v.

    Example:
        >>> S = jnp.array([[1.0, 0.5], [0.5, 1.0]])
        >>> found = expected(jnp.array([2.0, 9.0]), jnp.array([1.0, 0.0]), jnp.zeros(2), S)
        >>> [a.tolist() for a in found]
        [[2.0, 1.0], [[0.0, 0.0], [0.0, 0.75]]]
    """
    lost = 1 - seen
    own = covariance * jnp.outer(seen, seen) + jnp.diag(lost)
    across = covariance * jnp.outer(seen, lost)
    gain = jnp.linalg.solve(own, across)  # S_oo^-1 S_om
    rest = seen * (v - mean)
    return mean + rest + gain.T @ rest, covariance * jnp.outer(lost, lost) - across.T @ gain


def ends(h: Float[Array, "T C"], seen: Float[Array, "T C"]) -> tuple[Float[Array, " C"], Float[Array, " C"]]:
    """Find the first and the last value of each channel that was seen."""
    first, last = jnp.argmax(seen, axis=0), len(h) - 1 - jnp.argmax(seen[::-1], axis=0)
    return tuple(jnp.take_along_axis(h, at[None], axis=0)[0] for at in (first, last))  # pyright: ignore[reportReturnType]


def across_gaps(h: Float[Array, "T C"], seen: Float[Array, "T C"]) -> list[Array]:
    """Average over time what two points say of which all between them are missing, g > 1 steps apart.

    (h - h')^2 / g, (h - h')^2, h h', h^2, h'^2 and how many there are
    """
    t = jnp.broadcast_to(jnp.arange(len(h))[:, None], h.shape)
    latest = jax.lax.cummax(jnp.where(seen > 0, t, -1), axis=0)
    before = jnp.concatenate([jnp.full((1, h.shape[1]), -1), latest[:-1]])
    step = t - before
    far = seen * (before >= 0) * (step > 1)
    old = jnp.take_along_axis(h, jnp.maximum(before, 0), axis=0)
    square = (h - old) ** 2
    parts: list[Any] = [square / step, square, h * old, h * h, old * old, 1.0]
    return [jnp.mean(far * part, axis=0) for part in parts]
