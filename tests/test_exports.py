"""What a result hands to other programs: the same numbers, plain, in frames, in trees, in tables."""

import base64
import importlib
import json
import math
import re
import sys
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from results import SPACE, THETA, made, refined

import avo
from avo.containers import Axis
from avo.refine.estimate import Alone
from avo.refine.linear import LinearSpace
from avo.refine.modes import Mode
from avo.result import Result
from avo.tables import rounded


def loose() -> Result:
    """tau is not identified, and rate ends at its lower bound."""
    result = refined()
    estimate = replace(
        result.estimate, loc=np.asarray(SPACE.unconstrain([4.5, 0.06, 1.0])), covariance=np.diag([0.09, 0.04, 2.25]),
        identified=np.array([True, True, False]), values=np.array([11.0, 25.0, 0.1]), p_value=0.25,
    )  # fmt: skip
    proposal = avo.Gaussian(estimate.loc, result.proposal.log_scale, None)
    return replace(result, estimate=estimate, proposal=proposal, status="undetermined")


# --- plain values ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [made, refined, loose, lambda: refined("population")])
def test_plain_values_are_json_and_the_result_s(make: Any) -> None:
    result = make()
    told = result.to_dict(level=0.8)
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert told["names"] == ["mu", "rate", "tau"] and told["units"] == ["mV", "", "ms"]
    assert (told["calls"], told["failures"], told["seed"], told["level"]) == (5376, {"non-finite": 17}, 11, 0.8)
    assert (told["status"], told["answered"]) == (result.status, result.answered)
    np.testing.assert_array_equal(told["theta"], result.theta)
    if result.stderr is None:
        assert told["stderr"] is told["intervals"] is told["p_value"] is told["population"] is None
        return
    for mine, own in ((told["stderr"], result.stderr), (told["intervals"], result.interval(0.8))):
        back = np.array(mine, float)
        np.testing.assert_array_equal(back, np.where(np.isfinite(own), own, np.nan))
    assert len(told["modes"]) == len(result.modes) and (told["population"] is None) == (result.population is None)


def open_together() -> avo.Result:
    """A fit of which two parameters are identified only together."""
    result = refined()
    both = np.array([[1.0, 1.0, 0.0], [1.0, -1.0, 0.0], [0.0, 0.0, np.sqrt(2)]]) / np.sqrt(2)
    covariance = both @ np.diag([1e-3, 2.25, 1e-3]) @ both.T
    estimate = replace(
        result.estimate, covariance=covariance, vectors=both, values=np.array([1e3, 0.1, 1e3]),
        identified=np.array([True, False, True]),
    )  # fmt: skip
    return replace(result, estimate=estimate)


def test_plain_values_tell_modes_combinations_and_what_is_not_known() -> None:
    other = Mode(("mu", "rate", "tau"), np.array([1.0, 2.5, 0.3]), np.array([0.1, np.inf, 0.2]), 0.5)
    told = replace(loose(), elsewhere=(other,)).to_dict()
    assert told["stderr"][2] is None and told["intervals"][2] == [0.0, None] and told["p_value"] == 0.25
    assert told["not_identified"] == ["tau"] and told["at_bound"] == ["rate"]
    assert told["support"] == [[-3.0, 5.0], [0.05, 30.0], [0.0, None]]
    assert (told["by_data"], told["prior"], told["before_rounding"]) == (None, {}, {})
    assert told["modes"][1] == {
        "theta": {"mu": 1.0, "rate": 2.5, "tau": 0.3}, "stderr": {"mu": 0.1, "rate": None, "tau": 0.2}, "p_value": 0.5
    }  # fmt: skip
    result = open_together()
    (found,) = result.to_dict()["combinations"]
    (own,) = result.combinations()
    expected = {"names": list(own.names), "words": own.words, "value": own.value, "stderr": own.stderr, "unit": ""}
    assert found == expected
    moments = refined("population").to_dict()["population"]
    own = refined("population").population
    assert own is not None and moments["sd"] == own.theta.sd.tolist() and moments["sd_upper"][0] is None


@pytest.mark.parametrize("call", ["to_dict", "to_frame", "latex"])
def test_levels_are_fractions(call: str) -> None:
    for result in (made(), refined()):
        with pytest.raises(ValueError, match=r"level must be a number in \(0, 1\); got 90"):
            getattr(result, call)(level=90)


# --- pandas ----------------------------------------------------------------------------------------------------------


