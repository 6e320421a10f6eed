"""avo.execution.command: what programs are given and what is read, to the last bit; how their calls fail and end."""

import json
import re
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from fits import TINY_BUDGET, X_OBS, equal, fit

import avo
from avo.execution import processes
from avo.execution.command import SEEDS, numbers
from avo.execution.failures import CallFailed
from avo.execution.simulator import check_simulator
from avo.task import name_of

KEY = jax.random.key(7)
NAMES = ["rate", "shape"]
# Sums, thirds, the least and the largest doubles: none of which has a short decimal
THETA = np.array([[0.1 + 0.2, -1 / 3], [5e-324, 1.7976931348623157e308], [2.0, 123456789.123456789]])


def shell(script: str, *args: str | Path, names: Any = None, **options: Any) -> Any:
    """A shell script as the program; its first argument is $0. Where both parameters are told, it knows their names."""
    told = all(f"{{{name}" in repr((args, options)) for name in NAMES)
    names = NAMES if names is None and told else names or None
    return avo.from_command(["/bin/sh", "-c", script, *args], names=names, **options)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which calls have theirs."""
    folder = tmp_path / "calls"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


# --- what the program is given ---------------------------------------------------------------------------------------

WAYS = {
    "arguments": {"script": "echo $0 $1", "args": ["{rate}", "{shape}"]},
    "within arguments": {"script": "echo ${{0#--rate=}} ${{1#a}}", "args": ["--rate={rate}", "a{shape}"]},
    "environment": {"script": "echo $RATE $SHAPE", "env": {"RATE": "{rate}", "SHAPE": "{shape}"}},
    "a file": {"script": "cat in/put.txt", "files": {"in/put.txt": "{rate}\n{shape}\n"}},
    "JSON": {
        "script": "true",
        "files": {"in.json": {"model": {"theta": ["{rate}", "{shape}"]}, "run": 3}},
        "read": lambda folder: json.loads((folder / "in.json").read_text())["model"]["theta"],
    },
}


@pytest.mark.parametrize("way", WAYS)
def test_theta_reaches_the_program_to_the_last_bit_and_in_order(way: str) -> None:
    options: dict[str, Any] = dict(WAYS[way])
    simulate = shell(options.pop("script"), *options.pop("args", []), **options)
    np.testing.assert_array_equal(simulate(KEY, THETA), THETA)


def test_a_file_may_hold_the_template_and_is_read_once(tmp_path: Path) -> None:
    template = tmp_path / "template.txt"
    template.write_text("{shape} {{x}} {rate}")
    simulate = shell("sed 's/{{x}}/7/' in.txt", files={"in.txt": template}, names=NAMES)
    template.write_text("changed")
    np.testing.assert_array_equal(simulate(KEY, THETA), np.column_stack([THETA[:, 1], [7.0] * 3, THETA[:, 0]]))


def test_json_keeps_what_is_no_field_and_fills_text_in() -> None:
    tree = {"a": ["{rate}", {"b": "run-{seed}", "c": True}], "d": None, "e": "{{x}}", "f": "{rate:.1f}", "g": "{seed}"}
    found: list[Any] = []
    simulate = shell(
        "echo 1", files={"in.json": tree}, read=lambda f: found.append(json.loads((f / "in.json").read_text())) or 1.0
    )
    with pytest.warns(UserWarning, match=r"never tells the program shape: no template has a field \{shape\}\.$"):
        simulate = check(simulate)
    simulate(KEY, THETA[2:])
    (got,) = found
    seed = got["g"]
    assert isinstance(seed, int)
    assert got == {"a": [2.0, {"b": f"run-{seed}", "c": True}], "d": None, "e": "{x}", "f": "2.0", "g": seed}


def test_no_shell_takes_part() -> None:
    words = ["; echo 1", "$HOME", "a  b", "'\"", "*", ""]
    simulate = avo.from_command(
        ["/usr/bin/env", "printf", "%s\\n", *words], read=lambda f: seen.append((f / "stdout").read_text()) or 0.0
    )
    seen: list[str] = []
    simulate(KEY, THETA[:1])
    assert seen == ["\n".join(words) + "\n"]


def test_formats_and_braces() -> None:
    simulate = shell("echo $0 $1", "{rate:.0f}{{}}", "{shape:e}", read=lambda f: len((f / "stdout").read_text()))
    assert simulate(KEY, THETA[2:]).tolist() == [len("2{} 1.234568e+08\n")]


def test_seeds_are_functions_of_key_and_row() -> None:
    simulate = shell("echo $0", "{seed}")
    seeds = simulate(KEY, np.zeros((20, 2)))
    words = [int(word) for word in jax.random.key_data(KEY)]
    assert seeds.tolist() == [np.random.default_rng([*words, i]).integers(2**31 - 1) for i in range(20)]
    assert len(set(seeds)) == 20 and np.all(seeds == np.floor(seeds)) and seeds.min() >= 0 and seeds.max() < SEEDS
    # Whatever theta is, and however many rows there are
    np.testing.assert_array_equal(simulate(KEY, np.ones((3, 1))), seeds[:3])
    assert not set(simulate(jax.random.key(8), np.zeros((5, 2)))) & set(seeds)


def test_a_batch_of_one_is_the_row_of_a_batch() -> None:
    simulate = shell("echo $0 $1 $2", "{rate}", "{shape}", "{seed}")
    np.testing.assert_array_equal(simulate(KEY, THETA[:1]), simulate(KEY, THETA)[:1])


def test_known_conditions_reach_their_row() -> None:
    c = np.array([0.1 + 0.2, 1e-7, -4.0])
    one = shell("echo $0 $1 $2", "{rate}", "{shape}", "{input}")
    np.testing.assert_array_equal(one(KEY, THETA, c), np.column_stack([THETA, c]))
    two = shell("echo $0 $1 $2", "{rate}", "{shape}", "{input[1]}")
    np.testing.assert_array_equal(two(KEY, THETA, np.column_stack([0 * c, c])), np.column_stack([THETA, c]))


def test_a_program_is_found_from_where_it_was_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    program, data = tmp_path / "prog", tmp_path / "data.txt"
    program.write_text("#!/bin/sh\ncat $1\n")
    program.chmod(0o755)
    data.write_text("1.5 2.5")
    simulate = avo.from_command(["./prog", Path("data.txt")])
    monkeypatch.chdir("/")
    assert simulate(KEY, THETA[:1]).tolist() == [[1.5, 2.5]]


# --- what is read ----------------------------------------------------------------------------------------------------


PAIR = avo.Space(rate=avo.Real(), shape=avo.Real())


def check(simulate: Any, x: Any = X_OBS, c: Any = None) -> Any:
    return check_simulator(simulate, PAIR, x, c, 4)


def test_numbers_of_a_text() -> None:
    assert numbers(" 1.5,2\n-3e-4\t,inf\n").tolist() == [1.5, 2.0, -3e-4, np.inf]
    assert np.isnan(numbers("NA nan")).all()
    with pytest.raises(ValueError, match=r"^it is empty; expected numbers$"):
        numbers(" \n")
    with pytest.raises(ValueError, match=r"^expected numbers, apart by white space or commas; word 2 is '\[1\]'$"):
        numbers("1 [1] 2")


@pytest.mark.parametrize(
    ("read", "script", "expected"),
    [
        ("stdout", "echo 1.5, 2.5 3.5", [1.5, 2.5, 3.5]),
        (None, "echo 1.5", 1.5),
        ("out/x.txt", "mkdir out; echo 1.5 2.5 > out/x.txt; echo noise", [1.5, 2.5]),
        ("x.csv", "printf 't,y\\n0.5,1.5\\n2.5,3.5\\n4.5,5.5\\n' > x.csv", [[0.5, 1.5], [2.5, 3.5], [4.5, 5.5]]),
        ("x.csv", "printf 'y\\n0.5\\n1.5\\n' > x.csv", [0.5, 1.5]),
        ("x.npy", 'cp "$0" x.npy', [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]),
        (lambda folder: len(list(folder.iterdir())), "touch a b", 4.0),  # stdout and stderr are there too
    ],
    ids=["stdout", "one number", "text", "table", "column", "npy", "function"],
)  # fmt: skip
def test_reading(read: Any, script: str, expected: Any, tmp_path: Path) -> None:
    np.save(tmp_path / "saved.npy", np.array([[1, 2, 3], [4, 5, 6]]))
    simulate = shell(script, tmp_path / "saved.npy", read=read)
    np.testing.assert_array_equal(simulate(KEY, THETA), [expected] * 3)


@pytest.mark.parametrize(
    ("script", "read", "x_shape"),
    [
        ("echo 1", None, ()),
        ("echo 1", None, (1,)),
        ("echo 1 2 3 4 5 6", None, (3, 2)),
        ("printf '1,2\\n3,4\\n5,6\\n' > x.csv", "x.csv", (3, 2)),
        ("printf '1,2,3,4,5,6\\n' > x.csv", "x.csv", (6,)),
        ("printf '1,2,3,4,5,6\\n' > x.csv", "x.csv", (6, 1)),
    ],
)
def test_x_has_the_shape_of_an_observation(script: str, read: Any, x_shape: tuple[int, ...]) -> None:
    simulate = check(shell(script, "{rate}{shape}", read=read), np.zeros((5, *x_shape)))
    x = simulate(KEY, THETA)
    np.testing.assert_array_equal(x, [np.arange(1.0, 1 + np.prod(x_shape, dtype=int)).reshape(x_shape)] * 3)


def test_what_has_another_shape_is_left_as_it_is() -> None:
    """A table on its side, and numbers too few, are for the fit to refuse."""
    sideways = check(shell("printf '1,2\\n3,4\\n5,6\\n' > x.csv", "{rate}{shape}", read="x.csv"), np.zeros((5, 2, 3)))
    assert sideways(KEY, THETA).shape == (3, 3, 2)
    assert check(shell("echo 1 2", "{rate}{shape}"), np.zeros((5, 3)))(KEY, THETA).shape == (3, 2)


def test_shapes_that_change() -> None:
    with pytest.raises(ValueError, match=r"must return the same shape each time; got \(\), then \(2,\)"):
        shell("test $0 = 2.0 && echo 1 2 || echo 1", "{rate}", "{shape}")(KEY, THETA[1:])


# --- how calls fail and end ------------------------------------------------------------------------------------------

QUICK = 0.3  # seconds of a timeout that is to come
FAILURES = {
    "return code": (
        "echo one >&2; echo two >&2; exit 3",
        {},
        r"its return code was 3\.\ncommand: .*\nstderr: *\n  one\n  two\n",
    ),
    "signal": ("kill -9 $$", {}, r"it was ended by signal 9, Killed.*\.\n.*\nstderr: nothing\n"),
    "timeout": ("sleep 60", {"timeout": QUICK}, r"it had not ended after 0\.3 s, its timeout, and was stopped\.\n"),
    "no numbers": ("echo a 1", {}, r"stdout \(read=\) cannot be read: .*word 1 is 'a'\.\n"),
    "nothing": ("true", {}, r"stdout \(read=\) cannot be read: it is empty; expected numbers\.\n"),
    "no file": ("touch y.csv", {"read": "x.csv"}, r"it left no file x\.csv \(read=\), but stderr, stdout, y\.csv\.\n"),
    "bad table": ("echo 'a,b' > x.csv", {"read": "x.csv"}, r"x\.csv \(read=\) cannot be read: .* must hold numbers"),
    "bad array": ("echo 1 > x.npy", {"read": "x.npy"}, r"x\.npy \(read=\) cannot be read: .*as an array of numbers"),
    "own reader": ("true", {"read": lambda f: 1 / 0}, r"read= raised ZeroDivisionError: division by zero\.\n"),
    "complex": ("true", {"read": lambda f: 1j}, r"read= raised TypeError: x is complex"),
}


@pytest.mark.parametrize("kind", FAILURES)
def test_a_failure_names_theta_seed_command_and_stderr_and_leaves_nothing(kind: str, temporary: Path) -> None:
    script, options, words = FAILURES[kind]
    simulate = shell(script, "{rate}", "{shape}", "{seed}", **options)
    with pytest.raises(CallFailed, match=words) as caught:
        simulate(KEY, THETA[2:])
    said, seed = str(caught.value), int(np.random.default_rng([0, 7, 0]).integers(SEEDS))
    assert said.startswith(f"the command failed at rate=2.0, shape=123456789.12345679, seed={seed}: ")
    assert f"' 2.0 123456789.12345679 {seed}\n" in said.replace(script, script + "'").replace("''", "'")
    assert said.endswith("its folder was removed; from_command(..., keep=True) keeps it.")
    assert list(temporary.iterdir()) == []


def test_the_last_lines_of_stderr_are_told() -> None:
    with pytest.raises(CallFailed) as caught:
        shell("i=0; while [ $i -lt 30 ]; do echo line $i >&2; i=$((i+1)); done; exit 1")(KEY, THETA)
    assert re.findall(r"line (\d+)", str(caught.value).split("stderr:")[1]) == [str(i) for i in range(20, 30)]


def test_the_command_told_can_be_pasted(temporary: Path) -> None:
    with pytest.raises(CallFailed) as caught:
        shell("exit 1", "a b{rate}", "$x", env={"A": "{shape} 'q'"})(KEY, THETA[2:])
    assert """command: A='123456789.12345679 '"'"'q'"'"'' /bin/sh -c 'exit 1' 'a b2.0' '$x'\n""" in str(caught.value)


def test_a_file_that_lies_elsewhere_is_pointed_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.sh").write_text("echo 1")
    with pytest.raises(
        CallFailed, match=rf"model\.sh lies in {tmp_path}, not in the folder of the call: pass Path\('m"
    ):
        avo.from_command(["/bin/sh", "model.sh"])(KEY, THETA)


def test_the_folder_is_kept_on_request_where_a_call_fails(temporary: Path) -> None:
    simulate = shell("echo 4; exit $(cat in.txt)", "{shape}", files={"in.txt": "{rate:.0f}"}, keep=True)
    simulate(KEY, np.zeros((2, 2)))
    assert list(temporary.iterdir()) == []
    with pytest.raises(CallFailed) as caught:
        simulate(KEY, THETA[2:])
    (folder,) = temporary.iterdir()
    assert str(caught.value).endswith(f"its folder: {folder}")
    assert {f.name: f.read_text() for f in folder.iterdir()} == {"in.txt": "2", "stdout": "4\n", "stderr": ""}


def beats(file: Path) -> Callable[[], bool]:
    """Say whether a process that writes a letter every 20 ms is alive."""

    def alive() -> bool:
        size = file.stat().st_size
        assert size
        time.sleep(0.3)
        return file.stat().st_size > size

    return alive


BEATING = '(while :; do printf x >> "$0"; sleep 0.02; done) & sleep 0.1; '


@pytest.mark.parametrize("end", ["sleep 60", "trap '' TERM; sleep 60; sleep 60"], ids=["asked", "killed"])
def test_after_a_timeout_the_child_of_the_child_is_dead(
    end: str, tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "GRACE", 0.2)
    began = time.monotonic()
    with pytest.raises(CallFailed, match="its timeout, and was stopped"):
        shell(BEATING + end, str(tmp_path / "beat"), timeout=1.0)(KEY, THETA)
    assert time.monotonic() - began < 20
    assert not beats(tmp_path / "beat")() and list(temporary.iterdir()) == []


def test_what_a_program_leaves_behind_ends_with_it(tmp_path: Path) -> None:
    began = time.monotonic()
    assert shell(BEATING + "echo 1", str(tmp_path / "beat"))(KEY, THETA[:1]).tolist() == [1.0]
    assert time.monotonic() - began < 20 and not beats(tmp_path / "beat")()


def test_an_interruption_ends_the_program_and_is_not_a_failure(tmp_path: Path, temporary: Path) -> None:
    """Ctrl-C comes once the program runs; also with keep=True nothing stays."""

    def interrupt() -> None:
        while not (tmp_path / "beat").exists():
            time.sleep(0.02)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    waiting = threading.Thread(target=interrupt)
    waiting.start()
    with pytest.raises(KeyboardInterrupt):
        shell(BEATING + "sleep 60", str(tmp_path / "beat"), keep=True)(KEY, THETA)
    waiting.join()
    assert not beats(tmp_path / "beat")() and list(temporary.iterdir()) == []


def test_waiting_without_events_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the system tells no end of a process by an event, which macOS does not."""
    monkeypatch.delattr("os.pidfd_open", raising=False)
    assert shell("echo 1", timeout=20.0)(KEY, THETA[:1]).tolist() == [1.0]
    with pytest.raises(CallFailed, match="its timeout, and was stopped"):
        shell("sleep 60", timeout=QUICK)(KEY, THETA)


