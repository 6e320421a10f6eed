"""Tables in text: what parts the cells, which line names the columns, which comma is a decimal one."""

import csv
import gzip
import io
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from avo.alerts import warn
from avo.data.columns import Columns, Numbers, positions
from avo.data.numerals import Signs, any_value, joined, like_number, number, signs_of

LACKING = ("", "na", "n/a", "null", "none", ".")  # cells that hold no number, where values may be missing
EVEN = 5  # columns from which a row that rises in even steps may be a heading
BLANKS = r"[1-9]\d{0,2}(?: \d{3}){1,4}"  # whole numbers whose thousands are parted
# Rows of such numbers, by what parts cells: one of them, or of blanks several with decimals
PARTED = {
    ",": re.compile(r"[+-]?[1-9]\d{0,2}(?:,\d{3}){1,4}(?:\.\d*)?"),
    " ": re.compile(rf"[+-]?{BLANKS}(?:[.,]\d+)?|[+-]?{BLANKS}[.,]\d+(?: [+-]?{BLANKS}[.,]\d+)+"),
}
SMALL = re.compile(r"[+-]?\d{1,3}(?:[.,]\d*)?")  # a number that has no thousands
WORD = re.compile(r"[^\s\d]\S*(\s*[\[(][^\])]*[\])])?")  # a name in a comment, maybe with a unit
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", " ": "white space", "\n": "lines"}


