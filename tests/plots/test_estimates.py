"""Pictures of what a fit knows: the drawn intervals, ellipses, bars and points are the result's own numbers."""

from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reports
from matplotlib.figure import Figure
from scipy import stats

import avo
from avo import plots
from avo.execution.failures import Failures
from avo.plots.estimates import told_directions
from avo.plots.misfits import standing_out
from avo.refine.linear import LinearSpace
from avo.refine.modes import Mode


def lines(axes):
    return [np.asarray(drawn.get_xydata()) for drawn in axes.get_lines()]


@pytest.fixture(scope="module")
def result():
    return reports.reported("vector")


def test_a_forest_draws_the_intervals(result):
    other = Mode(result.names, result.theta * 1.1, result.stderr * 2, 0.3)
    both = replace(result, elsewhere=(other,))
    truth = np.array([2.0, 0.3, 3.0])
    figure = plots.forest(both, truth)
    assert [axes.get_xlabel() for axes in figure.axes] == ["mu (mV)", "rate", "tau (ms)"]
    for i, axes in enumerate(figure.axes):
        interval, estimate, second, _, known = lines(axes)
        np.testing.assert_allclose(interval, np.c_[result.interval(0.9)[i], [0, 0]], rtol=1e-6)
        np.testing.assert_allclose(estimate, [[result.theta[i], 0]], rtol=1e-6)
        reach = 1.6449 * 2 * result.stderr[i] * np.array([-1, 1])
        np.testing.assert_allclose(second, np.c_[1.1 * result.theta[i] + reach, [1, 1]], rtol=1e-4)
        np.testing.assert_allclose(known[:, 0], truth[i])
        assert [text.get_text() for text in axes.get_yticklabels()] == ["estimate", "solution 2"]
    assert figure.axes[1].get_xscale() == "log"


def test_a_forest_of_fits_and_of_other_parameters(result):
    figure = plots.forest({"first": result, "second": result})
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["first", "second"]
    space = avo.Space(a=avo.Real(), b=avo.Real(), c=avo.Real())
    with pytest.raises(ValueError, match="results must have parameters in common: second has a, b, c, the first mu"):
        plots.forest({"first": result, "second": replace(result, space=space)})
    other = avo.Space(mu=avo.Interval(-3, 5, unit="V"), rate=avo.Positive(), tau=avo.Positive(unit="ms"))
    with pytest.raises(ValueError, match="results must have mu in one unit; second has it in 'V', others in 'mV'"):
        plots.forest({"first": result, "second": replace(result, space=other)})
    with pytest.raises(ValueError, match="truth must have one value for each of mu, rate, tau"):
        plots.forest(result, np.ones(2))


@pytest.mark.parametrize("fixed_first", [False, True])
def test_a_forest_compares_what_is_free_with_what_is_fixed(result, fixed_first):
    space = avo.Space(mu=avo.Interval(-3, 5, unit="mV"), rate=0.62)
    result = replace(result, space=avo.Space(**dict(zip(result.names, result.space, strict=True)) | {
        "rate": avo.LogInterval(0.05, 30.0, unit="1/s")}))  # fmt: skip
    proposal = avo.Gaussian(result.proposal.loc[:1], result.proposal.log_scale[:1])
    fixed = replace(result, space=space, proposal=proposal, estimate=None)
    named = {"open": result, "rate = .62": fixed}
    names, truth = ["mu (mV)", "rate (1/s)", "tau (ms)"], [2.0, 0.3, 3.0]
    figure = plots.forest(dict(reversed(named.items())) if fixed_first else named, truth)
    assert [axes.get_xlabel() for axes in figure.axes] == names
    k = int(not fixed_first)  # the row of the fit with a fixed rate
    for i, axes in enumerate(figure.axes):
        assert [text.get_text() for text in axes.get_yticklabels()][k] == "rate = .62"
        drawn = lines(axes)
        (place,) = [points for points in drawn if len(points) == 1 and points[0, 1] == k]
        np.testing.assert_allclose(place[0, 0], [float(fixed.theta[0]), 0.62, np.nan][i], rtol=1e-6)
        assert any(len(points) == 2 and np.allclose(points[:, 0], result.interval(0.9)[i]) for points in drawn)
        assert [text.get_text() for text in axes.texts] == (["fixed"] if i == 1 else [])
        assert any(np.allclose(points[:, 0], truth[i]) for points in drawn if len(points) == 2)


