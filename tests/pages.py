"""The blocks of code on the project's pages, and how a user would run them."""

import re
from pathlib import Path
from typing import Any, NamedTuple

import jax

ROOT = Path(__file__).resolve().parents[1]


class Block(NamedTuple):
    """A block of code: its language and its text."""

    language: str
    text: str


def read_page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(text: str) -> list[Block]:
    """Find the blocks of a page, or of a part of it."""
    return [Block(*found) for found in re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL)]


def run(block: Block, page: str, namespace: dict[str, Any]) -> None:
    """Run a block of Python as a user has JAX: single precision, and shapes may be of different rank."""
    with jax.enable_x64(False), jax.numpy_rank_promotion("allow"):
        exec(compile(block.text, page, "exec"), namespace)
