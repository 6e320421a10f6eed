"""One repetition: what probes and choices see, and what is the test set."""

import numpy as np
import pytest

from avo.latents import cases, repetition
from avo.latents.cases import Labelled
from avo.latents.family import Size
from avo.latents.repetition import Sets, Setup, measure_route
from avo.latents.routes import Route

TINY = Size(200, 100, 2, 20_000, (200,), ("AE", "beta 4"), 300, 2000)


def test_probe_and_choice_see_labels_only_and_the_shifted_setting_is_its_own() -> None:
    """theta is 2 z on the labels and on the shifted setting; on the test set it has nothing to do with z."""
    rng = np.random.default_rng(0)
    x = {name: rng.normal(3.0, 2.0, (200, 20)) for name in ("labels", "test", "shifted")}
    theta = {name: 2 * a[:, :2] for name, a in x.items()} | {"test": rng.normal(size=(200, 2))}
    new = rng.normal(3.0, 2.0, (100, 20))
    route = Route("AE", lambda x: x[:, :2], lambda z: np.tile(z, 10), lambda key, n: new[:n], own=False)
    sets = Sets(**{name: Labelled(theta[name], x[name]) for name in x})
    found = measure_route(route, sets, route, lambda theta: np.tile(theta, 10), 0)
    left = theta["test"] - 2 * x["test"][:, :2]
    np.testing.assert_allclose(found["r2"], 1 - np.mean(left**2, 0) / theta["test"].var(0), rtol=1e-6)
    np.testing.assert_allclose(found["shifted r2"], 1.0, atol=1e-9)
    assert found["label score"] > 0.8 and found["linear_r2"].max() < 0.1


@pytest.mark.parametrize("fit_outside", [True, False])
def test_of_signals_from_outside_the_model_the_second_half_is_the_test_set(
    monkeypatch: pytest.MonkeyPatch, fit_outside: bool
) -> None:
    calls, trained_on, x = [], [], np.repeat([3.0, 7.0], 50)[:, None] * np.ones((100, 20))

    def made(name: str):
        def make(*arguments: object, wide: Route | None = None, **_: object) -> Route:
            calls.append(name)
            assert name != "by_simulator" or (wide is not None and wide.name == "by_simulations")
            trained_on.append(next(float(a.mean()) for a in arguments if isinstance(a, np.ndarray)))
            return Route(name, lambda x: x, lambda z: z, lambda key, n: x[:n], own=True)

        return make

    for name in ("by_simulator", "by_components", "by_simulations", "by_latents"):
        monkeypatch.setattr(repetition.routes, name, made(name))
    monkeypatch.setattr(repetition, "train_member", lambda member, x, size, seed: trained_on.append(float(x.mean())))
    monkeypatch.setattr(repetition.measures, "reconstruction", lambda route, x: float(x.mean()))
    size = TINY._replace(fit_outside=fit_outside)
    oscillator, none = cases.get("oscillator"), Labelled(np.zeros((0, 4)), np.zeros((0, 20)))
    setup = Setup(oscillator, oscillator.problem, size, none, none, none.x, x, lambda steps: None)
    records = [r for members in ((), ("AE",)) for r in repetition._outside(setup, members, 0)]
    assert (calls.count("by_simulator"), calls.count("by_simulations")) == ((1, 2) if fit_outside else (0, 2))
    errors = [r["value"] for r in records if r["measure"] == "outside error"]
    assert errors == [7.0] * 5 and set(trained_on) == {3.0}
