"""avo.adversarial.trainer: what a step asks for, what it makes of failures, and where many steps end."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import KEY, LOSS, PLAIN, SMALL, SPACE, X_OBS, First, Fit, gradient, same, small_critic, two_numbers

import avo
from avo.adversarial import trainer
from avo.adversarial.targets import target_of
from avo.critics import Loss, mlp


@pytest.fixture(scope="module")
def small() -> Fit:
    return Fit(SPACE, X_OBS, SMALL, 40)


def test_a_second_pass_is_a_second_update_on_the_same_simulations() -> None:
    """Told the same 9 rows twice, two updates of one pass end where two passes end: critic, proposal, everything."""
    twice, passes = (Fit(SPACE, X_OBS, dataclasses.replace(SMALL, **changes), 40) for changes in
                     ({"critic_steps": 2}, {"critic_steps": 1, "passes": 2}))  # fmt: skip
    theta, state = passes.ask(KEY, passes.trainer.init(KEY))
    assert len(theta) == 9 + 2 * 6  # no call more than with one pass
    x = two_numbers(jax.random.key(5), theta)
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


def test_what_the_critic_watches_and_what_the_gradient_is_made_of_are_independent() -> None:
    """As many rows of either, whose numbers would be the same if their keys were: 900 pairs of numbers."""
    settings = dataclasses.replace(PLAIN, critic_steps=1, batch=300, pairs=150)
    state = avo.make_trainer(SPACE, X_OBS, steps=40, settings=settings, critic=small_critic, loss=LOSS).init(KEY)
    _, state = trainer._ask(SPACE, target_of(SPACE, settings), KEY, state)
    u = np.asarray(state.pending.u)
    watched, drawn = u[:300], u[300:]
    np.testing.assert_allclose([watched.std(), drawn.std()], 1.5, rtol=4 / np.sqrt(2 * 900))
    assert abs(np.corrcoef(watched.ravel(), drawn.ravel())[0, 1]) < 4 / np.sqrt(900)


def test_same_key_same_bits(small: Fit) -> None:
    a, _ = small.run(two_numbers, 3)
    b, _ = small.run(two_numbers, 3)
    c, _ = small.run(two_numbers, 3, jax.random.key(4))
    assert same(a, b)
    assert not same(a.proposal, c.proposal)


def test_steps_are_counted(small: Fit) -> None:
    state, infos = small.run(two_numbers, 3)
    assert int(state.step) == 3 and int(state.horizon) == 40
    assert state.pending is None
    assert [int(info.failed) for info in infos] == [0, 0, 0]


def test_rows_that_are_not_finite_are_left_out_whatever_they_hold(small: Fit) -> None:
    theta, state = small.ask(KEY, small.trainer.init(KEY))
    x = np.array(two_numbers(KEY, theta))
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
    settings = avo.Settings(pairs=4, baseline="none")
    zeta = np.array([[0.7], [-1.1], [0.4], [2.3]])
    ok = np.ones(8, bool)
    ok[failing] = False
    x = np.zeros(8)
    valid = np.flatnonzero(ok)
    x[valid[:2]] = [-1.0, 1.0]
    expected = np.where(ok, -x, cost) @ np.concatenate([zeta, -zeta])[:, 0] / 8
    x[failing] = 1e6  # what a failed row holds is never looked at
    g = gradient(settings, avo.Gaussian.start(1), First(), zeta, jnp.asarray(x)[:, None], jnp.asarray(ok))
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


def test_inputs_are_standardised_and_stay_with_their_observation() -> None:
    c = np.random.default_rng(4).normal(30.0, 7.0, (50, 1))
    x = np.concatenate([2.0 * c, -c], axis=1)
    space = avo.Space(a=avo.Real())
    data = avo.make_trainer(space, x, steps=10, inputs=c, critic=small_critic, loss=LOSS).init(KEY).data
    z, known = np.asarray(data.z)[: data.m], np.asarray(data.inputs)[: data.m]
    np.testing.assert_allclose(z.mean(0), 0.0, atol=1e-12)
    np.testing.assert_allclose(z.std(0), 1.0, rtol=1e-12)
    np.testing.assert_allclose(z[:, 0], z[:, 1], rtol=1e-9)
    np.testing.assert_allclose(z[:, 0], (known[:, 0] - c.mean()) / c.std(), rtol=1e-9)
    assert not np.array_equal(known, c)  # shuffled: the order of a file may mean something


def test_x_is_shown_as_it_is_where_asked() -> None:
    settings = dataclasses.replace(SMALL, standardize=False)
    data = avo.make_trainer(SPACE, X_OBS, steps=40, settings=settings, critic=small_critic).init(KEY).data
    np.testing.assert_array_equal(np.sort(np.asarray(data.z)[: data.m], axis=0), np.sort(X_OBS, axis=0))
    np.testing.assert_array_equal([data.shift, data.scale], [[0, 0], [1, 1]])


def test_a_given_proposal_keeps_its_place_and_width() -> None:
    start = avo.Gaussian.start(3, loc=jnp.array([4.5, -0.2, 0.1]), sd=0.05)  # beyond the first reach of 3
    trainer = avo.make_trainer(SPACE, X_OBS, steps=1000, critic=small_critic, loss=LOSS, proposal=start)
    theta, state = trainer.ask(KEY, trainer.init(KEY))
    state, info = trainer.tell(state, theta, two_numbers(jax.random.key(8), theta))
    assert float(info.sd.max()) <= 0.05 * 1.001
    np.testing.assert_allclose(state.proposal.loc, start.loc, atol=0.1 * 0.05 * math.sqrt(3) * 1.01)


def test_each_part_has_its_own_optimiser() -> None:
    """Adam's first step is the rate itself, that of "rms" is not: they are not swapped."""
    q = avo.Gaussian.start(3, sd=0.5, full=False)
    for parts in ({"proposal_optimiser": ("rms", 0.9, 1.0)}, {"critic_optimiser": ("rms", 0.9, 1.0)}):
        settings = dataclasses.replace(PLAIN, rate=(0.1, 0.1), critic_rate=(0.1, 0.1), **parts)
        trainer = avo.make_trainer(
            SPACE, X_OBS, steps=40, settings=settings, critic=small_critic, loss=LOSS, proposal=q
        )
        theta, state = trainer.ask(KEY, trainer.init(KEY))
        after, _ = trainer.tell(state, theta, two_numbers(KEY, theta))
        moved = np.abs(after.proposal.loc - q.loc)
        assert np.allclose(moved, 0.1, rtol=1e-3) == ("critic_optimiser" in parts)
        bias = np.abs(after.critic.net.net.layers[0].bias - state.critic.net.net.layers[0].bias)
        assert (bias.max() > 0.09) == ("proposal_optimiser" in parts)


