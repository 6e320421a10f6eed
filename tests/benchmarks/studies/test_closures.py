"""studies/closures.py: every function is another one, and the count of memory maps is that of the system."""

import mmap

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avo.benchmarks.studies import closures


@pytest.mark.parametrize("kind", closures.KINDS)
def test_every_simulator_is_another_function(kind: str) -> None:
    """The i-th draws x ~ N(theta + i / 1000, 1)^2: with the same key they differ by the shift alone."""
    first, sixth, again = (closures.made(kind, i) for i in (1, 6, 6))
    assert len({first, sixth, again}) == 3
    key, theta = jax.random.key(3), jnp.full((7, 1), 1.3)
    np.testing.assert_allclose(sixth(key, theta) - first(key, theta), np.full((7, 2), 0.005), atol=1e-6)


@pytest.mark.skipif(not closures.MAPS.exists(), reason="the system does not tell its memory maps")
def test_maps_are_counted() -> None:
    """Maps of another length or protection than their neighbours are maps of their own."""
    before = closures.maps()
    kept = [mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | (i % 2) * mmap.PROT_WRITE) for i in range(40)]
    assert closures.maps() >= before + 20
    del kept
