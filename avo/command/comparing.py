"""`avo latents`: a simulator's parameters beside the latents of autoencoders, `compare`, and the latents alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

import avo
from avo.command.options import Key, Quiet, refuse_reading_options, run_folder
from avo.command.programs import keep_programs
from avo.command.sides import page
from avo.command.training import train, traverse

HELD = ("comparison.json", "compare.json")

latents = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="The beta-VAE beside the simulator: what latents and parameters tell of the same signals.",
)
latents.command()(train)
latents.command()(traverse)
latents.command()(page)


@latents.command()
def compare(
    case: Annotated[str, typer.Argument(help="ecg, brownian, pendulum or oscillator.")],
    *,
    data_: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help='Real signals, one per row and in the order of time (the first half trains), for the row "outside the '
            'model": of ecg beats in mV from 0.3 s before R to 0.55 s after it, of brownian paths, of pendulum angles '
            "in rad over 4 s. Left out: simulated ones.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to write, each cell as it is finished; left out: compare/CASE-1, -2, ..."),
    ] = None,
    key: Key = None,
    log_windows: Annotated[
        int | None, typer.Option(min=16, help="Cut a price series into paths of log price, each of so many steps.")
    ] = None,
    columns: Annotated[str | None, typer.Option(help="Columns of the file to take, names or numbers from 0.")] = None,
    seeds: Annotated[
        int | None, typer.Option(min=2, help="Repetitions: data and weights anew; left out: 5, or 2 with --quick.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Seeds at a time; the numbers do not depend on it.")] = 2,
    quick: Annotated[
        bool, typer.Option("--quick", help="Few signals, two models, 2 seeds: a first look of a minute or two.")
    ] = False,
    rivals: Annotated[
        bool, typer.Option("--rivals", help="Train beta-TCVAE and FactorVAE too, beside the usual autoencoders.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the comparison in --out, to the same numbers; more --seeds too.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Compare a simulator's parameters with latents of autoencoders, on the same signals.

    Prints a table for eight questions, and writes it with all numbers (compare.json, compare.csv) and three pictures.

    \b
    avo latents compare ecg --quick
    avo latents compare ecg --data beats.npy --out compare/mine
    avo latents compare brownian --data prices.csv.gz --columns close --log-windows 180
    """
    if out is not None and not resume and out.is_dir() and any(out.iterdir()) and not (out / HELD[0]).exists():
        raise FileExistsError(f"--out: {out} exists already; choose another folder.")
    out = run_folder(case, out, resume, "compare", HELD)
    refuse_reading_options(data_, columns, key, log_windows)
    keep_programs()
    from avo.command import sources

    x = None if data_ is None else sources.read(data_, sources.Reading(columns, key, log_windows)).x
    avo.latents.cases.get(case)  # a misspelt name leaves no folder behind
    with _folder(out):
        found = avo.latents.compare(
            case, data=x, seeds=seeds or (2 if quick else 5), quick=quick, rivals=rivals, jobs=jobs, out=out,
            resume=resume, progress=not quiet,
        )  # fmt: skip
    typer.echo(found.summary())
    typer.echo("\n" + "\n".join(map(str, found.save(out))))


@contextmanager
def _folder(out: Path) -> Iterator[None]:
    """Make a folder before minutes of work, not after; where they fail, what was made and is empty goes."""
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    out.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException as error:
        for folder in made:  # the innermost first
            if not any(folder.iterdir()):
                folder.rmdir()
        if isinstance(error, KeyboardInterrupt):
            cells = len(list(out.glob("cells/*.npz")))
            words = "stopped; nothing was written."
            if cells:
                go_on = f"continue it: the same command with --resume --out {out}"
                words = f"stopped; {cells} finished cells are kept.\n{go_on}"
            typer.echo(words, err=True)
        raise


def moved(words: Annotated[list[str] | None, typer.Argument(help="As of `avo latents compare`.")] = None) -> None:
    """Say where the comparison with latents is."""
    raise ValueError(f"avo compare is now avo latents compare; say: avo latents compare {' '.join(words or ['ecg'])}")
