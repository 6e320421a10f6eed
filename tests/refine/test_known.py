"""avo.refine.known: what is known of parameters, against the exact combination of independent measurements.

x ~ N(H theta, S), three values and two parameters of unequal scale: with a measurement of theta the exact answer is
generalised least squares with one more row.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from known_statistic import Linear
from scipy import stats

import avo
from avo.execution.blocks import Draws
from avo.observations import Observed
from avo.refine import point
from avo.refine.equation import Equation, Noise, Residual, information
from avo.refine.estimate import Estimate
from avo.refine.known import measured, step_of
from avo.refine.linear import LinearDraws, LinearSpace
from avo.refine.modes import fits
from avo.refine.scores import Normal
from avo.tables import written

pytestmark = pytest.mark.usefixtures("single_precision")

RNG = np.random.default_rng
SIZE, BUDGET, M = 64, 16_384, 300
H = np.array([[1.0, 0.5], [-0.4, 2.0], [0.3, 0.3]])
ROOT = np.array([[0.7, 0.0, 0.0], [0.3, 1.3, 0.0], [-0.2, 0.1, 0.4]])
TRUTH = np.array([4.1, -1.3])
SCALE = np.array([2.0, 0.5])
SIGN = 1  # of the solution that is known
NO_NOISE = Noise(np.zeros((1, 3)), np.zeros((1, 2)))


def line(**priors: Any) -> avo.Space:
    return avo.Space(a=avo.Real(3.0, 2.0, prior=priors.get("a")), b=avo.Real(-1.0, 0.5, prior=priors.get("b")))


def gauss(key: Any, theta: Any) -> Any:
    return theta @ H.T + jax.random.normal(key, (len(theta), 3)) @ ROOT.T


def observed(seed: int = 0, m: int = M) -> np.ndarray:
    return TRUTH @ H.T + RNG(seed).normal(size=(m, 3)) @ ROOT.T


def least_squares(x: np.ndarray, S: np.ndarray, *known: tuple[int, float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Theta and its covariance, from the mean of x, of covariance S / m, and measurements (column, value, sd)."""
    rows = np.concatenate([H, *(np.eye(2)[[j]] for j, _, _ in known)])
    y = np.concatenate([x.mean(0), [value for _, value, _ in known]])
    W = np.linalg.inv(np.diag([*[0.0] * 3, *(sd**2 for _, _, sd in known)]) + np.pad(S / len(x), (0, len(known))))
    C = np.linalg.inv(rows.T @ W @ rows)
    return C @ rows.T @ W @ y, C


# --- the step --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("double_precision")
@pytest.mark.parametrize(
    ("kind", "scale"),
    [
        (lambda p: avo.Interval(-3.0, 5.0, prior=p), 1.0),
        (lambda p: avo.LogInterval(0.05, 30.0, prior=p), 1.0),
        (lambda p: avo.Positive(2.5, prior=p), 1.0),
        (lambda p: avo.Real(1.3, 0.7, prior=p), 1.0),
        (lambda p: avo.Interval(0.5, 5.0, prior=avo.Known(*p, log=True)), 0.0),
        (lambda p: avo.Positive(2.5, prior=avo.Known(*p, log=True)), 0.0),
    ],
)
def test_measurements_are_linearised_on_the_scale_of_the_errors(kind: Any, scale: float) -> None:
    """rho and its derivative by central differences."""
    value, sd = 1.7, 0.23
    space = LinearSpace(avo.Space(first=avo.Real(), it=kind((value, sd))))
    w, step = np.array([0.7, float(space.of(np.asarray(space.space.unconstrain([0.7, 2.1])))[1])]), np.array([0, 1e-6])

    def rest(w: np.ndarray) -> float:
        theta = float(space.constrain(w)[1])
        return (value - theta) / sd if scale else np.log(value / theta) / sd

    found = measured(space, w)
    assert found is not None and found.rest[0] == found.slope[0] == 0.0
    np.testing.assert_allclose(found.rest[1], rest(w), rtol=1e-9)
    np.testing.assert_allclose(found.slope[1], (rest(w - step) - rest(w + step)) / 2e-6, rtol=1e-6)
    assert measured(LinearSpace(avo.Space(a=avo.Real())), np.zeros(1)) is None


