"""Pictures of a fit: how it went (`history`), and whether the simulator now looks like the observations: `predictive`
draws both, `check` what `avo.check` found. `draws` is the picture of a simulator alone.

Each function takes data and returns a `matplotlib.figure.Figure` that belongs to nobody else: no pyplot, no window, no
global state. Save it by `figure.savefig("x.png")`; a notebook shows it as it is.

Observed data are dark grey, simulated ones orange, in every picture.
"""

from avo.plots.findings import check
from avo.plots.runs import history
from avo.plots.samples import KINDS, draws, predictive
from avo.plots.style import OBSERVED, with_unit

__all__ = ["KINDS", "OBSERVED", "check", "draws", "history", "predictive", "with_unit"]
