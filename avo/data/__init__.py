"""Reading observations, and cutting recordings into them.

A fit wants m observations of one shape, an array (m, *x_shape). Files hold them already (`read`), or hold one long
recording from which they are cut: windows of a series (`windows`, `log_price_windows`) or heartbeats around their R
peaks (`beats`, `read_beats`). Nothing is filled in, smoothed or sorted here; what cannot be read is an error that says
where.

Rows and columns in messages count from 0, as in NumPy; lines of a file from 1, as in an editor.
"""

from avo.data.heartbeats import beat_times, beats, read_beats
from avo.data.reading import READABLE, Columns, read, validate_observations
from avo.data.series import log_price_windows, scales, windows

__all__ = [
    "Columns",
    "READABLE",
    "beat_times",
    "beats",
    "log_price_windows",
    "read",
    "read_beats",
    "scales",
    "validate_observations",
    "windows",
]
