"""The stages of a run: the search, the adversarial steps, the refining; and what is told of them."""

import sys
from contextlib import suppress
from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PRNGKeyArray
from tqdm import tqdm

from avo.adversarial.loop import Progress, block_size, run_steps
from avo.adversarial.trainer import Trainer
from avo.budget import ENDS_SHARE, PROBES, REUSE, for_mode, further, least_refining, searched_from
from avo.execution.blocks import Drawn, Draws
from avo.execution.calls import Calls
from avo.execution.failures import Failures, where
from avo.execution.pace import TRAINING, as_time
from avo.execution.store import Store
from avo.execution.stored import to_u
from avo.folder import Folder
from avo.further import bettered, chosen, settled
from avo.observations import make_frame
from avo.progress import Course
from avo.refine.custom import Only
from avo.refine.estimate import Estimate
from avo.refine.point import solve_point
from avo.refine.population import solve_population
from avo.refine.scores import NoAnswer, Normal
from avo.result import Result, load
from avo.search.region import Region, nearer, search
from avo.sizes import by_rows
from avo.task import Task
from avo.types import State, Statistic
from avo.verdict import moved, refined, replaced, saved

BEGUN = 0.3  # standard deviation of q in u where the steps begin at a place that a search, or the user, found
REFINE = 2**31 - 1  # names the key of refining; steps have the numbers below
FURTHER = 2**31 - 2  # that of further calls of a finished run


def run_stages(
    task: Task, trainer: Trainer, folder: Folder | None, statistic: Statistic | Only | None, progress: bool
) -> Result:  # fmt: skip
    """Search, take the adversarial steps, and refine, or read what a finished run found; then go on, if need be."""
    key_init, key_run = jax.random.split(jax.random.key(task.seed))
    state = trainer.init(key_init)
    finished = folder is not None and folder.finished
    with Course(0 if finished else task.plan.calls(task.settings.calls), progress) as course:
        if folder is not None and finished:
            result = _read(folder, state, statistic)
        else:
            result = _run(task, trainer, state, folder, key_run, course)
        return result if result.status == "stopped" else _further(task, key_run, result, folder, course)


def _read(folder: Folder, state: State, statistic: Statistic | Only | None) -> Result:
    """Read the result of a run that is done, which may have been killed at its very end."""
    folder.clear()
    with suppress(ValueError, OSError):
        Store(folder.calls, None).close()
    return load(folder.path, like=(state.proposal, state.critic), statistic=statistic)


def _run(
    task: Task, trainer: Trainer, state: State, folder: Folder | None, key: PRNGKeyArray, course: Course
) -> Result:  # fmt: skip
    """Search, take the adversarial steps, and refine; what is finished is in the folder."""
    if folder is not None:
        folder.claim()
        if isinstance(task.simulate, Calls):
            task.simulate.store = Store(folder.calls, folder.identity)
    draws = _draws(task, jax.random.fold_in(key, REFINE))
    draws.tick = course.update
    if isinstance(task.simulate, Calls) and task.plan.refine:
        _probe(task, task.simulate, draws, course)
    region = None
    if task.plan.search:
        course.begin("searching", task.plan.search)
        region = search(
            draws, task.observed.sample, budget=task.plan.search, seed=task.seed, custom=task.custom, start=task.begin
        )
    searched = draws.calls if task.plan.search else 0  # without it, there are the probes alone
    state = begun(state, task.begin if region is None else region.q.loc)
    before = Progress.from_arrays(state, None if folder is None else folder.restore())
    done, result = run_steps(
        task.simulate, trainer, task.settings, task.space, before, key,
        chunk=task.plan.chunk, reuse=task.plan.reuse, folder=folder, course=course,
    )  # fmt: skip
    result = _described(task, result)
    if task.plan.refine and result.status not in ("stopped", "failed"):
        course.begin("refining", task.plan.refine, after="checking")
        result = _refine(task, draws, region, result, done.late)
    if result.status == "converged" and result.estimate is None:
        words = "the budget is too small for errors" if task.refine else "no error was asked for (refine=False)"
        result = replace(result, status="budget", message=f"{result.message.rstrip('.')}; {words}.")
    least = searched_from(block_size(task.settings), task.space.dim)
    if result.status == "misfit" and task.settings.target == "point" and result.calls + draws.calls < least:
        words = f"The space was not searched, which takes a budget of {least:,} calls: the answer may be elsewhere."
        result = replace(result, message=f"{result.message} {words}")
    if result.estimate is None and task.space.known:
        result = replace(result, message=f"{result.message} What is known by prior= has had no part in the estimate.")
    failures = _failures(task, draws, region, result)
    phases = {"search": searched, "steps": result.calls, "refine": draws.calls - searched}
    result = replace(result, calls=result.calls + draws.calls, failures=failures, phases=phases)
    if folder is not None and result.status != "stopped":
        saved(result, folder)
    return result


