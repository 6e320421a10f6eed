"""avo.space: the maps by hand, there and back, angles around the circle, whole numbers, and the refusals."""

import json
import math
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avo.parameters import contains, unwound
from avo.space import Angle, Count, Fixed, Interval, Known, LogInterval, Positive, Real, Space

KINDS: dict[str, Any] = {
    "interval": Interval(-3.0, 5.0),
    "log": LogInterval(0.05, 3.0),
    "positive": Positive(2.5),
    "real": Real(1.3, 0.7),
    "angle": Angle(24.0),
    "count": Count(-3, 12),
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
        (Angle(360.0), 0.7, 63.0),
        (Angle(2.5), -1.3, 2.5 - 1.3 * 2.5 / 4),
        (Count(2, 9), 0.7, 2 + 7 / (1 + math.exp(-0.7))),
    ],
)
def test_constrain_by_hand(parameter: Any, u: float, theta: float) -> None:
    np.testing.assert_allclose(float(parameter.constrain(jnp.array(u))), theta, rtol=1e-14)
    np.testing.assert_allclose(float(parameter.unconstrain(jnp.array(theta))), u, rtol=1e-12)


@pytest.mark.parametrize("name", KINDS)
def test_round_trip_and_shape_of_the_map(name: str) -> None:
    parameter = KINDS[name]
    u = jnp.asarray(GRID / 3.1 if name == "angle" else GRID)  # u of the turn around zero
    theta = parameter.constrain(u)
    np.testing.assert_allclose(parameter.unconstrain(theta), u, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(parameter.constrain(parameter.unconstrain(theta)), theta, rtol=1e-9)
    period = getattr(parameter, "period", np.inf)
    assert np.all(np.diff(np.asarray(theta) - np.where(np.isfinite(period) & (u < 0), 24.0, 0.0)) > 0)
    assert np.all(np.asarray(jax.vmap(jax.grad(parameter.constrain))(u)) > 0)
    low, high = parameter.support
    assert np.all((low <= np.asarray(theta)) & (np.asarray(theta) < high)) and np.all(contains(parameter, theta))


def test_space_maps_each_column_by_its_own_parameter() -> None:
    space = Space(**KINDS)
    u = jnp.clip(jax.random.normal(jax.random.key(0), (2, 7, len(KINDS))), -1.9, 1.9)
    theta = space.constrain(u)
    assert theta.shape == u.shape
    for i, parameter in enumerate(KINDS.values()):
        np.testing.assert_array_equal(theta[..., i], parameter.constrain(u[..., i]))
    np.testing.assert_allclose(space.unconstrain(theta), u, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(space.unconstrain(np.asarray(theta)[0, 0].tolist()), u[0, 0], rtol=1e-9, atol=1e-9)


def test_supports() -> None:
    supports = [p.support for p in Space(**KINDS)]
    assert supports == [(-3.0, 5.0), (0.05, 3.0), (0.0, math.inf), (-math.inf, math.inf), (0.0, 24.0), (-3.0, 12.0)]


def test_kinds_say_whether_they_have_two_bounds_and_a_logarithmic_scale() -> None:
    space = Space(**KINDS)
    assert space.bounded.tolist() == [True, True, False, False, False, True]
    assert space.angles.tolist() == [False] * 4 + [True, False] and space.counts.tolist() == [False] * 5 + [True]
    assert space.periods.tolist() == [math.inf] * 4 + [24.0, math.inf] and space.count_names == {"count"}
    middles = [float(p.constrain(jnp.array(0.0))) for p in list(space)[:2]]  # of a range, by its own scale
    assert [p.logarithmic for p in space] == [False, True, True, False, False, False]
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
        (lambda: Angle(0), r"^Angle: period must be a finite number above zero; got 0"),
        (lambda: Angle(math.inf), r"^Angle: period must be a finite number; got inf\.$"),
        (lambda: Angle(360, prior=(10.0, 61.0)), r"to a sixth of the period, 60, so .* got 10 \+- 61\. Leave it out"),
        (lambda: Angle(360, prior=Known(10.0, 0.1, log=True)), r"^Angle: prior is of log theta, and an angle has none"),
        (lambda: Count(1, 1), r"^Count: low must be below high; got low=1, high=1\.$"),
        (lambda: Count(0.5, 3), r"^Count: low must be a whole number below 2\^24; got 0\.5\.$"),  # type: ignore[arg-type]
        (lambda: Count(1, 2**24), r"^Count: high must be a whole number below 2\^24; got 1\.67772e\+07\.$"),
        (lambda: Count(1, math.nan), r"^Count: high must be a finite number; got nan\.$"),  # type: ignore[arg-type]
        (lambda: Count(1, 9, prior=(9.5, 1.0)), r"^Count: prior must have a value inside \(1, 9\)"),
        (
            lambda: Fixed(0.7, prior=(0.7, 0.1)),  # type: ignore[call-arg]
            r"^Fixed takes value, unit; got prior=\(0\.7, 0\.1\)\. What is fixed has no prior; for the data to move",
        ),
        (lambda: Fixed(), r"^Fixed takes value, unit; value is missing\.$"),  # type: ignore[call-arg]
        (lambda: Known(5.0), r"^Known takes value, sd, log; sd is missing\.$"),  # type: ignore[call-arg]
        (lambda: Interval(), r"^Interval takes low, high, unit, prior; low and high are missing\.$"),  # type: ignore[call-arg]
        (lambda: LogInterval(1, hihg=3), r"^LogInterval takes .*; got hihg=3\. Did you mean 'high'\?$"),  # type: ignore[call-arg]
        (lambda: Positive(scale=1, low=0), r"^Positive takes scale, unit, prior; got low=0\.$"),  # type: ignore[call-arg]
        (lambda: Real(1, 2, "", None, 7), r"^Real takes loc, scale, unit, prior; got 5 values, 1, 2, '', None, 7\.$"),  # type: ignore[call-arg]
        (lambda: Count(1, 9, high=9), r"^Count takes .*, each once; got high by place and by name\.$"),  # type: ignore[call-arg]
        (lambda: Angle(periode=360), r"^Angle takes .*; got periode=360\. Did you mean 'period'\?$"),  # type: ignore[call-arg]
        (lambda: Space({"mu": 1.0}), r"^Space takes each parameter by its name, .*; got \{'mu': 1\.0\}\.$"),  # type: ignore[arg-type]
        (
            lambda: Space(mu=(0, 1)),  # type: ignore[arg-type]
            r"parameter 'mu' must be one of Interval, LogInterval, Positive, Real, Angle, Count; got \(0, 1\)",
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
    space = Space(**{name: space[name] for name in space.names}, at=Angle(360, "deg", (-5.0, 2.0)), n=Count(1, 3))
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
    u = jnp.array([0.3, -0.8, 1.1, 2.4, -1.9, 0.6])
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


# --- angles ----------------------------------------------------------------------------------------------------------


def test_an_angle_is_the_same_after_each_turn_of_u() -> None:
    angle = Angle(360.0)
    u = jnp.linspace(-9.7, 9.9, 43)
    for turns in (-3, 1, 2):
        np.testing.assert_allclose(angle.constrain(u + 4 * turns), angle.constrain(u), rtol=1e-9)
    np.testing.assert_allclose(jax.vmap(jax.grad(angle.constrain))(u), 90.0)  # on the seam too
    assert float(jax.grad(angle.constrain)(jnp.array(-1e-20))) == 90.0
    theta = np.asarray(angle.constrain(jnp.array([-1e-9, -1e-20, -0.0, 4.0], jnp.float32)))
    assert np.all((theta >= 0) & (theta < 360))  # single precision rounds -1e-9 + 360 to 360
    given = jnp.array([0.0, 359.0, 360.0, -1.0, 725.0, 180.0])
    np.testing.assert_allclose(Space(a=angle).unconstrain(given[:, None])[:, 0] * 90, [0, -1, 0, -1, 5, -180])


def test_the_usual_start_covers_the_circle_within_an_eighth() -> None:
    """N(0, 1.5^2) around a turn of 4: density 1 + 2 exp(-2 pi^2 (1.5 / 4)^2) cos + ..., 1 +- .1246."""
    theta = np.asarray(Angle(1.0).constrain(1.5 * jax.random.normal(jax.random.key(0), (400_000,))))
    density = np.histogram(theta, 20, (0, 1))[0] / 20_000
    swing = 2 * math.exp(-2 * (math.pi * 1.5 / 4) ** 2) * np.sinc(1 / 20)
    expected = 1 + swing * np.cos(2 * np.pi * (np.arange(20) + 0.5) / 20)
    np.testing.assert_allclose(density, expected, atol=4.5 / math.sqrt(20_000))
    assert 0.12 < swing < 0.125


def test_what_is_near_goes_around_the_circle() -> None:
    space = Space(a=Real(), b=Angle(360), c=Angle(24))
    u, centre = np.array([[9.0, 1.9, -1.7], [9.0, -5.0, 6.2]]), np.array([0.0, -1.8, 1.9])
    np.testing.assert_allclose(space.near(u, centre), [[9.0, -2.1, 2.3], [9.0, -1.0, 2.2]], rtol=1e-12)
    plain = np.ones((2, 1))
    assert Space(a=Real()).near(plain, np.zeros(1)) is plain
    np.testing.assert_allclose(unwound(np.array([3.0, 355.0, 175.0]), 358.0, 360.0), [363.0, 355.0, 535.0])


def test_a_mean_of_angles_is_one_of_directions() -> None:
    space = Space(a=Angle(360), n=Real(), b=Angle(24))
    theta = np.array([[359.0, 7.0, 23.0], [5.0, 9.0, 2.0]])
    wide = space.circles(theta)
    assert wide.shape == (2, 5)
    np.testing.assert_allclose(space.directions(wide), theta, rtol=1e-12)
    np.testing.assert_allclose(space.directions(wide.mean(0, keepdims=True)), [[2.0, 8.0, 0.5]], rtol=1e-9)


def test_every_number_is_an_angle_and_a_count_has_its_ends() -> None:
    assert contains(Angle(24), -300.0) and not contains(Angle(24), math.inf) and not contains(Angle(24), math.nan)
    assert contains(Count(1, 3), np.array([0.99, 1.0, 3.0, 3.01])).tolist() == [False, True, True, False]
    space = Space(n=Count(1, 30))
    np.testing.assert_allclose(space.nearest_whole(space.constrain(space.unconstrain([[1.0], [30.0]]))), [[1], [30]])
    with pytest.raises(ValueError, match=r"n must lie inside \(1\.0, 30\.0\); got 30\.5"):
        space.unconstrain([30.5])


# --- counts ----------------------------------------------------------------------------------------------------------


def test_counts_are_rounded_by_chance() -> None:
    space = Space(a=Real(), n=Count(-3, 12), m=Count(0, 5))
    t = jnp.array([[0.3, -1.7, 4.2]])
    chance = jax.random.uniform(jax.random.key(1), (20_000, 2))
    theta = np.asarray(space.by_chance(jnp.tile(t, (20_000, 1)), chance))
    assert set(theta[:, 1]) == {-2.0, -1.0} and set(theta[:, 2]) == {4.0, 5.0} and set(theta[:, 0]) == {0.3}
    np.testing.assert_allclose(theta.mean(0), t[0], atol=4.5 * 0.5 / math.sqrt(20_000))
    # What is whole stays so, also where 5 + .99999994 would be 6 in single precision
    whole = jnp.array([[0.3, 7.0, 5.0]], jnp.float32)
    assert space.by_chance(whole, jnp.array([[0.99999994, 0.0]], jnp.float32))[0, 1:].tolist() == [7.0, 5.0]


def test_a_simulator_gets_whole_numbers_and_fixed_ones() -> None:
    space = Space(a=Real(), dose=0.7, n=Count(0, 9))
    for theta in (np.array([[0.4, 3.6]]), jnp.array([[0.4, 3.6]])):
        np.testing.assert_allclose(space.full(theta), [[0.4, 0.7, 4.0]])
        np.testing.assert_allclose(jax.jit(Space(a=Real(), n=Count(0, 9)).full)(jnp.asarray(theta)), [[0.4, 4.0]])
    plain = np.ones((2, 1))
    assert Space(a=Real()).full(plain) is plain and Space(a=Angle(1)).nearest_whole(plain) is plain
    assert Count(1.0, np.int64(9)) == Count(1, 9) and type(Count(1.0, 9).low) is int  # type: ignore[arg-type]
