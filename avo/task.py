"""What is to be fitted: settings and division of the calls, what a run is known by, what is refused from the start."""

from dataclasses import asdict, replace
from typing import Any, NamedTuple, get_args

import jax
import numpy as np
from jaxtyping import Float

from avo.adversarial.critic import describe
from avo.adversarial.loop import block_size
from avo.adversarial.settings import Settings, Target
from avo.adversarial.trainer import Trainer
from avo.budget import BUDGET, HOST_BUDGET, MOST_BUDGET, Plan, enough, for_refining, for_search, least_refining, plan
from avo.checks import came, one_of, whole
from avo.containers import Axis, Quantity
from avo.execution.calls import Calls
from avo.execution.command import Command
from avo.execution.host import HostSimulator
from avo.execution.programs import JaxSimulator
from avo.folder import digest, leaves
from avo.observations import Observed
from avo.parameters import Angle, Count
from avo.refine.custom import CustomStatistic
from avo.space import Space, check_space


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
    quantity: Quantity = Quantity()
    labels: tuple[str, ...] = ()
    whole: int = 0  # calls of a finished run that goes on, with those that it has made
    budget: int | None = None
    begin: Float[np.ndarray, " d"] | None = None  # the user's own start, in u

    @property
    def open(self) -> bool:
        """Whether the fit goes on until it has an answer, or `BUDGET` calls."""
        return self.budget is None and self.plan.search > 0 and not isinstance(self.simulate, Calls)


def in_order(simulate: Any, x_obs: Any, space: Any) -> None:
    """Refuse arguments of `fit` that stand in one another's place.

    Example:
        >>> from avo.space import Real
        >>> in_order(lambda key, theta: theta, Space(mu=Real()), np.ones((9, 1)))
        Traceback (most recent call last):
            ...
        ValueError: space must be an avo.Space, e.g. avo.Space(mu=avo.Interval(-3, 3)); got an array of shape (9, 1).
        The order is avo.fit(simulate, x_obs, space).
    """
    swapped = isinstance(simulate, Space) or isinstance(x_obs, Space) or callable(x_obs) or callable(space)
    order = " The order is avo.fit(simulate, x_obs, space)." if swapped else ""
    check_space(space, order)
    if callable(x_obs) or isinstance(x_obs, Space):
        raise ValueError(
            f"x_obs must be an array of real numbers, one row for each observation; got {came(x_obs)}.{order}"
        )


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


def identity_of(task: Task, trainer: Trainer, name: str, loss: str) -> dict[str, Any]:
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
        "start": None if task.begin is None else task.begin.tolist(),
        "simulator": name,
        "loss": loss,
        "statistic": None if task.custom is None else task.custom.describe(),
        "critic and proposal": digest(*leaves("start", (start.critic, start.proposal)).values()),
        "kind of critic": describe(start.critic),
    }


def check_known(space: Space, target: Target, refine: bool) -> None:
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


def name_of(simulate: Any) -> str:
    """Name a simulator: with the hash of the data and the rest of the identity, a run that is continued needs it."""
    fn = simulate.fn if isinstance(simulate, HostSimulator) else simulate
    return fn.name if isinstance(fn, Command) else getattr(fn, "__qualname__", type(simulate).__name__)
