r"""A simulator's parameters of single signals by optimisation: least squares on its mean, many signals side by side.

A regression learned from simulations, `result.encode`, answers at once and is as exact as the regression. Optimisation
takes it as a start and makes the simulator's mean f pass through the signal itself,

    theta(x) = argmin over theta of S = |W (x - f(theta))|^2,    W = C^(-1/2)

C the covariance of x - f(theta) over simulations, in units of its size at their theta: the noise's shape, near the
identity for white noise (avo/latents/library.py). For Gaussian noise it is the maximum of the likelihood. The bounds of
the parameters hold (avo/refine/rowwise.py).

*Starts.* The regression; simulations of a library that look like the signal; then, twice, what served the signals most
like it. Of waves that overlap least squares has many local solutions, and a good one of one heartbeat is a good start
for the next.

*Errors*, with J = W df/dw on the scale w (avo/refine/linear.py), k values of x, V the mean of |W (x' - f)|^2 over
simulations x' at theta, and t = S / V the *misfit*, 1 - d / k on average where the model is right,

    Cov(w) = s^2 (J^T J)^-1 J^T (W C W) J (J^T J)^-1,    s^2 = V / tr(W C W) max(1, t / (1 - d / k))

so that a signal that the simulator cannot reproduce has errors as wide as what is left of it. Its p-value is the share
of simulations at such parameters whose own misfit, fitted likewise from where they were made, is larger.

Parameters that f does not depend on (of noise) keep what the regression says of them, and V and p trust it.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike, Bool, Float

from avo import checks
from avo.checks import one_of, whole
from avo.latents.cases import simulate
from avo.latents.library import Library
from avo.observations import validate_observations
from avo.refine.curve import root
from avo.refine.linear import WIDTH
from avo.refine.rowwise import MANY, RowSquares, all_ends
from avo.refine.statistic import apply
from avo.tables import aligned

if TYPE_CHECKING:
    from avo.simulators import Problem

NEAREST, MOST, STARTS = 4, 64, 2048  # simulations of the library to start from: of each signal, and of all together
REFERENCE = 400  # simulations, at least, whose misfit gives the p-values
SAME = 3.84  # by which S may be larger, in units of the noise, where another solution is as good: 95 % of a chi^2
APART = 4.0  # errors, between two solutions
DEAD = 1e-6  # of the largest slope: a parameter with less does not act on the mean
NULL = 1e-6  # of the largest eigenvalue of J^T J, its diagonal ones: directions that do not act

Noise = Literal["simulated", "equal"]


@dataclass(frozen=True, eq=False, repr=False)
class Explained:
    """What `Mechanistic.explain` says of signals.

    Args:
        names: of the parameters.
        theta: parameters, with shape (n, d).
        stderr: their errors; infinite where the signal does not tell.
        fitted: the simulator's mean at theta, with shape (n, *x_shape).
        explained: share of the signal's variance about its own mean (of each channel), with shape (n,).
        misfit: S / V: what is left over what noise leaves.
        p_value: share of simulations at such parameters with a larger misfit.
        tied: whether another solution, `APART` errors away, fits as well.
    """

    names: tuple[str, ...]
    theta: Float[np.ndarray, "n d"]
    stderr: Float[np.ndarray, "n d"]
    fitted: Float[np.ndarray, "n *x_shape"]
    explained: Float[np.ndarray, " n"]
    misfit: Float[np.ndarray, " n"]
    p_value: Float[np.ndarray, " n"]
    tied: Bool[np.ndarray, " n"]

    def __repr__(self) -> str:
        return f"Explained({len(self.theta):,} signals by {', '.join(self.names)})"

    def summary(self) -> str:
        """Write what is explained, over all signals, and each parameter's spread over them beside its error."""
        low, middle, high = np.quantile(self.explained, (0.05, 0.5, 0.95))
        lines = [["parameter", "median", "5 % to 95 % of signals", "error"]]
        for name, theta, stderr in zip(self.names, self.theta.T, self.stderr.T, strict=True):
            ends = np.quantile(theta, (0.05, 0.95))
            lines.append(
                [name, f"{np.median(theta):.4g}", f"{ends[0]:.4g} to {ends[1]:.4g}", f"{np.median(stderr):.2g}"]
            )
        words = [
            f"{len(self.theta):,} signals: the mean explains {middle:.1%} of a signal's variance (5 % to 95 % of "
            f"signals: {low:.1%} to {high:.1%})",
            f"misfit: {np.median(self.misfit):.3g} times what noise leaves; {np.mean(self.p_value < 0.01):.0%} of "
            "signals have p < .01, 1 % would if the simulator were right",
        ]
        if self.tied.any():
            words.append(f"another solution fits as well for {np.mean(self.tied):.0%} of signals")
        return "\n".join([*aligned(lines), "", *words])


