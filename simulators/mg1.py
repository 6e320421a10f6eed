"""A queue with one server, of which only the times between departures are seen: M/G/1.

Job i arrives a time w_i after job i - 1 and needs the server for s_i, first come first served, the system empty at 0:

    w_i ~ Exp(rate),    s_i ~ U(shortest, shortest + spread)
    v_i = s_i + max(0, v_{i-1} - w_i),    v_0 = 0      time of job i in the system (Lindley's recursion)
    y_i = s_i + max(0, w_i - v_{i-1})                  time between departures i - 1 and i

The recursion has no sums that grow with i, so that single precision serves for any number of jobs.

Identified: all three, where the server is busy at times and idle at times. While it is busy y_i is s_i alone, which
tells shortest and spread and nothing about the arrivals: the busier it is, the less is known of rate. `shortest` lies
below every y_i.

Limits: one server, first come first served, empty at the start; quantiles forget the order of the times.

Source: Blum and Francois, Statistics and Computing 20 (2010) 63; Shestopaloff and Neal, arXiv:1401.5548, equation 1.
The literature writes theta = (shortest, longest, rate) with longest - shortest ~ U(0, 10), which is `spread` here, and
the truth (1, 5, 0.2) for 50 jobs. Times are in units of the clock, whatever that is.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from avo.checks import whole
from avo.simulators.problem import Axis, Problem, vectorize
from avo.simulators.register import Header
from avo.space import Interval, Space

HEADER = Header(
    summary="queue with one server, times between departures",
    tags=("series", "benchmark", "population"),
    x_shape=(50,),
    parameters="shortest, spread, rate",
    x="time between departures along job",
)


def departures(service: Float[ArrayLike, "points"], waits: Float[ArrayLike, "points"]) -> Float[Array, "points"]:
    """Times between departures: y_i = s_i + max(0, w_i - v_{i-1}), v_i = s_i + max(0, v_{i-1} - w_i).

    Args:
        service: time s_i that each job needs the server, with shape (points,).
        waits: time w_i from the arrival before, the first from 0, with shape (points,).

    Returns:
        y, with shape (points,); y_1 is the first departure.

    Example:
        >>> departures([2.0, 3.0, 1.0], [1.0, 0.5, 9.0]).tolist()
        [3.0, 3.0, 5.5]
    """

    def serve(stay: Array, job: tuple[Array, Array]) -> tuple[Array, Array]:
        needed, wait = job
        return needed + jnp.maximum(stay - wait, 0.0), needed + jnp.maximum(wait - stay, 0.0)

    jobs = jnp.asarray(service, dtype=float), jnp.asarray(waits, dtype=float)
    return jax.lax.scan(serve, jnp.zeros(()), jobs)[1]


def mg1(points: int = 50, quantiles: int | None = None) -> Problem:
    """Times between departures of a single-server queue: y_i = s_i + max(0, w_i - v_{i-1}).

    Args:
        points: jobs per observation.
        quantiles: None: x is the series of times. A number: x is so many quantiles of it, at even steps from the least
            to the largest, the summaries of the literature (Fearnhead and Prangle take 20, others 5).

    Returns:
        `Problem` with parameters shortest, spread (times) and rate (arrivals per time); x has shape (points,) or
        (quantiles,).

    Raises:
        ValueError: if `points` is not a whole number above zero or `quantiles` none of at least 2.

    Example:
        >>> problem = mg1()
        >>> problem.simulate(jax.random.key(0), jnp.array([[1.0, 4.0, 0.2]])).shape
        (1, 50)
        >>> mg1(quantiles=5).x_shape
        (5,)
    """
    whole("points", points)
    if quantiles is not None:
        whole("quantiles", quantiles, least=2)  # the least and the largest time
    levels = None if quantiles is None else np.linspace(0.0, 1.0, quantiles)

    def draw(key: Array, theta: Float[Array, "3"]) -> Float[Array, "..."]:
        shortest, spread, rate = theta
        service_key, wait_key = jax.random.split(key)
        service = shortest + spread * jax.random.uniform(service_key, (points,))
        y = departures(service, jax.random.exponential(wait_key, (points,)) / rate)
        return y if levels is None else jnp.quantile(y, jnp.asarray(levels, dtype=float))

    jobs = Axis("job", "", np.arange(1, points + 1))
    summary = "queue with one server, quantiles of the times between departures"
    return Problem(
        name="mg1",
        summary=HEADER.summary if levels is None else summary,
        simulate=vectorize(draw),
        space=Space(shortest=Interval(0.0, 10.0), spread=Interval(0.0, 10.0), rate=Interval(0.0, 1.0 / 3.0)),
        theta_true=np.array([1.0, 4.0, 0.2]),
        x_shape=(points,) if quantiles is None else (quantiles,),
        axes=(jobs if levels is None else Axis("quantile", "", levels),),
        quantity="time between departures",
        tags=HEADER.tags if levels is None else ("vector", *HEADER.tags[1:]),
    )
