"""Windows of series and of prices: each point where it belongs, none lost, none twice."""

import numpy as np
import pytest

from avo import data


@pytest.mark.parametrize(
    "points,length,step,starts", [(23, 5, None, [0, 5, 10, 15]), (23, 5, 9, [0, 9, 18]), (5, 5, 2, [0])]
)
def test_windows_start_where_they_should(points, length, step, starts):
    series = np.arange(points) + 100
    expected = [series[start : start + length] for start in starts]
    np.testing.assert_array_equal(data.windows(series, length, step), expected)


def test_windows_keep_channels():
    series = np.arange(14).reshape(7, 2)
    np.testing.assert_array_equal(data.windows(series, 3), [series[:3], series[3:6]])


@pytest.mark.parametrize(
    "length,step,message",
    [
        (0, None, "length must be"),
        (3, 0, "step must be"),
        (2.5, None, "length must be"),
        (8, None, "at least length=8 points"),
    ],
)
def test_windows_refuse(length, step, message):
    with pytest.raises(ValueError, match=message):
        data.windows(np.arange(7), length, step)


def test_log_price_windows_lose_no_increment():
    log_price = np.cumsum(np.random.default_rng(3).normal(0.3, 1.7, 20)) + 11.0
    paths = data.log_price_windows(np.exp(log_price), 6)
    assert paths.shape == (3, 6)
    np.testing.assert_allclose(np.diff(paths, axis=1, prepend=0.0).ravel(), np.diff(log_price)[:18], atol=1e-12)


def test_log_price_windows_refuse():
    with pytest.raises(ValueError, match=r"price\[2\] is -1"):
        data.log_price_windows([3.0, 2.0, -1.0, 4.0], 2)
    with pytest.raises(ValueError, match=r"price\[0\] is nan"):
        data.log_price_windows([np.nan, 2.0, 1.0, 4.0], 2)
    with pytest.raises(ValueError, match=r"length \+ 1 = 5 prices; got shape \(4,\)"):
        data.log_price_windows([3.0, 2.0, 1.0, 4.0], 4)


def test_log_return_windows_are_all_increments():
    log_price = np.cumsum(np.random.default_rng(4).normal(0.3, 1.7, 20)) + 11.0
    returns = data.log_return_windows(np.exp(log_price), 6)
    np.testing.assert_allclose(returns, np.diff(log_price)[:18].reshape(3, 6), atol=1e-12)
    with pytest.raises(ValueError, match=r"price\[1\] is 0"):
        data.log_return_windows([3.0, 0.0, 1.0], 2)


def test_minute_prices(shared_data):
    close = data.read(shared_data / "btc" / "btcusdt_1m_2024-12.csv.gz", columns="close")
    assert close.shape == (41761,) and close[0] == 96440.0
    paths = data.log_price_windows(close, 180)
    assert paths.shape == (232, 180)
    # The published closed-form scale of these windows: standard deviation of the increments per minute.
    assert np.diff(paths, axis=1, prepend=0.0).std() == pytest.approx(7.6e-4, abs=0.05e-4)


def test_pendulum_recording(shared_data):
    swing = data.read(shared_data / "pendulum" / "single_pendulum_100hz.csv", columns=["theta_rad", "omega_rad_s"])
    assert swing.shape[1] == 2
    np.testing.assert_array_equal(swing[1], [1.545292, 2.488345])
