"""`fit`: a loop over the trainer's `ask` and `tell`, with a budget, progress, checkpoints and plain errors.

With a JAX simulator a chunk of steps is one compiled program; with any other the same `ask` and `tell` run around it.
"""

import hashlib
import inspect
import json
import math
import time
import warnings
from collections.abc import Callable, Hashable
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, PRNGKeyArray
from tqdm import tqdm

from avo import files
from avo.data import validate_observations
from avo.estimate import floored
from avo.fisher import STILL, Observed, point
from avo.host import HostSimulator, takes
from avo.population import population
from avo.result import Result, load
from avo.rows import Drawn, Draws, simulate_host, simulate_jax
from avo.space import Space
from avo.trainer import Settings, Target, Trainer, make_trainer
from avo.training import describe
from avo.types import Info, State
from avo.view import frame

BUDGET = 1_300_000  # calls of a JAX simulator
HOST_BUDGET = 100_000  # calls of any other
CHUNK = 50  # steps between two looks at the clock, at most
LEAST_STEPS = 20
FEW_STEPS = 2000  # below, a fit that stands still may have stopped short of the answer
CHECKPOINT_SECONDS = 20.0
SHARE = 0.75  # of the calls, at most, to refining; less where the adversarial fit can use them better
ENOUGH = {"point": (70_000, 20), "population": (300_000, 150)}  # calls: at most so many, or so many per observation
PAIR = 5  # unknowns of a population of two parameters, for which that is enough; more unknowns take more calls
LEAST_REFINE = {"point": 500, "population": 4000}  # calls
LEAST_EACH = 40  # and of a point for each parameter, whose slopes take pairs
REUSE = 20_000  # last simulations of the adversarial fit, at most, from which the scores are learned too
REFINE = 2**31 - 1  # names the key of refining; steps have the numbers below


def block_size(settings: Settings) -> int:
    """Compute the rows per block: as many as divide both the critic's batch and the pairs."""
    return math.gcd(settings.batch, settings.pairs)


def block_keys(key: PRNGKeyArray, settings: Settings) -> PRNGKeyArray:
    """Make one key per block of rows; of mirrored pairs u+ and u- share theirs, hence their random numbers."""
    size = block_size(settings)
    critic, pairs = settings.critic_steps * settings.batch // size, settings.pairs // size
    if settings.gradient == "plain":
        return jax.random.split(key, critic + 2 * pairs)
    keys = jax.random.split(key, critic + pairs)
    return jnp.concatenate([keys, keys[critic:]])


Told = tuple[Info, tuple[Array, Array, Array | None]]  # and a step's simulations: u, x, known conditions


def _step(
    simulate_rows: Callable, ask: Callable, tell: Callable, key: PRNGKeyArray, state: State
) -> tuple[State, Told]:
    key_ask, key_x = jax.random.split(jax.random.fold_in(key, state.step))
    theta, state = ask(key_ask, state)
    assert state.pending is not None
    inputs = None if state.data.inputs is None else state.data.inputs[state.pending.rows]
    x = simulate_rows(key_x, theta, inputs)
    asked = (state.pending.u, x, inputs)
    state, info = tell(state, theta, x)
    return state, (info, asked)


@eqx.filter_jit
def _compiled_chunk(
    simulate: Callable, ask: Callable, tell: Callable, settings: Settings, steps: int, key: PRNGKeyArray, state: State
) -> tuple[State, Told]:
    def rows(key_x: PRNGKeyArray, theta: Array, inputs: Array | None) -> Array:
        return simulate_jax(simulate, block_keys(key_x, settings), block_size(settings), theta, inputs)

    dynamic, static = eqx.partition(state, eqx.is_array)

    def body(dynamic: Any, _: None) -> tuple[Any, Told]:
        state, told = _step(rows, ask, tell, key, eqx.combine(dynamic, static))
        return eqx.filter(state, eqx.is_array), told

    dynamic, told = jax.lax.scan(body, dynamic, None, length=steps)
    return eqx.combine(dynamic, static), told


