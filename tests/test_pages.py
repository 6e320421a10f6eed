"""What the pages on simulators outside JAX show runs as it stands there, and finds the truth that it states."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pages import blocks, read_page, run, sections

PAGE = "docs/simulators_elsewhere.md"
SECTIONS = {name: part for name, part in sections(read_page(PAGE)).items() if "```" in part}
NEEDS = {"c": "cc", "r": "Rscript"}  # to compile or to interpret what is no Python


@pytest.fixture
def ran(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Run the blocks of a section in an empty folder: names after the last."""
    monkeypatch.chdir(tmp_path)
    if Path("/dev/shm").is_dir() and os.access("/dev/shm", os.W_OK):
        monkeypatch.setattr("tempfile.tempdir", "/dev/shm")  # as the page advises
    namespace: dict[str, Any] = {}
    for block in blocks(SECTIONS[request.param]):
        program = NEEDS.get(block.language)
        if program is not None and shutil.which(program) is None:
            pytest.skip(f"there is no {program} here")
        if block.language == "python":
            run(block, PAGE, namespace)
        elif block.language == "sh":
            subprocess.run(block.text, shell=True, check=True)
        else:  # a file, which its first line names
            name = re.match(r"\W+(\w+\.\w+): ", block.text)
            assert name is not None
            (tmp_path / name[1]).write_text(block.text)
    return namespace


def test_the_page_has_its_sections() -> None:
    assert [blocks(part)[-1].language for part in SECTIONS.values()] == ["python"] * 4


@pytest.mark.parametrize("ran", ["A program in C"], indirect=True)
def test_a_program_in_c(ran: dict[str, Any]) -> None:
    """Four standard errors from the truth at most, and these are no wider than a quarter of it."""
    truth, result = np.array(ran["truth"]), ran["result"]
    assert result.calls <= 3_000 and result.status == "converged"
    assert np.all(abs(result.theta - truth) < 4 * result.stderr) and np.all(result.stderr < 0.25 * truth)


@pytest.mark.parametrize("ran", ["A script in R"], indirect=True)
def test_a_script_in_r(ran: dict[str, Any]) -> None:
    """Within a tenth of the truth; the same law in NumPy was within a twentieth for eight seeds. Takes minutes."""
    assert ran["result"].calls <= 900
    np.testing.assert_allclose(ran["result"].theta, ran["truth"], rtol=0.1)


@pytest.mark.parametrize("ran", ["A solver of SciPy"], indirect=True)
def test_a_solver_of_scipy(ran: dict[str, Any]) -> None:
    """Within two standard errors of the maximum-likelihood estimate, by least squares on the closed form's log."""
    from scipy.optimize import curve_fit

    def log_growth(t: np.ndarray, rate: float, capacity: float) -> np.ndarray:
        return np.log(capacity / (1 + (capacity - 1) * np.exp(-rate * t)))

    x, result = ran["x_obs"], ran["result"]
    mle, covariance = curve_fit(log_growth, np.tile(ran["times"], len(x)), np.log(x).ravel(), p0=[0.5, 9.0])
    assert np.all(abs(result.theta - mle) < 2 * result.stderr)
    ratio = result.stderr / np.sqrt(np.diag(covariance))  # of standard errors to those of the likelihood
    assert np.all((ratio > 0.8) & (ratio < 2.0))


SDEINT = "A stochastic differential equation, solved by sdeint"


@pytest.mark.skipif(importlib.util.find_spec("sdeint") is None, reason="sdeint is not installed")
@pytest.mark.parametrize("ran", [SDEINT], indirect=True)
def test_sdeint(ran: dict[str, Any]) -> None:
    truth, result = np.array(ran["truth"]), ran["result"]
    assert np.all(abs(result.theta - truth) < 4 * result.stderr) and np.all(result.stderr < 0.1 * truth)


def test_the_script_for_dask(tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="dask.distributed is not installed")
    script = next(block for block in blocks(read_page("docs/clusters.md")) if block.language == "python")
    (tmp_path / "drop.py").write_text(script.text)
    done = subprocess.run([sys.executable, "drop.py"], cwd=tmp_path, capture_output=True, text=True, check=True)
    rows = {line.split()[0]: line.split() for line in done.stdout.splitlines() if line}
    for name, truth in (("height", 6.0), ("gravity", 9.81)):
        estimate, stderr = map(float, rows[name][1:3])
        assert abs(estimate - truth) < 4 * stderr < 0.2
