"""`fit`: from observations to a result.

The adversarial fit finds the region (avo/adversarial), learned scores finish the estimate and state its error
(avo/refine), within one budget of calls (avo/budget.py).
"""

import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike, Float, PRNGKeyArray
from tqdm import tqdm

from avo import checks
from avo.adversarial.critic import describe
from avo.adversarial.loop import Progress, block_size, run_steps
from avo.adversarial.proposals import Gaussian
from avo.adversarial.settings import Settings, Target
from avo.adversarial.trainer import Trainer, make_trainer
from avo.budget import (
    BUDGET,
    ENDS_SHARE,
    HOST_BUDGET,
    MOST_BUDGET,
    PROBES,
    REUSE,
    Plan,
    enough,
    for_mode,
    for_refining,
    for_search,
    least_refining,
    plan,
)
from avo.checks import between, flag, one_of, whole
from avo.containers import Axis, Held, axes_of
from avo.disk import opened
from avo.execution.blocks import Drawn, Draws
from avo.execution.calls import Calls
from avo.execution.command import Command
from avo.execution.failures import CallFailed, Failures, where
from avo.execution.host import HostSimulator
from avo.execution.pace import TRAINING, as_time, in_calls
from avo.execution.programs import JaxSimulator
from avo.execution.simulator import check_simulator, source_of
from avo.execution.store import Store
from avo.execution.stored import Stored, to_u
from avo.folder import Folder, calls_of, digest, leaves, spent_of
from avo.further import bettered, chosen
from avo.observations import Observed, make_frame, refuse_on_disk
from avo.pairs import fit_stored, refuse
from avo.parameters import Angle, Count
from avo.progress import bar
from avo.refine.custom import CustomStatistic, Only, custom_statistic
from avo.refine.estimate import Estimate
from avo.refine.point import solve_point
from avo.refine.population import solve_population
from avo.refine.scores import NoAnswer, Normal
from avo.result import Result, load
from avo.rows import Given, observe
from avo.search.region import Region, search
from avo.sizes import by_rows
from avo.space import Space, start_in
from avo.types import State, Statistic
from avo.verdict import moved, refined, replaced, saved

BEGUN = 0.3  # standard deviation of q in u where the steps begin at a place that a search, or the user, found
REFINE = 2**31 - 1  # names the key of refining; steps have the numbers below
FURTHER = 2**31 - 2  # that of further calls of a finished run


class Task(NamedTuple):
    """What is to be fitted, and by which numbers."""

    simulate: Calls | JaxSimulator
    space: Space
    observed: Observed
    settings: Settings
    plan: Plan
    seed: int
    refine: bool
    custom: CustomStatistic | None = None
    axes: tuple[Axis, ...] = ()
    input_axes: tuple[Axis, ...] = ()
    whole: int = 0  # calls of a finished run that goes on, with those that it has made
    budget: int | None = None


