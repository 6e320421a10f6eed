"""Fisher scoring with learned scores: the estimate, its error, and what the data determine.

The mathematics is in avo/scores.py; here are its steps. For a point,

    a few rounds      learn t under q = N(loc, L L^T), find the slope and the residual, move loc, fit L to the data:
                      half as wide as what one observation leaves undecided, since a wider q bends the score, and a
                      narrower one teaches nothing;
    the last t        learned from all rounds' simulations and as many again, each with its own proposal's score;
    E[theta | x]      learned under a wider q, for `Result.encode`;
    slope, centre     mirrored pairs for the slope of m, then simulations at loc itself, half of all calls, for the
                      residual; the last step is checked against the error: it must be short.

For a population the same is done with psi = (mean, covariance) of u, in avo/population.py.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int, PRNGKeyArray
from scipy import special, stats

from avo.estimate import PRIOR, UNDETERMINED, Estimate
from avo.rows import Drawn, Draws
from avo.scores import STEPS, Scores, apply, learn, quadratic
from avo.space import Interval, LogInterval, Space

CHANCE = 1e-3  # level of the test that a direction moves t at all
NEVER = 1e-6  # level of the test that a residual is chance
ROUNDS = 4  # at most, that look for place and width
FEW = 1000  # training steps of their t, which need not be the best
SHARES = {"round": 0.03, "learn": 0.09, "wide": 0.03, "slope": 0.08}  # of the calls; the rest to the centre
START, WIDEST = 0.2, 0.5  # standard deviation of the first q in the stiffest direction, and of any q in any, in u
BLOCK = 1000  # rows of an adversarial fit's simulations, one after another, that count as of one proposal
LEAST = 20  # rows for each parameter of a part of the simulations that t is learned from
LEAST_SPREAD = 1e-3  # of such a part, in units of q
NARROW = 0.5  # that of the last q, in standard deviations that one observation leaves
SOFT = 0.3  # that of any q in directions that are not determined, in u
OPEN = 4.0  # how much wider than the last q the reference of E[theta | x] is
REACH = 3.0  # longest step, in standard deviations of the q that gave the slope
TRIES = 5  # steps at most before the last
STILL = 3.0  # longest last step, in standard errors per direction, of an estimate that is believed
EDGE = 6.0  # largest |u| of a parameter with two bounds; theta is within 1/400 of its range of the bound there


class Observed(NamedTuple):
    """Observations: x (m, *x_shape), their conditions, and the group of each, 0 .. g - 1, or None."""

    x: np.ndarray
    inputs: np.ndarray | None = None
    groups: np.ndarray | None = None

    @property
    def freedom(self) -> int:
        """Number of independent parts less one."""
        return (len(self.x) if self.groups is None else int(self.groups.max()) + 1) - 1


def covariance_of_mean(t: Float[np.ndarray, "m k"], groups: np.ndarray | None = None) -> Float[np.ndarray, "k k"]:
    """Compute the covariance of the mean of t over observations, independent ones or independent groups of them.

        sum_g s_g s_g^T / m^2 * g / (g - 1),    s_g = sum over the group of (t_i - mean)

    Example:
        >>> t = np.array([[1.0], [2.0], [6.0]])
        >>> round(float(covariance_of_mean(t)[0, 0] - np.var(t, ddof=1) / 3), 12)
        0.0
    """
    m, rest = len(t), t - t.mean(0)
    if groups is not None:
        sums = np.zeros((int(groups.max()) + 1, t.shape[1]))
        np.add.at(sums, groups, rest)
        rest = sums
    return rest.T @ rest / m**2 * len(rest) / (len(rest) - 1)


class Noise(NamedTuple):
    """Sampling error of a slope, dA = sum_n rest_n h_n^T, the terms of which are independent."""

    rest: Float[np.ndarray, "n k"]
    h: Float[np.ndarray, "n d"]

    def bias(self, W: Float[np.ndarray, "k k"]) -> Float[np.ndarray, "d d"]:
        """Compute the mean of dA^T W dA."""
        return self.h.T @ (np.sum(self.rest @ W * self.rest, axis=1)[:, None] * self.h)


def slope(
    du: Float[np.ndarray, "n d"], plus: Float[np.ndarray, "n k"], minus: Float[np.ndarray, "n k"]
) -> tuple[Float[np.ndarray, "k d"], Noise]:
    """Regress t on u, from pairs at centre +- du that share their random numbers: (t+ - t-) / 2 = A du + error.

    Shared random numbers cancel, which makes A precise; curvature cancels too.

    Returns:
        A, and its noise, that of unequal errors.

    Example:
        >>> du = np.random.default_rng(0).normal(size=(500, 2))
        >>> t = lambda du: du @ np.array([[2.0], [-1.0]]) + 3.0 * du[:, :1] ** 2 + 0.5
        >>> slope(du, t(du), t(-du))[0].round(6).tolist()
        [[2.0, -1.0]]
    """
    n, d = du.shape
    odd, inverse = (plus - minus) / 2, np.linalg.inv(du.T @ du)
    A = (inverse @ du.T @ odd).T
    return A, Noise((odd - du @ A.T) * np.sqrt(n / max(n - d, 1)), du @ inverse)


class Information(NamedTuple):
    """What the data say about each direction of u: G = A^T V^-1 A, V the covariance of tbar, in eigenvectors.

    The eigenvalues are less what the simulations' noise adds to them; `inverse` is A^+ over the directions that are
    determined.
    """

    values: Float[np.ndarray, " d"]
    vectors: Float[np.ndarray, "d d"]
    determined: np.ndarray
    inverse: Float[np.ndarray, "d k"]

    @property
    def sd(self) -> Float[np.ndarray, " d"]:
        """Standard deviation of u along each eigenvector, infinite where there is no information."""
        with np.errstate(divide="ignore"):
            return 1 / np.sqrt(np.maximum(self.values, 0.0))

    def free(self) -> Float[np.ndarray, "d d"]:
        """Covariance of what is not determined."""
        loose = self.vectors[:, ~self.determined]
        return PRIOR**2 * loose @ loose.T


def information(
    A: Float[np.ndarray, "k d"], V: Float[np.ndarray, "k k"], noise: Any, limit: float = UNDETERMINED
) -> Information:
    """Find what the data determine, and the truncated inverse A^+ = K (K^T G K)^-1 K^T A^T V^-1, K what is determined.

    Example:
        >>> noise = Noise(rest=np.full((1, 1), 1e-3), h=np.ones((1, 2)))
        >>> found = information(np.array([[2.0, 0.0]]), np.array([[0.01]]), noise)
        >>> found.determined.tolist(), found.sd.round(3).tolist(), (found.inverse.round(6) + 0.0).tolist()
        ([False, True], [inf, 0.05], [[0.5], [0.0]])
    """
    W = np.linalg.pinv(V, rcond=1e-10, hermitian=True)
    G, bias = A.T @ W @ A, noise.bias(W)
    values, vectors = np.linalg.eigh(G - bias)
    raw = np.einsum("dv,de,ev->v", vectors, G, vectors)
    chance = np.einsum("dv,de,ev->v", vectors, bias, vectors)
    k = np.linalg.matrix_rank(V, tol=1e-10 * np.abs(V).max(), hermitian=True)
    # Where nothing moves t, raw / chance is about chi-square(k) / k in each direction; as these are chosen by what they
    # show, it is held against the sum over all of them
    determined = (raw > chance * stats.chi2.isf(CHANCE, k * len(G)) / k) & (values > 1 / limit**2)
    kept = vectors[:, determined]
    return Information(values, vectors, determined, kept @ np.linalg.solve(kept.T @ G @ kept, kept.T @ A.T @ W))


class Residual(NamedTuple):
    """tbar - m, the covariance V of tbar were observations independent, that of it as grouped, and that of m."""

    r: Float[np.ndarray, " k"]
    V: Float[np.ndarray, "k k"]
    V_obs: Float[np.ndarray, "k k"]
    V_sim: Float[np.ndarray, "k k"]

    def unexplained(self, found: Information, A: np.ndarray) -> bool:
        """Tell whether more is left of r than chance allows when u makes its best step."""
        left = self.r - A @ (found.inverse @ self.r)
        # Fewer groups than entries of t leave V_obs without width in some directions; V has one in all
        grouped = self.V if self.V_obs is self.V else self.V + self.V_obs
        W = np.linalg.pinv(grouped + self.V_sim, rcond=1e-10, hermitian=True)
        return bool(left @ W @ left > stats.chi2.isf(NEVER, len(left)))

    def step(self, found: Information) -> tuple[np.ndarray, np.ndarray]:
        """Compute A^+ r and its covariance."""
        return found.inverse @ self.r, found.inverse @ (self.V_obs + self.V_sim) @ found.inverse.T

    def length(self, found: Information, move: np.ndarray, before: Any = 0.0) -> float:
        """Measure a move in standard errors per direction.

        Args:
            found: what the data determine.
            move: of u, or of the parameters of q.
            before: covariance of m in the simulations that led here, whose noise the move makes up for.
        """
        noise = self.V_obs + self.V_sim + before
        W = np.linalg.pinv(found.inverse @ noise @ found.inverse.T, rcond=1e-10, hermitian=True)
        return float(np.sqrt(move @ W @ move / max(found.determined.sum(), 1)))


def _conditions(c: np.ndarray, own: np.ndarray) -> np.ndarray:
    z = ((c - own.mean(0)) / np.maximum(own.std(0), 1e-12)).reshape(len(c), -1)
    return np.concatenate([z, quadratic(z) if z.shape[1] <= 10 else z**2], 1)


class Equation:
    """tbar = m(u) with t frozen: what observations and simulations say about it.

    Args:
        draws: where simulations come from.
        observed: the observations.
        scores: t.
        out: how many of its outputs enter.
    """

    def __init__(self, draws: Draws, observed: Observed, scores: Scores, out: int) -> None:
        self.draws, self.observed, self.scores, self.out = draws, observed, scores, out
        self.t_obs = self._t(observed.x, observed.inputs)

    def _t(self, x: np.ndarray, c: np.ndarray | None) -> np.ndarray:
        return apply(self.scores, x, c)[:, : self.out]

    def values(self, drawn: Drawn, ok: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Compute t of simulations and of observations, less what their known conditions explain of it.

        The simulations' conditions are the observed ones, so that what these do to t cancels in the residual; left in,
        it would only be taken for noise.
        """
        own = self.observed.inputs
        if drawn.inputs is None or own is None:
            return self._t(drawn.x[ok], None), self.t_obs
        c = drawn.inputs[ok]
        t = self._t(drawn.x[ok], c)
        f, f_obs = _conditions(c, own), _conditions(own, own)
        coefficients = np.linalg.lstsq(f - f.mean(0), t - t.mean(0), rcond=None)[0]
        return t - f @ coefficients, self.t_obs - f_obs @ coefficients

    def slope(self, loc: np.ndarray, factor: np.ndarray, zeta: np.ndarray) -> tuple[np.ndarray, Noise, Drawn]:
        """Simulate mirrored pairs around loc, half as wide as q: the slope of m, its noise, and the simulations."""
        du = zeta @ factor.T / 2
        drawn = self.draws(np.concatenate([loc + du, loc - du]), mirrored=True)
        ok = drawn.ok[: len(du)] & drawn.ok[len(du) :]
        t, _ = self.values(drawn, np.concatenate([ok, ok]))
        return *slope(du[ok], t[: ok.sum()], t[ok.sum() :]), drawn

    def centre(self, loc: np.ndarray, rows: int) -> Residual:
        """Simulate at loc: the residual there."""
        drawn = self.draws(np.tile(loc, (rows, 1)))
        t, t_obs = self.values(drawn, drawn.ok)
        return self.residual(t_obs, t)

    def residual(self, t_obs: np.ndarray, t: np.ndarray) -> Residual:
        """Compare the means of observations and simulations."""
        V, groups = covariance_of_mean(t_obs), self.observed.groups
        V_obs = V if groups is None else covariance_of_mean(t_obs, groups)
        return Residual(t_obs.mean(0) - t.mean(0), V, V_obs, covariance_of_mean(t))


