"""Where every value of a filled-in recipe comes from; the tree that it was checked from knows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gazecut.recipe.problems import Place, Problems
from gazecut.recipe.prompting import as_prompt_block
from gazecut.recipe.sources import as_block
from gazecut.recipe.stages import LISTS, SINGLE
from gazecut.recipe.tree import Node, Path, locate, parse

FURTHEST = 60
"""Column up to which the comments of all lines stand below each other."""


def trace(filled: Mapping[str, Any], tree: Node) -> dict[Path, Place]:
    """The place of every value; one that nobody wrote has the place "default of ...".

    Args:
        filled: The recipe as plain data, defaults filled in.
        tree: What it was checked from, with everything that it extends and all overrides.
    """
    return dict(_traced(filled, tree))


def annotated(text: str, origins: Mapping[Path, Place]) -> str:
    """YAML with the origin of each value in a comment at the end of its line.

    Args:
        text: The filled-in recipe, no value longer than a line but lists, whose comment stands with their key.
        origins: As `trace` found them.
    """
    tree, lines = parse(text, "", Problems(""), most=len(text)), text.splitlines()
    places = {} if tree is None else {locate(tree, path, key=True)[0].line - 1: place for path, place in origins.items()}
    width = max((len(lines[number]) for number in places if len(lines[number]) <= FURTHEST), default=0)
    commented = (f"{line.ljust(width)}  # {places[number]}" if number in places else line for number, line in enumerate(lines))
    return "\n".join((*commented, ""))


def _traced(filled: Mapping[str, Any], tree: Node) -> Iterator[tuple[Path, Place]]:
    for key, value in filled.items():
        node = _child(tree, key)
        if key in SINGLE:
            yield from _block(value, node, key, (key,))
        elif key in LISTS and value:
            items = node.value if node is not None and isinstance(node.value, list) else [None] * len(value)
            for index, (block, item) in enumerate(zip(value, items, strict=True)):
                yield from _block(block, item, LISTS[key], (key, index))
        elif key == "prompts" and node is not None and isinstance(value, dict):
            block = as_prompt_block(node)
            sets = _child(block, "extends")  # whoever named them chose all that the block does not word itself
            yield from (((key, role), (_child(block, role) or sets or node).place) for role in value)
        else:
            yield from _leaves(value, node, (key,), Place(f"default of {key}"))


def _block(block: Mapping[str, Any], node: Node | None, kind: str, path: Path) -> Iterator[tuple[Path, Place]]:
    """The values of one component's block; a whole block that nobody wrote is a default of its stage."""
    options, written = Place(f"default of {kind} {block['use']}"), as_block(node) if node is not None else None
    for key, value in block.items():
        default = options if key != "use" else Place(f"default of {path[0]}")
        yield from _leaves(value, _child(written, key), (*path, key), default)


def _leaves(value: object, node: Node | None, path: Path, default: Place) -> Iterator[tuple[Path, Place]]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            # One value may stand for a block: `kernel: 3` may fill in a size for each view.
            child = _child(node, key) if node is None or isinstance(node.value, dict) else node
            yield from _leaves(item, child, (*path, key), default)
    else:
        yield path, default if node is None else node.place


def _child(node: Node | None, key: str) -> Node | None:
    entry = node.value.get(key) if node is not None and isinstance(node.value, dict) else None
    return entry.node if entry is not None else None
