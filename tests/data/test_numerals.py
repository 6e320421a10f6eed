"""avo.data.numerals: numbers as people write them."""

import pytest

from avo.data.numerals import Signs, any_value, joined, like_number, number, signs_of


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("1.5D+03", 1500.0), ("-.25d-2", -0.0025), ("3D5", 3e5), (" 7.D0 ", 7.0), ("1e3", 1000.0), ("D3", None),
        ("1.5D", None), ("1,5", None), ("1 234", None), ("", None), ("12D4a", None),
    ],
)  # fmt: skip
def test_numbers_with_a_point_and_of_fortran(cell: str, value: float | None) -> None:
    assert number(cell) == value


@pytest.mark.parametrize(
    ("signs", "cell", "value"),
    [
        (Signs(), "1 234.5", 1234.5), (Signs(), "1,234.5", None), (Signs(), "12 34", None), (Signs(), "-1 234", -1234),
        (Signs(".", ","), "1,234.5", 1234.5), (Signs(".", ","), "1,23", None), (Signs(".", ","), "0,123", None),
        (Signs(".", ","), "1234,567", None), (Signs(",", "."), "1.234,5", 1234.5), (Signs(",", "."), "1.234", 1234.0),
        (Signs(",", "."), "1.23", None), (Signs(",", "."), "2,5", 2.5), (Signs(","), "1.234,5", None),
        (Signs(","), "1 234,5", 1234.5), (Signs(","), "2,5D1", 25.0), (Signs(","), "1,2,3", None),
    ],
)  # fmt: skip
def test_values_by_the_signs_of_a_table(signs: Signs, cell: str, value: float | None) -> None:
    assert signs.value(cell) == value


def column(*cells: str) -> list[tuple[int, str]]:
    return list(enumerate(cells, 1))


@pytest.mark.parametrize(
    ("columns", "signs"),
    [
        ([column("1.5", "7")], Signs()),
        ([column("2,5", "1,234")], Signs(",")),
        ([column("0,125", "1,234")], Signs(",")),
        ([column("1,234,567", "1,234")], Signs(".", ",")),
        ([column("1,234"), column("1,234.5")], Signs(".", ",")),
        ([column("1.234.567"), column("1.234")], Signs(",", ".")),
        ([column("1.234,5", "", "na")], Signs(",", ".")),
        ([column("192.168.100.200", "10.0.0.1"), column("1.5", "2.5")], Signs()),
        ([column("1,234", "a, b")], Signs()),
    ],
)
def test_the_signs_are_those_of_all_numbers(columns: list[list[tuple[int, str]]], signs: Signs) -> None:
    assert signs_of(columns, "x.csv", ("", "na")) == signs


def test_what_is_like_a_number_whatever_its_signs() -> None:
    assert [any_value(cell) for cell in ("1,5", "1.234.567,5", "1,234,567.5", "1 234,5", "a", "1,2,3")] == [
        1.5, 1234567.5, 1234567.5, 1234.5, None, None,
    ]  # fmt: skip
    assert like_number("nan") and not like_number("1;5")


def test_signs_that_part_thousands_and_nothing_else_are_left_out() -> None:
    assert joined("12'345'678.5 1\u202f234 0'234 12'34 it's 5'000a") == "12345678.5 1234 0'234 12'34 it's 5'000a"
    assert joined("1.5\u00a0234") == "1.5\u00a0234"
