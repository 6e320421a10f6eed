"""Parts by time and by group: all rows once, no group on both sides."""

import numpy as np
import pytest

from avo import data


def test_split_by_time():
    parts = data.split(20)
    np.testing.assert_array_equal(parts.train, np.arange(14))
    np.testing.assert_array_equal(parts.validation, np.arange(14, 17))
    np.testing.assert_array_equal(parts.test, np.arange(17, 20))
    parts = data.split(23, (0.5, 0.3, 0.2), gap=2)  # ends before rows 12 (11.5, to even), 18 and 23
    np.testing.assert_array_equal(parts.train, np.arange(12))
    np.testing.assert_array_equal(parts.validation, np.arange(14, 18))
    np.testing.assert_array_equal(parts.test, np.arange(20, 23))
    parts = data.split(10, (0.6, 0.0, 0.4), gap=1)
    assert [part.tolist() for part in parts] == [[0, 1, 2, 3, 4, 5], [], [7, 8, 9]]
    assert [len(part) for part in data.split(7, (0.0, 0.0, 1.0), gap=3)] == [0, 0, 7]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("fractions", [(0.7, 0.15, 0.15), (0.5, 0.0, 0.5), (0.05, 0.05, 0.9)])
def test_split_by_group_divides_no_group(seed, fractions):
    rng = np.random.default_rng(seed)
    groups = rng.choice([f"s{i}" for i in range(9)], 400, p=np.arange(1, 10) / 45)
    parts = data.split(400, fractions, groups=groups, seed=seed)
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(400))
    owners = [set(groups[part]) for part in parts]
    assert not (owners[0] & owners[1] or owners[0] & owners[2] or owners[1] & owners[2])
    assert [bool(owner) for owner in owners] == [fraction > 0 for fraction in fractions]
    assert all(np.all(np.diff(part) > 0) for part in parts if len(part))
    again = data.split(400, fractions, groups=groups, seed=seed)
    assert all(np.array_equal(a, b) for a, b in zip(parts, again, strict=True))


def test_split_by_equal_groups_has_the_sizes_asked_for():
    groups = np.repeat(np.arange(20), 7)
    sizes = {tuple(len(part) for part in data.split(140, groups=groups, seed=seed)) for seed in range(5)}
    assert sizes == {(98, 21, 21)}
    tests = [tuple(data.split(140, groups=groups, seed=seed).test) for seed in range(5)]
    assert len(set(tests)) == 5


@pytest.mark.parametrize(
    "arguments,options,message",
    [
        ((4,), {"groups": [1, 1, 2, 2]}, r"groups must be at least 3, one for each part, .* got 2: 1, 2"),
        ((4,), {"groups": [1, 2, 3]}, r"groups must have one label for each row, shape \(4,\); got shape \(3,\)"),
        ((4,), {"groups": [1, 2, 3, 4], "gap": 1}, r"gap is between parts in time; got gap=1 with groups"),
        ((4,), {}, r"4 rows are too few for parts of \[0.7, 0.15, 0.15\] with a gap of 0"),
        ((20,), {"gap": 3}, r"20 rows are too few .* with a gap of 3"),
        ((20, (0.5, 0.5)), {}, r"fractions must be three numbers .* got \(0.5, 0.5\)"),
        ((20, (0.5, 0.6, -0.1)), {}, r"fractions must be three numbers of at least 0 that add up to 1"),
        ((2.5,), {}, r"rows must be a whole number of at least 1; got 2.5"),
        ((20,), {"gap": -1}, r"gap must be a whole number of at least 0; got -1"),
    ],
)
def test_split_refuses(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        data.split(*arguments, **options)
