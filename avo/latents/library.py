r"""A simulator as `Mechanistic` holds it: its mean as a curve of w, and a library of simulations all over its space.

    f(w) = E[x | theta(w)],    x_i ~ p(. | theta_i),  theta_i from the wide start of a fit, N(0, 1.5^2) in u

The library gives a regression E[w | x], signals to compare others with, and the shape of the noise,

    C = mean over i and draws of e e^T,    e = (x - f(w_i)) / s_i,    s_i^2 the mean square of other draws at w_i

Where the mean is not known it is learned: the principal components of x regressed on w, as t is on x elsewhere
(avo/refine/statistic.py). So far as the regression is off, it counts as noise.
"""

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from avo.adversarial.proposals import START_SD
from avo.latents.cases import simulate
from avo.observations import Observed
from avo.refine.curve import learned_curve
from avo.refine.linear import EDGE, LinearSpace
from avo.refine.rowwise import small_ones
from avo.refine.statistic import Pairs, apply, learn_statistic

if TYPE_CHECKING:
    from avo.simulators import Problem

NUMBERS = 2**23  # of x in the library, at most
LEAST = 1000  # rows, however long x is
FULL = 512  # values of x whose noise has a full covariance
DRAWS, SHAPED = 5, 4096  # simulations at each of so many thetas of the library, which give the noise's shape
BY_CHANCE = 2.0  # times what squares of correlations are by chance, below which they are none
HELD = 1 / 8  # of the library, by which the regression's error is measured
FAILED = 0.5  # share of the library that may fail


