"""Fisher scoring for a population: the mean and covariance of u over observations, with simulations from q(psi) itself.

The steps are those of avo/refine/point.py, with psi = (mean, covariance) in place of u:

    t                 learned under a q without correlations, wider than the population, at most three times;
    rounds            simulations from q(psi): the slope of E_q[t] in psi by Fisher's identity, the residual, and a
                      step on the scale of variances, on which one that is zero may come out negative;
    the last          with most of the calls; the last step is checked against the error: it must be short.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from avo.budget import POPULATION_SHARES
from avo.execution.blocks import Drawn, Draws
from avo.observations import Observed
from avo.refine.equation import Equation, Information, Noise, Residual, covariance_of_mean, information, inside
from avo.refine.estimate import UNIDENTIFIED, Estimate, floored, symmetric
from avo.refine.point import ROUNDS, START, STILL, WIDEST
from avo.refine.statistic import LearnedStatistic, apply, learn_at, learn_encoder, monomials

FLOOR = 0.05  # least standard deviation, in u, of a population's q while it is fitted
WIDER = 1.5  # how much wider than a population the q is under which its t is learned
NEAR = 1.5  # standard errors below which a step of a population ends the rounds
PHASES = 3  # at most, each with a t of its own

Normal = tuple[np.ndarray, np.ndarray]  # mean and covariance


def _moved(loc: np.ndarray, factor: np.ndarray, delta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of u after a step delta = (a, S): loc + L a and L (I + S) L^T."""
    d = len(loc)
    return loc + factor @ delta[:d], factor @ (np.eye(d) + symmetric(delta[d:], d)) @ factor.T


def _delta(loc: np.ndarray, factor: np.ndarray, mean: np.ndarray, spread: np.ndarray) -> Float[np.ndarray, " p"]:
    """Step delta = (a, S) that leads from N(loc, factor factor^T) to (mean, spread), the inverse of `_moved`."""
    inverse = np.linalg.inv(factor)
    S = inverse @ spread @ inverse.T - np.eye(len(loc))
    return np.concatenate([inverse @ (mean - loc), S[np.triu_indices(len(loc))]])


