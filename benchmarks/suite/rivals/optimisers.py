"""Rivals that search for the theta whose simulations look most like the observations.

All work on positions in the unit cube and see the task's `summary` of each observation, scaled by the observed median
and quartiles. CMA-ES and differential evolution minimise the sliced Wasserstein distance of order 2 between a simulated
set and the observations,

    SW^2 = mean over 50 fixed directions of the squared distance of quantiles along each,

with sets smaller than m where the budget is small: `draws` says how small. Simulated moments minimise

    (s(theta) - s_obs)^T W (s(theta) - s_obs),    W the inverse covariance of s_obs,

s the means, spreads and quantiles of the summaries, without those that no bootstrap sample changes and without the
quantiles of counts: the best of random thetas, Gauss-Newton with random numbers in common, and a last step
theta - (A^T W A)^-1 A^T W (s - s_obs) from the M calls that are left, half of all, at a single theta. Its errors are
those of the method (McFadden, Econometrica 57, 1989): (A^T W A)^-1 (1 + m / M).
"""

# pyright: reportMissingImports=false
# cma is optional.

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from scipy import optimize, stats

from avo.benchmarks.suite.methods import Answer, Simulator, Spent, stderr_at, theta_at
from avo.space import Space

DIRECTIONS = 50
EVALUATIONS = 200  # of the distance, at least; more where a set of m allows it
# Of CMA-ES: that number of its first sets would spend the budget, if they are not of the least size; later ones grow
FIRST, GROWTH = 1000, 10.0
LEAST = 32  # draws of a set
FEWEST = 4  # draws of a set of moments'
SEARCH, GAUSS_NEWTON = 0.2, 0.2  # of the calls; what these leave of one half is the Jacobian's
ROUNDS = 6  # of Gauss-Newton, at most
DIFFERENCE = 0.01  # of positions, to 0.02
UNKNOWN = 0.25  # standard deviation of a position that says nothing


