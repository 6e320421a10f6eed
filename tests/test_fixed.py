"""Fixed parameters: the simulator gets them, in their columns and to all digits; nothing else of a fit sees them."""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fits import TINY, TINY_BUDGET, equal

import avo
from avo.execution.blocks import Draws
from avo.space import Fixed, Interval, LogInterval, Real, Space

pytestmark = pytest.mark.usefixtures("single_precision")

DOSE = 0.7
FREE = {"mean": Interval(-10.0, 10.0, unit="mV"), "sd": LogInterval(0.1, 10.0)}
SPACE = Space(mean=FREE["mean"], dose=Fixed(DOSE, unit="mg"), sd=FREE["sd"])
WRITTEN_IN = Space(**FREE)
X_OBS = np.random.default_rng(0).normal(2.5 * DOSE, 0.7, size=(60, 10))


def simulate(key: Any, theta: Any) -> Any:
    """Dose times mean, with noise."""
    return theta[:, 1:2] * theta[:, :1] + theta[:, 2:] * jax.random.normal(key, (len(theta), 10))


def written_in(key: Any, theta: Any) -> Any:
    return DOSE * theta[:, :1] + theta[:, 1:] * jax.random.normal(key, (len(theta), 10))


def row(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
    assert theta[1] == DOSE and len(theta) == 3  # to the last digit
    return theta[1] * theta[0] + theta[2] * rng.normal(size=10)


def row_written_in(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
    return DOSE * theta[0] + theta[1] * rng.normal(size=10)


def fit(simulator: Any, space: Space, x: np.ndarray = X_OBS, **options: Any) -> avo.Result:
    options = {"settings": TINY, "budget": TINY_BUDGET, "refine": False, "seed": 5, "progress": False} | options
    return avo.fit(simulator, x, space, **options)


def test_a_space_is_of_its_free_parameters() -> None:
    assert SPACE.names == ("mean", "sd") and SPACE.columns == ("mean", "dose", "sd") and SPACE.dim == 2
    assert SPACE.units == ("mV", "") and SPACE.bounded.tolist() == [True, True] and list(SPACE) == list(FREE.values())
    assert SPACE.fixed == {"dose": Fixed(DOSE, "mg")} and SPACE["dose"].value == DOSE
    u = jax.random.normal(jax.random.key(0), (5, 2))
    np.testing.assert_array_equal(SPACE.constrain(u), WRITTEN_IN.constrain(u))
    np.testing.assert_array_equal(SPACE.unconstrain(SPACE.constrain(u)), WRITTEN_IN.unconstrain(SPACE.constrain(u)))


def test_full_puts_each_column_in_its_place() -> None:
    space = Space(a=3, b=Real(), c=-1.5, d=Real())
    for theta in (np.array([[4.0, 5.0], [6.0, 7.0]]), jnp.array([[4.0, 5.0], [6.0, 7.0]])):
        full = space.full(theta)
        assert type(full) is type(theta * 1) and full.tolist() == [[3, 4, -1.5, 5], [3, 6, -1.5, 7]]
        np.testing.assert_array_equal(space.free(full), theta)
    np.testing.assert_array_equal(jax.jit(space.full)(jnp.array([4.0, 5.0])), [3, 4, -1.5, 5])
    single = np.array([0.1, 0.2], np.float32)
    assert space.full(single).dtype == float  # a fixed 0.7 is not the nearest float32
    theta = np.zeros((3, 2))
    assert WRITTEN_IN.full(theta) is theta and WRITTEN_IN.free(theta) is theta


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Space(a=1.5, b=Fixed(2)), r"^Space needs a parameter that is free; all are fixed, a, b\. Give one a"),
        (lambda: Fixed(np.inf), r"^Fixed: value must be a finite number; got inf\.$"),
        (lambda: Space(a=np.nan, b=Real()), r"^Fixed: value must be a finite number; got nan\.$"),
        (lambda: Space(a=True, b=Real()), r"^Space: parameter 'a' must be one of .*Count; got True"),
        (lambda: Space(a="0.7", b=Real()), r"got '0\.7'. .*or a number, at which it is fixed"),  # type: ignore[arg-type]
        (lambda: Fixed(1.0, unit=3), r"^Fixed: unit must be a string; got 3\.$"),  # type: ignore[arg-type]
        (lambda: SPACE.full(np.zeros((4, 3))), r"2 values \(mean, sd\) .* without what is fixed \(dose\); got shape"),
        (lambda: SPACE.unconstrain([1.0, 0.7, 1.0]), r"theta must have 2 values .* without what is fixed \(dose\)"),
        (lambda: fit(simulate, SPACE, start={"mean": 1.0, "dose": 0.7, "sd": 1.0}), r"start must"),
        (lambda: fit(simulate, SPACE, X_OBS[:, :9]), r"for theta \(4, 3\) expected x \(4, 9\)"),
    ],
)
def test_refusals(make: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def test_equality_and_files() -> None:
    assert Space(a=0.7, b=Real()) == Space(a=Fixed(0.7), b=Real()) != Space(a=0.8, b=Real())
    assert hash(Space(a=np.float64(0.7), b=Real())) == hash(Space(a=0.7, b=Real()))
    again = Space.from_json(json.loads(json.dumps(SPACE.to_json())))
    assert again == SPACE and again.columns == SPACE.columns
    # What nothing fixes is written as before, so that runs that were begun go on
    assert WRITTEN_IN.to_json()[0] == {"name": "mean", "kind": "Interval", "low": -10.0, "high": 10.0, "unit": "mV"}


@pytest.mark.parametrize(
    ("fixed", "plain"),
    [(simulate, written_in), (avo.from_numpy(row), avo.from_numpy(row_written_in))],
    ids=["jax", "numpy"],
)
def test_a_fit_is_that_of_a_simulator_with_the_value_written_in(fixed: Any, plain: Any, tmp_path: Path) -> None:
    one, other = fit(fixed, SPACE, out=tmp_path / "run"), fit(plain, WRITTEN_IN)
    assert equal(one, other)
    assert one.names == ("mean", "sd") and one.calls == other.calls
    back = avo.load(tmp_path / "run")
    assert back.space == SPACE and back.summary() == one.summary()


@pytest.fixture(scope="module")
def refined() -> list[avo.Result]:
    """Search, steps and scores, with a column that the simulator ignores and without it."""

    def ignores(key: Any, theta: Any) -> Any:
        return DOSE * theta[:, :1] + theta[:, 2:] * jax.random.normal(key, (len(theta), 10))

    x = np.random.default_rng(1).normal(2.5 * DOSE, 0.7, size=(300, 10))
    return [
        fit(one, space, x, budget=40_000, settings=None, refine=True)
        for one, space in ((ignores, SPACE), (written_in, WRITTEN_IN))
    ]


def test_a_refined_fit_is_the_same_to_the_bit(refined: list[avo.Result]) -> None:
    one, other = refined
    assert equal(one, other)
    assert one.status == other.status == "converged" and one.stderr is not None and other.stderr is not None
    np.testing.assert_array_equal(one.stderr, other.stderr)
    np.testing.assert_array_equal(one.encode(X_OBS), other.encode(X_OBS))
    assert one.estimate is not None and other.estimate is not None
    assert one.estimate.p_value == other.estimate.p_value


def test_the_table_says_what_is_fixed(refined: list[avo.Result]) -> None:
    lines = refined[0].summary(np.array([2.5, 0.7])).splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["mean", "dose", "sd"]
    assert lines[2].split() == ["dose", "0.7", "(fixed)", "mg"]
    assert [line for i, line in enumerate(lines) if i != 2][1].split() == refined[1].summary(
        np.array([2.5, 0.7])
    ).splitlines()[1].split()


def test_a_check_simulates_with_what_is_fixed(refined: list[avo.Result]) -> None:
    x_new = np.random.default_rng(2).normal(2.5 * DOSE, 0.7, size=(60, 10))
    found = avo.check(refined[0], simulate, x_new, replicates=19, progress=False)
    assert found.p_value > 1 / 20
    other = avo.check(refined[1], avo.from_numpy(row_written_in), x_new, replicates=19, progress=False)
    same = avo.check(refined[0], avo.from_numpy(row), x_new, replicates=19, progress=False)
    assert other.p_value == same.p_value and other.table == same.table


@pytest.mark.usefixtures("double_precision")
def test_draws_and_trainer_hand_over_all_columns() -> None:
    seen: list[Any] = []

    def kept(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
        seen.append(theta)
        return theta[:1]

    draws = Draws(avo.from_numpy(kept), SPACE, jax.random.key(0), 2, (1,))
    draws(np.array([[0.3, -0.2], [0.5, 0.9]]))
    np.testing.assert_array_equal(np.stack(seen)[:, 1], DOSE)
    np.testing.assert_allclose(np.stack(seen)[:, [0, 2]], WRITTEN_IN.constrain([[0.3, -0.2], [0.5, 0.9]]), rtol=1e-12)
    trainer = avo.make_trainer(SPACE, X_OBS, steps=10, settings=TINY)
    theta, state = trainer.ask(jax.random.key(1), trainer.init(jax.random.key(0)))
    assert theta.shape == (TINY.calls, 3)
    np.testing.assert_array_equal(theta[:, 1], DOSE)
    with pytest.raises(ValueError, match=r"theta must have a row for each theta that ask gave, shape \(\d+, 3\)"):
        trainer.tell(state, theta[:, :2], simulate(jax.random.key(2), theta))
    trainer.tell(state, theta, simulate(jax.random.key(2), theta))


def test_a_command_may_name_what_is_fixed() -> None:
    program = avo.from_command(["/bin/sh", "-c", "echo $0 $1", "{dose}", "{mean}"])
    result = fit(program, Space(mean=FREE["mean"], dose=DOSE), np.random.default_rng(0).normal(size=(20, 2)))
    assert result.names == ("mean",) and not any(result.failures.values())


def test_a_problem_has_none() -> None:
    problem = avo.simulators.get("brownian")
    with pytest.raises(ValueError, match=r"has no fixed parameters; got sigma\. Fix them for a fit: avo\.fit\("):
        type(problem)(
            name="x", summary="", simulate=problem.simulate, space=Space(mu=Real(), sigma=0.5),
            theta_true=np.zeros(1), x_shape=(3,),
        )  # fmt: skip
