"""The family of autoencoders that `compare` trains, and how much a comparison spends.

The members were chosen by the search of benchmarks/results/latents.md. Two layers of width 128 serve as well as of 256,
by the mean of MIG, disentanglement and R^2, and are trained faster; three layers do not. `RIVALS` were not searched.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from avo.latents.models import BetaVAE
from avo.latents.objectives import Objective, autoencoder, beta, beta_tcvae, capacity, denoising, factor_vae
from avo.latents.ranking import udr
from avo.latents.trained import Trained
from avo.latents.training import train

LATENTS = 10
DRAWS = 16  # of z for each signal, by which a member's noise is calibrated


class Member(NamedTuple):
    """An autoencoder of the family.

    Args:
        objective: what it is trained by.
        network: options of `BetaVAE.for_data` that are not the usual ones; without any an MLP with ten latents.
    """

    objective: Objective
    network: Mapping[str, Any] = MappingProxyType({})


NARROW = {"width": 128}
FAMILY = {
    "AE": Member(autoencoder(), NARROW),
    "denoising AE": Member(denoising(0.3), NARROW),
    "VAE": Member(beta(1.0, calibrated=True), NARROW),
    "beta 4": Member(beta(4.0, calibrated=True), NARROW),
    "beta 4, 3 layers": Member(beta(4.0, calibrated=True), {"depth": 3}),
    "capacity 12": Member(capacity(10.0, 12.0), NARROW),
    "talk: capacity 25": Member(capacity(100.0, 25.0), NARROW),
}
# Trained where they are asked for: the family's numbers were measured without them
RIVALS = {
    "beta-TCVAE 4": Member(beta_tcvae(4.0, calibrated=True), NARROW),
    "FactorVAE 5": Member(factor_vae(5.0, calibrated=True), NARROW),
}
MEMBERS = FAMILY | RIVALS


class Size(NamedTuple):
    """How much is spent.

    Args:
        signals: to train on.
        labels: how many of them have labels.
        epochs: of each autoencoder.
        budget: simulator calls of a fit.
        ladder: numbers of signals of the curve of small data.
        family: which autoencoders.
        test: signals of the test set.
        ceiling: labelled simulations of the ceiling.
        fit_outside: whether the simulator is fitted to signals from outside the model, or reads their parameters by a
            regression.
    """

    signals: int
    labels: int
    epochs: int
    budget: int
    ladder: tuple[int, ...]
    family: tuple[str, ...]
    test: int
    ceiling: int
    fit_outside: bool = True

    @property
    def small(self) -> list[int]:
        """Rungs to be measured apart: one of as many signals as the comparison has, all labelled, is the comparison."""
        return [n for n in self.ladder if not n == self.signals == self.labels]


DEFAULT = Size(
    signals=5000,
    labels=1000,
    epochs=50,
    budget=200_000,
    ladder=(100, 1000, 10_000),
    family=tuple(FAMILY),
    test=2000,
    ceiling=50_000,
)
QUICK = Size(
    signals=1000,
    labels=1000,
    epochs=50,
    budget=25_000,
    ladder=(100, 1000),
    family=("VAE", "talk: capacity 25"),
    test=1000,
    ceiling=16_000,
    fit_outside=False,
)


def train_member(member: Member, x: Float[np.ndarray, "n points"], size: Size, seed: int, **training: Any) -> Trained:
    """Train one member of the family; a tenth of the signals, the first, chooses the epoch, and gives it its noise.

    Fewer signals than `size.signals` are repeated up to that number: as many steps, and the same compiled program.

    Args:
        member: which.
        x: signals, with shape (n, points).
        size: numbers of signals and of epochs.
        seed: of weights and order.
        training: options of `avo.latents.train` that are to be others.
    """
    held = max(len(x) // 10, 1)
    validation, learned = x[:held], x[held:]

    def repeated(some: np.ndarray) -> np.ndarray:
        rows = max(len(some) * size.signals // len(x), len(some))
        return np.resize(some, (rows, *x.shape[1:]))

    options = {"epochs": size.epochs, "rate": 1e-3, "final": 0.05} | training
    found = train(
        partial(BetaVAE.for_data, **({"latents": LATENTS} | dict(member.network))),
        repeated(learned),
        objective=member.objective,
        validation=repeated(validation),
        seed=seed,
        progress=False,
        **options,
    )
    return replace(found, model=found.model.calibrated(validation, draws=DRAWS if member.objective.sampled else 0))


def rank_members(codes: Sequence[dict[str, np.ndarray]], family: Sequence[str]) -> dict[str, float]:
    """Compute the median UDR of each member of the family, from its codes in each seed."""
    return {name: float(np.median(udr([each[name] for each in codes]))) for name in family}
