"""Pictures of a comparison: traversals like the talk's, scores as bars, accuracy against the number of signals.

Those of one model are in avo/latents/plots.py.
"""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from avo.latents.table import ROUTES, WITH, WITHOUT
from avo.plots import OBSERVED, with_unit
from avo.plots.style import Picture, decades

if TYPE_CHECKING:
    from avo.latents.comparison import Comparison

COLOURS = colormaps["viridis"](np.linspace(0.0, 0.9, 7))
LINES = ("#d95f02", "#1f6fb4", "#66a3d2", "0.5", "#2ca25f", "#99d8c9")
SCORES = {
    "mig": "MIG",
    "sap": "SAP",
    "dci_disentanglement": "DCI,\ndisentanglement",
    "dci_completeness": "DCI,\ncompleteness",
    "monotone": "monotone\ntraversals",
    "linear_r2": "R^2, linear\nprobe",
    "boosted_r2": "R^2, trees\nas probe",
}


def traversals(found: "Comparison") -> Figure:
    """Draw one signal in black and what becomes of it when one code moves, a row per code, a column per route.

    Codes move from -3 to 3 of their standard deviations over new signals that the route makes itself, parameters of
    the simulator over the range that the fitted population has; dark is low. Latents are ordered by how much the signal
    changes; those that are not active are left out.
    """
    problem, curves_of, active_of, x = found.shown
    chosen = {"simulator": "simulator", WITHOUT: found.chosen[WITHOUT]}
    moved = {label: curves_of[route] for label, route in chosen.items()}
    names = {"simulator": list(problem.space.names)}
    names[WITHOUT] = [f"latent {i}" for i in range(len(moved[WITHOUT]))]
    order = {label: np.arange(len(m)) for label, m in moved.items()}
    by_change = np.argsort(-np.ptp(moved[WITHOUT], axis=1).mean(1), kind="stable")
    order[WITHOUT] = by_change[active_of[chosen[WITHOUT]][by_change]]
    rows = min(max(map(len, order.values())), 10)
    figure = Picture(figsize=(9.0, 1.25 * rows + 0.8), layout="constrained")
    panels = figure.subplots(rows, 2, sharex=True, squeeze=False)
    axis = problem.axes[0]
    for column, (label, curves) in enumerate(moved.items()):
        for row in range(rows):
            axes: Axes = panels[row, column]
            if row >= len(order[label]):
                axes.set_axis_off()
                continue
            k = order[label][row]
            for curve, colour in zip(curves[k], COLOURS, strict=True):
                axes.plot(axis.values, curve, color=colour, lw=1.0)
            axes.plot(axis.values, x[0], color="black", lw=1.2)
            axes.set_ylabel(names[label][k], fontsize=8)
            axes.yaxis.set_major_locator(MaxNLocator(3))
            axes.tick_params(labelsize=7)
        last = panels[min(rows, len(order[label])) - 1, column]
        last.set_xlabel(with_unit(axis.name, axis.unit))
        last.tick_params(labelbottom=True)
        panels[0, column].set_title(label if column == 0 else f"{found.chosen[label]}\n({label})", fontsize=9)
    figure.suptitle(
        f"{with_unit(problem.quantity, problem.unit)}: input black, decodes of -3 dark to 3 light", fontsize=10
    )
    return figure


def _labels(found: "Comparison") -> dict[str, tuple[str, str]]:
    """Name and colour each route; an autoencoder that is chosen with and without labels is drawn once."""
    labels = {route: f"{route}: {found.chosen[route]}" if route in found.chosen else route for route in ROUTES}
    if found.chosen[WITH] == found.chosen[WITHOUT]:
        labels[WITHOUT] = f"VAE, chosen with and without labels: {found.chosen[WITH]}"
        del labels[WITH]
    return {route: (label, LINES[ROUTES.index(route)]) for route, label in labels.items()}


def bars(found: "Comparison") -> Figure:
    """Draw scores of the codes as bars, medians over seeds, with a line from the smallest to the largest."""
    figure = Picture(figsize=(11.0, 4.5), layout="constrained")
    axes = figure.subplots()
    labels = _labels(found)
    width = 0.8 / len(labels)
    for i, (route, (label, colour)) in enumerate(labels.items()):
        values = [found.values(route, measure) for measure in SCORES]
        middle = np.array([np.median(v) for v in values])
        at = np.arange(len(SCORES)) + (i - (len(labels) - 1) / 2) * width
        axes.bar(at, middle, width, color=colour, label=label)
        ends = np.array([[v.min(), v.max()] for v in values]).T
        axes.vlines(at, *ends, color=OBSERVED, lw=1.0)
    axes.set_xticks(np.arange(len(SCORES)), list(SCORES.values()))
    axes.set_ylabel("score (1 is best)")
    axes.set_ylim(min(0.0, axes.get_ylim()[0]), 1.02)
    figure.legend(loc="outside upper center", ncol=3, frameon=False, fontsize=9)
    return figure


def small_data(found: "Comparison") -> Figure:
    """Draw R^2 of the parameters against the number of signals: median over seeds, band from smallest to largest."""
    figure = Picture(figsize=(7.0, 4.5), layout="constrained")
    axes = figure.subplots()
    ladder = list(found.settings["ladder"])
    for route, (label, colour) in _labels(found).items():
        if route == "ceiling":
            axes.axhline(float(np.median(found.values(route, "r2"))), color=colour, ls="--", label=label)
            continue
        values = np.array([found.values(route, f"r2 from {n}") for n in ladder])
        axes.plot(ladder, np.median(values, axis=1), "o-", color=colour, label=label)
        axes.fill_between(ladder, values.min(1), values.max(1), color=colour, alpha=0.15, lw=0)
    decades(axes, "x")
    axes.minorticks_off()
    axes.set_xlabel("signals (labelled, where labels are needed)")
    axes.set_ylabel("R^2 of parameters, mean")
    axes.set_ylim(max(-0.1, axes.get_ylim()[0]), 1.02)
    axes.legend(frameon=False, fontsize=8)
    return figure