class Cells(Numbers):
    """A table in text: its rows of cells with their lines, and the names of its columns."""

    def __init__(self, path: Path, chosen: bool, decimal: str | None, missing: bool = False) -> None:
        self.path, self.missing, text = path, missing, _text_of(path)
        sign = _separator(text, path.name.lower())
        try:
            lines = list(_rows(text, sign))
        except csv.Error as error:
            raise ValueError(f"{path} cannot be read as a table ({error}). Save it as plain text, UTF-8.") from error
        if decimal == "," and sign == "," and not any("," in cell for _, row in lines for cell in row):
            sign, lines = "\n", [(line, [",".join(row)]) for line, row in lines]
        first = next((i for i, (_, row) in enumerate(lines) if any(like_number(cell) for cell in row)), None)
        if first is not None and _numbers_columns(lines[first][1]) and lines[first][1][0] == "" and lines[first + 1 :]:
            first += 1  # a heading 0, 1, 2, ... behind that of an index, which is empty
        if first is None:
            line = next((",".join(row) for _, row in lines), "")
            if len(lines) == 1:
                raise ValueError(
                    f"{path} must hold numbers, a row for each observation; it has a heading and no rows: "
                    f"{line[:60]!r}."
                )
            parted = SEPARATORS.get(sign, repr(sign))
            raise ValueError(
                f"{path} must hold numbers in cells separated by {parted}; its first line is {line[:60]!r}."
            )
        headings, self.lines = lines[:first] or _commented(text, lines[first], sign), lines[first:]
        if not chosen:
            self._refuse_parted_thousands(sign, headings)
        if missing:
            width = max(len(row) for _, row in self.lines)
            self.lines = [(line, row + [""] * (width - len(row))) for line, row in self.lines]
        if decimal is None and not chosen:
            self._refuse_decimal_commas(sign, headings)
        # Who says the decimal sign says what the other one is
        self.signs = None if decimal is None else Signs(decimal, ",."[decimal == ","])
        self._take_headings(headings)
        self.left = self._unnamed_index(sign, headings)

    def _refuse_decimal_commas(self, sign: str, headings: list[tuple[int, list[str]]]) -> None:
        """Refuse rows such as 1,5, which are one column with decimal commas as well as two columns."""
        if sign != "," or any(len(row) == 2 for _, row in headings):
            return
        after = []
        for _, row in self.lines:
            pair = re.fullmatch(rf"\s*[+-]?(?:\d+|{BLANKS}),(\d+)\s*", ",".join(row))
            if pair is None or len(row) != 2:
                return
            after.append(pair[1])
        if len(set(map(len, after))) == 1 or not any(len(digits) > 1 and digits.endswith("0") for digits in after):
            line, row = self.lines[0]
            raise ValueError(
                f"{self.path} may hold one column with decimal commas or two columns of whole numbers: line {line} is "
                f"{','.join(row)!r}. Say which, by decimal=',' or columns=[0, 1] (--decimal , or --columns 0,1), or "
                "write decimal points."
            )

    def _refuse_parted_thousands(self, sign: str, headings: list[tuple[int, list[str]]]) -> None:
        """Refuse rows such as 1,234.5, or 1 234, which are one number whose thousands are parted, or several cells."""
        widths = {len(row) for _, row in self.lines}
        if sign not in PARTED or widths == {1} or any(len(row) in widths - {1} for _, row in headings):
            return
        parted = []
        for line, row in self.lines:
            text = sign.join(map(str.strip, row))
            if PARTED[sign].fullmatch(text) and not any(sign in cell for cell in row):
                parted.append((line, text, len(row)))
            elif not SMALL.fullmatch(text):
                return
        firsts = [row[0].strip().lstrip("+-") for _, row in self.lines]
        if not parted or (len(widths) == 1 and (_steps_evenly(firsts) or all(len(cell) == 3 for cell in firsts))):
            return  # columns, of which the first one numbers the rows, or all have three digits
        line, text, width = parted[0]
        by = SEPARATORS[sign] + (", or with decimal commas" if sign == "," and width == 2 and "." not in text else "")
        raise ValueError(
            f"{self.path} may hold numbers whose thousands are parted by {by}, or {width} columns: "
            f"line {line} is {text!r}. Write thousands together; or say columns={list(range(width))} (--columns "
            f"{','.join(map(str, range(width)))}) if these are columns."
        )

    def _take_headings(self, headings: list[tuple[int, list[str]]]) -> None:
        """Take the names of columns, and judge a first row 0, 1, 2, ... of which nothing says what it is."""
        first = self.lines[0][1]
        width = len(first)
        wide = [line for line in headings if len(line[1]) == width]
        # More lines than one without a number are no headings, but rows whose cells are not numbers
        self.names = [cell.strip() for cell in wide[0][1]] if wide else None
        self.lines = wide[1:] + self.lines
        if wide or not self.lines[1:]:
            return
        if not _numbers_columns(first):
            self._warn_of_times()
            return
        told, line = ",".join(first[:9]), self.lines[0][0]
        decimals = any(self._any_value(cell) is not None and not cell.strip().lstrip("+-").isdigit()
                       for _, row in self.lines[1:] for cell in row)  # fmt: skip
        if width > 2 and decimals:
            self.lines = self.lines[1:]
            what = "numbers the columns, and is left out; if it is an observation, write 0.0"
        else:
            what = "is taken for an observation; if it numbers the columns, delete it"
        warn(f"{self.path}: the first row (line {line}), {told}, {what}.")

    def _warn_of_times(self) -> None:
        """Warn of a first row that rises in even steps, as times and places in a heading do and the second does not."""
        if not self._even(self.lines[0][1]) or self._even(self.lines[1][1]):
            return
        line, row = self.lines[0]
        warn(
            f"{self.path}: the first row (line {line}), {','.join(row[:5])},..., rises in even steps and is taken for "
            f"an observation; if it is a heading, give it names, such as {row[0].strip()} s.",
        )

    def _even(self, row: list[str]) -> bool:
        """Say whether a row rises in steps that are even but for the rounding of its cells."""
        found = [self._any_value(cell) for cell in row]
        values = np.array([np.nan if value is None else value for value in found])
        steps = np.diff(values)
        return len(row) >= EVEN and bool(np.all(steps > 0)) and float(np.ptp(steps)) <= 0.05 * float(steps.mean())

    def _unnamed_index(self, sign: str, headings: list[tuple[int, list[str]]]) -> list[int]:
        """Find a first column that has no name and only numbers or names the rows, as pandas and R write it."""
        width = len(self.lines[0][1])
        if sign != "," and self.names is None and headings and 1 < width == len(headings[-1][1]) + 1:
            # R's write.table, which parts cells by blanks, gives the column of row names no heading at all
            self.names = ["", *(cell.strip() for cell in headings[-1][1])]
            if not self._counts():
                self.names = None
        if self.names is None or width < 2 or self.names[0] not in ("", "Unnamed: 0") or not all(self.names[1:]):
            return []
        if not (self._counts() or all(self._any_value(row[0]) is None for _, row in self.lines)):
            return []
        return [0]

    def _counts(self) -> bool:
        """Say whether the first column holds whole numbers that are all different: rising, or without a gap."""
        cells = [row[0].strip() for _, row in self.lines]
        if not all(cell.isdigit() for cell in cells):
            return False
        numbers = [int(cell) for cell in cells]
        apart = [b - a for a, b in zip(numbers[:-1], numbers[1:], strict=True)]
        return all(step > 0 for step in apart) or sorted(numbers) == list(range(min(numbers), max(numbers) + 1))

    def places(self, columns: Columns, argument: str) -> list[Any]:
        return positions(columns, self.names, len(self.lines[0][1]), argument, self.path)

    def rest(self, others: Sequence[Any]) -> tuple[np.ndarray, tuple[str, ...]]:
        if left := [i for i in self.left if i not in others]:
            warn(
                f"{self.path}: the first column has no name and only tells rows apart; it is left out. To take it, "
                "choose it by columns.",
            )
        kept = [i for i in range(len(self.lines[0][1])) if i not in (*others, *left)]
        if self.names and (bare := [i for i in kept if self.names[i] == ""]) and len(bare) < len(kept):
            which = ", ".join(map(str, bare))
            warn(
                f"{self.path}: column {which}, counted from 0, has no name and is taken for part of the observations; "
                "if it only names rows, say --index (index=), or choose the others by columns.",
            )
        return self.numbers(kept), self.named(kept)

    def numbers(self, places: list[Any]) -> np.ndarray:
        x = np.empty((len(self.lines), len(places)))
        signs = self._signs(places)
        for i, (line, row) in enumerate(self.lines):
            self._check_width(i)
            for j, position in enumerate(places):
                lacks = self.missing and row[position].strip().lower() in LACKING
                value = float("nan") if lacks else signs.value(row[position])
                if value is None:
                    column = repr(self.names[position]) if self.names else position
                    known = row[position].strip().lower() in LACKING
                    words = " Or say --missing (missing=True): it is a missing value." if known else ""
                    if not known and self._names_rows(position):
                        own = self.names[position] if self.names and self.names[position] else position
                        words = f" Or say --index {shlex.quote(str(own))} (index={own!r}) of what only names the rows."
                    raise ValueError(
                        f"{self.path} must hold numbers; row {i} (line {line}), column {column} holds "
                        f"{row[position]!r}. Mend the cell, or choose other columns.{words}"
                    )
                x[i, j] = value
        return x

    def _names_rows(self, position: int) -> bool:
        """Say whether no cell of a column is a number, as of dates and names."""
        return all(position >= len(row) or self._any_value(row[position]) is None for _, row in self.lines)

    def _signs(self, places: list[Any]) -> Signs:
        """See what commas and points mean in some columns."""
        if self.signs is not None:
            return self.signs
        columns = [[(line, row[place]) for line, row in self.lines if place < len(row)] for place in places]
        return signs_of(columns, self.path, LACKING)

    def words(self, place: Any) -> np.ndarray:
        for i in range(len(self.lines)):
            self._check_width(i)
        return np.array([row[place].strip() for _, row in self.lines])

    def _check_width(self, i: int) -> None:
        width, (line, row) = len(self.lines[0][1]), self.lines[i]
        if len(row) != width:
            raise ValueError(
                f"{self.path} must have {width} cells in every row, as in its first; row {i} (line {line}) has "
                f"{len(row)}. Mend it, or say --missing (missing=True): shorter rows lack their ends."
            )

    def _any_value(self, cell: str) -> float | None:
        """Read a cell as a number by whatever signs it has, to see what kind of row or column it is in."""
        return float("nan") if self.missing and cell.strip().lower() in LACKING else any_value(cell)


