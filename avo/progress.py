"""How far a fit has come: a bar on a terminal, a widget in a notebook, a line every half minute elsewhere."""

import sys
from importlib.util import find_spec
from time import time
from typing import Any

from tqdm import tqdm

EVERY = 30.0  # seconds between two lines, and before the first
LINE = "{desc}: {n_fmt} of {total_fmt}{unit}, {remaining} to go{postfix}"


class Lines(tqdm):
    """A bar for what is read later: one line at a time, none for what is soon done."""

    def __init__(self, *of: Any, **kw: Any) -> None:
        super().__init__(*of, **kw, mininterval=EVERY, delay=EVERY, bar_format=LINE, smoothing=0)
        self.begun = False

    def update(self, n: float | None = 1) -> bool | None:
        """Move on; what came before the first move, a compilation as a rule, says nothing of the pace."""
        if not self.begun and not self.disable:
            self.begun, self.start_t, self.initial = True, time(), self.n + (n or 0)
        return super().update(n)

    @staticmethod
    def status_printer(file: Any) -> Any:
        """Write a line for each status, and nothing where a bar would be wiped out."""

        def write(status: str) -> None:
            if status.strip():
                file.write(status.strip() + "\n")
                file.flush()

        return write

    def close(self) -> None:
        """End without a word, as if the first line were still to come."""
        self.delay = float("inf")
        super().close()


def bar(total: int, stage: str, unit: str, progress: bool, done: int = 0) -> tqdm:
    """Show the progress of a stage; the bar goes when it is closed.

    Args:
        total: how many units there are.
        stage: what is done, such as "search".
        unit: of what, such as "calls".
        progress: whether to show anything.
        done: how many are done already.

    Example:
        >>> with bar(20, "search", "calls", progress=False) as shown:
        ...     shown.update(20)
    """
    kind: Any = tqdm
    if progress and _notebook():
        from tqdm.notebook import tqdm as widget

        kind = widget
    elif not sys.stderr.isatty():
        kind = Lines
    return kind(
        total=total, initial=done, desc=stage, unit=f" {unit}", disable=not progress, leave=False, file=sys.stderr,
        **({"dynamic_ncols": True} if kind is tqdm else {}),
    )  # fmt: skip


def _notebook() -> bool:
    """Tell whether a notebook is there to show a widget."""
    shell = sys.modules.get("IPython")
    running = None if shell is None else shell.get_ipython()
    return type(running).__name__ == "ZMQInteractiveShell" and find_spec("ipywidgets") is not None
