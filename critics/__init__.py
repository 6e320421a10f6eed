"""Critics, their losses, and the distance that they estimate."""

from avo.adversarial.critic import train_critic
from avo.critics.discriminants import Apart, told_apart
from avo.critics.distances import Distance, distance
from avo.critics.losses import Loss, jensen_shannon, wasserstein
from avo.critics.modules import Critic
from avo.critics.networks import (
    conv1d,
    conv2d,
    deep_sets,
    for_shape,
    gru,
    leaky,
    lenet,
    linear,
    lipschitz,
    logistic,
    lstm,
    mlp,
    packed,
)

__all__ = [
    "Apart",
    "Critic",
    "Distance",
    "Loss",
    "conv1d",
    "conv2d",
    "deep_sets",
    "distance",
    "for_shape",
    "gru",
    "jensen_shannon",
    "leaky",
    "lenet",
    "linear",
    "lipschitz",
    "logistic",
    "lstm",
    "mlp",
    "packed",
    "told_apart",
    "train_critic",
    "wasserstein",
]
