"""What a fit returns: the estimate, whether to believe it, and how it came about."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from avo import checks, exports, summary
from avo.adversarial.critic import describe
from avo.checks import between, whole
from avo.coherent import agree, are_words
from avo.containers import Axis, Held, Quantity
from avo.execution.failures import Failures
from avo.folder import (
    ARRAYS,
    arrays_of,
    damaged,
    read_arrays,
    read_stamped,
    refuse_others,
    stamped,
    unfinished,
    writable,
    write_arrays,
    write_json,
)
from avo.gaps import Gaps
from avo.observations import show
from avo.refine.custom import Only
from avo.refine.estimate import Estimate, Population
from avo.refine.identifiability import Combination, Identifiability
from avo.refine.kept import Kept
from avo.refine.modes import Mode
from avo.refine.sensitivity import Sensitivity, sensitivity_of
from avo.saving import described, parts, to_files
from avo.singles import encoded
from avo.space import Space
from avo.types import Frame, Statistic

AT_BOUND = 3.0  # |u| of a parameter with two bounds that lies within 5 % of one
Status = Literal["converged", "undetermined", "misfit", "budget", "stopped", "failed"]


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """A finished fit.

    Args:
        space: the parameters.
        proposal: the fitted proposal q(u; psi), averaged over late steps.
        critic: the last critic; None of stored pairs, which have none.
        calls: simulator calls spent.
        failures: kind of failure -> number of calls; `.summary()` says where they lie, with examples.
        status: how far the answer may be believed, in one word. "converged": every parameter has an error, and
            simulations at the estimate reproduce the observations; "undetermined": so, but the observations do not
            identify all parameters, or several solutions fit equally well (`modes`); "misfit": simulations at the
            estimate do not reproduce the observations; "budget": more calls may help, or errors were not asked for;
            "stopped", by the user; "failed". Where several hold, the first of failed, stopped, misfit, undetermined,
            budget.
        message: the sentence why.
        history: name -> array over steps: calls, gap, failed; theta, u and sd with one column per parameter.
        x_shape: shape of one observation.
        settings: the numbers of the algorithm, by name.
        frame: the units in which the critic sees x.
        estimate: what refining found, in u (avo/refine/estimate.py); None without it.
        seed: of the fit.
        data: hash of the observations, their conditions and clusters (`avo.folder.digest`).
        elsewhere: solutions besides the answer that fit as well; `modes` holds all.
        axes: names of x's entries, an `Axis` for each axis of one observation, where x_obs brought some.
        input_axes: the same of its known conditions.
        quantity: what x measures, a name and a unit, where x_obs said so.
        labels: names of the observations, of at most 1000, where x_obs had an index.
        gaps: which values of x may be missing, where some were (avo/gaps.py); else None.
        weighted: number of observations with a weight above zero, and of equal ones that say as much, (sum w)^2 /
            sum w^2; None without weights.
        lacking: number of values of x_obs that are missing, and of all; None where none is, or it is not known.
        phases: calls of "search", "steps", "refine" and, of a fit that went on, "further", in this order; empty where
            they are not known.
        budget: calls that the fit was given; None: as many as its parts have use for.
        mean: the simulator's mean, theta (d,) -> x, where the simulator brought one (`problem.simulate`); in no file.
    """

    space: Space
    proposal: Any
    critic: Any
    calls: int
    failures: Failures
    status: Status
    message: str
    history: Mapping[str, np.ndarray]
    x_shape: tuple[int, ...]
    settings: Mapping[str, Any]
    frame: Frame | None = None
    estimate: Estimate | None = None
    seed: int | None = None
    data: str | None = None
    elsewhere: tuple[Mode, ...] = ()
    axes: tuple[Axis, ...] = ()
    input_axes: tuple[Axis, ...] = ()
    quantity: Quantity = Quantity()
    labels: tuple[str, ...] = ()
    gaps: Gaps | None = None
    weighted: tuple[int, float] | None = None
    lacking: tuple[int, int] | None = None
    phases: Mapping[str, int] = field(default_factory=dict)
    budget: int | None = None
    mean: Callable[[Array], Array] | None = None

    def __repr__(self) -> str:
        errors = np.zeros(len(self.names)) if self.stderr is None else self.stderr
        rows = zip(self.names, self.theta, errors, self.space.counts, strict=True)
        said = {n: "open" if np.isinf(e) else f"{value:.{'0f' if count else '5g'}}" for n, value, e, count in rows}
        values = ", ".join(f"{name}={value}" for name, value in said.items())
        return f"Result({values}; {self.status} after {self.calls:,} calls)"

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the free parameters, in the order of theta."""
        return self.space.names

    @property
    def theta(self) -> Float[np.ndarray, " d"]:
        """Estimate in physical units, constrain(loc), with shape (d,); a count is a whole number."""
        return np.asarray(self.space.nearest_whole(self.space.constrain(self.proposal.loc)))

    @property
    def stderr(self) -> Float[np.ndarray, " d"] | None:
        """Standard error of theta, |d theta / du| times that of u, infinite for what the data do not identify.

        It holds the spread of the observations and that of the simulations (avo/refine/point.py). None without
        refining: the width of q is not an error.
        """
        return None if self.estimate is None else self.estimate.stderr(self.space)

    @property
    def by_data(self) -> Mode | None:
        """Estimate by the data alone, with `theta`, `stderr` and `p_value`, where `prior=` says more; else None.

        It is one step of the equation from where both together lead; if the data lead more than three of their standard
        errors away from there, one from simulations where they lead (avo/refine/point.py).
        """
        if self.estimate is None or self.estimate.alone is None:
            return None
        return Mode.of(self.estimate.by_data, self.space)

    @property
    def answered(self) -> bool:
        """Whether the fit is an answer: "converged", or "undetermined" with some error, if of a combination."""
        if self.status == "undetermined":
            return self.stderr is not None and (bool(np.isfinite(self.stderr).any()) or bool(self.combinations()))
        return self.status == "converged"

    @property
    def modes(self) -> tuple[Mode, ...]:
        """Solutions of equal misfit that the fit found, the answer first: one entry where there is no other.

        Each has `theta`, `stderr` and `p_value`. Errors and intervals of the result are those of the answer: of
        solutions that fit equally well the one nearest to `start=`, else the one of least misfit in the search, by
        chance alone. Empty without refining, and for a population.
        """
        if self.estimate is None or self.estimate.population_covariance is not None:
            return ()
        return (Mode.of(self.estimate, self.space), *self.elsewhere)

    def interval(self, level: float = 0.9) -> Float[np.ndarray, "d 2"]:
        """Confidence interval of each parameter, with shape (d, 2).

            theta(w - q sd), theta(w + q sd)

        with q Student's quantile and w the place of the estimate in its range (avo/refine/linear.py), of a population
        and of parameters without two bounds u. What lies beyond a bound is cut off, so that the bound itself is the
        other end of a one-sided limit. For what the data do not identify it is the support.

        Ends of an angle are values modulo its period, in one piece around the estimate: (-3, 8) or (352, 363), never
        (357, 8). Ends of a count are whole numbers, both inside.

        Raises:
            ValueError: if the fit has no error, or the level is not between 0 and 1.
        """
        return self._refined("interval").interval(self.space, between("level", level, 0, 1, "()"))

    @property
    def at_bound(self) -> tuple[str, ...]:
        """Names of the parameters whose estimate is within 5 % of an end of its range, in the parameter's own scale.

        What the data do not identify lies anywhere, and is not among them, unless the observations are those of no
        theta inside, or of a population: beyond the end there may be one.
        """
        beyond = self.status == "misfit" or self.settings.get("target") == "population"
        stderr = None if beyond else self.stderr
        told = np.full(len(self.names), True) if stderr is None else np.isfinite(stderr)
        near = np.array(self.space.bounded) & (np.abs(np.asarray(self.proposal.loc)) > AT_BOUND)
        return tuple(name for name, there in zip(self.names, near & told, strict=True) if there)

    @cached_property
    def population(self) -> Population | None:
        """Moments of a population in physical units and in u, with standard errors; None for a point."""
        if self.settings.get("target") != "population":
            return None
        return None if self.estimate is None else self.estimate.population(self.space)

    @property
    def kept(self) -> Kept | None:
        """Simulations near the estimate, up to 20,000 of the fit's own, and what the observations look like beside.

        Each x is there as at most 120 numbers of it (`avo.refine.kept.view_of`); of the observations up to 1,000 rows,
        seen the same way, and the moments of all; beside both their known conditions, and the observations' weights.
        None without refining.
        """
        return None if self.estimate is None else self.estimate.kept

    def identifiability(self) -> Identifiability:
        """Directions with how well the data identify each, the worst first; print them."""
        return self._refined("identifiability").identifiability(self.space)

    def combinations(self) -> tuple[Combination, ...]:
        """What the data identify of parameters only together, each with its error: a + 2 b where neither is known."""
        return self._refined("combinations").combinations(self.space)

    def sensitivity(self) -> Sensitivity:
        """Which parts of x decide each parameter, without new simulations; print it (avo/refine/sensitivity.py).

        A part is a column of x, by its name where it has one; of a series a window of an eighth of it, by channels; of
        an image one of 4 x 4 patches. Of each, the error of each parameter when it is left out, in units of that by all
        parts, by how much the estimate changes then, with the change's own error, and the error by it alone. It is all
        by the data alone, from the rows in `kept`: those of the observations are 1,000 at most. Known conditions, and
        which values are missing, are given whatever part is left out. Of a population it is told of one row: what the
        parts of its x leave of its own theta, and by how much the population's median changes without a part.

        Raises:
            ValueError: if the fit was not refined, is one of stored pairs, kept too few simulations, or had `inputs=`
                or `weights=` in a version of avo that did not keep them.

        Example:
            >>> import avo, jax
            >>> space = avo.Space(mu=avo.Interval(-3, 3))
            >>> simulate = lambda key, theta: theta[:, [0, 0, 0]] + jax.random.normal(key, (len(theta), 3))
            >>> x_obs = np.random.default_rng(0).normal(1.0, 1.0, (200, 3))
            >>> result = avo.fit(simulate, x_obs, space, budget=20_000, progress=False)
            >>> found = result.sensitivity()
            >>> found.parts, all(abs(float(ratio) - 1.22) < 0.2 for ratio in found.without[:, 0])  # sqrt(3 / 2)
            (('x[0]', 'x[1]', 'x[2]'), True)
        """
        return sensitivity_of(self)

    def encode(self, x: Held, inputs: Held | None = None, *, refine: "bool | Callable[[Array], Array]" = False) -> Any:
        """Estimate the parameters of single observations, E[theta | x], under a reference N(loc, factor factor^T) in u.

        The reference is `estimate.reference`: for a population that of the last comparison, the fitted one with its
        standard deviations kept above a floor of .05 to .5 in u; for a point one that is twice as wide as what one
        observation leaves, at most half a unit of u. E[theta | x] shrinks towards its mean, the more
        the less x says. What a regression gives beyond the support is the bound. Of an angle it is the direction
        of E[(cos, sin) | x], between 359 and 1 degrees 0; of a count a mean, not whole.

        Args:
            x: observations, with shape (n, *x_shape); of a DataFrame the columns of the fit, by name. NaN is missing
                where values were missing in the fit, but none that never were.
            inputs: their known conditions, where the fit had any.
            refine: whether to go on from there by optimisation, to the maximum of each observation's likelihood, of a
                population with the fitted one as prior (avo/refine/encoding.py): the simulator's mean, theta (d,) -> x
                in JAX, such as `problem.mean`; or True, the mean that the simulator brought (`problem.simulate`), else,
                of a population, a regression in the simulations that are `kept`, by which little is gained.

        Returns:
            theta, with shape (n, d); of a DataFrame or Series, a DataFrame with its index and the names of theta.

        Raises:
            ValueError: if the fit was not refined, x has another shape or values that are not finite, or the fit used a
                statistic of its own and the result was loaded without it; with `refine`, if the fit had conditions,
                missing values, angles or counts.

        Example:
            >>> import avo, jax, jax.numpy as jnp
            >>> space, t = avo.Space(rate=avo.Interval(0, 5)), jnp.linspace(0.0, 1.0, 20)
            >>> decay = lambda theta: jnp.exp(-theta[0] * t)
            >>> noisy = lambda key, theta: jax.vmap(decay)(theta) + 0.05 * jax.random.normal(key, (len(theta), 20))
            >>> x = np.asarray(noisy(jax.random.key(0), jnp.full((100, 1), 2.0)))
            >>> result = avo.fit(noisy, x, space, budget=20_000, progress=False)
            >>> far = jnp.array([[0.5], [1.0], [4.0]])  # from the answer, 2
            >>> bool(np.abs(result.encode(noisy(jax.random.key(1), far), refine=decay) - far).max() < 0.4)
            True
        """
        return encoded(self, self._refined("encode"), x, inputs, refine)

    def central(self, key: PRNGKeyArray, n: int) -> Float[Array, "n d"]:
        """Draw theta of n observations at the estimate: all the same for a point, from the fitted population else."""
        return self._refined("central").replicate(self.space, key, n, exact=True)

    def replicate(self, key: PRNGKeyArray, n: int) -> Float[Array, "n d"]:
        """Draw theta of n observations at a truth that the estimate's error allows, one truth per key."""
        return self._refined("replicate").replicate(self.space, key, n)

    def view(self, x: np.ndarray, inputs: np.ndarray | None = None) -> np.ndarray:
        """Show x, and its known conditions, as the critic sees them."""
        assert self.frame is not None
        return show(self.frame, x, inputs)

    def _refined(self, name: str) -> Estimate:
        if self.estimate is None:
            raise ValueError(f"{name} needs a fit with refine=True that found a solution; {self.message}")
        return self.estimate

    def sample(self, key: PRNGKeyArray, n: int) -> Float[Array, "n d"]:
        """Draw n thetas from the fitted proposal; for `target="point"` its width says nothing about the error.

        A simulator takes them as `result.space.full(theta)`, with what is fixed.
        """
        return self.space.nearest_whole(self.space.constrain(self.proposal.sample(key, whole("n", n, least=0))))

    def summary(self, truth: np.ndarray | None = None) -> str:
        """Write the estimates as a table, beside the truth where it is known, and warn of what is not known.

        Of a population the table has median and quantiles of theta over it, then mean and standard deviation with their
        standard errors; correlations beyond two standard errors stand below, in u.

        Args:
            truth: known parameters, with shape (d,), for fits of simulated observations.

        Raises:
            ValueError: if truth is not one number for each parameter.
        """
        return summary.text(self, truth)

    def _repr_html_(self) -> str:
        """Show the table of `summary` in a notebook, and the intervals in a small picture."""
        from avo.report.notebook import shown  # Matplotlib, and what is built upon results

        return shown(self)

    def to_dict(self, level: float = 0.9) -> dict[str, Any]:
        """Describe the result by plain values, which JSON can hold; None is what is infinite or not known.

        Args:
            level: of the intervals.

        Returns:
            names, units, theta, fixed (name -> value, unit), stderr, level, intervals (d, 2), support (d, 2), at_bound,
            not_identified (whose theta says only where the fit ended), status, answered, message, calls, failures,
            p_value, modes, combinations, population, seed. Where something else was known: prior (name -> value,
            stderr, of the logarithm with log) and by_data (theta, stderr by the data alone; else None). Of counts
            before_rounding: name -> value, stderr, and by_data_value, by_data_stderr.
        """
        return exports.plain_values(self, level)

    def to_frame(self, level: float = 0.9) -> Any:
        """Make a DataFrame of the estimates: estimate, stderr, low, high, limit, fixed, unit, a row for each parameter.

        Parameters that are fixed have the error 0; what the data do not identify has an infinite one. `limit` says
        which of low and high is a limit, "lower" or "upper", where the other is the bound of the range. Of a population
        the estimate is its median; mean, sd and their errors stand beside it.

        Where something was known beforehand, there are by_data and by_data_stderr, the estimate by the data alone, and
        prior, prior_stderr and prior_log, what was known, or with prior_log the error of its logarithm. A count has
        before_rounding, and by_data_before_rounding, between whole numbers, whose errors are its stderr and
        by_data_stderr; low and high are whole. `attrs` has status, message and level.

        Args:
            level: of the interval from low to high.

        Raises:
            ImportError: if pandas is not installed.
        """
        return exports.frame(self, level)

    def history_frame(self) -> Any:
        """Make a DataFrame of the history, a row for each look at the adversarial fit.

        Columns are calls so far, gap, failed calls, then each parameter's theta under its name, its u as u_NAME, and as
        sd_NAME the proposal's standard deviation in u.

        Raises:
            ImportError: if pandas is not installed.
        """
        return exports.history_frame(self)

    def to_datatree(self, chains: int = 4, draws: int = 1000, *, seed: int = 0, x_obs: Any = None) -> Any:
        """Make an xarray DataTree that ArviZ reads: group `posterior` holds draws of each parameter.

        They are no samples of a posterior: of a point, draws from the normal approximation of the estimate's error, on
        the scale of the errors (docs/errors.md); of a population, theta of its members, from the fitted population. Its
        attributes say so, and name what is not identified, which has the width of the usual start.

        Args:
            chains: first axis of the draws.
            draws: second axis.
            seed: same seed, same draws.
            x_obs: observations, for a group `observed_data`; None: none.

        Raises:
            ImportError: if xarray is not installed, or is older than 2024.10.
            ValueError: if the fit has no error.
        """
        return exports.datatree(self, whole("chains", chains), whole("draws", draws), seed, x_obs)

    def latex(self, level: float = 0.9) -> str:
        r"""Write the estimates as a LaTeX table, for the package booktabs, rounded to two digits of their errors.

        Parameters that are fixed are marked so; where something was known, it stands beside what the data alone say;
        below stands what the data identify of several only together. The first line, a comment, is status and message.

        Args:
            level: of the intervals.
        """
        return exports.latex(self, level)

    def report(self, path: str | Path, *, truth: np.ndarray | None = None) -> Path:
        """Write a page for colleagues: one HTML file with table, pictures and sliders, which opens anywhere, offline.

        Args:
            path: an .html file, or a folder that is there, for report.html in it; a file of that name is replaced.
            truth: known parameters, with shape (d,), for fits of simulated observations.

        Returns:
            The file.

        Raises:
            ValueError: if the path is neither, or truth is not one number for each parameter.
        """
        from avo.report.page import write  # Matplotlib, and what is built upon results

        file = checks.folder("path", path)
        if file.suffix and not file.is_dir():
            writable("path", file)
        return write(self, path, truth)

    def save(self, path: str | Path) -> Path:
        """Write the result into a folder: `result.json` and `arrays.npz`, for `avo.load`.

        Raises:
            FileExistsError: if the folder already holds a result, or an `arrays.npz` of something else.
        """
        folder = checks.folder("path", path)
        if folder.exists() and not folder.is_dir():
            raise FileExistsError(f"{folder} is a file; choose a folder.")
        if (folder / "result.json").exists():
            raise FileExistsError(f"{folder} already holds a result; choose another folder.")
        refuse_others(folder, "proposal")
        self._write(folder, ARRAYS)
        return folder

    def replace(self, folder: Path) -> None:
        """Write the result in the place of an earlier one of the same run, which stays whole until this one is."""
        self._write(folder, f"arrays-{self.calls}.npz")

    def _write(self, folder: Path, name: str) -> None:
        words, arrays = to_files(self)
        checksum = write_arrays(folder / name, arrays)
        # Written last: a folder with result.json is a whole result
        file = {} if name == ARRAYS else {"file": name}
        write_json(folder / "result.json", stamped(words | file | {"arrays": checksum}))

    def __reduce__(self) -> Any:
        """Pickle what files would hold, and what they would not: modules and statistic of the user's own."""
        custom = None if self.estimate is None else self.estimate.statistic.features.custom
        statistic = None if custom is None or custom.statistic is None else custom.statistic
        if statistic is not None and custom is not None and custom.alone:
            statistic = Only(statistic)
        own = (
            None if described(self.proposal) else self.proposal,
            None if describe(self.critic) else self.critic,
        )
        return _rebuilt, (*to_files(self), own, statistic)


