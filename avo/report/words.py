"""What the page says: the answer in a sentence, and what was done, with lines that repeat it."""

import html
import platform
from dataclasses import MISSING, fields
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from scipy import stats

from avo import __version__
from avo.plots.misfits import standing_out
from avo.refine.identifiability import PURE
from avo.result import Result
from avo.space import Known
from avo.summary import estimate_in_words
from avo.tables import rounded, written

SIXTH = float(stats.norm.ppf(0.84))  # standard deviations from the median to the table's 84 %
NAMED = 4  # parameters in a sentence, at most
VERSIONS = ("jax", "numpy", "scipy", "equinox", "optax")
VERDICTS = {
    "converged": "The simulator reproduces the observations at {}.",
    "undetermined": "The observations do not decide everything; what they say: {}.",
    "misfit": "The simulator does not reproduce the observations. What was learned of x agrees with them at {}, but "
    "{} do not. The errors are those of the theta that agrees so, not of a true one, which a wrong simulator lacks: "
    "look at avo.check and {}, and mend the simulator{}.",
    "budget": "This is no final answer, more simulator calls may help; so far {}.",
    "stopped": "The fit was stopped before its end; so far {}.",
    "failed": "The fit failed, and its numbers are of no use: {}.",
}
UNSURE = "The fit ended at {}. Whether simulations there reproduce the observations was not tested; avo.check does it."
SEVERAL = 3  # features of a misfit in a sentence, at most


def plain(text: str) -> str:
    """Leave out what does not print, but for line breaks: a terminal's codes, say.

    Example:
        >>> plain("rate" + chr(27) + "[2J")
        'rate?[2J'
    """
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text)


def escaped(text: str) -> str:
    """Make text of anybody's safe inside an element or an attribute.

    Example:
        >>> escaped('<b> & "c"')
        '&lt;b&gt; &amp; &quot;c&quot;'
    """
    return html.escape(plain(text), quote=True)


def answer(result: Result) -> str:
    """Say the answer in a sentence, the first parameters with their errors."""
    verdict = VERDICTS[result.status]
    if result.status == "misfit":
        own = ', or fit target="population" if each observation has parameters of its own'
        own = "" if result.population is not None else own
        return verdict.format(_estimates(result), _differing(result), _where(result), own)
    if result.status == "converged" and (result.estimate is None or result.estimate.p_value is None):
        verdict = UNSURE
    return verdict.format(_estimates(result))


def _differing(result: Result) -> str:
    """Name the features in which simulations at the estimate differ most from the observations."""
    if result.kept is None:
        return "other features of simulations there"
    names, z, limit, _ = standing_out(result)
    worst = [i for i in np.argsort(-np.abs(z))[:SEVERAL] if abs(z[i]) > limit]
    if not worst:
        return "other features of simulations there"
    told = ", ".join(f"{names[i]} by {abs(z[i]):.{0 if abs(z[i]) > 10 else 1}f}" for i in worst)
    return f"other features of simulations there (in standard errors, most of all {told})"


def _where(result: Result) -> str:
    return '"Misfit by feature"' if result.kept is not None else "avo.plots.predictive"


def _estimates(result: Result) -> str:
    """Say what is known: combinations of parameters first, which stand for those they hold, then each of the others."""
    together = result.combinations() if result.estimate is not None and result.population is None else ()
    held = {name for combination in together for name in combination.names}
    said = [f"{c.words} = {' ± '.join(written(c.value, c.stderr))}{_after(c.unit)}" for c in together]
    said += [_estimate(result, i) for i, name in enumerate(result.names) if name not in held]
    if held:
        said[len(together) - 1] += f" (of {' and '.join(n for n in result.names if n in held)} only that is identified)"
    shown, more = said[:NAMED], len(said) - NAMED
    if more > 0:
        return f"{', '.join(shown)}, and {more} more in the table"
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _estimate(result: Result, i: int) -> str:
    """Say one parameter: its estimate and error; of a population, its median and where two thirds of it lie."""
    name, after, value = result.names[i], _after(result.space.units[i]), result.theta[i]
    if result.stderr is None:
        return f"{name} = {estimate_in_words(result, i)}{after}, without an error"
    if not np.isfinite(result.stderr[i]):
        return f"{name} is not identified"
    if result.settings.get("target") == "population":
        reach = SIXTH * np.asarray(result.proposal.sd())[i] * np.eye(len(result.names))[i]
        loc = np.asarray(result.proposal.loc)
        low, high = (float(np.asarray(result.space.constrain(loc + side * reach))[i]) for side in (-1, 1))
        low, high, value = (rounded(number, max(high - low, result.stderr[i]) / 5) for number in (low, high, value))
        return f"{name} with the median {value}{after} and two thirds of the population from {low} to {high}"
    return f"{name} = {estimate_in_words(result, i, '±')}{after}"


