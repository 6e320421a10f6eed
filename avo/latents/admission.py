"""What may be trained: a model that takes the observations, observations that its numbers tell apart."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike, PRNGKeyArray

from avo.latents.models import BetaVAE
from avo.observations import validate_observations


def check_precision(x: np.ndarray, dtype: Any) -> None:
    """Refuse what numbers of this precision do not tell apart, or whose squares they do not hold."""
    sd, largest, numbers = float(np.std(x - x.mean(0))), float(np.abs(x).max()), jnp.finfo(dtype)
    least, most = float(numbers.tiny) ** 0.4, float(numbers.max) ** 0.4
    if sd and not (least < sd and largest < most and largest * float(numbers.eps) < 0.1 * sd):
        raise ValueError(
            f"x scatters by {sd:.2g} about values of up to {largest:.2g}, which {numbers.dtype} does not "
            'hold; subtract its mean, divide by its scale, or call jax.config.update("jax_enable_x64", True).'
        )


def admitted_model(model: Any, key: PRNGKeyArray, sets: Mapping[str, np.ndarray | None]) -> BetaVAE:
    """Take a model, or make one, and check that it takes what it is to be trained on."""
    if not isinstance(model, BetaVAE):
        if not callable(model) or isinstance(model, eqx.Module | type):
            raise ValueError(f"model must be a BetaVAE or a factory (key, x), such as BetaVAE.for_data; got {model!r}.")
        model = model(key, sets["x"])
    if not isinstance(model, BetaVAE):
        raise ValueError(f"model, a factory, must make a BetaVAE; it made {model!r}.")
    for name, rows in sets.items():
        if rows is None:
            continue
        if rows.shape[1:] != model.x_shape:
            raise ValueError(f"{name} must have rows shaped as the model's x, {model.x_shape}; got {rows.shape[1:]}.")
        if model.likelihood == "bernoulli" and not (rows.min() >= 0 and rows.max() <= 1):
            raise ValueError(
                f"{name} must lie in [0, 1] for likelihood='bernoulli'; it goes from {rows.min():g} to {rows.max():g}."
            )
    dtype = jnp.result_type(float)
    one, z = (jax.ShapeDtypeStruct(shape, dtype) for shape in (model.x_shape, (model.latents,)))
    try:
        shapes = [a.shape for a in eqx.filter_eval_shape(model.posterior, one)]
        shapes += [eqx.filter_eval_shape(model.predict, z).shape]
    except (TypeError, ValueError) as error:
        said = " ".join(str(error).split())[:200]
        raise ValueError(f"model's networks cannot be applied to x {one.shape} and z {z.shape}: {said}") from error
    if shapes != [z.shape, z.shape, one.shape]:
        raise ValueError(
            f"model's encoder must give mean and log variance of z, each {z.shape}, and its decoder as many values as "
            f"x {one.shape}; got {shapes}."
        )
    return model


def check_pairs(pairs: ArrayLike | None, x: np.ndarray, wanted: bool) -> np.ndarray | None:
    """Check that there is an observation paired with each, where the objective takes pairs, and only there."""
    if wanted != (pairs is not None):
        said = "is missing: this objective takes pairs" if wanted else "is for avo.latents.ada_gvae; leave it out"
        raise ValueError(f"pairs {said}, for each x another observation that shares most of what made it.")
    if pairs is None:
        return None
    others = validate_observations(pairs, "pairs")
    if others.shape != x.shape:
        raise ValueError(f"pairs must have a row for each of x, with shape {x.shape}; got {others.shape}.")
    return others
