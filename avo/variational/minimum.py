"""What `avo.minimize` returns: where f is least, how low it is there, and whether to believe it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from scipy import stats

from avo.adversarial.proposals import Gaussian
from avo.budget import CHUNK
from avo.execution.failures import Failures
from avo.parameters import TURN
from avo.space import Space
from avo.tables import aligned, html_table, rounded
from avo.variational.natural import Told

WINDOW = 0.2  # of all steps, over which f is averaged to say whether it still falls
FIRST = 20  # steps, at most, over which it is averaged where it began
CHANCE = 2.0  # standard errors that count as chance
UNLIKELY = 0.01  # of chance alone

AWAY = 1e6  # |u|, or a standard deviation, beyond which a parameter without bounds has run away

End = Literal["", "point", "same", "away"]  # why a search ends before its last step
Ending = Literal["converged", "noise", "flat", "budget", "stopped"]


@dataclass(frozen=True, eq=False, repr=False)
class Minimum:
    """Where a function is least, as far as its calls tell.

    Args:
        space: the parameters.
        theta: where f was found lowest, with shape (d,), in physical units, counts whole.
        value: f there, the mean over calls that were made for nothing else; NaN where the search was stopped.
        error: standard error of `value`; zero where f has no noise.
        proposal: q(u; psi) after the last step.
        calls: how often f was called, for all purposes.
        failures: kind of failure -> number of calls.
        status: how far to believe it. "converged": q has narrowed to a point, or to where f is everywhere the same;
            "noise": f falls no more by what can be told from its noise; "flat": nothing lower was found than where it
            began; "budget": f still fell, or q was still wide; "stopped", by the user.
        message: the sentence why.
        history: name -> array over steps: calls, value (the mean over q), low (the least), failed, agreement (of ranks
            of repeated calls: 1 where f has no noise, 0 where there is nothing else); theta, u and sd of q with one
            column per parameter.
        seed: of the search.
    """

    space: Space
    theta: Float[np.ndarray, " d"]
    value: float
    error: float
    proposal: Gaussian
    calls: int
    failures: Failures
    status: Ending
    message: str
    history: Mapping[str, np.ndarray]
    seed: int

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={self._written(name, 5)}" for name in self.names)
        return f"Minimum({self.value:.5g} at {values}; {self.status} after {self.calls:,} calls)"

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the free parameters, in the order of theta."""
        return self.space.names

    @property
    def spread(self) -> Float[np.ndarray, " d"]:
        """Half the distance between theta at q's centre plus and minus one standard deviation of u.

        It is how finely q searched at the end, and no error of theta.
        """
        loc, sd = np.asarray(self.proposal.loc), np.asarray(self.proposal.sd())
        ends = [np.asarray(self.space.constrain(loc + sign * sd), float) for sign in (1, -1)]
        wide = np.abs(ends[0] - ends[1]) / 2
        turn = np.where(self.space.angles, self.space.periods, 0.0)
        return np.where(self.space.angles, np.minimum(sd * turn / TURN, turn / 2), wide)

    def summary(self) -> str:
        """Write theta with q's spread as a table, then the value, how it ended, and the calls."""
        failed = ", ".join(f"{n:,} {kind}" for kind, n in self.failures.items() if n)
        failed = f", of which failed: {failed}" if failed else ""
        if failed and self.failures.place is not None:
            failed += f"; {self.failures.place}"
        calls = f"{self.calls:,} calls{failed}"
        return "\n".join([*aligned(self._table()), "", self._value(), f"{self.status}: {self.message}", calls])

    def _repr_html_(self) -> str:
        """Show the table of `summary` in a notebook."""
        return html_table(self._table(), [self._value(), f"{self.status}: {self.message}"])

    def _table(self) -> list[list[str]]:
        rows = [["parameter", "theta", "spread of q", "unit"]]
        for name in self.space.columns:
            cells = [f"{self.space[name].value:.5g} (fixed)", ""] if name in self.space.fixed else self._cells(name)
            rows.append([name, *cells, self.space[name].unit])
        return rows

    def _cells(self, name: str) -> list[str]:
        at = self.names.index(name)
        return [self._written(name, 6), f"{self.spread[at]:.2g}"]

    def _written(self, name: str, digits: int) -> str:
        """Write theta of a parameter; a count with all its digits."""
        value = float(self.theta[self.names.index(name)])
        return f"{value:.0f}" if name in self.space.count_names else f"{value:.{digits}g}"

    def _value(self) -> str:
        if not np.isfinite(self.value):
            return "f there was not measured"
        if not self.error:
            return f"f = {self.value:.6g}, without noise"
        return f"f = {rounded(self.value, self.error)} +- {rounded(self.error, self.error)}"


