"""What a fit knows: intervals of every parameter (`forest`), and ellipses of each two (`identifiability`)."""

from collections.abc import Mapping
from itertools import combinations, product
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import ArrayLike, Bool, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from avo.adversarial.proposals import START_SD
from avo.parameters import TURN, unwound
from avo.plots.given import fitted, named_fits, truth_of
from avo.plots.style import (
    FITTED,
    OBSERVED,
    SIMULATED,
    Canvas,
    canvas,
    cut,
    decades,
    finished,
    legend_above,
    room,
    ticked,
    with_unit,
)
from avo.refine.identifiability import NAMED, SHARE, Combination
from avo.refine.linear import WIDTH, LinearSpace
from avo.refine.modes import Mode
from avo.result import Result
from avo.space import Angle, Parameter, Space

PAIRS, DIRECTIONS = 6, 8  # ellipses and directions drawn at most
LEVELS = (0.5, 0.9)  # of the ellipses
NORMAL = float(stats.norm.isf(0.05))  # standard errors to either side of a 90 % interval
POINTS = 200  # of an ellipse


class Row(NamedTuple):
    """One source of a forest: its name, place and ends for each parameter, NaN where it says nothing; what is fixed."""

    name: str
    theta: Float[np.ndarray, " d"]
    ends: Float[np.ndarray, "d 2"]
    fixed: Bool[np.ndarray, " d"] | None = None


def forest(
    results: Result | Mapping[str, Result], truth: ArrayLike | None = None, *, figure: Canvas | None = None
) -> Figure:
    """Draw the 90 % interval of each parameter, a panel each: of one fit, or of several side by side.

    Of one fit, other solutions of equal misfit, the estimate by the data alone and what was known stand below the
    estimate. Of a population the thick line is the interval of its median, the thin one holds 90 % of its members.
    Where the data do not identify a parameter, the interval is its range, dotted. What one of several fits has fixed is
    a filled point without an interval; it says nothing of a parameter that it does not have.

    Args:
        results: a fit, or name -> fit, whose parameters have names in common.
        truth: known values of the parameters that are drawn, with shape (d,): the free ones of the first fit, then
            those of the others.
        figure: a Figure or SubFigure to draw into; None: a new one.

    Raises:
        ValueError: if fits have no parameter in common, or one in other units, or `truth` not one value for each.

    Example:
        >>> import avo
        >>> from avo.execution.failures import Failures
        >>> space = avo.Space(rate=avo.Interval(0, 9, unit="1/s"), shift=avo.Real())
        >>> fit = avo.Result(space, avo.Gaussian.start(2), None, 9, Failures(), "budget", "", {}, (3,), {})
        >>> fixed = avo.Space(rate=avo.Fixed(5, unit="1/s"), shift=avo.Real())
        >>> other = avo.Result(fixed, avo.Gaussian.start(1), None, 9, Failures(), "budget", "", {}, (3,), {})
        >>> [axes.get_xlabel() for axes in forest({"free": fit, "rate = 5": other}).axes]
        ['rate (1/s)', 'shift']
    """
    named = named_fits(results)
    first = next(iter(named.values()))
    drawn = _drawn(named)
    truth = truth_of(tuple(drawn), truth)
    alone = len(named) == 1
    rows = _sources(first) if alone else [_row(name, result, tuple(drawn)) for name, result in named.items()]
    middle = _one_turn(rows, drawn)
    height = 0.62 + 0.24 * len(rows)
    figure = canvas((7, height * len(drawn) + 0.6), figure)
    panels = figure.subplots(len(drawn), 1, squeeze=False)[:, 0]
    for i, (axes, (name, parameter)) in enumerate(zip(panels, drawn.items(), strict=True)):
        if first.settings.get("target") == "population" and alone:
            low, high = _members(first)[:, i]
            axes.plot(
                [low, high],
                [0, 0],
                color=SIMULATED,
                lw=2.5,
                alpha=0.6,
                solid_capstyle="butt",
                label="90 % of the members",
            )
        for k, row in enumerate(rows):
            _interval(axes, k, row, i, parameter.support)
        if truth is not None:
            at = unwound(truth[i], middle[i], _period(parameter))
            axes.axvline(float(at), color="k", ls="--", lw=1, label="truth")
        axes.margins(x=0.08)
        ticked(axes, "x", parameter)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_yticks(range(len(rows)), [row.name for row in rows])
        axes.tick_params("y", length=0)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.set_xlabel(with_unit(name, parameter.unit))
    legend_above(figure, panels[0])
    return finished(figure)


