"""Checks of arguments: any object comes in, what does not fit ends in one sentence.

Each check names the argument, what was expected and what came; the edges of the library call them once, and what lies
within trusts its inputs.
"""

import inspect
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from difflib import get_close_matches
from typing import Any

import numpy as np


class ArgumentError(ValueError):
    """An array given to a problem does not have the shape that it needs; the message is for the user as it stands."""


def did_you_mean(name: object, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Suggest the nearest known name, " Did you mean 'sigma'?"; "" where none is near.

    Example:
        >>> did_you_mean("sgma", ["mu", "sigma"])
        " Did you mean 'sigma'?"
    """
    near = get_close_matches(str(name), list(known), n=1, cutoff=cutoff)
    return f" Did you mean {near[0]!r}?" if near else ""


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, np.number)) and not isinstance(value, (bool, complex, np.complexfloating))


def check_count(name: str, value: Any, least: int = 1) -> None:
    """Check an argument that counts something.

    Raises:
        ValueError: if value is not a whole number, or below `least`.

    Example:
        >>> check_count("points", 64)
    """
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or value < least:
        raise ValueError(f"{name} must be {f'at least {least}' if whole else 'a whole number'}; got {value!r}.")


def check_number(name: str, value: Any) -> None:
    """Check an argument that must be a number, whatever its size.

    Raises:
        ValueError: if it is not.

    Example:
        >>> check_number("width", 0.3)
    """
    if not _is_number(value):
        raise ValueError(f"{name} must be a number; got {value!r}.")


def check_finite(name: str, value: Any, more: str = "") -> None:
    """Check an argument that must be a finite number.

    Raises:
        ValueError: if it is not; `more`, e.g. ", in dB", is part of what the message asks for.

    Example:
        >>> check_finite("start", -0.5)
    """
    if not (_is_number(value) and math.isfinite(value)):
        raise ValueError(f"{name} must be {'finite' if _is_number(value) else 'a finite number'}{more}; got {value!r}.")


def check_positive(name: str, value: Any, more: str = "") -> None:
    """Check an argument that must be above zero and finite.

    Raises:
        ValueError: if it is not; `more`, e.g. ", in Hz", is part of what the message asks for.

    Example:
        >>> check_positive("duration", 0.5)
    """
    if not (_is_number(value) and math.isfinite(value) and value > 0):
        words = "a number above zero"
        if _is_number(value):
            words = f"above zero{'' if value <= 0 else ' and finite'}"
        raise ValueError(f"{name} must be {words}{more}; got {value!r}.")


def check_grid(points: Any, duration: Any, noise: Any = 0.0) -> None:
    """Check what series of measurements have in common: their number, their duration and their noise.

    Raises:
        ValueError: if points is not a whole number above zero, duration not above zero, or noise below zero.

    Example:
        >>> check_grid(points=64, duration=0.5)
    """
    check_count("points", points)
    check_positive("duration", duration)
    check_finite("noise", noise)
    if noise < 0:
        raise ValueError(f"noise must not be negative; got {noise!r}.")


def check_flag(name: str, value: Any) -> None:
    """Check an argument that is true or false: the word "no" would count as true.

    Raises:
        ValueError: if it is not a bool.

    Example:
        >>> check_flag("summaries", True)
    """
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name} must be True or False; got {value!r}.")


def check_word(name: str, value: Any, known: Collection[str]) -> None:
    """Check an argument that is one of a few words.

    Raises:
        ValueError: if it is none of them; the message suggests the nearest.

    Example:
        >>> check_word("method", "rk4", ("rk4", "exact"))
    """
    if not (isinstance(value, str) and value in known):
        first = ", ".join(f'"{word}"' for word in list(known)[:-1])
        hint = did_you_mean(value, known) if isinstance(value, str) else ""
        raise ValueError(f'{name} must be {first} or "{list(known)[-1]}"; got {value!r}.{hint}')


def check_pair(name: str, value: Any, words: str) -> tuple[float, float]:
    """Check an argument that is two finite numbers.

    Raises:
        ValueError: if it is not; the message says `words`.

    Example:
        >>> check_pair("window", [-0.3, 0.5], "(first, end), in s")
        (-0.3, 0.5)
    """
    pair = tuple(value) if isinstance(value, (tuple, list, np.ndarray)) else ()
    if len(pair) != 2 or not all(_is_number(v) and math.isfinite(v) for v in pair):
        raise ValueError(f"{name} must be two finite numbers {words}; got {value!r}.")
    return pair


def check_names(name: str, value: Any, known: Collection[str]) -> tuple[str, ...]:
    """Check an argument that names some of a few things, each once; one name may stand alone.

    Raises:
        ValueError: if it names an unknown one, or one twice.

    Example:
        >>> check_names("free", "damping", ("w0_sq", "damping"))
        ('damping',)
    """
    several = isinstance(value, Iterable) and not isinstance(value, str)
    given: tuple[Any, ...] = tuple(value) if several else (value,)
    if not all(isinstance(word, str) for word in given):
        raise ValueError(f"{name} must be a name or several out of {', '.join(known)}; got {value!r}.")
    for word in given:
        if word not in known:
            raise ValueError(f"{name} must name some of {', '.join(known)}; got {word!r}.{did_you_mean(word, known)}")
        if given.count(word) > 1:
            raise ValueError(f"{name} must name each once; got {word!r} {given.count(word)} times.")
    return given


def check_values(name: str, value: Any, known: Collection[str]) -> dict[str, Any]:
    """Check an argument that gives some of a few names a finite number each; None gives none.

    Raises:
        ValueError: if it is no mapping, names an unknown one, or gives another thing than a finite number.

    Example:
        >>> check_values("values", {"damping": 0.2}, ("w0_sq", "damping"))
        {'damping': 0.2}
    """
    given = check_mapping(name, value, known, "numbers")
    for word, number in given.items():
        check_finite(f"{name}: {word}", number)
    return given


def check_mapping(name: str, value: Any, known: Collection[str], what: str) -> dict[str, Any]:
    """Check an argument that maps some of a few names to something; None maps none.

    Raises:
        ValueError: if it is no mapping, or names an unknown one.

    Example:
        >>> check_mapping("orders", {"t": 1}, ("p", "t"), "0, 1 or 2")
        {'t': 1}
    """
    if value is not None and not isinstance(value, Mapping):
        raise ValueError(f"{name} must map names to {what}, out of {', '.join(known)}; got {value!r}.")
    given = dict(value or {})
    check_names(name, tuple(given), known)
    return given


def whole(name: str, value: Any, least: int = 1) -> int:
    """Check a whole number: `value` as an int, or a ValueError that names it."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}; got {value!r}.")
    return int(value)


def takes(fn: Callable[..., Any], count: int) -> bool:
    """Say whether `fn` can be called with `count` positional arguments; True where Python cannot tell."""
    try:
        signature = inspect.signature(fn)
    except (TypeError, ValueError):
        return True
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return False
    return True
