"""What results are called in the notes: a digest of everything that they depend on.

That is content, options, versions and source of the code, the identity of the weights and the kind of device. Whatever cannot be known
without loading a model, such as weights that are still to be downloaded, has no name yet and is not looked for.
"""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Callable, Sequence
from functools import cached_property
from importlib import metadata
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gazecut.arrays import to_numpy
from gazecut.cache import digest, digest_arrays
from gazecut.components import Kind
from gazecut.modules import find_module
from gazecut.protocols import Clip
from gazecut.tracklets import KeyFrames
from gazecut.values import Frames, Query, Tracklet

if TYPE_CHECKING:
    from gazecut.pipeline import Pipeline
    from gazecut.recipe import Stage

_SIGNS_OF_A_GPU = ("/proc/driver/nvidia/version", "/dev/nvidiactl", "/dev/kfd", "/dev/dxg")  # containers may see a driver without devices
_CHOICES_OF_GPUS = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")
_LIBRARIES = ("numpy", "opencv-python-headless", "av", "pillow")

Facts = dict[str, Any] | None

_first_seen: dict[str, str | None] = {}  # packages, and their code when this process first asked for it


class PipelineKeys:
    """What the components of a pipeline add to a key; worked out once each."""

    def __init__(self, pipeline: Pipeline, verify: bool) -> None:
        """Look at nothing yet.

        Args:
            pipeline: Whose components.
            verify: Know weights by all their bytes, not by names, sizes and times.
        """
        self._pipeline, self._verify = pipeline, verify
        self._known: dict[tuple[Kind, bool], dict[str, Any]] = {}

    def component(self, kind: Kind) -> Facts:
        """Name, options, versions, code and weights of a component; None where it is not of the recipe, or code or weights are unknown."""
        if self._pipeline.assigned(kind):
            return None
        # Loading may bring newer weights of a hub id than were here before: what is asked then is noted under those.
        when = kind, kind in self._pipeline.built()
        if when not in self._known:
            stage: Stage = getattr(self._pipeline.recipe, kind)
            registry = self._pipeline.registry
            identity = registry.identity(kind, stage.use, stage.options, self._verify)
            component = registry.component(kind, stage.use)
            source = code_in_use(component.spec.target.partition(":")[0])
            if identity is None or source is None:
                return None
            self._known[when] = {
                **stage.filled(),
                "from": str(component.origin),
                "weights": identity,
                "source": source,
                "libraries": versions(component.spec.requires),
            }
        return self._known[when]

    @cached_property
    def surroundings(self) -> Facts:
        """The core itself, the libraries that it computes with, the kind of device and the seed; None where the core's code is unknown."""
        core = code_in_use("gazecut")
        if core is None:
            return None
        return {
            "core": core,
            "libraries": versions(_LIBRARIES),
            "device": device_class(self._pipeline.runtime.device),
            "seed": self._pipeline.runtime.seed,
        }


