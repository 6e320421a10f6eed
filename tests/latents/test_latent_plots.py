"""Pictures of one latent, or parameter, moved at a time: the curves drawn are those that a linear model has."""

from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from latents.linear_vae import SHIFT, D, K, linear, weights
from latents.plane import MAKE, X, train
from matplotlib.figure import Figure

import avo
from avo import latents
from avo.containers import Axis
from avo.latents import describe, plots

RNG = np.random.default_rng(5)
W = weights(np.random.default_rng(2))
SIGNALS = SHIFT + RNG.normal(size=(200, D))


def lines(figure: Figure, panel: int) -> np.ndarray:
    return np.array([line.get_ydata() for line in figure.axes[panel].get_lines() if len(line.get_ydata()) > 2], float)


def still(shape: tuple[int, ...], gain: np.ndarray) -> Any:
    """A model of k codes, means over x, each of which lifts one entry of x (or one image) by its gain."""

    def decode(z: np.ndarray) -> np.ndarray:
        return np.einsum("nk,k...->n...", z, gain)

    return SimpleNamespace(
        encode=lambda x: np.stack([x.reshape(len(x), -1).mean(1)] * len(gain), axis=1), decode=decode
    )


def test_a_linear_decoder_is_moved_by_its_columns() -> None:
    model = linear(W)
    found, x = describe(model, SIGNALS), SIGNALS[7]
    figure = plots.traversals(model, x, signals=SIGNALS, axes=(Axis("dose", "mg", np.arange(1.0, D + 1)),), unit="mV")
    z = model.encode(x[None])[0]
    base = model.decode(z[None])[0]
    for panel, k in enumerate(found.speaking):
        drawn = lines(figure, panel)
        assert figure.axes[panel].get_title() == f"latent {k}"
        for curve, step in zip(drawn, plots.STEPS, strict=False):
            move = found.centre[k] + found.size[k] * step - z[k]
            np.testing.assert_allclose(curve, base + move * W[:, k], atol=1e-4)
        np.testing.assert_array_equal(drawn[-1], x)
    assert len(found.speaking) == K and figure.axes[0].get_ylabel() == "x (mV)"
    assert figure.axes[0].get_xlabel() == "dose (mg)"
    assert figure.axes[0].get_ylim() == figure.axes[2].get_ylim()  # effects can be compared


def test_a_silent_latent_is_left_out_and_the_others_have_names() -> None:
    w = W * [1.0, 1e-3, 1.0]
    model = linear(w)
    theta = SIGNALS @ np.linalg.pinv(w).T[:, [2, 0]]
    figure = plots.traversals(model, SIGNALS[0], signals=SIGNALS, factors=theta, names=("lag", "rate"))
    titles = [axes.get_title() for axes in figure.axes[:2]]
    assert [title.split(", r")[0] for title in titles] == ["latent 0 (rate", "latent 2 (lag"]
    suptitle = figure.get_suptitle()
    assert suptitle == "signal in black, one latent moved from -3 to 3; 1 of 3 silent and left out"
    untrained = latents.BetaVAE.for_data(jax.random.key(0), SIGNALS, latents=2, width=16)
    alone = plots.traversals(untrained, SIGNALS[0], signals=SIGNALS)
    assert alone.axes[0].get_title() == "nothing moves it"
    np.testing.assert_array_equal(lines(alone, 0)[-1], SIGNALS[0])


def test_channels_stand_side_by_side_those_that_change_most() -> None:
    gain = np.zeros((1, 20, 6))
    gain[0, :, [1, 2, 4, 5]] = np.array([3.0, 1.0, 2.0, 5.0])[:, None]
    x = RNG.normal(size=(50, 20, 6))
    leads = Axis("lead", "", np.arange(6), ("a", "b", "c", "d", "e", "f"))
    figure = plots.traversals(still((20, 6), gain), x[3], signals=x, axes=(Axis("time", "s", np.arange(20) / 4), leads))
    assert [axes.get_title() for axes in figure.axes[:4]] == [f"latent 0, {lead}" for lead in "bcef"]
    np.testing.assert_array_equal(lines(figure, 3)[-1], x[3, :, 5])
    assert "4 of 6 channels, those that change most" in figure.get_suptitle()
    assert {axes.get_xlabel() for axes in figure.axes[:4]} == {"time (s)"}


def test_images_stand_in_a_row() -> None:
    gain = np.zeros((1, 8, 9))
    gain[0, 2, 5] = 4.0
    x = 1.0 + RNG.normal(size=(50, 8, 9))
    model = still((8, 9), gain)
    found = describe(model, x)
    figure = plots.traversals(model, x[1], signals=x)
    shown = [np.asarray(axes.get_images()[0].get_array()) for axes in figure.axes[:8]]
    np.testing.assert_array_equal(shown[0], x[1])
    for image, step in zip(shown[1:], plots.STEPS, strict=True):
        assert image[2, 5] == pytest.approx(4 * (found.centre[0] + found.size[0] * step)) and image[0, 0] == 0
    assert [axes.get_title() for axes in figure.axes[:8]] == ["signal", "-3", "-2", "-1", "0", "1", "2", "3"]


def test_a_parameter_is_moved_over_its_range() -> None:
    problem = avo.simulators.oscillator()
    theta = np.asarray(problem.theta_true)
    x = np.asarray(problem.simulate(jax.random.key(0), jnp.asarray(theta)[None])[0])
    figure = plots.parameters(problem, theta, x)
    j = 2
    drawn, u = lines(figure, j), np.asarray(problem.space.unconstrain(theta)).copy()
    for curve, position in zip(drawn, plots.POSITIONS, strict=False):
        u[j] = np.log(position / (1 - position))
        np.testing.assert_allclose(curve, problem.mean(problem.space.constrain(u)), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(drawn[-1], x)
    assert figure.axes[j].get_title().startswith(f"{problem.space.names[j]}: ")
    low, high = problem.space[problem.space.names[j]].support
    assert low < float(figure.axes[j].get_title().split()[1]) < high


def test_without_a_mean_simulations_share_a_key() -> None:
    problem = avo.simulators.ricker()
    figure = plots.parameters(problem, seed=4)
    made = np.asarray(problem.simulate(jax.random.key(4), jnp.asarray(problem.theta_true)[None]))
    np.testing.assert_array_equal(lines(figure, 0)[-1], made[0])
    assert "simulations by one key" in figure.get_suptitle()


def test_the_history_is_drawn() -> None:
    made = train(MAKE, X[:400], validation=X[400:], objective=latents.beta(1.0), epochs=4)
    figure = plots.history(made)
    np.testing.assert_allclose(lines(figure, 0)[0], made.history["mse"])
    np.testing.assert_allclose(lines(figure, 0)[1], made.history["validation_mse"])
    np.testing.assert_allclose(lines(figure, 1)[1], made.history["kl_per_latent"][:, 1])


def test_wrong_input_is_named() -> None:
    with pytest.raises(ValueError, match=r"x must have one signal, shape \(7,\); got shape \(200, 7\)"):
        plots.traversals(linear(W), SIGNALS)
    with pytest.raises(ValueError, match=r"theta must have one value of each parameter, shape \(4,\)"):
        plots.parameters(avo.simulators.oscillator(), [1.0])
