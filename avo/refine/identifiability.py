"""What the data identify: directions in which theta may move, and combinations of parameters that they tell apart.

Where the data identify no more than a + 2 b, neither a nor b has an error, but a + 2 b has. Directions come from the
information (avo/refine/equation.py), in the scale of the error; combinations are told in theta itself, one for each
parameter that is known but for another:

    c_i = eta_i - sum_p B_ip (s_i / s_p) eta_p,    B = F_i. F_p.^-1,

eta theta, or log theta of logarithmic kinds, s = d eta / dw, and F the directions that are not identified, of which the
parameters p have most: along F no c_i moves.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import linalg

from avo.adversarial.proposals import START_SD
from avo.space import Space

NAMED = 0.05  # weight from which a direction's words name a parameter


class Direction(NamedTuple):
    """A direction in w, its weight on each parameter, and the standard deviation to which the data identify it."""

    weights: Float[np.ndarray, " d"]
    sd: float
    identified: bool
    names: tuple[str, ...]

    def __str__(self) -> str:
        parts = [f"{w:+.2f} {name}" for w, name in zip(self.weights, self.names, strict=True) if abs(w) >= NAMED]
        words = f"direction ({', '.join(parts)})" if len(self.weights) > 1 else self.names[0]
        if self.identified:
            return f"{words} is identified to {self.sd:.2g}"
        if self.sd < START_SD:
            return f"{words} is hardly identified by these data, to {self.sd:.2g}"
        return f"{words} is not identified by these data"


class Identifiability(tuple[Direction, ...]):
    """Orthogonal directions, the worst identified first; their units are quarters of a range, and u without bounds."""

    def __str__(self) -> str:
        return "\n".join(map(str, self))


class Combination(NamedTuple):
    """What the data identify of several parameters together.

    Args:
        names: the parameters; the first is known but for the others.
        words: the combination, in theta.
        value: at the estimate.
        stderr: its standard error.
    """

    names: tuple[str, ...]
    words: str
    value: float
    stderr: float

    def __str__(self) -> str:
        names = f"{', '.join(self.names[:-1])} and {self.names[-1]}"
        return f"{names} are identified only together: {self.words} = {self.value:.4g} +- {self.stderr:.2g}"


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
        b and a are identified only together: b + a = 5 +- 0.14
    """
    if not free.shape[1]:
        return ()
    order: Any = linalg.qr(free.T, pivoting=True)
    pivots = order[2][: free.shape[1]]
    B = free @ np.linalg.inv(free[pivots])
    logarithmic = np.array([p.logarithmic for p in space])
    s = np.where(logarithmic, slope / theta, slope)
    found = []
    for i in np.flatnonzero(loose):
        others = [(p, -B[i, k] * s[i] / s[p]) for k, p in enumerate(pivots) if abs(B[i, k]) >= NAMED]
        if i in pivots or not others:
            continue
        way = np.zeros(len(theta))
        way[i] = s[i]
        for p, weight in others:
            way[p] = weight * s[p]
        rows = [(int(i), 1.0), *((int(p), float(weight)) for p, weight in others)]
        found.append(_told(space, theta, rows, float(np.sqrt(way @ covariance @ way)), logarithmic))
    return tuple(found)


def _told(
    space: Space, theta: Float[np.ndarray, " d"], rows: list[tuple[int, float]], sd: float, logarithmic: np.ndarray
) -> Combination:
    """Tell a combination: of logarithmic parameters as a product of powers, of others as a sum."""
    names = tuple(space.names[i] for i, _ in rows)
    if all(logarithmic[i] for i, _ in rows):
        value = float(np.exp(sum(weight * np.log(theta[i]) for i, weight in rows)))
        words = "".join(_factor(name, weight) for name, (_, weight) in zip(names[1:], rows[1:], strict=True))
        return Combination(names, names[0] + words, value, value * sd)
    value = float(sum(weight * (np.log(theta[i]) if logarithmic[i] else theta[i]) for i, weight in rows))
    terms = [f"log({name})" if logarithmic[i] else name for name, (i, _) in zip(names, rows, strict=True)]
    words = "".join(_term(term, weight) for term, (_, weight) in zip(terms[1:], rows[1:], strict=True))
    return Combination(names, terms[0] + words, value, sd)


def _factor(name: str, power: float) -> str:
    written = f"{abs(power):.3g}"
    return f" {'*' if power > 0 else '/'} {name}" + ("" if written == "1" else f"^{written}")


def _term(name: str, weight: float) -> str:
    written = f"{abs(weight):.3g}"
    return f" {'+' if weight > 0 else '-'} {'' if written == '1' else f'{written} '}{name}"
