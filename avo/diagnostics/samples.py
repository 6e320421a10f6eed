"""The samples that `avo.check` compares: the new observations, and simulations under the same conditions."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from avo.diagnostics.features import Look, Units, correlations, summaries
from avo.observations import location_scale
from avo.types import Simulator


class Sample(NamedTuple):
    """Rows, which of them are finite, and their conditions; what is not finite is filled and has no weight."""

    x: Any
    ok: Any
    inputs: Any


def observed_sample(x: np.ndarray, c: np.ndarray | None) -> Sample:
    """Take observations, all of which are finite, for a sample."""
    dtype = jnp.result_type(float)
    return Sample(x, np.ones(len(x), bool), None if c is None else jnp.asarray(c, dtype))


def draw_sample(simulate: Simulator, observed: Sample, thetas: Callable, key: PRNGKeyArray) -> Sample:
    """Simulate as many rows as were observed, under the same conditions, at `thetas(key, rows)`.

    Raises:
        ValueError: if x has another shape than the observations, or is not finite in most rows.
    """
    x_new, _, c = observed
    key_theta, key_x = jax.random.split(key)
    theta = thetas(key_theta, len(x_new))
    x = simulate(key_x, theta) if c is None else simulate(key_x, theta, c)
    if x.shape != x_new.shape:
        raise ValueError(f"simulate must return x shaped like x_new, {x_new.shape}; got {x.shape}.")
    ok = np.isfinite(np.asarray(x)).reshape(len(x), -1).all(axis=1)
    if 2 * ok.sum() < len(x):
        raise ValueError(
            f"simulate returned NaN or infinity in {np.sum(~ok)} of {len(x)} draws, at parameters such as "
            f"{np.asarray(theta)[~ok][0].tolist()}; check that it works there, at and around the estimate."
        )
    if not ok.all():
        keep = ok.reshape((-1,) + (1,) * (x.ndim - 1))
        x = np.where(keep, np.asarray(x), x_new[:1])
    return Sample(x, ok, c)


def units_of(look: Look, reference: list[Sample], gaps: Any = None) -> Units:
    """Take units from the reference simulations, of which some values may be missing."""
    dtype, gaps = jnp.result_type(float), gaps if look.kind == "vector" else None
    x = np.concatenate([np.asarray(s.x, np.float64)[s.ok] for s in reference])
    if gaps is not None:
        x = gaps.bare(x, np.concatenate([np.asarray(s.inputs)[s.ok] for s in reference]))
    # One unit for all points of a series, or increments would mean nothing
    shift, scale = (a.reshape(look.x_shape) for a in location_scale(x[..., None] if look.kind == "series" else x))
    s = _summaries(look, jnp.asarray((x - shift) / scale, dtype))
    middle, width = (jnp.asarray(a, dtype) for a in location_scale(np.asarray(s, np.float64)))
    c = np.asarray(reference[0].inputs if look.inputs else np.zeros((2, 0)), np.float64)
    inputs_shift, inputs_scale = (jnp.asarray(a, dtype) for a in location_scale(c.reshape(len(c), -1)))
    return Units(
        shift=shift,
        scale=scale,
        middle=middle,
        width=width,
        correlations=jnp.zeros(0)
        if look.kind == "series"
        else correlations(jnp.nan_to_num(s), jnp.full((len(s), 1), 1 / len(s), dtype)),
        inputs_shift=inputs_shift,
        inputs_scale=inputs_scale,
        gaps=None if gaps is None else jax.tree.map(jnp.asarray, gaps),
    )


def in_units(units: Units, sample: Sample) -> tuple[Array, Array | None]:
    """Give x in standardised units, and its conditions flat and as they are."""
    z = jnp.asarray((sample.x - units.shift[None]) / units.scale[None], jnp.result_type(float))
    z = z if units.gaps is None else units.gaps.bare(z, sample.inputs)
    return z, None if sample.inputs is None else sample.inputs.reshape(len(z), -1)


_summaries = eqx.filter_jit(summaries)
