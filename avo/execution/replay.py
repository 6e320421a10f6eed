"""A call of a run again, by its number: what it was given, what it gave, and what it gives now."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from avo.execution.chunks import FINE, call
from avo.execution.failures import KINDS
from avo.execution.host import HostSimulator
from avo.execution.store import Store


class Replay(NamedTuple):
    """A call that a run has made.

    Args:
        number: of the row.
        theta: of the call, (d,), or (size, d) where it simulated a block of rows.
        seed: words of its generator's seed.
        inputs: its known condition.
        kind: of its failure; None: it did not fail.
        words: what it said.
        x: what it gave, NaN where it failed.
        row: its place in the block.
    """

    number: int
    theta: np.ndarray
    seed: np.ndarray
    inputs: np.ndarray | None
    kind: str | None
    words: str
    x: np.ndarray
    row: int

    def __call__(self, simulate: HostSimulator) -> np.ndarray:
        """Make the call again.

        Raises:
            CallFailed: if the function raises, from what it raised.
        """
        given = (self.theta,) if self.inputs is None else (self.theta, self.inputs)
        x = call(simulate.fn, self.seed, *given)
        return x[self.row] if self.theta.ndim > 1 else x


def find(run: Path, number: int) -> Replay:
    """Find a call in a run's folder.

    Raises:
        FileNotFoundError: if the run keeps no calls.
        ValueError: if there is no such call.
    """
    store = Store(run / "calls.sqlite", None)
    try:
        for first, chunk, ran in store.between(number, number + 1):
            each = ran.states.shape[1]
            place, row = divmod(number - first, each)
            state = int(ran.states[place, row])
            return Replay(
                number,
                chunk.theta[place],
                chunk.seeds[place],
                None if chunk.inputs is None else chunk.inputs[place],
                None if state == FINE else KINDS[state],
                ran.words.get(place, ""),
                ran.x[place, row] if chunk.block else ran.x[place],
                row,
            )
        last = max((kept.first + kept.ran.states.size for kept in store.between(0, 2**62)), default=0)
    finally:
        store.close()
    raise ValueError(f"CALL must be the number of a call of {run}, from 0 to below {last:,}; got {number}.")
