r"""Decoders and a simulator's mean as a page evaluates them, without Python: layers of a network, or polynomials.

A decoder of fully connected layers is written down as it is, weights in single precision, and checked against the
decoder's own numbers. Any other curve f is emulated: with v the position in a box, from -1 to 1 along each entry,

    f(v) = sum_p c_p v^p,    p over the exponents up to the degree that predicts points best that it has not seen

    off^2 = mean |f - emulator|^2 / mean |f - mean f|^2 over such points

A third of all points lie on lines through the middle of the box, along one entry each, where sliders begin.
"""

import base64
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from avo.latents.models import BetaVAE
from avo.report.emulator import exponents, monomials

ACTIVATIONS: dict[str, Sequence[Any]] = {
    "silu": (jax.nn.silu,),
    "relu": (jax.nn.relu,),
    "tanh": (jnp.tanh, jax.nn.tanh),
    "sigmoid": (jax.nn.sigmoid,),
    "softplus": (jax.nn.softplus,),
    "elu": (jax.nn.elu,),
}
WEIGHTS = 250_000  # of a network in a page, at most: a megabyte and a third
MONOMIALS = 300  # at most
DEGREE = 8  # at most
ROWS = 12  # for each monomial
LEAST = 400  # points
HELD = 5  # one in so many points judges
SAME = 1e-5  # of the size of x, by which layers may differ from the decoder


class Layer(NamedTuple):
    """A linear map, and the name of what follows it; "" for nothing."""

    weight: Float[np.ndarray, "out in"]
    bias: Float[np.ndarray, " out"]
    activation: str = ""


def layers_of(decoder: Any) -> list[Layer] | None:
    """Take a decoder apart into fully connected layers; None where it is made of anything else.

    Example:
        >>> model = BetaVAE.make(jax.random.key(0), (8,), latents=2, width=4)
        >>> [(layer.weight.shape, layer.activation) for layer in layers_of(model.decoder)]
        [((4, 2), 'silu'), ((4, 4), 'silu'), ((8, 4), '')]
        >>> layers_of(lambda z: z) is None
        True
    """
    if isinstance(decoder, eqx.nn.Linear):
        weight = np.atleast_2d(np.asarray(decoder.weight, np.float64))
        bias = np.zeros(len(weight)) if decoder.bias is None else np.atleast_1d(np.asarray(decoder.bias, np.float64))
        return [Layer(weight, bias)]
    if isinstance(decoder, eqx.nn.MLP):
        inner = _named(decoder.activation)
        parts = [layers_of(layer) for layer in decoder.layers]
        if any(part is None for part in parts) or (inner is None and len(parts) > 1):
            return None
        layers = [part[0] for part in parts if part]
        return [layer._replace(activation=inner or "") for layer in layers[:-1]] + layers[-1:]
    if isinstance(decoder, eqx.nn.Sequential):
        found: list[Layer] = []
        for part in decoder.layers:
            name = _named(part.fn) if isinstance(part, eqx.nn.Lambda) else None
            more = None if name is None else []
            more = layers_of(part) if more is None else more
            if more is None or (name and (not found or found[-1].activation)):
                return None
            found += more
            if name:
                found[-1] = found[-1]._replace(activation=name)
        return found
    return None


def _named(fn: Any) -> str | None:
    return next((name for name, same in ACTIVATIONS.items() if any(fn is one for one in same)), None)


