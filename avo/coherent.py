"""What the words and arrays of a result's files must be, before anything is made of them, and what they must agree on.

A checksum tells a file that was damaged from one that was not; it does not tell who wrote it. A file by somebody else
may hold, beside a checksum that is right, a word where a number belongs, or a space in which its theta is another one.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np

from avo.parameters import LogInterval

Check = Callable[[Any], bool]
CLOSE = 1e-3  # of theta: single precision wrote it, and another machine may round otherwise


def _word(value: Any) -> bool:
    return isinstance(value, str)


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _real(value: Any) -> bool:
    """Say whether it is a number, which may be infinite."""
    return (isinstance(value, float) and not math.isnan(value)) or _whole(
        abs(value) if isinstance(value, int) else value
    )


def _number(value: Any) -> bool:
    return _real(value) and math.isfinite(value)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _share(value: Any) -> bool:
    return _number(value) and 0 <= value <= 1


def _maybe(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _list(check: Check) -> Check:
    return lambda value: isinstance(value, list) and all(map(check, value))


def _these(*checks: Check) -> Check:
    """Check a list of so many values, each in its way."""
    return lambda value: (
        isinstance(value, list)
        and len(value) == len(checks)
        and all(check(one) for check, one in zip(checks, value, strict=True))
    )


def _named(check: Check) -> Check:
    return lambda value: isinstance(value, dict) and all(map(check, value.values()))


def _fields(**checks: Check) -> Check:
    """Check some fields of a mapping; one that is not there counts as None."""
    return lambda value: isinstance(value, dict) and all(check(value.get(name)) for name, check in checks.items())


_MODE = _fields(theta=_named(_number), stderr=_named(_maybe(_number)), p_value=_maybe(_share))
_WHERE = _fields(bounds=_list(_these(_word, _word, _number)), share=_share, there=_share, elsewhere=_share)
_AXIS = _fields(name=_word, unit=_word, values=_list(lambda one: _number(one) or _word(one)), labels=_list(_word))
_ESTIMATE = _fields(
    simulation_noise=_real, moved=_real, p_value=_maybe(_share), hidden=_maybe(_flag), failing=_maybe(_share),
    freedom=lambda value: _number(value) and value >= 1,
)  # fmt: skip
_WORDS = _fields(
    theta=_named(_number), message=_word, calls=_whole, seed=_maybe(_whole), data=_maybe(_word),
    space=_list(_fields(name=_word, kind=_word)), x_shape=_list(_whole), settings=lambda value: isinstance(value, dict),
    failures=_fields(
        counts=_named(_whole), where=_maybe(_WHERE), examples=_named(_these(_whole, _word))
    ),
    proposal=_maybe(_fields(full=_flag)),
    critic=_maybe(_fields(name=_word, x_shape=_list(_whole), options=_named(lambda value: True), pack=_whole)),
    estimate=_maybe(_ESTIMATE), modes=_list(_MODE), weighted=_maybe(_these(_whole, _number)),
    lacking=_maybe(_these(_whole, _whole)), axes=_list(_AXIS), input_axes=_list(_AXIS),
    quantity=_maybe(_these(_word, _word)), labels=_maybe(_list(_word)), phases=_maybe(_named(_whole)),
    budget=_maybe(_whole),
)  # fmt: skip


def are_words(words: Mapping[str, Any], statuses: Sequence[str]) -> bool:
    """Say whether the words of a result are of the kinds that they must be, its status one of some.

    Example:
        >>> are_words({"theta": {"mu": "2"}}, ["converged"])
        False
    """
    if not _WORDS(words) or words.get("status") not in statuses:
        return False
    if (words["estimate"] or {}).get("failing", 0.0) is None:
        return False
    target, shape = words["settings"].get("target", "point"), tuple(words["x_shape"])
    # Names of x's entries, if there are any, are of all of them
    axes = words["axes"]
    fit = not axes or (len(axes) == len(shape) and all(len(a["values"]) == n for a, n in zip(axes, shape, strict=True)))
    labelled = all(len(axis["labels"]) in (0, len(axis["values"])) for axis in [*axes, *words["input_axes"]])
    return target in ("point", "population") and fit and labelled


def fits_arrays(make: Callable[[], Any], name: str, arrays: Mapping[str, np.ndarray]) -> bool:
    """Say whether a module has the shapes of named arrays, before memory is taken for it."""
    made = [one for one in jax.tree.leaves(eqx.filter_eval_shape(make)) if isinstance(one, jax.ShapeDtypeStruct)]
    return [one.shape for one in made] == [
        a.shape for i in range(len(made)) if (a := arrays.get(f"{name}.{i}")) is not None
    ]


def agree(result: Any, words: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bool:
    """Say whether a result is the one that its words tell of, and its arrays have the shapes that go together."""
    names = list(result.names)
    if list(words["theta"]) != names or any(list(mode["theta"]) != names for mode in words["modes"]):
        return False
    if any(list(mode["stderr"]) != names for mode in words["modes"]):
        return False
    told, found = np.array(list(words["theta"].values()), float), np.asarray(result.theta, float)
    rounding = np.array([_rounding(parameter) for parameter in result.space])
    if not np.all(np.abs(told - found) <= CLOSE * np.abs(told) + rounding):
        return False
    steps = {len(a) if np.ndim(a) else -1 for a in result.history.values()}
    if len(steps) > 1 or not all(a.shape[1:] in ((), (len(names),)) for a in result.history.values()):
        return False
    frame = result.frame
    if frame is not None and not _broadcasts(result.x_shape, frame.shift, frame.scale):
        return False
    return result.estimate is None or _estimated(arrays, len(names), result.settings.get("target") == "population")


def _rounding(parameter: Any) -> float:
    """How far rounding moves a theta near zero: where theta is a sum, by a part of what is added."""
    if isinstance(parameter, LogInterval):
        return 0.0
    low, high = parameter.support
    added = high - low if math.isfinite(high - low) else abs(getattr(parameter, "loc", 0.0)) + parameter.scale
    return 1e-6 * added


def _broadcasts(shape: tuple[int, ...], *arrays: Any) -> bool:
    try:
        return np.broadcast_shapes(shape, *(np.shape(a) for a in arrays)) == shape
    except ValueError:
        return False


def _estimated(arrays: Mapping[str, np.ndarray], d: int, population: bool) -> bool:
    """Check the shapes of an estimate's arrays, of d parameters."""
    p = d + d * (d + 1) // 2 if population else d
    shapes = {
        "loc": (d,), "covariance": (p, p), "values": (d,), "vectors": (d, d), "identified": (d,),
        "population_covariance": (d, d), "encoded": (3, d), "reference.loc": (d,), "reference.factor": (d, d),
    }  # fmt: skip
    known = {name: arrays[f"estimate.{name}"] for name in shapes if f"estimate.{name}" in arrays}
    needed = shapes.keys() - {"encoded"} - (set() if population else {"population_covariance"})
    if not needed <= known.keys() or known["identified"].dtype != bool:
        return False
    return all(a.shape == shapes[name] for name, a in known.items()) and bool(np.isfinite(known["loc"]).all())
