"""An estimate from stored simulations alone: the equation of avo/refine/equation.py, with m by a local regression.

    where to begin   the place, among those of the rows, where a local fit of all features (avo/refine/local.py) is most
                     like the observations (avo/search/misfit.py);
    rounds           t learned from each half of the rows around the place; m and its slope there by a local fit of t,
                     each half judged by the t of the other, in the widest window in which m is a quadratic; a step of
                     Gauss and Newton, and the reference fitted to what one observation leaves, as in a descent;
    the end          the step and the error of the equation, with the observations' share and that of the local fit.

theta of the stored rows may have any distribution. m(w) is a regression given w, in which the distribution of w has no
part; weights towards a reference would need its density, and take rows away. t is a statistic whatever it was learned
from: a ridge regression of w on features of x, both freed of what is quadratic in w, so that a wide ball of rows does
not drown what x says of a scale in the spread of a location. A network would see that spread; there is none.

There are no adversarial steps: a critic trained on the same rows would follow the misfit that these steps follow, and
the last step of the equation, not the critic, decides the estimate. All is on the scale w of avo/refine/linear.py.
"""

from dataclasses import replace
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float, PRNGKeyArray
from scipy.spatial import KDTree

from avo.clock import stage
from avo.execution.blocks import Drawn
from avo.observations import Observed
from avo.refine.agreement import Agreement, p_of_terms, responds
from avo.refine.custom import CustomStatistic
from avo.refine.equation import Damping, Noise, Residual, conditions, covariance_of_mean, information
from avo.refine.estimate import UNDETERMINED, Estimate
from avo.refine.features import CLIP, quadratic
from avo.refine.known import Step, step_of
from avo.refine.linear import LinearSpace, held
from avo.refine.local import EACH, Local, coefficients, fit_local, widest
from avo.refine.neighbours import correlations
from avo.refine.point import NARROW, OPEN, alone_at, by_data, told
from avo.refine.scores import REACH, NoAnswer, Normal
from avo.refine.statistic import STEPS, LearnedStatistic, Pairs, apply, learn_statistic
from avo.search.descent import FASTER, PRIOR
from avo.search.misfit import Misfit

ROUNDS = 10  # at most
SHORT = 0.2  # widths of the reference, below which a step is the last
WIDEST = 1.0  # width of any reference, in w
LEAST_TEACHERS = 500  # for each parameter, of a t; the reference is wider where fewer lie in it
MOST_TEACHERS = 40_000
START = 0.5  # width of the first reference, in w
LEAST_ROWS = 30  # rows at the answer itself that would tell m as well, and no fewer
MOST_SEEN = 50_000  # rows that the search sees
MOST_PLACES = 2000  # at which the search looks
MOST_RADIUS = 2.0 / NARROW  # of a window: two standard deviations that one observation leaves
AROUND = 8
FAR_OUT = 0.9  # of a window's radius, beyond which no step ends


@stage("equation")
def solve_stored(
    drawn: Drawn, observed: Observed, space: LinearSpace, *, seed: int, custom: CustomStatistic | None = None,
    start: Float[np.ndarray, " d"] | None = None,
) -> Estimate:  # fmt: skip
    """Solve tbar = m(w) by stored rows.

    Args:
        drawn: rows, where they were in u; those that failed are left out.
        observed: the observations.
        space: the parameters.
        seed: how rows are parted, and randomness of the networks.
        custom: the user's own statistic, or None.
        start: where to look first, in u; None: all over the rows.

    Raises:
        NoAnswer: if too few rows lie near the answer; says how many.
    """
    drawn = drawn._replace(u=space.inside(space.of(drawn.u)))
    rows = Rows.of(drawn, observed, space, seed, custom)
    least = round(EACH * coefficients(space.dim))
    if drawn.ok.sum() < least:
        count = f"{space.dim} parameter{'s'[: space.dim > 1]}"
        raise NoAnswer(f"{drawn.ok.sum():,} stored pairs are too few; for {count} at least {least:,} are needed")
    q = _place(rows) if start is None else Normal(space.inside(space.of(start)), START * np.eye(space.dim))
    damping = Damping()
    for i in range(ROUNDS):
        near = _look(rows, q, rows.scores(i, q, 0))
        step = near.cut(near.move) if space.space.known else near.onward
        q = near.following(space, len(observed.x), damping.stride(step) * step)
        if np.linalg.norm(near.q.units(near.q.loc + step)) < SHORT and i > 1:
            break
    near = _look(rows, q, rows.scores(ROUNDS, q, 0))
    return _told(rows, near, float(np.mean(~drawn.ok)))


