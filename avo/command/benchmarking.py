"""`avo bench`: the benchmark suite, and its tables."""

from pathlib import Path
from typing import Annotated

import typer

from avo.command.options import Plainly, Quiet

bench = typer.Typer(cls=Plainly, invoke_without_command=True, rich_markup_mode=None)
Out = Annotated[Path, typer.Option(help="Folder of the results; the same command continues a stopped run.")]


@bench.callback()
def _bench(
    context: typer.Context,
    *,
    tasks: Annotated[str | None, typer.Option(help="Tasks, e.g. poisson,brownian; left out: all.")] = None,
    methods: Annotated[
        str | None,
        typer.Option(help="Methods, e.g. avo,cma; left out: avo on all tasks, all that are installed on six."),
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="Number of seeds, from 0, or FIRST:END; left out: 10, with --quick 3.")
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(help="Simulator calls, e.g. 1e4,1e5; left out: 1e3 to 1e6 for avo, 1e4 and 1e5 for the others."),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Processes at a time, one core each; left out: 1, with --quick 2.")
    ] = None,
    limit: Annotated[float, typer.Option(min=1.0, help="Seconds for one fit.")] = 1800.0,
    out: Out = Path("bench"),
    quick: Annotated[bool, typer.Option("--quick", help="A few small tasks: three minutes on two cores.")] = False,
    quiet: Quiet = False,
) -> None:
    """Measure avo and its rivals on tasks with known truth.

    \b
    avo bench --quick                                 a look
    avo bench --tasks brownian --methods avo,moments  one task, two methods
    avo bench report bench                            the tables again, without running
    """
    if context.invoked_subcommand is None:
        from avo.benchmarks.suite import command

        try:
            text = command.run(
                out, tasks=tasks, methods=methods, seeds=seeds, budget=budget, jobs=jobs, limit=limit, quick=quick,
                progress=not quiet,
            )  # fmt: skip
            typer.echo(text)
        except KeyboardInterrupt:
            typer.echo(f"stopped; what is finished is in {out}, and the same command continues.", err=True)
            raise


@bench.command("report")
def bench_report(
    out: Annotated[Path, typer.Argument(help="Folder of the results.")],
    readme: Annotated[Path | None, typer.Option(help="Markdown file whose results section is written anew.")] = None,
) -> None:
    """Write table.md, table.csv and the pictures from finished cells, and print the table."""
    from avo.benchmarks.suite import command

    typer.echo(command.report(out, readme))
