"""avo.result: what is saved is what is loaded, and nothing is half-written."""

import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import avo
from avo import critics
from avo.critics import mlp
from avo.result import Result

SPACE = avo.Space(mu=avo.Interval(-3, 5, unit="mV"), rate=avo.LogInterval(0.05, 30.0), tau=avo.Positive(2.5, unit="ms"))
LOC = jnp.array([0.7, -1.2, 0.4])
THETA = np.array([-3 + 8 / (1 + np.exp(-0.7)), 0.05 * 600 ** (1 / (1 + np.exp(1.2))), 2.5 * np.exp(0.4)])


class Quadratic(eqx.Module):
    """A critic that avo does not know."""

    weight: Any

    def __call__(self, x: Any) -> Any:
        return jnp.sum(self.weight * x**2)


def made(critic: Any = None, full: bool = True) -> Result:
    steps = 6
    rng = np.random.default_rng(0)
    lower = jnp.tril(jnp.asarray(rng.normal(size=(3, 3))), -1) if full else None
    return Result(
        space=SPACE,
        proposal=avo.Gaussian(LOC, jnp.array([-1.1, 0.2, -0.6]), lower),
        critic=mlp(jax.random.key(1), (4, 2), width=7, depth=3) if critic is None else critic,
        calls=5376,
        failures={"non-finite": 17},
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
    )


def test_estimate_is_the_constrained_centre() -> None:
    result = made()
    np.testing.assert_allclose(result.theta, THETA, rtol=1e-13)
    assert result.names == ("mu", "rate", "tau")
    assert result.stderr is None


@pytest.mark.parametrize("full", [True, False])
def test_round_trip_is_exact(tmp_path: Path, full: bool) -> None:
    result = made(full=full)
    folder = result.save(tmp_path / "run")
    assert folder == tmp_path / "run"
    back = avo.load(str(folder))
    np.testing.assert_array_equal(back.theta, result.theta)
    assert back.history.keys() == result.history.keys()
    for name, values in result.history.items():
        np.testing.assert_array_equal(back.history[name], values)
    x = jax.random.normal(jax.random.key(2), (4, 2))
    assert float(back.critic(x)) == float(result.critic(x))
    key = jax.random.key(3)
    np.testing.assert_array_equal(back.sample(key, 5), result.sample(key, 5))
    assert (back.proposal.lower is not None) == full
    for name in ("space", "calls", "failures", "status", "message", "x_shape", "settings"):
        assert getattr(back, name) == getattr(result, name), name
    assert back.summary() == result.summary()


def test_files_hold_plain_words_and_arrays(tmp_path: Path) -> None:
    folder = made().save(tmp_path)
    assert sorted(p.name for p in folder.iterdir()) == ["arrays.npz", "result.json"]
    words = json.loads((folder / "result.json").read_text())
    np.testing.assert_allclose([words["theta"][name] for name in SPACE.names], THETA, rtol=1e-13)
    with np.load(folder / "arrays.npz", allow_pickle=False) as arrays:  # a pickled object would raise
        assert all(arrays[name].dtype.kind in "fiu" for name in arrays.files)


def test_a_folder_is_not_overwritten(tmp_path: Path) -> None:
    made().save(tmp_path)
    with pytest.raises(FileExistsError, match=r"already holds a result; choose another folder"):
        made().save(tmp_path)


