"""Parts of the observations for training, validation and test: by time, or by whoever they are of, never by chance.

Observations of one cluster, windows of one series or beats of one person, must not lie on both sides of a split:
a model would be judged by what it has seen.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import ArrayLike, Int

from avo.checks import shaped, whole
from avo.containers import words_of


class Split(NamedTuple):
    """Row numbers of the three parts, rising."""

    train: Int[np.ndarray, "..."]
    validation: Int[np.ndarray, "..."]
    test: Int[np.ndarray, "..."]


def split(
    rows: int,
    fractions: Sequence[float] = (0.7, 0.15, 0.15),
    *,
    groups: ArrayLike | None = None,
    gap: int = 0,
    seed: int = 0,
) -> Split:
    """Choose rows for training, validation and test.

    Without groups the parts follow each other in time, as the rows do: with F_k the sum of the first k fractions, part
    k ends before row round(F_k rows), and `gap` rows after each end belong to no part. With groups each group falls
    into one part as a whole: in an order drawn by the seed, part k ends with the group where F_k rows are most nearly
    reached, and has one at least.

    Args:
        rows: number of observations.
        fractions: of training, validation and test, which add up to 1; 0 leaves a part empty.
        groups: whose each row is (a subject, a record, a day), with shape (rows,); None: rows in the order of time.
        gap: rows left out between two parts, for windows that overlap or a series that remembers.
        seed: of the order of groups.

    Returns:
        `Split`, such that `x[parts.train]` are the observations to train on.

    Raises:
        ValueError: if there are too few groups or rows for the parts, or an argument is not as described.

    Example:
        >>> split(10, (0.5, 0.2, 0.3), gap=1)
        Split(train=array([0, 1, 2, 3, 4]), validation=array([6]), test=array([8, 9]))
        >>> parts = split(6, (0.7, 0.0, 0.3), groups=["ann", "bob", "ann", "eve", "eve", "bob"])
        >>> [len(part) for part in parts]
        [4, 0, 2]
    """
    share = np.asarray(fractions, float)
    if share.shape != (3,) or not np.all(share >= 0) or not np.isclose(share.sum(), 1):
        raise ValueError(f"fractions must be three numbers of at least 0 that add up to 1; got {fractions!r}.")
    rows, gap = whole("rows", rows), whole("gap", gap, least=0)
    if groups is None:
        return _by_time(rows, share, gap)
    if gap:
        raise ValueError(f"gap is between parts in time; got gap={gap} with groups. Leave one out.")
    return _by_group(shaped("groups", words_of("groups", groups), (rows,), "one label for each row"), share, seed)


def _by_time(rows: int, share: np.ndarray, gap: int) -> Split:
    ends = np.round(np.cumsum(share) * rows).astype(int)
    parts, first = [], 0
    for end, wanted in zip(ends, share, strict=True):
        start = first + gap if first else 0
        parts.append(np.arange(start, end) if wanted else np.arange(0))
        if wanted and start >= end:
            raise ValueError(f"{rows} rows are too few for parts of {share.tolist()} with a gap of {gap} between them.")
        first = end
    return Split(*parts)


def _by_group(labels: np.ndarray, share: np.ndarray, seed: int) -> Split:
    names, member, count = np.unique(labels, return_inverse=True, return_counts=True)
    wanted = np.flatnonzero(share)
    if len(names) < len(wanted):
        raise ValueError(
            f"groups must be at least {len(wanted)}, one for each part, as no group is divided; got {len(names)}: "
            f"{', '.join(map(str, names))}."
        )
    order = np.random.default_rng(seed).permutation(len(names))
    ends, targets = np.cumsum(count[order]), np.cumsum(share[wanted]) * len(labels)
    part = np.empty(len(names), int)
    first = 0
    for k, target in enumerate(targets):
        # Each part has a group, and leaves one for each that follows
        last = len(names) - (len(wanted) - 1 - k)
        stop = first + 1 + int(np.argmin(np.abs(ends[first:last] - target))) if k < len(wanted) - 1 else len(names)
        part[order[first:stop]] = wanted[k]
        first = stop
    found: Any = [np.flatnonzero(part[member.ravel()] == k) for k in range(3)]
    return Split(*found)