def _host_chunk(
    simulate: Callable, ask: Callable, tell: Callable, settings: Settings, steps: int, key: PRNGKeyArray, state: State
) -> tuple[State, Told]:
    x_shape = state.data.shift.shape

    def rows(key_x: PRNGKeyArray, theta: Array, inputs: Array | None) -> Array:
        x = simulate_host(simulate, block_keys(key_x, settings), block_size(settings), theta, inputs)
        if x.shape[1:] != x_shape:
            raise ValueError(
                f"the simulator must return x shaped like a row of x_obs: expected {x_shape} for each theta, "
                f"got {x.shape[1:]}."
            )
        return jnp.asarray(x)

    told = []
    for _ in range(steps):
        state, each = _step(rows, ask, tell, key, state)
        told.append(each)
    return state, jax.tree.map(lambda *leaves: jnp.stack(leaves), *told)


def check_simulator(simulate: Any, space: Space, x: np.ndarray, inputs: np.ndarray | None, settings: Settings) -> Any:
    """Make sure that `simulate` can be called and returns one row of x per theta; costs no call of a JAX simulator."""
    arguments = "(key, theta)" if inputs is None else "(key, theta, inputs)"
    if not callable(simulate):
        came = f"a {type(simulate).__name__}, pass its .simulate" if hasattr(simulate, "simulate") else repr(simulate)
        raise ValueError(f"simulate must be a function simulate{arguments} -> x; got {came}.")
    host = isinstance(simulate, HostSimulator)
    fn = simulate.fn if host else simulate
    if not takes(fn, 2 if inputs is None else 3):
        wanted = arguments.replace("key", "rng") if host else arguments
        raise ValueError(
            f"simulate must be callable as {getattr(fn, '__name__', 'simulate')}{wanted}"
            + (" since inputs were given" if inputs is not None else "")
            + f"; got {getattr(fn, '__name__', 'simulate')}{inspect.signature(fn)}."
            + (" Known conditions need avo.fit(..., inputs=)." if inputs is None and takes(fn, 3) else "")
        )
    if host:
        return simulate
    n = block_size(settings)
    # jit keeps this trace: the compiled loop calls `simulate` with the same shapes and does not trace it again
    compiled = _jit(simulate)
    dtype = jnp.result_type(float)
    rows = [jax.ShapeDtypeStruct((n, space.dim), dtype)]
    rows += [] if inputs is None else [jax.ShapeDtypeStruct((n, *inputs.shape[1:]), dtype)]
    from avo.simulators.problem import ArgumentError

    try:
        shape = jax.eval_shape(compiled, jax.random.key(0), *rows)
    except ArgumentError as error:  # of a simulator of the library, or by its means
        given = f"theta of space ({', '.join(space.names)}){'' if inputs is None else ' and inputs'}"
        raise ValueError(f"simulate does not suit {given}: {error}") from error
    except (jax.errors.JAXTypeError, jax.errors.JAXIndexError, jax.errors.UnexpectedTracerError) as error:
        raise ValueError(
            "simulate is not written in JAX. Wrap a NumPy function fn(rng, theta) -> x of one theta by "
            f"avo.from_numpy(fn). JAX said: {str(error).splitlines()[0]}"
        ) from error
    except Exception as error:
        raise ValueError(
            f"simulate failed with {type(error).__name__}: {' '.join(str(error).split())[:200]}. It was given a key, "
            f"then arrays with shapes {', '.join(str(row.shape) for row in rows)}, many rows at once. If it is written "
            "in NumPy, fn(rng, theta) -> x for one theta, wrap it by avo.from_numpy(fn)."
        ) from error
    expected = (n, *x.shape[1:])
    if getattr(shape, "shape", None) != expected:
        raise ValueError(
            f"simulate must return one row of x per row of theta, shaped like a row of x_obs: for theta "
            f"{(n, space.dim)} expected x {expected}, got {getattr(shape, 'shape', shape)}."
        )
    return compiled


@lru_cache(maxsize=64)
def _shared_jit(simulate: Callable) -> Callable:
    return jax.jit(simulate)


def _jit(simulate: Callable) -> Callable:
    """Compile a simulator once, so that fits of the same one share their program."""
    return _shared_jit(simulate) if isinstance(simulate, Hashable) else jax.jit(simulate)


