"""Reading files: what is read is right to the bit, and what cannot be read says where and what to do."""

import gzip
import sys
from contextlib import nullcontext

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
    cases = (("names.csv", "a,b\nc,d\n", "'a,b'"), ("blank.csv", "\n \n", "''"))
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


def test_times_that_head_the_columns_are_asked_about(tmp_path):
    """Rounded times are a row of numbers like any other, which only their even steps tell."""
    path = tmp_path / "decay.csv"
    rows = ["2.1,1.4,1.3,0.9,0.7,0.6", "1.9,1.6,1.2,1.1,0.6,0.5"]
    path.write_text("\n".join(["0.00,0.26,0.53,0.79,1.05,1.32", *rows]))
    with pytest.warns(UserWarning, match=r"\(line 1\), 0.00,0.26,0.53,0.79,1.05,..., rises in even steps .* 0.00 s"):
        assert data.read(path).shape == (3, 6)
    for first in ("0.00 s,0.26 s,0.53 s,0.79 s,1.05 s,1.32 s", "0.00,0.26,0.55,0.79,1.05,1.32", rows[1]):
        path.write_text("\n".join([first, *rows]))
        assert data.read(path).shape == (2 if "s" in first else 3, 6)
    path.write_text("\n".join(["0,2,4,6,8", "1,3,5,7,9"]))  # all rows rise so
    assert data.read(path).shape == (2, 5)


def test_a_first_row_that_counts_is_an_observation(tmp_path):
    """t = 0, x = 1 is where many a series starts; only a longer row above decimals numbers columns."""
    for text, x in (
        ("0,1\n0.5,2.5\n0,1\n", [[0, 1], [0.5, 2.5], [0, 1]]), ("0 1\n0.1 .95\n", [[0, 1], [0.1, 0.95]]),
        ("0,1,2\n3,5,1\n", [[0, 1, 2], [3, 5, 1]]), ("0,1\n10,20\n3,4\n", [[0, 1], [10, 20], [3, 4]]),
    ):  # fmt: skip
        file = written(tmp_path / ("x.csv" if "," in text else "x.txt"), text)
        with pytest.warns(UserWarning, match=r"the first row \(line 1\), 0,1.* is taken for an observation; if it num"):
            np.testing.assert_array_equal(data.read(file), x)
    file = written(tmp_path / "numbered.csv", "0,1,2\n0.5,2.5,-1\n0,1,2\n")
    with pytest.warns(UserWarning, match=r"\(line 1\), 0,1,2, numbers the columns, and is left out; if it is an obs"):
        np.testing.assert_array_equal(data.read(file), [[0.5, 2.5, -1.0], [0, 1, 2]])
    np.testing.assert_array_equal(data.read(written(tmp_path / "a.csv", "a,b\n0,1\n0.5,2\n")), [[0, 1], [0.5, 2]])
    np.testing.assert_array_equal(data.read(written(tmp_path / "b.csv", "0.0,1\n0.5,2\n")), [[0, 1], [0.5, 2]])


# --- white space, semicolons, decimal commas -------------------------------------------------------------------------

GRID = [[0.5, -1.25], [2.0, 300.0]]
TABLES = {
    "x.txt": "0.5 -1.25\n2   3e2\n",
    "heading.txt": "  left\tright\n 0.5\t-1.25\n 2\t3e2\n",
    "aligned.dat": "# t x\n   left   right\n    0.5   -1.25\n    2.0   300\n\n",
    "commas.txt": "0.5, -1.25\n2, 3e2\n",
    "spaces.csv": "0.5 -1.25\n2 3e2\n",
    "tabs.tsv": "left\tright\n0,5\t-1,25\n2\t300,0\n",
    "semicolons.csv": "left;right\n0,5;-1,25\n2;3e2\n",
    "plain.csv": "0.5;-1.25\n2;300\n",
    "comma.txt": "0,5 -1,25\n2,0 300\n",
    "excel.csv": "sep=;\r\nleft;right\r\n,5;-1,25\r\n2;3,00E2\r\n",
    "title.csv": "Measured; by hand in, say 2019\n0.5,-1.25\n2,300\n",
    "quoted.csv": '"left; top",right\n0.5,-1.25\n2,300\n',
}