@pytest.mark.usefixtures("double_precision")
@pytest.mark.parametrize("priors", [{"a": (4.6, 0.04)}, {"b": (-1.1, 0.06)}, {"a": (3.9, 0.05), "b": (-1.33, 0.02)}])
def test_a_step_is_that_of_least_squares(priors: dict[str, Any]) -> None:
    """From an odd place, with clusters that double the covariance and simulations that add to it."""
    x, start, space = observed(), np.array([3.7, -1.1]), line(**priors)
    V, V_sim = ROOT @ ROOT.T / M, ROOT @ ROOT.T / 15_000
    A = H * SCALE
    found = information(A, V, NO_NOISE)
    w = (start - [3.0, -1.0]) / SCALE
    step = step_of(LinearSpace(space), w, Residual(x.mean(0) - H @ start, V, 2 * V, V_sim), found)
    known = [("ab".index(name), *prior) for name, prior in priors.items()]
    theta, C = least_squares(x, ROOT @ ROOT.T * (2 + M / 15_000), *known)
    np.testing.assert_allclose(start + SCALE * step.step, theta, rtol=1e-9)
    np.testing.assert_allclose(step.covariance * np.outer(SCALE, SCALE), C, rtol=1e-8)
    np.testing.assert_allclose(1 / step.found.values, np.linalg.eigvalsh(step.covariance)[::-1], rtol=1e-8)
    # How far apart: what the least squares leave, more than by the data alone
    alone, C_data = least_squares(x, ROOT @ ROOT.T * (2 + M / 15_000))
    j = [row[0] for row in known]
    off = np.array([value for _, value, _ in known]) - alone[j]
    square = off @ np.linalg.inv(C_data[np.ix_(j, j)] + np.diag([sd**2 for _, _, sd in known])) @ off
    p = stats.chi2.sf(square, len(known))
    np.testing.assert_allclose(2 * stats.norm.sf(step.apart), p, rtol=1e-6)
    # A move counts in the errors of the whole; the share of r in it is its derivative
    move = np.array([0.013, -0.02])
    residual = Residual(x.mean(0) - H @ start, V, 2 * V, V_sim)
    exact = np.sqrt(move * SCALE @ np.linalg.solve(C, move * SCALE) / 2)
    np.testing.assert_allclose(step.length(residual, move), exact, rtol=1e-8)
    more = step_of(LinearSpace(space), w, residual._replace(r=residual.r + [0.01, -0.03, 0.02]), found)
    np.testing.assert_allclose(more.step - step.step, step.found.inverse @ [0.01, -0.03, 0.02], rtol=1e-7)


@pytest.mark.usefixtures("double_precision")
def test_without_anything_known_a_step_is_as_it_was() -> None:
    V, V_sim = ROOT @ ROOT.T / M, ROOT @ ROOT.T / 9000
    found = information(H * SCALE, V, NO_NOISE)
    residual = Residual(np.array([0.1, -0.2, 0.05]), V, V, V_sim)
    taken = step_of(LinearSpace(line()), np.zeros(2), residual, found)
    for one, other in zip((taken.step, taken.covariance), residual.step(found), strict=True):
        np.testing.assert_array_equal(one, other)
    assert taken.found is found and taken.apart == 0.0 and taken.known is None
    assert taken.length(residual, taken.step, V_sim) == residual.length(found, taken.step, V_sim)


@pytest.mark.usefixtures("double_precision")
def test_what_the_data_leave_open_is_known_by_the_measurement() -> None:
    """The data know a + 2 b = 1.1 +- .1 in w, a measurement b = .4 +- .3."""
    A, V = np.array([[1.0, 2.0]]), np.array([[0.01]])
    found = information(A, V, Noise(np.zeros((1, 1)), np.zeros((1, 2))))
    assert found.identified.tolist() == [False, True]
    space = LinearSpace(avo.Space(a=avo.Real(), b=avo.Real(prior=(0.4, 0.3))))
    w, none = np.array([0.2, 0.1]), np.zeros((1, 1))
    taken = step_of(space, w, Residual(np.array([1.1]) - A @ w, V, V, none), found)
    np.testing.assert_allclose(w + taken.step, [1.1 - 0.8, 0.4], rtol=1e-9)
    np.testing.assert_allclose(taken.covariance, [[0.01 + 0.36, -0.18], [-0.18, 0.09]], rtol=1e-8)
    assert taken.found.identified.all() and taken.apart == 0.0  # nothing that could disagree
    # Two measurements of two parameters, and a sum: one of the three is too many
    space = LinearSpace(avo.Space(a=avo.Real(prior=(0.9, 0.4)), b=avo.Real(prior=(0.4, 0.3))))
    taken = step_of(space, w, Residual(np.array([1.1]) - A @ w, V, V, none), found)
    np.testing.assert_allclose(taken.apart, 0.6 / np.sqrt(0.16 + 0.36 + 0.01), rtol=1e-8)


