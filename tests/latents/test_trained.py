"""Trained models are kept: to the bit, of every kind, and never over something else."""

import json
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from latents.plane import MAKE, D, X, train

import avo
from avo import latents
from avo.folder import FORMAT
from avo.latents import BetaVAE, Trained, beta


@pytest.fixture(scope="module")
def few() -> Trained:
    return train(MAKE, X, objective=beta(1.0), epochs=3)


def test_saved_and_loaded_to_the_bit(few: Trained, tmp_path: Path) -> None:
    loaded = latents.load(few.save(tmp_path / "vae"))
    assert jax.tree.structure(loaded.model) == jax.tree.structure(few.model)
    for a, b in zip(jax.tree.leaves(loaded.model), jax.tree.leaves(few.model), strict=True):
        assert np.array_equal(a, b)
    assert np.array_equal(loaded.model.encode(X), few.model.encode(X))
    assert loaded.objective == few.objective and loaded.settings == few.settings and loaded.epoch == few.epoch
    assert set(loaded.history) == set(few.history)
    assert all(np.array_equal(loaded.history[name], few.history[name]) for name in few.history)
    assert repr(loaded) == repr(few) and repr(few).startswith("Trained(2 latents; epoch 3 of 3: loss=")
    assert json.loads((tmp_path / "vae" / "trained.json").read_text())["objective"]["beta"] == 1.0
    with pytest.raises(FileExistsError, match=r"already holds a trained model"):
        few.save(tmp_path / "vae")
    theirs = tmp_path / "fit" / "arrays.npz"  # of a fit, or of the user's own
    theirs.parent.mkdir()
    np.savez(theirs, own=X)
    with pytest.raises(FileExistsError, match=r"already holds another arrays.npz; choose another folder"):
        few.save(theirs.parent)
    np.testing.assert_array_equal(np.load(theirs)["own"], X)
    with pytest.raises(FileNotFoundError, match=r"holds no trained model"):
        latents.load(tmp_path)
    words = (tmp_path / "vae" / "trained.json").read_text()
    assert (json.loads(words)["format"], json.loads(words)["avo"]) == (FORMAT, avo.__version__)
    for broken in (
        f'{{"format": {FORMAT}}}',
        "[1]",
        words.replace('"beta":', '"bet":', 1),
        words.replace('"width":', '"wide":', 1),
    ):
        (tmp_path / "vae" / "trained.json").write_text(broken)
        with pytest.raises(ValueError, match=r"trained.json is damaged"):
            latents.load(tmp_path / "vae")
    (tmp_path / "vae" / "trained.json").write_text(words.replace(f'"format": {FORMAT}', '"format": 77'))
    with pytest.raises(ValueError, match=rf"has format 77 by avo .*; avo .* reads format {FORMAT}.*or train again"):
        latents.load(tmp_path / "vae")


@pytest.mark.parametrize(
    "options", [{"network": "conv1d", "width": 4, "depth": 2}, {"likelihood": "bernoulli", "shift": 0.5}]
)
def test_every_kind_is_saved(options: dict[str, Any], tmp_path: Path) -> None:
    x = np.random.default_rng(0).uniform(size=(5, 9, 2))
    model = BetaVAE.for_data(jax.random.key(7), x, latents=2, **options)
    history = {"loss": np.zeros(1), "mse": np.zeros(1)}
    saved = Trained(model, beta(), history, 1, {"epochs": 1}).save(tmp_path / "a")
    assert np.array_equal(latents.load(saved).model.reconstruct(x), model.reconstruct(x))


def test_networks_of_ones_own(tmp_path: Path) -> None:
    def make(key: Any) -> BetaVAE:
        a, b = jax.random.split(key)
        one = jnp.ones(())
        return BetaVAE(eqx.nn.Linear(D, 4, key=a), eqx.nn.Linear(2, D, key=b), one, one, one, (D,), 2)

    history = {"loss": np.zeros(1), "mse": np.zeros(1)}
    own = Trained(make(jax.random.key(0)), beta(), history, 1, {"epochs": 1})
    folder = own.save(tmp_path / "own")
    with pytest.raises(ValueError, match=r"networks of your own; pass like="):
        latents.load(folder)
    assert np.array_equal(latents.load(folder, make(jax.random.key(1))).model.encode(X), own.model.encode(X))
    with pytest.raises(ValueError, match=r"the saved model has arrays of shape"):
        latents.load(folder, BetaVAE.make(jax.random.key(0), (D,), latents=2))
