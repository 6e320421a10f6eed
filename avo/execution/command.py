"""External programs as simulators: any language, any compiler, no binding.

`from_command` runs a program once for each theta, in a working folder of its own,

    theta, seed, inputs  ->  arguments, environment, files  ->  the program  ->  a file, stdout among them  ->  x

No shell takes part: nothing needs quoting, and nothing can become another command. The folder is removed after the
call, however it ends.
"""

import hashlib
import json
import math
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from jaxtyping import ArrayLike

from avo.alerts import warn
from avo.checks import ArgumentError, did_you_mean, flag, positive, takes
from avo.data.reading import read
from avo.execution.chunks import real
from avo.execution.failures import CallFailed
from avo.execution.host import HostSimulator
from avo.execution.processes import run_program
from avo.execution.templates import BRACES, Field, Template, every_template, filled_in, planted

SEEDS = 2**31 - 1  # a program's seed is below: C, Fortran, R and Julia all take such
LAST_LINES, LAST_BYTES = 10, 4000  # of stderr, in messages
STDOUT, STDERR = "stdout", "stderr"  # files of the folder that hold what the program writes there
TABLES = (".npy", ".npz", ".csv", ".csv.gz")  # endings of files that are no mere text
OWN = ("seed", "input")  # fields that are no parameters


class _Failed(Exception):
    """Why a call failed, for the middle of a sentence, and which kind of failure it is."""

    def __init__(self, why: str, kind: str = "exit status") -> None:
        super().__init__(why)
        self.kind = kind


