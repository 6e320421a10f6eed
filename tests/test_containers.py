"""avo.containers: what people hold their numbers in gives the same numbers, and its names; what it hides is refused."""

import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fits import SPACE, X_OBS, equal, fit, simulate

import avo
from avo.containers import Axis, Labelled, arranged, axes_of, labels_of, plain, quantity_of, same_rows, words_of
from avo.observations import number_clusters, validate_observations

pytestmark = pytest.mark.usefixtures("single_precision")

pandas = pytest.importorskip("pandas", reason="DataFrames need pandas")

X = np.array([[1.5, -2.0], [4.25, 0.5], [7.0, 8.5], [-3.0, 2.25]])


class Tensor:
    """As much of a tensor as counts: it may not be taken before it is detached, on the CPU."""

    def __init__(self, x: Any, attached: bool = True, dtype: Any = float) -> None:
        self.x, self.attached, self.dtype = x, attached, dtype

    def detach(self) -> "Tensor":
        return Tensor(self.x, False, self.dtype)

    def cpu(self) -> "Tensor":
        return self

    def float(self) -> "Tensor":
        return Tensor(self.x, self.attached)

    def numpy(self) -> np.ndarray:
        if self.attached or self.dtype == "bfloat16":
            raise TypeError(f"Got unsupported ScalarType {self.dtype}")
        return np.asarray(self.x)

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise RuntimeError("Can't call numpy() on Tensor that requires grad.")


HELD = {
    "list": X.tolist(),
    "rows": list(X),
    "frame": pandas.DataFrame(X, columns=["angle", "rate"], index=["a", "b", "c", "d"]),
    "nullable": pandas.DataFrame(X).convert_dtypes(),
    "series in a list": [pandas.Series(one) for one in X],
    "tensor": Tensor(X),
    "tensors in a list": [Tensor(one) for one in X],
    "unmasked": np.ma.masked_less(X, -99),
    "labelled": Labelled(X, (Axis("column", "", np.arange(2), ("angle", "rate")),)),
}


@pytest.mark.parametrize("held", HELD.values(), ids=HELD)
def test_all_give_the_same_numbers(held: Any) -> None:
    x = validate_observations(held)
    np.testing.assert_array_equal(x, X)
    assert type(x) is np.ndarray and x.dtype == np.float64


def test_whole_numbers_truths_and_series_are_numbers() -> None:
    frame = pandas.DataFrame({
        "n": np.array([3, 1], "int8"),
        "big": np.array([2**40, 5], "uint64"),
        "yes": [True, False],
        "nullable": pandas.array([7, 2], dtype="Int64"),
        "sparse": pandas.arrays.SparseArray([0.5, 0.0]),
    })  # fmt: skip
    np.testing.assert_array_equal(validate_observations(frame), [[3, 2**40, 1, 7, 0.5], [1, 5, 0, 2, 0]])
    np.testing.assert_array_equal(validate_observations(pandas.Series([2.5, -1.0], name="v")), [2.5, -1.0])
    np.testing.assert_array_equal(validate_observations([3, -4]), [3.0, -4.0])


def test_columns_without_numbers_are_named() -> None:
    frame = pandas.DataFrame({"v": [1.0, 2.0], "id": ["p7", "p8"], "day": pandas.to_datetime(["2020", "2021"])})
    with pytest.raises(ValueError, match=r"^x_obs must hold numbers in every column; 'id' has dtype \w+, 'day' has d"):
        avo.fit(simulate, frame, SPACE)
    with pytest.raises(ValueError, match=r"inputs must hold numbers in every column; 'id' has .*inputs\.drop\(columns"):
        avo.fit(simulate, X_OBS, SPACE, inputs=frame[["id"]])
    with pytest.raises(ValueError, match=r"x must hold numbers in every column; 'id' has dtype"):
        validate_observations(frame["id"], "x")
    with pytest.raises(ValueError, match=r"'z' has dtype complex128\. Convert"):
        plain("x", pandas.DataFrame({"z": [1j, 2.0]}))


@pytest.mark.parametrize("missing", [np.nan, None])
def test_missing_values_are_named_by_their_column(missing: Any) -> None:
    frame = pandas.DataFrame({"v": [1.0, 2.0], "w": pandas.array([missing, 3], dtype="Float64")})
    with pytest.raises(ValueError, match=r"x_obs\[0, 1\] is nan \(row 0, column w; 1 of 2 rows affected\)"):
        validate_observations(frame)


