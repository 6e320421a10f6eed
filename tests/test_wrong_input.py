"""Each mistake named here ends in one clear sentence, from the library and from the command."""

import errno
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from typer.testing import CliRunner

import avo
from avo.command import app
from avo.folder import FORMAT, stamped, write_json
from avo.rows import Given, observe

pytestmark = pytest.mark.usefixtures("single_precision")

SPACE = avo.Space(mu=avo.Interval(-3.0, 5.0))
X = np.random.default_rng(0).normal(1.3, 1.0, (40, 3))

USER_FILE = """
import jax, jax.numpy as jnp
import numpy as np
import avo

space = avo.Space(mu=avo.Interval(-3, 5))

def good(key, theta):
    return theta[:, :1] + jax.random.normal(key, (theta.shape[0], 3))

def one_argument(theta):
    return theta

def rng_only(rng):
    return rng.normal(size=3)

def wrong_rows(key, theta):
    return jnp.zeros((3,))

def two_columns(key, theta):
    return theta[:, :1] + jax.random.normal(key, (theta.shape[0], 2))

def numpy_two_columns(rng, theta):
    return rng.normal(theta[0], 1.0, size=2)

def numpy_in_disguise(key, theta):
    return np.random.normal(np.asarray(theta), 1.0, size=(len(theta), 3))

def always_nan(key, theta):
    return jnp.full((theta.shape[0], 3), jnp.nan)

def raises(rng, theta):
    raise OverflowError("too steep")
"""


def good(key, theta):
    return theta[:, :1] + jax.random.normal(key, (theta.shape[0], 3))


def fit(simulate=good, x_obs=X, space=SPACE, budget=2560, **more):
    return avo.fit(simulate, x_obs, space, budget=budget, progress=False, **more)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((X, good, SPACE), r"^x_obs must be an array of real numbers.*got the function good\. The order is avo\.fit\("),
        (
            (good, SPACE, X),
            r"^space must be an avo\.Space.*got an array of shape \(40, 3\)\. The order is avo\.fit\(",
        ),
        ((SPACE, X, good), r"^space must .* got the function good\. The order is"),
        ((SPACE, good, X), r"^space must .* got an array of shape \(40, 3\)\. The order is"),
        ((X, SPACE, good), r"^space must .* got the function good\. The order is"),
        ((good, X, None), r"^space must be an avo\.Space, e\.g\. .*; got None\.$"),
        ((good, X, avo.Interval(0, 1)), r"^space must .*; got Interval\(low=0, high=1.*\)\.$"),
        ((good, X, {"mu": avo.Interval(0, 1)}), r"^space must .* got a dict: avo\.Space\(\*\*it\)"),
        ((good, X, avo.Space), "^space must .* got the class Space"),
        ((good, None, SPACE), r"^x_obs must be an array of real numbers, one row for each observation; got None\.$"),
        ((good, good, SPACE), "^x_obs must .* got the function good"),
        ((good, SPACE, SPACE), "^x_obs must .* got "),
        ((None, X, SPACE), r"^simulate must be a function simulate\(key, theta\) -> x; got None"),
        ((X, X, SPACE), r"^simulate must be a function .* got an array of shape \(40, 3\)"),
    ],
)
def test_arguments_in_one_anothers_place(given, words):
    with pytest.raises(ValueError, match=words):
        avo.fit(*given, progress=False)