def test_frame_has_a_row_for_each_parameter() -> None:
    pytest.importorskip("pandas", reason="to_frame makes a DataFrame")
    result = refined()
    frame = result.to_frame(level=0.8)
    assert list(frame.index) == list(SPACE.names) and frame.index.name == "parameter"
    assert list(frame.columns) == ["estimate", "stderr", "low", "high", "limit", "fixed", "unit"]
    assert frame.attrs == {"status": "converged", "message": result.message, "level": 0.8}
    assert frame["limit"].tolist() == ["", "", ""] and loose().to_frame()["limit"].tolist() == ["lower", "upper", ""]
    np.testing.assert_allclose(frame.loc["mu", "estimate"], THETA[0], rtol=1e-6)
    np.testing.assert_array_equal(frame["stderr"], result.stderr)
    np.testing.assert_array_equal(frame[["low", "high"]], result.interval(0.8))
    assert frame["unit"].tolist() == ["mV", "", "ms"]
    assert np.isinf(loose().to_frame().loc["tau", ["stderr", "high"]].astype(float)).all()
    assert made().to_frame()[["stderr", "low", "high"]].isna().all(axis=None)
    several, moments = refined("population").to_frame(), refined("population").population.theta
    np.testing.assert_array_equal(several[["mean", "mean_stderr", "sd"]], np.transpose(
        [moments.mean, moments.mean_stderr, moments.sd]))  # fmt: skip


def test_the_history_is_a_frame_of_named_columns() -> None:
    pytest.importorskip("pandas", reason="history_frame makes a DataFrame")
    result = refined("point")
    frame = result.history_frame()
    assert list(frame.columns[-3 * len(result.names) :]) == [f"{p}{n}" for p in ("", "u_", "sd_") for n in result.names]
    for j, name in enumerate(result.names):
        np.testing.assert_array_equal(frame[name], result.history["theta"][:, j])
        np.testing.assert_array_equal(frame[f"sd_{name}"], result.history["sd"][:, j])
    np.testing.assert_array_equal(frame["calls"], result.history["calls"])


@pytest.mark.parametrize(
    ("package", "call"), [("pandas", "to_frame"), ("pandas", "history_frame"), ("xarray", "to_datatree")]
)
def test_a_missing_package_is_named(package: str, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf"^{call} needs .*{package}.*: pip install 'avo-sbi\[tables\]'\.$"):
        getattr(refined(), call)()


# --- xarray ----------------------------------------------------------------------------------------------------------


def test_tree_of_a_point_holds_draws_from_its_error() -> None:
    """mu in w: sd sqrt(1e-3), 8 units of theta are 4 of w. Means and sds to 5 standard errors of 12,000 draws."""
    pytest.importorskip("xarray", reason="to_datatree makes a DataTree")
    result = refined()
    tree = result.to_datatree(chains=3, draws=4000, seed=2)
    posterior = tree["posterior"]
    assert dict(posterior.sizes) == {"chain": 3, "draw": 4000} and list(posterior.data_vars) == list(SPACE.names)
    assert posterior["mu"].attrs == {"units": "mV"} and posterior["rate"].attrs == {}
    assert "no posterior samples" in posterior.attrs["sampling"] and posterior.attrs["not_identified"] == ""
    mu, rate, tau = (posterior[name].values.ravel() for name in SPACE.names)
    np.testing.assert_allclose([mu.mean(), mu.std()], [THETA[0], 2 * 1e-3**0.5], rtol=0, atol=5 * 2e-3**0.5 / 110)
    np.testing.assert_allclose(np.log(tau / THETA[2]).std(), 2e-3**0.5, rtol=5 / 155)
    spread = 1.5e-3**0.5 * math.log(600) / 4  # a quarter of the range of log rate
    np.testing.assert_allclose([np.log(rate / THETA[1]).mean(), np.log(rate / THETA[1]).std()], [0, spread], atol=3e-3)
    assert abs(np.corrcoef(mu, tau)[0, 1]) < 5 / 110
    again = result.to_datatree(chains=3, draws=4000, seed=2)["posterior"]
    np.testing.assert_array_equal(again["tau"], posterior["tau"])
    assert not np.array_equal(result.to_datatree(3, 4000)["posterior"]["tau"], posterior["tau"])


