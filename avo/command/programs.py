"""Compiled programs, kept in the user's cache folder: the second `avo fit` of a simulator does not compile again.

The folder is `$XDG_CACHE_HOME/avo` or, without that variable, where the system keeps caches (`~/.cache/avo` on Linux).
In it a folder for each version of avo and JAX and each kind of processor, since programs made for one may not run on
another. It may be deleted at any time. `AVO_CACHE=0` turns it off, and where JAX's own cache is set
(`JAX_COMPILATION_CACHE_DIR`) that one is used. It is nothing to wait for, or to fail by: where it cannot be written,
programs are compiled as without it.

`avo bench` keeps none, because it measures seconds with their compilation.
"""

import hashlib
import importlib.metadata
import os
import platform
import sys
import warnings
from pathlib import Path

import avo

MOST = 1_000_000_000  # bytes


def keep_programs() -> Path | None:
    """Let JAX look for compiled programs in the user's cache folder, and leave new ones there.

    Returns:
        The folder; None where programs are not kept, or not by us.
    """
    if os.environ.get("AVO_CACHE") == "0" or "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return None
    try:
        folder = _home() / "avo" / f"{avo.__version__}-jax-{importlib.metadata.version('jax')}-{processor()}"
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f"writable-{os.getpid()}"
        probe.touch()
        probe.unlink()
        make_room(folder, MOST)
    except (OSError, RuntimeError):  # no folder that could be written; no home
        return None
    import jax

    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    # A disk that fills up meanwhile is no concern of the fit's
    warnings.filterwarnings("ignore", message="Error (reading|writing) persistent compilation cache entry")
    return folder


def make_room(folder: Path, most: int) -> None:
    """Delete the files written longest ago until those left have at most so many bytes.

    JAX's own bound, `jax_compilation_cache_max_size`, needs one more package and looks at all files for each it writes.
    """
    written = sorted(((entry.stat(), entry) for entry in folder.iterdir()), key=lambda pair: -pair[0].st_mtime)
    size = 0
    for status, entry in written:
        size += status.st_size
        if size > most:
            entry.unlink(missing_ok=True)


def _home() -> Path:
    """Find where the user's caches are kept."""
    if chosen := os.environ.get("XDG_CACHE_HOME"):
        return Path(chosen)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    if sys.platform == "win32" and (local := os.environ.get("LOCALAPPDATA")):
        return Path(local)
    return Path.home() / ".cache"


def processor() -> str:
    """Name the kind of processor, by what it can do where the system tells, in eight letters."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.exists() else []
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    words = " ".join((platform.machine(), platform.processor(), flags))
    return hashlib.sha256(words.encode()).hexdigest()[:8]
