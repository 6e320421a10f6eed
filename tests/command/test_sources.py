"""avo.command.sources: what stands beside the observations in a file, and spaces in words, reach the fit."""

import csv
import json
import re
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from typer.testing import CliRunner

import avo
from avo.command import app, sources
from avo.command.sources import Reading
from avo.command.words import space_of, with_known

pytestmark = pytest.mark.usefixtures("single_precision")

MINE = """
import jax
import avo

def simulate(key, theta, inputs):
    return theta * inputs + jax.random.normal(key, (theta.shape[0], 2))

def plain(key, theta):
    return theta + jax.random.normal(key, (theta.shape[0], 2))

def flat(key, theta, dose):
    return theta * dose[:, None] + jax.random.normal(key, (theta.shape[0], 2))

def draw(rng, theta, dose):
    return theta * dose + rng.normal(size=2)
"""


@pytest.fixture
def here(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A folder with a simulator of conditions, and a file of observations with all that may stand beside them."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(MINE)
    rng = np.random.default_rng(3)
    dose = rng.uniform(1, 2, 120)
    observed = {name: 2.5 * dose[:, None] + rng.normal(size=(120, 2)) for name in ("x.csv", "new.csv")}
    for name, x in observed.items():
        rows = [[f"p{i}", i // 4, f"{x[i, 0]:.17g}", f"{dose[i]:.17g}", f"{x[i, 1]:.17g}"] for i in range(120)]
        text = "\n".join(";".join(map(str, row)).replace(".", ",") for row in rows)
        (tmp_path / name).write_text(f"who;ward;left;dose;right\n{text}\n")
    np.savez(tmp_path / "expected.npz", x=observed["x.csv"], dose=dose)
    return tmp_path


def run(*words: Any, status: int = 0) -> Any:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code == status, done.output
    return done


COLUMNS = ("--index", "who", "--groups", "ward", "--inputs", "dose")


def test_columns_beside_the_observations_reach_the_fit_and_the_check(here: Any, monkeypatch: Any) -> None:
    seen: dict[str, Any] = {}
    fit = avo.fit
    monkeypatch.setattr(avo, "fit", lambda *given, **more: (seen.update(more, x=given[1]), fit(*given, **more))[1])
    words = ("fit", "mine.py:simulate", "--data", "x.csv", *COLUMNS, "--space", "k=interval(-3,8,unit=mV)", "--quiet")
    printed = run(*words, "--budget", 2560, "--out", "run").stdout
    with np.load(here / "expected.npz") as arrays:
        x, dose = arrays["x"], arrays["dose"][:, None]
    for name, own in {"x": x, "inputs": dose, "groups": (np.arange(120) // 4).astype(str)}.items():
        np.testing.assert_array_equal(np.asarray(seen[name]), own)
    result = avo.load(here / "run")
    assert result.estimate is not None and result.stderr is not None and result.estimate.freedom == 29
    np.testing.assert_allclose(result.theta, 2.5, atol=4 * result.stderr[0])
    space = avo.Space(k=avo.Interval(-3, 8, unit="mV"))
    assert result.axes[0].labels == ("left", "right") and result.input_axes[0].labels == ("dose",)
    assert "encoded.csv" in printed and result.space == space
    with (here / "run" / "encoded.csv").open(newline="") as file:
        head, *rows = csv.reader(file)
    assert head == ["who", "k"] and [row[0] for row in rows] == [f"p{i}" for i in range(120)]
    np.testing.assert_array_equal(np.array([row[1:] for row in rows], float), result.encode(x, dose))
    told = json.loads((here / "run" / "command.json").read_text())["options"]
    assert (told["inputs"], told["groups"], told["index"]) == ("dose", "ward", "who")
    again = ("--replicates", 19, "--quiet", "--trust")
    said = run("check", "run", "--data", "new.csv", *again).stdout
    assert "the 30 new observations" in said and "left, correlation with dose" in said
    said = run("check", "run", "--data", "x.csv", *again)
    assert "warning: x_new: these are the observations of the fit" in said.stderr
    assert said.stdout.startswith("No test of the simulator")


def task(simulator: str, reading: Reading, space: str | None = "k=real()", option: Any = None) -> sources.Task:
    return sources.task_of(
        simulator, option, None, Path("x.csv"), reading, space=space, truth=None, n=1, seed=0
    )  # fmt: skip


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("name", ["simulate", "draw"])
def test_shapes_are_seen_with_conditions(name: str) -> None:
    found = task(f"mine.py:{name}", Reading(inputs="dose", groups="ward", index="who"))
    assert found.observed.shape == (120, 2) and found.inputs is not None and found.inputs.x.shape == (120, 1)
    assert found.groups is not None and len(set(found.groups)) == 30
    with pytest.raises(ValueError, match="makes 2 numbers per observation, x.csv has 1 number in a row"):
        task(f"mine.py:{name}", Reading(columns="left", inputs="dose"))


@pytest.mark.usefixtures("here")
def test_one_column_of_conditions_comes_as_the_simulator_takes_it() -> None:
    """As in Python, where inputs=df["dose"] has shape (m,) and inputs=df[["dose"]] (m, 1)."""
    for name, shape in (("flat", (120,)), ("simulate", (120, 1))):
        found = task(f"mine.py:{name}", Reading(inputs="dose", groups="ward", index="who"))
        assert found.inputs is not None and found.inputs.x.shape == shape
        assert [axis.labels for axis in found.inputs.axes] == [("dose",)] * (len(shape) - 1)


@pytest.mark.usefixtures("here")
def test_what_does_not_fit_together_is_refused() -> None:
    with pytest.raises(ValueError, match=r"--groups must name one column; got 'who,ward'"):
        task("mine.py:plain", Reading(groups="who,ward"))
    with pytest.raises(ValueError, match=r"--log-windows cuts the rows anew; leave out --inputs, --groups, --index"):
        task("mine.py:plain", Reading("left", None, 2, index="who"))
    with pytest.raises(ValueError, match=r"--inputs are known conditions, and linear5 takes none; leave it out, or"):
        task("linear5", Reading("left,right", inputs="dose"), None)
    with pytest.raises(ValueError, match=r"--space says the parameters of a simulator of your own"):
        task("linear5", Reading("left,right"))
    with pytest.raises(ValueError, match=r"angle and angular velocity of each observation, got 1 number; name 2"):
        task("pendulum", Reading("left,right", inputs="dose"), None, ["known_start=true"])
    with pytest.raises(ValueError, match=r"or --space does, 'mu=interval\(-3,3\)'; it has no space"):
        task("mine.py:plain", Reading("left,right"), None)
    assert (
        "the like say how to read a file; give it by --data" in run("fit", "poisson", "--index", "a", status=2).stderr
    )


def test_simulators_of_the_library_take_conditions(here: Any) -> None:
    """The pendulum's start is a known condition of each series."""
    problem = avo.simulators.get("pendulum", points=12, known_start=True)
    start = np.random.default_rng(0).uniform(-1, 1, (30, 2)) * [1.0, 3.0]
    theta = np.tile(problem.theta_true, (30, 1))
    x = np.asarray(problem.simulate(jax.random.key(0), theta, start))
    np.savez(here / "swings.npz", x=x, start=start)
    words = ("--data", "swings.npz", "--inputs", "start", "--option", "known_start=true", "--option", "points=12")
    run("fit", "pendulum", *words, "--budget", 2560, "--no-refine", "--quiet", "--out", "run", status=3)
    expected = avo.fit(
        problem.simulate, x, problem.space, inputs=start, budget=2560, refine=False, progress=False
    )  # fmt: skip
    np.testing.assert_array_equal(avo.load(here / "run").theta, expected.theta)
    assert avo.load(here / "run").axes[0].name == "time"


def test_columns_of_one_name_are_refused(here: Any) -> None:
    """No picture and no table would tell them apart; by number they may be read, and get names by --axis."""
    (here / "twice.csv").write_text("t,V,t,V\n" + "\n".join(f"{i}.5,{i},{2 * i},{3 * i}" for i in range(40)))
    words = ("fit", "mine.py:plain", "--space", "k=interval(-3,8)", "--data", "twice.csv")
    said = run(*words, "--columns", "1,3", status=2).stderr
    assert "twice.csv must have a heading of its own for each column that is taken; 2 are called 'V'. Rename" in said
    assert ", or name them by --axis column=NAME,NAME, or choose other columns." in said
    said = run(*words, "--columns", "1,3", "--axis", "column=a,b", "--inputs", "0,2", status=2).stderr
    assert "2 are called 't'. Rename them in the file, or choose other columns." in said
    named = run(*words, "--columns", "1,3", "--axis", "column=V1,V2", "--budget", "2560", "--no-refine", status=3)
    assert "40 observations" in named.stdout
    assert "columns must name each column once; got 1 twice" in run(*words, "--columns", "1,1", status=2).stderr


# --- spaces in words -------------------------------------------------------------------------------------------------


def test_spaces_in_words() -> None:
    text = " rate = LogInterval(.1, 10, unit=1/s);k=interval(high=3,low=-1e-3) ; p=positive();"
    text += "r=real(2.5,unit=1/(M s), scale=4);"
    assert space_of(text) == avo.Space(
        rate=avo.LogInterval(0.1, 10, unit="1/s"), k=avo.Interval(-1e-3, 3), p=avo.Positive(),
        r=avo.Real(2.5, 4, unit="1/(M s)"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "--space must name at least one parameter, 'k=interval"),
        ("k", r"--space must look like 'rate=loginterval\(0.1,10,unit=1/s\); k=real\(\)'; got 'k'"),
        ("k=interval(0,3", r"must look like .*; got 'k=interval\(0,3'"),
        ("2k=interval(0,3)", "must look like"),
        ("k=uniform(0,3)", r"--space: k must be one of interval, loginterval, .*; got 'uniform'"),
        ("k=intervall(0,3)", "Did you mean 'interval'"),
        ("k=interval(0)", "--space: k: Interval takes low, high, unit, prior; high is missing"),
        ("k=interval(0,3,V,(1,2),7)", r"k=interval\(...\) takes low, high, unit, prior, each once; got '7' beyond"),
        ("k=interval(0,3,V,7)", "k: Interval: prior must be two finite numbers"),
        ("k=interval(0,top=3)", "takes low, high, unit, prior, each once; got '3' beyond"),
        ("k=interval(0,3,low=1)", "each once"),
        ("k=interval(3,0)", "--space: k: Interval: low must be below high; got low=3, high=0"),
        ("k=loginterval(0,1)", "--space: k: LogInterval: low must be above zero"),
        ("k=interval(__import__('os'),1)", "--space: k: Interval: low must be a finite number"),
        ("k=interval(0,1);k=real()", "--space must say k once"),
    ],
)
def test_spaces_in_wrong_words_are_sentences(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        space_of(text)


# --- what is known of parameters -------------------------------------------------------------------------------------


def test_fixed_parameters_and_measurements_reach_the_fit(here: Path) -> None:
    words = ("--fix", "mu=0.4", "--prior", "sigma=0.5,0.004", "--set", "mu=0.4", "--n", 60, "--budget", 8000)
    printed = run("fit", "brownian", *words, "--out", "run").stdout
    result = avo.load("run")
    assert result.names == ("sigma",) and result.space.fixed["mu"].value == 0.4
    assert "0.4 (fixed)" in printed and "the data alone" in printed and "0.5 +- 0.004" in printed
    assert result.stderr is not None and 0 < result.stderr[0] < 0.004
    assert json.loads(Path("run/command.json").read_text())["truth"].keys() == {"mu", "sigma"}
    assert "0.4 (fixed)" in run("report", "run").stdout
    assert "19 replicates" in run("check", "run", "--replicates", 19, "--n", 40, "--quiet").stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--fix", "mue=1"), "--fix must name a parameter of mu, sigma; got 'mue'. Did you mean 'mu'"),
        (("--fix", "mu=a"), "--fix mu must be a number; got 'a'"),
        (("--fix", "mu=nan"), "mu"),
        (("--prior", "mu=1"), "--prior mu must be 2 numbers, VALUE,ERROR; got '1'"),
        (("--prior", "mu=1,-2"), "--prior mu: "),
        (("--prior", "sigma=1,.1", "--fix", "sigma=1"), "--prior: sigma is fixed; leave one of them out"),
        (("--fix", "sigma=1", "--fix", "mu=1"), "Space needs a parameter that is free"),
        (("--range", "mu=0,1", "--range", "mu"), "--range must look like"),
    ],
)
def test_what_is_known_in_wrong_words(words: tuple[str, ...], said: str, here: Path) -> None:
    assert said in run("fit", "brownian", *words, status=2).stderr


@pytest.mark.usefixtures("here")
def test_what_is_fixed_lies_in_its_range() -> None:
    for space, value in (("k=interval(-3,8)", 8.5), ("k=positive(1)", -0.1)):
        with pytest.raises(ValueError, match=rf"--fix k: {value} lies outside the range of k, .* change the range by"):
            with_known(space_of(space), [f"k={value}"], None)
    assert with_known(space_of("k=interval(-3,8); s=real()"), ["k=8"], None)["k"] == avo.Fixed(8.0)


@pytest.mark.parametrize("name", ["queue", "random", "calendar"])
def test_a_file_with_the_name_of_a_module_of_pythons_is_warned_of(name: str, here: Path) -> None:
    (here / "mine.py").rename(here / f"{name}.py")
    words = ("fit", f"{name}.py:plain", "--data", "x.csv", "--columns", "left,right", "--space", "k=interval(-3,8)")
    said = run(*words, "--budget", 320, "--quiet", "--no-refine", status=3).stderr
    assert f"warning: {name}.py hides Python's own module {name} from scripts beside it; rename it, my_" in said


def test_no_page_and_no_help_hides_a_module_of_pythons() -> None:
    root = Path(avo.__file__).parent
    pages = [root.parent / "README.md", *root.parent.glob("docs/**/*.md"), *root.glob("command/*.py")]
    files = {name for page in pages for name in re.findall(r"(\w+)\.py:\w", page.read_text(encoding="utf-8"))}
    assert "counter" in files and not files & set(sys.stdlib_module_names)


@pytest.mark.usefixtures("here")
def test_observations_of_another_shape_say_what_to_do() -> None:
    with pytest.raises(
        ValueError, match=r"x.csv has 3 numbers in a row; choose columns \(left, dose, right\) by --colu"
    ):
        task("mine.py:plain", Reading(index="who", groups="ward"))
    with pytest.raises(ValueError, match=r"or say which are conditions, --inputs, or name the rows, --index\.$"):
        task("mine.py:plain", Reading(index="who", groups="ward"))
    for shape, said in (
        ((1, 2), r"by x\.reshape\(len\(x\), -1\)\.$"),
        ((4, 3), r"or let the simulator make \(4, 3\)\.$"),
    ):
        np.save("x.npy", np.zeros((5, *shape)))
        words = rf"x.npy has an array \({shape[0]}, {shape[1]}\) in a row; save .* with shape \(n, 2\), {said}"
        with pytest.raises(ValueError, match=words):
            sources.task_of(
                "mine.py:plain", None, None, Path("x.npy"), Reading(), space="k=real()", truth=None, n=1, seed=0
            )


def test_a_column_too_many_may_be_a_condition() -> None:
    simulate = lambda key, theta: theta + jax.random.normal(key, (len(theta), 2))  # noqa: E731
    with pytest.raises(
        ValueError, match=r"expected x \(\d+, 3\), got \(\d+, 2\)\. Columns of x_obs that are known cond"
    ):
        avo.fit(simulate, np.arange(15.0).reshape(5, 3), avo.Space(k=avo.Real()))
    with pytest.raises(ValueError, match=r"expected x \(\d+, 1\), got \(\d+, 2\)\.$"):
        avo.fit(simulate, np.arange(5.0)[:, None], avo.Space(k=avo.Real()))


# --- a run that is there ---------------------------------------------------------------------------------------------


def test_a_run_says_what_it_needs(here: Path) -> None:
    words = ("--data", "x.csv", *COLUMNS, "--space", "k=interval(-3,8)", "--budget", 2560, "--seed", 5, "--no-refine")
    run("fit", "mine.py:simulate", *words, "--quiet", "--out", "run", status=3)
    # The command again, without what is as if it were left out
    run("report", "run")
    told = (
        "avo fit mine.py:simulate --data x.csv --budget 2560 --seed 5 --inputs dose --groups ward --index who --space"
    )
    assert f"{told} &#x27;k=interval(-3,8)&#x27; --no-refine<" in (here / "run" / "report.html").read_text()
    # Options that nobody typed
    (here / "other.csv").write_text((here / "x.csv").read_text().replace("who", "name", 1))
    said = run("check", "run", "--data", "other.csv", "--trust", status=2).stderr
    assert (
        "got 'who'." in said and "The options come from the run, run, which read its own file by --inputs dose" in said
    )
    assert said.endswith("--groups ward --index who: --data must name a file like that.\n")
    # Before the work
    done = run("report", "run", "--out", "x.csv/page.html", status=2)
    assert done.stdout == "" and "--out must be a file that can be written; x.csv/page.html cannot: " in done.stderr
    with pytest.raises(ValueError, match=r"path must be a file that can be written; x\.csv/page\.html cannot: "):
        avo.load("run").report("x.csv/page.html")
    said = run("check", "run", "--data", "x.csv", "--trust", "--replicates", 3, status=2).stderr
    assert said == "error: --replicates must be a whole number of at least 19; got 3.\n"
    # A fit of Python's, and one that is not finished
    (here / "run" / "command.json").rename(here / "command.json")
    said = run("report", "run", status=2).stderr
    assert said.startswith("error: run holds a fit made in Python (no command.json): avo.load('run') gives it")
    (here / "run" / "result.json").unlink()
    for there in (False, True):
        if there:
            (here / "command.json").rename(here / "run" / "command.json")
        for command in (("report", "run"), ("check", "run", "--data", "x.csv")):
            said = run(*command, status=2).stderr
            assert said.startswith(
                "error: run holds a run that was begun and is not finished; unless it still runs, cont"
            )
            assert "--resume --out run, or avo.fit(..., out='run', resume=True)." in said
    with pytest.raises(FileNotFoundError, match="was begun and is not finished"):
        avo.load("run")


@pytest.mark.usefixtures("here")
def test_mistakes_of_the_simulator_are_said_before_those_of_the_data(here: Any) -> None:
    (here / "broken.py").write_text("import avo\nspace = avo.Spaec(k=avo.Real())\n")
    for words in (("broken.py:f", "--data", "nowhere.csv"), ("broken.py:f", "--data", "x.csv", "--columns", "nothing")):
        assert "broken.py cannot be run: AttributeError" in run("fit", *words, status=2).stderr
    said = run("fit", "mine.py:plian", "--data", "nowhere.csv", "--space", "k=real()", status=2).stderr
    assert "mine.py must be followed by one of its functions" in said
    assert "SIMULATOR must be a registered simulator" in run("fit", "zzz", "--data", "nowhere.csv", status=2).stderr


def test_a_recording_is_told_to_be_cut(here: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "read", lambda *_: sources.data.Table(np.arange(80.0).reshape(40, 2), ("I", "II")))
    said = run("fit", "ecg", "--data", "100.hea", status=2).stderr
    assert (
        "ecg makes 200 numbers per observation, 100.hea is one recording; a recording is cut into pieces first" in said
    )
    assert said.endswith("avo.data.read_beats, to be saved as .npy, or by --preset full.\n")
    assert "--preset" not in run("fit", "brownian", "--data", "100.dat", "--option", "points=30", status=2).stderr


# --- near misses -----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("fit", "poison"), "of your own, path/to/file.py:function; got 'poison'. Did you mean 'poisson'?"),
        (("fit", "mime"), "path/to/file.py:function; got 'mime'. Did you mean 'mine.py:function'?"),
        (("fit", "mine:plain"), "path/to/file.py:function; got 'mine:plain'. Did you mean 'mine.py:plain'?"),
        (("fit", "mime.py:plain", "--data", "x.csv"), "There is no file mime.py. Did you mean 'mine.py:plain'?"),
        (("fit", "mime.py:planar", "--data", "x.csv"), "There is no file mime.py."),
        (("fit", "numeric.py:plain", "--data", "x.csv"), "There is no file numeric.py."),
        (("fit", "minutes"), "path/to/file.py:function; got 'minutes'."),
        (("fit", "poisson.py:f", "--data", "x.csv"), "There is no file poisson.py."),
        (("fit", "zzzz"), "path/to/file.py:function; got 'zzzz'."),
        (("fit", "poisson", "--target", "popluation"),
         "Invalid value for '--target': 'popluation' is not one of 'point', 'population'. Did you mean 'population'?"),
        (("fit", "mine.py:plain", "--data", "x.csv", "--index", "WHO", "--space", "k=real()"),
         "or a name among who, ward, left, dose, right (in x.csv); got 'WHO'. Did you mean 'who'?"),
    ],
)  # fmt: skip
def test_near_misses_are_named(words: tuple[str, ...], said: str) -> None:
    assert run(*words, status=2).stderr.rstrip().endswith(said)


def test_of_many_columns_some_are_named(here: Path) -> None:
    names = [f"c{i}" for i in range(30)]
    (here / "wide.csv").write_text(",".join(names) + "\n" + ",".join("1" * 30) + "\n")
    with pytest.raises(ValueError, match=r"a name among c0, c1, .*, c11 and 18 more \(in .*\); got 'b7'"):
        avo.data.read("wide.csv", columns="b7")


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("fit br", {"brownian"}), ("fit mi", {"mine.py:"}), ("list pois", {"poisson"}),
        ("simulate ecg_", {"ecg_factors"}),
    ],
)  # fmt: skip
def test_the_shell_completes_names(words: str, found: set[str]) -> None:
    env = {"_AVO_COMPLETE": "complete_bash", "COMP_WORDS": f"avo {words}", "COMP_CWORD": "2"}
    done = CliRunner().invoke(app, [], prog_name="avo", env=env)
    assert set(done.stdout.split()) == found
