"""Sensitivity of images: a blob of unknown brightness and place in white noise, of known information patch by patch.

x_ij = b exp(-((i - r)^2 + (j - c)^2) / 18) + e_ij on 28 x 28 pixels, e of sd 1, kept as means over 10 x 10 blocks, so
that a set S of blocks with n_k pixels has the information sum_(k in S) n_k dmu_k dmu_k^T about (b, r, c).
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import reports

import avo
from avo.refine.kept import view_of
from avo.refine.linear import LinearSpace
from avo.refine.parts import parts_of

SIZE, WIDTH, M, ROWS = 28, 3.0, 1000, 2400  # as many rows as a fit of some 20,000 calls keeps
SPACE = avo.Space(b=avo.Interval(0, 12), r=avo.Interval(4, 23), c=avo.Interval(4, 23))
TRUTH = np.array([3.0, 12.0, 15.0])
VIEW, LINE = view_of((SIZE, SIZE)), LinearSpace(SPACE)
PIXELS = np.outer(*[[last - first + 1 for first, last in side] for side in VIEW.blocks]).ravel()
CORNERS, CENTRE = [0, 3, 12, 15], 6  # of 4 x 4 patches; the blob lies in row 8-13, column 14-21 mostly


def seen(theta: np.ndarray) -> np.ndarray:
    """Block means of blobs without noise."""
    b, r, c = np.moveaxis(theta, -1, 0)[..., None]
    rows, columns = (np.exp(-((np.arange(SIZE) - place) ** 2) / (2 * WIDTH**2)) for place in (r, c))
    return VIEW(b[..., None] * rows[..., :, None] * columns[..., None, :])


def at(w: np.ndarray) -> np.ndarray:
    return seen(np.asarray(LINE.constrain(w), float))


W = LINE.of(np.asarray(SPACE.unconstrain(TRUTH), float))
J = np.stack([(at((W + step)[None]) - at((W - step)[None]))[0] / 2e-3 for step in 1e-3 * np.eye(3)], axis=1)


def exact(some: np.ndarray) -> np.ndarray:
    """Error of each parameter in w by some blocks, infinite where the data leave it open."""
    values, vectors = np.linalg.eigh(M * J[some].T @ (J[some] * PIXELS[some, None]))
    known = values > 1 / 2.5**2
    free = np.linalg.norm(vectors[:, ~known], axis=1)
    sd = np.sqrt(np.sum(vectors[:, known] ** 2 / values[known], axis=1))
    return np.where(free > 0.2, np.inf, sd)


def kept(seed: int, wide: float) -> avo.Result:
    """A result that keeps rows at the truth and around it, `wide` times as far as one image tells."""
    rng, base = np.random.default_rng(seed), reports.reported("image")
    assert base.estimate is not None and base.kept is not None
    there, G = int(0.3 * ROWS), J.T @ (J * PIXELS[:, None])
    away = wide * rng.normal(size=(ROWS, 3)) @ np.linalg.cholesky(np.linalg.inv(G)).T
    away[:there] = 0
    away[there : (ROWS + there) // 2] /= 2
    noise = lambda n: rng.normal(size=(n, 100)) / np.sqrt(PIXELS)  # noqa: E731
    loc = np.asarray(SPACE.unconstrain(TRUTH), float)
    changes: dict[str, Any] = {
        "u": LINE.u(W + away), "x": at(W + away) + noise(ROWS), "observed": at(W[None]) + noise(M),
        "t": away + 0.1 * rng.normal(size=away.shape),
    }  # fmt: skip
    own = base.kept._replace(**{name: np.asarray(a, np.float32) for name, a in changes.items()}, there=there, rows=M)
    estimate = replace(base.estimate, kept=own, freedom=M - 1, loc=loc, covariance=np.linalg.inv(G) / M)
    proposal = avo.Gaussian(loc.astype(np.float32), base.proposal.log_scale, None)
    return replace(base, space=SPACE, x_shape=(SIZE, SIZE), estimate=estimate, proposal=proposal, frame=None)


@pytest.mark.parametrize(("seed", "wide"), [(0, 3.0), (1, 3.0), (2, 1.0)])
def test_patches_say_what_they_do_or_that_it_is_not_known(seed: int, wide: float) -> None:
    """No error that is far from the exact one: what rows of noise cannot tell is open, with what it is at least."""
    result = kept(seed, wide)
    found, (names, own) = result.sensitivity(), parts_of(result)
    assert found.parts == names and len(names) == 16
    every = exact(np.ones(100, bool))
    alone = np.array([exact(own == p) for p in range(16)]) / every
    told = np.isfinite(found.alone)
    # Directions near what noise shows are known to a third or so
    assert np.all((found.alone[told] > 0.6 * alone[told]) & (found.alone[told] < 1.6 * alone[told]))
    assert np.isfinite(found.alone[CENTRE]).all() and not told[np.isinf(alone)].any() and not told[CORNERS].any()
    # Bounds of the others are at 95 %: of some 40, six are missed in one of a hundred cases
    least = found.least[1]
    np.testing.assert_array_equal(least[told], found.alone[told])
    assert np.all(least[~told] >= 1) and np.sum(least[~told] > 1.05 * alone[~told]) <= 5
    assert np.median(least[CORNERS]) > 3
    np.testing.assert_allclose(found.without[CORNERS], 1, atol=0.06)
    without = np.array([exact(own != p) for p in range(16)]) / every
    # Rows that lie close to the answer know slopes, and with them ratios, less
    assert np.all(np.abs(np.log(found.without / without)) < np.log(1.2 if wide > 1 else 1.6))
    order, lines = found.order(0)[:8], str(found).splitlines()
    assert lines[1].split()[:5] == ["b", "rows", "8-13,", "columns", "14-21"]
    for p, line in zip(order, lines[1:9], strict=True):
        assert line.endswith(f"  {'' if told[p, 0] else '> '}x {least[p, 0]:.3g}") and found.parts[p] in line
    assert lines[-1] == '">" is all that the simulations that the fit kept tell of an error: it is larger.'