def fit(
    simulate: Callable[..., Any] | Stored,
    x_obs: Held | str | Path,
    space: Space,
    *,
    inputs: Held | None = None,
    groups: Held | None = None,
    weights: Held | None = None,
    missing: bool = False,
    target: Target | None = None,
    budget: int | str | None = None,
    seed: int = 0,
    start: Mapping[str, float] | ArrayLike | None = None,
    refine: bool = True,
    critic: Any = None,
    loss: Any = None,
    proposal: Any = None,
    statistic: Statistic | Only | None = None,
    settings: Settings | None = None,
    executor: Any = None,
    max_failures: float = 0.5,
    out: str | Path | None = None,
    resume: bool = False,
    progress: bool = True,
) -> Result:
    """Find the parameters that make a simulator reproduce observations, and how sure one may be of them.

    For a point, a search of the whole space finds where to begin (avo/search/region.py). From there adversarial
    variational optimization follows the critic,

        theta = constrain(loc),  loc = argmin over q's centre of  max over d of  E_obs[d(x)] - E_{u ~ q}[d(x)]

    (Louppe, Hermans, Cranmer 2017, arXiv:1707.07113; the steps are in avo/adversarial/trainer.py, where for a point the
    critic is trained on a narrowed q). Learned scores t then solve mean over x_obs of t = E[t(x) | u], from where the
    steps or the search ended, whichever is nearer to the observations (avo/refine/point.py). The simulator needs no
    likelihood and no gradient.

    Args:
        simulate: `simulate(key, theta) -> x`, with theta (n, d) in physical units and x (n, *x_shape), written in JAX;
            any other function goes through `avo.from_numpy`, an external program through `avo.from_command`. What the
            space fixes has its columns in theta too. Or simulations that are there already, `avo.Stored(theta, x)`:
            the fit rests on these pairs alone, and `budget`, `executor` and what concerns the steps are left out.
        x_obs: observations, with shape (m, *x_shape), independent draws at one theta (or a population of them). One
            dimension is a vector, scaled per column; more are a series or image with channels last, scaled per channel.
            A DataFrame, a DataArray or a tensor will do as well, as for inputs and groups; names of columns, and
            coordinates, are kept in `result.axes`, and name what pictures and `avo.check` show. They may be larger than
            memory: a `numpy.memmap`, the path of a `.npy` file, an array of h5py or zarr (avo/disk.py).
        space: names, kinds, supports and units of the parameters (docs/kinds.md has angles and whole numbers), which
            are fixed, and what is known of others: `prior=`.
        inputs: known conditions of each observation, with shape (m, *c_shape); then `simulate(key, theta, inputs)`.
            Simulated pairs draw theirs from the observed ones, and the critic sees (c, x).
        groups: labels, with shape (m,), of clusters of observations (beats of one patient, windows of one series),
            which may depend on one another: errors then count clusters, not observations.
        weights: importance weights, with shape (m,), zero or more, of any scale: row i stands for a share w_i / sum w
            of what is fitted, as in a survey whose rows were chosen unequally. The estimate is that of rows repeated
            w_i times; the error is the sandwich, for each row was observed once, however much it weighs. Where weights
            count rows that were observed so often (a table of frequencies), repeat these instead, x_obs =
            numpy.repeat(x_obs, weights, axis=0): the same estimate, and the error of as many rows. `docs/rows.md`.
        missing: True: NaN in x_obs, what a mask hides, and the ends of shorter rows of a list are missing values, for a
            reason that does not depend on what they would have been. The simulator returns whole rows, of the longest
            length; simulations get the gaps of observed ones, and critic and scores see which.
        target: "point": one theta for all observations, the default; "population": each its own, theta ~ q.
        budget: simulator calls in all, never exceeded; or a time such as "90 s", "30 min" or "2h", which becomes calls
            once, by timing some (a run that is continued keeps its number). None: for a point as many as its parts
            have use for, 170,000 for 1,000 observations and up to 1,300,000 for more (`avo.budget.enough`); 1,300,000
            for other fits, and 100,000 for simulators outside JAX.
        seed: same seed, same numbers.
        start: a theta to begin at, besides where the search begins: a value for each parameter, by name or in order.
            The fit goes on from it unless it finds a place of less misfit. None: the search alone.
        refine: solve the estimating equation after the adversarial fit, inside the same budget; without it there is
            no error.
        critic: a module from one observation to a scalar, or a factory `critic(key, x_shape)` such as those of
            `avo.critics`; None: chosen from the shape of x, `avo.critics.for_shape`. With inputs it sees the flat
            vector (c, x), where values may be missing with the mask.
        loss: None: `avo.critics.wasserstein()`, one-sided; "two-sided" is the published WGAN-GP.
        proposal: where the steps start and how wide, a proposal or a factory `proposal(dim)`, without a search; None:
            where the search ends, N(loc, .3^2 I) in u, or N(0, 1.5^2 I) where there is none: with few calls, for a
            population, or without refining.
        statistic: what else of x the final precision may rest on: a JAX function of one observation, `statistic(x)`,
            with inputs `statistic(x, c)`, to real numbers that join the features which avo chooses by the shape of x
            (avo/refine/features.py); `avo.Only(statistic)`: in place of them. Any is right; a sufficient one is best.
        settings: the numbers of the algorithm, `avo.Settings`; None: `Settings.for_budget(budget)`.
        executor: where calls of a simulator outside JAX are made, to the same numbers: a number of processes of this
            machine, or an executor of `concurrent.futures` or like one: threads, loky, `client.get_executor()` of
            dask.distributed, MPI's, Parsl's. None: here, one after another.
        max_failures: share of failed calls, from 0 to 1, beyond which the fit of a simulator outside JAX stops; 1:
            never. A call fails that raises, takes too long, or returns another shape, NaN, infinity or numbers beyond
            1e30; it is left out and counts, and `result.failures` says how many failed, how, and where.
        out: folder for the run: checkpoints, then the result. None: nothing is written.
        resume: continue the run in `out` where it was stopped, to the same bits. A run that is finished goes on too,
            if the budget is larger than it was: further calls buy its answer a better last step (avo/further.py).
            Without a budget a run keeps its own.
        progress: show a bar with gap, calls and the current estimate, on a terminal only.

    Returns:
        `Result` with `.theta`, `.stderr`, `.interval()`, `.summary()`, `.history`, `.save()`.

    Raises:
        ValueError: if an argument is not as described; says what to change.
        FileExistsError: if `out` holds another run.
        RuntimeError: if more calls of the user's simulator failed than `max_failures`; names the commonest kind with
            theta and seed.

    Example:
        >>> import avo
        >>> def simulate(key, theta):  # ten draws from N(mean, sd^2) for each theta
        ...     return theta[:, :1] + theta[:, 1:] * jax.random.normal(key, (theta.shape[0], 10))
        >>> x_obs = simulate(jax.random.key(1), jnp.tile(jnp.array([2.5, 0.7]), (500, 1)))
        >>> space = avo.Space(mean=avo.Interval(-10, 10), sd=avo.LogInterval(0.1, 10))
        >>> result = avo.fit(simulate, x_obs, space, budget=60_000, progress=False)
        >>> bool(jnp.all(abs(result.theta - jnp.array([2.5, 0.7])) < 4 * result.stderr))
        True
    """
    from avo import critics

    held = opened("x_obs", x_obs)
    observed, c = observe(Given(held, inputs, groups, weights, flag("missing", missing)), space)
    if observed.pages is not None:
        population = None if target in (None, "point") else target
        refuse_on_disk(target=population, simulate=simulate if isinstance(simulate, Stored) else None)
    x, m = observed.x, observed.count if observed.shares is None else round(observed.effective)
    progress, max_failures = flag("progress", progress), between("max_failures", max_failures, 0, 1)
    if flag("resume", resume) and out is None:
        raise ValueError("resume=True needs out=, the folder of the run to continue.")
    seed, name, host = checks.seed("seed", seed), _name(simulate), isinstance(simulate, HostSimulator)
    begin = None if start is None else start_in(space, start)
    if begin is not None and proposal is not None:
        raise ValueError("start= and proposal= both say where to begin; leave one of them out.")
    if isinstance(simulate, Stored):
        refuse(
            target=None if target in (None, "point") else target, budget=budget, refine=None if refine else refine,
            critic=critic, loss=loss, proposal=proposal, settings=settings, executor=executor, weights=weights,
            missing=missing or None,
        )  # fmt: skip
        return fit_stored(
            simulate, observed, space, seed=seed, begin=begin, custom=custom_statistic(statistic, x, c),
            statistic=statistic, axes=(axes_of(x_obs), axes_of(inputs)), out=out, resume=resume,
        )  # fmt: skip
    known, whole = (None, 0) if out is None or not resume else (calls_of(out), 0)
    if resume and out is not None and budget is None:
        budget = known
    if resume and out is not None and isinstance(budget, int) and (spent := spent_of(out)) is not None:
        budget, whole = (known, budget) if budget > max(known or 0, spent) else (budget, 0)
    if isinstance(budget, str):
        budget = known or in_calls(budget, check_simulator(simulate, space, x, c, 1), space, x.shape[1:], c, executor)
    settings, divided = planned(
        budget, settings, target, host=host, m=m, d=space.dim, refine=flag("refine", refine),
        searched=proposal is None,
    )  # fmt: skip
    custom = custom_statistic(statistic, x, observed.inputs, observed.gaps, observed.shares)
    if custom is not None and not refine:
        raise ValueError("statistic= acts where the estimate is refined, and refine=False; leave one of them out.")
    _check_known(space, settings.target, refine)
    checked = check_simulator(simulate, space, x, c, block_size(settings))
    if isinstance(checked, HostSimulator):
        checked = Calls(checked, block_size(settings), x.shape[1:], executor=executor, max_failures=max_failures)
    elif executor is not None:
        raise ValueError(
            "executor= is for simulators outside JAX, of avo.from_numpy or avo.from_command; leave it out."
        )
    if divided.search or begin is not None:
        # Wherever they begin: settings are part of the compiled program
        proposal = partial(Gaussian.start, sd=BEGUN) if settings.target == "point" else proposal
        settings = replace(settings, reach=(max(settings.reach),) * 2)
    names = axes_of(x_obs), axes_of(inputs)
    task = Task(checked, space, observed, settings, divided, seed, refine, custom, *names, whole, budget)
    loss = critics.wasserstein() if loss is None else loss
    trainer = make_trainer(
        space, x, steps=task.plan.steps, inputs=observed.inputs, loss=loss, critic=critic, proposal=proposal,
        settings=settings, shares=observed.shares, gaps=observed.gaps,
    )  # fmt: skip
    identity = _identity(task, trainer, name, getattr(loss, "name", "custom"), begin)
    folder = None if out is None else Folder(out, resume, identity, source_of(simulate), budget)
    mean = getattr(simulate, "mean", None) if hasattr(simulate, "unchecked") else None  # of a `Problem`
    try:
        return replace(_run(task, trainer, begin, folder, statistic, progress), mean=mean)
    except Exception as error:
        # A simulator of no use leaves the folder free for the next try
        if folder is not None and not _of_use(task, folder):
            folder.free()
        if isinstance(checked, Calls) and checked.useless and not isinstance(error, CallFailed):
            raise checked.too_many() from error
        raise
    finally:
        if isinstance(checked, Calls):
            checked.close()
        if folder is not None:
            folder.close()


