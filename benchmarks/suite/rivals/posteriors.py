"""Rivals that seek a posterior: approximate Bayesian computation and neural networks.

The prior is uniform on positions. All see the task's `summary` of each observation, scaled as in optimisers.py.

    abc-smc   pyABC: populations of sets, nearer and nearer in sliced Wasserstein distance; mean and spread of the last
    npe       sbi: network from the statistics of a set to theta, two rounds, the second where the first has its mass
    nle, nre  sbi: network of one observation's likelihood, or ratio to its marginal; the product over all observations
              is maximised, and its curvature gives the error. Two rounds: simulations from the prior, then from a box
              about the maximum. Sampling that product takes more memory or time than there is, which is why.

NPE's sets are smaller than m, since a set costs as many calls as it has members; what it says of the width is then too
wide. Counts are spread evenly over their unit interval for `nle`, whose density is continuous. Networks are trained on
a GPU where torch finds one.
"""

# pyright: reportMissingImports=false
# sbi, torch and pyABC are optional.

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from scipy.optimize import minimize

from avo.benchmarks.suite.methods import Answer, Simulator, Spent, stderr_at, theta_at
from avo.benchmarks.suite.rivals.optimisers import Scaled, distance, draws, statistics
from avo.space import Space

PARTICLES = 30  # of a population, fewer where the budget holds fewer than four
EVALUATIONS = 1500  # of the distance, at least, where that leaves enough draws for a set; more where sets have m
SET = 100  # members of NPE's sets, fewer where the budget holds fewer than 100 of these
WIDTH = 6.0  # half width of the second round's box, in standard errors, and at least a twentieth of the range
EPOCHS = 200  # at most
BATCH, NRE_BATCH = 2000, 500  # rows, at most; each of nre's goes ten times through its network
NEARBY = 30  # points for the curvature, times the square of the number of parameters


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)


@contextmanager
def _rows_at_once() -> Iterator[dict[str, Any]]:
    """Give options of sbi's `train` by which torch takes the rows of a batch at once.

    The batches, and so the numbers, are the same; row by row, loading takes as long as the networks.
    """
    from torch.utils.data import TensorDataset

    TensorDataset.__getitems__ = lambda self, rows: [part[rows] for part in self.tensors]
    try:
        yield {"dataloader_kwargs": {"collate_fn": lambda batch: batch}}
    finally:
        del TensorDataset.__getitems__


class _Silent:
    """A tracker of sbi's that keeps nothing; its own leaves logs in the user's folder."""

    log_dir = None

    def log_metric(self, name: str, value: float, step: int | None = None) -> None: ...

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None: ...

    def log_params(self, params: dict[str, Any]) -> None: ...

    def add_figure(self, name: str, figure: Any, step: int | None = None) -> None: ...

    def flush(self) -> None: ...


