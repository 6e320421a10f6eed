"""Strict JAX that forgets its programs file by file, plots without a window, and the folder of real recordings."""

import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

# A process for each core runs the tests: threads of scikit-learn and NumPy would wait for each other in busy loops
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

import jax
import matplotlib
import pytest

# Most of the tests' time is compilation, of programs that then run for a moment. XLA, which reads its flags when it is
# first used, ends a process at one that it does not know: another process tries them. pytest-xdist's find them set.
QUICKLY_COMPILED = (
    "--xla_backend_optimization_level=1 --xla_llvm_disable_expensive_passes=true --xla_cpu_use_fusion_emitters=false"
)
if "XLA_FLAGS" not in os.environ:
    trial = [sys.executable, "-c", "import jax; jax.devices()"]
    tried = subprocess.run(trial, env=os.environ | {"XLA_FLAGS": QUICKLY_COMPILED}, capture_output=True)
    os.environ["XLA_FLAGS"] = "" if tried.returncode else QUICKLY_COMPILED

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
# Dtype promotion stays standard: Optax's Adam raises a Python float to an int32 step count, which "strict" forbids.
# Key reuse is not an error: "same key, same numbers" is what many tests assert.

matplotlib.use("Agg")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module", autouse=True)
def _programs() -> Iterator[None]:
    """Drop compiled programs after each file: all of them together need more memory maps than Linux gives a process."""
    yield
    jax.clear_caches()
    gc.collect()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real recordings: $AVO_DATA, or shared/data beside the checkout. Never part of the project."""
    folder = Path(os.environ.get("AVO_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real recordings: {folder} does not exist (set AVO_DATA to their folder)")
    return folder
