"""An epidemic of susceptible, infected and recovered people (SIR), of whom 1000 are tested on ten days.

    S' = -beta S I / N,   I' = beta S I / N - gamma I,   R' = gamma I       (t in days)
    N = 10^6,   I(0) = 1,   R(0) = 0
    x_j ~ Binomial(1000, I(t_j) / N),   t_j = 0, 17, 34, ..., 153

Source: the task `sir` of sbibm (Lueckmann, Boelts, Greenberg, Goncalves, Macke, AISTATS 2021). Its prior: beta ~
LogNormal(log 0.4, 0.5), gamma ~ LogNormal(log 0.125, 0.2). The space is the box of three prior standard deviations of
the logarithm to either side of the medians: 99.5 % of the prior.

The equations for the fractions s = S / N and i = I / N are solved by Runge-Kutta steps of order 4, five a day. Over
the space, at its corners and at 2000 thetas drawn evenly over the logarithms, i is off by less than 2.4e-5, and by less
than 0.0016 of the standard deviation of x / 1000, in double and in single precision.

Identified: beta and gamma, where the epidemic has its peak within the 153 days. While few are infected their number
grows as exp((beta - gamma) t) and tells only the difference; with beta near gamma it stays there, nearly all counts are
0, and theta is not identified.

Limits: the epidemic itself moves without chance, from one infected person; all noise is in the tests.
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
    summary="epidemic of susceptible, infected and recovered, 1000 people tested on ten days",
    tags=("series", "discrete", "benchmark", "sbibm", "epidemiology"),
    x_shape=(10,),
    parameters="beta (1/day), gamma (1/day)",
    x="positive tests along time (day)",
)

POPULATION, TESTED = 1e6, 1000
DAYS_APART, POINTS = 17, 10
STEPS_PER_DAY = 5


def infected(theta: Float[Array, "2"]) -> Float[Array, "10"]:
    """Fraction i = I / N of infected people on the ten days: s' = -beta s i, i' = (beta s - gamma) i.

    Args:
        theta: beta and gamma (1/day), with shape (2,).

    Returns:
        Fractions with shape (10,).

    Example:
        >>> fraction = infected(jnp.array([0.3, 0.11]))
        >>> round(float(fraction[1] / fraction[0] / jnp.exp(17 * (0.3 - 0.11))), 3)  # grows freely at first
        1.0
    """
    beta, gamma = theta

    def rate(state: tuple[Array, Array]) -> tuple[Array, Array]:
        s, i = state
        return -beta * s * i, (beta * s - gamma) * i

    start = (jnp.array(1.0 - 1.0 / POPULATION), jnp.array(1.0 / POPULATION))
    return solve(rate, start, 1.0 / STEPS_PER_DAY, STEPS_PER_DAY * DAYS_APART, POINTS)[1]


def sir() -> Problem:
    """Positive tests among 1000 on ten days of an epidemic: x_j ~ Binomial(1000, I(t_j) / N).

    The prior of sbibm is log-normal with medians 0.4 and 0.125 and standard deviations 0.5 and 0.2 of the logarithm.

    Returns:
        `Problem` with parameters beta, the contact rate, and gamma, the recovery rate (both 1/day); x has shape (10,).

    Example:
        >>> problem = sir()
        >>> problem.simulate(jax.random.key(0), jnp.array([[0.3, 0.11]])).shape
        (1, 10)
    """

    def draw(key: Array, theta: Float[Array, "2"]) -> Float[Array, "10"]:
        return jax.random.binomial(key, float(TESTED), infected(theta))

    def mean(theta: Float[Array, "2"]) -> Float[Array, "10"]:
        return TESTED * infected(jnp.asarray(theta, dtype=float))

    def log_prob(theta: Float[Array, "2"], x: Float[Array, "10"]) -> Float[Array, ""]:
        return jnp.sum(jax.scipy.stats.binom.logpmf(x, TESTED, jnp.clip(infected(theta), 1e-12, 1.0)))

    return Problem(
        name="sir",
        summary=HEADER.summary,
        simulate=vectorize(draw),
        space=Space(
            beta=LogInterval(0.4 * math.exp(-1.5), 0.4 * math.exp(1.5), unit="1/day"),
            gamma=LogInterval(0.125 * math.exp(-0.6), 0.125 * math.exp(0.6), unit="1/day"),
        ),
        # Ours, an epidemic that lasts: with sbibm's observation 1, (0.615, 0.192), no test after day 85 is positive.
        theta_true=np.array([0.3, 0.11]),
        x_shape=(POINTS,),
        axes=(Axis("time", "day", DAYS_APART * np.arange(POINTS)),),
        quantity="positive tests",
        mean=mean,
        log_prob=log_prob,
        tags=HEADER.tags,
    )
