"""Simulators outside JAX that tests share, in a file of their own: a worker that calls them imports NumPy alone."""

import time

import numpy as np


def row(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
    """Ten draws from N(mean, sd^2)."""
    return rng.normal(theta[0], theta[1], 10)


def slow(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
    """The same, in 2 ms."""
    time.sleep(0.002)
    return row(rng, theta)


def rows(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
    """Ten draws for each of many theta."""
    return rng.normal(theta[:, :1], theta[:, 1:], (len(theta), 10))


def three(rng: np.random.Generator, theta: np.ndarray, *c: np.ndarray) -> np.ndarray:
    """Three draws, whose mean a known condition shifts."""
    return rng.normal(theta[0] + sum(map(np.sum, c)), theta[1], size=3)


def threes(rng: np.random.Generator, theta: np.ndarray, *c: np.ndarray) -> np.ndarray:
    """Three draws for each of many theta."""
    return rng.normal(theta[:, :1] + sum(c), theta[:, 1:], size=(len(theta), 3))


def hangs(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
    """Never end where theta is large."""
    while theta[0] > 1.9:
        time.sleep(0.01)
    return three(rng, theta)


def fails(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
    """Fail in one of five ways, by theta[0]."""
    x, way = three(rng, np.array([1.0, 1.0])), int(theta[0])
    if way == 1:
        raise ZeroDivisionError("no water")
    if way == 4:
        return x[:2]
    return x + {2: np.nan, 3: -1e31, 5: np.inf}.get(way, 0.0)


def whole(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
    """A draw about each parameter but the first, which are whole numbers."""
    assert np.array_equal(theta[1:], np.round(theta[1:]))
    return theta[1:] + 0.1 * rng.normal(size=2)
