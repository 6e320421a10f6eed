"""The registry: search by tag, `avo list`, `avo simulate` for every simulator, and the gallery."""

import inspect
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from typer.testing import CliRunner

import avo.simulators
from avo import plots
from avo.command import app
from avo.observations import kind_of
from avo.plots import gallery
from avo.simulators import TAGS, Axis
from avo.simulators.register import headers, table, wrap

NAMES = avo.simulators.names()
DOCS = Path(__file__).resolve().parents[2] / "docs"
every_simulator = pytest.mark.parametrize("name", NAMES)
problem = lru_cache(avo.simulators.get)


def command(*words: object, status: int = 0) -> str:
    """Run `avo`, and give what it printed."""
    done = CliRunner().invoke(app, [str(word) for word in words])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == status, done.output
    return done.output


# --- search -------------------------------------------------------------------------------------------------------


def test_find_is_what_the_tags_say() -> None:
    of = {name: set(problem(name).tags) for name in NAMES}
    assert set(avo.simulators.tags()) == set().union(*of.values())
    assert list(NAMES) == sorted(NAMES)
    for tag in avo.simulators.tags():
        expected = tuple(name for name in NAMES if tag in of[name])
        assert expected and avo.simulators.names(tag) == avo.simulators.find(tag) == expected
    assert avo.simulators.find() == NAMES
    both = {name for name in NAMES if {"series", "discrete"} <= of[name]}
    assert set(avo.simulators.find("series", "discrete")) == both >= {"ricker"}
    assert avo.simulators.find("scalar", "series") == ()


def test_known_tasks_are_found() -> None:
    assert {"detector"} <= set(avo.simulators.names("image"))
    assert {"epem"} <= set(avo.simulators.names("unidentified")) and "epem2" not in avo.simulators.names("unidentified")
    assert {"epem", "linear5", "poisson"} <= set(avo.simulators.names("published"))
    assert {"g_and_k", "hodgkin_huxley", "ma2", "mg1", "ricker"} <= set(avo.simulators.names("benchmark"))
    assert set(avo.simulators.names("sbibm")) <= set(avo.simulators.names("benchmark"))
    assert {"brownian", "ecg", "mg1"} <= set(avo.simulators.find("population", "series"))


def test_unknown_tag_names_the_known_ones() -> None:
    message = f"tag must be one of {', '.join(avo.simulators.tags())}; got 'serious'."
    with pytest.raises(ValueError, match=message):
        avo.simulators.names("serious")
    with pytest.raises(ValueError, match=message):
        avo.simulators.find("series", "serious")


@every_simulator
def test_tags_are_right(name: str) -> None:
    tags, shape = problem(name).tags, problem(name).x_shape
    forms = set(plots.KINDS) & set(tags)
    assert len(forms) == 1 and len(set(tags)) == len(tags)
    assert forms <= {0: {"scalar"}, 1: {"vector", "series"}}.get(len(shape), {"series", "image"})
    assert set(tags) <= set(TAGS)


# Their shapes say another thing than their tags, which whoever holds the problem passes on (avo.plots.gallery)
BY_TAG_ONLY = {"lotka_volterra", "slcp_distractors", "sir"}


@every_simulator
def test_the_kind_of_x_is_what_the_tag_says(name: str) -> None:
    made = problem(name)
    (tag,) = set(plots.KINDS) & set(made.tags)
    assert (kind_of(made.x_shape) == kind_of(made.x_shape, tag)) == (name not in BY_TAG_ONLY)


@every_simulator
def test_modules_name_their_source_and_what_is_identified_and_their_limits(name: str) -> None:
    text = inspect.getdoc(inspect.getmodule(getattr(avo.simulators, name))) or ""
    assert [word for word in ("Source", "Identified", "Limits") if f"\n\n{word}: " not in text] == []


def test_words_follow_the_options() -> None:
    spikes, raw = problem("bernoulli_glm"), problem("bernoulli_glm", summary="raw")
    assert "statistic" in spikes.summary and "statistic" not in raw.summary
    assert "discrete" in raw.tags and "discrete" not in spikes.tags
    seven, voltage = problem("hodgkin_huxley"), problem("hodgkin_huxley", output="voltage")
    assert "seven statistics" in seven.summary and "statistics" not in voltage.summary
    assert problem("ricker").summary != problem("ricker", summaries=True).summary