def test_critics_that_need_axes_are_refused_beside_inputs() -> None:
    x, c = np.random.default_rng(1).normal(size=(50, 6, 2)), np.arange(50.0)
    for make in (avo.critics.conv1d, avo.critics.gru, avo.critics.lstm, avo.critics.deep_sets):
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


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"space": 3}, r"^space must be an avo\.Space, .* got 3\."),
        ({"x_obs": np.full((9, 2), np.nan)}, r"^x_obs must hold finite numbers; x_obs\[0, 0\] is nan"),
        ({"steps": 0}, r"^steps must be a whole number of at least 1; got 0\."),
        ({"steps": -1}, r"^steps must be a whole number of at least 1; got -1\."),
        ({"steps": 2.5}, r"^steps must be a whole number of at least 1; got 2\.5\."),
        ({"settings": "a"}, r"^settings must be avo\.Settings\(\.\.\.\); got 'a'\."),
        ({"inputs": np.ones((3, 1))}, r"^inputs must have one row per observation: x_obs has \d+, inputs 3\."),
    ],
)
def test_make_trainer_refuses(changes: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        avo.make_trainer(**({"space": SPACE, "x_obs": X_OBS, "steps": 40} | changes))


def test_tell_refuses_other_rows_and_a_second_time(small: Fit) -> None:
    theta, state = small.ask(KEY, small.trainer.init(KEY))
    x = two_numbers(jax.random.key(5), theta)
    for name, given in (("theta", (theta[1:], x)), ("x", (theta, x[1:])), ("x", (theta, x[:, :1]))):
        with pytest.raises(
            ValueError, match=rf"^tell: {name} must have a row for each theta that ask gave, shape \(30, "
        ):
            small.tell(state, *given)
    state, _ = small.tell(state, theta, x)
    with pytest.raises(ValueError, match=r"^tell needs the state that ask returned, once; ask again before the next"):
        small.tell(state, theta, x)
