"""Simulator parameters against latents, measured: `avo.latents.compare` at default size, and what it does not hold.

    python -m avo.benchmarks.studies.latents compare | search | real | anomaly | contaminated
    python -m avo.benchmarks.studies.latents report

The report is what stands in benchmarks/results/latents.md below its words.

**compare**: each case at default size, and the scores of every member of the family, not of the chosen two only.

**search**: which autoencoder serves best. On 5,000 signals of the oscillator and of simulated heartbeats 54 settings
are trained: weights of the KL, capacities, no draw, kinds of network, width, depth, rate, batch, number of latents,
epochs. Scores are measured on 2,000 held-out signals, the test set of `compare` too; three seeds. The family is
chosen by labels, then, of two of the four cases on which it is tested: there in the autoencoders' favour.

**real**: the simulator, the family and principal components on recordings, of which one half trains and the other
is the test set: halves in time of record 100 (normal beats, labels as published) and of record 208 (beats found here,
ectopic ones among them) and of 180-minute windows of log price, and of the ten PTB subjects about half, the two that
are probably one person together, split anew by each seed. Beats are those of `avo latents compare ecg`, .3 s before R
to .55 s after it, at 180 Hz (PTB: averages over 5 ms), without the level before the QRS complex. UDR, which takes no
labels, says by the codes of all signals which autoencoder it prefers. `lead` is the accuracy of a linear classifier of
the fifteen leads from the codes, learned from the subjects that train and tested on the others: the talk's factor
"form / lead", 7 % by chance.

**anomaly**: on record 100, models of the first 1,100 normal beats score the later ones and the 33 premature atrial and
the one premature ventricular beat.

**contaminated**: simulated signals of which some are anomalies of known kinds, `avo.latents.contaminate`: Student's
noise of three degrees of freedom in place of Gaussian, a line of three noises' height, a bump as high, points five
noises off.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from avo import data, latents
from avo.benchmarks.studies import study
from avo.benchmarks.studies.latents_report import SCORES, report
from avo.benchmarks.studies.real import data_folder, price_paths
from avo.benchmarks.studies.study import Study
from avo.latents import cases, measures, routes
from avo.latents.cases import TRAINED
from avo.latents.contamination import Kind
from avo.latents.family import DEFAULT, FAMILY, LATENTS, NARROW, Member, rank_members, train_member
from avo.latents.objectives import autoencoder, beta, capacity, denoising
from avo.latents.repetition import TEST, Record
from avo.latents.routes import Route
from avo.latents.table import ROUTES, TABLE
from avo.scikit import sklearn_module
from avo.simulators import Problem

SEEDS = 5
BEFORE, AFTER, BASELINE = 0.3, 0.55, (-0.09, -0.05)  # s
LEADS = 15
ONE_PERSON = (7, 8)  # PTB subjects

# name -> member, options of the training
SEARCH: dict[str, tuple[Member, dict[str, Any]]] = {
    **{f"beta {b}": (Member(beta(b)), {}) for b in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)},
    **{f"calibrated beta {b}": (Member(beta(b, True)), {}) for b in (1, 2, 4, 8, 16)},
    **{f"calibrated beta {b}, 3 layers": (Member(beta(b, True), {"depth": 3}), {}) for b in (1, 4, 16)},
    **{f"capacity {C}": (Member(capacity(100.0, C)), {}) for C in (5, 12, 25)},
    "capacity 12, gamma 10": (Member(capacity(10.0, 12)), {}),
    "beta 4, rate 5e-4": (Member(beta(4.0)), {"rate": 5e-4}),
    "beta 4, rate 3e-3": (Member(beta(4.0)), {"rate": 3e-3}),
    "beta 4, 200 epochs": (Member(beta(4.0)), {"epochs": 200}),
    "beta 16, 200 epochs": (Member(beta(16.0)), {"epochs": 200}),
    "beta 4, conv1d": (Member(beta(4.0), {"network": "conv1d"}), {}),
    "beta 16, conv1d": (Member(beta(16.0), {"network": "conv1d"}), {}),
    "beta 64, conv1d": (Member(beta(64.0), {"network": "conv1d"}), {}),
    "beta 4, width 64": (Member(beta(4.0), {"width": 64}), {}),
    "beta 4, 3 layers": (Member(beta(4.0), {"depth": 3}), {}),
    "beta 4, 5 latents": (Member(beta(4.0), {"latents": 5}), {}),
    "beta 16, 5 latents": (Member(beta(16.0), {"latents": 5}), {}),
    "beta 4, batch 256": (Member(beta(4.0)), {"batch": 256}),
    "beta 16, batch 16": (Member(beta(16.0)), {"batch": 16}),
    "beta 8, 3 layers": (Member(beta(8.0), {"depth": 3}), {}),
    "beta 32, 3 layers": (Member(beta(32.0), {"depth": 3}), {}),
    "beta 128, 3 layers": (Member(beta(128.0), {"depth": 3}), {}),
    "capacity 12, 3 layers": (Member(capacity(10.0, 12), {"depth": 3}), {}),
    "beta 128, batch 16": (Member(beta(128.0)), {"batch": 16}),
    "AE": (Member(autoencoder()), {}),
    "denoising AE": (Member(denoising(0.3)), {}),
    **{
        f"{name}, width {width}": (Member(objective, {"width": width} | more), {})
        for width in (64, 128)
        for name, objective, more in (
            ("AE", autoencoder(), {}),
            ("calibrated beta 1", beta(1, True), {}),
            ("calibrated beta 4", beta(4, True), {}),
            ("calibrated beta 4, 3 layers", beta(4, True), {"depth": 3}),
            ("capacity 12, gamma 10", capacity(10.0, 12), {}),
            ("capacity 25", capacity(100.0, 25), {}),
        )
    },
}
# words -> kind and share of the anomalies
CONTAMINATED: dict[str, tuple[Kind, float]] = {
    "Student's noise, 5": ("noise", 0.05),
    "drift, 5": ("drift", 0.05),
    "another wave, 5": ("wave", 0.05),
    **{f"outliers, {percent}": ("outliers", percent / 100) for percent in (1, 5, 20)},
}


def measure_case(case: str, seed: int) -> dict[str, Any]:
    """Run `latents.compare` at default size; the seed is not used, five are in it."""
    found = latents.compare(case, seeds=SEEDS, progress=False)
    table = {row.name: {route: found.values(route, row.measure).tolist() for route in ROUTES} for row in TABLE}
    names = found.shown.problem.space.names
    family = {}
    for route in ("simulator", *DEFAULT.family, "PCA", "supervised", "ceiling"):
        family[route] = {name: float(np.median(found.values(route, name))) for name in (*SCORES, "stated sd")}
        if route in DEFAULT.family:
            family[route]["noise over scale"] = float(np.median(found.values(route, "noise over scale")))
        family[route] |= {name: _each(found.records, route, name, names) for name in ("linear_r2", "boosted_r2")}
    return {"table": table, "family": family, "names": names, "chosen": found.chosen, "settings": found.settings}


def _each(records: Sequence[Record], route: str, measure: str, names: Sequence[str]) -> list[float]:
    """Take the median over seeds of a measure of each parameter."""
    return [
        float(
            np.median(
                [r["value"] for r in records if (r["route"], r["measure"], r["parameter"]) == (route, measure, name)]
            )
        )
        for name in names
    ]


def measure_setting(task: str, seed: int) -> dict[str, Any]:
    """Train one setting of the search and score it."""
    case, name = task.split("/")
    member, training = SEARCH[name]
    problem = cases.get(case).problem
    _, x = cases.draw(problem, DEFAULT.signals, TRAINED, seed)
    test = cases.draw(problem, DEFAULT.test, TRAINED, TEST)
    trained = train_member(member, x, DEFAULT, seed, **training)
    found = latents.scores(trained.model.encode(test.x), test.theta, rows=len(test.x), seed=seed)
    drawn = member.objective.sampled
    terms = trained.model.evaluate(test.x, draws=16 if drawn else 0)
    return {name: found[name] for name in SCORES} | {
        "linear_r2": list(map(float, found.per_factor["linear_r2"])),
        "boosted_r2": list(map(float, found.per_factor["boosted_r2"])),
        "kl": float(terms.kl.sum(1).mean()) if drawn else None,
        "mse": float(terms.mse.mean()),
    }


# --- recordings ------------------------------------------------------------------------------------------------------


def record_100(folder: Path, symbols: Sequence[str] = ("N",)) -> np.ndarray:
    """Read labelled beats of record 100, MLII, in mV, with shape (n, 153)."""
    return data.read_beats(
        folder / "ecg" / "100", lead="MLII", symbols=symbols, before=BEFORE, after=AFTER, fs=180.0, baseline=BASELINE
    )


def record_208(folder: Path) -> np.ndarray:
    """Find the beats in five minutes of record 208, in mV, with shape (n, 153)."""
    with np.load(folder / "ecg" / "mitbih_208_mlii_5min.npz") as file:
        signal = (file["ecg"].astype(float) - 1024) / 200
    return _levelled(data.beats(signal, data.r_peaks(signal, 360.0), 360.0, BEFORE, AFTER)[:, ::2], 180.0)


def ptb(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut all leads of the PTB subjects around the R peaks of lead II: beats in mV (n, 170), subjects, leads."""
    with np.load(folder / "ecg" / "ptb_10subjects_15lead.npz") as file:
        signals, second = file["adu"] / float(file["gain"]), list(file["leads"]).index("ii")
    found, subjects, leads = [], [], []
    for subject, all_leads in enumerate(signals):
        peaks = data.r_peaks(all_leads[second], 1000.0)
        for lead, signal in enumerate(all_leads):
            x = data.beats(signal, peaks, 1000.0, BEFORE, AFTER)
            found.append(_levelled(x.reshape(len(x), -1, 5).mean(2), 200.0))
            subjects += len(x) * [subject]
            leads += len(x) * [lead]
    return np.concatenate(found), np.array(subjects), np.array(leads)


