"""`avo latents page`: a signal with sliders of a simulator's parameters and of a model's latents, in one HTML file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from avo.command.options import Key, Option
from avo.command.training import Columns, Decimal, LogWindows, chosen

if TYPE_CHECKING:
    from avo.command.signals import Signals
    from avo.simulators import Problem


def page(
    run: Annotated[Path, typer.Argument(help="The folder of avo latents train.")],
    *,
    signal: Annotated[int, typer.Option(min=0, help="Which signal, from 0: of those kept out, or of --data.")] = 0,
    simulator: Annotated[
        str | None,
        typer.Option(help="A simulator of `avo list` for the left side; left out: the one that drew the signals."),
    ] = None,
    option: Option = None,
    data_: Annotated[
        Path | None, typer.Option("--data", help="Another file of signals, read as that of the run was.")
    ] = None,
    columns: Columns = None,
    key: Key = None,
    log_windows: LogWindows = None,
    decimal: Decimal = None,
    out: Annotated[Path | None, typer.Option(help="Page to write, .html; left out: RUN/page-K.html.")] = None,
) -> None:
    """Write a page that moves your signal by a simulator's parameters and by latents, with sliders, for a browser.

    What is locked stays: parameters, latents, and attributes that the latents say. Each side says how far it is from
    the signal. Groups that the run was trained with can be added and subtracted.

    \b
    avo latents page latents/ecg-1 --signal 3
    avo latents page latents/beats-1 --simulator ecg --out mine.html
    """
    from avo import latents as library
    from avo.command.options import refuse_reading_options

    refuse_reading_options(data_, columns, key, log_windows, decimal)
    if out is not None and out.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"--out must end in .html; got {out}.")
    if option and simulator is None:
        raise ValueError("--option is for --simulator; name one.")
    trained, kept, row = chosen(run, signal, data_, (columns, key, log_windows, decimal))
    own = isinstance(row, int)
    problem = _problem(simulator, option, kept)
    theta = kept.factors[row] if problem is not None and simulator is None and own else None
    columns_of = zip(kept.names, kept.factors[kept.train].T, strict=True)
    groups = None if kept.groups is None else kept.groups[kept.train]
    several = groups is not None and len(set(groups.tolist())) > 1
    file = library.page(
        trained,
        kept.x[row] if own else row,
        run / f"page-{signal}.html" if out is None else out,
        problem=problem,
        theta=theta,
        signals=kept.x[kept.train],
        attributes=dict(columns_of),
        groups=groups if several else None,
        **kept.drawn,
    )
    typer.echo(str(file))


def _problem(simulator: str | None, option: list[str] | None, kept: "Signals") -> "Problem | None":
    """Take the simulator that is named, or the run's own where it has a curve of its parameters."""
    from avo.command.sources import problem_of
    from avo.latents import Mechanistic

    if simulator is not None:
        problem = problem_of(simulator, option or [])
        if problem.x_shape != kept.x.shape[1:]:
            here, there = (" x ".join(map(str, shape)) or "one" for shape in (kept.x.shape[1:], problem.x_shape))
            raise ValueError(
                f"--simulator {simulator} makes signals of {there} numbers; those of the run have {here}. Set its "
                "length by --option, or leave it out."
            )
        return problem
    problem = kept.problem
    if problem is None:
        return None
    try:
        Mechanistic(problem, rows=1000)
    except ValueError as error:
        typer.echo(f"no sliders of the simulator: {error}", err=True)
        return None
    return problem
