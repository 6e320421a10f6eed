"""avo.execution.stored: what a user may hand over as stored pairs, and what it becomes."""

from typing import Any

import numpy as np
import pytest

import avo
from avo.execution.stored import Stored

SPACE = avo.Space(n=4.0, mean=avo.Interval(-2, 6), rate=avo.Positive(2.5))
THETA = np.array([[1.0, 3.0], [5.5, 0.2], [-2.0, 7.0]])
X = np.array([[0.5, 1.5], [np.nan, 2.0], [2.5, -1.0]])


def test_pairs_go_to_u_and_failed_rows_are_marked() -> None:
    drawn = Stored(THETA, X).drawn(SPACE, (2,), None)
    np.testing.assert_allclose(SPACE.constrain(drawn.u[:2]), THETA[:2], rtol=1e-5)
    assert drawn.u[2, 0] < -20  # a theta at its bound
    assert drawn.ok.tolist() == [True, False, True] and drawn.inputs is None


def test_columns_are_taken_by_name_and_fixed_ones_left_out() -> None:
    full = np.column_stack([np.full(3, 4.0), THETA])
    np.testing.assert_array_equal(Stored(full, X).free(SPACE), THETA)
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"rate": THETA[:, 1], "other": 0.0, "mean": THETA[:, 0]})
    np.testing.assert_array_equal(Stored(frame, X).free(SPACE), THETA)
    with pytest.raises(ValueError, match=r"theta has the columns rate, other, without mean"):
        Stored(frame[["rate", "other"]], X).free(SPACE)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((THETA, X[:2]), r"Stored: x must have a row for each row of theta, 3; got 2\."),
        ((THETA[:, 0], X), r"Stored: theta must have a row for each simulation, shape \(n, d\); got shape \(3,\)"),
        ((THETA, [["a", "b"]] * 3), r"Stored: x must be an array of real numbers"),
        ((THETA, [[1.0], [1.0, 2.0], [3.0]]), r"Stored: x must be an array with one row per simulation"),
        ((THETA, X, X[:1]), r"Stored: inputs must have a row for each row of theta, 3; got 1\."),
    ],
)
def test_what_are_no_pairs_is_refused(given: tuple[Any, ...], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Stored(*given)


@pytest.mark.parametrize(
    ("stored", "x_shape", "c_shape", "words"),
    [
        (Stored(THETA, X), (3,), None, r"x must have rows like those of x_obs, shape \(n, 3\); got \(3, 2\)"),
        (Stored(THETA[:, :1], X), (2,), None, r"a column for each of mean, rate; got 1 columns"),
        (Stored(THETA + [9.0, 0.0], X), (2,), None, r"mean must lie inside \(-2, 6\); got 10, and 3 of 3 rows"),
        (Stored(np.full((3, 3), 5.0), X), (2,), None, r"n is fixed at 4, and theta has other values of it, 5 to 5"),
        (Stored(THETA, X), (2,), (1,), r"inputs must be given exactly if the fit has inputs="),
        (Stored(THETA, X, X), (2,), (1,), r"inputs must have rows like those of the fit, \(1,\); got \(2,\)"),
        (Stored(THETA, X, X), (2,), (2,), r"inputs must hold finite numbers"),
    ],
)
def test_pairs_that_do_not_belong_are_refused(stored: Stored, x_shape: Any, c_shape: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        stored.drawn(SPACE, x_shape, c_shape)
