"""Ready-made simulators: one system per file, each a factory that returns a `Problem`.

`names()` lists the registry, `get(name, **options)` builds a problem by name; its `summary` describes it in a line.
"""

from collections.abc import Callable
from difflib import get_close_matches

from avo.simulators.brownian import brownian
from avo.simulators.ecg import ecg
from avo.simulators.ecgsyn import ecgsyn
from avo.simulators.epem import epem
from avo.simulators.linear5 import linear5
from avo.simulators.pendulum import pendulum
from avo.simulators.poisson import poisson
from avo.simulators.problem import Axis, Problem, vectorize

__all__ = [
    "Axis", "Problem", "brownian", "ecg", "ecgsyn", "epem", "get", "linear5", "names", "pendulum", "poisson",
    "vectorize",
]  # fmt: skip

_FACTORIES: dict[str, Callable[..., Problem]] = {
    "brownian": brownian,
    "ecg": ecg,
    "ecgsyn": ecgsyn,
    "epem": epem,
    "linear5": linear5,
    "pendulum": pendulum,
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
