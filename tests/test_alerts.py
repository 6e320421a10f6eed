"""Warnings name the line that called avo, from wherever within it they come."""

import inspect
import warnings

import numpy as np
import pytest

import avo
from avo.alerts import warn
from avo.rows import Given, observe

SPACE = avo.Space(mu=avo.Interval(-3.0, 5.0))
X = np.random.default_rng(0).normal(1.3, 1.0, (40, 3))


def here() -> int:
    return inspect.stack()[1].lineno


def told(call) -> tuple[list[str], list[int]]:
    """The warnings of a call, and the lines of this file that they name."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    assert all(one.filename == __file__ for one in caught), [one.filename for one in caught]
    return [str(one.message) for one in caught], [one.lineno for one in caught]


def test_a_warning_names_the_users_line() -> None:
    line = here() + 1
    words, lines = told(lambda: warn("so"))
    assert (words, lines) == (["so"], [line])
    few, constant = X[:4], np.column_stack([X, np.full(40, 2.5)])
    line = here() + 1
    words, lines = told(lambda: observe(Given(few), SPACE))
    assert "4 observations for 1 parameter" in words[0] and lines == [line]
    line = here() + 1
    words, lines = told(lambda: refused(lambda: avo.fit(no_simulator, constant, SPACE)))
    assert "constant in column 3" in words[0] and lines == [line]


def refused(call) -> None:
    with pytest.raises(ValueError, match="simulate failed with ZeroDivisionError"):
        call()


def no_simulator(key, theta):
    """Fails, after the observations were looked at."""
    raise ZeroDivisionError


CONSTANT = {
    "a column": (np.column_stack([X, np.full(40, 2.5)]), r"constant in column 3 \(2.5\), the same in all 40 rows"),
    "columns": (np.column_stack([np.zeros(40), X, np.full(40, 7.0)]), r"in columns 0 \(0\), 4 \(7\), the same"),
    "numbers": (np.full(40, 3.25), r"x_obs is constant, 3\.25 in all 40 rows"),
    "columns, all": (np.tile([1.5, 2.0, -3.0], (40, 1)), "constant, one value in each column in all 40 rows"),
    "a channel": (np.stack([np.tile(X[0, 0], (40, 20)), X[:, :1] + np.zeros((40, 20))], 2), r"in channel 0 \(1\.4"),
    "rows": (np.tile(np.arange(20.0), (40, 1)), "has the same values in all 40 rows"),
    "an image": (np.tile(np.arange(64.0).reshape(8, 8), (40, 1, 1)), "has the same values in all 40 rows"),
    "a dark image": (np.zeros((40, 8, 8)), "x_obs is constant, 0 in all 40 rows"),
    "where values are missing": (np.where(X < 0, np.nan, 4.0), "constant, one value in each column"),
}
# Its third column has the value 6 in rows 0, 13, 26 and 39, and else none
GAPS = np.where(np.arange(40)[:, None] % [1, 1, 13] == 0, np.column_stack([X[:, :2], np.full(40, 6.0)]), np.nan)
VARIED = {
    "numbers": X[:, 0],
    "a series that begins at zero": np.cumsum(np.r_[[np.zeros(40)], np.tile(X[:, 0], (19, 1))], 0).T,
    "an image with an edge": np.pad(X[:, :, None] * np.ones((40, 3, 7)), ((0, 0), (2, 2), (2, 2))),
    "two values": np.tile([[0.0, 1.0], [1.0, 1.5]], (20, 1)),
}


@pytest.mark.parametrize("name", CONSTANT)
def test_constant_observations_are_told(name: str) -> None:
    x, words = CONSTANT[name]
    with pytest.warns(UserWarning, match=words):
        observed, _ = observe(Given(x, missing=bool(np.isnan(x).any())), SPACE)
    assert len(observed.x) == 40


def test_a_column_is_constant_where_enough_of_it_is_there() -> None:
    assert np.sum(~np.isnan(GAPS[:, 2])) == 4
    observe(Given(GAPS, missing=True), SPACE)
    with pytest.warns(UserWarning, match=r"constant in column 2 \(6\), the same in all rows that have it"):
        observe(Given(np.where(np.arange(40)[:, None] == [99, 99, 7], 6.0, GAPS), missing=True), SPACE)


@pytest.mark.parametrize("name", VARIED)
def test_what_varies_is_not(name: str) -> None:
    observe(Given(VARIED[name]), SPACE)  # warnings are errors here


def test_a_constant_column_is_called_by_its_name() -> None:
    pandas = pytest.importorskip("pandas", reason="names of columns")
    frame = pandas.DataFrame(X, columns=["a", "b", "c"]).assign(site=2.0)
    with pytest.warns(UserWarning, match=r"x_obs is constant in column site \(2\)"):
        observe(Given(frame), SPACE)
