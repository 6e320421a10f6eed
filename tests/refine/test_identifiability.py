"""avo.refine.identifiability: combinations of parameters that the data identify, with values and errors by hand."""

import numpy as np
import pytest

import avo
from avo.refine.identifiability import combined, unit_of_product

RNG = np.random.default_rng


def known(A: np.ndarray, sd: float) -> tuple[np.ndarray, np.ndarray]:
    """Covariance of w where A w is known to sd and nothing else, and the directions that are free."""
    _, _, rows = np.linalg.svd(A)
    free = rows[len(A) :].T
    inverse = np.linalg.pinv(A)
    return sd**2 * inverse @ inverse.T + 1.5**2 * free @ free.T, free


def test_a_ratio_of_logarithmic_parameters() -> None:
    """cl / f is known to 1 %, f in (.2, 1), cl in (.1, 1000); and ka by itself."""
    space = avo.Space(cl=avo.LogInterval(0.1, 1000), ka=avo.Positive(1.0), f=avo.LogInterval(0.2, 1.0))
    theta = np.array([4.2, 0.9, 0.6])
    slope = theta * np.array([np.log(1e4) / 4, 1.0, np.log(5) / 4])
    A = np.array([[np.log(1e4) / 4, 0.0, -np.log(5) / 4], [0.0, 1.0, 0.0]])
    covariance, free = known(A, 0.01)
    loose = np.array([True, False, True])
    found = combined(space, theta, slope, covariance, free, loose)
    assert len(found) == 1 and found[0].names == ("cl", "f") and found[0].words == "cl / f"
    np.testing.assert_allclose([found[0].value, found[0].stderr], [7.0, 0.07], rtol=1e-9)
    assert str(found[0]) == "cl and f are identified only together: cl / f = 7.000 +- 0.070"


@pytest.mark.parametrize(
    ("cl", "f", "unit"),
    [("l/h", "1", "l/h"), ("l/h", "mg", "l/h / mg"), ("l", "l/h", "l / (l/h)"), ("l/h", "l/h", ""), ("l/h", "", "")],
)
def test_a_ratio_has_the_unit_of_its_parts(cl: str, f: str, unit: str) -> None:
    """Where both have one; "1" is that of a pure number."""
    space = avo.Space(cl=avo.Positive(1.0, unit=cl), f=avo.Positive(1.0, unit=f))
    theta = np.array([4.2, 0.6])
    covariance, free = known(np.array([[1.0, -1.0]]), 0.01)
    (found,) = combined(space, theta, theta, covariance, free, np.ones(2, bool))
    assert (found.words, found.unit) == ("f / cl", unit_of_product([f, cl], [1, -1]))
    assert str(found).endswith(f"f / cl = 0.1429 +- 0.0014 {found.unit}".rstrip())
    assert unit_of_product([cl, f], [1, -1]) == unit


def test_a_sum_has_the_unit_that_all_have() -> None:
    theta = np.array([1.3, 4.4])
    for units, unit in ((("mV", "mV"), "mV"), (("mV", "ms"), ""), (("mV", ""), ""), (("1", "1"), "")):
        space = avo.Space(a=avo.Real(unit=units[0]), b=avo.Real(unit=units[1]))
        covariance, free = known(np.ones((1, 2)), 0.1)
        (found,) = combined(space, theta, np.ones(2), covariance, free, np.ones(2, bool))
        assert found.words in ("a + b", "b + a") and found.unit == unit
    space = avo.Space(rate=avo.Positive(2.0, unit="s"), shift=avo.Real(unit="s"))
    covariance, free = known(np.array([[-0.5, 1.0]]), 0.04)
    (found,) = combined(space, theta, np.array([theta[0], 1.0]), covariance, free, np.ones(2, bool))
    assert "log" in found.words and found.unit == ""


