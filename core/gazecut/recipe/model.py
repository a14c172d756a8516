"""A checked recipe: every stage named, every option filled in."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import getitem
from typing import Any

import yaml
from pydantic import BaseModel, Field

from gazecut.components import Kind
from gazecut.options import Options
from gazecut.prompts import PromptSet, builtin_prompt_sets, prompt_set
from gazecut.recipe.origins import annotated
from gazecut.recipe.problems import Place
from gazecut.recipe.stages import LISTS, SINGLE
from gazecut.recipe.syntax import FLOAT, FLOAT_TAG
from gazecut.recipe.tree import Path
from gazecut.registry import Registry

VERSION = 1


class TrackletOptions(Options):
    """Options of the tracklet loop, which every recipe shares."""

    suppress_above: float = Field(default=0.7, ge=0, le=1)
    """IoU above which the candidate with the lower object score is dropped (DecAF, section 3.3)."""

    link_above: float = Field(default=0.5, gt=0, le=1)
    """Where a clip is looked at in windows: mean IoU, over the frames that two windows share, from which their objects are one."""

    contrast_above: float = Field(default=0.0, ge=0, le=1)
    """Where a clip is looked at in windows: least share of the attention for the object, in its best frame, that must exceed that for the
    background, or the window shows nothing. 0 leaves it to the scorer; it needs a fusion that asks for the background."""


@dataclass(frozen=True)
class Stage:
    """One component of a recipe.

    Attributes:
        kind: Its kind.
        use: Its name.
        options: All its options, an instance of its config class.
    """

    kind: Kind
    use: str
    options: BaseModel

    def filled(self) -> dict[str, Any]:
        """The block as a recipe writes it, defaults filled in; plain data."""
        return {"use": self.use, **self.options.model_dump(mode="json")}


@dataclass(frozen=True)
class Recipe:
    """What to run; checked, and complete.

    Attributes:
        name: Built-in name, stem of its file, or "recipe" for one given as data.
        about: What it is, for people.
        sampler: Chooses the frames that the MLLM sees.
        mllm: The multimodal LLM.
        prompts: How the questions are worded.
        attribution: Turns attention into scores.
        fusion: The strategies; `fuse` in this order, `plan` in the reverse.
        selector: Chooses points.
        segmenter: Turns points into masks.
        scorer: Judges tracklets.
        tracklets: Options of the tracklet loop.
        exporters: What is written, in this order.
        origins: Where each value of `filled` was written, by its path, for example ("fusion", 0, "sigma"); a list of values is one.
    """

    name: str
    about: str
    sampler: Stage
    mllm: Stage
    prompts: PromptSet
    attribution: Stage
    fusion: tuple[Stage, ...]
    selector: Stage
    segmenter: Stage
    scorer: Stage
    tracklets: TrackletOptions
    exporters: tuple[Stage, ...]
    origins: Mapping[Path, Place] = field(compare=False, repr=False)

    @property
    def view(self) -> str:
        """The view that the first object query asks, before fusion opens others."""
        return str(getattr(self.mllm.options, "view", "video"))

    def stages(self) -> Iterator[Stage]:
        """Every component, in the order in which data passes through them."""
        yield from (self.sampler, self.mllm, self.attribution, *self.fusion, self.selector, self.segmenter, self.scorer, *self.exporters)

    def filled(self) -> dict[str, Any]:
        """The recipe as plain data with every default filled in; loads to an equal recipe."""
        head = {"version": VERSION, "about": self.about}
        blocks: dict[str, Any] = {kind: getattr(self, kind).filled() for kind in SINGLE}
        blocks |= {stage: [block.filled() for block in getattr(self, stage)] for stage in LISTS}
        blocks |= {"prompts": _filled_prompts(self.prompts), "tracklets": self.tracklets.model_dump(mode="json")}
        return head | {key: blocks[key] for key in ORDER}

    def components(self, registry: Registry) -> list[dict[str, Any]]:
        """Kind, name, api, distribution and version of every component, for the manifest; plain data.

        Raises:
            PluginError: A component is not installed any more.
        """
        found = (registry.component(stage.kind, stage.use) for stage in self.stages())
        return [
            {
                "kind": component.kind,
                "name": component.spec.name,
                "api": component.spec.api,
                "distribution": component.origin.distribution,
                "version": component.origin.version,
            }
            for component in found
        ]

    def values(self) -> list[dict[str, Any]]:
        """Every value with its path, for example "fusion.0.sigma", and its origin as text; plain data."""
        filled: Any = self.filled()
        return [
            {"path": ".".join(map(str, path)), "value": reduce(getitem, path, filled), "origin": str(place)}
            for path, place in self.origins.items()
        ]

    def to_yaml(self, origins: bool = False) -> str:
        """`filled` as YAML text.

        Args:
            origins: Say at the end of each line, in a comment, where its value comes from.
        """
        text: str = yaml.dump(self.filled(), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=sys.maxsize)
        return annotated(text, self.origins) if origins else text


ORDER = ("sampler", "mllm", "prompts", "attribution", "fusion", "selector", "segmenter", "scorer", "tracklets", "exporters")


def _filled_prompts(prompts: PromptSet) -> str | dict[str, str]:
    """A built-in set by its name, any other by all its templates."""
    builtin = prompts.name in builtin_prompt_sets() and prompts == prompt_set(prompts.name)
    return prompts.name if builtin else dict(prompts.templates)


class _Dumper(yaml.SafeDumper):
    """Quotes text that any reader could take for a number, those of YAML 1.2 included; a text is one line."""

    def represent_str(self, text: str) -> yaml.ScalarNode:
        """Text, with its line breaks escaped."""
        style = '"' if text.splitlines() not in ([], [text]) else None
        return self.represent_scalar("tag:yaml.org,2002:str", text, style)


_Dumper.add_representer(str, _Dumper.represent_str)
_Dumper.add_implicit_resolver(FLOAT_TAG, FLOAT, list("-+.0123456789"))
