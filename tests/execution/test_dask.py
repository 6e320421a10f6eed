"""Workers of dask.distributed: the same bits as without them, also where one is killed in the middle of a run."""

import os
import signal
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from fits import X_OBS, equal, fit
from rows import row, slow

import avo

distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed")
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """A cluster of two worker processes on this machine."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with (
            distributed.LocalCluster(
                n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
            ) as cluster,
            distributed.Client(cluster) as client,
        ):
            yield client


def test_a_killed_worker_changes_no_bit(client: Any) -> None:
    plain = fit(avo.from_numpy(row))
    made, first = 0, set(client.run(os.getpid).values())
    executor = client.get_executor()
    assert len(first) == 2

    class Watched:
        """The executor, one of whose workers is killed after a third of the chunks."""

        _client = client

        def submit(self, *arguments: Any) -> Any:
            nonlocal made
            made += 1
            if made == 40:
                os.kill(min(first), signal.SIGKILL)
            return executor.submit(*arguments)

    found = fit(avo.from_numpy(slow), executor=Watched())
    assert made > 60 and equal(found, plain)
    assert set(client.run(os.getpid).values()) != first


def test_failures_come_back_from_workers(client: Any) -> None:
    def fails(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
        if theta[0] < -2:
            raise ArithmeticError("no water")
        return row(rng, theta)

    found, plain = (fit(avo.from_numpy(fails), X_OBS, executor=e) for e in (client.get_executor(), None))
    assert equal(found, plain) and found.failures["exception"] > 0