@pytest.mark.parametrize("name", TABLES)
def test_what_parts_the_cells_is_seen(tmp_path, name):
    np.testing.assert_array_equal(data.read(written(tmp_path / name, TABLES[name])), GRID)


def test_text_columns_beside_semicolons(tmp_path):
    path = written(tmp_path / "x.csv", "note; who,1.5\nsee a; b,2.5\n")
    np.testing.assert_array_equal(data.read(path, columns=1), [1.5, 2.5])
    path = written(tmp_path / "y.txt", "ann b,1.5,2\ncarl d,3,4\n")
    np.testing.assert_array_equal(data.read(path, columns=[1, 2]), [[1.5, 2], [3, 4]])


@pytest.mark.parametrize("text", ["1,5\n2,25\n-3,125\n", "voltage\n1,5\n2,5\n10,3\n", "1,50\n2,25\n", "7,10\n2,20\n"])
@pytest.mark.parametrize("name", ["x.csv", "x.txt"])
def test_one_column_with_decimal_commas_is_not_two(tmp_path, text, name):
    path = written(tmp_path / name, text)
    first = "1,50" if "50" in text else "7,10" if "7" in text else "1,5"
    words = (
        rf"{name} may hold one column with decimal commas or two columns of whole numbers: line \d is '{first}'\. Say"
    )
    with pytest.raises(ValueError, match=words):
        data.read(path)
    one = [float(line.replace(",", ".")) for line in text.split() if line != "voltage"]
    np.testing.assert_array_equal(data.read(path, decimal=","), np.transpose([one]))
    two = [[float(cell) for cell in line.split(",")] for line in text.split() if line != "voltage"]
    np.testing.assert_array_equal(data.read(path, columns=[0, 1]), two)
    np.testing.assert_array_equal(data.read(path, decimal="."), two)


@pytest.mark.parametrize(
    "text", ["a,b\n1,5\n2,25\n", "3,10\n12,7\n", "3,-1\n12,7\n", "3,1\n12,7.5\n", "1,2,3\n3,4,5\n"]
)
def test_two_columns_of_whole_numbers_are_two(tmp_path, text):
    rows = [[float(cell) for cell in line.split(",")] for line in text.split() if line != "a,b"]
    np.testing.assert_array_equal(data.read(written(tmp_path / "x.csv", text)), rows)


def test_two_decimal_signs_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"must have one decimal sign; line 1 has '1,5', line 2 has '2.5'\. Write"):
        data.read(written(tmp_path / "x.csv", "1,5;3\n2.5;4\n"))
    with pytest.raises(ValueError, match=r"must have one decimal sign; line 2 has '2,5', line 1 has '1,234.5'\. Write"):
        data.read(written(tmp_path / "x.csv", "1,234.5;3\n2,5;4\n"))
    with pytest.raises(ValueError, match=r"must have one decimal sign; line 1 has '1.234,5', line 2 has '1.25'\. W"):
        data.read(written(tmp_path / "x.csv", "1.234,5;3\n1.25;4\n"))
    np.testing.assert_array_equal(
        data.read(written(tmp_path / "x.csv", '"1,5",3\n7,4\n'), decimal=","), [[1.5, 3], [7, 4]]
    )
    with pytest.raises(ValueError, match=r"decimal must be one of \., ,; got ';'"):
        data.read(tmp_path / "x.csv", decimal=";")


# --- thousands, quotes, exponents, comments --------------------------------------------------------------------------

