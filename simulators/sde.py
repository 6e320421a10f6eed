"""Stochastic differential equations given by their drift and diffusion.

    dX = drift(X, t, theta) dt + diffusion(X, t, theta) dW    (Ito)

`sde` compiles functions of JAX; `sde_from_numpy` takes any Python functions and solves them by sdeint, one path at a
time. The noise is known by the shape of what `diffusion` returns, with the state's shape () or (d,):

    ()        scalar: one Wiener process drives the one coordinate
    (d,)      diagonal: a Wiener process of its own drives each coordinate
    (d, w)    general: w Wiener processes drive all coordinates, dX_i = ... + sum_j diffusion_ij dW_j

Two methods, with steps h and Wiener increments dw ~ N(0, h):

    Euler-Maruyama    x += drift h + diffusion dw                                               strong order 1/2
    Milstein          x += drift h + diffusion dw + (diffusion diffusion') (dw^2 - h) / 2       strong order 1

Both are of weak order 1. Where diffusion does not depend on X the two are the same, and of strong order 1. Milstein's
derivative is taken by forward differentiation along diffusion; it needs scalar or diagonal noise, each row of which
depends on its own coordinate only. Both are biased at a finite h: a mean-reverting process with rate k comes out as one
with rate -log(1 - k h) / h. Prefer an exact sampler where there is one (`brownian`, `geometric_brownian`,
`ornstein_uhlenbeck`, `cir`, `merton`).

Source: Kloeden and Platen, Numerical Solution of Stochastic Differential Equations (1992), 10.2 and 10.3.
"""

import importlib
import re
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from avo.checks import ArgumentError, grid, one_of, whole
from avo.execution.host import HostSimulator, from_numpy
from avo.simulators.problem import vectorize

Field = Callable[[Any, Any, Any], Any]  # (x, t, theta) -> value
SDEINT = ("itoint", "itoEuler", "itoSRI2", "stratint", "stratHeun", "stratSRS2", "stratKP2iS")


def solve(
    drift: Field,
    diffusion: Field,
    theta: Float[ArrayLike, "d"],
    start: Float[ArrayLike, "*state"],
    increments: Float[ArrayLike, "steps *wiener"],
    step: float,
    *,
    method: Literal["euler", "milstein"] = "euler",
) -> Float[Array, "steps *state"]:
    """Solve dX = drift dt + diffusion dW along given Wiener increments, in one compiled scan.

    Args:
        drift: `drift(x, t, theta)` with the state's shape.
        diffusion: `diffusion(x, t, theta)` with the state's shape (scalar and diagonal noise), or (state, wiener).
        theta: parameters, handed on.
        start: state at time 0, a scalar or a vector.
        increments: dW of each step, with shape (steps,), (steps, state) or (steps, wiener).
        step: h, the time of one step.
        method: "euler" or "milstein".

    Returns:
        X after each step, with shape (steps,) or (steps, state).

    Raises:
        ValueError: if a shape does not fit, or "milstein" is asked for with general noise.

    Example:
        >>> growth = lambda x, t, theta: theta[0] * x
        >>> noise = lambda x, t, theta: theta[1] * x
        >>> solve(growth, noise, jnp.array([0.5, 0.2]), 1.0, jnp.array([0.0, 1.0]), step=0.1).round(4).tolist()
        [1.05, 1.3125]
    """
    _check_method(method)
    theta, start = jnp.asarray(theta, dtype=float), jnp.asarray(start, dtype=float)
    general, wiener = _noise(drift, diffusion, theta, start, method)
    increments = jnp.asarray(increments, dtype=float)
    if increments.shape[1:] != wiener:
        expected = ", ".join(["steps", *map(str, wiener)])
        raise ValueError(f"increments must have shape ({expected}) for this diffusion; got {increments.shape}.")

    def advance(x: Array, inputs: tuple[Array, Array]) -> tuple[Array, Array]:
        i, dw = inputs
        t = i * step
        spread = jnp.asarray(diffusion(x, t, theta), dtype=x.dtype)
        moved = x + drift(x, t, theta) * step + (spread @ dw if general else spread * dw)
        if method == "milstein":
            _, slope = jax.jvp(lambda y: jnp.asarray(diffusion(y, t, theta), dtype=y.dtype), (x,), (spread,))
            moved = moved + slope * (dw**2 - step) / 2.0
        return moved, moved

    return jax.lax.scan(advance, start, (jnp.arange(len(increments), dtype=float), increments))[1]