def test_a_sum_of_others_and_one_that_nothing_shows() -> None:
    """a + 2.5 b to .3, in theta; nothing says anything of c."""
    space = avo.Space(a=avo.Interval(-3, 5), b=avo.Real(1.0, 0.2), c=avo.Real())
    theta, slope = np.array([1.0, 0.4, 7.0]), np.array([2.0, 0.2, 1.0])
    covariance, free = known(np.array([[1.0, 2.5, 0.0]]) * slope, 0.3)
    found = combined(space, theta, slope, covariance, free, np.ones(3, bool))
    assert [f.names for f in found] == [("a", "b")]
    np.testing.assert_allclose([found[0].value, found[0].stderr], [2.0, 0.3], rtol=1e-9)
    assert found[0].words == "a + 2.5 b"


def test_two_ratios_of_three() -> None:
    """cl / f and v / f, which leave one direction free."""
    space = avo.Space(**{name: avo.Positive(1.0) for name in ("cl", "v", "f")})
    theta = np.array([2.0, 30.0, 0.5])
    covariance, free = known(np.array([[1.0, 0.0, -1.0], [0.0, 1.0, -1.0]]), 0.02)
    found = combined(space, theta, theta, covariance, free, np.ones(3, bool))
    assert len(found) == 2
    for one in found:
        first, second = one.names
        value = dict(zip(("cl", "v", "f"), theta, strict=True))
        assert one.words == f"{first} / {second}"
        np.testing.assert_allclose(one.value, value[first] / value[second], rtol=1e-9)
        assert one.stderr / one.value < 0.02 * 1.5


def test_mixed_kinds_are_told_with_their_logarithm() -> None:
    space = avo.Space(rate=avo.Positive(2.0), shift=avo.Real())
    theta = np.array([2.0 * np.exp(0.3), 0.7])
    covariance, free = known(np.array([[-0.5, 1.0]]), 0.04)
    (found,) = combined(space, theta, np.array([theta[0], 1.0]), covariance, free, np.ones(2, bool))
    assert found.names == ("shift", "rate") and found.words == "shift - 0.5 log(rate)"
    np.testing.assert_allclose([found.value, found.stderr], [0.7 - 0.5 * np.log(theta[0]), 0.04], rtol=1e-9)


def test_a_ratio_is_told_where_only_one_of_both_is_logarithmic() -> None:
    """share in (.05, 1) by itself, volume by its logarithm; volume / share is known to 2 %, its slopes to 1 %."""
    space = avo.Space(share=avo.Interval(0.05, 1), volume=avo.LogInterval(8, 80))
    theta = np.array([0.93, 33.0])
    slope = np.array([0.95 / 4, 33.0 * np.log(10) / 4])
    for wrong in (1.0, 0.99):
        covariance, free = known(np.array([[-slope[0] / theta[0] * wrong, slope[1] / theta[1]]]), 0.02)
        (found,) = combined(space, theta, slope, covariance, free, np.ones(2, bool))
        assert set(found.names) == {"share", "volume"} and found.words == f"{found.names[0]} / {found.names[1]}"
        value = 33.0 / 0.93 if found.names[0] == "volume" else 0.93 / 33.0
        np.testing.assert_allclose(found.value, value, rtol=1e-9)
        np.testing.assert_allclose(found.stderr, 0.02 * value, rtol=0.03)


def test_a_sum_is_told_where_all_are_logarithmic() -> None:
    """a + b is known to .1, a and b with logarithmic ranges."""
    space = avo.Space(a=avo.LogInterval(0.1, 90), b=avo.Positive(2.0))
    theta = np.array([1.3, 4.4])
    slope = theta * np.array([np.log(900) / 4, 1.0])
    covariance, free = known(slope[None], 0.1)
    (found,) = combined(space, theta, slope, covariance, free, np.ones(2, bool))
    assert found.words in ("a + b", "b + a")
    np.testing.assert_allclose([found.value, found.stderr], [5.7, 0.1], rtol=1e-9)


def test_where_all_is_identified_there_is_none() -> None:
    space = avo.Space(a=avo.Real(), b=avo.Real())
    assert combined(space, np.ones(2), np.ones(2), np.eye(2), np.zeros((2, 0)), np.zeros(2, bool)) == ()
