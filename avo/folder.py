"""The run's folder: refused to any other run, continued to the same bits, and its files never half-written.

    fit.json          what the run is: seed, settings, space, hash of the data; a run that is continued must be the same
    calls.sqlite      all calls of a simulator outside JAX (avo/execution/store.py)
    checkpoint.npz    how far it has come; gone when it is done
    result.json       the result in words; arrays.npz: its arrays, of a run that was continued arrays-CALLS.npz

The run that writes into a folder holds a lock on it, which the system takes back when the process ends, however it
ends. Calls and checkpoint carry the run's identity, a hash of what fit.json says: those of another run are never taken.

Arrays are in `.npz`, words in JSON; there is no pickle. Everything is written to a temporary name beside its place and
renamed, which either happens or does not. Words carry a number of their format, the version of avo that wrote them, and
a checksum; arrays are read by the words beside them, which hold theirs. So a file that was damaged, edited or exchanged
is refused, whatever it says.
"""

import hashlib
import io
import json
import os
import re
import shlex
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from avo import __version__, checks
from avo.alerts import warn

try:
    import fcntl
except ImportError:  # Windows: two runs in one folder are then told apart by fit.json alone
    fcntl = None

FORMAT = 3  # of all files that avo reads again; a change that an older version would misread makes it the next


ARRAYS = "arrays.npz"  # of a result; a run that was continued has arrays-CALLS.npz
INFLATED = 2000  # times as large as its file an archive may be; compression makes at most 1032 bytes of one


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def writable(name: str, path: Path) -> Path:
    """Refuse a file that cannot be written, before the work for it is done; its folder is made.

    Raises:
        ValueError: if it cannot.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            return path
    except OSError as error:
        raise ValueError(
            f"{name} must be a file that can be written; {path} cannot: {error.strerror}. Choose another folder."
        ) from error


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write plain values as readable JSON."""
    write_bytes(path, (json.dumps(values, indent=2) + "\n").encode())


