"""`--preset full`: the full model of a heartbeat, with ranges and a start from recorded beats."""

import csv
from pathlib import Path
from typing import Any, cast

import jax
import numpy as np
import pytest
from typer.testing import CliRunner, Result

import avo
from avo.command import presets
from avo.command.line import app
from avo.command.sources import Reading, Source, Task
from avo.simulators.ecg import WIDE

pytestmark = pytest.mark.usefixtures("single_precision")

RATE, WINDOW = 60.0, (-0.3, 0.55)
TRUTH = {"r_amp_II": 1.4, "r_amp_V5": 0.8, "t_amp_II": 0.3, "t_amp_V5": -0.2, "t_centre": 0.29, "p_amp_V5": 0.07}


def run(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


@pytest.fixture(scope="module")
def beats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve beats of two leads with one theta, in an array."""
    problem = avo.simulators.ecg((*TRUTH,), rate=RATE, window=WINDOW, leads=("II", "V5"), values=TRUTH, snr=25)
    x = problem.simulate(jax.random.key(0), np.tile(problem.theta_true, (12, 1)))
    path = tmp_path_factory.mktemp("beats") / "beats.npy"
    np.save(path, np.asarray(x))
    return path


def test_the_ranges_hold_what_least_squares_find_and_each_beat_is_written(beats: Path, tmp_path: Path) -> None:
    found = run("fit", "ecg", "--preset", "full", "--data", str(beats), "--option", "rate=60", "--budget", "3000",
                "--fix", "offset_lead2=0", "--out", str(tmp_path / "run"), "--quiet")  # fmt: skip
    assert found.exit_code in (0, 3), found.output
    assert "least squares: 30 parameters explain 99." in found.output
    assert "12 observations for 30 parameters: avo fits many" in found.output and "So few cannot tell" in found.output
    space = avo.load(tmp_path / "run").space
    assert space.dim == 14 + 2 * 8 + 1 - 1  # with the noise, without what is fixed
    for name, value in TRUTH.items():
        low, high = space[name.replace("II", "lead1").replace("V5", "lead2")].support
        assert low < value < high
    low, high = space["t_centre"].support
    assert high - low < 0.5 * (WIDE["t_centre"][1] - WIDE["t_centre"][0])
    with (tmp_path / "run" / "beats.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    assert np.median([float(row["explained"]) for row in rows]) > 0.98
    assert np.median([float(row["t_amp_lead2"]) for row in rows]) == pytest.approx(-0.2, abs=0.08)
    checked = run("check", str(tmp_path / "run"), "--data", str(beats), "--budget", "2000", "--quiet")
    said = "has no error of its" if avo.load(tmp_path / "run").estimate is None else "at least 20 rows"
    assert said in checked.output + str(checked.exception)


def test_beats_of_several_leads_are_cut_at_the_peaks_of_the_first(tmp_path: Path) -> None:
    wfdb = pytest.importorskip("wfdb")
    t = np.arange(0, 20, 1 / 500)
    phase = t % 0.9 - 0.45
    leads = np.stack([np.exp(-((phase / 0.01) ** 2)), -0.5 * np.exp(-(((phase - 0.02) / 0.01) ** 2))], 1)
    wfdb.wrsamp("two", 500, ["mV", "mV"], ["I", "V1"], leads, fmt=["16", "16"], adc_gain=[2000] * 2, baseline=[0, 0],
                write_dir=str(tmp_path))  # fmt: skip
    x = avo.data.read_beats(tmp_path / "two", ("I", "V1"), None, 0.3, 0.5, fs=250)
    np.testing.assert_array_equal(x[..., 0], avo.data.read_beats(tmp_path / "two", "I", None, 0.3, 0.5, fs=250))
    times = avo.data.beat_times(250, 0.3, 0.5)
    assert times[np.median(x, axis=0)[:, 0].argmax()] == pytest.approx(0, abs=1e-9)
    assert times[np.median(x, axis=0)[:, 1].argmin()] == pytest.approx(0.02, abs=1e-9)


def test_beats_in_a_gap_are_left_out_and_counted(tmp_path: Path) -> None:
    wfdb = pytest.importorskip("wfdb")
    t = np.arange(0, 20, 1 / 250)
    leads = np.stack([np.exp(-(((t % 1 - 0.5) / 0.01) ** 2)), 0.5 * np.exp(-(((t % 1 - 0.5) / 0.02) ** 2))], 1)
    leads[1600:1610, 1] = np.nan  # 6.4 s
    wfdb.wrsamp("gap", 250, ["mV", "mV"], ["I", "V1"], leads, fmt=["16", "16"], adc_gain=[2000] * 2, baseline=[0, 0],
                write_dir=str(tmp_path))  # fmt: skip
    wfdb.wrann("gap", "atr", np.arange(125, 4900, 250), symbol=["N"] * 20, write_dir=str(tmp_path))
    with pytest.warns(UserWarning, match="^1 of 19 beats of I, V1 hold NaN, or one value throughout, and are left out"):
        beats = presets._beats(tmp_path / "gap.hea", Reading("I,V1"), None)
    assert beats.x.shape == (18, 213, 2) and beats.leads == ("I", "V1")
    assert presets._beats(tmp_path / "gap.hea", Reading("I"), None).x.shape == (19, 213)
    with pytest.raises(ValueError, match="lead must be a number from 0 to 1 or a name among I, V1"):
        presets._beats(tmp_path / "gap.hea", Reading("aVL"), None)


def test_the_fit_begins_at_the_least_squares_of_its_beats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a search, beside what least squares found, with 100,000 calls, or as many as asked for."""
    problem = avo.simulators.ecg(("r_amp", "t_amp"), rate=RATE, window=WINDOW)
    start, asked = np.array([1.25, 0.125]), []
    task = Task(Source("ecg", problem.simulate, problem.space, problem), np.zeros((12, *problem.x_shape)), None)
    begin = presets.Preset(task, start, cast(Any, None), "least squares")
    np.testing.assert_allclose(problem.space.constrain(begin.proposal.loc), start, rtol=1e-5)
    np.testing.assert_allclose(begin.proposal.factor(), presets.BESIDE * np.eye(2), atol=1e-7)

    def fit(*_: Any, **known: Any) -> None:
        asked.append(known)
        raise ValueError("enough")

    monkeypatch.setattr(presets, "preset_of", lambda *_, **__: begin)
    monkeypatch.setattr(avo, "fit", fit)
    for i, words in enumerate(([], ["--budget", "5000"])):
        run("fit", "ecg", "--preset", "full", "--data", "x.npy", "--out", str(tmp_path / str(i)), *words)
    assert [known["budget"] for known in asked] == [100_000, 5000]
    np.testing.assert_array_equal(asked[0]["proposal"].loc, begin.proposal.loc)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["fit", "poisson", "--preset", "full"], "--preset is for ecg; leave it out for poisson"),
        (["fit", "ecg", "--preset", "half", "--data", "BEATS"], "--preset must be one of full; got 'half'"),
        (["fit", "ecg", "--preset", "full"], "--preset takes its ranges from recorded data; give them by --data"),
        (["fit", "ecg", "--preset", "full", "--data", "BEATS"], "--option rate=HZ must say the sampling rate"),
        (["fit", "ecg", "--preset", "full", "--data", "BEATS", "--option", "snr=3"], "takes rate= alone"),
        (
            ["fit", "ecg", "--preset", "full", "--data", "BEATS", "--option", "rate=60", "--groups", "2"],
            "--groups has no",
        ),
        (
            ["fit", "ecg", "--preset", "full", "--data", "BEATS", "--target", "population"],
            "leave --target population out",
        ),
    ],
)
def test_what_is_wrong_is_said(words: list[str], said: str, beats: Path, tmp_path: Path) -> None:
    found = run(*(str(beats) if word == "BEATS" else word for word in words), "--out", str(tmp_path / "run"))
    assert found.exit_code != 0
    assert said in found.output + str(found.exception)
    assert not (tmp_path / "run").exists()
