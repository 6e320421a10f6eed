"""avo.adversarial.targets: what of the proposal is learned, and how far and how wide it goes."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import KEY, LOSS, SMALL, SPACE, X_OBS, Fit, same, small_critic, two_numbers

import avo
from avo.adversarial.targets import target_of
from avo.critics import mlp


@pytest.fixture(scope="module")
def small() -> Fit:
    return Fit(SPACE, X_OBS, SMALL, 40)


def test_the_critic_watches_a_narrowed_proposal_and_the_pairs_do_not() -> None:
    settings = avo.Settings(batch=4000, pairs=2000, watch=0.2)
    trainer = avo.make_trainer(SPACE, X_OBS, steps=10, settings=settings, critic=small_critic, loss=LOSS)
    _, state = trainer.ask(KEY, trainer.init(KEY))
    u = np.asarray(state.pending.u)
    # The standard error of a standard deviation from n draws is sd / sqrt(2 n)
    np.testing.assert_allclose(u[:4000].std(0), 0.2, rtol=4 / np.sqrt(8000))
    np.testing.assert_allclose(u[4000:].std(0), 1.5, rtol=4 / np.sqrt(4000))


def test_a_pair_with_one_failed_half_is_left_out_of_the_metric(small: Fit) -> None:
    theta, state = small.ask(KEY, small.trainer.init(KEY))
    x = np.array(two_numbers(jax.random.key(8), theta))
    one, both = x.copy(), x.copy()
    one[20] = np.nan  # the third of six plus rows, which follow 18 of the critic
    both[[20, 26]] = np.nan
    metrics = [small.tell(state, theta, jnp.asarray(a))[0].metric for a in (x, one, both)]
    assert same(metrics[1], metrics[2]) and not same(metrics[0], metrics[1])


@pytest.mark.parametrize(("late", "end"), [(False, 0), (True, 1)])
def test_first_moves_have_the_length_of_their_rate(late: bool, end: int) -> None:
    # Adam's first move is the sign of the gradient times the rate; for loc in units of the proposal's spread
    settings = avo.Settings(batch=9, pairs=6, target="population", rate=(0.03, 0.004), critic_rate=(0.02, 0.007))
    start = avo.Gaussian(jnp.array([0.3, -0.2, 0.1]), jnp.array([-0.5, 0.4, 0.2]), jnp.tril(0.3 * jnp.ones((3, 3)), -1))
    trainer = avo.make_trainer(
        SPACE, X_OBS, steps=40, settings=settings, critic=small_critic, loss=LOSS, proposal=start
    )  # fmt: skip
    state = trainer.init(KEY)
    before = state._replace(step=state.horizon) if late else state
    theta, asked = trainer.ask(KEY, before)
    after, _ = trainer.tell(asked, theta, two_numbers(jax.random.key(8), theta))
    moved = np.linalg.solve(np.asarray(start.factor()), np.asarray(after.proposal.loc - start.loc))
    np.testing.assert_allclose(np.abs(moved), (0.03, 0.004)[end], rtol=1e-4)
    np.testing.assert_allclose(np.abs(after.proposal.log_scale - start.log_scale), (0.03, 0.004)[end], rtol=1e-4)
    steps = [
        np.abs(a - b).max()
        for a, b in zip(jax.tree.leaves(after.critic), jax.tree.leaves(state.critic), strict=True)
        if eqx.is_inexact_array(a)
    ]
    np.testing.assert_allclose(steps[0], (0.02, 0.007)[end], rtol=1e-3)


class Slope(eqx.Module):
    """d(x) = weight x."""

    weight: Any

    def __call__(self, x: Any) -> Any:
        return self.weight * x


@pytest.mark.parametrize("weight", [0.7, -0.7])
@pytest.mark.parametrize("target", ["point", "population"])
def test_the_proposal_moves_to_where_the_critic_is_high(target: Any, weight: float) -> None:
    """Its cost is -d; without noise, x = theta, each mirrored pair tells the sign of the slope."""
    settings = avo.Settings(batch=9, pairs=6, target=target, critic_rate=(1e-9, 1e-9))
    trainer = avo.make_trainer(
        avo.Space(a=avo.Real(1.3, 2.0)), X_OBS[:, 0], steps=40, settings=settings, loss=LOSS,
        critic=Slope(jnp.array(weight)),
    )  # fmt: skip
    start = trainer.init(KEY)
    theta, asked = trainer.ask(KEY, start)
    after, _ = trainer.tell(asked, theta, theta[:, 0])
    assert weight * float(after.proposal.loc[0] - start.proposal.loc[0]) > 0


def test_spread_is_annealed_in_the_stiffest_direction() -> None:
    settings = avo.Settings(batch=9, pairs=6, spread=(1.1, 0.03), anneal=0.6, ceiling=(1.1, 0.4))
    steps = 30
    state, infos = Fit(avo.Space(mu=avo.Interval(-3, 5)), X_OBS[:, 0], settings, steps).run(
        lambda key, theta: theta[:, 0] + jax.random.normal(key, (theta.shape[0],)), steps
    )
    sd = np.array([info.sd[0] for info in infos])
    done = np.minimum(np.arange(1, steps + 1) / (0.6 * steps), 1.0)
    np.testing.assert_allclose(sd, 1.1 * (0.03 / 1.1) ** done, rtol=1e-9)
    np.testing.assert_allclose(float(state.proposal.sd()[0]), 0.03, rtol=1e-9)


def test_spread_of_a_direction_that_moves_x_less_goes_to_the_ceiling() -> None:
    settings = avo.Settings(batch=9, pairs=6, spread=(1.1, 0.03), ceiling=(1.1, 0.4))
    space = avo.Space(stiff=avo.Real(), soft=avo.Real())

    def weak(key: Any, theta: Any) -> Any:
        return theta * jnp.array([[1.0, 1e-3]])

    x = np.random.default_rng(0).normal([0.3, 2e-4], [0.5, 5e-1], (50, 2))
    state, infos = Fit(space, x, settings, 30).run(weak, 30)
    largest = np.array([np.linalg.eigvalsh(np.diag(info.sd**2))[0] for info in infos]) ** 0.5
    assert np.all(np.diff(largest) <= 1e-12)
    factor = np.asarray(state.proposal.factor())
    np.testing.assert_allclose(np.linalg.svd(factor)[1], [0.4, 0.03], rtol=1e-6)


@pytest.mark.parametrize("target", ["point", "population"])
@pytest.mark.parametrize("step", [0, 17, 39])
def test_reach_binds_parameters_with_two_bounds_only(target: Any, step: int) -> None:
    settings = avo.Settings(batch=9, pairs=6, reach=(0.8, 1.7), anneal=0.9, rate=(1.0, 1.0), target=target)
    space = avo.Space(a=avo.Interval(-3, 5), b=avo.LogInterval(0.5, 3), c=avo.Real(), d=avo.Positive())
    start = avo.Gaussian.start(4, loc=jnp.array([0.7, -0.7, 0.7, -0.7]), sd=0.1, full=False)
    trainer = avo.make_trainer(
        space, np.ones((50, 4)) + np.arange(50.0)[:, None], steps=40, settings=settings, critic=small_critic, loss=LOSS
    )
    _, state = trainer.ask(KEY, trainer.init(KEY)._replace(step=jnp.array(step), proposal=start))
    push = avo.Gaussian(jnp.array([-30.0, 30.0, -30.0, 30.0]), jnp.zeros(4))  # by 30 * 0.1, outwards
    q, _ = target_of(space, settings).move(state, push, jnp.ones((12, 4)), jnp.ones(12, bool))
    reach = 0.8 * (1.7 / 0.8) ** min((step + 1) / (0.9 * 40), 1.0)
    np.testing.assert_allclose(q.loc, [reach, -reach, 3.7, -3.7], rtol=1e-12)


MEAN, SD, NOISE = np.array([1.3, -0.4]), np.array([0.6, 0.25]), 0.1


POPULATION = avo.Space(a=avo.Real(), b=avo.Real(-0.2, 0.5))


@pytest.fixture(scope="module")
def populations() -> dict[float, avo.Result]:
    """Fits of x = theta + noise, theta ~ N(MEAN, SD^2), by entropy weight."""
    x = np.random.default_rng(0).normal(MEAN, np.sqrt(SD**2 + NOISE**2), (2000, 2))

    def location(key: Any, theta: Any) -> Any:
        return theta + NOISE * jax.random.normal(key, theta.shape)

    def critic(key: Any, x_shape: tuple[int, ...]) -> Any:
        return mlp(key, x_shape, width=16, depth=2)

    def fitted(gamma: float) -> avo.Result:
        settings = avo.Settings(
            target="population",
            entropy=gamma,
            critic_steps=3,
            batch=128,
            pairs=128,
            critic_rate=(3e-3, 3e-4),
        )
        return avo.fit(
            location, x, POPULATION, budget=320_000, settings=settings, loss=LOSS, refine=False, progress=False
        )  # fmt: skip

    return {gamma: fitted(gamma) for gamma in (0.0, 0.3)}


def test_population_is_recovered(populations: dict[float, avo.Result]) -> None:
    result = populations[0.0]
    scale = np.array([1.0, 0.5])  # of `Real`, from u to theta
    sd = np.asarray(result.proposal.sd()) * scale
    # 2000 observations fix the mean to SD / 45 and the sd to 1.6 %; the rest is the fit's own noise
    assert np.all(np.abs(result.theta - MEAN) < 0.15 * SD)
    assert np.all(np.abs(sd / SD - 1) < 0.15)


def test_entropy_weight_narrows_the_population(populations: dict[float, avo.Result]) -> None:
    assert np.all(populations[0.3].proposal.sd() < 0.9 * populations[0.0].proposal.sd())