def test_ellipses_hold_half_and_nine_tenths(result):
    """Points on an outline, taken back to w, all lie at the same distance of the error's covariance."""
    figure = plots.identifiability(result)
    *pairs, bars = figure.axes
    assert [(axes.get_xlabel(), axes.get_ylabel()) for axes in pairs] == [
        ("mu (mV)", "rate"), ("mu (mV)", "tau (ms)"), ("rate", "tau (ms)"),
    ]  # fmt: skip
    outer, inner, centre = lines(pairs[1])
    place = np.array([0.7, -1.2, 0.4])
    w0 = np.array([4 / (1 + np.exp(-place[0])), place[2]])  # mu has two bounds, tau has none: w = u
    covariance = result.estimate.covariance[np.ix_([0, 2], [0, 2])]
    for drawn, level in ((outer, 0.9), (inner, 0.5)):
        w = np.stack([4 * (drawn[:, 0] + 3) / 8, np.log(drawn[:, 1] / 2.5)], 1) - w0
        distance = np.einsum("ni,ij,nj->n", w, np.linalg.inv(covariance), w)
        np.testing.assert_allclose(distance, stats.chi2.ppf(level, 2), rtol=2e-2)
    np.testing.assert_allclose(centre[0], result.theta[[0, 2]], rtol=1e-6)
    found = result.identifiability()
    np.testing.assert_allclose(lines(bars)[0], [[25 * direction.sd, k] for k, direction in enumerate(found)], 1e-6)
    assert [text.get_text() for text in bars.texts] == [
        direction.names[np.argmax(direction.weights)] for direction in found
    ]


def test_what_is_not_identified_is_marked(result):
    identified = np.array([True, False, True])
    values = np.where(identified, result.estimate.values, 0.0)
    covariance = result.estimate.covariance.copy()
    covariance[1, 1] = 1.5**2
    open_ = replace(
        result, estimate=replace(result.estimate, values=values, identified=identified, covariance=covariance)
    )
    bars = plots.identifiability(open_).axes[-1]
    assert "not identified" in [text.get_text() for text in bars.get_legend().get_texts()]
    interval = plots.forest(open_).axes[1].get_lines()[0]
    np.testing.assert_allclose(interval.get_xdata(), [0.05, 30.0])
    assert interval.get_linestyle() == ":"
    with pytest.raises(ValueError, match="identifiability needs a fit with refine=True"):
        plots.identifiability(replace(result, estimate=None))


def test_directions_are_told_in_per_cent_of_a_range(result):
    """A unit of w is a quarter of a range."""
    both = replace(
        result, space=avo.Space(mu=avo.Interval(-3, 5), rate=avo.LogInterval(0.05, 30), tau=avo.Interval(0, 9))
    )
    *_, bars = plots.identifiability(both).axes
    assert bars.get_xlabel() == "error (% of the range)"
    drawn = np.sort(np.concatenate([points[:, 0] for points in lines(bars) if len(points)]))
    np.testing.assert_allclose(drawn, 25 * np.sqrt(np.linspace(1, 2, 3) * 1e-3), rtol=1e-6)
    assert told_directions(both) == "All is identified: the least known, tau, to 1.1 % of the range."
    assert "of 4 units of u" in told_directions(result)
    told = told_directions(reports.loose())
    assert "not known; " in told and "tau: known to 0.79 %" in told


def test_ellipses_of_what_is_open_say_that_they_hold_near_the_estimate():
    titles = [axes.get_title() for axes in plots.identifiability(reports.loose()).axes[:3]]
    assert titles == ["open: all on the line fits", *["open: drawn near the estimate only"] * 2]


