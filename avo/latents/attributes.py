r"""Attributes that can be measured on signals, as functions of a model's latents: what a page can hold fixed.

    a(v) = sum_p c_p v^p,    v = (z - centre) / size,    p up to the degree that predicts other codes best

regressed on codes of signals where attributes are given for these, or on codes drawn about them, and about that of the
signal, where an attribute is a function of a signal: then it is measured on what is decoded. A step of the latents that
keeps some attributes lies in the null space of their gradients da/dv (as in the transparent latent-space GAN, Guan
2018, whose attributes are linear in the latents). R^2 is of codes that the regression has not seen; an attribute below
`MEASURABLE` is no function of the latents that a lock could hold.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from avo.report.emulator import exponents, monomials
from avo.tables import rounded

MEASURABLE = 0.5  # R^2
DRAWN_DEGREE, GIVEN_DEGREE = 4, 2  # at most, on codes drawn where they are needed, and on those of signals
ROWS = 4  # for each monomial, at least
FOLDS = 5
DRAWS = 2000
WIDE = 1.3  # standard deviations of the codes, with which they are drawn
STEP = 0.25  # standard deviations of an attribute, of one press of its button


class Attribute(NamedTuple):
    """An attribute as polynomials of v; `sd` is that over the codes it was learned from, `r2` of others."""

    name: str
    powers: Int[np.ndarray, "p k"]
    coefficients: Float[np.ndarray, " p"]
    sd: float
    r2: float

    def __call__(self, v: Float[np.ndarray, "n k"]) -> Float[np.ndarray, " n"]:
        """Compute it at codes."""
        return monomials(v, self.powers) @ self.coefficients

    @property
    def measurable(self) -> bool:
        """Whether the latents say what it is."""
        return self.r2 >= MEASURABLE and self.sd > 0

    def values(self) -> dict[str, Any]:
        """Describe it by plain values, for a page's script."""
        return {
            "name": self.name,
            "powers": self.powers.tolist(),
            "coefficients": [float(f"{c:.9g}") for c in self.coefficients],
            "step": STEP * self.sd,
            "sd": self.sd,
            "digits": max(0, len(rounded(self.sd / 3, self.sd / 3).partition(".")[2])),
        }


def learned(name: str, v: Float[np.ndarray, "n k"], a: Float[np.ndarray, " n"], most: int = GIVEN_DEGREE) -> Attribute:
    """Regress an attribute on codes, by polynomials of at most a degree.

    Example:
        >>> v = np.random.default_rng(0).normal(size=(200, 2))
        >>> found = learned("height", v, 3.0 + 2.0 * v[:, 0] - v[:, 0] * v[:, 1])
        >>> bool(abs(found(np.array([[1.0, 1.0]]))[0] - 4.0) < 1e-9), round(found.r2, 3)
        (True, 1.0)
    """
    ok = np.isfinite(a) & np.isfinite(v).all(1)
    v, a = v[ok], a[ok]
    sd = float(a.std()) if len(a) else 0.0
    best: Attribute | None = None
    for degree in range(1, most + 1):
        powers = exponents(v.shape[1], degree)
        if best is not None and len(powers) * ROWS > len(v):
            break
        if len(v) < 2 * FOLDS or sd <= 1e-9 * np.abs(a).max(initial=0.0):
            return Attribute(name, powers, np.zeros(len(powers)), 0.0, 0.0)
        f, fold = monomials(v, powers), np.arange(len(v)) % FOLDS
        left = np.concatenate([a[fold == i] - f[fold == i] @ _fitted(f[fold != i], a[fold != i]) for i in range(FOLDS)])
        r2 = float(1 - np.mean(left**2) / sd**2)
        if best is None or r2 > best.r2:
            best = Attribute(name, powers, _fitted(f, a), sd, r2)
    assert best is not None
    return best


def _fitted(f: np.ndarray, a: np.ndarray) -> np.ndarray:
    return np.linalg.lstsq(f, a, rcond=1e-8)[0]


def measured(
    attributes: Mapping[str, Any], names: list[str], x: Float[np.ndarray, "n *x_shape"]
) -> Float[np.ndarray, "n a"]:
    """Measure those attributes on signals that are functions of them.

    Raises:
        ValueError: if a function does not give one number for each signal.
    """
    found = []
    for name in names:
        values = np.asarray(attributes[name](x), np.float64)
        if values.shape != (len(x),):
            raise ValueError(
                f"attributes[{name!r}] must give one number for each signal, shape ({len(x)},); got {values.shape}."
            )
        found.append(values)
    return np.stack(found, axis=1) if found else np.zeros((len(x), 0))
