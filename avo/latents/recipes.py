"""How others trained their beta-VAE, as far as it is known."""

from functools import partial
from typing import Any

from avo.checks import one_of
from avo.latents.models import BetaVAE
from avo.latents.objectives import capacity


def recipe(name: str) -> dict[str, Any]:
    """Make the keywords of `train` with which a talk trained its beta-VAE: model, objective, epochs, batch and rate.

    Known are (A. Honchar's slides and article on disentangled representations of time series, after Burgess et al.
    2018): an MLP with 10 latents, an objective of capacity C and weight gamma, mean squared error, 50 epochs at a rate
    of 5e-4.

        ecg-talk      C = 25 nats, gamma = 100; one heartbeat for each x (`avo.data.padded_beats`)
        prices-talk   C = 100 nats, gamma = 1000; 180 one-minute prices (`avo.data.log_price_windows`)

    Not known are the widths of the hidden layers (here 256, 256), the batch (64), how C grew (over half of the
    training), and by what factor the squared error was weighted (here noise = a tenth of the scale of x).

    Raises:
        ValueError: if there is no such recipe.

    Example:
        >>> recipe("ecg-talk")["objective"].capacity, recipe("prices-talk")["objective"].gamma
        (25.0, 1000.0)
    """
    known = {"ecg-talk": capacity(gamma=100.0, C=25.0), "prices-talk": capacity(gamma=1000.0, C=100.0)}
    one_of("recipe", name, known)
    model = partial(BetaVAE.for_data, latents=10, network="mlp", width=256, depth=2)
    return {"model": model, "objective": known[name], "epochs": 50, "batch": 64, "rate": 5e-4}
