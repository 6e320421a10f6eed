"""avo fits simulators to data by adversarial variational optimization.

A scientist has a simulator, code that draws x given parameters theta, and observations; avo finds the theta that makes
the simulator reproduce them. Start with `avo.fit`.
"""

from importlib import import_module
from types import ModuleType

from avo.adversarial.proposals import Gaussian
from avo.adversarial.settings import Settings
from avo.adversarial.trainer import Trainer, make_trainer
from avo.diagnostics.goodness import check
from avo.execution.host import from_numpy
from avo.result import Result, load
from avo.run import fit
from avo.space import Interval, LogInterval, Positive, Real, Space

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

PARTS = {name: name for name in ("simulators", "critics", "data", "latents", "plots")}
PARTS |= {"gallery": "plots.gallery", "recipes": "adversarial.recipes"}


def __getattr__(name: str) -> ModuleType:
    """Import the other parts of avo where they are first used."""
    if name in PARTS:
        return import_module(f"avo.{PARTS[name]}")
    raise AttributeError(f"module 'avo' has no attribute {name!r}")
