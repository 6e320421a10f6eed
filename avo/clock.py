"""Where the time of a fit goes: seconds of its stages, each without those of the stages inside it.

A stage is a function with `@stage("name")`. Nothing is measured, and nothing is slower, unless a `Clock` runs. Then
each stage waits for its results, which JAX would else compute while the next one begins. What JAX traces and compiles
it says itself; it is taken from the stage in which it happens. Other processes are not seen.
"""

import time
from collections import defaultdict
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

import jax

from avo.tables import aligned

F = TypeVar("F", bound=Callable[..., Any])
LEAST = 1e-3  # share of a stage that is printed
TRACED = {
    "/jax/core/compile/jaxpr_trace_duration": "trace",
    "/jax/core/compile/jaxpr_to_mlir_module_duration": "trace",
    "/jax/core/compile/backend_compile_duration": "compile",
}


class Clock:
    """Seconds by stage, of what happens while it runs: `with Clock() as clock: ...`.

    Example:
        >>> outer, inner = stage("outer")(lambda f: f()), stage("inner")(lambda: time.sleep(0.02))
        >>> with Clock() as clock:
        ...     outer(inner)
        >>> clock.seconds["inner"] > 0.015 > clock.seconds["outer"]
        True
    """

    running: "Clock | None" = None

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.programs = 0
        self._inside: list[float] = []  # seconds of what each open stage is not charged with
        self._traces: list[tuple[float, float]] = []  # of which a later one may hold earlier ones

    def __str__(self) -> str:
        whole = sum(self.seconds.values())
        found = sorted(self.seconds.items(), key=lambda pair: -pair[1])
        rows = [[name, f"{s:.2f} s", f"{s / whole:.0%}"] for name, s in found if s >= LEAST * whole]
        rows.append(["in all", f"{whole:.2f} s", f"{self.programs} programs compiled"])
        return "\n".join(aligned([["stage", "time", "share"], *rows]))

    def __enter__(self) -> "Clock":
        if Clock.running is not None:
            raise RuntimeError("a Clock runs already, and there is one at a time; leave it first.")
        Clock.running = self
        jax.monitoring.register_event_duration_secs_listener(self._heard)
        self._began = time.perf_counter()
        self._inside.append(0.0)
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds["rest"] += time.perf_counter() - self._began - self._inside.pop()
        jax.monitoring.unregister_event_duration_listener(self._heard)
        Clock.running = None

    def of(self, name: str, fn: Callable[..., Any], *args: Any, **named: Any) -> Any:
        """Call a function, and charge a stage with its time."""
        began = time.perf_counter()
        self._inside.append(0.0)
        try:
            return jax.block_until_ready(fn(*args, **named))
        finally:
            whole = time.perf_counter() - began
            self.seconds[name] += whole - self._inside.pop()
            self._inside[-1] += whole

    def _heard(self, event: str, duration_secs: float, **_: Any) -> None:
        if event not in TRACED:
            return
        now = time.perf_counter()
        self.programs += TRACED[event] == "compile"
        held = 0.0
        while self._traces and self._traces[-1][0] >= now - duration_secs:
            first, last = self._traces.pop()
            held += last - first
        self._traces.append((now - duration_secs, now))
        self.seconds[TRACED[event]] += duration_secs - held
        self._inside[-1] += duration_secs - held


def stage(name: str) -> Callable[[F], F]:
    """Charge a stage with the time of a function, where a `Clock` runs."""

    def timed(fn: F) -> F:
        @wraps(fn)
        def call(*args: Any, **named: Any) -> Any:
            clock = Clock.running
            return fn(*args, **named) if clock is None else clock.of(name, fn, *args, **named)

        return cast(F, call)

    return timed
