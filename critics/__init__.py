"""Critics and their losses."""

from avo.critics.losses import Loss, wasserstein
from avo.critics.networks import mlp

__all__ = ["Loss", "mlp", "wasserstein"]
