"""avo fits simulators to data by adversarial variational optimization.

A scientist has a simulator, code that draws x given parameters theta, and observations; avo finds the theta that makes
the simulator reproduce them. Start with `avo.fit`.
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for type checkers and editors, which follow no __getattr__; a test compares with _HOMES and _PARTS
    from avo import critics as critics
    from avo import data as data
    from avo import latents as latents
    from avo import plots as plots
    from avo import simulators as simulators
    from avo.adversarial import recipes as recipes
    from avo.adversarial.proposals import Gaussian as Gaussian
    from avo.adversarial.settings import Settings as Settings
    from avo.adversarial.trainer import Trainer as Trainer
    from avo.adversarial.trainer import make_trainer as make_trainer
    from avo.diagnostics.goodness import check as check
    from avo.execution.command import from_command as from_command
    from avo.execution.host import from_numpy as from_numpy
    from avo.execution.stored import Stored as Stored
    from avo.parameters import Angle as Angle
    from avo.parameters import Count as Count
    from avo.parameters import Fixed as Fixed
    from avo.parameters import Interval as Interval
    from avo.parameters import Known as Known
    from avo.parameters import LogInterval as LogInterval
    from avo.parameters import Positive as Positive
    from avo.parameters import Real as Real
    from avo.plots import gallery as gallery
    from avo.refine.custom import Only as Only
    from avo.result import Result as Result
    from avo.result import load as load
    from avo.run import fit as fit
    from avo.space import Space as Space
    from avo.variational.minimizing import minimize as minimize
    from avo.variational.minimum import Minimum as Minimum

__version__ = "0.1.0"

_HOMES = {
    "Angle": "parameters",
    "Count": "parameters",
    "Fixed": "parameters",
    "Gaussian": "adversarial.proposals",
    "Interval": "parameters",
    "Known": "parameters",
    "LogInterval": "parameters",
    "Minimum": "variational.minimum",
    "Only": "refine.custom",
    "Positive": "parameters",
    "Real": "parameters",
    "Result": "result",
    "Settings": "adversarial.settings",
    "Space": "space",
    "Stored": "execution.stored",
    "Trainer": "adversarial.trainer",
    "check": "diagnostics.goodness",
    "fit": "run",
    "from_command": "execution.command",
    "from_numpy": "execution.host",
    "load": "result",
    "make_trainer": "adversarial.trainer",
    "minimize": "variational.minimizing",
}
_PARTS = {name: name for name in ("critics", "data", "latents", "plots", "simulators")}
_PARTS |= {"gallery": "plots.gallery", "recipes": "adversarial.recipes"}

__all__ = [*_HOMES, *_PARTS]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    """Import a name, or a part of avo, where it is first used: `import avo` alone starts neither JAX nor Matplotlib."""
    if name in _HOMES:
        value = getattr(import_module(f"avo.{_HOMES[name]}"), name)
    elif name in _PARTS:
        value = import_module(f"avo.{_PARTS[name]}")
    else:
        raise AttributeError(f"module 'avo' has no attribute {name!r}")
    setattr(sys.modules[__name__], name, value)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
