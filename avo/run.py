"""`fit`: from observations to a result.

The adversarial fit finds the region (avo/adversarial), learned scores finish the estimate and state its error
(avo/refine), within one budget of calls (avo/budget.py).
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from jaxtyping import ArrayLike

from avo import checks
from avo.adversarial.loop import block_size
from avo.adversarial.proposals import Gaussian
from avo.adversarial.settings import Settings, Target
from avo.adversarial.trainer import make_trainer
from avo.checks import between, flag
from avo.containers import Held, axes_of, labels_of, quantity_of
from avo.disk import opened
from avo.execution.calls import Calls
from avo.execution.failures import CallFailed
from avo.execution.host import HostSimulator
from avo.execution.pace import in_calls
from avo.execution.simulator import check_simulator, source_of
from avo.execution.stored import Stored
from avo.folder import Folder, calls_of, spent_of
from avo.observations import refuse_on_disk
from avo.pairs import fit_stored, refuse
from avo.refine.custom import Only, custom_statistic
from avo.result import Result
from avo.rows import Given, observe
from avo.space import Space, start_in
from avo.stages import BEGUN, of_use, run_stages
from avo.task import Task, check_known, identity_of, in_order, name_of, planned
from avo.types import Statistic


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
        budget: simulator calls in all, never exceeded, a number or words such as "1e4", "10k" or "1.3M"; or a time such
            as "90 s", "30 min" or "2h", which becomes calls once, by timing some (a run that is continued keeps its
            number). None: a point in JAX ends when
            it is done, solved, checked, with errors that simulations widen by less than 2 %: after 100,000 calls for
            up to 1,100 observations, more for more (`avo.budget.enough`), and as many again while it has no answer, up
            to 1,300,000. Other fits make 1,300,000 calls, outside JAX 100,000.
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
        >>> import avo, jax, jax.numpy as jnp
        >>> def simulate(key, theta):  # ten draws from N(mean, sd^2) for each theta
        ...     return theta[:, :1] + theta[:, 1:] * jax.random.normal(key, (theta.shape[0], 10))
        >>> x_obs = simulate(jax.random.key(1), jnp.tile(jnp.array([2.5, 0.7]), (500, 1)))
        >>> space = avo.Space(mean=avo.Interval(-10, 10), sd=avo.LogInterval(0.1, 10))
        >>> result = avo.fit(simulate, x_obs, space, budget=20_000, progress=False)
        >>> bool(jnp.all(abs(result.theta - jnp.array([2.5, 0.7])) < 4 * result.stderr))
        True
    """
    from avo import critics

    in_order(simulate, x_obs, space)
    held = opened("x_obs", x_obs)
    observed, c = observe(Given(held, inputs, groups, weights, flag("missing", missing)), space)
    if observed.pages is not None:
        population = None if target in (None, "point") else target
        refuse_on_disk(target=population, simulate=simulate if isinstance(simulate, Stored) else None)
    x, m = observed.x, observed.count if observed.shares is None else round(observed.effective)
    progress, max_failures = flag("progress", progress), between("max_failures", max_failures, 0, 1)
    if flag("resume", resume) and out is None:
        raise ValueError("resume=True needs out=, the folder of the run to continue.")
    names = axes_of(x_obs), axes_of(inputs), quantity_of(x_obs), labels_of(x_obs)
    seed, name, host = checks.seed("seed", seed), name_of(simulate), isinstance(simulate, HostSimulator)
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
            statistic=statistic, names=names, out=out, resume=resume,
        )  # fmt: skip
    if isinstance(budget, str):
        budget = checks.calls_of("budget", budget, ", or a time such as '2h'") or budget
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
    check_known(space, settings.target, refine)
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
    task = Task(checked, space, observed, settings, divided, seed, refine, custom, *names, whole, budget, begin)
    loss = critics.wasserstein() if loss is None else loss
    trainer = make_trainer(
        space, x, steps=task.plan.steps, inputs=observed.inputs, loss=loss, critic=critic, proposal=proposal,
        settings=settings, shares=observed.shares, gaps=observed.gaps,
    )  # fmt: skip
    identity = identity_of(task, trainer, name, getattr(loss, "name", "custom"))
    folder = None if out is None else Folder(out, resume, identity, source_of(simulate), budget)
    mean = getattr(simulate, "mean", None) if hasattr(simulate, "unchecked") else None  # of a `Problem`
    try:
        return replace(run_stages(task, trainer, folder, statistic, progress), mean=mean)
    except Exception as error:
        # A simulator of no use leaves the folder free for the next try
        if folder is not None and not of_use(task, folder):
            folder.free()
        if isinstance(checked, Calls) and checked.useless and not isinstance(error, CallFailed):
            raise checked.too_many() from error
        raise
    finally:
        if isinstance(checked, Calls):
            checked.close()
        if folder is not None:
            folder.close()