LARGE = [[1234.5, -12345678.0], [2.25, 1500.0]]
PARTED = {
    "english.csv": "a;b\n1,234.5;-12,345,678\n2.25;1,500\n",
    "continental.csv": "a;b\n1.234,5;-12.345.678\n2,25;1.500\n",
    "blanks.csv": "a;b\n1 234,5;-12 345 678\n2,25;1 500\n",
    "blanks.tsv": "1 234.5\t-12 345 678\n2.25\t1 500\n",
    "narrow.txt": "1\u202f234,5 -12\u00a0345\u00a0678\n2,25 1\u202f500\n",
    "swiss.txt": "1'234.5 -12’345’678\n2.25 1'500\n",
    "quoted.csv": 'a,b\n"1,234.5","-12,345,678"\n2.25,"1,500"\n',
    "wide.txt": "1,234.5 -12,345,678\n2.25 1,500\n",
    "fortran.dat": " 1.2345D+03 -1.2345678D7\n 0.225d+01  15D2\n",
    "fortran commas.txt": "1,2345D+03;-12345678\n2,25;1,5E3\n",
}


@pytest.mark.parametrize("name", PARTED)
def test_thousands_and_exponents_are_read_as_the_table_says(tmp_path, name):
    np.testing.assert_array_equal(data.read(written(tmp_path / name, PARTED[name])), LARGE)


QUOTED = [f'"1,5"{sign}"2,25"\n"3,75"{sign}"4,5"' for sign in (";", ",", ", ", "\t")]


@pytest.mark.parametrize("text", QUOTED)
@pytest.mark.parametrize("name", ["x.csv", "x.txt"])
def test_quoted_decimal_commas(tmp_path, name, text):
    for head, names in (("", ()), (text.partition("\n")[0].translate(str.maketrans("1234", "abcd")) + "\n", None)):
        table = data.read_table(written(tmp_path / name, head + text + "\n"))
        assert table.x.tolist() == [[1.5, 2.25], [3.75, 4.5]] and (names is None or table.names == names)


def test_a_single_comma_before_three_digits_is_asked_about(tmp_path):
    for text in ("1,234;2\n5,678;3\n", '"1,234",2\n"5,678",3\n'):
        path = written(tmp_path / "x.csv", text)
        with pytest.raises(
            ValueError, match=r"decimal signs or part thousands: line 1 has '1,234'\. Say which the decimal sign is"
        ):
            data.read(path)
        assert data.read(path, decimal=",").tolist() == [[1.234, 2], [5.678, 3]]
        assert data.read(path, decimal=".").tolist() == [[1234, 2], [5678, 3]]
        assert data.read(path, columns=1).tolist() == [2, 3]  # of which nothing is asked
    path = written(tmp_path / "y.csv", "1,234;0,5\n5,678;3\n")  # a decimal comma beside it
    assert data.read(path).tolist() == [[1.234, 0.5], [5.678, 3]]
    with pytest.raises(ValueError, match=r"one decimal sign; line 1 has '1,234', line 1 has '2.5'"):
        data.read(written(tmp_path / "z.csv", "1,234;2.5\n"))
    words = written(tmp_path / "w.csv", "host;n\n192.168.100.200;2.5\n10.0.0.1;3.5\n")  # no thousands
    assert data.read_table(words, index="host").x.tolist() == [[2.5], [3.5]]
    with pytest.raises(ValueError, match=r"column 0 holds '1.5'"):
        data.read(written(tmp_path / "v.csv", "1.5;2,5\n"), decimal=",")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("1,234.5\n12,345.75\n", r"by commas, or 2 columns: line 1 is '1,234.5'\. .*columns=\[0, 1\]"),
        ("987.5\n1,234.5\n", r"by commas, or 2 columns: line 2 is '1,234.5'\. Write thousands together"),
        ("1,234,567\n7,345,678\n", r"by commas, or 3 columns: line 1 is '1,234,567'\. .*--columns 0,1,2"),
        ("2,345\n1,120\n9,700\n", r"by commas, or with decimal commas, or 2 columns: line 1 is '2,345'"),
        ("count\n1 234\n5 678\n20 001\n", r"by white space, or 2 columns: line 2 is '1 234'"),
        ("1 234,5\n15 234,25\n", r"by white space, or 2 columns: line 1 is '1 234,5'"),
        ("1 234,5 2 345,25\n8 204,5 7 345,25\n", r"or 4 columns: line 1 is '1 234,5 2 345,25'"),
    ],
)  # fmt: skip
def test_rows_that_may_be_one_number_are_asked_about(tmp_path, text, told):
    path = written(tmp_path / "x.txt", text)
    with pytest.raises(ValueError, match=rf"may hold numbers whose thousands are parted .*{told}"):
        data.read(path)
    with pytest.raises(ValueError, match=r"thousands are parted"):
        data.read_table(path, missing=True)


