"""InternVL3 (arXiv 2504.10479), in the form that transformers reads ("-hf" checkpoints): tiles of one size, 256 visual tokens each.

The video view squashes every frame into one tile and names it ("Frame1: ..."); every frame is a slot of its own. The frame view cuts
each frame into up to `max_tiles` tiles: the frame is resized to the arrangement of tiles whose aspect is nearest, so tiles cover it
exactly. Checkpoints were trained to see a small copy of the whole frame behind its tiles; the method leaves that out (DecAF, appendix).
Tried on transformers 5.17.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers.models.got_ocr2.image_processing_got_ocr2 import get_optimal_tiled_canvas

from gazecut.values import Frames, GridLayout
from gazecut_mllm.backend import Backend
from gazecut_mllm.config import InternVL3Config
from gazecut_mllm.family import Family, Placement, View
from gazecut_mllm.layout import check_tiles

MIN_TILES = 1


class InternVL3(Family):
    """InternVL3 on one checkpoint."""

    model_type = "internvl"

    options: InternVL3Config

    def __init__(self, options: InternVL3Config, processor: Any, model_config: Any) -> None:
        """Keep what a checkpoint says of itself."""
        super().__init__(options, processor, model_config)
        vision = model_config.vision_config
        self.tile = int(vision.image_size[0])  # pixels along each side of a tile
        self.grid = int(self.tile // vision.patch_size[0] * model_config.downsample_ratio)  # visual tokens along each side of it

    def layout(self, frames: Frames, view: View) -> GridLayout:
        """Which cell of which frame each visual token covers."""
        if view == "video":
            return GridLayout(len(frames), self.grid, self.grid)
        # What the image processor itself asks for the same frame; it returns tiles without saying how they lie.
        across, down = get_optimal_tiled_canvas(frames.size, (self.tile, self.tile), MIN_TILES, self.options.views.frame.max_tiles)
        return GridLayout(len(frames), down * self.grid, across * self.grid, tiles=(down, across))

    def placement(self, frames: Frames, view: View, layout: GridLayout) -> Placement:
        """A line per frame for the video; the tiles of one frame, one after another, for an image."""
        token = str(self.processor.image_token)
        tokens = token * (layout.rows * layout.columns)
        shown = f"{self.processor.start_image_token}{tokens}{self.processor.end_image_token}"
        if view == "frame":
            return Placement("image", (shown,), token)
        return Placement("video", ("\n".join(f"Frame{number}: {shown}" for number in range(1, len(frames) + 1)),), token)

    def pixels(self, images: np.ndarray, view: View, layout: GridLayout) -> dict[str, torch.Tensor]:
        """Tiles (n, 3, s, s), sequence by sequence.

        Raises:
            BackendError: The processor made other tiles than the layout says.
        """
        common = {"return_tensors": "pt", "input_data_format": "channels_last"}
        if view == "video":
            found = self.processor.video_processor(list(images), do_sample_frames=False, **common)["pixel_values_videos"]  # (B, T, 3, s, s)
            wanted = shown = images.shape[1]
        else:
            limits = {"min_patches": MIN_TILES, "max_patches": self.options.views.frame.max_tiles}
            tiles = self.processor.image_processor(list(images[:, 0]), crop_to_patches=True, **limits, **common)["pixel_values"]
            shown = layout.tiles[0] * layout.tiles[1]
            # Cut off here, where it does nothing but cost a little time: no option of the processor leaves the small copy out.
            wanted = shown + (shown > 1)
            found = tiles.reshape(-1, wanted, *tiles.shape[1:]) if len(tiles) == len(images) * wanted else tiles[None]
        check_tiles(found, len(images), wanted, self.tile)
        return {"pixel_values": found[:, :shown].flatten(0, 1)}

    def larger(self, view: View) -> Sequence[str]:
        """The options that make a view larger, with their values."""
        return [] if view == "video" else [f"mllm.views.frame.max_tiles (now {self.options.views.frame.max_tiles})"]


class InternVL3Backend(Backend):
    """InternVL3; options are `config.InternVL3Config`."""

    family_class = InternVL3
