"""A simulator with a learned residual, beside the simulator alone and autoencoders of as many numbers in all.

    python -m avo.benchmarks.studies.grey pendulum | ptb
    python -m avo.benchmarks.studies.grey report

**pendulum**: the forced damped pendulum of physics-integrated variational autoencoders (Takeishi and Kalousis 2021,
arXiv:2102.13156; sizes and ranges are those of their code): angles at 50 times .05 s apart with noise .01,

    angle'' = -omega^2 sin(angle) - gamma angle' + A omega^2 cos(2 pi f t),    angle'(0) = 0
    omega in (.785, 3.14), gamma in (0, .8), A in (0, 40), f in (3.14, 6.28), angle(0) in (-1.57, 1.57)

1,000 to learn from and 1,000 to test. The simulator knows omega and the start, neither damping nor force. Autoencoders
and principal components have five numbers, the grey box two parameters and three codes. Their omega is read off the
codes by gradient-boosted trees that have all 1,000 labels; the simulator's takes none.

**ptb**: heartbeats of the ten PTB subjects, one person left out at a time (subjects 7 and 8 are one), a lead each task,
cut as in the study of latents. The simulator is the ECG's with 22 parameters, the others have 26 numbers in all. The
numbers are the squared error over the variance of the person's beats, each about its own mean.
"""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from avo.benchmarks.studies import latents as recordings
from avo.benchmarks.studies import study
from avo.benchmarks.studies.real import data_folder
from avo.benchmarks.studies.study import Study
from avo.latents.family import DEFAULT, Member, train_member
from avo.latents.grey import GreyBox
from avo.latents.mechanistic import Mechanistic
from avo.latents.objectives import autoencoder, beta
from avo.latents.routes import by_components
from avo.scikit import sklearn_module
from avo.simulators import Problem, ecg
from avo.simulators.ecg import WIDE
from avo.simulators.pendulum_driven import trajectory
from avo.simulators.problem import vectorize
from avo.space import Interval, Space
from avo.tables import markdown

SIGNALS, NOISE = 1000, 0.01
LOW, HIGH = np.array([0.785, 0.0, 0.0, 3.14, -1.57]), np.array([3.14, 0.8, 40.0, 6.28, 1.57])
TIMES, STEP, FINE = 50, 0.05, 10  # s; finer steps of the force
ROUTES = ("simulator", "grey box", "PCA", "AE", "VAE")
LEADS = ("ii",)


