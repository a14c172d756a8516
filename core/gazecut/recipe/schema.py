"""The JSON schema of a recipe, for editors, built from the options of the installed components.

It refuses nothing that `load_recipe` takes, and cannot refuse everything that `load_recipe` refuses: rules that plugins wrote as code,
and what a recipe that extends another leaves to its parent, only a check finds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from gazecut.components import Kind
from gazecut.prompts import ROLES, builtin_prompt_sets
from gazecut.recipe.model import VERSION, TrackletOptions
from gazecut.recipe.prompting import ROLE
from gazecut.recipe.sources import builtin_recipes
from gazecut.recipe.stages import LISTS, SINGLE
from gazecut.registry import Component, Registry
from gazecut.wording import one_line

Schema: TypeAlias = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
MERGED = " (merged)"
"""Behind the name of a block whose required options may come from the recipe that is extended."""

_DATA = ("default", "const", "enum", "examples")
_REQUIRED = ["version", "prompts", *SINGLE]
_ABOUT_EXTENDS = "The recipe that this one builds on: a built-in name, or a file relative to this one."
_ABOUT_STAGES = {
    "sampler": "Chooses the frames that the multimodal LLM sees.",
    "mllm": "The multimodal LLM whose attention is read.",
    "attribution": "Turns attention into scores of visual tokens.",
    "fusion": "Strategies that make one map of several; a list, which replaces that of the recipe that is extended.",
    "selector": "Chooses points on the fused map.",
    "segmenter": "Turns points into masks.",
    "scorer": "Judges tracklets.",
    "exporters": "What is written; a list, which replaces that of the recipe that is extended. All that ship by default.",
}


def recipe_schema(registry: Registry) -> Schema:
    """JSON schema, draft 2020-12, of the recipes that these components allow; plain data.

    Args:
        registry: What is installed. Of a component whose options cannot be described any are allowed, and a "$comment" says why.
    """
    definitions: Schema = {}
    for component in registry.components:
        if component.kind in (*SINGLE, *LISTS.values()):
            definitions |= _definitions(component, registry)
    complete, merged = _recipe(registry, definitions, whole=True), _recipe(registry, definitions, whole=False)
    failed = [f"{failure.origin} did not load: {failure.reason}" for failure in registry.failures]
    return {
        "$schema": DIALECT,
        "title": "Gazecut recipe",
        **({"$comment": "; ".join(failed)} if failed else {}),
        "type": "object",
        "if": {"required": ["extends"]},
        "then": merged,
        "else": complete,
        "$defs": definitions,
    }


class _Generator(GenerateJsonSchema):
    """Without titles that only say the name of an option again."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def _recipe(registry: Registry, definitions: Mapping[str, Any], whole: bool) -> Schema:
    """A recipe that stands alone (`whole`), or one that extends another and may leave out whatever that one says."""
    properties: Schema = {
        "version": {"const": VERSION, "description": "Version of the recipe format."},
        "about": {"type": "string", "description": "What the recipe is, for people."},
        "extends": {"type": "string", "minLength": 1, "examples": list(builtin_recipes()), "description": _ABOUT_EXTENDS},
        "prompts": _prompts(whole),
        "tracklets": _partial(_described(TrackletOptions, "")[0]),
    }
    for kind in SINGLE:
        properties[kind] = _stage(kind, registry.names(kind), definitions, whole) | {"description": _ABOUT_STAGES[kind]}
    for stage, of in LISTS.items():
        item = _stage(of, registry.names(of), definitions, whole=True)
        properties[stage] = {"type": "array", "items": item, "description": _ABOUT_STAGES[stage]}
    return {"properties": properties, "additionalProperties": False, **({"required": _REQUIRED} if whole else {})}


def _prompts(whole: bool) -> Schema:
    """Names of prompt sets, or a block of templates, which in a recipe that stands alone needs something to ask."""
    names: Schema = {"enum": list(builtin_prompt_sets()), "description": "Name of a prompt set."}
    over = "Prompt sets over each other: all of the first, then what each of the others words itself."
    sets: Schema = {"anyOf": [names, {"type": "array", "items": names, "description": over}]}
    text: Schema = {"type": "string", "pattern": r"\S"}
    block: Schema = {
        "type": "object",
        "properties": {"extends": sets, **{role: {**text, "description": f"Template of the {role} question."} for role in ROLES}},
        "propertyNames": {"pattern": f"^{ROLE}$"},
        "additionalProperties": text,
        **({"anyOf": [{"required": ["extends"]}, {"required": ["object"]}]} if whole else {}),
    }
    return {"anyOf": [*sets["anyOf"], block], "description": "How the questions are worded."}


def _stage(kind: Kind, names: Iterable[str], definitions: Mapping[str, Any], whole: bool) -> Schema:
    """A component: its name alone, or a block with its name and options."""
    keys = [_key(kind, name) for name in names]
    required = {"required": ["use"]} if whole else {}
    blocks = [{"$ref": f"#/$defs/{key if whole or key + MERGED not in definitions else key + MERGED}"} | required for key in keys]
    bare: Schema = {"enum": list(names), "description": "The name alone, for all options at their defaults."}
    return {"anyOf": [bare, *blocks]}


def _definitions(component: Component, registry: Registry) -> Schema:
    """The block of one component, the blocks within it, and how both look where a parent may fill in what they require."""
    key, spec = _key(component.kind, component.spec.name), component.spec
    try:
        block, inner = _described(registry.config_class(component.kind, spec.name), f"{key}.")
    except Exception as error:  # noqa: BLE001  one component that cannot be described must not keep an editor from the others
        comment = f"the options of {component.kind} {spec.name} cannot be described: {one_line(error)}"
        block, inner = {"type": "object", "$comment": comment}, {}
    use = {"const": spec.name, "description": spec.summary}
    block |= {"description": spec.summary, "properties": {"use": use, **block.get("properties", {})}}
    return _with_merged({key: block, **inner})


def _key(kind: Kind, name: str) -> str:
    return f"{kind}.{name}"


def _described(model: type[BaseModel], prefix: str) -> tuple[Schema, Schema]:
    """The schema of a config class, and those of the blocks within it by their prefixed names."""
    schema = model.model_json_schema(ref_template=f"#/$defs/{prefix}{{model}}", schema_generator=_Generator)
    inner = {prefix + name: block for name, block in schema.pop("$defs", {}).items()}
    schema.pop("title", None)
    return schema, inner


def _with_merged(blocks: Schema) -> Schema:
    """Blocks, and where they require anything a second set of them that does not."""
    if _partial(list(blocks.values())) == list(blocks.values()):
        return blocks
    return blocks | {key + MERGED: _partial(block, blocks) for key, block in blocks.items()}


def _partial(schema: Any, names: Iterable[str] = ()) -> Any:
    """A schema that requires no option, and refers to the merged forms of these names."""
    if isinstance(schema, list):
        return [_partial(item, names) for item in schema]
    if not isinstance(schema, dict):
        return schema
    changed: Schema = {}
    for key, item in schema.items():
        if key == "properties":
            changed[key] = {name: _partial(option, names) for name, option in item.items()}
        elif key == "$ref":
            changed[key] = item + (MERGED if item.removeprefix("#/$defs/") in names else "")
        elif key != "required":
            changed[key] = item if key in _DATA else _partial(item, names)
    return changed
