"""The loop over the trainer's `ask` and `tell`, with progress, checkpoints and plain errors.

With a JAX simulator a chunk of steps is one compiled program; with any other the same `ask` and `tell` run around it.
"""

import math
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray
from tqdm import tqdm

from avo.adversarial.settings import Settings
from avo.adversarial.targets import sampling_of
from avo.adversarial.trainer import Trainer
from avo.budget import CHUNK, LEAST_STEPS
from avo.execution.blocks import Drawn, simulate_host, simulate_jax
from avo.execution.host import HostSimulator
from avo.folder import Folder, fill, leaves
from avo.result import Result
from avo.space import Space
from avo.types import Info, State

FEW_STEPS = 2000  # below, a fit that stands still may have stopped short of the answer


def block_size(settings: Settings) -> int:
    """Compute the rows per block: as many as divide both the critic's batch and the pairs."""
    return math.gcd(settings.batch, settings.pairs)


def block_keys(key: PRNGKeyArray, settings: Settings) -> PRNGKeyArray:
    """Make one key per block of rows; of mirrored pairs u+ and u- share theirs, hence their random numbers."""
    size, sampling = block_size(settings), sampling_of(settings)
    critic = settings.critic_steps * settings.batch // size
    keys = jax.random.split(key, critic + sampling.own // size)
    return jnp.concatenate([keys[:critic], sampling.shared(keys[critic:])])


Told = tuple[Info, tuple[Array, Array, Array | None]]  # and a step's simulations: u, x, known conditions


def _step(
    simulate_rows: Callable, ask: Callable, tell: Callable, key: PRNGKeyArray, state: State
) -> tuple[State, Told]:
    key_ask, key_x = jax.random.split(jax.random.fold_in(key, state.step))
    theta, state = ask(key_ask, state)
    assert state.pending is not None
    inputs = None if state.data.inputs is None else state.data.inputs[state.pending.rows]
    x = simulate_rows(key_x, theta, inputs)
    asked = (state.pending.u, x, inputs)
    state, info = tell(state, theta, x)
    return state, (info, asked)


@eqx.filter_jit
def _compiled_chunk(
    simulate: Callable, ask: Callable, tell: Callable, settings: Settings, steps: int, key: PRNGKeyArray, state: State
) -> tuple[State, Told]:
    def rows(key_x: PRNGKeyArray, theta: Array, inputs: Array | None) -> Array:
        return simulate_jax(simulate, block_keys(key_x, settings), block_size(settings), theta, inputs)

    dynamic, static = eqx.partition(state, eqx.is_array)

    def body(dynamic: Any, _: None) -> tuple[Any, Told]:
        state, told = _step(rows, ask, tell, key, eqx.combine(dynamic, static))
        return eqx.filter(state, eqx.is_array), told

    dynamic, told = jax.lax.scan(body, dynamic, None, length=steps)
    return eqx.combine(dynamic, static), told


def _host_chunk(
    simulate: Callable, ask: Callable, tell: Callable, settings: Settings, steps: int, key: PRNGKeyArray, state: State
) -> tuple[State, Told]:
    x_shape = state.data.shift.shape

    def rows(key_x: PRNGKeyArray, theta: Array, inputs: Array | None) -> Array:
        x = simulate_host(simulate, block_keys(key_x, settings), block_size(settings), theta, inputs)
        if x.shape[1:] != x_shape:
            raise ValueError(
                f"the simulator must return x shaped like a row of x_obs: expected {x_shape} for each theta, "
                f"got {x.shape[1:]}."
            )
        return jnp.asarray(x)

    told = []
    for _ in range(steps):
        state, each = _step(rows, ask, tell, key, state)
        told.append(each)
    return state, jax.tree.map(lambda *leaves: jnp.stack(leaves), *told)


class Progress(NamedTuple):
    """How far a fit has come: the last state, what each chunk of steps reported, and the last simulations."""

    state: State
    history: list[Info]
    late: list[Drawn]

    def to_arrays(self) -> dict[str, Any]:
        """Name all arrays, for a checkpoint; the observations are not among them."""
        infos = jax.tree.map(lambda *a: np.concatenate(a), *self.history)
        arrays = leaves("state", self.state._replace(data=None)) | leaves("info", infos)
        if self.late:
            joined = Drawn.joined(self.late)._asdict()
            arrays |= {f"late.{name}": a for name, a in joined.items() if a is not None}
        return arrays

    @staticmethod
    def from_arrays(state: State, arrays: dict[str, np.ndarray] | None) -> "Progress":
        """Continue from what `to_arrays` gave, `state` being the fit's first one; begin where there is nothing."""
        if arrays is None:
            return Progress(state, [], [])
        if not {f"info.{i}" for i in range(len(Info._fields))} <= arrays.keys():
            raise ValueError("the folder's checkpoint is not one of this fit; delete the folder to start anew.")
        arguments: Any = [arrays[f"info.{i}"] for i in range(len(Info._fields))]
        kept: Any = [arrays.get(f"late.{name}") for name in Drawn._fields]
        late = [Drawn(*kept)] if "late.u" in arrays else []
        restored = fill("state", state._replace(data=None), arrays)._replace(data=state.data)
        return Progress(restored, [Info(*arguments)], late)


def run_steps(
    simulate: Any,
    trainer: Trainer,
    settings: Settings,
    space: Space,
    before: Progress,
    key: PRNGKeyArray,
    *,
    chunk: int,
    reuse: int,
    folder: Folder | None,
    progress: bool,
) -> tuple[Progress, Result]:
    """Take the steps that are left, in chunks between which progress, checkpoints and stopping happen.

    Args:
        simulate: the simulator, compiled or `HostSimulator`.
        trainer: `ask` and `tell`.
        settings: the numbers of the algorithm.
        space: the parameters.
        before: where to begin.
        key: randomness of all steps.
        chunk: steps of one compiled program.
        reuse: last steps whose simulations are kept, for refining.
        folder: where checkpoints go; None: nowhere.
        progress: show a bar, on a terminal.
    """
    state, history, late = before
    run_chunk = _host_chunk if isinstance(simulate, HostSimulator) else _compiled_chunk
    steps, status, cut = int(state.horizon), "", 0
    window = min(steps // LEAST_STEPS, CHUNK)  # so many steps decide whether a simulator is of use
    # tqdm's None: silent when not on a terminal
    bar = tqdm(
        total=steps, initial=int(state.step), unit=" steps", disable=None if progress else True, dynamic_ncols=True
    )
    try:
        with bar:
            while int(state.step) < steps:
                state, (info, asked) = run_chunk(simulate, trainer.ask, trainer.tell, settings, chunk, key, state)
                history.append(jax.tree.map(np.asarray, info))
                if int(state.step) > steps - reuse:
                    late.append(Drawn.of(*jax.tree.map(lambda a: np.asarray(a).reshape((-1, *a.shape[2:])), asked)))
                share = np.concatenate([i.failed for i in history[-window:]])[-window:].mean() / settings.calls
                if share == 1 and int(state.step) == window:
                    raise _useless(history[0], space, window * settings.calls)
                if not (np.isfinite(history[-1].gap).all() and np.isfinite(history[-1].u).all()):
                    status = "not finite"
                    break
                # Not before the first window is done: a simulator of no use leaves the folder free for the next try
                if folder is not None and int(state.step) >= window:
                    folder.save(Progress(state, history, late).to_arrays)
                bar.update(chunk)
                if not bar.disable:
                    now = zip(space.names, np.asarray(space.constrain(state.proposal.loc)), strict=True)
                    words = ", ".join(f"{name}={value:.4g}" for name, value in now)
                    calls = int(state.step) * settings.calls
                    bar.set_postfix_str(f"gap {history[-1].gap.mean():.3g}, {calls:,} calls, {words}")
                if share > 0.9 and int(state.step) >= window:
                    status = "failed"
                    break
        if folder is not None and not status:
            folder.save(Progress(state, history, late).to_arrays, force=True)  # refining may take long, and be stopped
    except KeyboardInterrupt:
        if not history:
            raise
        # How far the user's simulator came in the step that was cut short is not known: it counts in full
        status, cut = "stopped", settings.calls if isinstance(simulate, HostSimulator) else 0
        if folder is not None:
            folder.save(Progress(state, history, late).to_arrays, force=True)
    done = Progress(state, history, late)
    return done, _result(settings, space, done, status, cut)


def _useless(first: Info, space: Space, calls: int) -> ValueError:
    theta = dict(zip(space.names, np.asarray(space.constrain(first.u[0])).tolist(), strict=True))
    return ValueError(
        f"simulate returned NaN or infinity in all of its first {calls} draws, at parameters such as {theta}; "
        "check that it works there, or narrow the space."
    )


def _moving(settings: Settings, space: Space, info: Info) -> str:
    """Name the parameters whose mean over the averaged steps' first half differs from that of their second half."""
    late = max(2, int(max(settings.average, 0.1) * len(info.u)))
    u, sd = info.u[-late:], info.sd[-late:]
    drift = np.abs(u[late // 2 :].mean(0) - u[: late // 2].mean(0))
    # A short run may creep for want of steps: about rate * sd a step
    reach = settings.proposal_rate[1] * sd.sum(0) / 2
    enough = np.minimum(np.maximum(0.1, sd[-1]), 0.25 * reach)
    return ", ".join(name for name, d, limit in zip(space.names, drift, enough, strict=True) if d > limit)


def _result(settings: Settings, space: Space, found: Progress, status: str, cut: int) -> Result:
    state, history, _ = found
    info: Info = jax.tree.map(lambda *a: np.concatenate(a), *history)
    done, calls, failed = int(state.step), int(state.step) * settings.calls + cut, int(info.failed.sum())
    message = {
        "not finite": f"the critic or the proposal was not finite around step {done}; the estimate is of no use.",
        "failed": f"more than 90 % of the simulations were not finite around step {done}; the estimate is of no use.",
        "stopped": f"stopped by the user after {done} of {int(state.horizon)} steps.",
    }.get(status, "")
    if not status and (moving := _moving(settings, space, info)):
        status, message = "budget", f"{moving} still moved at the end of {done} steps; a larger budget may help."
    elif not status and done < FEW_STEPS:
        status, message = "budget", f"{done} steps are few, at least {FEW_STEPS} are usual; a larger budget may help."
    elif not status:
        last = int(max(settings.average, 0.1) * done)
        status, message = "converged", f"the estimate stood still over the last {last} of {done} steps."
    return Result(
        space=space,
        proposal=state.average,
        critic=state.critic,
        calls=calls,
        failures={"non-finite": failed},
        status="failed" if status == "not finite" else status,  # pyright: ignore[reportArgumentType]
        message=message,
        history={
            "calls": settings.calls * np.arange(1, done + 1),
            "gap": np.asarray(info.gap),
            "failed": np.asarray(info.failed),
            "u": np.asarray(info.u),
            "sd": np.asarray(info.sd),
            "theta": np.asarray(space.constrain(info.u)),
        },
        x_shape=state.data.shift.shape,
        settings=asdict(settings),
    )
