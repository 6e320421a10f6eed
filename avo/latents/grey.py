r"""A grey box: a simulator whose parameters are read as ever, and a learned residual for what it cannot reproduce.

    x = f(theta) + g(z, theta) + noise,    g = P h(z),    P = I - J (J^T J)^-1 J^T,    J = df/dtheta

all in units of the noise. theta is that of least squares on f alone (avo/latents/mechanistic.py), h a small decoder
(avo/latents/discrepancy.py). g has nothing along df/dtheta, where f moves itself: what a change of theta explains is
theta's, to first order, however large g is. A parameter at a bound is held there, and what it would explain
beyond is g's.

*Errors.* What is left, S, may lie along df/dtheta as well as across it, where nobody sees it. `Mechanistic` divides it
evenly among all values of x. But it has a shape: with G the mean of g g^T over the signals,

    directions = tr(G)^2 / tr(G^2)

is the number of directions among which g varies, and what is beyond the noise is divided among so many,

    t' - 1 = (t - 1) (k - d) / directions,    t = S / V over what it is where the simulator is right

t' in place of t. Where the simulator is right, no g is found, and errors are those of `Mechanistic`.

Source: physics-integrated variational autoencoders, Takeishi and Kalousis (2021, arXiv:2102.13156); APHYNITY, Yin et
al. (2021, arXiv:2010.04456), with the least g in the norm of x; orthogonal discrepancies, Plumlee (2017, JASA 112,
1274).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jaxtyping import ArrayLike, Float

from avo import checks
from avo.checks import nonnegative, whole
from avo.data import split
from avo.latents import mechanistic
from avo.latents.discrepancy import Discrepancy, Plan, Rows, basis, learn
from avo.latents.mechanistic import Explained, Mechanistic, Noise
from avo.observations import validate_observations
from avo.tables import aligned

if TYPE_CHECKING:
    from avo.simulators import Problem

HELD = 0.2  # share of the signals that choose the step, and on which shares are measured
LEAST = 10  # signals
EDGE = 1e-4  # of w, within which a parameter is at its bound


@dataclass(frozen=True, eq=False, repr=False)
class Grey:
    """What `GreyBox.explain` says of signals.

    Args:
        physics: what the simulator alone says of them: parameters, errors, fit, misfit.
        codes: z, with shape (n, latents).
        residual: g, with shape (n, *x_shape): what is systematic of what the simulator cannot reproduce, and where.
        explained: share of each signal's variance by f + g; by f alone it is `physics.explained`.
    """

    physics: Explained
    codes: Float[np.ndarray, "n z"]
    residual: Float[np.ndarray, "n *x_shape"]
    explained: Float[np.ndarray, " n"]

    def __repr__(self) -> str:
        return f"Grey({len(self.codes):,} signals by {', '.join(self.physics.names)} and {self.codes.shape[1]} codes)"

    @property
    def theta(self) -> Float[np.ndarray, "n d"]:
        """The parameters."""
        return self.physics.theta

    @property
    def stderr(self) -> Float[np.ndarray, "n d"]:
        """Their errors, by the directions of what the simulator cannot reproduce."""
        return self.physics.stderr

    @property
    def fitted(self) -> Float[np.ndarray, "n *x_shape"]:
        """f + g."""
        return self.physics.fitted + self.residual


class GreyBox(Mechanistic):
    """Describe signals by a simulator's parameters, and by a few codes of what it cannot reproduce.

    Args:
        problem: the simulator; where its mean is not known, it is learned from simulations.
        latents: number of codes z.
        width: units of each of two hidden layers of the networks.
        beta: weight of the KL of z, per nat: larger, and g takes less.
        steps: of each training.
        members: how often g is learned, each time with other weights and other signals held out; 3 or more, over which
            `summary` has its intervals. The one that serves the signals held out best is used.
        rows: simulations of the library, as for `Mechanistic`.
        noise: "simulated" or "equal", as for `Mechanistic`.
        seed: of the library.

    Raises:
        ValueError: if an argument is not as described, or the problem takes inputs or has whole numbers or angles among
            its parameters.

    Example:
        >>> import avo
        >>> problem = avo.simulators.oscillator()
        >>> rng = np.random.default_rng(0)
        >>> theta = problem.space.constrain(rng.normal(size=(100, problem.space.dim)))
        >>> bump = np.exp(-((np.arange(64) - 40.0) ** 2) / 8)  # which the oscillator does not have
        >>> x = problem.simulate(jax.random.key(0), theta) + rng.uniform(0.5, 1.5, (100, 1)) * bump
        >>> grey = GreyBox(problem, latents=1, rows=2000, steps=400).fit(x)
        >>> found = grey.explain(x)
        >>> bool(found.physics.explained.mean() < found.explained.mean()), int(np.abs(found.residual).mean(0).argmax())
        (True, 40)
    """

    def __init__(
        self, problem: "Problem", *, latents: int = 4, width: int = 128, beta: float = 1.0, steps: int = 4000,
        members: int = 3, rows: int = 20_000, noise: Noise = "simulated", seed: int = 0,
    ) -> None:  # fmt: skip
        super().__init__(problem, rows=rows, noise=noise, seed=seed)
        self.latents, self.width = whole("latents", latents), whole("width", width)
        self.beta, self.steps = nonnegative("beta", beta), whole("steps", steps)
        self.members = whole("members", members, least=3)
        self._fitted: _Fitted | None = None

    def fit(self, x: ArrayLike, *, groups: ArrayLike | None = None, seed: int = 0) -> "GreyBox":
        """Learn g from signals.

        Args:
            x: signals, with shape (n, *x_shape).
            groups: whose each signal is, with shape (n,): whole groups are held out; None: single signals.
            seed: of weights, of what is held out and of draws; same seed, same bits.

        Returns:
            Itself.

        Raises:
            ValueError: if x is not of the problem's shape, or not finite, or has fewer than ten signals.
        """
        x, seed = self._checked(x), checks.seed("seed", seed)
        if len(x) < LEAST:
            raise ValueError(f"x must have {LEAST} signals or more, to learn what they have in common; got {len(x)}.")
        groups = np.random.default_rng(seed).permutation(len(x)) if groups is None else groups
        w = self._solve(x)[0]
        rows, f = self._rows(x, w), self._curve(w)
        made, gains, shares = [], [], []
        for i in range(self.members):
            held = split(len(x), (1 - HELD, 0.0, HELD), groups=groups, seed=seed + i).test
            key = jax.random.fold_in(jax.random.key(seed), i)
            net, gain = learn(key, rows, held, Plan(self.latents, self.width, self.beta, self.steps))
            g = self._residual(net, Rows(rows.e[held], rows.Q[held]))[1]
            made, gains = [*made, net], [*gains, gain]
            shares.append([_share(x[held], f[held]), _share(x[held], f[held] + g)])
        best = made[int(np.argmax(gains))]
        self._fitted = _Fitted(best, np.array(gains), np.array(shares), self._directions(best, rows), len(x))
        return self

    @property
    def _kept(self) -> "_Fitted":
        if self._fitted is None:
            raise ValueError("this grey box has learned no residual yet; call .fit(x) first.")
        return self._fitted

    @property
    def shares(self) -> Float[np.ndarray, "members 2"]:
        """Share of the variance of signals held out that is explained by f, and by f + g, of each member."""
        return self._kept.shares

    @property
    def gains(self) -> Float[np.ndarray, " members"]:
        """Nats of the ELBO of a signal held out that g gains, of each member; 0 where none was found."""
        return self._kept.gains

    def codes(self, x: ArrayLike) -> Float[np.ndarray, "n z"]:
        """Find the codes of signals, with shape (n, *x_shape): the most probable z at their theta."""
        x = self._checked(x)
        return self._kept.net.codes(self._rows(x, self._solve(x)[0]))

    def residual(self, x: ArrayLike) -> Float[np.ndarray, "n *x_shape"]:
        """Compute g of signals: what is systematic of what the simulator cannot reproduce, and where it lies."""
        x = self._checked(x)
        return self._residual(self._kept.net, self._rows(x, self._solve(x)[0]))[1]

    def decode(self, theta: ArrayLike, z: ArrayLike | None = None) -> Float[np.ndarray, "n *x_shape"]:
        """Compute f(theta) + g(z, theta).

        Args:
            theta: parameters, with shape (n, d).
            z: codes, with shape (n, latents); None: f alone.

        Raises:
            ValueError: if theta or z has another shape.
        """
        f = super().decode(theta)
        if z is None:
            return f
        z = validate_observations(z, "z", 1)
        if z.shape != (len(f), self.latents):
            raise ValueError(f"z must have shape ({len(f)}, {self.latents}), a row for each of theta; got {z.shape}.")
        u = np.asarray(self.problem.space.unconstrain(np.asarray(theta)), np.float64)
        w = np.clip(self.line.of(u), self.library.low, self.library.high)
        return f + self._unweighed(self._kept.net.values(z, self._basis(w)))

    def explain(self, x: ArrayLike, draws: int = 16) -> Grey:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Find parameters with errors, codes, and what simulator and residual explain.

        Args:
            x: signals, with shape (n, *x_shape).
            draws: simulations of each at its parameters, which measure the noise there.

        Raises:
            ValueError: if x is not of the problem's shape, or not finite, draws is below 4, or nothing was learned yet.
        """
        x, net = self._checked(x), self._kept.net
        physics = super().explain(x, draws)
        u = np.asarray(self.problem.space.unconstrain(physics.theta), np.float64)
        w = np.clip(self.line.of(u), self.library.low, self.library.high)
        codes, g = self._residual(net, self._rows(x, w))
        return Grey(physics, codes, g, mechanistic.explained(x, physics.fitted + g))

    def summary(self) -> str:
        """Write how much the simulator explains of signals held out, and how much with g; over all members."""
        kept = self._kept
        lines = [["explained", "median", "lowest to highest of seeds"]]
        for name, share in zip(("f", "f + g"), kept.shares.T, strict=True):
            lines.append([name, f"{np.median(share):.2%}", f"{share.min():.2%} to {share.max():.2%}"])
        found = int(np.sum(kept.gains > 0))
        words = f"{kept.signals:,} signals, {len(kept.gains)} seeds; a residual was found by {found} of them"
        if found:
            words += f", {np.median(kept.gains):.3g} nats of a signal held out, in {kept.directions:.2g} directions"
        return "\n".join([words, "", *aligned(lines)])

    # --- the way ------------------------------------------------------------------------------------------------------

    def _basis(self, w: np.ndarray) -> Float[np.ndarray, "n k d"]:
        """Compute a basis of what f can do at w; a parameter at its bound can do nothing."""
        free = (w > self.library.low + EDGE) & (w < self.library.high - EDGE)
        return basis(self._squares.slope(w) * free[:, None])

    def _rows(self, x: np.ndarray, w: np.ndarray) -> Rows:
        return Rows(self._squares.rest(x, w), self._basis(w))

    def _residual(self, net: Discrepancy, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        """Compute z and g, the latter in units of x."""
        codes = net.codes(rows)
        return codes, self._unweighed(net.values(codes, rows.Q))

    def _unweighed(self, g: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n *x_shape"]:
        """Take g out of the units of noise."""
        W: Any = self._squares.whiten
        if W is not None:
            W = np.asarray(W, np.float64)
            g = g / W if W.ndim == 1 else g @ np.linalg.pinv(W).T
        return g.reshape(len(g), *self.problem.x_shape)

    def _directions(self, net: Discrepancy, rows: Rows) -> float:
        """Compute tr(G)^2 / tr(G^2); k - d where there is no g."""
        g = net.values(net.codes(rows), rows.Q)
        square = np.sum((g.T @ g) ** 2) if g.shape[1] < len(g) else np.sum((g @ g.T) ** 2)
        return float(np.sum(g**2) ** 2 / square) if square > 0 else float(g.shape[1] - self.acting.sum())

    def _covariance(
        self, w: np.ndarray, misfit: Float[np.ndarray, " n"], level: Float[np.ndarray, " n"]
    ) -> Float[np.ndarray, "n d d"]:
        """Compute that of `Mechanistic` with t' in place of t."""
        free = max(len(self.library.shape) - int(self.acting.sum()), 1)
        usual = free / len(self.library.shape)
        beyond = np.maximum(misfit / usual - 1, 0.0) * max(free / self._kept.directions, 1.0)
        return super()._covariance(w, usual * (1 + beyond), level)


@dataclass(frozen=True, eq=False)
class _Fitted:
    """What was learned: the residual in use, its members' gains and shares, the directions of g, how many signals."""

    net: Discrepancy
    gains: Float[np.ndarray, " members"]
    shares: Float[np.ndarray, "members 2"]
    directions: float
    signals: int


def _share(x: np.ndarray, fitted: np.ndarray) -> float:
    """Compute the share of the signals' variance, each about its own mean of each channel, that is explained."""
    total = np.sum((x - x.mean(1, keepdims=True)) ** 2)
    return float(1 - np.sum((x - fitted) ** 2) / max(total, 1e-300))
