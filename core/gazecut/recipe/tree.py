"""Plain YAML as a tree that remembers where everything was written.

Stricter than PyYAML and nearer to what a reader expects: a key stands once, `on` and `yes` are text, `1e-3` is a number.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import yaml

from gazecut.recipe.problems import Place, Problems

Scalar: TypeAlias = str | int | float | bool | None
Plain: TypeAlias = "Scalar | list[Plain] | dict[str, Plain]"
Path: TypeAlias = tuple[str | int, ...]

FLOAT_TAG = "tag:yaml.org,2002:float"
FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?$")
_NULL_TAG, _BOOL_TAG, _INT_TAG = (f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int"))
_PLAIN_TAGS = frozenset(f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str", "seq", "map"))
_SCALARS = (
    (_NULL_TAG, re.compile(r"(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""]),
    (_BOOL_TAG, re.compile(r"(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")),
    (_INT_TAG, re.compile(r"[-+]?[0-9]+$"), list("-+0123456789")),
    (FLOAT_TAG, FLOAT, list("-+.0123456789")),
)


@dataclass(frozen=True)
class Node:
    """A value and its place.

    Attributes:
        value: A scalar, a list of nodes, or entries by key.
        place: Where it begins.
    """

    value: Scalar | list[Node] | dict[str, Entry]
    place: Place


@dataclass(frozen=True)
class Entry:
    """A key of a mapping with its value.

    Attributes:
        key_place: Where the key is written.
        node: The value.
    """

    key_place: Place
    node: Node


class _Loader(yaml.SafeLoader):
    """Resolves scalars as YAML 1.2 does."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  PyYAML wants a class attribute

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.get_event().start_mark  # type: ignore[no-untyped-call]  # PyYAML's stubs leave it bare
            raise yaml.MarkedYAMLError(
                problem='aliases are not allowed; write the value out, or build on a recipe with "extends"',
                problem_mark=mark,
            )
        return super().compose_node(parent, index)


for _tag, _pattern, _first in _SCALARS:
    _Loader.add_implicit_resolver(_tag, _pattern, _first)


def parse(text: str, source: str, problems: Problems) -> Node | None:
    """Read YAML.

    Args:
        text: The YAML.
        source: What to call it in messages.
        problems: Where to put what is wrong with it.

    Returns:
        The tree; None for an empty text or one that is not YAML.
    """
    loader = None
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        return None if root is None else _convert(root, source, problems)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(source, mark.line + 1, mark.column + 1) if mark else Place(source)
        problems.add(place, "", f"not YAML: {', '.join(filter(None, (error.context, error.problem)))}")
    except yaml.reader.ReaderError as error:
        problems.add(Place(source), "", f"not YAML: {error.reason}, at character {error.position}")
    except RecursionError:
        problems.add(Place(source), "", "nested too deeply")
    finally:
        if loader is not None:
            loader.dispose()
    return None


def plant(value: object, place: Place) -> Node:
    """A tree of plain Python data, all of it at one place; tuples count as lists, keys become text."""
    if isinstance(value, Mapping):
        return Node({str(key): Entry(place, plant(item, place)) for key, item in value.items()}, place)
    if isinstance(value, (list, tuple)):
        return Node([plant(item, place) for item in value], place)
    if value is None or isinstance(value, (str, int, float, bool)):
        return Node(value, place)
    return Node(str(value), place)


def plain(node: Node) -> Plain:
    """The tree without its places."""
    if isinstance(node.value, dict):
        return {key: plain(entry.node) for key, entry in node.value.items()}
    if isinstance(node.value, list):
        return [plain(item) for item in node.value]
    return node.value


def locate(node: Node, path: Sequence[str | int], key: bool = False) -> tuple[Place, Path]:
    """The place of the deepest part of a path that exists, and that part.

    Args:
        node: Where the path starts.
        path: Keys and indices.
        key: Ask for the place of the last key instead of its value.
    """
    place = node.place
    found: list[str | int] = []
    for step in path:
        if isinstance(node.value, dict) and step in node.value:
            entry = node.value[str(step)]
            node, place = entry.node, entry.key_place if key and len(found) + 1 == len(path) else entry.node.place
        elif isinstance(node.value, list) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            place = node.place
        else:
            break
        found.append(step)
    return place, tuple(found)


def _convert(node: yaml.Node, source: str, problems: Problems) -> Node:
    place = _place(node, source)
    if node.tag not in _PLAIN_TAGS:
        problems.add(place, "", f'tag "{node.tag}" is not allowed; recipes are plain YAML without tags')
    if isinstance(node, yaml.SequenceNode):
        return Node([_convert(item, source, problems) for item in node.value], place)
    if isinstance(node, yaml.MappingNode):
        return Node(_entries(node, source, problems), place)
    return Node(_scalar(node, place, problems), place)


def _entries(node: yaml.MappingNode, source: str, problems: Problems) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    for key_node, value_node in node.value:
        place = _place(key_node, source)
        if not isinstance(key_node, yaml.ScalarNode):
            problems.add(place, "", "a key is a list or a mapping; wanted text")
            continue
        key = key_node.value
        if key in entries:
            problems.add(place, key, f'"{key}" stands here a second time; the first is on line {entries[key].key_place.line}')
            continue
        entries[key] = Entry(place, _convert(value_node, source, problems))
    return entries


def _scalar(node: yaml.Node, place: Place, problems: Problems) -> Scalar:
    text = str(node.value)
    if node.tag == _NULL_TAG:
        return None
    if node.tag == _BOOL_TAG:
        return text.lower() == "true"
    if node.tag in (_INT_TAG, FLOAT_TAG):
        try:
            return int(text) if node.tag == _INT_TAG else float(text)
        except ValueError:
            problems.add(place, "", f'"{text[:40]}" is not a number')
    return text


def _place(node: yaml.Node, source: str) -> Place:
    return Place(source, node.start_mark.line + 1, node.start_mark.column + 1)
