"""The suite: every task by every method, budget and seed, each cell measured once, in a process beside the others.

A cell is one fit: the error of what is judged over the floor, whether it succeeded, whether its 90 % intervals hold the
truth and how wide they are beside those of the maximum likelihood, calls, CPU seconds, peak memory. The cells of one
task, method and budget share a process that runs nothing else, pinned to one core where the system allows it: its first
cell holds the compilation and has the peak memory of a fit alone, later ones that of all before. A process that dies or
takes too long costs the cell that it was at, which is then recorded as failed, and a new one goes on.

Finished cells are lines of OUT/cells.jsonl (suite/cells.py); the same command again measures what is missing.
"""

import json
import os
import platform
import queue
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import stats
from tqdm import tqdm

import avo
from avo.benchmarks.suite import cells
from avo.benchmarks.suite.floors import slopes, unconstrain
from avo.benchmarks.suite.methods import Answer, Simulator, Spent, method_of
from avo.benchmarks.suite.tasks import ALLOWED, ALLOWED_FLOORS, Task, get
from avo.folder import write_json

STUDY, CELLS, MACHINE = "bench", "cells.jsonl", "machine.json"
ABSENT = "not installed"
LEVEL = 0.9  # of the intervals
LIMIT = 1800.0  # seconds for a cell
PACKAGES = ("jax", "numpy", "scipy", "equinox", "optax", "cma", "POT", "pyabc", "sbi", "torch")
_WORK = "from avo.benchmarks.suite.run import work; work()"
_POLL = 1.0  # seconds


class Group(NamedTuple):
    """Cells that share a process."""

    task: str
    method: str
    budget: int
    seeds: tuple[int, ...]

    def cell(self, seed: int) -> dict[str, Any]:
        """Name a cell of the group."""
        return {"study": STUDY, "task": self.task, "method": self.method, "budget": self.budget, "seed": seed}


# --- one cell --------------------------------------------------------------------------------------------------------


def judge(task: Task, answer: Answer, seed: int) -> dict[str, Any]:
    """Compare an answer with the truth: errors in positions, over the floor, success, intervals.

    The interval of a parameter is constrain(u -+ z stderr / |d theta / d u|), or all of its range where stderr is
    infinite, which holds the truth but is no merit: the tables leave it out of the coverage. Its width is given over
    that of the maximum likelihood's, for parameters whose interval is finite.
    """
    truth, floor = task.truth(seed), task.floor(seed)
    low, high = np.array([p.support for p in task.space]).T
    edge = 1e-7 * np.where(np.isfinite(high - low), high - low, 0.0)
    theta = np.clip(answer.theta, low + edge, high - edge)
    error = task.judged(theta) - task.judged(truth)
    allowed = np.maximum(ALLOWED, ALLOWED_FLOORS * floor)
    row = {
        "theta": theta.tolist(),
        "truth": truth.tolist(),
        "error": error.tolist(),
        "floor": floor.tolist(),
        "over": float(np.sqrt(np.mean((error / floor) ** 2))),
        "success": bool((np.abs(error) <= allowed).all()),
    }
    if answer.stderr is None:
        return row
    u, u_true = unconstrain(task.space, theta), unconstrain(task.space, truth)
    sd = answer.stderr / np.abs(slopes(task.space, u))
    known = np.isfinite(sd)
    inside = ~known | (np.abs(u - u_true) <= stats.norm.isf((1 - LEVEL) / 2) * np.where(known, sd, 0.0))
    row |= {"stderr": [float(s) if k else None for s, k in zip(answer.stderr, known, strict=True)]}
    row |= {"covered": inside.tolist()}
    if task.judge is None:  # else the floors are not those of the parameters
        own = floor / (np.exp(u_true) / (1 + np.exp(u_true)) ** 2)
        row["width"] = [float(s / f) for s, f, k in zip(sd, own, known, strict=True) if k]
    return row


def measure(name: str, method: str, budget: int, seed: int) -> dict[str, Any]:
    """Fit one cell; what goes wrong is in the row, never raised."""
    try:
        return _measure(name, method, budget, seed)
    except Exception as error:  # not in the fit: of the task, or what judges the answer
        row = {"calls": None, "cpu": None, "seconds": 0.0}
        return row | {"ended": "failed", "why": _sentence(error), "avo": avo.__version__}


def _measure(name: str, method: str, budget: int, seed: int) -> dict[str, Any]:
    task = get(name)
    x_obs, simulate = task.observe(seed), Simulator(task, budget, seed)
    ended, why, answer = "done", "", None
    began, cpu = time.perf_counter(), time.process_time()
    fit = method_of(method).fit
    try:
        if fit is None:
            answer = Answer(*task.mle(seed))
        else:
            answer = fit(simulate, x_obs, task.space, budget, seed)
    except Spent as error:
        answer, ended, why = simulate.best, "spent", str(error)
    except Exception as error:
        ended, why = "failed", _sentence(error)
    row = {"calls": simulate.calls, "cpu": time.process_time() - cpu, "seconds": time.perf_counter() - began}
    row["peak_mb"] = _peak_mb()
    if answer is not None and np.isfinite(answer.theta).all():
        row |= judge(task, answer, seed)
    elif ended != "failed":
        ended, why = "failed", why or "no answer"
    return row | {"ended": ended, "why": why, "avo": avo.__version__}


