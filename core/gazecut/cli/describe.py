"""Options of a component in the words of a recipe: path, type, default, meaning."""

from __future__ import annotations

import json
import re
import tokenize
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from gazecut.errors import PluginError
from gazecut.inventory import Component
from gazecut.modules import find_module
from gazecut.wording import one_line

_WORDS = {str: "text", int: "integer", float: "number", bool: "true | false", type(None): "null", Path: "path"}
_BOUNDS = ((Ge, "ge", ">="), (Gt, "gt", ">"), (Le, "le", "<="), (Lt, "lt", "<"))


@dataclass(frozen=True)
class Option:
    """One option.

    Attributes:
        path: As `--set` takes it behind the component, for example "views.video.batch".
        type: What it may be.
        default: As YAML writes it, or "required".
        meaning: Its docstring in one line.
    """

    path: str
    type: str
    default: str
    meaning: str


def options_of(component: Component, model: type[BaseModel]) -> list[Option]:
    """Every option of a component.

    Args:
        component: Which.
        model: Its config class.

    Raises:
        PluginError: A default or an annotation of the config class cannot be put into words.
    """
    try:
        return list(describe_options(model))
    except Exception as error:
        what = f'{component.kind} "{component.spec.name}" of {component.origin}'
        raise PluginError(f"{what} has options that cannot be described: {one_line(error)}") from error


def describe_options(model: type[BaseModel], default: Any = None, path: str = "") -> Iterator[Option]:
    """Every option of a config class, blocks within blocks opened up.

    Args:
        model: The config class.
        default: What stands where nothing is given: an instance of the class, or anything else for a block that is one choice of several.
        path: What comes before the names, with a dot at the end.
    """
    for name, info in model.model_fields.items():
        value = getattr(default, name) if isinstance(default, model) else info.get_default(call_default_factory=True)
        required = info.is_required() and not isinstance(default, model)
        blocks = list(_blocks(info.annotation))
        if not isinstance(info.annotation, type) or not blocks:
            shown = "required" if required else _written(value)
            yield Option(path + name, _type(info.annotation, info.metadata), shown, " ".join((info.description or "").split()))
        for block in blocks:
            yield from describe_options(block, value, f"{path}{name}.")


def locate_class(target: str) -> str:
    """File and line of a class "package.module:Class", found without importing its module; the target itself where that fails."""
    module, _, name = target.partition(":")
    spec = find_module(module)
    if spec is None or spec.origin is None:
        return target
    try:
        with tokenize.open(spec.origin) as source:
            lines = source.read().splitlines()
    except (OSError, SyntaxError, UnicodeDecodeError):  # compiled, within an archive, or no text that Python can read
        return spec.origin
    for number, line in enumerate(lines, start=1):
        if re.match(rf"class {re.escape(name)}\b", line):
            return f"{spec.origin}:{number}"
    return spec.origin


def _blocks(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (Union, types.UnionType, Annotated):
        for argument in get_args(annotation):
            yield from _blocks(argument)


def _written(value: Any) -> str:
    """A default as YAML writes it; text needs its quotes only where it would be nothing without them, or has some itself."""
    plain = to_jsonable_python(value, fallback=str)
    text = json.dumps(plain, ensure_ascii=False)
    return plain if text == f'"{plain}"' and plain else text


def _type(annotation: Any, metadata: list[Any]) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(arguments[0], [*_constraints(arguments[1:]), *metadata])
    if origin is Literal:
        return " | ".join("null" if value is None else str(value) for value in arguments)
    if origin in (Union, types.UnionType):
        return " | ".join(_type(argument, metadata if argument in (int, float) else []) for argument in arguments)
    if origin in (list, tuple, set, frozenset):
        inner = dict.fromkeys(_type(argument, []) for argument in arguments if argument is not Ellipsis)
        return f"list of {', '.join(inner)}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "block"
    word = _WORDS.get(annotation, getattr(annotation, "__name__", str(annotation)))
    bounds = [f"{sign} {getattr(each, attribute):g}" for each in metadata for kind, attribute, sign in _BOUNDS if isinstance(each, kind)]
    return " ".join((word, *bounds))


def _constraints(annotations: tuple[Any, ...]) -> Iterator[Any]:
    for annotation in annotations:
        yield from annotation.metadata if isinstance(annotation, FieldInfo) else [annotation]