@dataclass(frozen=True, eq=False)
class Command:
    """A program, as a function of a generator, theta (d,) and known conditions; made by `from_command`.

    Args:
        program: its path.
        args: its arguments.
        files: what is written into its folder, by name: a template, or a tree that becomes JSON.
        env: what is added to the environment.
        read: the file that holds x, or a function of the folder.
        timeout: seconds that a call may take; None: any number.
        keep: whether the folder of a call that failed stays.
        name: the words that it was made of, for messages and the identity of a run.
        home: the folder in which it was made.
        names: the parameters, in the order of theta's columns; None: not known yet.
        x_shape: shape of one observation; None: not known yet.
        whole: names of parameters that are whole numbers, and are written without a decimal point.
    """

    program: str
    args: list[Template]
    files: dict[str, Any]
    env: dict[str, Template]
    read: str | Callable[[Path], ArrayLike]
    timeout: float | None
    keep: bool
    name: str
    home: Path
    names: tuple[str, ...] | None = None
    x_shape: tuple[int, ...] | None = None
    whole: frozenset[str] = frozenset()

    def __call__(self, rng: np.random.Generator, theta: np.ndarray, inputs: np.ndarray | None = None) -> np.ndarray:
        """Run the program once.

        Raises:
            CallFailed: if it cannot be run, fails, takes too long, or leaves no numbers.
        """
        values = self._values(theta, int(rng.integers(SEEDS)), inputs)
        folder, kept = Path(tempfile.mkdtemp(prefix="avo-")), False
        try:
            self._write(folder, values)
            self._run(folder, values)
            return self._x(folder)
        except _Failed as error:
            kept = self.keep
            raise CallFailed(self._told(str(error), folder, values), error.kind) from error.__cause__
        finally:
            if not kept:
                shutil.rmtree(folder, ignore_errors=True)

    def bound(
        self, names: Sequence[str], c_shape: tuple[int, ...] | None, x_shape: tuple[int, ...] | None,
        whole: frozenset[str] = frozenset(),
    ) -> "Command":  # fmt: skip
        """Take the names of a space, the shapes of its conditions (None: there are none) and observations, its counts.

        Raises:
            ValueError: if a template names what there is not, or the names were given otherwise.
        """
        names = tuple(names)
        if self.names not in (None, names):
            raise ValueError(
                f"names of from_command must be those of theta's columns, {', '.join(names)}; got "
                f"{', '.join(self.names or ())}. Leave them out: the space says them."
            )
        self._check_names(names)
        self._check_inputs(c_shape)
        return replace(self, names=names, x_shape=x_shape, whole=whole)

    def _fields(self) -> list[tuple[Template, Field]]:
        every = every_template([self.args, self.env, self.files])
        return [(template, field) for template in every for field in template.fields]

    def _check_names(self, names: tuple[str, ...]) -> None:
        """Refuse fields that stand for nothing; warn of parameters for which no field stands."""
        for word in set(names) & set(OWN):
            raise ValueError(f"a parameter called {word} leaves no name for the {word} of a call; rename it.")
        for template, field in self._fields():
            if field.name not in (*names, *OWN):
                there = ", ".join(f"{{{name}}}" for name in (*names, *OWN))
                raise ValueError(
                    f"{template.where} must name parameters; got {field}, and there are {there}."
                    f"{did_you_mean(field.name, names)} {BRACES}"
                )
        used = {field.name for _, field in self._fields()}
        if unused := [name for name in names if name not in used]:
            warn(
                f"from_command never tells the program {', '.join(unused)}: no template has a field {{{unused[0]}}}.",
            )

    def _check_inputs(self, c_shape: tuple[int, ...] | None) -> None:
        """Refuse fields of conditions that there are not, and conditions that no field names."""
        found = [(template, field) for template, field in self._fields() if field.name == "input"]
        if c_shape is not None and not found:
            raise ValueError(
                "inputs were given, and no template of from_command has a field {input}, or {input[0]} for one of "
                "several; add it, or leave inputs= out."
            )
        for template, field in found:
            if c_shape is None:
                raise ArgumentError(
                    f"{template.where} has a field {field}, which needs known conditions; give inputs=."
                )
            inside = len(field.entry) == len(c_shape) and all(i < n for i, n in zip(field.entry, c_shape, strict=True))
            if not inside:
                last = "{input" + "".join(f"[{n - 1}]" for n in c_shape) + "}"
                raise ValueError(
                    f"{template.where} must name one number of inputs, whose rows have shape {c_shape}: the last is "
                    f"{last}; got {field}."
                )

    def _values(self, theta: np.ndarray, seed: int, inputs: np.ndarray | None) -> dict[str, Any]:
        """Say what the fields stand for."""
        names = self.names
        if names is None:
            if used := sorted({str(field) for _, field in self._fields() if field.name not in OWN}):
                raise ArgumentError(
                    f"from_command has fields {', '.join(used)}, and nobody said which columns of theta these are. "
                    "avo.fit and avo.check take the names from the space; else give from_command(..., "
                    "names=space.names)."
                )
            names = tuple(f"theta[{i}]" for i in range(len(theta)))
        if len(theta) != len(names):
            raise ArgumentError(f"theta must have a column for each of {', '.join(names)}; got {len(theta)}.")
        if inputs is None:
            self._check_inputs(None)
        values = dict(zip(names, theta.tolist(), strict=True))
        values |= {name: int(values[name]) for name in self.whole}
        return {**values, "seed": seed, "input": inputs}

    def _write(self, folder: Path, values: Mapping[str, Any]) -> None:
        for name, content in self.files.items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            text = content.text(values) if isinstance(content, Template) else json.dumps(filled_in(content, values))
            file.write_text(text, encoding="utf-8")

    def _command(self, values: Mapping[str, Any]) -> list[str]:
        return [self.program, *(template.text(values) for template in self.args)]

    def _run(self, folder: Path, values: Mapping[str, Any]) -> None:
        env = os.environ | {name: template.text(values) for name, template in self.env.items()}
        try:
            code = run_program(
                self._command(values), folder, env, self.timeout, out=folder / STDOUT, err=folder / STDERR
            )
        except subprocess.TimeoutExpired:
            why = f"it had not ended after {self.timeout:g} s, its timeout, and was stopped"
            raise _Failed(why, "timeout") from None
        except (OSError, ValueError) as error:
            raise _Failed(f"it could not be started: {error}") from error
        if code < 0:
            raise _Failed(f"it was ended by signal {-code}, {signal.strsignal(-code)}")
        if code:
            raise _Failed(f"its return code was {code}")

    def _x(self, folder: Path) -> np.ndarray:
        """Read what the program left."""
        if callable(self.read):
            try:
                return real(self.read(folder))
            except Exception as error:
                raise _Failed(f"read= raised {type(error).__name__}: {error}", "exception") from error
        file = folder / self.read
        if not file.is_file():
            found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
            raise _Failed(f"it left no file {self.read} (read=), but {', '.join(found)}", "wrong shape")
        try:
            table = self.read.lower().endswith(TABLES)
            x = real(self._table(file)) if table else numbers(file.read_text("utf-8", "replace"))
        except (ValueError, OSError, ImportError) as error:
            raise _Failed(f"{self.read} (read=) cannot be read: {error}", "wrong shape") from error
        return _in_shape(x, self.x_shape)

    def _table(self, file: Path) -> np.ndarray:
        """Read a table as programs write them, with decimal points."""
        text = self.read.lower().endswith((".csv", ".csv.gz")) if isinstance(self.read, str) else False
        return read(file, decimal="." if text else None)

    def _told(self, why: str, folder: Path, values: Mapping[str, Any]) -> str:
        """Say which call failed, and why, so that it can be repeated in a terminal."""
        env = [f"{name}={shlex.quote(template.text(values))}" for name, template in self.env.items()]
        given = ", ".join(f"{name}={value!r}" for name, value in values.items() if name != "input")
        if (c := values["input"]) is not None:
            given += f", input={np.asarray(c).tolist()}"
        said = _last_lines(folder / STDERR)
        elsewhere = [word for word in self._command(values)[1:] if not word.startswith("/") and self._at_home(word)]
        return "\n".join([
            f"the command failed at {given}: {why}.",
            f"command: {' '.join([*env, shlex.join(self._command(values))])}",
            "stderr: " + ("\n  ".join(["", *said]) if said else "nothing"),
            *(f"{word} lies in {self.home}, not in the folder of the call: pass Path({word!r})." for word in elsewhere),
            f"its folder: {folder}" if self.keep else "its folder was removed; from_command(..., keep=True) keeps it.",
        ])  # fmt: skip

    def _at_home(self, word: str) -> bool:
        try:
            return (self.home / word).is_file() and word not in self.files
        except (OSError, ValueError):  # no name of a file
            return False