class ClipKeys:
    """Keys of the results on one clip; None wherever something that they depend on is not known, or nothing is kept."""

    def __init__(self, pipeline: PipelineKeys, clip: Clip, frames: Callable[[], Frames], kept: bool = True) -> None:
        """Take what the results are of.

        Args:
            pipeline: What its components add.
            clip: The whole clip.
            frames: Gives the sampled frames.
            kept: Whether there is anywhere to look; where not, nothing is decoded and digested in vain.
        """
        self._pipeline, self._clip, self._frames = pipeline, clip, frames
        self._kept = kept and pipeline.surroundings is not None

    def reading(self, query: Query, text: str, traced: bool) -> str | None:
        """Key of a worded query's answers, with its maps where it is traced."""
        if not self._kept:
            return None
        attribution = self._pipeline.component("attribution") if traced else {}
        steering = query.steering
        soft = None if steering is None else [steering.place, digest_arrays({"soft": to_numpy(steering.embeddings)})]
        return self._key(
            self._pipeline.component("mllm"), attribution, {"view": query.view, "text": text, "steering": soft, "frames": self._pixels}
        )

    def label(self, text: str) -> str | None:
        """Key of the answer to a turn without the clip."""
        return self._key(self._pipeline.component("mllm"), {"label": text}) if self._kept else None

    def tracklets(self, key: KeyFrames, suppress_above: float) -> str | None:
        """Key of what the loop over key frames leaves."""
        return self._segmented(key, {"suppress_above": suppress_above})

    def tracks(self, key: KeyFrames, kept: Sequence[Tracklet]) -> str | None:
        """Key of tracklets followed over the whole clip."""
        return self._segmented(key, {"kept": [[one.prompt_frame, list(one.track.codes)] for one in kept]})

    def _segmented(self, key: KeyFrames, of: dict[str, Any]) -> str | None:
        segmenter = self._pipeline.component("segmenter") if self._kept else None
        return None if segmenter is None else self._key(segmenter, {**of, "prompts": _prompts(key), "clip": self._whole_clip})

    @cached_property
    def _pixels(self) -> str:
        frames = self._frames()
        return digest_arrays({"images": frames.images, "indices": frames.indices, "fps": np.array([frames.fps])})

    @cached_property
    def _whole_clip(self) -> str:
        whole = hashlib.blake2b(digest_size=20)
        for frame in self._clip.frames():
            whole.update(np.ascontiguousarray(frame).data)
        return f"{self._clip.length} {self._clip.size} {self._clip.fps!r} {whole.hexdigest()}"

    def _key(self, *parts: Facts) -> str | None:
        return None if any(part is None for part in parts) else digest([self._pipeline.surroundings, *parts])


def device_class(device: str) -> str:
    """The kind of device that a name will come to on this machine, as far as can be seen without loading a library.

    "auto" is a different device where there is another sort of driver, another architecture or another choice of visible GPUs.
    """
    if device != "auto":
        return device.partition(":")[0]
    signs = [sign for sign in _SIGNS_OF_A_GPU if Path(sign).exists()]
    visible = [f"{name}={os.environ[name]}" for name in _CHOICES_OF_GPUS if name in os.environ]
    return f"auto: {platform.system()} {platform.machine()}, {', '.join(signs) or 'no GPU'}, visible {', '.join(visible) or 'all'}"


def versions(names: Sequence[str]) -> dict[str, str]:
    """Versions of what is installed, by name of a distribution or of a module that one brings; "-" for what is not."""
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            bringing = metadata.packages_distributions().get(name.partition(".")[0], ())
            found[name] = ", ".join(f"{one} {metadata.version(one)}" for one in sorted(set(bringing))) or "-"
    return found


def code_in_use(module: str) -> str | None:
    """A name for the code of the package around a module that this process runs: what is edited gets another, whatever its version says.

    Returns:
        None where that is not known: the code is in no file, as in a notebook; or its files were edited after this process first asked,
        so that it may run the old code or, reloaded, the new.
    """
    package = _outermost(module)
    found = None if package is None else source_digest(package)
    return found if package is not None and _first_seen.setdefault(package, found) == found else None


def source_digest(package: str) -> str | None:
    """A name for what the files of a package or module hold; None where there are none that can be read."""
    spec = find_module(package)
    if spec is None or spec.origin is None:
        return None
    origin = Path(spec.origin)
    whole = hashlib.blake2b(digest_size=20)
    try:
        for file in sorted(origin.parent.rglob("*.py")) if spec.submodule_search_locations else [origin]:
            whole.update(str(file.relative_to(origin.parent)).encode())
            whole.update(file.read_bytes())
    except OSError:
        return None
    return whole.hexdigest()


def _outermost(module: str) -> str | None:
    """The outermost package around a module, or the module itself; namespaces, which several distributions may share, are none."""
    dotted = accumulate(module.split("."), lambda parent, child: f"{parent}.{child}")
    return next((name for name in dotted if (spec := find_module(name)) is not None and spec.origin is not None), None)


def _prompts(key: KeyFrames) -> str:
    points = {name: np.asarray(column) for name, column in vars(key.points).items()}
    return digest_arrays({"indices": key.indices, "heat": key.heat.numpy(), **points})
