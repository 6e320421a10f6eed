"""The table of a comparison: its rows, which are questions, and its columns, which are routes."""

from typing import NamedTuple

WITHOUT, WITH = "VAE, chosen without labels", "VAE, chosen with labels"
ROUTES = ("simulator", WITHOUT, WITH, "PCA", "supervised", "ceiling")


class Row(NamedTuple):
    """A row of the table: its name, the measure behind it, and what that means."""

    name: str
    measure: str
    words: str


TABLE = (
    Row("outside the model", "outside error", "reconstruction error / noise floor"),
    Row("accuracy", "r2", "R^2"),
    Row("accuracy, error", "nrmse", "NRMSE"),
    Row("interpretability", "mig", "MIG"),
    Row("interpretability, DCI", "dci_disentanglement", "DCI, disentanglement"),
    Row("interpretability, moved", "monotone", "monotone in a parameter, 1 is best"),
    Row("small data", "small r2", "R^2 from the fewest signals"),
    Row("zero-shot reuse", "shifted r2", "R^2 on a shifted setting"),
    Row("generation", "c2st", "classifier's accuracy, .5 is best"),
    Row("generation, distance", "sliced", "sliced Wasserstein / null, 1 is best"),
    Row("manipulation", "manipulation", "error / change"),
    Row("prior knowledge", "coverage", "coverage of 90 % intervals"),
)

# measure -> signals of which the simulator's fit found no population, so that a regression stands in for it
NO_POPULATION = {
    "no population": "the signals",
    "no population of the fewest signals": "the fewest signals",
    "no population outside the model": "the signals from outside the model",
}
