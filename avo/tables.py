"""Tables as text: columns aligned for a terminal, Markdown for a page."""

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
