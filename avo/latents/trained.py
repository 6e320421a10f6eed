"""What a training leaves: the model, what it was trained by, its history, and the folder in which they are kept.

`trained.json` has the words and numbers, with the number of its format and the version that wrote it; `arrays.npz` the
weights and the history. Neither holds code: `load` makes the networks by the options of `BetaVAE.make`, or fills those
that it is given.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from avo.folder import (
    damaged,
    fill,
    leaves,
    read_arrays,
    read_stamped,
    refuse_others,
    stamped,
    write_arrays,
    write_json,
)
from avo.latents.models import BetaVAE
from avo.latents.objectives import Objective

UNITS = ("shift", "scale", "noise")


@dataclass(frozen=True, eq=False, repr=False)
class Trained:
    """A trained model and how it came about.

    Args:
        model: the model, of epoch `epoch`.
        objective: what it was trained by.
        history: name -> array over epochs: loss, reconstruction, kl (nats, summed over latents), mse and capacity, and
            kl_per_latent with one column for each; the same under validation_... where there was one. Without a drawn
            z nothing is said of kl, and penalty is P where the objective has one.
        epoch: the epoch whose model this is, counted from 1.
        settings: the numbers of the training, by name.
    """

    model: BetaVAE
    objective: Objective
    history: Mapping[str, np.ndarray]
    epoch: int
    settings: Mapping[str, Any]

    def __repr__(self) -> str:
        last = {name: float(self.history[name][self.epoch - 1]) for name in ("loss", "mse")}
        words = ", ".join(f"{name}={value:.4g}" for name, value in last.items())
        return f"Trained({self.model.latents} latents; epoch {self.epoch} of {self.settings['epochs']}: {words})"

    def save(self, path: str | Path) -> Path:
        """Write the model into a folder: `trained.json` and `arrays.npz`, for `avo.latents.load`.

        Raises:
            FileExistsError: if the folder already holds one, or another `arrays.npz`, as that of a fit.
        """
        folder = Path(path)
        if (folder / "trained.json").exists():
            raise FileExistsError(f"{folder} already holds a trained model; choose another folder.")
        refuse_others(folder, "model")
        history = {f"history.{name}": a for name, a in self.history.items()}
        checksum = write_arrays(folder / "arrays.npz", leaves("model", self.model) | history)
        # Written last: a folder with trained.json is a whole model
        recipe = self.model.recipe
        words = {
            "epoch": self.epoch,
            "objective": self.objective._asdict(),
            "settings": dict(self.settings),
            "model": None if recipe is None else dict(recipe),
            "units": {name: list(getattr(self.model, name).shape) for name in UNITS},
            "arrays": checksum,
        }
        write_json(folder / "trained.json", stamped(words))
        return folder


def load(path: str | Path, like: BetaVAE | None = None) -> Trained:
    """Read what `Trained.save` wrote.

    Args:
        path: the folder.
        like: where the networks were your own, a model of the same structure to fill.

    Returns:
        The `Trained`, equal to the saved one to the bit.

    Raises:
        FileNotFoundError: if the folder holds no trained model.
        ValueError: if the folder was written in another format or is damaged, or the networks were custom ones and
            `like` does not fit them.

    Example:
        >>> import tempfile
        >>> from avo.latents import train
        >>> x = np.random.default_rng(0).normal(size=(500, 3))
        >>> model = BetaVAE.for_data(jax.random.key(0), x, latents=2, width=16)
        >>> trained = train(model, x, epochs=2, progress=False)
        >>> folder = trained.save(tempfile.mkdtemp())
        >>> bool(np.all(load(folder).model.encode(x) == trained.model.encode(x)))
        True
    """
    folder = Path(path)
    if not (folder / "trained.json").is_file():
        raise FileNotFoundError(f"{folder} holds no trained model (no trained.json); Trained.save writes one.")
    words = read_stamped(folder / "trained.json", "train again")
    arrays = read_arrays(folder / "arrays.npz", words.get("arrays"))
    try:
        options, objective = words["model"], Objective(**words["objective"])
        epoch, settings = words["epoch"], words["settings"]
        units: dict[str, Any] = {name: np.ones(words["units"][name]) for name in UNITS}
        made = None if options is None else BetaVAE.make(jax.random.key(0), **options, **units)
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(folder / "trained.json") from error
    like = like if made is None else made
    if like is None:
        raise ValueError("this model has networks of your own; pass like=, a model of the same structure, to fill.")
    return Trained(
        model=fill("model", like, arrays),
        objective=objective,
        history={name.removeprefix("history."): a for name, a in arrays.items() if name.startswith("history.")},
        epoch=epoch,
        settings=settings,
    )
