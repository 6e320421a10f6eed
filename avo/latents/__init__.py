"""The rival description of the same signals: latents of a beta-VAE, and their comparison with a simulator's parameters.

Models and training: `BetaVAE`, `train`, the objectives `beta`, `capacity`, `autoencoder`, `denoising`; rivals of the
beta-VAE, `beta_tcvae`, `factor_vae`, and `ada_gvae` of pairs. How well codes line up with known factors:
`scores` and its parts. Anomalies: `reconstruction_error`, `negative_elbo` and the simulator's `misfit`, tested by
`detection`. A simulator's parameters of single signals: `Mechanistic`; with a learned residual: `GreyBox`. Which serves
better, latents or a simulator's parameters: `compare`. What each latent does: `describe`, and the pictures of
`avo.latents.plots`; a page that moves a signal by both, `page`.
"""

from avo.latents import cases, plots
from avo.latents.anomaly import conformal_p, distances, negative_elbo, reconstruction_error, threshold
from avo.latents.comparison import Comparison, compare
from avo.latents.contamination import contaminate
from avo.latents.description import Description, describe
from avo.latents.frauds import Payments, payments
from avo.latents.grey import Grey, GreyBox
from avo.latents.information import mig, modularity, mutual_information
from avo.latents.interventions import beta_vae_score, factor_vae_score
from avo.latents.mechanistic import Explained, Mechanistic
from avo.latents.metrics import DCI, Scores, ceiling, dci, explicitness, sap, scores
from avo.latents.models import BetaVAE
from avo.latents.objectives import (
    Objective,
    ada_gvae,
    autoencoder,
    beta,
    beta_tcvae,
    capacity,
    denoising,
    factor_vae,
)
from avo.latents.probes import boosted_r2, linear_r2, nrmse, r2
from avo.latents.ranking import udr
from avo.latents.recipes import recipe
from avo.latents.residuals import Misfit, misfit
from avo.latents.roc import Confusion, Detection, Rate, confusion, detection
from avo.latents.sides import page
from avo.latents.simple import simple_factors
from avo.latents.trained import Trained, load
from avo.latents.training import train

__all__ = [
    "BetaVAE",
    "Comparison",
    "Confusion",
    "DCI",
    "Description",
    "Detection",
    "Explained",
    "Grey",
    "GreyBox",
    "Mechanistic",
    "Misfit",
    "Objective",
    "Payments",
    "Rate",
    "Scores",
    "Trained",
    "ada_gvae",
    "autoencoder",
    "beta",
    "beta_tcvae",
    "beta_vae_score",
    "boosted_r2",
    "capacity",
    "cases",
    "ceiling",
    "compare",
    "confusion",
    "conformal_p",
    "contaminate",
    "dci",
    "denoising",
    "describe",
    "detection",
    "distances",
    "explicitness",
    "factor_vae",
    "factor_vae_score",
    "linear_r2",
    "load",
    "mig",
    "misfit",
    "modularity",
    "mutual_information",
    "negative_elbo",
    "nrmse",
    "page",
    "payments",
    "plots",
    "r2",
    "recipe",
    "reconstruction_error",
    "sap",
    "scores",
    "simple_factors",
    "threshold",
    "train",
    "udr",
]