def _check_method(method: str) -> None:
    one_of("method", method, ("euler", "milstein"), " (sdeint's are in sde_from_numpy)")


def _noise(drift: Field, diffusion: Field, theta: Array, start: Array, method: str) -> tuple[bool, tuple[int, ...]]:
    """Check what drift and diffusion return; say whether the noise is general, and the shape of dW."""
    if start.ndim > 1:
        raise ValueError(f"start must be a scalar or a vector; got shape {start.shape}.")
    slope, spread = (_shape(name, field, start, theta) for name, field in (("drift", drift), ("diffusion", diffusion)))
    if slope != start.shape:
        raise ValueError(f"drift must return the state's shape, {start.shape}; got {slope}.")
    general = start.ndim == 1 and len(spread) == 2 and spread[0] == start.shape[0]
    if not general and spread != start.shape:
        states = f" or, for general noise, ({start.shape[0]}, number of Wiener processes)" if start.ndim else ""
        raise ValueError(f"diffusion must return the state's shape, {start.shape}{states}; got {spread}.")
    if method == "milstein" and general:
        raise ValueError(
            f'method "milstein" needs scalar or diagonal noise; diffusion returns a matrix of shape {spread}. '
            'Use "euler", or return a vector if each coordinate has a noise of its own.'
        )
    return general, spread[1:] if general else spread


def _shape(name: str, field: Field, start: Array, theta: Array) -> tuple[int, ...]:
    """Find the shape that drift or diffusion returns, with a NumPy theta: JAX takes the last for an index beyond."""
    time = jnp.zeros((), dtype=float)
    try:
        with np.errstate(all="ignore"):
            found = jax.eval_shape(lambda x, t: field(x, t, np.ones(theta.shape)), start, time)
    except Exception as error:
        if beyond := re.match(r"index (-?\d+) is out of bounds for axis 0", str(error)):
            asked = f"{name} reads theta[{beyond[1]}]; theta has shape (n, {theta.size})."
            raise ArgumentError(asked) from error
        found = jax.eval_shape(field, start, time, theta)  # JAX functions may do what NumPy arrays cannot
    if not hasattr(found, "shape"):
        raise ArgumentError(f"{name} must return the state's shape, {start.shape}; got {found!r}.")
    return found.shape


def sde(
    drift: Field,
    diffusion: Field,
    start: Float[ArrayLike, "*state"] | Callable[[Array], ArrayLike],
    points: int = 64,
    duration: float = 1.0,
    substeps: int = 8,
    *,
    method: Literal["euler", "milstein"] = "euler",
) -> Callable[..., Array]:
    """Make a compiled simulator of dX = drift(X, t, theta) dt + diffusion(X, t, theta) dW from functions of JAX.

    Args:
        drift: `drift(x, t, theta)` with theta of shape (d,), for one path; returns the state's shape.
        diffusion: `diffusion(x, t, theta)`; returns the state's shape (scalar or diagonal noise) or a matrix (state,
            wiener) (general noise).
        start: state at time 0, a scalar or a vector, not returned; or a function of theta that gives it.
        points: values per path, at duration / points, 2 duration / points, ..., duration.
        duration: time of the last value.
        substeps: steps between two values; more of them lower the bias of the method.
        method: "euler" (Euler-Maruyama) or "milstein".

    Returns:
        `simulate(key, theta)` for `avo.fit`, with x of shape (n, points) or (n, points, state).

    Raises:
        ValueError: if an argument is out of range; at the first simulation, if a shape does not fit.

    Example:
        >>> drift = lambda x, t, theta: theta[0] * x * (1.0 - x)  # logistic growth in a noisy environment
        >>> simulate = sde(drift, lambda x, t, theta: theta[1] * x, start=0.1, points=20, duration=5.0)
        >>> simulate(jax.random.key(0), jnp.array([[1.0, 0.2], [2.0, 0.1]])).shape
        (2, 20)
    """
    _check_arguments(drift, diffusion, start, points, duration, substeps)
    _check_method(method)
    step, steps = duration / points / substeps, points * substeps

    def draw(key: Array, theta: Float[Array, "d"]) -> Float[Array, "points *state"]:
        first = jnp.asarray(start(theta) if callable(start) else start, dtype=float)
        _, wiener = _noise(drift, diffusion, theta, first, method)
        increments = np.sqrt(step) * jax.random.normal(key, (steps, *wiener), dtype=theta.dtype)
        return solve(drift, diffusion, theta, first, increments, step, method=method)[substeps - 1 :: substeps]

    return vectorize(draw)