@pytest.mark.parametrize(
    "text",
    ["1 234\n2 345\n3 120\n", "10 120\n20 345\n30 207\n", "123 234\n345 456\n", "0 234\n7 345\n", "1 234\n5 67\n",
     "a b\n7 234\n5 678\n", "# a b\n7 234\n5 678\n"],
)  # fmt: skip
def test_columns_of_three_digits_stay_columns(tmp_path, text):
    rows = [[float(cell) for cell in line.split()] for line in text.splitlines() if "a" not in line]
    np.testing.assert_array_equal(data.read(written(tmp_path / "x.txt", text)), rows)
    assert data.read(written(tmp_path / "x.txt", "7 234\n5 678\n"), columns=[0, 1]).tolist() == [[7, 234], [5, 678]]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("# left right\n1.5 2\n3 4\n", ("left", "right")),
        ("#left,right\n1.5,2\n3,4\n", ("left", "right")),
        ("# by hand\n# t [s], x(mm)\n1.5,2\n3,4\n", ()),  # which of them nothing says
        ("# from the lab in Delft\n# t [s], x (mm)\n1.5,2\n3,4\n", ("t [s]", "x (mm)")),
        ("# left right\n# more\n1.5;2\n3;4\n", ("left", "right")),
        ("# 7 8\n1.5 2\n3 4\n", ()),
        ("# left left\n1.5 2\n3 4\n", ()),
        ("# left right\na b\n1.5 2\n3 4\n", ("a", "b")),
        ("1.5 2\n# left right\n3 4\n", ()),
    ],
)
def test_a_comment_may_name_the_columns(tmp_path, text, names):
    table = data.read_table(written(tmp_path / "x.txt", text))
    assert table.x.tolist() == [[1.5, 2], [3, 4]] and table.names == names


def test_columns_are_named_once_and_some_are(tmp_path):
    path = written(tmp_path / "x.csv", "a,b\n1,2\n3,4.5\n")
    np.save(tmp_path / "x.npy", X)
    twice = {("a", "b", "a"): "got 'a' twice", ("a", 0): "got 'a' twice, as 0 too", (1, 1): "got 1 twice"}
    for columns, told in twice.items():
        with pytest.raises(ValueError, match=rf"columns must name each column once; {told}\. Leave one out"):
            data.read(path, columns=columns)
    with pytest.raises(ValueError, match=r"inputs must name each column once; got 0 twice"):
        data.read_table(tmp_path / "x.npy", inputs=[0, 0])
    for file in ("x.csv", "x.npy"):
        with pytest.raises(ValueError, match=rf"columns must name at least one column of .*{file}; got none"):
            data.read(tmp_path / file, columns=[])


def test_no_text_and_no_record(tmp_path):
    (tmp_path / "x.dat").write_bytes(bytes(range(128, 256)))
    with pytest.raises(ValueError, match=r"x.dat is no text, and no x.hea beside it says that it is a WFDB record"):
        data.read(tmp_path / "x.dat")
    with pytest.raises(ValueError, match=r"numbers in cells separated by '\|'; its first line is 'a,b'"):
        data.read(written(tmp_path / "x.csv", "sep=|\na|b\nc|d\n"))
    with pytest.raises(ValueError, match=r"numbers in cells separated by white space; its first line is 'hello,you'"):
        data.read(written(tmp_path / "x.txt", "hello you\nand you\n"))


