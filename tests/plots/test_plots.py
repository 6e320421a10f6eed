"""avo.plots draws the numbers it was given, with names and units on the axes."""

import itertools
import json
import subprocess
import sys
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import reports
from matplotlib.figure import Figure

from avo import Gaussian, Interval, LogInterval, Real, Space, plots
from avo.plots.style import decades
from avo.result import Result
from avo.simulators import Axis

SPACE = Space(rate=LogInterval(1.0, 30.0, unit="1/s"), shift=Interval(-3.0, 5.0, unit="mV"), tilt=Real(2.0, 0.5))


def finished(steps=40):
    """A result whose history is known: u goes from (0, 1, -1) by 0.01 a step, sd is 0.3."""
    u = np.array([0.0, 1.0, -1.0]) + 0.01 * np.arange(steps)[:, None]
    history = {
        "calls": 130 * np.arange(1, steps + 1),
        "gap": np.linspace(3.0, 0.2, steps),
        "failed": np.zeros(steps, int),
        "u": u,
        "sd": np.full((steps, 3), 0.3),
        "theta": np.asarray(SPACE.constrain(u)),
    }
    proposal = Gaussian.start(3, loc=jnp.array(u[-1]))
    return Result(SPACE, proposal, None, 130 * steps, {}, "converged", "stood still", history, (), {})


def line(axes, label):
    """Points (n, 2) of the line with this label."""
    return points(next(drawn for drawn in axes.get_lines() if drawn.get_label() == label))


def points(drawn):
    return np.asarray(drawn.get_xydata())


def outline(axes):
    """Heights along the edge of the first filled band."""
    return np.asarray(axes.collections[0].get_paths()[0].vertices)[:, 1]


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_history_draws_gap_and_parameters():
    result = finished()
    truth = np.array([7.0, 1.25, 1.7])
    figure = plots.history(result, truth)
    gap, *panels = figure.axes
    assert [axes.get_ylabel() for axes in figure.axes] == ["gap", "rate (1/s)", "shift (mV)", "tilt"]
    assert [axes.get_yscale() for axes in panels] == ["log", "linear", "linear"]
    np.testing.assert_allclose(points(gap.get_lines()[0]), np.c_[result.history["calls"], result.history["gap"]])
    for i, axes in enumerate(panels):
        centre = line(axes, "proposal's centre")
        np.testing.assert_allclose(centre, np.c_[result.history["calls"], result.history["theta"][:, i]], rtol=1e-6)
        np.testing.assert_allclose(line(axes, "truth")[:, 1], truth[i])
        band = outline(axes)
        u = result.history["u"]
        low, high = (np.asarray(SPACE.constrain(u + s * 0.3))[:, i] for s in (-1, 1))
        np.testing.assert_allclose([band.min(), band.max()], [low.min(), high.max()], rtol=1e-6)
        assert f"{result.theta[i]:.4g}" in axes.get_title()
    assert legend(figure) == ["proposal's sd", "proposal's centre", "truth"]
    assert {axes.get_xlabel() for axes in figure.axes} == {"", "simulator calls"}


def test_history_marks_phases_and_ends_in_the_estimate():
    """The curves end where the steps did, beside the place that refining found: the title contradicts neither."""
    result = reports.reported("vector")
    figure = plots.history(result)
    ends = result.interval(0.9)
    for i, axes in enumerate(figure.axes[1:]):
        curve = line(axes, "proposal's centre")
        assert curve[0, 0] == 900 + 896 and curve[-1, 0] == 900 + 5376
        bar: Any = axes.containers[0]
        (at, value), *_ = points(bar.lines[0])
        assert at == result.calls and value == pytest.approx(result.theta[i], rel=1e-6)
        low, high = np.sort(bar.lines[2][0].get_segments()[0][:, 1])
        np.testing.assert_allclose([low, high], ends[i], rtol=1e-6)
        assert {text.get_text() for text in axes.texts} == {
            "steps",
            "refine",
        }  # a short search has no room for its name
        shades: Any = [patch for patch in axes.patches if patch.get_alpha()]
        shaded = [(patch.get_x(), patch.get_width()) for patch in shades]
        assert shaded == [(0, 900), (6276, 3000)]
        assert axes.get_xlim()[1] >= result.calls
        assert " ± " in axes.get_title()


