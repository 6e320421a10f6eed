"""Fisher scoring for a population: the mean and covariance of u over observations, with simulations from q(psi) itself.

The steps are those of avo/refine/point.py, with psi = (mean, covariance) in place of u:

    t                 learned under a q without correlations, wider than the population, at most three times;
    rounds            simulations from q(psi): the slope of E_q[t] in psi by Fisher's identity, the residual, and a
                      step on the scale of variances, on which one that is zero may come out negative;
    the last          with most of the calls; the last step is checked against the error: it must be short.

Steps are taken in units of q = N(loc, L L^T): delta = (a, S) leads to N(loc + L a, L (I + S) L^T).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from avo.budget import PopulationRows
from avo.clock import stage
from avo.execution.blocks import Drawn, Draws
from avo.observations import Observed
from avo.refine.custom import CustomStatistic
from avo.refine.equation import (
    Damping,
    Equation,
    Information,
    Noise,
    Residual,
    covariance_of_mean,
    information,
)
from avo.refine.estimate import UNIDENTIFIED, Estimate, floored, symmetric
from avo.refine.keeping import keep
from avo.refine.neighbours import between_rows
from avo.refine.point import ROUNDS, START, STILL, WIDEST
from avo.refine.scores import Learner, Normal, monomials
from avo.refine.statistic import LearnedStatistic, apply

FLOOR = 0.05  # least standard deviation, in u, of a population's q while it is fitted
WIDER = 1.5  # how much wider than a population the q is under which its t is learned
NEAR = 1.5  # standard errors below which a step of a population ends the rounds
FARTHEST = 6.0  # |u| of a mean with two bounds; theta is within 1/400 of its range of the bound there
PHASES = 3  # at most, each with a t of its own


class Psi(NamedTuple):
    """Mean and covariance of u over the observations; a covariance that is solved for need not be one."""

    mean: Float[np.ndarray, " d"]
    covariance: Float[np.ndarray, "d d"]

    def entries(self) -> Float[np.ndarray, " p"]:
        """List the mean and the covariance's upper triangle."""
        return np.concatenate([self.mean, self.covariance[np.triu_indices(len(self.mean))]])


class State(NamedTuple):
    """Where the iteration stands.

    Args:
        at: psi, from which the next simulations come.
        led: where the last step led. The two differ where a step was cut, or where it led to a covariance that is none:
            an unbiased estimate of a variance that is zero is negative as often as not.
        floor: standard deviations, in u, that the simulations' q keeps at least.
    """

    at: Psi
    led: Psi
    floor: Float[np.ndarray, " d"]

    def q(self) -> Normal:
        """Make the proposal for the next simulations."""
        return Normal(self.at.mean, _raised(self.at.covariance, self.floor))


@stage("equation")
def solve_population(
    draws: Draws, observed: Observed, q: Normal, *, budget: int, seed: int, pool: Sequence[Drawn] = (),
    custom: CustomStatistic | None = None,
) -> Estimate:  # fmt: skip
    """Solve tbar = E_q[t] for the mean and covariance of u, from a start near the answer, within a budget of calls.

    t is learned at most three times, under a q without correlations that is wider than the population: around the
    start, and around the answers that follow. Each round simulates from the present q, whose standard deviations are
    kept above a floor, half of what the observations scatter in u; the covariance itself may end below it, since the
    equation is solved on the scale of variances. Some larger rounds settle the answer before the last comparison.

    Arguments are those of `avo.refine.point.solve_point`; q is the population's.
    """
    last = draws.calls + budget
    learner = Learner.start(draws, observed, seed, custom)
    rows = PopulationRows.of(budget, draws.size)
    equation, state = _locate(learner, q, rows, pool, last)
    most = int((last - draws.calls) / rows.settle) - 2
    state, _ = _approach(equation, learner, state, rows.settle, most, last - rows.last)

    q = state.q()
    zeta = learner.normal(draws.whole(last - draws.calls - rows.again))
    drawn = draws(q.at(zeta))
    there = _linearized(equation, drawn, q, zeta)
    psi, solution = there.solve()
    covariance, moved = _error(there, solution, state.led, psi)

    parts: Any = (None if a is None else a[: rows.learn] for a in drawn)
    encoder = learner.encoder(1, q, Drawn(*parts))
    again = learner.simulate(Normal(psi.mean, floored(psi.covariance, 0.0)), rows.again)
    d = len(psi.mean)
    variances, vectors = np.linalg.eigh(covariance[:d, :d])
    return Estimate(
        loc=psi.mean,
        population_covariance=psi.covariance,
        covariance=covariance,
        values=1 / variances,
        vectors=vectors,
        identified=variances < UNIDENTIFIED**2,
        statistic=equation.statistic,
        encoder=encoder,
        reference=q,
        simulation_noise=float(np.sqrt(1 + observed.effective / len(zeta))),
        moved=moved,
        freedom=observed.freedom,
        encoded=_encoded(encoder, observed, again),
        neighbours=between_rows(equation, drawn, solution.information.inverse[:d]),
        failing=float(np.mean(~drawn.ok)),
        kept=keep(equation, again, [drawn], np.asarray, encoder),
    )


