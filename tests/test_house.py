"""The layout holds together: packages, links, names, versions."""

import ast
import importlib
import inspect
import pkgutil
import re
import tomllib
from pathlib import Path

import pytest

import avo

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MAPPED = ("simulators", "critics", "benchmarks")
SOURCES = sorted(path for top in ("avo", *MAPPED, "tests") for path in (ROOT / top).glob("**/*.py"))
TEXTS = [
    *SOURCES,
    *(path for top in (*MAPPED, "docs") for path in (ROOT / top).glob("**/*.md")),
    *(path for path in ROOT.iterdir() if path.suffix in {".md", ".toml", ".cff", ".yaml"}),
    *(ROOT / name for name in ("Makefile", ".ci/run")),
]


def test_packages_are_the_folders():
    folders = {
        ".".join(init.parent.relative_to(ROOT).parts)
        for top in ("avo", *MAPPED)
        for init in (ROOT / top).glob("**/__init__.py")
        if not any(parent.is_symlink() for parent in init.parents)
    }
    folders -= {"benchmarks.studies"}  # run from a checkout only
    expected = {f"avo.{name}" if name.split(".")[0] in MAPPED else name for name in folders}
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == expected


def test_package_dir_names_the_folders():
    mapping = PROJECT["tool"]["setuptools"]["package-dir"]
    assert mapping == {"avo": "avo"} | {f"avo.{name}": name for name in MAPPED}


@pytest.mark.parametrize("name", MAPPED)
def test_links_are_relative_and_point_to_the_folder(name):
    link = ROOT / "avo" / name
    assert link.is_symlink()
    assert link.readlink() == Path("..") / name
    assert link.resolve() == ROOT / name


@pytest.mark.parametrize("name", MAPPED)
def test_mapped_modules_import_under_avo(name):
    paths = [path for path in (ROOT / name).rglob("*.py") if path.stem != "__main__"]
    assert paths
    for path in paths:
        parts = path.relative_to(ROOT).with_suffix("").parts
        module = importlib.import_module(".".join(("avo", *parts)).removesuffix(".__init__"))
        assert Path(module.__file__ or "").resolve() == path


def test_no_module_is_hidden_by_a_function_of_its_name():
    modules = {module.name for module in pkgutil.iter_modules(avo.__path__)}
    hidden = [name for name in modules if hasattr(avo, name) and not inspect.ismodule(getattr(avo, name))]
    assert hidden == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_pickle(path):
    for node in ast.walk(ast.parse(path.read_text())):
        imported = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            imported = [node.module or ""]
        for name in imported:
            assert name.split(".")[0] not in {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "shelve"}
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            assert isinstance(node.value, ast.Constant) and node.value.value is False


def test_version_is_stated_once():
    assert avo.__version__ == PROJECT["project"]["version"]
    assert f"version: {avo.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"## [{avo.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def test_the_distribution_is_never_called_avo():
    """On the public index another project owns that name: who follows such advice installs a stranger's code."""
    assert PROJECT["project"]["name"] == "avo-sbi"
    old = re.compile(r"""(?<![\w-])avo\\?\[[a-z]|pip install +['"]?avo(?!-sbi)|version\(['"]avo['"]\)""")
    found = [f"{path.relative_to(ROOT)}: {hit[0]}" for path in TEXTS for hit in old.finditer(path.read_text("utf-8"))]
    assert found == []