def _levelled(x: np.ndarray, fs: float) -> np.ndarray:
    """Take off each beat's level before the QRS complex."""
    times = data.beat_times(fs, BEFORE, AFTER)
    stretch = (times >= BASELINE[0]) & (times < BASELINE[1])
    return x - x[:, stretch].mean(1, keepdims=True)


RECORDINGS = {"record 100": "ecg", "record 208": "ecg", "PTB": "ecg", "bitcoin": "brownian"}


def measure_recording(name: str, seed: int) -> dict[str, Any]:
    """Describe a recording by all routes, on five splits or with five initial weights; the seed is not used."""
    folder, leads = data_folder(), None
    subjects = np.zeros(0)
    if name == "PTB":
        x, subjects, leads = ptb(folder)
        subjects = np.where(subjects == ONE_PERSON[1], ONE_PERSON[0], subjects)
    else:
        x = {"record 100": record_100, "record 208": record_208, "bitcoin": price_paths}[name](folder)
    problem = cases.get(RECORDINGS[name]).suited(x)
    numbers: dict[str, dict[str, list[float]]] = {}
    family = FAMILY | ({"talk: capacity 100": Member(capacity(1000.0, 100.0), NARROW)} if name == "bitcoin" else {})
    codes: list[dict[str, np.ndarray]] = []
    words = []
    for one in range(SEEDS):
        # Halves in time; of PTB half of the persons, other ones each time
        people = {} if leads is None else {"groups": subjects, "seed": one}
        train, _, test = data.split(len(x), (0.5, 0.0, 0.5), **people)
        made = [routes.by_simulator(problem, x[train], DEFAULT.budget, one, DEFAULT.ceiling)]
        words.append(made[0].words)
        made.append(routes.by_components(x[train], LATENTS))
        for label, member in family.items():
            made.append(routes.by_latents(label, train_member(member, x[train], DEFAULT, one), x[train]))
        codes.append({route.name: route.encode(x)[:, route.active] for route in made if route.name in family})
        for route in made:
            found = {"error": measures.reconstruction(route, x[test])}
            found |= measures.generation(route.sample(jax.random.key(one), len(test)), x[test], one)
            if leads is not None:
                found["lead"] = _classified(route, (x[train], leads[train]), (x[test], leads[test]))
            for measure, value in found.items():
                numbers.setdefault(route.name, {}).setdefault(measure, []).append(float(value))
    rank = rank_members(codes, tuple(family))
    return {"numbers": numbers, "rank": rank, "simulator": words, "signals": len(x), "points": x.shape[1]}