class Rows(NamedTuple):
    """Stored rows on the scale w, in two halves, each of which judges what was learned from the other.

    Args:
        halves: the rows.
        observed: the observations.
        space: the parameters.
        key: randomness of the networks.
        custom: the user's own statistic, or None.
    """

    halves: tuple[Drawn, Drawn]
    observed: Observed
    space: LinearSpace
    key: PRNGKeyArray
    custom: CustomStatistic | None

    @staticmethod
    def of(
        drawn: Drawn, observed: Observed, space: LinearSpace, seed: int, custom: CustomStatistic | None = None
    ) -> "Rows":
        """Part rows at random, without those that failed."""
        order = np.random.default_rng(seed).permutation(np.flatnonzero(drawn.ok))
        half = len(order) // 2
        halves = _some(drawn, order[:half]), _some(drawn, order[half:])
        return Rows(halves, observed, space, jax.random.key(seed), custom)

    @property
    def all(self) -> Drawn:
        """All rows, one half behind the other."""
        return Drawn.joined(self.halves)

    def scores(self, stage: int, q: Normal, steps: int) -> tuple[LearnedStatistic, LearnedStatistic]:
        """Learn t(x) = E[zeta | x] from each half's rows around q's centre, spread about as q is."""
        one, other = (self.learned(3 * stage + i, q, half, steps) for i, half in enumerate(self.halves))
        return one, other

    def learned(self, stage: int, q: Normal, drawn: Drawn, steps: int = 0, theta: bool = False) -> LearnedStatistic:
        """Learn E[zeta | x], or E[theta | x], from the rows around q's centre."""
        zeta = q.units(drawn.u)
        near = _nearest(zeta, LEAST_TEACHERS)
        zeta, drawn = zeta[near], _some(drawn, near)
        y = np.asarray(self.space.constrain(drawn.u), float) if theta else zeta
        pairs = Pairs(zeta, drawn.x, y, drawn.inputs, aside=None if theta else quadratic(zeta))
        return learn_statistic(
            jax.random.fold_in(self.key, stage + 2), self.observed, pairs, custom=self.custom, steps=steps
        )

    def within(self, q: Normal) -> "Rows":
        """Leave out the rows that no window around q's centre may hold."""
        far = [np.linalg.norm(q.units(half.u), axis=1) for half in self.halves]
        least = EACH * coefficients(self.space.dim, 0 if self.observed.inputs is None else self.observed.inputs[0].size)
        order = np.sort(np.concatenate(far))
        limit = max(MOST_RADIUS, 4 * float(order[min(least, len(order)) - 1]))
        halves = [_some(half, np.flatnonzero(own <= limit)) for half, own in zip(self.halves, far, strict=True)]
        return self._replace(halves=(halves[0], halves[1]))

    def judged(self, t: tuple[LearnedStatistic, LearnedStatistic]) -> tuple[np.ndarray, np.ndarray]:
        """Compute t of the rows, each half by what was learned from the other, and of the observations by both.

        The latter is the mean of both. Each t counts from its mean over the observations.
        """
        own = self.observed
        seen = [apply(one, own.x, own.inputs) for one in t]
        rows = [
            apply(one, half.x, half.inputs) - values.mean(0)
            for one, values, half in zip(t, seen, reversed(self.halves), strict=True)
        ]
        return np.concatenate(rows[::-1]), np.mean([values - values.mean(0) for values in seen], axis=0)


def _some(drawn: Drawn, rows: np.ndarray) -> Drawn:
    return Drawn(*(None if a is None else a[rows] for a in drawn))  # pyright: ignore[reportArgumentType]


def _nearest(zeta: Float[np.ndarray, "n d"], least: int) -> np.ndarray:
    """Choose the rows in a ball whose uniform distribution has the spread of N(0, 1), more where there are too few."""
    d, far = zeta.shape[1], np.linalg.norm(zeta, axis=1)
    least = min(least * d, len(far))
    radius = max(np.sqrt(d + 2), float(np.partition(far, least - 1)[least - 1]))
    return np.flatnonzero(far <= radius)[:MOST_TEACHERS]