def test_draws_of_a_tree_are_correlated_as_errors_are() -> None:
    """Of (mu, rate, tau) in w, to 5 standard errors of 20,000 draws."""
    pytest.importorskip("xarray", reason="to_datatree makes a DataTree")
    result = refined()
    covariance = 1e-4 * np.array([[9.0, -3.6, 4.0], [-3.6, 4.0, 0.0], [4.0, 0.0, 16.0]])
    told = replace(result, estimate=replace(result.estimate, covariance=covariance))
    posterior = told.to_datatree(draws=5000)["posterior"]
    w = [(posterior["mu"].values + 3) / 2, 4 * np.log(posterior["rate"].values / 0.05) / np.log(600)]
    found = np.cov([*map(np.ravel, w), np.log(posterior["tau"].values).ravel()])
    size = np.sqrt(np.diagonal(covariance))
    np.testing.assert_allclose(found / np.outer(size, size), covariance / np.outer(size, size), atol=5 * 1.5 / 141)


def test_tree_names_what_is_not_identified_and_keeps_its_width() -> None:
    pytest.importorskip("xarray", reason="to_datatree makes a DataTree")
    posterior = loose().to_datatree()["posterior"]
    assert dict(posterior.sizes) == {"chain": 4, "draw": 1000}
    assert posterior.attrs["not_identified"] == "tau" and posterior.attrs["status"] == "undetermined"
    np.testing.assert_allclose(np.log(posterior["tau"].values).std(), 1.5, rtol=5 / 89)
    low, high = SPACE["rate"].support
    assert low <= float(posterior["rate"].min()) < 0.0501 and float(posterior["rate"].max()) < high


def test_tree_of_a_population_holds_its_members() -> None:
    pytest.importorskip("xarray", reason="to_datatree makes a DataTree")
    result = refined("population")
    posterior = result.to_datatree(draws=3000)["posterior"]
    assert posterior.attrs["sampling"].startswith("theta of members of the fitted population")
    own = result.population.theta
    for i, name in enumerate(SPACE.names):
        values = posterior[name].values
        error = values.std() / math.sqrt(values.size)
        np.testing.assert_allclose(values.mean(), own.mean[i], rtol=0, atol=5 * error)
    np.testing.assert_allclose(np.log(posterior["tau"].values).std(), 0.1**0.5, rtol=5 / 155)
    np.testing.assert_array_equal(
        posterior["mu"].values.ravel(), np.asarray(result.central(jax.random.key(0), 12_000), float)[:, 0]
    )


def test_tree_holds_observations_with_their_names() -> None:
    pytest.importorskip("xarray", reason="to_datatree makes a DataTree")
    x = np.random.default_rng(0).normal(size=(5, 4, 2))
    assert refined().to_datatree(x_obs=x)["observed_data"]["x"].dims == ("row", "x_dim_0", "x_dim_1")
    axes = (Axis("time", "s", np.array([0.5, 1, 1.5, 2])), Axis("lead", "", np.arange(2), ("I", "V5")))
    found = replace(refined(), axes=axes).to_datatree(x_obs=x)["observed_data"]["x"]
    np.testing.assert_array_equal(found.sel(time=1.5, lead="V5"), x[:, 2, 1])
    with pytest.raises(ValueError, match=r"x_obs must have rows shaped \(4, 2\), as the fit had; got \(4,\)"):
        refined().to_datatree(x_obs=x[..., 0])
    for call, words in (
        (made(), "to_datatree needs a fit with refine=True"),
        (refined(), "draws must be a whole numb"),
    ):
        with pytest.raises(ValueError, match=words):
            call.to_datatree(draws=0 if call.stderr is not None else 5)


@pytest.mark.filterwarnings("ignore")  # of its own coming versions
def test_arviz_reads_the_tree() -> None:
    pytest.importorskip("xarray", reason="to_datatree makes a DataTree")
    tree = refined().to_datatree()
    try:
        summary = importlib.import_module("arviz_stats.summary").summary
    except ImportError:
        arviz = pytest.importorskip("arviz", reason="ArviZ reads the tree")
        found = arviz.summary(arviz.InferenceData.from_datatree(tree), round_to="none")
    else:
        found = summary(tree, round_to="none")
    assert list(found.index) == list(SPACE.names)
    np.testing.assert_allclose(found["mean"], tree["posterior"].to_dataset().mean().to_array(), rtol=1e-9)
    assert bool(np.all(np.asarray(found["r_hat"], float) < 1.01))


# --- tables ----------------------------------------------------------------------------------------------------------


