"""The samples of `avo.check`: each row has a theta, and noise that knows nothing of it."""

from typing import Any

import jax
import numpy as np

from avo.diagnostics.samples import draw_sample, observed_sample


def test_the_noise_of_a_sample_is_independent_of_its_thetas() -> None:
    """Of 2000 pairs of independent numbers the correlation is zero within 4 / sqrt(2000)."""
    thetas = []

    def draw(key: Any, rows: int) -> Any:
        thetas.append(jax.random.normal(key, (rows, 2)))
        return thetas[0]

    def simulate(key: Any, theta: Any) -> Any:
        return 3.0 * theta + jax.random.normal(key, theta.shape)

    found = draw_sample(simulate, observed_sample(np.zeros((1000, 2)), None), draw, jax.random.key(5))
    theta = np.asarray(thetas[0], float)
    noise = found.x - 3.0 * theta
    assert np.all(found.ok) and abs(noise.std() - 1) < 4 / np.sqrt(2 * noise.size)
    assert abs(np.corrcoef(theta.ravel(), noise.ravel())[0, 1]) < 4 / np.sqrt(noise.size)
