"""What is known of parameters beforehand, taken for another measurement of them that is independent of the data.

    minimise over the step s    (s - s_data)^T P (s - s_data) + |rho - J s|^2

s_data = A^+ r is the step by the data alone, with covariance C = A^+ (V_obs + V_sim) A^+T, P = K (K^T C K)^-1 K^T its
inverse along what the data identify (K), rho = (value - g(w)) / sd and J = dg / dw / sd, g(w) theta or log theta at the
place w, where it is linearised. The data alone have weights V^-1, so that this is (tbar - m)^T V^-1 (tbar - m) with the
errors as they are, clusters and simulations counted. Information adds, and what one of both identifies has an error:

    s = L^+ (P s_data + J^T rho),    L = P + J^T J,    Cov = L^+ over the directions with an error below 2.5 in w

    T = (s - s_data)^T P (s - s_data) + |rho - J s|^2 ~ chi^2(rank P + rank J - rank L)

T tells whether both agree: of a single parameter it is ((value - g) / error of the difference)^2.

Source: weighted least squares of independent measurements, e.g. Cowan, "Statistical Data Analysis" (1998), section 7.6.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy import stats

from avo.parameters import unwound
from avo.refine.equation import Information, Residual
from avo.refine.estimate import UNDETERMINED
from avo.refine.linear import LinearSpace

NONE = 1e-12  # of the largest information, what rounding leaves where there is none
TINY = 1e-300  # p below which the count of standard errors is about that of one degree of freedom


class Measured(NamedTuple):
    """What is known at a place w, linearised and in units of its errors; zero for other parameters.

    Args:
        rest: rho, what is left of the measured values.
        slope: the diagonal of J.
    """

    rest: Float[np.ndarray, " d"]
    slope: Float[np.ndarray, " d"]


def measured(space: LinearSpace, w: Float[np.ndarray, " d"]) -> Measured | None:
    """Linearise what is known of the parameters at a place; None where nothing is.

    Example:
        >>> from avo.space import Interval, Known, Positive, Real, Space
        >>> c = Positive(2.0, prior=Known(4.0, 0.1, log=True))
        >>> space = Space(a=Interval(0, 8, prior=(5.0, 0.5)), b=Real(), c=c)
        >>> [a.round(6).tolist() for a in measured(LinearSpace(space), np.array([2.0, 3.0, np.log(2.0)]))]
        [[2.0, 0.0, 0.0], [4.0, 0.0, 10.0]]
    """
    if not space.space.known:
        return None
    u = jnp.asarray(space.u(w), float)
    theta, slope = (np.asarray(a, float) for a in jax.jvp(space.space.constrain, (u,), (jnp.ones_like(u),)))
    slope = slope / space.rate(np.asarray(u, float))
    rest, J = np.zeros(space.dim), np.zeros(space.dim)
    for i, name in enumerate(space.space.names):
        if (known := space.space.known.get(name)) is not None:
            at, rate = (np.log(theta[i]), slope[i] / theta[i]) if known.log else (theta[i], slope[i])
            apart = float(unwound(known.centre - at, 0.0, space.space.periods[i]))  # of an angle to the nearest turn
            rest[i], J[i] = apart / known.sd, rate / known.sd
    return Measured(rest, J)


@dataclass(frozen=True)
class Step:
    """A step of the equation, with what is known besides.

    Args:
        step: of w.
        covariance: its own, over what is identified.
        found: what is identified, and the share of r in the step.
        data: what the data alone identify.
        known: what else is; None where nothing is.
        apart: by how many standard errors both disagree.
    """

    step: Float[np.ndarray, " d"]
    covariance: Float[np.ndarray, "d d"]
    found: Information
    data: Information
    known: Measured | None = None
    apart: float = 0.0

    def length(self, residual: Residual, move: Float[np.ndarray, " d"], before: Any = 0.0) -> float:
        """Measure a move in standard errors per direction, as `Residual.length` does."""
        if self.known is None:
            return residual.length(self.found, move, before)
        inverse = self.data.inverse
        way = length_in(self.data, inverse @ (residual.V_obs + residual.V_sim + before) @ inverse.T, move)
        square = way**2 + np.sum((self.known.slope * move) ** 2)
        return float(np.sqrt(square / max(self.found.identified.sum(), 1)))


def step_of(space: LinearSpace, w: Float[np.ndarray, " d"], residual: Residual, found: Information) -> Step:
    """Take the step from a place, by its residual and by what is known of the parameters.

    Args:
        space: the parameters.
        w: the place.
        residual: r there.
        found: what the data identify.

    Example:
        >>> from avo.refine.equation import Noise, information
        >>> from avo.space import Real, Space
        >>> V, none = np.array([[0.04]]), np.zeros((1, 1))
        >>> found = information(np.eye(1), V, Noise(none, none))
        >>> space = LinearSpace(Space(a=Real(prior=(1.0, 0.1))))  # .5 +- .2 and 1 +- .1, weights 1 to 4
        >>> step = step_of(space, np.zeros(1), Residual(np.array([0.5]), V, V, none), found)
        >>> step.step.round(6).tolist(), step.covariance.round(6).tolist(), round(step.apart, 3)
        ([0.9], [[0.008]], 2.236)
    """
    alone, C = residual.step(found)
    known = measured(space, w)
    if known is None:
        return Step(alone, C, found, found)
    P, J = _information(found, C), known.slope
    values, vectors = np.linalg.eigh(P + np.diag(J**2))

    def inverse(kept: np.ndarray) -> np.ndarray:
        return vectors[:, kept] / values[kept] @ vectors[:, kept].T

    identified, any_ = values > 1 / UNDETERMINED**2, values > NONE * values[-1]
    pull = P @ alone + J * known.rest
    both = Information(values, vectors, identified, inverse(identified) @ P @ found.inverse, found.rough)
    best = inverse(any_) @ pull
    square = (best - alone) @ P @ (best - alone) + np.sum((known.rest - J * best) ** 2)
    freedom = int(found.identified.sum() + np.sum(J > 0) - any_.sum())
    step, covariance = inverse(identified) @ pull, inverse(identified)
    return Step(step, covariance, both, found, known, _standard_errors(square, freedom))


def length_in(found: Information, C: Float[np.ndarray, "d d"], move: Float[np.ndarray, " d"]) -> float:
    """Measure a move along what the data identify, in the errors of the data: sqrt(move^T P move)."""
    K = found.vectors[:, found.identified]
    return float(np.linalg.norm(np.linalg.solve(np.linalg.cholesky(K.T @ C @ K), K.T @ move)))


def _information(found: Information, C: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d d"]:
    """Invert the covariance of the data's step along what they identify."""
    K = found.vectors[:, found.identified]
    return K @ np.linalg.inv(K.T @ C @ K) @ K.T


def _standard_errors(square: float, freedom: int) -> float:
    """Say of a chi^2 how many standard errors of a normal number are as unlikely.

    Example:
        >>> round(_standard_errors(9.0, 1), 3), round(_standard_errors(9.0, 2), 2), _standard_errors(0.0, 0)
        (3.0, 2.54, 0.0)
    """
    if freedom <= 0:
        return 0.0
    p = stats.chi2.sf(square, freedom)
    return float(np.sqrt(square) if freedom == 1 or p < TINY else stats.norm.isf(p / 2))
