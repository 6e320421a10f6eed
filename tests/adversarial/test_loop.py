"""avo.adversarial.loop: compiled or by hand, the same steps."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from helpers import KEY, LOSS, PLAIN, SMALL, SPACE, X_OBS, Fit, small_critic, two_numbers

import avo
from avo.adversarial.loop import block_keys, block_size
from avo.execution.blocks import simulate_jax


def test_plain_loop_equals_the_compiled_one_and_averages_late_steps() -> None:
    steps, seed = 40, 5
    options: dict[str, Any] = dict(settings=SMALL, critic=small_critic, loss=LOSS, refine=False, progress=False)
    result = avo.fit(two_numbers, X_OBS, SPACE, budget=steps * SMALL.calls, seed=seed, **options)
    loop = Fit(SPACE, X_OBS, SMALL, steps)
    key_init, key_run = jax.random.split(jax.random.key(seed))
    state, u = loop.trainer.init(key_init), []
    rows = jax.jit(lambda key, theta: simulate_jax(two_numbers, block_keys(key, SMALL), block_size(SMALL), theta))
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
    a, b, c = (avo.fit(two_numbers, X_OBS, SPACE, seed=seed, **options) for seed in (5, 5, 6))
    for name, values in a.history.items():
        np.testing.assert_array_equal(values, b.history[name])
    assert not np.array_equal(a.theta, c.theta)


def test_plain_rows_share_no_random_numbers_and_pairs_do() -> None:
    def noise(key: Any, theta: Any) -> Any:
        return jax.random.normal(key, (theta.shape[0], 1))

    for settings, shared in ((PLAIN, False), (SMALL, True)):
        x = np.asarray(simulate_jax(noise, block_keys(KEY, settings), block_size(settings), jnp.zeros((30, 3))))[:, 0]
        assert (np.array_equal(x[18:24], x[24:])) == shared
        assert np.unique(x).size == (24 if shared else 30)
