"""Angles and counts through fits with known answers: at the seam and across from it, inside a range and at its end."""

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import avo
from avo.command.words import space_of
from avo.parameters import unwound
from avo.space import start_in

pytestmark = pytest.mark.usefixtures("single_precision")

SPACE = avo.Space(phase=avo.Angle(360, unit="deg"), n=avo.Count(1, 30), tau=0.5)
NOISE, WIDE, ROWS = 0.6, 3.0, 60


def simulate(key: Any, theta: Any) -> Any:
    """Cosine and sine of the phase, and twice the count, all with normal noise: the likelihood is that of means."""
    e = jax.random.normal(key, (len(theta), 4))
    a = theta[:, 0] * (math.pi / 180)
    seen = jnp.stack([jnp.cos(a), jnp.sin(a), theta[:, 1], theta[:, 1]], axis=1)
    return seen + jnp.array([[NOISE, NOISE, WIDE, WIDE]]) * e


class Fit(NamedTuple):
    truth: tuple[float, int]
    x: np.ndarray
    result: avo.Result

    @property
    def mle(self) -> np.ndarray:
        """The direction of the mean, and the mean of the counts, where it is in their range."""
        direction = math.degrees(math.atan2(self.x[:, 1].mean(), self.x[:, 0].mean()))
        return np.array([direction, np.clip(self.x[:, 2:].mean(), 1, 30)])


# Errors of the maximum likelihood, and how far twelve thousand calls, or noise beside it, may lead from there
ERROR = np.array([math.degrees(NOISE / math.sqrt(ROWS)), WIDE / math.sqrt(2 * ROWS)])
NEAR = 1.2 * ERROR
TRUTHS: tuple[tuple[float, int], ...] = ((0.2, 13), (180.0, 1))  # the first with a search


@pytest.fixture(scope="module")
def fits() -> list[Fit]:
    found = []
    for seed, truth in enumerate(TRUTHS):
        x = np.asarray(simulate(jax.random.key(seed), jnp.tile(jnp.array([*truth, 0.5]), (ROWS, 1))))
        budget = 40_000 if seed == 0 else 12_000
        found.append(Fit(truth, x, avo.fit(simulate, x, SPACE, budget=budget, seed=seed, progress=False)))
    return found


def test_estimates_are_those_of_the_likelihood(fits: list[Fit]) -> None:
    for truth, _, result in fits:
        assert result.status == "converged" and result.stderr is not None and result.estimate is not None
        assert 0 <= result.theta[0] < 360 and result.theta[1] == truth[1]
        ratio = result.stderr / ERROR
        assert np.all((ratio > 0.6) & (ratio < 1.6)), ratio  # slopes from few pairs are no better
    for fit in fits:
        assert fit.result.estimate is not None
        between = fit.result.estimate.continuous(SPACE)
        apart = unwound(between - fit.mle, np.zeros(2), SPACE.periods)
        assert np.all(np.abs(apart) < NEAR), apart


def test_there_is_one_solution_at_the_seam(fits: list[Fit]) -> None:
    assert [len(fit.result.modes) for fit in fits] == [1, 1]


def test_intervals_go_around_and_hold_whole_numbers(fits: list[Fit]) -> None:
    for truth, _, result in fits:
        assert result.stderr is not None
        (low, high), (first, last) = result.interval(0.99)
        assert low < result.theta[0] < high and abs((high + low) / 2 - result.theta[0]) < 1e-3
        assert abs(unwound(truth[0], (low + high) / 2, 360.0) - (low + high) / 2) < (high - low) / 2
        assert first == round(first) and last == round(last) and first <= truth[1] <= last
    at_seam = fits[0].result
    assert np.any(at_seam.interval(0.99)[0] < 0) or np.any(at_seam.interval(0.99)[0] > 360)
    assert fits[1].result.interval(0.9)[1, 0] == 1.0


def test_tables_say_how_to_read_them(fits: list[Fit]) -> None:
    result = fits[0].result
    lines = result.summary(np.array([0.2, 13.0])).splitlines()
    cells = lines[2].split()
    assert cells[0] == "n" and cells[1] == "13" and cells[2:4] == [f"{end:.0f}" for end in result.interval()[1]]
    beyond = next(line for line in lines if line.startswith("phase is the same after 360 deg: "))
    said = [float(word) for word in beyond.split(": ")[1].split(" is ")]
    assert said[0] < 0 or said[0] > 360
    np.testing.assert_allclose(abs(said[0] - said[1]), 360, atol=1e-9)
    (between,) = [line for line in lines if line.startswith("n is the whole number next to what the data say, ")]
    assert float(between.split()[-3]) == pytest.approx(fits[0].mle[1], abs=NEAR[1])
    assert "n & $13$ & $[" in result.latex() and json.loads(json.dumps(result.to_dict()))["theta"][1] == 13.0
    last = fits[1].result.summary().splitlines()[2].split()  # at an end of its range, both ends are said
    assert last[1] == "1" and last[3] == "1" and "<" not in " ".join(last)


