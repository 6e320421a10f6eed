"""What a result is to other programs: plain values, a DataFrame, a DataTree for ArviZ, a LaTeX table.

pandas and xarray are imported where something is made for them; avo works without.
"""

import math
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from avo import __version__, checks
from avo.containers import axes_of
from avo.observations import validate_observations
from avo.parameters import Count, Known, Parameter, limit, unwound
from avo.tables import rounded

if TYPE_CHECKING:
    from avo.result import Result

ESCAPED = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
ESCAPED |= {sign: f"\\{sign}" for sign in "&%$#_{}"}


def need_pandas(name: str) -> ModuleType:
    """Import pandas for what needs it."""
    try:
        import pandas
    except ImportError as error:
        raise ImportError(f"{name} needs the package pandas: pip install 'avo-sbi[tables]'.") from error
    return pandas


def need_xarray(name: str) -> ModuleType:
    """Import an xarray that has DataTree."""
    try:
        import xarray

        xarray.DataTree  # noqa: B018
    except (ImportError, AttributeError) as error:
        raise ImportError(f"{name} needs xarray 2024.10 or later: pip install 'avo-sbi[tables]'.") from error
    return xarray


def _finite(values: Any) -> Any:
    """Make plain numbers of an array, None of what is not finite: JSON has no infinity."""
    if isinstance(values, (list, tuple, np.ndarray)):
        return [_finite(value) for value in values]
    return float(values) if math.isfinite(values) else None


def _interval(result: "Result", level: float) -> np.ndarray:
    """The intervals, NaN without errors; shape (d, 2)."""
    level = checks.between("level", level, 0, 1, "()")
    return np.full((len(result.names), 2), np.nan) if result.stderr is None else result.interval(level)


def plain_values(result: "Result", level: float) -> dict[str, Any]:
    """Describe a result, for `Result.to_dict`."""
    population = result.population
    interval = _interval(result, level)
    refined = result.estimate is not None
    return {
        "names": list(result.names),
        "units": list(result.space.units),
        "theta": result.theta.tolist(),
        "fixed": {name: {"value": float(p.value), "unit": p.unit} for name, p in result.space.fixed.items()},
        "stderr": None if result.stderr is None else _finite(result.stderr),
        "level": float(level),
        "intervals": None if result.stderr is None else _finite(interval),
        "support": [_finite(p.support) for p in result.space],
        "at_bound": list(result.at_bound),
        "not_identified": _not_identified(result),
        "by_data": _by_data(result),
        "prior": {name: {"value": k.value, "stderr": k.sd, "log": k.log} for name, k in result.space.known.items()},
        "before_rounding": _before_rounding(result),
        "status": result.status,
        "answered": bool(result.answered),
        "message": result.message,
        "calls": int(result.calls),
        "failures": {kind: int(count) for kind, count in result.failures.items()},
        "p_value": None if result.estimate is None else result.estimate.p_value,
        "modes": [mode.to_json() for mode in result.modes],
        "combinations": [
            c._asdict() | {"names": list(c.names), "value": float(c.value), "stderr": float(c.stderr)}
            for c in (result.combinations() if refined else ())
        ],
        "population": None if population is None else {k: _finite(v) for k, v in population.theta._asdict().items()},
        "seed": result.seed,
    }


def _not_identified(result: "Result") -> list[str]:
    """Name the parameters that the data do not identify, whose values say only where the fit ended."""
    return [] if result.stderr is None else [n for n, e in zip(result.names, result.stderr, strict=True) if np.isinf(e)]


def _by_data(result: "Result") -> dict[str, Any] | None:
    """Describe the estimate by the data alone, where something else was known."""
    alone = result.by_data
    return None if alone is None else {"theta": alone.theta.tolist(), "stderr": _finite(alone.stderr)}


def _before_rounding(result: "Result") -> dict[str, dict[str, float]]:
    """Describe counts before they were made whole, by the data alone too where something else was known."""
    if result.estimate is None or result.estimate.between is None:
        return {}
    both, alone = (told.counted(result.space) for told in (result.estimate, result.estimate.by_data))
    alone = {} if result.by_data is None else alone
    found: dict[str, dict[str, float]] = {}
    for word, told in (("", both), ("by_data_", alone)):
        for name, (value, error) in told.items():
            found.setdefault(name, {}).update({f"{word}value": value, f"{word}stderr": error})
    return found


