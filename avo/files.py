"""Files that are never half-written: arrays in `.npz`, words in JSON, no pickle.

Everything is written to a temporary name beside its place and renamed, which either happens or does not.
"""

import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np


def write(path: Path, content: bytes) -> None:
    """Write a whole file or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write plain values as readable JSON."""
    write(path, (json.dumps(values, indent=2) + "\n").encode())


def write_arrays(path: Path, arrays: dict[str, Any]) -> None:
    """Write named arrays as one `.npz`."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{name: np.asarray(a) for name, a in arrays.items()})  # pyright: ignore[reportArgumentType]
    write(path, buffer.getvalue())


def damaged(path: Path) -> ValueError:
    """Make the error of a file that does not hold what was written."""
    return ValueError(f"{path} is damaged; delete it or its folder to start anew, or restore it from a copy.")


def read_json(path: Path) -> dict[str, Any]:
    """Read what `write_json` wrote; ValueError if it is damaged."""
    try:
        found = json.loads(path.read_text())
    except ValueError as error:
        raise damaged(path) from error
    if not isinstance(found, dict):
        raise damaged(path)
    return found


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read what `write_arrays` wrote; ValueError if it is damaged."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return dict(archive)
    except (ValueError, TypeError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise (error if isinstance(error, FileNotFoundError) else damaged(path)) from error


def refuse_others(folder: Path, name: str) -> None:
    """Refuse a folder whose `arrays.npz` is not a tree of this name, which a save cut short leaves."""
    path = folder / "arrays.npz"
    try:
        own = not path.exists() or f"{name}.0" in read_arrays(path)
    except ValueError:
        own = False
    if not own:
        raise FileExistsError(f"{folder} already holds another arrays.npz; choose another folder.")


def leaves(name: str, tree: Any) -> dict[str, Any]:
    """Name the array leaves of a tree: name.0, name.1, ..."""
    return {f"{name}.{i}": leaf for i, leaf in enumerate(jax.tree.leaves(eqx.filter(tree, eqx.is_array)))}


def fill(name: str, like: Any, arrays: dict[str, np.ndarray]) -> Any:
    """Put named leaves into a tree of the same structure.

    Raises:
        ValueError: if the number or a shape of the leaves differs.
    """
    dynamic, static = eqx.partition(like, eqx.is_array)
    old, structure = jax.tree.flatten(dynamic)
    new = [arrays[key] for i in range(len(arrays)) if (key := f"{name}.{i}") in arrays]
    if [a.shape for a in old] != [a.shape for a in new]:
        raise ValueError(
            f"the saved {name} has arrays of shape {[a.shape for a in new]}; "
            f"the one to fill has {[a.shape for a in old]}. Pass one made as it was for the fit."
        )
    return eqx.combine(jax.tree.unflatten(structure, [jnp.asarray(a) for a in new]), static)
