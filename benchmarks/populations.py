"""Real recordings as populations: every heartbeat, and every three hours of prices, with parameters of its own.

`python -m avo.benchmarks.populations [--data FOLDER] [--out FOLDER]` prints two reports and draws one picture.

**Heartbeats.** The normal beats of MIT-BIH record 100, read as avo/benchmarks/real.py does. The seventeen parameters of
the wave model are fitted to all of them as one point; then ten of them (amplitudes and places of the waves, offset and
noise) vary from beat to beat, the widths stay. Means, spreads and correlations come with errors; neighbouring beats
breathe together, so that beats are grouped by the minute. `encode` gives E[theta | x] of each beat, also of the atrial
premature beats (label A), which the fit has not seen; the area under the ROC curve says how well one encoded parameter
tells them from normal beats.

**Prices.** BTC/USDT, December 2024, windows of 180 minutes of log price, as Brownian motion whose volatility differs
from window to window: the spread of log sigma, with its error. Windows of one day are grouped. Then plain Brownian
motion with one volatility is fitted to the first half of the windows and checked against the second; so is the
population.
"""

import argparse
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from matplotlib.figure import Figure
from sklearn.metrics import roc_auc_score

import avo
from avo import data
from avo.benchmarks.real import AFTER, BASELINE, BEAT_RATE, BEAT_SPACE, BEFORE, MINUTES, data_folder, price_paths
from avo.simulators import brownian, ecg

VARY = ("p_amp", "p_centre", "q_amp", "r_amp", "r_centre", "s_amp", "t_amp", "t_centre", "offset", "snr")


def beats(folder: Path, symbol: str) -> tuple[np.ndarray, np.ndarray]:
    """Read beats with one label, and the minute of each."""
    known: dict[str, Any] = {"lead": "MLII", "before": BEFORE, "after": AFTER, "fs": BEAT_RATE, "baseline": BASELINE}
    x = data.read_beats(folder / "ecg" / "100", symbols=symbol, **known)
    return x, np.linspace(0, 30, len(x), endpoint=False).astype(int)


def heartbeats(folder: Path, seed: int = 0) -> dict[str, Any]:
    """Fit normal beats as a population, and encode them and the premature ones."""
    normal, minute = beats(folder, "N")
    premature, _ = beats(folder, "A")
    problem = ecg(free=BEAT_SPACE.names, rate=BEAT_RATE, window=(-BEFORE, AFTER))
    point = avo.fit(problem.simulate, normal, BEAT_SPACE, seed=seed, progress=False)
    space = avo.Space(**{name: BEAT_SPACE[name] for name in VARY})
    places = np.array([BEAT_SPACE.names.index(name) for name in VARY])
    fixed = jnp.asarray(point.theta)

    def simulate(key: Array, theta: Array) -> Array:
        return problem.simulate(key, jnp.tile(fixed, (theta.shape[0], 1)).at[:, places].set(theta))

    result = avo.fit(simulate, normal, space, target="population", groups=minute, seed=seed, progress=False)
    encoded, early = result.encode(normal), result.encode(premature)
    labels = np.r_[np.zeros(len(normal)), np.ones(len(premature))]
    area = [float(roc_auc_score(labels, np.r_[encoded[:, i], early[:, i]])) for i in range(len(VARY))]
    return {"result": result, "normal": encoded, "premature": early, "area": area}


def prices(folder: Path, seed: int = 0) -> dict[str, Any]:
    """Fit prices as a population of volatilities, and check both it and a single volatility."""
    x = price_paths(folder)
    day = np.arange(len(x)) * MINUTES // (24 * 60)
    problem = brownian(MINUTES, float(MINUTES))
    scale = float(np.diff(x, axis=1).std())
    space = avo.Space(mu=avo.Real(0.0, scale / 10, unit="1/min"), sigma=avo.Positive(scale, unit="1/sqrt(min)"))
    population = avo.fit(problem.simulate, x, space, target="population", groups=day, seed=seed, progress=False)
    half = len(x) // 2
    found: dict[str, Any] = {"population": population}
    for target in ("point", "population"):
        first = avo.fit(problem.simulate, x[:half], space, target=target, seed=seed, progress=False)
        found[f"{target}, first half"] = first
        if first.estimate is not None:
            found[f"check of {target}"] = avo.check(first, problem.simulate, x[half:], progress=False)
    return found


def picture(found: dict[str, Any]) -> Figure:
    """Draw the encoded parameters of premature beats beside those of normal ones."""
    space = found["result"].space
    figure = Figure(figsize=(12, 5.5), layout="constrained")
    axes = figure.subplots(2, 5)
    for i, (ax, name, unit) in enumerate(zip(axes.flat, space.names, space.units, strict=True)):
        low, high = np.percentile(np.r_[found["normal"][:, i], found["premature"][:, i]], [0.5, 99.5])
        bins = np.linspace(low, high, 30)
        ax.hist(found["normal"][:, i], bins, density=True, color="0.75", label="normal beats")
        ax.hist(
            found["premature"][:, i], bins, density=True, histtype="step", lw=1.6, color="tab:red",
            label="atrial premature beats",
        )  # fmt: skip
        ax.set_title(f"area under ROC {found['area'][i]:.2f}", fontsize=9)
        ax.set_xlabel(f"{name} ({unit})")
        ax.set_yticks([])
    axes[0, 0].set_ylabel("density")
    axes[1, 0].set_ylabel("density")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncol=2, frameon=False)
    return figure


def _correlations(result: avo.Result, least: float = 0.3) -> str:
    assert result.population is not None
    of = result.population.u
    pairs = [(abs(of.corr[i, j]), i, j) for i in range(len(of.sd)) for j in range(i)]
    rows = [
        f"{result.names[j]}, {result.names[i]}: {of.corr[i, j]:+.2f} +- {of.corr_stderr[i, j]:.2f}"
        for size, i, j in sorted(pairs, reverse=True)
        if size > least
    ]
    return "\n".join(rows)


def main() -> None:
    """Print the reports and draw the picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=data_folder(), help="folder of recordings")
    parser.add_argument("--out", type=Path, default=Path(), help="folder for the picture")
    arguments = parser.parse_args()
    found = prices(arguments.data)
    print(f"prices, {MINUTES} min windows\n\n{found['population'].summary()}\n")
    if found["population"].population is not None:
        of = found["population"].population.u
        print(f"sd of log sigma over windows: {of.sd[1]:.3f} +- {of.sd_stderr[1]:.3f}\n")
    for target in ("point", "population"):
        print(f"{target}, fitted to the first half and checked on the second:")
        print(found[f"check of {target}"].summary(5) if f"check of {target}" in found else "no estimate", end="\n\n")
    beats_found = heartbeats(arguments.data)
    print(f"normal heartbeats of record 100\n\n{beats_found['result'].summary()}\n")
    if beats_found["result"].population is not None:
        print(f"correlations in u, strongest first:\n{_correlations(beats_found['result'])}\n")
    areas = ", ".join(f"{name} {a:.2f}" for name, a in zip(VARY, beats_found["area"], strict=True))
    print(f"{len(beats_found['premature'])} atrial premature beats, area under the ROC curve: {areas}")
    picture(beats_found).savefig(arguments.out / "premature_beats.png", dpi=110)


if __name__ == "__main__":
    main()
