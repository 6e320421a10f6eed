"""The folder of a training: claimed at its start, a checkpoint between chunks of epochs, the model at its end.

    train.json        what the training is: initial weights, objective, numbers, hashes of the observations
    checkpoint.npz    networks, moments and history so far, a discriminator's too; gone when it is done
    trained.json      the trained model; arrays.npz: its arrays (avo/latents/trained.py)

A chunk of epochs is a function of the state and of the numbers of its epochs, so that a training that was stopped and
continued ends in the same bits. The ideas are those of a fit's folder (avo/folder.py), whose code this is.
"""

from typing import Any

import equinox as eqx
import jax
import numpy as np

from avo.folder import Folder, damaged, digest, fill, leaves
from avo.latents.models import BetaVAE
from avo.latents.objectives import Objective

History = dict[str, np.ndarray]


class TrainingFolder(Folder):
    """The folder of one training."""

    claimed, ended, tree = "train.json", "trained.json", "model"

    def keep(self, state: Any, history: History, done: int, force: bool = False) -> None:
        """Write a checkpoint after `done` epochs, unless one was written a moment ago."""
        kept = {f"history.{name}": a for name, a in history.items()}
        self.save(lambda: leaves("state", state) | kept | {"done": np.array(done)}, force)

    def kept(self, like: Any) -> tuple[Any, History, int] | None:
        """Read the last checkpoint: state, history, and epochs done; None where there is none.

        Raises:
            ValueError: if it is damaged, or of another training.
        """
        arrays = self.restore()
        if arrays is None:
            return None
        try:
            done = int(arrays["done"])
            history = {name[8:]: a for name, a in arrays.items() if name.startswith("history.")}
            return fill("state", like, arrays), history, done
        except (KeyError, ValueError) as error:
            raise damaged(self.checkpoint) from error


def plan_of(
    model: BetaVAE, objective: Objective, settings: dict[str, Any], x: np.ndarray, validation: np.ndarray | None,
    pairs: np.ndarray | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Say what a training is, for `train.json`: a training that is continued must be the same."""
    weights = [np.asarray(a) for a in jax.tree.leaves(eqx.filter(model, eqx.is_array))]
    plan = {name: value for name, value in settings.items() if name != "observations"}
    plan |= {"objective": objective._asdict(), "networks": str(model.recipe)}
    plan |= {"initial weights": digest(*weights), "observations": digest(x)}
    plan |= {} if pairs is None else {"pairs": digest(pairs)}
    return plan | {"validation": None if validation is None else digest(validation)}
