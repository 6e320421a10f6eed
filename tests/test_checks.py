"""avo.checks: each check takes what it says, gives Python's own, and refuses all else in one sentence."""

import math
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from avo import checks

INF, NAN = math.inf, math.nan
NO_NUMBERS = ("1", None, True, np.True_, 1j, np.complex128(1), [1.0], np.ones(1), NAN, INF, -INF)


@pytest.mark.parametrize("value", [3, np.int32(3), np.uint8(3)])
def test_whole_numbers(value: Any) -> None:
    for found in (checks.whole("n", value), checks.whole("n", value, least=3), checks.whole("n", value, 0, most=3)):
        assert found == 3 and type(found) is int


@pytest.mark.parametrize("value", ["3", None, True, np.True_, 3.0, np.float64(3), [3], np.array(3.0), NAN, 1, -7])
def test_what_is_not_whole_or_too_small(value: Any) -> None:
    with pytest.raises(ValueError) as found:
        checks.whole("pairs", value, least=2)
    assert str(found.value) == f"pairs must be a whole number of at least 2; got {value!r}."


@pytest.mark.parametrize("value", [-1, 3, 1.5])
def test_whole_numbers_of_a_range(value: Any) -> None:
    assert [checks.whole("order", k, least=0, most=2) for k in (0, 1, 2)] == [0, 1, 2]
    with pytest.raises(ValueError, match=f"^order must be a whole number from 0 to 2; got {value}"):
        checks.whole("order", value, least=0, most=2)


@pytest.mark.parametrize("value", [1.5, np.float32(1.5), np.array(1.5), jnp.array(1.5), Fraction(3, 2), Decimal("1.5")])
def test_numbers_of_every_kind_become_floats(value: Any) -> None:
    found = [checks.finite("a", value), checks.positive("a", value), checks.nonnegative("a", value)]
    found += [checks.between("a", value, 1.5, 2), checks.between("a", value, 1, 1.5)]
    assert found == [1.5] * 5 and all(type(number) is float for number in found)


CHECKS: list[tuple[Callable[..., float], tuple[float, ...], tuple[float, ...], str]] = [
    (checks.finite, (-2.5, 0, 7), (), "a finite number"),
    (checks.positive, (1e-300, 7), (0, -0.0, -2.5), "a finite number above zero"),
    (checks.nonnegative, (0, -0.0, 7), (-1e-300, -2.5), "a finite number of at least 0"),
]


@pytest.mark.parametrize(("check", "good", "bad", "words"), CHECKS)
def test_numbers_by_their_size(check: Callable[..., float], good: Any, bad: Any, words: str) -> None:
    assert [check("snr", value, ", in dB") for value in good] == list(good)
    for value in (*NO_NUMBERS, *bad):
        with pytest.raises(ValueError) as found:
            check("snr", value, ", in dB")
        assert str(found.value) == f"snr must be {words}, in dB; got {value!r}."


@pytest.mark.parametrize(("ends", "good", "bad"), [
    ("[]", (2, 3, 5), (1.999, 5.001)), ("()", (2.001, 4.999), (2, 5)),
    ("(]", (2.001, 5), (2, 5.001)), ("[)", (2, 4.999), (1.999, 5)),
])  # fmt: skip
def test_numbers_of_a_range(ends: str, good: Any, bad: Any) -> None:
    for value in good:
        assert checks.between("level", value, 2, 5, ends) == value
    for value in (*NO_NUMBERS, *bad):
        with pytest.raises(ValueError) as found:
            checks.between("level", value, 2, 5, ends)
        assert str(found.value) == f"level must be a number in {ends[0]}2, 5{ends[1]}; got {value!r}."
    with pytest.raises(ValueError, match=r"in \(2, inf\); got inf"):
        checks.between("degrees", INF, 2, INF, "()")


@pytest.mark.parametrize("value", [(1, 2.5), [1, 2.5], np.array([1, 2.5])])
def test_pairs(value: Any) -> None:
    assert (
        checks.pair("rate", value, "(first, last)") == checks.pair("rate", value, "(first, last)", above=0) == (1, 2.5)
    )


@pytest.mark.parametrize("value", [1, (1,), (1, 2, 3), (1, NAN), (1, "2"), "12", None, {1: 2, 3: 4}, np.ones((2, 2))])
def test_what_is_no_pair(value: Any) -> None:
    with pytest.raises(ValueError) as found:
        checks.pair("window", value, "(first, end), in s")
    assert str(found.value) == f"window must be two finite numbers (first, end), in s; got {value!r}."


