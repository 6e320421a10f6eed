"""avo.refine.modes: which solutions count, in closed form."""

from dataclasses import replace

import numpy as np
import pytest
from test_estimate import made

import avo
from avo.refine.modes import Mode, apart, fits, several, solutions

SPACE = avo.Space(a=avo.Real(1.0, 2.0), b=avo.Real(0.0, 1.0), c=avo.Positive(1.0))
HERE = np.array([0.2, -1.0, 0.3])
COVARIANCE = np.array([[0.04, 0.01, 0.0], [0.01, 0.09, 0.0], [0.0, 0.0, 0.01]])


def test_two_are_apart_beyond_five_standard_errors_per_direction() -> None:
    """Along one direction of three, 5 sqrt(3) standard errors of the difference, whose variance is that of both."""
    one = made(covariance=COVARIANCE, loc=HERE)
    way = np.array([1.0, -2.0, 0.5])
    way /= np.sqrt(way @ np.linalg.solve(4 * COVARIANCE, way))
    for far, answer in ((4.99, False), (5.01, True)):
        other = made(covariance=3 * COVARIANCE, loc=HERE + far * np.sqrt(3) * way)
        assert apart(one, other, SPACE) is apart(other, one, SPACE) is answer


def test_solutions_a_turn_apart_are_one() -> None:
    """On a circle of four: 1.9 and -1.9 are .2 apart, with errors of .1 / sqrt(2) each; .9 is a unit from both."""
    space = avo.Space(phase=avo.Angle(360), b=avo.Real())
    one, other, far = (made(covariance=0.005 * np.eye(2), loc=np.array([at, 0.0])) for at in (1.9, -1.9, 0.9))
    assert not apart(one, other, space) and not apart(replace(one, loc=one.loc + [8.0, 0.0]), other, space)
    assert apart(one, far, space) and apart(other, far, space)
    found = [replace(each, moved=0.1) for each in (one, other, far)]
    assert solutions(found, space) == [found[0], found[2]]


def test_solutions_are_solved_reproduced_and_apart() -> None:
    one = replace(made(covariance=COVARIANCE, loc=HERE), p_value=0.3, moved=0.4)
    far = replace(one, loc=HERE + 10.0)
    assert fits(one) and fits(replace(one, p_value=None)) and fits(replace(one, p_value=0.005))
    assert not (fits(None) or fits(replace(one, moved=np.inf)) or fits(replace(one, p_value=0.0049)))
    near, third = replace(one, loc=HERE + 0.1), replace(one, loc=HERE - 10.0)
    assert solutions([one, near, far, None, third], SPACE) == [one, far, third]
    assert solutions([replace(one, p_value=0.0025), far, replace(third, moved=np.inf)], SPACE) == [far]
    assert solutions([far, one, near], SPACE) == [far, one]


def test_a_mode_says_what_its_estimate_knows() -> None:
    found = replace(made(covariance=COVARIANCE, loc=HERE), p_value=0.3)
    mode = Mode.of(found, SPACE)
    np.testing.assert_allclose(mode.theta, [1.4, -1.0, np.exp(0.3)], rtol=1e-6)
    np.testing.assert_allclose(mode.stderr, [2 * 0.2, 0.3, np.exp(0.3) * 0.1], rtol=1e-6)
    assert mode.p_value == 0.3
    again = Mode.from_json(mode.to_json())
    assert again.names == mode.names and all(np.array_equal(*pair) for pair in zip(mode, again, strict=True))


@pytest.mark.parametrize(("count", "words"), [(2, "two solutions fit"), (3, "three solutions fit")])
def test_all_are_named(count: int, words: str) -> None:
    modes = [Mode(("a", "b"), np.array([place, 0.5]), np.ones(2)) for place in (1.0, -2.25, 31.0)[:count]]
    found = several(modes)
    assert found.startswith(words) and found.endswith(f" and (a, b) = ({modes[-1].theta[0]:g}, 0.5)")
    assert found.count("(a, b) = ") == count
