"""From places near the answer to the answer: a linear regression of u on what is left of their misfit.

    u_j = a + B^T asinh(z_j) + error,    a the answer's u, where z = 0,

so that u_j - B^T asinh(z_j) are so many estimates of it. There are more z than places: B is the mean of the posterior
under independent normal coefficients, with the variance of most evidence, one for each parameter.

Source: regression-adjusted approximate Bayesian computation, Beaumont, Zhang and Balding, Genetics 162 (2002), 2025,
equations 4 to 6, with a ridge in place of local weights; MacKay, Neural Computation 4 (1992), 415, for the evidence.
"""

import numpy as np
from jaxtyping import Float

PENALTIES = np.logspace(-7, 2, 37)  # tried, in units of the largest singular value squared


def adjusted(
    z: Float[np.ndarray, "n k"], u: Float[np.ndarray, "n d"], z_new: Float[np.ndarray, "p k"], u_new: np.ndarray
) -> Float[np.ndarray, "p d"]:
    """Move u_new to where z is 0, by the slope of u on z in the first n places.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> z = rng.normal(size=(40, 3))
        >>> u = np.array([0.7, -2.0]) + z @ rng.normal(size=(3, 2))
        >>> adjusted(z, u, z[:2], u[:2]).round(3).tolist()
        [[0.7, -2.0], [0.7, -2.0]]
    """
    left, size, right = np.linalg.svd(z - z.mean(0), full_matrices=False)
    kept = size > 1e-8 * size[0]
    left, squares, right = left[:, kept], size[kept] ** 2, right[kept]
    y = u - u.mean(0)
    along = left.T @ y
    rest = np.sum(y**2, axis=0) - np.sum(along**2, axis=0)
    penalty = squares[0] * PENALTIES[:, None]
    shrunk = penalty / (squares + penalty)  # (penalties, rank)
    variance = np.maximum(rest + shrunk @ along**2, 1e-30) / (len(z) - 1)
    evidence = np.sum(np.log(shrunk), axis=1)[:, None] - (len(z) - 1) * np.log(variance)
    best = penalty[np.argmax(evidence, axis=0), 0]
    slope = right.T @ (along * np.sqrt(squares)[:, None] / (squares[:, None] + best))
    return u_new - z_new @ slope


def estimate(
    z: Float[np.ndarray, "n k"], u: Float[np.ndarray, "n d"]
) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, "d d"]]:
    """Estimate u at z = 0 from places, by the median of what each says, and the covariance of what they say.

    For the covariance, each half of the places is judged by the slope of the other: with more z than places, their own
    slope would explain their errors too.
    """
    z, half = np.arcsinh(z), np.arange(len(u)) % 2 == 0
    said = np.concatenate([adjusted(z[~some], u[~some], z[some], u[some]) for some in (half, ~half)])
    return np.median(adjusted(z, u, z, u), axis=0), np.cov(said.T).reshape(u.shape[1], -1)
