"""The classical Runge-Kutta step of order 4, for simulators that solve an ordinary differential equation."""

from collections.abc import Callable

from jaxtyping import Array, ArrayLike, Float


def rk4(
    rate: Callable[[ArrayLike, Array], Array], time: ArrayLike, state: Float[Array, "*state"], step: ArrayLike
) -> Float[Array, "*state"]:
    """One step of dy/dt = rate(t, y); local error of order step^5, global error of order step^4 where rate is smooth.

        k1 = rate(t, y),  k2 = rate(t + h/2, y + h/2 k1),  k3 = rate(t + h/2, y + h/2 k2),  k4 = rate(t + h, y + h k3)
        y(t + h) = y + h/6 (k1 + 2 k2 + 2 k3 + k4)

    Args:
        rate: right-hand side, `rate(time, state)` with the shape of state.
        time: t.
        state: y at t.
        step: h, in the unit of time.

    Returns:
        y at t + h, same shape.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(rk4(lambda t, y: y, 0.0, jnp.array(1.0), 0.1)), 6)
        1.105171
    """
    k1 = rate(time, state)
    k2 = rate(time + 0.5 * step, state + 0.5 * step * k1)
    k3 = rate(time + 0.5 * step, state + 0.5 * step * k2)
    k4 = rate(time + step, state + step * k3)
    return state + (step / 6.0) * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