def _sources(result: "Result") -> dict[str, Any]:
    """Make columns of what an estimate was made of: by the data alone, by what was known; and counts between wholes."""
    found: dict[str, Any] = {}
    if result.space.known:
        alone, nothing = result.by_data, np.full(len(result.names), np.nan)
        found["by_data"] = nothing if alone is None else alone.theta
        found["by_data_stderr"] = nothing if alone is None else alone.stderr
        known = [result.space.known.get(name) for name in result.names]
        found["prior"] = [math.nan if k is None else k.value for k in known]
        found["prior_stderr"] = [math.nan if k is None else k.sd for k in known]
    told = _before_rounding(result)
    for column, word in (("before_rounding", "value"), ("by_data_before_rounding", "by_data_value")):
        if any(word in own for own in told.values()):
            found[column] = [told.get(name, {}).get(word, math.nan) for name in result.names]
    return found


def frame(result: "Result", level: float) -> Any:
    """Make a DataFrame, for `Result.to_frame`."""
    pandas = need_pandas("to_frame")
    space, (low, high) = result.space, _interval(result, level).T
    stderr = np.full(len(low), np.nan) if result.stderr is None else result.stderr
    columns: dict[str, Any] = {"estimate": result.theta, "stderr": stderr, "low": low, "high": high}
    if result.population is not None:
        moments = result.population.theta
        columns |= {name: getattr(moments, name) for name in ("mean", "mean_stderr", "sd", "sd_stderr", "sd_upper")}
    sources = _sources(result)
    places = ("estimate", "low", "high", "mean")  # a fixed parameter is where it is, without error or spread
    for word, free in (columns | sources).items():
        beside = math.nan if word in sources else 0.0
        values = np.array([p.value if word in places else beside for p in (space[name] for name in space.fixed)])
        known = dict(zip((*result.names, *space.fixed), (*free, *values), strict=True))
        columns[word] = np.array([known[name] for name in space.columns], float)
    if space.known:
        columns["prior_log"] = [name in space.known and space.known[name].log for name in space.columns]
    limits = dict(zip(result.names, map(limit, space, low, high), strict=True))
    columns["limit"] = [limits.get(name, "") for name in space.columns]
    columns["fixed"] = [name in space.fixed for name in space.columns]
    columns["unit"] = [space[name].unit for name in space.columns]
    found = pandas.DataFrame(columns, index=pandas.Index(space.columns, name="parameter"))
    found.attrs |= {"status": result.status, "message": result.message, "level": float(level)}
    return found


def history_frame(result: "Result") -> Any:
    """Make a DataFrame, for `Result.history_frame`."""
    pandas = need_pandas("history_frame")
    columns = {name: a for name, a in result.history.items() if a.ndim == 1}
    for word, prefix in (("theta", ""), ("u", "u_"), ("sd", "sd_")):
        if word in result.history:
            columns |= {f"{prefix}{name}": a for name, a in zip(result.names, result.history[word].T, strict=True)}
    return pandas.DataFrame(columns)