# --- the rounds ------------------------------------------------------------------------------------------------------


def _locate(
    learner: Learner, q: Normal, rows: PopulationRows, pool: Sequence[Drawn], last: int
) -> tuple[Equation, State]:
    """Look for the population in phases, each with a t of its own, learned where the last one led."""
    axes, size, _ = np.linalg.svd(q.factor)
    wild = axes * np.minimum(size, 1.0)  # where a width hardly shows the adversarial fit may leave it anywhere
    loc = np.where(learner.draws.space.bounded, np.clip(q.loc, -FARTHEST, FARTHEST), q.loc)
    start = Psi(loc, wild @ wild.T)
    state, rounds = State(start, start, np.full(len(q.loc), START)), 0
    for phase in range(PHASES):
        equation = _learn(learner, phase, state, rows.learn, pool)
        most = ROUNDS * (phase + 1) - rounds  # what an early phase leaves a later one may use
        end = last - (rows.another if phase < PHASES - 1 else rows.last)
        state, taken = _approach(equation, learner, state, rows.round, most, end)
        rounds += taken
        if phase and taken == 1:  # the new t has the same answer
            break
    return equation, state


def _learn(learner: Learner, phase: int, state: State, rows: int, pool: Sequence[Drawn]) -> Equation:
    """Learn t under a q that is wider than the population, without correlations: a narrow ridge would teach little."""
    sd = np.sqrt(np.maximum(np.diagonal(state.at.covariance), 0))
    wide = Normal(state.at.mean, np.diag(WIDER * np.maximum(sd, state.floor)))
    statistic = learner.scores(phase, wide, [*pool, learner.simulate(wide, rows)], squares=True)
    return Equation(learner.draws, learner.observed, statistic)


def _approach(equation: Equation, learner: Learner, state: State, rows: int, most: int, end: int) -> tuple[State, int]:
    """Step until a step is short, at most so many, after the first none beyond `end` calls: state, steps taken."""
    moved, taken, damping = np.inf, 0, Damping()
    m, d = equation.observed.effective, len(state.at.mean)
    while moved > NEAR and taken < most and (not taken or learner.draws.calls + rows <= end):
        q, zeta = state.q(), learner.normal(rows)
        here = _linearized(equation, equation.draws(q.at(zeta)), q, zeta)
        led, solution = here.solve()
        moved, taken = solution.length(solution.change(state.led, led)), taken + 1
        # Half of what one observation leaves of u, sqrt(m) times what all of them leave
        errors = solution.covariance(np.zeros((len(solution.unit), len(solution.unit))))
        floor = np.clip(np.sqrt(m * np.diagonal(errors)[:d]) / 2, FLOOR, WIDEST)
        step = _bounded(_delta(q, led), d)
        state = State(_moved(q, damping.stride(step[:d]) * step), led, floor)
    return state, taken


# --- psi and steps ---------------------------------------------------------------------------------------------------


