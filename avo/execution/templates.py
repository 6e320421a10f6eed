"""Templates: text with fields, in which a program is given its parameters.

`{rate}` stands for the parameter rate, `{seed}` for the call's seed, `{input}` for its known condition and `{input[0]}`
for one of several; `{rate:.3f}` has a format, `{{` is a brace. Without a format a number is written by `repr`, which
reads back as the same double. In a dict or list that becomes JSON, a string that is one field becomes a number.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from string import Formatter
from typing import Any

BRACES = "Braces that are meant as they are stand double, {{ and }}; JSON is best given as a dict."


@dataclass(frozen=True)
class Field:
    """A field of a template: a parameter, `seed`, or an entry of `input`, and its format."""

    name: str
    entry: tuple[int, ...] = ()
    spec: str = ""

    @staticmethod
    def of(name: str, spec: str) -> "Field":
        """Read what stands between braces, before and after a colon."""
        format(1 if name == "seed" else 1.5, spec)  # raises where it suits no number
        entry = re.fullmatch(r"input((?:\[\d+\])+)", name)
        return Field("input", tuple(map(int, re.findall(r"\d+", name))), spec) if entry else Field(name, (), spec)

    def __str__(self) -> str:
        return f"{{{self.name}{''.join(f'[{i}]' for i in self.entry)}{':' * bool(self.spec)}{self.spec}}}"

    def number(self, values: Mapping[str, Any]) -> float | int:
        """Take the number that belongs here."""
        value = values[self.name]
        return float(value[self.entry]) if self.name == "input" else value

    def text(self, values: Mapping[str, Any]) -> str:
        """Write the number."""
        return format(self.number(values), self.spec) if self.spec else repr(self.number(values))


@dataclass(frozen=True)
class Template:
    """Text cut at its fields; `where` is what messages call it."""

    where: str
    parts: tuple[str | Field, ...]

    @staticmethod
    def of(where: str, text: str) -> "Template":
        """Read a template.

        Raises:
            ValueError: if braces do not pair up, or a format does not suit a number.

        Example:
            >>> Template.of("args[1]", "--rate={rate}{{0}}").text({"rate": 0.1})
            '--rate=0.1{0}'
        """
        parts: list[str | Field] = []
        try:
            for literal, name, spec, conversion in Formatter().parse(text):
                if conversion:
                    raise ValueError(f"!{conversion} says nothing of a number")
                parts += [literal] if literal else []
                parts += [] if name is None else [Field.of(name, spec or "")]
        except ValueError as error:
            shown = repr(text if len(text) <= 60 else f"{text[:57]}...")
            raise ValueError(
                f"{where} must be text with fields such as {{rate}} or {{seed}}; got {shown}: {error}. {BRACES}"
            ) from error
        return Template(where, tuple(parts))

    @property
    def fields(self) -> list[Field]:
        """The fields, in order."""
        return [part for part in self.parts if isinstance(part, Field)]

    def text(self, values: Mapping[str, Any]) -> str:
        """Fill in all fields."""
        return "".join(part if isinstance(part, str) else part.text(values) for part in self.parts)


def planted(where: str, tree: Any) -> Any:
    """Make a template of each string of dicts and lists."""
    if isinstance(tree, Mapping):
        return {key: planted(f"{where}[{key!r}]", branch) for key, branch in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [planted(f"{where}[{i}]", branch) for i, branch in enumerate(tree)]
    return Template.of(where, tree) if isinstance(tree, str) else tree


def filled_in(tree: Any, values: Mapping[str, Any]) -> Any:
    """Fill in all templates of a tree; what is one field without a format stays a number.

    Example:
        >>> filled_in(planted("here", {"rate": "{rate}", "names": ["run {seed}"]}), {"rate": 0.1, "seed": 7})
        {'rate': 0.1, 'names': ['run 7']}
    """
    if isinstance(tree, dict):
        return {key: filled_in(branch, values) for key, branch in tree.items()}
    if isinstance(tree, list):
        return [filled_in(branch, values) for branch in tree]
    if not isinstance(tree, Template):
        return tree
    alone = len(tree.parts) == 1 and isinstance(tree.parts[0], Field) and not tree.parts[0].spec
    return tree.fields[0].number(values) if alone else tree.text(values)


def every_template(tree: Any) -> Iterator[Template]:
    """Go through the templates of a tree."""
    if isinstance(tree, Template):
        yield tree
    elif isinstance(tree, (dict, list)):
        for branch in tree.values() if isinstance(tree, dict) else tree:
            yield from every_template(branch)
