"""Pictures of latents and of parameters, one moved at a time: what each does to one signal, in small multiples.

Of the model's code z of a signal x, entry k is set to

    z_k = centre_k + s size_k,    s = -3, -2, ..., 3

with the others as they are, and decoded: a panel a latent, the input in black. Centre and size are those of
avo/latents/description.py. Silent latents are left out, the others stand in the order of their effect, each beside the
factor that it is nearest to. `parameters` is the same of a simulator: position p of a parameter in its range, on the
scale of its kind, from .05 to .95, the signal in black.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike, Float
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from avo.checks import shaped
from avo.latents.description import Description, describe
from avo.latents.models import BetaVAE
from avo.latents.trained import Trained
from avo.observations import kind_of, planes
from avo.plots.images import VALUES
from avo.plots.style import (
    FITTED,
    OBSERVED,
    SIMULATED,
    AxisLike,
    Canvas,
    canvas,
    cut,
    decades,
    finished,
    grid,
    lowest,
    with_unit,
)

if TYPE_CHECKING:
    from avo.simulators import Problem

STEPS = np.linspace(-3.0, 3.0, 7)
POSITIONS = np.linspace(0.05, 0.95, 7)
COLOURS = colormaps["viridis"](np.linspace(0.0, 0.92, len(STEPS)))
MOST = 16  # panels
CHANNELS = 4  # of a series, side by side
LABELS = 12  # of entries along an axis


def traversals(
    model: Any,
    x: ArrayLike,
    *,
    signals: ArrayLike | None = None,
    factors: ArrayLike | None = None,
    names: Sequence[str] | None = None,
    problem: "Problem | None" = None,
    axes: Sequence[AxisLike] = (),
    quantity: str = "",
    unit: str = "",
    description: Description | None = None,
    figure: Canvas | None = None,
) -> Figure:
    """Draw one signal in black, and what becomes of it when one latent moves from -3 to 3, a panel a latent.

    Args:
        model: a `BetaVAE`, a `Trained`, or anything with `encode(x)` to codes (n, k) and `decode(z)` back.
        x: the signal, with shape x_shape: a vector, a series, one of several channels, or an image.
        signals: others, with shape (n, *x_shape), best those that the model was trained on: they give the unit of a
            step and say which latents are silent. None: as for `latents.describe`.
        factors: what made these, with shape (n, d), beside which latents are drawn.
        names: of the factors.
        problem: the simulator of the signals, which gives names of axes, quantity, unit and factors.
        axes, quantity, unit: the same, where there is no simulator.
        description: what `latents.describe` found of the model, in place of signals and factors.
        figure: a Figure or SubFigure to draw in; None: a new one.

    Raises:
        ValueError: if an argument is not as described.

    Example:
        >>> from avo.latents import train
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(400, 1)) * [1.0, -2.0, 3.0] + 0.1 * rng.normal(size=(400, 3))
        >>> model = BetaVAE.for_data(jax.random.key(0), x, latents=2, width=16)
        >>> trained = train(model, x, epochs=40, rate=5e-3, progress=False)
        >>> [axes.get_title()[:6] for axes in traversals(trained, x[0], signals=x).axes[:1]]
        ['latent']
    """
    inner = model.model if isinstance(model, Trained) else model
    x = np.asarray(x, np.float64)
    if isinstance(inner, BetaVAE):
        x = shaped("x", x, inner.x_shape, "one signal")
    if problem is not None:
        axes, quantity, unit = axes or problem.axes, quantity or problem.quantity, unit or problem.unit
        names = problem.space.names if names is None and factors is not None else names
    found = describe(model, signals, factors, names) if description is None else description
    chosen = found.speaking[:MOST]
    titles = [" ".join(filter(None, (f"latent {k}", found.label(k) and f"({found.label(k)})"))) for k in chosen]
    silent = int(found.silent.sum())
    words = f"signal in black, one latent moved from -3 to 3; {silent} of {len(found.effect)} silent and left out"
    if len(found.speaking) > MOST:
        words += f", and {len(found.speaking) - MOST} of less effect"
    moved = move(inner, x, found)[chosen] if chosen else np.zeros((0, len(STEPS), *x.shape))
    view = _View(tuple(axes), with_unit(quantity or "x", unit), words, "step (standard deviations)")
    return view.draw(x, moved, titles, STEPS, figure)


def move(
    model: Any, x: Float[np.ndarray, "*x_shape"], found: Description, steps: Float[np.ndarray, " steps"] = STEPS
) -> Float[np.ndarray, "k steps *x_shape"]:
    """Decode one signal's code with each entry moved in turn: what `traversals` draws.

    Example:
        >>> model = BetaVAE.make(jax.random.key(0), (8,), latents=2)
        >>> move(model, np.ones(8), describe(model)).shape
        (2, 7, 8)
    """
    z = np.repeat(np.asarray(model.encode(x[None]), np.float64), len(steps), axis=0)
    curves = []
    for k in range(z.shape[1]):
        moved = z.copy()
        moved[:, k] = found.centre[k] + found.size[k] * steps
        curves.append(model.decode(moved))
    return np.array(curves)


def parameters(
    problem: "Problem",
    theta: ArrayLike | None = None,
    x: ArrayLike | None = None,
    *,
    inputs: ArrayLike | None = None,
    seed: int = 0,
    figure: Canvas | None = None,
) -> Figure:
    """Draw what a simulator makes of one parameter moved over its range, a panel a parameter, the signal in black.

    Args:
        problem: the simulator. It is drawn by its mean, where that is known, else by simulations that share one key.
        theta: the parameters from which one is moved, with shape (d,); None: the problem's truth.
        x: the signal, with shape x_shape; None: what is drawn at theta.
        inputs: the known conditions of the signal, of a problem that has them, with shape (k,).
        seed: of the simulations.
        figure: a Figure or SubFigure to draw in; None: a new one.

    Raises:
        ValueError: if an argument is not as described.

    Example:
        >>> import avo
        >>> drawn = parameters(avo.simulators.oscillator())
        >>> drawn.axes[0].get_title().split(":")[0] == avo.simulators.oscillator().space.names[0]
        True
    """
    space = problem.space
    theta = shaped(
        "theta",
        np.asarray(problem.theta_true if theta is None else theta, float),
        (space.dim,),
        "one value of each parameter",
    )
    u = np.asarray(space.unconstrain(theta), np.float64)
    rows = np.tile(u, (space.dim * len(POSITIONS), 1))
    for j in range(space.dim):
        own = slice(j * len(POSITIONS), (j + 1) * len(POSITIONS))
        rows[own, j] = np.log(POSITIONS / (1 - POSITIONS))
    moved = np.asarray(space.constrain(jnp.asarray(np.concatenate([u[None], rows]), float)))
    made = _made(problem, moved, inputs, seed)
    signal = made[0] if x is None else shaped("x", np.asarray(x, np.float64), problem.x_shape, "one signal")
    values = moved[1:].reshape(space.dim, len(POSITIONS), space.dim)
    titles = [
        f"{with_unit(name, '')}: {values[j, 0, j]:.3g} to {values[j, -1, j]:.3g} {unit}".rstrip()
        for j, (name, unit) in enumerate(zip(space.names, space.units, strict=True))
    ]
    curves = made[1:].reshape(space.dim, len(POSITIONS), *made.shape[1:])
    how = "mean" if problem.mean is not None else "simulations by one key"
    words = f"{problem.name}: signal in black, one parameter moved over its range ({how})"
    view = _View(problem.axes, with_unit(problem.quantity, problem.unit), words, "position in the range")
    return view.draw(signal, curves[:MOST], titles[:MOST], POSITIONS, figure)


def _made(problem: "Problem", theta: np.ndarray, inputs: ArrayLike | None, seed: int) -> np.ndarray:
    """Compute the mean at each theta, or simulate each by the same key."""
    given = () if inputs is None else (jnp.asarray(inputs, float),)
    if problem.mean is not None:
        return np.stack([np.asarray(problem.mean(row, *given), np.float64) for row in theta])
    key, given = jax.random.key(seed), tuple(c[None] for c in given)
    return np.stack([np.asarray(problem.simulate(key, row[None], *given)[0], np.float64) for row in theta])


def history(trained: Trained, figure: Canvas | None = None) -> Figure:
    """Draw a training: squared error by epoch, of training and validation signals, and the KL of each latent.

    Args:
        trained: what was trained.
        figure: a Figure or SubFigure to draw in; None: a new one.

    Example:
        >>> from avo.latents import train
        >>> x = np.random.default_rng(0).normal(size=(400, 3))
        >>> model = BetaVAE.for_data(jax.random.key(0), x, latents=2, width=16)
        >>> [axes.get_xlabel() for axes in history(train(model, x, epochs=2, progress=False)).axes]
        ['epoch', 'epoch']
    """
    found = trained.history
    epochs = np.arange(1, len(found["mse"]) + 1)
    figure, panels = grid(2 if "kl_per_latent" in found else 1, height=2.8, figure=figure)
    for name, label, colour in (("mse", "training", FITTED), ("validation_mse", "validation", SIMULATED)):
        if name in found:
            panels[0].plot(epochs, found[name], color=colour, label=label)
    panels[0].axvline(trained.epoch, color=OBSERVED, lw=0.8, ls=":", label="the model kept")
    panels[0].set_ylabel("mean squared error")
    decades(panels[0], "y")
    panels[0].legend(frameon=False, fontsize="small")
    if len(panels) > 1:
        panels[1].plot(epochs, found["kl_per_latent"], color=FITTED, lw=0.9)
        panels[1].set_ylabel("KL of each latent (nats)")
        if trained.objective.capacity:
            panels[1].plot(epochs, found["capacity"], color=OBSERVED, ls="--", lw=0.9, label="capacity, of all")
            panels[1].legend(frameon=False, fontsize="small")
    for axes in panels:
        axes.set_xlabel("epoch")
    return finished(figure)


class _View:
    """How signals are drawn: their axes, the label of their values, what the picture says, what its colours mean."""

    def __init__(self, axes: Sequence[AxisLike], label: str, words: str, colours: str) -> None:
        self.axes, self.label, self.words, self.colours = axes, label, words, colours

    def draw(
        self, x: np.ndarray, moved: np.ndarray, titles: list[str], steps: np.ndarray, figure: Canvas | None
    ) -> Figure:
        """Draw a signal and what became of it, (k, steps, *x_shape)."""
        if not len(moved):  # the input alone, and the words that say why
            moved, titles = np.full((1, len(steps), *x.shape), np.nan), ["nothing moves it"]
        kind = kind_of(x.shape)
        if kind == "image":
            figure = self._images(x, moved, titles, steps, figure)
        else:
            flat = x.reshape(len(x), -1) if kind == "series" else x.reshape(-1, 1)
            figure = self._curves(flat, moved.reshape(*moved.shape[:2], *flat.shape), titles, steps, figure)
        figure.suptitle(self.words, fontsize="medium")
        return finished(figure)

    def _curves(
        self, x: np.ndarray, moved: np.ndarray, titles: list[str], steps: np.ndarray, figure: Canvas | None
    ) -> Canvas:
        """Draw a panel for each of one channel; of several a row for each, with the channels that change most."""
        count = x.shape[1]
        change = np.nan_to_num(np.ptp(moved, axis=1)).mean((0, 1))
        channels = np.sort(np.argsort(-change, kind="stable")[:CHANNELS])
        if count == 1:
            figure, panels = grid(len(moved), figure=figure)
            rows: list[list[Axes]] = [[axes] for axes in panels]
        else:
            figure = canvas((2.8 * len(channels) + 1.4, 1.7 * len(moved) + 0.9), figure)
            made: Any = figure.subplots(len(moved), len(channels), squeeze=False)
            rows = [list(row) for row in made]
            if count > len(channels):
                self.words += f"; {len(channels)} of {count} channels, those that change most"
        for row, curves, title in zip(rows, moved, titles, strict=True):
            for axes, c in zip(row, channels, strict=True):
                self._curve(axes, x[:, c], curves[..., c])
                axes.set_title(title if count == 1 else f"{title}, {self._channel(c)}", fontsize="small")
        self._share(rows, count == 1)
        self._bar(figure, [axes for row in rows for axes in row], steps)
        return figure

    def _curve(self, axes: Axes, x: np.ndarray, curves: np.ndarray) -> None:
        along = self.axes[0] if self.axes and len(self.axes[0].values) == len(x) else None
        entries: tuple[str, ...] = tuple(getattr(along, "labels", ()))
        at = np.arange(len(x)) if along is None or entries else np.asarray(along.values, float)
        # Entries of a vector are points, of which lines help to see which belong together
        style: dict[str, Any] = {"marker": "o", "markersize": 3} if kind_of(x.shape) == "vector" else {}
        for curve, colour in zip(curves, COLOURS, strict=True):
            axes.plot(at, curve, color=colour, lw=1.0, **style)
        axes.plot(at, x, color="black", lw=1.3, **style)
        if entries:
            some = slice(None, None, -(-len(entries) // LABELS))
            axes.set_xticks(at[some], [cut(entry, 16) for entry in entries[some]], rotation=90)
        axes.tick_params(labelsize="small")
        axes.yaxis.set_major_locator(MaxNLocator(4))

    def _channel(self, c: int) -> str:
        labels = self.axes[1].labels if len(self.axes) > 1 else ()  # pyright: ignore[reportAttributeAccessIssue]
        return labels[c] if labels else f"channel {c}"

    def _share(self, rows: list[list[Axes]], single: bool) -> None:
        """Give panels of the same channel one scale, and label the outer ones."""
        for column in zip(*rows, strict=True):
            limits = np.array([axes.get_ylim() for axes in column])
            for axes in column:
                axes.set_ylim(limits[:, 0].min(), limits[:, 1].max())
        name = with_unit(self.axes[0].name, self.axes[0].unit) if self.axes else "entry"
        flat = [axes for row in rows for axes in row]
        bottom = lowest(flat) if single else rows[-1]
        for axes in flat:
            axes.set_xlabel(name if axes in bottom else "", fontsize="small")
            # Names of entries are written once
            ticks = axes.get_xticklabels()
            if ticks and ticks[0].get_rotation() and axes not in bottom:
                axes.tick_params(labelbottom=False)
        for row in rows:
            if row[0].get_subplotspec().colspan.start == 0:  # pyright: ignore[reportOptionalMemberAccess]
                row[0].set_ylabel(self.label, fontsize="small")

    def _images(
        self, x: np.ndarray, moved: np.ndarray, titles: list[str], steps: np.ndarray, figure: Canvas | None
    ) -> Canvas:
        """Draw a row of images for each, the input on the left, of the channel that changes most."""
        shown = planes(x[None])[0]
        made = planes(moved.reshape(-1, *x.shape)).reshape(*moved.shape[:2], *shown.shape)
        c = int(np.argmax(np.nan_to_num(np.ptp(made, axis=1)).mean((0, 1, 2))))
        if shown.shape[-1] > 1:
            self.words += f"; channel {c}, which changes most"
        figure = canvas((1.2 * (len(steps) + 1) + 1.2, 1.35 * len(made) + 0.9), figure)
        panels = figure.subplots(len(made), len(steps) + 1, squeeze=False)
        style: dict[str, Any] = {"cmap": VALUES, "aspect": "auto", "origin": "lower"}
        # A noisy input spans more than what is decoded, which would be pale on its scale
        still = np.isnan(made).all()
        low, high = (0.0, 1.0) if still else (float(np.nanmin(made[..., c])), float(np.nanmax(made[..., c])))
        for row, images, title in zip(panels, made, titles, strict=True):
            row[0].imshow(shown[..., c], **style)
            for axes, image in zip(row[1:], images, strict=True):
                drawn = axes.imshow(image[..., c], vmin=low, vmax=high, **style)
            for axes in row:
                axes.set(xticks=[], yticks=[])
            row[0].set_ylabel(title.replace(" (", "\n(").replace(": ", ":\n"), fontsize="x-small")
        for axes, word in zip(panels[0], ("signal", *(f"{step:.3g}" for step in steps)), strict=True):
            axes.set_title(word, fontsize="small")
        figure.colorbar(drawn, ax=panels, label=f"decoded {self.label}")
        self.words = self.words.replace("signal in black", "signal on a scale of its own")
        if len(self.axes) == x.ndim:
            up, right = (with_unit(axis.name, axis.unit) for axis in self.axes[:2])
            self.words += f"\nupwards {up}, to the right {right}"
        return figure

    def _bar(self, figure: Canvas, panels: list[Axes], steps: np.ndarray) -> None:
        half = (steps[1] - steps[0]) / 2
        norm = BoundaryNorm([*(steps - half), steps[-1] + half], len(steps))
        bar = figure.colorbar(ScalarMappable(norm, ListedColormap(COLOURS)), ax=panels, ticks=steps, aspect=40)
        bar.set_label(self.colours, fontsize="small")
        bar.ax.tick_params(labelsize="small")
        bar.ax.set_yticks(steps, [f"{step:.3g}" for step in steps])
