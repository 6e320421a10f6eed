"""The register of simulators: what each file says of its simulator at its top, read without importing it.

A file of this folder is a simulator if it has, after its imports, a header all of whose values are literal,

    HEADER = Header(
        summary="Brownian motion with drift, exact paths",
        tags=("series", "diffusion", "population"),
        x_shape=(64,),
        parameters="mu (1/s), sigma (1/sqrt(s))",
        x="X along time (s)",
    )

and a factory of the file's name. Importing all files takes seconds, most of them JAX's; reading their headers takes
milliseconds. The factory takes its summary and tags from the header. The other three follow from its default options;
they are stated for `avo list`, and a test compares them.
"""

import ast
import re
import textwrap
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

WIDTH = 110  # of the list, in characters
_HEADER = re.compile(r"^HEADER = Header\(\n(.*?)^\)$", re.MULTILINE | re.DOTALL)


class Header(NamedTuple):
    """What is said of a simulator with its default options.

    Args:
        summary: one line.
        tags: words to search by, of `avo.simulators.TAGS`; the first names the form of x.
        x_shape: shape of one observation.
        parameters: names of the parameters with their units.
        x: what x measures, and along what.
    """

    summary: str
    tags: tuple[str, ...]
    x_shape: tuple[int, ...]
    parameters: str
    x: str


@cache
def headers() -> dict[str, Header]:
    """Read the header of each simulator: name -> `Header`, in alphabetical order.

    Example:
        >>> headers()["brownian"].parameters
        'mu (1/s), sigma (1/sqrt(s))'
    """
    texts = {path.stem: path.read_text(encoding="utf-8") for path in sorted(Path(__file__).parent.glob("*.py"))}
    return {name: _literal(found[1]) for name, text in texts.items() if (found := _HEADER.search(text))}


def _literal(arguments: str) -> Header:
    """Evaluate the arguments of a header, of which nothing but literals is taken."""
    call = ast.parse(f"Header({arguments})", mode="eval").body
    assert isinstance(call, ast.Call)
    return Header(**{str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords})


def table(names: Sequence[str]) -> str:
    """Describe simulators in aligned columns: name, shape of x, and what it is, its parameters, its tags.

    Args:
        names: of `avo.simulators.names()`.

    Returns:
        Lines of at most 110 characters, unless a word is longer.

    Example:
        >>> print(table(["poisson"]))
        poisson  ()  Poisson counts with one rate
                     rate -> count
                     discrete, published, scalar
    """
    chosen = {name: headers()[name] for name in names}
    name_width = max(map(len, chosen), default=0)
    shape_width = max((len(str(header.x_shape)) for header in chosen.values()), default=0)
    margin = " " * (name_width + shape_width + 4)
    blocks = []
    for name, header in chosen.items():
        told = (header.summary, f"{header.parameters} -> {header.x}", ", ".join(sorted(header.tags)))
        lines = [line for words in told for line in wrap(words, WIDTH - len(margin))]
        blocks.append(f"{name:{name_width}}  {str(header.x_shape):{shape_width}}  " + f"\n{margin}".join(lines))
    return "\n".join(blocks)


def wrap(words: str, width: int) -> list[str]:
    """Break a text into lines, never between a name and its unit.

    Example:
        >>> wrap("mu (1/s), sigma (1/sqrt(s)) -> X", 14)
        ['mu (1/s),', 'sigma (1/sqrt(s))', '-> X']
    """
    tied = words.replace(" (", "\N{NO-BREAK SPACE}(")
    lines = textwrap.wrap(tied, width, break_long_words=False, break_on_hyphens=False)
    return [line.replace("\N{NO-BREAK SPACE}(", " (") for line in lines]