def evaluate(layers: Sequence[Layer], z: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n out"]:
    """Compute what layers make of many z, as the page does it of one."""
    y = np.asarray(z, np.float64)
    for layer in layers:
        y = y @ layer.weight.T + layer.bias
        if layer.activation:
            y = np.asarray(ACTIVATIONS[layer.activation][0](jnp.asarray(y, float)), np.float64)
    return y


def network(model: Any, places: Int[np.ndarray, " k"], z: Float[np.ndarray, "n k"]) -> dict[str, Any] | None:
    """Write a model's decoder down as layers, or None where it has others, too many weights, or other numbers at z.

    Args:
        model: whose decoder it is.
        places: which values of x, flat, are made.
        z: codes at which the layers must make what the decoder does.

    Example:
        >>> model = BetaVAE.make(jax.random.key(0), (8,), latents=2, width=4)
        >>> network(model, np.arange(3), np.zeros((1, 2)))["layers"][-1]["shape"]
        [3, 4]
    """
    layers = layers_of(model.decoder) if isinstance(model, BetaVAE) else None
    if not layers or layers[-1].activation or len(layers[-1].bias) != int(np.prod(model.x_shape)):
        return None
    last = layers[-1]
    if model.likelihood == "bernoulli":
        last = last._replace(weight=last.weight[places], bias=last.bias[places], activation="sigmoid")
    else:
        units = (np.asarray(a, np.float64) for a in (model.scale, model.shift))
        scale, shift = (np.broadcast_to(a, model.x_shape).ravel()[places] for a in units)
        last = Layer(scale[:, None] * last.weight[places], shift + scale * last.bias[places])
    layers = [*layers[:-1], last]
    if sum(layer.weight.size for layer in layers) > WEIGHTS:
        return None
    expected = np.asarray(model.decode(z), np.float64).reshape(len(z), -1)[:, places]
    if not np.allclose(evaluate(layers, z), expected, rtol=0, atol=SAME * max(np.abs(expected).max(), 1e-300)):
        return None
    written = [
        {"shape": list(a.weight.shape), "weight": packed(a.weight), "bias": packed(a.bias), "activation": a.activation}
        for a in layers
    ]
    return {"kind": "network", "layers": written}


class Polynomials(NamedTuple):
    """An emulator of a curve in a box, and how far it is off, as a share of how much the curve varies there."""

    powers: Int[np.ndarray, "p d"]
    coefficients: Float[np.ndarray, "p k"]
    off: float

    def __call__(self, v: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n k"]:
        """Compute the curve at places in the box."""
        return monomials(v, self.powers) @ self.coefficients

    @property
    def degree(self) -> int:
        """Of the polynomials."""
        return int(self.powers.sum(1).max())

    def values(self) -> dict[str, Any]:
        """Describe them by plain values, for a page's script."""
        return {
            "kind": "polynomials",
            "powers": self.powers.tolist(),
            "size": self.coefficients.shape[1],
            "coefficients": packed(self.coefficients),
        }


def emulated(curve: Callable[[np.ndarray], np.ndarray], d: int, seed: int = 0) -> Polynomials:
    """Fit polynomials to a curve in the box from -1 to 1.

    Args:
        curve: from places, with shape (n, d), to values (n, k); rows that are not finite are left out.
        d: entries of a place.
        seed: of the places.

    Raises:
        ValueError: if the curve is hardly anywhere finite.

    Example:
        >>> found = emulated(lambda v: np.stack([v[:, 0] ** 3, 1 - v[:, 0] * v[:, 1]], axis=1), 2)
        >>> found(np.array([[0.5, 0.4]])).round(6).tolist(), found.off < 1e-9
        ([[0.125, 0.8]], True)
    """
    degrees = [degree for degree in range(1, DEGREE + 1) if _count(d, degree) <= MONOMIALS] or [1]
    rng = np.random.default_rng(seed)
    v = rng.uniform(-1.0, 1.0, (max(LEAST, ROWS * _count(d, degrees[-1])), d))
    along = np.arange(len(v)) % 3 == 0
    v[along] *= np.eye(d)[rng.integers(0, d, along.sum())]
    y = np.asarray(curve(v), np.float64).reshape(len(v), -1)
    ok = np.isfinite(y).all(1)
    if ok.sum() < max(len(v) // 2, 2 * d + 2):
        raise ValueError(f"the curve must be finite in most of the box; it is at {ok.sum()} of {len(v)} places.")
    v, y = v[ok], y[ok]
    held = np.arange(len(v)) % HELD == 0
    spread = max(float(np.mean((y[held] - y[held].mean(0)) ** 2)), 1e-12 * float(np.mean(y**2)), 1e-300)
    best: Polynomials | None = None
    for degree in degrees:
        powers = exponents(d, degree)
        f = monomials(v, powers)
        coefficients = np.linalg.lstsq(f[~held], y[~held], rcond=1e-10)[0]
        off = float(np.sqrt(np.mean((y[held] - f[held] @ coefficients) ** 2) / spread))
        if best is None or off < best.off:
            best = Polynomials(powers, coefficients, off)
    assert best is not None
    return best


def _count(d: int, degree: int) -> int:
    found = 1
    for i in range(1, degree + 1):
        found = found * (d + i) // i
    return found


def packed(values: np.ndarray) -> str:
    """Write numbers in single precision as text.

    Example:
        >>> packed(np.ones(1))
        'AACAPw=='
    """
    return base64.b64encode(np.ascontiguousarray(values, "<f4").tobytes()).decode()
