"""How fast a beta-VAE is trained: seconds for the MLP of the talk, and the same in PyTorch.

A training is 50 epochs over 5,000 curves of 187 points in batches of 64: an MLP of 2 x 256 SiLU units on either side
of 10 latents, Gaussian likelihood, beta = 4, Adam at 5e-4, in single precision. `cold` is the first in a process,
compilation included, `warm` the next, with another seed; on one core and on two. For the ratio, trainings of 10 epochs
by avo, by PyTorch and by PyTorch with its fused Adam are done in turns, and each ratio is the median over the turns. It
is measured on one thread: two threads of PyTorch wait for each other in busy loops, and where anything else runs on the
machine they are many times slower than one. Each task is a number of cores, and has a process of its own that is bound
to as many. Wall times and CPU times (of all threads) are both kept, since other work stretches the former.
"""

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

from avo import latents
from avo.benchmarks.studies.speed import race
from avo.latents import BetaVAE

CURVES, POINTS, LATENTS, WIDTH, NOISE = 5000, 187, 10, 256, 0.1
BATCH, RATE, BETA, EPOCHS = 64, 5e-4, 4.0, 50
TURN, TURNS = 10, 7


def curves(seed: int) -> np.ndarray:
    """Draw damped oscillations of varying frequency, damping, amplitude and offset, with noise of sd .05."""
    rng = np.random.default_rng(seed)
    low, high = np.array([[1, 0.05, 0.5, -1], [3, 0.6, 1.5, 1]])
    w, g, a, o = rng.uniform(low, high, (CURVES, 4)).T[..., None]
    t = np.linspace(0, 10, POINTS)
    return a * np.exp(-g * t) * np.cos(w * t) + o + 0.05 * rng.normal(size=(CURVES, POINTS))


def ours(x: np.ndarray) -> Callable[[int, int], float]:
    """Make a training of so many epochs from a seed, which returns the last epoch's loss."""
    model = partial(BetaVAE.for_data, latents=LATENTS, width=WIDTH, noise=NOISE)

    def run(epochs: int, seed: int) -> float:
        objective = latents.beta(BETA)
        trained = latents.train(
            model, x, objective=objective, epochs=epochs, batch=BATCH, rate=RATE, seed=seed, progress=False
        )
        return float(trained.history["loss"][-1])

    return run


def theirs(x: np.ndarray, fused: bool) -> Callable[[int, int], float]:
    """Make the same training in PyTorch, on one thread."""
    try:
        torch: Any = import_module("torch")
    except ImportError as error:
        raise SystemExit("this study compares with PyTorch, which is not installed: pip install torch") from error
    torch.set_num_threads(1)
    shift = x.mean(0)
    scale = float(np.sqrt(np.mean((x - shift) ** 2)))
    data = torch.from_numpy(((x - shift) / scale).astype(np.float32))
    noise = NOISE / scale
    constant = POINTS * (np.log(NOISE) + 0.5 * np.log(2 * np.pi))
    linear, silu = torch.nn.Linear, torch.nn.SiLU

    def mlp(into: int, out: int) -> Any:
        return torch.nn.Sequential(linear(into, WIDTH), silu(), linear(WIDTH, WIDTH), silu(), linear(WIDTH, out))

    def run(epochs: int, seed: int) -> float:
        torch.manual_seed(seed)
        encoder, decoder = mlp(POINTS, 2 * LATENTS), mlp(LATENTS, POINTS)
        adam = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=RATE, fused=fused)
        losses = []
        for epoch in range(epochs):
            order = torch.randperm(CURVES)
            for i in range(CURVES // BATCH):
                real = data[order[i * BATCH : (i + 1) * BATCH]]
                mean, log_var = encoder(real).chunk(2, dim=1)
                made = decoder(mean + torch.exp(0.5 * log_var) * torch.randn_like(mean))
                error = 0.5 * ((real - made) ** 2).sum() / (noise**2 * BATCH)
                kl = 0.5 * (mean**2 + log_var.exp() - 1 - log_var).sum() / BATCH
                loss = error + BETA * kl
                adam.zero_grad()
                loss.backward()
                adam.step()
                if epoch == epochs - 1:
                    losses.append(loss.detach())
        return float(torch.stack(losses).mean()) + constant

    return run


def _measure(cores: int, seed: int) -> dict[str, Any]:
    x = curves(seed)
    run = ours(x)
    start = {name: race.seconds(lambda s=own: run(EPOCHS, s)) for name, own in (("cold", seed), ("warm", seed + 1))}
    if cores > 1:
        return {"start": start}
    runs = {"avo": run, "torch": theirs(x, fused=False), "torch, fused Adam": theirs(x, fused=True)}
    losses = {name: f"last epoch's loss {r(TURN, seed):.1f}" for name, r in runs.items()}
    ways = {name: race.Way(lambda s, r=r: r(TURN, s), note=losses[name]) for name, r in runs.items()}
    ratios = [(name, "avo") for name in runs if name != "avo"]
    return {"start": start} | race.measure(ways, ratios, TURNS, seed)


def _bound(count: int, seed: int) -> dict[str, Any]:
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < count:
        raise SystemExit(f"this task needs {count} cores; this process may use {len(cores)}.")
    # Before JAX starts its threads, of which it starts one for each core that it may use
    os.sched_setaffinity(0, cores[-count:])
    return _measure(count, seed)


def measure(task: str, seed: int) -> dict[str, Any]:
    """Time the training on so many cores, on one of them beside PyTorch."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_bound, int(task), seed).result()