def _chain(factor: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "p p"]:
    """The linear map from delta = (a, S) to changes of (mean, upper triangle of the covariance)."""
    d = len(factor)
    upper, columns = np.triu_indices(d), []
    for delta in np.eye(d + d * (d + 1) // 2):
        mean, spread = _moved(np.zeros(d), factor, delta)
        columns.append(np.concatenate([mean, (spread - factor @ factor.T)[upper]]))
    return np.array(columns).T


def _floored(spread: np.ndarray, floor: np.ndarray) -> np.ndarray:
    """Factor of a covariance, raised where it is narrower than `floor`."""
    return floor[:, None] * floored(spread / np.outer(floor, floor), 1.0)


def _bounded(delta: np.ndarray, d: int) -> np.ndarray:
    """Cut a step to one standard deviation of the mean, and that of the scale to a factor sqrt(e) either way."""
    values, vectors = np.linalg.eigh(np.eye(d) + symmetric(delta[d:], d))
    S = vectors * np.clip(values, np.exp(-1), np.exp(1)) @ vectors.T - np.eye(d)
    a = delta[:d] * min(1.0, 1.0 / max(float(np.linalg.norm(delta[:d])), 1e-30))
    return np.concatenate([a, S[np.triu_indices(d)]])


class Comparison(NamedTuple):
    """Observations beside simulations from q = N(loc, L L^T): slope of m in delta = (a, S), its noise, the residual."""

    loc: Float[np.ndarray, " d"]
    factor: Float[np.ndarray, "d d"]
    A: Float[np.ndarray, "k p"]
    noise: Noise
    residual: Residual

    def full(self) -> Information:
        """Tell what the data say about delta. Only what moves nothing is left out: the units are those of q itself."""
        return information(self.A, self.residual.V, self.noise, np.inf)

    def solve(self) -> tuple[Normal, "Found"]:
        """Solve for mean and covariance. A variance that would be negative is zero, and the rest is solved anew.

        Noise makes an unbiased estimate of a variance that is zero negative as often as not; a wrong simulator may
        scatter more than the observations do, and then means would follow variances that are none.
        """
        d, flat = len(self.loc), np.zeros(len(self.loc), bool)
        i, j = np.triu_indices(d)
        own, sd = self.factor @ self.factor.T, np.linalg.norm(self.factor, axis=1)
        unit, back = np.concatenate([sd, sd[i] * sd[j]]), np.linalg.inv(_chain(self.factor))
        A, h = self.A @ back * unit, self.noise.h @ back * unit
        while True:
            zero = np.concatenate([np.zeros(d, bool), flat[i] | flat[j]])
            change = np.where(zero, -np.concatenate([np.zeros(d), own[i, j]]), 0.0)
            r = self.residual.r - A @ (change / unit)
            found = information(A[:, ~zero], self.residual.V, Noise(self.noise.rest, h[:, ~zero]), np.inf)
            change[~zero] = (found.inverse @ r) * unit[~zero]
            spread = own + symmetric(change[d:], d)
            lost = ~flat & (np.diagonal(spread) < 0)
            if not lost.any():
                return (self.loc + change[:d], spread), Found(self.residual, found, ~zero, unit)
            flat |= lost


class Found(NamedTuple):
    """How well a comparison knows the mean and the upper triangle of the covariance, those entries that are `free`."""

    residual: Residual
    information: Information
    free: np.ndarray
    unit: Float[np.ndarray, " p"]

    def covariance(self, beside: Float[np.ndarray, "p p"]) -> Float[np.ndarray, "p p"]:
        """Compute the covariance of all entries; those that are zero have that of a solution which leaves them free."""
        _, some = self.residual.step(self.information)
        some = (some + self.information.free()) * np.outer(self.unit[self.free], self.unit[self.free])
        both = np.where(np.outer(~self.free, ~self.free), beside, 0.0)
        both[np.ix_(self.free, self.free)] = some
        return both

    def change(self, old: Normal, new: Normal) -> Float[np.ndarray, " f"]:
        """Compare two answers in units of q, by their free entries."""
        i, j = np.triu_indices(len(old[0]))
        start, end = (np.concatenate([mean, spread[i, j]]) for mean, spread in (old, new))
        return ((end - start) / self.unit)[self.free]

    def length(self, change: Float[np.ndarray, " f"]) -> float:
        """Measure a change in standard errors per direction."""
        return self.residual.length(self.information, change)


def _against(equation: Equation, drawn: Drawn, loc: np.ndarray, factor: np.ndarray, zeta: np.ndarray) -> Comparison:
    """Compare observations with simulations from q: t = B s + rest, A = B Cov(s), s the score of q, E[s] = 0 known."""
    t, t_obs = equation.values(drawn, drawn.ok)
    s = monomials(zeta[drawn.ok])
    size = np.concatenate([np.ones(zeta.shape[1]), np.where(np.equal(*np.triu_indices(zeta.shape[1])), 0.5, 1.0)])
    inverse = np.linalg.inv(s.T @ s)
    B = (inverse @ s.T @ (t - t.mean(0))).T
    rest = t - s @ B.T
    noise = Noise(rest - rest.mean(0), s @ inverse * size)
    return Comparison(loc, factor, B * size, noise, equation.residual(t_obs, rest))


def solve_population(
    draws: Draws,
    observed: Observed,
    loc: Float[np.ndarray, " d"],
    factor: Float[np.ndarray, "d d"],
    budget: int,
    seed: int,
    known: Sequence[Drawn] = (),
) -> Estimate:
    """Solve tbar = E_q[t] for the mean and covariance of u, from a start near the answer, within a budget of calls.

    t is learned at most three times, under a q without correlations that is wider than the population: around the
    start, and around the answers that follow. Each round simulates from the present q, whose standard deviations are
    kept above a floor, half of what the observations scatter in u; the covariance itself may end below it, since the
    equation is solved on the scale of variances. Some larger rounds settle the answer before the last comparison.

    Arguments are those of `avo.refine.point.solve_point`; factor is that of the population's q.
    """
    d, last = len(loc), draws.calls + budget
    rng, key = np.random.default_rng(seed), jax.random.key(seed)
    rows = {name: draws.whole(share * budget) for name, share in POPULATION_SHARES.items()}
    axes, size, _ = np.linalg.svd(factor)
    wild = axes * np.minimum(size, 1.0)  # where a spread hardly shows the adversarial fit may leave it anywhere
    at = (inside(draws.space, loc), wild @ wild.T)
    led, floor = at, np.full(d, START)
    rounds = 0
    for phase in range(PHASES):
        equation = _learn_population(
            draws, observed, *at, floor, rows["learn"], rng, jax.random.fold_in(key, phase), known
        )
        most = ROUNDS * (phase + 1) - rounds  # what an early phase leaves a later one may use
        at, led, floor, taken = _approach(equation, at, led, floor, rows["round"], most, rng)
        rounds += taken
        if phase and taken == 1:  # the new t has the same answer
            break
    most = int((last - draws.calls) / rows["settle"]) - 2
    at, led, floor, _ = _approach(equation, at, led, floor, rows["settle"], most, rng)
    loc, factor, n = at[0], _floored(at[1], floor), draws.whole(last - draws.calls - rows["again"])
    zeta = rng.normal(size=(n, d))
    drawn = draws(loc + zeta @ factor.T)
    last_one = _against(equation, drawn, loc, factor, zeta)
    (mean, spread), found = last_one.solve()
    full, chain = last_one.full(), _chain(factor)
    covariance = found.covariance(chain @ (last_one.residual.step(full)[1] + full.free()) @ chain.T)
    change = found.change(led, (mean, spread))
    moved = found.length(change)
    if moved > STILL:  # short against q itself it is still believed, the last step being an error too
        wide = change * found.unit[found.free]
        covariance[np.ix_(found.free, found.free)] += np.outer(wide, wide)
        moved = moved if np.linalg.norm(change) < 1 else np.inf
    reference = loc, factor
    parts: Any = (None if a is None else a[: rows["learn"]] for a in drawn)
    encoder = learn_encoder(draws, observed, jax.random.fold_in(key, 1), reference, Drawn(*parts))
    again = draws(mean + rng.normal(size=(rows["again"], d)) @ floored(spread, 0.0).T)
    variances, vectors = np.linalg.eigh(covariance[:d, :d])
    return Estimate(
        loc=mean,
        population_covariance=spread,
        covariance=covariance,
        values=1 / variances,
        vectors=vectors,
        identified=variances < UNIDENTIFIED**2,
        statistic=equation.statistic,
        encoder=encoder,
        reference=reference,
        simulation_noise=float(np.sqrt(1 + len(observed.x) / n)),
        moved=moved,
        freedom=observed.freedom,
        encoded=_encoded(encoder, observed, again),
    )


def _encoded(encoder: LearnedStatistic, observed: Observed, drawn: Drawn) -> Float[np.ndarray, "3 d"]:
    """Compare the spread of E[theta | x] over observations with that over simulations at the fit."""
    c = None if drawn.inputs is None else drawn.inputs[drawn.ok]
    z = apply(encoder, observed.x, observed.inputs), apply(encoder, drawn.x[drawn.ok], c)
    squares = [(a - a.mean(0)) ** 2 for a in z]
    error = covariance_of_mean(squares[0], observed.clusters), covariance_of_mean(squares[1])
    v, v_sim = (a.mean(0) for a in squares)
    return np.stack([np.sqrt(v), np.sqrt(v_sim), (v - v_sim) / np.sqrt(np.diagonal(error[0] + error[1]) + 1e-300)])


def _learn_population(
    draws: Draws, observed: Observed, loc: np.ndarray, spread: np.ndarray, floor: np.ndarray, rows: int,
    rng: np.random.Generator, key: PRNGKeyArray, known: Sequence[Drawn],
) -> Equation:  # fmt: skip
    """Learn t under a q that is wider than N(loc, spread), without correlations: a narrow ridge would teach little."""
    d, wide = len(loc), np.diag(WIDER * np.maximum(np.sqrt(np.maximum(np.diagonal(spread), 0)), floor))
    pool = [*known, draws(loc + rng.normal(size=(rows, d)) @ wide.T)]
    scores = learn_at(draws, observed, key, loc, wide, pool, squares=True)
    return Equation(draws, observed, scores, d + d * (d + 1) // 2)


def _approach(
    equation: Equation, at: Normal, led: Normal, floor: np.ndarray, rows: int, most: int, rng: np.random.Generator
) -> tuple[Normal, Normal, np.ndarray, int]:
    """Step until a step is short, at most so many: (mean, covariance), where the last step led, and the steps taken.

    The first two differ where a step was cut, or where it led to a covariance that is none: an unbiased estimate of a
    variance that is zero is negative as often as not.
    """
    moved, taken, stride, past = np.inf, 0, 1.0, np.zeros(len(at[0]))
    while moved > NEAR and taken < most:
        loc, factor = at[0], _floored(at[1], floor)
        zeta = rng.normal(size=(rows, len(loc)))
        here = _against(equation, equation.draws(loc + zeta @ factor.T), loc, factor, zeta)
        answer, found = here.solve()
        moved, led, taken = found.length(found.change(led, answer)), answer, taken + 1
        d = len(loc)
        errors = found.covariance(np.zeros((len(found.unit), len(found.unit))))
        floor = np.clip(np.sqrt(len(equation.observed.x) * np.diagonal(errors)[:d]) / 2, FLOOR, WIDEST)
        step = _bounded(_delta(loc, factor, *led), d)
        stride = stride / 2 if step[:d] @ past < 0 else min(2 * stride, 1.0)  # back and forth: too far
        at, past = _moved(loc, factor, stride * step), step[:d]
    return at, led, floor, taken
