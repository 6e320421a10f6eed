"""avo.space: the four maps by hand, there and back, and the refusals."""

import json
import math
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avo.space import Interval, Known, LogInterval, Positive, Real, Space

KINDS: dict[str, Any] = {
    "interval": Interval(-3.0, 5.0),
    "log": LogInterval(0.05, 3.0),
    "positive": Positive(2.5),
    "real": Real(1.3, 0.7),
}
# Beyond |u| = 6 a sigmoid is within 0.3 % of its bound; the trainer does not go further
GRID = np.linspace(-6.0, 6.0, 41)


@pytest.mark.parametrize(
    ("parameter", "u", "theta"),
    [
        (Interval(-3.0, 5.0), 0.7, -3.0 + 8.0 / (1.0 + math.exp(-0.7))),
        (Interval(2.0, 2.5), -2.1, 2.0 + 0.5 / (1.0 + math.exp(2.1))),
        (LogInterval(0.05, 3.0), -1.3, math.exp(math.log(0.05) + math.log(60.0) / (1.0 + math.exp(1.3)))),
        (LogInterval(7.0, 11.0), 2.2, 7.0 * (11.0 / 7.0) ** (1.0 / (1.0 + math.exp(-2.2)))),
        (Positive(2.5), 0.4, 2.5 * math.exp(0.4)),
        (Positive(), -1.7, math.exp(-1.7)),
        (Real(1.3, 0.7), -3.1, 1.3 - 0.7 * 3.1),
        (Real(), 4.2, 4.2),
    ],
)
def test_constrain_by_hand(parameter: Any, u: float, theta: float) -> None:
    np.testing.assert_allclose(float(parameter.constrain(jnp.array(u))), theta, rtol=1e-14)
    np.testing.assert_allclose(float(parameter.unconstrain(jnp.array(theta))), u, rtol=1e-12)