def _forecast(calls: Calls, each: float, count: int) -> str:
    """Say how long so many calls take, if each takes so many seconds."""
    workers = calls.place.workers
    by = f", {workers} workers" if workers > 1 else ""
    return f"{as_time(each)} a call{by}: {as_time(count * (each / workers + TRAINING[True]))} for {count:,} calls"


def _check_known(space: Space, target: Target, refine: bool) -> None:
    """Refuse what is known of parameters where nothing would come of it, and kinds that no population can have."""
    names = ", ".join(space.known)
    for name, p in zip(space.names, space, strict=True):
        if target == "population" and isinstance(p, (Angle, Count)):
            kind, instead = (
                ("an Angle", "give it an Interval, cut where no observation lies")
                if isinstance(p, Angle)
                else ("a Count", "give it an Interval that the simulator rounds by chance")
            )
            raise ValueError(
                f'target="population" fits a normal distribution of u, and {name} is {kind}, which has none; '
                f'{instead}, let the simulator draw it for each observation, or fit target="point".'
            )
    if names and target == "population":
        raise ValueError(
            f"prior= of {names} is a measurement of one theta that all observations share, and in a population each "
            'has its own; leave it out, or fit target="point".'
        )
    if names and not refine:
        raise ValueError(
            f"prior= of {names} acts where the estimate is refined, and refine=False; leave one of them out."
        )