# --- the last steps, and a fit ---------------------------------------------------------------------------------------


def settled(x: np.ndarray, space: avo.Space, start: Any) -> Estimate:
    """The last steps with a statistic that is known."""
    draws = Draws(jax.jit(gauss), space, jax.random.key(7), SIZE, (3,))
    t: Any = Linear(jnp.eye(3))
    solved, q = Equation(LinearDraws(draws), Observed(x), t), Normal(np.asarray(start, float), 0.1 * np.eye(2))
    zetas = RNG(8).normal(size=(512, 2)), RNG(10).normal(size=(1024, 2))
    found = point._settle(solved, LinearSpace(space), q, zetas, BUDGET, encoder=t, wide=q)
    assert draws.calls == BUDGET
    return found


@pytest.mark.usefixtures("double_precision")
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("prior", [(4.2, 0.02), (3.95, 0.03)])
def test_last_steps_are_the_exact_combination(prior: tuple[float, float], seed: int) -> None:
    x, space = observed(seed), line(a=prior)
    found = settled(x, space, np.asarray(space.unconstrain(TRUTH + [0.03, -0.02])))
    S = np.cov(x.T) * (1 + M / 15_360)
    theta, C = least_squares(x, S, (0, *prior))
    error = np.sqrt(np.diagonal(C))
    np.testing.assert_allclose(found.stderr(space), error, rtol=0.01)
    simulated = np.sqrt(M / 15_360) * np.sqrt(np.diagonal(least_squares(x, S)[1]))
    assert np.all(np.abs(np.asarray(space.constrain(found.loc)) - theta) < 3.5 * simulated)
    theta, C = least_squares(x, S)
    np.testing.assert_allclose(found.by_data.stderr(space), np.sqrt(np.diagonal(C)), rtol=0.01)
    assert np.all(np.abs(np.asarray(space.constrain(found.by_data.loc)) - theta) < 3.5 * simulated)
    assert found.by_data.alone is None
    apart = abs(prior[0] - theta[0]) / np.hypot(prior[1], np.sqrt(C[0, 0]))
    np.testing.assert_allclose(found.apart, apart, atol=3.5 * np.sqrt(M / 15_360))
    assert fits(found) == (found.apart <= 3.0)


@pytest.mark.usefixtures("double_precision")
def test_a_measurement_far_from_the_data_leaves_these_their_own_estimate() -> None:
    x, space = observed(), line(a=(4.9, 0.02))
    found = settled(x, space, np.asarray(space.unconstrain(TRUTH)))
    theta, C = least_squares(x, np.cov(x.T))
    error = np.sqrt(np.diagonal(C))
    assert np.all(np.abs(np.asarray(space.constrain(found.by_data.loc)) - theta) < 4 * np.sqrt(M / 3000) * error)
    assert found.apart > 10 and not fits(found)
    combined, _ = least_squares(x, np.cov(x.T), (0, 4.9, 0.02))
    assert np.all(np.abs(np.asarray(space.constrain(found.loc)) - combined) < 4 * np.sqrt(M / 10_000) * error)


FREE = avo.Space(a=avo.Interval(-10, 10), c=avo.LogInterval(0.5, 50, unit="h", prior=(5.0, 1.0)))


def ignores(key: Any, theta: Any) -> Any:
    """c has no effect."""
    return theta[:, :1] + jax.random.normal(key, (len(theta), 3))


@pytest.fixture(scope="module")
def fitted() -> avo.Result:
    x = 2.3 + RNG(3).normal(size=(M, 3))
    return avo.fit(ignores, x, FREE, budget=50_000, seed=2, progress=False)


