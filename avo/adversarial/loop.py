"""The loop over the trainer's `ask` and `tell`, with progress, checkpoints and plain errors.

With a JAX simulator a chunk of steps is one compiled program; with any other the same `ask` and `tell` run around it.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from avo.adversarial.ending import Cut, cut_short, result_of
from avo.adversarial.settings import Settings
from avo.adversarial.targets import sampling_of
from avo.adversarial.trainer import Trainer
from avo.budget import CHUNK, chunk_of
from avo.clock import stage
from avo.execution.blocks import Drawn, simulate_jax
from avo.execution.calls import Calls
from avo.execution.programs import JaxSimulator
from avo.folder import Folder, fill, leaves
from avo.progress import Course
from avo.result import Result
from avo.space import Space
from avo.types import Info, State


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
    inputs, gaps = None if state.data.inputs is None else state.data.inputs[state.pending.rows], state.data.gaps
    if gaps is None:
        x = simulate_rows(key_x, theta, inputs)
    else:
        x = gaps.filled(simulate_rows(key_x, theta, gaps.known(inputs)), inputs)
    asked = (state.pending.u, x, inputs)
    state, info = tell(state, theta, x)
    return state, (info, asked)


Chunk = Callable[[PRNGKeyArray, State, int], tuple[State, Told]]  # takes some steps, at most `CHUNK`


def _compiled_chunk(simulate: Callable, ask: Callable, tell: Callable, settings: Settings) -> Callable:
    """Make the program of some steps, for a simulator written in JAX; their number is data."""

    def rows(key_x: PRNGKeyArray, theta: Array, inputs: Array | None) -> Array:
        return simulate_jax(simulate, block_keys(key_x, settings), block_size(settings), theta, inputs)

    def chunk(key: PRNGKeyArray, state: State, steps: Array) -> tuple[State, Told]:
        dynamic, static = eqx.partition(state, eqx.is_array)

        def step(dynamic: Any) -> tuple[Any, Told]:
            state, told = _step(rows, ask, tell, key, eqx.combine(dynamic, static))
            return eqx.filter(state, eqx.is_array), told

        def body(i: Array, carry: Any) -> Any:
            dynamic, told = step(carry[0])
            return dynamic, jax.tree.map(lambda all, one: all.at[i].set(one), carry[1], told)

        _, shapes = jax.eval_shape(step, dynamic)
        room = jax.tree.map(lambda one: jnp.zeros((CHUNK, *one.shape), one.dtype), shapes)
        dynamic, told = jax.lax.fori_loop(0, steps, body, (dynamic, room))
        return eqx.combine(dynamic, static), told

    return chunk


def _taken(program: Callable, key: PRNGKeyArray, state: State, steps: int) -> tuple[State, Told]:
    """Take so many steps by a compiled program, and what these told."""
    state, told = program(key, state, jnp.asarray(steps))
    return state, jax.tree.map(lambda a: np.asarray(a)[:steps], told)


def _host_chunk(simulate: Calls, ask: Callable, tell: Callable, settings: Settings, space: Space) -> Chunk:
    """Make the same for any other simulator, which runs between `ask` and `tell`."""

    def chunk(key: PRNGKeyArray, state: State, steps: int) -> tuple[State, Told]:
        def rows(key_x: PRNGKeyArray, theta: Any, inputs: Array | None) -> Array:
            theta = space.full(np.asarray(space.free(theta)))  # what is fixed to all digits, which `ask` does not give
            return jnp.asarray(simulate(block_keys(key_x, settings), theta, inputs))

        told = []
        for _ in range(steps):
            state, each = _step(rows, ask, tell, key, state)
            told.append(each)
        return state, jax.tree.map(lambda *leaves: jnp.stack(leaves), *told)

    return chunk


class Progress(NamedTuple):
    """How far a fit has come: the last state, what each chunk of steps reported, and the last simulations."""

    state: State
    history: list[Info]
    late: list[Drawn]

    def after(self, state: State, told: Told, reuse: int) -> "Progress":
        """Add a chunk of steps; its simulations are kept if it is among the last `reuse` steps."""
        info, asked = told
        late = self.late
        if int(state.step) > int(state.horizon) - reuse:
            rows = jax.tree.map(lambda a: np.asarray(a).reshape((-1, *a.shape[2:])), asked)
            late = [*late, Drawn.of(*rows)]
        return Progress(state, [*self.history, jax.tree.map(np.asarray, info)], late)

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


@stage("adversarial steps")
def run_steps(
    simulate: Calls | JaxSimulator,
    trainer: Trainer,
    settings: Settings,
    space: Space,
    before: Progress,
    key: PRNGKeyArray,
    *,
    chunk: int,
    reuse: int,
    folder: Folder | None,
    course: Course,
) -> tuple[Progress, Result]:
    """Take the steps that are left, in chunks between which progress, checkpoints and stopping happen.

    Args:
        simulate: the simulator in JAX, or the calls of any other.
        trainer: `ask` and `tell`.
        settings: the numbers of the algorithm.
        space: the parameters.
        before: where to begin.
        key: randomness of all steps.
        chunk: steps between two looks, at most `CHUNK`.
        reuse: last steps whose simulations are kept, for refining.
        folder: where checkpoints go; None: nowhere.
        course: the bar, which moves on with them.
    """
    steps = int(before.state.horizon)
    if isinstance(simulate, Calls) and int(before.state.step):
        simulate.skip(int(before.state.step) * settings.calls)
    # The rates are part of the state, and not of the program
    arguments = trainer.ask, trainer.tell, replace(settings, rate=None)
    if host := isinstance(simulate, Calls):
        run_chunk = _host_chunk(simulate, *arguments, space)
    else:
        run_chunk = partial(_taken, simulate.quick_program(_compiled_chunk, *arguments))
    window = chunk_of(steps)  # so many steps decide whether a simulator is of use
    cut: Cut = ""
    now, lost = before, 0
    try:
        course.begin("fitting", steps * settings.calls)
        course.skip(int(before.state.step) * settings.calls)
        while not cut and int(now.state.step) < steps:
            state, told = run_chunk(key, now.state, chunk)
            now = now.after(state, told, reuse)
            cut = cut_short(now.history, settings, space, window)
            if cut == "not finite":
                break
            # Not before the first window is done: a simulator of no use leaves the folder free for the next try
            if folder is not None and int(now.state.step) >= window:
                folder.save(now.to_arrays)
            _show(course, chunk * settings.calls, now, space)
        if folder is not None and not cut:
            folder.save(now.to_arrays, force=True)  # refining may take long, and be stopped
    except KeyboardInterrupt:
        if not now.history:
            raise
        # How far the user's simulator came in the step that was cut short is not known: it counts in full
        cut, lost = "stopped", settings.calls if host else 0
        if folder is not None:
            folder.save(now.to_arrays, force=True)
    return now, result_of(now.state, now.history, settings, space, cut=cut, lost=lost)


def _show(course: Course, calls: int, now: Progress, space: Space) -> None:
    """Move the bar on, beside it the gap and the present estimate."""
    if not course.shown.disable:
        theta = zip(space.names, np.asarray(space.constrain(now.state.proposal.loc)), strict=True)
        words = ", ".join(f"{name}={value:.4g}" for name, value in theta)
        course.say(f"gap {now.history[-1].gap.mean():.3g}, {words}")
        course.update(calls)