@pytest.mark.parametrize("log", [False, True])
def test_what_is_open_is_drawn_through_the_whole_range(log):
    """Of a ratio a / b the data know 1.3; the truth is far away on the line, at b = .2, a = .26."""
    kind = avo.LogInterval if log else avo.Interval
    space = avo.Space(b=kind(0.01, 2.0), a=kind(0.01, 2.0))
    result = reports.loose()
    theta = np.array([1.2, 1.56])
    loc = np.asarray(space.unconstrain(theta), float)
    line = LinearSpace(space)
    slope = np.asarray(jax.jacobian(space.constrain)(jnp.asarray(loc))).diagonal() / line.rate(loc)
    free = theta / slope  # d theta in proportion to theta
    free /= np.linalg.norm(free)
    v = np.stack([free, [-free[1], free[0]]], 1)
    estimate = replace(
        result.estimate, loc=loc, vectors=v, values=np.array([0.0, 1e4]), identified=np.array([False, True]),
        covariance=v @ np.diag([2.25, 1e-4]) @ v.T, kept=None,
    )  # fmt: skip
    q = avo.Gaussian.start(2)
    own = replace(result, space=space, estimate=estimate, proposal=eqx.tree_at(lambda q: q.loc, q, jnp.asarray(loc)))
    (together,) = own.combinations()
    assert together.words == "a / b" and together.value == pytest.approx(1.3)
    drawn, estimated, *_ = lines(plots.identifiability(own, np.array([0.2, 0.26])).axes[0])
    np.testing.assert_allclose(estimated, theta[None], rtol=1e-6)
    b, a = drawn[np.isfinite(drawn).all(1)].T
    np.testing.assert_allclose(a, 1.3 * b, rtol=1e-6)
    assert b.min() < 0.02 and 1.45 < b.max() < 2 / 1.3 + 1e-9  # a ends at 2
    assert np.isnan(drawn).any()


def test_failures_by_kind_and_where(result):
    figure = plots.failures(result)
    kinds, where = figure.axes
    bars: Any = list(kinds.patches)
    assert sorted(bar.get_width() for bar in bars) == [2, 15]
    assert "17 of 9,276 calls failed, 0.18 %" in kinds.get_title()
    drawn: Any = list(where.patches)
    range_, beyond = drawn
    assert (range_.get_x(), range_.get_x() + range_.get_width()) == pytest.approx((0.05, 30.0))
    assert (beyond.get_x(), beyond.get_x() + beyond.get_width()) == pytest.approx((6.0, 30.0))
    assert plots.failures(replace(result, failures=Failures())).axes[0].get_title() == "no call failed"


def test_misfit_is_the_difference_in_standard_errors(result):
    kept = result.kept
    names, z, limit, _ = standing_out(result)
    x, n = kept.x[: kept.there, 3].astype(float), kept.there
    size = np.sqrt(1 / (kept.rows - 1) + 1 / n)
    # The spread is the larger one of both samples
    sd = max(x.std(), np.sqrt(kept.moments[2, 3]))
    expected = (kept.moments[0, 3] - x.mean()) / (sd * size)
    assert z[names.index("x[3], mean")] == pytest.approx(expected, rel=1e-5)
    squares = (x - x.mean()) ** 2
    sd = max(squares.std(), kept.moments[3, 3] * np.sqrt(kept.moments[2, 3]) / kept.moments[1, 3])
    expected = (kept.moments[2, 3] - squares.mean()) / (sd * size)
    assert z[names.index("x[3], sd")] == pytest.approx(expected, rel=1e-5)
    _, left, right, drawn, *_ = lines(plots.misfit(result, 4).axes[0])
    assert [left[0, 0], right[0, 0]] == [-limit, limit]
    np.testing.assert_allclose(np.sort(np.abs(drawn[:, 0])), np.sort(np.abs(z))[-4:], rtol=1e-6)
    assert np.mean(np.abs(z) < 4) == 1  # both come from one law
    with pytest.raises(ValueError, match="misfit needs a fit with refine=True"):
        plots.misfit(replace(result, estimate=None))