def _draws(task: Task, key: PRNGKeyArray) -> Draws:
    """Say where simulations come from, besides those of the steps."""
    x, c, _, shares, gaps, _ = task.observed
    return Draws(task.simulate, task.space, key, block_size(task.settings), x.shape[1:], c, shares=shares, gaps=gaps)


def _probe(task: Task, simulate: Calls, draws: Draws, course: Course) -> None:
    """Make the first calls of a simulator outside JAX, which show what cannot work, and say how long all will take."""
    c, gaps = task.observed.inputs, task.observed.gaps
    middle = task.space.full(np.asarray(task.space.constrain(jnp.zeros(task.space.dim)), float))
    first = None if c is None else c[0] if gaps is None else gaps.known(c[0])
    each = simulate.probe(jax.random.fold_in(draws.key, REFINE), middle, first)
    draws.calls += PROBES
    if not course.shown.disable and sys.stderr.isatty():
        tqdm.write(_forecast(simulate, each, task.plan.calls(task.settings.calls)), file=sys.stderr)


def _described(task: Task, result: Result) -> Result:
    """Put into a result what it says of the task."""
    x, c, _, shares, gaps, _ = task.observed
    return replace(
        result,
        frame=make_frame(task.observed.bare, c, task.settings.standardize, shares),
        seed=task.seed,
        data=task.observed.digest,
        axes=task.axes,
        input_axes=task.input_axes,
        quantity=task.quantity,
        labels=task.labels,
        gaps=gaps,
        lacking=None if gaps is None else (int(np.isnan(task.observed.bare).sum()), x.size),
        weighted=None if shares is None else (len(x), task.observed.effective),
        budget=task.budget,
    )


def _further(task: Task, key: PRNGKeyArray, result: Result, folder: Folder | None, course: Course) -> Result:
    """Let a finished run go on: to the calls that it was given since, or, without a budget, until it has an answer."""
    key, before = jax.random.fold_in(key, FURTHER), -1
    if task.whole:
        return _continued(task, key, result, folder, task.whole - result.calls, course)
    while task.open and result.calls > before and not settled(result):
        before = result.calls
        result = _continued(task, key, result, folder, further(before), course)
    return result


def _continued(
    task: Task, key: PRNGKeyArray, result: Result, folder: Folder | None, calls: int, course: Course
) -> Result:
    """Let a finished run go on with so many calls; give back its result where they are too few.

    Raises:
        ValueError: if the run cannot use them.
    """
    observed, space = task.observed, task.space
    size = block_size(task.settings)
    if calls <= 0 or (task.refine and calls < least_refining(calls, task.settings.target, size, space.dim)):
        return result
    if not task.refine:
        assert folder is not None
        raise ValueError(f"the run in {folder.path} was made with refine=False, and further calls refine; fit anew.")
    draws = _draws(task, jax.random.fold_in(key, result.calls % REFINE))
    draws.tick = course.update
    pool = []
    if isinstance(task.simulate, Calls) and folder is not None:
        task.simulate.store = Store(folder.calls, folder.identity)
        kept = task.simulate.after(result.calls, result.failures, space, REUSE)
        pool = [Drawn.of(to_u(theta, space), x, c) for theta, x, c in kept]
    found = result.estimate if result.answered else None
    q = result.proposal
    start = Normal(np.asarray(q.loc, float), np.asarray(q.factor(), float))
    course.begin("going on", calls, after="checking")
    try:
        other, why = bettered(
            draws, observed, found, start, budget=calls, seed=(task.seed + result.calls) % 2**63, pool=pool,
            custom=task.custom,
        )  # fmt: skip
    except KeyboardInterrupt:
        return replace(result, status="stopped", message=f"stopped by the user on the way on; {result.message}")
    best = chosen(result.estimate if found is None else found, other)
    result = refined(result, best, [], why)
    gone_on = result.phases.get("further", 0) + draws.calls
    phases = {**result.phases, "further": gone_on} if result.phases else {}
    failures = _failures(task, draws, None, result)
    result = replace(result, calls=result.calls + draws.calls, failures=failures, phases=phases)
    if folder is not None:
        replaced(result, folder)
    return result


