"""Ready-made simulators: one system per file, each a factory that returns a `Problem`.

`names()` lists the registry, `find("series", "discrete")` those that have all these tags, `get(name, **options)` builds
a problem by name; its `summary` describes it in a line, `about(name)` in full: equations, source, what is identified,
limits, options, parameters. Each problem has one tag for the form of x, `scalar`, `vector`,
`series` or `image`, and others for what it is about; `TAGS` explains them.
`sde` and `sde_from_numpy` make simulators of your own stochastic differential equations.

A simulator registers itself by the header of its file (`avo.simulators.register`), and is imported where it is first
used.
"""

import inspect
import sys
import textwrap
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from avo.checks import did_you_mean
from avo.simulators.register import headers

if TYPE_CHECKING:  # for type checkers and editors, which follow no __getattr__; a test compares with the files
    from avo.simulators.bernoulli_glm import bernoulli_glm as bernoulli_glm
    from avo.simulators.brownian import brownian as brownian
    from avo.simulators.cir import cir as cir
    from avo.simulators.detector import detector as detector
    from avo.simulators.ecg import ecg as ecg
    from avo.simulators.ecg_factors import ecg_factors as ecg_factors
    from avo.simulators.ecgsyn import ecgsyn as ecgsyn
    from avo.simulators.epem import epem as epem
    from avo.simulators.epem2 import epem2 as epem2
    from avo.simulators.g_and_k import g_and_k as g_and_k
    from avo.simulators.gaussian_linear import gaussian_linear as gaussian_linear
    from avo.simulators.gaussian_linear_uniform import gaussian_linear_uniform as gaussian_linear_uniform
    from avo.simulators.gaussian_mixture import gaussian_mixture as gaussian_mixture
    from avo.simulators.geometric_brownian import geometric_brownian as geometric_brownian
    from avo.simulators.hodgkin_huxley import hodgkin_huxley as hodgkin_huxley
    from avo.simulators.linear5 import linear5 as linear5
    from avo.simulators.lotka_volterra import lotka_volterra as lotka_volterra
    from avo.simulators.ma2 import ma2 as ma2
    from avo.simulators.merton import merton as merton
    from avo.simulators.mg1 import mg1 as mg1
    from avo.simulators.ornstein_uhlenbeck import ornstein_uhlenbeck as ornstein_uhlenbeck
    from avo.simulators.oscillator import oscillator as oscillator
    from avo.simulators.pendulum import pendulum as pendulum
    from avo.simulators.pendulum_driven import pendulum_driven as pendulum_driven
    from avo.simulators.pendulum_stochastic import pendulum_stochastic as pendulum_stochastic
    from avo.simulators.poisson import poisson as poisson
    from avo.simulators.problem import Axis as Axis
    from avo.simulators.problem import Inputs as Inputs
    from avo.simulators.problem import Problem as Problem
    from avo.simulators.problem import vectorize as vectorize
    from avo.simulators.ricker import ricker as ricker
    from avo.simulators.sde import sde as sde
    from avo.simulators.sde import sde_from_numpy as sde_from_numpy
    from avo.simulators.sir import sir as sir
    from avo.simulators.slcp import slcp as slcp
    from avo.simulators.slcp_distractors import slcp_distractors as slcp_distractors
    from avo.simulators.two_moons import two_moons as two_moons

TAGS = {  # form of x, then what a task is good for, then its field
    "scalar": "one number per observation",
    "vector": "numbers in no particular order",
    "series": "numbers in the order of time or place, one or several channels",
    "image": "a grid of pixels",
    "discrete": "whole numbers",
    "population": "one observation tells of every parameter: made for target='population'",
    "unidentified": "observations do not decide every parameter",
    "published": "published with adversarial variational optimization",
    "benchmark": "a standard task of likelihood-free inference",
    "sbibm": "defined to the letter as in the benchmark sbibm",
    "chaos": "neighbouring paths part exponentially, for some parameters",
    "diffusion": "driven by white noise: a stochastic differential equation",
    "jumps": "paths that jump",
    "ecology": "populations of animals",
    "epidemiology": "the spread of a disease",
    "finance": "prices and rates",
    "medicine": "electrocardiograms",
    "neuroscience": "neurons and their spikes",
    "physics": "mechanics and particles",
}

_TOOLS = {"Axis": "problem", "Inputs": "problem", "Problem": "problem", "vectorize": "problem"}
_TOOLS |= {"sde": "sde", "sde_from_numpy": "sde"}


def tags() -> tuple[str, ...]:
    """Tags of the registered simulators, in alphabetical order; `TAGS` says what they mean.

    Example:
        >>> {"series", "image", "discrete"} <= set(tags())
        True
    """
    return tuple(sorted({tag for header in headers().values() for tag in header.tags}))