def _text_of(path: Path) -> list[str]:
    """Read the lines of a text file, line ends kept."""
    opened = gzip.open if path.name.lower().endswith(".gz") else open
    try:
        with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
            text: Any = joined(str(file.read()))
    except (UnicodeDecodeError, EOFError, OSError) as error:
        if path.suffix.lower() == ".dat":
            raise ValueError(
                f"{path} is no text, and no {path.with_suffix('.hea').name} beside it says that it is a WFDB record."
            ) from error
        raise ValueError(f"{path} cannot be read as a CSV file ({error}). Save it as plain text, UTF-8.") from error
    return list(io.StringIO(text, newline=""))


def _separator(text: list[str], name: str) -> str:
    """See what parts the cells, from the last line with a digit; a first line `sep=;`, as Excel reads it, says so."""
    lines = [line.strip() for line in text if line.strip() and not line.lstrip().startswith("#")]
    if lines and (said := re.fullmatch(r"sep=(.)", lines[0])):
        return said[1]
    # Not the first line: a title may have digits, and any sign
    data = [line for line in lines if re.search(r"\d", line)]
    line = re.sub(r'"[^"]*"', "0", data[-1]) if data else ""
    if ";" in line and any(map(like_number, line.split(";"))):
        return ";"
    if "\t" in line and any(map(like_number, line.split("\t"))) and not _blanks_beside_tabs(data):
        return "\t"
    commas, blanks = sum(number(cell) is not None for cell in line.split(",")), sum(map(like_number, line.split()))
    if name.endswith((".csv", ".csv.gz")):
        return " " if "," not in line and blanks == len(line.split()) > 1 else ","
    return "," if commas > blanks else " "


