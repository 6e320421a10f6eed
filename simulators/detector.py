"""Tracks of two jets, counted in the pixels of a spherical detector that is not where it is thought to be.

A Z boson decays at the origin into two back-to-back jets. The jets' axis n has the law of `epem` without asymmetry,
the number of tracks is Poisson, each track belongs to either jet with probability 1/2, and its direction is spread
about the jet's by a von Mises-Fisher law on the sphere:

    p(n) = 3 / (16 pi) (1 + cos^2 polar),    p(d | n) = kappa / (4 pi sinh kappa) exp(kappa d . n)

The track is straight and hits a sphere of radius R about the offset c, |c| < R, at t d,

    t = c . d + sqrt(R^2 - |c|^2 + (c . d)^2),    q = (t d - c) / R

q is the hit's direction seen from the detector's centre; pixels are equal steps of its cos(polar) and azimuth, hence of
equal solid angle. Averaged over n, a single track has the density g(d) = (1 + s P2(cos polar of d) / 2) / 4 pi with the
Legendre polynomial P2 and s = 1 + 3 / kappa^2 - 3 / (kappa tanh kappa), and on the detector

    f(q) = g(d) R^2 (R + c . q) / |c + R q|^3,    d = (c + R q) / |c + R q|

whose integral over a pixel, times the mean number of tracks, is the expected image. It is known exactly, the likelihood
is not: tracks of one image share n.

Identified: the three offsets. To first order in c / R the image tells the offset by a dipole of -2 c . q / R, and by
jets that do not lie opposite each other.

Limits: tracks are straight and all are seen; nothing scatters, bends or showers, and two jets are all there is.

Source: ours, in place of the alignment of a tracker by adversarial variational optimization in Borisyak et al., PeerJ
Computer Science 6 (2020) e274, which needs the event generator Pythia 8: e+ e- at 91.2 GeV, three offsets in [-1, 1]
with the truth 0, 32 x 32 bins of pseudorapidity and azimuth, x = log(1 + count). Radius, number of tracks and width of
the jets are ours, and so is the truth, which lies off the middle of the space, where a fit starts.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from avo.checks import between, finite, positive, whole
from avo.simulators.epem import quantile
from avo.simulators.problem import Axis, Problem, nan_of_nan, vectorize
from avo.simulators.register import Header
from avo.space import Interval, Space

HEADER = Header(
    summary="tracks of two jets in a spherical detector with an unknown offset",
    tags=("image", "discrete", "physics"),
    x_shape=(32, 32),
    parameters="x (cm), y (cm), z (cm)",
    x="tracks along cos polar angle and azimuth (rad)",
)

_NODES = 6  # of Gauss-Legendre, per side of a pixel
_NARROWEST, _WIDEST = 1e-4, 1e4  # rad


def hits(directions: Float[ArrayLike, "n 3"], offset: Float[ArrayLike, "3"], radius: float) -> Float[Array, "n 3"]:
    """Where tracks from the origin hit the detector, as directions from its centre: q = (t d - c) / R.

    Args:
        directions: unit vectors d, with shape (n, 3).
        offset: centre c of the detector, with shape (3,), nearer to the origin than `radius`.
        radius: R, in the unit of the offset.

    Returns:
        Unit vectors q, with shape (n, 3).

    Example:
        >>> q = hits([[0.0, 0.0, 1.0]], [0.0, 2.4, 0.0], radius=3.0)
        >>> [round(float(v), 4) for v in q[0]]
        [0.0, -0.8, 0.6]
    """
    d, c = jnp.asarray(directions, dtype=float), jnp.asarray(offset, dtype=float)
    along = d @ c
    t = along + jnp.sqrt(radius**2 - c @ c + along**2)
    return (t[:, None] * d - c[None]) / radius


def density(
    q: Float[ArrayLike, "n 3"], offset: Float[ArrayLike, "3"], radius: float, kappa: float
) -> Float[Array, "n"]:
    """Density of one hit on the sphere, f(q) = g(d) R^2 (R + c . q) / |c + R q|^3.

    Args:
        q: directions from the detector's centre, unit vectors, with shape (n, 3).
        offset: centre c of the detector, with shape (3,).
        radius: R, in the unit of the offset.
        kappa: concentration of a jet's tracks.

    Returns:
        f, per unit of solid angle, with shape (n,).

    Example:
        >>> f = density([[0.0, 0.6, 0.8]], [0.0, 0.0, 0.0], radius=3.0, kappa=1e6)
        >>> round(float(f[0]), 4)
        0.0979
    """
    q, c = jnp.asarray(q, dtype=float), jnp.asarray(offset, dtype=float)
    point = c[None] + radius * q
    distance = jnp.linalg.norm(point, axis=1)
    legendre = 1.5 * (point[:, 2] / distance) ** 2 - 0.5
    g = (1.0 + _smoothing(kappa) * legendre / 2.0) / (4.0 * jnp.pi)
    return g * radius**2 * (radius + q @ c) / distance**3


def detector(pixels: int = 32, radius: float = 3.0, tracks: float = 40.0, width: float = 0.3) -> Problem:
    """Images of two jets in a spherical detector with an unknown offset: counts of tracks per pixel.

    The tracks of an image are at most `tracks` + 8 sqrt(`tracks`), rounded up; the rest of the Poisson law, 2e-12 of it
    at the default, is cut off.

    An offset of the radius or more would have the decay outside the sphere: the image then means nothing.

    Args:
        pixels: pixels along cos(polar) and along the azimuth.
        radius: radius of the detector, in cm, above sqrt(3), the largest offset.
        tracks: mean number of tracks per image.
        width: spread of a jet's tracks about its axis, in rad, from 1e-4 to 1e4: kappa = 1 / width^2. A width of 100
            and more spreads them evenly over the sphere, to 1e-4.

    Returns:
        `Problem` with parameters x, y and z, the offset of the detector's centre (cm); x has shape (pixels, pixels).

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> problem = detector()
        >>> problem.simulate(jax.random.key(0), jnp.array([[0.5, -0.3, 0.2]])).shape
        (1, 32, 32)
        >>> float(problem.mean(jnp.array([0.5, -0.3, 0.2])).sum().round(3))
        40.0
    """
    finite("radius", radius)
    between("width", width, _NARROWEST, _WIDEST)
    whole("pixels", pixels)
    if radius <= math.sqrt(3.0):
        raise ValueError(f"radius must be above sqrt(3) cm, the largest offset; got {radius}.")
    positive("tracks", tracks)
    kappa = 1.0 / width**2
    most = int(np.ceil(tracks + 8.0 * np.sqrt(tracks)))
    nodes, weights = _pixel_nodes(pixels)

    def draw(key: Array, theta: Float[Array, "3"]) -> Float[Array, "pixels pixels"]:
        axis_key, number_key, track_key = jax.random.split(key, 3)
        number = jax.random.poisson(number_key, tracks)
        q = hits(_directions(axis_key, track_key, most, kappa), theta, radius)
        row = jnp.clip(jnp.floor((q[:, 2] + 1.0) / 2.0 * pixels), 0, pixels - 1).astype(int)
        turn = jnp.arctan2(q[:, 1], q[:, 0]) / (2.0 * jnp.pi) + 0.5
        column = jnp.clip(jnp.floor(turn * pixels), 0, pixels - 1).astype(int)
        seen = (jnp.arange(most) < number).astype(theta.dtype)
        return nan_of_nan(jnp.zeros((pixels, pixels)).at[row, column].add(seen), theta)

    def mean(theta: Float[Array, "3"]) -> Float[Array, "pixels pixels"]:
        f = density(jnp.asarray(nodes, dtype=float), theta, radius, kappa)
        return tracks * jnp.sum(f.reshape(weights.shape) * jnp.asarray(weights, dtype=float), axis=-1)

    centres = (np.arange(pixels) + 0.5) / pixels
    return Problem(
        name="detector",
        summary=HEADER.summary,
        simulate=vectorize(draw),
        space=Space(**{name: Interval(-1.0, 1.0, unit="cm") for name in ("x", "y", "z")}),
        theta_true=np.array([0.5, -0.3, 0.2]),
        x_shape=(pixels, pixels),
        axes=(Axis("cos polar angle", "", 2.0 * centres - 1.0), Axis("azimuth", "rad", np.pi * (2.0 * centres - 1.0))),
        quantity="tracks",
        mean=mean,
        tags=HEADER.tags,
    )


def _smoothing(kappa: float) -> float:
    """Compute s = 1 + 3 / kappa^2 - 3 / (kappa tanh kappa); by its series where that would cancel."""
    if kappa < 0.1:
        return kappa**2 / 15.0 - 2.0 * kappa**4 / 315.0 + kappa**6 / 1575.0
    return 1.0 + 3.0 / kappa**2 - 3.0 / (kappa * math.tanh(kappa))


def _directions(axis_key: Array, track_key: Array, number: int, kappa: float) -> Float[Array, "number 3"]:
    """Draw the axis of two jets, and tracks about it on either side."""
    u_polar, u_turn = jax.random.uniform(axis_key, (2,))
    cos, turn = quantile(u_polar, 0.0), 2.0 * jnp.pi * u_turn
    sin = jnp.sqrt(1.0 - cos**2)
    axis = jnp.stack([sin * jnp.cos(turn), sin * jnp.sin(turn), cos])
    # Two unit vectors across the axis: along the polar angle and along the azimuth
    south = jnp.stack([cos * jnp.cos(turn), cos * jnp.sin(turn), -sin])
    east = jnp.stack([-jnp.sin(turn), jnp.cos(turn), jnp.zeros(())])

    u_along, u_about, u_side = jax.random.uniform(track_key, (3, number))
    # d . n has density kappa / (2 sinh kappa) exp(kappa d . n) on [-1, 1]. How far it lies below 1 keeps its digits
    # for wide jets, where kappa is small, and for narrow ones, where d . n is near 1.
    below = jnp.clip(-jnp.log1p((1.0 - u_along) * np.expm1(-2.0 * kappa)) / kappa, 0.0, 2.0)
    along, across = 1.0 - below, jnp.sqrt(below * (2.0 - below))
    about = 2.0 * jnp.pi * u_about
    side = jnp.where(u_side < 0.5, -1.0, 1.0)
    amounts = jnp.stack([side * along, across * jnp.cos(about), across * jnp.sin(about)], axis=1)
    return amounts @ jnp.stack([axis, south, east])


def _pixel_nodes(pixels: int) -> tuple[np.ndarray, np.ndarray]:
    """Make Gauss-Legendre nodes on the sphere, with shape (pixels^2 nodes^2, 3), and weights (pixels, pixels, nodes^2).

    The polar angle is the variable, not its cosine, in which densities have a square root at the poles.
    """
    x, w = np.polynomial.legendre.leggauss(_NODES)

    def spread(edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        half = np.diff(edges)[:, None] / 2.0
        return edges[:-1, None] + half * (1.0 + x), half * w

    polar, polar_weight = spread(np.arccos(np.linspace(-1.0, 1.0, pixels + 1))[::-1])
    polar, polar_weight = polar[::-1], polar_weight[::-1]
    turn, turn_weight = spread(np.linspace(-np.pi, np.pi, pixels + 1))
    weights = np.einsum("ia,jb->ijab", polar_weight * np.sin(polar), turn_weight)
    polar, turn = np.broadcast_arrays(polar[:, None, :, None], turn[None, :, None, :])
    nodes = np.stack([np.sin(polar) * np.cos(turn), np.sin(polar) * np.sin(turn), np.cos(polar)], axis=-1)
    return nodes.reshape(-1, 3), weights.reshape(pixels, pixels, -1)
