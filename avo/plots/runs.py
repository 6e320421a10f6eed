"""How a fit went: the gap and each parameter against simulator calls."""

import numpy as np
from jaxtyping import ArrayLike
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from avo.parameters import TURN, unwound
from avo.plots.style import FITTED, POINTS, grid, lowest, with_unit
from avo.result import Result


def history(result: Result, truth: ArrayLike | None = None) -> Figure:
    """Draw the gap and each parameter against simulator calls.

    The line is the proposal's centre, the band one standard deviation of the proposal, in u, to each side: where it
    explores, not an error of the estimate.

    Args:
        result: the fit.
        truth: known parameters, with shape (d,), for fits of simulated observations.

    Returns:
        A figure with 1 + d panels, first the gap.

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
    if truth is not None and np.shape(truth) != (len(result.names),):
        raise ValueError(
            f"truth must have one value for each of {', '.join(result.names)}; got shape {np.shape(truth)}."
        )
    if "calls" not in result.history:
        raise ValueError("result must be of a fit with steps; a fit of stored pairs has none to draw.")
    thin = slice(None, None, max(1, len(result.history["calls"]) // POINTS))
    calls, u, sd = (np.asarray(result.history[name])[thin] for name in ("calls", "u", "sd"))
    low, centre, high = (_in_one_piece(result, u + sign * sd, u[-1]) for sign in (-1, 0, 1))

    figure, panels = grid(1 + len(result.names))
    _gap(panels[0], result)
    for i, (axes, name, parameter) in enumerate(zip(panels[1:], result.names, result.space, strict=True)):
        axes.fill_between(calls, low[:, i], high[:, i], color=FITTED, alpha=0.2, lw=0, label="proposal's sd")
        axes.plot(calls, centre[:, i], color=FITTED, lw=1.5, label="proposal's centre")
        if truth is not None:
            at = unwound(np.asarray(truth)[i], result.theta[i], result.space.periods[i])
            axes.axhline(float(at), color="k", ls="--", lw=1, label="truth")
        if parameter.logarithmic:
            axes.set_yscale("log")
        axes.set_ylabel(with_unit(name, parameter.unit))
        axes.set_title(f"estimate {result.theta[i]:.4g}", fontsize="medium")
    for axes in panels:
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.set_xlim(0, calls[-1])
    for axes in lowest(panels):
        axes.set_xlabel("simulator calls")
    figure.legend(*panels[1].get_legend_handles_labels(), loc="outside upper right", ncols=3, frameon=False)
    return figure


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
