"""The numbers of the adversarial fit, and which of them suit a budget."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

from avo.adversarial.critic import ADAM, Optimiser, optimiser
from avo.adversarial.proposals import START_SD
from avo.adversarial.reinforce import Baseline
from avo.budget import step_numbers
from avo.checks import between, finite, flag, one_of, pair, positive, whole

Target = Literal["point", "population"]

Gradient = Literal["paired", "plain"]


@dataclass(frozen=True)
class Settings:
    """The numbers of the algorithm; the defaults were chosen by measurement and serve all tasks.

    Args:
        critic_steps: critic updates per proposal step.
        batch: simulations, and observations, per critic update.
        passes: times that the critic is trained on a step's simulations, each time beside other observations.
        pairs: mirrored pairs of simulations per proposal step.
        critic_rate: first and last step size of the critic's Adam.
        rate: first and last step size of the proposal's Adam: in zeta, units of its own spread, for a point, where the
            first one holds throughout; in psi for a population, its centre in zeta too unless `gradient` is "plain".
            None: 0.1 for a point, (0.05, 0.002) for a population, whose spread collapses under longer steps.
        spread: first and last standard deviation of q in the direction that moves x most, in u; the first is the
            proposal's own where one is given.
        ceiling: first and last limit of q's standard deviation in any direction, in u; the first likewise.
        watch: limit of q's standard deviation in any parameter, in u, in the simulations that train the critic.
        reach: first and last limit of |loc| for parameters with two bounds, in u; sigmoid(u) is flat far out.
        anneal: fraction of the steps over which spread, ceiling and reach go geometrically from first to last.
        average: fraction of the steps, the last ones, whose proposals are averaged.
        baseline: "leave-one-out", "optimal", "mean" or "none", see avo/adversarial/reinforce.py. It matters for a
            population; in a point's gradient the two halves of a mirrored pair cancel whatever they share.
        entropy: gamma, the weight of q's entropy in the proposal's loss; above zero makes a population's q narrower,
            below zero wider.
        target: "point" (one theta for all observations) or "population" (each its own).
        gradient: "paired": mirrored pairs with common random numbers, and steps in units of q's spread; "plain", for a
            population only: 2 * pairs independent draws, and steps in psi itself, as published
            (avo/adversarial/recipes.py).
        standardize: show x to the critic in units of its observed location and scale, and what is far from the
            observations by the logarithm of how far, see avo/observations.py; else as it is.
        critic_optimiser: ("adam", b1, b2) or ("rms", decay, start), see `avo.adversarial.critic.optimiser`.
        proposal_optimiser: likewise.

    Raises:
        ValueError: if a number is out of range, naming it.

    Example:
        >>> Settings(batch=256, critic_steps=5).calls
        1344
    """

    critic_steps: int = 1
    batch: int = 64
    passes: int = 1
    pairs: int = 32
    critic_rate: tuple[float, float] = (4e-3, 1.5e-3)
    rate: tuple[float, float] | None = None
    spread: tuple[float, float] = (START_SD, 0.01)
    ceiling: tuple[float, float] = (START_SD, 0.15)
    watch: float = 0.1
    reach: tuple[float, float] = (3.0, 6.0)
    anneal: float = 0.65
    average: float = 0.3
    baseline: Baseline = "leave-one-out"
    entropy: float = 0.0
    target: Target = "point"
    gradient: Gradient = "paired"
    standardize: bool = True
    critic_optimiser: Optimiser = ADAM
    proposal_optimiser: Optimiser = ("adam", 0.9, 0.99)

    def __post_init__(self) -> None:
        for name in ("critic_steps", "batch", "passes", "pairs"):
            # Of one pair the baseline has nothing left to average
            whole(f"Settings: {name}", getattr(self, name), least=2 if name == "pairs" else 1)
        for name in ("critic_rate", "rate", "spread", "ceiling", "reach"):
            value = getattr(self, name)
            if name == "rate" and value is None:
                continue
            # The way into a frozen dataclass: lists, as JSON has them, cannot be hashed
            object.__setattr__(self, name, pair(f"Settings: {name}", value, "(first, last)", above=0))
        positive("Settings: watch", self.watch)
        for name in ("anneal", "average"):
            between(f"Settings: {name}", getattr(self, name), 0, 1, "(]")
        for name in ("critic_optimiser", "proposal_optimiser"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
            optimiser(getattr(self, name))
        for name, known in (("baseline", Baseline), ("target", Target), ("gradient", Gradient)):
            one_of(f"Settings: {name}", getattr(self, name), get_args(known))
        flag("Settings: standardize", self.standardize)
        finite("Settings: entropy", self.entropy)
        if self.entropy and self.target == "point":
            raise ValueError(
                "entropy acts on a learned spread, and target='point' anneals the spread; "
                "use target='population' with it, or entropy=0."
            )
        if self.gradient == "plain" and self.target == "point":
            raise ValueError("gradient='plain' learns a proposal's spread too; use target='population' with it.")

    @staticmethod
    def for_budget(budget: int, **changes: Any) -> "Settings":
        """Choose batch and step sizes for a budget of simulator calls, as avo/budget.py says and why.

        Args:
            budget: simulator calls of the adversarial fit.
            **changes: settings to have instead.

        Example:
            >>> Settings.for_budget(1_200_000) == Settings(), Settings.for_budget(100_000).calls
            (True, 32)
        """
        return Settings(**(step_numbers(budget, changes.get("target", "point")) | changes))

    @property
    def proposal_rate(self) -> tuple[float, float]:
        """First and last step size of the proposal's Adam: `rate`, or the target's default; a point keeps the first."""
        if self.target == "population":
            return self.rate or (0.05, 0.002)
        first = self.rate[0] if self.rate else 0.1
        return first, first

    @property
    def calls(self) -> int:
        """Simulator calls of one step."""
        return self.critic_steps * self.batch + 2 * self.pairs