def test_the_limit_of_misfits_allows_for_how_many_there_are_and_for_how_they_correlate(result):
    """Of k independent normal z all stay below Phi^-1((1 + .995^(1 / k)) / 2) in 99.5 %; quantile of 10,000 draws."""
    kept = result.kept
    there = kept.x[: kept.there].astype(float)
    alike = np.repeat(there[:, :1], there.shape[1], axis=1)
    for x, count in ((there, 2 * there.shape[1]), (alike, 2)):
        own = replace(result, estimate=replace(result.estimate, kept=kept._replace(x=x.astype(np.float32))))
        found = standing_out(own)
        assert len(found.z) == 2 * there.shape[1] and found.independent == pytest.approx(count, rel=0.1)
        assert found.limit == pytest.approx(stats.norm.ppf((1 + 0.995 ** (1 / count)) / 2), abs=0.15)


def right_model(law: Any, seed: int) -> avo.Result:
    """A result with one number of x, of which observations and simulations have the same law."""
    rng, result = np.random.default_rng(seed), reports.reported("scalar")
    x, own = (np.asarray(law(rng, n), np.float32)[:, None] for n in (1200, 300))
    squares = (own - own.mean()) ** 2
    error = lambda a: a.std(0, ddof=1) / np.sqrt(300)  # noqa: E731
    moments = np.stack([own.mean(0), error(own), squares.mean(0), error(squares)])
    assert result.estimate is not None and result.kept is not None
    kept = result.kept._replace(x=x, there=1200, observed=own, moments=moments)
    return replace(result, estimate=replace(result.estimate, kept=kept))


@pytest.mark.parametrize("law", [
    lambda rng, n: (rng.random(n) < 0.004) * rng.exponential(size=n),  # a pixel that is rarely lit
    lambda rng, n: rng.standard_t(3, size=n),  # whose fourth moment is infinite
])  # fmt: skip
def test_misfit_of_a_right_model_alarms_rarely(law):
    """|z| > 3 has probability .0027 in 160 z: more than two come once in ten thousand times. A wrong model alarms."""
    z = np.concatenate([standing_out(right_model(law, seed))[1] for seed in range(80)])
    assert np.sum(np.abs(z) > 3) <= 2
    result = right_model(law, 0)
    x = 1.6 * result.kept.x + 0.5
    kept = result.kept._replace(x=x)
    wrong = standing_out(replace(result, estimate=replace(result.estimate, kept=kept)))[1]
    assert np.abs(wrong).max() > 3


def test_misfit_far_away_is_an_arrow_and_the_label_is_whole(result):
    kept = result.kept
    x = kept.x.copy()
    x[:, 3] += 9.0
    far = replace(result, estimate=replace(result.estimate, kept=kept._replace(x=x)))
    (axes,) = plots.misfit(far).axes
    arrows = next(line for line in axes.get_lines() if line.get_marker() == "<")
    np.testing.assert_array_equal(arrows.get_xdata(), [-20.0])
    assert axes.get_title(loc="left") == "arrows: 20 standard errors or more"
    assert axes.get_xlabel() == "(observed - simulated) / standard error"
    assert plots.misfit(result).axes[0].get_title(loc="left") == ""


