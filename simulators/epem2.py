"""Angles of the muon in e+ e- -> mu+ mu- at two beam energies: `epem` made identifiable.

Each of the two cosines has the law of `epem` at its energy, E and E + step, with the same coupling G. With
t = tanh(10 (2 E - 90) / 90) and D = tanh(step / 4.5) the two asymmetries are 2 G t and 2 G (t + D) / (1 + t D), and

    t = 2 a1 D / (a2 - a1 + sqrt((a2 - a1)^2 + 4 a1 a2 D^2)),    G = a1 / 2 t

is the only pair with G > 0 that gives them.

Identified: energy and coupling, by the two asymmetries.

Limits: G stays below 1, so that no asymmetry is clipped.

Source: ours; the law at one energy is that of Louppe, Hermans, Cranmer, arXiv:1707.07113.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from avo.checks import positive
from avo.simulators.epem import asymmetry, likeliest_asymmetry, log_density, quantile
from avo.simulators.problem import Axis, Problem, vectorize
from avo.simulators.register import Header
from avo.space import Interval, Space

HEADER = Header(
    summary="muon angles at two beam energies; energy and coupling are identified",
    tags=("vector", "physics"),
    x_shape=(2,),
    parameters="energy (GeV), coupling",
    x="cos A along beam",
)


def epem2(step: float = 10.0) -> Problem:
    """Muon angles at two beam energies, E and E + step, with one coupling: both parameters are identified.

    For one observation the Cramer-Rao bound at the default truth and step is 7.9 GeV and 0.79, for 1000 it is 0.25 GeV
    and 0.025. With the second energy at 90.8 GeV - E instead, the mirror image, it would be 32 GeV and 6.0 for one.

    Args:
        step: from the first beam energy to the second, in GeV.

    Returns:
        `Problem` with parameters energy (GeV, of the first beam) and coupling (in units of its nominal value); x has
        shape (2,), a cosine at each energy. `mle` is exact where it lies inside the space, and cut to it elsewhere.

    Raises:
        ValueError: if `step` is not above zero and finite.

    Example:
        >>> problem = epem2()
        >>> problem.simulate(jax.random.key(0), jnp.array([[42.0, 0.9]])).shape
        (1, 2)
    """
    positive("step", step)
    space = Space(energy=Interval(40.0, 50.0, unit="GeV"), coupling=Interval(0.5, 1.0))

    def both(theta: Float[Array, "2"]) -> Float[Array, "2"]:
        theta = jnp.asarray(theta, dtype=float)
        return jnp.stack([asymmetry(theta), asymmetry(theta + jnp.array([step, 0.0]))])

    def draw(key: Array, theta: Float[Array, "2"]) -> Float[Array, "2"]:
        return quantile(jax.random.uniform(key, (2,)), both(theta))

    def mean(theta: Float[Array, "2"]) -> Float[Array, "2"]:
        return both(theta) / 4.0

    def mle(x: Float[Array, "m 2"]) -> Float[Array, "2"]:
        first, second = jax.vmap(likeliest_asymmetry, in_axes=1)(jnp.asarray(x, dtype=float))
        d = jnp.tanh(step / 4.5)
        t = 2.0 * first * d / (second - first + jnp.sqrt((second - first) ** 2 + 4.0 * first * second * d**2))
        raised = (t + d) / (1.0 + t * d)
        # The larger of the two asymmetries gives the coupling: the smaller may be 0 / 0
        coupling = jnp.where(jnp.abs(t) > jnp.abs(raised), first / (2.0 * t), second / (2.0 * raised))
        theta = jnp.stack([45.0 + 4.5 * jnp.arctanh(jnp.clip(t, -0.999, 0.999)), coupling])
        return jnp.clip(theta, *jnp.array([p.support for p in space]).T)

    def log_prob(theta: Float[Array, "2"], x: Float[Array, "2"]) -> Float[Array, ""]:
        return jnp.sum(log_density(x, both(theta)))

    return Problem(
        name="epem2",
        summary=HEADER.summary,
        simulate=vectorize(draw),
        space=space,
        theta_true=np.array([42.0, 0.9]),
        x_shape=(2,),
        axes=(Axis("beam", "", np.array([1, 2])),),
        quantity="cos A",
        mle=mle,
        mean=mean,
        log_prob=log_prob,
        tags=HEADER.tags,
    )
