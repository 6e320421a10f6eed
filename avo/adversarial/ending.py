"""How a run of steps ended: whether to go on, and what is said of it in the result."""

from dataclasses import asdict
from typing import Literal

import jax
import numpy as np

from avo.adversarial.settings import Settings
from avo.budget import chunk_of
from avo.execution.failures import Failures
from avo.execution.simulator import useless
from avo.result import Result, Status
from avo.sizes import by_rows
from avo.space import Space
from avo.types import Info, State

FEW_STEPS = 2000  # below, a fit that stands still may have stopped short of the answer
MOST_FAILED = 0.9  # of the simulations, beyond which steps learn nothing

Cut = Literal["", "not finite", "failed", "stopped"]  # why a run ended before its last step


def cut_short(history: list[Info], settings: Settings, space: Space, window: int) -> Cut:
    """Say why the run should end here, judged by its last chunk and, for failures, its last `window` steps.

    Raises:
        ValueError: if all simulations of the first window failed; the simulator, or the space, is of no use.
    """
    steps = sum(len(info.gap) for info in history)
    share = np.concatenate([info.failed for info in history[-window:]])[-window:].mean() / settings.calls
    if share == 1 and steps == window:
        raise useless(space, history[0].u[0], window * settings.calls)
    if not (np.isfinite(history[-1].gap).all() and np.isfinite(history[-1].u).all()):
        return "not finite"
    return "failed" if share > MOST_FAILED and steps >= window else ""


def _moving(settings: Settings, space: Space, info: Info) -> str:
    """Name the parameters whose mean over the averaged steps' first half differs from that of their second half."""
    late = max(2, int(max(settings.average, 0.1) * len(info.u)))
    u, sd = info.u[-late:], info.sd[-late:]
    drift = np.abs(u[late // 2 :].mean(0) - u[: late // 2].mean(0))
    # A short run may creep for want of steps: about rate * sd a step
    reach = settings.proposal_rate[1] * sd.sum(0) / 2
    enough = np.minimum(np.maximum(0.1, sd[-1]), 0.25 * reach)
    return ", ".join(name for name, d, limit in zip(space.names, drift, enough, strict=True) if d > limit)


def result_of(
    state: State, history: list[Info], settings: Settings, space: Space, *, cut: Cut, lost: int = 0
) -> Result:
    """Make the result of a run.

    Args:
        state: the last one.
        history: what each chunk of steps reported.
        settings: the numbers of the algorithm.
        space: the parameters.
        cut: why it ended before its last step.
        lost: calls of a step that was begun and not told.
    """
    info: Info = jax.tree.map(lambda *a: np.concatenate(a), *history)
    done = int(state.step)
    status, message = _verdict(state, info, settings, space, cut)
    return Result(
        space=space,
        proposal=state.average,
        critic=state.critic,
        calls=done * settings.calls + lost,
        failures=Failures({"non-finite": int(info.failed.sum())}),
        status=status,
        message=message,
        history={
            "calls": settings.calls * np.arange(1, done + 1),
            "gap": np.asarray(info.gap),
            "failed": np.asarray(info.failed),
            "u": np.asarray(info.u),
            "sd": np.asarray(info.sd),
            "theta": by_rows(space.constrain, info.u),
        },
        x_shape=state.data.shift.shape,
        settings=asdict(settings),
    )


def _verdict(state: State, info: Info, settings: Settings, space: Space, cut: Cut) -> tuple[Status, str]:
    """Say how the run ended, and why in a sentence."""
    done = int(state.step)
    if cut == "stopped":
        return "stopped", f"stopped by the user after {done} of {int(state.horizon)} steps."
    if cut:
        window = chunk_of(int(state.horizon))
        late = "step" if window == 1 else f"{window} steps"
        what = {
            "not finite": "the critic or the proposal was not finite",
            "failed": f"more than {MOST_FAILED:.0%} of the simulations of the last {late} were not finite",
        }[cut].replace("%", " %")
        return "failed", f"{what} around step {done}; the estimate is of no use."
    if moving := _moving(settings, space, info):
        return "budget", f"{moving} still moved at the end of {done} steps; a larger budget may help."
    if done < FEW_STEPS:
        return "budget", f"{done} steps are few, at least {FEW_STEPS} are usual; a larger budget may help."
    last = int(max(settings.average, 0.1) * done)
    return "converged", f"the estimate stood still over the last {last} of {done} steps."
