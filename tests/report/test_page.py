"""The page of a report: well-formed, one file, harmless whatever its names are, with the result's own numbers."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
import reports

import avo
from avo.command.runs import _command
from avo.containers import Axis, Quantity
from avo.execution.failures import Failures
from avo.plots.misfits import standing_out
from avo.refine.kept import view_of
from avo.report import page as pages
from avo.report import words
from avo.report.page import text_of, write
from avo.report.pictures import all_pictures
from avo.report.sliders import Sliders, chart
from avo.summary import warnings
from avo.tables import written

VOID = {"meta", "input", "br", "img", "link", "hr"}
HOSTILE = '"><img src=x onerror=alert(1)></script><script>alert(2)</script>$\\frac{'


class Read(HTMLParser):
    """Reads a page: its elements with their attributes, its texts, and whether what opens is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        assert len(dict(attrs)) == len(attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))

    def told(self, tag: str) -> list[str]:
        return [text for inside, text in self.texts if inside == tag]


def refers(read: Read) -> list[str]:
    """All that a browser would fetch."""
    found = [
        value for _, attrs in read.elements for name, value in attrs.items() if name in ("src", "href", "xlink:href")
    ]
    texts = [value for _, attrs in read.elements for value in attrs.values()] + read.told("style")
    return [value or "" for value in found] + [
        hit for text in texts for hit in re.findall(r"url\(([^)]*)\)", text or "")
    ]


@pytest.fixture(scope="module")
def hostile() -> tuple[avo.Result, str]:
    space = avo.Space(**{
        HOSTILE: avo.Interval(-3, 5, unit="<b>m</b>"),
        "a & b": avo.LogInterval(0.05, 30.0),
        "plain": avo.Positive(2.5),
    })  # fmt: skip
    axes = (Axis("column", "", np.arange(5), (HOSTILE, "<svg onload=alert(3)>", "c", "d", "$x_1$")),)
    failures = Failures({"exception": 3}, None, {"exception": (7, f"at {HOSTILE}\x1b[2J")})
    changes = {"space": space, "axes": axes, "failures": failures, "message": HOSTILE}
    result = reports.reported("vector", **changes)
    return result, text_of(result, command=f"avo fit {HOSTILE}")