def test_other_programs_get_angles_in_one_piece(fits: list[Fit]) -> None:
    pytest.importorskip("xarray")
    for fit in fits[:1]:
        tree = fit.result.to_datatree(chains=1, draws=400)
        phase, n = (np.asarray(tree["posterior"][name]).ravel() for name in ("phase", "n"))
        assert fit.result.stderr is not None
        assert abs(phase.mean() - fit.result.theta[0]) < 4 * fit.result.stderr[0] / 20
        assert np.array_equal(n, np.round(n)) and abs(n.mean() - 13) < 1
    figure = avo.plots.history(fits[0].result, np.array([0.2, 13.0]))
    line = figure.axes[1].lines[0].get_ydata()
    assert np.all(np.abs(np.diff(np.asarray(line))) < 180)  # no jump over the seam


def test_draws_for_a_check_are_whole(fits: list[Fit]) -> None:
    result = fits[0].result
    for theta in (result.central(jax.random.key(0), 5), result.replicate(jax.random.key(1), 5)):
        n = np.asarray(SPACE.full(theta))
        assert n.shape == (5, 3) and np.array_equal(n[:, 1], np.round(n[:, 1])) and np.all(n[0] == n)


def test_encoded_angles_are_directions(fits: list[Fit]) -> None:
    """Of rows that show 40 degrees to each side of the estimate; the mean over their encodings is the estimate."""
    for _, x, result in fits[:1]:
        a = np.radians(result.theta[0] + np.array([-40.0, 40.0, 0.0]))
        rows = np.stack([np.cos(a), np.sin(a), np.full(3, 13.0), np.full(3, 13.0)], axis=1)
        encoded = result.encode(rows)
        assert np.all((encoded[:, 0] >= 0) & (encoded[:, 0] < 360))
        away = unwound(encoded[:, 0] - result.theta[0], 0.0, 360.0)
        assert -60 < away[0] < -5 < away[2] < 5 < away[1] < 60, away
        assert result.encode(x).shape == (ROWS, 2)


def test_results_are_saved_and_loaded(fits: list[Fit], tmp_path: Path) -> None:
    result = fits[0].result
    again = avo.load(result.save(tmp_path / "run"))
    assert again.space == SPACE and again.summary() == result.summary()
    np.testing.assert_array_equal(again.interval(), result.interval())
    np.testing.assert_array_equal(again.encode(fits[0].x), result.encode(fits[0].x))


@pytest.mark.parametrize(
    ("space", "words"),
    [
        (
            avo.Space(a=avo.Angle(360), b=avo.Real()),
            "and a is an Angle, which has none; give it an Interval, cut",
        ),
        (
            avo.Space(a=avo.Real(), b=avo.Count(1, 9)),
            "and b is a Count, which has none; give it an Interval that",
        ),
    ],
)
def test_populations_are_refused(space: avo.Space, words: str) -> None:
    def told(key: Any, theta: Any) -> Any:
        return theta + jax.random.normal(key, theta.shape)

    with pytest.raises(ValueError, match=words):
        avo.fit(told, np.zeros((20, 2)) + np.arange(20)[:, None], space, target="population", progress=False)


def test_a_fit_may_start_anywhere_on_the_circle() -> None:
    np.testing.assert_allclose(start_in(SPACE, {"phase": 450.0, "n": 15.5}), [1.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(SPACE.constrain(start_in(SPACE, [-90.0, 30])), [270.0, 30.0], atol=1e-4)
    with pytest.raises(ValueError, match=r"start: n must lie inside its support, \(1, 30\); got 31"):
        start_in(SPACE, [0.0, 31.0])


def test_spaces_in_words() -> None:
    assert space_of("phase=angle(360,unit=deg); n=count(1,30); tau=0.5") == SPACE
    assert space_of("phase=angle(period=360, unit=deg, prior=(350,4))")["phase"].prior == avo.Known(350, 4)
    with pytest.raises(ValueError, match=r"--space: n: Count: low must be a whole number below 2\^24; got 0\.5"):
        space_of("n=count(0.5,30)")
    with pytest.raises(ValueError, match="--space: k must be one of interval, loginterval, .*angle, count"):
        space_of("k=counts(1,2)")
