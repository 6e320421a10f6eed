"""Hares and lynx: the predator-prey model of Lotka and Volterra, both counted at ten times.

    X' = alpha X - beta X Y,   Y' = -gamma Y + delta X Y,   X(0) = 30,   Y(0) = 1
    x_j = X(t_j) exp(0.1 e_j),   x_{10+j} = Y(t_j) exp(0.1 e_{10+j}),   e ~ N(0, 1),   t_j = 0, 2.1, 4.2, ..., 18.9

Before the noise, X and Y are held inside [1e-10, 1e4], as in the source.

In logarithms the equations are (log X)' = alpha - beta Y, (log Y)' = delta X - gamma: nothing can become negative, and
the steps stay stable where the populations nearly die out. They are solved by Runge-Kutta steps of order 4 and length
0.0105. Over the 16 corners of the space and 4000 thetas drawn evenly over the logarithms, the largest error of log X
and log Y has in double precision the 99 % quantile 6e-5 and is at most 1.9e-3, at the corner (3.95, 0.011, 3.95, 0.22);
in single precision 3.0e-3 and 9.5e-3. Over draws from the prior: 1.6e-4 at most, and 4.9e-3. The noise is 0.1.

Identified: all four, where both populations move. If the start is near the equilibrium X = gamma / delta,
Y = alpha / beta, they stand still, and x tells these two ratios only.

Limits: the populations themselves move without chance; all noise is in the counts, and its size is known. X and Y held
at an end of [1e-10, 1e4] tell nothing but that.

Source: the task `lotka_volterra` of sbibm (Lueckmann, Boelts, Greenberg, Goncalves, Macke, AISTATS 2021). Its prior:
alpha and gamma ~ LogNormal(-0.125, 0.5), beta and delta ~ LogNormal(-3, 0.5). The space is the box of three prior
standard deviations of the logarithm to either side of the medians: 98.9 % of the prior.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from avo.simulators.ode import solve
from avo.simulators.problem import Axis, Problem, vectorize
from avo.simulators.register import Header
from avo.space import LogInterval, Space

HEADER = Header(
    summary="predators and prey, counted with log-normal errors at ten times",
    tags=("vector", "benchmark", "sbibm", "ecology"),
    x_shape=(20,),
    parameters="alpha, beta, gamma, delta",
    x="population along species and time",
)

PREY, PREDATORS = 30.0, 1.0  # at time 0
INTERVAL, POINTS = 2.1, 10
SUBSTEPS = 200
NOISE = 0.1


def log_populations(theta: Float[Array, "4"]) -> Float[Array, "20"]:
    """Logarithms of X and then Y at the ten times: (log X)' = alpha - beta Y, (log Y)' = -gamma + delta X.

    Args:
        theta: alpha, beta, gamma, delta, with shape (4,).

    Returns:
        log X(t_0), ..., log X(t_9), log Y(t_0), ..., log Y(t_9), with shape (20,), held inside [log 1e-10, log 1e4].

    Example:
        >>> equilibrium = jnp.array([0.7, 0.7, 0.9, 0.03])  # X = gamma / delta = 30, Y = alpha / beta = 1
        >>> jnp.abs(jnp.exp(log_populations(equilibrium)) - jnp.repeat(jnp.array([30.0, 1.0]), 10)).max() < 1e-3
        Array(True, dtype=bool)
    """
    alpha, beta, gamma, delta = theta

    def rate(state: tuple[Array, Array]) -> tuple[Array, Array]:
        log_x, log_y = state
        return alpha - beta * jnp.exp(log_y), delta * jnp.exp(log_x) - gamma

    start = (jnp.log(jnp.array(PREY)), jnp.log(jnp.array(PREDATORS)))
    path = solve(rate, start, INTERVAL / SUBSTEPS, SUBSTEPS, POINTS)
    return jnp.clip(jnp.concatenate(path), math.log(1e-10), math.log(1e4))


def lotka_volterra() -> Problem:
    """Two populations, counted with log-normal errors: x = (X(t), Y(t)) exp(0.1 e).

    The prior of sbibm is log-normal with medians exp(-0.125) = 0.882 (alpha, gamma) and exp(-3) = 0.0498 (beta, delta)
    and standard deviations 0.5 of the logarithm.

    Returns:
        `Problem` with parameters alpha, beta, gamma, delta (1/time, 1/(time predator), 1/time, 1/(time prey)); x has
        shape (20,), ten counts of the prey, then ten of the predator.

    Example:
        >>> problem = lotka_volterra()
        >>> problem.simulate(jax.random.key(0), problem.theta_true[None]).shape
        (1, 20)
    """

    def draw(key: Array, theta: Float[Array, "4"]) -> Float[Array, "20"]:
        return jnp.exp(log_populations(theta) + NOISE * jax.random.normal(key, (2 * POINTS,)))

    def mean(theta: Float[Array, "4"]) -> Float[Array, "20"]:
        return jnp.exp(log_populations(jnp.asarray(theta, dtype=float)) + NOISE**2 / 2.0)

    labels = tuple(f"{who}, {INTERVAL * i:.3g}" for who in ("prey", "predators") for i in range(POINTS))
    rate, contact = (LogInterval(math.exp(mid - 1.5), math.exp(mid + 1.5)) for mid in (-0.125, -3.0))

    def log_prob(theta: Float[Array, "4"], x: Float[Array, "20"]) -> Float[Array, ""]:
        log_x = jnp.log(x)
        return jnp.sum(jax.scipy.stats.norm.logpdf(log_x, log_populations(theta), NOISE) - log_x)  # d log x = dx / x

    return Problem(
        name="lotka_volterra",
        summary=HEADER.summary,
        simulate=vectorize(draw),
        space=Space(alpha=rate, beta=contact, gamma=rate, delta=contact),
        theta_true=np.array([0.6859157, 0.10761319, 0.88789904, 0.116794825]),  # of sbibm's observation 1
        x_shape=(2 * POINTS,),
        axes=(Axis("species and time", "", np.arange(2 * POINTS), labels),),
        quantity="population",
        mean=mean,
        log_prob=log_prob,
        tags=HEADER.tags,
    )
