"""avo.adversarial.trainer: what a step asks for, what it makes of failures, and where many steps end."""

import dataclasses
import json
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import avo
from avo.adversarial.critic import optimiser
from avo.adversarial.loop import block_keys, block_size
from avo.adversarial.trainer import _gradient, _met, _move
from avo.critics import Loss, mlp, packed, wasserstein
from avo.execution.blocks import simulate_jax

# Odd sizes, so that nothing fits by accident
SMALL = avo.Settings(critic_steps=2, batch=9, pairs=6, average=0.25)
SPACE = avo.Space(mu=avo.Interval(-3, 5), tau=avo.Positive(2.5), nu=avo.Real(1.3, 0.7))
KEY = jax.random.key(3)
LOSS = wasserstein()  # one object for all fits, so that equal ones share their compiled program


def small_critic(key: Any, x_shape: tuple[int, ...]) -> Any:
    return mlp(key, x_shape, width=8, depth=1)


def simulate(key: Any, theta: Any) -> Any:
    """Two numbers that depend on all three parameters."""
    noise = jax.random.normal(key, (theta.shape[0], 2))
    return jnp.stack([theta[:, 0] + theta[:, 2], theta[:, 1]], axis=1) + 0.3 * noise


X_OBS = np.asarray(simulate(jax.random.key(1), jnp.tile(jnp.array([[0.8, 1.7, 2.1]]), (50, 1))))


class Fit:
    """The loop that a user writes around `ask` and `tell`."""

    def __init__(self, space: avo.Space, x_obs: np.ndarray, settings: avo.Settings, steps: int) -> None:
        self.trainer = avo.make_trainer(space, x_obs, steps=steps, settings=settings, critic=small_critic, loss=LOSS)
        self.ask, self.tell = eqx.filter_jit(self.trainer.ask), eqx.filter_jit(self.trainer.tell)

    def run(self, simulate: Any, steps: int, key: Any = KEY) -> tuple[Any, list[Any]]:
        state, infos = self.trainer.init(key), []
        for i in range(steps):
            key_ask, key_x = jax.random.split(jax.random.fold_in(key, i))
            theta, state = self.ask(key_ask, state)
            state, info = self.tell(state, theta, simulate(key_x, theta))
            infos.append(info)
        return state, infos


@pytest.fixture(scope="module")
def small() -> Fit:
    return Fit(SPACE, X_OBS, SMALL, 40)


def same(a: Any, b: Any) -> bool:
    """Whether all arrays of two trees are equal to the bit."""
    leaves = [jax.tree.leaves(eqx.filter(tree, eqx.is_array)) for tree in (a, b)]
    as_words = lambda a: np.asarray(jax.random.key_data(a) if jnp.issubdtype(a.dtype, jax.dtypes.prng_key) else a)  # noqa: E731
    return len(leaves[0]) == len(leaves[1]) and all(
        np.array_equal(as_words(p), as_words(q)) for p, q in zip(*leaves, strict=True)
    )


def test_a_second_pass_is_a_second_update_on_the_same_simulations() -> None:
    """Told the same 9 rows twice, two updates of one pass end where two passes end: critic, proposal, everything."""
    twice, passes = (Fit(SPACE, X_OBS, dataclasses.replace(SMALL, **changes), 40) for changes in
                     ({"critic_steps": 2}, {"critic_steps": 1, "passes": 2}))  # fmt: skip
    theta, state = passes.ask(KEY, passes.trainer.init(KEY))
    assert len(theta) == 9 + 2 * 6  # no call more than with one pass
    x = simulate(jax.random.key(5), theta)
    left, _ = passes.tell(state, theta, x)
    both, state = twice.ask(KEY, twice.trainer.init(KEY))
    right, _ = twice.tell(state, both, jnp.concatenate([x[:9], x]))
    assert same((left.critic, left.critic_moments, left.proposal), (right.critic, right.critic_moments, right.proposal))
    once = Fit(SPACE, X_OBS, dataclasses.replace(SMALL, critic_steps=1), 40)
    other, _ = once.tell(once.ask(KEY, once.trainer.init(KEY))[1], theta, x)
    assert not same(left.critic, other.critic)


