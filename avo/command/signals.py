"""The signals of `avo latents train`, `traverse` and `page`: where they come from, which train, what is kept of them.

A run's folder has, beside the trained model (avo/latents/keeping.py),

    signals.npz       of signals and their factors at most 500 that trained and 500 new ones, for `traverse`, `page`
    signals.json      names and units of them, and how the file was read
    findings.txt      what was printed
    history.png       error and KL by epoch
    traversals.png    the first new signal, one latent moved at a time; parameters.png: the same of the simulator
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import avo
from avo import data
from avo.checks import did_you_mean
from avo.command.naming import named
from avo.command.sources import Reading, problem_of, read
from avo.containers import Axis, named_columns
from avo.data.reading import READABLE
from avo.folder import damaged, read_arrays, read_stamped, stamped, write_arrays, write_json
from avo.latents import Trained, cases, describe, simple_factors
from avo.latents.description import NAMED, Description
from avo.latents.routes import by_components

if TYPE_CHECKING:
    from avo.simulators import Problem

LEAST = 40  # signals
KEPT = 500  # signals of either kind, at most
NUMBERS = 4_000_000  # in all that are kept, at most
BETWEEN = (0.05, 0.95)  # positions in the range of each parameter
FALLS = 0.1  # in R^2, from signals that train to new ones, above which it is said
OPTIONS = {"inputs": "factors"}  # what else a field of `Reading` is called here
GAP = "; fill or leave out such rows"


@dataclass(frozen=True, eq=False)
class Signals:
    """Signals to train on, and new ones.

    Args:
        name: what they are called.
        x: all, with shape (n, *x_shape).
        train, validation, new: row numbers.
        factors: what made them, as the simulator or the file has it, or simple numbers read off them, (n, d).
        names: of the factors.
        axes: of one signal.
        quantity, unit: of their values.
        simulator: whose they are, with its options; None: a file's.
        groups: whose each row is; None: not known.
        reading: how the file was read.
    """

    name: str
    x: np.ndarray
    train: np.ndarray
    validation: np.ndarray
    new: np.ndarray
    factors: np.ndarray
    names: tuple[str, ...]
    axes: tuple[Axis, ...] = ()
    quantity: str = ""
    unit: str = ""
    simulator: tuple[str, list[str]] | None = None
    groups: np.ndarray | None = None
    reading: Reading = Reading()

    @property
    def problem(self) -> "Problem | None":
        """The simulator."""
        return None if self.simulator is None else problem_of(self.simulator[0], self.simulator[1])

    @property
    def drawn(self) -> dict[str, Any]:
        """The words of a picture of one of them."""
        return {"axes": self.axes, "quantity": self.quantity, "unit": self.unit}

    def describe(self, trained: Trained) -> Description:
        """Say what each latent does, by the signals that trained it."""
        return describe(trained, self.x[self.train], self.factors[self.train], self.names)

    def keep(self, out: Path) -> None:
        """Write some of them into the folder of a run."""
        most = max(1, min(KEPT, NUMBERS // (2 * self.x[0].size)))
        rows = [
            part[np.linspace(0, len(part) - 1, min(most, len(part))).astype(int)] for part in (self.train, self.new)
        ]
        both = np.concatenate(rows)
        arrays = {"x": self.x[both], "factors": self.factors[both], "rows": both}
        words = {
            "name": self.name,
            "trained": len(rows[0]),
            "names": list(self.names),
            "axes": [axis.to_json() for axis in self.axes],
            "quantity": self.quantity,
            "unit": self.unit,
            "simulator": self.simulator,
            "reading": self.reading._asdict(),
            "groups": None if self.groups is None else [str(label) for label in np.asarray(self.groups)[both]],
            "arrays": write_arrays(out / "signals.npz", arrays),
        }
        write_json(out / "signals.json", stamped(words))

    @staticmethod
    def kept(run: Path) -> "Signals":
        """Read what `keep` wrote.

        Raises:
            FileNotFoundError: if there is none.
            ValueError: if it is damaged.
        """
        if not (run / "signals.json").is_file():
            raise FileNotFoundError(
                f"{run} holds no run of avo latents train (no signals.json); name one, or train: avo latents train."
            )
        words = read_stamped(run / "signals.json", "train again")
        arrays = read_arrays(run / "signals.npz", words.get("arrays"))
        try:
            rows, trained = np.arange(len(arrays["x"])), int(words["trained"])
            groups = words.get("groups")  # older runs kept none
            return Signals(
                words["name"], arrays["x"], rows[:trained], rows[:0], rows[trained:], arrays["factors"],
                tuple(words["names"]), tuple(map(Axis.from_json, words["axes"])), words["quantity"], words["unit"],
                None if words["simulator"] is None else tuple(words["simulator"]),
                None if groups is None else np.array(groups, str), Reading(**words["reading"]),
            )  # fmt: skip
        except (KeyError, TypeError, ValueError) as error:
            raise damaged(run / "signals.json") from error


def signals_of(
    name: str, option: list[str] | None, reading: Reading, n: int, seed: int, fractions: Sequence[float]
) -> Signals:
    """Read the signals of a file, or draw n of a registered simulator, and part them: who trains, and new ones."""
    asked = {field: value for field, value in reading._asdict().items() if value}
    if not _is_file(name):
        if name not in avo.simulators.names():
            raise ValueError(
                f"NAME_OR_FILE must be a simulator of avo list or a file of signals ({' '.join(READABLE)}); got "
                f"{name!r}.{did_you_mean(name, avo.simulators.names())} Of a simulator of your own, save draws."
            )
        if asked:
            words = ", ".join(f"--{OPTIONS.get(field, field.replace('_', '-'))}" for field in asked)
            raise ValueError(f"{words} say how to read a file; {name} is a simulator. Leave them out.")
        return _simulated(name, option or [], n, seed, fractions)
    if option:
        raise ValueError(f"--option is for a simulator; {name} is a file.")
    table = read(Path(name), reading, GAP)
    x = _checked(table.x, name)
    axes = named(reading.axis, x.shape[1:])
    axes = axes or (named_columns(table.names) if x.shape[1:] == (len(table.names),) else ())
    few = table.groups is not None and len(np.unique(table.groups)) < 3
    parts = data.split(len(x), (0.7, 0.0, 0.3) if few else fractions, groups=table.groups, seed=seed)
    factors, names = simple_factors(x, axes) if table.inputs is None else _factors(table, Path(name))
    found = Signals(Path(name).name, x, *parts, factors, names, axes)
    return replace(found, groups=table.groups, reading=reading)


def _factors(table: data.Table, file: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """Take what made the signals; an archive may have their names in another array."""
    assert table.inputs is not None
    if len(table.inputs) != len(table.x):
        raise ValueError(
            f"--factors must have a row for each of {len(table.x)} signals; {file} has {len(table.inputs)}. Leave it "
            "out where all signals were made at one theta."
        )
    factors = table.inputs.reshape(len(table.inputs), -1)
    names = table.input_names
    if file.suffix == ".npz":
        with np.load(file, allow_pickle=False) as arrays:
            names = tuple(map(str, arrays["names"].ravel())) if "names" in arrays.files else ()
    return factors, names if len(names) == factors.shape[1] else tuple(f"factor {j}" for j in range(factors.shape[1]))


def _is_file(name: str) -> bool:
    return name.endswith(READABLE) or Path(name).is_file()


def _simulated(name: str, option: list[str], n: int, seed: int, fractions: Sequence[float]) -> Signals:
    problem = problem_of(name, option)
    theta, x = cases.draw(problem, n, BETWEEN, seed)
    parts = data.split(n, fractions)
    return Signals(
        name, _checked(x, name), *parts, theta, problem.space.names, problem.axes, problem.quantity, problem.unit,
        (name, option),
    )  # fmt: skip


def _checked(x: np.ndarray, name: str) -> np.ndarray:
    """Refuse what has no room for latents."""
    if x.ndim < 2 or x[0].size < 2:
        raise ValueError(
            f"{name} has one number in a row, and latents describe signals of several; give a row for each signal, or "
            "cut a series of prices by --log-windows 180."
        )
    x = data.validate_observations(x, name)
    if len(x) < LEAST:
        raise ValueError(f"{name} has {len(x)} signals, a row each; latents are learned from at least {LEAST}.")
    if not np.ptp(x, axis=0).any():
        raise ValueError(f"{name} must differ from row to row; all its rows are the same.")
    return x


def like(reading: Reading, file: Path) -> Reading:
    """Read a file as another one was; only in a table columns of groups and factors stand among the others."""
    if file.name.endswith((".npy", ".npz", ".hea")):
        reading = reading._replace(groups=None, inputs=None)
    return reading._replace(axis=None)


def unlike(x: np.ndarray, name: str, shape: tuple[int, ...]) -> None:
    """Refuse signals of another shape than those that the model was trained on."""
    if x.shape[1:] != shape:
        raise ValueError(
            f"{name} has {' x '.join(map(str, x.shape[1:])) or 'one'} numbers in a row; the model was trained on "
            f"{' x '.join(map(str, shape))}. Choose columns by --columns, or cut them by --log-windows."
        )


def findings(trained: Trained, signals: Signals, words: str) -> str:
    """Write how well the model does on signals that trained it and on new ones, what its latents do, and the limits."""
    x, latents = signals.x, trained.model.latents
    learned, new = x[signals.train], x[signals.new]
    described = signals.describe(trained)
    components = by_components(learned, latents)
    own = [_explained(trained.model.reconstruct(part), part, learned) for part in (learned, new)]
    plain = [_explained(components.decode(components.encode(part)), part, learned) for part in (learned, new)]
    sizes = f"{len(x):,} signals of {' x '.join(map(str, x.shape[1:]))} numbers"
    counts = [f"{len(part):,}{_of_groups(signals, part)}" for part in (signals.train, signals.validation, signals.new)]
    middle = "" if not len(signals.validation) else f", {counts[1]} to choose the epoch"
    lines = [
        f"{signals.name}: {sizes}; {counts[0]} train{middle}, {counts[2]} are new",
        f"{words}: epoch {trained.epoch} of {trained.settings['epochs']}",
        "",
        "share of the variance explained, R^2      training  new",
        f"  autoencoder, {latents} latents".ljust(42) + f"{own[0]:8.2f}  {own[1]:.2f}",
        "  as many principal components".ljust(42) + f"{plain[0]:8.2f}  {plain[1]:.2f}",
        "",
        described.summary(),
        "",
        *_limits(signals, described, own, plain),
    ]
    return "\n".join(lines)


def _explained(made: np.ndarray, x: np.ndarray, learned: np.ndarray) -> float:
    """Compute the share of the squared distance from the training signals' mean that a reconstruction explains."""
    return float(1 - np.sum((x - made) ** 2) / np.sum((x - learned.mean(0)) ** 2))


