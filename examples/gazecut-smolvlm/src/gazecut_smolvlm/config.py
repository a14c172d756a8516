"""Options of `smolvlm`: those of every family, and one more. Imports nothing heavy."""

from typing import Annotated

from gazecut_mllm.config import FrameViewOptions, MLLMOptions, ViewsOptions
from pydantic import Field


class SmolVLMFrameViewOptions(FrameViewOptions):
    """Each sampled frame in a sequence of its own."""

    tiles: Annotated[int, Field(ge=1, le=6)] = 4
    """Tiles along a frame's longer side. The model has words for places of up to 6 x 6."""


class SmolVLMViewsOptions(ViewsOptions):
    """Sizes and batches of the two views; a frame of the video view is one tile."""

    frame: SmolVLMFrameViewOptions = SmolVLMFrameViewOptions()
    """Each sampled frame in its own sequence, at higher resolution."""


class SmolVLMOptions(MLLMOptions):
    """Options of `smolvlm`."""

    views: SmolVLMViewsOptions = SmolVLMViewsOptions()
    """Sizes and batches of the two views."""