def write_arrays(path: Path, arrays: dict[str, Any]) -> str:
    """Write named arrays as one `.npz`, and give the checksum of the file."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{name: np.asarray(a) for name, a in arrays.items()})  # pyright: ignore[reportArgumentType]
    write_bytes(path, buffer.getvalue())
    return hashlib.sha256(buffer.getvalue()).hexdigest()


def unfinished(folder: Path) -> FileNotFoundError | None:
    """Make the error of a folder whose run was begun and is not finished; None of another."""
    if not (folder / "fit.json").is_file() or (folder / "result.json").is_file():
        return None
    return FileNotFoundError(
        f"{folder} holds a run that was begun and is not finished; unless it still runs, continue it: the same command "
        f"with --resume --out {shlex.quote(str(folder))}, or avo.fit(..., out={str(folder)!r}, resume=True)."
    )


def damaged(path: Path) -> ValueError:
    """Make the error of a file that does not hold what was written."""
    return ValueError(
        f"{path} is damaged, or was edited; delete it or its folder to start anew, or restore it from a copy."
    )


def read_json(path: Path) -> dict[str, Any]:
    """Read what `write_json` wrote; ValueError if it is damaged."""
    try:
        found = json.loads(path.read_text())
    except ValueError as error:
        raise damaged(path) from error
    if not isinstance(found, dict):
        raise damaged(path)
    return found


def read_arrays(path: Path, checksum: str | None = None) -> dict[str, np.ndarray]:
    """Read what `write_arrays` wrote; ValueError if it is damaged, or not what the checksum is of."""
    try:
        content = path.read_bytes()
        if checksum is not None and hashlib.sha256(content).hexdigest() != checksum:
            raise damaged(path)
        with zipfile.ZipFile(io.BytesIO(content)) as archive:  # looked at before memory is taken
            if sum(entry.file_size for entry in archive.infolist()) > INFLATED * len(content) + 2**20:
                raise damaged(path)
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            return dict(archive)
    except (ValueError, TypeError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise (error if isinstance(error, FileNotFoundError) else damaged(path)) from error


def stamped(values: dict[str, Any]) -> dict[str, Any]:
    """Put format, version and a checksum beside the words of a file that avo reads again."""
    words = {"format": FORMAT, "avo": __version__, **values}
    return words | {"checksum": _checksum(words)}


def _checksum(words: dict[str, Any]) -> str:
    plain = {name: word for name, word in words.items() if name != "checksum"}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def read_stamped(path: Path, again: str = "fit again") -> dict[str, Any]:
    """Read words that `stamped` marked; `again` is what else to do about those of another format.

    Raises:
        ValueError: if they are damaged, or have a format that this version does not know.
    """
    words = read_json(path)
    if words.get("format") != FORMAT:
        written = f"format {words['format']} by avo {words.get('avo')}" if "format" in words else "no format number"
        raise ValueError(
            f"{path} has {written}; avo {__version__} reads format {FORMAT}. Read it by the version that wrote it, or "
            f"{again}."
        )
    if words.pop("checksum", None) != _checksum(words):
        raise damaged(path)
    return words


def refuse_others(folder: Path, name: str) -> None:
    """Refuse a folder whose `arrays.npz` is not a tree of this name, which a save cut short leaves."""
    path = folder / "arrays.npz"
    try:
        own = not path.exists() or f"{name}.0" in read_arrays(path)
    except ValueError:
        own = False
    if not own:
        raise FileExistsError(f"{folder} already holds another arrays.npz; choose another folder.")


def leaves(name: str, tree: Any) -> dict[str, Any]:
    """Name the array leaves of a tree: name.0, name.1, ..."""
    return {f"{name}.{i}": leaf for i, leaf in enumerate(jax.tree.leaves(eqx.filter(tree, eqx.is_array)))}


def fill(name: str, like: Any, arrays: dict[str, np.ndarray]) -> Any:
    """Put named leaves into a tree of the same structure.

    Raises:
        ValueError: if the number or a shape of the leaves differs.
    """
    dynamic, static = eqx.partition(like, eqx.is_array)
    old, structure = jax.tree.flatten(dynamic)
    new = [arrays[key] for i in range(len(arrays)) if (key := f"{name}.{i}") in arrays]
    if [a.shape for a in old] != [a.shape for a in new]:
        raise ValueError(
            f"the saved {name} has arrays of shape {[a.shape for a in new]}; "
            f"the one to fill has {[a.shape for a in old]}. Pass one made as it was for the fit."
        )
    return eqx.combine(jax.tree.unflatten(structure, [jnp.asarray(a) for a in new]), static)


CHECKPOINT_SECONDS = 20.0
# What says that a folder is taken: of a fit, of a training, of a comparison with latents
TAKEN = ("fit.json", "result.json", "train.json", "trained.json", "comparison.json", "compare.json")


class Folder:
    """The run's folder: refuses to overwrite another run, keeps checkpoints, continues bit for bit.

    Args:
        out: where it is, as the user gave it.
        resume: whether a run that is there may be continued.
        plan: what the run is.
        source: of the simulator, by its hash; None: not known. A change is said, and no reason to refuse.
        budget: in calls, for a run that was given a time; `calls_of` reads it.

    A kind of run that is no fit has names of its own: of the file that claims the folder, of the one that ends it, and
    of the tree whose arrays it holds; the other kinds' are refused.
    """

    claimed, ended, tree = "fit.json", "result.json", "proposal"

    def __init__(
        self, out: str | Path, resume: bool, plan: dict[str, Any], source: str | None = None, budget: int | None = None
    ) -> None:
        self.path, self.plan = checks.folder("out", out), json.loads(json.dumps(plan))
        self.source, self.budget, self.writes = source, budget, True
        self.identity = hashlib.sha256(json.dumps(self.plan, sort_keys=True).encode()).hexdigest()
        self.checkpoint, self.last = self.path / "checkpoint.npz", time.monotonic()
        if self.path.exists() and not self.path.is_dir():
            raise FileExistsError(f"out={str(out)!r} is a file; choose a folder.")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(f"out={str(out)!r} cannot be made ({error.strerror}); choose another folder.") from error
        self.lock = _locked(self.path)
        try:
            self._open(out, resume)
        except BaseException:
            self.close()
            raise

    def _open(self, out: str | Path, resume: bool) -> None:
        """Refuse a folder that holds another run, and say what has changed in one that is continued."""
        known = self.path / self.claimed
        others = [name for name in TAKEN if name not in (self.claimed, self.ended) and (self.path / name).exists()]
        if others:
            raise FileExistsError(f"out={str(out)!r} holds a run of another kind ({others[0]}); choose another folder.")
        self.fresh = not any(path.exists() for path in (known, self.checkpoint, self.calls))
        held = [name for name in (self.claimed, self.ended) if (self.path / name).exists()]
        if not held:
            refuse_others(self.path, self.tree)
        if held == [self.ended] or (held and not resume):
            raise FileExistsError(
                f"out={str(out)!r} already holds a run; choose another folder"
                + (", or continue it: resume=True." if known.exists() else ".")
            )
        if not known.exists():
            return
        before = read_stamped(known)
        changed = [name for name in self.plan if before.get(name) != self.plan[name]]
        if changed:
            raise ValueError(f"out={str(out)!r} holds a run with other {', '.join(changed)}; resume needs the same.")
        if before.get("avo") != __version__:
            warn(
                f"the run in {self.path} was begun by avo {before.get('avo')}; this is {__version__}, whose numbers "
                "may differ.",
            )
        if None not in (self.source, before.get("source")) and before["source"] != self.source:
            warn(
                f"the simulator has changed since the run in {self.path} was begun; what it has done so far is kept. "
                "If x now means something else, start anew in another folder.",
            )

    def claim(self) -> None:
        """Say in the folder what run it holds."""
        if not (self.path / self.claimed).exists():
            write_json(self.path / self.claimed, stamped(self.plan | {"source": self.source, "calls": self.budget}))

    def close(self) -> None:
        """Give up the lock."""
        if self.lock is not None:
            os.close(self.lock)
            self.lock = None

    @property
    def calls(self) -> Path:
        """The file that keeps the calls of a simulator outside JAX."""
        return self.path / "calls.sqlite"

    def free(self) -> None:
        """Leave the folder to another run, unless there was a run in it before this one."""
        if not self.fresh:
            return
        self.clear()
        for path in (self.path / self.claimed, *self.path.glob("calls.sqlite*")):
            path.unlink(missing_ok=True)

    def save(self, arrays: Callable[[], dict[str, Any]], force: bool = False) -> None:
        """Write a checkpoint, of what `arrays()` gives, unless one was written a moment ago.

        Where it cannot be written, the user is told once, and the run goes on.
        """
        if not self.writes or not (force or time.monotonic() - self.last > CHECKPOINT_SECONDS):
            return
        try:
            write_arrays(self.checkpoint, arrays() | {"identity": np.array(self.identity)})
        except OSError as error:
            self.writes = False
            warn(
                f"{self.checkpoint} cannot be written ({error.strerror}); the run goes on, but what it does from here "
                "on is lost if it is stopped.",
            )
        self.last = time.monotonic()

    @property
    def finished(self) -> bool:
        """Whether the folder holds the run's result."""
        return (self.path / self.ended).exists()

    def restore(self) -> dict[str, np.ndarray] | None:
        """Read the last checkpoint; None where there is none.

        Raises:
            ValueError: if it is damaged, or of another run.
        """
        if not self.checkpoint.exists():
            return None
        arrays = read_arrays(self.checkpoint)
        if str(arrays.pop("identity", "")) != self.identity:
            raise ValueError(f"{self.checkpoint} is of another run; choose another folder.")
        return arrays

    def clear(self) -> None:
        """Remove what only a run that is not finished needs, and arrays that no result names."""
        self.checkpoint.unlink(missing_ok=True)
        if self.finished and self.ended == Folder.ended:
            named = arrays_of(self.path, read_stamped(self.path / "result.json"))
            for path in self.path.glob("arrays*.npz"):
                if path != named:
                    path.unlink()


