"""Ctrl-C: it ends a command wherever it comes, and the last line says what is kept."""

import _thread
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

STOPPED = 130  # exit status of a command that Ctrl-C ended
AGAIN = 0.05  # seconds after which a Ctrl-C that nothing could take comes again


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C end what happens inside as KeyboardInterrupt.

    Python raises it in whatever runs just then. In a callback of the garbage collector, of which JAX has one, an
    exception is printed and forgotten: there it is raised once more, a moment later. What an import that was cut short
    raises instead, then or later, is KeyboardInterrupt too.
    """
    if threading.current_thread() is not threading.main_thread():  # only that one hears signals
        yield
        return
    asked, before, shown = threading.Event(), signal.getsignal(signal.SIGINT), sys.unraisablehook

    def ask(*_: Any) -> None:
        asked.set()
        raise KeyboardInterrupt

    def lost(unraisable: Any) -> None:
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            threading.Timer(AGAIN, _thread.interrupt_main).start()
        else:
            shown(unraisable)

    signal.signal(signal.SIGINT, ask)
    sys.unraisablehook = lost
    try:
        yield
    except Exception as error:
        if asked.is_set() and not isinstance(error, typer.Exit):
            raise KeyboardInterrupt from error
        raise
    finally:
        sys.unraisablehook = shown
        signal.signal(signal.SIGINT, before)


@contextmanager
def kept(out: Path) -> Iterator[None]:
    """Say what a run's folder holds where Ctrl-C ends a fit, or what comes after it."""
    try:
        with interruptible():
            yield
    except KeyboardInterrupt:
        words = "stopped; nothing was kept."
        if (out / "result.json").exists():
            words = f"stopped; the fit is finished, its result is in {out}.\nits summary: avo report {out}"
        elif (out / "fit.json").exists():
            words = f"stopped; the run is in {out}.\ncontinue it: the same command with --resume --out {out}"
        typer.echo(words, err=True)
        raise


def leave(status: int) -> None:
    """End the process at once: a library whose import was cut short may crash when it is freed."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
