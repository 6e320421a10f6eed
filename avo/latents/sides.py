"""One page with sliders for both sides: a signal, a simulator's parameters on its left, a model's latents on its right.

    curves.py       decoder and simulated mean as the page evaluates them
    attributes.py   what can be measured on signals, as functions of the latents, to hold fixed
    controls.py     sliders, buttons and locks as HTML
    sides.html, sides.css (after the report's page.css), sides.js (after the report's shared.js)

Like the report the page is one file that asks no host for anything. A step of one latent by s, with the attributes
and latents that are locked held, is the shortest one in units of the latents' sizes that moves it by s and the locked
ones by nothing; where locks leave it less than a share of its own direction, it does not move. Attributes that are not
linear are held by many small such steps, each of which also takes back what the last ones lost.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import ArrayLike, Float, Int

from avo import __version__, checks
from avo.containers import Axis
from avo.folder import write_bytes
from avo.latents.attributes import DRAWN_DEGREE, DRAWS, WIDE, Attribute, learned, measured
from avo.latents.controls import GROUPS, NOTHING, buttons, row, slider, told
from avo.latents.curves import Polynomials, emulated, network, packed
from avo.latents.description import Description, describe
from avo.latents.mechanistic import Mechanistic
from avo.latents.models import BetaVAE
from avo.latents.simple import simple_factors
from avo.latents.trained import Trained
from avo.observations import kind_of, validate_observations
from avo.parameters import unwound
from avo.plots.style import with_unit
from avo.refine.identifiability import PURE
from avo.refine.kept import evenly
from avo.report.parts import asset, hashed, inline
from avo.report.words import escaped
from avo.tables import rounded

if TYPE_CHECKING:
    from avo.simulators import Problem

VALUES = 600  # of x in the page, at most
CHANNELS = 4
STEPS = 100  # of a parameter's slider, to either side of where it starts
REACH = 3.0  # sizes of a latent to either side of its centre
POSITIONS = (0.02, 0.98)  # in the range of each parameter, which its slider spans
SHARES = (1.0, 0.5, 0.25, 0.125)  # of that, tried in turn until the emulator is good
GOOD = 0.03
SHOWN = 12  # attributes, at most
ENCODED = 500  # decoded signals whose parameters are read off by least squares
LIBRARY = 4000  # simulations, from which parameters of the signal are found
LIMIT = 2_500_000  # bytes of a page


class Drawn(NamedTuple):
    """Which values of a signal the page shows: their places in the flat signal, channel by channel of each point."""

    places: Int[np.ndarray, " k"]
    chart: dict[str, Any]
    words: str


def page(
    model: Any,
    x: ArrayLike,
    path: str | Path,
    *,
    problem: "Problem | None" = None,
    theta: ArrayLike | None = None,
    signals: ArrayLike | None = None,
    attributes: Mapping[str, Any] | None = None,
    groups: Sequence[Any] | np.ndarray | None = None,
    axes: Sequence[Axis] = (),
    quantity: str = "",
    unit: str = "",
) -> Path:
    """Write one HTML page that moves a signal by a simulator's parameters and by a model's latents, beside each other.

    The signal is black. Sliders on its left move the simulator's parameters, on its right the latents; each side says
    how far it is from the signal, along the slider that was moved. What is locked stays: a parameter, a latent, or an
    attribute that the latents say, which other latents then make up for. The file holds all that it shows.

    Args:
        model: a `BetaVAE`, a `Trained`, or anything with `encode(x)` to codes (n, k) and `decode(z)` back. A decoder of
            fully connected layers is evaluated in the page; any other by polynomials, and the page says how far off.
        x: the signal, with shape x_shape: a vector, a series, or one of several channels.
        path: an .html file; one of that name is replaced.
        problem: the simulator of the left side, of which polynomials of the mean are shown; None: no left side.
        theta: the parameters of the signal, with shape (d,); None: found by `latents.Mechanistic`.
        signals: others, with shape (n, *x_shape), best those that the model was trained on: they give the unit of a
            step and say which latents are silent. None: as for `latents.describe`.
        attributes: name -> a number of each of these signals, (n,), or a function from any signals (n, *x_shape) to
            such numbers. None: the problem's parameters, read off decoded signals, or without one their simple factors.
        groups: a label of each of these signals; the page adds the mean code of one group, minus another's, to yours.
        axes, quantity, unit: of one signal, as in `avo.simulators.Problem`; None: the problem's.

    Returns:
        The file.

    Raises:
        ValueError: if an argument is not as described, x is an image, or the page would be too large.

    Example:
        >>> import tempfile
        >>> import avo, jax
        >>> t = np.linspace(0, 3, 20)
        >>> x = np.random.default_rng(0).uniform(1, 3, (300, 1)) * np.exp(-t)
        >>> trained = avo.latents.train(BetaVAE.for_data(jax.random.key(0), x, latents=2, width=16), x, epochs=20,
        ...     progress=False)
        >>> page(trained, x[0], Path(tempfile.mkdtemp()) / "sides.html", signals=x).name
        'sides.html'
    """
    file = checks.folder("path", path)
    if file.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"path must name an .html file; got {str(path)!r}.")
    text = _Sides(model, x, signals, problem, (axes, quantity, unit)).text(theta, attributes, groups)
    if len(text.encode()) > LIMIT:
        raise ValueError(f"the page would have {len(text.encode()) / 1e6:.1f} MB; give fewer attributes, or groups.")
    write_bytes(file, text.encode())
    return file


class _Sides:
    """A model, a signal, and what the page says of them."""

    def __init__(self, model: Any, x: Any, signals: Any, problem: Any, words: tuple[Any, str, str]) -> None:
        self.inner = model.model if isinstance(model, Trained) else model
        x, self.problem = np.asarray(x, np.float64), problem
        if isinstance(self.inner, BetaVAE):
            x = checks.shaped("x", x, self.inner.x_shape, "one signal")
        if problem is not None:
            x = checks.shaped("x", x, problem.x_shape, f"one signal of {problem.name}")
        if not np.all(np.isfinite(x)) or x.size < 2:
            raise ValueError(f"x must be one signal of at least two finite numbers; got shape {x.shape}.")
        if kind_of(x.shape) == "image":
            raise ValueError(
                f"x must be a vector or a series; got an image, shape {x.shape}. Use latents.plots.traversals."
            )
        self.x = x
        self.signals = None if signals is None else validate_observations(signals, "signals")
        axes, quantity, unit = words
        if problem is not None:
            axes, quantity, unit = axes or problem.axes, quantity or problem.quantity, unit or problem.unit
        self.axes, self.unit = tuple(axes), "" if unit == PURE else unit
        self.drawn = drawn(x.shape, self.axes, with_unit(quantity or "x", unit))
        self.found: Description = describe(model, signals)
        self.z = np.asarray(self.inner.encode(x[None]), np.float64)[0]
        self.speaking = self.found.speaking
        self.centre, self.size = self.found.centre, np.where(self.found.size > 0, self.found.size, 1.0)
        self.half = np.maximum(REACH * self.size, np.abs(self.z - self.centre)) * 1.02

    def text(self, theta: Any, attributes: Any, groups: Any) -> str:
        """Make the text of the page."""
        encoder = None if self.problem is None else Mechanistic(self.problem, rows=LIBRARY)
        left = None if encoder is None else _Left(encoder, self.x, theta, self.drawn.places)
        right = self._right(self._attributes(attributes, encoder), groups)
        values = {
            "chart": self.drawn.chart,
            "x": packed(self.x.ravel()[self.drawn.places]),
            "unit": self.unit,
            "left": None if left is None else left.values(),
            "right": right,
        }
        script = f"{asset('avo.report', 'shared.js')}\n{asset('avo.latents', 'sides.js')}"
        title = "A signal by latents" if left is None else f"A signal by parameters of {left.name}, and by latents"
        return Template(asset("avo.latents", "sides.html")).substitute(
            hash=hashed(script),
            css=f"{asset('avo.report', 'page.css')}\n{asset('avo.latents', 'sides.css')}",
            version=__version__,
            title=escaped(title),
            left="" if left is None else left.html(),
            right=self._html(right),
            key="" if left is None else '<li><i class="simulated line"></i>simulated, mean</li>',
            alone="" if left is not None else " alone",
            notes="\n".join(f"<p>{escaped(note)}</p>" for note in self._notes(left, right)),
            script=inline(script, values),
        )

    # --- the right side -----------------------------------------------------------------------------------------------

    def _right(self, attributes: list[Attribute], groups: Any) -> dict[str, Any]:
        """Describe the latents by plain values."""
        return {
            "z": self.z.tolist(),
            "latents": [
                {
                    "k": int(k),
                    "centre": float(self.centre[k]),
                    "size": float(self.size[k]),
                    "half": float(self.half[k]),
                }
                for k in self.speaking
            ],
            "decoder": self._decoder(),
            "attributes": [attribute.values() for attribute in attributes],
            "groups": self._groups(groups),
        }

    def _codes(self, v: Float[np.ndarray, "n s"]) -> Float[np.ndarray, "n k"]:
        """Put speaking latents, in units of their sizes about their centres, among the signal's others."""
        z = np.tile(self.z, (len(v), 1))
        z[:, self.speaking] = self.centre[self.speaking] + self.size[self.speaking] * v
        return z

    def _decoder(self) -> dict[str, Any]:
        places = self.drawn.places
        v = np.random.default_rng(0).normal(size=(16, len(self.speaking)))
        found = network(self.inner, places, self._codes(v))
        self.emulator: Polynomials | None = None
        if found is not None or not self.speaking:
            flat = np.asarray(self.inner.decode(self.z[None]), np.float64).reshape(-1)[places]
            return found or {"kind": "constant", "value": packed(flat)}
        share = (self.half / self.size)[self.speaking]

        def curve(v: np.ndarray) -> np.ndarray:
            return np.asarray(self.inner.decode(self._codes(v * share)), np.float64).reshape(len(v), -1)[:, places]

        self.emulator = emulated(curve, len(self.speaking))
        return self.emulator.values()

    def _attributes(self, given: Mapping[str, Any] | None, encoder: Mechanistic | None) -> list[Attribute]:
        """Regress attributes on the latents; those that these do not say are left out, and named."""
        self.left_out: list[str] = []
        if not self.speaking:
            return []
        count = ENCODED if given is None and encoder is not None else DRAWS
        draws = np.clip(WIDE * np.random.default_rng(1).normal(size=(count, len(self.speaking))), -REACH, REACH)
        draws[::2] = ((self.z - self.centre) / self.size)[self.speaking] + draws[::2] / WIDE
        names = [name for name, value in (given or {}).items() if callable(value)]
        found: list[Attribute] = []
        if given is None or names:
            decoded = np.asarray(self.inner.decode(self._codes(draws)), np.float64).reshape(count, *self.x.shape)
            columns = measured(given or {}, names, decoded)
            if given is None and encoder is not None:
                columns, names = encoder.encode(decoded), list(encoder.problem.space.names)
            elif given is None:
                columns, simple = simple_factors(decoded, self.axes)
                names = list(simple)
            found += [learned(str(n), draws, a, DRAWN_DEGREE) for n, a in zip(names, columns.T, strict=True)]
        rest = {name: value for name, value in (given or {}).items() if not callable(value)}
        if rest:
            v = self._of_signals("attributes")
            for name, value in rest.items():
                value = checks.shaped(f"attributes[{name!r}]", value, (len(v),), "one number for each of signals")
                found.append(learned(str(name), v, np.asarray(value, np.float64)))
        self.left_out = [f"{a.name} ({max(a.r2, 0.0):.2f})" for a in found if not a.measurable]
        kept = sorted((a for a in found if a.measurable), key=lambda a: -a.r2)[:SHOWN]
        self.told = ", ".join(f"{a.name} ({a.r2:.2f})" for a in kept)
        return kept

    def _of_signals(self, name: str) -> Float[np.ndarray, "n s"]:
        if self.signals is None:
            raise ValueError(f"{name} of single signals need these; give signals, with shape (n, *x_shape), too.")
        z = np.asarray(self.inner.encode(self.signals), np.float64)
        return ((z - self.centre) / self.size)[:, self.speaking]

    def _groups(self, labels: Any) -> list[dict[str, Any]]:
        """Compute the mean code of each group, in units of the latents' sizes."""
        if labels is None:
            return []
        v, labels = self._of_signals("groups"), np.asarray(labels)
        labels = checks.shaped("groups", labels, (len(v),), "one label for each of signals").astype(str)
        names, counts = np.unique(labels, return_counts=True)
        if len(names) < 2:
            raise ValueError(f"groups must name at least two groups; got only {str(names[0])!r}.")
        return [
            {"name": f"{name} ({count})", "mean": [float(f"{a:.6g}") for a in v[labels == name].mean(0)]}
            for name, count in zip(names.tolist(), counts.tolist(), strict=True)
        ]

    # --- words --------------------------------------------------------------------------------------------------------

    def _html(self, right: dict[str, Any]) -> str:
        """Write the controls of the right side."""
        inputs = [slider("latent", i, f"latent {one['k']}") for i, one in enumerate(right["latents"])]
        held = [row(i, one["name"]) for i, one in enumerate(right["attributes"])]
        parts = ["<h2>Latents</h2>", told("right"), *inputs] if inputs else ["<h2>Latents</h2>", NOTHING]
        if held:
            parts += ["<h3>Attributes</h3>", '<div class="attributes">', *held, "</div>"]
        if right["groups"]:
            options = "".join(
                f'<option value="{i}">{escaped(g["name"])}</option>' for i, g in enumerate(right["groups"])
            )
            parts.append(GROUPS.format(options=options))
        return "\n".join([*parts, buttons("right") if inputs else ""])

    def _notes(self, left: "_Left | None", right: dict[str, Any]) -> list[str]:
        """Say what is shown by what, how far it is off, and what is not shown."""
        said = [] if left is None else [left.note()]
        silent = int(self.found.silent.sum())
        if self.emulator is not None:
            said.append(
                "The decoder is not evaluated in the page, which knows small networks of fully connected layers only. "
                f"An emulator moves the picture: polynomials of degree {self.emulator.degree} of the latents, off by "
                f"{100 * self.emulator.off:.2g} % of how much the decoded signal varies over the sliders."
            )
        else:
            said.append("The model's decoder itself is evaluated in the page.")
        said.append(
            f"A latent's slider spans {REACH:.0f} of its standard deviations to either side. {silent} of "
            f"{len(self.found.effect)} latents change nothing and have none."
        )
        if right["attributes"]:
            said.append(
                "Attributes are read off the latents by regression, by which locks hold them, no better than that is "
                f"(R² of codes not used): {self.told}."
            )
        if self.left_out:
            said.append(f"No lock holds what the latents hardly say (R² in brackets): {', '.join(self.left_out)}.")
        return [*said, *filter(None, [self.drawn.words])]