def test_a_failure_while_writing_leaves_no_half_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: Any, target: Any) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as m:
        m.setattr(os, "replace", refuse)
        with pytest.raises(OSError, match="disk full"):
            made().save(tmp_path)
    assert list(tmp_path.iterdir()) == []
    made().save(tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with monkeypatch.context() as m:
        m.setattr(os, "replace", refuse)
        with pytest.raises(OSError, match="disk full"):
            avo.files.write_json(tmp_path / "result.json", {"status": "failed"})  # type: ignore[attr-defined]
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_a_failure_between_the_files_is_not_a_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace, count = os.replace, iter(range(9))

    def second_fails(source: Any, target: Any) -> None:
        if next(count) == 1:
            raise OSError("disk full")
        replace(source, target)

    with monkeypatch.context() as m:
        m.setattr(os, "replace", second_fails)
        with pytest.raises(OSError, match="disk full"):
            made().save(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"holds no finished result"):
        avo.load(tmp_path)
    made().save(tmp_path)
    np.testing.assert_allclose(avo.load(tmp_path).theta, THETA, rtol=1e-13)


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing holds no finished result \(no result.json\)"):
        avo.load(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("make", "x_shape"),
    [
        (critics.linear, (5,)),
        (critics.logistic, (5,)),
        (partial(critics.mlp, width=7, depth=3), (4, 2)),
        (partial(critics.leaky, slope=0.3), (5,)),
        (partial(critics.conv1d, kernel=3), (9, 2)),
        (critics.conv2d, (6, 5)),
        (partial(critics.gru, width=5), (6, 2)),
        (critics.deep_sets, (6, 2)),
        (partial(critics.lipschitz, width=9, depth=2), (5,)),
        (critics.packed(3), (5,)),
        (critics.packed(2, critics.conv1d), (9,)),
    ],
)
def test_every_built_in_critic_is_read_without_like(make: Any, x_shape: tuple[int, ...], tmp_path: Path) -> None:
    critic = make(jax.random.key(3), x_shape)
    back = avo.load(made(critic=critic).save(tmp_path)).critic
    shape = x_shape if critic.pack == 1 else (critic.pack, *x_shape)
    x = jax.random.normal(jax.random.key(4), shape)
    assert float(back(x)) == float(critic(x))
    assert back.pack == critic.pack


def test_results_of_version_0_1_0_are_read(tmp_path: Path) -> None:
    folder = made().save(tmp_path)
    words = json.loads((folder / "result.json").read_text())
    words["critic"] = {"size": 8, "width": 7, "depth": 3}
    (folder / "result.json").write_text(json.dumps(words))
    x = jax.random.normal(jax.random.key(5), (4, 2))
    assert float(avo.load(folder).critic(x.ravel())) == float(made().critic(x))


def test_custom_critic_needs_like(tmp_path: Path) -> None:
    weight = jnp.array([[0.5, -1.0]] * 4)
    folder = made(critic=Quadratic(weight)).save(tmp_path)
    with pytest.raises(ValueError, match=r"this fit used a custom critic; pass like="):
        avo.load(folder)
    back = avo.load(folder, like=Quadratic(jnp.zeros((4, 2))))
    np.testing.assert_array_equal(back.critic.weight, weight)
    np.testing.assert_array_equal(avo.load(folder, like=(None, Quadratic(jnp.zeros((4, 2))))).critic.weight, weight)
    with pytest.raises(
        ValueError, match=r"saved critic has arrays of shape \[\(4, 2\)\]; the one to fill has \[\(3,\)\]"
    ):
        avo.load(folder, like=Quadratic(jnp.zeros(3)))


def test_summary() -> None:
    lines = made().summary().splitlines()
    assert lines[0].split() == ["parameter", "estimate", "unit"]
    for line, name, value, unit in zip(lines[1:], SPACE.names, THETA, ["mV", "", "ms"], strict=False):
        assert line.split() == [name, f"{value:.5g}", *([unit] if unit else [])]
    assert lines[-2] == "budget: mu still moved at the end of 6 steps; a larger budget may help."
    assert lines[-1] == "5,376 simulator calls, 17 non-finite"


def test_summary_beside_the_truth() -> None:
    lines = made().summary(np.array([1.5, 0.123456789, 2.75])).splitlines()
    assert lines[0].split() == ["parameter", "estimate", "truth", "unit"]
    assert [line.split()[2] for line in lines[1:4]] == ["1.5", "0.12346", "2.75"]
    assert lines[1].split()[3] == "mV"


def test_samples_lie_inside_the_space_around_the_estimate() -> None:
    result = made(full=False)
    theta = np.asarray(result.sample(jax.random.key(4), 4000))
    assert theta.shape == (4000, 3)
    for column, parameter in zip(theta.T, SPACE, strict=True):
        low, high = parameter.support
        assert low < column.min() and column.max() < high
    u = np.asarray(SPACE.unconstrain(theta))
    sd = np.exp([-1.1, 0.2, -0.6])
    # Four standard errors of 4000 draws
    assert np.all(np.abs(u.mean(0) - LOC) < 4 * sd / np.sqrt(4000))
    assert np.all(np.abs(u.std(0) / sd - 1) < 4 / np.sqrt(8000))
