"""avo.result: what is saved is what is loaded, and nothing is half-written."""

import copy
import json
import os
import struct
import zipfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from results import LOC, SPACE, THETA, made, refined

import avo
from avo import critics
from avo.folder import FORMAT, read_arrays, write_arrays, write_json
from avo.refine.estimate import Neighbours
from avo.refine.modes import Mode


class Quadratic(eqx.Module):
    """A critic that avo does not know."""

    weight: Any

    def __call__(self, x: Any) -> Any:
        return jnp.sum(self.weight * x**2)


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
    for name in ("space", "calls", "failures", "status", "message", "x_shape", "settings", "seed", "data"):
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
    (tmp_path / "mine").mkdir()
    np.savez(tmp_path / "mine" / "arrays.npz", own=np.arange(3))
    with pytest.raises(FileExistsError, match=r"already holds another arrays.npz; choose another folder"):
        made().save(tmp_path / "mine")
    np.testing.assert_array_equal(np.load(tmp_path / "mine" / "arrays.npz")["own"], np.arange(3))


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
            write_json(tmp_path / "result.json", {"status": "failed"})
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
        (partial(critics.lenet, width=3), (6, 5)),
        (partial(critics.gru, width=5), (6, 2)),
        (partial(critics.lstm, width=4), (6, 2)),
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


@pytest.mark.parametrize(("found", "words"), [(1, "format 1 by avo 9.1"), (None, "no format number")])
def test_a_format_that_is_not_known_is_refused(found: int | None, words: str, tmp_path: Path) -> None:
    folder = made().save(tmp_path)
    told = json.loads((folder / "result.json").read_text())
    assert told["format"] == FORMAT == 3 and told["avo"] == avo.__version__
    assert (told["seed"], told["data"]) == (11, "5e1f")
    told = {k: v for k, v in told.items() if k != "format"} | ({} if found is None else {"format": found, "avo": "9.1"})
    (folder / "result.json").write_text(json.dumps(told))
    with pytest.raises(
        ValueError, match=rf"result.json has {words}; avo {avo.__version__} reads format {FORMAT}. Read it by"
    ):
        avo.load(folder)


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
    assert lines[-1] == "5,376 simulator calls, of which failed: 17 non-finite"


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


# --- refined results -------------------------------------------------------------------------------------------------


def test_modes_are_words(tmp_path: Path) -> None:
    other = Mode(("mu", "rate", "tau"), np.array([1.0, 2.5, 0.3]), np.array([0.1, np.inf, 0.2]), 0.25)
    result = replace(refined("point", False), elsewhere=(other,))
    folder = result.save(tmp_path)
    words = json.loads((folder / "result.json").read_text())
    assert words["modes"][0]["theta"] == dict(zip(SPACE.names, result.theta.tolist(), strict=True))
    assert words["modes"][1] == {
        "theta": {"mu": 1.0, "rate": 2.5, "tau": 0.3}, "stderr": {"mu": 0.1, "rate": None, "tau": 0.2}, "p_value": 0.25
    }  # fmt: skip
    assert "another solution: mu = 1.00 +- 0.10, rate open, tau = 0.30 +- 0.20, p = 0.25" in result.summary()
    for one, again in zip(avo.load(folder).modes, result.modes, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))


def edited(word: str, value: Any) -> Any:
    """Change a word of result.json, as somebody might by hand."""

    def edit(folder: Path) -> None:
        words = json.loads((folder / "result.json").read_text())
        assert word in words and words[word] != value
        (folder / "result.json").write_text(json.dumps(words | {word: value}))

    return edit


def exchanged(folder: Path) -> None:
    """Put another result's arrays in the place of this one's."""
    other = replace(made(), calls=3).save(folder / "other")
    arrays = read_arrays(other / "arrays.npz")
    write_arrays(folder / "arrays.npz", arrays | {"proposal.0": arrays["proposal.0"] + 1.0})


