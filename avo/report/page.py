"""The page: `write` puts words, pictures and sliders of a result into one HTML file."""

from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from jaxtyping import ArrayLike

from avo import __version__, checks, summary
from avo.folder import write_bytes
from avo.report import words
from avo.report.parts import asset, hashed, inline
from avo.report.pictures import Picture, all_pictures
from avo.report.sliders import Sliders
from avo.report.words import escaped, plain
from avo.result import Result
from avo.tables import html_table

SIMULATED_KEY = '<li><i class="simulated"></i>simulated, mean and 90 % band</li>'
KEYS = {
    "series": f"""<li><i class="observed line"></i>observed, mean</li>
<li><i class="observed"></i>observed, 5 to 95 %</li>
{SIMULATED_KEY}""",
    "strips": f"""<li><i class="observed line"></i>observed, mean</li>
<li><i class="observed"></i>observed, histogram</li>
{SIMULATED_KEY}""",
    "image": """<li><i class="observed"></i>observed</li>
<li><i class="simulated"></i>simulated, or more than observed</li>
<li><i class="less"></i>less than observed</li>""",
}
NO_SLIDERS = """<p class="soft">There are no sliders, and no pictures of simulations: the fit was not refined, and keeps
none.</p>"""


def write(result: Result, path: str | Path, truth: ArrayLike | None = None, command: str | None = None) -> Path:
    """Write the report of a result.

    Args:
        result: the fit.
        path: an .html file, or a folder that is there, for report.html in it; a file of that name is replaced.
        truth: known parameters, with shape (d,), for fits of simulated observations.
        command: the command that made the fit; None: lines of Python.

    Returns:
        The file.

    Raises:
        ValueError: if the path is neither.
    """
    file = checks.folder("path", path)
    file = file / "report.html" if file.is_dir() else file
    if file.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"path must name an .html file, or a folder that is there; got {str(path)!r}.")
    write_bytes(file, text_of(result, truth, command).encode())
    return file


def text_of(result: Result, truth: ArrayLike | None = None, command: str | None = None) -> str:
    """Make the text of the page; whatever comes from users is escaped."""
    sliders = None if result.kept is None else Sliders(result, result.kept)
    script = f"{asset('avo.report', 'shared.js')}\n{asset('avo.report', 'page.js')}"
    values = None if sliders is None else sliders.values()
    table = _table(result, None if truth is None else np.asarray(truth, float))
    return Template(asset("avo.report", "page.html")).substitute(
        hash=hashed(script),
        css=asset("avo.report", "page.css"),
        version=__version__,
        title=escaped(f"Fit of {_listed(result.names)}"),
        warnings=_warnings(summary.warnings(result)),
        status=result.status,
        answer=escaped(words.answer(result)),
        message=escaped(result.message),
        table=f'<div class="scroll" tabindex="0" role="region" aria-labelledby="estimates">{table}</div>',
        notes="".join(f"<p>{escaped(note)}</p>" for note in summary.notes(result)),
        workbench=NO_SLIDERS if sliders is None or values is None else _workbench(sliders, values),
        pictures=_pictures(all_pictures(result, truth)),
        done="\n".join(f"<dt>{escaped(name)}</dt><dd>{escaped(value)}</dd>" for name, value in words.done(result)),
        repeat=escaped(command or words.repeat(result)),
        script="" if values is None else inline(script, values),
    )


def _listed(names: tuple[str, ...], most: int = 6) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _table(result: Result, truth: np.ndarray | None) -> str:
    """Write the table of the estimates."""
    rows = [[plain(cell) for cell in row] for row in summary.table(result, truth)]
    return html_table(rows).replace("<th>", '<th scope="col">')


def _warnings(told: list[str]) -> str:
    if not told:
        return ""
    items = "".join(f"<li>{escaped(warning)}</li>" for warning in told)
    head = '<section class="warnings" aria-labelledby="warnings"><h2 id="warnings">Warnings</h2>'
    return f"{head}<ul>{items}</ul></section>"


def _pictures(found: list[Picture]) -> str:
    parts = []
    for picture in found:
        title, said = escaped(picture.title), escaped(picture.words)
        both = f'<div class="wide">{picture.wide}</div><div class="narrow">{picture.narrow}</div>'
        parts.append(f"<figure><h2>{title}</h2><figcaption>{said}</figcaption>{both}</figure>")
    return f'<div class="pictures">{"".join(parts)}</div>'


def _workbench(sliders: Sliders, values: dict[str, Any]) -> str:
    """Write the sliders beside the chart, with what they move and how far that is off."""
    emulator = sliders.emulator
    inputs = "\n".join(_slider(i, parameter["name"]) for i, parameter in enumerate(values["parameters"]))
    off = f"{100 * emulator.off:.2g} % of a standard deviation of x"
    told = (
        f"An emulator moves the picture: polynomials of degree {emulator.degree}, fitted to "
        f"{emulator.rows:,} simulations that the run made near its answer. Its mean is off by about {off}; its band "
        f"holds {100 * emulator.held:.1f} % of simulations that it has not seen (90 % wanted)."
    )
    told += " Mean and band are over all known conditions of the observations." if sliders.conditions else ""
    image = values["chart"]["kind"] == "image"
    chosen = "one row of the observations" if values["rows"] else "one observation"
    options = "".join(f'<option value="{i}">{escaped(row["row"])}</option>' for i, row in enumerate(values["rows"]))
    choice = f'<p><label for="row">Observation: </label><select id="row">{options}</select></p>' if options else ""
    back = "Back to what the row says" if options else "Back to the estimate"
    row = '<li><i class="row"></i>the chosen row</li>' if options and not image else ""
    key = KEYS[values["chart"]["kind"]]
    return f"""<section aria-labelledby="move">
<h2 id="move">Move the parameters</h2>
<p>The simulated mean and 90 % band of {chosen}, at the sliders' setting, over the observations.</p>
<ul class="key">{key}{row}</ul>
<div class="workbench">
<div id="chart" role="region" aria-labelledby="move"></div>
<div class="controls">
{choice}{inputs}
<p id="misfit" role="status"></p>
<p id="beyond" hidden>This setting lies beyond the simulations that were kept: what is drawn is a guess.</p>
<p><button type="button" id="back">{back}</button>
<button type="button" id="best">Best fit of what is not locked</button></p>
</div>
</div>
<p class="soft">{told}</p>
<noscript><p>The sliders need JavaScript; all else on this page does not.</p></noscript>
</section>"""


def _slider(i: int, name: str) -> str:
    own = escaped(name)
    return (
        f'<div class="slider"><div><label for="slider-{i}">{own}</label>'
        f'<output id="value-{i}" for="slider-{i}"></output></div>'
        f'<div><input type="range" id="slider-{i}" min="0" max="200" value="100" step="1">'
        f'<label class="lock"><input type="checkbox" id="lock-{i}" aria-label="lock {own}"> lock</label></div></div>'
    )