def _of_use(task: Task, folder: Folder) -> bool:
    """Say whether a run that an error ended has anything to be continued from."""
    if isinstance(task.simulate, Calls):
        return task.simulate.made > 0 and not task.simulate.useless
    return folder.finished or folder.checkpoint.exists()


def _run(
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
        return _continued(task, jax.random.fold_in(key_run, FURTHER), result, folder, progress)
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
    if folder is not None and result.status != "stopped":
        saved(result, folder)
    return result


def _continued(task: Task, key: PRNGKeyArray, result: Result, folder: Folder, progress: bool) -> Result:
    """Let a finished run go on with the calls that it has not made; without any, give back its result.

    Raises:
        ValueError: if the run cannot use them.
    """
    observed, space, calls = task.observed, task.space, task.whole - result.calls
    size = block_size(task.settings)
    if calls <= 0 or (task.refine and calls < least_refining(calls, task.settings.target, size, space.dim)):
        return result
    if not task.refine:
        raise ValueError(f"the run in {folder.path} was made with refine=False, and further calls refine; fit anew.")
    key = jax.random.fold_in(key, result.calls % REFINE)
    draws = Draws(task.simulate, space, key, size, observed.x.shape[1:], observed.inputs)
    pool = []
    if isinstance(task.simulate, Calls):
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
    result = replace(result, calls=result.calls + draws.calls, failures=_failures(task, draws, None, result))
    replaced(result, folder)
    return result


def begun(state: State, loc: Float[np.ndarray, " d"] | None) -> State:
    """Begin the steps at a place, or where the proposal is."""
    if loc is None:
        return state
    q = eqx.tree_at(lambda q: q.loc, state.proposal, jnp.asarray(loc, state.proposal.loc.dtype))
    return state._replace(proposal=q, average=q)


def _name(simulate: Any) -> str:
    """Name a simulator: with the hash of the data and the rest of the identity, a run that is continued needs it."""
    fn = simulate.fn if isinstance(simulate, HostSimulator) else simulate
    return fn.name if isinstance(fn, Command) else getattr(fn, "__qualname__", type(simulate).__name__)


def planned(
    budget: int | None, settings: Settings | None, target: Target | None, *, host: bool, m: int, d: int, refine: bool,
    searched: bool = False,
) -> tuple[Settings, Plan]:  # fmt: skip
    """Divide the budget of a fit of m observations by d parameters, and choose settings where none are given."""
    if not (settings is None or isinstance(settings, Settings)):
        raise ValueError(f"settings must be avo.Settings(...); got {settings!r}.")
    if target is not None:
        one_of("target", target, get_args(Target))
    target = target or (settings.target if settings else "point")
    given, calls, rest = replace(settings, target=target) if settings else None, 0, 0
    smallest = given or Settings.for_budget(0, target=target)
    searched = searched and refine and target == "point"
    if budget is None:
        budget = HOST_BUDGET if host else BUDGET
        if searched and for_search(budget, block_size(smallest), d):
            budget = min(enough(m, d), budget)
    else:
        budget = whole("budget", budget, most=MOST_BUDGET)
    if refine:
        if searched:
            calls = for_search(budget, block_size(smallest), d)
        rest = for_refining(budget - calls, target, smallest.calls, m, d)
        size = block_size(given or Settings.for_budget(budget - calls - rest, target=target))
        if rest < least_refining(rest, target, size, d):
            calls = rest = 0
    settings = given or Settings.for_budget(budget - calls - rest, target=target)
    return settings, plan(budget, rest, settings.calls, host, calls)


def _identity(
    task: Task, trainer: Trainer, name: str, loss: str, begin: Float[np.ndarray, " d"] | None
) -> dict[str, Any]:
    """Say what a run is, by the names that a refusal to continue another one tells."""
    start = trainer.init(jax.random.key(0))  # of one key, for a run with another seed has the same critic
    return {
        "seed": task.seed,
        "budget, in steps": task.plan.steps,
        "settings": asdict(task.settings),
        "space": task.space.to_json(),
        "data": task.observed.digest,
        "search, in calls": task.plan.search,
        "refine, in calls": task.plan.refine,
        "start": None if begin is None else begin.tolist(),
        "simulator": name,
        "loss": loss,
        "statistic": None if task.custom is None else task.custom.describe(),
        "critic and proposal": digest(*leaves("start", (start.critic, start.proposal)).values()),
        "kind of critic": describe(start.critic),
    }


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
