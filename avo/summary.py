"""What a result says in words: the table of its estimates, and below it, in sentences, what no table can say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from scipy import stats

from avo.checks import shaped
from avo.parameters import limit
from avo.refine.estimate import CONTRADICT, DISAGREE, UNLIKELY, spread
from avo.space import Angle, Count, Parameter
from avo.tables import aligned, html_table, rounded, whole_number, written

FEW = 1e-3  # of all values, below which those that are missing are counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from avo.refine.identifiability import Combination
    from avo.result import Result


def text(result: Result, truth: np.ndarray | None = None) -> str:
    """Write table, sentences, status and calls, beside the truth where it is known.

    Raises:
        ValueError: if truth is not one number for each parameter.
    """
    failures = ", ".join(f"{n:,} {kind}" for kind, n in result.failures.items() if n)
    failures = f", of which failed: {failures}" if failures else ""
    if failures and result.failures.place is not None:
        failures += f"; {result.failures.place}"
    calls = f"{result.calls:,} {'simulator calls' if result.critic is not None else 'stored pairs'}{failures}"
    rows = aligned(table(result, truth))
    return "\n".join([*rows, "", *_words(result), f"{result.status}: {result.message}", calls])


def html(result: Result) -> str:
    """Write the same as a table of HTML with lines of text below it."""
    return html_table(table(result), [*_words(result), f"{result.status}: {result.message}"])


def table(result: Result, truth: np.ndarray | None = None) -> list[list[str]]:
    """Make the rows of the table, its head first, fixed parameters among the others.

    Raises:
        ValueError: if truth is not one number for each parameter.
    """
    columns = _columns(result)
    if truth is not None:
        words = f"one value for each of {', '.join(result.names)}"
        columns["truth"] = [f"{v:.5g}" for v in shaped("truth", truth, (result.space.dim,), words)]
    rows = [["parameter", *columns, "unit"]]
    for name in result.space.columns:
        if name in result.space.fixed:
            cells = [f"{result.space[name].value:.5g} (fixed)", *[""] * (len(columns) - 1)]
        else:
            cells = [values[result.names.index(name)] for values in columns.values()]
        rows.append([name, *cells, result.space[name].unit])
    return rows


def _words(result: Result) -> list[str]:
    """Say in sentences what the table does not."""
    told = (f"warning: {warning}" for warning in warnings(result))
    return [*_what_is_there(result), *told, *_others(result), *_agreement(result)]


def notes(result: Result) -> list[str]:
    """Say in sentences what is neither in the table nor a warning."""
    return [*_what_is_there(result), *_others(result), *_agreement(result)]


def _what_is_there(result: Result) -> list[str]:
    """Say what belongs to the numbers of the table: correlations, what rows stand for, whole numbers and turns."""
    return [*_correlations(result), *_of_rows(result), *_kinds(result)]


def _kinds(result: Result) -> list[str]:
    """Say where an angle's interval goes over its period, and what is known of a count between whole numbers."""
    if result.estimate is None or result.population is not None:
        return []
    found = []
    rows = zip(result.names, result.space, result.interval(0.9), _errors(result), strict=True)
    for i, (name, parameter, (low, high), error) in enumerate(rows):
        if isinstance(parameter, Angle) and (low < 0 or high > parameter.period):
            beyond, inside = (low, low + parameter.period) if low < 0 else (high, high - parameter.period)
            words = f"{name} is the same after {parameter.period:.5g} {parameter.unit}".rstrip()
            found.append(f"{words}: {rounded(beyond, error)} is {rounded(inside, error)}")
        if isinstance(parameter, Count) and np.isfinite(error):
            found.append(f"{name} is the whole number next to what the data{_between(result, i)}")
    return found


def estimate_in_words(result: Result, i: int, sign: str = "+-") -> str:
    """Write one estimate of a point with its error, or a count with the whole numbers of its interval.

    Without an error it has four digits; a count is whole all the same.
    """
    value, error = float(result.theta[i]), _errors(result)[i]
    count = isinstance(result.space[result.names[i]], Count)
    if not np.isfinite(error):
        return f"{value:.0f}" if count else f"{value:.4g}"
    low, high = result.interval(0.9)[i]
    return whole_number(value, (low, high)) if count else f" {sign} ".join(written(value, error))


def _between(result: Result, i: int) -> str:
    """Write what is known of a count between whole numbers, and of that the part of the data alone."""
    assert result.estimate is not None
    both, alone = (told.counted(result.space) for told in (result.estimate, result.estimate.by_data))
    value = " +- ".join(written(*both[result.names[i]]))
    if result.by_data is None:
        return f" say, {value}"
    own = alone.get(result.names[i])
    told = "do not identify it" if own is None else f"say {' +- '.join(written(*own))}"
    return f" and what is known say together, {value}; the data alone {told}"


