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
from avo.parameters import Count, Parameter, unwound
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
        "status": result.status,
        "answered": bool(result.answered),
        "message": result.message,
        "calls": int(result.calls),
        "failures": {kind: int(count) for kind, count in result.failures.items()},
        "p_value": None if result.estimate is None else result.estimate.p_value,
        "modes": [mode.to_json() for mode in result.modes],
        "combinations": [
            {"names": list(c.names), "words": c.words, "value": float(c.value), "stderr": float(c.stderr)}
            for c in (result.combinations() if refined else ())
        ],
        "population": None if population is None else {k: _finite(v) for k, v in population.theta._asdict().items()},
        "seed": result.seed,
    }


def frame(result: "Result", level: float) -> Any:
    """Make a DataFrame, for `Result.to_frame`."""
    pandas = need_pandas("to_frame")
    space, (low, high) = result.space, _interval(result, level).T
    stderr = np.full(len(low), np.nan) if result.stderr is None else result.stderr
    columns: dict[str, Any] = {"estimate": result.theta, "stderr": stderr, "low": low, "high": high}
    if result.population is not None:
        moments = result.population.theta
        columns |= {name: getattr(moments, name) for name in ("mean", "mean_stderr", "sd", "sd_stderr", "sd_upper")}
    places = ("estimate", "low", "high", "mean")  # a fixed parameter is where it is, without error or spread
    for word, free in columns.items():
        values = np.array([p.value if word in places else 0.0 for p in (space[name] for name in space.fixed)])
        known = dict(zip((*result.names, *space.fixed), (*free, *values), strict=True))
        columns[word] = np.array([known[name] for name in space.columns], float)
    columns["fixed"] = [name in space.fixed for name in space.columns]
    columns["unit"] = [space[name].unit for name in space.columns]
    return pandas.DataFrame(columns, index=pandas.Index(space.columns, name="parameter"))


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
        {
            name: (("chain", "draw"), cube[..., i], {"units": unit} if unit else {})
            for i, (name, unit) in enumerate(zip(result.names, result.space.units, strict=True))
        },
        coords={"chain": np.arange(chains), "draw": np.arange(draws)},
        attrs={
            "inference_library": "avo",
            "inference_library_version": __version__,
            "sampling": words,
            "not_identified": ", ".join(loose.tolist()),
            "status": result.status,
            "message": result.message,
        },
    )
    groups = {"posterior": posterior}
    if x_obs is not None:
        groups["observed_data"] = xarray.Dataset({"x": _observed(xarray, result, x_obs)})
    return xarray.DataTree.from_dict(groups)


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
    interval, population = _interval(result, level), result.population
    head = ["parameter", "estimate"] if population is None else ["parameter", "median", "mean", "sd"]
    with_interval = population is None and result.stderr is not None
    head += [rf"{100 * level:g}\,\% interval"] if with_interval else []
    rows = []
    for name in result.space.columns:
        unit = _text(result.space[name].unit)
        if name in result.space.fixed:
            value = f"${_plain(f'{result.space[name].value:.5g}')}$ (fixed)"
            rows.append([_text(name), value, *[""] * (len(head) - 2), unit])
            continue
        i = result.names.index(name)
        error = math.nan if result.stderr is None else float(result.stderr[i])
        cells = [_text(name), "not identified" if math.isinf(error) else _number(float(result.theta[i]), error)]
        if isinstance(result.space[name], Count) and math.isfinite(error):
            cells[1] = rf"${result.theta[i]:.0f} \pm {_plain(rounded(error, error))}$"
        if with_interval:
            cells.append(_range(interval[i], error, result.space[name]))
        if population is not None:
            moments = population.theta
            known = math.isfinite(moments.sd_stderr[i])
            sd = (
                _number(moments.sd[i], moments.sd_stderr[i]) if known else f"$< {_plain(f'{moments.sd_upper[i]:.2g}')}$"
            )
            cells += [_number(moments.mean[i], moments.mean_stderr[i]), sd]
        rows.append([*cells, unit])
    lines = [" & ".join(row).rstrip() + r" \\" for row in rows]
    together = () if result.estimate is None else result.combinations()
    if together:  # what the data identify where they do not identify a parameter alone
        rows = [[_text(c.words), _number(c.value, c.stderr), *[""] * (len(head) - 1)] for c in together]
        lines += [r"\midrule", *(" & ".join(row).rstrip() + r" \\" for row in rows)]
    return "\n".join([
        rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}l}}", r"\toprule", " & ".join([*head, r"unit \\"]), r"\midrule",
        *lines, r"\bottomrule", r"\end{tabular}",
    ])  # fmt: skip


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


def _range(ends: Sequence[float], error: float, parameter: Parameter) -> str:
    """Write an interval; a limit where one end is the bound, and nothing where both are; all of a count's numbers."""
    low, high = (float(end) for end in ends)
    at_low, at_high = low == parameter.support[0], high == parameter.support[1]
    if at_low and at_high:
        return ""
    if isinstance(parameter, Count):
        return f"$[{low:.0f}, {high:.0f}]$"
    (low_text, high_text), power = _scaled([low, high], error)
    times = rf" \times 10^{{{power}}}" if power else ""
    if (at_low or at_high) and parameter.bounded:
        return f"$< {high_text}{times}$" if at_low else f"$> {low_text}{times}$"
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