def _last_lines(file: Path) -> list[str]:
    """Read the end of a text that may be long; of none where the program removed it."""
    if not file.is_file():
        return []
    with file.open("rb") as text:
        text.seek(max(file.stat().st_size - LAST_BYTES, 0))
        lines = text.read().decode("utf-8", "replace").split("\n")
    return [line for line in lines if line.strip()][-LAST_LINES:]


def numbers(text: str) -> np.ndarray:
    """Read the numbers of a text, apart by white space or commas; R's NA is NaN.

    Raises:
        ValueError: if there are none, or there is anything else.

    Example:
        >>> numbers("1.5, 2 -3e-4").tolist()
        [1.5, 2.0, -0.0003]
    """
    words = text.replace(",", " ").split()
    if not words:
        raise ValueError("it is empty; expected numbers")
    x = np.empty(len(words))
    for i, word in enumerate(words):
        try:
            x[i] = math.nan if word == "NA" else float(word)
        except ValueError:
            raise ValueError(f"expected numbers, apart by white space or commas; word {i + 1} is {word!r}") from None
    return x


def _in_shape(x: np.ndarray, x_shape: tuple[int, ...] | None) -> np.ndarray:
    """Give what was read the shape of an observation, where it differs by axes of length one or is a row of numbers."""
    longer = lambda shape: tuple(n for n in shape if n != 1)  # noqa: E731
    if x_shape is not None and x.size == math.prod(x_shape) and (x.ndim == 1 or longer(x.shape) == longer(x_shape)):
        return x.reshape(x_shape)
    return x.reshape(longer(x.shape))


def bound(
    simulate: HostSimulator, names: Sequence[str], c_shape: tuple[int, ...] | None, x_shape: tuple[int, ...] | None,
    whole: frozenset[str] = frozenset(),
) -> HostSimulator:  # fmt: skip
    """Tell a command what it cannot know of a fit; other simulators need nothing."""
    return (
        replace(simulate, fn=simulate.fn.bound(names, c_shape, x_shape, whole))
        if isinstance(simulate.fn, Command)
        else simulate
    )


