"""Checks a whole recipe against what is installed, without importing any component."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ValidationError

from gazecut.components import Kind
from gazecut.errors import PluginError
from gazecut.prompts import PromptSet
from gazecut.recipe.messages import explain, found
from gazecut.recipe.model import VERSION, Recipe, Stage, TrackletOptions
from gazecut.recipe.origins import trace
from gazecut.recipe.problems import Place, Problems, dotted
from gazecut.recipe.prompting import check_prompts, wanted
from gazecut.recipe.sources import as_block, component_name
from gazecut.recipe.stages import KEYS, LISTS, SINGLE
from gazecut.recipe.tree import Entry, Node, locate, plain
from gazecut.registry import Registry
from gazecut.suggest import did_you_mean
from gazecut.wording import one_line, shown

OWN = "gazecut"
COMPLETE = "Complete recipes to extend: gazecut recipes"


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


def check_component(kind: Kind, name: str, block: Node, registry: Registry, problems: Problems) -> Stage | None:
    """Options of a component that stands in no recipe, such as a trainer; None with its problems noted.

    Args:
        kind: Its kind.
        name: Its name.
        block: A mapping, its options.
        registry: What is installed.
        problems: Where to put what is wrong.
    """
    entries = block.value if isinstance(block.value, dict) else {}
    named = Place(problems.title)
    whole = Node({**entries, "use": Entry(named, Node(name, named))}, block.place)
    return _Check(whole, registry, problems)._component(kind, whole, kind)


class _Check:
    """One walk over one tree; a problem is noted and the walk goes on."""

    def __init__(self, tree: Node, registry: Registry, problems: Problems) -> None:
        self._tree = tree
        self._entries: dict[str, Entry] = tree.value if isinstance(tree.value, dict) else {}
        self._registry = registry
        self._problems = problems
        self._unread = {item.place for item in problems.items if item.place.line}

    def recipe(self, name: str) -> Recipe:
        self._check_keys()
        self._check_version()
        about, prompts = self._about(), self._prompts(name)
        stages: dict[str, Any] = {"prompts": prompts, **{kind: self._stage(kind) for kind in SINGLE}}
        stages |= {stage: self._list(stage, kind) for stage, kind in LISTS.items()}
        tracklets = self._tracklets()
        self._problems.raise_if_any()
        recipe = Recipe(name=name, about=about, tracklets=tracklets, **stages, origins={})
        return replace(recipe, origins=trace(recipe.filled(), self._tree))

    def _note(self, place: Place, path: str, message: str, hint: str = "") -> None:
        """Note a problem, unless the value could not even be read, which was said already."""
        if place not in self._unread:
            self._problems.add(place, path, message, hint)

    def _missing(self, key: str, message: str) -> None:
        if not self._problems.incomplete:
            self._note(self._tree.place, key, message, COMPLETE)

    def _check_keys(self) -> None:
        for key, entry in self._entries.items():
            if key not in KEYS:
                self._note(entry.key_place, key, f"no such key; there are: {', '.join(KEYS)}{did_you_mean(shown(key), KEYS)}")

    def _check_version(self) -> None:
        entry = self._entries.get("version")
        if entry is None:
            self._missing("version", f"missing; this gazecut reads version {VERSION}")
        elif entry.node.value != VERSION or isinstance(entry.node.value, bool):
            self._note(entry.node.place, "version", f"found {found(plain(entry.node))}; this gazecut reads version {VERSION}")

    def _about(self) -> str:
        entry = self._entries.get("about")
        if entry is None:
            return ""
        if not isinstance(entry.node.value, str):
            self._note(entry.node.place, "about", f"found {found(plain(entry.node))}; wanted text")
            return ""
        return entry.node.value

    def _prompts(self, recipe: str) -> PromptSet | None:
        entry = self._entries.get("prompts")
        if entry is None:
            self._missing("prompts", f"missing; wanted {wanted()}")
            return None
        return check_prompts(recipe, entry.node, self._note)

    def _tracklets(self) -> TrackletOptions:
        entry = self._entries.get("tracklets")
        if entry is None:
            return TrackletOptions()
        options = self._options(TrackletOptions, entry.node, "tracklets", "the tracklet loop", hint="")
        return options if isinstance(options, TrackletOptions) else TrackletOptions()

    def _stage(self, kind: Kind) -> Stage | None:
        entry = self._entries.get(kind)
        if entry is None:
            self._missing(kind, f"missing; every recipe names its {kind}; {self._installed(kind)}")
            return None
        return self._component(kind, as_block(entry.node), kind)

    def _list(self, stage: str, kind: Kind) -> tuple[Stage, ...]:
        entry = self._entries.get(stage)
        if entry is None:
            return self._all_own(stage, kind) if stage == "exporters" else ()
        if not isinstance(entry.node.value, list):
            wanted = f"a list of them, [NAME, {{use: NAME, ...}}]; {self._installed(kind)}"
            self._note(entry.node.place, stage, f"found {found(plain(entry.node))}; wanted {wanted}")
            return ()
        blocks = [as_block(item) for item in entry.node.value]
        stages = (self._component(kind, block, f"{stage}.{component_name(block) or index}") for index, block in enumerate(blocks))
        return tuple([each for each in stages if each is not None])

    def _all_own(self, stage: str, kind: Kind) -> tuple[Stage, ...]:
        """Every component of a kind that ships with Gazecut, with its defaults."""
        own = [each.spec.name for each in self._registry.components if each.kind == kind and each.origin.distribution == OWN]
        stages = (self._component(kind, as_block(Node(name, self._tree.place)), f"{stage}.{name}") for name in own)
        return tuple([each for each in stages if each is not None])

    def _component(self, kind: Kind, block: Node, path: str) -> Stage | None:
        if not isinstance(block.value, dict):
            wanted = f'the name of one, or a block with "use"; {self._installed(kind)}'
            self._note(block.place, path, f"found {found(plain(block))}; wanted {wanted}")
            return None
        use, entry = component_name(block), block.value.get("use")
        if entry is None:
            if not self._problems.incomplete:
                self._note(block.place, path, f'has no "use", which names the {kind}; {self._installed(kind)}')
            return None
        if not use:
            self._note(entry.node.place, f"{path}.use", f"found {found(plain(entry.node))}; wanted a name; {self._installed(kind)}")
            return None
        try:
            config = self._registry.config_class(kind, use)
        except PluginError as error:
            self._note(entry.node.place, f"{path}.use", str(error), self._next_step(kind, use))
            return None
        rest = Node({key: entry for key, entry in block.value.items() if key != "use"}, block.place)
        options = self._options(config, rest, path, f'{kind} "{use}"', f"Options: gazecut show {kind} {use}")
        return Stage(kind, use, options) if options is not None else None

    def _options(self, model: type[BaseModel], block: Node, path: str, what: str, hint: str) -> BaseModel | None:
        try:
            # As JSON, so that a strict model takes what YAML can say: a list for a tuple, text for a path or an enumeration.
            options = model.model_validate_json(json.dumps(plain(block)))
        except ValidationError as error:
            for message in explain(error.errors(include_url=False), model, block, what):
                place, _ = locate(block, message.path, message.of_key)
                self._note(place, ".".join(filter(None, (path, dotted(message.path)))), message.text, hint)
        except Exception as error:  # noqa: BLE001  whatever the validators of a plugin raise is a problem of one component
            self._note(block.place, path, f"the options of {what} cannot be checked, its plugin raised {one_line(error)}", hint)
        else:
            return options if self._recordable(options, block.place, path, what, hint) else None
        return None

    def _recordable(self, options: BaseModel, place: Place, path: str, what: str, hint: str) -> bool:
        """Whether the manifest of a run can hold the options, those that nobody wrote included."""
        try:
            json.dumps(options.model_dump(mode="json"), allow_nan=False)
        except Exception as error:  # noqa: BLE001  whatever the serialisers of a plugin raise, as above
            self._note(place, path, f"the options of {what} cannot be recorded with a run: {one_line(error)}", hint)
            return False
        return True

    def _installed(self, kind: Kind) -> str:
        return f"installed: {', '.join(self._registry.names(kind)) or 'none'}"

    def _next_step(self, kind: Kind, name: str) -> str:
        if name in self._registry.names(kind):
            return f"Why: gazecut plugins --why {name}"
        failed = [failure.origin.distribution for failure in self._registry.failures if failure.may_provide(kind, name)]
        return f"Why: gazecut plugins --why {failed[0]}" if failed else "Installed: gazecut plugins"
