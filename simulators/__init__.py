"""Ready-made simulators: one system per file, each a factory that returns a `Problem`.

`names()` lists the registry, `get(name, **options)` builds a problem by name; its `summary` describes it in a line.
`sde` and `sde_from_numpy` make simulators of your own stochastic differential equations.
"""

from collections.abc import Callable
from difflib import get_close_matches

from avo.simulators.bernoulli_glm import bernoulli_glm
from avo.simulators.brownian import brownian
from avo.simulators.cir import cir
from avo.simulators.ecg import ecg
from avo.simulators.ecgsyn import ecgsyn
from avo.simulators.epem import epem
from avo.simulators.gaussian_linear import gaussian_linear
from avo.simulators.gaussian_linear_uniform import gaussian_linear_uniform
from avo.simulators.gaussian_mixture import gaussian_mixture
from avo.simulators.geometric_brownian import geometric_brownian
from avo.simulators.hodgkin_huxley import hodgkin_huxley
from avo.simulators.linear5 import linear5
from avo.simulators.lotka_volterra import lotka_volterra
from avo.simulators.merton import merton
from avo.simulators.ornstein_uhlenbeck import ornstein_uhlenbeck
from avo.simulators.pendulum import pendulum
from avo.simulators.pendulum_driven import pendulum_driven
from avo.simulators.pendulum_stochastic import pendulum_stochastic
from avo.simulators.poisson import poisson
from avo.simulators.problem import Axis, Problem, vectorize
from avo.simulators.sde import sde, sde_from_numpy
from avo.simulators.sir import sir
from avo.simulators.slcp import slcp
from avo.simulators.slcp_distractors import slcp_distractors
from avo.simulators.two_moons import two_moons

__all__ = [
    "Axis", "Problem", "bernoulli_glm", "brownian", "cir", "ecg", "ecgsyn", "epem", "gaussian_linear",
    "gaussian_linear_uniform", "gaussian_mixture", "geometric_brownian", "get", "hodgkin_huxley", "linear5",
    "lotka_volterra", "merton", "names", "ornstein_uhlenbeck", "pendulum", "pendulum_driven", "pendulum_stochastic",
    "poisson", "sde", "sde_from_numpy", "sir", "slcp", "slcp_distractors", "two_moons", "vectorize",
]  # fmt: skip

_FACTORIES: dict[str, Callable[..., Problem]] = {
    "bernoulli_glm": bernoulli_glm,
    "brownian": brownian,
    "cir": cir,
    "ecg": ecg,
    "ecgsyn": ecgsyn,
    "epem": epem,
    "gaussian_linear": gaussian_linear,
    "gaussian_linear_uniform": gaussian_linear_uniform,
    "gaussian_mixture": gaussian_mixture,
    "geometric_brownian": geometric_brownian,
    "hodgkin_huxley": hodgkin_huxley,
    "linear5": linear5,
    "lotka_volterra": lotka_volterra,
    "merton": merton,
    "ornstein_uhlenbeck": ornstein_uhlenbeck,
    "pendulum": pendulum,
    "pendulum_driven": pendulum_driven,
    "pendulum_stochastic": pendulum_stochastic,
    "poisson": poisson,
    "sir": sir,
    "slcp": slcp,
    "slcp_distractors": slcp_distractors,
    "two_moons": two_moons,
}


def names() -> tuple[str, ...]:
    """Names of the registered simulators, in alphabetical order.

    Example:
        >>> "brownian" in names()
        True
    """
    return tuple(sorted(_FACTORIES))


def get(name: str, **options: object) -> Problem:
    """Build a registered problem by name.

    Args:
        name: one of `names()`.
        **options: arguments of the factory, e.g. points=128 for "brownian".

    Returns:
        The `Problem`.

    Raises:
        ValueError: if no simulator has this name; the message suggests the nearest.

    Example:
        >>> get("brownian", points=16).x_shape
        (16,)
    """
    if name not in _FACTORIES:
        near = get_close_matches(name, names(), n=1, cutoff=0.5)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"name must be a registered simulator; got {name!r}.{hint} Known: {', '.join(names())}.")
    return _FACTORIES[name](**options)
