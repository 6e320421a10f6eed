"""avo.command.stopping: Ctrl-C ends a command wherever it comes, and the last line says what is kept."""

import gc
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import typer

from avo.command.stopping import interruptible, kept


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_in_a_callback_of_the_garbage_collector_it_comes_again() -> None:
    """There an exception is printed, and forgotten: pytest would report it as a warning."""
    pressed = []

    def callback(phase: str, info: dict[str, Any]) -> None:
        if not pressed:
            pressed.append(phase)
            press()

    gc.callbacks.append(callback)
    before = signal.getsignal(signal.SIGINT), sys.unraisablehook
    try:
        with pytest.raises(KeyboardInterrupt), interruptible():
            gc.collect()
            time.sleep(10)  # is cut short
    finally:
        gc.callbacks.remove(callback)
    assert pressed == ["start"] and (signal.getsignal(signal.SIGINT), sys.unraisablehook) == before


def test_what_a_cut_import_raises_is_ctrl_c_and_other_errors_stay() -> None:
    with pytest.raises(KeyboardInterrupt), interruptible():
        try:
            press()
            time.sleep(10)
        except KeyboardInterrupt:
            raise AttributeError("type object 'tqdm' has no attribute '_lock'") from None
    with pytest.raises(typer.Exit), interruptible():  # after a stop of which the fit took care
        try:
            press()
            time.sleep(10)
        except KeyboardInterrupt:
            raise typer.Exit(3) from None
    with pytest.raises(AttributeError, match="own"), interruptible():
        raise AttributeError("own")


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ((), "stopped; nothing was kept.\n"),
        (("fit.json",), "stopped; the run is in {out}.\ncontinue it: the same command with --resume --out {out}\n"),
        (
            ("fit.json", "result.json"),
            "stopped; the fit is finished, its result is in {out}.\nits summary: avo report {out}\n",
        ),
    ],
)
def test_the_last_line_says_what_is_kept(
    files: tuple[str, ...], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in files:
        (tmp_path / file).touch()
    with pytest.raises(KeyboardInterrupt), kept(tmp_path):
        raise KeyboardInterrupt
    assert capsys.readouterr().err == words.format(out=tmp_path)


def test_a_command_that_is_stopped_ends_with_130_and_a_sentence(tmp_path: Path) -> None:
    """Before its search is done: a run of so many calls takes minutes."""
    words = [sys.executable, "-c", "from avo.command import main; main()"]
    words += ["fit", "ecg", "--budget", "30000000", "--out", str(tmp_path / "run")]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as run:
        while not (tmp_path / "run" / "fit.json").exists() and run.poll() is None:
            time.sleep(0.05)
        run.send_signal(signal.SIGINT)
        err = run.communicate(timeout=60)[1]
    assert run.returncode == 130, err
    assert err.endswith(f"continue it: the same command with --resume --out {tmp_path / 'run'}\n")
    assert "Traceback" not in err
