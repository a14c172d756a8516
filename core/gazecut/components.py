"""How a plugin declares components: one `ComponentSpec` each, handed to the `register` of its kind's hook."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import pluggy

Kind = Literal["sampler", "mllm", "attribution", "fusion", "selector", "segmenter", "scorer", "exporter", "dataset", "trainer"]
KINDS: tuple[Kind, ...] = get_args(Kind)
ENTRY_POINT_GROUP = "gazecut"

API: dict[Kind, int] = dict.fromkeys(KINDS, 1)
"""The version of each kind's protocol that this host speaks; it also accepts the one before."""

ON_DEVICE: frozenset[Kind] = frozenset({"mllm", "segmenter"})
"""Kinds built as `Class(config, runtime)`; all others as `Class(config)`."""


@dataclass(frozen=True)
class ComponentSpec:
    """A component as a plugin declares it; nothing heavy is imported for it.

    Attributes:
        name: As recipes write it: lower case, with "-" and ".".
        summary: One line for listings.
        target: "package.module:Class", imported when the component is first built.
        config: "package.module:Config", a pydantic model; its module imports pydantic only.
        api: Version of the kind's protocol that the component speaks.
        needs: Extra that must be installed, for example "gazecut[mllm]"; empty for none.
        requires: Modules that the extra brings, looked up without importing them to tell whether it is there.
    """

    name: str
    summary: str
    target: str
    config: str
    api: int = 1
    needs: str = ""
    requires: tuple[str, ...] = ()


Register: TypeAlias = Callable[[ComponentSpec], None]

hookspec = pluggy.HookspecMarker("gazecut")
hookimpl = pluggy.HookimplMarker("gazecut")


class Hooks:
    """What a plugin module may say: one hook per kind."""

    @hookspec
    def register_sampler(self, register: Register) -> None:
        """Declare samplers."""

    @hookspec
    def register_mllm(self, register: Register) -> None:
        """Declare multimodal LLM backends."""

    @hookspec
    def register_attribution(self, register: Register) -> None:
        """Declare attributions."""

    @hookspec
    def register_fusion(self, register: Register) -> None:
        """Declare fusion strategies."""

    @hookspec
    def register_selector(self, register: Register) -> None:
        """Declare point selectors."""

    @hookspec
    def register_segmenter(self, register: Register) -> None:
        """Declare segmenters."""

    @hookspec
    def register_scorer(self, register: Register) -> None:
        """Declare tracklet scorers."""

    @hookspec
    def register_exporter(self, register: Register) -> None:
        """Declare exporters."""

    @hookspec
    def register_dataset(self, register: Register) -> None:
        """Declare data sets."""

    @hookspec
    def register_trainer(self, register: Register) -> None:
        """Declare trainers."""
