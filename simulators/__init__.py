"""Ready-made simulators: one system per file, each a factory that returns a `Problem`.

`names()` lists the registry, `get(name, **options)` builds a problem by name; its `summary` describes it in a line.
`sde` and `sde_from_numpy` make simulators of your own stochastic differential equations.
"""

from collections.abc import Callable
from difflib import get_close_matches

from avo.simulators.brownian import brownian
from avo.simulators.cir import cir
from avo.simulators.ecg import ecg
from avo.simulators.epem import epem
from avo.simulators.geometric_brownian import geometric_brownian
from avo.simulators.linear5 import linear5
from avo.simulators.merton import merton
from avo.simulators.ornstein_uhlenbeck import ornstein_uhlenbeck
from avo.simulators.pendulum import pendulum
from avo.simulators.pendulum_driven import pendulum_driven
from avo.simulators.pendulum_stochastic import pendulum_stochastic
from avo.simulators.poisson import poisson
from avo.simulators.problem import Axis, Problem, vectorize
from avo.simulators.sde import sde, sde_from_numpy

__all__ = [
    "Axis", "Problem", "brownian", "cir", "ecg", "epem", "geometric_brownian", "get", "linear5", "merton", "names",
    "ornstein_uhlenbeck", "pendulum", "pendulum_driven", "pendulum_stochastic", "poisson", "sde", "sde_from_numpy",
    "vectorize",
]  # fmt: skip

_FACTORIES: dict[str, Callable[..., Problem]] = {
    "brownian": brownian,
    "cir": cir,
    "ecg": ecg,
    "epem": epem,
    "geometric_brownian": geometric_brownian,
    "linear5": linear5,
    "merton": merton,
    "ornstein_uhlenbeck": ornstein_uhlenbeck,
    "pendulum": pendulum,
    "pendulum_driven": pendulum_driven,
    "pendulum_stochastic": pendulum_stochastic,
    "poisson": poisson,
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