def test_latex_rounds_by_the_error_and_writes_limits() -> None:
    first, *lines = refined().latex().splitlines()
    assert first == f"% converged: {refined().message}"
    assert lines[0] == r"\begin{tabular}{lrrl}" and lines[-1] == r"\end{tabular}"
    assert lines[2] == r"parameter & estimate & 90\,\% interval & unit \\"
    low, high = refined().interval(0.9)[0]
    assert lines[4] == rf"mu & $2.346 \pm 0.063$ & $[{low:.3f}, {high:.3f}]$ & mV \\"
    assert [lines[i] for i in (1, 3, -2)] == [r"\toprule", r"\midrule", r"\bottomrule"]
    lines = loose().latex(0.3).splitlines()[1:]
    assert r"30\,\% interval" in lines[2] and lines[6] == r"tau & not identified &  & ms \\"
    assert re.search(r"^rate & \$0\.060 \\pm 0\.019\$ & \$\[0\.05\d, 0\.06\d\]\$ & \\\\$", lines[5])
    assert re.search(r"^rate & .* & \$< 0\.102\$ & \\\\$", loose().latex().splitlines()[6])
    assert re.search(r"^mu & .* & \$> 3\.50\$ & mV \\\\$", loose().latex().splitlines()[5])
    assert all(line.count("&") == 2 for line in made().latex().splitlines()[5:8])
    assert r"$< 1.7$ & ms \\" in refined("population").latex()


def with_fixed(target: str = "point") -> Result:
    parameters = dict(zip(SPACE.names, SPACE, strict=True))
    space = avo.Space(mu=parameters["mu"], share_0=avo.Fixed(0.125, unit="mg"), rate=parameters["rate"],
                      tau=parameters["tau"], n=3.0)  # fmt: skip
    return replace(refined(target), space=space)


@pytest.mark.parametrize("target", ["point", "population"])
def test_what_is_fixed_stands_in_every_table(target: str) -> None:
    result, free = with_fixed(target), refined(target)
    told = result.to_dict()
    assert told["fixed"] == {"share_0": {"value": 0.125, "unit": "mg"}, "n": {"value": 3.0, "unit": ""}}
    assert told["names"] == ["mu", "rate", "tau"] and told["theta"] == free.theta.tolist()
    lines, own = (each.latex().splitlines()[1:] for each in (result, free))
    assert [line for line in lines if "(fixed)" not in line] == own
    gaps = " &" * (own[2].count("&") - 2)
    assert lines[5].split() == rf"share\_0 & $0.125$ (fixed) {gaps} & mg \\".split()
    assert lines[8].split() == rf"n & $3$ (fixed) {gaps} & \\".split()
    pytest.importorskip("pandas", reason="to_frame makes a DataFrame")
    frame = result.to_frame()
    assert frame.index.tolist() == ["mu", "share_0", "rate", "tau", "n"]
    assert frame["fixed"].tolist() == [False, True, False, False, True]
    assert frame["unit"].tolist() == ["mV", "mg", "", "ms", ""]
    assert frame.loc["share_0", ["estimate", "stderr", "low", "high"]].tolist() == [0.125, 0, 0.125, 0.125]
    assert frame[~frame["fixed"]].equals(free.to_frame())
    if target == "population":
        assert frame.loc["n", ["mean", "mean_stderr", "sd", "sd_stderr", "sd_upper"]].tolist() == [3, 0, 0, 0, 0]


# --- what is known beforehand ----------------------------------------------------------------------------------------


def with_known() -> Result:
    """mu and tau were measured elsewhere; the data alone say 2.5 +- .13 of mu, and nothing of tau. n is fixed."""
    result, own = refined(), dict(zip(SPACE.names, SPACE, strict=True))
    space = avo.Space(
        mu=replace(own["mu"], prior=(2.0, 0.5)), n=avo.Fixed(3.0, unit="mg"), rate=own["rate"],
        tau=replace(own["tau"], prior=avo.Known(4.0, 0.1, log=True)),
    )  # fmt: skip
    alone = Alone(
        loc=np.asarray(space.unconstrain([2.5, 0.4, 3.0]), float), covariance=np.diag([4e-3, 6e-3, 2.25]),
        values=np.array([250.0, 160.0, 0.1]), vectors=np.eye(3), identified=np.array([True, True, False]),
    )  # fmt: skip
    return replace(result, space=space, estimate=replace(result.estimate, alone=alone))


