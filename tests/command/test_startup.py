"""What a command imports, and the compiled programs that it leaves for the next."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import avo
from avo.command import programs

HEAVY = ("jax", "matplotlib", "equinox", "scipy", "optax", "PIL")


def command(*words: str, status: int = 0, **env: str) -> subprocess.CompletedProcess[str]:
    """Run `avo` in a process of its own, without the caches of these tests; it must succeed unless told otherwise."""
    there = {name: value for name, value in os.environ.items() if not name.startswith(("JAX_", "AVO_"))}
    code = "import sys; from avo.command import main; sys.argv[0] = 'avo'; main()"
    called = [sys.executable, "-c", code, *words]
    done = subprocess.run(called, env=there | env, capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    return done


@pytest.mark.parametrize("words", [["--help"], ["list"], ["list", "--tag", "series"], ["info"], ["fit", "--help"]])
def test_what_only_prints_imports_nothing_heavy(words: list[str]) -> None:
    code = f"""
import sys
from avo.command import app
try:
    app({words!r}, prog_name="avo")
except SystemExit as end:
    assert not end.code
print("imported:", [name for name in {HEAVY!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "imported: []" and len(done.stdout.splitlines()) > 5


def test_the_module_is_the_command_and_says_its_version() -> None:
    for words in (["-m", "avo", "--version"], ["-c", "from avo.command import main; main()", "--version"]):
        done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=True)
        assert done.stdout == f"avo {avo.__version__}\n" and not done.stderr
    done = subprocess.run([sys.executable, "-m", "avo", "report", "nowhere"], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("error: ") and "Traceback" not in done.stderr


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_the_second_fit_compiles_nothing_new(tmp_path: Path) -> None:
    words = ("fit", "poisson", "--n", "60", "--budget", "2560", "--no-refine", "--quiet", "--out")
    first = command(*words, str(tmp_path / "a"), status=3, XDG_CACHE_HOME=str(tmp_path / "cache"))
    kept = files(tmp_path / "cache")
    (folder,) = (tmp_path / "cache" / "avo").iterdir()
    assert folder.name.startswith(f"{avo.__version__}-jax-") and len(kept) > 5
    second = command(*words, str(tmp_path / "b"), status=3, XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert files(tmp_path / "cache") == kept
    assert first.stdout.replace(str(tmp_path / "a"), "") == second.stdout.replace(str(tmp_path / "b"), "")
    assert not any("cache" in name for name in files(tmp_path / "b"))


def test_zero_turns_it_off(tmp_path: Path) -> None:
    out = str(tmp_path / "x.npz")
    command("simulate", "poisson", "--n", "3", "--out", out, XDG_CACHE_HOME=str(tmp_path / "cache"), AVO_CACHE="0")
    assert not (tmp_path / "cache").exists()


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    out = str(tmp_path / "x.npz")
    done = command("simulate", "poisson", "--n", "3", "--out", out, XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert done.stderr == "" and done.stdout.startswith(out)


def test_jaxs_own_cache_is_left_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AVO_CACHE", raising=False)
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert programs.keep_programs() is None and not (tmp_path / "cache").exists()


def test_what_was_written_longest_ago_makes_room(tmp_path: Path) -> None:
    for age, size in enumerate((40, 30, 20, 10)):
        (tmp_path / str(age)).write_bytes(bytes(size))
        os.utime(tmp_path / str(age), (1e9 - 60 * age, 1e9 - 60 * age))
    programs.make_room(tmp_path, 90)
    assert files(tmp_path) == {"0", "1", "2"}
    programs.make_room(tmp_path, 69)
    assert files(tmp_path) == {"0"}


def test_the_folder_is_where_the_system_keeps_caches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    for system, folder in (("linux", ".cache"), ("darwin", "Library/Caches")):
        monkeypatch.setattr(sys, "platform", system)
        assert programs._home() == tmp_path / folder
