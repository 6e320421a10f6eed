"""The layout holds together: packages, links, names, versions."""

import ast
import graphlib
import importlib
import inspect
import pkgutil
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

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


def name_of(path: Path) -> str:
    """The name under which a file is imported."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(("avo", *parts) if parts[0] in MAPPED else parts).removesuffix(".__init__")


MODULES = {name_of(path): ast.parse(path.read_text()) for path in SOURCES if path.parts[len(ROOT.parts)] != "tests"}


class Imported(NamedTuple):
    """A module that another one imports, and whether inside a function, where it runs when it is called."""

    module: str
    inside: bool


def in_core(name: str) -> bool:
    return not name.startswith(tuple(f"avo.{folder}" for folder in MAPPED))


def statements(node: ast.AST, inside: bool = False) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    """Find the imports below a node that run, and whether they stand inside a function."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.Import, ast.ImportFrom)):
            yield child, inside
        elif not (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)):
            yield from statements(child, inside or isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)))


def passed_on(package: str) -> dict[str, str]:
    """The names that a package's `__init__` imports, with where from."""
    found = (node for node, _ in statements(MODULES[package]) if isinstance(node, ast.ImportFrom))
    return {alias.asname or alias.name: f"{node.module}.{alias.name}" for node in found for alias in node.names}


def resolve(dotted: str) -> str:
    """Find the module in which a dotted name is defined, through what packages pass on."""
    module, *rest = dotted.split(".")
    for i, part in enumerate(rest):
        if f"{module}.{part}" in MODULES:
            module = f"{module}.{part}"
        elif module in PACKAGES and part in passed_on(module):
            return resolve(".".join((passed_on(module)[part], *rest[i + 1 :])))
        else:
            break
    return module


def imports(name: str) -> set[Imported]:
    """Find the modules of avo that a module imports, but for what a package only passes on."""
    used = {node.id for node in ast.walk(MODULES[name]) if isinstance(node, ast.Name)}
    found = set()
    for node, inside in statements(MODULES[name]):
        before = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
        for alias in node.names:
            local = alias.asname or alias.name.split(".")[0]
            if (before + alias.name).split(".")[0] == "avo" and (local in used or name not in PACKAGES):
                found.add(Imported(resolve(before + alias.name), inside))
    return {one for one in found if one.module != name}


def reached(name: str) -> set[str]:
    """Find the modules that a module has as `avo.ROOM.NAME`, through `import avo`."""
    words = [ast.unparse(node) for node in ast.walk(MODULES[name]) if isinstance(node, ast.Attribute)]
    return {resolve(word) for word in words if re.fullmatch(r"avo(\.\w+)+", word)} - {name}


PACKAGES = {name_of(path) for path in SOURCES if path.stem == "__init__"} & set(MODULES)
IMPORTS = {name: imports(name) for name in MODULES}


def test_packages_are_the_folders():
    folders = {
        ".".join(init.parent.relative_to(ROOT).parts)
        for top in ("avo", *MAPPED)
        for init in (ROOT / top).glob("**/__init__.py")
        if not any(parent.is_symlink() for parent in init.parents)
    }
    folders = {name for name in folders if not name.startswith("benchmarks.studies")}  # run from a checkout only
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


def test_imports_are_absolute():
    assert [name for name in MODULES for node, _ in statements(MODULES[name]) if getattr(node, "level", 0)] == []


# What a result's methods lead to: built upon results, and slow to import
UPWARD = {("avo.result", "avo.report.page"), ("avo.result", "avo.report.notebook")}


def test_modules_import_each_other_in_no_circle():
    """Imports inside functions count; those of a package's `__init__` that only pass names on do not."""
    graph = {name: {one.module for one in IMPORTS[name]} | reached(name) for name in MODULES}
    for name, above in UPWARD:
        graph[name].remove(above)
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_the_core_imports_the_mapped_folders_inside_functions_only():
    early = {
        f"{name} -> {one.module}"
        for name in MODULES
        for one in IMPORTS[name]
        if in_core(name) and not in_core(one.module) and not one.inside
    }
    assert early == set()


def test_other_imports_stand_at_the_top():
    """Laziness lives in `avo/__init__` and in the command, whose start is quick by it; below it would hide circles.

    `avo.simulators` is lazy too, by a `__getattr__` of its own: a name is asked for among many files, and `avo list`
    reads their headers without starting JAX.
    """
    late = {
        f"{name} -> {one.module}"
        for name in MODULES
        for one in IMPORTS[name]
        if one.inside
        and not (in_core(name) and not in_core(one.module))
        and not name.startswith("avo.command")
        and (name, one.module) not in UPWARD
    }
    assert late == set()


def test_no_module_has_the_name_of_what_it_exports():
    """`from package import name` would else give one or the other, as the order of imports has it.

    The files of simulators are named by their simulator, and `avo.simulators.NAME` is always the simulator.
    """
    same = {
        name
        for name, tree in MODULES.items()
        for node in tree.body
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == name.rpartition(".")[2]
    }
    assert [name for name in same if not name.startswith("avo.simulators.")] == []
    for name in same:
        assert not inspect.ismodule(getattr(importlib.import_module("avo.simulators"), name.rpartition(".")[2], None))


def test_tests_mirror_the_tree():
    files = sorted(path.relative_to(ROOT / "tests") for path in (ROOT / "tests").glob("**/*.py"))
    rooms = {path.parts[0] for path in files if len(path.parts) > 1}
    assert [room for room in rooms if not (ROOT / "avo" / room).is_dir()] == []
    tests = [path.name for path in files if path.name.startswith("test_")]
    assert [name for name, count in Counter(tests).items() if count > 1] == []


MESSAGES = ("worker.py", "workers.py", "executors.py", "modules.py")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_pickle(path):
    for node in ast.walk(ast.parse(path.read_text())):
        imported = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            imported = [node.module or ""]
        for name in imported:
            found = name.split(".")[0] in {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "shelve"}
            # Messages between a fit and its workers are pickles; no file is
            assert not found or (path.parent.name in ("execution", "command") and path.name in MESSAGES)
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


def found_in(pattern: str) -> list[tuple[str, str]]:
    """Find the pattern in all texts but the changelog, which names what was: (where, what)."""
    texts = [path for path in TEXTS if path.name != "CHANGELOG.md"]
    return [(str(path.relative_to(ROOT)), hit[1]) for path in texts for hit in re.finditer(pattern, path.read_text())]


def test_files_that_pages_and_docstrings_name_are_there():
    named = found_in(r"(?<![\w./])((?:avo|simulators|critics|benchmarks|tests|docs)/[\w/]+\.(?:py|md|png))\b")
    assert [f"{where}: {file}" for where, file in named if not (ROOT / file).is_file()] == []


def test_modules_that_pages_and_docstrings_run_are_there():
    named = found_in(r"python -m (avo(?:\.[a-z_]+)+)\b")
    assert named
    assert [f"{where}: {module}" for where, module in named if module not in MODULES] == []


def test_names_of_the_library_in_pages_and_docstrings_are_there():
    missing = set()
    for where, name in found_in(r"`(avo(?:\.\w*[a-z]\w*)+)(?![\w.])"):
        try:
            pkgutil.resolve_name(name)
        except (ImportError, AttributeError):
            missing.add(f"{where}: {name}")
    assert missing == set()
