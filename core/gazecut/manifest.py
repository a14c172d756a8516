"""The run manifest: what is enough to repeat a run, and, apart from it, what was measured."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from gazecut.arrays import to_numpy
from gazecut.cache import digest_arrays
from gazecut.clip import PartClip
from gazecut.interview import Inquiry
from gazecut.protocols import Clip, Provenance
from gazecut.recipe import Recipe
from gazecut.result import JudgedTracklet, Window
from gazecut.values import Query, Steering
from gazecut.work import Work


def measured(seconds: Mapping[str, float], peaks: Mapping[str, Any], work: Work, expressions: int) -> dict[str, Any]:
    """What depends on the machine and on what was kept from earlier: seconds and peak memory by stage, work done, host.

    Args:
        seconds: By stage, so far in this session.
        peaks: Bytes by stage, and by component on its device.
        work: Done so far in this session.
        expressions: That the session was asked so far.
    """
    return {
        "seconds": dict(seconds),
        "peak_memory_bytes": dict(peaks),
        "work": asdict(work),
        "expressions_asked": expressions,
        "host": {
            "machine": machine_name(),
            "system": platform.platform(),
            "python": platform.python_version(),
            "cores": os.cpu_count(),
        },
    }


def machine_name() -> str:
    """The processor's name, where the system tells; else its architecture."""
    cpus = Path("/proc/cpuinfo")
    lines = cpus.read_text(encoding="utf-8").splitlines() if cpus.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def describe_clip(clip: Clip) -> dict[str, Any]:
    """Name, length, frames per second and size of a clip; of a part, which one it is."""
    about: dict[str, Any] = {"name": clip.name, "frames": clip.length, "fps": clip.fps, "size": list(clip.size)}
    if isinstance(clip, PartClip):
        about["part"] = clip.part.record()
    return about


def describe_inquiry(inquiry: Inquiry) -> dict[str, Any]:
    """Questions and answers, what steered them, and what the questions' words weighed; none for maps that were given."""
    return {
        "category": inquiry.category,
        "attributes": inquiry.attributes,
        "answers": [asdict(record) for record in inquiry.records],
        "steering": [_describe_steering(query, query.steering) for query in inquiry.readings if query.steering is not None],
        "prompt_weights": [{**asdict(one), "weights": one.weights.tolist()} for one in inquiry.prompt_weights],
    }


def _describe_steering(query: Query, steering: Steering) -> dict[str, Any]:
    soft = np.asarray(to_numpy(steering.embeddings))
    return {
        "role": query.role,
        "view": query.view,
        "place": steering.place,
        "tokens": len(soft),
        "digest": digest_arrays({"embeddings": soft}),
    }


def describe_tracklets(tracklets: tuple[JudgedTracklet, ...]) -> list[dict[str, Any]]:
    """Scores of every candidate and whether it was kept."""
    return [
        {
            "prompt_frame": judged.prompt_frame,
            "prompt_xy": judged.prompt_xy.tolist(),
            "object_score": judged.object_score,
            "consistency": judged.consistency,
            "score": judged.score,
            "kept": judged.kept,
            "reason": judged.reason,
        }
        for judged in tracklets
    ]


def describe_window(window: Window) -> dict[str, Any]:
    """Where a window lies, what it showed, and how near its best candidate came."""
    best = window.best
    return {
        "frames": [window.frames.start, window.frames.stop],
        "own": [window.own.start, window.own.stop],
        "frame_indices": window.frame_indices.tolist(),
        "category": window.category,
        "objects": list(window.objects),
        "candidates": len(window.tracklets),
        "best_score": None if best is None else best.score,
        "contrast": window.contrast,
    }


def why_nothing(tracklets: Sequence[JudgedTracklet], windows: Sequence[Window], recipe: Recipe) -> str:
    """How near the best candidate of a result without objects came, and what would keep it."""
    told: list[tuple[JudgedTracklet, Window | None]] = [(one, window) for window in windows for one in window.tracklets]
    told = told or [(one, None) for one in tracklets]
    if not told:
        return f"no candidate; a lower threshold of the selector may give some: gazecut show selector {recipe.selector.use}"
    best, window = max(told, key=lambda each: each[0].score)
    where = "" if window is None else f", in frames {window.frames.start} to {window.frames.stop - 1},"
    why = "" if best.reason is None else f" ({best.reason})"
    lower = f"gazecut show scorer {recipe.scorer.use}"
    return f"the best candidate{where} scored {best.score:.2f} and was dropped{why}; a lower threshold of the scorer keeps it: {lower}"


def describe_provenance(components: Mapping[str, Provenance]) -> dict[str, Any]:
    """Device, dtype, weights and revision by kind of component."""
    return {kind: asdict(provenance) for kind, provenance in components.items()}