def monomials(zeta: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n k"]:
    """Compute the score of N(loc + L a, L (I + S) L^T) at a = 0, S = 0, for u = loc + L zeta.

        d log q / da = zeta,    d log q / dS_ii = (zeta_i^2 - 1) / 2,    d log q / dS_ij = zeta_i zeta_j  for i < j

    Example:
        >>> monomials(np.array([[2.0, -3.0]])).tolist()
        [[2.0, -3.0, 1.5, -6.0, 4.0]]
    """
    i, j = np.triu_indices(zeta.shape[1])
    return np.concatenate([zeta, (zeta[:, i] * zeta[:, j] - (i == j)) * np.where(i == j, 0.5, 1.0)], 1)


def _own_scores(
    zeta: Float[np.ndarray, "n d"], part: Int[np.ndarray, " n"], known: Float[np.ndarray, " d"]
) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "parts d"]]:
    """Compute what each part N(mean, C) teaches about one score in units of q = N(0, 1), and the weight of its errors.

        y = (I + 1)^-1 (I + C^-1) (zeta - mean),    weight = min((I_i + 1) / (I + C^-1)_ii, 1)

    with I what one observation tells, `known` on its diagonal: E[zeta - mean | x] = (I + C^-1)^-1 times the score where
    the likelihood is Gaussian. A part that is too small or does not spread teaches nothing and has no weight.
    """
    y, weight = np.zeros_like(zeta), np.zeros((int(part.max()) + 1, zeta.shape[1]))
    for s in range(len(weight)):
        some = zeta[part == s]
        spread = np.cov(some.T).reshape(2 * some.shape[1:]) if len(some) >= LEAST * zeta.shape[1] else np.zeros((1, 1))
        if np.linalg.eigvalsh(spread)[0] > LEAST_SPREAD**2:
            precision = np.diag(known) + np.linalg.inv(spread)
            y[part == s] = (some - some.mean(0)) @ precision / (known + 1)
            weight[s] = np.minimum((known + 1) / np.diagonal(precision), 1.0)
    return y, weight


