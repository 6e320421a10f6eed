"""avo.adversarial.sampling: mirrored pairs and plain draws, their gradients and their moves."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from helpers import KEY, LOSS, PLAIN, SMALL, SPACE, X_OBS, First, gradient, small_critic

import avo
from avo.adversarial.sampling import Paired
from avo.adversarial.targets import target_of


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


def test_plain_gradient_and_move_by_hand() -> None:
    zeta = np.array([[0.7], [-1.1], [0.4], [2.3]])
    x = np.array([1.7, -0.3, 0.9, 2.2])
    settings = avo.Settings(pairs=2, gradient="plain", target="population", baseline="none", rate=(0.3, 0.3))

    q = avo.Gaussian.start(1, loc=0.4, sd=0.5, full=False)
    g = gradient(settings, q, First(), jnp.asarray(zeta), jnp.asarray(x)[:, None], jnp.ones(4, bool))
    np.testing.assert_allclose(g.loc, [np.mean(-x * zeta[:, 0]) / 0.5], rtol=1e-12)
    np.testing.assert_allclose(g.log_scale, [np.mean(-x * (zeta[:, 0] ** 2 - 1))], rtol=1e-12)
    trainer = avo.make_trainer(
        avo.Space(a=avo.Real()), np.arange(9.0)[:, None], steps=10, settings=settings, critic=small_critic, proposal=q
    )
    state = trainer.init(KEY)
    push = avo.Gaussian(jnp.array([0.2]), jnp.array([-0.7]))
    moved: Any = target_of(avo.Space(a=avo.Real()), settings).move(state, push, x, x)[0]
    # In psi itself: the spread 0.5 does not shorten the step
    np.testing.assert_allclose([moved.loc[0], moved.log_scale[0]], [0.4 - 0.3 * 0.2, np.log(0.5) + 0.3 * 0.7])


def test_plain_gradient_is_that_of_psi() -> None:
    """With all of q's covariance in play and a cost linear in u, against the derivative of its expectation."""
    q = avo.Gaussian(jnp.array([0.3, -0.2]), jnp.array([-1.0, 0.4]), jnp.array([[0.0, 0.0], [1.7, 0.0]]))
    a, n = np.array([1.0, -1.5]), 200_000

    class Slope(eqx.Module):
        def __call__(self, x: Any) -> Any:
            return jnp.sum(jnp.asarray(a) * x)

    settings = avo.Settings(pairs=n // 2, gradient="plain", target="population")
    zeta = jnp.asarray(np.random.default_rng(12).normal(size=(n, 2)))
    g = gradient(settings, q, Slope(), zeta, q.transform(zeta), jnp.ones(n, bool))
    # E[-a . u] = -a . loc: the spread does not matter. Standard error |a . L| |L^-T| sqrt(2 / n)
    reach = np.linalg.norm(a @ np.asarray(q.factor())) * np.linalg.norm(np.linalg.inv(q.factor()))
    np.testing.assert_allclose(g.loc, -a, atol=4 * reach * np.sqrt(2 / n))
    np.testing.assert_allclose(g.log_scale, 0.0, atol=4 * reach * np.sqrt(4 / n))


def test_pairs_without_blocks_have_lengths_of_their_own() -> None:
    key = jax.random.key(2)
    lengths = [np.linalg.norm(Paired(5, blocks=blocks).draw(key, 5), axis=1) for blocks in (True, False)]
    np.testing.assert_allclose(lengths[0], lengths[0][0])  # which leaves nothing of the gradient for their spread
    assert np.ptp(lengths[1]) > 0.5