def test_ask_gives_every_call_of_a_step(small: Fit) -> None:
    theta, state = small.ask(KEY, small.trainer.init(KEY))
    assert SMALL.calls == 2 * 9 + 2 * 6
    assert theta.shape == (SMALL.calls, 3)
    u = state.pending.u
    np.testing.assert_allclose(theta, SPACE.constrain(u), rtol=1e-14)
    plus, minus = u[18:24], u[24:]
    np.testing.assert_allclose(plus + minus, np.tile(2 * np.asarray(state.proposal.loc), (6, 1)), atol=1e-14)
    assert float(jnp.abs(plus - minus).min()) > 0
    assert state.pending.rows.shape == (SMALL.calls,)


def test_mirrored_halves_get_the_inputs_of_the_same_observation() -> None:
    c = np.arange(50.0)
    trainer = avo.make_trainer(SPACE, X_OBS, inputs=c, steps=40, settings=SMALL, critic=small_critic, loss=LOSS)
    _, state = trainer.ask(KEY, trainer.init(KEY))
    assert state.pending is not None
    rows = np.asarray(state.pending.rows)
    np.testing.assert_array_equal(rows[18:24], rows[24:])
    assert rows.min() >= 0 and rows.max() < 50
    assert np.unique(rows).size > 12  # of 24 draws from 50


def test_mirrored_halves_around_a_centre_that_is_not_zero() -> None:
    loc = jnp.array([0.7, -0.4, 1.1])
    start = avo.Gaussian.start(3, loc=loc, sd=0.3)
    trainer = avo.make_trainer(SPACE, X_OBS, steps=40, settings=SMALL, critic=small_critic, proposal=start)
    _, state = trainer.ask(KEY, trainer.init(KEY))
    assert state.pending is not None
    u = np.asarray(state.pending.u)
    np.testing.assert_allclose(u[18:24] + u[24:], np.tile(2 * np.asarray(loc), (6, 1)), rtol=1e-13)
    assert np.all(np.abs(u - np.asarray(loc)) < 0.3 * 6)


def test_same_key_same_bits(small: Fit) -> None:
    a, _ = small.run(simulate, 3)
    b, _ = small.run(simulate, 3)
    c, _ = small.run(simulate, 3, jax.random.key(4))
    assert same(a, b)
    assert not same(a.proposal, c.proposal)


def test_steps_are_counted(small: Fit) -> None:
    state, infos = small.run(simulate, 3)
    assert int(state.step) == 3 and int(state.horizon) == 40
    assert state.pending is None
    assert [int(info.failed) for info in infos] == [0, 0, 0]


def test_rows_that_are_not_finite_are_left_out_whatever_they_hold(small: Fit) -> None:
    theta, state = small.ask(KEY, small.trainer.init(KEY))
    x = np.array(simulate(KEY, theta))
    bad = [1, 12, 20, 25, 28]  # critic's rows, a u+, its own u- is 26, and u- rows
    nan, wild = x.copy(), x.copy()
    nan[bad, 0] = np.nan
    wild[bad] = [[np.inf, 3.0], [-np.inf, np.nan], [1e9, np.inf], [np.nan, -7.0], [np.inf, np.inf]]
    a, info = small.tell(state, theta, jnp.asarray(nan))
    b, _ = small.tell(state, theta, jnp.asarray(wild))
    full, none = small.tell(state, theta, jnp.asarray(x))
    assert same(a, b)
    assert int(info.failed) == len(bad) and int(none.failed) == 0
    assert not same(a.critic, full.critic) and not same(a.proposal, full.proposal)
    assert all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves(a.proposal))


def test_a_step_without_any_result_stays_finite(small: Fit) -> None:
    theta, state = small.ask(KEY, small.trainer.init(KEY))
    after, info = small.tell(state, theta, jnp.full((SMALL.calls, 2), jnp.nan))
    assert int(info.failed) == SMALL.calls
    np.testing.assert_array_equal(after.proposal.loc, state.proposal.loc)
    assert np.all(np.isfinite(after.proposal.factor()))


@pytest.mark.parametrize(("failing", "cost"), [([0], 1.0 / 8), ([0, 1, 3], 3.0 / 8)])
def test_a_failed_row_costs_its_share_of_the_way_to_the_worst(failing: list[int], cost: float) -> None:
    # Costs are -d(x) = -x: four pairs in one dimension with mean 0 and worst 1 among the valid rows
    class Identity(eqx.Module):
        def __call__(self, x: Any) -> Any:
            return x[0]

    settings = avo.Settings(pairs=4, baseline="none")
    zeta = np.array([[0.7], [-1.1], [0.4], [2.3]])
    ok = np.ones(8, bool)
    ok[failing] = False
    x = np.zeros(8)
    valid = np.flatnonzero(ok)
    x[valid[:2]] = [-1.0, 1.0]
    expected = np.where(ok, -x, cost) @ np.concatenate([zeta, -zeta])[:, 0] / 8
    x[failing] = 1e6  # what a failed row holds is never looked at
    g = _gradient(LOSS, settings, avo.Gaussian.start(1), Identity(), zeta, jnp.asarray(x)[:, None], jnp.asarray(ok))
    np.testing.assert_allclose(g.loc, [expected], rtol=1e-12)


