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
from avo.budget import ENDS_SHARE, PROBES, REUSE, for_mode, further, least_refining
from avo.execution.blocks import Drawn, Draws
from avo.execution.calls import Calls
from avo.execution.failures import Failures, where
from avo.execution.pace import TRAINING, as_time
from avo.execution.store import Store
from avo.execution.stored import to_u
from avo.folder import Folder
from avo.further import bettered, chosen, settled
from avo.observations import make_frame
from avo.progress import bar
from avo.refine.custom import Only
from avo.refine.estimate import Estimate
from avo.refine.point import solve_point
from avo.refine.population import solve_population
from avo.refine.scores import NoAnswer, Normal
from avo.result import Result, load
from avo.search.region import Region, search
from avo.sizes import by_rows
from avo.task import Task
from avo.types import State, Statistic
from avo.verdict import moved, refined, replaced, saved

BEGUN = 0.3  # standard deviation of q in u where the steps begin at a place that a search, or the user, found
REFINE = 2**31 - 1  # names the key of refining; steps have the numbers below
FURTHER = 2**31 - 2  # that of further calls of a finished run


def run_stages(
    task: Task, trainer: Trainer, begin: Float[np.ndarray, " d"] | None, folder: Folder | None,
    statistic: Statistic | Only | None, progress: bool,
) -> Result:  # fmt: skip
    """Search, take the adversarial steps, and refine; or give back the result of a run that is done."""
    key_init, key_run = jax.random.split(jax.random.key(task.seed))
    state = trainer.init(key_init)
    if folder is not None and folder.finished:
        folder.clear()  # of a run that was killed at its very end
        with suppress(ValueError, OSError):
            Store(folder.calls, None).close()
        result = load(folder.path, like=(state.proposal, state.critic), statistic=statistic)
        return _further(task, key_run, result, folder, progress)
    if folder is not None:
        folder.claim()
        if isinstance(task.simulate, Calls):
            task.simulate.store = Store(folder.calls, folder.identity)
    (x, c, _, shares, gaps, _), settings = task.observed, task.settings
    key_draws, size = jax.random.fold_in(key_run, REFINE), block_size(settings)
    draws = Draws(task.simulate, task.space, key_draws, size, x.shape[1:], c, shares=shares, gaps=gaps)
    if isinstance(task.simulate, Calls) and task.plan.refine:
        middle = task.space.full(np.asarray(task.space.constrain(jnp.zeros(task.space.dim)), float))
        first = None if c is None else c[0] if gaps is None else gaps.known(c[0])
        each = task.simulate.probe(jax.random.fold_in(key_draws, REFINE), middle, first)
        draws.calls += PROBES
        if progress and sys.stderr.isatty():
            tqdm.write(_forecast(task.simulate, each, task.plan.calls(settings.calls)), file=sys.stderr)
    region = None
    if task.plan.search:
        with _bar(draws, task.plan.search, "search", progress):
            region = search(
                draws, task.observed.sample, budget=task.plan.search, seed=task.seed, custom=task.custom, start=begin
            )
    searched = draws.calls
    state = begun(state, begin if region is None else region.q.loc)
    before = Progress.from_arrays(state, None if folder is None else folder.restore())
    done, result = run_steps(
        task.simulate, trainer, settings, task.space, before, key_run,
        chunk=task.plan.chunk, reuse=task.plan.reuse, folder=folder, progress=progress,
    )  # fmt: skip
    frame = make_frame(task.observed.bare, c, settings.standardize, shares)
    result = replace(
        result, frame=frame, seed=task.seed, data=task.observed.digest, axes=task.axes,
        input_axes=task.input_axes, gaps=gaps, weighted=None if shares is None else (len(x), task.observed.effective),
    )  # fmt: skip
    if task.plan.refine and result.status not in ("stopped", "failed"):
        result = _refine(task, draws, region, result, done.late, progress)
    if result.status == "converged" and result.estimate is None:
        words = "the budget is too small for errors" if task.refine else "no error was asked for (refine=False)"
        result = replace(result, status="budget", message=f"{result.message.rstrip('.')}; {words}.")
    if result.estimate is None and task.space.known:
        result = replace(result, message=f"{result.message} What is known by prior= has had no part in the estimate.")
    failures = _failures(task, draws, region, result)
    phases = {"search": searched, "steps": result.calls, "refine": draws.calls - searched}
    calls = result.calls + draws.calls
    result = replace(result, calls=calls, failures=failures, phases=phases, budget=task.budget)
    if result.status == "stopped":
        return result
    if folder is not None:
        saved(result, folder)
    return _further(task, key_run, result, folder, progress)


def _further(task: Task, key: PRNGKeyArray, result: Result, folder: Folder | None, progress: bool) -> Result:
    """Let a finished run go on: to the calls that it was given since, or, without a budget, until it has an answer."""
    key, before = jax.random.fold_in(key, FURTHER), -1
    if task.whole:
        return _continued(task, key, result, folder, task.whole - result.calls, progress)
    while task.open and result.calls > before and not settled(result):
        before = result.calls
        result = _continued(task, key, result, folder, further(before), progress)
    return result


def _continued(
    task: Task, key: PRNGKeyArray, result: Result, folder: Folder | None, calls: int, progress: bool
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
    key = jax.random.fold_in(key, result.calls % REFINE)
    draws = Draws(
        task.simulate, space, key, size, observed.x.shape[1:], observed.inputs, shares=observed.shares,
        gaps=observed.gaps,
    )  # fmt: skip
    pool = []
    if isinstance(task.simulate, Calls) and folder is not None:
        task.simulate.store = Store(folder.calls, folder.identity)
        kept = task.simulate.after(result.calls, result.failures, space, REUSE)
        pool = [Drawn.of(to_u(theta, space), x, c) for theta, x, c in kept]
    found = result.estimate if result.answered else None
    q = result.proposal
    start = Normal(np.asarray(q.loc, float), np.asarray(q.factor(), float))
    with _bar(draws, calls, "further calls", progress):
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


def _bar(draws: Draws, calls: int, stage: str, progress: bool) -> tqdm:
    """Show the calls of a stage as the draws make them."""
    shown = bar(calls, stage, "calls", progress)
    draws.tick = shown.update
    return shown


def _refine(
    task: Task, draws: Draws, region: Region | None, result: Result, late: list[Drawn], progress: bool
) -> Result:
    """Let learned scores finish what search and steps began; keep the nearer end where they find no answer."""
    last = draws.calls + task.plan.refine - (PROBES if isinstance(task.simulate, Calls) else 0)
    with _bar(draws, task.plan.refine, "refine", progress):
        try:
            q = result.proposal
            start = Normal(np.asarray(q.loc, float), np.asarray(q.factor(), float))
            elsewhere, share = [], 0
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