def test_axes_in_decades_read_as_numbers():
    axes = plots.history(finished()).axes[1]
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert labels == ["6", "8", "10"]


def labels_of(axis):
    """Texts of the labels that are drawn, and their boxes."""
    low, high = sorted(axis.get_view_interval())
    seen = [tick for tick in axis.get_major_ticks() if low * (1 - 1e-9) <= tick.get_loc() <= high * (1 + 1e-9)]
    return [tick.label1.get_text() for tick in seen], [tick.label1.get_window_extent() for tick in seen]


@pytest.mark.parametrize("inches", [(5, 4), (1.6, 1.3), (2.6, 0.9)])
@pytest.mark.parametrize(
    ("low", "high"),
    [(1, 1.1), (2.2, 3.1), (0.8, 1.3), (1e-6, 1e6), (2e-13, 3e12), (3, 40), (31, 33), (1.1e5, 9e6), (50, 2000)],
)  # fmt: skip
def test_axes_in_decades_have_two_labels_or_more_that_do_not_overlap(low, high, inches):
    figure = Figure(figsize=inches, layout="constrained")
    axes = figure.subplots()
    axes.set(xlim=(low, high), ylim=(high, low))  # one of them upside down
    for which in ("x", "y"):
        decades(axes, which)
    figure.draw_without_rendering()
    for axis, side in ((axes.xaxis, 0), (axes.yaxis, 1)):
        words, boxes = labels_of(axis)
        assert 2 <= len(words) <= 8 or min(inches) < 1, (words, axis)
        assert len(set(words)) == len(words)
        ends = sorted((box.min[side], box.max[side]) for box in boxes)
        assert all(one[1] <= other[0] + 1 for one, other in itertools.pairwise(ends)), words


def test_history_without_truth_and_with_the_wrong_one():
    assert legend(plots.history(finished())) == ["proposal's sd", "proposal's centre"]
    with pytest.raises(ValueError, match=r"truth must have one value for each of rate, shift, tilt; got shape \(2,\)"):
        plots.history(finished(), np.ones(2))


def test_history_of_many_steps_is_thinned_to_the_last_call():
    result = finished(5003)
    drawn = line(plots.history(result).axes[1], "proposal's centre")[:, 0]
    assert len(drawn) <= 1001 and drawn[0] == 130


def heights(patch):
    """Bar heights of a histogram outline, by the bar's left edge."""
    vertices = patch.get_xy()
    return {left: y for (left, y), (right, _) in zip(vertices[1:-1], vertices[2:], strict=True) if right > left}


def test_counts_get_one_bar_per_value():
    figure = plots.predictive([2.0, 2.0, 3.0, 5.0], [2.0, 3.0, 3.0, 3.0, 4.0], quantity="count")
    axes = figure.axes[0]
    observed, simulated = (heights(patch) for patch in axes.patches)
    expected = {1.5: 50.0, 2.5: 25.0, 3.5: 0.0, 4.5: 25.0}
    assert {k: observed[k] for k in expected} == expected
    expected = {1.5: 20.0, 2.5: 60.0, 3.5: 20.0, 4.5: 0.0}
    assert {k: pytest.approx(simulated[k]) for k in expected} == expected
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("count", "share (%)")
    assert legend(figure) == ["observed", "simulated"]


def test_vectors_get_one_panel_per_column():
    rng = np.random.default_rng(3)
    x, y = rng.normal([1.0, -20.0, 300.0], size=(400, 3)), rng.normal([1.0, -20.0, 300.0], size=(90, 3))
    figure = plots.predictive(x, y, (Axis("detector", "", np.array([4, 5, 7])),), "energy", "GeV")
    labels = [axes.get_xlabel() for axes in figure.axes]
    assert labels == [f"energy, detector {k} (GeV)" for k in (4, 5, 7)]
    for axes, column in zip(figure.axes, x.T, strict=True):
        low, high = axes.get_xlim()
        assert low < np.median(column) < high and high - low < 12
    assert [a.get_xlabel() for a in plots.predictive(x, y).axes] == [f"x, column {k}" for k in range(3)]


