"""Real recordings as populations: every heartbeat, and every three hours of prices, with parameters of its own.

`python -m avo.benchmarks.studies.populations [--data FOLDER] [--out FOLDER]` prints two reports and draws one picture.

**Heartbeats.** The normal beats of MIT-BIH record 100, read as avo/benchmarks/studies/real.py does. The seventeen
parameters of the wave model are fitted to all of them as one point, which fixes the shape; then the P wave's amplitude
and place, the R wave's amplitude, the T wave's amplitude and place, and two kinds of noise, white and slow, vary from
beat to beat. Without slow noise (stationary, forgotten in 0.1 s, about what respiration, muscles and electrodes leave)
the scores take for a parameter what is none. Means, spreads and correlations come with errors; neighbouring beats
breathe together, so that beats are grouped by the minute. `encode` gives E[theta | x] of each beat, also of the atrial
premature beats (label A), which the fit has not seen; the area under the ROC curve says how well one encoded parameter
tells them from normal beats. The labels sit within 1.5 ms of the R peaks, whose wave is 9 ms wide and sampled each 5.6
ms: part of the spread of the R amplitude is theirs.

**Prices.** BTC/USDT, December 2024, windows of 180 minutes of log price, as Brownian motion whose volatility differs
from window to window: the spread of log sigma, with its error. Windows of one day are grouped. Then plain Brownian
motion with one volatility is fitted to the first half of the windows and checked against the second; so is the
population.
"""

import argparse
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import roc_auc_score

import avo
from avo import data
from avo.benchmarks.studies.real import (
    AFTER,
    BASELINE,
    BEAT_RATE,
    BEAT_SPACE,
    BEFORE,
    MINUTES,
    data_folder,
    price_paths,
)
from avo.simulators import brownian, ecg, vectorize
from avo.space import Interval, LogInterval, Space

SLOW = 0.1  # s
VARY = Space(
    p_amp=Interval(-0.2, 0.5, unit="mV"),
    p_centre=Interval(-0.22, -0.12, unit="s"),
    r_amp=Interval(0.4, 2.0, unit="mV"),
    t_amp=Interval(-0.3, 0.6, unit="mV"),
    t_centre=Interval(0.32, 0.42, unit="s"),
    snr=Interval(5.0, 40.0, unit="dB"),
    slow=LogInterval(0.002, 0.2, unit="mV"),
)


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
    point = avo.fit(problem.simulate, normal, BEAT_SPACE, refine=False, seed=seed, progress=False)
    *waves, _ = VARY.names
    places = np.array([BEAT_SPACE.names.index(name) for name in waves])
    fixed, keep = jnp.asarray(point.theta), np.exp(-1 / (SLOW * BEAT_RATE))

    def draw(key: Array, theta: Array) -> Array:
        key, slow = jax.random.split(key)
        x = problem.simulate(key, fixed.at[places].set(theta[:-1])[None])[0]

        def follow(level: Array, fresh: Array) -> tuple[Array, Array]:
            level = keep * level + np.sqrt(1 - keep**2) * fresh
            return level, level

        fresh = jax.random.normal(slow, x.shape)
        return x + theta[-1] * jax.lax.scan(follow, fresh[0], fresh)[1]

    result = avo.fit(vectorize(draw), normal, VARY, target="population", groups=minute, seed=seed, progress=False)
    encoded, early = result.encode(normal), result.encode(premature)
    labels = np.r_[np.zeros(len(normal)), np.ones(len(premature))]
    area = [float(roc_auc_score(labels, np.r_[encoded[:, i], early[:, i]])) for i in range(VARY.dim)]
    return {"result": result, "normal": encoded, "premature": early, "area": area}


def prices(folder: Path, seed: int = 0) -> dict[str, Any]:
    """Fit prices as a population of volatilities, and check both it and a single volatility."""
    x = price_paths(folder)
    day = np.arange(len(x)) * MINUTES // (24 * 60)
    problem = brownian(MINUTES, float(MINUTES))
    scale = float(np.diff(x, axis=1).std())
    space = Space(mu=avo.Real(0.0, scale / 10, unit="1/min"), sigma=avo.Positive(scale, unit="1/sqrt(min)"))
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
    figure = Figure(figsize=(11, 5.5), layout="constrained")
    axes = figure.subplots(2, 4)
    *others, free = axes.flat
    free.set_axis_off()
    for i, (ax, name, unit) in enumerate(zip(others, space.names, space.units, strict=True)):
        low, high = np.percentile(np.r_[found["normal"][:, i], found["premature"][:, i]], [0.5, 99.5])
        bins = np.linspace(low, high, 20)
        ax.hist(found["normal"][:, i], bins, density=True, color="0.75", label="normal beats")
        ax.hist(
            found["premature"][:, i], bins, density=True, histtype="step", lw=1.6, color="tab:red",
            label="atrial premature beats",
        )  # fmt: skip
        ax.set_title(f"area under ROC {found['area'][i]:.2f}", fontsize=9)
        ax.set_xlabel(f"{name} ({unit})")
        ax.set_yticks([])
        ax.xaxis.set_major_locator(MaxNLocator(4))
    axes[0, 0].set_ylabel("density")
    axes[1, 0].set_ylabel("density")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncol=2, frameon=False)
    return figure


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
    areas = ", ".join(f"{name} {a:.2f}" for name, a in zip(VARY.names, beats_found["area"], strict=True))
    print(f"{len(beats_found['premature'])} atrial premature beats, area under the ROC curve: {areas}")
    picture(beats_found).savefig(arguments.out / "premature_beats.png", dpi=110)


if __name__ == "__main__":
    main()
