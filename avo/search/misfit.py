"""How far simulations are from observations, in the means of many features, each in units of the observations.

    z = W (mean over simulations of f(x) - mean over observations of f(x)),    W Cov_obs(f) W^T = I,
    misfit = mean over z of log(1 + z^2 / (1 / n + 1 / m)),    n simulations, m observations

f are the features that the learned scores see (avo/refine/features.py), which the kind of x decides, less what known
conditions explain of them in the simulations, which have the observed conditions in turn. At the answer each z^2 is
1 / n + 1 / m on average; far from it some z are thousands, and the logarithm keeps those from being all that the misfit
says.
"""

from typing import Any

import numpy as np
from jaxtyping import Float

from avo.execution.blocks import Drawn, Draws
from avo.observations import Observed
from avo.refine.agreement import LEAST_VARIANCE
from avo.refine.custom import CustomStatistic
from avo.refine.equation import Contrasts, covariance_of_mean
from avo.refine.features import CLIP, make_features
from avo.refine.statistic import apply
from avo.weights import moments_of, row_at, turns_of, weights_of_values

PER_CONTRAST = 8  # simulations for each column of what is known of conditions, at least


class Misfit:
    """The misfit of simulations to observations, with features chosen from both.

    Args:
        observed: the observations.
        drawn: simulations from the whole space.
        units: width of the space in u, by which the features' choice scales it.
        custom: the user's own statistic, or None.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x, u = rng.normal(2.0, 1.0, size=(300, 1)), rng.normal(0.0, 1.5, size=(3200, 1))
        >>> misfit = Misfit(Observed(x), Drawn.of(u, u + rng.normal(size=(3200, 1))), 1.5)
        >>> at = np.repeat([[0.0], [2.0], [4.0]], 100, axis=0)
        >>> int(misfit.of(misfit.residuals(Drawn.of(at, at + rng.normal(size=(300, 1))), 100), 100).argmin())
        1
    """

    def __init__(self, observed: Observed, drawn: Drawn, units: Any, custom: CustomStatistic | None = None) -> None:
        self.observed, ok = observed, drawn.ok
        zeta, x = drawn.u[ok] / units, drawn.x[ok]
        # Simulations all over the space are unlike the observations
        bare, shares, c = observed.bare, observed.shares, None if drawn.inputs is None else drawn.inputs[ok]
        like = bare if shares is None else bare[row_at(np.arange(len(bare)), turns_of(shares))]
        self.features = make_features(
            bare, observed.inputs, zeta, x, custom, like=like, c=c, gaps=observed.gaps, shares=shares
        )
        f = apply(self.features, observed.x, observed.inputs)
        self.middle, size = (f.mean(0), f.std(0)) if shares is None else moments_of(f, weights_of_values(f, shares))
        self.size = np.where(size > 1e-6 * (np.abs(self.middle) + 1e-30), size, 1.0)
        f = self._standardised(f)
        self.mean, own = observed.mean(f), f
        values, vectors = np.linalg.eigh(np.cov(f.T, aweights=shares).reshape(f.shape[1], -1))
        self.whitening = vectors / np.sqrt(np.maximum(values, 0.0) + LEAST_VARIANCE)
        self.own = (own - self.mean) @ self.whitening
        self.contrasts = Contrasts.of(observed)

    def _standardised(self, f: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
        return np.clip((f - self.middle) / self.size, -CLIP, CLIP)

    def residuals(self, drawn: Drawn, rows: int) -> Float[np.ndarray, "places k"]:
        """Compute z of each place, of which so many rows follow one another; a failed one is as far as one can be."""
        failed = ~drawn.ok.reshape((-1,) + (1,) * (drawn.x.ndim - 1))
        x = np.where(failed, self.observed.x[0], drawn.x)
        f = np.where(drawn.ok[:, None], self._standardised(apply(self.features, x, drawn.inputs)), CLIP)
        z, h = (f - self.mean) @ self.whitening, self.known(drawn)
        if h is not None and len(h) >= PER_CONTRAST * h.shape[1]:
            # Whatever the coefficients, the mean of h over all observed conditions is zero
            z = z - h @ np.linalg.lstsq(h - h.mean(0), z - z.mean(0), rcond=None)[0]
        return z.reshape(-1, rows, z.shape[1]).mean(1)

    def known(self, drawn: Drawn) -> Float[np.ndarray, "n p"] | None:
        """Compute what is known of the conditions of simulations; None where nothing is."""
        return None if self.contrasts is None or drawn.inputs is None else self.contrasts(drawn.inputs)

    def of(self, z: Float[np.ndarray, "places k"], rows: int) -> Float[np.ndarray, " places"]:
        """Compute the misfit of each place from its z, of so many rows."""
        return np.mean(np.log1p(z**2 / (1 / rows + 1 / self.observed.effective)), axis=1)

    def at(self, draws: Draws, u: Float[np.ndarray, "places d"], rows: int) -> Float[np.ndarray, " places"]:
        """Compute the misfit of so many fresh simulations at each place."""
        return self.of(self.residuals(draws(np.repeat(u, rows, axis=0)), rows), rows)

    def rows_at(
        self, draws: Draws, u: Float[np.ndarray, "places d"], rows: int
    ) -> Float[np.ndarray, "places {rows} k"]:
        """Compute z of each of so many fresh simulations at each place."""
        return self.residuals(draws(np.repeat(u, rows, axis=0)), 1).reshape(len(u), rows, -1)

    def worse(self, a: Float[np.ndarray, "n k"], b: Float[np.ndarray, "n k"]) -> float:
        """By how many standard deviations place a fits worse than b, from z of single rows at both.

            T = (a1 - b1)^T (a2 + b2),    E[T] = |E[a]|^2 - |E[b]|^2,

        with 1 and 2 the means of each half of the rows, and z = 0 the observations' mean: half the log likelihood ratio
        of two normal models of that mean, for each observation, along a direction that has no part in the noise of what
        is compared. Given a1 - b1, T is a mean over independent rows, whose variance is that of the rows: simulations'
        at both places, and twice the observations'.

        Example:
            >>> rng = np.random.default_rng(0)
            >>> x, u = rng.normal(size=(300, 1)), rng.normal(size=(3200, 1))
            >>> misfit = Misfit(Observed(x), Drawn.of(u, u + rng.normal(size=(3200, 1))), 1.5)
            >>> z = [misfit.residuals(Drawn.of(x, at + rng.normal(size=x.shape)), 1) for at in (0.0, 0.0, 1.0)]
            >>> abs(misfit.worse(z[1], z[0])) < 3, misfit.worse(z[2], z[0]) > 3
            (True, True)
        """
        half = len(a) // 2
        way = a[:half].mean(0) - b[:half].mean(0)
        there, here, own = a[half:] @ way, b[half:] @ way, self.own @ way
        variance = there.var() / len(there) + here.var() / len(here)
        variance += 4 * float(covariance_of_mean(own[:, None], self.observed.clusters, self.observed.shares)[0, 0])
        return float((there.mean() + here.mean()) / np.sqrt(variance + 1e-300))