def datatree(result: "Result", chains: int, draws: int, seed: int, x_obs: Any) -> Any:
    """Make a DataTree, for `Result.to_datatree`."""
    xarray = need_xarray("to_datatree")
    if result.estimate is None:
        raise ValueError(f"to_datatree needs a fit with refine=True that found a solution; {result.message}")
    key, n = jax.random.key(checks.seed("seed", seed)), chains * draws
    if result.population is None:
        theta = result.estimate.truths(result.space, key, n)
        words = "draws from the normal approximation of the estimate's error, no posterior samples"
    else:
        theta = result.central(key, n)
        words = "theta of members of the fitted population, at the estimate, no posterior samples"
    if result.space.angles.any() and result.population is None:  # in one piece, so that means of draws mean something
        theta = unwound(theta, result.theta, result.space.periods)
    cube = np.asarray(theta, np.float64).reshape(chains, draws, -1)
    loose = np.asarray(result.names)[result.estimate.unidentified(result.space)]
    posterior = xarray.Dataset(
        {name: (("chain", "draw"), cube[..., i], _attributes(result, i)) for i, name in enumerate(result.names)},
        coords={"chain": np.arange(chains), "draw": np.arange(draws)},
        attrs={
            "inference_library": "avo",
            "inference_library_version": __version__,
            "sampling": words,
            "not_identified": ", ".join(loose.tolist()),
            "status": result.status,
            "message": result.message,
            "solutions": max(len(result.modes), 1),
        }
        | ({} if result.estimate.p_value is None else {"p_value": result.estimate.p_value}),
    )
    groups = {"posterior": posterior}
    if fixed := result.space.fixed:
        values = {name: ((), float(p.value), {"units": p.unit} if p.unit else {}) for name, p in fixed.items()}
        groups["constant_data"] = xarray.Dataset(values)
    if x_obs is not None:
        groups["observed_data"] = xarray.Dataset({"x": _observed(xarray, result, x_obs)})
    return xarray.DataTree.from_dict(groups)


def _attributes(result: "Result", i: int) -> dict[str, Any]:
    """Say of a parameter's draws what they are in, and of what the estimate was made where something was known."""
    name, unit, alone = result.names[i], result.space.units[i], result.by_data
    found: dict[str, Any] = {"units": unit} if unit else {}
    if alone is not None:
        found |= {"by_data": float(alone.theta[i]), "by_data_stderr": float(alone.stderr[i])}
    if (known := result.space.known.get(name)) is not None:
        found |= {"prior": known.value, "prior_stderr": known.sd, "prior_log": int(known.log)}
    told = _before_rounding(result).get(name, {})
    words = {"value": "before_rounding", "by_data_value": "by_data_before_rounding"}
    return found | {words[key]: value for key, value in told.items() if key in words}


def _observed(xarray: ModuleType, result: "Result", x_obs: Any) -> Any:
    """Make a DataArray of observations, with the names that they or the fit have."""
    x = validate_observations(x_obs, missing=result.gaps is not None)
    if x.shape[1:] != result.x_shape:
        raise ValueError(f"x_obs must have rows shaped {result.x_shape}, as the fit had; got {x.shape[1:]}.")
    axes = axes_of(x_obs) or result.axes
    if not axes:
        return xarray.DataArray(x, dims=("row", *(f"x_dim_{i}" for i in range(x.ndim - 1))))
    coords = {axis.name: list(axis.labels) or np.asarray(axis.values) for axis in axes}
    return xarray.DataArray(x, coords, ("row", *coords))


# --- LaTeX -----------------------------------------------------------------------------------------------------------


def latex(result: "Result", level: float) -> str:
    """Write a table, for `Result.latex`."""
    interval, population, alone = _interval(result, level), result.population, result.by_data
    head = ["parameter", "estimate"] if population is None else ["parameter", "median", "mean", "sd"]
    with_interval = population is None and result.stderr is not None
    head += [rf"{100 * level:g}\,\% interval"] if with_interval else []
    head += ["the data alone", "known"] if alone is not None else []
    rows = []
    for name in result.space.columns:
        if name in result.space.fixed:
            value = f"${_plain(f'{result.space[name].value:.5g}')}$ (fixed)"
            cells = [value, *[""] * (len(head) - 2)]
        else:
            i = result.names.index(name)
            cells = _cells(result, i, interval[i] if with_interval else None)
        rows.append([_text(name), *cells, _text(result.space[name].unit)])
    lines = [" & ".join(row).rstrip() + r" \\" for row in rows]
    together = () if result.estimate is None else result.combinations()
    if together:  # what the data identify where they do not identify a parameter alone
        rows = [[_text(c.words), _number(c.value, c.stderr), *[""] * (len(head) - 2), _text(c.unit)] for c in together]
        lines += [r"\midrule", *(" & ".join(row).rstrip() + r" \\" for row in rows)]
    return "\n".join([
        "% " + " ".join(f"{result.status}: {result.message}".split()),
        rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}l}}", r"\toprule", " & ".join([*head, r"unit \\"]), r"\midrule",
        *lines, r"\bottomrule", r"\end{tabular}",
    ])  # fmt: skip


