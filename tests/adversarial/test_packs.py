"""avo.adversarial.packs: critics that take several observations at once."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import KEY, LOSS, SPACE, X_OBS, PackSum, gradient, small_critic, two_numbers

import avo
from avo.adversarial.packs import met
from avo.critics import Loss, packed

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
    x = np.array(two_numbers(KEY, theta))
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


@pytest.mark.parametrize("target", ["point", "population"])
def test_gradient_of_packs_by_hand(target: Any) -> None:
    settings = avo.Settings(pairs=4, target=target)
    rng = np.random.default_rng(6)
    zeta = rng.normal(size=(2, 1)).repeat(2, axis=0) if target == "point" else rng.normal(size=(4, 1))
    z = rng.normal(0.7, 1.3, (8, 1))
    q = avo.Gaussian.start(1, full=False)
    g = gradient(settings, q, PackSum(2), jnp.asarray(zeta), jnp.asarray(z), jnp.ones(8, bool))
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


def test_plain_packs_are_groups() -> None:
    settings = avo.Settings(pairs=4, target="population", gradient="plain")
    rng = np.random.default_rng(13)
    zeta, z = rng.normal(size=(8, 1)), rng.normal(0.7, 1.3, (8, 1))
    q = avo.Gaussian.start(1, sd=1.0, full=False)
    g = gradient(settings, q, PackSum(2), jnp.asarray(zeta), jnp.asarray(z), jnp.ones(8, bool))
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
        gradient(settings, avo.Gaussian.start(1), PackSum(2), zeta, jnp.asarray(z), jnp.asarray(ok)).loc
        for ok in (whole, half, np.ones(8, bool))
    ]
    np.testing.assert_array_equal(found[0], found[1])
    assert abs(float(found[0][0] - found[2][0])) > 1e-3


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


@pytest.mark.parametrize(("k", "m"), [(3, 40), (4, 41), (2, 2)])
def test_packs_of_observations_change_and_miss_nobody(k: int, m: int) -> None:
    seen = np.asarray(met(jnp.arange(7 * k * m), k, m)).reshape(-1, k)
    assert all(len(set(pack)) == k for pack in seen.tolist())
    np.testing.assert_array_equal(np.bincount(seen.ravel(), minlength=m), 7 * k)
    assert len({tuple(pack) for pack in seen.tolist()}) == min(7, (m - 1) // (k - 1)) * m
    np.testing.assert_array_equal(met(jnp.arange(3 * m), 1, m), np.tile(np.arange(m), 3))