def _of_rows(result: Result) -> list[str]:
    """Say what is assumed of weighted rows, and of missing values."""
    said = []
    if result.weighted is not None:
        rows, effective = result.weighted
        said.append(
            f"importance weights: {rows:,} rows say as much as {effective:,.1f} equal ones, (sum w)^2 / sum w^2"
        )
    if result.gaps is not None:
        said.append(f"{_how_many(result)} for reasons that do not depend on what they would have been")
    return said


def _how_many(result: Result) -> str:
    """Say how many values are missing, where that is known."""
    if result.lacking is None:
        return "values are taken to be missing"
    count, whole = result.lacking
    some = f"{100 * count / whole:.2g} % of the" if count >= FEW * whole else f"{count:,} of {whole:,}"
    return f"{some} values of x_obs are missing, by assumption"


def _agreement(result: Result) -> list[str]:
    """Say whether simulations at the estimate reproduce the observations, where that is known."""
    p = None if result.estimate is None else result.estimate.p_value
    if p is None:
        return []
    words = "do not reproduce" if p < UNLIKELY else "reproduce"
    return [f"simulations at the estimate {words} the observations, p = {p:.2g} (avo.check looks at fresh ones)"]


def _others(result: Result) -> list[str]:
    """Write the solutions besides the answer."""
    return [f"another solution: {mode}" for mode in result.elsewhere]


def _correlations(result: Result) -> list[str]:
    """Write the correlations of a population that differ from zero, the strongest first."""
    if result.population is None:
        return []
    corr, error = result.population.u.corr, result.population.u.corr_stderr
    pairs = [(i, j) for j in range(len(corr)) for i in range(j) if abs(corr[i, j]) > 2 * error[i, j]]
    pairs.sort(key=lambda pair: -abs(corr[pair]))
    return [
        f"correlation of {result.names[i]} and {result.names[j]}: {corr[i, j]:+.2f} +- {error[i, j]:.2f}"
        for i, j in pairs
    ]


def warnings(result: Result) -> list[str]:
    """Tell what the data do not identify, what lies at a bound, and where no population fits."""
    found = _unidentified(result)
    loc, at_bound = np.asarray(result.proposal.loc), result.at_bound
    for name, u, value, parameter in zip(result.names, loc, result.theta, result.space, strict=True):
        if name in at_bound:
            low, high = parameter.support
            end, bound = ("upper", high) if u > 0 else ("lower", low)
            words = "where values beyond it make sense, widen the range, or check the units of x_obs"
            found.append(f"{name} lies at the {end} end of its range, {value:.4g} of {bound:g}; {words}")
    if result.estimate is not None and result.estimate.encoded is not None:
        for name, own, again, z in zip(result.names, *result.estimate.encoded, strict=True):
            if abs(z) > DISAGREE:
                spreads = f"by {own:.3g} over the observations and by {again:.3g} over simulations at the fit"
                words = "no population of this simulator has both; see avo.check"
                found.append(f"E[{name} | x] spreads {spreads}: {words}")
    return [*found, *_contradiction(result), *_failing(result), *_dependence(result)]


def _failing(result: Result) -> list[str]:
    """Tell of simulations that fail at the estimate."""
    share = 0.0 if result.estimate is None else result.estimate.failing
    if share == 0:
        return []
    which = f"{share:.1%} of the simulations at the estimate fail".replace("%", " %")
    return [
        f"{which} and are left out: theta is that of observations given success, as if x_obs had lost as many, "
        "and of the same kind; result.failures.summary() says how they fail"
    ]


def _dependence(result: Result) -> list[str]:
    """Tell of rows that depend on one another, by the parameter whose error that widens most."""
    if result.estimate is None or (rows := result.estimate.neighbours) is None:
        return []
    told = rows.dependent & ~result.estimate.unidentified(result.space)
    if not told.any():
        return []
    j = int(np.argmax(np.where(told, rows.widening, 0.0)))
    which = "neighbouring rows" if rows.lag[j] == 1 else f"rows {rows.lag[j]:.0f} apart"
    return [
        f"errors assume independent rows, but {which} correlate {rows.correlation[j]:.2f} in what they say of "
        f"{result.names[j]}, whose error would then be {rows.widening[j]:.1f} times as large; unless the rows were "
        "sorted, pass groups=, a label for each stretch of rows that depend on one another"
    ]