def _classified(route: Route, train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray]) -> float:
    """Share of the test set's signals whose class a linear classifier of the codes tells; (signals, classes) each."""
    z, z_test = route.encode(train[0]), route.encode(test[0])
    centre, size = z.mean(0), np.maximum(z.std(0), 1e-12)
    model = sklearn_module("linear_model").LogisticRegression(max_iter=3000).fit((z - centre) / size, train[1])
    return float(np.mean(model.predict((z_test - centre) / size) == test[1]))


# --- anomalies -------------------------------------------------------------------------------------------------------


def _scorer(problem: Problem, normal: np.ndarray, seed: int) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """Learn what is normal, and return what scores signals by it: high is anomalous."""
    components = routes.by_components(normal, LATENTS)
    models = {name: train_member(FAMILY[name], normal, DEFAULT, seed).model for name in ("AE", "VAE", "beta 4")}
    route = routes.by_simulator(problem, normal, DEFAULT.budget, seed, DEFAULT.ceiling)
    key, again = jax.random.split(jax.random.key(seed))
    misfit = latents.misfit(key, problem.simulate, route.encode, route.encode(normal))

    def scores(x: np.ndarray) -> dict[str, np.ndarray]:
        found = {"PCA, reconstruction": latents.reconstruction_error(x, components.decode(components.encode(x)))}
        for name, model in models.items():
            found[f"{name}, reconstruction"] = latents.reconstruction_error(x, model.decode(model.encode(x)))
            if FAMILY[name].objective.sampled:
                found[f"{name}, -ELBO"] = -model.evaluate(x).elbo
        found["simulator, misfit"] = misfit(again, x)
        return found | {"simulator, parameters": _distance(route.encode(x), route.encode(normal))}

    return scores


