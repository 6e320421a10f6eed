"""What the README shows runs as it stands there, with smaller budgets."""

import re

import numpy as np
import pytest
from pages import ROOT, blocks, read_page, run

import avo
import avo.run

README = read_page("README.md")


def test_python_blocks_run(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(avo.run, "BUDGET", 30_000)
    monkeypatch.setattr(avo.run, "HOST_BUDGET", 2_560)
    *fits, distance, latents = [block for block in blocks(README) if block.language == "python"]
    assert len(fits) == 4
    namespace, results = {}, []
    for block in fits:
        run(block, "README.md", namespace)
        results.append(namespace["result"])
    run(distance, "README.md", namespace)
    value = float(re.findall(r"value=([\d.]+)", capsys.readouterr().out)[-1])
    run(latents, "README.md", namespace)
    assert abs(value / 3**0.5 - 1) < 0.1  # normals 1 apart in each of three columns; a standard error is .02
    # The start is an amplitude of the curve: four latents of a VAE hold it
    told = capsys.readouterr().out
    assert "dci_disentanglement" in told and told.endswith("(7, 20)\n")
    assert avo.latents.linear_r2(namespace["trained"].model.encode(namespace["x"]), namespace["theta"])[0] > 0.75
    assert results[0].names == ("start", "lifetime") and results[0].x_shape == (20,)
    assert (tmp_path / "history.png").stat().st_size > 0
    assert np.all(abs(results[0].theta - [2.0, 1.5]) < 4 * results[0].stderr)
    assert namespace["result"].settings["entropy"] == 1e-3
    assert results[1].population is not None and results[2].calls <= 2_560
    assert all(np.isfinite(result.theta).all() for result in results)


@pytest.mark.parametrize(
    "command", ["avo list", "avo simulate", "avo fit", "avo check", "avo compare", "avo bench", "avo info"]
)
def test_commands_named_exist(command):
    from typer.testing import CliRunner

    from avo.command import app

    assert command in README
    assert CliRunner().invoke(app, [command.split()[1], "--help"]).exit_code == 0


def test_files_named_exist():
    for name in (
        "avo/adversarial/trainer.py",
        "simulators",
        "benchmarks",
        "CHANGELOG.md",
        "CITATION.cff",
        "docs/demo.png",
    ):
        assert name in README and (ROOT / name).exists(), name
