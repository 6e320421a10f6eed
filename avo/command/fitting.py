"""`avo fit`: from the words of the command to a fit, its folder and its report.

A fit leaves in its folder

    result.json, arrays.npz   the result, for `avo.load`; the history is in it
    command.json              the command, its options and the version
    calls.sqlite              the calls of a simulator outside JAX, for `--resume` and `avo replay`
    fit.json                  what `--resume` compares before it continues
    history.png               gap and parameters against simulator calls
    predictive.png            observed beside simulated data
    encoded.csv               with --index: E[theta | x] of each row, under its name
    check.png                 how observations that it has not seen compare, from `avo check`
    report.html               a page for colleagues, from `avo report`

and ends with exit status 0 for an answer, 3 for a fit without one, which is reported all the same.
"""

import shlex
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

import avo
from avo import checks
from avo.command.options import (
    Key,
    Observations,
    Option,
    Quiet,
    Seed,
    Set,
    Workers,
    known_or_file,
    refuse_reading_options,
    run_folder,
)
from avo.command.programs import keep_programs
from avo.command.stopping import kept

if TYPE_CHECKING:
    from avo.clock import Clock

NO_ANSWER = 3  # exit status; 1 is an unexpected error's, 2 a mistake's


def fit(
    simulator: Annotated[
        str,
        typer.Argument(
            help="A simulator of `avo list`, or your own: path/to/file.py:function.", autocompletion=known_or_file
        ),
    ],
    *,
    data_: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help="Observations, a row each: .npy .npz .csv(.gz) .txt .dat .parquet .feather WFDB; left out: simulated.",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run; left out: runs/NAME-1, -2, ...")] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="CALLS|TIME",
            help="Simulator calls of the fit, 1e4 or 10k, or a time: 2h; pictures take 1000 more, in NumPy 201.",
        ),
    ] = None,
    seed: Seed = 0,
    target: Annotated[
        Literal["point", "population"], typer.Option(help="One theta for all observations, or each its own.")
    ] = "point",
    columns: Annotated[
        str | None, typer.Option(help="Columns of the file to take, names or numbers from 0: close or 0,3.")
    ] = None,
    key: Key = None,
    log_windows: Annotated[
        int | None,
        typer.Option(
            min=1, help="Cut a price series into paths of log price, each of so many steps; time then counts in steps."
        ),
    ] = None,
    inputs: Annotated[
        str | None, typer.Option(help="Columns of known conditions, for simulate(key, theta, inputs): dose or 0,3.")
    ] = None,
    groups: Annotated[
        str | None, typer.Option(help="Column of labels of clusters: rows that depend on one another share one.")
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="Column of importance weights: how much each row stands for.")
    ] = None,
    missing: Annotated[
        bool,
        typer.Option("--missing", help="Empty cells, NA and NaN are missing values; shorter rows lack ends."),
    ] = False,
    index: Annotated[
        str | None,
        typer.Option(help="Column that names the rows: no observation; encoded.csv has E[theta | x] of each."),
    ] = None,
    decimal: Annotated[str | None, typer.Option(help="Decimal sign of a text file; left out: seen from it.")] = None,
    axis: Annotated[
        list[str] | None,
        typer.Option(
            "--axis",
            metavar="NAME[UNIT]=...",
            help="An axis of x: time[s]=0:0.004 (first, step), dose[mg]=1,2,5 (rising) or lead=I,II; one for each.",
        ),
    ] = None,
    quantity: Annotated[
        str | None,
        typer.Option(metavar="NAME[UNIT]", help="What x measures, for pictures and report: concentration[mg/l]."),
    ] = None,
    space: Annotated[
        str | None,
        typer.Option(
            help="Parameters of a simulator of your own: 'rate=loginterval(.1,10,unit=1/s); k=interval(0,3)'; also "
            "real, positive, phase=angle(360,unit=deg) on a circle, n=count(1,30) of whole numbers."
        ),
    ] = None,
    option: Option = None,
    preset: Annotated[
        str | None,
        typer.Option(help="full, of ecg: all waves of recorded beats, of one lead or several, ranges from the data."),
    ] = None,
    range_: Annotated[
        list[str] | None,
        typer.Option("--range", metavar="NAME=LOW,HIGH", help="Own bounds of a parameter; repeatable."),
    ] = None,
    fix: Annotated[
        list[str] | None, typer.Option("--fix", metavar="NAME=VALUE", help="A parameter that is known; repeatable.")
    ] = None,
    prior: Annotated[
        list[str] | None,
        typer.Option(
            "--prior", metavar="NAME=VALUE,ERROR", help="What another measurement says of a parameter; repeatable."
        ),
    ] = None,
    refine: Annotated[
        bool, typer.Option("--refine/--no-refine", help="Learned scores after the adversarial fit: errors.")
    ] = True,
    workers: Workers = None,
    max_failures: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of failed calls beyond which the fit of a simulator outside JAX stops."),
    ] = 0.5,
    stored: Annotated[
        Path | None,
        typer.Option(help="Simulations that are there already, .npz with theta and x: nothing else is simulated."),
    ] = None,
    n: Observations = 1000,
    set_: Set = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Continue the run in --out: where it was stopped, or with a larger --budget."),
    ] = False,
    quiet: Quiet = False,
    profile: Annotated[bool, typer.Option("--profile", help="Print where the time went, stage by stage.")] = False,
) -> None:
    """Fit a simulator to observations, and draw how well it went.

    \b
    avo fit ecg                                  fits simulated heartbeats, and prints the truth beside the estimates
    avo fit ecg --set r_amp=0.9 --out runs/low   at other parameters
    avo fit poisson --data counts.csv            your observations
    avo fit decay.py:simulate --data decay.npy   your simulator

    Your file says the parameters in `space = avo.Space(...)`, or --space does. Your function is simulate(key, theta) in
    JAX, for many rows of theta at once, or simulate(rng, theta) in NumPy, for one theta, or a program, by
    avo.from_command; known conditions, --inputs, come as its third argument.

    Windows of minutely prices, sigma per square root of a minute:

    \b
    avo fit brownian --data prices.csv.gz --columns close --log-windows 180 \\
        --range mu=-1e-3,1e-3 --range sigma=1e-5,1e-1

    The folder of the run gets the result and pictures; `avo report RUN` then writes a page, report.html, into it, and
    `avo check RUN` holds the fit against observations that it has not seen.

    Exit status: 0 for an answer, that is "converged", or "undetermined" with a finite error of something;
    3 for a fit without one, such as "misfit" or "budget", whose report and folder are there all the same; 2 for a
    mistake in the command.
    """  # fmt: skip
    calls = _budget(budget)
    options = {name: value for name, value in locals().items() if name != "calls"} | {"budget": calls}
    if data_ is not None and set_:
        raise ValueError("--set says the truth of simulated observations; leave it out with --data.")
    refuse_reading_options(
        data_, columns, key, log_windows, inputs, groups, index, decimal, weights, missing or None, axis
    )
    name = Path(simulator.rpartition(":")[0] or simulator).stem
    out = run_folder(name, out, resume)
    keep_programs()
    from avo.command import naming, outcome, presets, sources

    measured = naming.measured(quantity)

    clock = _clock() if profile else None
    with kept(out), clock or nullcontext():
        reading = sources.Reading(columns, key, log_windows, inputs, groups, index, decimal, weights, missing, axis)
        begin = None
        if preset is None:
            task = sources.task_of(
                simulator, option, range_, data_, reading, space=space, truth=set_, fix=fix, prior=prior, n=n, seed=seed
            )
        else:
            begin = presets.preset_of(
                preset, simulator, data_, reading, option=option, ranges=range_, fix=fix, prior=prior,
                others={"--space": space, "--stored": stored, "--target population": target == "population"},
            )  # fmt: skip
            task = begin.task
            typer.echo(begin.words)
        task = task._replace(measured=measured)
        simulate = task.source.simulate if stored is None else sources.stored_of(stored)
        asked = begin.calls if begin is not None and calls is None and not resume else calls
        result = avo.fit(
            simulate, task.x_obs, task.source.space, inputs=task.inputs, groups=task.groups,
            weights=task.weights, missing=missing, target=target, budget=asked, seed=seed, refine=refine,
            proposal=None if begin is None else begin.proposal,
            executor=workers, max_failures=max_failures, out=out, resume=resume, progress=not quiet,
        )  # fmt: skip
        typer.echo(outcome.report(result, task))  # before what needs room on the disk
        with outcome.as_far_as_it_goes(out):
            outcome.write_command(out, options, task, result)
            written = outcome.draw(out, result, task, seed, workers) if stored is None else []
            written += outcome.encode(out, result, task)
            written += [] if begin is None else [presets.write_beats(out, begin)]
            typer.echo("\n" + "\n".join(map(str, written)))
    if log_windows is not None:
        typer.echo("\n" + outcome.increments(task.observed))
    if clock is not None:
        typer.echo(f"\n{clock}")
    if result.status == "stopped":
        typer.echo(f"continue it: the same command with --resume --out {out}")
    if all((out / name).is_file() for name in ("result.json", "command.json")):
        typer.echo(f"\na page for colleagues, with sliders: avo report {shlex.quote(str(out))}")
    if not result.answered:
        raise typer.Exit(NO_ANSWER)


def _clock() -> "Clock":
    """Make a clock for what follows; what was spent until now, in seconds of the processor, is `start`."""
    from avo.clock import Clock

    clock = Clock()
    clock.seconds["start"] = time.process_time()
    return clock


def _budget(text: str | None) -> int | str | None:
    """Read a number of calls, or leave a time to the fit."""
    return None if text is None else checks.calls_of("--budget", text, ", or a time such as '2h'") or text
