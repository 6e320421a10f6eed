"""`fit`: from observations to a result.

The adversarial fit finds the region (avo/adversarial), learned scores finish the estimate and state its error
(avo/refine), within one budget of calls (avo/budget.py).
"""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike, PRNGKeyArray
from tqdm import tqdm

from avo import checks
from avo.adversarial.critic import describe
from avo.adversarial.loop import Progress, block_size, run_steps
from avo.adversarial.settings import Settings, Target
from avo.adversarial.trainer import Trainer, make_trainer
from avo.budget import BUDGET, HOST_BUDGET, Plan, for_refining, least_refining, plan
from avo.checks import flag, one_of, whole
from avo.execution.blocks import Drawn, Draws
from avo.execution.host import HostSimulator
from avo.execution.programs import JaxSimulator
from avo.execution.simulator import check_simulator
from avo.folder import Folder, digest, leaves
from avo.observations import Observed, make_frame, validate_clusters, validate_data
from avo.refine.custom import CustomStatistic, Only, custom_statistic
from avo.refine.estimate import Estimate, floored
from avo.refine.point import STILL, solve_point
from avo.refine.population import solve_population
from avo.refine.scores import NoAnswer, Normal
from avo.result import Result, load
from avo.space import Space
from avo.types import Statistic

REFINE = 2**31 - 1  # names the key of refining; steps have the numbers below


