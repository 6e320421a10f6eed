"""The command: what it prints, what it writes, and that its numbers are those of the library."""

import hashlib
import json
from dataclasses import replace
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from typer.testing import CliRunner

import avo
from avo.command import app, outcome, sources, words
from avo.folder import FORMAT

pytestmark = pytest.mark.usefixtures("single_precision")

_get = lru_cache(avo.simulators.get)

USER_FILE = """
import jax
import numpy as np
import avo

space = avo.Space(centre=avo.Interval(-10, 10, unit="V"))

def simulate(key, theta):
    return theta[:, :1] + jax.random.normal(key, (theta.shape[0], 3))

def scalar(key, theta):
    return theta[:, 0] + jax.random.normal(key, (theta.shape[0],))

def numpy_one(rng, theta):
    return rng.normal(theta[0], 1.0, size=3)

wrapped = avo.from_numpy(lambda generator, theta: generator.normal(theta[0], 1.0, size=3))
program = avo.from_command(["/bin/sh", "-c", "echo $0 $(($1 % 7)) $(($1 % 11))", "{centre}", "{seed}"])
ends = avo.from_command(["/bin/sh", "-c", "echo too far >&2; exit 3", "{centre}"])
typo = avo.from_command(["/bin/sh", "-c", "echo 1 2 3", "{center}"])
number = 3
"""


@pytest.fixture
def avo_command(tmp_path, monkeypatch):
    """Run the command in an empty folder; it must succeed unless told otherwise."""
    monkeypatch.chdir(tmp_path)
    # One problem per process is one compiled program
    monkeypatch.setattr(avo.simulators, "get", _get)

    def run(*words, status=0):
        done = CliRunner().invoke(app, [str(word) for word in words])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == status, done.output
        return done

    return run


@pytest.fixture
def quick_fit(avo_command):
    """Run a fit where what is refined does not matter: without errors there is no answer, exit status 3."""
    return lambda *words: avo_command("fit", *words, "--budget", 2560, "--no-refine", status=3)


@pytest.fixture
def user_file(tmp_path):
    (tmp_path / "mine.py").write_text(USER_FILE)
    return "mine.py"


def test_list_names_parameters_and_units(avo_command):
    printed = avo_command("list").stdout
    for name in avo.simulators.names():
        problem = avo.simulators.get(name)
        assert f"{name} " in printed and problem.summary in " ".join(printed.split())
        for parameter, unit in zip(problem.space.names, problem.space.units, strict=True):
            assert (f"{parameter} ({unit})" if unit else parameter) in printed


def test_info_prints_versions_and_devices(avo_command):
    lines = dict(line.split(maxsplit=1) for line in avo_command("info").stdout.splitlines())
    assert lines["avo"] == avo.__version__ and lines["jax"] == jax.__version__ and lines["numpy"] == np.__version__
    assert {"jaxlib", "equinox", "optax", "scipy", "python", "platform"} <= set(lines)
    assert lines["devices"] == "not looked for: avo info --devices"
    assert ", ".join(map(str, jax.devices())) == avo_command("info", "--devices").stdout.split("devices")[1].strip()


@pytest.mark.parametrize("command", ["list", "info", "simulate", "fit", "gallery"])
def test_help_documents_every_option(avo_command, command):
    printed = avo_command(command, "--help").stdout
    lines = printed[printed.index("Options:") :].splitlines()[1:]
    undocumented = [line for i, line in enumerate(lines) if line.startswith("  --") and len(line.split()) < 3]
    undocumented = [u for u in undocumented if not lines[lines.index(u) + 1].startswith("      ")]
    assert not undocumented
    assert printed.splitlines()[0].startswith(f"Usage: avo {command}") or "Usage:" in printed.splitlines()[0]