def _drawn(named: Mapping[str, Result]) -> dict[str, Parameter]:
    """List what is free in a fit, that of the first before that of others; refuse fits that cannot be compared."""
    found: dict[str, Parameter] = {}
    for result in named.values():
        found |= {name: result.space[name] for name in result.names if name not in found}
    first = next(iter(named.values()))
    for word, result in named.items():
        if not set(result.space.columns) & set(first.space.columns):
            raise ValueError(
                f"results must have parameters in common: {word} has {', '.join(result.space.columns)}, the first "
                f"{', '.join(first.space.columns)}."
            )
        for name in set(result.space.columns) & found.keys():
            own, unit = result.space[name].unit, found[name].unit
            if own != unit and not (name in result.space.fixed and not own):  # a number is fixed in the others' unit
                raise ValueError(f"results must have {name} in one unit; {word} has it in {own!r}, others in {unit!r}.")
    return found


def _row(name: str, result: Result, names: tuple[str, ...] | None = None) -> Row:
    """Find places and ends of the parameters `names`, those of the fit if left out."""
    names = result.names if names is None else names
    theta, ends = np.full(len(names), np.nan), np.full((len(names), 2), np.nan)
    fixed = np.array([name in result.space.fixed for name in names])
    intervals = None if result.stderr is None else result.interval(0.9)
    for i, parameter in enumerate(names):
        if fixed[i]:
            theta[i] = result.space[parameter].value
        elif parameter in result.names:
            j = result.names.index(parameter)
            theta[i] = result.theta[j]
            ends[i] = np.nan if intervals is None else intervals[j]
    return Row(name, theta, ends, fixed)


def _sources(result: Result) -> list[Row]:
    """List what one fit says of its parameters, and by what."""
    rows = [_row("median" if result.settings.get("target") == "population" else "estimate", result)]
    support = np.array([parameter.support for parameter in result.space]).T

    def normal(mode: Mode) -> np.ndarray:
        theta, error = mode.theta, mode.stderr
        sure = np.isfinite(error)
        ends = np.stack([theta - NORMAL * error, theta + NORMAL * error])
        ends = np.where(sure & result.space.angles, ends, np.clip(np.where(sure, ends, support), *support)).T
        return np.array([mode.whole.get(name, own) for name, own in zip(mode.names, ends, strict=True)])

    for k, mode in enumerate(result.elsewhere, 2):
        rows.append(Row(f"solution {k}", mode.theta.copy(), normal(mode)))
    if result.by_data is not None:
        rows.append(Row("the data alone", result.by_data.theta.copy(), normal(result.by_data)))
        places, ends = np.full(len(result.names), np.nan), np.full((len(result.names), 2), np.nan)
        for name, known in result.space.known.items():
            i = result.names.index(name)
            reach = known.centre + NORMAL * known.sd * np.array([-1.0, 0.0, 1.0])
            low, places[i], high = np.exp(reach) if known.log else reach
            ends[i] = low, high
        rows.append(Row("known", places, ends))
    return rows


def _period(parameter: Parameter) -> float:
    return parameter.period if isinstance(parameter, Angle) else np.inf


def _one_turn(rows: list[Row], drawn: Mapping[str, Parameter]) -> Float[np.ndarray, " d"]:
    """Move the angles of all rows, in place, by whole periods to beside those of the first that has them."""
    middle = np.full(len(drawn), np.nan)
    for i, parameter in enumerate(drawn.values()):
        told = [row for row in rows if np.isfinite(row.theta[i])]
        if not told:
            continue
        middle[i] = told[0].theta[i]
        for row in told:
            shift = float(unwound(row.theta[i], middle[i], _period(parameter))) - row.theta[i]
            row.theta[i] += shift
            if tuple(row.ends[i]) != parameter.support:
                row.ends[i] += shift
    return middle


