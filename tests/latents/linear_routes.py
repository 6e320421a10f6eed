"""Signals that are linear in their parameters, and routes that are known exactly."""

import jax
import numpy as np

from avo.latents.routes import Route

T = np.linspace(0.0, 1.0, 30)
SLOPE = np.stack([T, 1 - T**2, np.cos(5 * T)])  # x = theta SLOPE + noise


def signals(n: int, seed: int, noise: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    theta = rng.uniform([1.0, -2.0, 0.3], [2.0, 4.0, 0.9], (n, 3))
    return theta, theta @ SLOPE + noise * rng.normal(size=(n, len(T)))


def exact(own: bool = True, sd: float | None = None) -> Route:
    """Codes that are theta, or twice theta in another order."""
    turn = np.eye(3) if own else 2 * np.eye(3)[[1, 2, 0]]
    back = np.linalg.pinv(SLOPE)
    return Route(
        "exact",
        lambda x: x @ back @ turn,
        lambda z: z @ np.linalg.inv(turn) @ SLOPE,
        lambda key, n: signals(n, int(jax.random.randint(key, (), 0, 1000)))[1],
        own,
        None if sd is None else lambda x: np.full((len(x), 3), sd),
    )


def mean(theta: np.ndarray) -> np.ndarray:
    return theta @ SLOPE
