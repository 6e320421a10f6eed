"""avo.tables: columns that stand one below the other, and a Markdown table's three parts."""

import pytest

from avo.tables import aligned, markdown


def test_columns_start_one_below_the_other_and_lines_end_without_blanks() -> None:
    lines = aligned([["", "mean", "sd"], ["position", "3", ""], ["v", "-1.25", "0.5"]])
    assert lines == ["          mean   sd", "position  3", "v         -1.25  0.5"]
    assert aligned([]) == []


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        aligned([["a", "b"], ["c"]])


def test_markdown_sets_numbers_to_the_right_from_the_column_named() -> None:
    assert markdown(["a", "b", "c"], [["x", "1", "2"], ["y", "3", "4"]], right=1) == [
        "| a | b | c |", "|---|---:|---:|", "| x | 1 | 2 |", "| y | 3 | 4 |",
    ]  # fmt: skip
    assert markdown(["a", "b"], [])[1] == "|---|---|"
