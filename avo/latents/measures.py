"""What `compare` measures of a route: a number for each question of the talk's table.

Everything is measured on a test set, observations x with parameters theta, (n, *x_shape) and (n, d). Codes that are not
parameters are read by a `Probe`, a linear regression learned from labels; the talk read them by eye.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.stats import norm, spearmanr

from avo.latents.probes import nrmse, r2
from avo.latents.routes import Route
from avo.scikit import sklearn_module

LEVEL = 0.9  # of the intervals whose coverage is measured
STEP = 0.25  # of a parameter's range, by which `manipulation` changes it
GRID = np.linspace(-3.0, 3.0, 9)
MOVED = 0.2  # of a parameter's standard deviation, by which a traversal must move it at least
BASES = 16  # observations from which traversals start
DIRECTIONS = 200

Read = Callable[[np.ndarray], np.ndarray]


class Probe(NamedTuple):
    """theta = middle + (z - centre) slope, by least squares; the identity for codes that are parameters.

    Args:
        centre: mean of the codes, with shape (k,).
        middle: mean of the parameters, with shape (d,).
        slope: with shape (k, d).
        sd: standard deviations of the residuals, with shape (d,).
    """

    centre: Float[np.ndarray, " k"]
    middle: Float[np.ndarray, " d"]
    slope: Float[np.ndarray, "k d"]
    sd: Float[np.ndarray, " d"]

    def read(self, z: np.ndarray) -> np.ndarray:
        """Compute theta from codes, with shape (n, k)."""
        return self.middle + (z - self.centre) @ self.slope


def fit_probe(route: Route, x: np.ndarray, theta: np.ndarray, *, drawn: bool = False) -> Probe:
    """Learn to read a route's codes from labelled observations.

    Args:
        route: whose codes.
        x: labelled observations.
        theta: their parameters.
        drawn: from codes as they scatter by the route's own standard deviations, if it states any, not from their
            means: slope = (cov z + diag mean sd^2)^-1 cov(z, theta), what least squares has for infinitely many draws.
            The means of latents that have collapsed still vary a little with the parameters: estimates gain by them,
            but to move along them, or by their standard deviations, would be to move far by what the decoder does not
            hear.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(50, 3))
        >>> twice = Route("twice", lambda x: 2 * x, lambda z: z / 2, lambda key, n: x[:n], own=False)
        >>> fit_probe(twice, x, x[:, :1]).slope.round(6).tolist()
        [[0.5], [0.0], [0.0]]
    """
    d = theta.shape[1]
    if route.own:
        return Probe(np.zeros(d), np.zeros(d), np.eye(d), np.zeros(d))
    z = route.encode(x)
    centre, middle = z.mean(0), theta.mean(0)
    variance = np.zeros(z.shape[1])
    if drawn and route.encode_sd is not None:
        variance = np.mean(route.encode_sd(x) ** 2, axis=0)
    # As rows of their own, the squares of which add to those of z
    rows = np.concatenate([z - centre, np.diag(np.sqrt(len(z) * variance))])
    targets = np.concatenate([theta - middle, np.zeros((len(variance), d))])
    slope = np.linalg.lstsq(rows, targets, rcond=1e-6)[0]
    residual = theta - middle - (z - centre) @ slope
    return Probe(centre, middle, slope, np.sqrt(np.sum(residual**2, axis=0) / max(len(z) - z.shape[1] - 1, 1)))


def accuracy(route: Route, probe: Probe, x: np.ndarray, theta: np.ndarray) -> dict[str, np.ndarray]:
    """R^2 and NRMSE of each parameter: of estimates as they are, of codes as the probe reads them."""
    read = probe.read(route.encode(x))
    return {"r2": r2(read, theta), "nrmse": nrmse(read, theta)}


def coverage(route: Route, probe: Probe, x: np.ndarray, theta: np.ndarray) -> Float[np.ndarray, " d"]:
    """Share of parameters inside the route's own 90 % intervals, estimate -+ 1.645 sd, sd that of `stated_sd`."""
    read = probe.read(route.encode(x))
    quantile = norm.ppf(0.5 + LEVEL / 2)
    return np.mean(np.abs(theta - read) <= quantile * stated_sd(route, probe, x), axis=0)


def stated_sd(route: Route, probe: Probe, x: np.ndarray) -> Float[np.ndarray, "n d"]:
    """Standard deviations of the parameters that a route states, through the probe: sqrt(sum_i slope_ij^2 sd_i^2).

    A route that states none has that of its probe's residuals, which takes labels to know.
    """
    if route.encode_sd is None:
        return np.tile(probe.sd, (len(x), 1))
    return np.sqrt(route.encode_sd(x) ** 2 @ probe.slope**2)


def monotone(route: Route, x: np.ndarray, read: Read) -> Float[np.ndarray, " d"]:
    """Best monotone code of each parameter: max over codes of the mean over observations of |Spearman|.

    Each active code is moved from -3 to 3 of its standard deviations about its mean, the others stay, and
    the parameters are read off the decoded signals by `read`, x -> theta: the best regression there is, not the probe.
    A parameter that moves by less than a fifth of its standard deviation over x counts as not moved, zero: of hardly
    anything the order is easily right.
    """
    z, sd = route.encode(x), read(x).std(0)
    centre, size = z.mean(0), z.std(0)
    found = np.zeros((z.shape[1], len(sd)))
    for i in np.flatnonzero(np.ones(z.shape[1]) if route.active is None else route.active):
        moved = np.repeat(z[:BASES], len(GRID), axis=0)
        moved[:, i] = np.tile(centre[i] + size[i] * GRID, min(BASES, len(z)))
        curves = read(route.decode(moved)).reshape(-1, len(GRID), len(sd))
        found[i] = [np.mean([_spearman(curve[:, j], MOVED * sd[j]) for curve in curves]) for j in range(len(sd))]
    return found.max(0)