def test_the_critic_meets_every_observation_equally_often() -> None:
    # 7 observations, 2 updates of 5 rows: 7 steps show each of them 10 times
    seen = []

    def watched(d: Any, x_real: Any, x_fake: Any, w: Any, key: Any) -> Any:
        jax.debug.callback(lambda rows: seen.extend(np.asarray(rows)[:, 0]), x_real)
        return jnp.zeros(()) * d(x_real[0]), jnp.zeros(())

    trainer = avo.make_trainer(
        avo.Space(a=avo.Real()), np.arange(7.0)[:, None], steps=7, critic=small_critic,
        loss=Loss(watched, lambda d: -d), settings=avo.Settings(critic_steps=2, batch=5, pairs=2),
    )  # fmt: skip
    state = trainer.init(KEY)
    for i in range(7):
        theta, state = trainer.ask(jax.random.fold_in(KEY, i), state)
        state, _ = trainer.tell(state, theta, theta)
    jax.effects_barrier()
    values, counts = np.unique(np.round(np.array(seen) * 2 + 3, 9), return_counts=True)  # z = (x - 3) / 2
    np.testing.assert_array_equal(values, np.arange(7.0))
    np.testing.assert_array_equal(counts, 10)


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
    x = np.array(simulate(jax.random.key(8), theta))
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
    after, _ = trainer.tell(asked, theta, simulate(jax.random.key(8), theta))
    moved = np.linalg.solve(np.asarray(start.factor()), np.asarray(after.proposal.loc - start.loc))
    np.testing.assert_allclose(np.abs(moved), (0.03, 0.004)[end], rtol=1e-4)
    np.testing.assert_allclose(np.abs(after.proposal.log_scale - start.log_scale), (0.03, 0.004)[end], rtol=1e-4)
    steps = [
        np.abs(a - b).max()
        for a, b in zip(jax.tree.leaves(after.critic), jax.tree.leaves(state.critic), strict=True)
        if eqx.is_inexact_array(a)
    ]
    np.testing.assert_allclose(steps[0], (0.02, 0.007)[end], rtol=1e-3)


def test_inputs_are_standardised_and_stay_with_their_observation() -> None:
    c = np.random.default_rng(4).normal(30.0, 7.0, (50, 1))
    x = np.concatenate([2.0 * c, -c], axis=1)
    space = avo.Space(a=avo.Real())
    data = avo.make_trainer(space, x, steps=10, inputs=c, critic=small_critic, loss=LOSS).init(KEY).data
    np.testing.assert_allclose(np.asarray(data.z).mean(0), 0.0, atol=1e-12)
    np.testing.assert_allclose(np.asarray(data.z).std(0), 1.0, rtol=1e-12)
    np.testing.assert_allclose(data.z[:, 0], data.z[:, 1], rtol=1e-9)
    np.testing.assert_allclose(data.z[:, 0], (np.asarray(data.inputs)[:, 0] - c.mean()) / c.std(), rtol=1e-9)
    assert not np.array_equal(np.asarray(data.inputs), c)  # shuffled: the order of a file may mean something


@pytest.mark.parametrize(
    ("budget", "pairs", "batch", "passes", "rate"),
    [
        (1_152_000, 32, 64, 1, 0.1),
        (1_151_999, 16, 64, 1, 0.1),
        (288_000, 16, 64, 1, 0.1),
        (287_999, 8, 16, 8, 0.1),
        (144_000, 8, 16, 8, 0.1 * math.sqrt(2)),
        (1000, 8, 16, 8, 0.2),
        (999, 4, 8, 16, 0.2),
    ],
)
def test_sizes_for_a_budget(budget: int, pairs: int, batch: int, passes: int, rate: float) -> None:
    settings = avo.Settings.for_budget(budget)
    assert (settings.pairs, settings.batch, settings.passes) == (pairs, batch, passes)
    assert avo.Settings.for_budget(budget, target="population").passes == 1
    np.testing.assert_allclose(settings.proposal_rate, (rate, rate), rtol=1e-5)
    assert avo.Settings.for_budget(budget, target="population").proposal_rate == (0.05, 0.002)


