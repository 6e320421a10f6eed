"""Ten Gaussian numbers whose means are the parameters, with a uniform prior.

    x ~ N(theta, 0.1 I),   theta in (-1, 1)^10

0.1 is the variance, although sbibm's code calls it a scale: a standard deviation of 0.316. Its prior is uniform, so the
posterior of a single x is N(x, 0.1 I) cut to the box: often at its edges, which are only 3.2 standard deviations from
the centre.

Identified: each parameter by its own number, to sqrt(0.1) for one observation.

Limits: the likelihood does not know the box: its maximum, `mle`, may lie outside.

Source: the task `gaussian_linear_uniform` of sbibm (Lueckmann, Boelts, Greenberg, Goncalves, Macke, AISTATS 2021).
"""

import dataclasses

import numpy as np

from avo.simulators.gaussian_linear import gaussian_linear
from avo.simulators.problem import Problem
from avo.simulators.register import Header
from avo.space import Interval, Space

HEADER = Header(
    summary="ten Gaussian numbers around their parameters, uniform prior",
    tags=("vector", "benchmark", "sbibm"),
    x_shape=(10,),
    parameters="theta1, theta2, theta3, theta4, theta5, theta6, theta7, theta8, theta9, theta10",
    x="x along coordinate",
)


def gaussian_linear_uniform() -> Problem:
    """Ten Gaussian numbers with means in a box: x ~ N(theta, 0.1 I).

    The maximum-likelihood estimate over m observations is their mean, with standard deviations sqrt(0.1 / m), where it
    lies inside the box. The prior of sbibm is uniform on the space.

    Returns:
        `Problem` with parameters theta1, ..., theta10 in (-1, 1) (no units); x has shape (10,).

    Example:
        >>> float(gaussian_linear_uniform().mle(np.full((3, 10), 1.5))[0])  # outside the box
        1.5
    """
    # Ours: the truth of sbibm's observation 1 lies at the edge, with values of 0.99.
    truth = [0.27, 0.68, 0.17, -0.04, -0.82, 0.02, -0.24, -0.16, -0.14, 0.55]
    return dataclasses.replace(
        gaussian_linear(),
        name="gaussian_linear_uniform",
        summary=HEADER.summary,
        space=Space(**{f"theta{i}": Interval(-1.0, 1.0) for i in range(1, 11)}),
        theta_true=np.array(truth),
        tags=HEADER.tags,
    )