def forced(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw omega, gamma, A, f and start of pendulums, and their noisy angles."""
    rng = np.random.default_rng(seed)
    theta = rng.uniform(LOW, HIGH, (n, 5))

    def angles(theta: jax.Array) -> jax.Array:
        omega, gamma, size, f, start = theta
        path = trajectory(
            omega**2, gamma, size * omega**2, 2 * jnp.pi * f, start, 0.0, step=STEP / FINE, steps=(TIMES - 1) * FINE
        )
        return jnp.append(start, path[FINE - 1 :: FINE, 0])

    x = jax.jit(jax.vmap(angles))(jnp.asarray(theta))
    return theta[:, [0, 4]], np.asarray(x, np.float64) + NOISE * rng.normal(size=x.shape)


def free() -> Problem:
    """Make the simulator that knows neither damping nor force."""

    def mean(theta: jax.Array) -> jax.Array:
        path = trajectory(theta[0] ** 2, 0.0, 0.0, 1.0, theta[1], 0.0, step=STEP, steps=TIMES - 1)
        return jnp.append(theta[1], path[:, 0])

    def draw(key: jax.Array, theta: jax.Array) -> jax.Array:
        return mean(theta) + NOISE * jax.random.normal(key, (TIMES,))

    space = Space(omega=Interval(0.3, 5.0, unit="rad/s"), start=Interval(-2.5, 2.5, unit="rad"))
    return Problem("pendulum", "", vectorize(draw), space, np.array([2.0, 1.0]), (TIMES,), mean=mean)


def others(x: np.ndarray, codes: int, seed: int, epochs: int) -> dict[str, Any]:
    """Learn components and autoencoders with so many codes, of so many times 79 steps, the best of which is kept."""
    found: dict[str, Any] = {"PCA": by_components(x, codes)}
    for name, objective in (("AE", autoencoder()), ("VAE", beta(1.0, calibrated=True))):
        member = Member(objective, {"width": 128, "latents": codes})
        found[name] = train_member(member, x, DEFAULT, seed, epochs=epochs).model
    return found


def measure_pendulum(task: str, seed: int) -> dict[str, Any]:
    """Learn from one set of pendulums, and test on another."""
    theta, x = forced(SIGNALS, 1234 + 2 * seed)
    truth, new = forced(SIGNALS, 1235 + 2 * seed)
    box = GreyBox(free(), latents=3, rows=5000, noise="equal").fit(x, seed=seed)
    found = box.explain(new)
    alone = Mechanistic(free(), rows=5000, noise="equal").explain(new)
    away = found.theta - truth
    omega, mse = {"simulator": float(np.abs(away[:, 0]).mean())}, {"simulator": _mse(new, alone.fitted)}
    omega["grey box"], mse["grey box"] = omega["simulator"], _mse(new, found.fitted)
    for name, model in others(x, 5, seed, 100).items():
        z, at = model.encode(x), model.encode(new)
        mse[name] = _mse(new, model.decode(at))
        trees: Any = sklearn_module("ensemble").GradientBoostingRegressor(random_state=seed).fit(z, theta[:, 0])
        omega[name] = float(np.abs(trees.predict(at) - truth[:, 0]).mean())
    spread = {"simulator": _spread(away, alone.stderr), "grey box": _spread(away, found.stderr)}
    return {"mse": mse, "omega": omega, "spread": spread, "shares": box.shares.tolist()}


class _Heartbeats(GreyBox):
    """A grey box whose least squares, which depend on no other person and no seed, are those of all beats at once."""

    def __init__(self, x: np.ndarray) -> None:
        window = (-recordings.BEFORE, recordings.AFTER)
        problem = ecg((*WIDE,), rate=x.shape[1] / (window[1] - window[0]), window=window, ranges=WIDE)
        super().__init__(problem, steps=1000, rows=5000, noise="equal")
        self.places = {one.tobytes(): i for i, one in enumerate(x)}
        self.solved = super()._solve(x)

    def _solve(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray]]:
        at = [self.places[one.tobytes()] for one in x]
        w, square, ends = self.solved
        return w[at], square[at], (ends[0][at], ends[1][at])


@cache
def heartbeats(lead: str) -> tuple[np.ndarray, np.ndarray, _Heartbeats]:
    """Cut a lead's beats: these, whose they are, and their grey box."""
    x, subjects, leads = recordings.ptb(data_folder())
    with np.load(data_folder() / "ecg" / "ptb_10subjects_15lead.npz") as file:
        own = leads == list(file["leads"]).index(lead)
    persons = np.where(subjects[own] == recordings.ONE_PERSON[1], recordings.ONE_PERSON[0], subjects[own])
    x = np.ascontiguousarray(x[own], np.float64)
    return x, persons, _Heartbeats(x)


def measure_ptb(lead: str, seed: int) -> dict[str, Any]:
    """Leave out one person after the other."""
    x, persons, box = heartbeats(lead)
    left: dict[str, list[float]] = {name: [] for name in ROUTES}
    found = []
    for person in np.unique(persons):
        new = persons == person
        total = float(np.mean((x[new] - x[new].mean(1, keepdims=True)) ** 2))
        f = box.decode(box.fit(x[~new], groups=persons[~new], seed=seed).encode(x[new]))
        found.append(int(np.sum(box.gains > 0)))
        left["simulator"].append(_mse(x[new], f) / total)
        left["grey box"].append(_mse(x[new], f + box.residual(x[new])) / total)
        for name, model in others(x[~new], len(WIDE) + box.latents, seed, 20).items():
            left[name].append(_mse(x[new], model.decode(model.encode(x[new]))) / total)
    return {"left": left, "found": found, "beats": len(x)}


def _mse(x: np.ndarray, fitted: np.ndarray) -> float:
    return float(np.mean((x - fitted) ** 2))


def _spread(away: np.ndarray, stderr: np.ndarray) -> list[float]:
    """Compute the root mean square of errors in units of what they are said to be: omega's and the start's."""
    return np.sqrt(np.mean((away / stderr) ** 2, axis=0)).tolist()


def report(rows: list[dict[str, Any]]) -> str:
    """Write the tables."""
    lines = []
    if pendulums := [row for row in rows if row["study"] == "pendulum"]:
        table = []
        for name in ROUTES:
            cells = [_over([1e3 * row["mse"][name] for row in pendulums], ".2f")]
            cells.append(_over([row["omega"][name] for row in pendulums], ".3f"))
            spreads = [row["spread"].get(name, [np.nan])[0] for row in pendulums]
            table.append([name, *cells, "" if np.isnan(spreads).all() else _over(spreads, ".1f")])
        head = ["pendulum", "mean squared error, 1e-3 rad^2", "mean error of omega, rad/s", "rms error over stated"]
        lines += [*markdown(head, table, right=1), ""]
    for lead in LEADS:
        beats = [row for row in rows if row["study"] == "ptb" and row["task"] == lead]
        if beats:
            head = [f"PTB, lead {lead}", "unexplained, mean over persons", "worst person"]
            left = {name: np.array([row["left"][name] for row in beats]) for name in ROUTES}
            table = [[name, _over(a.mean(1), ".3f"), _over(a.max(1), ".3f")] for name, a in left.items()]
            lines += [*markdown(head, table, right=1), ""]
    return "\n".join(lines)


def _over(values: Any, form: str) -> str:
    """Write the median over seeds, and the least and the largest."""
    low, middle, high = np.quantile(np.asarray(values), (0.0, 0.5, 1.0))
    return f"{middle:{form}} ({low:{form}} .. {high:{form}})"


STUDIES = {"pendulum": Study(measure_pendulum, ("forced",), (0, 3)), "ptb": Study(measure_ptb, LEADS, (0, 3))}

if __name__ == "__main__":
    study.main("grey", __doc__, STUDIES, report)
