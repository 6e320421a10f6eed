"""What a fit leaves behind: its folder's words and pictures, and its report."""

import csv
import io
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import avo
from avo import data
from avo.alerts import warn
from avo.clock import stage
from avo.command.sources import PREDICTED, Task, stream
from avo.execution.calls import Calls
from avo.execution.host import HostSimulator
from avo.execution.simulator import handed
from avo.folder import stamped, write_bytes, write_json
from avo.result import Result
from avo.weights import row_at, shares_of, turns_of

# Stated errors from the maximum likelihood, up to which an estimate agrees with it. Both are unbiased and the maximum
# likelihood is the best, so that their difference has the variance Var(estimate) - Var(mle) (Hausman 1978): .1 to .5
# stated errors where these are 1.005 to 1.15 of the best, and less than one whatever they are
AGREE = 2.0
PICTURE_ROWS = {True: 200, False: 1000}  # draws for predictive.png, of a host simulator or not


def write_command(out: Path, options: dict[str, Any], task: Task, result: Result) -> None:
    """Write the words of the command, for `avo check` and `avo report`: command.json."""
    words = {name.rstrip("_"): str(v) if isinstance(v, Path) else v for name, v in options.items()}
    known = None if task.truth is None else dict(zip(result.space.columns, task.truth.tolist(), strict=True))
    write_json(out / "command.json", stamped({"command": "fit", "options": words, "truth": known}))


@contextmanager
def as_far_as_it_goes(out: Path) -> Iterator[None]:
    """Leave out what a folder takes no more, gone or on a full disk, after a fit whose result has been printed."""
    try:
        yield
    except BrokenPipeError:  # of what is printed
        raise
    except OSError as error:
        warn(f"{out} cannot be written ({error.strerror or error}); pictures and the like are left out.")


@stage("pictures")
def draw(out: Path, result: Result, task: Task, seed: int, workers: int | None = None) -> list[Path]:
    """Draw how the fit went, and simulations at its estimate beside the observations."""
    source, observed = task.source, task.observed
    n = min(len(observed), PICTURE_ROWS[isinstance(source.simulate, HostSimulator)])
    key_theta, key_x = jax.random.split(stream(seed, PREDICTED))
    population = result.settings["target"] == "population"
    theta = result.sample(key_theta, n) if population else jnp.tile(jnp.asarray(result.theta), (n, 1))
    # Conditions and gaps of as many rows, from all over the file, or in proportion to their weights
    rows = np.linspace(0, len(observed) - 1, n).round().astype(int)
    if (shares := shares_of(task.weights)) is not None:
        turns = turns_of(shares)
        rows, observed = row_at(np.arange(n), turns), observed[row_at(np.arange(len(observed)), turns)]
    given = None if task.inputs is None else task.inputs.x[rows]
    full = handed(source.simulate, source.space, theta)
    x_sim = _simulated(source.simulate, key_x, full, given, observed.shape[1:], workers)
    whole = np.isfinite(x_sim.reshape(n, -1)).all(1)
    if isinstance(source.simulate, HostSimulator):  # without those that fail
        x_sim, rows = x_sim[whole], rows[whole]
    x_sim = np.where(np.isnan(task.observed[rows]), np.nan, x_sim)
    figures = {"history.png": avo.plots.history(result, task.free_truth)}
    if len(x_sim) > 1:
        name, unit = task.quantity
        figures["predictive.png"] = avo.plots.predictive(observed, x_sim, task.axes, name or "x", unit)
    for name, figure in figures.items():
        picture = io.BytesIO()
        figure.savefig(picture, dpi=100)
        write_bytes(out / name, picture.getvalue())
    return [out / name for name in figures]


def _simulated(
    simulate: Any, key: Any, theta: Any, given: Any, x_shape: tuple[int, ...], workers: int | None
) -> np.ndarray:
    """Simulate; rows that fail are NaN."""
    if not isinstance(simulate, HostSimulator):
        return np.asarray(simulate(key, theta) if given is None else simulate(key, theta, jnp.asarray(given)))
    with closing(Calls(simulate, len(theta), x_shape, executor=workers)) as calls:
        return calls.alone(key, theta, given)


def encode(out: Path, result: Result, task: Task) -> list[Path]:
    """Write E[theta | x] of each observation under its name, where the file names them and the fit was refined."""
    table = task.table
    if table is None or table.index is None or result.estimate is None:
        return []
    theta = result.encode(task.x_obs, task.inputs)
    lines = io.StringIO(newline="")
    rows = csv.writer(lines)
    rows.writerow([table.index_name, *result.names])
    rows.writerows([name, *values] for name, values in zip(table.index.tolist(), theta.tolist(), strict=True))
    write_bytes(out / "encoded.csv", lines.getvalue().encode())
    return [out / "encoded.csv"]


def report(result: Result, task: Task) -> str:
    """Write the estimates as a table, beside what is known of them, and how to widen a range that may be too narrow."""
    source, observed = task.source, task.observed
    lines = [f"\n{source.name}, {len(observed)} observations\n\n{result.summary(task.free_truth)}"]
    # That of all parameters says nothing of a fit that was told of some
    alone = source.problem is not None and not source.space.fixed and not source.space.known
    alone = alone and task.weights is None and not np.isnan(observed).any()
    mle = source.problem.mle(jnp.asarray(observed)) if alone and source.problem is not None else None
    if mle is not None:
        values = ", ".join(f"{name}={value:.5g}" for name, value in zip(result.names, np.asarray(mle), strict=True))
        lines.append(f"closed-form maximum likelihood on the same observations: {values}")
        lines += agreement(result, np.asarray(mle))
    if result.at_bound:
        words = " ".join(f"--range {name}=LOW,HIGH" for name in result.at_bound)
        lines.append(f"to widen the range of what lies at its end: {words}")
    return "\n".join(lines)


def agreement(result: Result, mle: np.ndarray) -> list[str]:
    """Say whether the estimate of one theta agrees with the maximum likelihood, where errors are finite."""
    if result.stderr is None or result.settings["target"] != "point":
        return []
    apart = np.abs(result.theta - mle) / result.stderr
    known = np.isfinite(result.stderr) & np.isfinite(apart)
    if not known.any():
        return []
    j = int(np.argmax(np.where(known, apart, -1.0)))
    words = "they agree"
    if apart[j] > AGREE:
        words = "they do not agree: the observations depend on one another, the simulator is wrong, or the fit is"
    return [f"the estimate lies at most {apart[j]:.1f} stated errors from it ({result.names[j]}): {words}"]


def increments(paths: np.ndarray) -> str:
    """Describe log-price windows without any simulator: scales of their steps, and whether they show a drift."""
    steps = np.diff(paths, axis=1, prepend=0.0)
    words = {"sd": "standard deviation", "window": "median of the windows' own", "iqr": "inter-quartile scale"}
    scales = ", ".join(f"{words[name]} {value:.2e}" for name, value in data.scales(paths).items())
    mean, error = steps.mean(), steps.std() / np.sqrt(steps.size)
    shown = "is" if abs(mean) > 2 * error else "is not"
    return (
        f"log price per step, in closed form: {scales}\n"
        f"drift {mean:.1e} with standard error {error:.1e}: it {shown} identified by these windows"
    )
