"""The folder of a comparison: every cell that is finished is kept in it, so that a comparison that is stopped goes on.

    comparison.json    what the comparison is: case, sizes, hash of given signals; another one is refused
    cells/NAME.npz     numbers of a finished cell, the codes and curves that are needed of it, and whose it is
    compare.json ...   what `Comparison.save` writes at the end

A cell is a few trainings of one seed: its regressions and the simulator's fit, one autoencoder, one rung of small data,
signals from outside the model. It is a function of the comparison and of its name alone, whichever cells are there
already: what goes on ends in the same numbers. The number of seeds is no part of what a comparison is: one with more
seeds takes over the cells of one with fewer.
"""

import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from avo.alerts import warn
from avo.folder import Folder, damaged, read_arrays, write_arrays


class ComparisonFolder(Folder):
    """The folder of one comparison."""

    claimed, ended, tree = "comparison.json", "compare.json", "comparison"


class Cell(NamedTuple):
    """What a cell gave: lines of the comparison, and arrays by name."""

    records: list[dict[str, Any]]
    arrays: dict[str, np.ndarray]


class Cells:
    """The finished cells of a comparison, in its folder.

    Args:
        folder: where they are kept; None: nowhere, each is made anew.
    """

    def __init__(self, folder: Folder | None = None) -> None:
        self.folder = folder

    @property
    def count(self) -> int:
        """How many are there."""
        return 0 if self.folder is None else len(list(self.folder.path.glob("cells/*.npz")))

    def of(self, name: str, make: Callable[[], Cell]) -> tuple[Cell, bool]:
        """Take a cell that is there, or make and keep it; and whether it was there.

        Raises:
            ValueError: if it is damaged, or of another comparison.

        Example:
            >>> Cells().of("seed 0", lambda: Cell([], {}))
            (Cell(records=[], arrays={}), False)
        """
        if self.folder is None:
            return make(), False
        path = self.folder.path / "cells" / f"{re.sub('[^0-9A-Za-z]+', '-', name)}.npz"
        if path.exists():
            arrays = read_arrays(path)
            try:
                identity, records = str(arrays.pop("identity")), json.loads(str(arrays.pop("records")))
            except (KeyError, ValueError) as error:
                raise damaged(path) from error
            if identity != self.folder.identity:
                raise ValueError(f"{path} is of another comparison; choose another folder.")
            return Cell(records, arrays), True
        cell = make()
        words = {"records": np.array(json.dumps(cell.records)), "identity": np.array(self.folder.identity)}
        try:
            write_arrays(path, cell.arrays | words)
        except OSError as error:
            warn(
                f"{path} cannot be written ({error.strerror}); the comparison goes on, but this cell is lost if it is "
                "stopped.",
            )
        return cell, False