def test_simulate_writes_what_the_simulator_draws(avo_command, tmp_path):
    avo_command("simulate", "brownian", "--n", 7, "--set", "sigma=0.7", "--seed", 3, "--out", "sub/x.npz")
    with np.load(tmp_path / "sub" / "x.npz") as file:
        assert file["names"].tolist() == ["mu", "sigma"]
        assert file["theta"].tolist() == [0.8, 0.7]
        assert file["x"].shape == (7, 64)
        drawn = file["x"]
    key = jax.random.fold_in(jax.random.key(3), sources.OBSERVED)
    expected = jax.jit(avo.simulators.brownian().simulate)(key, jnp.tile(jnp.array([0.8, 0.7]), (7, 1)))
    np.testing.assert_array_equal(drawn, expected)
    np.testing.assert_array_equal(avo.data.read(tmp_path / "sub" / "x.npz"), drawn)


def test_simulate_takes_options(avo_command, tmp_path):
    avo_command("simulate", "ecg", "--n", 2, "--option", "free=r_amp,t_amp", "--option", "rate=100", "--out", "x.npz")
    with np.load(tmp_path / "x.npz") as file:
        assert file["x"].shape == (2, 80) and file["names"].tolist() == ["r_amp", "t_amp"]


@pytest.mark.parametrize(
    "text, value",
    [
        ("false", False), ("No", False), ("true", True), ("YES", True), ("none", None), ("inf", np.inf), ("2.5", 2.5),
        ("r_amp", "r_amp"), ("r_amp,t_amp", ("r_amp", "t_amp")), ("0.1,inf", (0.1, np.inf)), ("(0.1, 2)", (0.1, 2)),
        ('{"white": 20}', {"white": 20}),
    ],
)  # fmt: skip
def test_words_of_an_option(text, value):
    read = words.literal(text)
    assert read == value and type(read) is type(value)


@pytest.mark.usefixtures("double_precision")
def test_false_is_false(avo_command, tmp_path):
    words = ("simulate", "ecg", "--n", 2, "--out")
    avo_command(*words, "a.npz")
    avo_command(*words, "b.npz", "--option", "infarction=false", "--option", "free=p_amp")
    with np.load(tmp_path / "a.npz") as plain, np.load(tmp_path / "b.npz") as told:
        # Two compiled programs, which differ in the last bit
        np.testing.assert_allclose(plain["x"], told["x"], rtol=1e-12, atol=1e-13)
        assert told["names"].tolist() == ["p_amp"]


def test_observations_of_another_simulator_are_noticed(avo_command, quick_fit, tmp_path):
    avo_command("simulate", "pendulum", "--n", 60, "--option", "points=8", "--out", "x.npz")
    printed = quick_fit("brownian", "--data", "x.npz").stderr
    assert printed.splitlines()[0] == (
        "warning: x.npz was simulated with the parameters w0_sq, damping, start; brownian has mu, sigma. Is it the "
        "simulator that you mean?"
    )
    avo_command("simulate", "brownian", "--n", 60, "--option", "points=8", "--out", "y.npz")
    assert "Is it the simulator" not in quick_fit("brownian", "--data", "y.npz").stderr


def test_fit_of_simulated_observations(avo_command, tmp_path):
    words = ("fit", "poisson", "--n", 60, "--set", "rate=11.5", "--budget", 2560, "--seed", 4)
    printed = avo_command(*words).stdout
    run = tmp_path / "runs" / "poisson-1"
    names = {path.name for path in run.iterdir()}
    assert names == {"result.json", "arrays.npz", "fit.json", "command.json", "history.png", "predictive.png"}
    # The same numbers as the library's
    problem = avo.simulators.get("poisson")
    key = jax.random.fold_in(jax.random.key(4), sources.OBSERVED)
    x_obs = problem.simulate(key, jnp.full((60, 1), 11.5))
    expected = avo.fit(problem.simulate, x_obs, problem.space, budget=2560, seed=4, progress=False)
    result = avo.load(run)
    np.testing.assert_array_equal(result.theta, expected.theta)
    assert expected.summary(np.array([11.5])) in printed and "truth" in printed
    assert str(run.relative_to(tmp_path) / "history.png") in printed and "predictive.png" in printed
    assert f"rate={float(np.mean(x_obs)):.5g}\nthe estimate lies at most 0." in printed  # the closed-form estimate
    words = json.loads((run / "command.json").read_text())
    assert words["truth"] == {"rate": 11.5} and words["avo"] == avo.__version__ and words["format"] == FORMAT
    assert words["options"]["simulator"] == "poisson" and words["options"]["budget"] == 2560


