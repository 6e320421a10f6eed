"""Numbers as people write them: decimal commas, signs that part thousands, exponents of Fortran.

    1,234.5    1.234,5    1 234,5    1'234.5    1.5D+03

What a comma or a point means is seen from all numbers of a table. A single `1,234` may be a decimal or thousands, and
is refused where nothing else in the table tells.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

EXPONENT = r"([eEdD][+-]?\d+)?"
FORTRAN = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))[dD]([+-]?\d+)")
COMMA = re.compile(rf"[+-]?\d*,\d+{EXPONENT}")  # a decimal one
# Of three digits each, behind a first one of one to three that no zero begins
GROUPED = {
    ",": re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d*)?"),
    ".": re.compile(r"[+-]?[1-9]\d{0,2}(\.\d{3})+(,\d*)?"),
    " ": re.compile(r"[+-]?[1-9]\d{0,2}( \d{3})+([.,]\d*)?"),
}
# Signs that stand in a number for this alone: apostrophes, and blanks at which no line is broken
ALONE = "'’\u00a0\u2007\u2009\u202f"
APART = re.compile(rf"(?<![\w.,'’])[1-9]\d{{0,2}}(?:[{ALONE}]\d{{3}})+(?![\w'’])")

Cell = tuple[int, str]  # its line, from 1, and what it holds


class Signs(NamedTuple):
    """What a comma and a point mean in the numbers of a table.

    Args:
        decimal: the decimal sign, "." or ",".
        thousands: what parts thousands, "," or "."; "": nothing but blanks.

    Example:
        >>> Signs(",", ".").value("1.234,5"), Signs(".", ",").value("1,234.5"), Signs().value("1 234.5")
        (1234.5, 1234.5, 1234.5)
        >>> Signs(",", ".").value("1.5"), Signs().value("1,234")
        (None, None)
    """

    decimal: str = "."
    thousands: str = ""

    def value(self, cell: str) -> float | None:
        """Read a number; None where it is none."""
        if self.decimal == "." and (value := number(cell)) is not None:
            return value  # nearly always
        cell = cell.strip()
        for sign in (" ", self.thousands):
            if sign and sign in cell and GROUPED[sign].fullmatch(cell):
                cell = cell.replace(sign, "")
        if self.decimal == ",":
            return None if "." in cell else number(cell.replace(",", "."))
        return number(cell)


def number(cell: str) -> float | None:
    """Read a number with a decimal point, or of Fortran's double precision; None where it is none.

    Example:
        >>> number("1.5D+03"), number(" -2e3"), number("1,5")
        (1500.0, -2000.0, None)
    """
    try:
        return float(cell)
    except ValueError:
        found = FORTRAN.fullmatch(cell.strip())
        return None if found is None else float(f"{found[1]}e{found[2]}")


def like_number(cell: str) -> bool:
    """Say whether a cell is a number by one sign or another."""
    return any_value(cell) is not None


def any_value(cell: str) -> float | None:
    """Read a number whatever its signs are, a comma that may be a decimal one as such; None where it is none."""
    if (value := number(cell)) is not None:
        return value
    cell = cell.strip()
    if COMMA.fullmatch(cell):
        return Signs(",").value(cell)
    grouped = next((sign for sign, form in GROUPED.items() if form.fullmatch(cell)), None)
    if grouped is None:
        return None
    return number(cell.replace(grouped, "").replace(",", "."))


def joined(text: str) -> str:
    """Leave out signs between digits that part thousands and nothing else.

    Example:
        >>> joined("1'234.5;12'345'678")
        '1234.5;12345678'
    """
    there = any(sign in text for sign in ALONE)
    return APART.sub(lambda found: re.sub(r"\D", "", found[0]), text) if there else text


def signs_of(columns: Sequence[Sequence[Cell]], path: object, blank: Iterable[str] = ()) -> Signs:
    """See which signs the numbers of a table have.

    Args:
        columns: the cells of each column.
        path: the file, for messages.
        blank: cells, in small letters, that hold no number and say nothing.

    Raises:
        ValueError: if cells have different decimal signs, or commas may be decimal ones or part thousands.
    """
    cells = [cell for column in columns for cell in column]
    commas = _first(cells, lambda text: "," in text and COMMA.fullmatch(text) and not GROUPED[","].fullmatch(text))
    # Of columns that hold nothing but numbers: an address such as 192.168.100.200 is none
    told = [column for column in columns if any("," in text or text.count(".") > 1 for _, text in column)]
    rows = [cell for column in told if _numeric(column, blank) for cell in column]
    either = _first(rows, lambda text: text.count(",") == 1 and "." not in text and GROUPED[","].fullmatch(text))
    english = _first(rows, lambda text: (text.count(",") > 1 or "." in text) and GROUPED[","].fullmatch(text))
    other = _first(rows, lambda text: (text.count(".") > 1 or "," in text) and GROUPED["."].fullmatch(text))
    if (decimal := other or commas) is not None:
        _refuse_two(decimal, english, path)
        parted = GROUPED["."].fullmatch if other else lambda text: False
        _refuse_two(decimal, _first(cells, lambda text: _pointed(text) and not parted(text)), path)
        return Signs(",", "." if other else "")
    if english is not None:
        return Signs(".", ",")
    if either is not None:
        _refuse_two(either, _first(cells, _pointed), path)
        raise ValueError(
            f"{path} has commas that may be decimal signs or part thousands: line {either[0]} has {either[1]!r}. Say "
            "which the decimal sign is, by decimal=',' or decimal='.' (--decimal , or --decimal .)."
        )
    return Signs()


def _first(cells: Iterable[Cell], holds: Callable[[str], object]) -> Cell | None:
    return next(((line, text.strip()) for line, text in cells if holds(text.strip())), None)


def _numeric(column: Sequence[Cell], blank: Iterable[str]) -> bool:
    return all(like_number(text) or text.strip().lower() in blank for _, text in column)


def _pointed(text: str) -> bool:
    return "." in text and number(text) is not None


def _refuse_two(comma: Cell, point: Cell | None, path: object) -> None:
    if point is not None:
        raise ValueError(
            f"{path} must have one decimal sign; line {comma[0]} has {comma[1]!r}, line {point[0]} has {point[1]!r}. "
            "Write decimal points in both, and nothing between thousands."
        )
