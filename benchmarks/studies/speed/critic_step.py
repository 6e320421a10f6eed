"""How fast a critic's update is: against PyTorch's double backward, and against its own matrix products done bare.

A step is one update of an MLP critic, 2 x 128 SiLU units with a linear part, by Adam on the one-sided WGAN-GP loss with
batches of 256 observations and 256 simulations, in 1, 64 and 256 dimensions, in single precision, on one thread. The
bare products are those that XLA's compiled step contains, with the same shapes and layouts, on random numbers, done by
XLA and, to see how good those are, by NumPy's BLAS. PyTorch is installed by `pip install torch`.
"""

import re
from collections.abc import Callable
from importlib import import_module
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from avo import critics
from avo.adversarial import critic as training
from avo.benchmarks.studies.speed import race

BATCH, WIDTH, WEIGHT, RATE = 256, 128, 10.0, 1e-3
STEPS, TURNS = 100, 9
VALUE = re.compile(r"%(?P<name>\S+) = f32\[(?P<shape>[\d,]+)\]")
DOT = re.compile(
    r" dot\(%(?P<a>[^,]+), %(?P<b>[^)]+)\), lhs_contracting_dims=\{(?P<i>\d)\}, rhs_contracting_dims=\{(?P<j>\d)\}"
)


def ours(x: np.ndarray, y: np.ndarray) -> tuple[Callable[[], Any], str]:
    """Make a run of steps, and the text of one compiled step."""
    critic = critics.mlp(jax.random.key(0), x.shape[1:], WIDTH)
    loss, real, fake, w = critics.wasserstein(weight=WEIGHT), jnp.asarray(x), jnp.asarray(y), jnp.ones(BATCH)
    dynamic, static = eqx.partition(training.begin(critic), eqx.is_array)

    def step(dynamic: Any, key: Any) -> tuple[Any, Any]:
        state, gap = training.update(loss, eqx.combine(dynamic, static), RATE, real, fake, w, key=key)
        return eqx.filter(state, eqx.is_array), gap

    run = jax.jit(lambda dynamic, keys: jax.lax.scan(step, dynamic, keys))
    keys = jax.random.split(jax.random.key(1), STEPS)
    text = jax.jit(step).lower(dynamic, keys[0]).compile().as_text() or ""
    return lambda: jax.block_until_ready(run(dynamic, keys)), text


def bare(text: str) -> tuple[Callable[[], Any], Callable[[], Any], list[str]]:
    """Make runs of the matrix products in a compiled step, by XLA and by NumPy, and their shapes."""
    known = {v["name"]: tuple(map(int, v["shape"].split(","))) for v in VALUE.finditer(text)}
    shapes, products = [], []
    for found in DOT.finditer(text):
        sizes = [known[found[k]] for k in "ab"]
        keys = jax.random.split(jax.random.key(len(products)))
        operands = tuple(jax.random.normal(k, size) for k, size in zip(keys, sizes, strict=True))
        products.append((operands, (((int(found["i"]),), (int(found["j"]),)), ((), ()))))
        shapes.append(" . ".join("x".join(map(str, size)) for size in sizes))

    def step(carry: Any, _: None) -> tuple[Any, Any]:
        total = carry
        for (a, b), axes in products:
            # The barrier ties the operands to the last step: a loop's invariant products would be done once
            a, b, total = jax.lax.optimization_barrier((a, b, total))
            total = total + jnp.ravel(jax.lax.dot_general(a, b, axes))[0]
        return total, None

    run = jax.jit(lambda: jax.lax.scan(step, jnp.zeros(()), None, length=STEPS)[0])
    # In NumPy every product is a @ b of views, transposed where the contracted axis is not the inner one
    views = [(np.asarray(a) if i else np.asarray(a).T, np.asarray(b).T if j else np.asarray(b))
             for (a, b), (((i,), (j,)), _) in products]  # fmt: skip

    def blas() -> None:
        for _ in range(STEPS):
            for a, b in views:
                np.matmul(a, b)

    return lambda: jax.block_until_ready(run()), blas, shapes


def theirs(x: np.ndarray, y: np.ndarray) -> Callable[[], Any]:
    """Make a run of the same steps in PyTorch."""
    try:
        torch: Any = import_module("torch")
    except ImportError as error:
        raise SystemExit("this study compares with PyTorch, which is not installed: pip install torch") from error
    torch.set_num_threads(1)
    torch.manual_seed(0)
    d = x.shape[1]
    net = torch.nn.Sequential(
        torch.nn.Linear(d, WIDTH), torch.nn.SiLU(), torch.nn.Linear(WIDTH, WIDTH), torch.nn.SiLU(),
        torch.nn.Linear(WIDTH, 1),
    )  # fmt: skip
    skip = torch.nn.Linear(d, 1, bias=False)
    adam = torch.optim.Adam([*net.parameters(), *skip.parameters()], lr=RATE, betas=(0.5, 0.9))
    real, fake = torch.from_numpy(x), torch.from_numpy(y)

    def step() -> None:
        eps = torch.rand(BATCH, 1)
        middle = (eps * real + (1 - eps) * fake).requires_grad_(True)
        value = net(middle) + skip(middle)
        (slope,) = torch.autograd.grad(value.sum(), middle, create_graph=True)
        excess = torch.relu(torch.sqrt((slope**2).sum(1) + 1e-12) - 1)
        gap = (net(real) + skip(real)).mean() - (net(fake) + skip(fake)).mean()
        adam.zero_grad()
        (-gap + WEIGHT * (excess**2).mean()).backward()
        adam.step()

    def run() -> None:
        for _ in range(STEPS):
            step()

    return run


def measure(task: str, seed: int) -> dict[str, Any]:
    """Race the steps of one dimension d: PyTorch against ours, ours against its bare products."""
    d, rng = int(task), np.random.default_rng(seed)
    x, y = (rng.normal(shift, 1.0, (BATCH, d)).astype(np.float32) for shift in (0.3, 0.0))
    run, text = ours(x, y)
    products, blas, shapes = bare(text)
    runs = {"avo": run, "torch": theirs(x, y), "bare products": products, "BLAS": blas}
    ways = {name: race.Way(lambda _, r=r: r(), STEPS) for name, r in runs.items()}
    ratios = [("torch", "avo"), ("avo", "bare products"), ("avo", "BLAS")]
    return race.measure(ways, ratios, TURNS, seed) | {"shapes": shapes}
