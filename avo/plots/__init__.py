"""Pictures of a fit: how it went (`history`, `failures`), what it knows (`forest`, `modes`, `identifiability`,
`population`), which parts of x decide it (`sensitivity`), and whether the simulator now looks like the observations:
`predictive` draws both, `misfit` says by which features they differ, `check` what `avo.check` found. `draws` is the
picture of a simulator alone.

Each function takes data and returns a `matplotlib.figure.Figure` that belongs to nobody else: no pyplot, no window, no
global state. Save it by `figure.savefig("x.png")`; a notebook shows it as it is. `figure=` takes a Figure or SubFigure
of your own to draw into, `ax=` axes where the picture has one panel.

Observed data are dark grey, simulated ones orange, what was fitted blue, in every picture.
"""

from avo.plots.estimates import forest, identifiability
from avo.plots.findings import check
from avo.plots.misfits import misfit, population
from avo.plots.parts import sensitivity
from avo.plots.runs import failures, history
from avo.plots.samples import KINDS, draws, predictive
from avo.plots.solutions import modes
from avo.plots.style import OBSERVED, with_unit

__all__ = [
    "KINDS",
    "OBSERVED",
    "check",
    "draws",
    "failures",
    "forest",
    "history",
    "identifiability",
    "misfit",
    "modes",
    "population",
    "predictive",
    "sensitivity",
    "with_unit",
]
