"""Where the time of a fit goes: seconds of its stages, each without those of the stages inside it.

A stage is a function with `@stage("name")`. Nothing is measured, and nothing is slower, unless a `Clock` runs. Then
each stage waits for its results, which JAX would else compute while the next one begins. What JAX traces and compiles
it says itself; it is taken from the stage in which it happens. Other processes are not seen.
"""

import time
from collections import Counter
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import jax

from avo.tables import aligned

P, R = ParamSpec("P"), TypeVar("R")
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
        self.seconds: Counter[str] = Counter()
        self.programs = 0
        self._inside: list[float] = []  # seconds of what each open stage is not charged with
        self._traces: list[tuple[float, float]] = []  # of which a later one may hold earlier ones

    def __str__(self) -> str:
        whole = sum(self.seconds.values())
        rows = [
            [name, f"{s:.2f} s", f"{s / whole:.0%}"] for name, s in self.seconds.most_common() if s >= LEAST * whole
        ]
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

    def of(self, name: str, fn: Callable[P, R], *args: P.args, **named: P.kwargs) -> R:
        """Call a function, and charge a stage with its time."""
        began = time.perf_counter()
        self._inside.append(0.0)
        try:
            return jax.block_until_ready(fn(*args, **named))
        finally:
            whole = time.perf_counter() - began
            self.seconds[name] += whole - self._inside.pop()
            self._inside[-1] += whole

    def _heard(self, event: str, duration: float, **_: Any) -> None:
        if event not in TRACED:
            return
        now = time.perf_counter()
        self.programs += TRACED[event] == "compile"
        held = 0.0
        while self._traces and self._traces[-1][0] >= now - duration:
            first, last = self._traces.pop()
            held += last - first
        self._traces.append((now - duration, now))
        self.seconds[TRACED[event]] += duration - held
        self._inside[-1] += duration - held


def stage(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Charge a stage with the time of a function, where a `Clock` runs."""

    def timed(fn: Callable[P, R]) -> Callable[P, R]:
        @wraps(fn)
        def call(*args: P.args, **named: P.kwargs) -> R:
            clock = Clock.running
            return fn(*args, **named) if clock is None else clock.of(name, fn, *args, **named)

        return call

    return timed
