"""avo.progress: nothing, a bar, or a line now and then, by where it is read."""

import io
import sys

import pytest
from tqdm import tqdm

from avo import progress


class Stream(io.StringIO):
    """Standard error of a terminal, or of something else."""

    terminal = False

    def isatty(self) -> bool:
        return self.terminal


def listen(monkeypatch: pytest.MonkeyPatch) -> Stream:
    stream = Stream()  # not by a fixture: between that and the test pytest sets its own
    monkeypatch.setattr(sys, "stderr", stream)
    return stream


def test_a_line_every_half_minute_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve updates, ten seconds apart, the first after a minute of compilation: lines from half a minute later on."""
    told, now = listen(monkeypatch), 1000.0
    shown = progress.bar(600, "search", "calls", progress=True)
    monkeypatch.setattr(shown, "_time", lambda: now)
    monkeypatch.setattr(progress, "time", lambda: now)
    shown.start_t = shown.last_print_t = now
    for i in range(12):
        now += 10.0 if i else 60.0
        shown.update(50)
    shown.close()
    lines = told.getvalue().splitlines()
    assert [line.partition(",")[0] for line in lines] == [f"search: {n} of 600 calls" for n in (200, 350, 500)]
    assert lines[0] == "search: 200 of 600 calls, 01:20 to go"  # 150 in 30 s


def test_what_is_soon_done_leaves_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    told = listen(monkeypatch)
    with progress.bar(7, "refine", "calls", progress=True) as shown:
        shown.update(7)
    assert not told.getvalue()


def test_a_bar_on_a_terminal_and_nothing_where_none_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    told = listen(monkeypatch)
    told.terminal = True
    with progress.bar(20, "fit", "steps", progress=True, done=5) as shown:
        assert type(shown) is tqdm and not shown.disable and shown.n == 5
        shown.refresh()
    assert "fit" in told.getvalue() and "5/20" in told.getvalue()
    length = len(told.getvalue())
    with progress.bar(20, "fit", "steps", progress=False) as shown:
        shown.update(20)
    assert len(told.getvalue()) == length


def test_one_bar_says_what_happens_through_all_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiling until a stage's first calls come back; checking after its last; what is not made moves the bar too."""
    told = listen(monkeypatch)
    told.terminal = True
    with progress.Course(100, progress=True) as course:
        seen = [(course.shown.desc, course.shown.n)]
        for stage, calls, made in (("searching", 40, (13, 20)), ("refining", 60, (50, 10))):
            course.begin(stage, calls, after="checking" if stage == "refining" else "")
            seen.append((course.shown.desc, course.shown.n))
            for some in made:
                course.update(some)
                seen.append((course.shown.desc, course.shown.n))
        assert course.shown.initial == 7 and course.shown.total == 100  # 7 calls were not made, and count for no pace
        course.begin("going on", 300)
        assert course.shown.total == 400
    assert [(desc.removesuffix(": "), n) for desc, n in seen] == [
        ("compiling", 0), ("compiling", 0), ("searching", 13), ("searching", 33),
        ("compiling", 40), ("refining", 90), ("checking", 100),
    ]  # fmt: skip
    assert "checking" in told.getvalue()


def test_stages_write_no_line_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    told = listen(monkeypatch)
    with progress.Course(7, progress=True) as course:
        course.begin("refining", 7, after="checking")
        course.update(7)
    assert not told.getvalue()
