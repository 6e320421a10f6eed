"""`avo fit --stored`: an archive of pairs in place of a simulator."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from avo.command import app
from avo.command.sources import stored_of


def test_a_fit_of_an_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rates that somebody chose, from 2 to 30; the mean of the observations is the maximum likelihood."""
    rng = np.random.default_rng(0)
    rate = 2.0 + 28.0 * rng.beta(2.0, 5.0, size=3000)
    monkeypatch.chdir(tmp_path)
    np.savez("pairs.npz", theta=rate[:, None], x=rng.poisson(rate[:, None]), names=["rate"])
    np.savetxt("counts.csv", np.random.default_rng(1).poisson(7.0, size=(200, 1)), fmt="%d")
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