def learn_at(
    draws: Draws, observed: Observed, key: PRNGKeyArray, loc: np.ndarray, factor: np.ndarray, pool: list[Drawn],
    known: np.ndarray | None = None, squares: bool = False, steps: int = STEPS,
) -> Scores:  # fmt: skip
    """Learn t(x) from all simulations of a pool that lie near N(loc, factor factor^T), in units of factor.

    Where it is known how much one observation tells about each of these units, and a part of the pool is large enough,
    each part has its own score; else all are taken as if from one q.
    """
    u, x, inputs, ok = Drawn.joined(pool)
    zeta = np.linalg.solve(factor, (u - loc).T).T
    ok = ok & (np.linalg.norm(zeta, axis=1) < REACH + np.sqrt(len(loc)))
    y, part, weight = monomials(zeta[ok]) if squares else zeta[ok], None, None
    if known is not None:
        part = np.repeat(np.arange(len(pool)), [len(drawn.u) for drawn in pool])[ok]
        own, weight = _own_scores(zeta[ok], part, known)
        taught = np.any(weight, axis=1)[part]
        if taught.any():
            ok[ok], y, part = taught, own[taught], part[taught]
        else:  # all parts of so few calls are too small
            part = weight = None
    c = None if inputs is None else inputs[ok]
    return learn(key, observed.x, observed.inputs, zeta[ok], x[ok], c, y, part, weight, steps)


