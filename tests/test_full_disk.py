"""A disk that is full while a run goes on: the run ends with its answer, says so, and nothing half-written is left.

A limit on the size of files, which needs no rights, stands for it in one process; a small file system in memory, which
only root may mount, is a full disk indeed.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fits import LONG, TINY, fit
from rows import row

import avo

pytestmark = pytest.mark.usefixtures("single_precision")

SIZE = 4 * 2**20  # of the small file system, whose pages have 4 kB

# Neither programs nor bytecode of a process whose files may not grow: half of one would be left for others
NOT_KEPT = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "1e9", "PYTHONDONTWRITEBYTECODE": "1"}

LIMITED = """
import json, os, resource, sys, warnings
sys.path.insert(0, {tests!r})
import fits, avo
from rows import row
from typer.testing import CliRunner

LIMIT = 3000  # fit.json has 1.7 kB, arrays.npz has more

calls = 0

def fills(rng, theta):
    global calls
    calls += 1
    if calls == 10 * fits.TINY.calls:
        resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, resource.RLIM_INFINITY))
    return row(rng, theta)

fills.__qualname__ = "row"
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    found = fits.fit(avo.from_numpy(fills), budget=fits.LONG, out="run")
command = "fit poisson --n 60 --budget 2560 --no-refine --out own"
done = CliRunner().invoke(avo.command.app, command.split())
left = sorted(os.path.join(at, name) for at, _, names in os.walk(".") for name in names)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
words = {{"said": [str(one.message) for one in said], "u": found.history["u"].tolist(), "left": left}}
words |= {{"status": done.exit_code, "out": done.stdout, "err": done.stderr}}
print(json.dumps(words))
"""


def test_a_run_goes_on_where_no_file_may_grow(tmp_path: Path) -> None:
    pytest.importorskip("resource", reason="a system without limits on files")
    (tmp_path / "tmp").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", "import avo.command\n" + LIMITED.format(tests=str(Path(__file__).parent))],
        cwd=tmp_path, env=os.environ | {"TMPDIR": str(tmp_path / "tmp")} | NOT_KEPT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    np.testing.assert_array_equal(found["u"], fit(avo.from_numpy(row), budget=LONG).history["u"])
    told = "\n".join(found["said"])
    assert "calls.sqlite cannot be written any more" in told and "the run goes on" in told
    assert "The result is in memory alone: make room, and save it by result.save(FOLDER)." in told
    # The command prints what it cannot write
    assert found["status"] == 3 and "rate" in found["out"] and "avo report" not in found["out"]
    assert "own cannot be written (" in found["err"] and "Traceback" not in found["err"]
    assert not [name for name in found["left"] if name.endswith((".tmp", ".png", "result.json"))]
    assert os.listdir(tmp_path / "tmp") == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    command = [str(mount), "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    if mount is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a file system of one's own needs root, and the right to mount")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_run_on_a_full_disk_ends_with_its_result_elsewhere(
    small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    calls = 0

    def fills(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
        nonlocal calls
        calls += 1
        if calls == 30 * TINY.calls:  # somebody else's file takes what is left
            with (small_disk / "theirs").open("wb", buffering=0) as file:
                try:
                    while file.write(bytes(4096)):
                        pass
                except OSError:
                    pass
        return row(rng, theta)

    fills.__qualname__ = row.__qualname__
    with pytest.warns(UserWarning) as said:
        found = fit(avo.from_numpy(fills), budget=LONG, out=small_disk / "run")
    words = [str(one.message) for one in said]
    assert sum("calls.sqlite cannot be written any more" in word for word in words) == 1
    (elsewhere,) = [word.split("the result is in ")[1].rstrip(".") for word in words if "the result is in" in word]
    np.testing.assert_array_equal(avo.load(elsewhere).history["u"], found.history["u"])
    np.testing.assert_array_equal(found.history["u"], fit(avo.from_numpy(row), budget=LONG).history["u"])
    left = {path.name for path in (small_disk / "run").iterdir()}
    assert "fit.json" in left and "result.json" not in left and not any(name.endswith(".tmp") for name in left)
    # With room again the run that is there goes on, to the same bits
    (small_disk / "theirs").unlink()
    again = fit(avo.from_numpy(fills), budget=LONG, out=small_disk / "run", resume=True)
    np.testing.assert_array_equal(again.history["u"], found.history["u"])
