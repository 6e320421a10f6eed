"""What the data allow: Fisher information and maximum-likelihood estimates of the benchmark's tasks.

With the information F(theta) = E[score score^T] of one observation, the maximum-likelihood estimate over m of them has
covariance (m F)^-1; its standard deviations are the *floor* that the suite divides errors by. F is

    exact      where a formula is known: poisson, linear5, brownian, geometric_brownian; by quadrature epem, epem2; for
               values with independent normal errors of mean f and sd s, pendulum, ecg and the logarithms of
               lotka_volterra, F = J^T J / s^2 + 2 n grad log s grad log s^T with J = df / dtheta; for binomial counts,
               sir, F = J^T diag(1 / (N p (1 - p))) J
    simulated  from the log density, its score by central differences in u, averaged over 5000 simulations (1 % of the
               standard deviation): ornstein_uhlenbeck, merton, cir, g_and_k
    replaced   where no density can be written: mg1, detector. There F = A^T V^-1 A with features h(x), A = dE[h] / du
               and V = Cov[h]: the inverse covariance of the best weighted estimate from the means of these features. It
               is no bound. An estimate may be better.

All here is in double precision, whatever the simulator runs in.
"""

import math
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from avo.simulators.epem import asymmetry
from avo.simulators.lotka_volterra import NOISE, log_populations
from avo.simulators.problem import Problem
from avo.simulators.sir import TESTED, infected
from avo.space import Space

SIMULATIONS = 5000  # for the score's covariance
MOMENTS = 20_000  # for the means and the covariance of features
STEP, FEATURE_STEP = 1e-4, 0.05  # of central differences, in u
CLOSE = 1e-3  # standard deviations from the maximum, at which it counts as found


def constrain(space: Space, u: Float[np.ndarray, "*n d"]) -> Float[np.ndarray, "*n d"]:
    """Map u to theta in double precision."""
    with jax.enable_x64(True):
        return np.asarray(space.constrain(jnp.asarray(u, float)))


def unconstrain(space: Space, theta: Float[np.ndarray, "*n d"]) -> Float[np.ndarray, "*n d"]:
    """Map theta to u in double precision."""
    with jax.enable_x64(True):
        return np.asarray(space.unconstrain(jnp.asarray(theta, float)))


@cache
def _double(function: Callable) -> Callable[..., np.ndarray]:
    """Compile a JAX function for double precision."""
    compiled = jax.jit(function)

    def call(*arguments: Any) -> np.ndarray:
        with jax.enable_x64(True):
            return np.asarray(compiled(*(jnp.asarray(a, float) for a in arguments)))

    return call


def log_density(problem: Problem, theta: Float[np.ndarray, " d"], x: Float[np.ndarray, "n *x_shape"]) -> np.ndarray:
    """Compute a problem's `log_prob` in double precision, with shape (n,)."""
    assert problem.log_prob is not None
    return _double(problem.log_prob)(theta, x)


# --- information of one observation about theta ----------------------------------------------------------------------


def _step(problem: Problem) -> tuple[int, float]:
    points = problem.x_shape[0]
    return points, float(problem.axes[0].values[-1]) / points


def _normal_errors(problem: Problem) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Mean and standard deviation, JAX functions of theta, of x or of its logarithm with independent normal errors."""
    if problem.name == "lotka_volterra":
        return log_populations, lambda theta: NOISE + 0.0 * theta[0]
    assert problem.mean is not None
    mean: Callable = problem.mean
    if problem.name == "pendulum":  # 0.05 rad
        return mean, lambda theta: 0.05 + 0.0 * theta[0]
    return mean, lambda theta: 0.1 * jnp.sqrt(jnp.mean(mean(theta) ** 2))  # ecg: 20 dB below the waveform


@cache
def _normal_parts(problem: Problem) -> tuple[Callable[..., np.ndarray], Callable[..., np.ndarray]]:
    """Compile (mean, sd) and their derivatives."""
    mean, sd = _normal_errors(problem)

    def both(theta: Any) -> Any:
        return jnp.concatenate([mean(theta).ravel(), jnp.log(sd(theta))[None]])

    return _double(both), _double(jax.jacobian(both))


def _by_formula(problem: Problem, theta: np.ndarray) -> np.ndarray | None:
    """Fisher information of one observation about theta, with shape (d, d), where a formula is known."""
    name = problem.name
    if name == "poisson":
        return np.array([[1.0 / theta[0]]])
    if name == "linear5":
        return np.diag([1.0, 1.0 / 9.0])
    if name == "brownian":
        points, dt = _step(problem)
        return np.diag([points * dt, 2.0 * points]) / theta[1] ** 2
    if name == "geometric_brownian":
        points, dt = _step(problem)
        drift = np.array([1.0, -theta[1]])  # of the mean of a return, per dt
        return points * (dt * np.outer(drift, drift) + np.diag([0.0, 2.0])) / theta[1] ** 2
    if name in ("epem", "epem2"):
        energies = [theta] if name == "epem" else [theta, theta + np.array([10.0, 0.0])]
        return sum((_epem_information(energy) for energy in energies), np.zeros((2, 2)))
    if name in ("pendulum", "ecg", "lotka_volterra"):
        values, slopes = (part(theta) for part in _normal_parts(problem))
        j, g = slopes[:-1], slopes[-1]
        return j.T @ j / np.exp(2 * values[-1]) + 2 * len(j) * np.outer(g, g)
    if name == "sir":
        p = np.clip(_double(infected)(theta), 1e-12, 1 - 1e-12)
        j = _double(_infected_slope)(theta)
        return j.T @ (j * (TESTED / (p * (1 - p)))[:, None])
    return None


_infected_slope = jax.jacobian(infected)
_asymmetry_slope = jax.jacobian(asymmetry)


_nodes = cache(np.polynomial.legendre.leggauss)


def _epem_information(theta: np.ndarray) -> np.ndarray:
    """Integrate 3/8 x^2 / (1 + x^2 + a x) over x: the information about a; then that about theta."""
    nodes, weights = _nodes(300)
    a, slope = float(_double(asymmetry)(theta)), _double(_asymmetry_slope)(theta)
    return 3.0 / 8.0 * np.sum(weights * nodes**2 / (1.0 + nodes**2 + a * nodes)) * np.outer(slope, slope)


def simulate(problem: Problem, theta: Float[np.ndarray, " d"], n: int, key: Any) -> np.ndarray:
    """Simulate n observations at one theta, in single precision as users do."""
    return np.asarray(jitted(problem.simulate)(key, jnp.tile(jnp.asarray(theta, jnp.float32), (n, 1))))


@cache
def jitted(function: Callable) -> Callable:
    """Compile a function once."""
    return jax.jit(function)


def scores(
    problem: Problem, u: Float[np.ndarray, " d"], x: Float[np.ndarray, "n *x_shape"]
) -> Float[np.ndarray, "n d"]:
    """Compute the derivatives of each observation's log density with respect to u, by central differences."""
    columns = []
    for step in STEP * np.eye(len(u)):
        high, low = (log_density(problem, constrain(problem.space, end), x) for end in (u + step, u - step))
        columns.append((high - low) / (2 * STEP))
    return np.stack(columns, 1)