def test_a_parameter_without_effect_gets_its_measurement_back(fitted: avo.Result) -> None:
    assert fitted.status == "converged" and fitted.stderr is not None and fitted.by_data is not None
    np.testing.assert_allclose(fitted.theta[1], 5.0, rtol=0.01)
    np.testing.assert_allclose(fitted.stderr[1], 1.0, rtol=0.02)
    np.testing.assert_allclose(fitted.stderr[0], 1 / np.sqrt(3 * M), rtol=0.1)
    assert np.isinf(fitted.by_data.stderr[1]) and fitted.estimate is not None and fitted.estimate.apart == 0.0


def test_the_table_says_both_and_files_keep_both(fitted: avo.Result, tmp_path: Path) -> None:
    head, first, second, *_ = fitted.summary().splitlines()
    assert "the data alone" in head and "known" in head
    assert fitted.by_data is not None
    assert " +- ".join(written(fitted.by_data.theta[0], fitted.by_data.stderr[0])) in first
    assert "nothing" in second and second.split()[-4:] == ["5", "+-", "1", "h"]
    back = avo.load(fitted.save(tmp_path / "run"))
    assert back.summary() == fitted.summary() and back.space == FREE
    assert back.by_data is not None
    for one, other in zip(back.by_data, fitted.by_data, strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_is_known_chooses_among_solutions() -> None:
    """x ~ N(theta^2, 1): both signs fit, and the data alone would give the other one first."""
    x = np.asarray(squares(jax.random.key(10), jnp.full((M, 1), 1.4)))
    space = avo.Space(theta=avo.Interval(-3, 3, prior=(SIGN * 1.3, 0.1)))
    result = avo.fit(squares, x, space, budget=50_000, seed=1, progress=False)
    assert result.status == "converged" and len(result.modes) == 1
    assert abs(result.theta[0] - SIGN * 1.4) < 0.06 and result.stderr is not None and result.stderr[0] < 0.02
    assert "disagree" not in result.summary()


def test_a_contradiction_is_told(fitted: avo.Result) -> None:
    assert fitted.estimate is not None and "disagree" not in fitted.summary()
    told = replace(fitted, estimate=replace(fitted.estimate, apart=4.21)).summary()
    assert "warning: the data and what was known disagree by 4.2 standard errors" in told


def squares(key: Any, theta: Any) -> Any:
    return theta**2 + jax.random.normal(key, (len(theta), 3))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"target": "population"}, r"^prior= of c is a measurement of one theta that all observations share"),
        (
            {"refine": False},
            r"^prior= of c acts where the estimate is refined, and refine=False; leave one of them out",
        ),
    ],
)
def test_fits_that_could_not_use_it_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        avo.fit(ignores, np.arange(60.0).reshape(20, 3), FREE, budget=5000, progress=False, **options)


def test_a_fit_too_small_to_use_it_says_so() -> None:
    settings = avo.Settings(batch=8, pairs=4)
    x = 2.3 + RNG(3).normal(size=(20, 3))
    result = avo.fit(ignores, x, FREE, budget=320, settings=settings, progress=False)
    assert result.message.endswith("What is known by prior= has had no part in the estimate.")


def test_a_measured_angle_is_held_against_the_nearest_turn() -> None:
    """At 350 degrees, u = -10 / 90, where 4 +- 5 was measured, and at 10 where 355 +- 5 was: 14 and -15 apart."""
    for at, value, apart in ((-1 / 9, 4.0, 14.0), (1 / 9, 355.0, -15.0), (1 / 9 + 4, -5.0, -15.0)):
        space = LinearSpace(avo.Space(b=avo.Real(), phase=avo.Angle(360, prior=(value, 5.0))))
        found = measured(space, np.array([0.3, at]))
        assert found is not None
        np.testing.assert_allclose(found.rest, [0.0, apart / 5], atol=1e-4)
        np.testing.assert_allclose(found.slope, [0.0, 90 / 5], rtol=1e-6)


def test_a_measured_count_need_not_be_whole() -> None:
    space = LinearSpace(avo.Space(n=avo.Count(2, 12, prior=(6.5, 0.4))))
    found = measured(space, np.array([2.0]))  # t = 7
    assert found is not None
    np.testing.assert_allclose([found.rest[0], found.slope[0]], [-0.5 / 0.4, 2.5 / 0.4], rtol=1e-5)
