"""Ready-made simulators: one system per file, each a factory that returns a `Problem`.

`names()` lists the registry, `get(name, **options)` builds a problem by name; its `summary` describes it in a line.
"""

from collections.abc import Callable
from difflib import get_close_matches

from avo.simulators.bernoulli_glm import bernoulli_glm
from avo.simulators.brownian import brownian
from avo.simulators.ecg import ecg
from avo.simulators.ecgsyn import ecgsyn
from avo.simulators.epem import epem
from avo.simulators.gaussian_linear import gaussian_linear
from avo.simulators.gaussian_linear_uniform import gaussian_linear_uniform
from avo.simulators.gaussian_mixture import gaussian_mixture
from avo.simulators.hodgkin_huxley import hodgkin_huxley
from avo.simulators.linear5 import linear5
from avo.simulators.lotka_volterra import lotka_volterra
from avo.simulators.pendulum import pendulum
from avo.simulators.poisson import poisson
from avo.simulators.problem import Axis, Problem, vectorize
from avo.simulators.sir import sir
from avo.simulators.slcp import slcp
from avo.simulators.slcp_distractors import slcp_distractors
from avo.simulators.two_moons import two_moons

__all__ = [
    "Axis", "Problem", "bernoulli_glm", "brownian", "ecg", "ecgsyn", "epem", "gaussian_linear",
    "gaussian_linear_uniform", "gaussian_mixture", "get", "hodgkin_huxley", "linear5", "lotka_volterra", "names",
    "pendulum", "poisson", "sir", "slcp", "slcp_distractors", "two_moons", "vectorize",
]  # fmt: skip

_FACTORIES: dict[str, Callable[..., Problem]] = {
    "bernoulli_glm": bernoulli_glm,
    "brownian": brownian,
    "ecg": ecg,
    "ecgsyn": ecgsyn,
    "epem": epem,
    "gaussian_linear": gaussian_linear,
    "gaussian_linear_uniform": gaussian_linear_uniform,
    "gaussian_mixture": gaussian_mixture,
    "hodgkin_huxley": hodgkin_huxley,
    "linear5": linear5,
    "lotka_volterra": lotka_volterra,
    "pendulum": pendulum,
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
