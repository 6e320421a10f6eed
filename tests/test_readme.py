"""What the README shows runs as it stands there, and what it names is there."""

import re

import numpy as np
import pytest
from pages import ROOT, blocks, read_page, run

import avo.task

README = read_page("README.md")
COMMANDS = ("fit", "check", "report", "list", "simulate", "latents compare", "bench", "info")


def test_the_fit_runs_and_prints_such_a_table(monkeypatch, capsys):
    monkeypatch.setattr(avo.task, "BUDGET", 30_000)
    (fit,) = [block for block in blocks(README) if block.language == "python"]
    namespace = {}
    run(fit, "README.md", namespace)
    result = namespace["result"]
    assert result.names == ("start", "lifetime") and result.status == "converged"
    assert np.all(abs(result.theta - [2.0, 1.5]) < 4 * result.stderr)
    (shown,) = re.findall(r"```\n(parameter.*?)```", README, re.DOTALL)
    told = capsys.readouterr().out
    words = [re.sub(r"[\d.,]+", "#", text).split() for text in (shown, told)]
    assert words[0] == words[1][: len(words[0])]
    # The table is that of the whole budget; errors of the maximum likelihood, which both must have, hardly differ
    errors = [[float(line.split()[2]) for line in text.splitlines()[1:3]] for text in (shown, told)]
    np.testing.assert_allclose(errors[0], errors[1], rtol=0.15)


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_named_exist(command):
    from typer.testing import CliRunner

    from avo.command import app

    assert f"avo {command}" in README
    assert CliRunner().invoke(app, [*command.split(), "--help"]).exit_code == 0


def test_files_named_exist():
    named = set(re.findall(r"`((?:docs|avo|benchmarks)/[\w/.]*|[A-Z]+\.(?:md|cff))`", README))
    named |= set(re.findall(r"!\[.*?\]\((.*?)\)", README))
    assert len(named) > 15
    for name in named:
        assert (ROOT / name).exists(), name


def test_numbers_beside_other_methods_are_those_of_the_results():
    """Median error over floor and success at 10,000 calls, as the results page has them."""
    results = read_page("benchmarks/results/README.md").split("### 10,000 calls")[1].split("\n### ")[0]
    cells = {}
    for line in results.splitlines():
        row = [cell.strip() for cell in line.split("|")]
        if len(row) > 8:
            cells[row[2], row[1]] = f"{row[4].split()[0]} ({row[7].split()[0]})"
    methods = ("avo", "moments", "npe", "nle", "abc-smc", "cma", "r1-2018")
    tasks = ("poisson", "linear5", "epem", "brownian", "pendulum", "g_and_k")
    table = README.split("| 10,000 calls |")[1].split("\n\n")[0].splitlines()[2:]
    assert len(table) == len(methods)
    for method, line in zip(methods, table, strict=True):
        assert [cell.strip() for cell in line.split("|")[2:-1]] == [cells[method, task] for task in tasks], method
