"""The classifier of `avo.check`: Fisher's discriminant, judged on rows that it has not seen."""

import numpy as np

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
