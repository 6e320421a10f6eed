"""Checks of arguments: any object comes in, what does not fit ends in one sentence.

Each check stands here once, with one wording: it names the argument, what was expected and what came. The edges of the
library call them once, and what lies within trusts its inputs.
"""

import functools
import inspect
import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from decimal import Decimal
from difflib import get_close_matches
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

Made = TypeVar("Made")
SHORT = 60  # letters of a value that a message repeats


class ArgumentError(ValueError):
    """What was given to a simulator does not have the shape that it needs; the message is for the user as it stands."""


def did_you_mean(name: object, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Suggest the nearest known name, " Did you mean 'sigma'?"; "" where none is near.

    Example:
        >>> did_you_mean("sgma", ["mu", "sigma"])
        " Did you mean 'sigma'?"
        >>> did_you_mean("DATE", ["Date", "DAY"])
        " Did you mean 'Date'?"
    """
    folded = {word.casefold(): word for word in known}
    near = get_close_matches(str(name).casefold(), list(folded), n=1, cutoff=cutoff)
    return f" Did you mean {folded[near[0]]!r}?" if near else ""


def printable(text: object) -> str:
    """Make text of a stranger's file safe for a terminal: what is not printed becomes "?".

    Example:
        >>> printable("rate" + chr(27) + "[2J")
        'rate?[2J'
    """
    return "".join(c if c.isprintable() else "?" for c in str(text))


def came(value: Any) -> str:
    """Say in a few words what was handed over in the place of something else, never a whole array.

    Example:
        >>> came(None), came(np.ones((3, 2))), came(came), came([1, 2]), came("x" * 99)
        ('None', 'an array of shape (3, 2)', 'the function came', '[1, 2]', 'a str')
    """
    if isinstance(value, type):
        return f"the class {value.__name__}"
    shape, kind = getattr(value, "shape", None), type(value).__name__
    if isinstance(shape, tuple) and shape:
        return f"{'an array' if 'rray' in kind else f'a {kind}'} of shape {shape}"
    if inspect.isroutine(value):
        name = getattr(value, "__name__", "<lambda>")
        return "a function" if name == "<lambda>" else f"the function {name}"
    words = repr(value)
    return words if len(words) <= SHORT and not words.startswith("<") else f"a {kind}"


def takes(fn: Callable[..., Any], count: int) -> bool:
    """Say whether `fn` can be called with `count` positional arguments; True where Python cannot tell.

    Example:
        >>> takes(lambda key, theta: theta, 2), takes(lambda theta: theta, 2)
        (True, False)
    """
    try:
        signature = inspect.signature(fn)
    except (TypeError, ValueError):
        return True
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return False
    return True


def named_arguments(**advice: str) -> Callable[[type[Made]], type[Made]]:
    """Have what the constructor of a class does not take, or lacks, end in a sentence, and no TypeError of Python's.

    Args:
        **advice: what else to do about arguments that it does not take, by their names.

    Example:
        >>> from avo.parameters import Fixed, Interval
        >>> Interval(0, hihg=3)
        Traceback (most recent call last):
            ...
        ValueError: Interval takes low, high, unit, prior; got hihg=3. Did you mean 'high'?
        >>> Fixed()
        Traceback (most recent call last):
            ...
        ValueError: Fixed takes value, unit; value is missing.
    """

    def decorate(kind: type[Made]) -> type[Made]:
        made, parameters = kind.__init__, list(inspect.signature(kind).parameters.values())
        names = [parameter.name for parameter in parameters]
        words = f"{kind.__name__} takes {', '.join(names)}"

        @functools.wraps(made)
        def checked(self: Any, *args: Any, **given: Any) -> None:
            for name, value in given.items():
                if name not in names:
                    more = f" {advice[name]}" if name in advice else did_you_mean(name, names)
                    raise ValueError(f"{words}; got {name}={value!r}.{more}")
            if len(args) > len(names):
                raise ValueError(f"{words}; got {len(args)} values, {', '.join(map(repr, args))}.")
            if twice := [name for name in names[: len(args)] if name in given]:
                raise ValueError(f"{words}, each once; got {twice[0]} by place and by name.")
            later = parameters[len(args) :]
            if lacking := [one.name for one in later if one.default is one.empty and one.name not in given]:
                raise ValueError(f"{words}; {' and '.join(lacking)} {'are' if lacking[1:] else 'is'} missing.")
            made(self, *args, **given)

        kind.__init__ = checked
        return kind

    return decorate


# --- numbers ---------------------------------------------------------------------------------------------------------


def whole(name: str, value: Any, least: int = 1, most: int | None = None) -> int:
    """Check a whole number, and make it Python's own.

    Raises:
        ValueError: if value is not a whole number, below `least` or above `most`.

    Example:
        >>> whole("points", np.int64(64))
        64
        >>> whole("pairs", 2.5, least=2)
        Traceback (most recent call last):
            ...
        ValueError: pairs must be a whole number of at least 2; got 2.5.
    """
    fits = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not fits or value < least or (most is not None and value > most):
        wanted = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"{name} must be a whole number {wanted}; got {value!r}.")
    return int(value)


THOUSANDS = {"": 0, "k": 3, "K": 3, "M": 6}


def calls_of(name: str, value: str, more: str = "") -> int | None:
    """Read a number of calls as people write it: 10000, 10_000, 1e4, 10k, 1.3M; None where it is no number.

    Args:
        name: of the argument.
        value: the words.
        more: what else it may be, for the message.

    Raises:
        ValueError: if it is a number, and not a whole one above zero.

    Example:
        >>> [calls_of("budget", words) for words in ("10000", "1e4", "10k", "1.3M", "1,300,000", "2h")]
        [10000, 10000, 10000, 1300000, 1300000, None]
        >>> calls_of("budget", "1.5")
        Traceback (most recent call last):
            ...
        ValueError: budget must be a whole number of calls above 0, such as 10000, 1e4, 10k or 1.3M; got '1.5'.
    """
    groups = r"[+-]?\d{1,3}(?:[,_]\d{3})+|[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE]\+?\d{1,2})?"
    found = re.fullmatch(rf"\s*({groups})\s*([kKM]?)\s*", value)
    if found is None:
        return None
    number = Decimal(re.sub("[,_]", "", found[1])).scaleb(THOUSANDS[found[2]])
    if number <= 0 or number != number.to_integral_value():
        raise ValueError(
            f"{name} must be a whole number of calls above 0, such as 10000, 1e4, 10k or 1.3M{more}; got {value!r}."
        )
    return int(number)


def seed(name: str, value: Any) -> int:
    """Check a seed: a whole number that both NumPy and JAX make a key of.

    Raises:
        ValueError: if it is no whole number, negative, or of more than 63 bits.

    Example:
        >>> seed("seed", 7)
        7
        >>> seed("--seed", -1)
        Traceback (most recent call last):
            ...
        ValueError: --seed must be a whole number from 0 to 9223372036854775807; got -1.
    """
    return whole(name, value, 0, 2**63 - 1)


def _is_finite(value: Any) -> bool:
    """Say whether something is one finite real number, of Python, NumPy or JAX."""
    single = hasattr(value, "__float__") and np.ndim(value) == 0
    return single and not isinstance(value, (bool, np.bool_)) and not np.iscomplexobj(value) and math.isfinite(value)


def finite(name: str, value: Any, more: str = "") -> float:
    """Check a finite number.

    Raises:
        ValueError: if it is none; `more`, e.g. ", in dB", is part of what the message asks for.

    Example:
        >>> finite("start", -0.5)
        -0.5
        >>> finite("snr", float("nan"), ", in dB")
        Traceback (most recent call last):
            ...
        ValueError: snr must be a finite number, in dB; got nan.
    """
    if not _is_finite(value):
        raise ValueError(f"{name} must be a finite number{more}; got {value!r}.")
    return float(value)


def positive(name: str, value: Any, more: str = "") -> float:
    """Check a finite number above zero.

    Raises:
        ValueError: if it is none; `more`, e.g. ", in Hz", is part of what the message asks for.

    Example:
        >>> positive("duration", 1)
        1.0
        >>> positive("rate", 0.0, ", in Hz")
        Traceback (most recent call last):
            ...
        ValueError: rate must be a finite number above zero, in Hz; got 0.0.
    """
    if not _is_finite(value) or value <= 0:
        raise ValueError(f"{name} must be a finite number above zero{more}; got {value!r}.")
    return float(value)


def nonnegative(name: str, value: Any, more: str = "") -> float:
    """Check a finite number of at least zero.

    Raises:
        ValueError: if it is none; `more` is part of what the message asks for.

    Example:
        >>> nonnegative("noise", 0)
        0.0
    """
    if not _is_finite(value) or value < 0:
        raise ValueError(f"{name} must be a finite number of at least 0{more}; got {value!r}.")
    return float(value)


def between(name: str, value: Any, low: float, high: float, ends: str = "[]") -> float:
    """Check a number of a range; `ends` says, as mathematics writes it, whether low and high belong to it.

    Raises:
        ValueError: if it is no number, or not in the range.

    Example:
        >>> between("level", 0.9, 0, 1, "()")
        0.9
        >>> between("level", 90, 0, 1, "()")
        Traceback (most recent call last):
            ...
        ValueError: level must be a number in (0, 1); got 90.
    """
    start, end = ends
    inside = _is_finite(value) and low <= value <= high
    if not inside or (start == "(" and value == low) or (end == ")" and value == high):
        raise ValueError(f"{name} must be a number in {start}{low:g}, {high:g}{end}; got {value!r}.")
    return float(value)


def pair(name: str, value: Any, words: str, above: float = -math.inf) -> tuple[float, float]:
    """Check two finite numbers, both above a limit if there is one.

    Raises:
        ValueError: if it is not; the message says `words`.

    Example:
        >>> pair("window", [-0.3, 1], "(first, end), in s")
        (-0.3, 1.0)
    """
    both = tuple(value) if isinstance(value, (tuple, list, np.ndarray)) else ()
    if len(both) != 2 or not all(_is_finite(v) and v > above for v in both):
        limit = "" if above == -math.inf else f"above {above:g} "
        raise ValueError(f"{name} must be two finite numbers {limit}{words}; got {value!r}.")
    return float(both[0]), float(both[1])


def grid(points: Any, duration: Any, noise: Any = 0.0) -> None:
    """Check what series of measurements have in common: their number, their duration and their noise.

    Raises:
        ValueError: if points is not a whole number above zero, duration not above zero, or noise below zero.

    Example:
        >>> grid(points=64, duration=0.5)
    """
    whole("points", points)
    positive("duration", duration)
    nonnegative("noise", noise)


# --- words -----------------------------------------------------------------------------------------------------------


def flag(name: str, value: Any) -> bool:
    """Check what is true or false: the word "no" would count as true.

    Raises:
        ValueError: if it is not a bool.

    Example:
        >>> flag("summaries", True)
        True
    """
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name} must be True or False; got {value!r}.")
    return bool(value)


def text(name: str, value: Any) -> str:
    """Check a word, which may be empty.

    Raises:
        ValueError: if it is no string.

    Example:
        >>> text("unit", "mV")
        'mV'
    """
    if not isinstance(value, str):
        raise ValueError(f"{name} must be a string; got {value!r}.")
    return value


def folder(name: str, value: Any) -> Path:
    """Check the name of a folder; "" would be the current one, whatever lies there, and ~ is the user's own.

    Raises:
        ValueError: if it is no path, or empty.

    Example:
        >>> folder("out", "runs/first").name
        'first'
        >>> folder("out", "")
        Traceback (most recent call last):
            ...
        ValueError: out must be the path of a folder; got ''.
    """
    if not isinstance(value, (str, PathLike)) or not str(value):
        raise ValueError(f"{name} must be the path of a folder; got {value!r}.")
    return Path(value).expanduser()


def one_of(name: str, value: Any, known: Collection[str], more: str = "") -> str:
    """Check one of a few words.

    Raises:
        ValueError: if it is none of them; the message suggests the nearest.

    Example:
        >>> one_of("method", "rk4", ("rk4", "exact"))
        'rk4'
        >>> one_of("method", "exakt", ("rk4", "exact"))
        Traceback (most recent call last):
            ...
        ValueError: method must be one of rk4, exact; got 'exakt'. Did you mean 'exact'?
    """
    if not (isinstance(value, str) and value in known):
        hint = did_you_mean(value, known) if isinstance(value, str) else ""
        raise ValueError(f"{name} must be one of {', '.join(known)}{more}; got {value!r}.{hint}")
    return value


def some_of(name: str, value: Any, known: Collection[str]) -> tuple[str, ...]:
    """Check some of a few words, each once; one word may stand alone.

    Raises:
        ValueError: if one is unknown, or given twice.

    Example:
        >>> some_of("free", "damping", ("w0_sq", "damping"))
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


# --- several things --------------------------------------------------------------------------------------------------


def mapping(name: str, value: Any, known: Collection[str], what: str) -> dict[str, Any]:
    """Check what maps some of a few names to something; None maps none.

    Raises:
        ValueError: if it is no mapping, or names an unknown one.

    Example:
        >>> mapping("orders", {"t": 1}, ("p", "t"), "0, 1 or 2")
        {'t': 1}
    """
    if value is not None and not isinstance(value, Mapping):
        raise ValueError(f"{name} must map names to {what}, out of {', '.join(known)}; got {value!r}.")
    given = dict(value or {})
    some_of(name, tuple(given), known)
    return given


def numbers(name: str, value: Any, known: Collection[str]) -> dict[str, Any]:
    """Check what gives some of a few names a finite number each; None gives none.

    Raises:
        ValueError: if it is no mapping, names an unknown one, or gives another thing than a finite number.

    Example:
        >>> numbers("values", {"damping": 0.2}, ("w0_sq", "damping"))
        {'damping': 0.2}
    """
    given = mapping(name, value, known, "numbers")
    for word, number in given.items():
        finite(f"{name}: {word}", number)
    return given


def shaped(name: str, value: Any, shape: tuple[int, ...], words: str) -> np.ndarray:
    """Check the shape of an array, and make it NumPy's; `words` say what it holds.

    Raises:
        ValueError: if it has another shape.

    Example:
        >>> shaped("truth", [2.5, 0.7], (2,), "one value for each of mean, sd").tolist()
        [2.5, 0.7]
    """
    array = np.asarray(value)
    if array.shape != shape:
        raise ValueError(f"{name} must have {words}, shape {shape}; got shape {array.shape}.")
    return array
