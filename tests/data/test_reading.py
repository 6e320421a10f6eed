"""Reading files: what is read is right to the bit, and what cannot be read says where and what to do."""

import gzip

import numpy as np
import pytest

from avo import data

X = np.array([[1.5, -2.25, 3.0], [4.125, 5.5, -6.75], [7.0, 8.5, 9.25], [0.1, 1e-300, -1e300]])


def written(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_npy_round_trip(tmp_path):
    x = np.arange(24.0).reshape(4, 3, 2)
    np.save(tmp_path / "x.npy", x)
    np.testing.assert_array_equal(data.read(tmp_path / "x.npy"), x)
    np.testing.assert_array_equal(data.read(str(tmp_path / "x.npy"), columns=1), x[..., 1])
    np.testing.assert_array_equal(data.read(tmp_path / "x.npy", columns=[1, 0]), x[..., [1, 0]])


def test_npz_takes_x_or_the_only_array_or_the_named_one(tmp_path):
    np.savez(tmp_path / "two.npz", theta=X + 1, x=X)
    np.savez(tmp_path / "one.npz", ecg=X[0])
    np.savez(tmp_path / "neither.npz", a=X, b=X)
    np.testing.assert_array_equal(data.read(tmp_path / "two.npz"), X)
    np.testing.assert_array_equal(data.read(tmp_path / "two.npz", key="theta"), X + 1)
    np.testing.assert_array_equal(data.read(tmp_path / "one.npz"), X[0])
    with pytest.raises(ValueError, match=r"key must name one of the arrays in .*neither.npz: a, b; got None"):
        data.read(tmp_path / "neither.npz")
    with pytest.raises(ValueError, match=r"one of the arrays in .*two.npz: theta, x; got 'y'"):
        data.read(tmp_path / "two.npz", key="y")


def test_arrays_that_are_not_numbers(tmp_path):
    np.save(tmp_path / "text.npy", np.array(["a", "b"]))
    np.save(tmp_path / "object.npy", np.array([[1], "a"], dtype=object))
    written(tmp_path / "broken.npz", "not an archive")
    with pytest.raises(ValueError, match=r"text.npy must hold real numbers; got dtype <U1"):
        data.read(tmp_path / "text.npy")
    with pytest.raises(ValueError, match=r"object.npy cannot be read as an array of numbers"):
        data.read(tmp_path / "object.npy")
    with pytest.raises(ValueError, match=r"broken.npz cannot be read as an array of numbers"):
        data.read(tmp_path / "broken.npz")


def test_arguments_that_do_not_apply(tmp_path):
    np.save(tmp_path / "x.npy", X[0])
    with pytest.raises(ValueError, match=r"key chooses an array of an .npz file; got key='x'"):
        data.read(tmp_path / "x.npy", key="x")
    with pytest.raises(ValueError, match=r"columns chooses along the last axis of a table; .* has shape \(3,\)"):
        data.read(tmp_path / "x.npy", columns=0)


@pytest.mark.parametrize("name", ["x.csv", "x.csv.gz", "X.CSV"])
@pytest.mark.parametrize("header", ["", "mu, sigma ,\u03b8\n", '"a, b",c,d\n', "# a,b,c\n\n"])
def test_csv_round_trip(tmp_path, name, header):
    text = header + "\n".join(",".join(map(repr, row)) for row in X.tolist()) + "\n"
    raw = text.encode("utf-8-sig")
    (tmp_path / name).write_bytes(gzip.compress(raw) if name.endswith("gz") else raw)
    np.testing.assert_array_equal(data.read(tmp_path / name), X)


def test_csv_one_column_keeps_its_axis(tmp_path):
    path = written(tmp_path / "x.csv", "1.5\n\n2.5\n# remark\n3.5\n")
    np.testing.assert_array_equal(data.read(path), [[1.5], [2.5], [3.5]])
    np.testing.assert_array_equal(data.read(path, columns=0), [1.5, 2.5, 3.5])


def test_csv_title_header_and_text_columns(tmp_path):
    path = written(
        tmp_path / "x.csv", "Created on 2019,somewhere\nday,high, low\n2019-10-17,7.5,-2\n2019-10-16,8.25,3\n"
    )
    np.testing.assert_array_equal(data.read(path, columns=["low", "high"]), [[-2, 7.5], [3, 8.25]])
    np.testing.assert_array_equal(data.read(path, columns=["high", 2]), [[7.5, -2], [8.25, 3]])
    np.testing.assert_array_equal(data.read(path, columns="low"), [-2, 3])
    with pytest.raises(ValueError, match=r"row 0 \(line 3\), column 'day' holds '2019-10-17'"):
        data.read(path)


@pytest.mark.parametrize("column", ["lo", "x", 3, -1])
def test_csv_unknown_column(tmp_path, column):
    path = written(tmp_path / "x.csv", "x,x,low\n1,2,3\n")
    with pytest.raises(
        ValueError, match=rf"columns must be a number from 0 to 2 or a name among x, x, low .*got {column!r}"
    ):
        data.read(path, columns=[column])


def test_csv_cell_that_is_not_a_number(tmp_path):
    with pytest.raises(ValueError, match=r"row 1 \(line 4\), column 'b' holds 'n/a'"):
        data.read(written(tmp_path / "named.csv", "# remark\na,b\n1,2\n3,n/a\n"))
    with pytest.raises(ValueError, match=r"row 2 \(line 3\), column 0 holds ''"):
        data.read(written(tmp_path / "plain.csv", "1,2\n3,4\n,6\n"))
    # A first row with one bad cell is a row, not a line of names.
    with pytest.raises(ValueError, match=r"row 0 \(line 1\), column 1 holds 'oops'"):
        data.read(written(tmp_path / "first.csv", "1,oops\n3,4\n"))
    # Nor does a second line without numbers pass for a heading.
    with pytest.raises(ValueError, match=r"row 0 \(line 2\), column 'a' holds 'oops'"):
        data.read(written(tmp_path / "second.csv", "a\noops\n3\n"))


def test_csv_ragged_row(tmp_path):
    with pytest.raises(ValueError, match=r"must have 2 cells in every row, as in its first; row 2 \(line 4\) has 3"):
        data.read(written(tmp_path / "x.csv", "a,b\n1,2\n3,4\n5,6,7\n"))


def test_csv_without_numbers(tmp_path):
    cases = (("names.csv", "a,b\n", "'a,b'"), ("semicolons.csv", "1;2\n3;4\n", "'1;2'"), ("blank.csv", "\n \n", "''"))
    for name, text, first in cases:
        with pytest.raises(ValueError, match=rf"numbers in cells separated by commas; its first line is {first}"):
            data.read(written(tmp_path / name, text))
    (tmp_path / "latin.csv").write_bytes("größe\n1\n".encode("latin-1"))
    (tmp_path / "plain.csv.gz").write_bytes(b"1,2\n")
    for name in ("latin.csv", "plain.csv.gz"):
        with pytest.raises(ValueError, match=rf"{name} cannot be read as a CSV file"):
            data.read(tmp_path / name)


def test_missing_file_names_its_neighbours(tmp_path):
    written(tmp_path / "beats.csv", "1\n")
    with pytest.raises(FileNotFoundError, match=r"There is no file .*beat.csv. Similar names beside it: beats.csv\."):
        data.read(tmp_path / "beat.csv")
    with pytest.raises(FileNotFoundError, match=r"There is no file .*zzz.npy\.$"):
        data.read(tmp_path / "zzz.npy")
    with pytest.raises(FileNotFoundError, match=r"the folder .*nowhere does not exist"):
        data.read(tmp_path / "nowhere" / "x.npy")


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "x.csv", "x.csv.gz", "x.hea"])
def test_empty_file(tmp_path, name):
    with pytest.raises(ValueError, match=r"is empty; expected observations, one per row"):
        data.read(written(tmp_path / name, ""))


def test_unknown_kind_and_folder(tmp_path):
    with pytest.raises(
        ValueError, match=r"x.mat: cannot read files of this kind; expected one of .npy, .npz, .csv, .csv.gz"
    ):
        data.read(written(tmp_path / "x.mat", "1"))
    with pytest.raises(ValueError, match=r"is a folder; expected a file"):
        data.read(tmp_path)


def test_csv_with_numbered_columns(tmp_path):
    file = written(tmp_path / "numbered.csv", "0,1\n0.5,2.5\n0,1\n")
    np.testing.assert_array_equal(data.read(file), [[0.5, 2.5], [0.0, 1.0]])
