"""`avo latents train` and `traverse`: what they print and keep, and what they say to a wrong input."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from avo import latents
from avo.command import app
from avo.command.signals import Signals
from avo.latents import training

Run = Callable[..., Result]
RNG = np.random.default_rng(0)
T = np.linspace(0.0, 1.0, 20)
HEIGHT = RNG.normal(size=(90, 1))
X = 5.0 + HEIGHT * np.sin(3 * T) + 0.05 * RNG.normal(size=(90, 20))
WHO = np.repeat(["ann", "bob", "cat", "dan", "eve", "fay"], 15)
WORDS = ("latents", "train", "signals.npz", "--groups", "who", "--latents", "2", "--epochs", "30", "--quiet")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("latents")
    np.savez(made / "signals.npz", x=X, who=WHO, theta=np.stack([RNG.normal(size=90), -3 * HEIGHT[:, 0]], axis=1))
    return made


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command in the folder of the signals."""
    monkeypatch.chdir(folder)

    def call(*words: Any, status: int = 0) -> Result:
        done = CliRunner().invoke(app, [str(word) for word in words])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == status, done.output
        return done

    return call


@pytest.fixture
def trained(run: Run, folder: Path) -> str:
    """What the training of the signals in `folder` printed; trained once."""
    if not (folder / "run").exists():
        run(*WORDS, "--out", "run", "--axis", "time[s]=0:0.05")
    return (folder / "run" / "findings.txt").read_text()


def test_training_says_what_the_library_finds(trained: str, folder: Path, run: Run) -> None:
    files = {path.name for path in (folder / "run").iterdir()}
    assert files == {
        "train.json", "trained.json", "arrays.npz", "signals.npz", "signals.json", "findings.txt", "history.png",
        "traversals.png",
    }  # fmt: skip
    model = latents.load(folder / "run").model
    with np.load(folder / "run" / "signals.npz") as kept:
        rows, count = kept["rows"], json.loads((folder / "run" / "signals.json").read_text())["trained"]
        np.testing.assert_array_equal(kept["x"], X[rows])
    who = [set(WHO[part].tolist()) for part in (rows[:count], rows[count:])]
    assert not who[0] & who[1] and len(rows) == count + len(rows[count:]) and len(who[1]) >= 1
    learned, new = X[rows[:count]], X[rows[count:]]
    r2 = [
        1 - np.sum((part - model.reconstruct(part)) ** 2) / np.sum((part - learned.mean(0)) ** 2)
        for part in (learned, new)
    ]
    (line,) = [line for line in trained.splitlines() if line.startswith("  autoencoder, 2 latents")]
    assert line.split()[-2:] == [f"{value:.2f}" for value in r2] and r2[0] > 0.9
    assert f"signals.npz: 90 signals of 20 numbers; {count} (of {len(who[0])} groups) train, " in trained
    assert ": 9" in trained or "1 of 2 latents change the signal" in trained  # one height, one latent
    # Done: read again, with the same numbers
    assert run(*WORDS, "--out", "run", "--axis", "time[s]=0:0.05", "--resume").output.startswith(trained)


def test_a_signal_is_traversed(trained: str, folder: Path, run: Run) -> None:
    assert run("latents", "traverse", "run", "--signal", "1").output.split() == ["run/traversals-1.png"]
    first = (folder / "run" / "traversals-1.png").read_bytes()
    run("latents", "traverse", "run", "--signal", "0", "--out", "zero.png")
    assert (folder / "zero.png").read_bytes() != first
    with np.load(folder / "run" / "signals.npz") as kept:
        new = int(kept["rows"][json.loads((folder / "run" / "signals.json").read_text())["trained"] + 1])
    run("latents", "traverse", "run", "--data", "signals.npz", "--signal", new, "--out", "one.png")
    assert (folder / "one.png").read_bytes() == first  # the same signal, from its file


