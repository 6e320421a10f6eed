"""`import avo`: what it offers, and that nothing heavy is imported before it is used."""

import ast
import inspect
import subprocess
import sys
from types import ModuleType

import pytest

import avo


def test_the_imports_for_type_checkers_are_what_the_package_offers() -> None:
    (block,) = [node for node in ast.parse(inspect.getsource(avo)).body if isinstance(node, ast.If)]
    lines = [line for line in block.body if isinstance(line, ast.ImportFrom)]
    stated = {f"{line.module}.{line.names[0].name}" for line in lines}
    assert stated == {f"avo.{home}.{name}" for name, home in avo._HOMES.items()} | {
        f"avo.{part}" for part in avo._PARTS.values()
    }


def test_every_name_is_there_and_listed() -> None:
    assert set(avo.__all__) == {*avo._HOMES, *avo._PARTS} and set(avo.__all__) <= set(dir(avo))
    for name in avo._HOMES:
        assert getattr(avo, name).__name__ == name
    for name in avo._PARTS:
        assert isinstance(getattr(avo, name), ModuleType)
    with pytest.raises(AttributeError, match="module 'avo' has no attribute 'fti'"):
        avo.fti  # noqa: B018


def test_import_starts_neither_jax_nor_matplotlib() -> None:
    code = "import sys, avo; dir(avo); print({m for m in sys.modules if m in ('jax', 'numpy', 'matplotlib')} or 'none')"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "none\n"


def test_names_are_imported_from_the_package() -> None:
    code = "from avo import Space, fit, gallery, recipes; import avo; assert avo.fit is fit and avo.gallery is gallery"
    subprocess.run([sys.executable, "-c", code], check=True)
