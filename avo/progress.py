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


class Course:
    """One bar for all calls of a fit: what happens now, how far it is, and the time that is left.

    The first calls of a stage come back after its programs were compiled; until then the bar says so.

    Args:
        calls: of all stages.
        progress: whether to show anything.

    Example:
        >>> with Course(100, progress=False) as course:
        ...     course.begin("searching", 40)
        ...     course.update(40)
    """

    def __init__(self, calls: int, progress: bool) -> None:
        self.shown, self.ends = bar(calls, "compiling", "calls", progress), 0
        self.stage = self.after = ""

    def __enter__(self) -> "Course":
        return self

    def __exit__(self, *_: object) -> None:
        self.shown.close()

    def begin(self, stage: str, calls: int, after: str = "") -> None:
        """Begin a stage of so many calls; what it does `after` these takes none."""
        if self.shown.disable:
            return
        self.skip(self.ends - self.shown.n)
        self.ends += calls
        self.shown.total = max(self.shown.total, self.ends)
        self.stage, self.after = stage, after
        self.say()
        self._call("compiling")

    def skip(self, calls: int) -> None:
        """Count calls that are not made, or were made before: they say nothing of the pace."""
        if not self.shown.disable:
            self.shown.n += calls
            self.shown.initial += calls
            self.shown.last_print_n += calls

    def update(self, calls: int) -> None:
        """Count calls that were made."""
        if self.shown.disable:
            return
        done = self.after and self.shown.n + calls >= self.ends
        self._call(self.after if done else self.stage)
        self.shown.update(calls)

    def say(self, words: str = "") -> None:
        """Put words behind the numbers, from the next time on that the bar moves."""
        self.shown.set_postfix_str(words, refresh=False)

    def _call(self, stage: str) -> None:
        if self.shown.desc not in (stage, f"{stage}: "):
            self.shown.set_description(stage, refresh=not isinstance(self.shown, Lines))


def _notebook() -> bool:
    """Tell whether a notebook is there to show a widget."""
    shell = sys.modules.get("IPython")
    running = None if shell is None else shell.get_ipython()
    return type(running).__name__ == "ZMQInteractiveShell" and find_spec("ipywidgets") is not None