def _sentence(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _peak_mb() -> float:
    """Read the peak memory of this process; on Linux that of getrusage holds its parent's as well."""
    own = [line.split()[1] for line in _lines("/proc/self/status") if line.startswith("VmHWM")]
    if own:
        return int(own[0]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def work() -> None:
    """Be the process of a group: read it from stdin, write a row per cell to stdout; other output goes to stderr.

    Stdin stays open as long as the suite runs; a process whose suite was killed ends, too.
    """
    rows = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    group = Group(**json.loads(sys.stdin.readline()))
    threading.Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start()
    for seed in group.seeds:
        row = group.cell(seed) | measure(group.task, group.method, group.budget, seed)
        print(json.dumps(row), file=rows, flush=True)


_KINDS: dict[str, Any] = {"why": str, "success": bool, "covered": list, "stderr": list, "width": list}
_KINDS |= dict.fromkeys(("over", "calls", "cpu", "seconds", "peak_mb"), int | float | None)


def _whole(row: dict[str, Any]) -> bool:
    """Tell whether a row is a cell of the suite, or a method that was not installed, as they are written here."""
    kinds: dict[str, Any] = {"method": str, "ended": str}
    if row.get("ended") != ABSENT:
        kinds |= {"task": str, "budget": int, "seed": int}
    return (
        row["study"] == STUDY
        and all(isinstance(row.get(part), kind) for part, kind in kinds.items())
        and (row["ended"] == ABSENT or row["budget"] >= 0)
        and all(isinstance(row[part], kind) for part, kind in _KINDS.items() if part in row)
        and all(isinstance(v, int | float | None) for part in ("stderr", "width") for v in row.get(part, ()))
        and ("stderr" not in row or len(row["stderr"]) == len(row.get("covered", ())))
    )


def stored(path: Path) -> list[dict[str, Any]]:
    """Read the suite's finished cells and the methods that were not installed; lines of anything else are no cells."""
    return cells.read(path, _whole)


# --- many cells ------------------------------------------------------------------------------------------------------


def plan(tasks: Sequence[str], methods: Sequence[str], budgets: Sequence[int], seeds: Sequence[int]) -> list[Group]:
    """Arrange the cells, small budgets first; the maximum likelihood once, with budget 0, where a task has one."""
    groups = []
    for budget in sorted(budgets):
        for task in tasks:
            for method in methods:
                free = method_of(method).fit is None
                if not free or (budget == min(budgets) and get(task).has_likelihood):
                    groups.append(Group(task, method, 0 if free else budget, tuple(seeds)))
    return groups


def time_left(rows: Sequence[dict[str, Any]], waiting: Sequence[Group], jobs: int) -> float:
    """Estimate the seconds left, from finished cells of the same method and budget, or scaled from those of others."""
    known: dict[tuple[str, int], list[float]] = {}
    for row in rows:
        known.setdefault((row["method"], row["budget"]), []).append(row["seconds"])
    if not known:
        return float("nan")
    means = {key: float(np.mean(seconds)) for key, seconds in known.items()}
    total = 0.0
    for group in waiting:
        own = [(abs(np.log((b + 1) / (group.budget + 1))), s) for (m, b), s in means.items() if m == group.method]
        total += len(group.seeds) * (min(own)[1] if own else float(np.mean(list(means.values()))))
    return total / jobs


class _Run:
    """A running suite: what is finished, what waits, and the bar."""

    def __init__(self, out: Path, groups: Sequence[Group], jobs: int, limit: float, progress: bool) -> None:
        self.path, self.limit, self.jobs = out / CELLS, limit, jobs
        done = {cells.name_of(row) for row in stored(self.path)}
        missing = [g._replace(seeds=tuple(s for s in g.seeds if cells.name_of(g.cell(s)) not in done)) for g in groups]
        self.waiting = [g for g in missing if g.seeds]
        self.rows: list[dict[str, Any]] = []
        self.lock, self.children, self.stopping = threading.Lock(), set[subprocess.Popen](), False
        total, left = sum(len(g.seeds) for g in groups), sum(len(g.seeds) for g in self.waiting)
        self.bar = tqdm(total=total, initial=total - left, unit="cell", disable=None if progress else True,
                        bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt} cells [{elapsed}{postfix}]")  # fmt: skip
        self.cores: queue.Queue[int | None] = queue.Queue()
        able = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [None]
        for i in range(jobs):
            self.cores.put(able[i % len(able)])

    def finished(self, group: Group, row: dict[str, Any]) -> Group:
        """Write a row down, and take its cell off the group."""
        with self.lock:
            cells.append(self.path, row)
            self.rows.append(row)
            rest = group._replace(seeds=tuple(s for s in group.seeds if s != row["seed"]))
            self.waiting = [rest if g[:3] == group[:3] else g for g in self.waiting]
            left = time_left(self.rows, self.waiting, self.jobs)
            self.bar.set_postfix_str(f"left {tqdm.format_interval(left) if left == left else '?'}", refresh=False)
            self.bar.update()
        return rest

    def work_through(self, group: Group) -> None:
        """Measure a group in a process, and in another one where the first dies."""
        core = self.cores.get()
        try:
            while group.seeds and not self.stopping:
                group = self._process(group, core)
        finally:
            self.cores.put(core)

    def _process(self, group: Group, core: int | None) -> Group:
        late, said = threading.Event(), []
        with subprocess.Popen(
            [sys.executable, "-c", _WORK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, env=environment(), start_new_session=True,  # so that Ctrl-C reaches this process only
        ) as child:  # fmt: skip
            assert child.stdin and child.stdout and child.stderr
            with self.lock:
                self.children.add(child)
                if self.stopping:  # since it was begun
                    child.kill()
            if core is not None:
                os.sched_setaffinity(child.pid, {core})
            listener = threading.Thread(target=_keep_last, args=(child.stderr, said), daemon=True)
            listener.start()
            child.stdin.write(json.dumps(group._asdict()) + "\n")
            child.stdin.flush()
            clock = _clock(child, self.limit, late)
            for line in child.stdout:
                clock.cancel()
                group = self.finished(group, json.loads(line))
                clock = _clock(child, self.limit, late)
            code = child.wait()
            clock.cancel()
            listener.join()
        with self.lock:
            self.children.discard(child)
        if not group.seeds or self.stopping:
            return group
        why = f"took more than {self.limit:g} s" if late.is_set() else f"its process ended by {code}: {''.join(said)}"
        row = group.cell(group.seeds[0]) | {"ended": "failed", "why": why[:300], "avo": avo.__version__}
        return self.finished(group, row | {"calls": None, "cpu": None, "seconds": self.limit * late.is_set()})

    def stop(self) -> None:
        """End the processes; the cells that they are at will be measured again."""
        self.stopping = True
        with self.lock:
            for child in self.children:
                child.kill()


def _keep_last(lines: Iterable[str], said: list[str]) -> None:
    """Read all lines, and keep the last that says anything."""
    for line in lines:
        if line.strip():
            said[:] = [line.strip()]


def _clock(child: subprocess.Popen, limit: float, late: threading.Event) -> threading.Timer:
    """Start a clock that kills a process, and remembers that it did."""

    def kill() -> None:
        late.set()
        child.kill()

    clock = threading.Timer(limit, kill)
    clock.daemon = True
    clock.start()
    return clock


def environment() -> dict[str, str]:
    """Make the environment of a process: one thread, and this avo."""
    own = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu"}
    path = [str(Path(avo.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, **own, "PYTHONPATH": os.pathsep.join(path)}


def machine() -> dict[str, str]:
    """Describe the machine and the versions that a run uses."""
    words = {"python": platform.python_version(), "platform": platform.platform(), "cores": str(os.cpu_count())}
    model = [line for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    words["processor"] = model[0].partition(":")[2].strip() if model else platform.processor()
    words["avo"] = avo.__version__
    for package in PACKAGES:
        try:
            words[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            words[package] = "not installed"
    return words | {"date": time.strftime("%Y-%m-%d")}


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def _ended_like_ctrl_c() -> Any:
    """Let SIGTERM raise KeyboardInterrupt, so that processes end with this one; return what it did before.

    None, and nothing changed, outside the main thread, which alone may set it.
    """
    if threading.current_thread() is not threading.main_thread():
        return None
    return signal.signal(signal.SIGTERM, signal.default_int_handler)


def run_groups(out: Path, groups: Sequence[Group], jobs: int = 1, limit: float = LIMIT, progress: bool = True) -> int:
    """Measure the cells that OUT/cells.jsonl does not hold yet.

    Args:
        out: folder of the results.
        groups: what to measure, made by `plan`; methods that are not installed are recorded as such.
        jobs: processes at a time, one core each.
        limit: seconds for a cell.
        progress: show a bar, on a terminal only.

    Returns:
        The number of cells measured.
    """
    known = {cells.name_of(row) for row in stored(out / CELLS)}
    missing = {group.method: method_of(group.method).missing for group in groups}
    absent = {name: packages for name, packages in missing.items() if packages}
    for method, packages in absent.items():
        row = {"study": STUDY, "method": method, "ended": ABSENT, "why": ", ".join(packages)}
        if cells.name_of(row) not in known:
            cells.append(out / CELLS, row)
    running = _Run(out, [group for group in groups if group.method not in absent], jobs, limit, progress)
    if running.waiting:
        write_json(out / MACHINE, machine())
    previous = _ended_like_ctrl_c()
    pool = ThreadPoolExecutor(jobs)
    pending = {pool.submit(running.work_through, group) for group in list(running.waiting)}
    try:
        while pending:
            finished, pending = wait(pending, timeout=_POLL, return_when=FIRST_COMPLETED)
            for one in finished:
                one.result()
    finally:
        running.stop()
        pool.shutdown(cancel_futures=True)
        running.bar.close()
        if previous is not None:
            signal.signal(signal.SIGTERM, previous)
    return len(running.rows)
