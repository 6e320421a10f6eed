"""The classifier of `avo.check`: Fisher's discriminant, judged on rows that it has not seen."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from avo.diagnostics import classifier
from avo.diagnostics.classifier import discriminate, halve

RNG = np.random.default_rng


def test_the_discriminant_is_fishers() -> None:
    """Without an excess direction, T is the mean of two t-statistics, of w = Delta_A on the other half."""
    v = RNG(5).normal(size=(200, 3, 2, 6))
    direct = np.zeros(200)
    for splits in np.moveaxis(v, 1, 0):
        direct += [(a @ b / np.linalg.norm(a) + a @ b / np.linalg.norm(b)) / np.sqrt(2) / 3 for a, b in splits]
    np.testing.assert_allclose(discriminate(v), direct)
    # Judged on its own half it would be the length of Delta, far above zero
    assert abs(np.mean(direct)) < 4 * np.std(direct) / np.sqrt(200)


def test_what_all_sets_vary_by_is_taken_out() -> None:
    """An error along one direction, 30 times that of chance, hides a difference along another no more."""
    rng = RNG(6)
    v = rng.normal(size=(200, 1, 2, 6))
    v[..., 0] += 30 * rng.normal(size=(200, 1, 1))
    v[0, ..., 3] += 5.0
    found = discriminate(v)
    assert found[0] > np.sort(found[1:])[-3]
    assert found[1:].std() < 2


def test_halves() -> None:
    rows, member = (np.asarray(a) for a in halve(45, seed=1))
    assert sorted(rows) == list(range(45)) and member.shape == (10, 2, 45)
    # What trains does not judge, all are used, and the splits differ
    assert np.all(member.sum(1) == 1) and np.all(member[:, 0].sum(1) == 22)
    assert len(np.unique(member[:, 0], axis=0)) == 10


def test_differences_are_in_units_of_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mean over n rows less that over N simulations varies by C (1 / n + 1 / N), C what simulations of a row vary by.

    Five rows of seven are looked at, two and three of them in the halves; in three blocks, one of the rows failed once.
    """
    rng = RNG(8)
    phi = rng.normal(size=(3, 5, 2)) @ np.array([[1.0, 0.4], [0.0, 0.2]]) + 10 * rng.normal(size=(5, 2))
    ok, chosen = np.ones((3, 7), bool), np.array([4, 1, 6, 0, 3])
    ok[1, 6] = False
    member = np.array([[[1, 0, 1, 0, 0], [0, 1, 0, 1, 1]], [[0, 0, 1, 1, 1], [1, 1, 0, 0, 0]]], float)
    means = rng.normal(size=(4, 2, 2, 2))
    blocks = iter(phi)
    monkeypatch.setattr(classifier, "in_units", lambda units, sample: ())
    monkeypatch.setattr(classifier, "_functions_of", lambda fake: next(blocks))
    monkeypatch.setattr(classifier, "discriminate", lambda v: v)
    fake: Any = SimpleNamespace(rows=chosen, member=member, units=None)
    reference: Any = [SimpleNamespace(ok=row) for row in ok]
    v: Any = classifier.classify(fake, reference, means)

    rows = [phi[ok[:, r], i] for i, r in enumerate(chosen)]
    covariance = sum(np.cov(row.T) * (len(row) - 1) for row in rows) / sum(len(row) - 1 for row in rows)
    for split in range(2):
        for half in range(2):
            some = [row for row, belongs in zip(rows, member[split, half], strict=True) if belongs]
            n, simulated = len(some), np.concatenate(some)
            unit = np.sqrt(1 / n + 1 / len(simulated))
            root = np.linalg.cholesky(covariance + np.diag(0.1 * np.diag(covariance) + 1e-6))
            expected = np.linalg.solve(root, (means[:, split, half] - simulated.mean(0)).T / unit).T
            np.testing.assert_allclose(v[:, split, half], expected, rtol=1e-9)