# --- what a user gives -----------------------------------------------------------------------------------------------


def from_command(
    args: Sequence[str | Path],
    *,
    files: Mapping[str, Any] | None = None,
    read: str | Callable[[Path], ArrayLike] | None = None,
    env: Mapping[str, str | Path] | None = None,
    timeout: float | None = None,
    names: Sequence[str] | None = None,
    keep: bool = False,
) -> HostSimulator:
    """Make a simulator of an external program, which is run once for each theta.

    Parameters reach it by templates, strings with fields: `{rate}` is the parameter rate of the space, `{seed}` the
    call's seed, a whole number from 0 to 2^31 - 2 that depends on the key and the row alone, `{input}` its known
    condition, `{input[0]}` one of several. Numbers are written so that they read back as the same double, or by a
    format, `{rate:.3f}`; `{{` and `}}` are braces.

    Args:
        args: the program and its arguments. The program is found on the PATH or, where its name has a slash, from the
            present folder; an argument is a template, or the `Path` of a file that is there, passed on as absolute.
        files: what is written into the folder before a call, by name: a string is a template; a `Path` a file that
            holds a template, read now; a dict or list becomes JSON, in which a string that is one field, such as
            "{rate}", becomes a number.
        read: where x is: None or "stdout", what the program prints; the name of a file that it writes; or a function of
            the folder, a `Path`, to an array. `.npy`, `.npz` and `.csv` are read by `avo.data.read`, other files
            and stdout as numbers apart by white space or commas.
        env: templates that are added to the environment, by name.
        timeout: seconds that a call may take; then the program and all that it started are ended. None: any number.
        names: names of theta's columns, to call the simulator yourself; `avo.fit` takes them from the space.
        keep: whether the folder of a call that failed stays; the message says where.

    Returns:
        A simulator for `avo.fit`. Each call runs in a temporary folder of its own, which also holds `stdout` and
        `stderr` and is removed afterwards. A call fails where the return code is not 0, the time is over, or the output
        cannot be read; `CallFailed` says at which parameters, and what stderr ended with.

    Raises:
        ValueError: if an argument is not as described; `avo.fit` raises it too, before any call, for a field that names
            no parameter.
        FileNotFoundError: if there is no such program, or no such file.

    Example:
        >>> import jax
        >>> simulate = from_command(["/bin/sh", "-c", "echo $0 $1", "{rate}", "{shape}"], names=["rate", "shape"])
        >>> simulate(jax.random.key(1), np.array([[0.1, 2.0], [0.3, 1e-7]])).tolist()
        [[0.1, 2.0], [0.3, 1e-07]]
    """
    if os.name != "posix":
        raise OSError("from_command needs Linux or macOS, whose processes end in groups.")
    program, rest = _arguments(args)
    written = _files(files)
    added = _environment(env)
    words = [read if isinstance(read, str) else getattr(read, "__qualname__", None), written, added]
    identity = hashlib.sha256(repr(words).encode()).hexdigest()[:8]
    command = Command(
        program=program,
        args=rest,
        files=written,
        env=added,
        read=_reader(read),
        timeout=None if timeout is None else positive("timeout", timeout, ", in seconds, or None"),
        keep=flag("keep", keep),
        name=f"{shlex.join(map(str, args))} [{identity}]",
        home=Path.cwd(),
    )
    if names is not None:
        command = replace(command, names=_names(names))
        command._check_names(command.names or ())
    return HostSimulator(command, batched=False)


