"""What the Qwen-VL families share: sizes, grids and pixels.

Two frames make a temporal slot, patches are merged 2 x 2 into visual tokens; patch sizes are the checkpoint's own. The video view
shows all frames as a video; the frame view shows each as an image, on a grid exactly `scale` times finer along each side.
Tried on transformers 5.17.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch

from gazecut.errors import BackendError
from gazecut.values import Frames, GridLayout
from gazecut_mllm.config import QwenVLOptions
from gazecut_mllm.family import Family, Placement, View
from gazecut_mllm.positions import VisualBlock
from gazecut_mllm.sizes import grid_size, resize


class QwenVL(Family):
    """Any of them; they differ in how time stands in the prompt."""

    axes: ClassVar[Literal[1, 3]] = 3

    options: QwenVLOptions

    def __init__(self, options: QwenVLOptions, processor: Any, model_config: Any) -> None:
        """Keep what a checkpoint says of itself."""
        super().__init__(options, processor, model_config)
        vision = model_config.vision_config
        self.merge, self.frames_per_slot = int(vision.spatial_merge_size), int(vision.temporal_patch_size)
        self.cell = int(vision.patch_size) * self.merge  # pixels along each side of a visual token

    def layout(self, frames: Frames, view: View) -> GridLayout:
        """Which cell of which frame each visual token covers.

        Raises:
            ClipError: Frames are too long for their width, or wide for their height.
        """
        rows, columns = grid_size(frames.size, self.cell, self.options.views.video.tokens_per_frame)
        if view == "video":
            return GridLayout(-(-len(frames) // self.frames_per_slot), rows, columns, self.frames_per_slot)
        scale = self.options.views.frame.scale
        return GridLayout(len(frames), rows * scale, columns * scale)

    def placement(self, frames: Frames, view: View, layout: GridLayout) -> Placement:
        """One run of visual tokens, for the video or for one image."""
        if view == "video":
            token, block = self.processor.video_token, VisualBlock(layout.slots, layout.rows, layout.columns, self.slot_step(frames))
        else:
            token, block = self.processor.image_token, VisualBlock(1, layout.rows, layout.columns)
        opener = self.processor.tokenizer.convert_ids_to_tokens(self.model_config.vision_start_token_id)
        return Placement("video" if view == "video" else "image", (token * len(block),), token, opener, (block,))

    def slot_step(self, frames: Frames) -> float:
        """Temporal positions from one slot to the next."""
        return 1.0

    def pixels(self, images: np.ndarray, view: View, layout: GridLayout) -> dict[str, torch.Tensor]:
        """Patches and grids.

        Raises:
            BackendError: The processor laid out other patches than the layout says.
        """
        size = (layout.rows * self.cell, layout.columns * self.cell)
        common = {"do_resize": False, "return_tensors": "pt", "input_data_format": "channels_last"}
        if view == "video":
            output = self.processor.video_processor([resize(video, size) for video in images], do_sample_frames=False, **common)
            names, slots = ("pixel_values_videos", "video_grid_thw"), layout.slots
        else:
            output = self.processor.image_processor([resize(image, size)[0] for image in images], **common)
            names, slots = ("pixel_values", "image_grid_thw"), 1
        self._check_grid(output[names[1]], [self.patches(layout, slots)] * len(images))
        return {name: output[name] for name in names}

    def larger(self, view: View) -> Sequence[str]:
        """The options that make a view larger, with their values."""
        views = self.options.views
        video = f"mllm.views.video.tokens_per_frame (now {views.video.tokens_per_frame})"
        return [video] if view == "video" else [video, f"mllm.views.frame.scale (now {views.frame.scale})"]

    def patches(self, layout: GridLayout, slots: int) -> list[int]:
        """Slots, rows and columns of patches of an image or a video, before they are merged."""
        return [slots, layout.rows * self.merge, layout.columns * self.merge]

    def _check_grid(self, found: torch.Tensor, wanted: list[list[int]]) -> None:
        if found.tolist() != wanted:
            raise BackendError(
                f"the checkpoint's processor laid out patches {found.tolist()}; wanted {wanted}. "
                "Check that patch_size, merge_size and temporal_patch_size of its processor are those of its model."
            )
