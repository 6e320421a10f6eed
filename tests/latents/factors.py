"""Factors and codes with known answers, which the tests of all scores share."""

import numpy as np

RNG = np.random.default_rng
GRID = np.stack(np.meshgrid(np.arange(20.0), np.arange(20.0)), axis=-1).reshape(-1, 2)


def turn(degrees: float) -> np.ndarray:
    a = np.deg2rad(degrees)
    return np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])


def uniform(n: int = 2000, d: int = 3, seed: int = 0) -> np.ndarray:
    """Factors away from zero and of unequal scales."""
    return RNG(seed).uniform(-1, 1, (n, d)) * np.geomspace(0.03, 20, d) + 1.3