def _arguments(args: Any) -> tuple[str, list[Template]]:
    """Find the program, and read its arguments."""
    if isinstance(args, (str, Path)) or not isinstance(args, Sequence) or not args:
        raise ValueError(
            'args must be a list, the program and its arguments, such as ["./queue", "{rate}", "--seed", "{seed}"]; '
            f"got {args!r}. No shell takes part."
        )
    for i, word in enumerate(args):
        if not isinstance(word, (str, Path)):
            raise ValueError(f"args[{i}] must be a string or a Path; got {word!r}. Write numbers as strings.")
    given = str(args[0])
    path = Path(given).absolute() if "/" in given or isinstance(args[0], Path) else None
    program = shutil.which(given if path is None else path)
    if program is None:
        if path is not None and path.is_file():
            raise ValueError(f"args[0] must be a program; {path} may not be executed. Set its mode: chmod +x {path}")
        where = "on the PATH. A program of this folder begins with ./" if path is None else f"at {path}."
        raise FileNotFoundError(f"args[0] must be a program; there is no {given} {where}")
    return str(program), [_word(f"args[{i}]", word) for i, word in enumerate(args) if i]


def _word(where: str, word: str | Path) -> Template:
    """Take a string as a template, a path as a file that is there."""
    if isinstance(word, str):
        return Template.of(where, word)
    if not word.exists():
        raise FileNotFoundError(
            f"{where} must be the path of a file that is there; {word.absolute()} is not. A file that the program "
            "makes in its own folder is named by a string."
        )
    return Template(where, (str(word.absolute()),))


def _files(files: Any) -> dict[str, Any]:
    """Read what is to be written."""
    if files is not None and not isinstance(files, Mapping):
        raise ValueError(
            f'files must map names to their content, such as {{"in.txt": "rate {{rate}}"}}; got {files!r}.'
        )
    written: dict[str, Any] = {}
    for name, content in (files or {}).items():
        where = f"files[{name!r}]"
        _inside("files", name)
        if isinstance(content, (Mapping, list, tuple)):
            try:
                json.dumps(content)
            except (TypeError, ValueError) as error:
                raise ValueError(f"{where} must be what JSON can hold: {error}.") from error
            written[name] = planted(where, content)
        elif isinstance(content, Path):
            if not content.is_file():
                raise FileNotFoundError(
                    f"{where} must be the path of a file that is there; {content.absolute()} is not."
                )
            try:
                written[name] = Template.of(where, content.read_text("utf-8"))
            except UnicodeDecodeError as error:
                raise ValueError(f"{where} must be text, UTF-8; {content} is not. Pass its Path in args=.") from error
        elif isinstance(content, str):
            written[name] = Template.of(where, content)
        else:
            raise ValueError(f"{where} must be a template, its Path, or a dict or list for JSON; got {content!r}.")
    return written


def _inside(where: str, name: Any) -> str:
    """Check the name of a file of the folder."""
    path = PurePath(name) if isinstance(name, str) else PurePath()
    if not path.parts or path.is_absolute() or ".." in path.parts or "\0" in str(name):
        raise ValueError(f"{where} must name a file inside the working folder of the call; got {name!r}.")
    if where == "files" and name in (STDOUT, STDERR):
        raise ValueError(f"files must leave the name {name} to what the program writes there; choose another.")
    return str(name)


def _environment(env: Any) -> dict[str, Template]:
    if env is not None and not isinstance(env, Mapping):
        raise ValueError(f'env must map names to templates, such as {{"RATE": "{{rate}}"}}; got {env!r}.')
    for name, word in (env or {}).items():
        if not isinstance(name, str) or not name or "=" in name:
            raise ValueError(f"env must have names without '='; got {name!r}.")
        if not isinstance(word, (str, Path)):
            raise ValueError(f"env[{name!r}] must be a string or a Path; got {word!r}. Write numbers as strings.")
    return {name: _word(f"env[{name!r}]", word) for name, word in (env or {}).items()}


def _reader(reader: Any) -> Any:
    if reader is None:
        return STDOUT
    if callable(reader) and takes(reader, 1):
        return reader
    if not isinstance(reader, str):
        raise ValueError(
            f'read must be "stdout", the name of a file, or a function of the folder, fn(folder) -> x; got {reader!r}.'
        )
    return _inside("read", reader)


def _names(names: Any) -> tuple[str, ...]:
    given = tuple(names) if isinstance(names, Sequence) and not isinstance(names, str) else ()
    if not given or not all(isinstance(name, str) for name in given) or len(set(given)) < len(given):
        raise ValueError(f"names must be those of theta's columns, such as space.names, each once; got {names!r}.")
    return given