def test_a_given_proposal_keeps_its_place_and_width() -> None:
    start = avo.Gaussian.start(3, loc=jnp.array([4.5, -0.2, 0.1]), sd=0.05)  # beyond the first reach of 3
    trainer = avo.make_trainer(SPACE, X_OBS, steps=1000, critic=small_critic, loss=LOSS, proposal=start)
    theta, state = trainer.ask(KEY, trainer.init(KEY))
    state, info = trainer.tell(state, theta, simulate(jax.random.key(8), theta))
    assert float(info.sd.max()) <= 0.05 * 1.001
    np.testing.assert_allclose(state.proposal.loc, start.loc, atol=0.1 * 0.05 * math.sqrt(3) * 1.01)


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
    q, _ = _move(space, settings, state, push, jnp.ones((6, 4)), jnp.ones(6, bool))
    reach = 0.8 * (1.7 / 0.8) ** min((step + 1) / (0.9 * 40), 1.0)
    np.testing.assert_allclose(q.loc, [reach, -reach, 3.7, -3.7], rtol=1e-12)


def test_plain_loop_equals_the_compiled_one_and_averages_late_steps() -> None:
    steps, seed = 40, 5
    options: dict[str, Any] = dict(settings=SMALL, critic=small_critic, loss=LOSS, refine=False, progress=False)
    result = avo.fit(simulate, X_OBS, SPACE, budget=steps * SMALL.calls, seed=seed, **options)
    loop = Fit(SPACE, X_OBS, SMALL, steps)
    key_init, key_run = jax.random.split(jax.random.key(seed))
    state, u = loop.trainer.init(key_init), []
    rows = jax.jit(lambda key, theta: simulate_jax(simulate, block_keys(key, SMALL), block_size(SMALL), theta))
    for i in range(steps):
        key_ask, key_x = jax.random.split(jax.random.fold_in(key_run, i))
        theta, state = loop.ask(key_ask, state)
        state, info = loop.tell(state, theta, rows(key_x, theta))
        u.append(info.u)
    assert len(result.history["u"]) == steps
    np.testing.assert_allclose(result.history["u"], np.stack(u), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(state.average.loc, np.stack(u)[30:].mean(0), rtol=1e-12)
    np.testing.assert_allclose(result.proposal.loc, state.average.loc, rtol=1e-6, atol=1e-6)


def test_a_seed_decides_all() -> None:
    options: dict[str, Any] = dict(
        budget=40 * SMALL.calls, settings=SMALL, critic=small_critic, loss=LOSS, refine=False, progress=False
    )
    a, b, c = (avo.fit(simulate, X_OBS, SPACE, seed=seed, **options) for seed in (5, 5, 6))
    for name, values in a.history.items():
        np.testing.assert_array_equal(values, b.history[name])
    assert not np.array_equal(a.theta, c.theta)


# --- populations -----------------------------------------------------------------------------------------------------

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
            location, x, POPULATION, budget=800_000, settings=settings, loss=LOSS, refine=False, progress=False
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


# --- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"batch": 0}, r"batch must be a whole number of at least 1; got 0"),
        ({"batch": 2.5}, r"batch must be a whole number of at least 1; got 2.5"),
        ({"critic_steps": -1}, r"critic_steps must be a whole number"),
        ({"pairs": 1}, r"pairs must be a whole number of at least 2; got 1"),
        ({"rate": (0.1,)}, r"rate must be two finite numbers above 0 \(first, last\); got \(0.1,\)"),
        ({"spread": (1.0, 0.0)}, r"spread must be two finite numbers above 0"),
        ({"ceiling": (-1.0, 0.5)}, r"ceiling must be two finite numbers above 0"),
        ({"reach": (3.0, math.inf)}, r"reach must be two finite numbers above 0"),
        ({"critic_rate": (math.nan, 1e-3)}, r"critic_rate must be two finite numbers above 0"),
        ({"watch": 0.0}, r"watch must be a finite number above zero; got 0.0"),
        ({"anneal": 0.0}, r"anneal must be a number in \(0, 1\]; got 0.0"),
        ({"average": 1.5}, r"average must be a number in \(0, 1\]; got 1.5"),
        ({"baseline": "median"}, r"baseline must be one of none, mean, leave-one-out, optimal; got 'median'"),
        ({"target": "cloud"}, r"target must be one of point, population; got 'cloud'"),
        ({"entropy": 0.1}, r"use target='population' with it, or entropy=0"),
    ],
)
def test_settings_errors(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        avo.Settings(**values)


def test_settings_from_json_are_those_that_were_written() -> None:
    settings = avo.Settings(rate=(0.2, 0.3))
    assert avo.Settings(**json.loads(json.dumps(dataclasses.asdict(settings)))) == settings
    assert len({settings, avo.Settings(rate=[0.2, 0.3])}) == 1


def test_calls_of_a_step() -> None:
    assert avo.Settings(critic_steps=3, batch=11, pairs=7).calls == 3 * 11 + 2 * 7


PACKED = avo.Settings(critic_steps=2, batch=9, pairs=6)


def packed_trainer(target: str = "point", **changes: Any) -> Any:
    settings = dataclasses.replace(PACKED, target=target, **changes)
    critic = packed(3, small_critic)
    return avo.make_trainer(SPACE, X_OBS, steps=40, settings=settings, critic=critic, loss=LOSS)


def test_simulations_of_a_pack_share_their_theta_for_a_point() -> None:
    trainer = packed_trainer()
    theta, state = trainer.ask(KEY, trainer.init(KEY))
    packs = np.asarray(theta).reshape(-1, 3, 3)
    np.testing.assert_array_equal(packs, np.repeat(packs[:, :1], 3, axis=1))
    assert len(np.unique(packs[:, 0], axis=0)) == len(packs) == PACKED.calls // 3
    u = np.asarray(state.pending.u)
    np.testing.assert_allclose(u[18:24] + u[24:], 0.0, atol=1e-14)


def test_simulations_of_a_pack_have_their_own_thetas_for_a_population() -> None:
    trainer = packed_trainer("population")
    theta, _ = trainer.ask(KEY, trainer.init(KEY))
    assert len(np.unique(np.asarray(theta), axis=0)) == PACKED.calls


def test_the_critic_of_packs_is_shown_packs_and_a_failure_spoils_its_pack_only() -> None:
    seen = []

    def watched(d: Any, x_real: Any, x_fake: Any, w: Any, key: Any) -> Any:
        jax.debug.callback(lambda *rows: seen.append([np.asarray(r) for r in rows]), x_real, x_fake, w)
        return jnp.zeros(()) * d(x_real[0]), jnp.zeros(())

    loss = Loss(watched, lambda d: -d)
    trainer = avo.make_trainer(SPACE, X_OBS, steps=40, settings=PACKED, critic=packed(3, small_critic), loss=loss)
    theta, state = trainer.ask(KEY, trainer.init(KEY))
    x = np.array(simulate(KEY, theta))
    x[4, 1] = np.nan  # row 1 of the second pack of the first update
    trainer.tell(state, theta, jnp.asarray(x))
    jax.effects_barrier()
    data = trainer.init(KEY).data
    z = (x - np.asarray(data.shift)) / np.asarray(data.scale)
    assert [[r.shape for r in rows] for rows in seen] == [[(3, 3, 2), (3, 3, 2), (3,)]] * 2
    for rows, packs in zip(seen, ([0, 1, 2], [3, 4, 5]), strict=True):
        # 50 observations: the widest stride is 49 // 2
        np.testing.assert_allclose(rows[0], [data.z[jnp.array([j, j + 24, (j + 48) % 50])] for j in packs], rtol=1e-12)
    np.testing.assert_allclose(seen[1][1].reshape(9, 2), z[9:18], rtol=1e-12)
    assert [rows[2].tolist() for rows in seen] == [[1.0, 0.0, 1.0], [1.0, 1.0, 1.0]]


class PackSum(eqx.Module):
    """d(x_1 .. x_k) = sum of the first entries squared: knows its pack as a whole only."""

    pack: int = eqx.field(static=True)

    def __call__(self, x: Any) -> Any:
        return jnp.sum(x[:, 0]) ** 2


@pytest.mark.parametrize("target", ["point", "population"])
def test_gradient_of_packs_by_hand(target: Any) -> None:
    settings = avo.Settings(pairs=4, target=target)
    rng = np.random.default_rng(6)
    zeta = rng.normal(size=(2, 1)).repeat(2, axis=0) if target == "point" else rng.normal(size=(4, 1))
    z = rng.normal(0.7, 1.3, (8, 1))
    q = avo.Gaussian.start(1, full=False)
    g = _gradient(LOSS, settings, q, PackSum(2), jnp.asarray(zeta), jnp.asarray(z), jnp.ones(8, bool))
    # Packs a+ b+ a- b-; a+ and a- are a group, whose baseline is the mean cost of the other one
    cost = -(z[:, 0].reshape(4, 2).sum(1) ** 2)
    mean_other = np.array([cost[[1, 3]].mean(), cost[[0, 2]].mean()] * 2)
    score = np.concatenate([zeta, -zeta])[:, 0].reshape(4, 2)
    # The score of a pack is that of its one theta, or the sum over its own two
    k = {"point": 1, "population": 2}[target]
    np.testing.assert_allclose(g.loc, [k * np.mean((cost - mean_other)[:, None] * score)], rtol=1e-12)
    if target == "population":
        spread = k * np.mean((cost - mean_other)[:, None] * (score**2 - 1))
        np.testing.assert_allclose(g.log_scale, [spread], rtol=1e-12)


def test_packs_must_fit() -> None:
    for changes in ({"batch": 10}, {"pairs": 4}):
        with pytest.raises(
            ValueError, match=r"critic takes 3 observations at once, so batch and pairs .* multiples of 3"
        ):
            packed_trainer(**changes).init(KEY)
    with pytest.raises(ValueError, match=r"pairs at least 6; .* Pass settings=avo.Settings\(batch=9, pairs=6\)"):
        packed_trainer(pairs=3).init(KEY)  # one group would leave its baseline nothing
    few = avo.make_trainer(SPACE, X_OBS[:2], steps=40, settings=PACKED, critic=packed(3, small_critic))
    with pytest.raises(ValueError, match=r"critic takes 3 observations at once; x_obs has 2"):
        few.init(KEY)


PLAIN = avo.Settings(critic_steps=2, batch=9, pairs=6, gradient="plain", target="population", baseline="none")


def test_plain_draws_are_independent() -> None:
    trainer = avo.make_trainer(SPACE, X_OBS, steps=40, settings=PLAIN, critic=small_critic, loss=LOSS)
    theta, state = trainer.ask(KEY, trainer.init(KEY))
    assert theta.shape == (PLAIN.calls, 3)
    u = np.asarray(state.pending.u)
    np.testing.assert_allclose(u[18:], state.proposal.transform(state.pending.zeta), rtol=1e-14)
    distances = np.abs(u[18:, None] + u[None, 18:]).max(-1)
    assert distances.min() > 1e-3  # nothing is mirrored
    inputs = avo.make_trainer(SPACE, X_OBS, inputs=np.arange(50.0), steps=40, settings=PLAIN, critic=small_critic)
    _, state = inputs.ask(KEY, inputs.init(KEY))
    assert state.pending is not None and state.pending.rows.shape == (PLAIN.calls,)


def test_plain_rows_share_no_random_numbers_and_pairs_do() -> None:
    def noise(key: Any, theta: Any) -> Any:
        return jax.random.normal(key, (theta.shape[0], 1))

    for settings, shared in ((PLAIN, False), (SMALL, True)):
        x = np.asarray(simulate_jax(noise, block_keys(KEY, settings), block_size(settings), jnp.zeros((30, 3))))[:, 0]
        assert (np.array_equal(x[18:24], x[24:])) == shared
        assert np.unique(x).size == (24 if shared else 30)


def test_plain_gradient_and_move_by_hand() -> None:
    zeta = np.array([[0.7], [-1.1], [0.4], [2.3]])
    x = np.array([1.7, -0.3, 0.9, 2.2])
    settings = avo.Settings(pairs=2, gradient="plain", target="population", baseline="none", rate=(0.3, 0.3))

    class Identity(eqx.Module):
        def __call__(self, x: Any) -> Any:
            return x[0]

    q = avo.Gaussian.start(1, loc=0.4, sd=0.5, full=False)
    g = _gradient(LOSS, settings, q, Identity(), jnp.asarray(zeta), jnp.asarray(x)[:, None], jnp.ones(4, bool))
    np.testing.assert_allclose(g.loc, [np.mean(-x * zeta[:, 0]) / 0.5], rtol=1e-12)
    np.testing.assert_allclose(g.log_scale, [np.mean(-x * (zeta[:, 0] ** 2 - 1))], rtol=1e-12)
    trainer = avo.make_trainer(
        avo.Space(a=avo.Real()), np.arange(9.0)[:, None], steps=10, settings=settings, critic=small_critic, proposal=q
    )
    state = trainer.init(KEY)
    moved, _ = _move(avo.Space(a=avo.Real()), settings, state, avo.Gaussian(jnp.array([0.2]), jnp.array([-0.7])), x, x)
    # In psi itself: the spread 0.5 does not shorten the step
    np.testing.assert_allclose([moved.loc[0], moved.log_scale[0]], [0.4 - 0.3 * 0.2, np.log(0.5) + 0.3 * 0.7])


def test_plain_is_for_a_population() -> None:
    with pytest.raises(ValueError, match=r"gradient='plain' learns a proposal's spread too; use target='population'"):
        avo.Settings(gradient="plain")


def test_x_is_shown_as_it_is_where_asked() -> None:
    settings = dataclasses.replace(SMALL, standardize=False)
    data = avo.make_trainer(SPACE, X_OBS, steps=40, settings=settings, critic=small_critic).init(KEY).data
    np.testing.assert_array_equal(np.sort(np.asarray(data.z), axis=0), np.sort(X_OBS, axis=0))
    np.testing.assert_array_equal([data.shift, data.scale], [[0, 0], [1, 1]])


def test_optimisers_by_name() -> None:
    g = np.array([3.0, -0.2, 0.7])
    adam, rms = optimiser(("adam", 0.6, 0.8)), optimiser(("rms", 0.9, 2.5))
    m = v = np.zeros(3)
    square = np.full(3, 2.5)
    adam_state, rms_state = adam.init(jnp.zeros(3)), rms.init(jnp.zeros(3))
    for t in (1, 2, 3):
        m, v, square = 0.6 * m + 0.4 * t * g, 0.8 * v + 0.2 * (t * g) ** 2, 0.9 * square + 0.1 * (t * g) ** 2
        move, adam_state = adam.update(jnp.asarray(t * g), adam_state)
        np.testing.assert_allclose(move, m / (1 - 0.6**t) / np.sqrt(v / (1 - 0.8**t)), rtol=1e-6)
        move, rms_state = rms.update(jnp.asarray(t * g), rms_state)
        np.testing.assert_allclose(move, t * g / np.sqrt(square), rtol=1e-6)
    for words in (("sgd", 0.1), ("adam", 0.5), ("adam", 1.0, 0.9), ("rms", 0.9), ("rms", -0.1, 1.0)):
        with pytest.raises(ValueError, match=r"an optimiser is \('adam', b1, b2\) or \('rms', decay, start\)"):
            avo.Settings(critic_optimiser=words)
    assert avo.Settings(critic_optimiser=["rms", 0.9, 1]) == avo.Settings(critic_optimiser=("rms", 0.9, 1))


def test_plain_gradient_is_that_of_psi() -> None:
    """With all of q's covariance in play and a cost linear in u, against the derivative of its expectation."""
    q = avo.Gaussian(jnp.array([0.3, -0.2]), jnp.array([-1.0, 0.4]), jnp.array([[0.0, 0.0], [1.7, 0.0]]))
    a, n = np.array([1.0, -1.5]), 200_000

    class Slope(eqx.Module):
        def __call__(self, x: Any) -> Any:
            return jnp.sum(jnp.asarray(a) * x)

    settings = avo.Settings(pairs=n // 2, gradient="plain", target="population")
    zeta = jnp.asarray(np.random.default_rng(12).normal(size=(n, 2)))
    g = _gradient(LOSS, settings, q, Slope(), zeta, q.transform(zeta), jnp.ones(n, bool))
    # E[-a . u] = -a . loc: the spread does not matter. Standard error |a . L| |L^-T| sqrt(2 / n)
    reach = np.linalg.norm(a @ np.asarray(q.factor())) * np.linalg.norm(np.linalg.inv(q.factor()))
    np.testing.assert_allclose(g.loc, -a, atol=4 * reach * np.sqrt(2 / n))
    np.testing.assert_allclose(g.log_scale, 0.0, atol=4 * reach * np.sqrt(4 / n))


def test_plain_packs_are_groups() -> None:
    settings = avo.Settings(pairs=4, target="population", gradient="plain")
    rng = np.random.default_rng(13)
    zeta, z = rng.normal(size=(8, 1)), rng.normal(0.7, 1.3, (8, 1))
    q = avo.Gaussian.start(1, sd=1.0, full=False)
    g = _gradient(LOSS, settings, q, PackSum(2), jnp.asarray(zeta), jnp.asarray(z), jnp.ones(8, bool))
    cost = -(z[:, 0].reshape(4, 2).sum(1) ** 2)
    others = (cost.sum() - cost) / 3
    np.testing.assert_allclose(g.loc, [2 * np.mean((cost - others)[:, None] * zeta.reshape(4, 2))], rtol=1e-12)


def test_one_failed_row_fails_its_pack() -> None:
    settings = avo.Settings(pairs=4, baseline="none")
    zeta = jnp.asarray(np.repeat([[0.7], [-1.1]], 2, axis=0))
    z = np.random.default_rng(14).normal(0.7, 1.3, (8, 1))
    whole, half = np.ones(8, bool), np.ones(8, bool)
    whole[[2, 3]], half[2] = False, False
    found = [
        _gradient(LOSS, settings, avo.Gaussian.start(1), PackSum(2), zeta, jnp.asarray(z), jnp.asarray(ok)).loc
        for ok in (whole, half, np.ones(8, bool))
    ]
    np.testing.assert_array_equal(found[0], found[1])
    assert abs(float(found[0][0] - found[2][0])) > 1e-3


@pytest.mark.parametrize(("k", "m"), [(3, 40), (4, 41), (2, 2)])
def test_packs_of_observations_change_and_miss_nobody(k: int, m: int) -> None:
    met = np.asarray(_met(jnp.arange(7 * k * m), k, m)).reshape(-1, k)
    assert all(len(set(pack)) == k for pack in met.tolist())
    np.testing.assert_array_equal(np.bincount(met.ravel(), minlength=m), 7 * k)
    assert len({tuple(pack) for pack in met.tolist()}) == min(7, (m - 1) // (k - 1)) * m
    np.testing.assert_array_equal(_met(jnp.arange(3 * m), 1, m), np.tile(np.arange(m), 3))


def test_each_part_has_its_own_optimiser() -> None:
    """Adam's first step is the rate itself, that of "rms" is not: they are not swapped."""
    q = avo.Gaussian.start(3, sd=0.5, full=False)
    for parts in ({"proposal_optimiser": ("rms", 0.9, 1.0)}, {"critic_optimiser": ("rms", 0.9, 1.0)}):
        settings = dataclasses.replace(PLAIN, rate=(0.1, 0.1), critic_rate=(0.1, 0.1), **parts)
        trainer = avo.make_trainer(
            SPACE, X_OBS, steps=40, settings=settings, critic=small_critic, loss=LOSS, proposal=q
        )
        theta, state = trainer.ask(KEY, trainer.init(KEY))
        after, _ = trainer.tell(state, theta, simulate(KEY, theta))
        moved = np.abs(after.proposal.loc - q.loc)
        assert np.allclose(moved, 0.1, rtol=1e-3) == ("critic_optimiser" in parts)
        bias = np.abs(after.critic.net.net.layers[0].bias - state.critic.net.net.layers[0].bias)
        assert (bias.max() > 0.09) == ("proposal_optimiser" in parts)


def test_critics_that_need_axes_are_refused_beside_inputs() -> None:
    x, c = np.random.default_rng(1).normal(size=(50, 6, 2)), np.arange(50.0)
    for make in (avo.critics.conv1d, avo.critics.gru, avo.critics.deep_sets):
        with pytest.raises(ValueError, match=rf"critic {make.__name__} needs the axes of x, and with inputs"):
            avo.make_trainer(SPACE, x, inputs=c, steps=40, settings=SMALL, critic=make).init(KEY)
    state = avo.make_trainer(SPACE, x, inputs=c, steps=40, settings=SMALL).init(KEY)
    assert state.critic.recipe[:2] == ("mlp", (13,))


def test_critics_that_do_not_fit_are_refused() -> None:
    def trainer(critic: Any) -> Any:
        return avo.make_trainer(SPACE, X_OBS, steps=40, settings=SMALL, critic=critic)

    with pytest.raises(ValueError, match=r"critic must be a module or a function critic\(key, x_shape\)"):
        trainer(lambda x: x.sum())
    with pytest.raises(ValueError, match=r"cannot be applied .* \(2,\): critic mlp was made for x of shape \(5,\)"):
        trainer(mlp(KEY, (5,))).init(KEY)