def learn_encoder(
    draws: Draws, observed: Observed, key: PRNGKeyArray, reference: tuple[np.ndarray, np.ndarray], drawn: Drawn
) -> Scores:
    """Learn E[theta | x] under a reference N(loc, factor factor^T) from simulations of it."""
    loc, factor = reference
    u, x, inputs, ok = drawn
    c, zeta = None if inputs is None else inputs[ok], np.linalg.solve(factor, (u[ok] - loc).T).T
    return learn(key, observed.x, observed.inputs, zeta, x[ok], c, apply(draws.space.constrain, u[ok]))


def _start(factor: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d d"]:
    """Widen a proposal's spread, keeping its axes."""
    axes, size, _ = np.linalg.svd(factor)
    return axes * np.minimum(size * START / size[-1], WIDEST)


def _adapt(found: Information, factor: np.ndarray, m: int, lost: bool) -> Float[np.ndarray, "d d"]:
    """Choose the next q: half as wide as what one observation leaves, at most four times as wide as the last.

    Where the data determine nothing it is `SOFT`; but where t says that the answer is elsewhere, q opens.
    """
    # One observation leaves sqrt(m) times the standard deviation that all of them leave
    wanted = np.where(found.determined, np.minimum(NARROW * np.sqrt(m) * found.sd, WIDEST), PRIOR if lost else SOFT)
    last = np.linalg.norm(found.vectors.T @ factor, axis=1)
    return found.vectors * np.clip(wanted, last / 8, last * 4)


def _cut(step: np.ndarray, factor: np.ndarray) -> np.ndarray:
    return step * min(1.0, REACH / max(float(np.linalg.norm(np.linalg.solve(factor, step))), 1e-30))


def _between_bounds(space: Space) -> np.ndarray:
    return np.array([isinstance(p, (Interval, LogInterval)) for p in space])


def inside(space: Space, loc: Float[np.ndarray, " d"]) -> Float[np.ndarray, " d"]:
    """Keep loc where theta still moves with u: beyond, a solution at a bound would be chased for ever."""
    return np.where(_between_bounds(space), np.clip(loc, -EDGE, EDGE), loc)


def _along(space: Space, start: Float[np.ndarray, " d"], end: Float[np.ndarray, " d"]) -> tuple[np.ndarray, np.ndarray]:
    """Where m is linear in v, compute the way by the slope dv/du at the start, and what the slope changes by.

        v = sigmoid(u),  (v(end) - v(start)) / v'(start),  v'(end) / v'(start)

    where a parameter has two bounds, near which it is v that m follows, and v = u elsewhere.

    Example:
        >>> way, turn = _along(Space(a=Interval(0, 1), b=Interval(0, 1)), np.zeros(2), np.array([0.0, np.log(3.0)]))
        >>> (way.round(6) + 0.0).tolist(), turn.round(6).tolist()
        ([0.0, 1.0], [1.0, 0.75])
    """
    rate = lambda u: special.expit(u) * special.expit(-u)  # noqa: E731
    way, turn = (special.expit(end) - special.expit(start)) / rate(start), rate(end) / rate(start)
    return np.where(_between_bounds(space), way, end - start), np.where(_between_bounds(space), turn, 1.0)


def point(
    draws: Draws,
    observed: Observed,
    loc: Float[np.ndarray, " d"],
    factor: Float[np.ndarray, "d d"],
    budget: int,
    seed: int,
    known: Sequence[Drawn] = (),
) -> Estimate:
    """Solve tbar = m(u) from a start near the answer, within a budget of calls.

    Args:
        draws: where simulations come from.
        observed: the observations.
        loc: the start, in u.
        factor: of the proposal that found it; its axes and relative widths are used.
        budget: simulator calls, at most.
        seed: randomness of everything but the simulations.
        known: simulations at hand, from anywhere in u; t is learned from those that lie near.
    """
    d, last = len(loc), draws.calls + budget
    rng, key = np.random.default_rng(seed), jax.random.key(seed)
    pool = Drawn.joined(known).blocks(BLOCK) if known else []
    rows = {name: draws.whole(share * budget, mirrored=True) for name, share in SHARES.items()}
    rows["slope"] = _enough(draws, rows["slope"], d)
    loc, factor, told = _locate(draws, observed, loc, _start(factor), rows["round"], rng, key, pool)
    pool.append(draws(loc + rng.normal(size=(rows["learn"], d)) @ factor.T))
    scores = learn_at(draws, observed, jax.random.fold_in(key, ROUNDS), loc, factor, pool, told)
    wide = factor * np.minimum(OPEN, WIDEST / np.linalg.norm(factor, axis=0))
    some = draws(loc + rng.normal(size=(rows["wide"], d)) @ wide.T)
    encoder = learn_encoder(draws, observed, jax.random.fold_in(key, ROUNDS + 1), (loc, wide), some)
    equation = Equation(draws, observed, scores, d)
    return _settle(equation, loc, factor, rng.normal(size=(rows["slope"] // 2, d)), last, encoder, (loc, wide))


def _locate(
    draws: Draws, observed: Observed, loc: np.ndarray, factor: np.ndarray, rows: int, rng: np.random.Generator,
    key: PRNGKeyArray, pool: list[Drawn],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Look for the place and the width of the last q, in rounds of so many rows, which the pool keeps.

    Also returns what one observation tells about each unit of q.
    """
    d, stride, past, told = len(loc), 1.0, np.zeros(len(loc)), np.zeros(len(loc))
    for i in range(ROUNDS):
        pool.append(draws(loc + rng.normal(size=(draws.whole(rows / 2), d)) @ factor.T))
        scores = learn_at(draws, observed, jax.random.fold_in(key, i), loc, factor, pool, steps=FEW)
        equation, part = Equation(draws, observed, scores, d), _enough(draws, rows / 4, d)
        A, noise, pairs = equation.slope(loc, factor, rng.normal(size=(part // 2, d)))
        residual = equation.centre(loc, part)
        pool.append(pairs)
        found = information(A, residual.V, noise)
        move, lost = residual.step(found)[0], residual.unexplained(found, A)
        stride = stride / 2 if move @ past < 0 else min(2 * stride, 1.0)  # back and forth: too far
        move, before, past = _cut(stride * move, factor), factor, move
        loc, factor = inside(draws.space, loc + move), _adapt(found, factor, len(observed.x), lost)
        told = np.linalg.norm(factor, axis=0) ** 2 * np.where(found.determined, found.values, 0.0) / len(observed.x)
        change = np.log(np.linalg.norm(found.vectors.T @ before, axis=1) / np.linalg.norm(factor, axis=0))
        if np.linalg.norm(np.linalg.solve(before, move)) < 0.5 and np.abs(change).max() < 0.7 and not lost:
            break
    return loc, factor, told


def _enough(draws: Draws, rows: float, d: int) -> int:
    """Round rows of mirrored pairs down to whole blocks of at least d + 1 pairs: fewer leave a slope undecided."""
    return draws.whole(max(rows, 2 * (d + draws.size)), mirrored=True)


def _settle(
    equation: Equation, loc: np.ndarray, factor: np.ndarray, zeta: np.ndarray, last: int, encoder: Scores,
    reference: tuple[np.ndarray, np.ndarray],
) -> Estimate:  # fmt: skip
    """Take the last two steps, with one slope and simulations at loc itself, and state the error."""
    draws, observed, paired = equation.draws, equation.observed, 2 * len(zeta)
    tries, (A, noise, _) = 0, equation.slope(loc, factor, zeta)
    while True:
        first, tries = draws.whole((last - draws.calls) / 5), tries + 1
        here = equation.centre(loc, first)
        found = information(A, here.V, noise, PRIOR)
        move, _ = here.step(found)
        far = here.length(found, move)
        before, loc = loc, inside(draws.space, loc + _cut(move, factor))
        if far < STILL or tries == TRIES or last - draws.calls < 4 * paired:
            break
        A, noise, _ = equation.slope(loc, factor, zeta)
    matched = second = draws.whole(last - draws.calls)
    there = equation.centre(loc, second)
    if far < STILL:  # near enough for the slope to carry over: the residual to here, and itself
        a, b, matched = first / (first + second), second / (first + second), first + second
        way, turn = _along(draws.space, before, loc)
        r, V_sim = a * (here.r - A @ way) + b * there.r, a**2 * here.V_sim + b**2 * there.V_sim
        there, A, noise = there._replace(r=r, V_sim=V_sim), A * turn, noise._replace(h=noise.h * turn)
    found = information(A, there.V, noise, PRIOR)
    move, covariance = there.step(found)
    moved = there.length(found, move, here.V_sim)
    loc = inside(draws.space, loc + _cut(move, factor))
    # At a bound something may be left over, which only a value beyond the bound would explain
    if moved > STILL or (there.unexplained(found, A) and np.all(np.abs(loc) < EDGE)):
        moved = np.inf
    return Estimate(
        loc, None, covariance + found.free(), found.values, found.vectors,
        found.determined & (found.sd <= UNDETERMINED), encoder, reference,
        float(np.sqrt(1 + len(observed.x) / (paired + matched))), moved, observed.freedom,
    )  # fmt: skip
