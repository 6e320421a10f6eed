"""How calls of a user's simulator fail: each is a masked row, counted by kind, and can be repeated.

Where the failures lie is said by the regions of the space that hold most of them, one or two bounds on parameters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:  # it imports JAX, and workers need none
    from jaxtyping import Bool, Float

KINDS = ("exception", "non-finite", "out of scale", "wrong shape", "timeout", "exit status", "dead worker")
FARTHEST = 1e30  # |x| beyond which a number is out of scale, and counts as failed

LIKELY = 20.0  # 2 log likelihood ratio from which a bound is no chance, for the best of hundreds of bounds tried
LEAST = 10  # failures from which it is said where they lie
STANDS_OUT = 2.0  # times as large a share as elsewhere


class CallFailed(RuntimeError):
    """A call failed; the message says at which parameters, why, and how to repeat it; `kind` is one of `KINDS`."""

    def __init__(self, message: str, kind: str = "exception") -> None:
        super().__init__(message)
        self.kind = kind


class Where(NamedTuple):
    """Where failures lie: beyond one or two bounds.

    Args:
        bounds: (name, ">" or "<", value) of each.
        share: of all failures, those there.
        there: of the calls there, those that failed.
        elsewhere: of the other calls.
    """

    bounds: tuple[tuple[str, str, float], ...]
    share: float
    there: float
    elsewhere: float

    def __str__(self) -> str:
        words = " and ".join(f"{name} {sign} {value:.3g}" for name, sign, value in self.bounds)
        share, there, elsewhere = map(_percent, (self.share, self.there, self.elsewhere))
        return f"{share} where {words}; {there} of the calls there fail, {elsewhere} elsewhere"


def _percent(share: float) -> str:
    """Write a share in whole per cent, a smaller one in two digits.

    Example:
        >>> _percent(0.494), _percent(0.00213), _percent(0.0)
        ('49 %', '0.21 %', '0 %')
    """
    return f"{100 * share:.2g} %" if 0 < share < 0.01 else f"{share:.0%}".replace("%", " %")


def where(names: Sequence[str], theta: Float[np.ndarray, "n d"], failed: Bool[np.ndarray, " n"]) -> Where | None:
    """Find where calls fail, by one bound on a parameter, or one bound inside another.

    A bound is chosen by the likelihood of a share of failures on either side of it against one share for all. None
    where failures are few, or spread evenly.

    Args:
        names: the parameters.
        theta: where the calls were.
        failed: which of them failed.

    Example:
        >>> theta = np.random.default_rng(0).uniform(0, 3, size=(4000, 2))
        >>> print(where(("mu", "sigma"), theta, theta[:, 1] > 2.1))
        100 % where sigma > 2.1; 100 % of the calls there fail, 0 % elsewhere
    """
    bounds, inside = [], np.ones(len(theta), bool)
    for _ in range(2):
        found = _bound(theta[inside], failed[inside])
        if found is None:
            break
        j, sign, value = found
        bounds = [bound for bound in bounds if bound[:2] != (names[j], sign)]  # the tighter of two bounds
        bounds.append((names[j], sign, value))
        inside &= theta[:, j] > value if sign == ">" else theta[:, j] < value
    if not bounds:
        return None
    elsewhere = float(failed[~inside].mean())
    return Where(tuple(bounds), float(failed[inside].sum() / failed.sum()), float(failed[inside].mean()), elsewhere)


def _bound(theta: Float[np.ndarray, "n d"], failed: Bool[np.ndarray, " n"]) -> tuple[int, str, float] | None:
    """Find the best single bound: parameter, the side on which more fail, its value."""
    n, k = len(failed), int(failed.sum())
    if k < LEAST or k == n:
        return None
    best = None
    for j in range(theta.shape[1]):
        order = np.argsort(theta[:, j], kind="stable")
        values, below = theta[order, j], np.cumsum(failed[order])[:-1]
        size = np.arange(1, n)
        gain = 2 * (_likelihood(below, size) + _likelihood(k - below, n - size) - _likelihood(k, n))
        gain[values[1:] == values[:-1]] = -np.inf
        i = int(gain.argmax())
        if gain[i] > (LIKELY if best is None else best[0]):
            low, high = below[i] / size[i], (k - below[i]) / (n - size[i])
            if max(low, high) > STANDS_OUT * min(low, high):
                best = gain[i], j, ">" if high > low else "<", float((values[i] + values[i + 1]) / 2)
    return None if best is None else best[1:]


def _likelihood(k: Any, n: Any) -> Any:
    """Compute the largest log likelihood of k failures among n calls."""
    p = np.clip(k / n, 1e-12, 1 - 1e-12)
    return k * np.log(p) + (n - k) * np.log(1 - p)


class Failures(dict[str, int]):
    """Kinds of failure with how many calls failed so; `summary()` says where they lie, with examples."""

    def __init__(
        self,
        counts: Mapping[str, int] | None = None,
        place: Where | None = None,
        examples: Mapping[str, tuple[int, str]] | None = None,
    ) -> None:
        super().__init__(counts or {})
        self.place, self.examples = place, dict(examples or {})

    def __reduce__(self) -> Any:
        return Failures, (dict(self), self.place, self.examples)

    def __str__(self) -> str:
        return self.summary()

    def summary(self) -> str:
        """Write each kind with its number and its first example, then where they lie."""
        if not any(self.values()):
            return "no call failed"
        lines = []
        for kind, count in sorted(self.items(), key=lambda item: -item[1]):
            if count:
                number, words = self.examples.get(kind, (None, ""))
                lines.append(f"{count:,} {kind}" + (f", first call {number}: {words}" if number is not None else ""))
        return "\n".join([*lines, *([] if self.place is None else [str(self.place)])])

    def to_json(self) -> dict[str, Any]:
        """Describe in plain values."""
        place = None if self.place is None else self.place._asdict()
        return {"counts": dict(self), "where": place, "examples": {k: list(v) for k, v in self.examples.items()}}

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> Failures:
        """Make it again."""
        place = values["where"]
        if place is not None:
            place = Where(**place | {"bounds": tuple((str(n), str(s), float(v)) for n, s, v in place["bounds"])})
        return Failures(
            values["counts"], place, {k: (int(i), str(words)) for k, (i, words) in values["examples"].items()}
        )
