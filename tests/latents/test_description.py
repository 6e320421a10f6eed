"""What each latent does: exact for linear models, whose effects, steps and neighbours are known."""

from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest
from latents.linear_vae import NOISE, SCALE, SHIFT, D, K, linear, weights
from latents.plane import MAKE, X, train
from scipy.stats import spearmanr

from avo import latents
from avo.latents import BetaVAE, Trained, describe
from avo.latents.description import SAME, SILENT, spearman

RNG = np.random.default_rng(3)
SIGNALS = SHIFT + RNG.normal(size=(300, D)) * np.linspace(1.0, 3.0, D)


def scipys(a: np.ndarray, b: np.ndarray) -> Any:
    found: Any = spearmanr(a, b)
    return found.statistic


def codes(*columns: np.ndarray, weight: float = 1.0) -> Any:
    """A model whose codes are given columns of x, and whose decoder returns them, the last one by a weight."""
    weights = np.ones(len(columns))
    weights[-1] = weight
    picked = np.stack(columns)
    return SimpleNamespace(encode=lambda x: x @ picked.T, decode=lambda z: (z * weights) @ picked)


def test_effects_and_steps_of_a_linear_vae_are_exact() -> None:
    w = weights(np.random.default_rng(1))
    found = describe(linear(w), SIGNALS)
    inverse = np.linalg.inv(w.T @ w + NOISE**2 * np.eye(K))
    z = (SIGNALS - SHIFT) @ w @ inverse
    variance = np.mean((SIGNALS - SIGNALS.mean(0)) ** 2)
    np.testing.assert_allclose(found.centre, z.mean(0), atol=1e-5)
    np.testing.assert_allclose(found.size, np.sqrt(z.var(0) + NOISE**2 * np.diag(inverse)), rtol=1e-5)
    np.testing.assert_allclose(found.effect, z.var(0) * np.sum(w**2, axis=0) / D / variance, rtol=1e-4)
    # Without signals codes are the prior's, and the variance is that of the scale
    prior = describe(linear(w))
    np.testing.assert_array_equal(prior.size, 1.0)
    np.testing.assert_allclose(prior.effect, np.sum(w**2, axis=0) / D / SCALE**2, rtol=0.2)  # 500 draws


def test_a_model_that_states_no_error_moves_by_its_codes_alone() -> None:
    model = linear(weights(np.random.default_rng(1)))
    trained = [Trained(model, objective, {}, 1, {}) for objective in (latents.autoencoder(), latents.beta(1.0))]
    alone, both = (describe(of, SIGNALS).size for of in trained)
    np.testing.assert_allclose(alone, model.encode(SIGNALS).std(0), rtol=1e-6)
    np.testing.assert_allclose(both, describe(model, SIGNALS).size)
    assert np.all(alone < both)


def test_what_moves_nothing_is_silent() -> None:
    a, b, c = np.eye(D)[:3]
    small = np.sqrt(SILENT * np.mean(SIGNALS.var(0)) * D / SIGNALS[:, 2].var())
    assert describe(codes(a, b, c, weight=1.05 * small), SIGNALS).speaking == [1, 0, 2]
    found = describe(codes(a, b, c, weight=0.95 * small), SIGNALS)
    assert found.speaking == [1, 0] and found.silent.tolist() == [False, False, True]
    assert found.summary().splitlines()[0] == "2 of 3 latents change the signal; silent: 2"


@pytest.mark.parametrize("scale", [1e-6, 3e4])
def test_untrained_latents_are_silent_and_trained_ones_are_not(scale: float) -> None:
    x = scale * X
    untrained = BetaVAE.for_data(jax.random.key(2), x, latents=5, width=64)
    assert describe(untrained, x).speaking == [] and describe(untrained, x).effect.max() < SILENT / 3
    for objective in (latents.beta(1.0), latents.autoencoder()):
        made = train(MAKE, X, objective=objective, epochs=60, rate=5e-3)
        assert len(describe(made, X).speaking) == 2


def test_the_nearest_factor_is_named_with_its_sign() -> None:
    a, b = np.eye(D)[:2]
    theta = np.stack([np.exp(SIGNALS[:, 4]), np.exp(-2 * SIGNALS[:, 1]), SIGNALS[:, 0] + RNG.normal(size=300)], axis=1)
    found = describe(codes(a, b), SIGNALS, theta, ("rate", "size", "lag"))
    assert found.nearest(1) == ("size", -1.0) and found.label(1) == "size, r = -1.00"
    name, r = found.nearest(0) or ("", 0.0)
    assert name == "lag" and r == pytest.approx(scipys(SIGNALS[:, 0], theta[:, 2]))
    # Independent columns: 3 of 300 rows' r, at most some .2 by chance
    assert describe(codes(np.eye(D)[5]), SIGNALS, theta).label(0).startswith("no factor, |r| up to 0.")
    assert describe(codes(a), SIGNALS).label(0) == "" and describe(codes(a), SIGNALS).nearest(0) is None


def test_latents_that_say_the_same_are_one_group() -> None:
    a, b, c = np.eye(D)[:3]
    found = describe(codes(a, b, -2 * b + 0.1 * a, c), SIGNALS, SIGNALS[:, [1]], ("trend",))
    assert sorted(map(sorted, found.groups)) == [[0], [1, 2], [3]]
    assert "one and the same thing, 2 times: latents 1, 2" in found.summary()
    assert "2 latents follow trend with |r| of 0.8 or more: 1, 2" in found.summary()
    # Just below and just above the bound, by the share of another column
    ratio = SIGNALS[:, 0].std() / SIGNALS[:, 1].std()
    for share, together in ((0.6, True), (1.0, False)):
        mixed = a + share * ratio * b
        r = float(abs(scipys(SIGNALS @ a, SIGNALS @ mixed)))
        assert (r > SAME) == together and abs(r - SAME) < 0.1
        assert (len(describe(codes(a, mixed), SIGNALS).groups) == 1) == together


def test_spearman_with_ties_is_scipys() -> None:
    a, b = RNG.integers(0, 5, (40, 2)).astype(float), RNG.normal(size=(40, 3))
    np.testing.assert_allclose(spearman(a, b), scipys(a, b)[:2, 2:], atol=1e-10)


def test_wrong_input_is_named() -> None:
    model = codes(np.eye(D)[0])
    with pytest.raises(ValueError, match=r"signals must be given for a model that is no BetaVAE"):
        describe(model)
    with pytest.raises(ValueError, match=r"factors are those of signals"):
        describe(linear(weights(RNG)), factors=SIGNALS)
    with pytest.raises(ValueError, match=r"factors.*one row for each signal"):
        describe(model, SIGNALS, SIGNALS[:7])
    with pytest.raises(ValueError, match=r"names name each of d"):
        describe(model, SIGNALS, SIGNALS, ("one",))