# --- columns that only tell rows apart -------------------------------------------------------------------------------

INDEXED = {
    "pandas": (",a,b\n0,0.5,-1.25\n1,2.0,300.0\n", ("a", "b")),
    "filtered": (",a,b\n3,0.5,-1.25\n17,2.0,300.0\n", ("a", "b")),
    "bare": (",0,1\n0,0.5,-1.25\n1,2.0,300.0\n", ("0", "1")),
    "words": (",a,b\nann,0.5,-1.25\nbob,2.0,300.0\n", ("a", "b")),
    "twice": ("Unnamed: 0,a,b\n0,0.5,-1.25\n1,2.0,300.0\n", ("a", "b")),
    "R": ('"","a","b"\n"1",0.5,-1.25\n"2",2,300\n', ("a", "b")),
    "R table": ('"a" "b"\n"1" 0.5 -1.25\n"2" 2 300\n', ("a", "b")),
}


@pytest.mark.parametrize("kind", INDEXED)
def test_an_index_without_a_name_is_left_out(tmp_path, kind):
    text, names = INDEXED[kind]
    path = written(tmp_path / ("x.txt" if kind == "R table" else "x.csv"), text)
    with pytest.warns(
        UserWarning, match=r"x\.\w+: the first column has no name and only tells rows apart; it is left o"
    ):
        table = data.read_table(path)
    np.testing.assert_array_equal(table.x, GRID)
    assert table.names == names
    np.testing.assert_array_equal(data.read(path, columns=list(names[::-1])), np.array(GRID)[:, ::-1])
    index = data.read_table(path, index=0)  # who names it needs no warning
    np.testing.assert_array_equal(index.x, GRID)
    assert index.index is not None and len(index.index) == 2


@pytest.mark.parametrize(
    "text", [",a\n0.5,1.5\n1,2\n", ",a\n3,1.5\n3,2\n", "n,a\n0,1.5\n1,2\n", "a,,b\n0,1,2\n1,3.5,4\n"]
)
def test_other_columns_stay(tmp_path, text):
    rows = [[float(cell) for cell in line.split(",")] for line in text.split()[1:]]
    bare = "" in text.split()[0].split(",")
    with pytest.warns(UserWarning, match="has no name and is taken for part") if bare else nullcontext():
        np.testing.assert_array_equal(data.read(written(tmp_path / "x.csv", text)), rows)


def test_an_index_of_another_order_is_no_observation(tmp_path):
    path = written(tmp_path / "x.csv", ",a,b\n2,1.5,2\n0,3,4\n1,5,6.5\n")
    with pytest.warns(UserWarning, match="left out"):
        np.testing.assert_array_equal(data.read(path), [[1.5, 2], [3, 4], [5, 6.5]])


@pytest.mark.parametrize(
    "text",
    [
        "1.5 2\n3 4.25\n-1\t7\n",
        "  1.5   2\n3 \t 4.25  \n -1 7\n",
        "1.5 2\n 3 4.25\n  -1 \t 7\n",
        "# 2024\n1.5\t2\n3\t4.25\n-1\t7\n",
    ],
)
def test_blanks_and_tabs_are_both_white_space(tmp_path, text):
    np.testing.assert_array_equal(data.read(written(tmp_path / "x.dat", text)), [[1.5, 2], [3, 4.25], [-1, 7]])


def test_what_pandas_writes_is_read_back(tmp_path):
    pandas = pytest.importorskip("pandas", reason="writes the files")
    frame = pandas.DataFrame(GRID, columns=["a", "b"])
    for more, names in (({}, ("a", "b")), ({"sep": ";", "decimal": ","}, ("a", "b")), ({"header": False}, None)):
        frame.to_csv(tmp_path / "x.csv", index=names is None, **more)
        if names is not None:
            table = data.read_table(tmp_path / "x.csv")
            np.testing.assert_array_equal(table.x, GRID)
            assert table.names == names
            frame.to_csv(tmp_path / "x.csv", **more)
            with pytest.warns(UserWarning, match="left out"):
                np.testing.assert_array_equal(data.read(tmp_path / "x.csv"), GRID)


