"""Spikes of a neuron that filters a known stimulus: a Bernoulli regression with a logistic link.

    y_t ~ Bernoulli(sigmoid(theta_0 + sum over j = 0..8 of theta_{1+j} I_{t-j})),   t = 0..99,   I_t = 0 for t < 0
    x = V^T y,   V_t = (1, I_t, I_{t-1}, ..., I_{t-8})

x holds the number of spikes and the sums of the stimulus 0 to 8 steps before them. It is sufficient for theta: nothing
that the 100 spikes tell is lost.

Identified: all ten parameters, since V has full rank. Where a hyperplane parts the spikes of an observation from its
silences (all spikes, no spikes), its likelihood has no maximum, and only a prior keeps theta finite.

Limits: given the stimulus the spikes are independent: no rest after a spike, no drift.

Source: the task `bernoulli_glm` of sbibm (Lueckmann, Boelts, Greenberg, Goncalves, Macke, AISTATS 2021). The stimulus
is fixed, 100 numbers of NumPy's RandomState(42).randn in single precision. The prior: N(0, B) with

    B^-1 = diag(1/2, F^T F),   F = D D + diag(sqrt(i / 9)), i = 0..8,   D = the matrix of first differences

which prefers smooth filters. The space has the prior's marginal standard deviations as scales, sqrt(diag B).
"""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from avo.checks import one_of
from avo.simulators.problem import Axis, Problem, nan_of_nan, vectorize
from avo.simulators.register import Header
from avo.space import Real, Space

HEADER = Header(
    summary="spikes of a neuron under a known stimulus, as their sufficient statistic",
    tags=("vector", "benchmark", "sbibm", "neuroscience"),
    x_shape=(10,),
    parameters="offset, lag0, lag1, lag2, lag3, lag4, lag5, lag6, lag7, lag8",
    x="sum over spikes along projection",
)

TIMES, LAGS = 100, 9


def design() -> np.ndarray:
    """Rows V_t = (1, I_t, ..., I_{t-8}) of the regression, with shape (100, 10).

    Example:
        >>> design()[1].round(4).tolist()
        [1.0, -0.1383, 0.4967, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    """
    stimulus = np.random.RandomState(42).randn(TIMES).astype(np.float32)
    lagged = [np.concatenate([np.zeros(j), stimulus[: TIMES - j]]) for j in range(LAGS)]
    return np.stack([np.ones(TIMES), *lagged], axis=1)


def prior_precision() -> np.ndarray:
    """Inverse covariance of sbibm's prior, B^-1 = diag(1/2, F^T F), with shape (10, 10).

    Example:
        >>> np.sqrt(np.diag(np.linalg.inv(prior_precision()))).round(3)[:3].tolist()
        [1.414, 1.0, 1.677]
    """
    difference = np.eye(LAGS) - np.eye(LAGS, k=-1)
    smooth = difference @ difference + np.diag(np.sqrt(np.arange(LAGS) / LAGS))
    precision = np.zeros((1 + LAGS, 1 + LAGS))
    precision[0, 0] = 0.5
    precision[1:, 1:] = smooth.T @ smooth
    return precision


def bernoulli_glm(summary: Literal["sufficient", "raw"] = "sufficient") -> Problem:
    """Spikes y_t ~ Bernoulli(sigmoid(V_t theta)) of a neuron that filters a known stimulus; x = V^T y.

    The prior of sbibm is N(0, B) with B^-1 = `prior_precision()`. The maximum-likelihood estimate has no closed form.

    Args:
        summary: "sufficient": x = V^T y. "raw": the spikes y themselves, sbibm's task `bernoulli_glm_raw`.

    Returns:
        `Problem` with parameters offset and lag0, ..., lag8, the filter (no units); x has shape (10,), or (100,) raw.

    Raises:
        ValueError: if `summary` is neither.

    Example:
        >>> problem = bernoulli_glm()
        >>> x = problem.simulate(jax.random.key(0), problem.theta_true[None])
        >>> y = bernoulli_glm(summary="raw").simulate(jax.random.key(0), problem.theta_true[None])
        >>> bool(jnp.allclose(x, y @ design(), atol=1e-4))
        True
    """
    one_of("summary", summary, ("sufficient", "raw"))
    rows = design()
    sd = np.sqrt(np.diag(np.linalg.inv(prior_precision())))
    names = ["offset", *(f"lag{j}" for j in range(LAGS))]

    def reduce(y: Float[Array, "100"]) -> Float[Array, "..."]:
        return y if summary == "raw" else y @ jnp.asarray(rows, dtype=float)

    def chance(theta: Float[Array, "10"]) -> Float[Array, "100"]:
        return jax.nn.sigmoid(jnp.asarray(rows, dtype=float) @ jnp.asarray(theta, dtype=float))

    def draw(key: Array, theta: Float[Array, "10"]) -> Float[Array, "..."]:
        return nan_of_nan(reduce(jax.random.bernoulli(key, chance(theta)).astype(theta.dtype)), theta)

    def mean(theta: Float[Array, "10"]) -> Float[Array, "..."]:
        return reduce(chance(theta))

    raw = summary == "raw"
    size = TIMES if raw else 1 + LAGS
    return Problem(
        name="bernoulli_glm",
        summary="spikes of a neuron under a known stimulus" if raw else HEADER.summary,
        simulate=vectorize(draw),
        space=Space(**{name: Real(0.0, float(s)) for name, s in zip(names, sd, strict=True)}),
        # Of sbibm's observation 1.
        theta_true=np.array(
            [1.215716, 2.1386335, 3.6156292, 3.3703978, 0.3342961]
            + [-1.5749966, -2.4357948, -2.1009881, -1.1669482, 0.3189116]
        ),
        x_shape=(size,),
        axes=(
            Axis("time", "", np.arange(size))
            if raw
            else Axis("projection", "", np.arange(size), ("number", *(f"stimulus {j} before" for j in range(LAGS)))),
        ),
        quantity="spikes" if raw else "sum over spikes",
        mean=mean,
        tags=("series", "discrete", *HEADER.tags[1:]) if raw else HEADER.tags,
    )
