"""`avo bench`: read its words, run the suite, write its report into a folder.

OUT holds cells.jsonl (a line per finished cell), machine.json, and after a run or a report

    table.md    the tables and claims
    table.csv   a line per task, method and budget
    curves.png  error over the floor against calls
    heat-B.png  all tasks by all methods at B calls
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from avo.benchmarks.suite import pictures, summary, tables
from avo.benchmarks.suite import run as suite
from avo.benchmarks.suite.methods import METHODS, VARIANTS
from avo.benchmarks.suite.tasks import BUDGETS, SIX, TASKS, get
from avo.benchmarks.suite.tasks import VARIANTS as TASK_VARIANTS
from avo.checks import some_of
from avo.folder import read_json, write_bytes

DEFAULT = ("mle", "avo")
RIVAL_BUDGETS = (10_000, 100_000)
# For the calls that twice the floor takes; the slower rivals would need days
BETWEEN, BETWEEN_METHODS = (1000, 2000, 5000, 20_000, 50_000), ("avo", "cma", "moments")
# three minutes on two cores
QUICK = {"tasks": ("poisson", "linear5", "epem"), "methods": ("mle", "avo", "avo-alone", "cma", "de", "moments")}
QUICK_BUDGETS, QUICK_SEEDS, SEEDS = (10_000,), 3, 10
START, END = "<!-- results -->", "<!-- end of results -->"


def names(text: str | None, known: Sequence[str], option: str, more: Sequence[str] = ()) -> tuple[str, ...]:
    """Read names between commas; None: all that are `known`, but none of `more`.

    Raises:
        ValueError: if one is unknown, or none is given.
    """
    if text is None:
        return tuple(known)
    found = some_of(option, dict.fromkeys(word.strip() for word in text.split(",") if word.strip()), [*known, *more])
    if not found:
        raise ValueError(f"{option} must name at least one of {', '.join(known)}; got {text!r}.")
    return found


def seeds_of(text: str) -> tuple[int, ...]:
    """Read `10` as 0 .. 9 and `5:10` as 5 .. 9.

    Raises:
        ValueError: if it is neither, or holds no seed.

    Example:
        >>> seeds_of("3"), seeds_of("5:7")
        ((0, 1, 2), (5, 6))
    """
    match = re.fullmatch(r"(?:(\d+):)?(\d+)", text.strip())
    found = tuple(range(int(match[1] or 0), int(match[2]))) if match else ()
    if not found:
        raise ValueError(f"--seeds must be a number above 0, or FIRST:END with FIRST below END; got {text!r}.")
    return found


def budgets_of(text: str | None, default: Sequence[int] = BUDGETS) -> tuple[int, ...]:
    """Read numbers of calls between commas, `1e4,100000`; None: the default.

    Raises:
        ValueError: if one is no whole number above zero.

    Example:
        >>> budgets_of("1e4, 100000")
        (10000, 100000)
    """
    if text is None:
        return tuple(default)
    try:
        values = [float(word) for word in text.split(",")]
    except ValueError:
        values = []
    if not values or not all(0 < value < 1e12 and value == int(value) for value in values):
        raise ValueError(f"--budget must be whole numbers of calls above 0, e.g. 1e4,1e5; got {text!r}.")
    return tuple(dict.fromkeys(int(value) for value in values))


def studies(
    tasks: str | None, methods: str | None, budget: str | None, quick: bool
) -> list[tuple[tuple[str, ...], tuple[str, ...], tuple[int, ...]]]:
    """Choose (tasks, methods, budgets) to run, one after the other.

    Where nothing else is said avo with default settings runs on all tasks and budgets; everything else on six tasks
    with 10^4 and 10^5 calls, and three methods there with fewer calls and between these as well.
    """
    chosen = (
        names(tasks, tuple(TASKS), "--tasks", tuple(TASK_VARIANTS)),
        names(methods, tuple(METHODS), "--methods", tuple(VARIANTS)),
    )
    calls = budgets_of(budget)
    if quick:
        return [(
            chosen[0] if tasks else QUICK["tasks"], chosen[1] if methods else QUICK["methods"],
            calls if budget else QUICK_BUDGETS,
        )]  # fmt: skip
    if methods:
        return [(*chosen, calls)]
    six = chosen[0] if tasks else SIX
    rest = tuple(name for name in METHODS if name not in DEFAULT)
    found = [(chosen[0], DEFAULT, calls), (six, rest, calls if budget else RIVAL_BUDGETS)]
    return found if budget else [*found, (six, BETWEEN_METHODS, BETWEEN)]


def run(
    out: Path, *, tasks: str | None = None, methods: str | None = None, seeds: str | None = None,
    budget: str | None = None, jobs: int | None = None, limit: float = suite.LIMIT, quick: bool = False,
    progress: bool = True,
) -> str:  # fmt: skip
    """Run what is missing, and report: the words of `avo bench`.

    Raises:
        ValueError: if a word is wrong; says what is expected.
        FileExistsError: if OUT is a file.
    """
    chosen = studies(tasks, methods, budget, quick)
    each = seeds_of(seeds or str(QUICK_SEEDS if quick else SEEDS))
    _folder(out, "--out")
    groups = list(dict.fromkeys(group for study in chosen for group in suite.plan(*study, each)))
    if not groups:
        lack = ", ".join(name for name in TASKS if not get(name).has_likelihood)
        raise ValueError(f"--methods mle needs tasks with a likelihood, which {lack} lack; name others.")
    suite.run_groups(out, groups, jobs or (2 if quick else 1), limit, progress)
    return report(out)


def _folder(out: Path, argument: str) -> None:
    """Raise FileExistsError where a folder, or one above it, is a file."""
    for place in (out, *out.parents):
        if place.exists() and not place.is_dir():
            raise FileExistsError(f"{argument}: {place} is a file; choose a folder.")


def report(out: Path, readme: Path | None = None) -> str:
    """Write the report of the finished cells into their folder, and return its text.

    Raises:
        FileExistsError: if the folder is a file.
        FileNotFoundError: if the folder holds no cells, or `readme` is missing.
        ValueError: if `readme` has no section to replace.
    """
    _folder(out, "report OUT")
    before, after = ("", "") if readme is None else _around(readme)
    rows = suite.stored(out / suite.CELLS)
    if not rows:
        raise FileNotFoundError(f"{out} holds no finished cells ({suite.CELLS}); run avo bench --out {out} first.")
    found, text = summary.lines(rows), tables.markdown(rows)
    machine = read_json(out / suite.MACHINE) if (out / suite.MACHINE).exists() else {}
    text += "\n\n" + _machine(machine) if machine else ""
    write_bytes(out / "table.md", (text + "\n").encode())
    write_bytes(out / "table.csv", tables.comma_separated(found).encode())
    budgets = sorted({s.budget for s in found if s.budget})
    if budgets:
        pictures.curves(found).savefig(out / "curves.png", dpi=110)
    for calls in budgets:
        pictures.heat_map(found, calls).savefig(out / f"heat-{calls}.png", dpi=110)
    if readme is not None:
        write_bytes(readme, f"{before}{START}\n\n{text}\n\n{END}{after}".encode())
    return text


def _machine(words: dict[str, Any]) -> str:
    return "Machine and versions: " + ", ".join(f"{name} {value}" for name, value in words.items()) + "."


def _around(readme: Path) -> tuple[str, str]:
    """Read what stands before and after the marks, between which the results go."""
    if not readme.is_file():
        raise FileNotFoundError(f"--readme: there is no file {readme}; give one that holds {START} and {END}.")
    try:
        before, start, rest = readme.read_text(encoding="utf-8").partition(START)
    except UnicodeDecodeError as error:
        raise ValueError(f"--readme: {readme} is no text in UTF-8; give one that holds {START} and {END}.") from error
    _, end, after = rest.partition(END)
    if not (start and end):
        raise ValueError(f"--readme: {readme} must hold the lines {START} and {END}; the results go between them.")
    return before, after
