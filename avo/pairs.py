"""`fit` of stored pairs: no simulator is called; the way from pairs to a result."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from avo.adversarial.proposals import Gaussian
from avo.containers import Axis, Quantity
from avo.execution.blocks import Drawn
from avo.execution.failures import Failures, where
from avo.execution.stored import Stored
from avo.folder import Folder, digest
from avo.observations import Observed, make_frame
from avo.refine.custom import CustomStatistic, Only
from avo.refine.linear import LinearSpace
from avo.refine.reuse import solve_stored
from avo.refine.scores import NoAnswer
from avo.result import Result, load
from avo.space import Space
from avo.types import Statistic
from avo.verdict import moved, refined, saved


def refuse(**given: Any) -> None:
    """Refuse arguments of `fit` that act on simulations which are made in the fit.

    Raises:
        ValueError: if one was given.
    """
    named = [name for name, value in given.items() if value is not None]
    if named:
        raise ValueError(
            f"{', '.join(f'{name}=' for name in named)} act{'s'[: len(named) == 1]} on simulations that a fit makes, "
            "and stored pairs are all there already; leave out."
        )


def fit_stored(
    stored: Stored,
    observed: Observed,
    space: Space,
    *,
    seed: int,
    begin: Float[np.ndarray, " d"] | None,
    custom: CustomStatistic | None,
    statistic: Statistic | Only | None,
    names: tuple[tuple[Axis, ...], tuple[Axis, ...], Quantity, tuple[str, ...]],
    out: str | Path | None,
    resume: bool,
) -> Result:
    """Fit stored pairs to observations.

    Args:
        stored: the pairs.
        observed: the observations.
        space: the parameters.
        seed: how rows are parted, and randomness of the networks.
        begin: where to look first, in u; None: all over the rows.
        custom: the user's own statistic in units of the observations.
        statistic: as the user gave it.
        names: of the entries of x, of those of known conditions, of what x measures, and of its rows.
        out: folder of the result; None: nothing is written.
        resume: give back the result in `out` if it is that of this fit.

    Raises:
        ValueError: if the pairs do not belong to space and observations.
        FileExistsError: if `out` holds another run.
    """
    x, c = observed.x, observed.inputs
    drawn = stored.drawn(space, x.shape[1:], None if c is None else c.shape[1:])
    identity = {
        "seed": seed,
        "space": space.to_json(),
        "data": observed.digest,
        "stored pairs": digest(*drawn),
        "start": None if begin is None else begin.tolist(),
        "statistic": None if custom is None else custom.describe(),
    }
    folder = None if out is None else Folder(out, resume, identity)
    try:
        if folder is not None and folder.finished:
            return load(folder.path, statistic=statistic)
        if folder is not None:
            folder.claim()
        result = _solved(drawn, observed, space, seed, begin, custom)
        failed = int(np.sum(~drawn.ok))
        place = where(space.names, stored.free(space), ~drawn.ok) if failed else None
        result = replace(
            result, failures=Failures({"non-finite": failed}, place), data=observed.digest, axes=names[0],
            input_axes=names[1], quantity=names[2], labels=names[3],
        )  # fmt: skip
        if folder is not None:
            saved(result, folder)
        return result
    finally:
        if folder is not None:
            folder.close()


def _solved(
    drawn: Drawn, observed: Observed, space: Space, seed: int, begin: Float[np.ndarray, " d"] | None,
    custom: CustomStatistic | None,
) -> Result:  # fmt: skip
    """Solve the equation by the pairs; without an answer, the place where it was looked for."""
    q = Gaussian.start(space.dim)
    result = Result(
        space=space,
        proposal=q,
        critic=None,
        calls=len(drawn.u),
        failures=Failures(),
        status="budget",
        message="",
        history={},
        x_shape=observed.x.shape[1:],
        settings={"target": "point"},
        frame=make_frame(observed.x, observed.inputs),
        seed=seed,
    )
    try:
        found = solve_stored(drawn, observed, LinearSpace(space), seed=seed, custom=custom, start=begin)
    except NoAnswer as error:
        loc, why = error.loc, str(error)
    except np.linalg.LinAlgError as error:
        loc, why = None, f"the equations cannot be solved by these pairs ({error})"
    else:
        if np.isfinite(found.moved):
            return refined(result, found, [])
        loc, why = found.loc, "what the pairs near the answer say of x leaves a difference that no step explains"
    loc = begin if loc is None else loc
    return replace(result if loc is None else moved(result, loc), message=f"{why}; there is no error.")
