"""Results made by hand, of random numbers, with an estimate or without."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import avo
from avo.critics import mlp
from avo.execution.failures import Failures
from avo.refine import statistic as scores
from avo.refine.estimate import Estimate
from avo.refine.features import Features
from avo.refine.statistic import LearnedStatistic
from avo.result import Result
from avo.types import Frame

SPACE = avo.Space(mu=avo.Interval(-3, 5, unit="mV"), rate=avo.LogInterval(0.05, 30.0), tau=avo.Positive(2.5, unit="ms"))
LOC = jnp.array([0.7, -1.2, 0.4])
THETA = np.array([-3 + 8 / (1 + np.exp(-0.7)), 0.05 * 600 ** (1 / (1 + np.exp(1.2))), 2.5 * np.exp(0.4)])


def made(critic: Any = None, full: bool = True) -> Result:
    steps = 6
    rng = np.random.default_rng(0)
    lower = jnp.tril(jnp.asarray(rng.normal(size=(3, 3))), -1) if full else None
    return Result(
        space=SPACE,
        proposal=avo.Gaussian(LOC, jnp.array([-1.1, 0.2, -0.6]), lower),
        critic=mlp(jax.random.key(1), (4, 2), width=7, depth=3) if critic is None else critic,
        calls=5376,
        failures=Failures({"non-finite": 17}),
        status="budget",
        message="mu still moved at the end of 6 steps; a larger budget may help.",
        history={
            "calls": 896 * np.arange(1, steps + 1),
            "gap": rng.normal(size=steps),
            "failed": rng.integers(0, 5, steps),
            "u": rng.normal(size=(steps, 3)),
            "sd": rng.uniform(size=(steps, 3)),
            "theta": rng.normal(size=(steps, 3)),
        },
        x_shape=(4, 2),
        settings={"batch": 64, "baseline": "leave-one-out", "entropy": 0.25},
        seed=11,
        data="5e1f",
    )


def refined(target: str = "point", inputs: bool = False) -> Result:
    """A result with an estimate whose statistic is made of random numbers."""
    rng = np.random.default_rng(1)
    c = (np.array([1.0]), np.array([2.0])) if inputs else (None, None)
    shift, scale = np.full((4, 2), 0.5), np.full((4, 2), 3.0)
    units: Any = [None if a is None else jnp.asarray(a) for a in (shift, scale, *c)]
    features = Features(*units, *[None] * 4)
    k = 54 if inputs else 44
    numbers = [jnp.asarray(rng.normal(size=s)) for s in (k, k, (k, 3), 3, 3)]
    t = LearnedStatistic(features, *numbers[:4], scores._network(jax.random.key(0), k, 3), numbers[4])
    p = 3 if target == "point" else 9
    covariance = np.diag(np.linspace(1, 2, p)) * 1e-3
    estimate = Estimate(
        loc=np.asarray(LOC), population_covariance=None if p == 3 else np.diag([0.3, 0.2, 0.1]), covariance=covariance,
        values=1e3 / np.linspace(1, 2, 3)[:3], vectors=np.eye(3), identified=np.ones(3, bool), statistic=t, encoder=t,
        reference=(np.zeros(3), np.eye(3)), simulation_noise=1.01, moved=0.2, freedom=99,
    )  # fmt: skip
    settings = dict(made().settings) | {"target": target}
    return replace(
        made(), estimate=estimate, frame=Frame(shift, scale, *c, np.array(1.5)), settings=settings, status="converged"
    )
