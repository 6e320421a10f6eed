"""A statistic of the user's own, `fit(..., statistic=)`: its check, its units, and what a file says of it.

What the regression of t sees of x decides how precise an estimate is, never whether it is right. Whoever knows a good
summary of x, a sufficient one at best, hands it in: a JAX function of one observation (and its condition). It is shown
to the regression in units of the observations, cut where no observation is,

    z = clip((statistic(x) - shift) / scale, -8, 8),    0 where that is no finite number,

which is still one function of x, whatever a simulation may hold.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from avo.folder import digest
from avo.observations import location_scale
from avo.refine.features import CLIP, WIDEST
from avo.refine.statistic import apply
from avo.types import Statistic


@dataclass(frozen=True)
class Only:
    """A statistic that stands in place of the features that avo chooses: t sees nothing else of x.

    Of known conditions, too, t then sees only what the statistic shows of them.

    Args:
        statistic: a JAX function `statistic(x)` of one observation, with inputs `statistic(x, c)`, to real numbers.

    Example:
        >>> import avo
        >>> only = avo.Only(lambda x: jnp.stack([jnp.median(x), jnp.ptp(x)]))
        >>> # avo.fit(simulate, x_obs, space, statistic=only)
    """

    statistic: Statistic


class CustomStatistic(eqx.Module):
    """A user's statistic in units of the observations.

    Args:
        statistic: the function; None in a result that was loaded without it.
        shift, scale: location and scale of its values over the observations.
        alone: whether it stands in place of avo's features.
        name: that of the function.
        gaps: which values may be missing, else None; the function gets NaN there, and no mask.
    """

    statistic: Any
    shift: Float[Array, " k"]
    scale: Float[Array, " k"]
    alone: bool = eqx.field(static=True)
    name: str = eqx.field(static=True)
    gaps: Any = None

    def __call__(self, x: Float[Array, "*x_shape"], c: Array | None = None) -> Float[Array, " k"]:
        if self.statistic is None:
            raise ValueError(
                f"this fit used the statistic {self.name!r}, a function that no file holds; "
                "load the result with it: avo.load(path, statistic=...)."
            )
        z = (_Values(self.statistic, self.gaps)(x, c) - self.shift) / self.scale
        return jnp.where(jnp.isfinite(z), jnp.clip(z, -CLIP, CLIP), 0.0)

    def describe(self) -> dict[str, Any]:
        """Describe the statistic in words, for a file; a function is known by its name, a module by its arrays too."""
        arrays = jax.tree.leaves(eqx.filter(self.statistic, eqx.is_array))
        return {"name": self.name, "alone": self.alone, "arrays": digest(*map(np.asarray, arrays))}

    def filled(self, shift: Array, scale: Array, gaps: Any = None) -> "CustomStatistic":
        """Take the units of a file, and what may be missing."""
        return replace(self, shift=shift, scale=scale, gaps=gaps)


def custom_statistic(
    statistic: Statistic | Only | None, x: np.ndarray, c: np.ndarray | None = None, gaps: Any = None,
    shares: np.ndarray | None = None,
) -> CustomStatistic | None:  # fmt: skip
    """Check a user's statistic on the observations, and take its units from there; None for none.

    Args:
        statistic: the function.
        x: observations.
        c: their conditions, with the mask where values may be missing.
        gaps: which these are (avo/gaps.py), or None.
        shares: weights of the observations, or None.

    Raises:
        ValueError: if it is no JAX function of one observation, does not give an array of up to 512 real numbers, or
            one that is not finite.

    Example:
        >>> x = np.array([[1.0, 2.0, 6.0], [2.0, 3.0, 4.0]])
        >>> custom_statistic(jnp.median, x)(jnp.array([5.0, 4.5, 1.0])).tolist()
        [4.0]
    """
    if statistic is None:
        return None
    fn, name = _named(statistic)
    gaps = None if gaps is None else jax.tree.map(jnp.asarray, gaps)
    _check_output(fn, x, c if gaps is None else gaps.known(c))
    values = apply(_Values(fn, gaps), x, c)
    finite = np.isfinite(values).all(1)
    if not finite.all():
        row = int(np.argmin(finite))
        value = values[row][~np.isfinite(values[row])][0]
        raise ValueError(
            f"statistic must give finite numbers; {name} gives {value} for x_obs[{row}] ({(~finite).sum()} of "
            f"{len(x)} observations). Let it give a finite number there too"
            + (", where NaN stands for what is missing." if gaps is not None else ".")
        )
    shift, scale = (jnp.asarray(a, float) for a in location_scale(values, shares))
    return CustomStatistic(fn, shift, scale, isinstance(statistic, Only), name, gaps)


def restored_statistic(described: dict[str, Any] | None, statistic: Statistic | Only | None) -> CustomStatistic | None:
    """Make the statistic of a saved fit, from what `describe` gave and the function, where there is one.

    Raises:
        ValueError: if it is not the one of the fit.
    """
    if described is None:
        if statistic is not None:
            raise ValueError("this fit used no statistic of its own; leave statistic= out.")
        return None
    fn, name = (None, described["name"]) if statistic is None else _named(statistic)
    none, alone = jnp.zeros(0), bool(described["alone"])
    made = CustomStatistic(fn, none, none, alone if fn is None else isinstance(statistic, Only), name)
    if fn is not None and made.describe() != described:
        used = f"avo.Only({described['name']})" if alone else described["name"]
        given = f"avo.Only({name})" if made.alone else name
        raise ValueError(
            f"this fit used the statistic {used}; got {given}{', with other arrays' if given == used else ''}. "
            "Pass the one of the fit."
        )
    return made


def _named(statistic: Any) -> tuple[Callable[..., Any], str]:
    fn = statistic.statistic if isinstance(statistic, Only) else statistic
    if not callable(fn):
        raise ValueError(
            "statistic must be a JAX function of one observation to real numbers, e.g. jax.numpy.median, or "
            f"avo.Only(function); got {fn!r}."
        )
    return fn, getattr(fn, "__qualname__", type(fn).__name__)


class _Values(eqx.Module):
    statistic: Any
    gaps: Any = None

    def __call__(self, x: Array, c: Array | None = None) -> Float[Array, " k"]:
        if self.gaps is not None and c is not None:
            x, c = self.gaps.bare(x, c), self.gaps.known(c)
        return _values(self.statistic, x, c)


def _values(statistic: Any, x: Array, c: Array | None) -> Float[Array, " k"]:
    found = statistic(x) if c is None else statistic(x, c)
    return jnp.ravel(jnp.asarray(found, jnp.result_type(float)))


def _check_output(fn: Callable[..., Any], x: np.ndarray, c: np.ndarray | None) -> None:
    seen, dtype = [], jnp.result_type(float)

    def call(*args: Array) -> None:
        out = fn(*args)
        is_array = isinstance(out, (jax.Array, np.ndarray, np.generic, bool, int, float, complex))
        seen.append((str(jnp.result_type(out)) if is_array else type(out).__name__, np.size(out) if is_array else 0))

    try:
        jax.eval_shape(call, *(jax.ShapeDtypeStruct(a.shape[1:], dtype) for a in (x, c) if a is not None))
    except Exception as error:
        needs = f"x with shape {x.shape[1:]}" + ("" if c is None else f", and its condition, with shape {c.shape[1:]}")
        first = str(error).split("\n")[0]
        raise ValueError(
            f"statistic must be a JAX function of one observation, {needs}; it raised {type(error).__name__}: {first} "
            "Write it with jax.numpy, for a single observation: avo applies it to all."
        ) from error
    kind, size = seen[-1]
    if not kind.startswith(("float", "int", "uint", "bool", "bfloat")):
        raise ValueError(
            f"statistic must return one array of real numbers; got {kind}. Put several numbers together, e.g. by "
            "jax.numpy.stack([...])."
        )
    if not 1 <= size <= WIDEST:
        raise ValueError(f"statistic must return 1 to {WIDEST} numbers; got {size}. Average or project what is longer.")