def test_a_page_has_the_signal_s_both_sides(trained: str, folder: Path, run: Run) -> None:
    """Groups of the run are in it; of another shape no simulator is."""
    assert run("latents", "page", "run", "--signal", "1").output.split() == ["run/page-1.html"]
    text = (folder / "run" / "page-1.html").read_text("utf-8")
    groups = [word for word in WHO if f'"{word} (' in text]
    assert len(set(groups)) == 4 and 'id="left"' not in text and "time (s)" in text  # two in six are new
    new = str(int(np.flatnonzero(np.isclose(X, latents_signal(folder / "run", 1)).all(1))[0]))
    run("latents", "page", "run", "--data", "signals.npz", "--signal", new, "--out", "one.html")
    assert (folder / "one.html").read_text("utf-8") == text
    run("latents", "page", "run", "--simulator", "linear5", status=2)


def latents_signal(out: Path, signal: int) -> np.ndarray:
    """A signal that a run kept out of its training."""
    kept = Signals.kept(out)
    return kept.x[kept.new[signal]]


def test_a_page_of_simulated_signals_has_their_simulator(folder: Path, run: Run) -> None:
    words = ("--n", "60", "--epochs", "1", "--latents", "2", "--quiet", "--out", "own")
    run("latents", "train", "linear5", *words)
    run("latents", "page", "own", "--out", "own.html")
    text = (folder / "own.html").read_text("utf-8")
    assert "Parameters of linear5" in text
    data = json.loads(text.partition('id="data">')[2].partition("</script>")[0])
    kept = Signals.kept(folder / "own")
    start = [float(one["theta"][100]) for one in data["left"]["parameters"]]
    np.testing.assert_allclose(start, kept.factors[kept.new[0]], atol=0.05)


def test_latents_are_named_after_factors_of_the_file(run: Run, folder: Path) -> None:
    said = run(*WORDS, "--factors", "theta", "--out", "named").output
    assert "factor 1, r = +1.00" in said or "factor 1, r = -1.00" in said
    assert "1 of 1 latents have a name (|r| of 0.5 or more, Spearman's, with the factors given)" in said
    table = np.column_stack([X, HEIGHT])
    heads = [*(f"x{i}" for i in range(20)), "height"]
    np.savetxt(folder / "table.csv", table, delimiter=",", header=",".join(heads), comments="")
    words = ("latents", "train", "table.csv", "--factors", "height", *WORDS[5:], "--out", "table")
    assert "height, r = " in run(*words).output
    run("latents", "traverse", "table", "--data", "table.csv", "--signal", "89", "--out", "row.png")
    assert (folder / "row.png").exists()


def test_a_simulators_signals_have_its_parameters(run: Run, folder: Path) -> None:
    words = ("latents", "train", "linear5", "--n", "60", "--epochs", "1", "--latents", "2", "--quiet", "--out", "sim")
    said = run(*words, "--objective", "factor-vae", "--weight", "3").output
    assert "FactorVAE, weight 3: epoch 1 of 1" in said and latents.load("sim").objective == latents.factor_vae(3.0)
    assert "linear5: 60 signals of 5 numbers; 42 train, 9 to choose the epoch, 9 are new" in said
    assert (folder / "sim" / "parameters.png").exists()
    run("latents", "traverse", "sim", "--signal", "8", "--out", "eight.svg")
    assert (folder / "eight-parameters.svg").exists() and (folder / "eight.svg").exists()


