"""Routes: components by hand, latents that say nothing, and regressions where the answer is known."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest
from latents.linear_routes import signals
from latents.linear_vae import with_weights

import avo
from avo.latents import BetaVAE, Trained, autoencoder, beta, cases, measures, routes
from avo.latents.objectives import Objective
from avo.latents.routes import Route


def test_components_reconstruct_all_but_the_other_components() -> None:
    theta, x = signals(500, 12, noise=0.05)
    route = routes.by_components(x, 3)
    left = np.linalg.svd(x - x.mean(0), compute_uv=False)[3:]
    rms = np.sqrt(np.sum(left**2) / x.size)
    assert abs(measures.reconstruction(route, x) * measures.noise_floor(x) / rms - 1) < 1e-9
    z = route.encode(x)
    assert np.allclose(z.std(0), 1) and np.allclose(np.corrcoef(z.T), np.eye(3), atol=1e-9)
    made = route.sample(jax.random.key(3), 50_000)
    assert np.allclose(np.cov(made.T), np.cov(x.T), atol=0.03 * np.cov(x.T).max())
    # The 27 directions that no code moves scatter by what is left in them, each by the same: known to 1 in 1600
    off = (made - x.mean(0)) @ np.linalg.svd(x - x.mean(0), full_matrices=False)[2][3:].T
    np.testing.assert_allclose(off.std(), np.sqrt(np.sum(left**2) / (500 * 27)), rtol=4 / np.sqrt(2 * off.size))


@pytest.mark.parametrize("objective", [beta(1.0), autoencoder()])
def test_latents_without_information_move_nothing(objective: Objective) -> None:
    """Two values along v1 and v2 plus noise; three latents, of which the second hears and says nothing."""
    v = np.linalg.qr(np.random.default_rng(2).normal(size=(30, 2)))[0]
    z = np.random.default_rng(3).normal(size=(4000, 2))
    x = 4.0 + z @ (v * [3.0, 2.0]).T + 0.1 * np.random.default_rng(4).normal(size=(4000, 30))
    model = BetaVAE.make(jax.random.key(0), (30,), latents=3, depth=0, shift=4.0)
    rows = np.stack([v[:, 0] / 3, np.zeros(30), v[:, 1] / 2])
    loud = np.log([1e-4, 1.0, 1e-4])
    # An autoencoder's constant code moves its decodes; a VAE's costs less than .01 nats, and its decoder ignores it
    constant, says = (0.1, 0.0) if objective.sampled else (0.2, 9.0)
    model = with_weights(
        model,
        np.concatenate([rows, np.zeros((3, 30))]),
        np.r_[0.0, constant, 0.0, loud],
        np.stack([3 * v[:, 0], says * v[:, 1], 2 * v[:, 1]], 1),
        np.zeros(30),
    )
    model = model.calibrated(x, draws=4 if objective.sampled else 0)
    route = routes.by_latents("VAE", Trained(model, objective, {}, 1, {"epochs": 1}), x)
    assert route.active is not None and route.active.tolist() == [True, False, True]
    # The silent latent's mean follows, a little, what the other two do not say
    codes, more = route.encode(x), np.random.default_rng(6).normal(size=len(x))
    whispered = np.stack([codes[:, 0], 1e-3 * more, codes[:, 2]], 1)
    hearing, slope = route._replace(encode=lambda _: whispered), np.array([[1.0, 0.5], [0.0, 2.0]])
    labels = z @ slope + 0.3 * more[:, None]
    every, drawn = (measures.fit_probe(hearing, x, labels, drawn=d) for d in (False, True))
    np.testing.assert_allclose(every.slope[1], 300, rtol=0.02)
    np.testing.assert_allclose(drawn.slope[[0, 2]], slope, atol=5 * 0.3 / np.sqrt(len(x)) + 0.01)
    if objective.sampled:  # drawn, the silent latent has a standard deviation of 1, of which .3 more * .001 is lost
        assert np.all(abs(drawn.slope[1]) < 1e-3) and np.all(abs(drawn.sd / 0.3 - 1) < 0.06)
    else:  # an autoencoder's codes do not scatter
        np.testing.assert_array_equal(drawn.slope, every.slope)
    assert np.all(measures.monotone(hearing, x, lambda x: (x - 4.0) @ v / [3.0, 2.0]) > 0.99)
    made = route.sample(jax.random.key(5), 20_000)
    # Off the plane of v1 and v2 only the noise scatters: that of the model
    off = (made - made.mean(0)) @ np.linalg.svd(v.T)[2][2:].T
    assert abs(np.std(off) / float(model.noise) - 1) < 0.01
    if objective.sampled:  # all but the two directions that the codes hold, 28 of 30, and the codes' own sd of .01
        assert abs(float(model.noise) / np.sqrt((0.01 * 28 + 0.03**2 + 0.02**2) / 30) - 1) < 0.02
    if objective.sampled:
        assert route.encode_sd is not None
        np.testing.assert_allclose(route.encode_sd(x)[:, [0, 2]], 0.01, rtol=1e-6)


def test_labels_reach_the_regression_on_a_linear_gaussian_model() -> None:
    # x = theta + noise of the same standard deviation s: E[theta | x] explains s^2 / 2 of s^2, R^2 = 1/2
    rng = np.random.default_rng(13)
    theta = 3.0 + 0.4 * rng.normal(size=(4000, 2))
    x = theta + 0.4 * rng.normal(size=theta.shape)
    problem = avo.simulators.gaussian_linear()
    route = routes.by_labels(problem, theta[:2000], x[:2000], 0)
    assert (
        np.abs(measures.accuracy(route, measures.fit_probe(route, x, theta), x[2000:], theta[2000:])["r2"] - 0.5).max()
        < 0.06
    )


def test_errors_of_few_labels_are_those_of_signals_that_were_not_learned_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """A regression that knows by heart what it learned, and says the mean, zero, of all else.

    Of 50 labels ten are held out, about which it is wrong by all that they scatter; on enough labels of its own it is
    never wrong, and their residuals count.
    """
    rng = np.random.default_rng(14)
    theta, x = rng.normal(size=(50, 2)) * [0.4, 3.0] + 1.7, rng.normal(size=(50, 2))
    monkeypatch.setattr(routes, "learn_statistic", lambda key, units, pairs: (pairs.x, pairs.y))
    monkeypatch.setattr(routes, "apply", lambda t, x: (x[:, None] == t[0][None]).all(2) @ t[1])
    for enough, exact in ((51, theta[:10].std(0)), (50, np.zeros(2))):
        monkeypatch.setattr(routes, "FEW_LABELS", enough)
        route = routes.by_labels(avo.simulators.gaussian_linear(), theta, x, 0)
        np.testing.assert_allclose(route.encode(x), theta)
        assert route.encode_sd is not None
        np.testing.assert_allclose(route.encode_sd(x[:3]), np.tile(exact, (3, 1)), atol=1e-12)


def test_a_regression_at_hand_stands_in_for_a_fit_without_a_population(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = SimpleNamespace(estimate=None, status="budget")
    monkeypatch.setattr(routes, "fit", lambda *_, **__: lost)
    wide = Route("simulator", lambda x: x, lambda z: z, lambda key, n: np.zeros(n), own=True, words="learned before")
    found = routes.by_simulator(cases.get("oscillator").problem, np.zeros((3, 64)), 1000, 0, wide=wide)
    assert found.encode is wide.encode and not found.fitted
    assert (found.name, found.words) == ("simulator", "no population found (budget); learned before")