def test_names_from_users_run_nothing(hostile):
    result, text = hostile
    read = Read(text)
    assert [tag for tag, _ in read.elements].count("script") == 2
    assert not any(tag in ("img", "b", "iframe", "object", "link") for tag, _ in read.elements)
    assert not any(name.startswith("on") for _, attrs in read.elements for name in attrs)
    assert "\x1b" not in text
    (data,) = (words for words in read.told("script") if words.startswith("{"))
    assert "<" not in data
    values = json.loads(data)
    assert [parameter["name"] for parameter in values["parameters"]] == list(result.names)
    assert values["chart"]["names"][:2] == [HOSTILE, "<svg onload=alert(3)>"]
    # As text they are there, in table, sliders and pictures
    assert HOSTILE in read.told("td") and HOSTILE in read.told("label")
    assert any("$x_1$" in told for told in read.told("text"))
    (policy,) = (a["content"] for _, a in read.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and "default-src 'none'" in policy and "'sha256-" in policy


def test_a_page_is_one_small_file_that_fetches_nothing(hostile):
    _, text = hostile
    read = Read(text)
    assert all(value.startswith(("#", "data:", "'#", '"#')) for value in refers(read))
    assert len(text.encode()) < 2_500_000
    ids = [attrs["id"] for _, attrs in read.elements if "id" in attrs]
    assert len(set(ids)) == len(ids)
    labelled = {attrs["for"] for tag, attrs in read.elements if tag == "label" and "for" in attrs}
    assert {attrs["id"] for tag, attrs in read.elements if attrs.get("type") == "range"} <= labelled
    assert all(attrs.get("aria-label") for tag, attrs in read.elements if tag == "svg")
    headings = [tag for tag, _ in read.elements if re.fullmatch(r"h\d", tag)]
    assert headings[0] == "h1" or headings[0] == "h2"
    assert headings.count("h1") == 1 and set(headings) == {"h1", "h2"}


def test_table_and_words_are_the_results(hostile):
    result, text = hostile
    read = Read(text)
    cells = read.told("td")
    for name, value, error in zip(result.names, result.theta, result.stderr, strict=True):
        row = cells[cells.index(name) :][:3]
        assert abs(float(row[1]) - value) < 0.06 * error and float(row[2]) == pytest.approx(error, rel=0.06)
    told = " ".join(read.told("p") + read.told("dd") + read.told("code"))
    assert "9,276: 900 for the search, 5,376 for adversarial steps, 3,000 for refining" in told
    assert "11" in read.told("dd") and "5e1f" in read.told("dd") and "avo fit" in told


def test_answers():
    result = reports.reported("vector")
    told = words.answer(result)
    assert told.startswith("The fit ended at mu = 2.3")
    assert told.endswith("Whether simulations there reproduce the observations was not tested; avo.check does it.")
    assert "mV" in told and told.count("±") == 3
    from_population = words.answer(reports.reported("vector", "population", status="misfit"))
    assert from_population.startswith("The simulator does not reproduce the observations")
    assert "two thirds of the population from" in from_population
    for status in ("undetermined", "budget", "stopped", "failed"):
        assert "mu" in words.answer(reports.reported("vector", status=status))


def test_lines_that_repeat_a_fit_make_the_same_space():
    space = avo.Space(
        mu=avo.Interval(-3, 5, unit="mV"), rate=avo.LogInterval(0.05, 30.0, prior=(5.0, 1.0)), k=avo.Fixed(0.7),
        tau=avo.Positive(2.5, prior=avo.Known(2.0, 0.1, log=True)), shift=avo.Real(1.0, 2.0),
    )  # fmt: skip
    result = reports.reported("vector", budget=20_000)
    object.__setattr__(result, "space", space)
    text = words.repeat(result)
    made: dict[str, Any] = {"avo": avo}
    exec(text[: text.index("result = ")].removeprefix("import avo"), made)
    assert made["space"].to_json() == space.to_json()
    assert "budget=20000" in text and "seed=11" in text


def test_the_command_is_written_again():
    options = {"simulator": "my file.py:f", "data": "x.csv", "out": "runs/a", "set": ["rate=3"], "refine": False}
    options |= {"seed": 3, "quiet": True, "log_windows": 180, "budget": None, "resume": False, "n": 400}
    # The truth, and the number, are of observations that are simulated
    expected = "avo fit 'my file.py:f' --data x.csv --no-refine --seed 3 --log-windows 180"
    assert _command(options) == expected
    options |= {"data": None, "log_windows": None, "refine": True}
    assert _command(options) == "avo fit 'my file.py:f' --set rate=3 --seed 3 --n 400"


def test_a_result_without_simulations_has_a_page_without_sliders(monkeypatch):
    monkeypatch.setattr(pages, "all_pictures", lambda *_: [])
    result = reports.results.made()
    read = Read(text_of(result))
    assert not any(tag == "script" for tag, _ in read.elements)
    assert "mu" in read.told("td")


def test_where_it_is_written(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(pages, "all_pictures", lambda *_: [])
    result = reports.results.made()
    assert write(result, tmp_path) == tmp_path / "report.html"
    assert result.report(tmp_path / "sub" / "a.html").read_text() == (tmp_path / "report.html").read_text()
    with pytest.raises(ValueError, match=r"path must name an .html file, or a folder that is there; got .*a.pdf"):
        write(result, tmp_path / "a.pdf")
    with pytest.raises(ValueError, match="truth must have"):
        result.report(tmp_path, truth=np.ones(2))


def test_sliders_name_what_they_draw():
    for form, words_ in (("series", "5 to 95 %"), ("vector", "histogram")):
        told = " ".join(Read(text_of(reports.reported(form))).told("li"))
        assert "observed, mean" in told and f"observed, {words_}" in told and "simulated, mean" in told
        assert ("5 to 95 %" in told) == (form == "series")


def charted(form: str, **changes: Any) -> dict[str, Any]:
    result = reports.reported(form, **changes)
    assert result.kept is not None
    return chart(result, view_of(result.x_shape), result.kept)


def test_sliders_name_what_the_numbers_measure():
    dose = Axis("dose", "mg", np.array([1, 2, 3, 4, 5]) / 6)
    time = Axis("time", "s", (np.arange(40) - 60) / 360)
    leads = Axis("lead", "", np.arange(2), ("MLII", "V5"))
    level = Quantity("level", "mg/l")
    assert charted("vector")["names"] == [f"x[{i}]" for i in range(5)]
    told = [f"level, dose {a} mg (mg/l)" for a in ("0.17", "0.33", "0.5", "0.67", "0.83")]
    assert charted("vector", axes=(dose,), quantity=level)["names"] == told
    assert charted("vector", quantity=level)["names"][3] == "level, column 3 (mg/l)"
    assert charted("scalar", quantity=level)["names"] == ["level (mg/l)"] and charted("scalar")["names"] == ["x"]
    assert charted("series", axes=(time, leads), quantity=level)["channels"] == [
        "level, MLII (mg/l)",
        "level, V5 (mg/l)",
    ]
    assert charted("series", axes=(time, leads))["channels"] == ["MLII", "V5"]
    # Features of the same x: times have as many digits as tell them apart
    assert standing_out(reports.reported("series", axes=(time, leads))).names[:2] == [
        "MLII: time -0.1667 s, mean", "V5: time -0.1667 s, mean"
    ]  # fmt: skip


def test_the_unit_of_a_pure_number_is_not_written_behind_it():
    space = avo.Space(
        mu=avo.Interval(-3, 5, unit="1"), rate=avo.LogInterval(0.05, 30.0, unit="1/h"), tau=avo.Positive(2.5)
    )
    result = reports.reported("vector", space=space)
    assert result.kept is not None
    units = [parameter["unit"] for parameter in Sliders(result, result.kept).values()["parameters"]]
    assert units == ["", "1/h", ""]
    assert re.search(r"mu = 2\.\d+ ± 0\.\d+, rate = 0\.\d+ ± 0\.\d+ 1/h and tau", words.answer(result))


def test_a_count_in_the_headline_is_a_whole_number():
    space = avo.Space(mu=avo.Interval(-3, 5), lines=avo.Count(2, 12, unit="1"), tau=avo.Positive(2.5))
    result = reports.reported("vector", space=space)
    low, high = result.interval(0.9)[1].astype(int)
    assert f", lines = {result.theta[1]:.0f} (90 %: {low} to {high}) and tau" in words.answer(result)
    assert ", lines = 4, without an error and" in words.answer(replace(result, estimate=None))


def test_sliders_of_angles_go_over_the_seam_and_those_of_counts_begin_at_a_whole_number():
    space = avo.Space(mu=avo.Real(), peak=avo.Angle(24), lines=avo.Count(2, 12))
    result = reports.reported("vector", space=space)
    loc = np.array([0.7, -0.01, np.log(3 / 7)])  # at 23.94, and 5
    kept = reports.kept(space, loc, (5,))
    proposal = avo.Gaussian(jnp.asarray(loc), result.proposal.log_scale, None)
    result = replace(result, proposal=proposal, estimate=replace(result.estimate, loc=loc, kept=kept))
    _, peak, lines = Sliders(result, kept).values()["parameters"]
    numbers = [float(word) for word in peak["theta"]]
    assert min(numbers) < 1 and max(numbers) > 23 and len(set(numbers)) > 50
    assert lines["theta"][100] == "5" and peak["theta"][100].startswith("23.94")


def test_a_picture_of_blocks_has_axes_in_pixels():
    """Of 12 x 17 pixels in 10 x 10 blocks: columns beyond the tenth have a tick."""
    picture = all_pictures(reports.reported("image"))[0]
    assert picture.title == "Observed beside simulated"
    for drawn in (picture.wide, picture.narrow):
        assert re.findall(r">1[05]</text>", drawn) and ">row</text>" in drawn and ">column</text>" in drawn


def test_failed_calls_are_told_apart():
    told = dict(words.done(reports.reported("vector")))["failed calls"]
    assert told.startswith("17: 15 timeout; 2 non-finite; 90 % where rate > 6")


def test_the_misfit_picture_says_how_many_features_there_are_and_how_they_correlate():
    """Of 160 features, as 2.7 of 40 points and two channels that all have one thing added: one cause."""
    result = reports.reported("series")
    kept, rng = result.kept, np.random.default_rng(0)
    assert kept is not None and result.estimate is not None
    right = next(p for p in all_pictures(result) if p.title == "Misfit by feature")
    assert "independent" not in right.words and "here none of all 160 lie beyond" in right.words
    x = kept.x + 2 * rng.normal(size=(len(kept.x), 1))
    moments = kept.moments.copy()
    moments[0] += 0.9  # by 6 and more standard errors
    own = kept._replace(x=np.asarray(x, np.float32), moments=moments)
    told = next(
        p for p in all_pictures(replace(result, estimate=replace(result.estimate, kept=own)))
        if p.title == "Misfit by feature"
    ).words  # fmt: skip
    found = re.search(r"all 160 say about as much as ([\d.]+) independent ones: one cause moves many", told)
    assert found is not None and 2 < float(found[1]) < 4
    assert re.search(
        r"between the dotted lines, at 3\.\d standard errors, in 199 of 200 fits; here \d+ of all 160", told
    )


def test_rows_of_a_population_have_the_names_that_the_user_gave_them(tmp_path):
    """One encoded beyond its range, as a regression may give it, stands at the end of its slider."""
    result = reports.reported("vector", "population")
    encoded = np.array(result.kept.encoded)
    encoded[:, 0] = np.where(np.arange(len(encoded)) % 2, encoded[:, 0], result.space["mu"].support[0] - 0.1)
    result = replace(result, estimate=replace(result.estimate, kept=result.kept._replace(encoded=encoded)))
    assert re.findall(r'<option value="0">row \d+<', write(result, tmp_path / "a.html").read_text())
    named = replace(result, labels=tuple(f"<D{i:03d}>" for i in range(result.kept.rows)))
    assert re.findall(r'<option value="0">&lt;D\d+&gt;<', write(named, tmp_path / "b.html").read_text())


def test_a_population_whose_fit_was_not_tested_says_so():
    told = words.answer(reports.reported("vector", "population"))
    assert "was not tested; avo.check does it" in told and "otherwise" not in told


def test_the_headline_of_a_misfit_names_what_differs_most():
    result = reports.reported("vector", status="misfit")
    kept = result.kept
    assert kept is not None and result.estimate is not None
    x = kept.x.copy()
    x[:, 3] += 2.0
    told = words.answer(replace(result, estimate=replace(result.estimate, kept=kept._replace(x=x))))
    assert "nearest" not in told
    assert "What was learned of x agrees with them at mu = 2.34" in told
    assert "but other features of simulations there (in standard errors, most of all x[3], mean by " in told
    assert "those of the theta that agrees so, not of a true one, which a wrong simulator lacks: look at" in told
    assert 'look at avo.check and "Misfit by feature", and mend the simulator, or fit target=' in told
    without = words.answer(replace(result, estimate=None))
    assert "other features of simulations there do not" in without


def test_what_is_identified_together_stands_first_and_nothing_else_is_said_of_its_parts():
    result = reports.loose()
    (together,) = result.combinations()
    told = words.answer(result)
    value = " ± ".join(written(together.value, together.stderr))
    assert f"what they say: {together.words} = {value} (of mu and rate only that is identified)" in told
    assert "tau = 3.7" in told and "mu is not" not in told
    rows = {line.split()[0]: line.split() for line in result.summary().splitlines() if line}
    assert rows["mu"][1:3] == ["open", "inf"] and rows["rate"][1:3] == ["open", "inf"] and rows["tau"][1] == "3.73"
    assert "<td>open</td>" in text_of(result)


def test_what_is_not_identified_needs_no_wider_range():
    result = reports.loose()
    at = np.asarray(result.proposal.loc).copy()
    at[0] = -6.0
    moved = eqx.tree_at(lambda q: q.loc, result.proposal, jnp.asarray(at))
    assert "mu" not in replace(result, proposal=moved).at_bound
    assert not any("widen" in warning for warning in warnings(replace(result, proposal=moved)))
    known = reports.reported("vector")
    assert any("widen" in warning for warning in warnings(replace(known, proposal=moved)))