def test_fit_without_out_never_overwrites(quick_fit, tmp_path):
    (tmp_path / "runs" / "poisson-1").mkdir(parents=True)
    quick_fit("poisson", "--n", 60)
    assert (tmp_path / "runs" / "poisson-2" / "result.json").exists()
    assert list((tmp_path / "runs" / "poisson-1").iterdir()) == []


def test_a_fit_ends_with_the_next_step(quick_fit, tmp_path):
    words = "a page for colleagues, with sliders: avo report"
    assert quick_fit("poisson", "--n", 60, "--out", "my run").stdout.endswith(f"{words} 'my run'\n")
    assert not (tmp_path / "my run" / "report.html").exists()  # which no page says of a fit


def test_resume_of_a_finished_run_gives_it_back(avo_command):
    words = ("fit", "poisson", "--n", 60, "--budget", 2560, "--out", "run")
    first = avo_command(*words).stdout
    assert avo_command(*words, "--resume").stdout == first


def test_simulated_file_and_no_file_are_the_same_fit(avo_command, quick_fit, tmp_path):
    avo_command("simulate", "poisson", "--n", 60, "--seed", 2, "--out", "x.npz")
    quick_fit("poisson", "--data", "x.npz", "--seed", 2, "--out", "a")
    quick_fit("poisson", "--n", 60, "--seed", 2, "--out", "b")
    np.testing.assert_array_equal(avo.load(tmp_path / "a").theta, avo.load(tmp_path / "b").theta)
    assert json.loads((tmp_path / "a" / "command.json").read_text())["truth"] is None


def test_one_column_suits_a_scalar_simulator(quick_fit, user_file, tmp_path):
    np.savetxt(tmp_path / "x.csv", np.random.default_rng(0).normal(2.5, 1.0, (60, 1)))
    np.savetxt(tmp_path / "n.csv", np.random.default_rng(0).poisson(7, (60, 1)), header="count", comments="")
    assert "60 observations" in quick_fit("mine.py:scalar", "--data", "x.csv").stdout
    quick_fit("poisson", "--data", "n.csv")
    assert avo.load(tmp_path / "runs" / "mine-1").x_shape == avo.load(tmp_path / "runs" / "poisson-1").x_shape == ()


def test_fit_of_the_users_program(avo_command, user_file, tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(2.5, 1.0, (60, 3)))
    avo_command("fit", "mine.py:program", "--data", "x.npy", "--budget", 640, "--no-refine", "--out", "run", status=3)
    result = avo.load(tmp_path / "run")
    assert result.names == ("centre",) and result.x_shape == (3,) and result.calls == 640
    said = avo_command("fit", "mine.py:ends", "--data", "x.npy", status=2).stderr
    assert "the first of them: the command failed at centre=" in said and "return code was 3" in said
    assert "stderr: \n  too far\n" in said and "Traceback" not in said
    said = avo_command("fit", "mine.py:typo", "--data", "x.npy", status=2).stderr
    assert "args[3] must name parameters; got {center}, and there are {centre}," in said and "mean 'centre'" in said


@pytest.mark.parametrize("function", ["simulate", "numpy_one", "wrapped"])
def test_fit_of_the_users_function(quick_fit, user_file, tmp_path, function):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(2.5, 1.0, (60, 3)))
    printed = quick_fit(f"mine.py:{function}", "--data", "x.npy", "--out", "run").stdout
    assert f"mine.{function}, 60 observations" in printed and "centre" in printed and " V" in printed
    assert avo.load(tmp_path / "run").calls <= 2560


