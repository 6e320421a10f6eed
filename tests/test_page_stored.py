"""What docs/stored.md shows runs as it stands there, by the library and by the command."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pages import blocks, read_page, run
from typer.testing import CliRunner

from avo.command import app
from avo.command.sources import stored_of


def test_the_page_runs(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    namespace: dict[str, Any] = {}
    run(next(block for block in blocks(read_page("docs/stored.md"))), "docs/stored.md", namespace)
    result, mle = namespace["result"], namespace["x_obs"].mean()
    exact = np.sqrt(mle / 200)  # of the maximum likelihood; 3000 rows widen it by their share
    assert result.status == "converged" and "3,000 stored pairs" in capsys.readouterr().out
    assert 0.95 < result.stderr[0] / exact < 1.5 and abs(result.theta[0] - mle) < exact

    monkeypatch.chdir(tmp_path)
    np.savez("pairs.npz", theta=namespace["rate"][:, None], x=namespace["counts"], names=["rate"])
    np.savetxt("counts.csv", namespace["x_obs"], fmt="%d")
    words = ["fit", "poisson", "--data", "counts.csv", "--stored", "pairs.npz", "--out", "run"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0 and "they agree" in done.output, done.output
    assert sorted(path.name for path in Path("run").iterdir()) == [
        "arrays.npz", "command.json", "fit.json", "result.json",
    ]  # fmt: skip


def test_what_is_no_archive_of_pairs_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=np.zeros((3, 1)))
    (tmp_path / "text.npz").write_text("theta, x")
    for name, words in (
        ("x.npz", r"--stored: .* must hold arrays theta and x; it has x, without theta"),
        ("text.npz", r"--stored: .*text.npz is no archive of NumPy's"),
        ("none.npz", r"--stored: there is no file .*none.npz"),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=words):
            stored_of(tmp_path / name)