def test_columns_with_names_keep_quantity_and_unit():
    pandas = pytest.importorskip("pandas", reason="the columns of a DataFrame have names")
    x = pandas.DataFrame(np.random.default_rng(3).normal(size=(40, 2)), columns=["0.5 h", "1 h"])
    expected = ["concentration, 0.5 h (mg/l)", "concentration, 1 h (mg/l)"]
    drawn = plots.predictive(x, x.to_numpy(), quantity="concentration", unit="mg/l")
    assert [axes.get_xlabel() for axes in drawn.axes] == expected
    (axes,) = plots.draws(x, quantity="concentration", unit="mg/l").axes
    assert [axes.get_xlabel(), axes.get_ylabel()] == expected
    assert [a.get_xlabel() for a in plots.predictive(x, x.to_numpy(), quantity="count").axes] == [
        "count, 0.5 h", "count, 1 h"
    ]  # fmt: skip
    assert [a.get_xlabel() for a in plots.predictive(x, x.to_numpy()).axes] == ["0.5 h", "1 h"]
    own = (Axis("statistic", "", np.arange(2), ("spikes", "mean (mV)")),)  # say themselves what they are
    assert [a.get_xlabel() for a in plots.predictive(x, x.to_numpy(), own, "summary").axes] == ["spikes", "mean (mV)"]


def test_draws_of_a_result_say_what_they_take():
    with pytest.raises(ValueError, match=r"x must be simulations, .* got a Result\. Draw them at its estimate, "):
        plots.draws(reports.reported("vector"))


def test_series_draw_median_band_and_rows():
    rng = np.random.default_rng(4)
    t = np.linspace(0.3, 2.3, 30)
    x, y = rng.normal(1.3, 2.0, (101, 30)), rng.normal(-0.7, 1.0, (67, 30))
    figure = plots.predictive(x, y, (Axis("time", "s", t),), "voltage", "mV")
    bands, rows = figure.axes
    assert (bands.get_xlabel(), bands.get_ylabel(), rows.get_xlabel()) == ("time (s)", "voltage (mV)", "time (s)")
    for name, data in (("observed, median", x), ("simulated, median", y)):
        np.testing.assert_allclose(line(bands, name), np.c_[t, np.median(data, axis=0)])
    np.testing.assert_allclose(line(bands, "simulated, 5 to 95 %")[:, 1], np.percentile(y, 5, axis=0))
    assert outline(bands).max() == pytest.approx(np.percentile(x, 95, axis=0).max())
    drawn = [points(drawn)[:, 1] for drawn in rows.get_lines()]
    np.testing.assert_allclose(drawn, np.concatenate([x[:4], y[:4]]))


def test_channels():
    rng = np.random.default_rng(5)
    figure = plots.predictive(rng.normal(size=(9, 20, 2)), rng.normal(size=(8, 20, 2)), quantity="lead", unit="mV")
    assert [axes.get_ylabel() for axes in figure.axes[::2]] == ["lead, channel 0 (mV)", "lead, channel 1 (mV)"]


def test_constant_and_non_finite_simulations_are_drawn():
    constant = plots.predictive(np.full(30, 1.3), np.full(20, 1.3))
    assert [max(heights(patch).values()) for patch in constant.axes[0].patches] == pytest.approx([100.0, 100.0])
    y = np.array([1.2, np.nan, 1.4, 1.6])
    assert sum(heights(plots.predictive([1.1, 1.2, 1.5], y).axes[0].patches[1]).values()) <= 100.0 + 1e-9


def test_shapes_that_differ():
    with pytest.raises(ValueError, match=r"rows of the same shape; got shapes \(4, 3\) and \(5, 2\)"):
        plots.predictive(np.ones((4, 3)), np.ones((5, 2)))


def test_no_pyplot():
    code = "import sys, avo.plots, json; print(json.dumps('matplotlib.pyplot' in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) is False
    assert isinstance(plots.predictive(np.arange(9.0), np.arange(9.0)), Figure)


def test_names_of_columns_have_room():
    """25 names below two panels of three inches each: no two lie on top of one another."""
    axis = Axis("column", "", np.arange(25.0), tuple(f"column_{i}" for i in range(25)))
    x = np.random.default_rng(0).normal(size=(30, 25))
    figure = Figure(figsize=(6.4, 3.2), layout="constrained")
    plots.predictive(x, x, (axis,), figure=figure)
    figure.draw_without_rendering()
    for axes in figure.axes:
        boxes = [label.get_window_extent() for label in axes.get_xticklabels() if label.get_text()]
        assert len(boxes) > 5
        assert all(a.x1 <= b.x0 for a, b in zip(boxes, boxes[1:], strict=False))