FIXED_FILE = """
import jax
import avo

space = avo.Space(shift=avo.Fixed(0.7, unit="V"), centre=avo.Interval(-10, 10, unit="V"))

def simulate(key, theta):
    return theta[:, :1] + theta[:, 1:] + jax.random.normal(key, (theta.shape[0], 3))

def numpy_one(rng, theta):
    return theta[0] + rng.normal(theta[1], 1.0, size=3)

program = avo.from_command(["/bin/sh", "-c", "echo $0 $(($1 % 7)) $2", "{centre}", "{seed}", "{shift}"])
"""


@pytest.mark.parametrize("function", ["simulate", "numpy_one", "program"])
def test_what_the_users_space_fixes_reaches_the_function(quick_fit, avo_command, tmp_path, function):
    (tmp_path / "mine.py").write_text(FIXED_FILE)
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(2.5, 1.0, (60, 3)))
    words = (f"mine.py:{function}", "--data", "x.npy", "--out", "run", "--range", "centre=-9,9")
    printed = (
        quick_fit(*words) if function != "program" else avo_command("fit", *words, "--budget", 640, status=3)
    ).stdout
    assert " 0.7 (fixed)" in printed
    space = avo.load(tmp_path / "run").space
    assert space.names == ("centre",) and space.columns == ("shift", "centre") and space["centre"].low == -9
    said = avo_command("fit", *words[:3], "--range", "shift=0,1", status=2).stderr
    assert said == "error: --range: shift is fixed at 0.7; give it a range in your file's space.\n"


def test_columns_key_and_range_reach_the_fit(quick_fit, user_file, tmp_path):
    x = np.random.default_rng(0).normal(2.5, 1.0, (60, 5))
    np.savez(tmp_path / "x.npz", other=x, x=x[:, :2])
    words = ("--data", "x.npz", "--key", "other", "--columns", "4,0,1", "--range", "centre=-4,6")
    quick_fit("mine.py:simulate", *words, "--out", "run")
    result = avo.load(tmp_path / "run")
    assert result.space == avo.Space(centre=avo.Interval(-4.0, 6.0, unit="V"))
    digest = hashlib.sha256(np.ascontiguousarray(x[:, [4, 0, 1]]).tobytes()).hexdigest()
    assert json.loads((tmp_path / "run" / "fit.json").read_text())["data"] == digest


def test_weights_and_missing_values_reach_the_fit(quick_fit, avo_command, user_file, tmp_path):
    rng = np.random.default_rng(0)
    x, w = rng.normal(2.5, 1.0, (60, 3)), rng.integers(0, 4, 60)
    lost = rng.random(x.shape) < [0.2, 0.3, 0.0]
    cells = np.where(lost, "", x.astype(str))
    text = "w,a,b,c\n" + "".join(f"{n},{','.join(row)}\n" for n, row in zip(w, cells.tolist(), strict=True))
    (tmp_path / "x.csv").write_text(text)
    words = ("--data", "x.csv", "--weights", "w", "--missing", "--out", "run")
    printed = quick_fit("mine.py:simulate", *words).output
    effective = w.sum() ** 2 / np.sum(w**2)
    assert f"importance weights: {np.sum(w > 0)} rows say as much as {effective:.1f} equal ones" in printed
    kept = lost[w > 0]  # a row of weight zero is none
    share = f"{100 * kept.mean():.2g} % of the values of x_obs are missing, by assumption for reasons"
    assert share in printed and share in avo.load(tmp_path / "run").summary()
    result = avo.load(tmp_path / "run")
    own = avo.fit(
        sources.source_of("mine.py:simulate", None, None, None, None).simulate, np.where(lost, np.nan, x), result.space,
        weights=w, missing=True, budget=2560, refine=False, progress=False,
    )  # fmt: skip
    assert own.data == result.data and np.array_equal(own.theta, result.theta)
    assert (tmp_path / "run" / "predictive.png").is_file()
    done = avo_command("fit", "mine.py:simulate", "--data", "x.csv", "--columns", "a,b,c", status=2)
    assert "Or say --missing" in done.output
    done = avo_command("fit", "mine.py:simulate", "--data", "x.csv", "--missing", "--weights", "b", status=2)
    assert "error: weights must be finite numbers of at least 0" in done.output
    assert "give it by --data" in avo_command("fit", "poisson", "--missing", status=2).output


