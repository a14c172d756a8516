"""A recipe put to work: components built when first needed, sessions on clips, results."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar, cast

import numpy as np

from gazecut.cache import Store, default_folder, default_limit
from gazecut.clip import Moment, Source
from gazecut.clip.array import NOMINAL_FPS
from gazecut.clip.passing import PassingClip
from gazecut.components import Kind
from gazecut.errors import DeviceError, PromptError
from gazecut.keys import PipelineKeys
from gazecut.observers import Observers
from gazecut.optional import BackboneBound, WindowSampler
from gazecut.plugins import discover
from gazecut.prompts import sentence
from gazecut.protocols import (
    Attribution,
    Exporter,
    FusionStrategy,
    MLLMBackend,
    PointSelector,
    Provenance,
    Runtime,
    Sampler,
    Segmenter,
    TrackletScorer,
)
from gazecut.recipe import Recipe, Stage, load_recipe
from gazecut.registry import Registry
from gazecut.result import Result
from gazecut.session import ClipSession
from gazecut.stretch import Stretch
from gazecut.values import Query
from gazecut.windowed import WindowedSession

_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
_Component = TypeVar("_Component")


class Pipeline:
    """Segments clips by a recipe. Nothing heavy is loaded before it is needed."""

    def __init__(
        self, recipe: Recipe, registry: Registry, runtime: Runtime, observers: Sequence[object] = (), store: Store | None = None
    ) -> None:
        """Take a checked recipe.

        Args:
            recipe: The recipe, overrides applied.
            registry: Where its components are found; its plugins are told of every run.
            runtime: Device and seed.
            observers: Who else is told of it, see `gazecut.observers`.
            store: Where results of stages are kept and found again; None keeps nothing.

        Raises:
            DeviceError: The device's name is none that any component could know.
            PluginError: An observer listens to nothing, or to an event that does not exist.
        """
        if not _DEVICE.fullmatch(runtime.device):
            raise DeviceError(f'no device is called "{runtime.device}"; allowed: auto, cpu, cuda, cuda:0, cuda:1, ..., mps.')
        self.recipe = recipe
        self.registry = registry
        self.runtime = runtime
        self.observers = Observers(observers, outer=Observers(registry.plugins))
        self.store = store
        self.keys = PipelineKeys(self, verify=False)
        self._built: set[str] = set()
        self._runs = 0

    @classmethod
    def from_recipe(
        cls,
        recipe: str | Mapping[str, Any],
        *,
        overrides: Mapping[str, Any] | Sequence[str] = (),
        device: str = "auto",
        seed: int = 0,
        observers: Sequence[object] = (),
        plugins: Sequence[ModuleType | str | Path] = (),
        cache: bool = True,
        verify_weights: bool = False,
    ) -> Pipeline:
        """A pipeline from a built-in recipe, a file or a mapping.

        Args:
            recipe: Name of a built-in recipe, path of a YAML file, or its content.
            overrides: {"stage.option": value}, or texts "stage.option=value" as on the command line.
            device: "auto" (the fastest present), "cpu", "cuda", "cuda:N" or "mps".
            seed: Seed of whatever components draw at random.
            observers: Objects that are told of runs, stages and clips, see `gazecut.observers`.
            plugins: Plugins that are not installed: modules, dotted names of modules, or paths of .py files.
            cache: Keep results of stages on disk, and take what is kept instead of computing it again; see `gazecut.cache`.
            verify_weights: Know kept results by every byte of the weights, not by names, sizes and times of their files.

        Raises:
            RecipeError: The recipe has problems; all of them are named at once.
            DeviceError: The device's name is unknown.
            PluginError: One of `plugins` does not load, or an observer listens to nothing, or to an event that does not exist.
        """
        registry = discover(modules=plugins)
        registry.check_given()
        store = Store(default_folder(), default_limit()) if cache else None
        pipeline = cls(load_recipe(recipe, overrides, registry), registry, Runtime(device, seed), observers, store)
        pipeline.keys = PipelineKeys(pipeline, verify_weights)
        return pipeline

    @contextmanager
    def run(self, clips: int | None = None) -> Iterator[None]:
        """Make one run, in the eyes of observers, of everything that happens in the block.

        A session that is opened outside of any run is a run of its own.

        Args:
            clips: How many clips will be opened; None where nobody knows.
        """
        with ExitStack() as ending:
            if self._runs == 0:
                ending.enter_context(self.observers.run(self.recipe, self.runtime, clips))
            self._runs += 1
            try:
                yield
            finally:
                self._runs -= 1

    def open(
        self, source: Source, *, start: Moment | None = None, end: Moment | None = None, every: int = 1, in_windows: bool = False
    ) -> ClipSession:
        """A session on one clip: many expressions, one prefill. Close it, or use it in a `with` block.

        Where the recipe's sampler has windows, and for a stream, the session goes through the clip window by window.

        Args:
            source: Video file, folder of images, array (T, H, W, 3) uint8 RGB, iterator of frames, or clip.
            start: First moment of the part to look at: seconds, text such as "1:02.5", or a frame such as "240f".
            end: The moment that ends the part, itself outside.
            every: Keep each n-th frame, at least 1.
            in_windows: Go window by window in any case, as a stream does: where the sampler has no windows, in those of 64 frames, each
                with its own sample.

        Raises:
            ClipError: The source cannot be read, or has no such part.
        """
        windowed = in_windows or isinstance(source, PassingClip) or isinstance(self.sampler, WindowSampler)
        return (WindowedSession if windowed else ClipSession)(self, source, start, end, every)

    def stream(
        self, frames: Iterable[object], expressions: str | Sequence[str], *, fps: float = NOMINAL_FPS, name: str = "stream"
    ) -> Iterator[Stretch]:
        """Masks of frames that come one by one, as from a camera or a pipe; memory does not grow, however long it goes on.

        A frame's masks come when the window is complete whose own frames it is among: at most one window later. Stop taking, or close
        the iterator, to end it; everything is freed then. An error ends it, and what came before stays valid.

        Args:
            frames: Frames (H, W, 3) uint8 RGB of one size, arrays or tensors.
            expressions: What to segment, one or several.
            fps: Frames per second.
            name: What to call the stream in messages.

        Returns:
            For each window, one stretch per expression in their order: frames with their masks, and the images, which are gone when the
            stretch is.

        Raises:
            PromptError: There is no expression, or one is empty.
            ClipError: No frame came, one has another dtype, shape or size, or the recipe's sampler needs the whole clip.
        """
        asked = [expressions] if isinstance(expressions, str) else list(expressions)
        if not asked:
            raise PromptError("there is no expression to stream masks of; wanted one or more.")
        for expression in asked:
            sentence(expression)
        return self._stream(PassingClip(frames, fps, name), asked)

    def _stream(self, clip: PassingClip, expressions: Sequence[str]) -> Iterator[Stretch]:
        with WindowedSession(self, clip) as session, closing(session.stretches(expressions)) as stretches:
            yield from stretches

    def segment(self, source: Source, expression: str) -> Result:
        """Masks of what an expression names.

        Args:
            source: Video file, folder of images, or array (T, H, W, 3) uint8 RGB.
            expression: What to segment.

        Raises:
            RequestError: The clip, the expression, the weights or the device cannot be used.
            GazecutError: A component failed while it ran.
        """
        with self.open(source) as session:
            return session.segment(expression)

    def segment_maps(self, source: Source, maps: np.ndarray, frame_indices: np.ndarray) -> Result:
        """Masks from given heat maps: selector, key-frame loop, segmenter. No MLLM is loaded.

        Args:
            source: Video file, folder of images, or array (T, H, W, 3) uint8 RGB.
            maps: (Ts, h, w) in [0, 1], one per sampled frame.
            frame_indices: (Ts,) integer, strictly ascending, where in the clip the maps belong.

        Raises:
            ShapeError: Maps or indices do not fit each other, the clip or their range.
        """
        with self.open(source) as session:
            return session.segment_maps(maps, frame_indices)

    def plan(self) -> list[Query]:
        """The questions of one expression: one object query, changed by the fusion strategies from last to first.

        Raises:
            WeightsError: A strategy lacks what it steers with, or it was made for another model than the one that is loaded.
        """
        queries: Sequence[Query] = [Query("object", self.recipe.view, "object")]
        for strategy in reversed(self.fusion):
            queries = strategy.plan(queries)
        if "mllm" in self.__dict__:
            self._check_backbone(self.mllm)
        return list(queries)

    @cached_property
    def sampler(self) -> Sampler:
        """Chooses the frames that the MLLM sees."""
        return cast(Sampler, self._build("sampler", self.recipe.sampler))

    @cached_property
    def mllm(self) -> MLLMBackend:
        """The multimodal LLM."""
        backend = cast(MLLMBackend, self._build("mllm", self.recipe.mllm))
        self._check_backbone(backend)
        return backend

    @cached_property
    def attribution(self) -> Attribution:
        """Turns attention into scores."""
        return cast(Attribution, self._build("attribution", self.recipe.attribution))

    @cached_property
    def fusion(self) -> tuple[FusionStrategy, ...]:
        """The chain of fusion strategies, in recipe order."""
        return tuple(cast(FusionStrategy, self._build("fusion", stage)) for stage in self.recipe.fusion)

    @cached_property
    def selector(self) -> PointSelector:
        """Chooses points on fused maps."""
        return cast(PointSelector, self._build("selector", self.recipe.selector))

    @cached_property
    def segmenter(self) -> Segmenter:
        """Turns points into masks and follows them."""
        return cast(Segmenter, self._build("segmenter", self.recipe.segmenter))

    @cached_property
    def scorer(self) -> TrackletScorer:
        """Judges tracklets."""
        return cast(TrackletScorer, self._build("scorer", self.recipe.scorer))

    @cached_property
    def exporters(self) -> tuple[Exporter, ...]:
        """What `Result.save` writes."""
        return tuple(cast(Exporter, self._build("exporter", stage)) for stage in self.recipe.exporters)

    def built(self) -> dict[str, MLLMBackend | Segmenter]:
        """The heavy components that were needed so far, by kind."""
        return {kind: self.__dict__[kind] for kind in ("mllm", "segmenter") if kind in self.__dict__}

    def provenance(self) -> dict[str, Provenance]:
        """Device, dtype and weights of the heavy components that were needed so far, by kind."""
        return {kind: component.describe() for kind, component in self.built().items()}

    def assigned(self, kind: Kind) -> bool:
        """Whether a component was set by hand, so that the recipe does not say what it is."""
        return kind in self.__dict__ and kind not in self._built

    def _check_backbone(self, backend: MLLMBackend) -> None:
        for strategy in self.fusion:
            if isinstance(strategy, BackboneBound):
                strategy.check_backbone(backend.describe())

    def _build(self, kind: Kind, stage: Stage) -> object:
        self._built.add(kind)
        return self.registry.build(kind, stage.use, stage.options, self.runtime)