class Scaled:
    """Summaries in units of the observed ones: median 0, quartiles at -0.674 and 0.674."""

    def __init__(self, observed: Float[np.ndarray, "m k"]) -> None:
        low, self.shift, high = np.percentile(observed, [25, 50, 75], axis=0)
        spread = (high - low) / 1.349
        self.scale = np.where(spread > 0, spread, np.maximum(observed.std(0), 1e-12))

    def __call__(self, z: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
        return np.nan_to_num((z - self.shift) / self.scale, nan=1e3, posinf=1e3, neginf=-1e3)


def distance(observed: Float[np.ndarray, "m k"], seed: int) -> Callable[[np.ndarray], float]:
    """Make the sliced Wasserstein distance of a set from the observed one, with fixed directions."""
    import ot

    rng, k = np.random.default_rng(seed), observed.shape[1]
    directions = rng.normal(size=(k, DIRECTIONS)) if k > 1 else np.ones((1, 1))
    directions = directions / np.linalg.norm(directions, axis=0)
    return lambda z: np.asarray(ot.sliced_wasserstein_distance(z, observed, projections=directions, p=2)).item()


def draws(budget: int, m: int, evaluations: int = EVALUATIONS) -> int:
    """Choose the size of simulated sets: up to m, as many evaluations as are needed at least."""
    return int(np.clip(budget // evaluations, min(LEAST, m), m))


def _objective(
    simulate: Simulator, x_obs: np.ndarray, seed: int, stream: int | None
) -> Callable[[np.ndarray, int], float]:
    """Make the distance at a position, from a set of so many rows."""
    observed = simulate.summary(x_obs)
    scaled = Scaled(observed)
    far = distance(scaled(observed), seed)
    return lambda position, rows: far(scaled(simulate.at(position, rows, stream)))


def cma_es(simulate: Simulator, x_obs: np.ndarray, space: Space, budget: int, seed: int) -> Answer:
    """Minimise by CMA-ES with fresh random numbers, and sets that grow; the answer is the mean of its distribution."""
    import cma

    d, m = space.dim, len(x_obs)
    rows = few = draws(budget, m, FIRST)
    loss = _objective(simulate, x_obs, seed, None)
    # CMA-ES takes no single variable: a second, unused one goes along
    options = {"bounds": [0, 1], "seed": seed + 1, "verbose": -9, "maxfevals": 10**9, "tolflatfitness": 50}
    search = cma.CMAEvolutionStrategy(max(d, 2) * [0.5], 0.25, options)
    # The last generation takes what is left, if that are sets of some use
    while (rows := min(rows, simulate.left // search.popsize)) >= min(LEAST, few):
        points = search.ask()
        search.tell(points, [loss(np.array(p[:d]), rows) for p in points])
        simulate.note(theta_at(space, search.result.xfavorite[:d]))
        rows = int(min(few * GROWTH ** (simulate.calls / budget), m))
    if simulate.best is None:
        raise RuntimeError(f"{budget} calls hold no generation of {search.popsize} sets of {few}")
    return simulate.best


def evolution(simulate: Simulator, x_obs: np.ndarray, space: Space, budget: int, seed: int) -> Answer:
    """Minimise by differential evolution with random numbers in common, without which its best is a lucky one."""
    d, rows = space.dim, draws(budget, len(x_obs))
    loss = _objective(simulate, x_obs, seed, 0)
    best = [np.inf]

    def watched(position: np.ndarray) -> float:
        value = loss(position, rows)
        if value < best[0]:
            best[0] = value
            simulate.note(theta_at(space, position))
        return value

    try:
        optimize.differential_evolution(
            watched, d * [(0.0, 1.0)], popsize=10, maxiter=10**6, tol=0.0, polish=False, rng=seed, init="sobol"
        )
    except Spent:
        pass
    assert simulate.best is not None
    return simulate.best


def statistics(z: Float[np.ndarray, "... n k"], octiles: bool = True) -> Float[np.ndarray, "... q"]:
    """Describe sets of summaries: means and log spreads of each column, and its octiles where columns are few."""
    spread = np.log(np.maximum(z.std(-2), 1e-6))
    parts = [z.mean(-2), spread]
    if octiles and z.shape[-1] <= 4:
        parts += list(np.quantile(z, np.arange(1, 8) / 8, axis=-2))
    return np.concatenate(parts, -1)


def _weighted(simulate: Simulator, x_obs: np.ndarray, rng: np.random.Generator) -> Callable[..., np.ndarray]:
    """Make the residual V^-1/2 (s - s_obs) at a position, from a set of so many rows; V by the bootstrap of x_obs."""
    observed, m = simulate.summary(x_obs), len(x_obs)
    scaled = Scaled(observed)
    z = scaled(observed)

    def s(z: np.ndarray) -> np.ndarray:
        return statistics(z, octiles=not simulate.discrete)  # of counts they are steps, with no slope

    again = np.stack([s(z[rng.integers(m, size=m)]) for _ in range(max(200, 4 * len(s(z))))])
    kept = again.std(0) > 1e-6  # the others are the same whatever is drawn, and would outweigh all
    V = np.atleast_2d(np.cov(again[:, kept].T))
    root = np.linalg.cholesky(np.linalg.inv(V + 1e-4 * np.diag(np.diag(V)))).T
    return lambda position, rows, stream: root @ (s(scaled(simulate.at(position, rows, stream))) - s(z))[kept]


def moments(simulate: Simulator, x_obs: np.ndarray, space: Space, budget: int, seed: int) -> Answer:
    """Match simulated moments: the best of random positions, Gauss-Newton from there, and a last step from a large set.

    Half of the calls find a place and the Jacobian A there; all others are simulated at that place. The last step is
    the pseudo-inverse of A without directions that would be known to less than a quarter of the range.
    """
    d, m, rng = space.dim, len(x_obs), np.random.default_rng(seed)
    residual = _weighted(simulate, x_obs, rng)
    few = int(np.clip(budget // 500, min(16, m), m))
    starts = stats.qmc.Halton(d, rng=seed).random(max(int(SEARCH * budget) // few, 8))
    place = min(starts, key=lambda p: float(np.sum(residual(p, few, 0) ** 2)))
    simulate.note(theta_at(space, place))
    rows = max(int(GAUSS_NEWTON * budget) // (ROUNDS * (d + 1)), FEWEST)
    # Shifted by 1, since steps of the differences are relative
    found = optimize.least_squares(
        lambda q: residual(q - 1, rows, 1), np.clip(place, 0.01, 0.99) + 1, bounds=(1, 2),
        diff_step=DIFFERENCE, max_nfev=ROUNDS,
    )  # fmt: skip
    place = found.x - 1
    best = simulate.note(theta_at(space, place))
    rows = (budget // 2 - (budget - simulate.left)) // (d + 1)
    if rows < FEWEST:
        return best
    steps = np.where(place < 0.5, DIFFERENCE, -DIFFERENCE)
    base = residual(place, rows, 2)
    A = np.stack([residual(place + s, rows, 2) - base for s in np.diag(steps)], 1) / steps
    M = simulate.left
    U, w, V = np.linalg.svd(A, full_matrices=False)
    known = w > 1 / UNKNOWN
    place = np.clip(place - (U[:, known].T @ residual(place, M, 3) / w[known]) @ V[known], 0.0, 1.0)
    spread = (1 / np.maximum(w, 1e-6) ** 2) @ V**2 * (1 + m / M)
    return simulate.note(theta_at(space, place), stderr_at(space, place, np.sqrt(spread)))
