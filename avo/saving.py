"""A result as words and arrays, which its files and pickles hold, and back."""

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from avo.adversarial.critic import describe
from avo.adversarial.proposals import Gaussian
from avo.coherent import fits_arrays
from avo.containers import Axis, Quantity
from avo.execution.failures import Failures
from avo.folder import fill, leaves
from avo.gaps import Gaps
from avo.refine.custom import Only
from avo.refine.estimate import Estimate
from avo.refine.modes import Mode
from avo.space import Space
from avo.types import Frame, Statistic

if TYPE_CHECKING:
    from avo.result import Result


def to_files(result: "Result") -> tuple[dict[str, Any], dict[str, Any]]:
    """Describe the result as words and arrays, of which `parts` makes it again."""
    trees = leaves("proposal", result.proposal) | leaves("critic", result.critic)
    history = {f"history.{name}": a for name, a in result.history.items()}
    units = (
        {} if result.frame is None else {f"frame.{k}": a for k, a in result.frame._asdict().items() if a is not None}
    )
    arrays, estimate = ({}, None) if result.estimate is None else result.estimate.to_files()
    words = {
        "theta": dict(zip(result.names, result.theta.tolist(), strict=True)),
        "status": result.status,
        "message": result.message,
        "calls": result.calls,
        "failures": result.failures.to_json(),
        "space": result.space.to_json(),
        "x_shape": list(result.x_shape),
        "settings": dict(result.settings),
        "proposal": described(result.proposal),
        "critic": describe(result.critic),
        "seed": result.seed,
        "data": result.data,
        "estimate": estimate,
        "modes": [mode.to_json() for mode in result.modes],
        "weighted": None if result.weighted is None else list(result.weighted),
        "lacking": None if result.lacking is None else list(result.lacking),
        "axes": [axis.to_json() for axis in result.axes],
        "input_axes": [axis.to_json() for axis in result.input_axes],
        "quantity": list(result.quantity),
        "labels": list(result.labels),
        "phases": dict(result.phases),
        "budget": result.budget,
    }
    every = trees | history | units | arrays | ({} if result.gaps is None else result.gaps.to_arrays("gaps"))
    return words, {name: np.asarray(a) for name, a in every.items()}


def described(proposal: Any) -> dict[str, Any] | None:
    return {"full": proposal.lower is not None} if isinstance(proposal, Gaussian) else None


def _read_frame(arrays: dict[str, np.ndarray]) -> Frame | None:
    if "frame.shift" not in arrays:
        return None
    return Frame(*(arrays.get(f"frame.{name}") for name in Frame._fields))  # pyright: ignore[reportArgumentType]


def parts(
    words: dict[str, Any], arrays: dict[str, np.ndarray], like: Any, statistic: Statistic | Only | None
) -> dict[str, Any]:
    """Make what a result is of the words and arrays of its files."""
    from avo.critics.networks import rebuild

    space = Space.from_json(words["space"])
    given = list(like) if isinstance(like, tuple) else [like, like]
    if words["proposal"] is not None:
        given[0] = Gaussian.start(space.dim, full=words["proposal"]["full"])
    if words["critic"] is not None:
        make = partial(rebuild, **words["critic"])
        if not fits_arrays(make, "critic", arrays):
            raise KeyError("critic")
        given[1] = make()
    for name, module in zip(("proposal", "critic"), given, strict=True):
        if module is None and f"{name}.0" in arrays:
            raise ValueError(f"this fit used a custom {name}; pass like=, a {name} of the same structure, to fill.")
    return dict(
        space=space,
        proposal=fill("proposal", given[0], arrays),
        critic=fill("critic", given[1], arrays),
        history={name.removeprefix("history."): a for name, a in arrays.items() if name.startswith("history.")},
        x_shape=tuple(words["x_shape"]),
        frame=_read_frame(arrays),
        estimate=Estimate.from_files(arrays, words["estimate"], statistic) if words["estimate"] else None,
        settings={k: tuple(v) if isinstance(v, list) else v for k, v in words["settings"].items()},
        elsewhere=tuple(map(Mode.from_json, words["modes"][1:])),
        lacking=None if words.get("lacking") is None else tuple(words["lacking"]),
        **{name: tuple(map(Axis.from_json, words[name])) for name in ("axes", "input_axes")},
        failures=Failures.from_json(words["failures"]),
        gaps=Gaps.from_arrays("gaps", arrays),
        weighted=None if words.get("weighted") is None else tuple(words["weighted"]),
        quantity=Quantity(*words.get("quantity", ())),
        labels=tuple(words.get("labels", ())),
        phases=words.get("phases", {}),
        budget=words.get("budget"),
        **{k: words[k] for k in ("calls", "status", "message", "seed", "data")},
    )