def _members(result: Result) -> Float[np.ndarray, "2 d"]:
    """Compute the ends of the central 90 % of a population."""
    reach = NORMAL * np.asarray(result.proposal.sd())
    return np.stack([np.asarray(result.space.constrain(result.proposal.loc + side * reach)) for side in (-1, 1)])


def _interval(axes: Axes, k: int, row: Row, i: int, support: tuple[float, float]) -> None:
    """Draw one interval; that of what is not identified, the whole range, is dotted."""
    low, high = row.ends[i]
    color = FITTED if k == 0 else OBSERVED
    if np.isfinite([low, high]).all():
        open_ = (low, high) == support
        axes.plot([low, high], [k, k], color=color, lw=1.5 if open_ else 4, ls=":" if open_ else "-", alpha=0.9)
    elif not np.isnan(low):  # a range without an end
        axes.annotate("not identified", (float(row.theta[i]), k), (8, 0), textcoords="offset points", va="center")
    if row.fixed is not None and row.fixed[i]:
        axes.plot([row.theta[i]], [k], "o", color=color, ms=6, zorder=4)
        axes.annotate("fixed", (float(row.theta[i]), k), (8, 0), textcoords="offset points", va="center")
    else:
        axes.plot([row.theta[i]], [k], "o", color="w", mec=color, mew=1.5, ms=6, zorder=4)