RATE = 0.4 * math.log(600) / 4 * 6e-3**0.5  # its error by the data alone; a quarter of the range of log rate is one


def test_plain_values_tell_what_was_known_and_what_the_data_say_alone() -> None:
    told = with_known().to_dict()
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert told["prior"] == {
        "mu": {"value": 2.0, "stderr": 0.5, "log": False}, "tau": {"value": 4.0, "stderr": 0.1, "log": True}
    }  # fmt: skip
    np.testing.assert_allclose(told["by_data"]["theta"], [2.5, 0.4, 3.0], rtol=1e-6)
    np.testing.assert_allclose(told["by_data"]["stderr"][:2], [2 * 4e-3**0.5, RATE], rtol=1e-6)
    assert told["by_data"]["stderr"][2] is None and told["before_rounding"] == {}


def test_a_frame_has_columns_of_what_was_known() -> None:
    pytest.importorskip("pandas", reason="to_frame makes a DataFrame")
    frame = with_known().to_frame()
    assert list(frame.columns) == [
        "estimate", "stderr", "low", "high", "by_data", "by_data_stderr", "prior", "prior_stderr", "prior_log", "limit",
        "fixed", "unit",
    ]  # fmt: skip
    nan = np.nan
    columns = {"by_data": [2.5, nan, 0.4, 3.0], "by_data_stderr": [2 * 4e-3**0.5, nan, RATE, np.inf],
               "prior": [2.0, nan, nan, 4.0], "prior_stderr": [0.5, nan, nan, 0.1]}  # fmt: skip
    for name, expected in columns.items():
        np.testing.assert_allclose(frame[name], expected, rtol=1e-6)
    assert frame["prior_log"].tolist() == [False, False, False, True]
    without = replace(with_known(), estimate=None).to_frame()  # a fit that found no solution: known it is all the same
    assert without["by_data"].isna().all() and without.loc["mu", "prior"] == 2.0


def test_a_tree_has_attributes_of_what_was_known_and_a_group_of_what_is_fixed() -> None:
    pytest.importorskip("xarray", reason="to_datatree makes a DataTree")
    tree = with_known().to_datatree()
    mu, rate, tau = (tree["posterior"][name].attrs for name in SPACE.names)
    assert list(mu) == ["units", "by_data", "by_data_stderr", "prior", "prior_stderr", "prior_log"]
    np.testing.assert_allclose(list(mu.values())[1:], [2.5, 2 * 4e-3**0.5, 2.0, 0.5, 0], rtol=1e-6)
    assert list(rate) == ["by_data", "by_data_stderr"]
    assert tau["by_data_stderr"] == np.inf and (tau["prior"], tau["prior_stderr"], tau["prior_log"]) == (4.0, 0.1, 1)
    assert float(tree["constant_data"]["n"]) == 3.0 and tree["constant_data"]["n"].attrs == {"units": "mg"}
    own = loose().to_datatree()
    assert "constant_data" not in own.children and own["posterior"].attrs["p_value"] == 0.25
    other = Mode(SPACE.names, np.array([1.0, 2.5, 0.3]), np.array([0.1, 0.2, 0.2]), 0.5)
    assert replace(refined(), elsewhere=(other,)).to_datatree()["posterior"].attrs["solutions"] == 2


def test_latex_sets_what_was_known_beside_what_the_data_say_alone() -> None:
    lines = with_known().latex().splitlines()[1:]
    assert lines[0] == r"\begin{tabular}{lrrrrl}"
    assert lines[2] == r"parameter & estimate & 90\,\% interval & the data alone & known & unit \\"
    assert lines[4].endswith(r" & $2.50 \pm 0.13$ & $2 \pm 0.5$ & mV \\")
    assert lines[5].split() == r"n & $3$ (fixed) & & & & mg \\".split()
    assert lines[6].split("&")[-2].strip() == ""
    assert lines[7].endswith(r" & nothing & $4 \stackrel{\times}{\div} 1.11$ & ms \\")


