"""A statistic that is known, for tests of what is done with a learned one."""

from typing import Any

import equinox as eqx


class Linear(eqx.Module):
    """t(x) = W x."""

    weights: Any

    def __call__(self, x: Any, c: Any = None) -> Any:
        return self.weights @ x