# --- avo list -----------------------------------------------------------------------------------------------------


def test_list_is_aligned_and_complete() -> None:
    printed = command("list")
    blocks = {name: [] for name in NAMES}
    name_width, shape_width = (max(len(str(words)) for words in column) for column in zip(
        *((name, problem(name).x_shape) for name in NAMES), strict=True
    ))  # fmt: skip
    margin = name_width + shape_width + 4
    for line in printed.splitlines():
        assert len(line) <= 110 and line == line.rstrip()
        assert line[name_width : name_width + 2] == line[margin - 2 : margin] == "  " and line[margin] != " "
        name = line[:name_width].strip() or name
        blocks[name].append((line[name_width + 2 : margin].strip(), line[margin:]))
    for name, block in blocks.items():
        p = problem(name)
        assert block[0][0] == str(p.x_shape) and all(shape == "" for shape, _ in block[1:])
        assert block[-1][1] == ", ".join(sorted(p.tags))
        told = " ".join(words for _, words in block[:-1])
        assert told.startswith(p.summary + " ")
        told = told.removeprefix(p.summary + " ")
        parameters = [f"{n} ({u})" if u else n for n, u in zip(p.space.names, p.space.units, strict=True)]
        assert told.startswith(", ".join(parameters) + f" -> {p.quantity}")
        assert all(axis.name in told.partition("->")[2] for axis in p.axes)


def test_lists_never_break_between_a_name_and_its_unit() -> None:
    assert wrap("mu (1/s), sigma (1/sqrt(s)) -> X", 14) == ["mu (1/s),", "sigma (1/sqrt(s))", "-> X"]


def test_list_takes_tags() -> None:
    assert command("list", "--tag", "image") == table(avo.simulators.names("image")) + "\n"
    printed = command("list", "--tag", "series", "--tag", "discrete")
    assert printed == table(avo.simulators.find("discrete", "series")) + "\n" and "ricker" in printed


def test_list_of_an_unknown_tag_ends_in_a_sentence() -> None:
    printed = command("list", "--tag", "serious", status=2)
    assert (
        printed
        == f"error: tag must be one of {', '.join(avo.simulators.tags())}; got 'serious'. Did you mean 'series'?\n"
    )


def test_list_of_a_misspelt_tag_suggests_the_nearest() -> None:
    assert command("list", "--tag", "serie", status=2).endswith("got 'serie'. Did you mean 'series'?\n")


def test_list_of_a_name_says_all_there_is_to_say() -> None:
    printed = command("list", "ecgsyn")
    assert printed == avo.simulators.about("ecgsyn") + "\n"
    module = inspect.getdoc(inspect.getmodule(avo.simulators.ecgsyn)) or ""
    assert printed.startswith(module + "\n\necgsyn(free=None, duration=10.0, rate=100.0, leads=1, window=None,")
    assert "\n    duration: of a strip, in s. It begins anywhere in a beat.\n" in printed
    assert "\n  heart_rate     40 to 180 1/min, truth 60\n" in printed
    assert printed.endswith("\n  t_a            -2 to 2, truth 0.75\n")
    assert "Did you mean 'ecgsyn'?" in command("list", "ecgsin", status=2)
    assert "leave it out with a name" in command("list", "ecgsyn", "--tag", "series", status=2)


@every_simulator
def test_all_can_be_told_about(name: str) -> None:
    told = avo.simulators.about(name)
    assert f"\n\n{name}(" in told and "\n\nParameters, with the default options\n  " in told
    assert "Raises:" not in told and ">>>" not in told.partition(f"\n\n{name}(")[2]


def test_list_of_tags_that_never_meet_says_so() -> None:
    assert command("list", "--tag", "image", "--tag", "scalar") == "no simulator has all of image, scalar\n"


# --- avo simulate -------------------------------------------------------------------------------------------------


@every_simulator
def test_simulate_works_for(name: str, tmp_path: Path) -> None:
    printed = command("simulate", name, "--n", 3, "--out", tmp_path / "x.npz")
    shape, truth = (3, *problem(name).x_shape), problem(name).theta_true
    assert f"x {shape} at " in printed
    with np.load(tmp_path / "x.npz") as file:
        assert file["x"].shape == shape and np.isfinite(file["x"]).all() and file["theta"].tolist() == truth.tolist()
        assert file["names"].tolist() == list(problem(name).space.names)
        whole = np.array_equal(file["x"], np.round(file["x"]))
    assert whole == ("discrete" in problem(name).tags)


