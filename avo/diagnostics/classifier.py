"""The classifier of `avo.check`: how well the rows of two samples are told apart, without looking twice at any of them.

Rows are halved, a discriminant learned on one half judges the other, both ways, ten times over, anew for each set of
rows that takes part. It is Fisher's, on bounded functions phi of a row,

    w = M Delta_A,    T = w . Delta_B / |M^(-1/2) w|,    Delta = mean phi(x) - mean phi(reference),

in closed form: all that a set leaves behind are the means of phi over its halves. M^-1 is the covariance of such a
mean: that of phi over the reference, and where the means of the sets vary by more than chance, what they vary by. These
few directions are where an error of the estimate moves x; the classifier would else find nothing but it.
"""

import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray
from scipy.linalg import solve_triangular

from avo.diagnostics.features import Look, Units, summaries
from avo.diagnostics.samples import Sample, in_units

CLASSIFIED = 4000  # rows that the classifier looks at, a random subset where there are more
SPLITS = 10  # halvings that the classifier averages: of a single one the verdict depends on chance
RIDGE = 0.1  # share of phi's variances added to its covariance; of .05 to 10, those up to .3 find most
PRODUCTS = 10  # summaries of which the classifier sees all products; of more only the squares
RANDOM = 32  # random functions; twice as many cost more in noise than they find
BOUND = 5.0  # standard deviations beyond which no function of a row grows


class Classifier(NamedTuple):
    """The functions phi of a row, and the halves of the rows, which are the same in all sets.

    Args:
        look: what of x is looked at.
        units: in which units.
        weight: W of the random functions, with shape (RANDOM, summaries + inputs).
        bias: b of the random functions, with shape (RANDOM,).
        rows: those that the classifier looks at, with shape (n,).
        member: which of them belong to each half of each split, 0 or 1, with shape (splits, 2, n).
    """

    look: Look
    units: Units
    weight: Float[Array, "functions summaries"]
    bias: Float[Array, " functions"]
    rows: Int[Array, " n"]
    member: Float[Array, "splits 2 n"]


def make_classifier(key: PRNGKeyArray, look: Look, units: Units, rows: int, seed: int) -> Classifier:
    """Draw the random functions by the key, and the halves of so many rows by the seed."""
    return Classifier(look, units, *_random_functions(key, len(units.middle) + look.inputs), *halve(rows, seed))


def _random_functions(key: PRNGKeyArray, size: int) -> tuple[Array, Array]:
    key_weight, key_bias = jax.random.split(key)
    weight = jax.random.normal(key_weight, (RANDOM, size)) * (1.5 / math.sqrt(size))
    return weight, jax.random.uniform(key_bias, (RANDOM,), minval=-2.0, maxval=2.0)


