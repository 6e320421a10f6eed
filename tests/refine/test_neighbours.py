"""avo.refine.neighbours: silent for independent rows of any law, and exact where correlations are known."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from avo import data
from avo.execution.blocks import Drawn
from avo.observations import Observed
from avo.refine.equation import Equation
from avo.refine.estimate import DEPENDENT
from avo.refine.neighbours import between_rows, correlations

RNG = np.random.default_rng

LAWS: dict[str, Any] = {
    "normal": lambda rng, size: rng.normal(size=size),
    "infinite variance": lambda rng, size: rng.standard_cauchy(size),
    "skew": lambda rng, size: np.exp(2 * rng.normal(size=size)),
    "rare values": lambda rng, size: 1.0 * (rng.random(size) < 0.02),
    "counts": lambda rng, size: 1.0 * rng.poisson(1.0, size),
}


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("m", [12, 300])
def test_independent_rows_are_silent(law: str, m: int) -> None:
    """p is at most as often below a level as the level says, of 150 data sets of two parameters."""
    p = np.array([correlations(LAWS[law](RNG(seed), (m, 2))).p_value.min() for seed in range(150)])
    for level in (0.05, 0.2):
        assert np.mean(p < level) < level + 2.3 * np.sqrt(level * (1 - level) / 150)
    if m == 300 and law in ("normal", "infinite variance", "skew"):  # and about as often, without many equal values
        assert np.mean(p < 0.2) > 0.1
    assert p.min() > DEPENDENT


def autoregressive(rng: np.random.Generator, m: int, rho: float) -> np.ndarray:
    y, e = np.zeros(m), rng.normal(size=m)
    for i in range(1, m):
        y[i] = rho * y[i - 1] + np.sqrt(1 - rho**2) * e[i]
    return y


@pytest.mark.parametrize("rho", [0.5, 0.8])
def test_the_numbers_are_those_of_an_autoregression(rho: float) -> None:
    """r_k = rho^k and f^2 = (1 + rho) / (1 - rho), of the second of two parameters, in any unit."""
    m = 20_000
    y = np.stack([RNG(1).normal(size=m), 7.0 + 3.0 * autoregressive(RNG(2), m, rho)], axis=1)
    found = correlations(y)
    assert found.dependent.tolist() == [False, True] and found.lag[1] == 1
    np.testing.assert_allclose(found.correlation[1], rho, atol=4 * np.sqrt((1 - rho**2) / m))
    # The variance of f^2 is 4 K / m of its square, with correlations seen up to K = 20: .03 of f, of which three
    np.testing.assert_allclose(found.widening[1], np.sqrt((1 + rho) / (1 - rho)), rtol=0.1)
    assert found.widening[0] < 1.1


def test_few_rows_that_depend_strongly_are_seen() -> None:
    found = correlations(autoregressive(RNG(3), 60, 0.9)[:, None])
    assert found.dependent.all() and found.lag[0] == 1 and found.widening[0] > 2


def test_rows_further_apart_are_named() -> None:
    """Three series in turn: rows three apart correlate, and neighbours do not."""
    found = correlations(np.stack([autoregressive(RNG(i), 500, 0.6) for i in range(3)], axis=1).reshape(-1, 1))
    assert found.dependent.all() and found.lag[0] == 3
    np.testing.assert_allclose(found.correlation[0], 0.6, atol=4 * 0.8 / np.sqrt(1500))


def test_rows_that_resemble_one_another_less_than_chance_are_no_harm() -> None:
    """r_1 = -1/2 and no other: the mean of such rows hardly varies."""
    e = RNG(4).normal(size=(1001, 1))
    found = correlations(e[1:] - e[:-1])
    assert not found.dependent.any() and found.widening[0] < 0.4
    # r_1 = -.8, r_2 = .64: rows two apart resemble one another, and errors are too large all the same
    found = correlations(autoregressive(RNG(5), 1000, -0.8)[:, None])
    assert found.lag[0] == 2 and found.p_value[0] < DEPENDENT and not found.dependent.any()


def test_what_says_nothing_of_a_parameter_is_silent() -> None:
    y = np.stack([np.zeros(200), autoregressive(RNG(6), 200, 0.7)], axis=1)
    found = correlations(y)
    assert found.dependent.tolist() == [False, True] and found.p_value[0] == 1.0 and found.widening[0] == 1.0


class Identity:
    """t(x) = x."""

    def __call__(self, x: Any, c: Any = None) -> Any:
        return x


def asked(x: np.ndarray, drawn: Drawn, **known: Any) -> Any:
    """The rows of x, of which A^+ shows the second number alone."""
    equation = Equation(SimpleNamespace(), Observed(x, **known), Identity())  # pyright: ignore[reportArgumentType]
    return between_rows(equation, drawn, np.array([[0.0, 2.0]]))


def simulations(c: np.ndarray | None, x: np.ndarray) -> Drawn:
    return Drawn(np.zeros((len(x), 1)), x, c, np.ones(len(x), bool))


def test_what_counts_is_what_rows_say_of_the_parameters() -> None:
    """Of two numbers that rows have, the one of which A^+ knows nothing may depend as it likes."""
    first = np.stack([autoregressive(RNG(7), 300, 0.8), RNG(8).normal(size=300)], axis=1)
    drawn = simulations(None, RNG(9).normal(size=(1000, 2)))
    assert not asked(first, drawn).dependent.any() and asked(first[:, ::-1].copy(), drawn).dependent.all()
    # Rows in sorted order are as like their neighbours as rows of one series
    assert asked(np.sort(first, axis=0), drawn).correlation[0] > 0.9
    assert asked(np.sort(first, axis=0), drawn, clusters=np.arange(300) // 10) is None
    assert asked(first[:3], drawn) is None


def test_rows_in_the_order_of_their_conditions_are_silent() -> None:
    """x = 3 c + c^2 + noise, c sorted: what simulations tell of c is taken out."""
    c = np.sort(RNG(10).normal(size=(400, 1)), axis=0)
    make = lambda rng, c: 3 * c + c**2 + rng.normal(size=(len(c), 2))  # noqa: E731
    x, many = make(RNG(11), c), np.tile(c, (20, 1))
    assert asked(x, simulations(None, make(RNG(12), many))).dependent.all()
    assert not asked(x, simulations(many, make(RNG(12), many)), inputs=c).dependent.any()


def test_recorded_prices_are_restless_for_hours(shared_data: Path) -> None:
    """What an hour says of a drift, its last value, is silent; what it says of sigma, its mean square, is not."""
    close = data.read(shared_data / "btc" / "btcusdt_1m_2024-12.csv.gz", columns="close")
    x = data.log_price_windows(close, 64)
    y = np.stack([x[:, -1], np.mean(np.diff(x, axis=1, prepend=0.0) ** 2, axis=1)], axis=1)
    found = correlations(y)
    assert found.dependent.tolist() == [False, True] and found.lag[1] == 1
    assert 0.7 < found.correlation[1] < 0.8 and found.widening[1] > 2
    assert not correlations(RNG(13).permutation(y)).dependent.any()