def names(tag: str | None = None) -> tuple[str, ...]:
    """Names of the registered simulators, in alphabetical order.

    Args:
        tag: one of `tags()`; None: all simulators.

    Returns:
        The names.

    Raises:
        ValueError: if no simulator has the tag; the message lists those there are.

    Example:
        >>> "brownian" in names() and "brownian" in names("series")
        True
        >>> "detector" in names("image")
        True
    """
    return find() if tag is None else find(tag)


def find(*wanted: str) -> tuple[str, ...]:
    """Names of the registered simulators that have all of these tags, in alphabetical order.

    Args:
        *wanted: of `tags()`.

    Returns:
        The names; none where no simulator has all of them.

    Raises:
        ValueError: if no simulator has one of the tags; the message lists those there are.

    Example:
        >>> "ricker" in find("series", "discrete")
        True
    """
    if unknown := [tag for tag in wanted if tag not in tags()]:
        hint = did_you_mean(unknown[0], tags())
        raise ValueError(f"tag must be one of {', '.join(tags())}; got {', '.join(map(repr, unknown))}.{hint}")
    return tuple(name for name, header in headers().items() if set(wanted) <= set(header.tags))


def get(name: str, **options: object) -> "Problem":
    """Build a registered problem by name.

    Args:
        name: one of `names()`.
        **options: arguments of the factory, e.g. points=128 for "brownian".

    Returns:
        The `Problem`.

    Raises:
        ValueError: if no simulator has this name, or it has no such option; the message suggests the nearest.

    Example:
        >>> get("brownian", points=16).x_shape
        (16,)
    """
    factory = _factory(name)
    known = inspect.signature(factory).parameters
    for option in options:
        if option not in known:
            choice = f"be one of {', '.join(known)}" if known else "be left out"
            raise ValueError(f"options must {choice} for {name}; got {option!r}.{did_you_mean(option, known)}")
    return factory(**options)


def about(name: str) -> str:
    """Describe a registered simulator in full: what `avo list NAME` prints.

    Args:
        name: one of `names()`.

    Returns:
        The text of its module (equations, what is identified, limits, source), then what its factory says: options with
        their defaults, and the parameters with ranges, units and truth.

    Raises:
        ValueError: if no simulator has this name; the message suggests the nearest.

    Example:
        >>> print(about("poisson").splitlines()[0])
        Counts at a constant rate, x ~ Poisson(rate): the first task published for adversarial variational optimization.
        >>> print(about("poisson").splitlines()[-1])
          rate  1 to 30, truth 7
    """
    factory, problem = _factory(name), get(name)
    told = (inspect.getdoc(factory) or "").partition("\n\nRaises:")[0].partition("\n\nExample:")[0]
    width = max(map(len, problem.space.names))
    rows = []
    for key, p, truth in zip(problem.space.names, problem.space, problem.theta_true, strict=True):
        low, high = p.support
        unit = f" {p.unit}" if p.unit else ""
        rows.append(f"  {key:{width}}  {low:.4g} to {high:.4g}{unit}, truth {truth:.4g}")
    options = [f"{option.name}={option.default!r}" for option in inspect.signature(factory).parameters.values()]
    call = textwrap.fill(f"{name}({', '.join(options)})", 120, subsequent_indent="    ", break_on_hyphens=False)
    return "\n".join([
        inspect.getdoc(inspect.getmodule(factory)) or "", "", call, "", told, "",
        "Parameters, with the default options", *rows,
    ])  # fmt: skip


def _factory(name: str) -> Callable[..., "Problem"]:
    if not isinstance(name, str) or name not in headers():
        hint = did_you_mean(name, names(), cutoff=0.5)
        raise ValueError(f"name must be a registered simulator; got {name!r}.{hint} Known: {', '.join(names())}.")
    return getattr(sys.modules[__name__], name)


# --- imports where they are first used -------------------------------------------------------------------------------

# Lazy as avo/__init__ and the command are: a name is asked for among many files, and `avo list` reads their headers
# without starting JAX

_WORDS = ("TAGS", "about", "find", "get", "names", "tags")
__all__ = sorted({*_WORDS, *_TOOLS, *headers()})  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    """Import a simulator, or a tool, where it is first used."""
    home = name if name in headers() else _TOOLS.get(name)
    if home is None:
        raise AttributeError(f"module 'avo.simulators' has no attribute {name!r}")
    value = getattr(import_module(f"avo.simulators.{home}"), name)
    setattr(sys.modules[__name__], name, value)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(ModuleType):
    """This package, in which the name of a simulator is its factory, whoever imports its file.

    After `import avo.simulators.poisson` Python binds the name `poisson` to the module; here it stays the function.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, ModuleType) and callable(getattr(value, name, None)):
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
