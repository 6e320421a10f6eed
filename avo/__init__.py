"""avo fits simulators to data by adversarial variational optimization.

A scientist has a simulator, code that draws x given parameters theta, and observations; avo finds the theta that makes
the simulator reproduce them. Start with `avo.fit`.
"""

from importlib import import_module
from types import ModuleType

from avo.diagnostics import check
from avo.host import from_numpy
from avo.proposals import Gaussian
from avo.result import Result, load
from avo.run import fit
from avo.space import Interval, LogInterval, Positive, Real, Space
from avo.trainer import Settings, Trainer, make_trainer

__version__ = "0.1.0"

__all__ = [
    "Gaussian",
    "Interval",
    "LogInterval",
    "Positive",
    "Real",
    "Result",
    "Settings",
    "Space",
    "Trainer",
    "check",
    "fit",
    "from_numpy",
    "load",
    "make_trainer",
]


def __getattr__(name: str) -> ModuleType:
    """Import the other parts of avo where they are first used."""
    if name in ("simulators", "critics", "data", "gallery", "latents", "plots", "recipes"):
        return import_module(f"avo.{name}")
    raise AttributeError(f"module 'avo' has no attribute {name!r}")
