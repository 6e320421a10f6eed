"""Strict JAX, compiled programs that outlive the run, plots without a window, and the folder of real recordings."""

import gc
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

# A process for each core runs the tests: threads of scikit-learn and NumPy would wait for each other in busy loops
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

import jax
import matplotlib
import pytest

from avo.command import programs

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
# Dtype promotion stays standard: Optax's Adam raises a Python float to an int32 step count, which "strict" forbids.
# Key reuse is not an error: "same key, same numbers" is what many tests assert.

matplotlib.use("Agg")

ROOT = Path(__file__).resolve().parents[1]
KEPT_PROGRAMS = ROOT / ".pytest_cache" / "programs"
MANY_MAPS = 20_000  # of 65,530; a file of tests takes some thousands
QUICKLY_COMPILED = (
    "--xla_backend_optimization_level=1 --xla_llvm_disable_expensive_passes=true --xla_cpu_use_fusion_emitters=false "
    "--xla_cpu_parallel_codegen_split_count=1"  # the other core compiles for the other process
)


def _pin(worker: str) -> None:
    """Keep a worker of pytest-xdist to one core: threads of two workers on the same cores wait in busy loops.

    On two cores, two fits at once take 11 s each with two threads of XLA and 7 s with one.
    """
    number = worker.removeprefix("gw")
    if number.isdigit() and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[int(number) % len(cores)]})


def _keep_programs(folder: Path) -> Path | None:
    """Let JAX look for compiled programs in `folder`, and leave them there: for the other files, workers and runs.

    AVO_TEST_CACHE=0 turns it off. Programs made for another processor could not run here, hence a folder for each kind.
    """
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:  # set outside, or by the process that started this one
        return Path(os.environ["JAX_COMPILATION_CACHE_DIR"])
    if os.environ.get("AVO_TEST_CACHE") == "0":
        return None
    folder = folder / f"{version('jax')}-{version('jaxlib')}-{programs.processor()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "writable").touch()
        programs.make_room(folder, programs.MOST)
    except OSError:  # a checkout that may only be read, or another run that removes the same files
        return None
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    # For the commands that tests start, and workers of pytest-xdist
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    return folder


def _compile_quickly(kept: Path | None) -> None:
    """Have XLA compile quickly rather than well: most of the tests' time is compilation, of programs that run briefly.

    XLA, which reads its flags when it is first used, ends a process at one that it does not know: another process tries
    them, once for a folder of programs. Workers of pytest-xdist find them set.
    """
    if "XLA_FLAGS" in os.environ:
        return
    known = None if kept is None else kept / f"flags-{hashlib.sha256(QUICKLY_COMPILED.encode()).hexdigest()[:8]}"
    if known is None or not known.exists():
        trial = [sys.executable, "-c", "import jax; jax.devices()"]
        if subprocess.run(trial, env=os.environ | {"XLA_FLAGS": QUICKLY_COMPILED}, capture_output=True).returncode:
            os.environ["XLA_FLAGS"] = ""
            return
        if known is not None:
            with suppress(OSError):
                known.touch()
    os.environ["XLA_FLAGS"] = QUICKLY_COMPILED


# Without bytecode each worker rewrites all assertions, and each process that a test starts compiles avo's files anew
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
_pin(os.environ.get("PYTEST_XDIST_WORKER", ""))  # before XLA counts the cores
os.environ.setdefault("AVO_CACHE", "0")  # commands that tests start leave nothing in the user's folder
_compile_quickly(_keep_programs(KEPT_PROGRAMS))


# Private caches in which JAX keeps the source of each program, beside the program. While it is there, MLIR takes longer
# over every further one: twice as long with a thousand alive, five times with some thousands
SOURCES = {
    "jax._src.interpreters.pxla": ("_cached_lowering_to_hlo", "_cached_compilation"),
    "jax._src.pjit": ("_pjit_lower",),
}


def pytest_collection_finish() -> None:
    """Take what is there by now, modules and tests, out of every later collection of garbage."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def _programs() -> Iterator[None]:
    """Let go of programs' sources after each file, and of the programs themselves before there are too many.

    All of them would need more memory maps than Linux gives a process. Files share what they compile until then.
    """
    yield
    for module, names in SOURCES.items():
        for name in names:
            with suppress(AttributeError):  # another version of JAX
                getattr(sys.modules.get(module), name).cache_clear()
    if _memory_maps() > MANY_MAPS:
        gc.unfreeze()
        jax.clear_caches()
    gc.collect()
    gc.freeze()  # or what is left would be gone through again after every further file, for half a second and more


def _memory_maps() -> float:
    try:
        with open("/proc/self/maps", "rb") as lines:
            return sum(1 for _ in lines)
    except OSError:
        return float("inf")


@pytest.fixture(scope="module")
def single_precision() -> Iterator[None]:
    """As users have it, and faster: for files of whole fits, in which no digit after the sixth is looked at.

    Threads and processes that a test starts have it too.
    """
    jax.config.update("jax_enable_x64", False)
    yield
    jax.config.update("jax_enable_x64", True)


@pytest.fixture
def double_precision() -> Iterator[None]:
    """For a test of such a file that does look at further digits."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real recordings: $AVO_DATA, or shared/data beside the checkout. Never part of the project."""
    folder = Path(os.environ.get("AVO_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real recordings: {folder} does not exist (set AVO_DATA to their folder)")
    return folder