def test_masked_entries_are_refused_with_their_number() -> None:
    x = np.where(np.arange(500)[:, None] % 50 == 3, -999.0, X_OBS)
    masked = np.ma.masked_equal(x, -999.0)
    with pytest.raises(ValueError, match=r"^x_obs has 100 masked entries of 5000, in 10 of 500 rows, and avo does not"):
        avo.fit(simulate, masked, SPACE)
    with pytest.raises(ValueError, match=r"x_obs\[1\] has 10 masked entries of 10 and avo"):
        validate_observations([X_OBS[0], masked[3]])
    for name, call in {
        "price": lambda x: avo.data.log_price_windows(x, 2), "series": lambda x: avo.data.windows(x, 2),
        "signal": lambda x: avo.data.beats(x, np.array([2]), 1.0, before=1, after=1),
        "groups": lambda x: number_clusters(x, 5), "x": lambda x: avo.critics.distance(x, x),
    }.items():  # fmt: skip
        with pytest.raises(
            ValueError, match=rf"^{name} has 1 masked entry of 5 and avo does not know.*{name}\)\], or fill them"
        ):
            call(np.ma.masked_equal([1.0, 2.0, 4.0, 3.0, 5.0], 4.0))


def test_what_has_no_numbers_for_numpy() -> None:
    with pytest.raises(ValueError, match=r"x_obs is no tensor for NumPy \(.*bfloat16\)\. Convert it, x_obs\.float\(\)"):
        plain("x_obs", Tensor(X, dtype="bfloat16"))


# --- labels of clusters ----------------------------------------------------------------------------------------------


def test_groups_are_labels_of_a_column() -> None:
    words = ["b", "a", "b", "c"]
    for held in (pandas.Series(words), pandas.Series(words, dtype="category"), pandas.DataFrame({"who": words}), words):
        np.testing.assert_array_equal(number_clusters(held, 4), [1, 0, 1, 2])
    np.testing.assert_array_equal(number_clusters(pandas.Series([9, 2, 9], dtype="Int64"), 3), [1, 0, 1])
    np.testing.assert_array_equal(number_clusters(Tensor(np.array([9, 2, 9])), 3), [1, 0, 1])
    for held in (pandas.Series(["a", None, "b"]), pandas.Series([1, None, 2], dtype="Int64")):
        with pytest.raises(ValueError, match="groups must have a label for each observation; some are None or NaN"):
            number_clusters(held, 3)
    with pytest.raises(ValueError, match="one label for each row; got a frame with 2 columns, who, when. Choose one"):
        words_of("groups", pandas.DataFrame({"who": [1], "when": [2]}))
    parts = avo.data.split(4, (0.5, 0.0, 0.5), groups=pandas.Series(words, dtype="category"))
    assert sorted(parts.train.tolist() + parts.test.tolist()) == [0, 1, 2, 3]


