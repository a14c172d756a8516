"""Says what pydantic found wrong with options in the words of a recipe."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from gazecut.recipe.tree import Node, Path, locate, plain
from gazecut.suggest import did_you_mean

_WANTED = "should be "


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


def explain(errors: Iterable[ErrorDetails], model: type[BaseModel], block: Node, what: str) -> list[Message]:
    """One message per place.

    Args:
        errors: Of one validation.
        model: What was validated.
        block: The options as they were written.
        what: What they belong to, for example 'fusion "contrastive"'.
    """
    found_at: dict[tuple[Path, bool], list[str]] = {}
    for error in errors:
        # Of a union, pydantic names the member in the path; only what stands in the recipe is a place.
        path, kind = _written(block, error["loc"]), error["type"]
        if kind == "extra_forbidden":
            name, known = str(error["loc"][-1]), _options_at(model, path[:-1])
            within = f" in {'.'.join(map(str, path[:-1]))}" if path[:-1] else ""
            text = f"{what} has no such option{within}{did_you_mean(name, known)}"
        elif kind == "missing":
            text = f'{what} needs "{error["loc"][-1]}"'
        else:
            text = error["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ").removeprefix("Input ")
        found_at.setdefault((path, kind == "extra_forbidden"), []).append(text)
    return [Message(_joined(texts, path, block), path, of_key) for (path, of_key), texts in found_at.items()]


def found(value: object) -> str:
    """A value as it would be written, cut short."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _written(block: Node, location: Sequence[str | int]) -> Path:
    path: Path = ()
    for step in location:
        _, reached = locate(block, (*path, step))
        path = reached if len(reached) > len(path) else path
    return path


def _joined(texts: list[str], path: Path, block: Node) -> str:
    """What several members of a union say of one value, as one sentence."""
    first, *rest = dict.fromkeys(texts)
    if not first.startswith(_WANTED):
        return first
    value: Any = plain(block)
    for step in path:
        value = value[step]
    return f"found {found(value)}; {' or '.join((first, *(text.removeprefix(_WANTED) for text in rest)))}"


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
