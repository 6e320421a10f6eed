"""What the words of options mean: names with values, numbers, columns, and what they say of a space."""

import ast
import re
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, overload

from avo import data
from avo.checks import did_you_mean
from avo.space import KINDS, Fixed, Space

if TYPE_CHECKING:
    pass

WORDS = {"true": True, "yes": True, "false": False, "no": False, "none": None}  # whatever their case


def named_pairs(words: list[str] | None, option: str) -> dict[str, str]:
    pairs = {}
    for word in words or []:
        name, equals, value = word.partition("=")
        if not (name and equals and value):
            raise ValueError(f"{option} must look like {option} name=value; got {word!r}.")
        if name.strip() in pairs:
            raise ValueError(f"{option} must give {name.strip()} once; got {pairs[name.strip()]} and {value.strip()}.")
        pairs[name.strip()] = value.strip()
    return pairs


def place(name: str, names: tuple[str, ...], option: str) -> int:
    if name not in names:
        hint = did_you_mean(name, names)
        raise ValueError(f"{option} must name a parameter of {', '.join(names)}; got {name!r}.{hint}")
    return names.index(name)


def numbers_of(text: str, size: int, option: str, form: str = "LOW,HIGH") -> list[float]:
    try:
        values = [float(word) for word in text.split(",")]
    except ValueError:
        values = []
    if len(values) != size:
        raise ValueError(f"{option} must be {'a number' if size == 1 else f'{size} numbers, {form}'}; got {text!r}.")
    return values


def literal(text: str) -> object:
    """Read a Python value, true, false, yes, no, inf or nan; other words stay words, several between commas a tuple."""
    text = text.strip()
    if text.lower() in WORDS:
        return WORDS[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        pass
    try:
        return float(text)  # inf, nan and the like
    except ValueError:
        return tuple(map(literal, text.split(","))) if "," in text else text


@overload
def columns_of(text: str | None) -> data.Columns | None: ...


@overload
def columns_of(text: str | None, single: str) -> str | int | None: ...


def columns_of(text: str | None, single: str = "") -> Any:
    """Read names or numbers of columns, of which an option may allow a single one."""
    if text is None:
        return None
    columns = [int(word) if word.strip().isdigit() else word.strip() for word in text.split(",")]
    if single and len(columns) > 1:
        raise ValueError(f"{single} must name one column; got {text!r}.")
    return columns[0] if len(columns) == 1 else columns


def space_of(text: str) -> Space:
    """Read the parameters of a space, `name=kind(numbers, unit=word)` or `name=number` with semicolons between.

    Example:
        >>> from avo.space import Interval, LogInterval
        >>> known = Space(rate=LogInterval(0.1, 10, unit="1/s"), k=Interval(0, 3), share=0.7)
        >>> space_of("rate=loginterval(.1,10,unit=1/s); k=Interval(low=0, high=3); share=0.7") == known
        True
    """
    parameters: dict[str, Any] = {}
    for part in filter(None, map(str.strip, text.split(";"))):
        fixed = re.fullmatch(r"([^\W\d]\w*)\s*=\s*([-+.\d][-+.\deE]*)", part)
        if fixed is not None:
            part = f"{fixed[1]}=fixed({fixed[2]})"
        found = re.fullmatch(r"([^\W\d]\w*)\s*=\s*(\w+)\s*\((.*)\)", part)
        if found is None:
            raise ValueError(f"--space must look like 'rate=loginterval(0.1,10,unit=1/s); k=real()'; got {part!r}.")
        name, kind, inside = found.groups()
        if name in parameters:
            raise ValueError(f"--space must say {name} once; got it twice.")
        parameters[name] = _parameter(name, kind, inside)
    if not parameters:
        raise ValueError(f"--space must name at least one parameter, 'k=interval(0,3)'; got {text!r}.")
    return Space(**parameters)


def _parameter(name: str, word: str, inside: str) -> Any:
    """Make a parameter of the words between the brackets of its kind."""
    kinds = {kind.lower(): made for kind, made in KINDS.items()}
    if word.lower() not in kinds:
        hint = did_you_mean(word.lower(), kinds)
        raise ValueError(f"--space: {name} must be one of {', '.join(kinds)}; got {word!r}.{hint}")
    kind = kinds[word.lower()]
    known, given = [field.name for field in fields(kind)], {}
    # Commas within brackets part nothing
    for i, value in enumerate(filter(None, map(str.strip, re.split(r",(?![^(]*\))", inside)))):
        key, equals, rest = value.partition("=")
        key, value = (key.strip(), rest.strip()) if equals else (known[i] if i < len(known) else "", value)
        if key not in known or key in given:
            raise ValueError(f"--space: {name}={word}(...) takes {', '.join(known)}, each once; got {value!r} beyond.")
        given[key] = value if key == "unit" else literal(value)
    try:
        return kind(**given)
    except ValueError as error:
        raise ValueError(f"--space: {name}: {error}") from error


def with_known(space: Space, fix: list[str] | None, prior: list[str] | None) -> Space:
    """Put into a space what the command says is known: values that are fixed, and measurements, VALUE,ERROR."""
    parameters: dict[str, Any] = {name: space[name] for name in space.columns}
    for name, value in named_pairs(fix, "--fix").items():
        place(name, space.columns, "--fix")
        number, (low, high) = numbers_of(value, 1, f"--fix {name}")[0], space[name].support
        if not low <= number <= high:
            raise ValueError(
                f"--fix {name}: {number:g} lies outside the range of {name}, {low:g} to {high:g}; check its unit, or "
                f"change the range by --range {name}=LOW,HIGH."
            )
        parameters[name] = Fixed(number, unit=space[name].unit)
    for name, value in named_pairs(prior, "--prior").items():
        place(name, space.columns, "--prior")
        measured = tuple(numbers_of(value, 2, f"--prior {name}", "VALUE,ERROR"))
        if isinstance(parameters[name], Fixed):
            raise ValueError(f"--prior: {name} is fixed; leave one of them out.")
        try:
            parameters[name] = replace(parameters[name], prior=measured)
        except ValueError as error:
            raise ValueError(f"--prior {name}: {error}") from error
    return Space(**parameters)


def ranged(space: Space, words: list[str] | None) -> Space:
    parameters: dict[str, Any] = {name: space[name] for name in space.columns}
    for name, value in named_pairs(words, "--range").items():
        place(name, space.columns, "--range")
        low, high = numbers_of(value, 2, f"--range {name}")
        if name in space.fixed:
            raise ValueError(
                f"--range: {name} is fixed at {space[name].value:g}; give it a range in your file's space."
            )
        if not parameters[name].bounded:
            raise ValueError(f"--range: {name} has no bounds to replace, it is a {type(parameters[name]).__name__}.")
        try:
            parameters[name] = replace(parameters[name], low=low, high=high)
        except ValueError as error:
            raise ValueError(f"--range {name}: {error}") from error
    return Space(**parameters)