def narrow(space: Space, proposal: Gaussian, tolerance: float) -> bool:
    """Say whether q is as good as a point: in each coordinate narrower than `tolerance` of its range.

    Of a parameter with two bounds the range is theirs; of a count a tenth of a whole number is enough; of others the
    width is in u, relative to |u| beyond 1.

    Example:
        >>> from avo.space import Count, Interval
        >>> q = Gaussian.start(2, sd=0.05)
        >>> [narrow(Space(a=Interval(0, 1), n=Count(0, most)), q, 0.1) for most in (4, 40)]
        [True, False]
    """
    loc, sd = np.asarray(proposal.loc, float), np.asarray(proposal.sd(), float)
    slope = np.exp(-np.abs(loc)) / (1 + np.exp(-np.abs(loc))) ** 2
    width = sd * np.where(space.bounded, slope, 1 / np.maximum(np.abs(loc), 1.0))
    ranges = np.array([np.ptp(p.support) if whole else 1.0 for p, whole in zip(space, space.counts, strict=True)])
    return bool(np.all(width * ranges < np.where(space.counts, 0.1, tolerance)))


def joined(told: Sequence[Told]) -> Told:
    """Put what steps told behind one another."""
    return Told(*(np.concatenate(a) for a in zip(*told, strict=True)))  # pyright: ignore[reportArgumentType]


def same(parts: Sequence[Told], least: int = 1) -> bool:
    """Say whether f was the same, to rounding, at all points of some steps, so many at least, none of which failed."""
    told = joined(parts)
    if len(told.value) < least or np.any(told.failed):
        return False
    ends = np.abs(np.stack([told.low, told.high]))
    return bool(np.max(told.high) - np.min(told.low) <= 4 * np.finfo(ends.dtype).eps * np.max(ends))


def early(space: Space, proposal: Gaussian, tolerance: float, parts: Sequence[Told]) -> End:
    """Say whether a search is at its end: q a point, or beyond all scales, or f the same in the last chunk of steps."""
    if not _near(np.stack([proposal.loc, proposal.sd()])).all():
        return "away"
    if narrow(space, proposal, tolerance):
        return "point"
    return "same" if same(parts, CHUNK) else ""


def _near(u: Any) -> np.ndarray:
    return np.abs(np.asarray(u, float)) < AWAY  # NaN is not


def ending(told: Told, error: float, end: End, space: Space) -> tuple[Ending, str]:
    """Say how a search ended, and why in a sentence.

    Args:
        told: what all steps told.
        error: standard error of f at the answer; zero: no noise.
        end: why the search ended before its last step; "": it did not.
        space: the parameters.
    """
    steps = len(told.value)
    sd = ", ".join(f"{name} {s:.2g}" for name, s in zip(space.names, told.sd[-1], strict=True))
    if same([told]):
        return "flat", f"f was the same at all points that {steps} steps drew; it may be lower elsewhere."
    if end == "away":
        near = np.atleast_1d(_near([told.u[-1], told.sd[-1]]).all(axis=0))
        gone = ", ".join(name for name, one in zip(space.names, near, strict=True) if not one)
        return "budget", (
            f"{gone} went beyond {AWAY:g} times the scale given: f falls without end there, or the scale is "
            "far too small; give bounds, or another scale."
        )
    if end and not error:
        what = "q is a point" if end == "point" else "f is the same, to rounding, wherever q draws"
        return "converged", f"after {steps} steps {what} (sd in u: {sd})."
    if not error:
        return "budget", f"q was still wide after {steps} steps (sd in u: {sd}); a larger budget may help."
    window = max(int(WINDOW * steps), 2)
    first = min(window, FIRST)
    late, before, began = (told.value[at] for at in (slice(-window, None), slice(-2 * window, -window), slice(first)))
    if _fell(before, late):
        return "budget", f"f still fell over the last {2 * window} of {steps} steps; a larger budget may help."
    if not _fell(began, late):
        return "flat", (
            f"f was no lower over the last {window} of {steps} steps than over the first {first}, by what can be told "
            "from its noise: it is flat here, or its noise hides what there is."
        )
    return "noise", (
        f"f fell no more over the last {window} of {steps} steps by what can be told from its noise (repeated calls "
        f"agree in rank by {max(float(told.agreement[-1]), 0):.2f}); theta lies somewhere within q (sd in u: {sd})."
    )


def _fell(before: Any, after: Any) -> bool:
    """Say whether f fell from some steps to others, by more than chance: the test of Mann and Whitney, of ranks too."""
    before, after = before[np.isfinite(before)], after[np.isfinite(after)]
    if min(len(before), len(after)) == 0:
        return False
    return bool(stats.mannwhitneyu(before, after, alternative="greater").pvalue < UNLIKELY)