# --- pictures -----------------------------------------------------------------------------------------------------


def labels(figure: Figure) -> list[tuple[str, str]]:
    return [(axes.get_xlabel(), axes.get_ylabel()) for axes in figure.axes]


def test_one_number_gets_a_histogram_of_all_draws() -> None:
    figure = plots.draws([2.0, 2.0, 3.0, 5.0], quantity="count", unit="1/s")
    assert labels(figure) == [("count (1/s)", "share (%)")]
    vertices = np.asarray(figure.axes[0].patches[0].get_path().vertices)
    heights = {left: y for (left, y), (right, _) in zip(vertices[1:-1], vertices[2:], strict=True) if right > left}
    assert {k: heights[k] for k in (1.5, 2.5, 3.5, 4.5)} == {1.5: 50.0, 2.5: 25.0, 3.5: 0.0, 4.5: 25.0}
    assert figure.legends == []


def test_short_vectors_get_panels_and_pairs_a_scatter() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal([1.0, -20.0, 300.0], size=(90, 3))
    axis = Axis("detector", "", np.array([4, 5, 7]))
    assert [x for x, _ in labels(plots.draws(x, (axis,), "energy", "GeV", "vector"))] == [
        f"energy, detector {k} (GeV)" for k in (4, 5, 7)
    ]
    figure = plots.draws(x[:, :2], (Axis("part", "", np.array(["a", "b"])),), "energy", "GeV", "vector")
    assert labels(figure) == [("energy, part a (GeV)", "energy, part b (GeV)")]
    np.testing.assert_array_equal(figure.axes[0].collections[0].get_offsets(), x[:, :2])


@pytest.mark.parametrize(("kind", "joined"), [("series", True), ("vector", False)])
def test_long_rows_are_lines_or_points_over_the_range_of_all(kind: str, joined: bool) -> None:
    x = np.random.default_rng(1).normal(size=(101, 30))
    t = np.linspace(0.3, 2.3, 30)
    figure = plots.draws(x, (Axis("time", "s", t),), "voltage", "mV", kind)
    (axes,) = figure.axes
    assert axes.get_xlabel() == "time (s)" and figure.get_supylabel() == "voltage (mV)"
    for line, row in zip(axes.get_lines(), x[:3], strict=True):
        np.testing.assert_array_equal(line.get_xydata(), np.c_[t, row])
        assert (line.get_linewidth() > 0) == joined and line.get_marker() == "o"
    low, high = np.percentile(x, [5, 95], axis=0)
    points = np.concatenate([path.vertices for path in axes.collections[0].get_paths()])
    assert np.isclose(points[:, 1].min(), low.min()) and np.isclose(points[:, 1].max(), high.max())


def test_labels_take_the_place_of_coordinates() -> None:
    x, parts = np.random.default_rng(6).normal(size=(20, 3)), ("level (mV)", "slope (mV/s)", "zeros")
    axis = Axis("statistic", "", np.arange(3), parts)
    assert [x for x, _ in labels(plots.draws(x, (axis,), "summary", kind="vector"))] == [*parts]
    (axes,) = plots.draws(x, (axis,), "summary", kind="series").axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == [*parts]
    assert axes.get_xticks().tolist() == [0, 1, 2] and axes.get_xlim()[0] < 0


def test_two_numbers_in_time_are_a_series() -> None:
    x = np.random.default_rng(2).normal(size=(9, 2))
    assert labels(plots.draws(x, (Axis("time", "s", np.array([1.0, 2.0])),), kind="series"))[0][0] == "time (s)"


def test_channels_get_panels_with_their_names() -> None:
    x = np.random.default_rng(3).normal(size=(12, 20, 12))
    leads = Axis("lead", "", np.array("I II III aVR aVL aVF V1 V2 V3 V4 V5 V6".split()))
    figure = plots.draws(x, (Axis("time", "s", np.arange(20) / 4), leads), "voltage", "mV", "series")
    assert [axes.get_title() for axes in figure.axes] == [f"lead {value}" for value in leads.values]
    assert figure.get_supylabel() == "voltage (mV)"
    for i, axes in enumerate(figure.axes):
        np.testing.assert_array_equal(axes.get_lines()[0].get_ydata(), x[0, :, i])
    assert {axes.get_xlabel() for axes in figure.axes[:-4]} == {""}
    assert {axes.get_xlabel() for axes in figure.axes[-4:]} == {"time (s)"}