def counted() -> Result:
    """n was 3.1 +- .077 before it was made whole, 2.8 +- .13 by the data alone: 8 of n are 4 of w."""
    result, own = refined(), dict(zip(SPACE.names, SPACE, strict=True))
    space = avo.Space(mu=own["mu"], n=avo.Count(0, 8, prior=(3.2, 0.5)), tau=own["tau"])
    assert result.estimate is not None
    loc = np.asarray(space.unconstrain([THETA[0], 3.0, THETA[2]]), float)
    line = LinearSpace(space)
    between = line.of(loc)
    between[1] = 3.1 / 2
    alone = Alone(
        loc=np.asarray(space.unconstrain([THETA[0], 2.8, THETA[2]]), float), covariance=np.diag([4e-3, 4e-3, 4e-3]),
        values=np.full(3, 250.0), vectors=np.eye(3), identified=np.ones(3, bool),
    )  # fmt: skip
    estimate = replace(result.estimate, loc=loc, between=between, alone=alone)
    proposal = avo.Gaussian(jnp.asarray(loc), result.proposal.log_scale, None)
    return replace(result, space=space, estimate=estimate, proposal=proposal)


def test_a_count_stands_as_a_whole_number_beside_what_it_was_made_of() -> None:
    result = counted()
    error, alone = 2 * 1.5e-3**0.5, 2 * 4e-3**0.5
    told = result.to_dict()
    assert told["theta"][1] == told["by_data"]["theta"][1] == 3.0
    expected = {"value": 3.1, "stderr": error, "by_data_value": 2.8, "by_data_stderr": alone}
    assert told["before_rounding"]["n"] == pytest.approx(expected, rel=1e-5)
    words = "n is the whole number next to what the data and what is known say together, 3.100 +- 0.077; "
    assert words + "the data alone say 2.80 +- 0.13" in result.summary()
    row = next(line.split() for line in result.summary().splitlines() if line.startswith("n "))
    assert row[1:] == ["3", "3", "3", "3", "(90", "%:", "3", "to", "3)", "3.2", "+-", "0.5"]
    assert result.latex().splitlines()[6].startswith(r"n & $3$ & $[3, 3]$ & $3$ $[3, 3]$ & $3.2 \pm 0.5$")
    assert ", n=3, " in repr(result)
    open_ = result.estimate.alone._replace(identified=np.array([True, False, True]), values=np.array([250, 0.1, 250]))
    estimate = replace(result.estimate, alone=open_._replace(covariance=np.diag([4e-3, 2.25, 4e-3])))
    assert "; the data alone do not identify it" in replace(result, estimate=estimate).summary()
    without = replace(result, estimate=replace(result.estimate, alone=None)).summary()
    assert "n is the whole number next to what the data say, 3.100 +- 0.077\n" in without


def test_a_count_in_frame_and_tree() -> None:
    pytest.importorskip("pandas", reason="to_frame makes a DataFrame")
    frame = counted().to_frame()
    np.testing.assert_allclose(frame["before_rounding"], [np.nan, 3.1, np.nan], rtol=1e-6)
    np.testing.assert_allclose(frame["by_data_before_rounding"], [np.nan, 2.8, np.nan], rtol=1e-6)
    assert frame.loc["n", ["estimate", "by_data"]].tolist() == [3.0, 3.0] and frame.loc["n", "limit"] == ""
    pytest.importorskip("xarray", reason="to_datatree makes a DataTree")
    n = counted().to_datatree()["posterior"]["n"]
    assert np.all(n == np.round(n)) and n.attrs["before_rounding"] == pytest.approx(3.1, rel=1e-6)


def test_latex_tells_what_is_identified_only_together() -> None:
    result = open_together()
    (own,) = result.combinations()
    lines = result.latex().splitlines()
    value, error = rounded(own.value, own.stderr), rounded(own.stderr, own.stderr)
    escaped = own.words.replace("^", r"\textasciicircum{}").replace("_", r"\_")
    assert lines[-4] == r"\midrule" and lines[-2:] == [r"\bottomrule", r"\end{tabular}"]
    assert lines[-3].split() == rf"{escaped} & ${value} \pm {error}$ & & \\".split()
    product = replace(result, space=avo.Space(**{name: avo.Positive(1.0, unit="l") for name in SPACE.names}))  # pyright: ignore
    (own,) = product.combinations()
    assert (own.words, own.unit) == ("rate * mu", "l^2")
    assert product.latex().splitlines()[-3].endswith(r"$ &  & l\textasciicircum{}2 \\")
    assert product.to_dict()["combinations"][0]["unit"] == "l^2"