def _spearman(values: np.ndarray, least: float) -> float:
    return 0.0 if np.ptp(values) <= least else abs(float(spearmanr(GRID, values)[0]))  # pyright: ignore[reportArgumentType]


def manipulation(
    route: Route, probe: Probe, mean: Callable[[np.ndarray], np.ndarray], x: np.ndarray, theta: np.ndarray
) -> Float[np.ndarray, " d"]:
    """Error of changing one parameter, in units of the change.

        rms(x' - mean(theta')) / rms(mean(theta') - mean(theta))

    theta' has parameter j larger, by a quarter of its range over x, or smaller where it was above the median; x' is
    decoded from the codes of x, moved along the shortest way, in units of the codes' standard deviations, on which the
    probe reads that change and no other. NaN where the mean does not depend on the parameter, as on a volatility.
    """
    z = route.encode(x)
    size = np.where(z.std(0) > 0, z.std(0), 1.0)
    way = np.linalg.pinv(probe.slope * size[:, None], rcond=1e-6) * size
    before = mean(theta)
    error = []
    for j in range(theta.shape[1]):
        step = STEP * np.ptp(theta[:, j]) * np.where(theta[:, j] > np.median(theta[:, j]), -1.0, 1.0)
        changed = theta.copy()
        changed[:, j] += step
        after = mean(changed)
        made = route.decode(z + step[:, None] * way[j])
        change = np.mean((after - before) ** 2)
        error.append(np.sqrt(np.mean((made - after) ** 2) / change) if change > 0 else np.nan)
    return np.array(error)


def generation(made: np.ndarray, x: np.ndarray, seed: int) -> dict[str, float]:
    """How far new signals are from held-out ones: a classifier's accuracy, and sliced Wasserstein distance over null.

    "c2st" is the cross-fitted accuracy of boosted trees on values and increments, .5 where nothing tells them apart.
    "sliced" is the mean W1 over 200 random directions, over that between two halves of the held-out signals at the same
    numbers of rows: 1 where nothing tells them apart.

    Source: Lopez-Paz and Oquab, ICLR 2017; Rabin et al. 2011.
    """
    made, x = made.reshape(len(made), -1), x.reshape(len(x), -1)
    n = min(len(made), len(x) // 2)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(x))
    made, half, other = made[:n], x[order[:n]], x[order[n : 2 * n]]
    directions = rng.normal(size=(x.shape[1], DIRECTIONS))
    directions /= np.linalg.norm(directions, axis=0)
    scale = half.std()

    def sliced(p: np.ndarray, q: np.ndarray) -> float:
        return float(np.mean(np.abs(np.sort(p @ directions, axis=0) - np.sort(q @ directions, axis=0))) / scale)

    return {"c2st": _c2st(made, half, seed), "sliced": sliced(made, half) / sliced(other, half)}


def _c2st(made: Float[np.ndarray, "n points"], x: Float[np.ndarray, "n points"], seed: int) -> float:
    """Cross-fit the accuracy with which boosted trees tell the rows of two samples, of equal size, apart."""
    both = np.concatenate([made, x])
    rows = np.concatenate([both, np.diff(both, axis=1)], axis=1)
    # A tenth of the columns for each split, and few bins, for speed
    model = sklearn_module("ensemble").HistGradientBoostingClassifier(
        max_iter=60, max_features=0.1, max_bins=63, random_state=seed
    )
    selection = sklearn_module("model_selection")
    folds = selection.StratifiedKFold(3, shuffle=True, random_state=seed)
    return float(np.mean(selection.cross_val_score(model, rows, np.repeat([0, 1], len(x)), cv=folds)))


def noise_floor(x: np.ndarray) -> float:
    """Estimate the noise of signals: what white noise of the same third differences would have, per value.

        s^2 = median over i of mean (x_{i+3} - 3 x_{i+2} + 3 x_{i+1} - x_i)^2 / 20

    the mean over signals. Of signals that are smooth at most points, as heartbeats are but for their QRS complex, it is
    the measurement noise, above it where they bend everywhere; of Brownian paths .55 of a step's standard deviation.

    Source: after Gasser, Sroka and Jennen-Steinmetz, Biometrika 73 (1986), 625, who use second differences and means.

    Example:
        >>> t = np.linspace(0, 1, 500)
        >>> x = np.sin(4 * t) + 5 * np.exp(-((t - 0.5) ** 2) / 1e-4)  # a spike of 4 % of the points
        >>> round(noise_floor(x + 0.3 * np.random.default_rng(0).normal(size=(200, 500))), 2)
        0.3
    """
    return float(np.sqrt(np.median(np.mean(np.diff(x, n=3, axis=1) ** 2, axis=0)) / 20))


def reconstruction(route: Route, x: np.ndarray) -> float:
    """Root mean squared error of decoded codes, over the noise floor of the signals."""
    return float(np.sqrt(np.mean((route.decode(route.encode(x)) - x) ** 2))) / noise_floor(x)
