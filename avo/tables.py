"""Tables as text: columns aligned for a terminal, Markdown for a page, numbers as long as their errors allow."""

import html
import math
from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Write rows of cells as lines whose columns start one below the other, two blanks apart; the head is a row.

    Args:
        rows: cells, as many in each row.

    Example:
        >>> print("\\n".join(aligned([["parameter", "estimate"], ["mu", "1.31"], ["sigma", "0.5"]])))
        parameter  estimate
        mu         1.31
        sigma      0.5
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]], right: int | None = None) -> list[str]:
    """Write a head and rows of cells as the lines of a Markdown table.

    Args:
        head: a name for each column.
        rows: cells, as many in each row as in the head.
        right: the first column that is set to the right, as numbers are, with all after it; None: no column.

    Example:
        >>> print("\\n".join(markdown(["task", "error"], [["poisson", "1.05"]], right=1)))
        | task | error |
        |---|---:|
        | poisson | 1.05 |
    """
    first = len(head) if right is None else right
    rule = "".join("|---:" if i >= first else "|---" for i in range(len(head)))
    return [f"| {' | '.join(head)} |", f"{rule}|", *(f"| {' | '.join(row)} |" for row in rows)]


def rounded(value: float, error: float) -> str:
    """Write a number to two digits of its error; to five digits where it has none.

    Args:
        value: the number.
        error: its error, above zero; of none, NaN or infinity.

    Example:
        >>> rounded(2.50734, 0.0312), rounded(0.0312, 0.0312), rounded(-1234.5, 99.7), rounded(2.50734, float("inf"))
        ('2.507', '0.031', '-1230', '2.5073')
        >>> rounded(1.23456e-5, 4.2e-8), rounded(4.2e-8, 4.2e-8)
        ('1.2346e-05', '4.2e-08')
    """
    if not (math.isfinite(value) and math.isfinite(error) and error > 0):
        return f"{value:.5g}"
    last = int(f"{error:.1e}".partition("e")[2]) - 1  # place of the error's second digit, as a power of ten
    value = round(value, -last) + 0.0  # no negative zero
    size = max(abs(value), error)
    if 1e-4 <= size < 1e7:
        return f"{value:.{max(-last, 0)}f}"
    digits = max(math.floor(math.log10(abs(value))) - last, 0) if value else 0
    return f"{value:.{digits}e}"


def written(value: float, error: float) -> tuple[str, str]:
    """Write a number and its error, both to two digits of the error."""
    return rounded(value, error), rounded(error, error)


def whole_number(value: float, ends: tuple[float, float]) -> str:
    """Write an estimate that is a whole number with the first and last whole number of its 90 % interval.

    Example:
        >>> whole_number(13.0, (12, 14)), whole_number(3.0, (3, 3))
        ('13 (90 %: 12 to 14)', '3 (90 %: 3 to 3)')
    """
    return f"{value:.0f} (90 %: {ends[0]:.0f} to {ends[1]:.0f})"


def html_table(rows: Sequence[Sequence[str]], lines: Sequence[str] = ()) -> str:
    """Write rows of cells, the head first, as a table of HTML, with lines of text below it.

    Example:
        >>> html_table([["name", "p"], ["a & b", "< 0.1"]], ["done"])
        '<table><thead><tr><th>name</th><th>p</th></tr></thead><tbody><tr><td>a &amp; b</td><td>&lt;
        0.1</td></tr></tbody></table><p>done</p>'
    """
    head, *body = [[html.escape(cell) for cell in row] for row in rows]
    top = "".join(f"<th>{cell}</th>" for cell in head)
    below = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in body)
    text = "".join(f"<p>{html.escape(line)}</p>" for line in lines)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{below}</tbody></table>{text}"