def test_log_windows_make_brownian_count_in_steps(quick_fit, tmp_path):
    rng = np.random.default_rng(1)
    price = 1.3e4 * np.exp(np.cumsum(7e-4 * rng.normal(size=1201)))
    lines = [f"{i},{p:.17g}" for i, p in enumerate(price)]
    (tmp_path / "prices.csv").write_text("time,close\n" + "\n".join(lines) + "\n")
    ranges = ("--range", "mu=-1e-3,1e-3", "--range", "sigma=1e-5,1e-1")
    words = ("--data", "prices.csv", "--columns", "close", "--log-windows", 30, *ranges)
    printed = quick_fit("brownian", *words, "--out", "run").stdout
    assert "points=30, duration=30" in printed and "1/sqrt(step)" in printed
    space = avo.Space(
        mu=avo.Interval(-1e-3, 1e-3, unit="1/step"), sigma=avo.LogInterval(1e-5, 1e-1, unit="1/sqrt(step)")
    )
    assert avo.load(tmp_path / "run").space == space
    # The closed-form scale on the same windows is the standard deviation of one step
    sd = np.diff(np.log(price)).std()
    assert f"sigma={sd:.5g}" in printed
    assert f"standard deviation {sd:.2e}, median of the windows' own" in printed
    # sqrt(1200) * mean / sd is that of the noise, .3; a drift of a fifth of sd a step would be seven standard errors
    assert "it is not identified by these windows" in printed
    drifting = price * np.exp(1.4e-4 * np.arange(1201))
    (tmp_path / "prices.csv").write_text("time,close\n" + "".join(f"{i},{p:.17g}\n" for i, p in enumerate(drifting)))
    assert "it is identified by these windows" in quick_fit("brownian", *words, "--out", "other").stdout


def test_given_duration_keeps_the_unit(quick_fit, tmp_path):
    np.save(tmp_path / "x.npy", np.cumsum(np.random.default_rng(1).normal(size=(30, 8)), axis=1))
    words = ("--data", "x.npy", "--option", "duration=80")
    printed = quick_fit("brownian", *words).stdout
    assert "brownian with points=8\n" in printed and "1/sqrt(s)" in printed


MU_TAU = avo.Space(mu=avo.Interval(0, 2), tau=avo.Interval(0, 4))


def test_a_report_says_how_to_widen_the_range_of_what_lies_at_its_end():
    task: Any = sources.Task(sources.Source("mine", lambda key, theta: theta, MU_TAU), np.zeros(7))
    result: Any = SimpleNamespace(at_bound=("mu", "tau"), summary=lambda truth: "a table")
    words = "--range mu=LOW,HIGH --range tau=LOW,HIGH"
    assert outcome.report(result, task).endswith(f"a table\nto widen the range of what lies at its end: {words}")
    result.at_bound = ()
    assert outcome.report(result, task).endswith("a table")


