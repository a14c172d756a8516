"""Says what pydantic found wrong with options in the words of a recipe."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import getitem
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from gazecut.recipe.problems import dotted
from gazecut.recipe.tree import Node, Path, locate, plain
from gazecut.suggest import did_you_mean
from gazecut.wording import shown

_WANTED = "should be "
_WANTED_TYPES = {
    "bool_type": "true or false",
    "dict_type": "a block of options",
    "list_type": "a list",
    "model_type": "a block of options",
    "string_type": "text",
    "tuple_type": "a list",
}


@dataclass(frozen=True)
class Message:
    """What is wrong with one option.

    Attributes:
        text: What was found and what is allowed.
        path: Where, within the block.
        of_key: Whether the key itself is wrong and not its value.
    """

    text: str
    path: Path
    of_key: bool = False


@dataclass(frozen=True)
class _Finding:
    """One error of pydantic; `at` is its path with the names of union members left out, `path` what of that was written."""

    kind: str
    at: Path
    path: Path
    text: str


def explain(errors: Iterable[ErrorDetails], model: type[BaseModel], block: Node, what: str) -> list[Message]:
    """One message per place.

    Args:
        errors: Of one validation.
        model: What was validated.
        block: The options as they were written.
        what: What they belong to, for example 'fusion "contrastive"'.
    """
    findings = [finding for error in errors if (finding := _read(error, model, block, what)) is not None]
    outer = {finding.at[:length] for finding in findings for length in range(len(finding.at))}
    found_at: dict[tuple[Path, bool], list[str]] = {}
    for finding in findings:
        # Whoever wrote a block meant the member of a union that is a block: what is wrong inside it, not that it is one.
        if finding.at not in outer:
            found_at.setdefault((finding.path, finding.kind == "extra_forbidden"), []).append(finding.text)
    written = plain(block)
    return [Message(_joined(texts, path, written), path, of_key) for (path, of_key), texts in found_at.items()]


def found(value: object) -> str:
    """A value as it would be written, cut short."""
    return shown(json.dumps(value, ensure_ascii=False))


def _read(error: ErrorDetails, model: type[BaseModel], block: Node, what: str) -> _Finding | None:
    """An error in the words of a recipe; None for an option that is unknown to one member of a union and known to another."""
    kind, path, name = error["type"], _written(block, error["loc"]), error["loc"][-1] if error["loc"] else ""
    if kind == "extra_forbidden":
        known = list(_options_at(model, path[:-1]))
        text = f"{what} has no such option{_within(path[:-1])}{did_you_mean(shown(str(name)), known)}"
        return None if name in known else _Finding(kind, path, path, text)
    if kind == "missing":
        return _Finding(kind, (*path, name), path, f'{what} needs "{name}"{_within(path)}')
    if kind in _WANTED_TYPES:
        return _Finding(kind, path, path, _WANTED + _WANTED_TYPES[kind])
    text = error["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ").removeprefix("Input ")
    return _Finding(kind, path, path, text)


def _within(path: Path) -> str:
    return f" in {dotted(path)}" if path else ""


def _written(block: Node, location: Sequence[str | int]) -> Path:
    """Of a union, pydantic names the member in the path; only what stands in the recipe is a place."""
    path: Path = ()
    for step in location:
        _, reached = locate(block, (*path, step))
        path = reached if len(reached) > len(path) else path
    return path


def _joined(texts: list[str], path: Path, written: Any) -> str:
    """What several members of a union say of one value, as one sentence."""
    first, *rest = dict.fromkeys(texts)
    if not first.startswith(_WANTED):
        return "\n".join((first, *rest))
    return f"found {found(reduce(getitem, path, written))}; {' or '.join((first, *(text.removeprefix(_WANTED) for text in rest)))}"


def _options_at(model: type[BaseModel], path: Path) -> Iterable[str]:
    """Names that a model, or one within it, takes as options."""
    here = {model}
    for step in path:
        fields = [inner.model_fields[step] for inner in here if step in inner.model_fields] if isinstance(step, str) else []
        here = {inner for field in fields for inner in _models(field.annotation)} if fields else here
    return [name for inner in here for name in inner.model_fields]


def _models(annotation: Any) -> Iterable[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)
