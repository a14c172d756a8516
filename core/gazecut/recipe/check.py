"""Checks a whole recipe against what is installed, without importing any component."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel, ValidationError

from gazecut.components import Kind
from gazecut.errors import PluginError
from gazecut.prompts import builtin_prompt_sets
from gazecut.recipe.messages import explain, found
from gazecut.recipe.model import VERSION, Recipe, Stage, TrackletOptions
from gazecut.recipe.problems import Problems
from gazecut.recipe.sources import as_block, component_name
from gazecut.recipe.stages import KEYS, LISTS, SINGLE
from gazecut.recipe.tree import Entry, Node, locate, plain
from gazecut.registry import Registry
from gazecut.suggest import did_you_mean

OWN = "gazecut"


def check(name: str, tree: Node, registry: Registry, problems: Problems) -> Recipe:
    """A tree as a recipe.

    Args:
        name: What to call the recipe.
        tree: A mapping, with its `extends` and overrides already worked in.
        registry: What is installed.
        problems: What is already known to be wrong; what is found here comes on top.

    Raises:
        RecipeError: With every problem.
    """
    return _Check(tree, registry, problems).recipe(name)


class _Check:
    """One walk over one tree; a problem is noted and the walk goes on."""

    def __init__(self, tree: Node, registry: Registry, problems: Problems) -> None:
        self._tree = tree
        self._entries: dict[str, Entry] = tree.value if isinstance(tree.value, dict) else {}
        self._registry = registry
        self._problems = problems

    def recipe(self, name: str) -> Recipe:
        self._check_keys()
        self._check_version()
        about, prompts = self._text("about", ""), self._prompts()
        stages: dict[str, Any] = {kind: self._stage(kind) for kind in SINGLE}
        stages |= {stage: self._list(stage, kind) for stage, kind in LISTS.items()}
        tracklets = self._tracklets()
        self._problems.raise_if_any()
        return Recipe(name=name, about=about, prompts=prompts, tracklets=tracklets, **stages)

    def _missing(self, key: str, message: str) -> None:
        if not self._problems.incomplete:
            self._problems.add(self._tree.place, key, message)

    def _check_keys(self) -> None:
        for key, entry in self._entries.items():
            if key not in KEYS:
                self._problems.add(entry.key_place, key, f"no such key; there are: {', '.join(KEYS)}{did_you_mean(key, KEYS)}")

    def _check_version(self) -> None:
        entry = self._entries.get("version")
        if entry is None:
            self._missing("version", f"missing; this gazecut reads version {VERSION}")
        elif entry.node.value != VERSION or isinstance(entry.node.value, bool):
            self._problems.add(entry.node.place, "version", f"found {found(plain(entry.node))}; this gazecut reads version {VERSION}")

    def _text(self, key: str, default: str) -> str:
        entry = self._entries.get(key)
        if entry is None:
            return default
        if not isinstance(entry.node.value, str):
            self._problems.add(entry.node.place, key, f"found {found(plain(entry.node))}; wanted text")
            return default
        return entry.node.value

    def _prompts(self) -> str:
        known = builtin_prompt_sets()
        if "prompts" not in self._entries:
            self._missing("prompts", f"missing; wanted the name of a prompt set: {', '.join(known)}")
            return ""
        name = self._text("prompts", "")
        if name and name not in known:
            place = self._entries["prompts"].node.place
            self._problems.add(
                place, "prompts", f'no prompt set is called "{name}"; there are: {", ".join(known)}{did_you_mean(name, known)}'
            )
        return name

    def _tracklets(self) -> TrackletOptions:
        entry = self._entries.get("tracklets")
        if entry is None:
            return TrackletOptions()
        options = self._options(TrackletOptions, entry.node, "tracklets", "the tracklet loop", hint="")
        return options if isinstance(options, TrackletOptions) else TrackletOptions()

    def _stage(self, kind: Kind) -> Stage | None:
        entry = self._entries.get(kind)
        if entry is None:
            installed = ", ".join(self._registry.names(kind)) or "none"
            self._missing(kind, f"missing; every recipe names its {kind}; installed: {installed}")
            return None
        return self._component(kind, as_block(entry.node), kind)

    def _list(self, stage: str, kind: Kind) -> tuple[Stage, ...]:
        entry = self._entries.get(stage)
        if entry is None:
            return self._all_own(kind) if stage == "exporters" else ()
        if not isinstance(entry.node.value, list):
            self._problems.add(entry.node.place, stage, f"found {found(plain(entry.node))}; wanted a list of blocks, [{{use: ...}}, ...]")
            return ()
        blocks = [as_block(item) for item in entry.node.value]
        stages = (self._component(kind, block, f"{stage}.{component_name(block) or index}") for index, block in enumerate(blocks))
        return tuple([each for each in stages if each is not None])

    def _all_own(self, kind: Kind) -> tuple[Stage, ...]:
        """Every component of a kind that ships with Gazecut, with its defaults."""
        own = [each.spec.name for each in self._registry.components if each.kind == kind and each.origin.distribution == OWN]
        return tuple(Stage(kind, name, self._registry.config_class(kind, name)()) for name in own)

    def _component(self, kind: Kind, block: Node, path: str) -> Stage | None:
        if not isinstance(block.value, dict):
            self._problems.add(block.place, path, f'found {found(plain(block))}; wanted the name of one, or a block with "use"')
            return None
        use = component_name(block)
        if use is None:
            installed = ", ".join(self._registry.names(kind)) or "none"
            place, _ = locate(block, ("use",))
            self._problems.add(place, f"{path}.use", f"says no name; installed: {installed}")
            return None
        try:
            config = self._registry.config_class(kind, use)
        except PluginError as error:
            self._problems.add(block.value["use"].node.place, f"{path}.use", str(error), "Installed: gazecut plugins")
            return None
        rest = Node({key: entry for key, entry in block.value.items() if key != "use"}, block.place)
        options = self._options(config, rest, path, f'{kind} "{use}"', f"Options: gazecut show {kind} {use}")
        return Stage(kind, use, options) if options is not None else None

    def _options(self, model: type[BaseModel], block: Node, path: str, what: str, hint: str) -> BaseModel | None:
        try:
            # As JSON, so that a strict model takes what YAML can say: a list for a tuple, text for a path or an enumeration.
            return model.model_validate_json(json.dumps(plain(block)))
        except ValidationError as error:
            for message in explain(error.errors(include_url=False), model, block, what):
                place, _ = locate(block, message.path, message.of_key)
                self._problems.add(place, ".".join((path, *map(str, message.path))), message.text, hint)
            return None