def calls_of(out: str | Path) -> int | None:
    """Read how many calls a run that was begun has, to continue one whose budget was a time."""
    known = checks.folder("out", out) / "fit.json"
    found = read_stamped(known).get("calls") if known.is_file() else None
    return found if isinstance(found, int) else None


def spent_of(out: str | Path) -> int | None:
    """Read how many calls a finished run has made; None where there is no finished run."""
    known = checks.folder("out", out) / "result.json"
    found = read_stamped(known).get("calls") if known.is_file() else None
    return found if isinstance(found, int) else None


def arrays_of(folder: Path, words: dict[str, Any]) -> Path:
    """Find the file of a result's arrays, which its words name where it is not `arrays.npz`.

    Raises:
        ValueError: if they name another file.
    """
    name = words.get("file", ARRAYS)
    if not isinstance(name, str) or not re.fullmatch(r"arrays(-\d+)?\.npz", name):
        raise damaged(folder / "result.json")
    return folder / name


def _locked(folder: Path) -> int | None:
    """Lock a folder; None where the system has no such locks.

    Raises:
        FileExistsError: if a run that goes on holds the lock.
    """
    if fcntl is None:
        return None
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise FileExistsError(
            f"{folder} is in use by a run that goes on; choose another folder, or wait for it."
        ) from error
    except OSError:  # some network file systems
        os.close(handle)
        return None
    return handle


def digest(*arrays: np.ndarray | None) -> str:
    """Name arrays by the hash of their bytes."""
    found = hashlib.sha256()
    for a in arrays:
        if a is not None:
            found.update(np.ascontiguousarray(a).reshape(-1).view(np.uint8).data)
    return found.hexdigest()
