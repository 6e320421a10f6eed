"""Names of the axes of x, as `--axis` gives them, one for each axis of an observation, and of x, by `--quantity`."""

import re

import numpy as np

from avo.containers import Axis, Quantity

NAME = re.compile(r"\s*([^\[\]=]*[^\[\]=\s])\s*(?:\[([^\[\]]*)\])?\s*(?:=(.*))?")
FORM = "'time[s]=0:0.004' (first and step), 'dose[mg]=1,2,5' or 'lead=I,II,V1'"


def named(words: list[str] | None, x_shape: tuple[int, ...]) -> tuple[Axis, ...]:
    """Read `NAME[UNIT]=START:STEP`, coordinates or names with commas between, or `NAME[UNIT]` alone, for each axis.

    Raises:
        ValueError: if a word says none of this, or does not suit the observations.

    Example:
        >>> time, lead = named(["time[s]=0.5:0.25", "lead=I,II"], (4, 2))
        >>> time.name, time.unit, time.values.tolist(), lead.labels
        ('time', 's', [0.5, 0.75, 1.0, 1.25], ('I', 'II'))
        >>> named(["dose[mg]=1,2,5"], (3,))[0].entries
        ('dose 1 mg', 'dose 2 mg', 'dose 5 mg')
    """
    if not words:
        return ()
    if len(words) != len(x_shape):
        count = f"{len(x_shape)} ax{'i' if len(x_shape) == 1 else 'e'}s"
        raise ValueError(
            f"--axis must be said once for each axis of an observation, {count}; got it {len(words)} times."
        )
    axes = tuple(_axis(word, size) for word, size in zip(words, x_shape, strict=True))
    names = [axis.name for axis in axes]
    if len(set(names)) < len(names):
        raise ValueError(f"--axis must give each axis a name of its own; got {', '.join(names)}.")
    return axes


def measured(word: str | None) -> Quantity:
    """Read `NAME[UNIT]`, what x measures.

    Raises:
        ValueError: if the word is none.

    Example:
        >>> tuple(measured("concentration[mg/l]")), tuple(measured("count")), tuple(measured(None))
        (('concentration', 'mg/l'), ('count', ''), ('', ''))
    """
    if word is None:
        return Quantity()
    found = NAME.fullmatch(word)
    if found is None or found[3] is not None:
        raise ValueError(f"--quantity must look like 'concentration[mg/l]'; got {word!r}.")
    return Quantity(found[1], (found[2] or "").strip())


def _axis(word: str, size: int) -> Axis:
    found = NAME.fullmatch(word)
    if found is None:
        raise ValueError(f"--axis must look like {FORM}; got {word!r}.")
    name, unit, values = found[1], (found[2] or "").strip(), found[3]
    if values is None:
        return Axis(name, unit, np.arange(size))
    if ":" in values:
        first, step, *more = map(_number, values.split(":"))
        if first is None or not step or more:
            raise ValueError(f"--axis {name} must say first and step, like {FORM}; got {values!r}.")
        with np.errstate(over="ignore"):  # said below
            coordinates = first + step * np.arange(size)
        return Axis(name, unit, _rising(name, coordinates, values))
    entries = [entry.strip() for entry in values.split(",")]
    if len(entries) != size or not all(entries):
        raise ValueError(f"--axis {name} must have {size} entries with commas between, or START:STEP; got {values!r}.")
    numbers = [_number(entry) for entry in entries]
    if wrong := [entry for entry in entries if _number(entry) is None and _number(entry, finite=False) is not None]:
        raise ValueError(f"--axis {name} must have finite coordinates, or names; got {wrong[0]!r} in {values!r}.")
    if twice := [entry for entry in entries if entries.count(entry) > 1 and None in numbers]:
        raise ValueError(f"--axis {name} must name each entry otherwise; got {twice[0]!r} twice in {values!r}.")
    if None in numbers:
        return Axis(name, unit, np.arange(size), tuple(" ".join(filter(None, (entry, unit))) for entry in entries))
    return Axis(name, unit, _rising(name, np.array(numbers, float), values))


def _rising(name: str, coordinates: np.ndarray, values: str) -> np.ndarray:
    """Check that coordinates are finite and rise, so that each entry has a place of its own in a picture."""
    with np.errstate(invalid="ignore", over="ignore"):
        apart = np.diff(coordinates)
    if not (np.isfinite(coordinates).all() and np.all(apart > 0)):
        at = int(np.argmin(np.isfinite(apart) & (apart > 0)))
        pair = " is followed by ".join(f"{value:g}" for value in coordinates[at : at + 2].tolist())
        raise ValueError(
            f"--axis {name} must have finite coordinates that rise; in {values!r} {pair}. Mend them, order the columns "
            "so by --columns, or give names that are no numbers."
        )
    return coordinates


def _number(text: str, finite: bool = True) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if np.isfinite(value) or not finite else None
