import jax
import numpy as np
import pytest

import avo
from avo.sizes import by_rows, padded, power_of_four

SPACE = avo.Space(m=avo.Interval(-3, 5), s=avo.LogInterval(0.1, 10))


@pytest.mark.parametrize("n,least,expected", [(0, 16, 16), (16, 16, 16), (17, 16, 64), (4097, 1, 16_384)])
def test_powers_of_four(n: int, least: int, expected: int) -> None:
    assert power_of_four(n, least) == expected


def test_padding_changes_no_row() -> None:
    rows = np.arange(14.0).reshape(7, 2) - 3.3
    np.testing.assert_array_equal(padded(rows, 16)[:7], rows)
    assert not padded(rows, 16)[7:].any() and np.isnan(padded(rows, 16, np.nan)[7:]).all()
    np.testing.assert_array_equal(by_rows(SPACE.constrain, rows), SPACE.constrain(rows))


def gaussian(key: jax.Array, theta: jax.Array) -> jax.Array:
    return theta[:, :1] + theta[:, 1:] * jax.random.normal(key, (len(theta), 3))


def test_the_next_data_set_seed_and_budget_need_no_programs_of_their_own(caplog: pytest.LogCaptureFixture) -> None:
    """No loop of critic and proposal, no simulator, no features and no network is compiled anew."""

    def fit(m: int, budget: int, seed: int) -> avo.Result:
        x = np.random.default_rng(seed).normal(1.0, 0.7, (m, 3))
        return avo.fit(gaussian, x, SPACE, budget=budget, seed=seed, progress=False)

    assert fit(300, 3000, 0).estimate is not None
    with jax.log_compiles():
        found = fit(431, 3300, 1)
    assert found.estimate is not None and np.all(np.abs(found.theta - [1.0, 0.7]) < 5 * found.estimate.stderr(SPACE))
    programs = [record.message.split()[1] for record in caplog.records if record.message.startswith("Compiling jit(")]
    assert not {"jit(run)", "jit(_uniform)", "jit(_normal)", "jit(gaussian)", "jit(sigmoid)"} & set(programs), programs
    assert len(programs) < 10, programs  # the rest are slices of a few numbers