def inflated(folder: Path) -> None:
    """Make arrays.npz an archive that would take far more memory than disk."""
    with zipfile.ZipFile(folder / "arrays.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("proposal.0.npy", "w", force_zip64=True) as entry:
            for _ in range(64):
                entry.write(bytes(2**20))
    # The archive says of itself that it is a thousand times as large
    content = (folder / "arrays.npz").read_bytes()
    size = struct.pack("<I", 64 * 2**20)
    assert size in content
    (folder / "arrays.npz").write_bytes(content.replace(size, struct.pack("<I", 2**32 - 2)))


@pytest.mark.parametrize(
    "damage",
    [edited("status", "great"), edited("calls", None), edited("message", ""), edited("seed", 12),
     edited("theta", {"mu": 9.0}), edited("space", [{"name": "mu", "kind": "Real", "unit": ""}]), exchanged, inflated],
    ids=["status", "calls", "message", "seed", "theta", "space", "exchanged", "inflated"],
)  # fmt: skip
def test_a_file_that_was_edited_or_exchanged_is_refused(damage: Any, tmp_path: Path) -> None:
    folder = made().save(tmp_path)
    damage(folder)
    with pytest.raises(
        ValueError, match=r"(result\.json|arrays\.npz) is damaged, or was edited; delete it or its folder"
    ):
        avo.load(folder)


def test_sizes_are_looked_at_before_memory_is_taken(tmp_path: Path) -> None:
    inflated(tmp_path)
    with pytest.raises(ValueError, match="is damaged, or was edited"):
        read_arrays(tmp_path / "arrays.npz")


@pytest.mark.parametrize("target", ["point", "population"])
@pytest.mark.parametrize("inputs", [False, True])
def test_round_trip_of_a_refined_result_is_exact(tmp_path: Path, target: str, inputs: bool) -> None:
    result = refined(target, inputs)
    back = avo.load(result.save(tmp_path))
    rng = np.random.default_rng(2)
    x, c = rng.normal(size=(5, 4, 2)), rng.normal(size=(5, 1)) if inputs else None
    np.testing.assert_array_equal(back.stderr, result.stderr)
    np.testing.assert_array_equal(back.interval(0.8), result.interval(0.8))
    np.testing.assert_array_equal(back.encode(x, c), result.encode(x, c))
    np.testing.assert_array_equal(back.view(x, c), result.view(x, c))
    assert len(back.modes) == (1 if target == "point" else 0)
    key = jax.random.key(3)
    np.testing.assert_array_equal(back.replicate(key, 4), result.replicate(key, 4))
    np.testing.assert_array_equal(back.central(key, 4), result.central(key, 4))
    assert str(back.identifiability()) == str(result.identifiability())
    assert back.summary() == result.summary()
    if target == "population":
        assert result.population is not None and back.population is not None
        np.testing.assert_array_equal(back.population.theta.sd_stderr, result.population.theta.sd_stderr)
    else:
        assert result.population is back.population is None
        np.testing.assert_allclose(result.central(key, 3), np.tile(THETA, (3, 1)), rtol=1e-12)


def test_view_is_that_of_the_critic() -> None:
    x, c = np.ones((2, 4, 2)), np.array([[1.0], [4.0]])
    np.testing.assert_allclose(refined().view(x), np.full((2, 4, 2), 0.5 / 3))
    expected = np.concatenate([[[0.0], [1.5]], np.full((2, 8), 0.5 / 3)], axis=1)
    np.testing.assert_allclose(refined(inputs=True).view(x, c), expected)


def test_results_without_an_estimate_are_read(tmp_path: Path) -> None:
    back = avo.load(replace(refined(), estimate=None).save(tmp_path))
    assert back.stderr is None
    np.testing.assert_array_equal(back.theta, made().theta)
    np.testing.assert_allclose(back.view(np.ones((2, 4, 2))), np.full((2, 4, 2), 0.5 / 3))
    with pytest.raises(ValueError, match=r"encode needs a fit with refine=True that found a solution"):
        back.encode(np.zeros((1, 4, 2)))


@pytest.mark.parametrize("level", [0, 1, 90, -0.1, "90%", None])
def test_levels_are_fractions(level: Any) -> None:
    with pytest.raises(ValueError, match=r"level must be a number in \(0, 1\); got"):
        refined().interval(level)


def test_summary_of_a_refined_result() -> None:
    lines = refined().summary().splitlines()
    assert lines[0].split() == ["parameter", "estimate", "stderr", "5", "%", "95", "%", "unit"]
    stderr = refined().stderr
    assert stderr is not None and round(stderr[0], 3) == 0.063
    # To two digits of the error
    low, high = refined().interval(0.9)[0]
    assert lines[1].split() == ["mu", f"{THETA[0]:.3f}", "0.063", f"{low:.3f}", f"{high:.3f}", "mV"]
    assert "+-" in refined("population").summary().splitlines()[0]
    loose = refined()
    loose = replace(
        loose, estimate=replace(loose.estimate, identified=np.array([True, True, False]), values=np.array([9, 9, 0.0]))
    )
    assert "warning: tau has no visible effect on x" in loose.summary()
    hidden = replace(loose, estimate=replace(loose.estimate, hidden=True)).summary()
    assert "tau is not identified by so few simulations, though x responds to it" in hidden
    assert "no visible effect" not in hidden


def test_summary_writes_a_limit_where_an_interval_ends_at_a_bound() -> None:
    """mu in (-3, 5) half a unit below its upper end, rate in (.05, 30) just above its lower one."""
    result = refined()
    loc = np.asarray(SPACE.unconstrain([4.5, 0.06, 1.0]))
    sd = np.array([0.3, 0.2, 0.02])
    estimate = replace(result.estimate, loc=loc, covariance=np.diag(sd**2), freedom=10**6)
    told = replace(result, estimate=estimate)
    high = 0.06 * np.exp(1.6449 * 0.2 * np.log(600) / 4)
    rows = {line.split()[0]: line for line in told.summary().splitlines() if line}
    low, end = told.interval(0.9)[1]
    np.testing.assert_allclose([low, end], [0.05, high], rtol=1e-4)
    assert rows["rate"].split()[2:] == ["0.019", "<", f"{high:.3f}"]
    assert rows["mu"].split()[2:] == ["0.60", ">", f"{4.5 - 1.6449 * 0.6:.2f}", "mV"]
    assert "<" not in rows["tau"] and ">" not in rows["tau"]


def test_summary_of_a_population_has_correlations_and_no_number_for_what_is_not_known() -> None:
    result = refined("population")
    spread = np.array([[0.3, 0.2, 0.0], [0.2, 0.2, 0.0], [0.0, 0.0, 0.1]])
    covariance = np.diag([1e-3, 1e-3, 2.25, *[1e-5] * 6])
    estimate = replace(
        result.estimate, population_covariance=spread, covariance=covariance, identified=np.array([True, True, False])
    )
    told = replace(result, estimate=estimate).summary()
    rho = 0.2 / np.sqrt(0.06)
    assert f"correlation of mu and rate: {rho:+.2f} +- 0.0" in told and told.count("correlation") == 1
    row = next(line for line in told.splitlines() if line.startswith("tau"))
    assert " inf " in row and "< inf" in row and "nan" not in told


def test_summary_warns_at_a_bound_and_where_no_population_fits() -> None:
    assert "warning" not in made().summary()
    result = made()
    at = replace(result, proposal=eqx.tree_at(lambda q: q.loc, result.proposal, jnp.array([4.0, -5.0, 9.0])))
    assert at.at_bound == ("mu", "rate")
    inside = replace(result, proposal=eqx.tree_at(lambda q: q.loc, result.proposal, jnp.array([-2.99, 3.01, -9.0])))
    assert inside.at_bound == ("rate",)
    assert (
        "warning: mu lies at the upper end of its range, 4.856 of 5; where values beyond it make sense, widen the"
        in at.summary()
    )
    assert "warning: rate lies at the lower end of its range, 0.05219 of 0.05;" in at.summary()
    assert "tau lies" not in at.summary()
    fitted = refined("population")
    encoded = np.array([[0.44, 1.0, 1.0], [0.74, 1.1, 1.1], [-8.0, 4.9, -4.9]])
    told = replace(fitted, estimate=replace(fitted.estimate, encoded=encoded)).summary()
    assert told.count("spreads by") == 1
    assert "E[mu | x] spreads by 0.44 over the observations and by 0.74 over simulations at the fit" in told


def test_summary_warns_of_rows_that_depend_on_one_another() -> None:
    """By the parameter whose error they widen most; neither chance nor what makes errors too large is told."""
    rows = Neighbours(*np.array([[0.8, 0.3, 0.9], [1, 4, 1], [2.94, 3.06, 5.0], [0.0, 1e-6, 0.3]]))
    result = refined()
    told = lambda rows: replace(result, estimate=replace(result.estimate, neighbours=rows)).summary()  # noqa: E731
    words = "warning: errors assume independent rows, but rows 4 apart correlate 0.30 in what they say of rate, whose "
    assert words + "error would then be 3.1 times as large; unless the rows were sorted, pass groups=" in told(rows)
    words = "but neighbouring rows correlate 0.80 in what they say of mu, whose error would then be 2.9 times"
    assert words in told(rows._replace(p_value=np.array([0.0, 2e-4, 0.3])))
    assert "warning" not in told(rows._replace(p_value=np.full(3, 2e-4)))
    assert "warning" not in told(rows._replace(widening=np.full(3, 0.9))) and "warning" not in told(None)
    result = replace(result, estimate=replace(result.estimate, covariance=np.diag([1e-3, 9.0, 1e-3])))
    assert words in told(rows)  # where an error is infinite nothing widens it


@pytest.mark.parametrize("status", ["converged", "undetermined", "misfit", "budget", "stopped", "failed"])
def test_what_is_an_answer(status: Any) -> None:
    result = replace(refined(), status=status)
    assert result.answered == (status in ("converged", "undetermined"))
    blind = replace(result, estimate=replace(result.estimate, covariance=9 * np.eye(3)))  # sd 3 in w: not identified
    assert blind.stderr is not None and np.isinf(blind.stderr).all()
    assert blind.answered == (status == "converged")
    assert not replace(result, estimate=None, status="budget").answered


@pytest.mark.parametrize("truth", [[1.0, 2.0], [1.0, 2.0, 3.0, 4.0], 3.0])
def test_a_truth_has_one_value_for_each_parameter(truth: Any) -> None:
    with pytest.raises(ValueError, match=r"truth must have one value for each of mu, rate, tau, shape \(3,\); got"):
        made().summary(truth)


def test_encode_stays_in_the_support_and_refuses_what_it_cannot_read() -> None:
    result, rng = refined(inputs=True), np.random.default_rng(5)
    x, c = 1e3 * rng.normal(size=(50, 4, 2)), rng.normal(size=(50, 1))
    theta = result.encode(x, c)
    low, high = np.array([p.support for p in SPACE]).T
    assert np.all((theta >= low) & (theta <= high)) and np.any(theta == low) and np.any(theta == high)
    assert result.encode(x[:1], c[:1]).shape == (1, 3)
    for bad, given, words in (
        (np.where(x > 1e3, np.nan, x), c, "x must hold finite numbers"),
        (x[:0], c[:0], "x must hold observations"),
        (x, c[:7], r"for x of shape \(50, 4, 2\) inputs of shape \(50, 1\); got inputs of shape \(7, 1\)"),
        (x, np.ones((50, 2)), r"inputs must have a row .* shape \(50, 1\); got inputs of shape \(50, 2\)"),
    ):
        with pytest.raises(ValueError, match=words):
            result.encode(bad, given)


def test_the_file_names_the_folder(tmp_path: Path) -> None:
    folder = made().save(tmp_path)
    np.testing.assert_array_equal(avo.load(folder / "result.json").theta, made().theta)


@pytest.mark.parametrize(("value", "words"), [(9.0, ""), (3.0, "is hardly identified by these data, to 14 % of a"),
                                             (0.4, "is not identified by these data")])  # fmt: skip
def test_what_is_hardly_identified_is_told_from_what_is_not(value: float, words: str) -> None:
    result = refined("population")
    estimate = replace(
        result.estimate, values=np.array([1e3, 1e3, value]), identified=np.array([True, True, value > 4])
    )
    told = replace(result, estimate=estimate).summary()
    assert f"warning: direction (+1.00 tau) {words}" in told if words else "warning" not in told


@pytest.mark.parametrize("target", ["point", "population"])
def test_a_result_travels_between_processes(target: str) -> None:
    other = Mode(("mu", "rate", "tau"), np.array([1.0, 2.5, 0.3]), np.array([0.1, np.inf, 0.2]), 0.25)
    result = replace(refined(target), elsewhere=(other,) if target == "point" else ())
    again = copy.copy(result)  # by way of what a pickle holds
    assert again is not result and again.summary() == result.summary()
    x = np.random.default_rng(3).normal(size=(5, *result.x_shape))
    np.testing.assert_array_equal(again.encode(x), result.encode(x))
    np.testing.assert_array_equal(again.stderr, result.stderr)
    back, (words, arrays, own, statistic) = result.__reduce__()
    assert own == (None, None) and statistic is None
    assert back(words, arrays, own, statistic).summary() == result.summary()


def test_a_result_is_pickled() -> None:
    """Between processes, by their owner; no file of avo's is a pickle."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        found = pool.submit(getattr, refined(), "theta").result()
    np.testing.assert_allclose(found, refined().theta, rtol=1e-6)  # the process counts in single precision
