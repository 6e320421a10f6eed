"""The rows that a fit is given, checked once: observations, conditions, clusters, weights, and what is missing.

Rows of weight zero are left out here; what is missing is filled, and its mask put beside the conditions (avo/gaps.py).
"""

import warnings
from typing import NamedTuple

import numpy as np

from avo.alerts import warn
from avo.containers import Held, axes_of, same_rows
from avo.disk import Pages, is_large
from avo.gaps import Gaps, find_gaps, refuse_empty
from avo.observations import (
    Observed,
    kind_of,
    refuse_far,
    refuse_on_disk,
    sampled_from,
    validate_clusters,
    validate_data,
    validate_observations,
)
from avo.space import Space
from avo.weights import shares_of, validate_weights

NO_GAPS = "; values may be missing where some were in a fit with missing=True"
FEWEST = 5  # values of a column that lacks some, from which they are called constant
NAMED = 5  # columns in a warning, at most
MISSING = ", or say missing=True, by which NaN, what is masked and the ends of shorter rows are missing values"


class Given(NamedTuple):
    """What a user hands over as observations, as the arguments of `avo.fit` are called."""

    x_obs: Held
    inputs: Held | None = None
    groups: Held | None = None
    weights: Held | None = None
    missing: bool = False


def observe(given: Given, space: Space) -> tuple[Observed, np.ndarray | None]:
    """Check observations and put them together, as a fit holds them.

    Returns:
        The observations, and the conditions that the simulator gets, or None.

    Raises:
        ValueError: if an argument is not as `avo.fit` describes it.

    Example:
        >>> from avo.space import Real
        >>> given = Given([[1.0, 2.0], [np.nan, 4.0], [5.0, 6.0], [9.0, 9.0]], weights=[1, 1, 2, 0], missing=True)
        >>> with warnings.catch_warnings(action="ignore"):
        ...     observed, _ = observe(given, Space(mu=Real()))
        >>> observed.x.round(2).tolist(), observed.inputs.ravel().tolist(), observed.shares.tolist()
        ([[1.0, 2.0], [3.67, 4.0], [5.0, 6.0]], [0.0, 1.0, 0.0], [0.25, 0.25, 0.5])
    """
    if is_large(given.x_obs):
        return _sampled(given, space), None
    x, c = validate_data(given.x_obs, given.inputs, space, given.missing, MISSING)
    same_rows(x_obs=given.x_obs, inputs=given.inputs, groups=given.groups, weights=given.weights)
    weights, groups = validate_weights(given.weights, len(x)), given.groups
    if given.missing:
        refuse_empty(x)
    clusters = validate_clusters(groups, len(x), space.dim)
    if weights is not None and not weights.all():
        kept = weights > 0
        x, weights = x[kept], weights[kept]
        c, clusters = (None if a is None else a[kept] for a in (c, clusters))
        if given.missing:
            refuse_empty(x, "x_obs, where weights are above 0,")
        if clusters is not None:
            clusters = validate_clusters(clusters, len(x), space.dim)
    shares = shares_of(weights)
    gaps = find_gaps(x, c, shares)
    observed = Observed(x, c, clusters, shares)
    if gaps is not None:
        together = gaps.conditions(np.isnan(x), c)
        observed = observed._replace(x=gaps.filled(np.where(np.isnan(x), 0.0, x), together), inputs=together, gaps=gaps)
    _warn_of_few(observed, space.dim)
    _warn_of_constant(x, given.x_obs)
    return observed, c


def _sampled(given: Given, space: Space) -> Observed:
    """Check observations larger than memory, of which a sample is held."""
    refuse_on_disk(inputs=given.inputs, weights=given.weights, missing=given.missing or None)
    pages = Pages("x_obs", given.x_obs)
    x, _ = validate_data(pages.sample, None, space)
    same_rows(x_obs=given.x_obs, groups=given.groups)
    _warn_of_constant(x, given.x_obs)
    return sampled_from(pages, x, given.groups, space.dim)


