"""avo.refine.sensitivity: parts of x in normal linear models, whose errors and changes are known in closed form."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import reports

import avo
from avo.containers import Axis
from avo.observations import kind_of
from avo.refine.kept import view_of
from avo.refine.linear import LinearSpace
from avo.refine.parts import parts_of
from avo.refine.subsets import STANDS_OUT

ROWS, M = 12_000, 500
SD = np.array([0.7, 0.7, 0.5, 0.9, 0.8, 1.6])
# Columns 0 and 1 are replicates of mu, 5 is noise; the others tell of rate and tau together
A = 2.5 * np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0.4], [0, -0.5, 1], [0, 0.6, 0.7], [0, 0, 0]])
EVERY = np.ones(6, bool)
WINDOWS = [(0, 13), (14, 27), (28, 41), (42, 54), (55, 68), (69, 82), (83, 96), (97, 109)]  # of 110 points
LEFT = [np.arange(6) != j for j in range(6)]


def told(A: np.ndarray, sd: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """Covariance of w by some columns of one x = A w + sd e."""
    return np.linalg.inv(A[keep].T @ np.diag(1 / sd[keep] ** 2) @ A[keep])


def linear(A: np.ndarray, sd: np.ndarray, shift: Any = 0.0, shape: Any = None, **changes: Any) -> avo.Result:
    """A result that keeps rows of x = 2 + A (w - w_0) + sd e, and observations at w_0, shifted."""
    rng, base = np.random.default_rng(3), reports.reported("vector")
    assert base.estimate is not None and base.kept is not None
    line, d = LinearSpace(base.space), A.shape[1]
    there, wide = int(0.3 * ROWS), np.linalg.cholesky(np.linalg.inv(A.T @ np.diag(1 / sd**2) @ A))
    away = rng.normal(size=(ROWS, d)) @ wide.T
    away[:there] = 0
    away[there : (ROWS + there) // 2] /= 2
    x = 2 + away @ A.T + sd * rng.normal(size=(ROWS, len(A)))
    own = 2 + shift + sd * rng.normal(size=(M, len(A)))
    u = line.u(line.of(np.asarray(base.estimate.loc, float)) + away)
    kept = base.kept._replace(
        u=u.astype(np.float32), x=x.astype(np.float32), observed=own.astype(np.float32), there=there, rows=M,
        t=(away + 0.1 * rng.normal(size=away.shape)).astype(np.float32),
    )  # fmt: skip
    given: dict[str, Any] = {"x_shape": (len(A),) if shape is None else shape, "frame": None}
    return replace(base, estimate=replace(base.estimate, kept=kept, freedom=M - 1), **(given | changes))


@pytest.fixture(scope="module")
def found() -> Any:
    return linear(A, SD).sensitivity()


def test_errors_without_a_column_and_by_it_alone(found: Any) -> None:
    """Of two replicates each error is sqrt 2 times that of both; noise changes nothing."""
    full = np.diagonal(told(A, SD, EVERY))
    without = np.sqrt([np.diagonal(told(A, SD, keep)) / full for keep in LEFT])
    np.testing.assert_allclose(without[:2, 0], np.sqrt(2))
    # Slopes from 8400 rows with a share of t of about .4 are known to about 2 %, ratios of errors a little less
    np.testing.assert_allclose(found.without, without, rtol=0.07)
    np.testing.assert_allclose(found.without[5], 1, atol=0.02)
    np.testing.assert_allclose(found.alone[:2, 0], np.sqrt(2), rtol=0.07)
    assert np.all(np.isinf(found.alone[:2, 1:])) and np.all(np.isinf(found.alone[2:, 0]))
    assert np.all(np.isinf(found.alone[5]))  # which tells nothing


def test_the_error_by_all_parts(found: Any) -> None:
    result = linear(A, SD)
    assert result.estimate is not None and result.stderr is not None
    slope = np.abs(result.estimate.slope(result.space))
    np.testing.assert_allclose(found.stderr, slope * np.sqrt(np.diagonal(told(A, SD, EVERY)) / M), rtol=0.07)
    blur = found.stderr * result.estimate.simulation_noise / result.stderr
    np.testing.assert_allclose(found.blur, blur, rtol=1e-9)


def test_a_shift_of_one_column_is_the_change_without_it(found: Any) -> None:
    """Column 3 is off by a third of its noise: the estimate has G^-1 A_3^T shift / sd^2 of it, and without it none."""
    shift = np.zeros(6)
    shift[3] = 0.3
    result = linear(A, SD, shift)
    assert result.estimate is not None
    moved, slope = result.sensitivity(), result.estimate.slope(result.space)
    own = slope * (told(A, SD, EVERY) @ A[3]) * shift[3] / SD[3] ** 2
    # The rows are those of `found` but for the shift, and their chance cancels
    np.testing.assert_allclose((moved.change - found.change)[3, 1:], -own[1:], rtol=0.1)
    assert np.all(np.abs(moved.z[3, 1:]) > STANDS_OUT) and np.all(np.abs(found.z[np.isfinite(found.z)]) < 4)
    assert "*" in str(moved) and "*" not in str(found)
    assert np.abs(moved.z[:, 0]).max() < 4  # mu has nothing to do with it


def test_errors_of_changes_are_those_of_hausman(found: Any) -> None:
    """Var(without - with) = Var(without) - Var(with); simulations add what 12,000 rows do to 500 observations."""
    full = np.diagonal(told(A, SD, EVERY))
    result = linear(A, SD)
    assert result.estimate is not None
    slope = np.abs(result.estimate.slope(result.space))
    for j, i in ((0, 0), (1, 0), (2, 1), (3, 1), (3, 2)):
        expected = slope[i] * np.sqrt((np.diagonal(told(A, SD, LEFT[j]))[i] - full[i]) / M)
        assert 0.9 < found.change_stderr[j, i] / expected < 1.2


def test_errors_of_changes_are_wider_by_clusters(found: Any) -> None:
    """Scores of 50 clusters whose mean is known to three times the error that independent rows have."""
    result = linear(A, SD)
    kept, estimate = result.kept, result.estimate
    assert kept is not None and estimate is not None
    independent = kept.t[: kept.there].std(0) / np.sqrt(M)
    scores = np.stack([kept.scores[0], independent * np.array([1.0, 3.0, 2.0])])
    clustered = replace(estimate, kept=kept._replace(scores=scores), freedom=49)
    wider = replace(result, estimate=clustered).sensitivity()
    np.testing.assert_allclose(wider.change_stderr, 3 * found.change_stderr, rtol=1e-5)
    np.testing.assert_array_equal(wider.without, found.without)


def test_windows_say_as_much_as_their_points() -> None:
    """Each point tells of one parameter: errors go with the number of points."""
    rng = np.random.default_rng(0)
    moves = np.zeros((110, 3))
    moves[np.arange(110), rng.permutation(np.arange(110) % 3)] = 1.5
    found = linear(moves, np.ones(110), shape=(110,)).sensitivity()
    assert found.parts == tuple(f"points {first} to {last}" for first, last in WINDOWS)
    share = np.array([(moves[first : last + 1] != 0).sum(0) for first, last in WINDOWS]) / (moves != 0).sum(0)
    np.testing.assert_allclose(found.without, 1 / np.sqrt(1 - share), rtol=0.06)
    np.testing.assert_allclose(found.alone, 1 / np.sqrt(share), rtol=0.25)


def test_what_no_other_part_tells_is_infinite() -> None:
    alone = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0.5, 0.5]]) * 3.0
    found = linear(alone, np.array([0.5, 0.7, 0.6, 0.8])).sensitivity()
    assert np.isinf(found.without[0, 0]) and np.isnan(found.change[0, 0]) and np.isfinite(found.without[1:, 0]).all()
    first = str(found).splitlines()[1].split()
    # The noise of slopes might hide some information, of an error that is at least so
    assert first[:4] == ["mu", "x[0]", ">", "x"] and float(first[4]) > 10
    np.testing.assert_allclose(found.least[0][0, 0], float(first[4]), rtol=0.01)


def test_windows_of_a_series_by_channel() -> None:
    """mu moves the first quarter of the second channel alone, rate and tau the other points of either."""
    k = 40
    moves = np.zeros((k, 2, 3))
    moves[:10, 1, 0] = 1.2
    moves[:, 0, 1] = 0.7
    moves[20:, 1, 2] = 1.1
    axes = (Axis("time", "s", 0.5 * np.arange(k)), Axis("lead", "", np.arange(2), ("II", "V1")))
    result = linear(moves.reshape(-1, 3), np.ones(2 * k), shape=(k, 2), axes=axes)
    found = result.sensitivity()
    assert len(found.parts) == 16 and found.parts[:2] == ("II: time 0 to 2 s", "V1: time 0 to 2 s")
    told_mu = [part for part, ratio in zip(found.parts, found.without[:, 0], strict=True) if ratio > 1.2]
    assert told_mu == ["V1: time 0 to 2 s", "V1: time 2.5 to 4.5 s"]
    np.testing.assert_allclose(found.without[[1, 3], 0], np.sqrt(2), rtol=0.12)
    np.testing.assert_allclose(found.without[::2, 1], np.sqrt(8 / 7), rtol=0.1)


def test_patches_of_an_image() -> None:
    """mu moves the upper left quarter of the pixels, in four patches; leaving out one of them costs sqrt(4 / 3)."""
    moves = np.zeros((8, 8, 3))
    moves[:4, :4, 0], moves[:, 4:, 1], moves[4:, :, 2] = 1.2, 0.8, 0.9
    found = linear(moves.reshape(-1, 3), np.ones(64), shape=(8, 8)).sensitivity()
    assert len(found.parts) == 16 and found.parts[6] == "rows 2-3, columns 4-5"
    corner = np.add.outer([0, 4], [0, 1]).ravel()
    np.testing.assert_allclose(found.without[corner, 0], np.sqrt(4 / 3), rtol=0.1)
    np.testing.assert_allclose(np.delete(found.without[:, 0], corner), 1, atol=0.06)


@pytest.mark.parametrize("shape", [(), (5,), (40,), (100, 1), (64, 4), (200, 12), (12, 17), (28, 28, 3), (6, 9, 8)])
def test_every_number_belongs_to_a_part(shape: tuple[int, ...]) -> None:
    result = replace(reports.reported("vector"), x_shape=shape)
    names, own = parts_of(result)
    assert len(own) == np.prod(view_of(shape).shape) and set(own) == set(range(len(names))) == set(range(own.max() + 1))
    assert len(set(names)) == len(names)
    assert len(names) <= 16 or kind_of(shape) == "vector"


def test_named_columns_are_parts_however_many() -> None:
    axes = (Axis("column", "", np.arange(40), tuple(f"c{i}" for i in range(40))),)
    names, _ = parts_of(replace(reports.reported("vector"), x_shape=(40,), axes=axes))
    assert names[:2] == ("c0", "c1") and len(names) == 40


def test_as_frame_and_loaded_again(found: Any, tmp_path: Any) -> None:
    frame = found.to_frame()
    assert frame.loc[("rate", "x[3]"), "without"] == found.without[3, 1] and len(frame) == 18
    again = avo.load(linear(A, SD).save(tmp_path / "run")).sensitivity()
    for one, other in zip(found, again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_refusals_say_what_to_do() -> None:
    result = reports.reported("vector")
    assert result.estimate is not None
    with pytest.raises(ValueError, match="sensitivity needs a fit with refine=True"):
        replace(result, estimate=None).sensitivity()
    with pytest.raises(ValueError, match="Fit with a simulator and a larger budget"):
        replace(result, estimate=replace(result.estimate, kept=None)).sensitivity()
    assert result.kept is not None
    few = result.kept._replace(**{name: getattr(result.kept, name)[398:406] for name in ("u", "x", "t")}, there=2)
    for rows in (few, few._replace(there=6)):
        with pytest.raises(ValueError, match="sensitivity needs more simulations near the answer"):
            replace(result, estimate=replace(result.estimate, kept=rows)).sensitivity()
