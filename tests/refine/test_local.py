"""avo.refine.local: the value of a regression at a place, whatever the rows' distribution, and its error."""

import numpy as np
import pytest

from avo.refine.local import EACH, bent, coefficients, fit_local, widest

RNG = np.random.default_rng
CENTRE = np.array([0.3, -0.4])


def crowded(rng: np.random.Generator, n: int) -> np.ndarray:
    """Rows that crowd on one side."""
    return rng.beta(1.0, 3.0, size=(n, 2)) * 6.0 - 3.0


@pytest.mark.parametrize("powers", [False, True])
def test_a_polynomial_is_recovered_exactly_from_crowded_rows(powers: bool) -> None:
    s = crowded(RNG(0), 3000) - CENTRE
    s = s[np.linalg.norm(s, axis=1) < 1]
    A = np.array([[2.0, -0.3], [0.0, 5.0], [1e-3, 1.0]])
    t = np.array([7.0, -3.0, 0.2]) + s @ A.T + (s[:, :1] * s[:, 1:] - 4 * s[:, :1] ** 2)
    if powers:
        t = t + 3 * s[:, :1] * s[:, 1:] ** 2 - s[:, 1:] ** 4
    found = fit_local(s, t, powers=powers)
    np.testing.assert_allclose(found.value, [7.0, -3.0, 0.2], atol=1e-9)
    np.testing.assert_allclose(found.slope, A, atol=1e-8)
    np.testing.assert_allclose(found.value_weights @ t, found.value, atol=1e-9)
    np.testing.assert_allclose(t.T @ found.slope_weights, found.slope, atol=1e-8)
    np.testing.assert_allclose(found.value_weights.sum(), 1.0)
    np.testing.assert_allclose(found.residuals, 0.0, atol=1e-8)


def test_the_error_is_that_of_repeated_fits_where_noise_is_uneven() -> None:
    rng = RNG(1)
    s = rng.uniform(-1, 1, size=(120, 1))
    size = 0.2 + 2.0 * (s > 0)
    fits = [fit_local(s, 1.3 - s + size * rng.normal(size=s.shape), powers=True) for _ in range(600)]
    spread = np.std([found.value[0] for found in fits])
    stated = np.sqrt(np.mean([found.covariance[0, 0] for found in fits]))
    assert abs(stated / spread - 1) < 0.1  # 600 fits tell a standard deviation to 3 %
    slopes = np.array([found.slope[0, 0] for found in fits])
    own = [np.sum((found.residuals[:, 0] * found.slope_weights[:, 0]) ** 2) for found in fits]
    assert abs(np.sqrt(np.mean(own)) / slopes.std() - 1) < 0.1


def test_further_columns_take_away_what_they_explain() -> None:
    rng = RNG(2)
    s, c = rng.uniform(-1, 1, size=(400, 2)) * 0.7, rng.normal(3.0, 1.0, size=(400, 1))
    t = 2.0 + s @ np.array([[1.5], [-1.0]]) + 0.8 * c
    found = fit_local(s, t, powers=False, more=c - 5.0)  # the value is meant at c = 5
    np.testing.assert_allclose([found.value[0], found.rest[0, 0]], [2.0 + 0.8 * 5.0, 0.8], atol=1e-9)


def test_more_terms_tell_a_cubic_from_a_quadratic() -> None:
    rng = RNG(3)
    s = np.abs(rng.uniform(-1, 1, size=(4000, 1))) ** 0.5 * rng.choice([-1, 1, 1], size=(4000, 1))
    for cube, expected in ((0.0, False), (4.0, True)):
        t = 1.0 + s - s**2 + cube * s**3 + 0.3 * rng.normal(size=s.shape)
        assert bent(*(fit_local(s, t, powers=powers) for powers in (False, True))) is expected


@pytest.mark.parametrize("uneven", [False, True])
def test_the_value_in_the_widest_window_is_right_within_its_error(uneven: bool) -> None:
    truth = np.array([np.sin(0.45) - 0.4**3 / 6, np.exp(-0.06) - 1])
    off = []
    for seed in range(40):
        rng = RNG(seed)
        s = crowded(rng, 3000) if uneven else rng.uniform(-3, 3, size=(3000, 2))
        t = np.stack([np.sin(1.5 * s[:, 0]) + s[:, 1] ** 3 / 6, np.exp(0.5 * s[:, 0] * s[:, 1]) - 1], axis=1)
        window = widest(s - CENTRE, t + rng.normal(size=s.shape))
        assert window is not None
        off.append((window.found.value - truth) / np.sqrt(np.diagonal(window.found.covariance)))
    # 80 numbers of variance 1 in the mean: .15 is one standard error of their root mean square, .5 of bias would show
    assert 0.7 < np.sqrt(np.mean(np.square(off))) < 1.45
    assert np.all(np.abs(np.mean(off, axis=0)) < 3 / np.sqrt(40))


def test_too_few_rows_or_places_have_no_window() -> None:
    rng = RNG(4)
    least = EACH * coefficients(2)
    s = rng.uniform(-1, 1, size=(least, 2))
    t = s + 0.1 * rng.normal(size=s.shape)
    assert widest(s[:-1], t[:-1]) is None
    assert widest(s, t) is not None
    grid = np.repeat([[0.1, 0.0], [0.0, 0.1], [-0.1, 0.0], [0.0, -0.1]], 200, axis=0)
    assert widest(grid, grid + 0.1 * rng.normal(size=grid.shape)) is None