def load(path: str | Path, like: Any = None, statistic: Statistic | Only | None = None) -> Result:
    """Read a result that `Result.save`, or a fit with `out=`, wrote.

    Args:
        path: the folder, or `result.json` in it.
        like: where the fit used a custom critic or proposal: a module of the same structure to fill, or a pair
            (proposal, critic) of such.
        statistic: where the fit used a statistic of the user's own: the same, as only `encode` needs.

    Returns:
        The `Result`, equal to the saved one to the bit.

    Raises:
        FileNotFoundError: if the folder holds no result, or a run that is not finished.
        ValueError: if a custom module was used and `like` does not fit it, `statistic` is not the fit's own, or another
            version of avo wrote a format that this one does not know.

    Example:
        >>> import jax, tempfile, avo
        >>> import jax.numpy as jnp
        >>> problem = avo.simulators.get("poisson")
        >>> x_obs = problem.simulate(jax.random.key(0), jnp.full((100, 1), 7.0))
        >>> result = avo.fit(problem.simulate, x_obs, problem.space, budget=2560, progress=False)
        >>> folder = result.save(tempfile.mkdtemp())
        >>> bool(avo.load(folder).theta == result.theta)
        True
    """
    folder = checks.folder("path", path)
    folder = folder.parent if folder.name == "result.json" else folder
    if not (folder / "result.json").is_file():
        raise unfinished(folder) or FileNotFoundError(
            f"{folder} holds no finished result (no result.json); avo.fit(out=...) writes one there."
        )
    words = read_stamped(folder / "result.json")
    file = arrays_of(folder, words)
    if not file.is_file():
        raise damaged(file)
    arrays = read_arrays(file, words.get("arrays"))
    if not are_words(words, get_args(Status)):
        raise damaged(folder / "result.json")
    try:
        result = _rebuilt(words, arrays, like, statistic)
        whole = agree(result, words, arrays)
    except (LookupError, TypeError, AttributeError, ArithmeticError) as error:  # of what is missing, or another thing
        raise damaged(folder / "result.json") from error
    if not whole:
        raise damaged(folder / "result.json")
    return result


def _rebuilt(
    words: dict[str, Any], arrays: dict[str, np.ndarray], like: Any, statistic: Statistic | Only | None
) -> Result:
    """Make a result of the words and arrays of its files."""
    return Result(**parts(words, arrays, like, statistic))
