"""Least squares of single signals, many side by side: which w makes a curve f(w) pass through each x.

    minimise S(w) = |W (x - f(w))|^2  over  low <= w <= high

by Levenberg's and Marquardt's steps, with the bounds kept by an active set: parameters at a bound which the gradient g
would push beyond it are held, J is what is left of W df/dw, and

    (J^T J + lambda diag(J^T J)) step = J^T r,    r = W (x - f(w)),    w <- clip(w + step, low, high)

with no step beyond `TRUST`. Where S falls, lambda falls by the ratio of the fall to what the linear model promised
(Nielsen 1999, IMM-REP-1999-05, equation 2.5), else it grows faster and faster. A row ends when a good step gains less
than `GAIN` of S, or none helps. All rows of a block go on in one compiled program until the last has ended.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from avo.execution.blocks import batched

ROWS = 256  # of one compiled program: what has ended waits for the others
TRUST = 1.2  # of w, .3 of a range
GAIN = 1e-4  # of S
LAMBDA = 1e-2, 1e-9, 1e10  # at the start, least, and where a row is given up
FEW, MANY = 20, 100  # steps that tell which start is best, and to the end
ROUNDS, NEIGHBOURS, TAKEN = 2, 12, 2  # of the rows most like one, so many that were served best
HUBS = 4096  # rows among which neighbours are looked for, at most
OTHER = 0.5  # of w, beyond which a place is another one
TINY = 1e-8  # of the largest curvature: what moves less is not moved by chance


class _State(NamedTuple):
    """One row on its way: place, misfit, damping and its growth, residuals and slope, whether it has ended."""

    w: Array
    square: Array
    damping: Array
    growth: Array
    r: Array
    J: Array
    steps: Array
    ended: Array


class RowSquares:
    """Least squares of a curve for single rows, as a compiled program that lives as long as this.

    Args:
        curve: w (d,) -> f(w) with as many values as one x, in JAX.
        low: least w, with shape (d,); -inf where there is none.
        high: largest w.
        whiten: W, with shape (k, values of x), or its diagonal where it is one; None: the identity.

    Example:
        >>> t = jnp.linspace(0.0, 4.0, 30)
        >>> decay = RowSquares(lambda w: w[0] * jnp.exp(-t / w[1]), np.array([0.0, 0.1]), np.array([9.0, 5.0]))
        >>> x = np.stack([decay.curve(jnp.array(w)) for w in ([3.0, 0.7], [6.0, 2.5], [6.0, 7.0])])
        >>> w, square = decay(x, np.ones((3, 2)), steps=50)
        >>> w.round(3)[:2].tolist(), float(w[2, 1])  # 7 lies beyond the bound
        ([[3.0, 0.7], [6.0, 2.5]], 5.0)
    """

    def __init__(
        self,
        curve: Callable[[Array], Array],
        low: Float[np.ndarray, " d"],
        high: Float[np.ndarray, " d"],
        whiten: Float[np.ndarray, "k v"] | Float[np.ndarray, " v"] | None = None,
    ) -> None:
        self.dtype = jnp.result_type(float)
        self.curve = curve
        self.low, self.high = (jnp.asarray(a, self.dtype) for a in (low, high))
        self.whiten = None if whiten is None else jnp.asarray(whiten, self.dtype)
        self._solve = jax.jit(jax.vmap(self._descend, (0, 0, None)))
        self._slope = jax.jit(jax.vmap(jax.jacfwd(self._seen)))
        self._shown = jax.jit(jax.vmap(lambda x: self._weighed(jnp.ravel(x))))
        self._at = jax.jit(jax.vmap(self._seen))

    def __call__(
        self, x: np.ndarray, starts: Float[np.ndarray, "n d"], steps: int
    ) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, " n"]]:
        """Descend from a start for each row of x, with at most so many steps: where it ends, and S there."""
        rows = np.asarray(x, self.dtype), np.asarray(starts, self.dtype)
        found = batched(lambda x, w: self._solve(x, w, steps), *rows, rows=ROWS)
        return np.asarray(found[:, :-1], np.float64), np.asarray(found[:, -1], np.float64)

    def slope(self, w: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n k d"]:
        """Compute W df/dw."""
        return batched(self._slope, np.asarray(w, self.dtype), rows=ROWS).astype(np.float64)

    def rest(self, x: np.ndarray, w: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n k"]:
        """Compute W (x - f(w))."""
        rows = np.asarray(x, self.dtype), np.asarray(w, self.dtype)
        return batched(lambda x, w: self._shown(x) - self._at(w), *rows, rows=ROWS).astype(np.float64)

    def _weighed(self, values: Array) -> Array:
        if self.whiten is None:
            return values
        return self.whiten * values if self.whiten.ndim == 1 else self.whiten @ values

    def _seen(self, w: Array) -> Array:
        return self._weighed(jnp.ravel(self.curve(w)))

    def _descend(self, x: Array, start: Array, steps: Array) -> Array:
        """Descend from one start; w and S behind it."""
        seen = self._weighed(jnp.ravel(x))

        def rest_and_slope(w: Array) -> tuple[Array, Array]:
            return seen - self._seen(w), jax.jacfwd(self._seen)(w)

        def step(state: _State) -> _State:
            return self._step(seen, state, rest_and_slope)

        w = jnp.clip(start, self.low, self.high)
        r, J = rest_and_slope(w)
        damping, growth = jnp.asarray(LAMBDA[0], r.dtype), jnp.asarray(2.0, r.dtype)
        state = _State(w, r @ r, damping, growth, r, J, jnp.zeros((), int), ~jnp.isfinite(r @ r))
        state = jax.lax.while_loop(lambda s: (s.steps < steps) & ~s.ended, step, state)
        return jnp.append(state.w, jnp.where(jnp.isfinite(state.square), state.square, jnp.inf))

    def _step(self, seen: Array, at: _State, rest_and_slope: Callable[[Array], tuple[Array, Array]]) -> _State:
        """Try one step."""
        g = at.J.T @ at.r
        held = ((at.w <= self.low) & (g < 0)) | ((at.w >= self.high) & (g > 0))
        free = jnp.where(held, 0.0, at.J)
        A = free.T @ free
        curvature = jnp.diag(A)
        curvature = jnp.maximum(curvature, TINY * jnp.max(curvature) + 1e-30)
        move = jnp.linalg.solve(A + jnp.diag(at.damping * curvature + held), jnp.where(held, 0.0, g))
        move = move * jnp.minimum(1.0, TRUST / jnp.maximum(jnp.max(jnp.abs(move)), 1e-30))
        w = jnp.clip(at.w + move, self.low, self.high)
        rest = seen - self._seen(w)
        square = rest @ rest
        moved = w - at.w
        promised = 2 * moved @ g - jnp.sum((at.J @ moved) ** 2)
        ratio = (at.square - square) / jnp.maximum(promised, 1e-30)
        better = square < at.square  # false where it is not a number
        softer = at.damping * jnp.maximum(1 / 3, 1 - (2 * jnp.clip(ratio, 0, 1) - 1) ** 3)
        damping = jnp.maximum(jnp.where(better, softer, at.damping * at.growth), LAMBDA[1])
        done = better & (at.square - square < GAIN * at.square) & (ratio > 0.25)
        w = jnp.where(better, w, at.w)
        r, J = rest_and_slope(w)
        return _State(
            w=w,
            square=jnp.where(better, square, at.square),
            damping=damping,
            growth=jnp.where(better, 2.0, at.growth * 2),
            r=r,
            J=J,
            steps=at.steps + 1,
            ended=done | (damping > LAMBDA[2]),
        )


def best_of(
    squares: RowSquares, x: np.ndarray, starts: Float[np.ndarray, "n s d"], steps: int
) -> tuple[Float[np.ndarray, "n s d"], Float[np.ndarray, "n s"]]:
    """Descend from several starts of each row; the ends, the best of each row first."""
    n, s, d = starts.shape
    w, square = squares(np.repeat(x, s, axis=0), starts.reshape(n * s, d), steps)
    order = np.argsort(square.reshape(n, s), axis=1, kind="stable")
    w = np.take_along_axis(w.reshape(n, s, d), order[..., None], axis=1)
    return w, np.take_along_axis(square.reshape(n, s), order, axis=1)


def all_ends(
    squares: RowSquares, x: np.ndarray, starts: Float[np.ndarray, "n s d"], moving: Bool[np.ndarray, " d"]
) -> tuple[Float[np.ndarray, "n e d"], Float[np.ndarray, "n e"]]:
    """Descend from several starts of each row, then from where the rows most like it have ended; all ends, and their S.

    Some steps from every start tell which leads best; that one, and the best that leads elsewhere, go on to the end.
    Where a curve has many solutions, a good one of a row is a good start for its like.

    Args:
        squares: the least squares.
        x: the rows.
        starts: of each row; what does not move has the values of the first one.
        moving: which parameters do.
    """
    fixed, rows = starts[:, 0], np.arange(len(x))
    first, _ = best_of(squares, x, np.where(moving, starts, fixed[:, None]), FEW)
    ends = [squares(x, first[:, 0], MANY), squares(x, _another(first), MANY)]
    alike = _alike(x.reshape(len(x), -1))
    for _ in range(ROUNDS if len(x) > 2 else 0):
        w, square = (np.stack([end[i] for end in ends]) for i in (0, 1))
        best = np.argmin(square, axis=0)
        w, square = w[best, rows], square[best, rows]
        at = alike[rows[:, None], np.argsort(square[alike], axis=1)[:, :TAKEN]]
        tried, _ = best_of(squares, x, np.where(moving, w[at], fixed[:, None]), FEW)
        ends.append(squares(x, tried[:, 0], MANY))
    return np.stack([end[0] for end in ends], 1), np.stack([end[1] for end in ends], 1)


def small_ones(a: Any, k: int) -> np.ndarray:
    """Places of the k least entries of each row, in no order."""
    a = np.asarray(a)
    return np.argpartition(a, min(k, a.shape[1] - 1), axis=1)[:, :k] if k < a.shape[1] else np.argsort(a, axis=1)


def _alike(flat: Float[np.ndarray, "n k"]) -> np.ndarray:
    """Find the signals most like each one, itself left out, with shape (n, NEIGHBOURS) or fewer."""
    hubs = np.linspace(0, len(flat) - 1, min(len(flat), HUBS)).round().astype(int)
    middle = flat[hubs].mean(0)
    held = flat[hubs] - middle
    norms = np.sum(held**2, axis=1)
    found = []
    for first in range(0, len(flat), HUBS):
        rows = np.arange(first, min(first + HUBS, len(flat)))
        away = norms[None] - 2 * (flat[rows] - middle) @ held.T
        away[rows[:, None] == hubs[None]] = np.inf
        found.append(hubs[small_ones(away, min(NEIGHBOURS, len(hubs) - 1))])
    return np.concatenate(found)


def _another(w: Float[np.ndarray, "n s d"]) -> Float[np.ndarray, "n d"]:
    """Choose of each row's places the best that is another one than the first, `OTHER` away; else the last.

    Example:
        >>> _another(np.array([[[0.0], [0.1], [2.0], [3.0]]])).tolist()
        [[2.0]]
    """
    away = np.max(np.abs(w - w[:, :1]), axis=2) > OTHER
    away[:, -1] = True
    return w[np.arange(len(w)), np.argmax(away, axis=1)]