def test_stopped_it_says_what_is_kept_and_continues(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = training._run
    left = [2]

    def some(*args: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(training, "_run", some)
    stopped = CliRunner().invoke(app, [*WORDS, "--out", "stopped"])
    assert stopped.exit_code != 0
    assert "stopped after epoch 20 of 30, which is kept in stopped" in stopped.output
    assert "continue it: the same command with --resume --out stopped" in stopped.output
    assert "already holds a run" in run(*WORDS, "--out", "stopped", status=2).output
    monkeypatch.setattr(training, "_run", real)
    run(*WORDS, "--out", "stopped", "--resume")
    run(*WORDS, "--out", "never")
    assert (folder / "stopped" / "arrays.npz").read_bytes() == (folder / "never" / "arrays.npz").read_bytes()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("train", "brownain"), "got 'brownain'. Did you mean 'brownian'?"),
        (("train", "there.npy"), "There is no file there.npy"),
        (("train", "signals.npz", "--groups", "whom"), "whom"),
        (("train", "signals.npz", "--option", "points=3"), "--option is for a simulator; signals.npz is a file."),
        (("train", "brownian", "--columns", "a"), "--columns say how to read a file; brownian is a simulator"),
        (("train", "brownian", "--factors", "a"), "--factors say how to read a file; brownian is a simulator"),
        (("train", "signals.npz", "--factors", "tehta"), "tehta"),
        (("train", "one.npz", "--factors", "theta"), "--factors must have a row for each of 90 signals; one.npz has 2"),
        (("train", "poisson"), "poisson has one number in a row, and latents describe signals of several"),
        (("train", "signals.npz", "--axis", "a", "--axis", "b"), "--axis must be said once for each axis"),
        (("train", "gap.csv"), "gap.csv must hold finite numbers"),
        (
            ("train", "signals.npz", "--recipe", "ecg-talk", "--beta", "1"),
            "ecg-talk says all but --latents and --epochs",
        ),
        (("train", "signals.npz", "--objective", "capacity", "--beta", "1"), "--beta is of --objective beta; got"),
        (
            ("train", "signals.npz", "--objective", "beta", "--weight", "2"),
            "--weight is of --objective beta-tcvae or factor-vae; got --objective beta.",
        ),
        (
            ("train", "signals.npz", "--objective", "beta-tcvae", "--weight", "0.5"),
            "--weight must be at least 1 for --objective beta-tcvae; got 0.5.",
        ),
        (("train", "few.npy"), "few.npy has 30 signals, a row each; latents are learned from at least 40."),
        (("train", "flat.npy"), "flat.npy must differ from row to row"),
        (("train", "signals.npz", "--resume"), "--resume needs --out"),
        (("train", "signals.npz", "--out", "run"), "run already holds a run; choose another folder, or continue it"),
        ((*WORDS[1:], "--seed", "5", "--out", "run", "--resume"), "holds a run with other"),
        (("traverse", "nowhere"), "nowhere holds no run of avo latents train"),
        (("page", "run", "--out", "a.png"), "--out must end in .html; got a.png."),
        (("page", "run", "--option", "n=3"), "--option is for --simulator; name one."),
        (("page", "run", "--simulator", "linear5"), "--simulator linear5 makes signals of 5 numbers; those of the run"),
        (("traverse", "run", "--signal", "99"), "--signal must be at most"),
        (("traverse", "run", "--columns", "1"), "--columns, --key, --log-windows and the like say how to read a file"),
        (("traverse", "run", "--data", "short.npy"), "short.npy has 7 numbers in a row; the model was trained on 20"),
        (("traverse", "run", "--out", "picture.txt"), "--out must end in .png, .pdf or .svg"),
    ],
)
def test_a_wrong_input_is_a_sentence(
    words: tuple[str, ...], said: str, trained: str, folder: Path, run: Run
) -> None:  # fmt: skip
    np.save(folder / "short.npy", X[:, :7])
    np.savez(folder / "one.npz", x=X, theta=np.ones(2))
    np.save(folder / "few.npy", X[:30])
    np.save(folder / "flat.npy", np.tile(X[:1], (50, 1)))
    (folder / "gap.csv").write_text("1,2\n3,nan\n5,6\n" * 20)
    before = sorted(folder.rglob("*"))
    output = run("latents", *words, status=2).output
    assert said in output and output.startswith("error: ") and output.count("\n") == 1
    assert sorted(folder.rglob("*")) == before  # nothing is left behind


@pytest.mark.parametrize("file", ["signals.npz", "signals.json", "arrays.npz", "trained.json"])
def test_a_damaged_run_is_a_sentence(file: str, trained: str, folder: Path, run: Run) -> None:
    path = folder / "run" / file
    content = path.read_bytes()
    try:
        path.write_bytes(content[: len(content) // 2])
        output = run("latents", "traverse", "run", status=2).output
    finally:
        path.write_bytes(content)
    assert output.startswith("error: ") and f"{file} is damaged" in output