def _cells(result: "Result", i: int, interval: Sequence[float] | np.ndarray | None) -> list[str]:
    """Write what is said of one free parameter between its name and its unit."""
    parameter, population, alone = result.space[result.names[i]], result.population, result.by_data
    error = math.nan if result.stderr is None else float(result.stderr[i])
    cells = ["not identified" if math.isinf(error) else _value(parameter, float(result.theta[i]), error)]
    if interval is not None:
        cells.append(_range(interval, error, parameter))
    if alone is not None:
        value, error = float(alone.theta[i]), float(alone.stderr[i])
        own = alone.whole.get(result.names[i])
        beside = "" if own is None or math.isinf(error) else f" {_range(own, error, parameter)}"
        cells.append("nothing" if math.isinf(error) else _value(parameter, value, error) + beside)
        cells.append(_known(result.space.known.get(result.names[i])))
    if population is not None:
        moments = population.theta
        known = math.isfinite(moments.sd_stderr[i])
        sd = _number(moments.sd[i], moments.sd_stderr[i]) if known else f"$< {_plain(f'{moments.sd_upper[i]:.2g}')}$"
        cells += [_number(moments.mean[i], moments.mean_stderr[i]), sd]
    return cells


def _value(parameter: Parameter, value: float, error: float) -> str:
    """Write an estimate and its error; that of a count as a whole number, whose interval says how sure it is."""
    if isinstance(parameter, Count):
        return f"${value:.0f}$"
    return _number(value, error)


def _known(known: Known | None) -> str:
    """Write what was known of a parameter, as it was given; the error of a logarithm as a factor."""
    if known is None:
        return ""
    value, sign = _plain(f"{known.value:.5g}"), r"\stackrel{\times}{\div}" if known.log else r"\pm"
    return f"${value} {sign} {_plain(f'{math.exp(known.sd) if known.log else known.sd:.3g}')}$"


def _text(words: str) -> str:
    return "".join(ESCAPED.get(sign, sign) for sign in words)


def _number(value: float, error: float) -> str:
    """Write value and error, with one power of ten."""
    if not (math.isfinite(error) and error > 0):
        return f"${_plain(rounded(value, error))}$"
    (value_text, error_text), power = _scaled([value, error], error)
    if not power:
        return rf"${value_text} \pm {error_text}$"
    return rf"$({value_text} \pm {error_text}) \times 10^{{{power}}}$"


def _range(ends: Sequence[float] | np.ndarray, error: float, parameter: Parameter) -> str:
    """Write an interval; a limit where one end is the bound, and nothing where both are; all of a count's numbers."""
    low, high = (float(end) for end in ends)
    if (low, high) == parameter.support:
        return ""
    if isinstance(parameter, Count):
        return f"$[{low:.0f}, {high:.0f}]$"
    (low_text, high_text), power = _scaled([low, high], error)
    times = rf" \times 10^{{{power}}}" if power else ""
    if which := limit(parameter, low, high):
        return f"$< {high_text}{times}$" if which == "upper" else f"$> {low_text}{times}$"
    return f"$[{low_text}, {high_text}]{times}$"


def _scaled(values: Sequence[float], error: float) -> tuple[list[str], int]:
    """Round numbers to their error in units of a power of ten, where they are very large or very small."""
    plain = [rounded(value, error) for value in values]
    if not any("e" in text for text in plain):
        return plain, 0
    power = math.floor(math.log10(max(abs(value) for value in values)))
    return [rounded(value / 10**power, error / 10**power) for value in values], power


def _plain(text: str) -> str:
    """Write a number of Python's in LaTeX's mathematics."""
    digits, e, power = text.partition("e")
    digits = digits.replace("inf", r"\infty")
    return rf"{digits} \times 10^{{{int(power)}}}" if e else digits
