"""Simulators in NumPy for many rows at once, as fast as we could write them: what an expert would use instead.

Where a step needs the one before, arrays lie in memory by time and then by row, so that it works on contiguous numbers.
They are in single precision, as the library's are, but for SciPy's elliptic functions. No step allocates more than it
must.
"""

import math

import numpy as np
from scipy import special


def brownian(rng: np.random.Generator, drift: float, spread: float, rows: int, steps: int) -> np.ndarray:
    """Draw Brownian paths over a unit of time by cumulated increments, with shape (rows, steps)."""
    dt = 1.0 / steps
    increments = rng.standard_normal((rows, steps), dtype=np.float32)
    increments *= np.float32(spread * math.sqrt(dt))
    increments += np.float32(drift * dt)
    return np.cumsum(increments, axis=1, out=increments)


def geometric(rng: np.random.Generator, drift: float, spread: float, rows: int, steps: int, order: float) -> np.ndarray:
    """Draw dX = drift X dt + spread X dW from 1, step by step: Euler-Maruyama (order 0.5) or Milstein (1)."""
    dt, x = 1.0 / steps, np.ones(rows, np.float32)
    mu, sigma, path = np.float32(drift * dt), np.float32(spread), np.empty((steps, rows), np.float32)
    shocks = rng.standard_normal((steps, rows), dtype=np.float32)
    shocks *= np.float32(math.sqrt(dt))
    for w, out in zip(shocks, path, strict=True):
        noise = sigma * x
        change = noise * w
        if order == 1:
            w *= w
            w -= np.float32(dt)
            noise *= np.float32(0.5) * sigma
            noise *= w
            change += noise
        change += mu * x
        x = np.add(x, change, out=out)
    return path.T


def pendulum(w0_sq: float, angle: np.ndarray, velocity: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Solve pendulums without losses, |angle| < pi, by SciPy's elliptic functions, with shape (rows, points)."""
    w0, out = math.sqrt(w0_sq), np.empty((len(angle), len(times)))
    speed = velocity / (2.0 * w0)
    k_sq = speed**2 + np.sin(angle / 2.0) ** 2
    swings = k_sq < 1.0
    start = special.ellipkinc(np.arctan2(np.sin(angle[swings] / 2.0), speed[swings]), k_sq[swings])
    sn = special.ellipj(w0 * times + start[:, None], k_sq[swings, None])[0]
    out[swings] = 2.0 * np.arcsin(np.sqrt(k_sq[swings, None]) * sn)
    turns = ~swings
    m = 1.0 / k_sq[turns]
    start = special.ellipkinc(angle[turns] / 2.0, m)
    rate = np.sign(speed[turns]) * w0 * np.sqrt(k_sq[turns])
    out[turns] = 2.0 * special.ellipj(rate[:, None] * times + start[:, None], m[:, None])[3]
    return out


def queues(rng: np.random.Generator, theta: np.ndarray, rows: int, points: int) -> np.ndarray:
    """Simulate queues by Lindley's recursion, v = s + max(0, v - w), y = s + max(0, w - v): (rows, points)."""
    shortest, spread, rate = theta.astype(np.float32)
    waits = rng.standard_exponential((points, rows), dtype=np.float32)
    waits /= rate
    service = rng.random((points, rows), dtype=np.float32)
    service *= spread
    service += shortest
    stay = np.zeros(rows, np.float32)
    for wait, needed in zip(waits, service, strict=True):
        wait -= stay  # above zero where the server is idle
        np.minimum(wait, 0.0, out=stay)
        np.maximum(wait, 0.0, out=wait)
        np.subtract(needed, stay, out=stay)
        wait += needed
    return np.ascontiguousarray(waits.T)


def infected(beta: np.ndarray, gamma: np.ndarray, step: float, held: int, points: int) -> np.ndarray:
    """Solve epidemics by Runge-Kutta steps, fractions of infected at `points` times, with shape (points, rows)."""
    beta, gamma = beta.astype(np.float32), gamma.astype(np.float32)
    s, i = np.full_like(beta, 1.0 - 1e-6), np.full_like(beta, 1e-6)
    h, half, sixth = (np.float32(v) for v in (step, step / 2.0, step / 6.0))

    def rate(s: np.ndarray, i: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        new = beta * s
        new *= i
        return new, new - gamma * i  # the first is minus the rate of s

    kept = [i]
    for _ in range(points - 1):
        for _ in range(held):
            a, b = rate(s, i)
            c, d = rate(s - half * a, i + half * b)
            e, f = rate(s - half * c, i + half * d)
            g, k = rate(s - h * e, i + h * f)
            c += e
            c *= np.float32(2.0)
            c += a
            c += g
            c *= sixth
            d += f
            d *= np.float32(2.0)
            d += b
            d += k
            d *= sixth
            s, i = s - c, i + d
        kept.append(i)
    return np.stack(kept)