def by_simulation(problem: Problem, u: Float[np.ndarray, " d"], n: int = SIMULATIONS) -> Float[np.ndarray, "d d"]:
    """Average score score^T over simulations: the Fisher information of one observation about u."""
    score = scores(problem, u, simulate(problem, constrain(problem.space, u), n, jax.random.key(2**22)))
    return score.T @ score / n


def by_features(
    problem: Problem, u: Float[np.ndarray, " d"], features: Callable[[np.ndarray], np.ndarray], n: int = MOMENTS
) -> Float[np.ndarray, "d d"]:
    """Compute A^T V^-1 A from the means of features, with random numbers in common: information about u."""
    key = jax.random.key(2**22 + 1)

    def at(u: np.ndarray) -> np.ndarray:
        return features(simulate(problem, constrain(problem.space, u), n, key))

    A = np.stack([(at(u + s) - at(u - s)).mean(0) / (2 * FEATURE_STEP) for s in FEATURE_STEP * np.eye(len(u))], 1)
    V = np.cov(at(u).T)
    scale = np.sqrt(np.maximum(np.diag(V), 1e-300))
    W = np.linalg.pinv(V / np.outer(scale, scale), rcond=1e-8, hermitian=True)
    return (A / scale[:, None]).T @ W @ (A / scale[:, None])


def information(
    problem: Problem, u: Float[np.ndarray, " d"], features: Callable[[np.ndarray], np.ndarray] | None = None
) -> Float[np.ndarray, "d d"]:
    """Compute what one observation tells about u: by formula, by simulated scores, or by the means of features."""
    theta = constrain(problem.space, u)
    known = _by_formula(problem, theta)
    if known is not None:
        slope = slopes(problem.space, u)
        return known * np.outer(slope, slope)
    if problem.log_prob is not None:
        return by_simulation(problem, u)
    assert features is not None
    return by_features(problem, u, features)


def slopes(space: Space, u: Float[np.ndarray, " d"]) -> Float[np.ndarray, " d"]:
    """Compute d theta / d u of each parameter."""
    with jax.enable_x64(True):
        return np.diag(np.asarray(jax.jacobian(space.constrain)(jnp.asarray(u, float)))).copy()


def covariance(F: Float[np.ndarray, "d d"], m: int) -> Float[np.ndarray, "d d"]:
    """Invert m F; directions without information get none, so look only at what depends on the others.

    Parameters differ in unit, so the correlation matrix is inverted.
    """
    scale = np.sqrt(np.maximum(np.diag(F), 1e-300))
    return np.linalg.pinv(F / np.outer(scale, scale), rcond=1e-12, hermitian=True) / np.outer(scale, scale) / m


class Maximum(NamedTuple):
    """A maximum of the likelihood: u, and the covariance of the estimate."""

    u: Float[np.ndarray, " d"]
    covariance: Float[np.ndarray, "d d"]


def maximise(
    problem: Problem, x_obs: Float[np.ndarray, "m *x_shape"], start: Float[np.ndarray, " d"], most: int = 50
) -> Maximum:
    """Maximise the likelihood by Fisher scoring from a start near the maximum, the truth.

        u <- u + (m F)^-1 sum of scores,    halved until the likelihood does not fall

    Raises:
        RuntimeError: if the maximum is not reached.
    """
    m = len(x_obs)
    known = covariance(information(problem, start), m)

    def likelihood(u: np.ndarray) -> float:
        return float(log_density(problem, constrain(problem.space, u), x_obs).sum())

    u, now = start, likelihood(start)
    for _ in range(most):
        slope = scores(problem, u, x_obs).sum(0)
        move = known @ slope
        if move @ slope < CLOSE**2 * len(u):
            return Maximum(u, known)
        while not likelihood(u + move) >= now and math.hypot(*move) > 1e-9:
            move = move / 2
        u = u + move
        now = likelihood(u)
    raise RuntimeError(f"no maximum of the likelihood of {problem.name} within {most} steps")