def _of_groups(signals: Signals, rows: np.ndarray) -> str:
    if signals.groups is None or not len(rows):
        return ""
    count = len(np.unique(signals.groups[rows]))
    return f" (of {count} group{'' if count == 1 else 's'})"


def _limits(signals: Signals, described: Description, own: list[float], plain: list[float]) -> list[str]:
    """Say what does not follow from these numbers."""
    new = "signals" if signals.groups is None else "groups"
    said = []
    if own[0] - own[1] > FALLS:
        said.append(
            f"It knows the signals that it was trained on: R^2 falls from {own[0]:.2f} to {own[1]:.2f} on new {new}."
        )
    if plain[1] >= own[1]:
        said.append("As many principal components describe new signals as well, or better.")
    if signals.simulator is None and signals.groups is None:
        said.append(
            "New signals are the last rows of the file. If rows belong together (beats of one patient), name them by "
            "--groups; the R^2 of new signals is else too good."
        )
    count = len(signals.train)
    correlated = [described.nearest(k) for k in described.speaking]
    known = sum(found is not None and abs(found[1]) >= NAMED for found in correlated)
    what = "parameters of the simulator" if signals.simulator else "the factors given"
    what = what if signals.simulator or signals.reading.inputs else "simple numbers read off the signal"
    said.append(
        f"{known} of {len(correlated)} latents have a name (|r| of {NAMED} or more, Spearman's, with {what}); among "
        f"{count:,} signals chance alone reaches {min(1.0, 2.5 / np.sqrt(count)):.2f}. A name is a correlation, no "
        "cause."
    )
    return said