def test_images_lie_as_their_axes_say() -> None:
    x = np.random.default_rng(4).poisson(0.3, size=(50, 5, 7)).astype(float)
    axes = (Axis("height", "cm", np.linspace(1.0, 3.0, 5)), Axis("azimuth", "rad", np.linspace(-3.0, 3.0, 7)))
    figure = plots.draws(x, axes, "tracks", kind="image")
    *single, mean = (panel for panel in figure.axes if panel.images)
    assert labels(figure)[0] == ("azimuth (rad)", "height (cm)")
    for panel, image in zip([*single, mean], [*x[:3], x.mean(axis=0)], strict=True):
        np.testing.assert_array_equal(panel.images[0].get_array(), image)
        assert panel.images[0].origin == "lower" and panel.images[0].get_extent() == [-3.5, 3.5, 0.75, 3.25]
    assert [panel.get_ylabel() for panel in figure.axes if not panel.images] == ["tracks", "mean of 50"]
    assert len({panel.images[0].get_clim() for panel in single}) == 1


@pytest.mark.parametrize("shape", [(3, 4, 5), (40, 30), (2, 4, 3, 2)])
def test_any_other_shape_is_an_image(shape: tuple[int, ...]) -> None:
    """Two observations and the mean: a volume of its mean over the first axis, and of each channel."""
    x = np.random.default_rng(5).normal(size=(2, *shape))
    drawn = [panel.images[0].get_array() for panel in plots.draws(x).axes if panel.images]
    channels = 2 if len(shape) == 4 else 1
    assert len(drawn) == 3 * channels
    first = {2: x[0], 3: x[0].mean(0), 4: x[0].mean(0)[..., 0]}[len(shape)]
    np.testing.assert_allclose(drawn[0], first, rtol=1e-12)


def test_draws_names_the_wrong_argument() -> None:
    with pytest.raises(ValueError, match=r"x must hold at least one observation .* got shape \(0, 3\)"):
        plots.draws(np.ones((0, 3)))
    with pytest.raises(
        ValueError, match=r"x must be simulations, such as problem.simulate\(key, theta\); got a Problem"
    ):
        plots.draws(problem("poisson"))  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="kind must be one of scalar, vector, series, image, or None; got 'sound'"):
        plots.draws(np.ones((2, 3)), kind="sound")


# --- gallery ------------------------------------------------------------------------------------------------------


def test_gallery_writes_a_page_and_a_picture_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = {name: headers()[name] for name in ("epem", "mg1")}
    monkeypatch.setattr(avo.simulators, "headers", lambda: chosen)
    assert command("gallery", "--out", tmp_path / "new") == f"{tmp_path / 'new' / 'gallery.md'}: 2 simulators\n"
    text = (tmp_path / "new" / "gallery.md").read_text()
    assert "Drawn at energy = 42 GeV, coupling = 0.9." in text
    assert "| unidentified | observations do not decide every parameter | [epem](#epem) |" in text
    for name in chosen:
        assert f"\n## {name}\n" in text and f"![{name}](gallery/{name}.png)" in text
        with Image.open(tmp_path / "new" / "gallery" / f"{name}.png") as picture:
            assert picture.width > 300 and len(np.unique(np.asarray(picture))) > 8
    assert {path.name for path in (tmp_path / "new").rglob("*.*")} == {"gallery.md", "epem.png", "mg1.png"}


def test_gallery_needs_a_folder(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("precious")
    said = f"error: --out: {tmp_path / 'README.md'} is a file; choose a folder.\n"
    assert command("gallery", "--out", tmp_path / "README.md", status=2) == said


def test_gallery_of_the_project_is_up_to_date() -> None:
    assert (DOCS / "gallery.md").read_text() == gallery.page(), "run: avo gallery --out docs"
    pictures = {path.stem: path.stat().st_size for path in (DOCS / "gallery").iterdir()}
    assert set(pictures) == set(NAMES) and max(pictures.values()) < 40_000