@pytest.fixture
def refused(tmp_path, monkeypatch):
    """Run the command, which must fail with exit status 2 and one line; returns that line."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(USER_FILE)
    np.save(tmp_path / "good.npy", X)

    def run(*words):
        done = CliRunner().invoke(app, [str(word) for word in words])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == 2, done.output
        assert "Traceback" not in done.output
        assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
        return done.stderr

    return run


def written(path, text):
    path.write_text(text)
    return path.name


# --- the file --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", ["nan", "inf", "-inf"])
def test_not_finite(refused, tmp_path, bad):
    x = X.copy()
    x[7, 2] = float(bad)
    with pytest.raises(ValueError, match=rf"x_obs\[7, 2\] is {bad} \(row 7, column 2; 1 of 40 rows"):
        fit(x_obs=x)
    np.savetxt(tmp_path / "x.csv", x, delimiter=",")
    said = refused("fit", "mine.py:good", "--data", "x.csv")
    assert f"x.csv[7, 2] is {bad} (row 7, column 2" in said and "Remove or fill" in said


def test_wrong_number_of_columns(refused, tmp_path):
    with pytest.raises(ValueError, match=r"shaped like a row of x_obs.* expected x \(\d+, 4\), got \(\d+, 3\)"):
        fit(x_obs=np.ones((40, 4)) * X[:, :1])
    np.savetxt(tmp_path / "x.csv", np.c_[X, X[:, 0]], delimiter=",")
    for name in ("linear5", "mine.py:good"):
        said = refused("fit", name, "--data", "x.csv")
        makes = 5 if name == "linear5" else 3
        assert f"makes {makes} numbers per observation, x.csv has 4 numbers in a row; choose columns by" in said


def test_columns_that_are_not_there(refused, tmp_path):
    file = written(tmp_path / "x.csv", "a,b\n1,2\n3,4\n")
    with pytest.raises(ValueError, match=r"columns must be a number from 0 to 1 or a name among a, b"):
        avo.data.read(tmp_path / file, columns="c")
    assert "a name among a, b" in refused("fit", "poisson", "--data", file, "--columns", "c")


def test_fewer_than_two_observations(refused, tmp_path):
    with pytest.raises(ValueError, match=r"x_obs must hold at least 2 observations, one per row; got 1"):
        fit(x_obs=X[:1])
    np.save(tmp_path / "one.npy", X[:1])
    assert "at least 2 observations, one per row; got 1" in refused("fit", "mine.py:good", "--data", "one.npy")
    assert "at least 2 observations" in refused("fit", "poisson", "--n", 1)


@pytest.mark.parametrize("name", ["x.csv", "x.npy", "x.npz"])
def test_empty_file(refused, tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(ValueError, match=rf"{name} is empty; expected observations, one per row"):
        avo.data.read(tmp_path / name)
    assert f"{name} is empty" in refused("fit", "poisson", "--data", name)


def test_missing_file(refused, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file .*gud.npy. Similar names beside it: good.npy"):
        avo.data.read(tmp_path / "gud.npy")
    assert "There is no file gud.npy. Similar names beside it: good.npy." in refused(
        "fit", "mine.py:good", "--data", "gud.npy"
    )
    assert "There is no file other.py." in refused("fit", "other.py:simulate", "--data", "good.npy")


def test_cells_that_are_not_numbers(refused, tmp_path):
    file = written(tmp_path / "x.csv", "a,b\n1,2\n3,oops\n")
    with pytest.raises(ValueError, match=r"row 1 \(line 3\), column 'b' holds 'oops'"):
        avo.data.read(tmp_path / file)
    assert "row 1 (line 3), column 'b' holds 'oops'" in refused("fit", "linear5", "--data", file)


def test_file_that_cannot_be_read(refused, tmp_path):
    assert "cannot read files of this kind" in refused(
        "fit", "poisson", "--data", written(tmp_path / "x.mat", "1\n2\n")
    )


def test_log_windows_of_a_short_or_wide_series(refused, tmp_path):
    file = written(tmp_path / "x.csv", "a,b\n1,2\n3,4\n5,6\n")
    assert "at least length + 1 = 10" in refused(
        "fit", "brownian", "--data", file, "--columns", "a", "--log-windows", 9
    )
    assert "needs one series" in refused("fit", "brownian", "--data", file, "--log-windows", 2)


# --- parameters and names --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("low, high", [(3.0, 1.0), (2.0, 2.0)])
def test_bounds_low_not_below_high(refused, tmp_path, low, high):
    for kind in (avo.Interval, avo.LogInterval):
        with pytest.raises(ValueError, match=rf"{kind.__name__}: low must be below high; got low={low}, high={high}"):
            kind(low, high)
    said = refused("fit", "brownian", "--range", f"sigma={low},{high}")
    assert f"--range sigma: LogInterval: low must be below high; got low={low}, high={high}" in said
    file = written(tmp_path / "bad.py", f"import avo\nspace = avo.Space(mu=avo.Interval({low}, {high}))\n")
    said = refused("fit", f"{file}:simulate", "--data", "good.npy")
    assert "Interval: low must be below high" in said and "(line 2)" in said


def test_unknown_simulator(refused):
    with pytest.raises(ValueError, match=r"got 'browniam'. Did you mean 'brownian'\?"):
        avo.simulators.get("browniam")
    for words in (
        ("fit", "browniam"),
        ("simulate", "browniam", "--out", "x.npz"),
        ("fit", "browniam", "--option", "a=1"),
    ):
        assert "Did you mean 'brownian'?" in refused(*words)


@pytest.mark.parametrize(
    "words, said",
    [
        (("--set", "sgma=1"), "--set must name a parameter of mu, sigma; got 'sgma'. Did you mean 'sigma'?"),
        (("--set", "sigma=7"), "sigma must lie inside (0.05, 3.0)"),
        (("--set", "sigma=x"), "--set sigma must be a number; got 'x'."),
        (("--set", "sigma"), "--set must look like --set name=value; got 'sigma'."),
        (("--range", "mu=1"), "--range mu must be 2 numbers, LOW,HIGH; got '1'."),
        (("--range", "mu=1,2"), "mu must lie inside (1.0, 2.0)"),
        (("--option", "pints=3"), "--option must be one of points, duration for brownian; got 'pints'. Did you mean"),
        (("--option", "duration=inf"), "duration must be a finite number above zero; got inf."),
        (("--set", "sigma=1", "--set", "sigma=2"), "--set must give sigma once; got 1 and 2."),
        (("--option", "points=a"), "points must be a whole number of at least 1; got 'a'."),
        (("--resume",), "--resume needs --out"),
        (("--resume", "--out", "nowhere"), "--resume: there is no folder nowhere"),
        (("--resume", "--out", "."), "--resume: . holds no run; leave --resume out"),
        (("--key", "x"), "give it by --data"),
        (("--data", "good.npy", "--set", "mu=1"), "leave it out with --data"),
    ],
)
def test_words_that_do_not_fit(refused, words, said):
    assert said in refused("fit", "brownian", *words)


def test_option_of_a_simulator_without_options(refused):
    assert "--option must be left out for linear5; got 'points'." in refused("fit", "linear5", "--option", "points=3")


def test_command_cannot_give_known_conditions(refused):
    said = refused("simulate", "pendulum", "--option", "known_start=true", "--out", "x.npz")
    assert said == (
        "error: known_start=True needs inputs, angle and angular velocity of each observation; name 2 columns of the "
        "file in avo fit --data FILE --inputs COLUMNS.\n"
    )


def test_misspelt_name_in_an_option(refused):
    words = ("simulate", "ecgsyn", "--out", "x.npz", "--option")
    assert "got 'r_angel'. Did you mean 'r_angle'?" in refused(*words, "free=r_angel")
    assert refused(*words, "noise=pink") == "error: noise must name some of white, wander, mains, muscle; got 'pink'.\n"


# --- the user's simulator --------------------------------------------------------------------------------------------


def test_wrong_signature(refused):
    with pytest.raises(ValueError, match=r"simulate must be callable as one_argument\(key, theta\)"):

        def one_argument(theta):
            return theta

        fit(one_argument)
    with pytest.raises(ValueError, match=r"from_numpy needs a function of two arguments"):
        avo.from_numpy(lambda rng: rng.normal(size=3))
    assert "callable as one_argument(key, theta)" in refused("fit", "mine.py:one_argument", "--data", "good.npy")
    assert "got rng_only(rng)" in refused("fit", "mine.py:rng_only", "--data", "good.npy")


def test_wrong_output_shape(refused):
    with pytest.raises(ValueError, match=r"expected x \(\d+, 3\), got \(3,\)"):
        fit(lambda key, theta: jnp.zeros((3,)))
    assert "simulate must return one row of x per row of theta" in refused(
        "fit", "mine.py:wrong_rows", "--data", "good.npy"
    )
    # n of a block may be the length of a row: then n rows of n numbers look right, and each row has met all others
    x = np.random.default_rng(0).normal(size=(60, 8))
    for size in (4, 8):
        settings = avo.Settings(batch=size, pairs=size)
        with pytest.raises(ValueError, match=r"expected x \(\d+, 8\), got \((\d+), \1\)"):
            avo.fit(
                lambda key, theta: theta[:, :1] * jax.random.normal(key, (1, len(theta))), x,
                avo.Space(mu=avo.Interval(-3, 3)), settings=settings, budget=2560, progress=False,
            )  # fmt: skip
    for name in ("two_columns", "numpy_two_columns"):
        said = refused("fit", f"mine.py:{name}", "--data", "good.npy")
        assert f"mine.{name} makes 2 numbers per observation, good.npy has 3 numbers in a row" in said


def test_wrong_output_shape_of_a_numpy_function():
    with pytest.raises(RuntimeError, match=r"row of x_obs"):
        fit(avo.from_numpy(lambda rng, theta: rng.normal(theta[0], 1.0, size=2)))


def test_numpy_in_a_jax_simulator(refused):
    assert "Wrap a NumPy function" in refused("fit", "mine.py:numpy_in_disguise", "--data", "good.npy")


def test_nan_in_every_draw(refused):
    with pytest.raises(ValueError, match=r"NaN or infinity in all of its first \d+ draws, at parameters such as {'mu'"):
        fit(lambda key, theta: jnp.full((theta.shape[0], 3), jnp.nan))
    said = refused("fit", "mine.py:always_nan", "--data", "good.npy", "--budget", 2560)
    assert "NaN or infinity in all of its first" in said and "narrow the space" in said


def test_simulator_that_raises(refused):
    def raises(rng, theta):
        raise OverflowError("too steep")

    with pytest.raises(RuntimeError, match=r"failed at theta = \[.*\] with OverflowError: too steep"):
        fit(avo.from_numpy(raises))
    assert "with OverflowError: too steep" in refused("fit", "mine.py:raises", "--data", "good.npy")


def test_file_without_space_or_function(refused, tmp_path):
    file = written(tmp_path / "bare.py", "def simulate(key, theta):\n    return theta\n")
    assert "bare.py must say its parameters at the top level" in refused(
        "fit", f"{file}:simulate", "--data", "good.npy"
    )
    assert "it has simulate, not 'sim'" in refused("fit", f"{file}:sim", "--data", "good.npy")
    assert "bare.py:NAME; it has simulate." in refused("fit", file, "--data", "good.npy")
    file = written(tmp_path / "broken.py", "import avo\n\nspace = avo.Spice()\n")
    assert "broken.py cannot be run: AttributeError" in refused("fit", f"{file}:simulate", "--data", "good.npy")
    assert "--data must name the file of observations" in refused("fit", "mine.py:good")


# --- the run ---------------------------------------------------------------------------------------------------------


def test_budget_too_small(refused, tmp_path):
    with pytest.raises(ValueError, match=r"budget=100 is too small: a step takes \d+ simulator calls"):
        fit(budget=100)
    assert "budget=100 is too small" in refused("fit", "poisson", "--budget", 100)
    assert not (tmp_path / "runs").exists()


def test_fewer_than_five_observations_per_parameter(tmp_path, monkeypatch):
    with pytest.warns(UserWarning, match=r"4 observations for 1 parameter:.*posterior tool such as sbi or BayesFlow"):
        fit(x_obs=X[:4])
    with pytest.warns(UserWarning, match=r"^2 observations for 3 parameters:.*So few cannot tell the errors of all"):
        observe(Given(X[:2]), avo.Space(a=avo.Real(), b=avo.Real(), c=avo.Real()))
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["fit", "poisson", "--n", "4", "--budget", "2560", "--no-refine"])
    assert done.exit_code == 3  # without errors it is no answer
    assert done.stderr.startswith("warning: 4 observations for 1 parameter:") and done.stderr.count("\n") == 1
    assert "posterior tool such as sbi or BayesFlow" in done.stderr


def test_folder_that_holds_another_run(refused, tmp_path):
    fit(out=tmp_path / "run")
    before = {path: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    with pytest.raises(FileExistsError, match=r"already holds a run; choose another folder"):
        fit(out=tmp_path / "run", seed=1)
    assert "run already holds a run; choose another folder, or continue it by --resume" in refused(
        "fit", "poisson", "--out", "run"
    )
    said = refused(
        "fit", "mine.py:good", "--data", "good.npy", "--out", "run", "--seed", 1, "--budget", 2560, "--resume"
    )
    assert "holds a run with other seed" in said
    assert {path: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


def test_file_that_exists_already(refused, tmp_path):
    written(tmp_path / "x.npz", "precious")
    assert "exists already" in refused("simulate", "poisson", "--out", "x.npz")
    assert "ending in .npz" in refused("simulate", "poisson", "--out", "x.csv")
    assert "is a file; choose a folder" in refused("fit", "poisson", "--out", "mine.py")
    assert (tmp_path / "x.npz").read_text() == "precious"


@pytest.mark.parametrize("settings", [None, avo.Settings(batch=8, pairs=4)])
@pytest.mark.parametrize("target", ["points", "", 3])
def test_unknown_target(settings, target):
    with pytest.raises(ValueError, match=rf"^target must be one of point, population; got {target!r}\."):
        fit(settings=settings, target=target)


@pytest.mark.parametrize("seed", [-1, 2**63, 2**64])
def test_seeds_that_make_no_key(refused, seed):
    words = f"must be a whole number from 0 to 9223372036854775807; got {seed}."
    with pytest.raises(ValueError, match=f"^seed {words}"):
        fit(seed=seed)
    for command in (("fit", "poisson"), ("simulate", "poisson", "--out", "x.npz"), ("check", "run")):
        assert refused(*command, "--seed", seed) == f"error: --seed {words}\n"


@pytest.mark.parametrize(
    "words", [("--out", ""), ("--out=",), ("--out", "a\nb"), ("--data", " "), ("--set", "\x1b[2J")]
)
def test_words_that_are_empty_or_no_words(refused, tmp_path, words):
    before = sorted(tmp_path.iterdir())
    assert refused("fit", "poisson", *words).startswith("error: each word must be printable and not empty; got ")
    assert sorted(tmp_path.iterdir()) == before


def test_a_tilde_is_the_users_own_folder(refused, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for words in (("--data=~/x.npy",), ("--data", "~/x.npy")):
        assert refused("fit", "poisson", *words).startswith(f"error: There is no file {tmp_path}/home/x.npy")
    (tmp_path / "home").mkdir()
    fit(budget=2560, refine=False, out="~/run")
    assert (tmp_path / "home" / "run" / "result.json").exists()


def test_numbers_that_no_memory_holds(refused):
    assert "--n must leave room in memory; 9,999,999,999 observations of poisson are" in refused(
        "fit", "poisson", "--n", 9_999_999_999
    )
    assert "budget must be a whole number from 1 to 10000000000" in refused("fit", "poisson", "--budget", 10**22)


def test_files_of_a_run_that_hold_something_else(refused, tmp_path):
    folder = fit(budget=2560, refine=False).save(tmp_path / "run")
    known = json.loads((folder / "result.json").read_text())
    words = "is damaged, or was edited; delete it or its folder to start anew, or restore it from a copy."
    for found in ({}, {"truth": None}, {"truth": None, "options": None}, {"truth": None, "options": {"key": None}}):
        write_json(folder / "command.json", stamped(found))
        assert refused("report", "run") == f"error: run/command.json {words}\n"
    kind = [known["space"][0] | {"kind": "Intervall"}]
    for found in ({"format": FORMAT}, known | {"space": kind}, known | {"critic": known["critic"] | {"name": "mpl"}}):
        found.pop("checksum", None)
        write_json(folder / "result.json", stamped(found))
        with pytest.raises(ValueError, match=rf"result\.json {words}"):
            avo.load(folder)


@pytest.mark.parametrize("word", ["no", 0, 1, None])
def test_words_are_neither_true_nor_false(word):
    calls = {
        "Settings: standardize": lambda: avo.Settings(standardize=word),
        "progress": lambda: avo.fit(good, X, SPACE, budget=2560, progress=word),
        "batched": lambda: avo.from_numpy(lambda rng, theta: theta, batched=word),
    }
    for name, call in calls.items():
        with pytest.raises(ValueError, match=rf"^{name} must be True or False; got {word!r}\.$"):
            call()


@pytest.mark.parametrize("loss", [0, "", False])
def test_no_loss_is_none_but_none(loss):
    with pytest.raises(ValueError, match=rf"^loss must be a critic's loss .* got {loss!r}\.$"):
        fit(loss=loss)


@pytest.mark.usefixtures("double_precision")
def test_complex_simulations():
    with pytest.raises(ValueError, match=r"^simulate must return real numbers; got complex128\. Return real and imag"):
        fit(lambda key, theta: good(key, theta) * (1 + 2j))
    with pytest.raises(RuntimeError, match=r"TypeError: x is complex, and must be real; return its parts side by side"):
        fit(avo.from_numpy(lambda rng, theta: rng.normal(theta[0], 1.0, 3) + 2j))


def test_labels_without_an_order():
    with pytest.raises(ValueError, match=r"^groups must have labels of one kind; got int, str\. Make them all strings"):
        fit(groups=np.array(["a", 1] * 20, object))


@pytest.mark.parametrize("proposal", [lambda d: None, avo.critics.mlp(jax.random.key(0), (3,))])
def test_what_is_no_proposal(proposal):
    with pytest.raises(ValueError, match=r"^proposal must be one such as avo\.Gaussian\.start\(1\), or a function"):
        fit(proposal=proposal)


@pytest.mark.parametrize("sd", ["a", -1, 0, float("nan")])
def test_width_of_a_start(sd):
    with pytest.raises(ValueError, match=rf"^Gaussian.start: sd must be a finite number above zero; got {sd!r}\.$"):
        avo.Gaussian.start(2, sd=sd)


def test_simulator_that_yields():
    def yields(key, theta):
        yield theta

    for simulate in (yields, avo.from_numpy(yields)):
        with pytest.raises(ValueError, match=r"^simulate must return x; yields yields\. Write return for yield\.$"):
            fit(simulate)


@pytest.mark.parametrize("path", [5, "", None])
def test_what_is_no_folder(path, tmp_path):
    result = fit(refine=False)
    calls = {"path": [lambda: avo.load(path), lambda: result.save(path)], "out": [lambda: fit(out=path)]}
    for name, some in calls.items():
        for call in some:
            if (name, path) != ("out", None):  # which writes nothing
                with pytest.raises(ValueError, match=rf"^{name} must be the path of a folder; got {path!r}\.$"):
                    call()
    (tmp_path / "good.npy").touch()
    with pytest.raises(FileExistsError, match=r"good.npy is a file; choose a folder\.$"):
        result.save(tmp_path / "good.npy")
    with pytest.raises(ValueError, match=r"^n must be a whole number of at least 0; got -1\.$"):
        result.sample(jax.random.key(0), -1)


def test_range_that_leaves_out_the_default_truth(refused):
    assert refused("fit", "poisson", "--range", "rate=10,30") == (
        "error: --range leaves out the truth of the simulated observations: rate must lie inside (10.0, 30.0); got 7.0."
        " Set another truth by --set NAME=VALUE.\n"
    )


def test_pipe_that_is_closed_is_no_error(monkeypatch):
    def closed(*_):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr(avo.simulators, "find", closed)
    done = CliRunner().invoke(app, ["list"])
    assert (done.exit_code, done.stderr) == (1, "")
