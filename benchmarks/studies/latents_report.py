"""Tables of the study `latents`, as they stand in benchmarks/results/latents.md below its words."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from avo.latents.table import NO_POPULATION, ROUTES, TABLE
from avo.tables import markdown

SCORES = ("mig", "sap", "dci_disentanglement", "dci_completeness")
MEASURED = {
    "error": "reconstruction error / noise floor",
    "c2st": "classifier's accuracy, new signals",
    "sliced": "sliced Wasserstein / null",
    "lead": "lead told",
}


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(markdown(head, rows))


def _range(values: Sequence[float]) -> str:
    """Write the median, and in brackets the smallest and the largest."""
    return f"{np.median(values):.2f} ({min(values):.2f} .. {max(values):.2f})" if len(values) else "-"


def _each_of(values: Iterable[float]) -> str:
    return " ".join(f"{v:.2f}" for v in values)


def _report_case(row: dict[str, Any]) -> str:
    rows = [
        [r.name, *(_range(row["table"][r.name][route]) for route in ROUTES), r.words]
        for r in TABLE
        if r.name in row["table"]
    ]
    linear = "linear R^2 of " + ", ".join(row["names"])
    sd = "stated sd / sd of parameters"
    head = ["", "MIG", "SAP", "DCI, D", "DCI, C", linear, "by trees", sd, "noise / scale"]
    family = [
        [
            name,
            *(f"{found[score]:.2f}" for score in SCORES),
            _each_of(found["linear_r2"]),
            _each_of(found["boosted_r2"]),
            *(f"{found[name]:.3f}" if name in found else "-" for name in ("stated sd", "noise over scale")),
        ]
        for name, found in row["family"].items()
    ]
    chosen, settings = "; ".join(f"{label}: {name}" for label, name in row["chosen"].items()), row["settings"]
    lost = [
        f"{settings[name]:.0f} of {settings['seeds']} on {what}"
        for name, what in NO_POPULATION.items()
        if settings.get(name)  # cells of an earlier version do not count fits of few signals
    ]
    words = f" The simulator's fit found no population in {', '.join(lost)}; its parameters are then a regression's."
    return "\n\n".join(
        [
            f"## {row['task']}",
            _table(["", *ROUTES, "measured"], rows),
            f"{chosen}. Outside the model: {settings['outside']}. Medians over seeds (smallest .. largest)."
            + (words if lost else ""),
            _table(head, family),
        ]
    )


def _report_search(settings: Sequence[str], rows: Sequence[dict[str, Any]]) -> str:
    parts = []
    for case in dict.fromkeys(row["task"].split("/")[0] for row in rows):
        lines = []
        for name in settings:
            some = [row for row in rows if row["task"] == f"{case}/{name}"]
            if not some:
                continue
            middle = {score: np.median([row[score] for row in some]) for score in (*SCORES, "mse")}
            told = [row["kl"] for row in some if row["kl"] is not None]
            each = [np.median([row[r] for row in some], axis=0) for r in ("linear_r2", "boosted_r2")]
            lines.append(
                [
                    name,
                    _range([row["mig"] for row in some]),
                    *(f"{middle[s]:.2f}" for s in SCORES[1:]),
                    f"{each[0].mean():.2f}: {_each_of(each[0])}",
                    f"{each[1].mean():.2f}",
                    f"{np.median(told):.1f}" if told else "-",
                    f"{middle['mse']:.4f}",
                ]
            )
        head = ["", "MIG", "SAP", "DCI, D", "DCI, C", "linear R^2", "by trees", "KL, nats", "MSE"]
        parts.append(f"### {case}\n\n" + _table(head, lines))
    return "\n\n".join(["## The search for an autoencoder", *parts])


def _report_real(rows: Sequence[dict[str, Any]]) -> str:
    parts = [
        "## Recordings",
        "In bold the simulator, principal components and the member that UDR prefers. A fit of the simulator ends "
        '"converged" or with its "budget" of calls; where it found no population, a regression stands in for it.',
    ]
    for row in rows:
        best = max(row["rank"], key=lambda name: row["rank"][name])
        measured = list(next(iter(row["numbers"].values())))
        lines = [
            [f"**{name}**" if name in ("simulator", "PCA", best) else name, *(_range(found[m]) for m in measured)]
            for name, found in row["numbers"].items()
        ]
        title = f"### {row['task']}: {row['signals']:,} signals of {row['points']} points"
        told = Counter(row["simulator"])
        each = "; ".join(f"{n} of {told.total()} {end}" for end, n in told.items())
        text = f"UDR prefers {best}. Simulator: {each}."
        parts += [title, _table(["", *(MEASURED[m] for m in measured)], lines), text]
    return "\n\n".join(parts)


def _report_anomaly(rows: Sequence[dict[str, Any]]) -> str:
    names = [name for name in rows[0] if isinstance(rows[0][name], dict)]
    lines = []
    for name in names:
        each = [np.array([row[name][m] for row in rows]) for m in ("auc", "ap", "tpr")]
        lines.append([name, *(f"{_range(a[:, 0].tolist())} [{a[:, 1].min():.2f}, {a[:, 2].max():.2f}]" for a in each)])
    head = ["", "area under ROC", "average precision", "found at 1 % false alarms"]
    kinds = f"{rows[0]['anomalies']} premature beats among {rows[0]['normal']:,} normal ones"
    return "\n\n".join(
        [
            "## Premature beats of record 100",
            _table(head, lines),
            f"{kinds}; medians over {len(rows)} seeds (smallest .. largest), and from the lowest to the "
            "highest end of their 90 % bootstrap intervals.",
        ]
    )


def _report_contaminated(rows: Sequence[dict[str, Any]]) -> str:
    """Write a table of areas for each case: kinds down, scores across."""
    parts = []
    for case in dict.fromkeys(row["task"] for row in rows):
        some = [row["kinds"] for row in rows if row["task"] == case]
        names = list(next(iter(some[0].values())))
        lines = [
            [words, *(_range([kinds[words][name]["auc"][0] for kinds in some]) for name in names)] for words in some[0]
        ]
        parts.append(f"### {case}, seeds: {len(some)}\n\n" + _table(["area under ROC", *names], lines))
    text = f"{rows[0]['signals']:,} new signals of each kind; the share of anomalies in percent."
    return "\n\n".join(["## Contaminated signals", *parts, text])


def report(settings: Sequence[str], rows: list[dict[str, Any]]) -> str:
    """Render what is finished; the settings of the search stand in the order given."""
    of: dict[str, Callable[[list[dict[str, Any]]], str]] = {
        "compare": lambda some: "\n\n".join(map(_report_case, some)),
        "search": partial(_report_search, settings),
        "real": _report_real,
        "anomaly": _report_anomaly,
        "contaminated": _report_contaminated,
    }
    found = {study: [row for row in rows if row["study"] == study] for study in of}
    return "\n\n".join(write(found[study]) for study, write in of.items() if found[study])