def test_pairs_above_a_limit() -> None:
    with pytest.raises(ValueError, match=r"rate must be two finite numbers above 0 \(first, last\); got \(1, 0\)"):
        checks.pair("rate", (1, 0), "(first, last)", above=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 1.0), "points must be a whole number of at least 1; got 0."),
        ((3, -1.0), "duration must be a finite number above zero; got -1.0."),
        ((3, 1.0, -0.1), "noise must be a finite number of at least 0; got -0.1."),
    ],
)
def test_grids(arguments: tuple[Any, ...], message: str) -> None:
    checks.grid(3, 0.5, 0.0)
    with pytest.raises(ValueError) as found:
        checks.grid(*arguments)
    assert str(found.value) == message


def test_flags() -> None:
    assert checks.flag("refine", True) is checks.flag("refine", np.True_) is True
    for value in ("no", 1, 0, None, [True]):
        with pytest.raises(ValueError) as found:
            checks.flag("refine", value)
        assert str(found.value) == f"refine must be True or False; got {value!r}."


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("cubic", "method must be one of rk4, leapfrog, exact, or None; got 'cubic'."),
        ("leapfrg", "method must be one of rk4, leapfrog, exact, or None; got 'leapfrg'. Did you mean 'leapfrog'?"),
        (["rk4"], "method must be one of rk4, leapfrog, exact, or None; got ['rk4']."),
        (4, "method must be one of rk4, leapfrog, exact, or None; got 4."),
    ],
)
def test_one_of_a_few_words(value: Any, message: str) -> None:
    known = ("rk4", "leapfrog", "exact")
    assert checks.one_of("method", "exact", known) == "exact"
    assert checks.one_of("method", "rk4", dict.fromkeys(known)) == "rk4"
    with pytest.raises(ValueError) as found:
        checks.one_of("method", value, known, ", or None")
    assert str(found.value) == message


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (3, "free must be a name or several out of mu, sigma; got 3."),
        (("mu", 3), "free must be a name or several out of mu, sigma; got ('mu', 3)."),
        ("sgma", "free must name some of mu, sigma; got 'sgma'. Did you mean 'sigma'?"),
        (("mu", "tau"), "free must name some of mu, sigma; got 'tau'."),
        (("mu", "mu"), "free must name each once; got 'mu' 2 times."),
    ],
)
def test_some_of_a_few_words(value: Any, message: str) -> None:
    known = ("mu", "sigma")
    assert checks.some_of("free", "sigma", known) == ("sigma",)
    assert checks.some_of("free", ["sigma", "mu"], known) == ("sigma", "mu")
    assert checks.some_of("free", (), known) == ()
    with pytest.raises(ValueError) as found:
        checks.some_of("free", value, known)
    assert str(found.value) == message


def test_mappings_from_a_few_words() -> None:
    known = ("mu", "sigma")
    given = {"mu": np.float64(2.5), "sigma": 1}
    assert checks.numbers("values", given, known) == checks.mapping("values", given, known, "numbers") == given
    assert checks.numbers("values", None, known) == {}
    for value, message in (
        ("mu", "values must map names to numbers, out of mu, sigma; got 'mu'."),
        ({"sgma": 1}, "values must name some of mu, sigma; got 'sgma'. Did you mean 'sigma'?"),
        ({"mu": NAN}, "values: mu must be a finite number; got nan."),
    ):
        with pytest.raises(ValueError) as found:
            checks.numbers("values", value, known)
        assert str(found.value) == message


def test_shapes() -> None:
    found = checks.shaped("truth", [1, 2], (2,), "one value for each of mu, sigma")
    assert isinstance(found, np.ndarray) and found.tolist() == [1, 2]
    for value, shape in ((3.0, ()), ([1.0, 2.0, 3.0], (3,)), (np.ones((2, 1)), (2, 1))):
        with pytest.raises(ValueError) as refused:
            checks.shaped("truth", value, (2,), "one value for each of mu, sigma")
        assert str(refused.value) == f"truth must have one value for each of mu, sigma, shape (2,); got shape {shape}."


def test_numbers_of_arguments() -> None:
    assert checks.takes(lambda key, theta, inputs=None: theta, 2)
    assert checks.takes(lambda *rows: rows, 7)
    assert not checks.takes(lambda key, *, theta: theta, 2)
    assert not checks.takes(lambda: None, 1)
    assert checks.takes(dict, 1)  # of which Python does not tell


def test_seeds_texts_and_folders() -> None:
    assert [checks.seed("seed", value) for value in (0, np.int64(7), 2**63 - 1)] == [0, 7, 2**63 - 1]
    assert checks.text("unit", "") == "" and checks.folder("out", "a/b") == checks.folder("out", Path("a/b")) == Path(
        "a/b"
    )
    refused = [
        (checks.seed, 2**63, f"n must be a whole number from 0 to {2**63 - 1}; got {2**63}."),
        (checks.text, 5, "n must be a string; got 5."),
        (checks.folder, "", "n must be the path of a folder; got ''."),
        (checks.folder, 5, "n must be the path of a folder; got 5."),
    ]
    for check, value, words in refused:
        with pytest.raises(ValueError) as found:
            check("n", value)
        assert str(found.value) == words
