"""What a notebook shows of a result: its table, its sentences, and its intervals in a small picture."""

import base64
import io

import matplotlib
from matplotlib.figure import Figure

from avo import summary
from avo.plots.estimates import forest
from avo.report.words import escaped
from avo.result import Result

MOST = 8  # parameters in a picture that is small
WIDTH, EACH, DPI = 5.0, 0.8, 80  # inches, and those of a parameter


def shown(result: Result) -> str:
    """Write HTML: the table of `summary` and, of few parameters with errors, their 90 % intervals.

    Example:
        >>> from avo import Gaussian, Interval, Space
        >>> from avo.execution.failures import Failures
        >>> fit = Result(Space(a=Interval(0, 1)), Gaussian.start(1), None, 9, Failures(), "budget", "", {}, (3,), {})
        >>> shown(fit).startswith("<table>"), "<img" in shown(fit)  # without errors there is nothing to draw
        (True, False)
    """
    text = summary.html(result)
    if result.stderr is None or len(result.names) > MOST:
        return text
    image = io.BytesIO()
    with matplotlib.rc_context({"font.size": 8.0}):
        figure = Figure(figsize=(WIDTH, EACH * len(result.names) + 0.4), layout="constrained")
        forest(result, figure=figure)
        figure.savefig(image, format="png", dpi=DPI)
    words = escaped(f"90 % intervals of {', '.join(result.names)}")
    return f'{text}<img alt="{words}" src="data:image/png;base64,{base64.b64encode(image.getvalue()).decode()}">'