def test_a_program_that_is_gone(tmp_path: Path) -> None:
    program = tmp_path / "prog"
    program.write_text("#!/bin/sh\necho 1\n")
    program.chmod(0o755)
    simulate = avo.from_command([program])
    assert simulate(KEY, THETA[:1]).tolist() == [1.0]
    program.unlink()
    with pytest.raises(CallFailed, match=r"it could not be started: .*No such file"):
        simulate(KEY, THETA)


# --- names of theta's columns ----------------------------------------------------------------------------------------


def test_names_come_from_the_space() -> None:
    simulate = check(shell("echo $0 $1", "{shape}", "{rate}"), np.zeros((5, 2)))
    np.testing.assert_array_equal(simulate(KEY, THETA), THETA[:, ::-1])


EACH, ROWS = np.zeros(5), np.zeros((5, 2))  # known conditions, one or two of an observation
WRONG_FIELDS = {
    "another name": (
        {"args": ["--x={rat}"]}, None,
        r"args\[3\] must name parameters; got \{rat\}, and there are \{rate\}, \{shape\}, \{seed\}, \{input\}\. "
        r"Did you mean 'rate'\? Braces that are meant as they are stand double",
    ),
    "in env": ({"env": {"A": "{a:.2f}"}}, None, r"env\['A'\] must name parameters; got \{a:\.2f\}, and there"),
    "in JSON": ({"files": {"a": {"b": ["{c}"]}}}, None, r"files\['a'\]\['b'\]\[0\] must name parameters; got \{c\},"),
    "JSON as text": ({"files": {"a": '{"b": 1}'}}, None, r"files\['a'\] must name .*; JSON is best given as a dict\.$"),
    "other order": (
        {"args": ["{rate}{shape}"], "names": NAMES[::-1]}, None,
        r"names of from_command must be those of theta's columns, rate, shape; got shape, rate\. Leave them out",
    ),
    "no inputs": ({"args": ["{input}"]}, None, r"args\[3\] has a field \{input\}, which needs .*; give inputs=\.$"),
    "inputs for nobody": ({"args": ["{rate}{shape}"]}, EACH, r"^inputs were given, and no template .* \{input\}, or"),
    "all inputs": ({"args": ["{input}"]}, ROWS, r"have shape \(2,\): the last is \{input\[1\]\}; got \{input\}\.$"),
    "one too many": ({"args": ["{input[2]}"]}, ROWS, r"the last is \{input\[1\]\}; got \{input\[2\]\}\.$"),
    "one of one": ({"args": ["{input[0]}"]}, EACH, r"have shape \(\): the last is \{input\}; got \{input\[0\]\}\.$"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG_FIELDS)
@pytest.mark.filterwarnings("ignore:from_command never tells")
def test_wrong_fields_are_refused_before_any_call(case: str) -> None:
    options, c, words = WRONG_FIELDS[case]
    others = {name: value for name, value in options.items() if name != "args"}
    with pytest.raises(ValueError, match=words):
        check(shell("", *options.get("args", []), **others), c=c)


def test_names_that_a_command_gives_itself_are_checked_at_once() -> None:
    with pytest.raises(ValueError, match=r"args\[3\] must name parameters; got \{b\}, and there are \{a\},"):
        shell("", "{b}", names=["a"])
    with pytest.raises(
        ValueError, match=r"^a parameter called seed leaves no name for the seed of a call; rename it\.$"
    ):
        shell("", "{a}", names=["a", "seed"])


def test_called_alone_without_names() -> None:
    simulate = shell("echo 1", "{rate}", "{seed}")
    with pytest.raises(ValueError, match=r"fields \{rate\}, and nobody said.*names=space\.names\)\.$"):
        simulate(KEY, THETA)
    with pytest.raises(ValueError, match=r"theta must have a column for each of rate, shape; got 3\.$"):
        shell("echo $0", "{rate}{shape}")(KEY, np.ones((2, 3)))
    with pytest.raises(
        ValueError, match=r"args\[3\] has a field \{input\}, which needs known conditions; give inputs="
    ):
        shell("echo $0", "{rate}{shape}{input}")(KEY, THETA)
    with pytest.raises(ValueError, match=r"^theta must have shape \(n, d\), a row for each call; got shape \(2,\)\.$"):
        shell("echo 1")(KEY, THETA[0])


# --- arguments -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "options", "words"),
    [
        (
            "./queue {rate}",
            {},
            r"^args must be a list, the program and its arguments, .*; got './queue \{rate\}'\. No she",
        ),
        ([], {}, r"^args must be a list"),
        (["true", 3], {}, r"^args\[1\] must be a string or a Path; got 3\. Write numbers as strings\.$"),
        (
            ["no-such-program"],
            {},
            r"there is no no-such-program on the PATH\. A program of this folder begins with \./$",
        ),
        (["./no-such"], {}, r"^args\[0\] must be a program; there is no \./no-such at /.*/no-such\.$"),
        (["./plain"], {}, r"^args\[0\] must be a program; /.*/plain may not be executed\. Set its mode: chmod \+x /"),
        (["true", Path("gone.R")], {}, r"^args\[1\] must be the path of a file that is there; /.*/gone\.R is not\."),
        (["true", "{rate"], {}, r"^args\[1\] must be text with fields such as \{rate\} or \{seed\}; got '\{rate': exp"),
        (
            ["true", "a}"],
            {},
            r"Single '\}' encountered in format string\. Braces that are meant as they are stand doub",
        ),
        (["true", "{rate!r}"], {}, r"got '\{rate!r\}': !r says nothing of a number\."),
        (["true", "{rate:d}"], {}, r"got '\{rate:d\}': Unknown format code 'd'"),
        (["true"], {"files": "in.txt"}, r"^files must map names to their content, such as .*; got 'in\.txt'\.$"),
        (
            ["true"],
            {"files": {"/etc/x": ""}},
            r"^files must name a file inside the working folder of the call; got '/etc",
        ),
        (["true"], {"files": {"../x": ""}}, r"^files must name a file inside .*; got '\.\./x'\.$"),
        (
            ["true"],
            {"files": {"stderr": ""}},
            r"^files must leave the name stderr to what the program writes there; choo",
        ),
        (
            ["true"],
            {"files": {"a": 3}},
            r"^files\['a'\] must be a template, its Path, or a dict or list for JSON; got 3\.",
        ),
        (
            ["true"],
            {"files": {"a": {"b": {1}}}},
            r"^files\['a'\] must be what JSON can hold: .*set is not JSON seriali",
        ),
        (
            ["true"],
            {"files": {"a": Path("gone")}},
            r"^files\['a'\] must be the path of a file that is there; /.*gone is",
        ),
        (
            ["true"],
            {"files": {"a": Path("bytes")}},
            r"^files\['a'\] must be text, UTF-8; bytes is not\. Pass its Path in",
        ),
        (["true"], {"env": ["A"]}, r"^env must map names to templates, such as .*; got \['A'\]\.$"),
        (["true"], {"env": {"A=": "1"}}, r"^env must have names without '='; got 'A='\.$"),
        (["true"], {"env": {"A": 1}}, r"^env\['A'\] must be a string or a Path; got 1\. Write numbers as strings\.$"),
        (
            ["true"],
            {"read": 3},
            r'^read must be "stdout", the name of a file, or a function of the folder, fn\(folder\)',
        ),
        (["true"], {"read": lambda a, b: 0}, r"^read must be .*; got <function"),
        (
            ["true"],
            {"read": "/tmp/x"},
            r"^read must name a file inside the working folder of the call; got '/tmp/x'\.$",
        ),
        (["true"], {"timeout": 0}, r"^timeout must be a finite number above zero, in seconds, or None; got 0\.$"),
        (["true"], {"keep": "yes"}, r"^keep must be True or False; got 'yes'\.$"),
        (
            ["true"],
            {"names": "rate"},
            r"^names must be those of theta's columns, such as space\.names, each once; got 'ra",
        ),
        (["true"], {"names": ["a", "a"]}, r"^names must be those of theta's columns, .*; got \['a', 'a'\]\.$"),
    ],
)
def test_wrong_arguments(
    args: Any, options: dict[str, Any], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain").write_text("no program")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        avo.from_command(args, **options)


# --- fits ------------------------------------------------------------------------------------------------------------

SHAPE = np.linspace(-1.0, 1.0, 10)
UNIFORM = {"read": lambda folder: _line(*np.loadtxt(folder / "stdout"))}


def _line(mean: float, sd: float, seed: float) -> np.ndarray:
    return mean + sd * seed / SEEDS * SHAPE


def program(**options: Any) -> Any:
    return avo.from_command(["/bin/sh", "-c", "echo $0 $1 $2", "{mean}", "{sd}", "{seed}"], **options)


def test_a_fit_is_that_of_the_same_function_to_the_bit() -> None:
    own = avo.from_numpy(lambda rng, theta: _line(*theta, rng.integers(SEEDS)))
    found = fit(program(**UNIFORM))
    assert equal(found, fit(own)) and found.calls == TINY_BUDGET


def test_a_wrong_field_ends_a_fit_before_its_first_call(tmp_path: Path) -> None:
    simulate = avo.from_command(["/bin/sh", "-c", 'touch "$0"; echo 1', str(tmp_path / "called"), "{mu}", "{sd}"])
    with pytest.raises(
        ValueError, match=r"args\[4\] must name parameters; got \{mu\}, and there are \{mean\}, \{sd\}, "
    ):
        fit(simulate)
    assert not (tmp_path / "called").exists()


def test_a_program_that_always_fails_ends_a_fit() -> None:
    with pytest.raises(
        RuntimeError,
        match=r"the first of them: the command failed at mean=.*, sd=.*, seed=\d+: its return code was 3\.",
    ):
        fit(avo.from_command(["/bin/sh", "-c", "exit 3", "{mean}{sd}"]))


def test_a_fit_refuses_rows_of_another_length() -> None:
    with pytest.raises(RuntimeError, match=r"'wrong shape', .*expected \(10,\) for each theta, got \(3,\)"):
        fit(program())


def test_a_run_is_known_by_its_command() -> None:
    names = [name_of(program(**options)) for options in ({}, UNIFORM, {"env": {"A": "1"}}, {"files": {"a": "{sd}"}})]
    assert len(set(names)) == 4 and all(name.startswith("/bin/sh -c 'echo $0 $1 $2' '{mean}' ") for name in names)
    assert name_of(program(timeout=3.0, keep=True)) == names[0]