def identifiability(result: Result, truth: ArrayLike | None = None, *, figure: Canvas | None = None) -> Figure:
    """Draw what the data identify: the error of each two parameters as an ellipse, and of each direction as a bar.

    The ellipses hold 50 and 90 % of the normal error, which is one in w (avo/refine/linear.py), so that near a bound
    they bend; of more than four parameters the pairs that correlate most are drawn. Where both are open, and one
    direction is, the line is that along which the identified combinations hold, through the whole range. Of other pairs
    with an open parameter the title says "near the estimate only": the ellipse is then the tangent there of all values
    that fit, and far from it they, and so the truth, may lie beside it. The bars are the standard deviations of
    `result.identifiability()`, in per cent of a range: orange where the data do not identify a direction.

    Args:
        result: the fit.
        truth: known parameters, with shape (d,).
        figure: a Figure or SubFigure to draw into; None: a new one.

    Returns:
        The figure: a panel for each pair, then one with the directions.

    Raises:
        ValueError: if the fit has no error.
    """
    truth = truth_of(fitted(result).names, truth)
    if result.estimate is None:
        raise ValueError(f"identifiability needs a fit with refine=True that found a solution; {result.message}")
    pairs = _pairs(result)
    columns = min(3, max(len(pairs), 1), room(figure))
    lines, found = -(-len(pairs) // columns), list(result.identifiability())[:DIRECTIONS]
    bars = 0.8 + 0.4 * len(found)
    figure = canvas((max(3.0 * columns, 7), 2.7 * lines + bars), figure)
    shape: Any = dict(nrows=lines + 1, ncols=columns, height_ratios=[*[2.7] * lines, bars])
    places = figure.add_gridspec(**shape)
    for k, (i, j) in enumerate(pairs):
        axes = figure.add_subplot(places[divmod(k, columns)])
        _ellipse(axes, result, i, j, truth)
    _directions(figure.add_subplot(places[lines, :]), found, result.space)
    return finished(figure)


def _pairs(result: Result) -> list[tuple[int, int]]:
    """Choose the pairs of parameters whose errors correlate most, in their own order."""
    assert result.estimate is not None
    d = len(result.names)
    covariance = result.estimate.covariance[:d, :d]
    sd = np.sqrt(np.maximum(np.diagonal(covariance), 1e-300))
    every = sorted(combinations(range(d), 2), key=lambda pair: -abs(covariance[pair]) / (sd[pair[0]] * sd[pair[1]]))
    return sorted(every[:PAIRS])


def _ellipse(axes: Axes, result: Result, i: int, j: int, truth: np.ndarray | None) -> None:
    """Draw the error of two parameters, i to the right, other solutions as crosses."""
    assert result.estimate is not None
    both, space = [i, j], result.space
    covariance = result.estimate.covariance[np.ix_(both, both)]
    values, vectors = np.linalg.eigh(covariance)
    turn = np.linspace(0, 2 * np.pi, POINTS)
    loose = result.estimate.unidentified(space)[both]
    known = curve(result) if loose.all() else None
    if known is not None:
        axes.plot(known[:, i], known[:, j], color=FITTED, lw=2, label="what is identified holds")
    circle = np.stack([np.cos(turn), np.sin(turn)], 1) @ (vectors * np.sqrt(np.maximum(values, 0))).T
    for level in LEVELS[::-1] if known is None else ():
        around = outline(space, result, both, np.sqrt(stats.chi2.ppf(level, 2)) * circle)
        axes.fill(*around.T, color=FITTED, alpha=0.25, lw=0)
        axes.plot(*around.T, color=FITTED, lw=1, label=f"{level:.0%}".replace("%", " %"))
    axes.plot(*result.theta[both], "o", color=OBSERVED, ms=4, label="estimate")
    for mode in result.elsewhere:
        axes.plot(*_beside(result, mode.theta)[both], "x", color=SIMULATED, ms=6, label="another solution")
    if truth is not None:
        axes.plot(*_beside(result, truth)[both], "+", color="k", ms=10, label="truth")
    _side(axes, "x", space, result.names[i])
    _side(axes, "y", space, result.names[j])
    correlation = covariance[0, 1] / np.sqrt(max(covariance[0, 0] * covariance[1, 1], 1e-300))
    title = "open: drawn near the estimate only" if loose.any() else f"correlation {correlation:+.2f}"
    axes.set_title(title if known is None else "open: all on the line fits", fontsize="medium")


def _beside(result: Result, theta: Float[np.ndarray, " d"]) -> Float[np.ndarray, " d"]:
    """Move angles by whole periods to beside the estimate."""
    return unwound(theta, result.theta, result.space.periods)


def curve(result: Result) -> Float[np.ndarray, "n d"] | None:
    """Compute all theta in the range at which the identified combinations hold: a line where one direction is open.

    The combinations (avo/refine/identifiability.py) say eta_i + a eta_p = c, eta theta or log theta: for each value of
    p, by which the others are told, they give theta_i, NaN where it lies outside its range.

    Returns:
        Places of the line; None where another number of directions is open, or a combination is no such sum.
    """
    estimate, space = result.estimate, result.space
    together = () if result.population is not None else result.combinations()
    if estimate is None or estimate.free.shape[1] != 1 or not together:
        return None
    p = result.names.index(together[0].names[1])
    line, theta = LinearSpace(space), np.asarray(space.constrain(estimate.loc), float)
    middle = line.of(np.asarray(estimate.loc, float))
    reach = TURN / 2 if space.angles[p] else WIDTH
    ends = (line.low[p], line.high[p]) if line.bounded[p] else (middle[p] - reach, middle[p] + reach)
    places = np.tile(middle, (POINTS, 1))
    places[:, p] = np.linspace(*ends, POINTS)
    found = np.tile(theta, (POINTS, 1))
    found[:, [p]] = outline(space, result, [p], places[:, [p]] - middle[p])
    speed = estimate.slope(space) * estimate.free[:, 0]
    for combination in together:
        i = result.names.index(combination.names[0])
        values = _solved(combination, theta[[i, p]], speed[[i, p]], found[:, p])
        if values is None:
            return None
        low, high = space[result.names[i]].support
        found[:, i] = np.where((values >= low) & (values <= high), values, np.nan)
    return found


def _solved(
    combination: Combination, at: Float[np.ndarray, " 2"], speed: Float[np.ndarray, " 2"], by: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " n"] | None:
    """Solve a combination for its first parameter: in that scale, with that weight, in which it has its value."""
    for logs in (np.array(pair) for pair in product((False, True), repeat=2)):
        if len(combination.names) != 2 or (at[logs] <= 0).any() or (logs[1] and (by <= 0).any()):
            continue
        rate = np.where(logs, speed / at, speed)
        eta = np.where(logs, np.log(np.where(logs, at, 1.0)), at)
        value = np.log(combination.value) if logs.all() else combination.value
        slope = -rate[0] / rate[1]
        for a in (np.round(2 * slope) / 2, slope):
            if np.isclose(eta[0] + a * eta[1], value, rtol=1e-6, atol=1e-9):
                rest = value - a * (np.log(by) if logs[1] else by)
                return np.exp(rest) if logs[0] else rest
    return None


def _side(axes: Axes, which: Literal["x", "y"], space: Space, name: str) -> None:
    ticked(axes, which, space[name], 4)
    axes.set(**{f"{which}label": with_unit(name, space[name].unit)})


def outline(
    space: Space, result: Result, which: list[int], moved: Float[np.ndarray, "n two"]
) -> Float[np.ndarray, "n two"]:
    """Map steps of some parameters from the estimate, on the scale of its error, to theta.

    An angle goes on beyond its period, as its interval does, half a turn to either side at most.
    """
    estimate = result.estimate
    point = estimate is not None and estimate.population_covariance is None
    line: Any = LinearSpace(space)
    middle = loc = np.asarray(result.proposal.loc, float)
    if point:
        between = None if estimate is None else estimate.between
        middle = line.of(loc) if between is None else between
    places = np.tile(middle, (len(moved), 1))
    places[:, which] += moved
    found = np.asarray((line if point else space).constrain(places))[:, which]
    angles, turn = space.angles[which], space.periods[which] / TURN
    around = result.theta[which] + np.clip(moved, -TURN / 2, TURN / 2) * np.where(angles, turn, 0.0)
    return np.where(angles, around, found)


def _unit(space: Space) -> str:
    """Name the unit of a direction's error: hundredths of a range, or of 4 units of u, which stand for one."""
    if space.bounded.all():
        return "error (% of the range)"
    return "error (% of the range, or of 4 units of u)"


def told_directions(result: Result) -> str:
    """Say in a sentence or more how well each direction is known, for who does not see the picture.

    One unit of w is a quarter of a range: a direction of sd .1 is known to 2.5 % of the range.
    """
    found = list(result.identifiability())
    of = "of the range" if result.space.bounded.all() else "of the range, or of 4 units of u"
    if all(direction.identified for direction in found):
        worst = found[0]
        return f"All is identified: the least known, {_named(worst)}, to {SHARE * worst.sd:.2g} % {of}."
    said = []
    for direction in found[:DIRECTIONS]:
        known = direction.identified or direction.sd < START_SD
        words = f"known to {SHARE * direction.sd:.2g} % {of}" if known else "not known"
        said.append(f"{_named(direction)}: {words}")
    return "; ".join(said) + "."


def _directions(axes: Axes, found: list[Any], space: Space) -> None:
    """Draw the standard deviation along each direction, the worst on top."""
    sd = SHARE * np.array([min(direction.sd, START_SD) for direction in found])
    identified = np.array([direction.identified for direction in found])
    places = np.arange(len(found))
    axes.set_xscale("log")
    axes.set_xlim(sd.min() / 3, 2 * SHARE * START_SD)
    axes.hlines(places, sd.min() / 3, sd, color=OBSERVED, lw=0.8, alpha=0.5)
    for some, color, words in ((identified, FITTED, "identified"), (~identified, SIMULATED, "not identified")):
        axes.plot(sd[some], places[some], "o", color=color, ms=7, label=words, ls="none")
    for k, direction in enumerate(found):
        place = dict(xy=(0, k - 0.22), xycoords=axes.get_yaxis_transform(), va="bottom", fontsize="small")
        axes.annotate(cut(_named(direction)), **place)  # pyright: ignore[reportArgumentType]
    axes.set_ylim(len(found) - 0.4, -0.9)
    axes.set_yticks([])
    decades(axes, "x")
    axes.set_xlabel(_unit(space))
    axes.spines[["top", "right", "left"]].set_visible(False)
    if not identified.all():
        axes.legend(loc="lower right", frameon=False, fontsize="small")


def _named(direction: Any) -> str:
    """Name a direction by the parameters of most weight."""
    order = np.argsort(-np.abs(direction.weights))[:3]
    some = [k for k in order if abs(direction.weights[k]) >= NAMED]
    if len(some) == 1:
        return direction.names[some[0]]
    return "  ".join(f"{direction.weights[k]:+.2f} {direction.names[k]}" for k in some)
