"""Several solutions of equal misfit: which ones count, and what is said of them.

The search hands over distinct places that fit equally well (avo/search), and the equation is solved from each. Another
solution counts if it is solved, simulations at it reproduce the observations (p >= .005, where there is a p), nothing
that is known of parameters contradicts it (avo/refine/known.py), and it lies apart from those before it,

    |w_1 - w_2| > 5 standard errors per direction:    d^T (Cov_1 + Cov_2)^-1 d > 25 dim,    d = w_1 - w_2,

w the scale of the errors (avo/refine/linear.py), of angles the shorter way around. Two places along a direction that is
not identified are one: there the covariance is that of the usual start.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from avo.refine.estimate import CONTRADICT, UNLIKELY, Estimate
from avo.refine.linear import LinearSpace
from avo.space import Space
from avo.tables import whole_number, written

APART = 5.0  # standard errors per direction, from which two solutions are two
NUMBERS = ("no", "one", "two", "three")


class Mode(NamedTuple):
    """A solution: theta (d,), its standard errors (d,), and p of the observations at it, None where it is not known.

    `whole` has of each count the first and last whole number of its 90 % interval, by name.

    Example:
        >>> print(Mode(("a", "b"), np.array([1.5, -2.0]), np.array([0.012, np.inf]), 0.4))
        a = 1.500 +- 0.012, b open, p = 0.4
        >>> print(Mode(("n",), np.array([13.0]), np.array([0.7]), whole={"n": (12, 14)}))
        n = 13 (90 %: 12 to 14)
    """

    names: tuple[str, ...]
    theta: Float[np.ndarray, " d"]
    stderr: Float[np.ndarray, " d"]
    p_value: float | None = None
    whole: Mapping[str, tuple[int, int]] = {}

    @staticmethod
    def of(found: Estimate, space: Space) -> "Mode":
        """Say in physical units what an estimate knows."""
        theta = space.nearest_whole(np.asarray(space.constrain(jnp.asarray(found.loc, float)), float))
        ends = found.interval(space, 0.9)[space.counts].astype(int).tolist() if space.counts.any() else []
        counts = [name for name, count in zip(space.names, space.counts, strict=True) if count]
        whole = {name: (low, high) for name, (low, high) in zip(counts, ends, strict=True)}
        return Mode(space.names, theta, np.asarray(found.stderr(space), float), found.p_value, whole)

    def words(self, i: int, sign: str = "+-") -> str:
        """Write a value that is identified with its error; a count with the whole numbers of its 90 % interval."""
        if (ends := self.whole.get(self.names[i])) is not None:
            return whole_number(self.theta[i], ends)
        return f" {sign} ".join(written(self.theta[i], self.stderr[i]))

    def __str__(self) -> str:
        words = [
            f"{name} = {self.words(i)}" if np.isfinite(self.stderr[i]) else f"{name} open"
            for i, name in enumerate(self.names)
        ]
        return ", ".join([*words, *([] if self.p_value is None else [f"p = {self.p_value:.2g}"])])

    def to_json(self) -> dict[str, Any]:
        """Describe it by the names of the parameters; an infinite error is null."""
        errors = [error if np.isfinite(error) else None for error in self.stderr.tolist()]
        theta, stderr = (dict(zip(self.names, values, strict=True)) for values in (self.theta.tolist(), errors))
        whole = {"whole": {name: list(ends) for name, ends in self.whole.items()}} if self.whole else {}
        return {"theta": theta, "stderr": stderr, "p_value": self.p_value} | whole

    @staticmethod
    def from_json(words: dict[str, Any]) -> "Mode":
        """Read what `to_json` gave.

        Example:
            >>> Mode.from_json(Mode(("a", "b"), np.array([1.5, -2.0]), np.array([0.012, np.inf])).to_json())
            Mode(names=('a', 'b'), theta=array([ 1.5, -2. ]), stderr=array([0.012,   inf]), p_value=None, whole={})
        """
        errors = [np.inf if error is None else error for error in words["stderr"].values()]
        names, theta = zip(*words["theta"].items(), strict=True)
        whole = {name: (low, high) for name, (low, high) in words.get("whole", {}).items()}
        return Mode(names, np.array(theta), np.array(errors), words["p_value"], whole)


def fits(found: Estimate | None) -> bool:
    """Tell whether an estimate is a solution: simulations reproduce the observations, nothing known contradicts it."""
    if found is None or not np.isfinite(found.moved) or found.apart > CONTRADICT:
        return False
    return not found.hidden and (found.p_value is None or found.p_value >= UNLIKELY)


def solutions(found: Sequence[Estimate | None], space: Space) -> list[Estimate]:
    """Choose those that fit, each apart from all before it, in their order."""
    chosen: list[Estimate] = []
    for one in found:
        if one is not None and fits(one) and all(apart(one, other, space) for other in chosen):
            chosen.append(one)
    return chosen


def apart(one: Estimate, other: Estimate, space: Space) -> bool:
    """Tell whether two estimates differ by more than 5 standard errors per direction."""
    line = LinearSpace(space)
    there = line.of(other.loc)
    way = line.near(line.of(one.loc), there) - there
    return bool(way @ np.linalg.solve(one.covariance + other.covariance, way) > APART**2 * len(way))


def several(modes: Sequence[Mode]) -> str:
    """Name solutions that fit equally well in one phrase.

    Example:
        >>> several([Mode(("theta",), np.array([a]), np.array([0.01])) for a in (1.4912, -1.5004)])
        'two solutions fit equally well: theta = 1.49 and theta = -1.5'
        >>> several([Mode(("a", "b"), np.array(ab), np.ones(2)) for ab in ([1.5, -1.0], [-1.0, 1.5])])
        'two solutions fit equally well: (a, b) = (1.5, -1) and (a, b) = (-1, 1.5)'
    """

    def tuple_of(words: Sequence[str]) -> str:
        return words[0] if len(words) == 1 else f"({', '.join(words)})"

    def place(mode: Mode) -> str:
        values = zip(mode.names, mode.theta, strict=True)
        return tuple_of([f"{value:.0f}" if name in mode.whole else f"{value:.3g}" for name, value in values])

    places = [f"{tuple_of(mode.names)} = {place(mode)}" for mode in modes]
    return f"{NUMBERS[len(places)]} solutions fit equally well: {', '.join(places[:-1])} and {places[-1]}"
