"""What a fit says of its estimate: the status in a word, the sentence why; and where the result is written."""

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from avo.alerts import warn
from avo.folder import Folder
from avo.refine.estimate import DISAGREE, UNLIKELY, Estimate, floored
from avo.refine.modes import Mode, fits, several, solutions
from avo.refine.point import STILL
from avo.result import Result, Status
from avo.space import Space


def moved(result: Result, loc: Float[np.ndarray, " d"]) -> Result:
    """Put the estimate elsewhere, in u."""
    q = result.proposal
    return replace(result, proposal=eqx.tree_at(lambda q: q.loc, q, jnp.asarray(loc, q.loc.dtype)))


def refined(result: Result, found: Estimate | None, others: list[Estimate | None], why: str = "") -> Result:
    """Put an estimate in the place of the adversarial fit's, unless there is none, or its last step says so.

    Where it does not fit, another one that does is the answer; where several do, all are named.
    """
    known = solutions([found, *others], result.space)
    if known and not fits(found):
        found = known[0]
    if found is None or not np.isfinite(found.moved):
        words = "refining found no solution near the adversarial fit, which therefore stands, without errors"
        return replace(result, status="budget", message=f"{words}; {why or 'a larger budget may help'}.")
    result = moved(result, found.loc)
    q, covariance = result.proposal, found.population_covariance
    factor = q.factor() if covariance is None else floored(covariance, 1e-3)
    modes = [Mode.of(one, result.space) for one in known]
    words = f"{several(modes)}; " if len(modes) > 1 else ""
    words += "x responds to more than the scores have learned, and a larger budget may help; " if found.hidden else ""
    words += f"the last step was {found.moved:.1f} standard errors long; simulations widen the errors by a factor "
    return replace(
        result,
        proposal=q.with_factor(jnp.asarray(factor, q.loc.dtype)),
        estimate=found,
        status=_believed(found, result.space, len(modes)),
        message=f"{words}{found.simulation_noise:.2f}.",
        elsewhere=tuple(modes[1:]),
    )


def _believed(found: Estimate, space: Space, solutions: int = 1) -> Status:
    """Say in a word how far a refined estimate, one of so many solutions, may be believed."""
    apart = found.encoded is not None and bool(np.any(np.abs(found.encoded[2]) > DISAGREE))
    if apart or (found.p_value is not None and found.p_value < UNLIKELY):
        return "misfit"
    if solutions > 1:
        return "undetermined"
    if found.moved > STILL or found.hidden:
        return "budget"
    open_ = not found.identified.all() or bool(found.unidentified(space).any())
    return "undetermined" if open_ else "converged"


def saved(result: Result, folder: Folder) -> None:
    """Write the result into the run's folder, or elsewhere where that cannot be."""
    _kept(result, folder, lambda: result.save(folder.path))


def replaced(result: Result, folder: Folder) -> None:
    """Write the result of a run that went on in the place of the earlier one; where that cannot be, elsewhere."""
    _kept(result, folder, lambda: result.replace(folder.path))


def _kept(result: Result, folder: Folder, write: Callable[[], object]) -> None:
    """Write a result; where its folder takes none, elsewhere, and where no disk has room, say that it is in memory."""
    try:
        write()
        folder.clear()
    except OSError as error:
        elsewhere = None
        try:
            elsewhere = tempfile.mkdtemp(prefix="avo-")
            words = f"the result is in {result.save(elsewhere)}."
        except OSError as other:
            if elsewhere is not None:
                shutil.rmtree(elsewhere, ignore_errors=True)
            words = (
                f"nor can a temporary folder ({other.strerror}). The result is in memory alone: make room, and save it "
                "by result.save(FOLDER)."
            )
        warn(f"{folder.path} cannot be written ({error}); {words}")
