"""How others trained their beta-VAE or autoencoder, as far as it is known."""

from functools import partial
from typing import Any

import numpy as np
from jaxtyping import PRNGKeyArray

from avo.checks import one_of
from avo.latents.models import BetaVAE
from avo.latents.objectives import autoencoder, capacity


def recipe(name: str) -> dict[str, Any]:
    """Make the keywords of `train` with which a talk trained its model: model, objective, epochs, batch and rate.

    Known are (A. Honchar's slides and article on disentangled representations of time series, after Burgess et al.
    2018): an MLP with 10 latents, an objective of capacity C and weight gamma, mean squared error, 50 epochs at a rate
    of 5e-4.

        ecg-talk      C = 25 nats, gamma = 100; one heartbeat for each x (`avo.data.padded_beats`)
        prices-talk   C = 100 nats, gamma = 1000; 180 one-minute prices (`avo.data.log_price_windows`)

    Not known are the widths of the hidden layers (here 256, 256), the batch (64), how C grew (over half of the
    training), and by what factor the squared error was weighted (here noise = a tenth of the scale of x).

    And, of his slides on rare frauds among card payments, an autoencoder of normal payments alone,

        fraud-talk    hidden layers 100, 100, code 15, columns scaled by minimum and maximum, the squared error summed
                      over columns, 500 epochs, batch 2048; a payment for each x (`avo.latents.payments`, or your own)

    whose rate is not known (here 1e-3), nor its activations (SiLU). Distances to what it makes of new payments,
    `avo.latents.distances`, are the score.

    Raises:
        ValueError: if there is no such recipe.

    Example:
        >>> recipe("ecg-talk")["objective"].capacity, recipe("prices-talk")["objective"].gamma
        (25.0, 1000.0)
        >>> recipe("fraud-talk")["epochs"], recipe("fraud-talk")["batch"]
        (500, 2048)
    """
    known = {"ecg-talk": capacity(gamma=100.0, C=25.0), "prices-talk": capacity(gamma=1000.0, C=100.0)}
    one_of("recipe", name, [*known, "fraud-talk"])
    if name == "fraud-talk":
        model = partial(_by_ends, latents=15, network="mlp", width=100, depth=2)
        return {"model": model, "objective": autoencoder(), "epochs": 500, "batch": 2048, "rate": 1e-3}
    model = partial(BetaVAE.for_data, latents=10, network="mlp", width=256, depth=2)
    return {"model": model, "objective": known[name], "epochs": 50, "batch": 64, "rate": 5e-4}


def _by_ends(key: PRNGKeyArray, x: np.ndarray, **options: Any) -> BetaVAE:
    """Make a model that sees each column from 0 to 1; its R is the sum of squared errors there, and a constant."""
    low, high = x.min(axis=0), x.max(axis=0)
    scale = np.where(high > low, high - low, 1.0)
    return BetaVAE.make(key, x.shape[1:], shift=low, scale=scale, noise=scale / np.sqrt(2), **options)
