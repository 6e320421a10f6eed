"""What docs/kinds.md shows runs as it stands there: an hour beside midnight, and a number of lines."""

from typing import Any

import numpy as np
import pytest
from pages import blocks, read_page, run

from avo.parameters import unwound


def test_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """The hours are normal around the peak, and the numbers binomial: their means have the errors of the likelihood."""
    namespace: dict[str, Any] = {}
    (block,) = blocks(read_page("docs/kinds.md"))
    run(block, "docs/kinds.md", namespace)
    result, x = namespace["result"], np.asarray(namespace["x_obs"])
    assert result.status == "converged" and "lines is the whole number next to" in capsys.readouterr().out
    assert result.theta[1] == 12 and result.interval()[1].tolist() == [12, 12]
    direction = np.arctan2(x[:, 1].mean(), x[:, 0].mean()) * 12 / np.pi
    assert abs(unwound(result.theta[0] - direction, 0.0, 24.0)) < 3 / np.sqrt(200)
    assert abs(unwound(result.theta[0] - 23.6, 0.0, 24.0)) < 4 * result.stderr[0]
    assert 0.7 < result.stderr[0] / (3 / np.sqrt(200)) < 1.6