def observe_new(
    x: Held, inputs: Held | None, gaps: Gaps | None, name: str, least: int = 1
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Check further observations of a fit that had such gaps.

    Returns:
        x, filled; their conditions as critic and statistic see them; those that the simulator gets.

    Raises:
        ValueError: if they are no finite numbers, differ in number, or lack what they never lacked in the fit.
    """
    given = validate_observations(x, name, least, missing=gaps is not None, advice="" if gaps is not None else NO_GAPS)
    c = None if inputs is None else validate_observations(inputs, "inputs", 1)
    refuse_far(name, given, x)
    if c is not None and len(c) != len(given):
        raise ValueError(
            f"inputs must have one row per observation: {name} has {len(given)}, inputs {len(c)}. "
            f"Their shapes are {given.shape} and {c.shape}."
        )
    if gaps is None:
        return given, c, c
    shape = gaps.fill.shape
    if given.shape[1:] != shape and given.shape[2:] == shape[1:] and given.shape[1] < shape[0]:
        ends = np.full((len(given), shape[0] - given.shape[1], *shape[1:]), np.nan)
        given = np.concatenate([given, ends], axis=1)  # rows that all are shorter than the longest of the fit
    if given.shape[1:] != shape:
        raise ValueError(f"{name} must have rows like those that were fitted, shaped {shape}; got {given.shape[1:]}.")
    if (None if c is None else c.shape[1:]) != gaps.c_shape:
        came = "none" if c is None else f"rows shaped {c.shape[1:]}"
        shape = "one number" if gaps.c_shape == () else f"shape {gaps.c_shape}"
        wanted = "none" if gaps.c_shape is None else f"the known conditions of each row, {shape}"
        raise ValueError(f"inputs must be {wanted}, as in the fit, a row for each of {name}; got {came}.")
    _refuse_rows(given, name)
    together = gaps.conditions(np.isnan(given), c, name)
    return gaps.filled(np.where(np.isnan(given), 0.0, given), together), together, c


def _refuse_rows(x: np.ndarray, name: str) -> None:
    empty = np.isnan(x).reshape(len(x), -1).all(1)
    if empty.any():
        raise ValueError(f"{name} must have a value in every row; row {int(empty.argmax())} has none. Leave it out.")


def _warn_of_constant(x: np.ndarray, held: Held) -> None:
    """Warn of observations that are all the same, and of columns of vectors, or channels of series, that are constant.

    In a series or an image single points are often constant: where it begins, at its edges.
    """
    kind = "vector" if x.ndim == 1 else kind_of(x.shape[1:])
    channels = x.shape[2] if kind == "series" and x.ndim == 3 else 1
    columns = x.reshape(len(x), -1) if kind == "vector" else x.reshape(-1, channels)
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # of a column that is missing everywhere
        low, high = np.nanmin(columns, axis=0), np.nanmax(columns, axis=0)
    present = np.sum(~np.isnan(columns), axis=0)
    same = np.flatnonzero((low == high) & ((present >= FEWEST) | (present == len(columns))))
    rows = "all rows that have it" if np.any(present[same] < len(columns)) else f"all {len(x):,} rows"
    if not len(same):
        if len(x) > 1 and np.array_equal(x, np.broadcast_to(x[:1], x.shape), equal_nan=True):
            warn(f"x_obs has the same values in {rows}: such observations do not say how x scatters. Is that so?")
        return
    if len(same) == columns.shape[1]:
        told = f"{low[0]:g}" if len(same) == 1 else "one value in each column"
        warn(f"x_obs is constant, {told} in {rows}. Is it the right file, column or unit?")
        return
    axes, word = axes_of(held), "column" if kind == "vector" else "channel"
    names = list(axes[-1].labels) if len(axes) == x.ndim - 1 and x.ndim < 4 else []
    names = names if len(names) == columns.shape[1] else [str(i) for i in range(columns.shape[1])]
    told = ", ".join(f"{names[i]} ({low[i]:g})" for i in same[:NAMED]) + (", ..." if len(same) > NAMED else "")
    warn(
        f"x_obs is constant in {word}{'s'[: len(same) > 1]} {told}, the same in {rows}. Leave out what the simulator "
        "does not vary either; a known condition belongs into inputs=."
    )


def _warn_of_few(observed: Observed, d: int) -> None:
    """Warn of fewer observations than avo is made for."""
    if (m := observed.effective) >= 5 * d:
        return
    weighted = "" if observed.shares is None else f", which weigh as {m:.3g} equal ones,"
    words = ""
    if m <= d:  # whose scores have m directions at most, one of them lost to their mean
        words = (
            " So few cannot tell the errors of all: the fit may take long, and end undetermined. Give more, or fix "
            "what is known, by a number in the space (--fix NAME=VALUE)."
        )
    warn(
        f"{len(observed.x)} observations{weighted} for {d} parameter{'s'[: d > 1]}: avo fits many observations of one "
        f"theta, at least 5 per parameter.{words} For the posterior of a single observation use a posterior tool such "
        "as sbi or BayesFlow.",
    )