class Mechanistic:
    """Describe signals by a simulator's parameters, each by optimisation on the simulator's mean.

    Args:
        problem: the simulator; where its mean is not known, it is learned from simulations (avo/latents/library.py).
        rows: simulations of the library, over the whole space: fewer where x is long.
        noise: "simulated": in units of the noise, of the shape that simulations have; "equal": plain least squares, all
            values of x alike.
        seed: of the library, the regression that starts, and the p-values.

    Raises:
        ValueError: if the problem takes inputs, has whole numbers or angles among its parameters, or a mean on which
            none of them acts.

    Example:
        >>> import avo
        >>> problem = avo.simulators.oscillator()
        >>> x = problem.simulate(jax.random.key(0), np.tile(problem.theta_true, (3, 1)))
        >>> found = avo.latents.Mechanistic(problem, rows=4000).explain(x)
        >>> bool(np.all(np.abs(found.theta - problem.theta_true) < 4 * found.stderr)), bool(found.explained.min() > 0.9)
        (True, True)
    """

    def __init__(self, problem: "Problem", *, rows: int = 20_000, noise: Noise = "simulated", seed: int = 0) -> None:
        self.problem, self.noise, self.seed = (
            problem,
            one_of("noise", noise, get_args(Noise)),
            checks.seed("seed", seed),
        )
        self.library = Library(problem, whole("rows", rows, least=1000), self.seed)
        self.line = self.library.line

    @cached_property
    def _squares(self) -> RowSquares:
        whiten = root(self.library.shape) if self.noise == "simulated" else None
        return RowSquares(self.library.curve, self.library.low, self.library.high, whiten)

    @cached_property
    def acting(self) -> Bool[np.ndarray, " d"]:
        """Which parameters the mean depends on, with shape (d,)."""
        slope = np.abs(self._squares.slope(self.library.w[:64])).max((0, 1))
        acting = slope > DEAD * slope.max()
        if not slope.max() > 0:
            names = ", ".join(self.problem.space.names)
            raise ValueError(
                f"problem must have a mean that depends on its parameters; that of {self.problem.name} does not depend "
                f"on {names}. Use avo.fit and result.encode."
            )
        return acting

    def encode(self, x: ArrayLike) -> Float[np.ndarray, "n d"]:
        """Find the parameters of signals, with shape (n, *x_shape): theta, with shape (n, d).

        Raises:
            ValueError: if x is not of the problem's shape, or not finite.
        """
        w, _, _ = self._solve(self._checked(x))
        return self._theta(w)

    def decode(self, theta: ArrayLike) -> Float[np.ndarray, "n *x_shape"]:
        """Compute the simulator's mean at parameters, with shape (n, d)."""
        if np.ndim(theta) != 2:
            raise ValueError(f"theta must have shape (n, {self.line.dim}); got {np.shape(theta)}.")
        u = np.asarray(self.problem.space.unconstrain(np.asarray(theta)), np.float64)
        return self._curve(np.clip(self.line.of(u), self.library.low, self.library.high))

    def explain(self, x: ArrayLike, draws: int = 16) -> Explained:
        """Find the parameters of signals, with their errors, what they explain, and whether noise explains the rest.

        Args:
            x: signals, with shape (n, *x_shape).
            draws: simulations of each at its parameters, which measure the noise there.

        Raises:
            ValueError: if x is not of the problem's shape, or not finite, or draws is below 4.
        """
        x, draws = self._checked(x), whole("draws", draws, least=4)
        w, square, others = self._solve(x)
        theta, fitted = self._theta(w), self._curve(w)
        level, sets = self._noise(w, draws, 1, first=min(draws, -(-REFERENCE // len(x))))
        misfit, reference = square / level, self._reference(w, sets, draws)
        larger = len(reference) - np.searchsorted(reference, misfit)
        covariance = self._covariance(w, misfit, level)
        stderr = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
        unit = np.maximum(level, square) / len(self.library.shape)
        return Explained(
            names=self.problem.space.names,
            theta=theta,
            stderr=self._rate(w) * stderr,
            fitted=fitted,
            explained=explained(x, fitted),
            misfit=misfit,
            p_value=(1 + larger) / (len(reference) + 1),
            tied=_tied(others, (w, square), stderr, unit),
        )

    def _checked(self, x: ArrayLike) -> np.ndarray:
        x = validate_observations(x, "x", 1)
        if x.shape[1:] != self.problem.x_shape:
            shape = ", ".join(map(str, ("n", *self.problem.x_shape)))
            raise ValueError(f"x must be signals of {self.problem.name}, shape ({shape}); got {x.shape}.")
        return x

    def _curve(self, w: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n *x_shape"]:
        return apply(self.library.curve, w).reshape(len(w), *self.problem.x_shape)

    def _theta(self, w: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
        return np.asarray(self.library.theta(w), np.float64)

    def _rate(self, w: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
        """Compute |d theta / dw|, each parameter's own."""
        _, rate = jax.jvp(self.library.theta, (jnp.asarray(w, float),), (jnp.ones(w.shape),))
        return np.abs(np.asarray(rate, np.float64))

    # --- the way ------------------------------------------------------------------------------------------------------

    def _solve(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray]]:
        """Descend from all starts: the best end of each row and its S, and all ends with theirs."""
        learned = self.library.learned(x)
        near = self.library.w[self.library.nearest(x, max(NEAREST, min(MOST, STARTS // len(x))))]
        starts = np.concatenate([learned[:, None], near], axis=1)
        w, square = all_ends(self._squares, x, starts, self.acting)
        at = np.argmin(square, axis=1)
        rows = np.arange(len(x))
        return w[rows, at], square[rows, at], (w, square)

    # --- what noise leaves --------------------------------------------------------------------------------------------

    def _noise(
        self, w: np.ndarray, draws: int, stage: int, first: int = 0
    ) -> tuple[Float[np.ndarray, " n"], list[np.ndarray]]:
        """Simulate at parameters: V, the mean of |W (x' - f)|^2, and the first so many sets of simulations."""
        key = jax.random.fold_in(jax.random.key(self.seed), stage)
        theta, left, kept = self._theta(w), [], []
        for i in range(draws):
            x = simulate(self.problem, jax.random.fold_in(key, i), theta)
            left.append(np.sum(self._squares.rest(x, w) ** 2, axis=1))
            kept += [x] if i < first else []
        level = np.stack(left)
        return np.nanmean(np.where(np.isfinite(level), level, np.nan), axis=0), kept

    def _reference(self, w: np.ndarray, sets: list[np.ndarray], draws: int) -> Float[np.ndarray, " r"]:
        """Compute the misfit of simulations at w as that of signals, from where they were made; sorted."""
        found = []
        for i, x in enumerate(sets):
            start = np.where(self.acting, w, self.library.learned(x))
            end, square = self._squares(x, start, MANY)
            found.append(square / self._noise(end, draws, i + 2)[0])
        return np.sort(np.concatenate(found))

    def _covariance(
        self, w: np.ndarray, misfit: Float[np.ndarray, " n"], level: Float[np.ndarray, " n"]
    ) -> Float[np.ndarray, "n d d"]:
        """Compute the covariance of w; infinite variances where a signal does not tell."""
        shape, whiten = self.library.shape, self._squares.whiten
        shape = shape if shape.ndim == 2 else np.diag(shape)
        if whiten is not None:
            W = np.diag(whiten) if whiten.ndim == 1 else np.asarray(whiten)
            shape = W @ shape @ W.T
        usual = max(1 - self.acting.sum() / len(shape), 1 / len(shape))
        scale = level / np.trace(shape) * np.maximum(1.0, misfit / usual)
        found = np.stack([_sandwich(J, shape, s) for J, s in zip(self._squares.slope(w), scale, strict=True)])
        still = np.flatnonzero(~self.acting)
        found[:, still] = found[:, :, still] = 0.0
        found[:, still, still] = self.library.learned_variance[still]
        return found


def explained(x: Float[np.ndarray, "n *x_shape"], fitted: Float[np.ndarray, "n *x_shape"]) -> Float[np.ndarray, " n"]:
    """Compute 1 - |x - f|^2 / |x - mean x|^2 of each signal, the mean over its values, of each channel apart.

    Example:
        >>> x = np.array([[1.0, 2.0, 3.0, 6.0]])
        >>> bool(explained(x, np.array([[1.0, 2.0, 4.0, 6.0]]))[0] == 1 - 1 / 14)
        True
    """
    total = np.sum((x - x.mean(1, keepdims=True)) ** 2, axis=tuple(range(1, x.ndim)))
    return 1 - np.sum((x - fitted) ** 2, axis=tuple(range(1, x.ndim))) / np.maximum(total, 1e-300)


def _sandwich(J: Float[np.ndarray, "k d"], shape: Float[np.ndarray, "k k"], scale: float) -> Float[np.ndarray, "d d"]:
    """Compute s^2 (J^T J)^-1 J^T C J (J^T J)^-1, infinite on the diagonal where J^T J or a range leaves w open.

    Example:
        >>> J = np.array([[2.0, 0.0, 0.0], [0.0, 5.0, 0.0]])
        >>> _sandwich(J, np.diag([1.0, 3.0]), 0.04).round(4).tolist()
        [[0.01, 0.0, 0.0], [0.0, 0.0048, 0.0], [0.0, 0.0, inf]]
    """
    size = np.sqrt(np.sum(J**2, axis=0))
    alive = size > DEAD * size.max(initial=0.0)
    unit = J / np.where(alive, size, 1.0) * alive
    values, vectors = np.linalg.eigh(unit.T @ unit)
    open_ = values < NULL * max(values[-1], 1e-300)
    inverse = vectors[:, ~open_] / values[~open_] @ vectors[:, ~open_].T
    covariance = scale * inverse @ unit.T @ shape @ unit @ inverse
    covariance /= np.outer(np.where(alive, size, 1.0), np.where(alive, size, 1.0))
    lost = (np.sum(vectors[:, open_] ** 2, axis=1) > 0.05) | (np.diagonal(covariance) > WIDTH**2)
    covariance[np.diag_indices(len(size))] = np.where(lost, np.inf, np.diagonal(covariance))
    return covariance


def _tied(
    others: tuple[np.ndarray, np.ndarray],
    best: tuple[np.ndarray, np.ndarray],
    stderr: Float[np.ndarray, "n d"],
    unit: Float[np.ndarray, " n"],
) -> Bool[np.ndarray, " n"]:
    """Say which rows have another end that is as good and far away."""
    w, square = others
    with np.errstate(invalid="ignore"):
        away = np.abs(w - best[0][:, None]) / np.maximum(stderr, 1e-12)[:, None]
    far = np.max(np.where(np.isfinite(away), away, 0.0), axis=2) > APART
    return np.any(far & (square < (best[1] + SAME * unit)[:, None]), axis=1)