def _after(unit: str) -> str:
    """Write a unit behind a number; that of a pure number, 1, is not written."""
    return "" if unit in ("", PURE) else f" {unit}"


def done(result: Result) -> list[tuple[str, str]]:
    """List what was done, a name and a value each."""
    kept = result.kept
    shape = "single numbers" if result.x_shape == () else f"each of shape {result.x_shape}"
    rows = f"{kept.rows:,}, {shape}" if kept is not None else shape
    phases = ", ".join(f"{calls:,} for {PHASES.get(name, name)}" for name, calls in result.phases.items() if calls)
    failed = sum(result.failures.values())
    population = result.settings.get("target") == "population"
    found = [
        ("observations", rows),
        ("their hash (SHA-256)", result.data or "not known"),
        ("target", "a population: each observation has its own parameters" if population else "one theta for all"),
        ("simulator calls", f"{result.calls:,}" + (f": {phases}" if phases else "")),
        ("failed calls", f"{failed:,}" + (f": {'; '.join(result.failures.summary().splitlines())}" if failed else "")),
        ("seed", "not known" if result.seed is None else str(result.seed)),
        ("versions", ", ".join([f"avo {__version__}", f"Python {platform.python_version()}", *_versions()])),
    ]
    if kept is not None:
        words = f"{len(kept.u):,} simulations, {kept.there:,} of them at the estimate"
        found.append(("kept in the result", f"{words}, and {len(kept.observed):,} rows of the observations"))
    return found


PHASES = {"search": "the search", "steps": "adversarial steps", "refine": "refining", "further": "going on"}


def _versions() -> list[str]:
    found = []
    for name in VERSIONS:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return found


def repeat(result: Result) -> str:
    """Write the lines of Python that repeat a fit, as far as the result knows it."""
    entries = [(name, _code(result.space[name])) for name in result.space.columns]
    if all(name.isidentifier() for name, _ in entries):
        space = "".join(f"\n    {name}={code}," for name, code in entries) + "\n"
    else:
        space = "**{" + "".join(f"\n    {name!r}: {code}," for name, code in entries) + "\n}"
    given = [f"target={result.settings['target']!r}"] if result.settings.get("target") else []
    given += [] if result.budget is None else [f"budget={result.budget}"]
    given += [] if result.seed is None else [f"seed={result.seed}"]
    given += [] if result.estimate is not None else ["refine=False"]
    arguments = ", ".join(["simulate", "x_obs", "space", *given])
    return (
        f"import avo  # {__version__}\n\nspace = avo.Space({space})\n"
        f"result = avo.fit({arguments})\n"
        "# simulate and x_obs are yours; a result does not know inputs=, groups=, critic= and the like"
    )


def _code(parameter: Any) -> str:
    """Write a parameter as the call that makes it."""
    arguments = []
    for field in fields(parameter):
        value = getattr(parameter, field.name)
        if field.default is not MISSING and value == field.default:
            continue
        if isinstance(value, Known):
            value = f"avo.{value!r}" if value.log else repr((value.value, value.sd))
        else:
            value = repr(value)
        arguments.append(value if field.default is MISSING else f"{field.name}={value}")
    return f"avo.{type(parameter).__name__}({', '.join(arguments)})"
