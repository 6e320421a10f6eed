"""What the data identify: directions in which theta may move, and combinations of parameters that they tell apart.

Where the data identify no more than a + 2 b, neither a nor b has an error, but a + 2 b has. Directions come from the
information (avo/refine/equation.py), in the scale of the error; combinations are told in theta itself, one for each
parameter that is known but for another:

    c_i = eta_i - sum_p B_ip (s_i / s_p) eta_p,    B = F_i. F_p.^-1,

eta theta or log theta, s = d eta / dw, and F the directions that are not identified: along F no c_i moves. The
parameters p have a great part in F; of several that have, the first of the space is taken, so that a problem is told in
the same words for all data. Which of theta and log theta, one place cannot tell; it is that in which the numbers are
simple, as those of a sum, a product or a ratio are, and else that of the parameters' kinds.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import ArrayLike, Bool, Float

from avo.adversarial.proposals import START_SD
from avo.space import Space
from avo.tables import aligned, written

COLUMNS = 9  # of parameters, at most, in a table of directions; more are told in words
SHARE = 25.0  # per cent of a range that one unit of w is
TINY = 0.005  # weight that no table shows
NAMED = 0.05  # weight from which a direction's words name a parameter
GREAT = 0.5  # of the greatest part in what is not identified, from which others are told beside a parameter
PURE = "1"  # unit of a pure number
COMPOSED = " /*^·⋅×"  # signs of a unit that is put together of several
SIMPLE = 0.03  # how far from a multiple of a half a weight may lie, by the noise of slopes, to be meant for it


class Direction(NamedTuple):
    """A direction in w, its weight on each parameter, and the standard deviation to which the data identify it.

    w counts in quarters of a parameter's range, and is u where it has no bounds; words say per cent of the range.
    """

    weights: Float[np.ndarray, " d"]
    sd: float
    identified: bool
    names: tuple[str, ...]

    def __str__(self) -> str:
        parts = [f"{w:+.2f} {name}" for w, name in zip(self.weights, self.names, strict=True) if abs(w) >= NAMED]
        words = f"direction ({', '.join(parts)})" if len(self.weights) > 1 else self.names[0]
        if self.identified:
            return f"{words} is identified to {SHARE * self.sd:.2g} % of a range"
        if self.sd < START_SD:
            return f"{words} is hardly identified by these data, to {SHARE * self.sd:.2g} % of a range"
        return f"{words} is not identified by these data"


class Identifiability(tuple[Direction, ...]):
    """Orthogonal directions, the worst identified first; printed as steps of theta, in its own units.

    Their weights are those of w (`Direction`). A step of one standard error along an identified direction is as far as
    x cannot tell; along what is open, theta may go any way, and the step is that of the usual start.

    Example:
        >>> ways = [(np.array([0.8, -0.6]), 1.5, False), (np.array([0.6, 0.8]), 0.02, True)]
        >>> found = [Direction(*way, ("a", "b")) for way in ways]
        >>> print(Identifiability.of(found, np.array([2.0, 0.5]), ("mV", "")))
        a (mV)  b       a step along this direction, at the estimate
        +2.4    -0.45   is open: x does not tell it
        +0.024  +0.008  is one standard error
    """

    slope: Float[np.ndarray, " d"] | None = None
    units: tuple[str, ...] = ()

    @staticmethod
    def of(found: Sequence[Direction], slope: Float[np.ndarray, " d"], units: Sequence[str]) -> "Identifiability":
        """Put directions together; slope is d theta / dw at the estimate, with the units of theta."""
        made = Identifiability(found)
        made.slope, made.units = np.asarray(slope, float), tuple(units)
        return made

    def __str__(self) -> str:
        if self.slope is None or any(len(way.names) > COLUMNS for way in self):
            return "\n".join(map(str, self))
        rows = []
        for way in self:
            step = min(way.sd, START_SD) * way.weights * self.slope
            known = "is one standard error" if way.identified else "is open: x does not tell it"
            known = "is one standard error, and hardly known" if not way.identified and way.sd < START_SD else known
            small = np.abs(way.weights) < TINY
            rows.append([*("0" if no else f"{value:+.2g}" for value, no in zip(step, small, strict=True)), known])
        units = self.units or ("",) * len(self.slope)
        head = [f"{n} ({unit})" if unit else n for n, unit in zip(self[0].names, units, strict=True)] if rows else []
        return "\n".join(aligned([[*head, "a step along this direction, at the estimate"], *rows]))


class Combination(NamedTuple):
    """What the data identify of several parameters together.

    Args:
        names: the parameters; the first is known but for the others.
        words: the combination, in theta.
        value: at the estimate.
        stderr: its standard error.
        unit: of both, that of the product where each parameter has one, of a sum where all have the same; else "".
    """

    names: tuple[str, ...]
    words: str
    value: float
    stderr: float
    unit: str = ""

    def __str__(self) -> str:
        names = f"{', '.join(self.names[:-1])} and {self.names[-1]}"
        value = f"{' +- '.join(written(self.value, self.stderr))} {self.unit}".rstrip()
        return f"{names} are identified only together: {self.words} = {value}"


def combined(
    space: Space,
    theta: Float[np.ndarray, " d"],
    slope: Float[np.ndarray, " d"],
    covariance: Float[np.ndarray, "d d"],
    free: Float[np.ndarray, "d k"],
    loose: np.ndarray,
) -> tuple[Combination, ...]:
    """Combine each parameter that is not identified with those that leave it open, so that the data identify the whole.

    Args:
        space: the parameters.
        theta: the estimate.
        slope: d theta / dw.
        covariance: of w.
        free: directions that are not identified, in columns.
        loose: which parameters are not identified.

    Example:
        >>> from avo.space import Real
        >>> covariance = 0.01 * np.ones((2, 2)) / 2 + 1.125 * np.array([[1, -1], [-1, 1]])
        >>> free = np.array([[1.0], [-1.0]]) / np.sqrt(2)
        >>> at, unit, loose = np.array([2.0, 3.0]), np.ones(2), np.array([True, True])
        >>> print(*combined(Space(a=Real(), b=Real()), at, unit, covariance, free, loose))
        b and a are identified only together: b + a = 5.00 +- 0.14
    """
    if not free.shape[1]:
        return ()
    pivots = _pivots(free)
    B = free @ np.linalg.inv(free[pivots])
    found = []
    for i in np.flatnonzero(loose):
        others = np.array([(p, -B[i, k]) for k, p in enumerate(pivots) if abs(B[i, k]) >= NAMED])
        if i in pivots or not len(others):
            continue
        rows = np.array([i, *others[:, 0]], int)
        weights = np.array([1.0, *others[:, 1]])
        logs = _scale(space, theta, slope, rows, weights)
        s = np.where(logs, slope[rows] / theta[rows], slope[rows])
        way = np.zeros(len(theta))
        way[rows] = s[0] * weights
        sd = float(np.sqrt(way @ covariance @ way))
        found.append(_told(space, theta, rows, _rounded(s[0] * weights / s), sd, logs))
    return tuple(found)


def _pivots(free: Float[np.ndarray, "d k"]) -> list[int]:
    """Choose one parameter for each direction: the first of those that have at least half of the greatest part.

    Example:
        >>> _pivots(np.array([[0.1, 0.0], [0.5, 0.6], [0.6, 0.5], [0.6, -0.6]]))
        [1, 3]
    """
    rest, pivots = free.copy(), []
    for _ in range(free.shape[1]):
        part = np.linalg.norm(rest, axis=1)
        pivots.append(int(np.argmax(part >= GREAT * part.max())))
        way = rest[pivots[-1]] / part[pivots[-1]]
        rest = rest - np.outer(rest @ way, way)
    return pivots


def _scale(
    space: Space, theta: np.ndarray, slope: np.ndarray, rows: np.ndarray, weights: np.ndarray
) -> Bool[np.ndarray, " k"]:
    """Choose which parameters of a combination are told by their logarithms."""
    kinds = [list(space)[i] for i in rows]
    own, every = np.array([p.logarithmic for p in kinds]), np.full(len(rows), True)
    positive = all(p.support[0] >= 0 for p in kinds)
    for logs in (own, every, ~every) if positive else (own, ~every):
        s = np.where(logs, slope[rows] / theta[rows], slope[rows])
        if _simple(s[0] * weights / s).all():
            return logs
    return own


def _simple(weights: Float[np.ndarray, " k"]) -> Bool[np.ndarray, " k"]:
    """Tell which weights are multiples of a half, but for the noise of slopes."""
    halves = np.round(2 * weights) / 2
    return (halves != 0) & (np.abs(halves) <= 3) & (np.abs(weights - halves) <= SIMPLE * np.abs(halves))


def _rounded(weights: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
    return np.where(_simple(weights), np.round(2 * weights) / 2, weights)


def _told(
    space: Space, theta: Float[np.ndarray, " d"], rows: np.ndarray, weights: np.ndarray, sd: float, logs: np.ndarray
) -> Combination:
    """Tell a combination: of logarithms as a product of powers, of others as a sum."""
    names = tuple(space.names[i] for i in rows)
    units = [space.units[i] for i in rows]
    if logs.all():
        value = float(np.exp(weights @ np.log(theta[rows])))
        words = "".join(map(_factor, names[1:], weights[1:]))
        return Combination(names, names[0] + words, value, value * sd, unit_of_product(units, weights))
    value = float(weights @ np.where(logs, np.log(np.where(logs, theta[rows], 1.0)), theta[rows]))
    terms = [f"log({name})" if log else name for name, log in zip(names, logs, strict=True)]
    words = "".join(map(_term, terms[1:], weights[1:]))
    same = "" if logs.any() or len(set(units)) > 1 or units[0] == PURE else units[0]
    return Combination(names, terms[0] + words, value, sd, same)


def unit_of_product(units: Sequence[str], powers: Float[ArrayLike, " k"]) -> str:
    """Write the unit of a product of powers; "" where one of its parts has none, or where nothing is left of them.

    Equal units are taken together, and nothing else is simplified. "1" is the unit of a pure number.

    Example:
        >>> unit_of_product(["l/h", "l"], [1, -1]), unit_of_product(["l/h", "1"], [1, -1])
        ('l/h / l', 'l/h')
        >>> [unit_of_product(*pair) for pair in ((["l", "l"], [1, 1]), (["l", "l"], [1, -1]), (["l", ""], [1, 1]))]
        ['l^2', '', '']
        >>> unit_of_product(["mg", "l/h", "h"], [1, -2, 0.5]), unit_of_product(["s", "s"], [1, -3])
        ('mg / (l/h)^2 * h^0.5', '1 / s^2')
    """
    if not all(units):
        return ""
    total: dict[str, float] = {}
    for unit, power in zip(units, np.asarray(powers, float).tolist(), strict=True):
        total[unit] = total.get(unit, 0.0) + power
    left = [(unit, power) for unit, power in total.items() if unit != PURE and abs(power) > 1e-9]
    if [power for _, power in left] == [1.0]:
        return left[0][0]
    told = ""
    for i, (unit, power) in enumerate(left):
        plain = (i == 0 and power == 1.0) or not set(unit) & set(COMPOSED)
        told += _factor(unit if plain else f"({unit})", power)
    return f"1{told}" if told.startswith(" / ") else told.removeprefix(" * ")


def _factor(name: str, power: float) -> str:
    written = f"{abs(power):.3g}"
    return f" {'*' if power > 0 else '/'} {name}" + ("" if written == "1" else f"^{written}")


def _term(name: str, weight: float) -> str:
    written = f"{abs(weight):.3g}"
    return f" {'+' if weight > 0 else '-'} {'' if written == '1' else f'{written} '}{name}"