def _moved(q: Normal, delta: Float[np.ndarray, " p"]) -> Psi:
    """Mean and covariance of u after a step delta = (a, S): loc + L a and L (I + S) L^T."""
    d = len(q.loc)
    return Psi(q.loc + q.factor @ delta[:d], q.factor @ (np.eye(d) + symmetric(delta[d:], d)) @ q.factor.T)


def _delta(q: Normal, psi: Psi) -> Float[np.ndarray, " p"]:
    """Step delta = (a, S) that leads from q to psi, the inverse of `_moved`."""
    inverse = np.linalg.inv(q.factor)
    S = inverse @ psi.covariance @ inverse.T - np.eye(len(q.loc))
    return np.concatenate([inverse @ (psi.mean - q.loc), S[np.triu_indices(len(q.loc))]])


def _chain(factor: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "p p"]:
    """The linear map from delta = (a, S) to changes of (mean, upper triangle of the covariance)."""
    d, columns = len(factor), []
    for delta in np.eye(d + d * (d + 1) // 2):
        mean, covariance = _moved(Normal(np.zeros(d), factor), delta)
        columns.append(Psi(mean, covariance - factor @ factor.T).entries())
    return np.array(columns).T


def _raised(covariance: Float[np.ndarray, "d d"], floor: Float[np.ndarray, " d"]) -> Float[np.ndarray, "d d"]:
    """Factor of a covariance, raised where it is narrower than `floor`."""
    return floor[:, None] * floored(covariance / np.outer(floor, floor), 1.0)


def _bounded(delta: Float[np.ndarray, " p"], d: int) -> Float[np.ndarray, " p"]:
    """Cut a step to one standard deviation of the mean, and that of the scale to a factor sqrt(e) either way."""
    values, vectors = np.linalg.eigh(np.eye(d) + symmetric(delta[d:], d))
    S = vectors * np.clip(values, np.exp(-1), np.exp(1)) @ vectors.T - np.eye(d)
    a = delta[:d] * min(1.0, 1.0 / max(float(np.linalg.norm(delta[:d])), 1e-30))
    return np.concatenate([a, S[np.triu_indices(d)]])


# --- the equation at q -----------------------------------------------------------------------------------------------


class Linearized(NamedTuple):
    """The equation near q, r = A delta: slope of m in delta = (a, S), its noise, and the residual at q."""

    q: Normal
    A: Float[np.ndarray, "k p"]
    noise: Noise
    residual: Residual

    def solve(self) -> tuple[Psi, "Solution"]:
        """Solve for mean and covariance. A variance that would be negative is zero, and the rest is solved anew.

        Noise makes an unbiased estimate of a variance that is zero negative as often as not; a wrong simulator may
        scatter more than the observations do, and then means would follow variances that are none.
        """
        zero = np.zeros(len(self.q.loc), bool)
        while True:
            psi, solution = self._solve(zero)
            negative = ~zero & (np.diagonal(psi.covariance) < 0)
            if not negative.any():
                return psi, solution
            zero |= negative

    def _solve(self, zero: np.ndarray) -> tuple[Psi, "Solution"]:
        """Solve with some variances held at zero, and their covariances.

        The unknowns are the changes of mean and covariance from q's own, in units of q's standard deviations; those of
        entries held at zero are known, minus q's own, and go to the left side, r - A change.
        """
        loc, factor = self.q
        d = len(loc)
        i, j = np.triu_indices(d)
        own, sd = factor @ factor.T, np.linalg.norm(factor, axis=1)
        unit, back = np.concatenate([sd, sd[i] * sd[j]]), np.linalg.inv(_chain(factor))
        A, weights = self.A @ back * unit, self.noise.weights @ back * unit
        held = np.concatenate([np.zeros(d, bool), zero[i] | zero[j]])
        change = np.where(held, -np.concatenate([np.zeros(d), own[i, j]]), 0.0)
        r = self.residual.r - A @ (change / unit)
        noise = Noise(self.noise.residuals, weights[:, ~held])
        found = information(A[:, ~held], self.residual.V, noise, np.inf)
        change[~held] = (found.inverse @ r) * unit[~held]
        psi = Psi(loc + change[:d], own + symmetric(change[d:], d))
        return psi, Solution(self.residual, found, ~held, unit)

    def free_covariance(self) -> Float[np.ndarray, "p p"]:
        """Compute the covariance of the entries of psi where none is held at zero.

        Only what moves nothing is left out of the information: the units are those of q itself.
        """
        found, chain = information(self.A, self.residual.V, self.noise, np.inf), _chain(self.q.factor)
        return chain @ self.residual.step(found)[1] @ chain.T + found.start_covariance(chain)


class Solution(NamedTuple):
    """How well psi is known: information about those entries that are `free`, in units of q."""

    residual: Residual
    information: Information
    free: np.ndarray
    unit: Float[np.ndarray, " p"]

    def covariance(self, beside: Float[np.ndarray, "p p"]) -> Float[np.ndarray, "p p"]:
        """Compute the covariance of all entries; those that are zero have that of a solution which leaves them free."""
        _, some = self.residual.step(self.information)
        units = np.diag(self.unit[self.free])
        some = units @ some @ units + self.information.start_covariance(units)
        both = np.where(np.outer(~self.free, ~self.free), beside, 0.0)
        both[np.ix_(self.free, self.free)] = some
        return both

    def change(self, old: Psi, new: Psi) -> Float[np.ndarray, " f"]:
        """Compare two answers in units of q, by their free entries."""
        return ((new.entries() - old.entries()) / self.unit)[self.free]

    def length(self, change: Float[np.ndarray, " f"]) -> float:
        """Measure a change in standard errors per direction."""
        return self.residual.length(self.information, change)


def _linearized(equation: Equation, drawn: Drawn, q: Normal, zeta: Float[np.ndarray, "n d"]) -> Linearized:
    """Compare observations with simulations from q: t = B s + rest, A = B Cov(s), s the score of q, E[s] = 0 known."""
    s = monomials(zeta[drawn.ok])
    t, t_obs = equation.values(drawn, drawn.ok, s.shape[1] + 1)
    size = np.concatenate([np.ones(zeta.shape[1]), np.where(np.equal(*np.triu_indices(zeta.shape[1])), 0.5, 1.0)])
    inverse = np.linalg.inv(s.T @ s)
    B = (inverse @ s.T @ (t - t.mean(0))).T
    rest = t - s @ B.T
    noise = Noise(rest - rest.mean(0), s @ inverse * size)
    return Linearized(q, B * size, noise, equation.residual(t_obs, rest))


# --- the error -------------------------------------------------------------------------------------------------------


def _error(there: Linearized, solution: Solution, led: Psi, psi: Psi) -> tuple[Float[np.ndarray, "p p"], float]:
    """State the covariance of psi's entries, and the length of the last step, in standard errors per direction.

    A step that is long beside the error, but short beside q itself, is still believed, and counts as an error too.
    """
    covariance = solution.covariance(there.free_covariance())
    change = solution.change(led, psi)
    moved = solution.length(change)
    if moved > STILL:
        step = change * solution.unit[solution.free]
        covariance[np.ix_(solution.free, solution.free)] += np.outer(step, step)
        moved = moved if np.linalg.norm(change) < 1 else np.inf
    return covariance, moved


def _encoded(encoder: LearnedStatistic, observed: Observed, drawn: Drawn) -> Float[np.ndarray, "3 d"]:
    """Compare the standard deviation of E[theta | x] over observations with that over simulations at the fit."""
    c = None if drawn.inputs is None else drawn.inputs[drawn.ok]
    z = apply(encoder, observed.x, observed.inputs), apply(encoder, drawn.x[drawn.ok], c)
    squares = [(z[0] - observed.mean(z[0])) ** 2, (z[1] - z[1].mean(0)) ** 2]
    error = covariance_of_mean(squares[0], observed.clusters, observed.shares), covariance_of_mean(squares[1])
    v, v_sim = observed.mean(squares[0]), squares[1].mean(0)
    return np.stack([np.sqrt(v), np.sqrt(v_sim), (v - v_sim) / np.sqrt(np.diagonal(error[0] + error[1]) + 1e-300)])
