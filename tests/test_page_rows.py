"""What docs/rows.md shows runs as it stands there, and finds the truth that it states."""

from typing import Any

import numpy as np
import pytest
from pages import blocks, read_page, run


def test_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    namespace: dict[str, Any] = {}
    first, second = blocks(read_page("docs/rows.md"))
    run(first, "docs/rows.md", namespace)
    result = namespace["result"]
    assert "equal ones" in capsys.readouterr().out
    assert np.all(np.abs(result.theta - [10.0, 0.7]) < 4 * result.stderr)
    asked = namespace["everybody"][namespace["asked"]]
    assert asked.mean() > 10.0 + 4 * result.stderr[0]  # which without weights would be the answer
    run(second, "docs/rows.md", namespace)
    result = namespace["result"]
    assert result.status == "converged" and "missing" in capsys.readouterr().out
    assert np.all(np.abs(result.theta - [0.3, 1.2]) < 4 * result.stderr)
    # The maximum likelihood of n increments, its errors scale / sqrt(n) and scale / sqrt(2 n)
    steps = np.concatenate([np.diff(path, prepend=0.0) for path in namespace["paths"]])
    mle, error = np.array([steps.mean(), steps.std()]), steps.std() / np.sqrt(len(steps) * np.array([1.0, 2.0]))
    noise = np.sqrt(result.estimate.simulation_noise**2 - 1)
    assert np.all(np.abs(result.theta - mle) < (4 * noise + 0.3) * error)
    assert np.all(np.abs(result.stderr / error - 1.07) < 0.25)
