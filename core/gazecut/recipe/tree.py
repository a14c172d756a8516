"""Plain YAML as a tree that remembers where everything was written; a key stands once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import TypeAlias

import yaml

from gazecut.recipe.problems import Place, Problems, dotted
from gazecut.recipe.syntax import BOOL_TAG, FLOAT_TAG, INSTEAD, INT_TAG, MOST_CHARACTERS, MOST_DEPTH, NULL_TAG, NotYamlError, compose

Scalar: TypeAlias = str | int | float | bool | None
Plain: TypeAlias = "Scalar | list[Plain] | dict[str, Plain]"
Path: TypeAlias = tuple[str | int, ...]

MOST_INTEGER = 2**63 - 1


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


def parse(text: str, source: str, problems: Problems, most: int = MOST_CHARACTERS) -> Node | None:
    """Read YAML.

    Args:
        text: The YAML.
        source: What to call it in messages.
        problems: Where to put what is wrong with it.
        most: Characters that it may have.

    Returns:
        The tree; None for an empty text or one that is not YAML.
    """
    try:
        root = compose(text, most)
    except NotYamlError as error:
        problems.add(Place(source, error.line, error.column), "", str(error))
        return None
    return None if root is None else _convert(root, source, problems, ())


def plant(value: object, place: Place, problems: Problems, path: Path = ()) -> Node:
    """A tree of plain Python data, all of it at one place.

    Tuples count as lists, numbers and truth values of NumPy as such; keys, and whatever else there is, become text.

    Args:
        value: The data.
        place: What to call where it stands.
        problems: Where to put what no recipe can hold.
        path: Where in the recipe it belongs.
    """
    if len(path) > MOST_DEPTH:
        problems.add(place, dotted(path[:3]), f"nested deeper than {MOST_DEPTH} levels")
        return Node(None, place)
    if isinstance(value, Mapping):
        return Node({str(key): Entry(place, plant(item, place, problems, (*path, str(key)))) for key, item in value.items()}, place)
    if isinstance(value, (list, tuple)):
        return Node([plant(item, place, problems, (*path, index)) for index, item in enumerate(value)], place)
    if value is None or isinstance(value, bool):
        return Node(value, place)
    if getattr(value, "shape", None) == () and str(getattr(value, "dtype", "")) == "bool":
        return Node(bool(value), place)
    if isinstance(value, Integral):
        return Node(_integer(int(value), place, problems, path), place)
    return Node(float(value) if isinstance(value, Real) else _text(str(value), place, problems, path), place)


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


def _convert(node: yaml.Node, source: str, problems: Problems, path: Path) -> Node:
    place = _place(node, source)
    if isinstance(node, yaml.SequenceNode):
        return Node([_convert(item, source, problems, (*path, index)) for index, item in enumerate(node.value)], place)
    if isinstance(node, yaml.MappingNode):
        return Node(_entries(node, source, problems, path), place)
    return Node(_scalar(node, place, problems, path), place)


def _entries(node: yaml.MappingNode, source: str, problems: Problems, path: Path) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    for key_node, value_node in node.value:
        place = _place(key_node, source)
        if not isinstance(key_node, yaml.ScalarNode):
            problems.add(place, dotted(path), "a key is a list or a mapping; wanted text")
            continue
        key = _text(key_node.value, place, problems, path)
        if key in entries:
            message = f"stands here a second time; the first is at {entries[key].key_place.seen_from(source)}"
            problems.add(place, dotted((*path, key)), message)
        elif key == "<<" and not key_node.style:
            problems.add(place, dotted((*path, key)), f"merge keys are not allowed; {INSTEAD}")
        else:
            entries[key] = Entry(place, _convert(value_node, source, problems, (*path, key)))
    return entries


def _scalar(node: yaml.Node, place: Place, problems: Problems, path: Path) -> Scalar:
    text = str(node.value)
    if node.tag == NULL_TAG:
        return None
    if node.tag == BOOL_TAG:
        return text.lower() == "true"
    if node.tag == INT_TAG:
        # Twenty digits tell that a number is too large; Python refuses to read thousands.
        size = int(text.lstrip("+-0")[:20] or "0")
        return _integer(-size if text.startswith("-") else size, place, problems, path)
    if node.tag == FLOAT_TAG:
        number = float(text)
        if abs(number) == float("inf"):
            problems.add(place, dotted(path), "too large for a number")
            return 0.0
        return number
    return _text(text, place, problems, path)


def _integer(value: int, place: Place, problems: Problems, path: Path) -> int:
    if abs(value) <= MOST_INTEGER:
        return value
    problems.add(place, dotted(path), f"too large for an integer; the largest is {MOST_INTEGER}")
    return 0


def _text(text: str, place: Place, problems: Problems, path: Path) -> str:
    """Text without halves of characters: JSON escapes an emoji as two, YAML reads each for itself."""
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        problems.add(place, dotted(path), "half a character: an escape from \\ud800 to \\udfff stands alone")
        return ""


def _place(node: yaml.Node, source: str) -> Place:
    return Place(source, node.start_mark.line + 1, node.start_mark.column + 1)