class Library:
    """Simulations all over a problem's space, and what is learned from them, each part when it is first asked for."""

    def __init__(self, problem: "Problem", rows: int, seed: int) -> None:
        _refuse(problem)
        self.problem, self.seed = problem, seed
        self.line = LinearSpace(problem.space)
        # A step inside of where the map ends, at which it has no slope
        self.low, self.high = (
            np.where(np.isfinite(a), a + s * EDGE, a) for a, s in ((self.line.low, 1), (self.line.high, -1))
        )
        self.rows = max(LEAST, min(rows, NUMBERS // max(int(np.prod(problem.x_shape)), 1)))

    def theta(self, w: Any) -> Any:
        """Map w to theta, inside a compiled program or outside."""
        places: Any = jnp.asarray(w, float)
        return self.line.constrain(places)

    @cached_property
    def _drawn(self) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "n *x_shape"]]:
        key_u, key_x = jax.random.split(jax.random.key(self.seed))
        u = START_SD * jax.random.normal(key_u, (self.rows, self.line.dim))
        w = np.clip(self.line.of(np.asarray(u, np.float64)), self.low, self.high)
        x = simulate(self.problem, key_x, self.theta(w))
        ok = np.all(np.isfinite(x.reshape(len(x), -1)), axis=1)
        if ok.mean() < FAILED:
            raise ValueError(
                f"problem must work in most of its space; {self.problem.name} gave NaN or infinity in {np.sum(~ok)} of "
                f"{len(ok)} simulations."
            )
        return w[ok], x[ok]

    @property
    def w(self) -> Float[np.ndarray, "n d"]:
        """Where the simulations are."""
        return self._drawn[0]

    @property
    def x(self) -> Float[np.ndarray, "n *x_shape"]:
        """The simulations."""
        return self._drawn[1]

    @cached_property
    def curve(self) -> Callable[[Array], Array]:
        """The mean, as a function of w."""
        if self.problem.mean is None:
            return learned_curve(self.w, self.x, self.seed)
        mean = self.problem.mean
        return lambda w: mean(self.theta(w))

    @cached_property
    def _seen(self) -> tuple[Float[np.ndarray, "n k"], Float[np.ndarray, " n"]]:
        """The mean of every simulation, and its squared length."""
        f = apply(self.curve, self.w).reshape(len(self.w), -1)
        f = np.where(np.isfinite(f).all(1, keepdims=True), f, 0.0)
        return f, np.sum(f**2, axis=1)

    def nearest(self, x: np.ndarray, k: int) -> np.ndarray:
        """Find the simulations whose mean is nearest to each row, with shape (n, k): their places."""
        f, norms = self._seen
        flat = x.reshape(len(x), -1)
        parts = [small_ones(norms[None] - 2 * some @ f.T, k) for some in np.array_split(flat, -(-len(flat) // LEAST))]
        return np.concatenate(parts)

    @cached_property
    def _regression(self) -> tuple[Any, np.ndarray, np.ndarray]:
        """E[w | x] in standard units, and these: middle and size of w."""
        middle, size = self.w.mean(0), self.w.std(0)
        n = len(self.w) - int(HELD * len(self.w))
        z = (self.w - middle) / size
        t = learn_statistic(jax.random.key(self.seed), Observed(self.x), Pairs(z[:n], self.x[:n], y=z[:n]))
        return t, middle, size

    def learned(self, x: np.ndarray) -> Float[np.ndarray, "n d"]:
        """Compute E[w | x], inside the bounds."""
        t, middle, size = self._regression
        return np.clip(middle + size * apply(t, x), self.low, self.high)

    @cached_property
    def learned_variance(self) -> Float[np.ndarray, " d"]:
        """Mean squared error of that on simulations it was not learned from."""
        held = int(HELD * len(self.w))
        return np.mean((self.w[-held:] - self.learned(self.x[-held:])) ** 2, axis=0)

    @cached_property
    def shape(self) -> Float[np.ndarray, "k k"]:
        """C of the module's docstring; its diagonal alone where x has more than `FULL` values."""
        n, key = min(len(self.w), NUMBERS // (DRAWS * self._seen[0].shape[1]), SHAPED), jax.random.key(self.seed)
        theta = self.theta(self.w[:n])
        draws = [simulate(self.problem, jax.random.fold_in(key, i), theta).reshape(n, -1) for i in range(DRAWS)]
        rest = np.stack(draws) - self._seen[0][:n]
        return noise_shape(rest[:, np.isfinite(rest).all((0, 2))])


def noise_shape(rest: Float[np.ndarray, "draws n k"]) -> Float[np.ndarray, "k k"]:
    """Compute the covariance of residuals, in units of their size at the same theta, and with a mean variance of one.

    A residual's own size would not do as a unit: of correlated noise the largest rows would count least.

    Where correlations scatter about zero as they do by chance, root mean square 1 / sqrt(n), it is the diagonal alone,
    which costs less; so it is of more than `FULL` values.

    Args:
        rest: several residuals at each of n thetas.

    Example:
        >>> rest = np.array([[[3.0, -3.0]] + 19 * [[0.5, 0.5]]])
        >>> noise_shape(np.concatenate([rest, -rest])).round(3).tolist()
        [[1.0, 0.9], [0.9, 1.0]]
        >>> white = np.random.default_rng(0).normal(size=(5, 100, 2))
        >>> noise_shape(white).shape, noise_shape(0 * white).tolist()
        ((2,), [1.0, 1.0])
    """
    draws, _, k = rest.shape
    square = np.mean(rest**2, axis=2)
    level = (square.sum(0) - square) / (draws - 1)  # of the other draws
    some = level > 1e-18 * max(level.max(initial=0.0), 1e-300)
    if not some.any() or not level.max() > 0:
        return np.ones(k)
    unit = rest[some] / np.sqrt(level[some])[:, None]
    unit /= np.sqrt(np.mean(unit**2))
    variance = np.mean(unit**2, axis=0)
    if k > FULL or k == 1:
        return variance
    shape, sd = unit.T @ unit / len(unit), np.sqrt(np.maximum(variance, 1e-300))
    square = np.sum((shape / np.outer(sd, sd)) ** 2) - k
    return variance if square / (k * (k - 1)) < BY_CHANCE / len(unit) else shape


def _refuse(problem: "Problem") -> None:
    """Refuse problems that have no curve of w."""
    if problem.inputs is not None:
        raise ValueError(f"problem must take no inputs; {problem.name} takes {' and '.join(problem.inputs.names)}.")
    unsuited = problem.space.counts | problem.space.angles
    if unsuited.any():
        names = ", ".join(np.array(problem.space.names)[unsuited])
        raise ValueError(
            f"problem must have parameters that x follows smoothly, no counts and no angles; got {names}. Fix them in "
            "a problem of its own, or use avo.fit and result.encode."
        )
