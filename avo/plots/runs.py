"""How a fit went: the gap and each parameter against simulator calls; which calls failed, and where."""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from jaxtyping import ArrayLike, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from avo.parameters import TURN, unwound
from avo.plots.given import fitted, truth_of
from avo.plots.style import (
    FITTED,
    OBSERVED,
    POINTS,
    SIMULATED,
    Canvas,
    canvas,
    decades,
    finished,
    grid,
    legend_above,
    lowest,
    ticked,
    with_unit,
)
from avo.result import Result
from avo.summary import estimate_in_words

SHADE = {"search": 0.1, "steps": 0.0, "refine": 0.1, "further": 0.2}  # of the phases


def history(result: Result, truth: ArrayLike | None = None, *, figure: Canvas | None = None) -> Figure:
    """Draw the gap and each parameter against simulator calls, through search, steps and refining.

    The line is the proposal's centre, the band one standard deviation of the proposal, in u, to each side: where it
    explores, not an error of the estimate. Search and refining are shaded; a diamond at the end is the estimate, with
    its 90 % interval where it has one.

    Args:
        result: the fit.
        truth: known parameters, with shape (d,), for fits of simulated observations.
        figure: a Figure or SubFigure to draw into; None: a new one.

    Returns:
        The figure, with 1 + d panels, first the gap.

    Raises:
        ValueError: if `truth` does not have one value per parameter, or the fit took no steps.

    Example:
        >>> import avo, jax, jax.numpy as jnp
        >>> problem = avo.simulators.get("poisson")
        >>> x_obs = problem.simulate(jax.random.key(0), jnp.full((100, 1), 7.0))
        >>> result = avo.fit(problem.simulate, x_obs, problem.space, budget=2560, refine=False, progress=False)
        >>> [axes.get_ylabel() for axes in history(result, truth=problem.theta_true).axes]
        ['gap', 'rate']
    """
    truth = truth_of(fitted(result).names, truth)
    if "calls" not in result.history:
        raise ValueError("result must be of a fit with steps; a fit of stored pairs has none to draw.")
    thin = slice(None, None, max(1, len(result.history["calls"]) // POINTS))
    calls, u, sd = (np.asarray(result.history[name])[thin] for name in ("calls", "u", "sd"))
    calls = calls + result.phases.get("search", 0)
    low, centre, high = (_in_one_piece(result, u + sign * sd, u[-1]) for sign in (-1, 0, 1))
    theta, stderr = result.theta, result.stderr
    ends = None if stderr is None else result.interval(0.9)

    figure, panels = grid(1 + len(result.names), figure=figure)
    _gap(panels[0], result)
    for i, (axes, name, parameter) in enumerate(zip(panels[1:], result.names, result.space, strict=True)):
        axes.fill_between(calls, low[:, i], high[:, i], color=FITTED, alpha=0.2, lw=0, label="proposal's sd")
        axes.plot(calls, centre[:, i], color=FITTED, lw=1.5, label="proposal's centre")
        if truth is not None:
            at = unwound(truth[i], result.theta[i], result.space.periods[i])
            axes.axhline(float(at), color="k", ls="--", lw=1, label="truth")
        if ends is not None:
            end = float(calls[-1]), float(centre[-1, i])
            _estimate(axes, max(float(result.calls), end[0]), float(theta[i]), ends[i], end)
        ticked(axes, "y", parameter, None)
        axes.set_ylabel(with_unit(name, parameter.unit))
        axes.set_title(f"estimate {estimate_in_words(result, i, '±')}", fontsize="medium")
    for axes in panels:
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.set_xlim(0, max(result.calls, calls[-1]) * 1.01)
        _phases(axes, result.phases)
    for axes in lowest(panels):
        axes.set_xlabel("simulator calls")
    legend_above(figure, panels[1])
    return finished(figure)


def _estimate(
    axes: Axes, at: float, value: float, ends: Float[np.ndarray, "2"], before: tuple[float, float]
) -> None:  # fmt: skip
    """Mark what refining made of the steps' end, at the last call."""
    axes.plot([before[0], at], [before[1], value], color=FITTED, lw=1, ls=":")
    reach = np.abs(ends - value)[:, None]
    axes.errorbar(
        [at], [value], np.where(np.isfinite(reach), reach, 0.0), color=OBSERVED, marker="D", ms=5, lw=1.5, capsize=3,
        clip_on=False, zorder=4, ls="none", label="estimate, 90 % interval",
    )  # fmt: skip


def _phases(axes: Axes, phases: Mapping[str, int]) -> None:
    """Shade search and refining, and name all phases above the curves."""
    ends = np.cumsum([0, *phases.values()])
    for (name, calls), (first, last) in zip(phases.items(), pairwise(ends.tolist()), strict=True):
        if not calls:
            continue
        axes.axvspan(first, last, color=OBSERVED, alpha=SHADE.get(name, 0.0), lw=0, zorder=0)
        if calls > 0.12 * ends[-1]:
            place = dict(xy=((first + last) / 2, 1), xycoords=axes.get_xaxis_transform(), ha="center", va="top")
            axes.annotate(name, **place, xytext=(0, -2), textcoords="offset points", fontsize="x-small", alpha=0.8)  # pyright: ignore[reportArgumentType]


def _in_one_piece(result: Result, u: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Map u to theta; an angle goes on beyond its period, and ends beside the estimate."""
    space, theta = result.space, np.asarray(result.space.constrain(u))
    if not space.angles.any():
        return theta
    end = unwound(np.asarray(space.constrain(last)), result.theta, space.periods)
    rate = np.where(space.angles, space.periods, 0.0) / TURN
    return np.where(space.angles, end + (u - last) * rate, theta)


def _gap(axes: Axes, result: Result) -> None:
    calls, gap = (np.asarray(result.history[name], dtype=float) for name in ("calls", "gap"))
    calls = calls + result.phases.get("search", 0)
    size = max(1, len(gap) // 200)
    blocks = len(gap) // size * size
    mean = lambda a: a[:blocks].reshape(-1, size).mean(axis=1)  # noqa: E731
    thin = slice(None, None, max(1, len(gap) // POINTS))
    axes.plot(calls[thin], gap[thin], color=FITTED, alpha=0.25, lw=0.5)
    axes.plot(mean(calls), mean(gap), color=FITTED, lw=1.5)
    axes.axhline(0, color="k", lw=0.5)
    axes.set_ylabel("gap")
    axes.set_title("observed against simulated", fontsize="medium")
    # The first steps' gap may be so large that nothing else is seen
    low, high = np.nanpercentile(gap, [0.5, 99])
    if high > low:
        axes.set_ylim(low - 0.1 * (high - low), high + 0.1 * (high - low))


def failures(result: Result, *, figure: Canvas | None = None) -> Figure:
    """Draw how many calls failed, by kind, and between which values of the parameters most of them lie.

    Args:
        result: the fit.
        figure: a Figure or SubFigure to draw into; None: a new one.

    Returns:
        The figure: a panel with a bar for each kind of failure, and one for each bound of the region that holds most of
        them, its range in grey, the region in orange.

    Example:
        >>> import avo
        >>> from avo.execution.failures import Failures, Where
        >>> space, q = avo.Space(rate=avo.Interval(0, 9)), avo.Gaussian.start(1)
        >>> failed = Failures({"timeout": 20, "non-finite": 5}, Where((("rate", ">", 6.0),), 0.9, 0.3, 0.01))
        >>> result = avo.Result(space, q, None, 1000, failed, "converged", "", {}, (3,), {})
        >>> [axes.get_xlabel() for axes in failures(result).axes]
        ['failed calls', 'rate']
    """
    counts = sorted(
        ((kind, count) for kind, count in fitted(result).failures.items() if count), key=lambda pair: pair[1]
    )
    place = result.failures.place
    bounds = [] if place is None else [bound for bound in place.bounds if bound[0] in result.names]
    heights = [0.35 * max(len(counts), 1) + 0.7, *[0.75] * len(bounds)]
    figure = canvas((7, sum(heights) + 0.7), figure)
    kinds, *ranges = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    bars = kinds.barh([kind for kind, _ in counts], [count for _, count in counts], color=SIMULATED, height=0.6)
    kinds.bar_label(bars, [f"{count:,}" for _, count in counts], fontsize="small", padding=3)
    kinds.margins(x=0.12)
    kinds.set_xlabel("failed calls")
    total = sum(count for _, count in counts)
    words = f"{total:,} of {result.calls:,} calls failed, {100 * total / max(result.calls, 1):.2g} %"
    kinds.set_title(words if total else "no call failed", fontsize="medium")
    for axes, (name, sign, value) in zip(ranges, bounds, strict=True):
        _region(axes, result, name, sign, value)
    if ranges and place is not None:
        words = f"{place.share:.0%} of them lie where it is orange: {place.there:.0%} of the calls there fail"
        ranges[0].set_title(words.replace("%", " %"), fontsize="medium")
    return finished(figure)


def _region(axes: Axes, result: Result, name: str, sign: str, value: float) -> None:
    """Draw a parameter's range, and the part of it beyond a bound."""
    parameter, at = result.space[name], float(result.theta[result.names.index(name)])
    low, high = parameter.support
    reach = max(abs(value - at), 1e-12 + 0.1 * abs(value)) * 3
    low, high = (end if np.isfinite(end) else at + side * reach for end, side in ((low, -1), (high, 1)))
    axes.barh(0, high - low, left=low, color=OBSERVED, alpha=0.15, height=0.6)
    first, last = (value, high) if sign == ">" else (low, value)
    axes.barh(0, last - first, left=first, color=SIMULATED, alpha=0.7, height=0.6)
    axes.plot([at], [0], marker="D", color=OBSERVED, ls="none", label="estimate")
    axes.set_yticks([])
    axes.set_xlim(low, high)
    if parameter.logarithmic and low > 0:
        decades(axes, "x")
    axes.set_xlabel(with_unit(name, parameter.unit))
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize="small")
