"""SLCP hidden among noise: its eight numbers, see `slcp`, and 92 that do not depend on theta, in a fixed random order.

    noise ~ 1/20 sum over k of t_2(mu_k, L_k L_k^T)      (multivariate Student t with 2 degrees of freedom)
    noise = mu_k + L_k z / sqrt(e),   z ~ N(0, I),   e ~ Exp(1)
    mu_k = 15 N(0, I),   L_k = 3 (lower triangle of N(0, 1), + exp(N(0, 1)) on the diagonal)

The scales of the 92 are 0.3 to 80, in the median 21, around centres spread by 15, and their variance is infinite (2
degrees of freedom); those of the eight are at most 9.

Identified: what `slcp` identifies, by its eight numbers; the other 92 say nothing.

Limits: those of `slcp`; and averages over observations settle slowly, as the noise has no finite variance.

Source: the task `slcp_distractors` of sbibm (Lueckmann, Boelts, Greenberg, Goncalves, Macke, AISTATS 2021), after
Greenberg, Nonnenmacher, Macke (ICML 2019). sbibm stores the constants mu, L and the order; they follow from NumPy's
RandomState(42), drawn in the sequence of its generating script, so that they are the same here.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from avo.simulators.problem import Axis, Problem, vectorize
from avo.simulators.register import Header
from avo.simulators.slcp import SPACE, TRUTH, best, four_points, slcp

HEADER = Header(
    summary="the eight numbers of slcp among 92 of heavy-tailed noise",
    tags=("vector", "benchmark", "sbibm", "unidentified"),
    x_shape=(100,),
    parameters="theta1, theta2, theta3, theta4, theta5",
    x="x along coordinate",
)

COMPONENTS, NOISE = 20, 92


@functools.cache
def constants() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Make sbibm's fixed constants: mu (20, 92), L (20, 92, 92) and the order (100,), x = (signal, noise)[order].

    Example:
        >>> mu, factors, order = constants()
        >>> order[[22, 33, 23, 67, 42, 21, 16, 90]].tolist()  # where sbibm's observation 1 shows the eight signals
        [0, 1, 2, 3, 4, 5, 6, 7]
    """
    rng = np.random.RandomState(42)
    mu = 15.0 * rng.normal(size=(COMPONENTS, NOISE))
    factors = np.empty((COMPONENTS, NOISE, NOISE))
    for k in range(COMPONENTS):  # each component draws its matrix, then its diagonal
        factors[k] = 3.0 * (np.tril(rng.normal(size=(NOISE, NOISE))) + np.diag(np.exp(rng.normal(size=NOISE))))
    return mu, factors, rng.permutation(8 + NOISE).astype(np.int32)


def slcp_distractors() -> Problem:
    """The eight numbers of SLCP among 92 of heavy-tailed noise, in a fixed random order.

    The maximum-likelihood estimate is that of `slcp` from the eight; the noise carries no information. The prior of
    sbibm is uniform on the space.

    Returns:
        `Problem` with parameters theta1, ..., theta5 in (-3, 3) (no units); x has shape (100,).

    Example:
        >>> problem = slcp_distractors()
        >>> problem.simulate(jax.random.key(0), problem.theta_true[None]).shape
        (1, 100)
    """
    mu, factors, order = constants()
    signal = np.argsort(order)[:8]

    def noise(key: Array) -> Float[Array, "92"]:
        component_key, normal_key, scale_key = jax.random.split(key, 3)
        k = jax.random.randint(component_key, (), 0, COMPONENTS)
        z = jax.random.normal(normal_key, (NOISE,))
        # -log u with u in (0, 1), not `jax.random.exponential`, which may give 0: z / 0 would be infinite
        e = -jnp.log(jax.random.uniform(scale_key, minval=jnp.finfo(z.dtype).tiny))
        # All components, then one of them: over a batch, one matrix product instead of a matrix per row
        return jnp.asarray(mu, dtype=float)[k] + (jnp.asarray(factors, dtype=float) @ z)[k] / jnp.sqrt(e)

    def draw(key: Array, theta: Float[Array, "5"]) -> Float[Array, "100"]:
        signal_key, noise_key = jax.random.split(key)
        return jnp.concatenate([four_points(signal_key, theta), noise(noise_key)])[order]

    def mle(x: Float[Array, "m 100"]) -> Float[Array, "5"]:
        return best(x[:, signal])

    def mean(theta: Float[Array, "5"]) -> Float[Array, "100"]:
        clean = slcp().mean
        assert clean is not None
        return jnp.concatenate([clean(theta), jnp.asarray(mu.mean(axis=0), dtype=float)])[order]

    return Problem(
        name="slcp_distractors",
        summary=HEADER.summary,
        simulate=vectorize(draw),
        space=SPACE,
        theta_true=TRUTH,
        x_shape=(8 + NOISE,),
        axes=(Axis("coordinate", "", np.arange(8 + NOISE)),),
        mle=mle,
        mean=mean,
        tags=HEADER.tags,
    )
