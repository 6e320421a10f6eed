"""The library of simulators for a reader: the page of pictures of `avo gallery`.

Everything here comes from the simulators themselves: their headers, spaces, axes and units.
"""

import io
import math
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

import avo
from avo import plots

if TYPE_CHECKING:
    from avo.simulators import Problem

DRAWS, NUMBERS = (50, 2000), 2_000_000  # fewest and most draws behind a picture, fewer where each has many numbers
STRIPS = ("ecgsyn",)  # which begin anywhere in a beat: one alone shows more than many over each other
COLOURS = 64  # of a picture, which makes it a third as large
HEAD = """\
# Gallery

Every simulator of avo, drawn at its default truth. `avo gallery --out docs` makes this page and its pictures,
`avo list` prints the same in words, `avo simulate NAME` draws from one. Where something is shaded, 90 % of the draws
lie there at each point, and the lines are single draws.

"""


def write(folder: Path) -> list[Path]:
    """Write gallery.md and gallery/NAME.png for every registered simulator.

    Args:
        folder: where to, made if it is not there; files of these names are replaced.

    Returns:
        The files, the page first.

    Example:
        >>> write(Path("docs"))  # doctest: +SKIP
        [PosixPath('docs/gallery.md'), PosixPath('docs/gallery/brownian.png'), ...]
    """
    (folder / "gallery").mkdir(parents=True, exist_ok=True)
    pictures = []
    for name in avo.simulators.names():
        pictures.append(folder / "gallery" / f"{name}.png")
        _save(avo.simulators.get(name), pictures[-1])
    (folder / "gallery.md").write_text(page(), encoding="utf-8")
    return [folder / "gallery.md", *pictures]


def page() -> str:
    """Write the text of the page: what each tag means and who has it, then a section per simulator.

    Example:
        >>> "![mg1](gallery/mg1.png)" in page()
        True
    """
    lines = ["| tag | meaning | simulators |", "|---|---|---|"]
    for tag in avo.simulators.tags():
        links = ", ".join(f"[{name}](#{name})" for name in avo.simulators.names(tag))
        lines.append(f"| {tag} | {avo.simulators.TAGS.get(tag, '')} | {links} |")
    sections = [_section(avo.simulators.get(name)) for name in avo.simulators.names()]
    return HEAD + "\n".join(lines) + "\n\n" + "\n".join(sections)


def _section(problem: "Problem") -> str:
    truth = ", ".join(
        f"{name} = {value:g} {unit}".rstrip()
        for name, unit, value in zip(problem.space.names, problem.space.units, problem.theta_true, strict=True)
    )
    told = (
        f"{problem.summary[0].upper()}{problem.summary[1:]}.",
        f"x: {avo.simulators.register.headers()[problem.name].x}, shape {problem.x_shape}. Drawn at {truth}.",
    )
    lines = "\n\n".join("\n".join(avo.simulators.register.wrap(words, 120)) for words in told)
    return f"## {problem.name}\n\n{lines}\n\n![{problem.name}](gallery/{problem.name}.png)\n"


def _save(problem: "Problem", path: Path) -> None:
    """Draw a problem at its truth."""
    n = int(np.clip(NUMBERS // math.prod(problem.x_shape), *DRAWS))
    theta = jnp.tile(jnp.asarray(problem.theta_true, dtype=float), (n, 1))
    x = jax.jit(problem.simulate)(jax.random.key(0), theta)
    kind = next((kind for kind in plots.KINDS if kind in problem.tags), None)
    figure = plots.draws(x[:1] if problem.name in STRIPS else x, problem.axes, problem.quantity, problem.unit, kind)
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=80)
    image = _pillow()
    picture = image.open(drawn).convert("RGB")
    picture.quantize(COLOURS, dither=image.Dither.NONE).save(path, optimize=True)


def _pillow() -> ModuleType:
    """Import what makes pictures small, which nothing else needs."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError("The gallery's pictures need the package Pillow: pip install 'avo-sbi[docs]'.") from error
    return Image
