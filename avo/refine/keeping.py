"""What a finished fit keeps of its last simulations and of the observations: `Kept`, chosen."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from avo.execution.blocks import Drawn
from avo.observations import Observed
from avo.refine.equation import Equation, covariance_of_mean
from avo.refine.kept import LEVELS, Kept, evenly, view_of
from avo.refine.statistic import LearnedStatistic, apply
from avo.weights import covariance_of_weighted_mean, mean_of, quantiles_of, weights_of_values

ROWS, NUMBERS = 20_000, 500_000  # rows of simulations, and numbers in all of them, at most: 2 MB
OBSERVED_ROWS, OBSERVED_NUMBERS = 1000, 60_000
THERE = 0.3  # share of the rows that are simulations at the estimate


def keep(
    equation: Equation, there: Drawn, around: Sequence[Drawn], u: Callable[[Any], Any],
    encoder: LearnedStatistic | None = None,
) -> Kept | None:  # fmt: skip
    """Choose what a finished fit keeps.

    Args:
        equation: the equation that was solved, with the observations and t.
        there: simulations at the estimate.
        around: simulations around it, each part of which gets as large a share as it has rows for.
        u: leads from the coordinates of the draws to u.
        encoder: of a population, x -> E[theta | x].

    Returns:
        What is kept; None if no simulation at the estimate, or none around it, succeeded.
    """
    observed, statistic = equation.observed, equation.statistic
    view = view_of(observed.x.shape[1:])
    known = _known(observed.inputs, observed)
    width = math.prod(view.shape) + there.u.shape[1] + equation.t_obs.shape[1]
    width += 0 if known is None else known.shape[1]
    rows = min(ROWS, NUMBERS // width)
    near = _succeeded(there, int(THERE * rows))
    beside = [_succeeded(part, (rows - len(near.u)) // len(around)) for part in around]
    if not len(near.u) or not all(len(part.u) for part in beside):
        return None
    u_rows, x, inputs, _ = Drawn.joined([near, *beside])
    at = evenly(len(observed.x), min(OBSERVED_ROWS, OBSERVED_NUMBERS // math.prod(view.shape)))
    # What is missing was filled for the critic and the scores; who draws it must see that it is not there
    bare = x if observed.gaps is None else observed.gaps.bare(x, inputs)
    own = view(observed.bare)
    c = None if observed.inputs is None else observed.inputs[at]
    return Kept(
        u=_small(u(u_rows)),
        x=_small(view(bare)),
        t=_small(apply(statistic, x, inputs)),
        there=len(near.u),
        observed=_small(own[at]),
        encoded=None if encoder is None else _small(apply(encoder, observed.x[at], c)),
        quantiles=_small(_quantiles(own, observed.shares)),
        moments=_small(_moments(own, observed)),
        scores=_small(_mean_and_error(equation.t_obs, observed)),
        rows=len(observed.x),
        inputs=_known(inputs, observed),
        observed_inputs=None if known is None else known[at],
        shares=None if observed.shares is None else _small(observed.shares[at] / observed.shares[at].sum()),
    )


def _known(c: np.ndarray | None, observed: Observed) -> Float[np.ndarray, "n c"] | None:
    """Show those conditions of rows that the simulator gets, as x is shown; None where it gets none."""
    own = c if c is None or observed.gaps is None else observed.gaps.known(c)
    return None if own is None else _small(view_of(own.shape[1:])(own))


def _succeeded(drawn: Drawn, rows: int) -> Drawn:
    """Take the first rows that succeeded: they are independent of one another, whichever are taken."""
    at = np.flatnonzero(drawn.ok)[:rows]
    u, x, inputs, ok = (None if a is None else a[at] for a in drawn)
    assert u is not None and x is not None and ok is not None
    return Drawn(u, x, inputs, ok)


def _small(a: Any) -> np.ndarray:
    """Make it single precision, but for numbers beyond that, such as squares of 1e20."""
    a = np.asarray(a)
    far = np.abs(np.nan_to_num(a, posinf=0.0, neginf=0.0)).max(initial=0.0) > np.finfo(np.float32).max
    return np.asarray(a, np.float64 if far else np.float32)


def _mean_and_error(values: Float[np.ndarray, "m k"], observed: Observed) -> Float[np.ndarray, "2 k"]:
    """Compute means, and their standard errors, over observations or clusters of them, of what is there of each."""
    if not np.isnan(values).any():
        covariance = covariance_of_mean(values, observed.clusters, observed.shares)
        return np.stack([observed.mean(values), np.sqrt(np.diagonal(covariance))])
    found = np.full((2, values.shape[1]), np.nan)
    weights = weights_of_values(values, observed.shares)
    for j, (column, weight) in enumerate(zip(np.nan_to_num(values).T, weights.T, strict=True)):
        if weight.any():
            share, column = weight / weight.sum(), column[:, None]
            variance = covariance_of_weighted_mean(column, share, observed.clusters)[0, 0]
            found[:, j] = mean_of(column, share)[0], np.sqrt(variance)
    return found


def _quantiles(own: Float[np.ndarray, "m k"], shares: Float[np.ndarray, " m"] | None) -> Float[np.ndarray, "q k"]:
    """Compute quantiles of the observations, by their weights, of what is there of each number."""
    if shares is None and not np.isnan(own).any():
        return np.quantile(own, LEVELS, axis=0)
    return quantiles_of(own, weights_of_values(own, shares), np.asarray(LEVELS))


def _moments(own: Float[np.ndarray, "m k"], observed: Observed) -> Float[np.ndarray, "4 k"]:
    mean = _mean_and_error(own, observed)
    return np.concatenate([mean, _mean_and_error((own - mean[0]) ** 2, observed)])