def _place(rows: Rows) -> Normal:
    """Find the place, among those of the rows, at which the rows around it are most like the observations."""
    d, every = rows.space.dim, rows.all
    drawn = _some(every, np.random.default_rng(0).permutation(len(every.u))[:MOST_SEEN])
    sd = np.maximum(drawn.u.std(0), 1e-9)
    misfit, w = Misfit(rows.observed, drawn, sd, rows.custom), drawn.u / sd
    z, count = misfit.residuals(drawn, 1), min(max(EACH * coefficients(d) // 2, int(np.sqrt(len(w)))), len(w))
    far, near = map(np.asarray, KDTree(w).query(w[:MOST_PLACES], count))
    found = [
        _misfit_at(misfit, (w[some] - at) / away[-1], z[some])
        for at, away, some in zip(w[:MOST_PLACES], far, near, strict=True)
    ]
    # Of so many noisy numbers the least is a lucky one: each place is judged with those around it
    _, around = KDTree(w[:MOST_PLACES]).query(w[:MOST_PLACES], min(AROUND, len(found)))
    return Normal(drawn.u[int(np.argmin(np.mean(np.array(found)[around], axis=1)))], START * np.eye(d))


def _misfit_at(misfit: Misfit, s: Float[np.ndarray, "n d"], z: Float[np.ndarray, "n k"]) -> float:
    """Compute the misfit at a place, whose features the rows around it tell; infinite where they do not."""
    try:
        local = fit_local(s, z, powers=False)
    except np.linalg.LinAlgError:
        return np.inf
    return float(misfit.of(local.value[None], max(round(local.rows), 1))[0])


class Near(NamedTuple):
    """What judges near a place say of the equation there, and the step that they ask for.

    Args:
        q: the place, and the units of t.
        t_obs: of the observations, less what their known conditions explain.
        local: m there.
        radius: of the window, in units of q.
        residual: tbar - m.
        taken: the step, by the data and by what else is known.
        move: the step inside the bounds.
        far: its length, in standard errors per direction.
    """

    q: Normal
    t_obs: Float[np.ndarray, "m k"]
    local: Local
    radius: float
    slope: Float[np.ndarray, "k d"]
    residual: Residual
    taken: Step
    move: Float[np.ndarray, " d"]
    far: float

    @property
    def onward(self) -> Float[np.ndarray, " d"]:
        """The step of a search, which what the rows hardly tell shortens; no longer than `REACH`, inside the window."""
        W = np.linalg.pinv(self.residual.V_obs + self.residual.V_sim, rcond=1e-10, hermitian=True)
        G = self.slope.T @ W @ self.slope
        step = np.linalg.solve(G + PRIOR * np.eye(len(G)), self.slope.T @ W @ self.residual.r)
        return self.cut(step)

    def cut(self, step: Float[np.ndarray, " d"]) -> Float[np.ndarray, " d"]:
        """Shorten a step that leads further than m is known."""
        far = float(np.linalg.norm(self.q.units(self.q.loc + step)))
        return step * min(1.0, min(FAR_OUT * self.radius, REACH) / max(far, 1e-30))

    def following(self, space: LinearSpace, m: int, step: Float[np.ndarray, " d"]) -> Normal:
        """Step, and fit the reference to the data: half as wide as what one observation leaves, if rows allow."""
        found = self.taken.data
        width = np.linalg.norm(found.vectors.T @ self.q.factor, axis=1)
        wanted = NARROW * np.sqrt(m / np.maximum(found.values, 1e-9))
        wanted = np.clip(np.minimum(wanted, WIDEST), width / FASTER, width * FASTER)
        return Normal(space.inside(self.q.loc + step), found.vectors * wanted)


def _look(rows: Rows, q: Normal, t: tuple[LearnedStatistic, LearnedStatistic]) -> Near:
    """Ask the rows around a place, by the statistics of both halves.

    Raises:
        NoAnswer: if there is no window in which they tell m.
    """
    near, observed = rows.within(q), rows.observed
    drawn, (values, t_obs) = near.all, near.judged(t)
    more = f_obs = None
    if drawn.inputs is not None and observed.inputs is not None:
        f, f_obs = (conditions(c, observed.inputs) for c in (drawn.inputs, observed.inputs))
        more, f_obs = f - f_obs.mean(0), f_obs - f_obs.mean(0)
    window = widest(q.units(drawn.u), values, more, MOST_RADIUS)
    if window is None:
        raise _few(rows, q)
    local, units = window.found, np.linalg.inv(window.radius * q.factor)
    if f_obs is not None:
        t_obs = t_obs - f_obs @ local.rest
    V, clusters = covariance_of_mean(t_obs), observed.clusters
    V_obs = V if clusters is None else covariance_of_mean(t_obs, clusters)
    residual = Residual(t_obs.mean(0) - local.value, V, V_obs, local.covariance)
    slope = local.slope @ units
    found = information(slope, V, Noise(local.residuals, local.slope_weights @ units), UNDETERMINED)
    taken = step_of(rows.space, q.loc, residual, found)
    move, _ = held(rows.space, q.loc, taken.step, taken.covariance)
    far = taken.length(residual, move)
    return Near(q, t_obs, local, window.radius, slope, residual, taken, move, far)


def _few(rows: Rows, q: Normal) -> NoAnswer:
    """Say that too few rows lie near the answer."""
    inside = int(np.sum(np.linalg.norm(q.units(rows.all.u), axis=1) < np.sqrt(rows.space.dim + 2)))
    theta = np.asarray(rows.space.constrain(q.loc)).tolist()
    words = ", ".join(f"{name} = {value:.3g}" for name, value in zip(rows.space.space.names, theta, strict=True))
    return NoAnswer(
        f"the stored pairs do not tell what x does at the place that is most like the observations, {words}; "
        f"{inside:,} of {len(rows.all.u):,} lie near it, and simulations all around it are needed",
        rows.space.u(q.loc),
    )


def _told(rows: Rows, near: Near, failing: float) -> Estimate:
    """State the estimate, and its error.

    Raises:
        NoAnswer: if the rows near the answer say as little as a few at it would.
    """
    space, taken, residual, data = rows.space, near.taken, near.residual, near.taken.data
    if near.local.rows < LEAST_ROWS:
        raise _few(rows, near.q)
    moved = np.inf if residual.unexplained(data, near.slope) else near.far
    alone, covariance, free = by_data(space, near.q.loc, residual, data)
    statistic = rows.learned(-1, near.q, rows.all)
    wide = Normal(near.q.loc, near.q.factor * np.minimum(OPEN, WIDEST / np.linalg.norm(near.q.factor, axis=0)))
    seen = _agreement(rows, near, statistic, free @ data.inverse)
    free_of_clusters = rows.observed.clusters is None and len(near.t_obs) > 3
    return Estimate(
        **told(space, near.q.loc + near.cut(near.move), taken.covariance, taken.found),
        alone=None if taken.known is None else alone_at(space, alone, covariance, data),
        apart=taken.apart,
        statistic=statistic,
        encoder=rows.learned(-2, wide, rows.all, STEPS, theta=True),
        reference=wide,
        simulation_noise=float(np.sqrt(1 + len(near.t_obs) / near.local.rows)),
        moved=moved,
        freedom=rows.observed.freedom,
        p_value=seen.p,
        hidden=seen.hidden,
        neighbours=correlations(near.t_obs @ data.inverse.T) if free_of_clusters else None,
        failing=failing,
    )


def _agreement(rows: Rows, near: Near, statistic: LearnedStatistic, inverse: Float[np.ndarray, "d k"]) -> Agreement:
    """Hold all features of the observations against those of the rows at the answer; no p where rows do not tell."""
    observed, drawn, s = rows.observed, rows.all, near.q.units(rows.all.u) / near.radius
    if observed.inputs is not None or observed.clusters is not None:
        return Agreement(None)
    inside = np.flatnonzero(np.linalg.norm(s, axis=1) < 1)
    features = replace(statistic.features, custom=None)
    g, g_obs = apply(features, drawn.x[inside]), apply(features, observed.x)
    middle, size = g.mean(0), np.maximum(g.std(0), 1e-9 * (np.abs(g.mean(0)) + 1e-30))
    g, g_obs = (np.clip((a - middle) / size, -CLIP, CLIP) for a in (g, g_obs))
    local = fit_local(s[inside], g, powers=True)
    units = np.linalg.inv(near.radius * near.q.factor)
    A, noise = local.slope @ units, Noise(local.residuals, local.slope_weights @ units)
    found, rng = near.taken.data, np.random.default_rng(len(inside))
    each = Noise(noise.residuals, noise.weights @ found.vectors)
    if responds(A @ found.vectors, each, found.identified, g_obs, rng):
        return Agreement(None, hidden=True)
    carried = (A @ inverse).T
    e_obs = (g_obs - g_obs.mean(0) - near.t_obs @ carried) / len(g_obs)
    errors = local.residuals - near.local.residuals @ carried
    way = g_obs.mean(0) - local.value - near.residual.r @ carried
    return Agreement(p_of_terms(e_obs, local.value_weights[:, None] * errors, way, rng))
