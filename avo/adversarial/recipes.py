"""The published recipes of adversarial variational optimization, as keywords for `avo.fit`.

    result = avo.fit(simulate, x_obs, space, **avo.recipes.get("r1-2018"))

They stand here for comparison: at their numbers of steps they are 3 to 8 times less precise than the data allow,
and worst runs 30 times. In all of them q is a Gaussian of independent parameters whose centre and spread are both
learned, by plain REINFORCE without mirrored pairs, on x as it is, and the last iterate is the answer. Their critics'
loss is a mean over observations and simulations together, half of ours, so that weights of penalties count twice here.

    gp-2017    Louppe and Cranmer, first version of arXiv:1707.07113: WGAN with two-sided gradient penalty, 100 critic
               updates per step, no baseline, entropy weight 5
    r1-2018    their later code: WGAN with a penalty on observations only, one critic update per step, RMSprop, no
               baseline, entropy weight 0.001
    bce-2018   Hermans' code: the original GAN's saturating loss with R1, one critic update per step, the optimal
               baseline per parameter, no entropy

What differs: each critic update here has fresh simulations and the observations in turn, where gp-2017 met the same
hundred minibatches in every step, set its optimiser back and trained its critic beforehand, and where bce-2018 gave one
batch to critic and proposal, so that it costs twice the calls here. The R1 of bce-2018 acts on log-odds here, on
probabilities there; its baseline leaves out the row it is subtracted from, its RMSprop is Adam with b1 = 0, and its
critic has 2 layers of 50 units for 4 to 10. Settings that the authors changed from task to task, such as `weight`, step
sizes and steps, are those of the Poisson task; benchmarks/suite/methods.py has the others.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from avo.adversarial.proposals import Gaussian
from avo.adversarial.settings import Settings
from avo.checks import one_of

_COMMON = Settings(target="population", gradient="plain", standardize=False, baseline="none", average=1e-9)


def _gp_2017() -> dict[str, Any]:
    from avo import critics

    settings = replace(
        _COMMON,
        critic_steps=100,
        batch=32,
        pairs=32,
        critic_rate=(0.01, 0.01),
        rate=(0.01, 0.01),
        entropy=5.0,
        critic_optimiser=("adam", 0.5, 0.5),
        proposal_optimiser=("adam", 0.5, 0.5),
    )
    return {
        "critic": partial(critics.leaky, slope=0.1, last=0.1),
        "loss": critics.wasserstein("two-sided", weight=2 * 0.025),
        "settings": settings,
        "budget": 301 * settings.calls,
    }


def _r1_2018() -> dict[str, Any]:
    from avo import critics

    settings = replace(
        _COMMON,
        batch=16,
        pairs=16,
        critic_rate=(0.01, 0.01),
        # Theirs starts at 0.01 and is halved every 100 steps; a smooth fall with the same sum in each 100
        rate=(0.0139, 0.0139 / 2**5),
        entropy=0.001,
        critic_optimiser=("rms", 0.9, 4.0),  # theirs begins at 1, for gradients half as long
        proposal_optimiser=("rms", 0.9, 1.0),
    )
    return {
        "critic": critics.leaky,
        "loss": critics.wasserstein("r1", weight=4 * 25.0),  # theirs is |grad d|^2, ours half of it
        "settings": settings,
        "budget": 501 * settings.calls,
    }


def _bce_2018() -> dict[str, Any]:
    from avo import critics

    settings = replace(
        _COMMON,
        batch=32,
        pairs=16,
        critic_rate=(1e-4, 1e-4),
        rate=(1e-3, 1e-3),
        baseline="optimal",
        critic_optimiser=("adam", 0.0, 0.99),
        proposal_optimiser=("adam", 0.0, 0.99),
    )
    return {
        "critic": partial(critics.leaky, width=50, last=1.0),
        "loss": critics.jensen_shannon("saturating", "r1", weight=4 * 10.0),
        "settings": settings,
        "budget": 10_000 * settings.calls,
    }


_RECIPES: dict[str, Callable[[], dict[str, Any]]] = {"gp-2017": _gp_2017, "r1-2018": _r1_2018, "bce-2018": _bce_2018}


def names() -> tuple[str, ...]:
    """List the recipes.

    Example:
        >>> names()
        ('gp-2017', 'r1-2018', 'bce-2018')
    """
    return tuple(_RECIPES)


def get(name: str) -> dict[str, Any]:
    """Make the keywords of a published recipe for `avo.fit`; the proposal starts at N(0, I) in u.

    Args:
        name: one of `names()`.

    Returns:
        critic, loss, settings, budget, proposal and refine=False.

    Raises:
        ValueError: if there is no such recipe.

    Example:
        >>> recipe = get("r1-2018")
        >>> recipe["budget"], recipe["settings"].entropy
        (24048, 0.001)
    """
    one_of("recipe", name, names())
    return {**_RECIPES[name](), "proposal": partial(Gaussian.start, sd=1.0, full=False), "refine": False}