# --- tables with more than observations ------------------------------------------------------------------------------


def test_conditions_labels_and_names_of_rows_stand_beside(tmp_path):
    text = "who,dose,left,day,age,right\nann,0.5,1,mon,40,2\nbob,1.5,3,tue,50,4\nann,2.5,5,wed,40,6\n"
    table = data.read_table(written(tmp_path / "x.csv", text), inputs=["age", "dose"], groups="who", index=3)
    assert table.x.tolist() == [[1, 2], [3, 4], [5, 6]] and table.names == ("left", "right")
    assert table.inputs.tolist() == [[40, 0.5], [50, 1.5], [40, 2.5]] and table.input_names == ("age", "dose")
    assert table.groups.tolist() == ["ann", "bob", "ann"]
    assert table.index.tolist() == ["mon", "tue", "wed"] and table.index_name == "day"
    table = data.read_table(tmp_path / "x.csv", columns="right", inputs=1)
    assert (
        table.x.tolist() == [2, 4, 6] and table.names == ("right",) and table.inputs.tolist() == [[0.5], [1.5], [2.5]]
    )
    with pytest.raises(ValueError, match=r"groups must be a number from 0 to 5 or a name among who, .*; got 'patient'"):
        data.read_table(tmp_path / "x.csv", groups="patient")


def test_arrays_beside_x(tmp_path):
    c, who = np.array([0.5, 1.5, 2.5, 3.5]), np.array(["a", "b", "a", "c"])
    np.savez(tmp_path / "x.npz", x=X, dose=c, who=who)
    table = data.read_table(tmp_path / "x.npz", inputs="dose", groups="who")
    np.testing.assert_array_equal(table.x, X)
    assert table.inputs.tolist() == [[0.5], [1.5], [2.5], [3.5]] and table.groups.tolist() == who.tolist()
    np.save(tmp_path / "x.npy", X)
    table = data.read_table(tmp_path / "x.npy", inputs=[2], index=1)
    np.testing.assert_array_equal(table.inputs, X[:, [2]])
    assert table.x.tolist() == X[:, [0]].tolist() and table.index.tolist() == X[:, 1].tolist()
    with pytest.raises(ValueError, match="x.npy has no column left for observations besides inputs, index"):
        data.read_table(tmp_path / "x.npy", inputs=[0, 2], index=1)
    with pytest.raises(ValueError, match=r"inputs must name one of the arrays in .*x.npz: x, dose, who; got 'age'"):
        data.read_table(tmp_path / "x.npz", inputs="age")


@pytest.mark.parametrize("kind", ["parquet", "feather"])
def test_files_of_frames(tmp_path, kind):
    pandas = pytest.importorskip("pandas", reason="reads the file")
    pytest.importorskip("pyarrow", reason="pandas reads it by pyarrow")
    frame = pandas.DataFrame({"who": ["ann", "bob"], "left": [0.5, 2.0], "right": [-1, 300]})
    getattr(frame, f"to_{kind}")(tmp_path / f"x.{kind}")
    table = data.read_table(tmp_path / f"x.{kind}", groups="who")
    np.testing.assert_array_equal(table.x, [[0.5, -1], [2.0, 300]])
    assert table.names == ("left", "right") and table.groups.tolist() == ["ann", "bob"]
    np.testing.assert_array_equal(data.read(tmp_path / f"x.{kind}", columns="right"), [-1, 300])
    with pytest.raises(
        ValueError, match=rf"x.{kind} must hold numbers in every column; 'who' has dtype \w+\. Choose oth"
    ):
        data.read(tmp_path / f"x.{kind}")
    (tmp_path / f"y.{kind}").write_bytes(b"no such thing")
    with pytest.raises(ValueError, match=rf"y.{kind} cannot be read as a .{kind} file"):
        data.read(tmp_path / f"y.{kind}")