def _unidentified(result: Result) -> list[str]:
    """Tell what the data do not identify, and what they do of it, in theta where the fit is of a point."""
    if result.estimate is None:
        return []
    if result.population is not None:
        return [str(direction) for direction in result.identifiability() if not direction.identified]
    together = [] if result.estimate.hidden else result.combinations()
    left, at_bound = np.flatnonzero(result.estimate.unidentified(result.space)), result.at_bound
    left = [result.names[i] for i in left if result.names[i] not in at_bound]  # of which more is said
    named = {name for combination in together for name in combination.names}
    idle = {result.names[i] for i in np.flatnonzero(result.estimate.without_effect)}
    idle = idle if result.status != "misfit" else set()  # elsewhere they may have an effect
    words = dict.fromkeys(left, "is not identified by these data") | dict.fromkeys(idle, "has no visible effect on x")
    if result.estimate.hidden:
        words = dict.fromkeys(left, "is not identified by so few simulations, though x responds to it")
    return [*map(str, together), *_remedy(together), *(f"{name} {words[name]}" for name in left if name not in named)]


def _remedy(together: Sequence[Combination]) -> list[str]:
    """Say what would tell parameters apart that the data identify only together: what the others are told by."""
    by = dict.fromkeys(name for combination in together for name in combination.names[1:])
    return [f"to tell them apart, fix {' and '.join(by)} in the space, or give prior="] if by else []


def _limits(result: Result) -> tuple[list[str], list[str]]:
    """Write the ends of the central 90 % intervals; where one is the bound, the other is a limit."""
    cells = []
    for (low, high), error, parameter in zip(result.interval(0.9), _errors(result), result.space, strict=True):
        ends, which = (rounded(low, error), rounded(high, error)), limit(parameter, low, high)
        if isinstance(parameter, Count):
            cells.append((f"{low:.0f}", f"{high:.0f}"))  # a limit's sign would leave its end out
        elif which:
            cells.append(("", f"< {ends[1]}") if which == "upper" else (f"> {ends[0]}", ""))
        else:
            cells.append(ends)
    low, high = zip(*cells, strict=True)
    return list(low), list(high)


def _errors(result: Result) -> Float[np.ndarray, " d"]:
    """Standard errors, by whose digits tables are rounded; NaN without any."""
    return np.full(result.space.dim, np.nan) if result.stderr is None else result.stderr


OPEN = "open"  # in the place of an estimate that the data do not identify


def _value(parameter: Parameter, value: float, error: float) -> str:
    """Write a value of a parameter to two digits of its error; a count has none behind the point.

    What the data do not identify, of infinite error, has no value: where the fit ended says nothing.
    """
    if np.isinf(error):
        return OPEN
    return f"{value:.0f}" if isinstance(parameter, Count) else rounded(value, error)


def _columns(result: Result) -> dict[str, list[str]]:
    """Write what the summary says of each parameter."""

    def to_errors(values: np.ndarray) -> list[str]:
        return [_value(*each) for each in zip(result.space, values, _errors(result), strict=True)]

    if result.settings.get("target") != "population":
        columns = {"estimate": to_errors(result.theta)}
        if result.stderr is not None:
            low, high = _limits(result)
            # A count's error is that of what lies between whole numbers, of which a sentence below tells
            pairs = zip(result.space, result.stderr, strict=True)
            stderr = ["" if isinstance(p, Count) and np.isfinite(e) else rounded(e, e) for p, e in pairs]
            columns |= {"stderr": stderr, "5 %": low, "95 %": high}
        return columns | _sources(result)
    reach = float(stats.norm.ppf(0.84)) * result.proposal.sd()
    low, high = (np.asarray(result.space.constrain(result.proposal.loc + end)) for end in (-reach, reach))
    columns = {"median": to_errors(result.theta), "16 %": to_errors(low), "84 %": to_errors(high)}
    if result.population is not None:
        found = result.population.theta
        means = [written(*pair) for pair in zip(found.mean, found.mean_stderr, strict=True)]
        spreads = [spread(found, i) for i in range(result.space.dim)]
        for names, pairs in ((("mean", "+- (mean)"), means), (("sd", "+- (sd)"), spreads)):
            columns |= dict(zip(names, map(list, zip(*pairs, strict=True)), strict=True))
    return columns


def _sources(result: Result) -> dict[str, list[str]]:
    """Write what the data alone say, and what was known, where something was."""
    alone = result.by_data
    if alone is None:
        return {}
    data = [alone.words(i) if np.isfinite(error) else "nothing" for i, error in enumerate(alone.stderr)]
    return {"the data alone": data, "known": [str(result.space.known.get(name, "")) for name in result.names]}


def _contradiction(result: Result) -> list[str]:
    """Tell of data that disagree with what was known."""
    if result.estimate is None or result.estimate.apart <= CONTRADICT:
        return []
    return [
        f"the data and what was known disagree by {result.estimate.apart:.1f} standard errors; the estimate lies "
        "between them, and its error believes both. Look for a mistake in one of them, or leave prior= out"
    ]
