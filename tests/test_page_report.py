"""What docs/report.md shows runs as it stands there."""

from typing import Any

import numpy as np
import pytest
from pages import blocks, read_page, run


def test_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    namespace: dict[str, Any] = {}
    fit, _, kept, pictures = blocks(read_page("docs/report.md"))
    run(fit, "docs/report.md", namespace)
    result = namespace["result"]
    assert np.all(np.abs(result.theta - [2.0, 1.5]) < 5 * result.stderr)
    run(kept, "docs/report.md", namespace)
    assert capsys.readouterr().out.splitlines()[1] == "(300, 20) (4, 20)"
    run(pictures, "docs/report.md", namespace)
    assert [axes.get_xlabel() for axes in namespace["figure"].axes][-1] == "simulator calls"
