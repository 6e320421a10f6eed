"""What several commands share: their options, and how an expected error ends."""

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import avo
from avo import checks
from avo.checks import did_you_mean
from avo.command.stopping import interruptible
from avo.execution.failures import CallFailed


def _seed(value: int) -> int:
    return checks.seed("--seed", value)


def known(incomplete: str) -> list[str]:
    """Complete the name of a simulator."""
    return [name for name in avo.simulators.names() if name.startswith(incomplete)]


def known_or_file(incomplete: str) -> list[str]:
    """Complete the name of a simulator, or a file of the user's, which a colon and its function follow."""
    home, _, start = incomplete.rpartition("/")
    folder = Path(f"{home}/" if home or incomplete.startswith("/") else ".").expanduser()
    files = sorted(path.name for path in folder.glob("*.py") if path.name.startswith(start))
    return known(incomplete) + [f"{home}/{name}:" if "/" in incomplete else f"{name}:" for name in files]


Seed = Annotated[int, typer.Option(help="Same seed, same numbers.", callback=_seed)]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="NAME=VALUE", help="A parameter of the truth, others keep their defaults; repeatable."
    ),
]
Option = Annotated[
    list[str] | None,
    typer.Option("--option", metavar="NAME=VALUE", help="An option of the simulator, e.g. points=180; repeatable."),
]
Observations = Annotated[int, typer.Option("--n", min=1, help="Number of observations to simulate.")]
Key = Annotated[str | None, typer.Option(help="Array of an .npz file; left out: x, or the only one.")]
Workers = Annotated[
    int | None,
    typer.Option(min=1, help="Processes that call a simulator outside JAX; left out: none but this one."),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bar, on a terminal either.")]


class Plainly(TyperGroup):
    """Commands whose expected errors are sentences."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Refuse words that are empty or hold a line break, and read ~ as a shell does, which leaves `--out=~/x` alone.

        An empty path would be the current folder, whatever lies there.
        """
        for word in args:
            if not word.strip() or (word.startswith("-") and word.endswith("=")) or not word.isprintable():
                typer.echo(f"error: each word must be printable and not empty; got {word!r}.", err=True)
                raise typer.Exit(2)
        return super().parse_args(ctx, [_at_home(word) for word in args])

    def invoke(self, ctx: Any) -> Any:
        """Run a command; an error of the user's is printed, and ends it with status 2."""
        try:
            with interruptible(), _plain_warnings():
                return super().invoke(ctx)
        except (ValueError, OSError, ImportError, RuntimeError) as error:
            if isinstance(error, BrokenPipeError):  # of `avo ... | head`: Typer ends without a word
                raise
            # Typer's own exits, and JAX's failures, are subclasses of RuntimeError
            if ctx.params.get("traceback") or (
                isinstance(error, RuntimeError) and type(error) not in (RuntimeError, CallFailed)
            ):
                raise
            words = str(error)
            if isinstance(error, OSError) and error.filename and error.strerror:  # the system's own
                words = f"{error.filename}: {error.strerror}. Name another path."
            typer.echo(f"error: {words}", err=True)
            raise typer.Exit(2) from error
        except Exception as error:
            if hasattr(error, "ctx") and isinstance(getattr(error, "message", None), str):  # of words, by Typer
                error.message = _said(error.message)  # pyright: ignore[reportAttributeAccessIssue]
            raise


def _said(message: str) -> str:
    """Write Typer's words of an option without Pydantic's, and suggest the nearest.

    Example:
        >>> _said("Value error, 'popluation' is not one of 'point', 'population'.")
        "'popluation' is not one of 'point', 'population'. Did you mean 'population'?"
    """
    message = message.removeprefix("Value error, ")
    if (found := re.fullmatch(r"'(.*)' is not one of (.*)\.", message)) is None:
        return message
    return message + did_you_mean(found[1], re.findall(r"'([^']*)'", found[2]))


def _at_home(word: str) -> str:
    name, equals, value = word.partition("=") if word.startswith("-") else ("", "", word)
    return name + equals + (str(Path(value).expanduser()) if value.startswith("~") else value)


@contextmanager
def _plain_warnings() -> Iterator[None]:
    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        typer.echo(f"warning: {message}", err=True)

    with warnings.catch_warnings():
        warnings.simplefilter("default", UserWarning)
        warnings.showwarning = show
        yield


def refuse_reading_options(data: Path | None, *options: object) -> None:
    """Refuse options that say how to read a file where no file is given."""
    if data is None and any(option is not None for option in options):
        raise ValueError("--columns, --key, --log-windows and the like say how to read a file; give it by --data.")


def run_folder(
    name: str, out: Path | None, resume: bool, among: str = "runs", held: Sequence[str] = ("fit.json", "result.json")
) -> Path:
    """Choose the run's folder and refuse one that holds another run, before anything is spent.

    Args:
        name: what is run, for a folder without a name.
        out: what the user named.
        resume: whether a run is to be continued.
        among: the folder of those without a name.
        held: files of which one says that a run is there.
    """
    if out is None:
        if resume:
            raise ValueError("--resume needs --out, the folder of the run to continue.")
        return next(path for i in count(1) if not (path := Path(among) / f"{name}-{i}").exists())
    if out.exists() and not out.is_dir():
        raise FileExistsError(f"--out: {out} is a file; choose a folder.")
    there = any((out / file).exists() for file in held)
    if resume and not out.exists():
        raise FileNotFoundError(f"--resume: there is no folder {out}; leave --resume out to start a run there.")
    if resume and not there:
        raise FileNotFoundError(f"--resume: {out} holds no run; leave --resume out to start one there.")
    if not resume and there:
        raise FileExistsError(f"--out: {out} already holds a run; choose another folder, or continue it by --resume.")
    return out
