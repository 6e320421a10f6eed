"""Rivals of the beta-VAE on signals whose factors are known: do they do what their papers say of them?

    python -m avo.benchmarks.studies.rivals train
    python -m avo.benchmarks.studies.rivals report

The report is what stands in benchmarks/results/rivals.md below its words. A signal is a bump of some centre, width,
height and level, each uniform and independent, at 32 points, with Gaussian noise of sd .05 ("weak") or .2 ("strong").
4,000 of them train an MLP with 2 x 64 units and six latents, 100 epochs of batches of 64, Adam from 2e-3 to 4e-5; 4,000
others are the test set. Of each model, there: R and K (two draws), the total correlation TC of one z of each signal,
q(z) over all 4,000 (avo/latents/correlation.py), MIG, SAP and the FactorVAE score of the means. In a pair of `ada_gvae`
one factor is drawn anew, the other three are shared.

What was claimed, and is tested:

- Kim and Mnih (2018), Chen et al. (2018): TC is lower than a beta-VAE's at equal reconstruction. A beta-VAE's TC at the
  R of a rival is that of five weights in the same seed, with straight lines between them.
- Locatello et al. (2020): of pairs, MIG and the FactorVAE score are far above a beta-VAE's (medians on dSprites: .27
  against .10, .85 against .66).
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from avo import latents
from avo.benchmarks.studies import study
from avo.benchmarks.studies.study import Study
from avo.latents import ada_gvae, beta, beta_tcvae, factor_vae
from avo.latents.correlation import total_correlation
from avo.scikit import sklearn_module
from avo.tables import markdown

TIMES = np.linspace(0.0, 1.0, 32)
LOW, HIGH = np.array([0.25, 0.05, 0.6, -0.5]), np.array([0.75, 0.15, 1.6, 0.5])  # centre, width, height, level
SIGNALS = 4000
NOISE = {"weak": 0.05, "strong": 0.2}
WEIGHTS = {"weak": (1.0, 2.0, 4.0, 8.0, 16.0), "strong": (1.0, 1.5, 2.0, 3.0, 4.0)}
RIVALS = {
    "weak": {
        "beta_tcvae(4)": beta_tcvae(4.0),
        "beta_tcvae(8)": beta_tcvae(8.0),
        "factor_vae(5)": factor_vae(5.0),
        "factor_vae(10)": factor_vae(10.0),
        "ada_gvae(1)": ada_gvae(1.0),
        "ada_gvae(4)": ada_gvae(4.0),
    },
    "strong": {
        "beta_tcvae(2)": beta_tcvae(2.0),
        "beta_tcvae(4)": beta_tcvae(4.0),
        "factor_vae(2)": factor_vae(2.0),
        "factor_vae(5)": factor_vae(5.0),
    },
}
SCORES = ("R", "K", "TC", "MIG", "SAP", "FactorVAE")


def signals(factors: np.ndarray, noise: float, rng: np.random.Generator) -> np.ndarray:
    """Draw a bump with noise for each row of factors."""
    centre, width, height, level = factors.T[..., None]
    clean = height * np.exp(-0.5 * ((TIMES - centre) / width) ** 2) + level
    return clean + noise * rng.normal(size=clean.shape)


def drawn(noise: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw factors, their signals, and signals of which one factor is another."""
    rng = np.random.default_rng(seed)
    factors = rng.uniform(LOW, HIGH, (SIGNALS, 4))
    changed = np.arange(4) == rng.integers(4, size=(SIGNALS, 1))
    others = np.where(changed, rng.uniform(LOW, HIGH, (SIGNALS, 4)), factors)
    return factors, signals(factors, noise, rng), signals(others, noise, rng)


_total = jax.jit(lambda z, mean, log_var: total_correlation(z, mean, log_var, len(z)))


def scored(model: latents.BetaVAE, x: np.ndarray, factors: np.ndarray) -> dict[str, float]:
    """Measure a model on the test set."""
    mean, sd = model.encode(x), model.encode_sd(x)
    terms = model.evaluate(x, draws=2)
    z = mean + sd * np.random.default_rng(0).normal(size=mean.shape)
    numbers = (
        np.mean(terms.reconstruction),
        np.mean(terms.kl.sum(1)),
        _total(*(jnp.asarray(a) for a in (z, mean, 2 * np.log(sd)))),
        np.mean(latents.mig(mean, factors)),
        np.mean(latents.sap(mean, factors)),
        np.mean(latents.factor_vae_score(mean, factors, active=np.mean(sd, axis=0) < 0.9)),
    )
    return {name: float(value) for name, value in zip(SCORES, numbers, strict=True)}


def measure(setting: str, seed: int) -> dict[str, Any]:
    """Train the beta-VAEs and their rivals of one seed."""
    sklearn_module("linear_model")  # said at once where it is missing
    noise = NOISE[setting]
    _, x, pairs = drawn(noise, 2 * seed)
    factors, test, _ = drawn(noise, 2 * seed + 1)
    found = {}
    for name, objective in ({f"beta({b:g})": beta(b) for b in WEIGHTS[setting]} | RIVALS[setting]).items():
        trained = latents.train(
            partial(latents.BetaVAE.for_data, latents=6, width=64, noise=noise),
            x,
            objective=objective,
            epochs=100,
            rate=2e-3,
            final=0.02,
            pairs=pairs if objective.paired else None,
            seed=seed,
            progress=False,
        )
        found[name] = scored(trained.model, test, factors)
    return {"found": found}


def beyond(found: dict[str, dict[str, float]], name: str, score: str) -> float:
    """Compute what a rival has more of than a beta-VAE at its R.

    Example:
        >>> found = {"beta(1)": {"R": 1.0, "TC": 0.5}, "beta(2)": {"R": 3.0, "TC": 0.1}, "rival": {"R": 2.0, "TC": 0.2}}
        >>> round(beyond(found, "rival", "TC"), 6)
        -0.1
    """
    ladder = np.array(sorted((row["R"], row[score]) for model, row in found.items() if model.startswith("beta(")))
    return found[name][score] - float(np.interp(found[name]["R"], ladder[:, 0], ladder[:, 1]))


def report(rows: list[dict[str, Any]]) -> str:
    """Render the finished cells as Markdown: medians over seeds, and differences at equal R."""
    said = []
    for setting in NOISE:
        cells = [row["found"] for row in rows if row["task"] == setting]
        if not cells:
            continue
        lines = []
        for name in cells[0]:
            line = [name, *(f"{np.median([found[name][score] for found in cells]):.2f}" for score in SCORES)]
            for score in ("TC", "MIG", "FactorVAE"):
                line.append("" if name.startswith("beta(") else _difference([beyond(f, name, score) for f in cells]))
            lines.append(line)
        head = ["model", *SCORES, *(f"{score} at equal R" for score in ("TC", "MIG", "FactorVAE"))]
        said += [f"### Noise {NOISE[setting]:g}, {len(cells)} seeds", "", *markdown(head, lines, right=1), ""]
    return "\n".join(said).rstrip()


def _difference(values: list[float]) -> str:
    """Say a mean with its 95 % interval by Student's t."""
    if len(values) < 2:
        return f"{values[0]:+.2f}"
    half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return f"{np.mean(values):+.2f} +- {half:.2f}"


if __name__ == "__main__":
    study.main("rivals", __doc__, {"train": Study(measure, tuple(NOISE), (0, 5))}, report)
