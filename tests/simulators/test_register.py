"""The register: the header of each simulator's file against its problem, and that reading it imports nothing."""

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import avo.simulators
from avo.plots import with_unit
from avo.simulators import register

every_simulator = pytest.mark.parametrize("name", avo.simulators.names())


@every_simulator
def test_header_is_the_problem_with_its_default_options(name: str) -> None:
    problem, header = avo.simulators.get(name), register.headers()[name]
    assert header == importlib.import_module(f"avo.simulators.{name}").HEADER
    assert (problem.name, problem.summary, problem.tags) == (name, header.summary, header.tags)
    assert problem.x_shape == header.x_shape
    parameters = [with_unit(*words) for words in zip(problem.space.names, problem.space.units, strict=True)]
    assert ", ".join(parameters) == header.parameters
    along = " and ".join(with_unit(axis.name, axis.unit) for axis in problem.axes)
    assert with_unit(problem.quantity, problem.unit) + (f" along {along}" if along else "") == header.x


def test_every_file_with_a_header_is_registered() -> None:
    folder = Path(register.__file__).parent
    files = {path.stem for path in folder.glob("*.py") if "HEADER = Header(" in path.read_text()}
    assert files - {"register"} == set(avo.simulators.names()) and len(avo.simulators.names()) == 31


def test_the_imports_for_type_checkers_are_what_the_package_offers() -> None:
    """The one place that repeats the names, since a type checker follows no __getattr__."""
    (block,) = [node for node in ast.parse(inspect.getsource(avo.simulators)).body if isinstance(node, ast.If)]
    stated = {(line.module, line.names[0].name) for line in block.body if isinstance(line, ast.ImportFrom)}
    known = {name: name for name in avo.simulators.names()} | avo.simulators._TOOLS
    assert stated == {(f"avo.simulators.{home}", name) for name, home in known.items()}


def test_names_and_tags_are_read_without_importing_simulators() -> None:
    code = """
import sys, avo.simulators as s
s.names(), s.find("series", "discrete"), s.tags(), dir(s), s.register.table(s.names())
print(sorted(m for m in sys.modules if m.split(".")[0] in ("jax", "matplotlib", "equinox", "scipy")))
print(sorted(m for m in sys.modules if m.startswith("avo.simulators.")))
"""
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed == "[]\n['avo.simulators.register']\n"


def test_a_name_is_the_factory_whoever_imports_its_file() -> None:
    """Python binds a submodule in its package when it is imported; epem2 imports epem's."""
    code = """
import avo.simulators.sir, avo.simulators.epem2
from avo.simulators.sde import SDEINT
from avo.simulators import poisson
import avo.simulators as s
assert s.sir().name == "sir" and s.epem().name == "epem" and s.epem2().name == "epem2" and poisson().name == "poisson"
assert callable(s.sde) and s.poisson is poisson and s.problem.Problem is s.Problem
from avo.simulators import *
assert ricker().name == "ricker" and names() == s.names()
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_package_lists_what_it_has() -> None:
    assert set(avo.simulators.names()) | {"Problem", "vectorize", "about"} <= set(dir(avo.simulators))
    assert all(hasattr(avo.simulators, name) for name in avo.simulators.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'brownain'"):
        avo.simulators.brownain  # noqa: B018
