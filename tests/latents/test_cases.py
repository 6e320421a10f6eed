"""The systems of the comparison are drawn where they say, and take signals from outside the model."""

import jax.numpy as jnp
import numpy as np

from avo.latents import cases


def test_cases_are_drawn_where_they_say() -> None:
    for name in cases.NAMES:
        case = cases.get(name)
        theta, x = cases.draw(case.problem, 300, cases.TRAINED, 5)
        u = np.asarray(case.problem.space.unconstrain(jnp.asarray(theta)))
        at = 1 / (1 + np.exp(-u))
        assert at.min() >= 0.1 - 1e-6 and at.max() <= 0.6 + 1e-6 and at.min() < 0.12 and at.max() > 0.58
        assert x.shape == (300, *case.problem.x_shape) and np.isfinite(x).all()
        outside = case.outside(50, 3)
        assert outside.shape == (50, *case.problem.x_shape) and np.isfinite(outside).all()
        assert case.suited(outside).x_shape == case.problem.x_shape
