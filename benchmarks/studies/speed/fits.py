"""What a fit costs beside its parts: a bare loop of the same updates, a bare simulator, the fit without refining.

fit        1000 adversarial steps of 5 critic updates of 256 rows and 128 pairs, beside a compiled loop of
           simulations, critic gradients and critic updates only; per simulator call, of which a fit makes one in
           six for the proposal instead. The first fit compiles; that is what `start` holds
host       a fit with a NumPy simulator, beside a loop that only calls it, per call; training is a part
refining   a fit with default settings, beside the adversarial fit alone of as many steps
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import avo
from avo import critics, simulators
from avo.benchmarks.studies.calibration import problem_of
from avo.benchmarks.studies.speed.race import Way, measure, seconds
from avo.benchmarks.suite.floors import jitted
from avo.benchmarks.suite.tasks import OBSERVATIONS, observe
from avo.simulators import Problem
from avo.task import planned

STEPS, HOST_CALLS = 1000, 20_000


def bare_loop(problem: Problem, z_obs: jax.Array, steps: int, batch: int) -> Callable[[int], Any]:
    """Make a compiled loop of simulations, critic gradients and critic updates only."""
    loss, optimiser = critics.wasserstein(), optax.adam(1e-3)
    critic = critics.mlp(jax.random.key(0), problem.x_shape)
    phi, static = eqx.partition(critic, eqx.is_inexact_array)
    u = jnp.zeros((batch, problem.space.dim))

    def step(carry: Any, key: jax.Array) -> tuple[Any, None]:
        phi, moments = carry
        key_u, key_x, key_real, key_loss = jax.random.split(key, 4)
        theta = problem.space.constrain(u + 0.1 * jax.random.normal(key_u, u.shape))
        x = problem.simulate(key_x, theta)
        real = z_obs[jax.random.randint(key_real, (batch,), 0, z_obs.shape[0])]
        gradient = jax.grad(lambda phi: loss.critic(eqx.combine(phi, static), real, x, jnp.ones(batch), key_loss)[0])(
            phi
        )
        move, moments = optimiser.update(gradient, moments)
        return (optax.apply_updates(phi, move), moments), None

    keys = jax.random.split(jax.random.key(1), steps)
    loop = jax.jit(lambda carry: jax.lax.scan(step, carry, keys)[0])
    return lambda _: jax.block_until_ready(loop((phi, optimiser.init(phi))))


def fit(_: str, seed: int) -> dict[str, Any]:
    """Race a whole adversarial fit of Brownian paths against the bare loop, per simulator call."""
    problem = simulators.brownian()
    x_obs = observe(problem, problem.theta_true, OBSERVATIONS, 0)
    settings = avo.Settings(batch=256, critic_steps=5, pairs=128)
    budget, updates = STEPS * settings.calls, STEPS * settings.critic_steps

    def whole(_: int) -> Any:
        return avo.fit(
            problem.simulate, x_obs, problem.space, settings=settings, budget=budget, refine=False, progress=False
        )

    start = {"first fit": seconds(lambda: whole(0))}
    loop = bare_loop(problem, jnp.asarray(x_obs), updates, settings.batch)
    ways = {"bare loop": Way(loop, updates * settings.batch), "fit": Way(whole, budget)}
    return {"start": start, **measure(ways, [("fit", "bare loop")], first=seed)}


def host(_: str, seed: int) -> dict[str, Any]:
    """Race a fit with a NumPy simulator against a loop that only calls it, per call."""
    problem = simulators.poisson()
    x_obs = observe(problem, problem.theta_true, OBSERVATIONS, 0)

    def draw(rng: np.random.Generator, theta: np.ndarray) -> Any:
        return rng.poisson(theta[0])

    simulate, theta = avo.from_numpy(draw), np.tile(problem.theta_true, (HOST_CALLS, 1))

    def whole(_: int) -> Any:
        return avo.fit(simulate, x_obs, problem.space, budget=HOST_CALLS, refine=False, progress=False)

    def bare(_: int) -> None:
        rng = np.random.default_rng(0)
        for row in theta:
            draw(rng, row)

    return measure({"bare": Way(bare, HOST_CALLS), "fit": Way(whole, whole(0).calls)}, [("fit", "bare")], first=seed)


def refining(name: str, seed: int) -> dict[str, Any]:
    """Race a fit with default settings against its adversarial half alone."""
    problem = problem_of(name)
    simulate, space = jitted(problem.simulate), problem.space
    x_obs = observe(problem, problem.theta_true, OBSERVATIONS, 0)
    settings, plan = planned(None, None, None, host=False, m=len(x_obs), d=space.dim, refine=True)

    def run(**options: Any) -> Callable[[int], Any]:
        return lambda seed: avo.fit(simulate, x_obs, space, seed=seed, progress=False, **options)

    ways = {"AVO alone": Way(run(refine=False, budget=plan.steps * settings.calls)), "AVO and refining": Way(run())}
    return measure(ways, [("AVO and refining", "AVO alone")], turns=3, first=seed)