def test_what_is_missing_to_read_frames_is_said(tmp_path, monkeypatch):
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"Reading .parquet files needs pandas and pyarrow: pip install pandas pyarr"):
        data.read(tmp_path / "x.parquet")


def test_cells_without_a_number_are_missing_where_one_says_so(tmp_path):
    text = "who,w,a,b,c\nann,2.5,1,NA,3\nbob,0,,5,.\ncat,1,7\ndan,4,nan,N/A,9\n"
    path = written(tmp_path / "x.csv", text)
    table = data.read_table(path, groups="who", weights="w", missing=True)
    nan = np.nan
    np.testing.assert_array_equal(table.x, [[1, nan, 3], [nan, 5, nan], [7, nan, nan], [nan, nan, 9]])
    assert table.weights.tolist() == [2.5, 0.0, 1.0, 4.0] and table.names == ("a", "b", "c")
    # The longest row may come last
    longer = written(tmp_path / "y.csv", "1;2,5\n3\n4;5;6\n")
    np.testing.assert_array_equal(data.read_table(longer, missing=True).x, [[1, 2.5, nan], [3, nan, nan], [4, 5, 6]])
    with pytest.raises(ValueError, match=r"column 'b' holds 'NA'\. .* Or say --missing \(missing=True\)"):
        data.read(path, columns=["a", "b"])
    with pytest.raises(ValueError, match=r"or say --missing|say --missing \(missing=True\): shorter rows"):
        data.read(written(tmp_path / "z.csv", "1,2\n3\n"))
    with pytest.raises(ValueError, match="holds 'oops'"):
        data.read_table(written(tmp_path / "o.csv", "1,oops\n3,4\n"), missing=True)


def test_weights_of_an_npz_file_are_an_array(tmp_path):
    np.savez(tmp_path / "x.npz", x=np.ones((3, 2)), w=np.array([1, 2, 3]))
    assert data.read_table(tmp_path / "x.npz", weights="w").weights.tolist() == [1.0, 2.0, 3.0]


DAYS = "Datum;Kunde 1;Kunde 2\n02.01.2024;1,5;2\n03.01.2024;0,25;4\n"


def test_a_column_that_names_the_rows_is_left_out(tmp_path):
    path = written(tmp_path / "days.csv", DAYS)
    np.testing.assert_array_equal(data.read(path, index="Datum"), [[1.5, 2.0], [0.25, 4.0]])
    np.testing.assert_array_equal(data.read(path, index=0, columns="Kunde 2"), [2.0, 4.0])
    assert data.read_table(path, index="Datum").index.tolist() == ["02.01.2024", "03.01.2024"]


@pytest.mark.parametrize(
    ("text", "column", "word"),
    [
        (DAYS, "'Datum'", r"--index Datum \(index='Datum'\)"),
        (DAYS.replace("Datum", "der Tag"), "'der Tag'", r"--index 'der Tag' \(index='der Tag'\)"),
        (DAYS.partition("\n")[2], "0", r"--index 0 \(index=0\)"),
    ],
)
def test_a_column_of_words_may_name_the_rows(tmp_path, text, column, word):
    path = written(tmp_path / "days.csv", text)
    with pytest.raises(ValueError, match=rf"column {column} holds '02.01.2024'.* Or say {word} of what only names the"):
        data.read(path)
    path = written(tmp_path / "gap.csv", "a,b\n1,2\n3,x\n5,6\n")
    with pytest.raises(ValueError, match=r"column 'b' holds 'x'\. Mend the cell, or choose other columns\.$"):
        data.read(path)


@pytest.mark.parametrize("text", ["Datum;Kunde 1\n", "# days\na,b,c\n\n", "rate"])
def test_a_heading_alone_is_no_table(tmp_path, text):
    line = text.strip().splitlines()[-1]
    with pytest.raises(
        ValueError, match=rf"numbers, a row for each observation; it has a heading and no rows: '{line}'"
    ):
        data.read(written(tmp_path / "x.csv", text))
