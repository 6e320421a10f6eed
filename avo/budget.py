"""How the calls of a fit are divided: steps of the adversarial fit, refining, and what each needs at least."""

from dataclasses import replace
from typing import Any

from avo.adversarial.settings import Settings, Target
from avo.checks import whole

BUDGET = 1_300_000  # calls of a JAX simulator
HOST_BUDGET = 100_000  # calls of any other
CHUNK = 50  # steps between two looks at the clock, at most
LEAST_STEPS = 20
SHARE = 0.75  # of the calls, at most, to refining; less where the adversarial fit can use them better
ENOUGH = {"point": (70_000, 20), "population": (300_000, 150)}  # calls: at most so many, or so many per observation
PAIR = 5  # unknowns of a population of two parameters, for which that is enough; more unknowns take more calls
LEAST_REFINE = {"point": 500, "population": 4000}  # calls
LEAST_EACH = 40  # and of a point for each parameter, whose slopes take pairs
# Of the calls that refine a point; what is left, some two thirds, goes to simulations at the estimate itself, which the
# error needs, and nothing else. t and E[theta | x] are regressions, good enough from a few thousand rows; a slope is
# precise from few pairs, since these share their random numbers
POINT_SHARES = {"round": 0.03, "learn": 0.09, "wide": 0.03, "slope": 0.08}
# Of a population's: t anew in each of three phases, short rounds that find the place, larger ones that settle it, and
# simulations at the answer that encoded observations are held against; what is left, at least half, goes to the last
# comparison
POPULATION_SHARES = {"learn": 0.08, "round": 0.02, "settle": 0.1, "again": 0.02}
REUSE = 20_000  # last simulations of the adversarial fit, at most, from which the scores are learned too


def plan(
    budget: int | None, settings: Settings | None, target: Target | None, host: bool, m: int, d: int, refine: bool
) -> tuple[Settings, int, int, int]:
    """Split a budget: settings, number of steps, steps per chunk, and calls left to refining."""
    if budget is None:
        budget = HOST_BUDGET if host else BUDGET
    budget = whole("budget", budget)
    if not (settings is None or isinstance(settings, Settings)):
        raise ValueError(f"settings must be avo.Settings(...); got {settings!r}.")
    changes: dict[str, Any] = {} if target is None else {"target": target}
    rest = 0
    if refine:
        kind = "population" if (target or getattr(settings, "target", None)) == "population" else "point"
        most, each = ENOUGH[kind]
        times = max((d + d * (d + 1) // 2) / PAIR, 1.0) if kind == "population" else 1.0
        least = LEAST_STEPS * (settings or Settings.for_budget(0, target=kind)).calls
        rest = int(min(SHARE * budget, max(most, each * m) * times, budget - least))
        rest *= rest >= max(LEAST_REFINE[kind], LEAST_EACH * d)
    steps_budget = budget - rest
    settings = Settings.for_budget(steps_budget, **changes) if settings is None else replace(settings, **changes)
    steps = steps_budget // settings.calls
    if steps < LEAST_STEPS:
        raise ValueError(
            f"budget={budget} is too small: a step takes {settings.calls} simulator calls, and a fit needs at least "
            f"{LEAST_STEPS} steps, {LEAST_STEPS * settings.calls} calls; thousands of steps are usual."
        )
    chunk = 1 if host else min(steps // LEAST_STEPS, CHUNK)
    return settings, steps - steps % chunk, chunk, rest
