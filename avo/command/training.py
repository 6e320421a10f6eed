"""`avo latents train` and `avo latents traverse`: the latents of a user's signals, and what each of them does."""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from avo.command.options import Key, Option, Quiet, Seed, run_folder
from avo.command.programs import keep_programs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from avo.command.signals import Signals
    from avo.latents import Trained

HELD = ("train.json", "trained.json")
TAKERS = {"weight": ("beta-tcvae", "factor-vae")}  # objectives of a number that is not called as they are

Columns = Annotated[str | None, typer.Option(help="Columns of the file to take, names or numbers from 0.")]
LogWindows = Annotated[
    int | None, typer.Option(min=16, help="Cut a price series into paths of log price, each of so many steps.")
]
Decimal = Annotated[str | None, typer.Option(help="Decimal sign of a text file; left out: seen from it.")]


def train(
    name_or_file: Annotated[
        str, typer.Argument(help="A simulator of `avo list`, drawn over its space, or a file of signals, one a row.")
    ],
    *,
    recipe: Annotated[
        Literal["ecg-talk", "prices-talk"] | None,
        typer.Option(help="As a talk trained its beta-VAE; left out: the options below."),
    ] = None,
    objective: Annotated[
        Literal["beta", "capacity", "autoencoder", "beta-tcvae", "factor-vae"] | None,
        typer.Option(help="What it is trained by, without --recipe; left out: beta."),
    ] = None,
    beta: Annotated[float | None, typer.Option(min=0, help="Weight of the KL, of objective beta; left out: 4.")] = None,
    weight: Annotated[
        float | None,
        typer.Option(min=0, help="Of the total correlation, of beta-tcvae (left out: 6) and factor-vae (10)."),
    ] = None,
    capacity: Annotated[
        float | None, typer.Option(min=0, help="Nats of KL, of objective capacity; left out: 25.")
    ] = None,
    latents: Annotated[int | None, typer.Option(min=1, help="How many; left out: 10.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="How often each signal is seen; left out: 50.")] = None,
    network: Annotated[
        Literal["mlp", "conv1d"] | None,
        typer.Option(help="Fully connected, or convolutions over time; without --recipe; left out: mlp."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run; left out: latents/NAME-1, -2, ...")] = None,
    columns: Columns = None,
    key: Key = None,
    log_windows: LogWindows = None,
    decimal: Decimal = None,
    groups: Annotated[
        str | None, typer.Option(help="Column of whose each row is: none of them is on both sides of the split.")
    ] = None,
    factors: Annotated[
        str | None,
        typer.Option(help="Columns of what made each signal, after which latents are named; of .npz, an array."),
    ] = None,
    axis: Annotated[
        list[str] | None,
        typer.Option("--axis", metavar="NAME[UNIT]=...", help="An axis of a signal: time[s]=0:0.004; one for each."),
    ] = None,
    option: Option = None,
    n: Annotated[int, typer.Option("--n", min=40, help="Signals to simulate.")] = 2000,
    seed: Seed = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the training in --out, to the same bits.")] = False,
    quiet: Quiet = False,
) -> None:
    """Train a beta-VAE on your signals, and say what its latents do.

    Three in ten signals are kept out, whole groups with --groups; R^2 is printed for both sides, beside that of
    principal components, then what each latent changes, which repeat each other, and what they are near.

    \b
    avo latents train ecg                                          simulated heartbeats
    avo latents train beats.npz --groups subject --recipe ecg-talk
    avo latents train prices.csv.gz --columns close --log-windows 180 --recipe prices-talk
    """
    numbers = {"beta": beta, "capacity": capacity, "weight": weight}
    _check(recipe, objective, numbers, network)
    out = run_folder(Path(name_or_file).name.partition(".")[0], out, resume, "latents", HELD)
    keep_programs()
    from avo import latents as library
    from avo.command import signals, sources

    reading = sources.Reading(columns, key, log_windows, factors, groups, decimal=decimal, axis=axis or None)
    chooses = recipe is None
    found = signals.signals_of(
        name_or_file, option, reading, n, seed, (0.7, 0.15, 0.15) if chooses else (0.7, 0.0, 0.3)
    )
    keywords, words = _keywords(recipe, objective or "beta", numbers, latents, network or "mlp")
    keywords |= {} if epochs is None else {"epochs": epochs}
    validation = found.x[found.validation] if len(found.validation) else None
    try:
        trained = library.train(
            x=found.x[found.train], validation=validation, seed=seed, out=out, resume=resume, progress=not quiet,
            **keywords,
        )  # fmt: skip
    except KeyboardInterrupt as stop:
        kept = f"{stop}.\ncontinue it: the same command with --resume --out {out}" if str(stop) else "nothing was kept"
        typer.echo(kept if str(stop) else f"stopped; {kept}.", err=True)
        raise
    found.keep(out)
    said = signals.findings(trained, found, words)
    typer.echo(said)
    from avo.folder import write_bytes

    write_bytes(out / "findings.txt", (said + "\n").encode())
    drawn = {"history.png": library.plots.history(trained)} | _pictures(trained, found, int(found.new[0]))
    typer.echo("\n" + "\n".join(str(_write(out / file, figure)) for file, figure in drawn.items()))
    typer.echo(f"another signal: avo latents traverse {out} --signal 1")


def traverse(
    run: Annotated[Path, typer.Argument(help="The folder of avo latents train.")],
    *,
    signal: Annotated[int, typer.Option(min=0, help="Which signal, from 0: of those kept out, or of --data.")] = 0,
    data_: Annotated[
        Path | None, typer.Option("--data", help="Another file of signals, read as that of the run was.")
    ] = None,
    columns: Columns = None,
    key: Key = None,
    log_windows: LogWindows = None,
    decimal: Decimal = None,
    out: Annotated[
        Path | None, typer.Option(help="Picture to write, .png .pdf .svg; left out: RUN/traversals-K.png.")
    ] = None,
) -> None:
    """Draw one signal in black, and what becomes of it when one latent moves from -3 to 3, a panel a latent.

    Latents that change nothing are left out. Of a simulator's signals, a second picture has its parameters.

    \b
    avo latents traverse latents/ecg-1 --signal 3
    avo latents traverse latents/beats-1 --data others.npy --signal 0 --out others.pdf
    """
    from avo.command.options import refuse_reading_options

    refuse_reading_options(data_, columns, key, log_windows, decimal)
    if out is not None and out.suffix not in (".png", ".pdf", ".svg"):
        raise ValueError(f"--out must end in .png, .pdf or .svg; got {out}.")
    trained, kept, row = chosen(run, signal, data_, (columns, key, log_windows, decimal))
    for file, figure in _pictures(trained, kept, row, f"-{signal}").items():
        place = run / file
        if out is not None:
            place = out if file.startswith("trav") else out.with_name(f"{out.stem}-parameters{out.suffix}")
        typer.echo(str(_write(place, figure)))


def chosen(
    run: Path, signal: int, file: Path | None, asked: tuple[str | None, str | None, int | None, str | None]
) -> "tuple[Trained, Signals, Any]":
    """Read a run and choose one signal: the row of one that it keeps, or another file's own signal.

    Args:
        run: the folder of avo latents train.
        signal: which, from 0.
        file: another file; None: of the signals that the run kept out.
        asked: how to read it: --columns, --key, --log-windows and --decimal; none of them: as the run's was read.
    """
    from avo import latents as library
    from avo.command import signals, sources

    kept = signals.Signals.kept(run)
    trained = library.load(run)
    keep_programs()
    if file is None:
        x, where = kept.x[kept.new], f"{run} keeps {len(kept.new)} new signals"
    else:
        columns, key, log_windows, decimal = asked
        reading = sources.Reading(columns, key, log_windows, decimal=decimal)
        x = sources.read(file, reading if any(reading) else signals.like(kept.reading, file), signals.GAP).x
        signals.unlike(x, str(file), trained.model.x_shape)
        where = f"{file} has {len(x)} signals"
    if signal >= len(x):
        raise ValueError(f"--signal must be at most {len(x) - 1}: {where}, counted from 0; got {signal}.")
    return trained, kept, int(kept.new[signal]) if file is None else x[signal]


def _check(recipe: str | None, objective: str | None, numbers: dict[str, float | None], network: str | None) -> None:
    """Refuse what would have no effect."""
    given = {"--objective": objective, "--network": network} | {f"--{name}": value for name, value in numbers.items()}
    said = [name for name, value in given.items() if value is not None]
    if recipe is not None and said:
        raise ValueError(f"--recipe {recipe} says all but --latents and --epochs; leave out {', '.join(said)}.")
    for name, value in numbers.items():
        takers = TAKERS.get(name, (name,))
        if value is not None and (objective or "beta") not in takers:
            said = " or ".join(takers)
            raise ValueError(f"--{name} is of --objective {said}; got --objective {objective or 'beta'}.")
    if objective == "beta-tcvae" and numbers["weight"] is not None and numbers["weight"] < 1:
        raise ValueError(f"--weight must be at least 1 for --objective beta-tcvae; got {numbers['weight']:g}.")


def _keywords(
    recipe: str | None, objective: str, numbers: dict[str, float | None], latents: int | None, network: str
) -> tuple[dict[str, Any], str]:
    """Make the keywords of `avo.latents.train`, and the words that say what is trained."""
    from functools import partial

    from avo import latents as library

    more = {} if latents is None else {"latents": latents}
    if recipe is not None:
        keywords = library.recipe(recipe)
        return keywords | {"model": partial(keywords["model"], **more)}, f"beta-VAE, recipe {recipe}"
    usual = {"beta": 4.0, "capacity": 25.0, "weight": 6.0 if objective == "beta-tcvae" else 10.0}
    beta, capacity, weight = (usual[n] if (given := numbers[n]) is None else given for n in usual)
    made = {
        "beta": (lambda: library.beta(beta), f"beta-VAE, beta {beta:g}"),
        "capacity": (lambda: library.capacity(gamma=100.0, C=capacity), f"beta-VAE, capacity {capacity:g} nats"),
        "autoencoder": (library.autoencoder, "autoencoder"),
        "beta-tcvae": (lambda: library.beta_tcvae(weight), f"beta-TCVAE, weight {weight:g}"),
        "factor-vae": (lambda: library.factor_vae(weight), f"FactorVAE, weight {weight:g}"),
    }
    model = partial(library.BetaVAE.for_data, network=network, **{"latents": 10} | more)
    make, words = made[objective]
    return {"model": model, "objective": make()}, words


def _pictures(trained: "Trained", signals: "Signals", row: Any, suffix: str = "") -> "dict[str, Figure]":
    """Draw a signal, a row of the run's own or another one, and its latents; of a simulator's, its parameters."""
    from avo.latents import plots

    own = isinstance(row, int)
    x = signals.x[row] if own else row
    described = signals.describe(trained)
    drawn = {f"traversals{suffix}.png": plots.traversals(trained, x, description=described, **signals.drawn)}
    if own and (problem := signals.problem) is not None:
        drawn[f"parameters{suffix}.png"] = plots.parameters(problem, signals.factors[row], x)
    return drawn


def _write(path: Path, figure: "Figure") -> Path:
    from avo.folder import write_bytes

    image = io.BytesIO()
    figure.savefig(image, format=path.suffix[1:], dpi=100)
    write_bytes(path, image.getvalue())
    return path