def begun(state: State, loc: Float[np.ndarray, " d"] | None) -> State:
    """Begin the steps at a place, or where the proposal is."""
    if loc is None:
        return state
    q = eqx.tree_at(lambda q: q.loc, state.proposal, jnp.asarray(loc, state.proposal.loc.dtype))
    return state._replace(proposal=q, average=q)


def of_use(task: Task, folder: Folder) -> bool:
    """Say whether a run that an error ended has anything to be continued from."""
    if isinstance(task.simulate, Calls):
        return task.simulate.made > 0 and not task.simulate.useless
    return folder.finished or folder.checkpoint.exists()


def _failures(task: Task, draws: Draws, region: Region | None, result: Result) -> Failures:
    """Count the calls that failed, and say where they lie."""
    if isinstance(task.simulate, Calls):
        found = task.simulate.failures
        found.place = task.simulate.where(task.space.columns)
        return found
    place = None
    if region is not None:
        u, _, _, ok = Drawn.joined(region.drawn)
        place = where(task.space.names, by_rows(task.space.constrain, u), ~ok)
    return Failures({"non-finite": result.failures["non-finite"] + draws.failed}, place)


def _forecast(calls: Calls, each: float, count: int) -> str:
    """Say how long so many calls take, if each takes so many seconds."""
    workers = calls.place.workers
    by = f", {workers} workers" if workers > 1 else ""
    return f"{as_time(each)} a call{by}: {as_time(count * (each / workers + TRAINING[True]))} for {count:,} calls"


def _refine(task: Task, draws: Draws, region: Region | None, result: Result, late: list[Drawn]) -> Result:
    """Let learned scores finish what search and steps began; keep the nearer end where they find no answer."""
    last = draws.calls + task.plan.refine - (PROBES if isinstance(task.simulate, Calls) else 0)
    try:
        q = result.proposal
        start = Normal(np.asarray(q.loc, float), np.asarray(q.factor(), float))
        elsewhere, share = [], 0
        if region is None and task.settings.target == "point":
            start = nearer(
                draws, task.observed.sample, start, late, calls=last - draws.calls, seed=task.seed, custom=task.custom
            )
            result = moved(result, start.loc)
        if region is not None:
            ends = start, region.q
            start = ends[region.nearest(draws, ends, draws.whole(ENDS_SHARE * task.plan.refine))]
            result, late = moved(result, start.loc), [*late, *region.drawn]
            share = for_mode(last - draws.calls, draws.size, task.space.dim)
            elsewhere = region.elsewhere(task.space, start) if share else []
        answer, why = _solved(task, draws, start, last - draws.calls - share * len(elsewhere), late)
        others = [_solved(task, draws, q, share, late)[0] for q in elsewhere]
    except KeyboardInterrupt:
        words = f"stopped by the user while refining; {result.message}"
        return replace(result, status="stopped", message=words)
    return refined(result, answer, others, why)


def _solved(task: Task, draws: Draws, start: Normal, budget: int, pool: list[Drawn]) -> tuple[Estimate | None, str]:
    """Solve the equation from a start; without an estimate, why there is none."""
    solve = solve_population if task.settings.target == "population" else solve_point
    try:
        return solve(draws, task.observed, start, budget=budget, seed=task.seed, pool=pool, custom=task.custom), ""
    except NoAnswer as error:
        return None, str(error)
    except np.linalg.LinAlgError as error:
        return None, f"its equations cannot be solved ({error})"
