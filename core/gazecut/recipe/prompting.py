"""The `prompts` of a recipe: a set by its name, several of them over each other, or a block that words questions itself."""

from __future__ import annotations

import re
from collections.abc import Callable
from difflib import get_close_matches
from typing import TypeAlias

from gazecut.prompts import ROLES, PromptSet, builtin_prompt_sets, faults, merged, prompt_set
from gazecut.recipe.messages import found
from gazecut.recipe.problems import Place
from gazecut.recipe.tree import Entry, Node, plain
from gazecut.suggest import did_you_mean
from gazecut.wording import shown

Note: TypeAlias = Callable[[Place, str, str], None]
"""Notes a problem: where it stands, its path, what it is."""

ROLE = "[a-z][a-z0-9_-]*"
_AS_GOOD_AS_THE_SAME = 0.8  # how alike a key and a known one are when only a slip of the finger explains the difference


def wanted() -> str:
    """What `prompts` may be, for messages."""
    return f'a prompt set, a list of them, or a block with "extends" and templates; sets: {", ".join(builtin_prompt_sets())}'


def as_prompt_block(node: Node) -> Node:
    """Names of sets, `prompts: decaf`, as the block that they stand for."""
    return Node({"extends": Entry(node.place, node)}, node.place) if isinstance(node.value, str | list) else node


def merge_prompts(parent: Node, child: Node) -> Node:
    """The `prompts` of a recipe over those of the one that it extends: names replace them, a block goes over them key by key."""
    above = as_prompt_block(parent)
    if not isinstance(child.value, dict) or not isinstance(above.value, dict):
        return child
    return Node({**above.value, **child.value}, child.place)


def check_prompts(recipe: str, node: Node, note: Note) -> PromptSet | None:
    """The prompt set that a recipe asks with, or None with its problems noted.

    Args:
        recipe: Name of the recipe; that of a set that is not a built-in one.
        node: As it was written.
        note: Takes each problem.
    """
    block = as_prompt_block(node).value
    if not isinstance(block, dict):
        note(node.place, "prompts", f"found {found(plain(node))}; wanted {wanted()}")
        return None
    bare = not isinstance(node.value, dict)
    names = _names(block.get("extends"), "prompts" if bare else "prompts.extends", note)
    own = _templates({role: entry for role, entry in block.items() if role != "extends"}, note)
    if names is None or own is None:
        return None
    if len(names) == 1 and not own:
        return prompt_set(names[0])
    templates = {**merged(names), **own}
    wrong = list(faults(templates))
    for role, fault in wrong:
        note(block[role].node.place if role in block else node.place, f"prompts.{shown(role)}", fault)
    return None if wrong else PromptSet(recipe, templates)


def _names(entry: Entry | None, path: str, note: Note) -> list[str] | None:
    """The sets that are built upon; None where one is no set."""
    if entry is None:
        return []
    known, names = builtin_prompt_sets(), []
    for item in entry.node.value if isinstance(entry.node.value, list) else [entry.node]:
        name = item.value
        if not isinstance(name, str):
            note(item.place, path, f"found {found(plain(item))}; wanted the name of a prompt set: {', '.join(known)}")
        elif name not in known:
            what = f'no prompt set is called "{shown(name)}"'
            note(item.place, path, f"{what}; there are: {', '.join(known)}{did_you_mean(shown(name), known)}")
        else:
            names.append(name)
            continue
        return None
    return names


def _templates(entries: dict[str, Entry], note: Note) -> dict[str, str] | None:
    """The templates that are written out, by role; None where one is not text or none can be meant."""
    templates: dict[str, str] = {}
    for role, entry in entries.items():
        path, text = f"prompts.{shown(role)}", entry.node.value
        slips = [] if role in ROLES else get_close_matches(role, ("extends", *ROLES), 1, _AS_GOOD_AS_THE_SAME)
        if slips or not re.fullmatch(ROLE, role):
            guess = f'; did you mean "{slips[0]}"?' if slips else ""
            note(entry.key_place, path, f"no such key; there are: extends, {', '.join(ROLES)}, and what a strategy asks besides{guess}")
        elif not isinstance(text, str):
            note(entry.node.place, path, f"found {found(plain(entry.node))}; wanted the text of a question")
        else:
            templates[role] = text
    return templates if len(templates) == len(entries) else None