def test_misfit_leaves_out_what_is_missing(result):
    kept = result.kept
    gone = kept.x.copy()
    gone[: kept.there : 2, 1] = np.nan
    own = replace(result, estimate=replace(result.estimate, kept=kept._replace(x=gone)))
    some = replace(result, estimate=replace(result.estimate, kept=kept._replace(x=kept.x[1::2], there=kept.there // 2)))
    names, z, *_ = standing_out(own)
    at = names.index("x[1], mean"), names.index("x[1], sd")
    np.testing.assert_allclose(z[list(at)], standing_out(some)[1][list(at)], rtol=1e-6)
    at = names.index("x[3], mean")
    assert z[at] == standing_out(result)[1][at]


def test_a_population_and_its_encoded_rows():
    result = reports.reported("vector", "population")
    figure = plots.population(result)
    assert [axes.get_xlabel() for axes in figure.axes] == ["mu (mV)", "rate", "tau (ms)"]
    encoded, members = figure.axes[0].patches
    total = lambda patch: patch.get_xy()[:, 1].max()  # noqa: E731
    assert total(encoded) > total(members) > 0  # encoded rows are shrunk: narrower, hence higher
    with pytest.raises(ValueError, match='population needs a fit with target="population"'):
        plots.population(reports.reported("vector"))


def test_solutions_stand_beside_one_another(result):
    """Bars hold 90 % of the normal error, of what is not identified the range, dotted."""
    second = Mode(result.names, np.array([-1.2, 9.1, 1.1]), np.array([0.1, np.inf, 0.2]), 0.3)
    figure = plots.modes(replace(result, elsewhere=(second,)))
    assert [axes.get_xlabel() for axes in figure.axes] == ["mu (mV)", "rate", "tau (ms)"]
    for i, axes in enumerate(figure.axes):
        answer, place, bar, other = lines(axes)
        np.testing.assert_allclose(place, [[result.theta[i], 0]], rtol=1e-6)
        np.testing.assert_allclose(answer[:, 0], result.theta[i] + 1.645 * result.stderr[i] * np.array([-1, 1]), 1e-6)
        reach = 1.645 * second.stderr[i] * np.array([-1, 1])
        np.testing.assert_allclose(bar[:, 0], [0.05, 30.0] if i == 1 else second.theta[i] + reach)
        np.testing.assert_allclose(other, [[second.theta[i], 1]])
        assert [text.get_text() for text in axes.get_yticklabels()] == ["the answer", "solution 2, p = 0.3"]
    assert [text.get_text() for text in figure.axes[1].texts][1] == "9.1, not identified"
    assert [text.get_text() for text in figure.axes[2].texts][1] == "1.10 ± 0.20"


def test_one_solution_is_not_compared(result):
    with pytest.raises(ValueError, match="this one found one. Draw it by avo.plots.forest"):
        plots.modes(result)
    with pytest.raises(ValueError, match='modes needs a fit with refine=True and target="point"'):
        plots.modes(reports.reported("vector", "population"))


def test_parts_are_drawn_by_their_errors():
    result = reports.reported("image")
    found, figure = result.sensitivity(), plots.sensitivity(result, parts=9)
    some = np.sort(np.argsort(-found.without.max(1), kind="stable")[:9])
    assert [axes.get_title() for axes in figure.axes] == ["mu", "rate", "tau"]
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == [found.parts[p] for p in some]
    for i, axes in enumerate(figure.axes):
        one, alone, beyond, without, _ = lines(axes)
        np.testing.assert_allclose(one[:, 0], 1)
        np.testing.assert_allclose(without, np.c_[found.without[some, i], np.arange(9)])
        near = found.alone[some, i] < 30
        np.testing.assert_allclose(alone, np.c_[found.alone[some, i], np.arange(9)][near])
        least = np.minimum(found.least[1][some, i], 30)  # where simulations do not tell how far beyond
        np.testing.assert_allclose(beyond, np.c_[least, np.arange(9)][~near])
    told = figure.get_suptitle()
    assert told.startswith(f"9 of {len(found.parts)} parts, those that decide most")
    if found.blur.max() > 1.5:
        assert "What is kept of x tells less than all of it" in told
    assert "parts, those" not in plots.sensitivity(result, parts=len(found.parts)).get_suptitle()
    with pytest.raises(ValueError, match="sensitivity needs a fit with refine=True"):
        plots.sensitivity(replace(result, estimate=None))


def test_each_mark_of_a_sensitivity_is_in_its_legend(result):
    found, figure = result.sensitivity(), plots.sensitivity(result)
    marks = {drawn.get_label() for axes in figure.axes for drawn in axes.get_lines() if drawn.get_marker() != "None"}
    marks = {words for words in marks if not str(words).startswith("_")}
    assert {"by it alone: at least this", "without the part: at least this"} <= marks and found.least[0].max() > 1
    assert {text.get_text() for text in figure.legends[0].get_texts()} == marks
    (words,) = plots.sensitivity(reports.reported("vector", "population")).legends
    assert "by no part at all" in [text.get_text() for text in words.get_texts()]


def test_counts_have_whole_ticks() -> None:
    result = at_the_seam()
    for figure in (plots.forest(result), plots.identifiability(result), plots.history(result)):
        figure.draw_without_rendering()
        axes = [axes for axes in figure.axes if "lines" in (axes.get_xlabel(), axes.get_ylabel())][0]
        axis = axes.xaxis if axes.get_xlabel() == "lines" else axes.yaxis
        words = [float(text.get_text().replace("\u2212", "-")) for text in axis.get_ticklabels()]
        assert len(words) > 1 and all(word == round(word) for word in words)


def test_parts_of_a_population_are_drawn_up_to_its_spread():
    result = reports.reported("vector", "population")
    found, figure = result.sensitivity(), plots.sensitivity(result)
    assert "what parts of a row leave" in figure.get_supxlabel() and found.spread is not None
    for i, axes in enumerate(figure.axes):
        one, spread, *_ = lines(axes)
        np.testing.assert_allclose(one[:, 0], 1)
        np.testing.assert_allclose(spread[:, 0], found.spread[i])


def test_pictures_are_drawn_into_figures_and_axes_of_the_users_own(result):
    for draw in (plots.forest, plots.identifiability, plots.history, plots.failures, plots.misfit):
        whole = Figure(figsize=(12, 9), layout="constrained")
        halves: Any = whole.subfigures(1, 2)
        left, right = halves
        assert draw(result, figure=right) is whole
        assert right.axes and not left.axes
    several = replace(result, elsewhere=(Mode(result.names, result.theta * 1.1, result.stderr, None),))
    for draw, what in ((plots.sensitivity, result), (plots.modes, several)):
        parts: Any = Figure(figsize=(12, 9), layout="constrained").subfigures(1, 2)
        assert draw(what, figure=parts[1]) is parts[1].figure and parts[1].axes
    own = Figure()
    axes = own.subplots()
    assert plots.misfit(result, ax=axes) is own and axes.lines
    with pytest.raises(ValueError, match="pass figure="):
        plots.misfit(result, figure=Figure(), ax=axes)
    axes = own.subplots()
    assert plots.predictive(np.arange(9.0), np.arange(9.0), ax=axes) is own and axes.patches
    assert plots.draws(np.random.default_rng(0).normal(size=(50, 2)), ax=axes) is own and axes.collections
    with pytest.raises(ValueError, match="ax= takes a picture of one panel, and this one has 3"):
        plots.predictive(np.ones((9, 3)), np.ones((9, 3)), ax=axes)


SEAM = avo.Space(mu=avo.Real(), peak=avo.Angle(24, unit="h"), lines=avo.Count(2, 12))


def at_the_seam() -> avo.Result:
    """A peak at 23.8 h +- 36 minutes, and 5.3 lines +- .5, of which 5 is the estimate."""
    result = reports.reported("vector")
    loc = np.array([0.7, -0.2 / 6, np.log(3 / 7)])
    estimate = replace(
        result.estimate, loc=loc, between=np.array([0.7, -0.2 / 6, 3.3 / 2.5]),
        covariance=np.diag([0.01, 0.01, 0.04]), kept=reports.kept(SEAM, loc, (4,)),
    )  # fmt: skip
    proposal = avo.Gaussian(jnp.asarray(loc), result.proposal.log_scale, None)
    return replace(result, space=SEAM, estimate=estimate, proposal=proposal)


def test_pictures_of_angles_are_in_one_piece_at_the_seam() -> None:
    result = at_the_seam()
    assert result.theta[1] == pytest.approx(23.8)
    figure = plots.identifiability(result, np.array([0.6, 0.3, 5.0]))
    titled = {(axes.get_xlabel(), axes.get_ylabel()): axes for axes in figure.axes[:3]}
    axes = titled["mu", "peak (h)"]
    for ellipse, level in zip(lines(axes), (0.9, 0.5), strict=False):  # half as high as its quantile says
        reach = np.sqrt(stats.chi2.ppf(level, 2)) * 0.6
        np.testing.assert_allclose([ellipse[:, 1].min(), ellipse[:, 1].max()], [23.8 - reach, 23.8 + reach], rtol=1e-3)
    np.testing.assert_allclose(lines(axes)[-1], [[0.6, 24.3]])  # the truth, at .3, is beside it
    axes = titled["mu", "lines"]
    np.testing.assert_allclose(lines(axes)[0][:, 1].mean(), 5.3, atol=0.02)
    assert lines(axes)[2][0, 1] == 5
    other = Mode(SEAM.names, np.array([0.7, 0.4, 7.0]), np.array([0.1, 0.6, 0.5]), whole={"lines": (6, 8)})
    figure = plots.forest(replace(result, elsewhere=(other,)), truth=np.array([0.6, 0.3, 5.0]))
    _, estimate, interval, second, truth = lines(figure.axes[1])
    assert estimate[0, 0] == pytest.approx(23.8) and second[0, 0] == pytest.approx(24.4) and truth[0, 0] == 24.3
    np.testing.assert_allclose(interval[:, 0], [24.4 - 1.6449 * 0.6, 24.4 + 1.6449 * 0.6], rtol=1e-4)
    assert lines(figure.axes[2])[2][:, 0].tolist() == [6, 8] and other.theta[1] == 0.4
    figure = plots.modes(replace(result, elsewhere=(other,)))
    torn = lines(figure.axes[1])[2][:, 0]
    np.testing.assert_allclose(torn, [0.4 - 1.645 * 0.6, 0.4 + 1.645 * 0.6], rtol=1e-4)
    assert [text.get_text() for text in figure.axes[2].texts] == ["5 (90 %: 5 to 6)", "7 (90 %: 6 to 8)"]


def test_the_line_of_an_angle_and_another_goes_round_once() -> None:
    result = at_the_seam()
    v = np.array([[1.0, 1.0, 0.0], [1.0, -1.0, 0.0], [0.0, 0.0, np.sqrt(2)]]) / np.sqrt(2)
    known = dict(vectors=v, values=np.array([0.0, 1e3, 1e3]), identified=np.array([False, True, True]))
    covariance = v @ np.diag([2.25, 1e-3, 1e-3]) @ v.T
    result = replace(result, estimate=replace(result.estimate, covariance=covariance, **known))
    axes = plots.identifiability(result).axes[0]
    line = lines(axes)[0]
    assert np.nanmax(np.abs(np.diff(line[:, 1]))) < 1 and np.ptp(line[~np.isnan(line[:, 1]), 1]) <= 24 + 1e-9


def test_a_count_is_a_whole_number_in_titles() -> None:
    titles = [axes.get_title() for axes in plots.history(at_the_seam()).axes]
    assert titles[3] == "estimate 5 (90 %: 5 to 6)" and titles[2] == "estimate 23.80 ± 0.60"


def test_names_are_taken_as_they_are(result):
    space = avo.Space(**{"$\\frac{": avo.Real(), "$x_1$": avo.Real(), "c" * 90: avo.Real()})
    figure = plots.forest(replace(result, space=space))
    figure.draw_without_rendering()
    assert [axes.get_xlabel() for axes in figure.axes][:2] == ["$\\frac{", "$x_1$"]
    assert len(figure.axes[2].get_xlabel()) == 44
