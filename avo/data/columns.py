"""Files whose numbers stand in columns: which ones are asked for, and what they hold."""

import difflib
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from avo.checks import did_you_mean
from avo.containers import is_frame, plain, words_of

SHOWN = 12  # names of columns in a message
Columns = str | int | Sequence[str | int]


class Numbers:
    """An array of numbers, of which the last axis may have names."""

    def __init__(self, path: Path, x: np.ndarray, names: Sequence[str] | None = None) -> None:
        self.path, self.x, self.names = path, x, None if names is None else list(names)

    def places(self, columns: Columns, argument: str) -> list[Any]:
        if self.x.ndim < 2:
            raise ValueError(
                f"{argument} chooses along the last axis of a table; {self.path} has shape {self.x.shape}. "
                "Leave it out."
            )
        return positions(columns, self.names, self.x.shape[-1], argument, self.path)

    def rest(self, others: Sequence[Any]) -> tuple[np.ndarray, tuple[str, ...]]:
        if not others:
            return self.x, tuple(self.names or ())
        kept = [i for i in range(self.x.shape[-1]) if i not in others]
        return self.numbers(kept), self.named(kept)

    def numbers(self, places: list[Any]) -> np.ndarray:
        return self.x[..., places]

    def named(self, places: list[Any]) -> tuple[str, ...]:
        return tuple(self.names[i] for i in places) if self.names else ()

    def words(self, place: Any) -> np.ndarray:
        return self.x[..., place]


class Arrays(Numbers):
    """A file of NumPy's; of an `.npz` file a name is that of an array beside x."""

    def __init__(self, path: Path, key: str | None) -> None:
        super().__init__(path, _read_numpy(path, key))

    def places(self, columns: Columns, argument: str) -> list[Any]:
        if argument != "columns" and isinstance(columns, str) and self.path.suffix.lower() == ".npz":
            return [_read_numpy(self.path, columns, words=argument not in ("inputs", "weights"), argument=argument)]
        return super().places(columns, argument)

    def rest(self, others: Sequence[Any]) -> tuple[np.ndarray, tuple[str, ...]]:
        return super().rest([other for other in others if isinstance(other, int)])

    def numbers(self, places: list[Any]) -> np.ndarray:
        return places[0] if places and isinstance(places[0], np.ndarray) else super().numbers(places)

    def named(self, places: list[Any]) -> tuple[str, ...]:
        return ()

    def words(self, place: Any) -> np.ndarray:
        return place if isinstance(place, np.ndarray) else super().words(place)


class Frames(Numbers):
    """A file that pandas reads."""

    def __init__(self, path: Path) -> None:
        kind = path.suffix.lower()
        try:
            import pandas

            frame = pandas.read_parquet(path) if kind == ".parquet" else pandas.read_feather(path)
        except ImportError as error:
            raise ImportError(f"Reading {kind} files needs pandas and pyarrow: pip install pandas pyarrow.") from error
        except (OSError, ValueError) as error:
            raise ValueError(f"{path} cannot be read as a {kind} file ({error}). Save it again.") from error
        assert is_frame(frame)
        self.path, self.frame, self.names = path, frame, [str(column) for column in frame.columns]

    def places(self, columns: Columns, argument: str) -> list[Any]:
        return positions(columns, self.names, len(self.names or ()), argument, self.path)

    def rest(self, others: Sequence[Any]) -> tuple[np.ndarray, tuple[str, ...]]:
        kept = [i for i in range(self.frame.shape[1]) if i not in others]
        return self.numbers(kept), self.named(kept)

    def numbers(self, places: list[Any]) -> np.ndarray:
        try:
            return plain(str(self.path), self.frame.iloc[:, places])
        except ValueError as error:
            raise ValueError(
                f"{str(error).partition(' Convert')[0]} Choose other columns, or say --index (index=) of one "
                "that only names the rows."
            ) from error

    def words(self, place: Any) -> np.ndarray:
        return words_of(str(self.path), self.frame.iloc[:, place])


def existing(path: Path) -> Path:
    if path.is_dir():
        raise ValueError(f"{path} is a folder; expected a file. Name one of the files in it.")
    if not path.exists():
        if not path.parent.is_dir():
            raise FileNotFoundError(f"There is no file {path}: the folder {path.parent} does not exist.")
        near = difflib.get_close_matches(path.name, [p.name for p in path.parent.iterdir()])
        hint = f" Similar names beside it: {', '.join(near)}." if near else ""
        raise FileNotFoundError(f"There is no file {path}.{hint}")
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty; expected observations, one per row.")
    return path


def _read_numpy(path: Path, key: str | None, words: bool = False, argument: str = "key") -> np.ndarray:
    found: list[str] = []
    try:
        if path.suffix.lower() == ".npy":
            with path.open("rb") as file:
                x = np.lib.format.read_array(file, allow_pickle=False)
        else:
            with np.load(path, allow_pickle=False) as archive:
                found = archive.files
                wanted = key or ("x" if "x" in found or len(found) != 1 else found[0])
                x = archive[wanted] if wanted in found else None
    except (ValueError, TypeError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} cannot be read as an array of numbers ({error}). Save it again.") from error
    if x is None:
        raise ValueError(f"{argument} must name one of the arrays in {path}: {', '.join(found)}; got {key!r}.")
    if x.dtype.kind not in ("biufUS" if words else "biuf"):
        raise ValueError(f"{path} must hold real numbers; got dtype {x.dtype}. Convert the array and save it again.")
    return x


def positions(columns: Columns, names: Sequence[str] | None, width: int, argument: str, path: Path) -> list[int]:
    chosen = [columns] if isinstance(columns, (str, int)) else list(columns)
    if not chosen:
        raise ValueError(f"{argument} must name at least one column of {path}; got none. Leave it out, or name some.")
    places = [find_column(column, names, width, argument, path) for column in chosen]
    for i, place in enumerate(places):
        if place in places[:i]:
            first = chosen[places.index(place)]
            again = "" if first == chosen[i] else f", as {chosen[i]!r} too"
            raise ValueError(f"{argument} must name each column once; got {first!r} twice{again}. Leave one out.")
    return places


def find_column(column: str | int, names: Sequence[str] | None, width: int, argument: str, path: Path) -> int:
    if isinstance(column, str):
        # A name that stands twice is refused too: which one is meant only a number can say.
        if names is not None and list(names).count(column) == 1:
            return list(names).index(column)
    elif 0 <= column < width:
        return int(column)
    own = [name for name in names or () if name]
    some = ", ".join(own[:SHOWN]) + (f" and {len(own) - SHOWN} more" if len(own) > SHOWN else "")
    named, hint = (f" or a name among {some}", did_you_mean(column, own)) if own else ("", "")
    if (count := own.count(column)) > 1:  # pyright: ignore[reportArgumentType] - a number is no name
        hint = f" {count} columns have that name; choose one by its number."
    raise ValueError(f"{argument} must be a number from 0 to {width - 1}{named} (in {path}); got {column!r}.{hint}")