def abc_smc(simulate: Simulator, x_obs: np.ndarray, space: Space, budget: int, seed: int) -> Answer:
    """Run ABC-SMC until the calls are spent; the answer is the last whole population."""
    import pyabc

    np.random.seed(seed)  # pyABC knows no other way
    d = space.dim
    observed = simulate.summary(x_obs)
    scaled = Scaled(observed)
    z_obs = scaled(observed)
    far = distance(z_obs, seed)
    rows = draws(budget, len(x_obs), EVALUATIONS)
    particles = min(PARTICLES, budget // rows // 4)

    def model(p: Any) -> dict[str, Any]:
        position = np.array([p[f"p{i}"] for i in range(d)])
        # The distance is all that is kept of a set
        return {"far": far(scaled(simulate.at(position, rows)))}

    prior = pyabc.Distribution(**{f"p{i}": pyabc.RV("uniform", 0, 1) for i in range(d)})
    with _quiet():
        search = pyabc.ABCSMC(
            model, prior, lambda x, _: x["far"], population_size=particles, sampler=pyabc.sampler.SingleCoreSampler()
        )
        search.new("sqlite://", {"far": 0.0})
        try:
            search.run(max_total_nr_simulations=budget // rows)
        except Spent:
            pass  # in the middle of a population
        frame, weights = search.history.get_distribution()
    points = frame[[f"p{i}" for i in range(d)]].to_numpy()
    mean = weights @ points
    spread = np.sqrt(weights @ (points - mean) ** 2)
    return simulate.note(theta_at(space, mean), stderr_at(space, mean, spread))


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _tensor(a: np.ndarray) -> Any:
    import torch

    return torch.tensor(np.asarray(a), dtype=torch.float32, device=_device())


def _prior(low: np.ndarray, high: np.ndarray) -> Any:
    from sbi.utils import BoxUniform

    return BoxUniform(_tensor(low), _tensor(high), device=_device())


def _options(prior: Any) -> dict[str, Any]:
    return {"prior": prior, "device": _device(), "show_progress_bars": False, "tracker": _Silent()}


def npe(simulate: Simulator, x_obs: np.ndarray, space: Space, budget: int, seed: int) -> Answer:
    """Learn the posterior given the statistics of a set, in two rounds of NPE-C."""
    import torch
    from sbi.inference import NPE

    torch.manual_seed(seed)
    d, rng, m = space.dim, np.random.default_rng(seed), len(x_obs)
    rows = int(np.clip(budget // 100, 10, min(SET, m)))
    observed = simulate.summary(x_obs)
    scaled = Scaled(observed)
    s_obs = _tensor(statistics(scaled(observed)))
    prior = _prior(np.zeros(d), np.ones(d))
    learner, proposal = NPE(**_options(prior)), None
    with _quiet():
        for _ in range(2):
            count = min(budget // 2, simulate.left) // rows
            if proposal is None:
                positions = rng.uniform(size=(count, d))
            else:
                positions = proposal.sample((count,), x=s_obs, show_progress_bars=False).cpu().numpy()
            sets = scaled(simulate.at(positions, rows)).reshape(count, rows, -1)
            learner.append_simulations(_tensor(positions), _tensor(statistics(sets)), proposal=proposal)
            learner.train(training_batch_size=max(50, count // 20), max_num_epochs=EPOCHS)
            proposal = learner.build_posterior().set_default_x(s_obs)
            found = proposal.sample((1000,), x=s_obs, show_progress_bars=False).cpu().numpy()
            place = found.mean(0)
            simulate.note(theta_at(space, place), stderr_at(space, place, found.std(0)))
    assert simulate.best is not None
    return simulate.best


def _maximum(
    terms: Callable[[Any], Any], low: np.ndarray, high: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Maximise a sum of terms, one per observation, inside a box: the place, and standard errors.

    The networks are piecewise linear, so that their second derivatives say nothing: the curvature is that of a
    quadratic fitted to the sum around the maximum, over a sixth of the box.
    """
    import torch

    def value(p: np.ndarray) -> tuple[float, np.ndarray]:
        point = _tensor(p).requires_grad_()
        total = terms(point).sum()
        (slope,) = torch.autograd.grad(total, point)
        return -float(total.detach()), -slope.cpu().numpy().astype(float)

    d = len(low)
    some = low + (high - low) * rng.uniform(size=(64, d))
    starts = sorted(some, key=lambda p: value(p)[0])[:4]
    bounds = list(zip(low, high, strict=True))
    found = min((minimize(value, p, jac=True, bounds=bounds, method="L-BFGS-B") for p in starts), key=lambda r: r.fun)
    reach = (high - low) / 12
    points = np.clip(found.x + reach * rng.normal(size=(NEARBY * d * d, d)), 0.0, 1.0)
    with torch.no_grad():
        totals = np.array([float(terms(_tensor(p)).sum()) for p in points])
    return found.x, reach * np.sqrt(_variances((points - found.x) / reach, totals))


def _variances(z: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """Fit c + b z - z^T H z / 2 and take the diagonal of H^-1; a direction that does not fall has variance 10^6."""
    d = z.shape[1]
    i, j = np.triu_indices(d)
    terms = np.concatenate([np.ones((len(z), 1)), z, z[:, i] * z[:, j]], 1)
    fitted = -np.linalg.lstsq(terms, totals, rcond=None)[0][1 + d :]
    H = np.zeros((d, d))
    H[i, j] = fitted
    values, vectors = np.linalg.eigh(H + H.T)
    return vectors**2 @ (1 / np.maximum(values, 1e-6))


def _products(
    simulate: Simulator, x_obs: np.ndarray, space: Space, seed: int, *, make: Callable[[Any, int], Any],
    term: Callable[[Any, Any, Any], Any], counts: bool, largest: int,
) -> Answer:  # fmt: skip
    """Learn a term of one observation in two rounds, and maximise the sum of the terms of all."""
    import torch

    torch.manual_seed(seed)
    d, rng = space.dim, np.random.default_rng(seed)

    def seen(x: np.ndarray) -> np.ndarray:
        return simulate.summary(x + rng.uniform(-0.5, 0.5, x.shape) if counts else x)

    observed = seen(x_obs)
    scaled = Scaled(observed)
    z_obs = _tensor(scaled(observed))
    low, high = np.zeros(d), np.ones(d)
    positions, z = np.zeros((0, d)), np.zeros((0, z_obs.shape[1]))
    for share in (0.5, 1.0):
        count = int(share * simulate.left)
        new = low + (high - low) * rng.uniform(size=(count, d))
        positions = np.concatenate([positions, new])
        z = np.concatenate([z, scaled(seen(simulate(theta_at(space, new))))])
        inside = ((positions >= low) & (positions <= high)).all(1)
        with _quiet(), _rows_at_once() as options:
            learner = make(_prior(low, high), z.shape[1])
            learner.append_simulations(_tensor(positions[inside]), _tensor(z[inside]))
            batch = int(np.clip(count // 10, 50, largest))
            network = learner.train(training_batch_size=batch, max_num_epochs=EPOCHS, **options)
            network.eval()
            place, sd = _maximum(lambda p, f=network: term(f, p, z_obs), low, high, rng)
        simulate.note(theta_at(space, place), stderr_at(space, place, sd))
        reach = np.maximum(WIDTH * np.minimum(sd, 1.0), 0.05)
        low, high = np.maximum(place - reach, 0.0), np.minimum(place + reach, 1.0)
    assert simulate.best is not None
    return simulate.best


def nle(simulate: Simulator, x_obs: np.ndarray, space: Space, budget: int, seed: int) -> Answer:
    """Learn the likelihood of one observation, and maximise its product."""
    from sbi.inference import NLE
    from sbi.neural_nets import likelihood_nn

    def make(prior: Any, width: int) -> Any:
        # Of one number an autoregressive flow makes a normal, whatever its depth; splines do not
        network = likelihood_nn("nsf" if width == 1 else "maf")
        return NLE(density_estimator=network, **_options(prior))

    return _products(
        simulate, x_obs, space, seed, make=make, counts=simulate.discrete, largest=BATCH,
        term=lambda flow, p, z: flow.log_prob(z[:, None], p[None])[:, 0],
    )  # fmt: skip


def nre(simulate: Simulator, x_obs: np.ndarray, space: Space, budget: int, seed: int) -> Answer:
    """Learn the ratio of one observation's likelihood to its marginal, and maximise its product."""
    import torch
    from sbi.inference import NRE

    class Shifted(NRE):
        """Contrast an observation with the thetas of others so far on in the shuffled batch, drawn once for all.

        As likely as others drawn for each, which sbi does from a matrix of all pairs and half of the time.
        """

        def _classifier_logits(self, theta: Any, x: Any, num_atoms: int) -> Any:
            shifts = (1 + torch.randperm(len(theta) - 1)[: num_atoms - 1]).tolist()
            thetas = torch.stack([theta, *(theta.roll(s, 0) for s in shifts)], 1).flatten(0, 1)
            return self._neural_net(thetas, x.repeat_interleave(num_atoms, 0))

    return _products(
        simulate, x_obs, space, seed, make=lambda prior, _: Shifted(**_options(prior)), counts=False,
        largest=NRE_BATCH, term=lambda classifier, p, z: classifier(p.expand(len(z), -1), z),
    )  # fmt: skip
