"""How the site is built from the pages beside this file: `make docs`.

Pages are plain Markdown, which reads well wherever it is shown. Blocks of `python` are run here, in order, one process
a page, and what they print or draw stands below them; so are a program in C or R that names its file in its first line,
and the line that compiles it. Blocks of `py` and `sh` are only shown. A comment that begins with `check` is run, and
never shown: it holds what a page finds against the truth. A block that raises, a link that leads nowhere, and any other
warning end the build.
"""

import importlib.util
import inspect
import os
import re
import shutil
from collections.abc import Callable
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.util import logging

HERE = Path(__file__).resolve().parent

project = "avo"
author = "The avo developers"
copyright = "2026, The avo developers"  # noqa: A001 - the name that Sphinx reads
release = version_of("avo-sbi")

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "avo"
html_show_sourcelink = False
html_copy_source = False
html_math_renderer = "mathml"  # browsers set it themselves, without a script from elsewhere

# --- pages -----------------------------------------------------------------------------------------------------------

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
myst_url_schemes = ("http", "https")
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 400  # s, of one block
nb_execution_in_temp = True
nb_merge_streams = True
nb_execution_show_tb = True

# Of all pages; a second build finds the first one's programs
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(HERE / "_build" / "programs"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("AVO_DATA", str(HERE.parents[1] / "shared" / "data"))  # real recordings, where there are any

HEAD = "---\nfile_format: mystnb\nkernelspec:\n  name: python3\n---\n\n"
INLINE = "%matplotlib inline"  # so that figures of a page's own are shown
# What a section of a page shows, and what it takes to run it
NEEDS: dict[str, tuple[Callable[[], Any], str]] = {
    "```r\n": (lambda: shutil.which("Rscript"), "there is no R here"),
    "```c\n": (lambda: shutil.which("cc"), "there is no C compiler here"),
    "import sdeint": (lambda: importlib.util.find_spec("sdeint"), "sdeint is not installed"),
    "from gest_api": (lambda: importlib.util.find_spec("gest_api"), "gest-api is not installed"),
    '"AVO_DATA"': (lambda: Path(os.environ["AVO_DATA"]).is_dir(), "the recordings are not here"),
}


def cells(app: Any, name: str, source: list[str]) -> None:
    """Turn blocks of a page into cells that are run, where what they need is there."""
    if "```python\n" in source[0]:
        parts = re.split(r"^(?=## )", source[0], flags=re.MULTILINE)
        whole = '"AVO_DATA"' in source[0]  # names the folder once, for all its sections
        source[0] = HEAD + _hidden(INLINE) + "".join(_part(part, source[0] if whole else part) for part in parts)


def _part(text: str, needing: str) -> str:
    for sign, (there, why) in NEEDS.items():
        if sign in needing and not there():
            return text.replace("```python\n", f"*Not run when this page was built: {why}.*\n\n```python\n", 1)
    for language in ("c", "r"):
        text = re.sub(rf"```{language}\n(\W+(\w+\.\w+): .*?)```\n", _written, text, flags=re.DOTALL)
    text = re.sub(r"<!-- check\n(.*?)\n-->", lambda found: _hidden(found[1]), text, flags=re.DOTALL)
    text = re.sub(r"```sh\n(cc .*?)\n```\n", r"\g<0>" + _hidden(r"!\1"), text)
    return text.replace("```python\n", "```{code-cell} ipython3\n")


def _written(block: re.Match[str]) -> str:
    """Show a program, and write it into its file before the next block is run."""
    return block[0] + _hidden(f"%%writefile {block[2]}\n{block[1]}")


def _hidden(code: str) -> str:
    return f"\n```{{code-cell}} ipython3\n:tags: [remove-cell]\n\n{code}\n```\n"


# --- docstrings ------------------------------------------------------------------------------------------------------

default_role = "code"
autodoc_default_options = {"members": True, "imported-members": True, "member-order": "bysource"}
autodoc_typehints = "none"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False

# Code as it stands, or a sign that reStructuredText would take for markup
SIGN = re.compile(r"(`[^`]*`)|([*|]|(?<=\w)_(?=\W))")


def set_off(app: Any, what: str, name: str, obj: object, options: Any, lines: list[str]) -> None:
    """Show what a docstring sets off by spaces, an equation or a table, as it stands, and signs as themselves."""
    told, example, last = [], False, ""
    for paragraph in inspect.cleandoc("\n".join(lines)).split("\n\n"):
        indented = paragraph.startswith("    ")
        example = paragraph.startswith("Example:") or (example and indented)
        if indented and not last.startswith(" "):
            told.append("::\n\n" + paragraph)
        else:
            told.append(paragraph if example else SIGN.sub(lambda found: found[1] or "\\" + found[2], paragraph))
        last = paragraph.rsplit("\n", 1)[-1]
    lines[:] = "\n\n".join(told).splitlines()
    if what in ("attribute", "property"):  # of whose first line napoleon would take all before a colon for a type
        lines[:0] = ["..", ""]


def skip(app: Any, what: str, name: str, obj: object, skipped: bool, options: Any) -> bool | None:
    """Leave out what a tuple with names says of its own fields, which its docstring tells better."""
    return True if str(getattr(obj, "__doc__", "")).startswith("Alias for field number") else None


# --- equations -------------------------------------------------------------------------------------------------------


def inline(page: Any, node: nodes.math) -> None:
    page.body.append(convert(node.astext()))
    raise nodes.SkipNode


def block(page: Any, node: nodes.math_block) -> None:
    page.body.append(f'<div class="math">{convert(node.astext(), display="block")}</div>')
    raise nodes.SkipNode


# --- pictures --------------------------------------------------------------------------------------------------------


def shown(app: Any, doctree: nodes.document, name: str) -> None:
    """Refuse a page that names a figure in place of showing it."""
    if "<Figure size" in doctree.astext():
        logging.getLogger(__name__).warning("%s: a figure is named, not shown", name)


def setup(app: Any) -> None:
    """Connect the above with Sphinx."""
    app.add_html_math_renderer("mathml", inline_renderers=(inline, None), block_renderers=(block, None))
    app.connect("source-read", cells)
    app.connect("autodoc-process-docstring", set_off, priority=400)  # before napoleon's, at 500
    app.connect("autodoc-skip-member", skip)
    app.connect("doctree-resolved", shown)