@pytest.mark.parametrize("name", KINDS)
def test_round_trip_and_shape_of_the_map(name: str) -> None:
    parameter = KINDS[name]
    u = jnp.asarray(GRID)
    theta = parameter.constrain(u)
    np.testing.assert_allclose(parameter.unconstrain(theta), u, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(parameter.constrain(parameter.unconstrain(theta)), theta, rtol=1e-9)
    assert np.all(np.diff(theta) > 0)
    assert np.all(np.asarray(jax.vmap(jax.grad(parameter.constrain))(u)) > 0)
    low, high = parameter.support
    assert np.all((low < np.asarray(theta)) & (np.asarray(theta) < high))


def test_space_maps_each_column_by_its_own_parameter() -> None:
    space = Space(**KINDS)
    u = jax.random.normal(jax.random.key(0), (2, 7, 4))
    theta = space.constrain(u)
    assert theta.shape == u.shape
    for i, parameter in enumerate(KINDS.values()):
        np.testing.assert_array_equal(theta[..., i], parameter.constrain(u[..., i]))
    np.testing.assert_allclose(space.unconstrain(theta), u, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(space.unconstrain(np.asarray(theta)[0, 0].tolist()), u[0, 0], rtol=1e-9, atol=1e-9)


def test_supports() -> None:
    supports = [p.support for p in Space(**KINDS)]
    assert supports == [(-3.0, 5.0), (0.05, 3.0), (0.0, math.inf), (-math.inf, math.inf)]


def test_kinds_say_whether_they_have_two_bounds_and_a_logarithmic_scale() -> None:
    space = Space(**KINDS)
    assert space.bounded.tolist() == [all(map(math.isfinite, p.support)) for p in space] == [True, True, False, False]
    middles = [float(p.constrain(jnp.array(0.0))) for p in list(space)[:2]]  # of a range, by its own scale
    assert [p.logarithmic for p in space] == [False, True, True, False]
    np.testing.assert_allclose(middles, [(-3.0 + 5.0) / 2, math.sqrt(0.05 * 3.0)], rtol=1e-12)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Interval(2.0, 2.0), r"Interval: low must be below high; got low=2.0, high=2.0"),
        (lambda: Interval(5, -3), r"low must be below high; got low=5, high=-3"),
        (lambda: Interval(0.5, math.inf), r"Interval: high must be a finite number; got inf"),
        (lambda: Interval(math.nan, 3.0), r"Interval: low must be a finite number; got nan"),
        (lambda: Interval("1", 3.0), r"Interval: low must be a finite number; got '1'"),  # type: ignore[arg-type]
        (lambda: LogInterval(0.0, 3.0), r"LogInterval: low must be above zero; got low=0.0. Use Interval"),
        (lambda: LogInterval(-1.0, 3.0), r"LogInterval: low must be above zero; got low=-1.0"),
        (lambda: LogInterval(4.0, 3.0), r"LogInterval: low must be below high; got low=4.0, high=3.0"),
        (lambda: LogInterval(0.5, math.inf), r"LogInterval: high must be a finite number; got inf"),
        (lambda: Positive(0.0), r"Positive: scale must be a finite number above zero; got 0.0"),
        (lambda: Positive(-2.5), r"Positive: scale must be a finite number above zero; got -2.5"),
        (lambda: Positive(math.inf), r"Positive: scale must be a finite number; got inf"),
        (lambda: Real(1.3, 0.0), r"Real: scale must be a finite number above zero; got 0.0"),
        (lambda: Real(math.nan, 0.7), r"Real: loc must be a finite number; got nan"),
        (lambda: Interval(0, 1, unit=5), r"^Interval: unit must be a string; got 5\.$"),  # type: ignore[arg-type]
        (lambda: Real(unit=None), r"^Real: unit must be a string; got None\.$"),  # type: ignore[arg-type]
        (lambda: Space(), r"Space needs at least one parameter"),
        (lambda: Interval(0, 9, prior=(4.0, 0.0)), r"^prior: sd must be a finite number above zero; got 0\.0\.$"),
        (lambda: Interval(0, 9, prior=4.0), r"prior must be two finite numbers \(value, sd\), or avo\.Known"),  # type: ignore[arg-type]
        (lambda: Interval(0, 9, prior=(4.0, math.nan)), r"prior must be two finite numbers .* got \(4\.0, nan\)"),
        (lambda: Interval(0, 9, prior=(9.0, 1.0)), r"prior must have a value inside \(0, 9\), or .* got 9 \+- 1\.$"),
        (lambda: Known(-1.0, 0.1, log=True), r"prior: value must be above zero where log=True; got -1"),
        (lambda: Interval(-1, 9, prior=Known(4.0, 0.1, log=True)), r"log theta, and theta may be negative, down to -1"),
        (lambda: Real(1.3, 0.7, prior=(4.6, 0.1)), r"4\.6 \+- 0\.1 is 4\.71 from the start .* Give Real loc and scale"),
        (lambda: Real(1.3, 0.7, prior=(1.0, 1.1)), r"known to 1\.57\. Give Real loc and scale near it"),
        (lambda: Positive(2.5, prior=(0.01, 0.001)), r"is -5\.52 from the start and known to 0\.1\. Give Positive a"),
        (
            lambda: Space(mu=(0, 1)),  # type: ignore[arg-type]
            r"parameter 'mu' must be one of Interval, LogInterval, Positive, Real; got \(0, 1\)",
        ),
    ],
)
def test_refusals(make: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def test_names_units_and_order() -> None:
    space = Space(tau=Positive(2.5, unit="ms"), amplitude=Interval(-3, 5, unit="mV"), offset=Real())
    assert space.names == ("tau", "amplitude", "offset")
    assert space.units == ("ms", "mV", "")
    assert space.dim == 3
    assert space["amplitude"] == Interval(-3, 5, unit="mV")
    assert Space(self=Interval(0, 1)).names == ("self",)


def test_json_round_trip() -> None:
    space = Space(**KINDS, again=Interval(-1, 4, unit="mV"), name=Positive(3.0), kind=Real(unit="s"))
    text = json.dumps(space.to_json())
    back = Space.from_json(json.loads(text))
    assert back == space
    assert back.names == space.names and back.units == space.units


def test_what_is_known_is_one_thing_however_it_is_written() -> None:
    made = [Interval(0, 9, prior=prior) for prior in ((4, 0.5), [4.0, 0.5], Known(4, 0.5), np.array([4, 0.5]))]  # type: ignore[arg-type]
    assert len(set(made)) == 1 and made[0] != Interval(0, 9) and made[0] != Interval(0, 9, prior=(4, 0.6))
    space = Space(a=made[0], b=Real(1.3, 0.7, "V", (1.0, 0.3)), c=Positive(prior=Known(1.5, 0.1, log=True)), d=Real())
    assert space.known == {"a": Known(4, 0.5), "b": Known(1, 0.3), "c": Known(1.5, 0.1, True)}
    again = Space.from_json(json.loads(json.dumps(space.to_json())))
    assert again == space and hash(again) == hash(space) and again.known == space.known
    assert "prior" not in space.to_json()[3]  # as older files have it
    np.testing.assert_allclose(Known(1.5, 0.1, log=True).centre, math.log(1.5), rtol=1e-15)
    assert [str(known) for known in space.known.values()] == ["4 +- 0.5", "1 +- 0.3", "1.5 */ 1.11"]


def test_equality_and_hash() -> None:
    a, b = Interval(-3, 5), LogInterval(0.05, 3.0)
    space = Space(mu=a, sigma=b)
    same = Space(mu=Interval(-3.0, 5.0), sigma=LogInterval(0.05, 3))
    assert space == same and hash(space) == hash(same)
    for other in (
        Space(sigma=b, mu=a),
        Space(mu=a),
        Space(mu=a, s=b),
        Space(mu=Interval(-3, 5.5), sigma=b),
        Space(mu=Interval(-3, 5, unit="V"), sigma=b),
        "Space",
    ):
        assert space != other


@pytest.mark.parametrize(
    ("theta", "words"),
    [
        ([5.0, 1.0], r"mu must lie inside \(-3, 5\); got 5.0"),
        ([-3.5, 1.0], r"mu must lie inside \(-3, 5\); got -3.5"),
        ([1.0, 0.01], r"sigma must lie inside \(0.05, 3.0\); got 0.01"),
        ([[1.0, 0.5], [2.0, 3.5]], r"sigma must lie inside \(0.05, 3.0\); got 3.5"),
        ([math.nan, 1.0], r"mu must lie inside \(-3, 5\); got nan"),
        ([1.0, 1.0, 1.0], r"theta must have 2 values \(mu, sigma\) along its last axis; got shape \(3,\)"),
        (0.5, r"theta must have 2 values \(mu, sigma\) along its last axis; got shape \(\)"),
    ],
)
def test_theta_outside_the_space_names_the_parameter(theta: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Space(mu=Interval(-3, 5), sigma=LogInterval(0.05, 3.0)).unconstrain(theta)


def test_negative_positive_is_named() -> None:
    with pytest.raises(ValueError, match=r"tau must lie inside \(0.0, inf\); got -0.1"):
        Space(tau=Positive(2.5)).unconstrain([-0.1])


def test_maps_are_traceable() -> None:
    space = Space(**KINDS)
    u = jnp.array([0.3, -0.8, 1.1, 2.4])
    np.testing.assert_allclose(jax.jit(lambda u: space.unconstrain(space.constrain(u)))(u), u, rtol=1e-9)


@pytest.mark.parametrize("u", [1.0, [0.3], [[0.1, 0.2, 0.3]]])
def test_constrain_needs_one_column_per_parameter(u: Any) -> None:
    with pytest.raises(ValueError, match=r"u must have 2 values \(a, b\) along its last axis; got shape"):
        Space(a=Real(), b=Positive()).constrain(u)


@pytest.mark.parametrize("half", [jnp.float32(0.5), np.array(0.5), np.float32(0.5), Fraction(1, 2)])
def test_numbers_of_every_kind_make_equal_parameters(half: Any) -> None:
    found = Interval(half, 5)
    assert found == Interval(0.5, 5) and hash(found) == hash(Interval(0.5, 5)) and type(found.low) is float


@pytest.mark.parametrize("parameters", [{"a\x1b[2J": Interval(0, 1)}, {"a": Interval(0, 1, unit="m\n")}])
def test_names_and_units_are_printable(parameters: Any) -> None:
    with pytest.raises(ValueError, match="names and units of a Space must be printable; got"):
        Space(**parameters)