def _plan(
    budget: int | None, settings: Settings | None, target: Target | None, host: bool, m: int, d: int, refine: bool
) -> tuple[Settings, int, int, int]:
    """Split a budget: settings, number of steps, steps per chunk, and calls left to refining."""
    if budget is None:
        budget = HOST_BUDGET if host else BUDGET
    if isinstance(budget, bool) or not isinstance(budget, (int, np.integer)):
        raise ValueError(f"budget must be a whole number of simulator calls; got {budget!r}.")
    if not (settings is None or isinstance(settings, Settings)):
        raise ValueError(f"settings must be avo.Settings(...); got {settings!r}.")
    changes: dict[str, Any] = {} if target is None else {"target": target}
    rest = 0
    if refine:
        kind = "population" if (target or getattr(settings, "target", None)) == "population" else "point"
        most, each = ENOUGH[kind]
        times = max((d + d * (d + 1) // 2) / PAIR, 1.0) if kind == "population" else 1.0
        least = LEAST_STEPS * (settings or Settings.for_budget(0, target=kind)).calls
        rest = int(min(SHARE * budget, max(most, each * m) * times, budget - least))
        rest *= rest >= max(LEAST_REFINE[kind], LEAST_EACH * d)
    steps_budget = int(budget) - rest
    settings = Settings.for_budget(steps_budget, **changes) if settings is None else replace(settings, **changes)
    steps = steps_budget // settings.calls
    if steps < LEAST_STEPS:
        raise ValueError(
            f"budget={budget} is too small: a step takes {settings.calls} simulator calls, and a fit needs at least "
            f"{LEAST_STEPS} steps, {LEAST_STEPS * settings.calls} calls; thousands of steps are usual."
        )
    chunk = 1 if host else min(steps // LEAST_STEPS, CHUNK)
    return settings, steps - steps % chunk, chunk, rest


class _Folder:
    """The run's folder: refuses to overwrite another run, keeps checkpoints, continues bit for bit."""

    def __init__(self, out: str | Path, resume: bool, plan: dict[str, Any]) -> None:
        self.path, self.plan = Path(out), plan
        if self.path.exists() and not self.path.is_dir():
            raise FileExistsError(f"out={str(out)!r} is a file; choose a folder.")
        self.checkpoint, self.last = self.path / "checkpoint.npz", time.monotonic()
        known = self.path / "fit.json"
        held = [name for name in ("fit.json", "result.json") if (self.path / name).exists()]
        if not held:
            files.refuse_others(self.path, "proposal")
        if held == ["result.json"] or (held and not resume):
            raise FileExistsError(
                f"out={str(out)!r} already holds a run; choose another folder"
                + (", or continue it: resume=True." if known.exists() else ".")
            )
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(f"out={str(out)!r} cannot be made ({error.strerror}); choose another folder.") from error
        if known.exists():
            before = files.read_json(known)
            changed = [name for name in plan if before.get(name) != json.loads(json.dumps(plan[name]))]
            if changed:
                raise ValueError(
                    f"out={str(out)!r} holds a run with other {', '.join(changed)}; resume needs the same."
                )

    def save(self, state: State, history: list[Info], late: list[Drawn], force: bool = False) -> None:
        if not (self.path / "fit.json").exists():
            files.write_json(self.path / "fit.json", self.plan)
        if force or time.monotonic() - self.last > CHECKPOINT_SECONDS:
            infos = jax.tree.map(lambda *a: np.concatenate(a), *history)
            arrays = files.leaves("state", state._replace(data=None)) | files.leaves("info", infos)
            if late:
                arrays |= {f"late.{name}": a for name, a in Drawn.joined(late)._asdict().items() if a is not None}
            files.write_arrays(self.checkpoint, arrays)
            self.last = time.monotonic()

    def clear(self) -> None:
        """Remove what only a run that is not finished needs."""
        for path in (self.checkpoint, *self.path.glob("draws-*.npz")):
            path.unlink(missing_ok=True)

    def restore(self, state: State) -> tuple[State, list[Info], list[Drawn]]:
        if not self.checkpoint.exists():
            return state, [], []
        arrays = files.read_arrays(self.checkpoint)
        if not {f"info.{i}" for i in range(len(Info._fields))} <= arrays.keys():
            raise ValueError(f"{self.checkpoint} is not a checkpoint of this fit; delete the folder to start anew.")
        arguments: Any = [arrays[f"info.{i}"] for i in range(len(Info._fields))]
        info = Info(*arguments)
        kept: Any = [arrays.get(f"late.{name}") for name in Drawn._fields]
        late = [Drawn(*kept)] if "late.u" in arrays else []
        return files.fill("state", state._replace(data=None), arrays)._replace(data=state.data), [info], late


def fit(
    simulate: Callable[..., Any],
    x_obs: ArrayLike,
    space: Space,
    *,
    inputs: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    target: Target | None = None,
    budget: int | None = None,
    seed: int = 0,
    refine: bool = True,
    critic: Any = None,
    loss: Any = None,
    proposal: Any = None,
    settings: Settings | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    progress: bool = True,
) -> Result:
    """Find the parameters that make a simulator reproduce observations, and how sure one may be of them.

    Adversarial variational optimization finds the region,

        theta = constrain(loc),  loc = argmin over q's centre of  max over d of  E_obs[d(x)] - E_{u ~ q}[d(x)]

    (Louppe, Hermans, Cranmer 2017, arXiv:1707.07113; the steps are in avo/trainer.py, where for a point the critic is
    trained on a narrowed q); learned scores t then solve mean over x_obs of t = E[t(x) | u] there (avo/fisher.py).
    The simulator needs no likelihood and no gradient.

    Args:
        simulate: `simulate(key, theta) -> x`, with theta (n, d) in physical units and x (n, *x_shape), written in JAX;
            any other function goes through `avo.from_numpy`.
        x_obs: observations, with shape (m, *x_shape), independent draws at one theta (or a population of them). One
            dimension is a vector, scaled per column; more are a series or image with channels last, scaled per channel.
        space: names, supports and units of the parameters.
        inputs: known conditions of each observation, with shape (m, *c_shape); then `simulate(key, theta, inputs)`.
            Simulated pairs draw theirs from the observed ones, and the critic sees (c, x).
        groups: labels, with shape (m,), of observations that hang together (beats of one patient, windows of one
            series): errors then count groups, not observations.
        target: "point": one theta for all observations, the default; "population": each its own, theta ~ q.
        budget: simulator calls in all, never exceeded; None: 1,300,000 for JAX simulators, 100,000 for others.
        seed: same seed, same numbers.
        refine: solve the estimating equation after the adversarial fit, inside the same budget; without it there is
            no error.
        critic: a module from one observation to a scalar, or a factory `critic(key, x_shape)` such as those of
            `avo.critics`; None: chosen from the shape of x, `avo.critics.for_shape`. With inputs it sees the flat
            vector (c, x).
        loss: None: `avo.critics.wasserstein()`, one-sided; "two-sided" is the published WGAN-GP.
        proposal: where to start and how wide, a proposal or a factory `proposal(dim)`; None: N(0, 1.5^2 I) in u.
        settings: the numbers of the algorithm, `avo.Settings`; None: `Settings.for_budget(budget)`.
        out: folder for the run: checkpoints, then the result. None: nothing is written.
        resume: continue the run in `out` where it was stopped, to the same bits.
        progress: show a bar with gap, calls and the current estimate, on a terminal only.

    Returns:
        `Result` with `.theta`, `.stderr`, `.interval()`, `.summary()`, `.history`, `.save()`.

    Raises:
        ValueError: if an argument is not as described; says what to change.
        FileExistsError: if `out` holds another run.
        RuntimeError: if the user's simulator raised; names theta and seed.

    Example:
        >>> import avo
        >>> def simulate(key, theta):  # ten draws from N(mean, sd^2) for each theta
        ...     return theta[:, :1] + theta[:, 1:] * jax.random.normal(key, (theta.shape[0], 10))
        >>> x_obs = simulate(jax.random.key(1), jnp.tile(jnp.array([2.5, 0.7]), (500, 1)))
        >>> space = avo.Space(mean=avo.Interval(-10, 10), sd=avo.LogInterval(0.1, 10))
        >>> result = avo.fit(simulate, x_obs, space, budget=300_000, progress=False)
        >>> bool(jnp.all(abs(result.theta - jnp.array([2.5, 0.7])) < 4 * result.stderr))
        True
    """
    from avo import critics

    x, c = _observations(x_obs, inputs, space)
    if resume and out is None:
        raise ValueError("resume=True needs out=, the folder of the run to continue.")
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
        raise ValueError(f"seed must be a whole number; got {seed!r}.")
    host = isinstance(simulate, HostSimulator)
    labels = _groups(groups, len(x), space.dim)
    settings, steps, chunk, rest = _plan(budget, settings, target, host, len(x), space.dim, bool(refine))
    name = getattr(simulate.fn if host else simulate, "__qualname__", type(simulate).__name__)
    simulate = check_simulator(simulate, space, x, c, settings)
    loss = loss or critics.wasserstein()
    trainer = make_trainer(
        space, x, steps=steps, inputs=c, loss=loss, critic=critic, proposal=proposal, settings=settings
    )  # fmt: skip

    key_init, key_run = jax.random.split(jax.random.key(int(seed)))
    state, history, late = trainer.init(key_init), [], []
    folder = None
    if out is not None:
        plan = {"seed": int(seed), "budget, in steps": steps, "settings": asdict(settings), "space": space.to_json()}
        plan |= {
            "data": _digest(x, c, labels),
            "refine, in calls": rest,
            "simulator": name,
            "loss": getattr(loss, "name", "custom"),
        }
        like = trainer.init(jax.random.key(0))  # of one key, for a run with another seed has the same critic
        plan |= {"critic and proposal": _digest(*files.leaves("start", (like.critic, like.proposal)).values())}
        plan |= {"kind of critic": describe(like.critic)}
        folder = _Folder(out, resume, plan)
        if (folder.path / "result.json").exists():
            return load(folder.path, like=(state.proposal, state.critic))
        state, history, late = folder.restore(state)
    reuse = min(REUSE, rest) // settings.calls  # last steps
    result = _loop(simulate, trainer, settings, space, x, chunk, key_run, state, history, late, reuse, folder, progress)
    result = replace(result, frame=frame(x, c, settings.standardize))
    if rest and result.status not in ("stopped", "failed"):
        draws = Draws(
            simulate, space, jax.random.fold_in(key_run, REFINE), block_size(settings), x.shape[1:], c,
            folder=None if folder is None else folder.path,
        )  # fmt: skip
        result = _refine(result, draws, Observed(x, c, labels), rest, int(seed), late, progress)
    if folder is not None and result.status != "stopped":
        result.save(folder.path)
        folder.clear()
    return result


def labels_of(groups: ArrayLike, m: int) -> np.ndarray:
    """Number the groups of m observations, 0 .. g - 1, by their labels."""
    labels = np.asarray(groups)
    if labels.shape != (m,):
        raise ValueError(f"groups must have one label per observation, shape ({m},); got {labels.shape}.")
    if any(label is None or label != label for label in labels.tolist()):
        raise ValueError("groups must have a label for each observation; some are None or NaN. Name or leave them out.")
    return np.unique(labels, return_inverse=True)[1]


def _groups(groups: ArrayLike | None, m: int, d: int) -> np.ndarray | None:
    if groups is None:
        return None
    found, least = labels_of(groups, m), max(8, d + 2)
    count = int(found.max()) + 1
    if count < least:
        raise ValueError(
            f"groups names {count} groups; an error for {d} parameters needs at least {least}, better dozens. "
            "Leave groups out if the observations are independent."
        )
    return found


def _refine(
    result: Result, draws: Draws, observed: Observed, budget: int, seed: int, late: list[Drawn], progress: bool
) -> Result:
    """Let learned scores finish what the adversarial fit began; keep its estimate where they find no answer."""
    q, target = result.proposal, result.settings["target"]
    solve = population if target == "population" else point
    with tqdm(total=budget, desc="refine", unit=" calls", disable=None if progress else True, leave=False) as bar:
        draws.tick = bar.update
        try:
            found = solve(draws, observed, np.asarray(q.loc, float), np.asarray(q.factor(), float), budget, seed, late)
        except KeyboardInterrupt:
            words = f"stopped by the user while refining; {result.message}"
            return replace(result, calls=result.calls + draws.calls, status="stopped", message=words)
    calls, failures = result.calls + draws.calls, {"non-finite": result.failures["non-finite"] + draws.failed}
    result = replace(result, calls=calls, failures=failures)
    if not np.isfinite(found.moved):
        words = "refining found no solution near the adversarial fit, which therefore stands, without errors"
        return replace(result, status="budget", message=f"{words}; a larger budget may help.")
    factor = result.proposal.factor() if found.spread is None else floored(found.spread, 1e-3)
    moved = eqx.tree_at(lambda q: q.loc, q, jnp.asarray(found.loc, q.loc.dtype))
    words = f"the last step was {found.moved:.1f} standard errors long; simulations widen the errors by a factor "
    return replace(
        result, proposal=moved.with_factor(jnp.asarray(factor, q.loc.dtype)), estimate=found,
        status="converged" if found.moved <= STILL else "budget", message=f"{words}{found.limit:.2f}.",
    )  # fmt: skip


def _observations(x_obs: ArrayLike, inputs: ArrayLike | None, space: Any) -> tuple[np.ndarray, np.ndarray | None]:
    x = validate_observations(x_obs)
    c = None if inputs is None else validate_observations(inputs, "inputs")
    if c is not None and len(c) != len(x):
        raise ValueError(f"inputs must have one row per observation: x_obs has {len(x)}, inputs {len(c)}.")
    if not isinstance(space, Space):
        raise ValueError(f"space must be an avo.Space, e.g. avo.Space(mu=avo.Interval(-3, 3)); got {space!r}.")
    _check_precision(x, space)
    if len(x) < 5 * space.dim:
        warnings.warn(
            f"{len(x)} observations for {space.dim} parameter{'s'[: space.dim > 1]}: avo fits many observations of one "
            "theta, at least 5 per parameter. For the posterior of a single observation use a posterior tool such as "
            "sbi or BayesFlow.",
            stacklevel=3,
        )
    return x, c


def _check_precision(x: np.ndarray, space: Space) -> None:
    """Refuse ranges, and warn of data, of which floating-point numbers that far from zero resolve less than 1/1000."""
    dtype = jnp.result_type(float)
    eps = float(jnp.finfo(dtype).eps)
    for name, p in zip(space.names, space, strict=True):
        low, high = p.support
        if np.isfinite(high - low) and eps * max(abs(low), abs(high)) > 1e-3 * (high - low):
            raise ValueError(
                f"space: {name} in ({low}, {high}) is too narrow so far from zero for {dtype} numbers; let it count "
                "from an offset, or set jax.config.update('jax_enable_x64', True)."
            )
    sd, far = x.std(0), np.abs(x.mean(0))
    if np.any((sd > 8 * np.finfo(float).eps * far) & (1e-3 * sd < eps * far)):
        warnings.warn(
            f"x_obs varies too little so far from zero for {dtype} numbers; subtract an offset from data and "
            "simulations, or set jax.config.update('jax_enable_x64', True).",
            stacklevel=4,
        )


def _digest(*arrays: np.ndarray | None) -> str:
    return hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays if a is not None)).hexdigest()


def _loop(
    simulate: Any,
    trainer: Trainer,
    settings: Settings,
    space: Space,
    x: np.ndarray,
    chunk: int,
    key: PRNGKeyArray,
    state: State,
    history: list[Info],
    late: list[Drawn],
    reuse: int,
    folder: _Folder | None,
    progress: bool,
) -> Result:
    run_chunk = _host_chunk if isinstance(simulate, HostSimulator) else _compiled_chunk
    steps, status, cut = int(state.horizon), "", 0
    window = min(steps // LEAST_STEPS, CHUNK)  # so many steps decide whether a simulator is of use
    # tqdm's None: silent when not on a terminal
    bar = tqdm(
        total=steps, initial=int(state.step), unit=" steps", disable=None if progress else True, dynamic_ncols=True
    )
    try:
        with bar:
            while int(state.step) < steps:
                state, (info, asked) = run_chunk(simulate, trainer.ask, trainer.tell, settings, chunk, key, state)
                history.append(jax.tree.map(np.asarray, info))
                if int(state.step) > steps - reuse:
                    late.append(Drawn.of(*jax.tree.map(lambda a: np.asarray(a).reshape((-1, *a.shape[2:])), asked)))
                share = np.concatenate([i.failed for i in history[-window:]])[-window:].mean() / settings.calls
                if share == 1 and int(state.step) == window:
                    raise _useless(history[0], space, window * settings.calls)
                if not (np.isfinite(history[-1].gap).all() and np.isfinite(history[-1].u).all()):
                    status = "not finite"
                    break
                # Not before the first window is done: a simulator of no use leaves the folder free for the next try
                if folder is not None and int(state.step) >= window:
                    folder.save(state, history, late)
                bar.update(chunk)
                if not bar.disable:
                    now = zip(space.names, np.asarray(space.constrain(state.proposal.loc)), strict=True)
                    words = ", ".join(f"{name}={value:.4g}" for name, value in now)
                    calls = int(state.step) * settings.calls
                    bar.set_postfix_str(f"gap {history[-1].gap.mean():.3g}, {calls:,} calls, {words}")
                if share > 0.9 and int(state.step) >= window:
                    status = "failed"
                    break
        if folder is not None and not status:
            folder.save(state, history, late, force=True)  # refining may take long, and be stopped
    except KeyboardInterrupt:
        if not history:
            raise
        # How far the user's simulator came in the step that was cut short is not known: it counts in full
        status, cut = "stopped", settings.calls if isinstance(simulate, HostSimulator) else 0
        if folder is not None:
            folder.save(state, history, late, force=True)
    return _result(settings, space, x, state, history, status, cut)


def _useless(first: Info, space: Space, calls: int) -> ValueError:
    theta = dict(zip(space.names, np.asarray(space.constrain(first.u[0])).tolist(), strict=True))
    return ValueError(
        f"simulate returned NaN or infinity in all of its first {calls} draws, at parameters such as {theta}; "
        "check that it works there, or narrow the space."
    )


def _moving(settings: Settings, space: Space, info: Info) -> str:
    """Name the parameters whose mean over the averaged steps' first half differs from that of their second half."""
    late = max(2, int(max(settings.average, 0.1) * len(info.u)))
    u, sd = info.u[-late:], info.sd[-late:]
    drift = np.abs(u[late // 2 :].mean(0) - u[: late // 2].mean(0))
    # A short run may creep for want of steps: about rate * sd a step
    reach = settings.proposal_rate[1] * sd.sum(0) / 2
    enough = np.minimum(np.maximum(0.1, sd[-1]), 0.25 * reach)
    return ", ".join(name for name, d, limit in zip(space.names, drift, enough, strict=True) if d > limit)


def _result(
    settings: Settings, space: Space, x: np.ndarray, state: State, history: list[Info], status: str, cut: int
) -> Result:
    info: Info = jax.tree.map(lambda *a: np.concatenate(a), *history)
    done, calls, failed = int(state.step), int(state.step) * settings.calls + cut, int(info.failed.sum())
    message = {
        "not finite": f"the critic or the proposal was not finite around step {done}; the estimate is of no use.",
        "failed": f"more than 90 % of the simulations were not finite around step {done}; the estimate is of no use.",
        "stopped": f"stopped by the user after {done} of {int(state.horizon)} steps.",
    }.get(status, "")
    if not status and (moving := _moving(settings, space, info)):
        status, message = "budget", f"{moving} still moved at the end of {done} steps; a larger budget may help."
    elif not status and done < FEW_STEPS:
        status, message = "budget", f"{done} steps are few, at least {FEW_STEPS} are usual; a larger budget may help."
    elif not status:
        last = int(max(settings.average, 0.1) * done)
        status, message = "converged", f"the estimate stood still over the last {last} of {done} steps."
    return Result(
        space=space,
        proposal=state.average,
        critic=state.critic,
        calls=calls,
        failures={"non-finite": failed},
        status="failed" if status == "not finite" else status,  # pyright: ignore[reportArgumentType]
        message=message,
        history={
            "calls": settings.calls * np.arange(1, done + 1),
            "gap": np.asarray(info.gap),
            "failed": np.asarray(info.failed),
            "u": np.asarray(info.u),
            "sd": np.asarray(info.sd),
            "theta": np.asarray(space.constrain(info.u)),
        },
        x_shape=x.shape[1:],
        settings=asdict(settings),
    )
