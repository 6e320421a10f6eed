"""Simulations that are there already, in place of a simulator: pairs (theta, x), as an earlier project left them."""

import math
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from avo.containers import Held, axes_of, plain, same_rows
from avo.execution.blocks import Drawn
from avo.space import Space

FARTHEST_U = 40.0  # in place of infinity, for theta at a bound


@dataclass(frozen=True, eq=False)
class Stored:
    """Stored simulations, rows of theta and x, for `avo.fit(avo.Stored(theta, x), x_obs, space)`.

    The theta may come from any distribution that covers the neighbourhood of the answer: a prior, a grid, an earlier
    run, and need not be known: what is learned of x is a regression given theta (avo/refine/reuse.py).

    Args:
        theta: in physical units, with shape (n, d), a column for each free parameter of the space, or for all of them;
            the columns of a DataFrame are taken by name.
        x: what was simulated at each, with shape (n, *x_shape), independent draws given theta. A row of NaN is a call
            that failed.
        inputs: the known conditions under which each was simulated, with shape (n, *c_shape), where the fit has any.

    Raises:
        ValueError: if they are no arrays of numbers, or differ in the number of rows.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> theta = rng.uniform(-3, 5, size=(1000, 1))
        >>> len(Stored(theta, theta + rng.normal(size=(1000, 1))))
        1000
        >>> Stored(theta, theta[:900])
        Traceback (most recent call last):
            ...
        ValueError: Stored: x must have a row for each row of theta, 1000; got 900.
    """

    theta: Held
    x: Held
    inputs: Held | None = None

    def __post_init__(self) -> None:
        same_rows(theta=self.theta, x=self.x, inputs=self.inputs)
        names = _names(self.theta)
        object.__setattr__(self, "names", names)
        for name in ("theta", "x", "inputs"):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, _numbers(f"Stored: {name}", value))
        if self.theta.ndim != 2:  # pyright: ignore[reportAttributeAccessIssue]
            raise ValueError(
                f"Stored: theta must have a row for each simulation, shape (n, d); got shape {np.shape(self.theta)}."
            )
        for name in ("x", "inputs"):
            if (value := getattr(self, name)) is not None and len(value) != len(self):
                raise ValueError(
                    f"Stored: {name} must have a row for each row of theta, {len(self)}; got {len(value)}."
                )

    def __len__(self) -> int:
        return len(self.theta)  # pyright: ignore[reportArgumentType]

    def drawn(self, space: Space, x_shape: tuple[int, ...], c_shape: tuple[int, ...] | None) -> Drawn:
        """Take the pairs to u, and mark the rows that failed.

        Args:
            space: the parameters.
            x_shape: shape of one observation.
            c_shape: shape of its known conditions; None: none.

        Raises:
            ValueError: if theta does not belong to the space, or a row of x or inputs has another shape.

        Example:
            >>> from avo.space import Interval
            >>> stored = Stored([[1.0], [3.0], [5.0]], [0.5, np.nan, 2.5])
            >>> drawn = stored.drawn(Space(a=Interval(-3, 5)), (), None)
            >>> drawn.u.round(3).ravel().tolist(), drawn.ok.tolist()
            ([0.0, 1.099, 40.0], [True, False, True])
        """
        theta, x, c = self.free(space), np.asarray(self.x), self.inputs
        if math.prod(x.shape[1:]) == math.prod(x_shape) == 1:
            x = x.reshape(len(x), *x_shape)
        if x.shape[1:] != x_shape:
            raise ValueError(
                f"Stored: x must have rows like those of x_obs, shape (n, {', '.join(map(str, x_shape))}); "
                f"got {x.shape}."
            )
        if (c is None) != (c_shape is None):
            raise ValueError("Stored: inputs must be given exactly if the fit has inputs=, the observations' own.")
        c = None if c is None else np.asarray(c, float)
        if c is not None and c.shape[1:] != c_shape:
            raise ValueError(f"Stored: inputs must have rows like those of the fit, {c_shape}; got {c.shape[1:]}.")
        if c is not None and not np.isfinite(c).all():
            raise ValueError("Stored: inputs must hold finite numbers. Leave out the other rows.")
        return Drawn.of(to_u(theta, space), x, c)

    def free(self, space: Space) -> np.ndarray:
        """Take theta's columns of the free parameters, after a look at the others.

        Raises:
            ValueError: if columns are missing, theta lies outside the space, or differs from what is fixed.
        """
        theta, names = np.asarray(self.theta, float), self.names  # pyright: ignore[reportAttributeAccessIssue]
        if names:
            known = names if set(space.columns) <= set(names) else space.names
            if missing := [name for name in space.names if name not in names]:
                raise ValueError(f"Stored: theta has the columns {', '.join(names)}, without {', '.join(missing)}.")
            wanted = space.columns if known is names else space.names
            theta = theta[:, [names.index(name) for name in wanted]]
        if theta.shape[1] not in (space.dim, len(space.columns)):
            raise ValueError(
                f"Stored: theta must have a column for each of {', '.join(space.names)}; got {theta.shape[1]} columns."
            )
        if theta.shape[1] > space.dim:
            for i, name in enumerate(space.columns):
                if name in space.fixed and not np.allclose(theta[:, i], space.fixed[name].value):
                    raise ValueError(
                        f"Stored: {name} is fixed at {space.fixed[name].value:g}, and theta has other values of it, "
                        f"{theta[:, i].min():g} to {theta[:, i].max():g}. Keep the rows that have it, or leave it free."
                    )
            theta = space.free(theta)
        for i, (name, parameter) in enumerate(zip(space.names, space, strict=True)):
            low, high = parameter.support
            outside = ~((theta[:, i] >= low) & (theta[:, i] <= high))
            if outside.any():
                raise ValueError(
                    f"Stored: {name} must lie inside ({low:g}, {high:g}); got {theta[outside.argmax(), i]:g}, and "
                    f"{outside.sum():,} of {len(theta):,} rows lie outside. Leave them out, or widen the space."
                )
        return theta


def _numbers(name: str, value: Held) -> np.ndarray:
    try:
        found = np.asarray(plain(name, value))
    except ValueError as error:
        if str(error).startswith(name):
            raise
        raise ValueError(f"{name} must be an array with one row per simulation; its rows differ in shape.") from error
    if found.dtype.kind not in "biuf" or found.ndim == 0 or not len(found):
        raise ValueError(
            f"{name} must be an array of real numbers, one row per simulation; got dtype {found.dtype}, shape "
            f"{found.shape}."
        )
    return found


def _names(theta: Held) -> list[str]:
    """Take the names of theta's columns, where a frame brings some."""
    axes = axes_of(theta)
    return list(axes[0].labels) if len(axes) == 1 else []


def to_u(theta: np.ndarray, space: Space) -> np.ndarray:
    """Map theta to u, a bound to a number far out."""
    with np.errstate(divide="ignore", invalid="ignore"):
        u = [np.asarray(p.unconstrain(jnp.asarray(theta[:, i])), float) for i, p in enumerate(space)]
    found = np.stack(u, axis=1)
    return np.where(space.bounded, np.clip(found, -FARTHEST_U, FARTHEST_U), found)
