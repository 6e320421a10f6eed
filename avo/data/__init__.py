"""Reading observations, and cutting recordings into them.

A fit wants m observations of one shape, an array (m, *x_shape). Files hold them already (`read`), or hold one long
recording from which they are cut: windows of a series (`windows`, `log_price_windows`, `log_return_windows`) or
heartbeats around their R peaks (`beats`, `read_beats`, `padded_beats`), of which `regularity` says how alike they are.
`split` parts them for training, validation and test. Nothing is filled in, smoothed or sorted here; what cannot be read
is an error that says where.

Rows and columns in messages count from 0, as in NumPy; lines of a file from 1, as in an editor.
"""

from avo.data.columns import Columns
from avo.data.heartbeats import Regularity, beat_times, beats, padded_beats, r_peaks, read_beats, regularity
from avo.data.reading import READABLE, Table, header_of, read, read_table
from avo.data.series import log_price_windows, log_return_windows, scales, windows
from avo.data.splitting import Split, split
from avo.observations import validate_observations

__all__ = [
    "Columns",
    "READABLE",
    "Regularity",
    "Split",
    "Table",
    "beat_times",
    "beats",
    "header_of",
    "log_price_windows",
    "log_return_windows",
    "padded_beats",
    "r_peaks",
    "read",
    "read_beats",
    "read_table",
    "regularity",
    "scales",
    "split",
    "validate_observations",
    "windows",
]
