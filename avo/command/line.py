"""The command line: each command of `avo`, in the order of its help."""

from typing import Annotated

import typer

import avo
from avo.command.benchmarking import bench
from avo.command.comparing import latents, moved
from avo.command.fitting import fit
from avo.command.listing import gallery, info, list_, simulate
from avo.command.options import Plainly
from avo.command.runs import check, replay, report
from avo.command.stopping import STOPPED, leave

app = typer.Typer(
    cls=Plainly,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"avo {avo.__version__}")
        raise typer.Exit


@app.callback()
def _avo(
    traceback: Annotated[bool, typer.Option("--traceback", help="Show where in the code an error arose.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version, and leave.")
    ] = False,
) -> None:
    """Fit simulators to data by adversarial variational optimization.

    Start with `avo list`, then `avo fit ecg`.
    """


app.command("list")(list_)
for command in (gallery, info, simulate, fit, report, check, replay):
    app.command()(command)
app.add_typer(latents, name="latents")
app.add_typer(bench, name="bench")
# The name that it had; options that it does not know are words, too
app.command("compare", hidden=True, context_settings={"ignore_unknown_options": True})(moved)


def main() -> None:
    """Run the command line."""
    try:
        app(prog_name="avo")
    except SystemExit as end:
        if end.code == STOPPED:
            leave(STOPPED)
        raise