def test_rows_in_another_order_are_refused() -> None:
    frame = pandas.DataFrame(X, index=[4, 5, 6, 7])
    with pytest.raises(ValueError, match=r"groups has the rows of x_obs in another order, by their indexes.*\.loc\[x_"):
        same_rows(x_obs=frame, inputs=None, groups=pandas.Series(1, index=[5, 4, 6, 7]))
    same_rows(x_obs=frame, inputs=frame[[0]], groups=pandas.Series(1, index=[4, 5, 6, 7]))
    same_rows(x_obs=frame, groups=pandas.Series(1, index=[0, 1, 2, 3]))  # numbered anew: no order to compare
    same_rows(x_obs=X, groups=pandas.Series(1, index=[5, 4, 6, 7]))
    many = pandas.DataFrame(X_OBS)
    with pytest.raises(ValueError, match="groups has the rows of x_obs in another order"):
        avo.fit(simulate, many, SPACE, groups=pandas.Series(np.arange(500) // 5, index=np.arange(500)[::-1]))


# --- names -----------------------------------------------------------------------------------------------------------


def test_names_come_along_and_counting_is_no_name() -> None:
    assert axes_of(X) == axes_of(pandas.DataFrame(X)) == axes_of(pandas.Series([1.0])) == axes_of(None) == ()
    (axis,) = axes_of(HELD["frame"])
    assert axis.labels == axis.entries == ("angle", "rate")
    (axis,) = axes_of(pandas.DataFrame(X, columns=pandas.Index([0.5, 2.0], name="lag")))
    assert axis.labels == () and axis.entries == ("lag 0.5", "lag 2") and axis.values.tolist() == [0.5, 2.0]
    (axis,) = axes_of(pandas.DataFrame(X, columns=pandas.MultiIndex.from_tuples([("v", "mean"), ("v", 1)])))
    assert axis.labels == ("v mean", "v 1")
    again = Axis.from_json(axis.to_json())
    assert again.labels == axis.labels and again.values.tolist() == [0, 1]
    assert Axis("lead", "", np.array(["I", "II"])).entries == ("lead I", "lead II")
    towns = pandas.Index(["Delft", "Leiden", "Gouda", "Breda"])
    assert labels_of(pandas.DataFrame(X, index=towns)) == tuple(towns) and labels_of(pandas.DataFrame(X)) == ()
    assert labels_of(pandas.DataFrame(X, index=[7, 3, 9, 1])) == ("7", "3", "9", "1")


def test_two_columns_of_one_name_are_refused() -> None:
    frame = pandas.DataFrame(X, columns=["rate", "rate"])
    with pytest.raises(ValueError, match=r"^x_obs must have a name of its own for each column; columns 0 and 1 both "):
        avo.fit(simulate, frame, SPACE)
    with pytest.raises(ValueError, match=r"^inputs must have a name of its own for each column; .* Rename one, or"):
        avo.fit(simulate, X_OBS, SPACE, inputs=pandas.DataFrame(np.zeros((500, 3)), columns=["dose", "age", "dose"]))
    for columns, both in (
        ([0.5, 0.5], "0.5"), (pandas.MultiIndex.from_tuples([("v", 1), ("v", "1")]), "'v 1'"), ([1, "1"], "'1'"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=f"columns 0 and 1 both are {both}"):
            validate_observations(pandas.DataFrame(X, columns=columns))
    validate_observations(pandas.DataFrame(X, columns=[0.12345678, 0.12345679]))
    own = axes_of(HELD["frame"])
    twice = pandas.DataFrame(np.zeros((2, 3)), columns=["rate", "angle", "rate"])
    with pytest.raises(ValueError, match="x must have each column of the fit once; it has rate twice"):
        arranged("x", twice, own)
    xarray = pytest.importorskip("xarray")
    leads = xarray.DataArray(X, dims=("beat", "lead"), coords={"lead": ["I", "I"]})
    with pytest.raises(ValueError, match="for each entry along lead; entries 0 and 1 both are 'I'"):
        validate_observations(leads)


def test_coordinates_are_no_names_of_columns() -> None:
    """A fit may have days 1 to 2 where the columns of the same table are called otherwise: they go by place."""
    days = (Axis("day", "d", np.array([1, 2])),)
    frame = pandas.DataFrame(X, columns=["day 1", "day 2"])
    assert arranged("x", frame, days) is frame
    with pytest.raises(ValueError, match="x must have the columns of the fit, 1, 2; got 2.5, 1, without 2"):
        arranged("x", pandas.DataFrame(X, columns=[2.5, 1.0]), days)


def test_columns_are_taken_by_name() -> None:
    frame = HELD["frame"]
    other = pandas.DataFrame({"who": ["x"] * 4, "rate": X[:, 1], "angle": X[:, 0]})
    np.testing.assert_array_equal(plain("x", arranged("x", other, axes_of(frame))), X)
    turned = Labelled(X[:, ::-1], (Axis("column", "", np.arange(2), ("rate", "angle")),))
    np.testing.assert_array_equal(plain("x", arranged("x", turned, axes_of(frame))), X)
    for without in (X, pandas.DataFrame(X)):
        assert arranged("x", without, axes_of(frame)) is without
    assert arranged("x", other, ()) is other
    with pytest.raises(
        ValueError, match=r"x must have the columns of the fit, angle, rate; got who, rate, without angle"
    ):
        arranged("x", other[["who", "rate"]], axes_of(frame))


def test_a_fit_is_the_same_from_a_frame_and_keeps_its_names(tmp_path: Any) -> None:
    frame = pandas.DataFrame(X_OBS, columns=[f"v{i}" for i in range(10)], index=pandas.RangeIndex(7, 507))
    result = fit(simulate, frame, groups=pandas.Series(np.arange(500) // 5, index=frame.index), out=tmp_path / "run")
    assert equal(result, fit(simulate, X_OBS, groups=np.arange(500) // 5))
    assert avo.load(tmp_path / "run").axes[0].labels == result.axes[0].labels == tuple(frame.columns)


def test_a_frame_is_encoded_to_a_frame() -> None:
    flat = fit(simulate, X_OBS, refine=True, budget=2560, settings=None, critic=None)
    frame = pandas.DataFrame(X_OBS[:3], index=["a", "b", "c"])
    theta = flat.encode(frame)
    assert list(theta.index) == ["a", "b", "c"] and list(theta.columns) == ["mean", "sd"]
    np.testing.assert_array_equal(theta.to_numpy(), flat.encode(X_OBS[:3]))
    named = replace(flat, axes=axes_of(pandas.DataFrame(X_OBS, columns=list("jihgfedcba"))))
    turned = pandas.DataFrame(X_OBS[:3, ::-1], columns=list("abcdefghij"))
    np.testing.assert_array_equal(named.encode(turned).to_numpy(), theta.to_numpy())


def test_check_names_what_it_looks_at_and_takes_columns_by_name() -> None:
    space = avo.Space(mu=avo.Interval(-6, 10))

    def pairs(key: Any, theta: Any, c: Any) -> Any:
        import jax

        return theta * c + jax.random.normal(key, (theta.shape[0], 2))

    rng = np.random.default_rng(4)
    c = rng.uniform(1, 2, size=(240, 1))
    frame = pandas.DataFrame(2.5 * c + rng.normal(size=(240, 2)), columns=["left", "right"])
    dose = pandas.DataFrame(c, columns=["dose"])
    result = avo.fit(pairs, frame[:200], space, inputs=dose[:200], budget=6000, progress=False)
    new = frame[200:].assign(right=frame.right[200:] + 9.0)[["right", "left"]]
    found = avo.check(result, pairs, new, inputs=dose[200:], replicates=19, progress=False)
    table = {one.name: one for one in found.table}
    assert {"left, mean", "right, sd", "left, correlation with dose", "correlation of left and right"} <= set(table)
    np.testing.assert_allclose(table["right, mean"].observed, frame.right[200:].mean() + 9, rtol=1e-5)
    assert table["right, mean"].p < 0.01 < table["left, mean"].p
    bare = avo.check(result, pairs, new[["left", "right"]].to_numpy(), inputs=c[200:], replicates=19, progress=False)
    assert [one.name for one in bare.table] == list(table)
    np.testing.assert_array_equal([one.z for one in bare.table], [one.z for one in found.table])


def test_pictures_name_columns() -> None:
    frame = HELD["frame"]
    figure = avo.plots.predictive(frame, X)
    assert [axes.get_xlabel() for axes in figure.axes] == ["angle", "rate"]
    wide = pandas.DataFrame(np.random.default_rng(0).normal(size=(9, 70)), columns=[f"t{i}" for i in range(70)])
    ticks = [label.get_text() for label in avo.plots.draws(wide).axes[0].get_xticklabels()]
    assert ticks[:3] == ["t0", "t3", "t6"] and len(ticks) == 24


# --- xarray ----------------------------------------------------------------------------------------------------------


def test_data_arrays_bring_dimensions_and_coordinates(tmp_path: Any) -> None:
    xarray = pytest.importorskip("xarray", reason="DataArrays need xarray")
    rng = np.random.default_rng(0)
    x = xarray.DataArray(
        rng.normal(size=(30, 20, 2)), dims=("beat", "time", "lead"),
        coords={"time": ("time", 0.25 * np.arange(20), {"units": "s"}), "lead": ["I", "aVR"]},
    )  # fmt: skip
    np.testing.assert_array_equal(validate_observations(x), x.values)
    time, lead = axes_of(x)
    assert (time.name, time.unit, time.labels) == ("time", "s", ()) and time.values[3] == 0.75
    assert (lead.name, lead.labels) == ("lead", ("I", "aVR"))
    figure = avo.plots.predictive(x, x.values)
    assert [a.get_ylabel() for a in figure.axes[::2]] == ["x, I", "x, aVR"]
    assert figure.axes[-1].get_xlabel() == "time (s)"
    assert axes_of(xarray.DataArray(X)) == () and quantity_of(xarray.DataArray(X)) == ("", "")
    assert quantity_of(xarray.DataArray(X, name="concentration", attrs={"units": "mg/l"})) == ("concentration", "mg/l")
    days = xarray.DataArray(X, dims=("row", "day"), coords={"day": np.array(["2020-01-01", "2020-01-02"], "M8[ns]")})
    assert [a.to_json() for a in axes_of(days)] == [a.to_json() for a in axes_of(days.drop_vars("day"))]
    with pytest.raises(ValueError, match=r"x_obs must be one array; got a Dataset with v\. Choose a variable, x_obs\["):
        avo.fit(simulate, xarray.Dataset({"v": x}), SPACE)
    with pytest.raises(ValueError, match=r"got dtype <U"):
        validate_observations(xarray.DataArray([["a"], ["b"]]))
    turned = x[:, :, ::-1]
    assert arranged("x", turned, axes_of(x)) is turned  # only the columns of tables are told apart by name


def test_neither_package_is_imported() -> None:
    code = (
        "import sys, numpy as np, avo; avo.fit, avo.Result, avo.check, avo.plots\n"
        "avo.data.validate_observations(np.ones((3, 2)))\n"
        "print([name for name in ('pandas', 'xarray', 'torch', 'pyarrow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
