"""Missing values: which of a row's values are missing, and how critic and learned scores are shown that.

A value is missing for a reason that does not depend on what it would have been. Then the likelihood of a row is that of
what was seen of it, and what is missing takes no part in it (Rubin, Biometrika 63 (1976), 581: missing at random). The
mask of a row is one more known condition, which the simulator does not get:

    real rows         (c_i, mask_i, x_i),    what is missing of x_i filled by the column's location
    simulated rows    (c_i, mask_i, x),      x ~ p(x | theta, c_i) whole, then filled where mask_i says so

Conditions and mask travel together, each pair as often as it was observed. A mask is written in few columns of zeros
and ones: one for all values that are missing in the same rows, none for values that never are.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from avo.observations import location_scale


class Gaps(eqx.Module):
    """Which values may be missing, and what stands in for them.

    Args:
        fill: what stands in for each value, with shape (*x_shape).
        column: of each value of the flat x its column of the mask; -1: it is never missing.
        columns: number of the mask's columns, which stand last in flat conditions (n, k + columns).
        c_shape: of the conditions that the simulator gets; None: it gets none.

    Example:
        >>> gaps = find_gaps(np.array([[1.0, 4.0, np.nan], [2.0, np.nan, np.nan], [6.0, 8.0, 5.0]]), None)
        >>> c = gaps.conditions(np.array([[False, True, True]]), None)
        >>> c.tolist(), gaps.filled(np.zeros((1, 3)), c).tolist()
        ([[1.0, 1.0]], [[0.0, 6.0, 5.0]])
    """

    fill: Array | np.ndarray
    column: Int[Any, " p"]
    columns: int = eqx.field(static=True)
    c_shape: tuple[int, ...] | None = eqx.field(static=True)

    @property
    def own(self) -> int:
        """Number of flat conditions that the simulator gets."""
        return 0 if self.c_shape is None else math.prod(self.c_shape)

    def mask(self, c: Float[Any, "*n k"]) -> Bool[Any, "*whole"]:
        """Say which values are missing, by flat conditions of rows."""
        xp = c.__array_namespace__()
        flat = xp.take(c[..., c.shape[-1] - self.columns :], xp.maximum(self.column, 0), axis=-1) > 0.5
        flat &= xp.broadcast_to(self.column >= 0, flat.shape)
        return flat.reshape(c.shape[:-1] + self.fill.shape)

    def known(self, c: Float[Any, "*n k"]) -> Float[Any, "*known"] | None:
        """Take those conditions that the simulator gets, in their own shape."""
        if self.c_shape is None:
            return None
        return c[..., : self.own].reshape(c.shape[:-1] + self.c_shape)

    def filled(self, x: Float[Any, "*whole"], c: Float[Any, "*n k"]) -> Float[Any, "*whole"]:
        """Fill what is missing of whole rows; what is not finite stays so, since the call failed."""
        xp = x.__array_namespace__()
        fill = xp.broadcast_to(self.fill, x.shape)
        return xp.where(self.mask(c) & xp.isfinite(x), fill, x).astype(x.dtype)

    def bare(self, x: Float[Any, "*whole"], c: Float[Any, "*n k"]) -> Float[Any, "*whole"]:
        """Put NaN where values are missing."""
        return x.__array_namespace__().where(self.mask(c), np.nan, x)

    def conditions(
        self, mask: Bool[np.ndarray, "n *x_shape"], c: Float[np.ndarray, "n *c_shape"] | None, name: str = "x"
    ) -> Float[np.ndarray, "n k"]:
        """Put the mask of rows beside their other conditions.

        Raises:
            ValueError: if values are missing that were there in all rows of the fit, or not without others.
        """
        flat = mask.reshape(len(mask), -1)
        first = np.array([np.flatnonzero(self.column == k)[0] for k in range(self.columns)], int)
        written = flat[:, first].astype(float)
        known = () if c is None else (np.asarray(c, float).reshape(len(c), -1),)
        found = np.concatenate([*known, written], axis=1)
        strange = (self.mask(found) != mask).reshape(len(mask), -1)
        if strange.any():
            row, place = np.argwhere(strange)[0].tolist()
            at = tuple(int(i) for i in np.unravel_index(place, self.fill.shape))
            where = ", ".join(map(str, (row, *at)))
            if self.column[place] < 0:
                words = "is missing, and was there in all rows of the fit"
            else:
                words = "is missing without others, or there without them, which it never was in the fit"
            raise ValueError(
                f"{name} must lack what rows of the fit lacked; {name}[{where}] {words}, so that the fit does not know "
                "what the others say without it. Fill it, leave the row out, or fit with such rows."
            )
        return found

    def to_arrays(self, name: str) -> dict[str, Any]:
        """Name all that makes them, as arrays, for a file."""
        shape = np.array([-1] if self.c_shape is None else self.c_shape, int)
        return {f"{name}.fill": self.fill, f"{name}.column": self.column, f"{name}.c_shape": shape}

    @staticmethod
    def from_arrays(name: str, arrays: Mapping[str, Any]) -> "Gaps | None":
        """Read what `to_arrays` gave; None where there is none."""
        if f"{name}.fill" not in arrays:
            return None
        column, shape = np.asarray(arrays[f"{name}.column"]), tuple(np.asarray(arrays[f"{name}.c_shape"]).tolist())
        known = None if shape == (-1,) else shape
        return Gaps(np.asarray(arrays[f"{name}.fill"]), column, int(column.max()) + 1, known)


def find_gaps(
    x: Float[np.ndarray, "m *x_shape"], c: np.ndarray | None, shares: Float[np.ndarray, " m"] | None = None
) -> Gaps | None:
    """Find which values are missing, as NaN, in which rows; None where none is."""
    mask = np.isnan(x).reshape(len(x), -1)
    if not mask.any():
        return None
    lacking = np.flatnonzero(mask.any(0))
    _, first, number = np.unique(mask[:, lacking], axis=1, return_index=True, return_inverse=True)
    order = np.argsort(np.argsort(first))  # columns in the order in which values need them
    column = np.full(mask.shape[1], -1)
    column[lacking] = order[np.ravel(number)]
    return Gaps(location_scale(x, shares)[0], column, len(first), None if c is None else c.shape[1:])


def refuse_empty(x: Float[np.ndarray, "m *x_shape"], name: str = "x_obs") -> None:
    """Refuse rows, and columns, of which all values are missing.

    Raises:
        ValueError: names them.

    Example:
        >>> refuse_empty(np.array([[1.0, 2.0], [np.nan, np.nan], [3.0, np.nan]]))
        Traceback (most recent call last):
            ...
        ValueError: x_obs must have a value in every row; row 1 has none (1 of 3 rows). Leave such rows out.
    """
    mask = np.isnan(x).reshape(len(x), -1)
    empty = np.flatnonzero(mask.all(1))
    if len(empty):
        rows = f"row {empty[0]} has none" if len(empty) == 1 else f"rows {_listed(empty)} have none"
        raise ValueError(
            f"{name} must have a value in every row; {rows} ({len(empty)} of {len(x)} rows). Leave such rows out."
        )
    never = np.flatnonzero(mask.all(0))
    if len(never):
        places = [tuple(map(int, np.unravel_index(place, x.shape[1:]))) for place in never[:5]]
        named = ", ".join(str(place[0] if len(place) == 1 else place) for place in places)
        more = f" and {len(never) - 5} more" if len(never) > 5 else ""
        raise ValueError(
            f"{name} must have a value in every column; column {named}{more} has none. Leave it out, and let the "
            "simulator leave it out."
        )


def _listed(rows: Sequence[int] | np.ndarray) -> str:
    return ", ".join(map(str, list(rows)[:5])) + (", ..." if len(rows) > 5 else "")
