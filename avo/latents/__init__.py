"""The rival description of the same data, latents of a beta-VAE, and its comparison with a simulator's parameters."""

from avo.latents.anomaly import (
    Detection,
    Misfit,
    Rate,
    conformal_p,
    detection,
    misfit,
    negative_elbo,
    reconstruction_error,
    threshold,
)
from avo.latents.cases import contaminate
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
    "Detection",
    "Misfit",
    "Rate",
    "Scores",
    "beta_vae_score",
    "boosted_r2",
    "ceiling",
    "conformal_p",
    "contaminate",
    "dci",
    "detection",
    "explicitness",
    "factor_vae_score",
    "linear_r2",
    "mig",
    "misfit",
    "modularity",
    "mutual_information",
    "negative_elbo",
    "nrmse",
    "r2",
    "reconstruction_error",
    "sap",
    "scores",
    "threshold",
    "udr",
]
