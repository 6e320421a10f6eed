"""Observations on a plane in six dimensions, with noise, and trainings on them that share one compiled program."""

from functools import partial

import numpy as np

from avo import latents
from avo.latents import BetaVAE

# A rank-2 signal in six values, unequal scales, far from zero.
D, K, N, NOISE = 6, 2, 500, 0.5
MIXING = np.random.default_rng(0).normal(size=(K, D)) * np.array([[2.0], [1.2]])
X = 3.7 + np.random.default_rng(1).normal(size=(N, K)) @ MIXING + NOISE * np.random.default_rng(2).normal(size=(N, D))
MAKE = partial(BetaVAE.for_data, latents=K, depth=0, noise=NOISE)
train = partial(latents.train, batch=100, progress=False)
