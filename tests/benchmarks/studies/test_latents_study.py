"""The page of the study of latents says what its stored rows say."""

from avo.benchmarks.studies.latents import SEARCH, STUDIES
from avo.benchmarks.studies.latents_report import report
from avo.benchmarks.studies.study import RESULTS
from avo.benchmarks.suite import cells


def test_the_page_s_tables_are_those_of_the_stored_rows() -> None:
    rows = cells.read(RESULTS / "latents.jsonl")
    assert {row["study"] for row in rows} == set(STUDIES)
    page = (RESULTS / "latents.md").read_text()
    assert page.endswith("\n\n" + report(tuple(SEARCH), rows) + "\n")
