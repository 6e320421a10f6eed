"""avo.refine.counts: whole numbers, and what follows them, in closed form."""

import numpy as np
from test_estimate import made

import avo
from avo.refine.counts import wholes
from avo.refine.equation import Noise, information
from avo.refine.estimate import Estimate
from avo.refine.linear import LinearSpace
from avo.refine.modes import Mode, several
from avo.refine.point import alone_at

LINE = LinearSpace(avo.Space(v=avo.Real(), n=avo.Count(2, 12), w=avo.Positive()))  # w = (n - 2) / 2.5
GAP = 0.4


def covariance(s: float, seed: int = 0) -> np.ndarray:
    """Some covariance whose count has the standard error s, in units of it."""
    root = np.random.default_rng(seed).normal(size=(3, 3)) * 0.1
    C = root @ root.T
    scale = np.array([1.0, s * GAP / np.sqrt(C[1, 1]), 1.0])
    return C * np.outer(scale, scale)


def test_the_others_follow_a_count_along_their_regression_on_it() -> None:
    C, at = covariance(0.2), np.array([0.3, 3.3 * GAP, -1.0])
    found = wholes(LINE, at, C)
    way = -0.3 * GAP
    np.testing.assert_allclose(found.w, [0.3 + C[0, 1] / C[1, 1] * way, 3 * GAP, -1 + C[2, 1] / C[1, 1] * way])
    # It is the nearest place, in the metric of C, of all whose count is that number
    inverse = np.linalg.inv(C)
    least = (found.w - at) @ inverse @ (found.w - at)
    for push in np.random.default_rng(1).normal(size=(20, 3)) * [0.01, 0, 0.01]:
        assert (found.w + push - at) @ inverse @ (found.w + push - at) > least
    step = np.array([0.2, -0.1, 0.4])
    np.testing.assert_allclose(found.P @ step, step - C[:, 1] / C[1, 1] * step[1], atol=1e-15)
    many = wholes(LINE, np.stack([at, at + [0.0, GAP, 0.0]]), C).w
    np.testing.assert_allclose(many, [found.w, found.w + [0, GAP, 0]])


def test_errors_beside_a_count_are_those_at_it_and_of_what_it_may_be_besides() -> None:
    """Sharp: the conditional variance; vague: all of it; between, by draws that are rounded."""
    at = np.array([0.3, 3.3 * GAP, -1.0])
    for s, expected in ((0.05, lambda C: C - np.outer(C[:, 1], C[:, 1]) / C[1, 1]), (4.0, lambda C: C)):
        C = covariance(s)
        found = wholes(LINE, at, C).variance
        np.testing.assert_allclose(found[[0, 2]], np.diag(expected(C))[[0, 2]], rtol=0.02)
        np.testing.assert_allclose(found[1], C[1, 1], rtol=1e-12)
    C = covariance(0.4)
    weights = np.exp(-((np.arange(-20, 20) + 3 - 3.3) ** 2) / (2 * 0.4**2))
    spread = GAP**2 * weights @ np.arange(-20, 20) ** 2 / weights.sum()
    slope = C[:, 1] / C[1, 1]
    expected = np.diag(C) + (spread - C[1, 1]) * slope**2
    np.testing.assert_allclose(wholes(LINE, at, C).variance[[0, 2]], expected[[0, 2]], rtol=1e-6)


def test_counts_end_at_their_bounds() -> None:
    for at, n in ((-0.3, 0.0), (0.05, 0.0), (4.2, 4.0), (3.9, 4.0)):
        w = wholes(LINE, np.array([0.0, at, 0.0]), covariance(0.3)).w
        np.testing.assert_allclose(LINE.space.nearest_whole(np.asarray(LINE.constrain(w)))[1], 2 + 2.5 * n, rtol=1e-12)


def test_of_several_counts_the_sharpest_comes_first() -> None:
    """t = (3.45, 6.3) with errors .1 and 2, correlated by .9: 3 for the first, which takes the second to 6.3 - 8.1."""
    line = LinearSpace(avo.Space(a=avo.Count(0, 40), b=avo.Count(-50, 50)))
    sd = np.array([0.1 / 10, 2 / 25])
    C = np.array([[1, 0.9], [0.9, 1]]) * np.outer(sd, sd)
    w = wholes(line, np.array([3.45 / 10, (6.3 + 50) / 25]), C).w
    np.testing.assert_allclose(np.asarray(line.constrain(w)), [3.0, np.round(6.3 - 0.45 * 0.9 * 2 / 0.1)], rtol=1e-9)


def test_nothing_moves_without_counts() -> None:
    line, at = LinearSpace(avo.Space(a=avo.Real(), b=avo.Angle(1))), np.array([0.3, 1.7])
    found = wholes(line, at, np.diag([0.1, 0.2]))
    assert (
        found.w.tolist() == at.tolist() and np.array_equal(found.P, np.eye(2)) and found.variance.tolist() == [0.1, 0.2]
    )


def test_the_data_alone_have_a_count_made_whole_as_the_answer_has() -> None:
    """C of v, n, w by an own slope: the others stand beside the whole number, and their errors are those there."""
    C, at = covariance(0.1), np.array([0.3, 3.3 * GAP, -1.0])
    A, none = np.linalg.inv(np.linalg.cholesky(C)), np.zeros((3, 3))
    data = information(A, np.eye(3), Noise(none, none))
    alone = alone_at(LINE, at, C, data)
    expected = wholes(LINE, at, C)
    np.testing.assert_allclose(LINE.of(alone.loc), expected.w, rtol=1e-9)
    assert alone.between is at
    found = made(covariance=0.1 * C, loc=alone.loc, alone=alone, between=np.array([0.1, 3 * GAP, 0.2])).by_data
    np.testing.assert_allclose(found.stderr(LINE.space)[0], np.sqrt(expected.variance[0]), rtol=1e-9)
    np.testing.assert_allclose(found.stderr(LINE.space)[1], np.sqrt(C[1, 1]) * 2.5, rtol=1e-9)
    mode = Mode.of(found, LINE.space)
    assert mode.theta[1] == 5 and mode.whole == {"n": (5, 5)}
    back = Estimate.from_files(*made(loc=alone.loc, alone=alone, between=at).to_files())
    assert back.alone is not None
    for one, other in zip(back.alone, alone, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_count_is_a_whole_number_in_words() -> None:
    """t = 5.3 +- .5 of 2 .. 12: 90 % of a t distribution hold 5 and 6."""
    estimate = made(
        covariance=np.diag([0.01, (0.5 / 2.5) ** 2, 0.04]), loc=np.array([0.3, np.log(3 / 7), -1.0]),
        between=np.array([0.3, 3.3 * GAP, -1.0]),
    )  # fmt: skip
    mode = Mode.of(estimate, LINE.space)
    assert str(mode) == "v = 0.30 +- 0.10, n = 5 (90 %: 5 to 6), w = 0.368 +- 0.074"
    again = Mode.from_json(mode.to_json())
    assert str(again) == str(mode) and again.whole == mode.whole
    large = mode._replace(theta=np.array([0.3, 12345.0, 0.4]))
    assert "(v, n, w) = (0.3, 12345, 0.4)" in several([mode, large])
