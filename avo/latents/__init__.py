"""The rival description of the same signals: latents of a beta-VAE, learned without a simulator."""

from avo.latents.models import BetaVAE
from avo.latents.objectives import Objective, autoencoder, beta, capacity, denoising
from avo.latents.training import Trained, load, recipe, train

__all__ = [
    "BetaVAE",
    "Objective",
    "Trained",
    "autoencoder",
    "beta",
    "capacity",
    "denoising",
    "load",
    "recipe",
    "train",
]
