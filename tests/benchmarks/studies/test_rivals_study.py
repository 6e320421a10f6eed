"""The page of the study of rivals says what its stored rows say; its signals are what they are said to be."""

import numpy as np

from avo.benchmarks.studies import rivals
from avo.benchmarks.studies.study import RESULTS
from avo.benchmarks.suite import cells


def test_the_page_s_tables_are_those_of_the_stored_rows() -> None:
    page = (RESULTS / "rivals.md").read_text()
    assert page.endswith("\n\n" + rivals.report(cells.read(RESULTS / "rivals.jsonl")) + "\n")


def test_a_pair_shares_three_factors() -> None:
    factors, x, others = rivals.drawn(1e-9, 3)
    clean = factors[:, 2:3] * np.exp(-0.5 * ((rivals.TIMES - factors[:, :1]) / factors[:, 1:2]) ** 2) + factors[:, 3:]
    np.testing.assert_allclose(x, clean, atol=1e-7)
    # Where the level alone is another, all points differ by as much: in a quarter of the pairs, sd .7 % of 4,000
    level = np.ptp(others - x, axis=1) < 1e-7
    assert abs(level.mean() - 0.25) < 0.03
