"""Running a program to its end, and ending whatever it has started.

The program leads a session and a group of processes of its own. They are ended together: asked by SIGTERM where the
program still runs, killed where that does not help, or where it left others behind. So none outlives its call, neither
after a timeout nor after Ctrl-C, which such a session does not hear.
"""

import math
import os
import select
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

GRACE = 1.0  # seconds between asking a program to end and killing it
LONGEST = 2**31 - 1  # milliseconds that can be waited for, 24 days


def run_program(
    command: Sequence[str], folder: Path, env: Mapping[str, str], timeout: float | None, out: Path, err: Path
) -> int:
    """Run a program, without a shell, and return its code, below zero for a signal.

    Files take what it writes: with pipes, a process that it left behind could hold up the call.

    Args:
        command: path and arguments.
        folder: where it runs.
        env: its environment.
        timeout: seconds that it may take; None: any number.
        out: file for what it writes to stdout.
        err: file for what it writes to stderr.

    Raises:
        OSError: if it cannot be started.
        subprocess.TimeoutExpired: if it took longer, and was ended.
    """
    with out.open("wb") as stdout, err.open("wb") as stderr:
        process = subprocess.Popen(
            command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, start_new_session=True
        )
    try:
        return _wait(process, timeout)
    finally:
        _end(process)


def _wait(process: subprocess.Popen, timeout: float | None) -> int:
    """Wait for a process; by an event where there is one (Linux), since `wait` with a timeout naps up to 50 ms."""
    if timeout is not None:
        with suppress(AttributeError, OSError):
            ending = os.pidfd_open(process.pid)
            try:
                events = select.poll()
                events.register(ending, select.POLLIN)
                if not events.poll(min(math.ceil(1000 * timeout), LONGEST)):
                    raise subprocess.TimeoutExpired(process.args, timeout)
                timeout = None
            finally:
                os.close(ending)
    return process.wait(timeout)


def _end(process: subprocess.Popen) -> None:
    """End a process and its group."""
    try:
        if process.poll() is None:
            _signal_group(process, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                _wait(process, GRACE)
    finally:
        _signal_group(process, signal.SIGKILL)
        process.wait()


def _signal_group(process: subprocess.Popen, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):  # nobody is left; macOS says so in another word
        os.killpg(process.pid, number)
