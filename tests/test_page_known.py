"""What docs/known.md shows runs as it stands there, and finds the truth that it states."""

from typing import Any

import numpy as np
import pytest
from pages import blocks, read_page, run


def test_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    namespace: dict[str, Any] = {}
    first, second = blocks(read_page("docs/known.md"))
    run(first, "docs/known.md", namespace)
    result, truth = namespace["result"], namespace["truth"]
    assert "(fixed)" in capsys.readouterr().out and result.names == ("clearance", "volume")
    assert np.all(np.abs(result.theta - truth[1:]) < 4 * result.stderr)
    run(second, "docs/known.md", namespace)
    result = namespace["result"]
    assert "the data alone" in capsys.readouterr().out and result.status == "converged"
    assert np.all(np.abs(result.theta - truth) < 4 * result.stderr)
    # As the page says: share, volume and with it clearance have the error of the scan, 1 of 21
    np.testing.assert_allclose(result.stderr / result.theta, 1 / 21, rtol=0.1)
    assert np.all(np.isinf(result.by_data.stderr[[0, 2]]))