def test_a_population_of_which_only_a_product_is_identified_comes_out() -> None:
    """log mu + log rate of the median is known to sqrt(2e-3), and nothing of their ratio."""
    result = refined("population")
    assert result.estimate is not None
    way = np.array([[1.0, 1.0, 0.0], [1.0, -1.0, 0.0], [0.0, 0.0, np.sqrt(2)]]) / np.sqrt(2)
    covariance = np.diag(np.full(9, 1e-3))
    covariance[:3, :3] = way @ np.diag([1e-3, 2.25, 1e-3]) @ way.T
    known = {"vectors": way, "values": np.array([1e3, 0.0, 1e3]), "identified": np.array([True, False, True])}
    space = avo.Space(**{name: avo.Positive(1.0) for name in SPACE.names})  # pyright: ignore
    own = replace(result, space=space, estimate=replace(result.estimate, covariance=covariance, **known))
    (found,) = own.to_dict()["combinations"]
    value = math.exp(0.7 - 1.2)
    assert found["words"] == "rate * mu"
    np.testing.assert_allclose([found["value"], found["stderr"]], [value, value * 2e-3**0.5], rtol=1e-5)
    assert "rate * mu & $0.607" in own.latex()


def test_latex_escapes_names_and_writes_powers_of_ten() -> None:
    space = avo.Space(**{"k_1": avo.Positive(3e-9, unit="1/(M s)^2"), "b": avo.Real(0, 4e8), "c": avo.Positive()})  # pyright: ignore
    result = refined()
    told = replace(result, space=space).latex().splitlines()[1:]
    assert (
        told[4].startswith(r"k\_1 & $(6.04 \pm 0.19) \times 10^{-9}$ & $[5.")
        and "1/(M s)\\textasciicircum{}2" in told[4]
    )
    assert r"\times 10^{-9}$ &" in told[4]
    value, error = -1.2 * 4e8, 1.5e-3**0.5 * 4e8
    assert rf"$({value / 1e8:.2f} \pm {error / 1e8:.2f}) \times 10^{{8}}$" in told[5]


def test_html_shows_the_table_and_the_warnings() -> None:
    text = loose()._repr_html_()
    cells = re.findall(r"<t[hd]>(.*?)</t[hd]>", text)
    assert cells[:6] == ["parameter", "estimate", "stderr", "5 %", "95 %", "unit"]
    assert cells[12:18] == ["rate", "0.060", "0.019", "", "&lt; 0.102", ""]
    assert "<p>warning: tau has no visible effect on x</p>" in text and "<p>undetermined: mu still moved" in text
    assert "<p>budget: " in made()._repr_html_() and "<img" not in made()._repr_html_()


def test_html_shows_the_intervals_in_a_small_picture() -> None:
    (image,) = re.findall(r'<img alt="90 % intervals of mu, rate, tau" src="data:image/png;base64,(.*?)">',
                          refined("point")._repr_html_())  # fmt: skip
    content = base64.b64decode(image)
    assert content.startswith(b"\x89PNG") and len(content) < 30_000


def test_a_population_prints_its_moments() -> None:
    found = refined("population").population
    lines = str(found).splitlines()
    assert lines[0].split() == ["parameter", "mean", "+-", "(mean)", "sd", "+-", "(sd)", "unit"]
    t = found.theta
    assert lines[1].split() == [
        "mu", f"{t.mean[0]:.3f}", f"{t.mean_stderr[0]:.3f}", f"{t.sd[0]:.3f}", f"{t.sd_stderr[0]:.3f}", "mV"
    ]  # fmt: skip
    assert lines[3].split() == ["tau", "3.92", "0.16", "<", f"{t.sd_upper[2]:.2g}", "ms"]
    assert lines[5] == f"correlation of mu and rate: {t.corr[0, 1]:+.2f} +- {t.corr_stderr[0, 1]:.2f}"
    assert len(lines) == 6  # none with tau, whose spread is not known


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (2.50734, 0.0312, "2.507"), (2.5, 0.0996, "2.50"), (2.54, 0.96, "2.54"), (2.54, 9.6, "2.5"), (2.54, 96.0, "3"),
        (123456.0, 780.0, "123460"), (-0.0004, 0.03, "0.000"), (1.5e-7, 2.5e-9, "1.500e-07"), (0.0, 2.5e-9, "0e+00"),
        (3.0e9, 2.0e5, "3.00000e+09"), (1 / 3, np.nan, "0.33333"), (1 / 3, 0.0, "0.33333"), (np.inf, 1.0, "inf"),
    ],
)  # fmt: skip
def test_numbers_are_as_long_as_their_errors_allow(value: float, error: float, text: str) -> None:
    assert rounded(value, error) == text