class _Left:
    """The simulator's side: its mean as polynomials about the parameters of the signal."""

    def __init__(self, encoder: Mechanistic, x: np.ndarray, theta: Any, places: Int[np.ndarray, " k"]) -> None:
        self.space, self.name, line = encoder.problem.space, encoder.problem.name, encoder.line
        self.known, self.found = encoder.problem.mean is not None, theta is None
        if theta is None:
            theta = encoder.encode(x[None])[0]
        theta = checks.shaped("theta", np.asarray(theta, float), (self.space.dim,), "one value of each parameter")
        self.theta, self.line = theta, line
        u = np.asarray(self.space.unconstrain(theta), np.float64)
        ends = [line.of(np.full(line.dim, np.log(p / (1 - p)))) for p in POSITIONS]
        inside = (encoder.library.low, encoder.library.high)
        at = np.clip(line.of(u), *inside)
        low, high = (np.clip(end, *inside) for end in (np.minimum.reduce([*ends, at]), np.maximum.reduce([*ends, at])))
        for self.share in SHARES:
            lower, upper = at + self.share * (low - at), at + self.share * (high - at)
            middle, half = (lower + upper) / 2, np.maximum((upper - lower) / 2, 1e-12)
            self.emulator = emulated(lambda v: _flat(encoder, middle + half * v)[:, places], line.dim)  # noqa: B023
            if self.emulator.off < GOOD:
                break
        self.at, self.middle, self.half = at, middle, half

    def values(self) -> dict[str, Any]:
        """Describe parameters and mean by plain values."""
        parameters = []
        for i, name in enumerate(self.space.names):
            start = (self.at[i] - self.middle[i]) / self.half[i]
            v = np.concatenate([np.linspace(-1, start, STEPS + 1), np.linspace(start, 1, STEPS + 1)[1:]])
            w = np.tile(self.at, (len(v), 1))
            w[:, i] = self.middle[i] + self.half[i] * v
            theta = np.asarray(self.line.constrain(w), float)[:, i]
            step = max(np.ptp(unwound(theta, self.theta[i], self.space.periods[i])) / (2 * STEPS), 1e-300)
            unit = self.space.units[i]
            parameters.append(
                {
                    "name": name,
                    "unit": "" if unit == PURE else unit,
                    "v": [float(f"{a:.6g}") for a in v],
                    "theta": [rounded(value, 30 * step) for value in theta],
                }
            )
        return {"parameters": parameters, "surface": self.emulator.values()}

    def html(self) -> str:
        """Write the controls of the left side."""
        inputs = [slider("parameter", i, name) for i, name in enumerate(self.space.names)]
        parts = [f"<h2>Parameters of {escaped(self.name)}</h2>", told("left"), *inputs, buttons("left")]
        return "\n".join(['<section class="side" id="left" aria-label="Parameters">', *parts, "</section>"])

    def note(self) -> str:
        """Say by what the simulator is shown, and how far that is off."""
        found = "as least squares on its mean find them, " if self.found else ""
        mean = "its mean" if self.known else "its mean, as learned from simulations"
        return (
            f"The simulator is shown by an emulator of {mean}: polynomials of degree {self.emulator.degree} of the "
            f"parameters, off by {100 * self.emulator.off:.2g} % of how much the mean varies over the sliders. These "
            f"start at the signal's parameters, {found}and span {100 * self.share:.4g} % of each range."
        )


