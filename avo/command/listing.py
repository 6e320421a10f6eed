"""`avo list`, `avo gallery`, `avo info` and `avo simulate`: what there is, and draws from it."""

import importlib.metadata
import platform
from pathlib import Path
from typing import Annotated

import typer

import avo
from avo.command.options import Observations, Option, Seed, Set, known
from avo.command.programs import keep_programs

PACKAGES = ("jax", "jaxlib", "equinox", "optax", "numpy", "scipy")


def list_(
    name: Annotated[
        str | None, typer.Argument(help="A simulator, to be described in full.", autocompletion=known)
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option(help="Only simulators with this tag, e.g. series; repeatable: with all of them.")
    ] = None,
) -> None:
    """List the simulators: shape of x, parameters with units, what x is, and tags.

    `avo list NAME` describes one in full: its equations and source, what is identified, limits, options, parameters.
    """
    if name is not None:
        if tag:
            raise ValueError("--tag chooses among all simulators; leave it out with a name.")
        typer.echo(avo.simulators.about(name))
        return
    names = avo.simulators.find(*tag or ())
    typer.echo(avo.simulators.register.table(names) if names else f"no simulator has all of {', '.join(tag or ())}")


def gallery(
    out: Annotated[Path, typer.Option(help="Folder for gallery.md and gallery/NAME.png; they are replaced.")],
) -> None:
    """Draw every simulator at its default truth, on one page of Markdown."""
    if out.exists() and not out.is_dir():
        raise FileExistsError(f"--out: {out} is a file; choose a folder.")
    keep_programs()
    page, *pictures = avo.gallery.write(out)
    typer.echo(f"{page}: {len(pictures)} simulators")


def info(
    devices: Annotated[bool, typer.Option("--devices", help="Start JAX too, and print the devices it finds.")] = False,
) -> None:
    """Print versions and devices, for bug reports."""
    found = "not looked for: avo info --devices"
    if devices:
        import jax

        found = ", ".join(map(str, jax.devices()))
    versions = {package: importlib.metadata.version(package) for package in PACKAGES}
    rows = {"avo": avo.__version__} | versions | {"python": platform.python_version(), "platform": platform.platform()}
    for name, value in (rows | {"devices": found}).items():
        typer.echo(f"{name:9} {value}")


def simulate(
    name: Annotated[str, typer.Argument(help="A simulator of `avo list`.", autocompletion=known)],
    out: Annotated[Path, typer.Option(help="File to write, .npz: x, theta and names.")],
    n: Observations = 1000,
    set_: Set = None,
    option: Option = None,
    seed: Seed = 0,
) -> None:
    """Draw observations at known parameters.

    `avo fit NAME --data FILE` then fits them, with the numbers that `avo fit NAME` alone draws for the same seed.
    """
    if out.suffix != ".npz":
        raise ValueError(f"--out must be a file ending in .npz; got {out}.")
    if out.exists():
        raise FileExistsError(f"--out: {out} exists already; choose another name.")
    keep_programs()
    from avo.command import sources
    from avo.folder import write_arrays

    problem = sources.problem_of(name, option)
    theta = sources.truth_of(problem, set_)
    x = sources.observations(problem, theta, n, seed)
    write_arrays(out, {"x": x, "theta": theta, "names": problem.space.names})
    values = ", ".join(f"{name}={value:g}" for name, value in zip(problem.space.names, theta, strict=True))
    typer.echo(f"{out}: x {x.shape} at {values}")