def _detected(scores: dict[str, np.ndarray], label: np.ndarray) -> dict[str, Any]:
    found = {name: latents.detection(s, label) for name, s in scores.items()}
    return {
        name: {"auc": list(d.auc), "ap": list(d.average_precision), "tpr": list(d.tpr)} for name, d in found.items()
    }


def measure_anomaly(symbol: str, seed: int) -> dict[str, Any]:
    """Score premature beats of record 100 by models of its first normal ones."""
    normal, premature = record_100(data_folder()), record_100(data_folder(), tuple(symbol))
    learned, fresh = normal[:1100], normal[1100:]
    x, label = np.concatenate([fresh, premature]), np.repeat([False, True], [len(fresh), len(premature)])
    scores = _scorer(cases.get("ecg").suited(learned), learned, seed)(x)
    return _detected(scores, label) | {"anomalies": len(premature), "normal": len(fresh)}


def measure_contaminated(case: str, seed: int) -> dict[str, Any]:
    """Score contaminated signals by models of normal ones, all simulated."""
    problem = cases.get(case).problem
    scores = _scorer(problem, cases.draw(problem, DEFAULT.signals, TRAINED, seed).x, seed)
    theta, x = cases.draw(problem, DEFAULT.test, TRAINED, seed + 2**23)
    noise, found = measures.noise_floor(x), {}
    for i, (words, (kind, share)) in enumerate(CONTAMINATED.items()):
        key = jax.random.fold_in(jax.random.key(seed), i)
        if kind == "noise":  # drawn anew for all, Gaussian for the normal ones
            seen, label = latents.contaminate(key, routes.mean_of(problem)(theta), kind, share, noise=noise)
        else:
            seen, label = latents.contaminate(key, x, kind, share, size=(5 if kind == "outliers" else 3) * noise)
        found[words] = _detected(scores(seen), label)
    return {"signals": len(x), "kinds": found}


def _distance(theta: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Compute Mahalanobis's distance from normal parameters."""
    away = theta - normal.mean(0)
    return np.einsum("ni,ij,nj->n", away, np.linalg.pinv(np.cov(normal.T)), away)


STUDIES = {
    "compare": Study(measure_case, cases.NAMES, (0, 1)),
    "search": Study(measure_setting, [f"{c}/{name}" for c in ("oscillator", "ecg") for name in SEARCH], (0, 3)),
    "real": Study(measure_recording, tuple(RECORDINGS), (0, 1)),
    "anomaly": Study(measure_anomaly, ("AV",), (0, 3)),
    "contaminated": Study(measure_contaminated, ("ecg", "oscillator"), (0, 3)),
}

if __name__ == "__main__":
    study.main("latents", __doc__, STUDIES, partial(report, tuple(SEARCH)))