def _flat(encoder: Mechanistic, w: np.ndarray) -> np.ndarray:
    return encoder.decode(np.asarray(encoder.line.constrain(w), np.float64)).reshape(len(w), -1)


def drawn(shape: tuple[int, ...], axes: Sequence[Axis], label: str) -> Drawn:
    """Choose what the page shows of a signal, and how.

    Example:
        >>> found = drawn((1000, 2), (), "x")
        >>> found.places[:4].tolist(), len(found.places), found.chart["channels"]
        ([0, 1, 6, 7], 600, ['channel 0', 'channel 1'])
    """
    points, count = shape[0], int(np.prod(shape[1:]))
    channels = evenly(count, CHANNELS)
    at = evenly(points, VALUES // len(channels))
    given = len(axes) == len(shape)
    values = np.asarray(axes[0].values, float)[at] if given else at.astype(float)
    entries = axes[0].labels if given and len(shape) == 1 else ()
    name = with_unit(axes[0].name, axes[0].unit) if given else "index"
    own = list(axes[1].entries) if given and len(axes) > 1 else []
    names = [own[c] if own else f"channel {c}" for c in channels] if count > 1 else [label]
    chart = {
        "t": [float(f"{v:.8g}") for v in values],
        "name": "" if entries else name,
        "labels": [entries[i] for i in at] if entries else [],
        "points": kind_of(shape) == "vector",
        "channels": names,
    }
    whole = [f"{len(at)} of {points} points"] if len(at) < points else []
    whole += [f"{len(channels)} of {count} channels"] if len(channels) < count else []
    words = f"Drawn and compared are {' of '.join(whole)}." if whole else ""
    return Drawn((at[:, None] * count + channels).ravel(), chart, words)