def halve(rows: int, seed: int) -> tuple[Int[Array, " n"], Float[Array, "splits 2 n"]]:
    """Choose the rows that the classifier sees, and halve them several times."""
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(rows)[:CLASSIFIED]
    first = rng.permuted(np.tile(np.arange(len(chosen)) < len(chosen) // 2, (SPLITS, 1)), axis=1)
    return jnp.asarray(chosen), jnp.asarray(np.stack([first, ~first], axis=1), jnp.result_type(float))


def functions(
    classifier: Classifier, z: Array, s: Float[Array, "n summaries"], c: Float[Array, "n inputs"] | None
) -> Float[Array, "n functions"]:
    """Compute phi of the classifier's rows: h, their bounded summaries and inputs, what bends with it, tanh(W h + b).

    Of few summaries all products, |h|, cos 2h and sin 2h, which tell two clusters from one; of more the squares.
    """
    look, units, rows = classifier.look, classifier.units, classifier.rows
    z, s, c = z[rows], s[rows], None if c is None else c[rows]
    h = jnp.clip((s - units.middle[None]) / units.width[None], -BOUND, BOUND)
    h = h if units.gaps is None else jnp.nan_to_num(h)  # the mask is among the inputs
    parts = [h]
    if look.kind == "series":
        curve = z.reshape(len(z), z.shape[1], -1)[:, :, jnp.array(look.chosen)][:, jnp.array(look.curve)]
        parts.append(jnp.clip(curve.reshape(len(z), -1), -BOUND, BOUND))
    if c is not None:
        known = (c - units.inputs_shift[None]) / units.inputs_scale[None]
        h = jnp.concatenate([h, jnp.clip(known, -BOUND, BOUND)], axis=1)
    if h.shape[1] <= PRODUCTS:
        i, j = np.triu_indices(h.shape[1])
        parts += [h[:, i] * h[:, j], jnp.abs(h), jnp.cos(2 * h), jnp.sin(2 * h)]
    else:
        parts += [h**2]
    return jnp.concatenate([*parts, jnp.tanh(h @ classifier.weight.T + classifier.bias[None])], axis=1)


def half_means(
    classifier: Classifier, z: Array, s: Array, c: Array | None, ok: Bool[Array, " m"]
) -> Float[Array, "splits 2 functions"]:
    """Average phi over the finite rows of each half of each split."""
    weight = classifier.member * ok[classifier.rows].astype(z.dtype)[None, None]
    return weight @ functions(classifier, z, s, c) / jnp.maximum(weight.sum(2, keepdims=True), 1)


@eqx.filter_jit
def _functions_of(classifier: Classifier, z: Array, c: Array | None) -> Float[Array, "n functions"]:
    return functions(classifier, z, summaries(classifier.look, z), c)


def classify(
    classifier: Classifier, reference: list[Sample], means: Float[np.ndarray, "sets splits 2 functions"]
) -> Float[np.ndarray, " sets"]:
    """Train the discriminant on each half of each set, judge it on the other: the statistic T of each set.

    Args:
        classifier: functions and halves.
        reference: samples at the estimate, one row in each for a row of a set.
        means: of phi over the halves of each set, by `half_means`.
    """
    rows, member = np.asarray(classifier.rows), np.asarray(classifier.member, np.float64)
    seen = [_functions_of(classifier, *in_units(classifier.units, sample)) for sample in reference]
    phi = np.stack([np.asarray(found, np.float64) for found in seen])
    ok = np.stack([np.asarray(sample.ok)[rows] for sample in reference]).astype(float)  # (blocks, rows)
    total, count = np.einsum("br,brp->rp", ok, phi), ok.sum(0)
    # Given its conditions, for sets differ in x alone
    rest = (ok[..., None] * (phi - (total / np.maximum(count, 1)[:, None])[None])).reshape(-1, phi.shape[2])
    covariance = rest.T @ rest / max(np.sum(np.maximum(count - 1, 0)), 1)
    simulated = member @ count
    delta = means - (member @ total / simulated[..., None])[None]
    delta /= np.sqrt(1 / member.sum(2) + 1 / simulated)[None, :, :, None]
    # A function that never varies in the simulations has no variance, and counts by the second term where data differ
    root = np.linalg.cholesky(covariance + np.diag(RIDGE * np.diag(covariance) + 1e-6))
    v = solve_triangular(root, delta.reshape(-1, delta.shape[3]).T, lower=True).T.reshape(delta.shape)
    return discriminate(v)


def discriminate(v: Float[np.ndarray, "sets splits 2 functions"]) -> Float[np.ndarray, " sets"]:
    """Compute T from mean differences in units in which chance alone gives each component a variance of about one."""
    sets, _, _, size = v.shape
    both = v.sum(2).mean(1) / np.sqrt(2)
    deviation = both - both.mean(0)
    scatter = deviation.T @ deviation
    # Above this edge (Marchenko and Pastur 1967) lies no variance of pure chance
    edge = (1 + np.sqrt(size / (sets - 1))) ** 2
    found = np.empty(sets)
    for i in range(sets):
        # From the other sets only: what a set itself adds to a direction leans on the noise of both its halves
        others = scatter - np.outer(deviation[i], deviation[i]) * sets / (sets - 1)
        variance, directions = np.linalg.eigh(others / (sets - 2))
        keep = variance > edge
        shrunk, directions = 1 - 1 / np.sqrt(variance[keep]), directions[:, keep]
        u = v[i] - (v[i] @ directions * shrunk) @ directions.T
        length = np.maximum(np.linalg.norm(u, axis=2), 1e-30)
        found[i] = np.mean(np.sum(u[:, 0] * u[:, 1], axis=1) * np.sum(1 / length, axis=1)) / np.sqrt(2)
    return found