def _blanks_beside_tabs(data: list[str]) -> bool:
    """Say whether blanks part numbers, too: in a line without a tab, or between two tabs."""
    parts = [(part.split(), "\t" in line) for line in data for part in line.split("\t")]
    return any(
        len(part) > 1 and all(map(like_number, part)) and not (beside and like_number(" ".join(part)))
        for part, beside in parts
    )  # fmt: skip


def _rows(text: list[str], sign: str) -> Any:
    """Part lines into cells, with the number of the line each row ends at; empty lines and comments are skipped."""
    if sign == " ":
        text = [" ".join(line.split()) + "\n" for line in text]
    else:
        text = [re.sub(rf'{re.escape(sign)} +(?=")', lambda _: sign, line) if '"' in line else line for line in text]
    reader = csv.reader(text, delimiter=sign)
    for row in reader:
        said = reader.line_num == 1 and re.fullmatch(r"sep=.?", sign.join(row).rstrip(sign))
        if not (said or _skipped(row)):
            yield reader.line_num, row


def _skipped(row: list[str]) -> bool:
    return row == [] or row[0].lstrip().startswith("#") or (len(row) == 1 and not row[0].strip())


def _commented(text: list[str], first: tuple[int, list[str]], sign: str) -> list[tuple[int, list[str]]]:
    """Take the names of columns from a comment above the first row: the only one with as many words, none a number."""
    found = []
    for line, words in enumerate(text[: first[0] - 1], 1):
        if not words.lstrip().startswith("#"):
            continue
        bare = words.strip().lstrip("#").strip()
        ways = (bare.split(sign), re.split(r"[\s,;]+", bare))
        found += [(line, [c.strip().strip('"') for c in cells]) for cells in ways if len(cells) == len(first[1])][:1]
    if len(found) != 1 or not all(WORD.fullmatch(cell) and not like_number(cell) for cell in found[0][1]):
        return []
    return found if len(set(found[0][1])) == len(found[0][1]) else []


def _steps_evenly(cells: list[str]) -> bool:
    """Say whether whole numbers rise or fall in even steps, two of them by one."""
    steps = {int(b) - int(a) for a, b in zip(cells[:-1], cells[1:], strict=True) if a.isdigit() and b.isdigit()}
    return len(steps) == 1 and (steps == {1} or (len(cells) > 2 and steps != {0}))


def _numbers_columns(row: list[str]) -> bool:
    """Say whether cells are 0, 1, 2, ..., behind an empty one or not."""
    cells = [cell.strip() for cell in row]
    cells = cells[1:] if cells[0] == "" else cells
    return len(row) > 1 and cells == [str(i) for i in range(len(cells))]