def test_a_report_says_whether_the_maximum_likelihood_agrees():
    """By the largest of the differences that have a finite error, in units of it."""
    best = np.array([1.0, 2.0, 3.0])
    problem = SimpleNamespace(mle=lambda x: best)
    source = sources.Source("mine", lambda key, theta: theta, MU_TAU, cast(Any, problem))
    task: Any = sources.Task(source, np.zeros(7))
    error, names = np.array([0.1, 0.2, np.inf]), ("mu", "tau", "nu")
    result: Any = SimpleNamespace(
        at_bound=(), summary=lambda truth: "a table", names=names, stderr=error, settings={"target": "point"}
    )
    said = lambda theta: (setattr(result, "theta", np.array(theta)), outcome.report(result, task).splitlines())[1]  # noqa: E731
    lines = said([1.03, 1.9, -40.0])
    assert lines[-2:] == [
        "closed-form maximum likelihood on the same observations: mu=1, tau=2, nu=3",
        "the estimate lies at most 0.5 stated errors from it (tau): they agree",
    ]
    words = "they do not agree: the observations depend on one another, the simulator is wrong, or the fit is"
    assert said([0.79, 1.9, 3.0])[-1] == f"the estimate lies at most 2.1 stated errors from it (mu): {words}"
    assert said([1.19, 2.0, 3.0])[-1].endswith("1.9 stated errors from it (mu): they agree")
    for silent in ({"stderr": None}, {"stderr": np.full(3, np.inf)}, {"settings": {"target": "population"}}):
        result.__dict__.update({"stderr": error, "settings": {"target": "point"}} | silent)
        assert said([0.7, 2.0, 3.0])[-1] == lines[-2]
    result.settings["target"], best[0] = "point", np.nan  # where there is no maximum
    assert said([0.7, 2.0, 3.0])[-1].startswith("the estimate lies at most 0.0 stated errors from it (tau)")


def test_the_exit_status_says_whether_there_is_an_answer(avo_command, monkeypatch):
    avo_command("fit", "poisson", "--n", 60, "--budget", 2560, "--out", "run")
    found = avo.load("run")
    assert found.answered
    monkeypatch.setattr("avo.report.page.write", lambda result, path, *_: path)  # six pages would take long
    for i, (status, code) in enumerate(
        {"converged": 0, "undetermined": 0, "misfit": 3, "budget": 3, "stopped": 3, "failed": 3}.items()
    ):
        changed = replace(found, status=status)
        monkeypatch.setattr(avo, "fit", lambda *_, changed=changed, out, **__: (changed.save(out), changed)[1])
        assert f"{status}: " in avo_command("fit", "poisson", "--n", 60, "--out", f"run-{i}", status=code).stdout
        assert f"{status}: " in avo_command("report", f"run-{i}").stdout  # which says what it was asked for


def test_unexpected_errors_keep_their_traceback(avo_command, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError("ours")

    monkeypatch.setattr(avo, "fit", broken)
    with pytest.raises(ZeroDivisionError):
        avo_command("fit", "poisson", "--n", 20)


def test_traceback_option_shows_where(avo_command):
    with pytest.raises(ValueError, match="registered simulator"):
        avo_command("--traceback", "fit", "poison")


@pytest.mark.parametrize("seed", [0, 1])
def test_check_draws_observations_that_no_fit_has_seen(avo_command, quick_fit, monkeypatch, seed):
    seen = []
    found = SimpleNamespace(summary=lambda: "", savefig=lambda *_, **__: None)
    monkeypatch.setattr(avo, "check", lambda result, simulate, x, **_: (seen.append(x), found)[1])
    monkeypatch.setattr(avo.plots, "check", lambda _: found)
    quick_fit("poisson", "--seed", seed, "--n", 50, "--out", "run")
    avo_command("check", "run", "--n", 50)
    problem = _get("poisson")
    theta = jnp.tile(jnp.asarray(problem.theta_true), (50, 1))
    np.testing.assert_array_equal(seen[0], problem.simulate(jax.random.fold_in(jax.random.key(1), 20_003), theta))
    own = sources.observations(problem, problem.theta_true, 50, seed)
    assert np.mean(np.asarray(own) == seen[0]) < 0.5
