"""Options of the fakes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gazecut.options import Options


class FakeSamplerOptions(Options):
    """Options of sampler `fake`."""

    every: int = Field(default=1, ge=1)
    """Distance from one sampled frame to the next."""


class FakeMLLMOptions(Options):
    """Options of mllm `fake`."""

    view: Literal["video", "frame"] = "video"
    """The view that a fusion chain without a strategy for views asks."""

    cell: int = Field(default=8, ge=1)
    """Pixels along each side of a visual token of the frame view; twice that in the video view."""

    frames_per_slot: int = Field(default=2, ge=1)
    """Sampled frames that one slot of the video view covers."""


class FakeAttributionOptions(Options):
    """Options of attribution `fake`."""

    first_layer: int = Field(default=0, ge=0)
    """First layer of the language model that counts, from 0."""


class FakeMeanOptions(Options):
    """Options of fusion `fake-mean`: there are none."""


class FakeDifferenceOptions(Options):
    """Options of fusion `fake-difference`: there are none."""


class FakeSelectorOptions(Options):
    """Options of selector `fake`."""

    k: int = Field(default=1, ge=1)
    """Most points of one frame."""


class FakeSegmenterOptions(Options):
    """Options of segmenter `fake`."""

    contrast: float = Field(default=0.3, gt=0, le=1)
    """How far from the clip's usual colour a pixel must be to belong to the object, as a share of the full range."""


class FakeScorerOptions(Options):
    """Options of scorer `fake`."""

    above: float = Field(default=0.5, ge=0, le=1)
    """Keep tracklets that cover more than this share of the attention."""


class FakeExporterOptions(Options):
    """Options of exporter `fake`: there are none."""
