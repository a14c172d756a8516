"""What a plugin may say: the components that it declares, one `ComponentSpec` each, and the events that it listens to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import pluggy

if TYPE_CHECKING:
    from gazecut.protocols import Clip, Runtime
    from gazecut.recipe import Recipe

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
        identity: "package.module:function" for a component whose results depend on files beside its options: `function(options,
            verify)` gives a text that is another one whenever the files are others, or None where that cannot be told without
            building the component. With `verify` it reads every byte. Its module must not import the component's. Empty for none.
        converter: "package.module:function" for a component whose weights come in several forms: `function(source, target, like)` writes
            the checkpoint `source` to `target`, a path that is free, in the form that its name asks for, and gives one line about it;
            None where `source` is no checkpoint of its model. Empty for none.
    """

    name: str
    summary: str
    target: str
    config: str
    api: int = 1
    needs: str = ""
    requires: tuple[str, ...] = ()
    identity: str = ""
    converter: str = ""


Register: TypeAlias = Callable[[ComponentSpec], None]

hookspec = pluggy.HookspecMarker("gazecut")
hookimpl = pluggy.HookimplMarker("gazecut")


class Hooks:
    """What a plugin may implement: one hook per kind of component, and one per event of a run.

    Events are for looking on: what an implementation returns is ignored, and one that raises is reported once and dropped.
    An implementation names the arguments that it wants and leaves out the others.
    """

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

    @hookspec
    def on_run_start(self, recipe: Recipe, runtime: Runtime, clips: int | None) -> None:
        """A run begins: one clip, or the `clips` of a data set; None where nobody knows how many."""

    @hookspec
    def on_stage_start(self, stage: str, steps: int) -> None:
        """A stage of a clip begins; `steps` is how many times `on_stage_step` will come, 0 for a stage that is one piece."""

    @hookspec
    def on_stage_step(self, stage: str, done: int, steps: int) -> None:
        """One step of a stage is done, for example a view or a key frame; never as fine as a token or a layer."""

    @hookspec
    def on_stage_end(self, stage: str, seconds: float, summary: str) -> None:
        """A stage ended well after that many seconds; the summary says in a few words what came of it, or is empty."""

    @hookspec
    def on_clip_end(self, clip: Clip, results: int, seconds: float, error: BaseException | None) -> None:
        """The session on a clip was closed after that many results; `error` is what ended it early."""

    @hookspec
    def on_run_end(self, seconds: float, error: BaseException | None) -> None:
        """A run is over; `error` is what ended it early."""