def fit(
    simulate: Callable[..., Any],
    x_obs: ArrayLike,
    space: Space,
    *,
    inputs: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    target: Target | None = None,
    budget: int | None = None,
    seed: int = 0,
    refine: bool = True,
    critic: Any = None,
    loss: Any = None,
    proposal: Any = None,
    statistic: Statistic | Only | None = None,
    settings: Settings | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    progress: bool = True,
) -> Result:
    """Find the parameters that make a simulator reproduce observations, and how sure one may be of them.

    Adversarial variational optimization finds the region,

        theta = constrain(loc),  loc = argmin over q's centre of  max over d of  E_obs[d(x)] - E_{u ~ q}[d(x)]

    (Louppe, Hermans, Cranmer 2017, arXiv:1707.07113; the steps are in avo/adversarial/trainer.py, where for a point the
    critic is trained on a narrowed q); learned scores t then solve mean over x_obs of t = E[t(x) | u] there
    (avo/refine/point.py). The simulator needs no likelihood and no gradient.

    Args:
        simulate: `simulate(key, theta) -> x`, with theta (n, d) in physical units and x (n, *x_shape), written in JAX;
            any other function goes through `avo.from_numpy`.
        x_obs: observations, with shape (m, *x_shape), independent draws at one theta (or a population of them). One
            dimension is a vector, scaled per column; more are a series or image with channels last, scaled per channel.
        space: names, supports and units of the parameters.
        inputs: known conditions of each observation, with shape (m, *c_shape); then `simulate(key, theta, inputs)`.
            Simulated pairs draw theirs from the observed ones, and the critic sees (c, x).
        groups: labels, with shape (m,), of clusters of observations (beats of one patient, windows of one series),
            which may depend on one another: errors then count clusters, not observations.
        target: "point": one theta for all observations, the default; "population": each its own, theta ~ q.
        budget: simulator calls in all, never exceeded; None: 1,300,000 for JAX simulators, 100,000 for others.
        seed: same seed, same numbers.
        refine: solve the estimating equation after the adversarial fit, inside the same budget; without it there is
            no error.
        critic: a module from one observation to a scalar, or a factory `critic(key, x_shape)` such as those of
            `avo.critics`; None: chosen from the shape of x, `avo.critics.for_shape`. With inputs it sees the flat
            vector (c, x).
        loss: None: `avo.critics.wasserstein()`, one-sided; "two-sided" is the published WGAN-GP.
        proposal: where to start and how wide, a proposal or a factory `proposal(dim)`; None: N(0, 1.5^2 I) in u.
        statistic: what else of x the final precision may rest on: a JAX function of one observation, `statistic(x)`,
            with inputs `statistic(x, c)`, to real numbers that join the features which avo chooses by the shape of x
            (avo/refine/features.py); `avo.Only(statistic)`: in place of them. Any is right; a sufficient one is best.
        settings: the numbers of the algorithm, `avo.Settings`; None: `Settings.for_budget(budget)`.
        out: folder for the run: checkpoints, then the result. None: nothing is written.
        resume: continue the run in `out` where it was stopped, to the same bits.
        progress: show a bar with gap, calls and the current estimate, on a terminal only.

    Returns:
        `Result` with `.theta`, `.stderr`, `.interval()`, `.summary()`, `.history`, `.save()`.

    Raises:
        ValueError: if an argument is not as described; says what to change.
        FileExistsError: if `out` holds another run.
        RuntimeError: if the user's simulator raised; names theta and seed.

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

    x, c = validate_data(x_obs, inputs, space)
    progress = flag("progress", progress)
    if flag("resume", resume) and out is None:
        raise ValueError("resume=True needs out=, the folder of the run to continue.")
    observed, seed = Observed(x, c, validate_clusters(groups, len(x), space.dim)), checks.seed("seed", seed)
    name, host = _name(simulate), isinstance(simulate, HostSimulator)
    settings, divided = planned(
        budget, settings, target, host=host, m=len(x), d=space.dim, refine=flag("refine", refine)
    )
    custom = custom_statistic(statistic, x, c)
    if custom is not None and not refine:
        raise ValueError("statistic= acts where the estimate is refined, and refine=False; leave one of them out.")
    simulate = check_simulator(simulate, space, x, c, block_size(settings))
    task = Task(simulate, space, observed, settings, divided, seed, custom)
    loss = critics.wasserstein() if loss is None else loss
    trainer = make_trainer(
        space, x, steps=task.plan.steps, inputs=c, loss=loss, critic=critic, proposal=proposal, settings=settings
    )  # fmt: skip

    key_init, key_run = jax.random.split(jax.random.key(seed))
    state, folder = trainer.init(key_init), None
    if out is not None:
        folder = Folder(out, resume, _identity(task, trainer, name, getattr(loss, "name", "custom")))
        if folder.finished:
            return load(folder.path, like=(state.proposal, state.critic), statistic=statistic)
    before = Progress.from_arrays(state, None if folder is None else folder.restore())
    done, result = run_steps(
        task.simulate, trainer, settings, space, before, key_run,
        chunk=task.plan.chunk, reuse=task.plan.reuse, folder=folder, progress=progress,
    )  # fmt: skip
    result = replace(result, frame=make_frame(x, c, settings.standardize), seed=seed, data=digest(*observed))
    if task.plan.refine and result.status not in ("stopped", "failed"):
        result = _refine(task, jax.random.fold_in(key_run, REFINE), result, done.late, folder, progress)
    if folder is not None and result.status != "stopped":
        result.save(folder.path)
        folder.clear()
    return result


class Task(NamedTuple):
    """What is to be fitted, and by which numbers."""

    simulate: HostSimulator | JaxSimulator
    space: Space
    observed: Observed
    settings: Settings
    plan: Plan
    seed: int
    custom: CustomStatistic | None = None


def _name(simulate: Any) -> str:
    """Name a simulator: with the hash of the data and the rest of the identity, a run that is continued needs it."""
    fn = simulate.fn if isinstance(simulate, HostSimulator) else simulate
    return getattr(fn, "__qualname__", type(simulate).__name__)


def planned(
    budget: int | None, settings: Settings | None, target: Target | None, *, host: bool, m: int, d: int, refine: bool
) -> tuple[Settings, Plan]:
    """Divide the budget of a fit of m observations by d parameters, and choose settings where none are given."""
    budget = (HOST_BUDGET if host else BUDGET) if budget is None else whole("budget", budget)
    if not (settings is None or isinstance(settings, Settings)):
        raise ValueError(f"settings must be avo.Settings(...); got {settings!r}.")
    if target is not None:
        one_of("target", target, get_args(Target))
    target = target or (settings.target if settings else "point")
    given, rest = replace(settings, target=target) if settings else None, 0
    if refine:
        smallest = given or Settings.for_budget(0, target=target)
        rest = for_refining(budget, target, smallest.calls, m, d)
        size = block_size(given or Settings.for_budget(budget - rest, target=target))
        if rest < least_refining(rest, target, size, d):
            rest = 0
    settings = given or Settings.for_budget(budget - rest, target=target)
    return settings, plan(budget, rest, settings.calls, host)


def _identity(task: Task, trainer: Trainer, name: str, loss: str) -> dict[str, Any]:
    """Say what a run is, by the names that a refusal to continue another one tells."""
    start = trainer.init(jax.random.key(0))  # of one key, for a run with another seed has the same critic
    return {
        "seed": task.seed,
        "budget, in steps": task.plan.steps,
        "settings": asdict(task.settings),
        "space": task.space.to_json(),
        "data": digest(*task.observed),
        "refine, in calls": task.plan.refine,
        "simulator": name,
        "loss": loss,
        "statistic": None if task.custom is None else task.custom.describe(),
        "critic and proposal": digest(*leaves("start", (start.critic, start.proposal)).values()),
        "kind of critic": describe(start.critic),
    }


def _refine(
    task: Task, key: PRNGKeyArray, result: Result, late: list[Drawn], folder: Folder | None, progress: bool
) -> Result:
    """Let learned scores finish what the adversarial fit began; keep its estimate where they find no answer."""
    x, c, _ = task.observed
    q, budget, kept = result.proposal, task.plan.refine, None if folder is None else folder.path
    draws = Draws(task.simulate, task.space, key, block_size(task.settings), x.shape[1:], c, folder=kept)
    solve = solve_population if task.settings.target == "population" else solve_point
    start = Normal(np.asarray(q.loc, float), np.asarray(q.factor(), float))
    with tqdm(total=budget, desc="refine", unit=" calls", disable=None if progress else True, leave=False) as bar:
        draws.tick = bar.update
        found, why = None, ""
        try:
            found = solve(draws, task.observed, start, budget=budget, seed=task.seed, pool=late, custom=task.custom)
        except KeyboardInterrupt:
            words = f"stopped by the user while refining; {result.message}"
            return replace(result, calls=result.calls + draws.calls, status="stopped", message=words)
        except NoAnswer as error:
            why = str(error)
        except np.linalg.LinAlgError as error:
            why = f"its equations cannot be solved ({error})"
    failures = {"non-finite": result.failures["non-finite"] + draws.failed}
    return _refined(replace(result, calls=result.calls + draws.calls, failures=failures), found, why)


def _refined(result: Result, found: Estimate | None, why: str = "") -> Result:
    """Put an estimate in the place of the adversarial fit's, unless there is none, or its last step says so."""
    if found is None or not np.isfinite(found.moved):
        words = "refining found no solution near the adversarial fit, which therefore stands, without errors"
        return replace(result, status="budget", message=f"{words}; {why or 'a larger budget may help'}.")
    q, covariance = result.proposal, found.population_covariance
    factor = q.factor() if covariance is None else floored(covariance, 1e-3)
    q = eqx.tree_at(lambda q: q.loc, q, jnp.asarray(found.loc, q.loc.dtype))
    words = f"the last step was {found.moved:.1f} standard errors long; simulations widen the errors by a factor "
    return replace(
        result,
        proposal=q.with_factor(jnp.asarray(factor, q.loc.dtype)),
        estimate=found,
        status="converged" if found.moved <= STILL else "budget",
        message=f"{words}{found.simulation_noise:.2f}.",
    )
