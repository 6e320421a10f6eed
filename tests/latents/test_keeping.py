"""Nothing of a training is lost: stopped and continued it ends in the same bits, and no other folder is touched."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from latents.plane import MAKE, X, train

from avo import folder as folders
from avo.latents import Trained, beta, load, training

OPTIONS: dict[str, Any] = {"objective": beta(1.0), "epochs": 25, "validation": X[400:], "rate": 5e-3, "final": 0.1}


@pytest.fixture(scope="module")
def whole() -> Trained:
    return train(MAKE, X[:400], **OPTIONS)


@pytest.fixture
def stop_after(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let so many chunks of ten epochs pass, and end the next one by an error; 0 chunks: let all pass."""
    run = training._run

    def stop(chunks: int, error: type[BaseException] | None = None) -> None:
        left = [chunks]

        def some(*args: Any) -> Any:
            left[0] -= 1
            if error is not None and left[0] < 0:
                raise error
            return run(*args)

        monkeypatch.setattr(training, "_run", some)

    return stop


def same(a: Trained, b: Trained) -> None:
    for one, other in zip(jax.tree.leaves(a.model), jax.tree.leaves(b.model), strict=True):
        np.testing.assert_array_equal(one, other)
    assert a.epoch == b.epoch and a.settings == b.settings and a.objective == b.objective
    assert set(a.history) == set(b.history)
    for name, values in a.history.items():
        np.testing.assert_array_equal(values, b.history[name])


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_stopped_and_continued_ends_in_the_same_bits(
    whole: Trained, tmp_path: Path, stop_after: Any, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    # Ctrl-C writes what there is; of what ends at once, the checkpoint of a moment ago is left
    monkeypatch.setattr(folders, "CHECKPOINT_SECONDS", 1e9 if error is KeyboardInterrupt else -1.0)
    stop_after(2, error)
    with pytest.raises(error) as stopped:
        train(MAKE, X[:400], **OPTIONS, out=tmp_path)
    if error is KeyboardInterrupt:
        assert str(stopped.value).startswith("stopped after epoch 20 of 25, which is kept in ")
    assert {path.name for path in tmp_path.iterdir()} == {"train.json", "checkpoint.npz"}
    with pytest.raises(FileExistsError, match=r"already holds a run; choose another folder, or continue it"):
        train(MAKE, X[:400], **OPTIONS, out=tmp_path)
    stop_after(1, AssertionError)  # no more than the one that is missing
    same(train(MAKE, X[:400], **OPTIONS, out=tmp_path, resume=True), whole)
    assert {path.name for path in tmp_path.iterdir()} == {"train.json", "trained.json", "arrays.npz"}
    same(load(tmp_path), whole)
    stop_after(0, AssertionError)
    same(train(MAKE, X[:400], **OPTIONS, out=tmp_path, resume=True), whole)  # done: read


def test_stopped_before_anything_is_there_leaves_the_folder_free(tmp_path: Path, stop_after: Any) -> None:
    stop_after(0, KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        train(MAKE, X[:400], **OPTIONS, out=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_another_training_is_refused(tmp_path: Path, stop_after: Any) -> None:
    stop_after(1, KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        train(MAKE, X[:400], **OPTIONS, out=tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    again = {"out": tmp_path, "resume": True}
    with pytest.raises(ValueError, match=r"holds a run with other initial weights, observations; resume needs"):
        train(MAKE, X[:400] + 1e-3, **OPTIONS, **again)
    with pytest.raises(ValueError, match=r"holds a run with other objective; resume needs the same"):
        train(MAKE, X[:400], **OPTIONS | {"objective": beta(2.0)}, **again)
    with pytest.raises(ValueError, match=r"holds a run with other validation; resume"):
        train(MAKE, X[:400], **OPTIONS | {"validation": X[401:]}, **again)
    assert before == {path: path.read_bytes() for path in tmp_path.iterdir()}
    (tmp_path / "checkpoint.npz").write_bytes(before[tmp_path / "checkpoint.npz"][:-100])
    with pytest.raises(ValueError, match=r"checkpoint.npz is damaged, or was edited"):
        train(MAKE, X[:400], **OPTIONS, **again)


@pytest.mark.parametrize("name", ["fit.json", "result.json", "comparison.json"])
def test_a_run_of_another_kind_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("{}")
    with pytest.raises(FileExistsError, match=rf"holds a run of another kind \({name}\); choose another folder"):
        train(MAKE, X[:400], **OPTIONS, out=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]
