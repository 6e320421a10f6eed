"""`python -m avo.benchmarks` is `avo bench`."""

import sys

from avo.command import app

app(["bench", *sys.argv[1:]], prog_name="avo")
