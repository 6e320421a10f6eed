"""What is claimed of avo beside its rivals: the ratio of errors, and the calls to twice the floor."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from avo.benchmarks.suite.methods import METHODS
from avo.benchmarks.suite.summary import AVO, REFERENCE, bootstrap, grouped, over

NEAR = 2.0  # floors, "near the floor"
UPPER = 95.0  # percentile of the one-sided limit
LEAST_SEEDS = 10  # that a rival must share with avo, where any has as many


class Race(NamedTuple):
    """avo beside its best rival: ratio of the median errors, and its upper 95 % limit over the seeds of both.

    `ideal` is that limit for the maximum likelihood in avo's place, None where it was not measured: what seeds so few
    leave to a method that uses all that the data hold. `few` are the rivals that were left out for too few seeds.
    """

    task: str
    budget: int
    rival: str
    seeds: int
    ratio: float
    upper: float
    ideal: float | None
    few: tuple[str, ...] = ()


def race(rows: Sequence[dict[str, Any]], task: str, budget: int) -> Race | None:
    """Compare avo with its best rival, on seeds that both have; None where there is none.

    The best is the one beside which avo's median error is the largest, on the same seeds: some are luckier to all.
    Rivals that share fewer than ten seeds with avo, and fewer than another does, are left out. Where no rival has an
    answer the ratio is 0, or infinite where avo has none either.
    """
    groups = grouped(rows)

    def cells(method: str, calls: int) -> dict[int, dict[str, Any]]:
        return {row["seed"]: row for row in groups.get((task, method, calls), [])}

    own = cells(AVO, budget)

    def pairs(a: dict[int, dict[str, Any]], other: str) -> np.ndarray:
        b = cells(other, budget)
        seeds = sorted(a.keys() & b.keys() & own.keys())
        return np.stack([over([one[s] for s in seeds]) for one in (a, b)], 1)

    beside = {name: pairs(own, name) for name, method in METHODS.items() if method.rival}
    least = min(LEAST_SEEDS, max(map(len, beside.values())))
    if not least:
        return None
    enough = [name for name in beside if len(beside[name]) >= least]
    best = max(enough, key=lambda name: float(_ratio(beside[name], 0)))
    upper, ideal = (
        float(bootstrap(both, _ratio, (UPPER,))[0]) if len(both) else None
        for both in (beside[best], pairs(cells(REFERENCE, 0), best))
    )
    ratio = float(_ratio(beside[best], 0))
    few = tuple(name for name in beside if len(beside[name]) < least and name in {method for _, method, _ in groups})
    return Race(task, budget, best, len(beside[best]), ratio, np.inf if upper is None else upper, ideal, few)


def _ratio(pairs: np.ndarray, axis: int) -> np.ndarray:
    """Divide medians; infinite where ours is, whatever theirs."""
    ours, theirs = np.moveaxis(np.median(pairs, axis), -1, 0)
    return np.where(np.isfinite(ours), ours / np.where(np.isfinite(ours), theirs, 1.0), np.inf)


class Reach(NamedTuple):
    """Calls to twice the floor: avo's and the best rival's, infinite where never reached, and what was tried."""

    task: str
    own: float
    rival: str
    theirs: float
    least: int
    largest: int

    @property
    def ratio(self) -> float:
        """avo's calls over the rival's; where it never got there, at most that of the most tried."""
        return self.own / min(self.theirs, self.largest)


def reach(rows: Sequence[dict[str, Any]], task: str) -> Reach | None:
    """Find the rival that comes to twice the floor first, on the budgets that avo and it were run at."""
    groups = grouped(rows)
    tried = {name: {b for t, m, b in groups if (t, m) == (task, name)} for name in METHODS}
    found = []
    for name, method in METHODS.items():
        budgets = tried[AVO] & tried[name]
        if method.rival and budgets:
            some = [row for row in rows if row.get("budget") in budgets]
            own, theirs = (calls_to(some, task, who) or np.inf for who in (AVO, name))
            found.append(Reach(task, own, name, theirs, min(budgets), max(budgets)))
    return min(found, key=lambda r: (r.theirs, -r.largest)) if found else None


def calls_to(rows: Sequence[dict[str, Any]], task: str, method: str, times: float = NEAR) -> int | None:
    """Find the least budget at which the median error is at most so many floors."""
    groups = grouped(rows)
    for (t, name, budget), group in groups.items():
        if (t, name) == (task, method) and np.median(over(group)) <= times:
            return budget
    return None
