"""Whatever a picture is given wrongly ends in one sentence, which names the argument and what came."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import reports
from matplotlib.figure import Figure

from avo import plots

X = np.random.default_rng(0).normal(size=(30, 2))
OF_FITS = ("forest", "history", "identifiability", "sensitivity", "misfit", "population", "modes", "failures")


@pytest.fixture(scope="module")
def result():
    return reports.reported("vector")


@pytest.mark.parametrize("name", OF_FITS)
@pytest.mark.parametrize(
    ("given", "came"),
    [
        (Path("runs/a"), r".*Read a folder by avo\.load\('runs/a'\)"),
        (None, "None"),
        (X, r"an array of shape \(30, 2\)"),
        (len, "the function len"),
        (SimpleNamespace(kept=None), "namespace"),
    ],
)
def test_pictures_of_fits_take_nothing_else(name, given, came):
    with pytest.raises(ValueError, match=rf"^results? must be what avo\.fit returned; got {came}"):
        getattr(plots, name)(given)


def test_a_forest_takes_fits_by_name(result):
    for given, words in (
        ({}, r"^results must be a fit, or name -> fit; got {}"),
        ([result, result], r'got a list\. Write avo\.plots\.forest\({"first": \.\.\., "second": \.\.\.}\)'),
        ((result,), r"got a tuple"),
        ({"a": result, "b": 5}, r"^results\['b'\] must be what avo.fit returned; got 5"),
        ([], r"^results must be what avo.fit returned; got \[\]"),
    ):
        with pytest.raises(ValueError, match=words):
            plots.forest(given)
    assert [text.get_text() for text in plots.forest({1: result, 2: result}).axes[0].get_yticklabels()] == ["1", "2"]


def test_truths_figures_and_numbers_are_checked(result):
    for draw in (plots.forest, plots.history, plots.identifiability):
        for truth in (np.ones(2), 3.0):
            with pytest.raises(ValueError, match=r"^truth must have one value for each of mu, rate, tau; got shape \("):
                draw(result, truth)
        with pytest.raises(ValueError, match="^truth must be an array of numbers"):
            draw(result, ["a", "b", "c"])
        with pytest.raises(ValueError, match="^figure must be a Figure or SubFigure of matplotlib; got 5"):
            draw(result, figure=5)
    for draw, name in ((plots.sensitivity, "parts"), (plots.misfit, "features")):
        with pytest.raises(ValueError, match=f"^{name} must be a whole number of at least 1; got 'a'"):
            draw(result, **{name: "a"})
    with pytest.raises(ValueError, match=r"^found must be what avo\.check returned; got Result|a Result"):
        plots.check(result)
    with pytest.raises(ValueError, match="^ax must be axes of matplotlib, .*; got Figure|a Figure"):
        plots.misfit(result, ax=Figure())


def test_samples_are_numbers_and_axes_are_axes(result):
    two = (X, X)
    for draw, samples in ((plots.draws, (X,)), (plots.predictive, two)):
        for axes in (X, "volt", 5, [1, 2]):
            with pytest.raises(ValueError, match="^axes must be the axes of x, each with name, unit and values"):
                draw(*samples, axes)
        for word in ("quantity", "unit"):
            with pytest.raises(ValueError, match=f"^{word} must be a string; got 5"):
                draw(*samples, **{word: 5})
        assert draw(*samples, None).axes  # as left out
    with pytest.raises(ValueError, match=r"Two samples are drawn by avo\.plots\.predictive\(x_obs, x_sim\)"):
        plots.draws(X, X)
    for samples, name in (((len, X), "x_obs"), ((X, len), "x_sim"), ((result, X), "x_obs"), ((X, "a"), "x_sim")):
        with pytest.raises(ValueError, match=f"^{name} must be an array of numbers, with one row for each"):
            plots.predictive(*samples)
    with pytest.raises(ValueError, match="^x must be an array of numbers"):
        plots.draws([["a", "b"]])