def sde_from_numpy(
    drift: Field,
    diffusion: Field,
    start: Float[ArrayLike, "*state"] | Callable[[np.ndarray], ArrayLike],
    points: int = 64,
    duration: float = 1.0,
    substeps: int = 8,
    *,
    method: str = "itoint",
) -> HostSimulator:
    """Make a simulator of dX = drift dt + diffusion dW from plain Python functions, solved by sdeint.

    The random numbers come from avo's key, one generator per path: same key, same path. A path costs Python calls at
    each step; where the functions can be written in JAX, `sde` is faster by orders of magnitude.

    Args:
        drift: `drift(x, t, theta)` in Python and NumPy; returns the state's shape.
        diffusion: `diffusion(x, t, theta)`; returns the state's shape or a matrix (state, wiener), as for `sde`. The
            methods whose name begins with "strat" read it in the sense of Stratonovich, the others in that of Ito.
        start: state at time 0, a scalar or a vector, not returned; or a function of theta that gives it.
        points: values per path, at duration / points, 2 duration / points, ..., duration.
        duration: time of the last value.
        substeps: steps between two values.
        method: name of sdeint's function: "itoint" and "stratint" let sdeint choose; "itoEuler" (strong order 1/2),
            "itoSRI2", "stratSRS2", "stratKP2iS" (strong order 1), "stratHeun" (strong order 1 where the noise commutes,
            as scalar and additive noise do, and diagonal noise of which each row depends on its own coordinate only;
            1/2 otherwise).

    Returns:
        `simulate(key, theta)` for `avo.fit`, with x of shape (n, points) or (n, points, state).

    Raises:
        ImportError: if sdeint is not installed.
        ValueError: if an argument is out of range. A shape that does not fit shows at the first path, as an error of
            sdeint.

    Example:
        >>> def drift(x, t, theta):
        ...     return -theta[0] * x if x > 0 else -theta[1] * x
        >>> simulate = sde_from_numpy(drift, lambda x, t, theta: 0.3, start=0.5, points=10)
        >>> simulate(jax.random.key(0), np.array([[1.0, 2.0]])).shape
        (1, 10)
    """
    _check_arguments(drift, diffusion, start, points, duration, substeps)
    one_of("method", method, SDEINT, " (JAX's are in sde)")
    try:
        integrate = getattr(importlib.import_module("sdeint"), method)
    except ImportError as error:
        raise ImportError("sde_from_numpy needs the package sdeint: pip install 'avo-sbi[sde]'.") from error
    times = np.linspace(0.0, duration, points * substeps + 1)

    def draw(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
        first = np.asarray(start(theta) if callable(start) else start, dtype=float)
        scalar = first.ndim == 0

        def rate(y: np.ndarray, t: float) -> np.ndarray:
            return np.atleast_1d(np.asarray(drift(y[0] if scalar else y, t, theta), dtype=float))

        def spread(y: np.ndarray, t: float) -> np.ndarray:
            value = np.atleast_1d(np.asarray(diffusion(y[0] if scalar else y, t, theta), dtype=float))
            return np.diag(value) if value.ndim == 1 else value

        path = integrate(rate, spread, np.atleast_1d(first), times, generator=rng)[substeps::substeps]
        return path[:, 0] if scalar else path

    return from_numpy(draw)


def _check_arguments(drift: Any, diffusion: Any, start: Any, points: Any, duration: Any, substeps: Any) -> None:
    for name, field in (("drift", drift), ("diffusion", diffusion)):
        if not callable(field):
            raise ValueError(f"{name} must be a function {name}(x, t, theta); got {field!r}.")
    if not callable(start):
        try:
            finite = bool(np.isfinite(np.asarray(start, dtype=float)).all())
        except (TypeError, ValueError):
            finite = False
        if not finite:
            raise ValueError(f"start must be a finite number, a vector of them, or a function of theta; got {start!r}.")
    grid(points, duration)
    whole("substeps", substeps)
