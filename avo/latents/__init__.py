"""The rival description of the same data, latents of a beta-VAE, and its comparison with a simulator's parameters."""

from avo.latents.information import mig, modularity, mutual_information
from avo.latents.metrics import (
    DCI,
    Scores,
    beta_vae_score,
    ceiling,
    dci,
    explicitness,
    factor_vae_score,
    sap,
    scores,
)
from avo.latents.probes import boosted_r2, linear_r2, nrmse, r2
from avo.latents.ranking import udr

__all__ = [
    "DCI",
    "Scores",
    "beta_vae_score",
    "boosted_r2",
    "ceiling",
    "dci",
    "explicitness",
    "factor_vae_score",
    "linear_r2",
    "mig",
    "modularity",
    "mutual_information",
    "nrmse",
    "r2",
    "sap",
    "scores",
    "udr",
]
