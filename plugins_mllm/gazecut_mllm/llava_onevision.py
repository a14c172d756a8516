"""LLaVA-OneVision (arXiv 2408.03326), in the form that transformers reads ("-hf" checkpoints): tiles of 27 x 27 features.

The video view squashes every frame into one tile and pools its features to 14 x 14; every frame is a slot of its own. The frame view lays
each frame, its aspect kept, on an arrangement of up to 6 x 6 tiles ("anyres"): the one on which most of it is left, with padding around
the frame. Features of the padding are cut off, and what is left of a large frame is shrunk to about nine tiles' worth.

Checkpoints were trained to see a small copy of the frame before its tiles, and a token at the end of every row and of a video. The method
leaves both out (DecAF, appendix), which no option of the model or its processor can; so the visual embeddings are put together here, from
the model's own vision tower, projector and pooling, and enter the language model as they are.

The grid is taken to cover the frame exactly, as the method takes it. Cutting whole features off leaves up to half a feature of padding on
two sides, or takes as much of the frame; and a tile's last 6 px, less than a patch, are never seen. So a cell's true place is always less
than one cell from where the layout says, a fifth of a cell on average and at most 0.7 on clips of common sizes. Tried on transformers 5.17.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.functional import interpolate
from transformers.image_processing_utils import select_best_resolution

from gazecut.errors import ClipError, WeightsError
from gazecut.values import Frames, GridLayout
from gazecut_mllm.backend import Backend
from gazecut_mllm.config import LlavaOnevisionConfig
from gazecut_mllm.family import Family, Placement, View
from gazecut_mllm.layout import check_tiles

TILES = 16  # in one pass of the vision tower, which keeps the states of all its layers meanwhile
ASPECT_RATIO = "anyres_max_"
SLACK = 1.1  # how far above its bound a frame's side may be before it is shrunk; the authors' own


@dataclass(frozen=True)
class Tiling:
    """How a frame lies on its tiles, in features.

    Attributes:
        tiles: Tiles from top to bottom and from left to right.
        rows: Rows of features that are kept.
        columns: Columns of features that are kept.
        grid: (h, w) features that the language model sees: those kept, or fewer where they are shrunk.
    """

    tiles: tuple[int, int]
    rows: slice
    columns: slice
    grid: tuple[int, int]


class LlavaOnevision(Family):
    """LLaVA-OneVision on one checkpoint."""

    model_type = "llava_onevision"

    options: LlavaOnevisionConfig

    def __init__(self, options: LlavaOnevisionConfig, processor: Any, model_config: Any) -> None:
        """Keep what a checkpoint says of itself.

        Raises:
            WeightsError: It was made for frames that are laid out in another way.
        """
        super().__init__(options, processor, model_config)
        vision = model_config.vision_config
        self.tile = int(vision.image_size)  # pixels along each side of a tile
        self.side = self.tile // int(vision.patch_size)  # features along each side of it
        most = options.views.frame.max_tiles
        pinpoints = [(int(height), int(width)) for height, width in model_config.image_grid_pinpoints]
        self.pinpoints = [each for each in pinpoints if most is None or math.prod(each) <= most * self.tile**2]
        self.bound = _tiles_at_most(str(model_config.vision_aspect_ratio)) * self.side**2  # features of a frame, before the slack
        if not self.pinpoints:
            fewest = min(map(math.prod, pinpoints), default=0) // self.tile**2
            raise WeightsError(f"mllm.views.frame.max_tiles is {most}; wanted {fewest} or more, the fewest tiles that this model knows.")

    def layout(self, frames: Frames, view: View) -> GridLayout:
        """Which cell of which frame each visual token covers.

        Raises:
            ClipError: Frames are too long for their width, or wide for their height.
        """
        if view == "video":
            pooled = math.ceil(self.side / 2)
            return GridLayout(len(frames), pooled, pooled)
        return GridLayout(len(frames), *self.tiling(frames.size).grid)

    def tiling(self, size: tuple[int, int]) -> Tiling:
        """How a frame of size (H, W), in pixels, lies on its tiles.

        Raises:
            ClipError: It is too long for its width, or wide for its height.
        """
        height, width = size
        best = select_best_resolution(size, self.pinpoints)
        rows, columns = (length // self.tile * self.side for length in best)
        top = left = 0
        # Down to the rounding as the authors' code and transformers do it: another row more or less is another model input.
        if width / height > columns / rows:
            shown = int(round(height * (columns / width), 7))
            top = (rows - shown) // 2
        else:
            shown = int(round(width * (rows / height), 7))
            left = (columns - shown) // 2
        if not shown:
            raise ClipError(
                f"frames are {width}x{height} px; on {best[1]}x{best[0]} px, where the model sees most of them, one side is less than a "
                "patch. Crop the clip."
            )
        grid = rows - 2 * top, columns - 2 * left
        ratio = math.sqrt(math.prod(grid) / self.bound)
        if ratio > SLACK:
            grid = max(1, int(grid[0] // ratio)), max(1, int(grid[1] // ratio))
        tiles = rows // self.side, columns // self.side
        return Tiling(tiles, slice(top, rows - top), slice(left, columns - left), grid)

    def placement(self, frames: Frames, view: View, layout: GridLayout) -> Placement:
        """One run of visual tokens, for the video or for one image."""
        if view == "video":
            token = str(self.processor.video_token)
            return Placement("video", (token * len(layout),), token)
        token = str(self.processor.image_token)
        return Placement("image", (token * (layout.rows * layout.columns),), token)

    def pixels(self, images: np.ndarray, view: View, layout: GridLayout) -> dict[str, torch.Tensor]:
        """Frames (B, T, 3, s, s) of a video; or tiles (B, n, 3, s, s) of one frame each, in reading order, with the frames' sizes (B, 2).

        Raises:
            BackendError: The processor made other tiles than the layout says.
        """
        common = {"return_tensors": "pt", "input_data_format": "channels_last"}
        if view == "video":
            frames = self.processor.video_processor(list(images), do_sample_frames=False, **common)["pixel_values_videos"]
            check_tiles(frames, len(images), images.shape[1], self.tile)
            return {"pixel_values_videos": frames}
        pinpoints = [list(each) for each in self.pinpoints]
        found = self.processor.image_processor(list(images[:, 0]), image_grid_pinpoints=pinpoints, **common)
        tiles = math.prod(self.tiling((images.shape[2], images.shape[3])).tiles)
        check_tiles(found["pixel_values"], len(images), 1 + tiles, self.tile)
        # The first is the small copy of the frame. It is cut off here, where it costs a little time: no option leaves it out.
        return {"pixel_values": found["pixel_values"][:, 1:], "image_sizes": found["image_sizes"]}

    def embeddings(self, model: Any, pixels: dict[str, torch.Tensor]) -> torch.Tensor:
        """Visual embeddings (B, V, d): frame by frame and row by row, no token that covers nothing among them."""
        if "pixel_values_videos" in pixels:
            frames = pixels["pixel_values_videos"]  # (B, T, 3, s, s)
            pooled: torch.Tensor = model.model.apply_pooling(self._features(model, frames.flatten(0, 1)))  # (B * T, 14 * 14, d)
            return pooled.reshape(len(frames), -1, pooled.shape[-1])
        height, width = pixels["image_sizes"][0].tolist()
        tiling, tiles = self.tiling((height, width)), pixels["pixel_values"]  # (B, n, 3, s, s)
        features = self._features(model, tiles.flatten(0, 1))  # (B * n, 27 * 27, d)
        features = features.reshape(len(tiles), *tiling.tiles, self.side, self.side, -1)
        whole = features.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)  # (B, d, down * 27, across * 27)
        kept = whole[:, :, tiling.rows, tiling.columns]
        if kept.shape[2:] != tiling.grid:
            kept = interpolate(kept, tiling.grid, mode="bilinear")
        return kept.flatten(2).transpose(1, 2)

    def larger(self, view: View) -> Sequence[str]:
        """The options that make a view larger, with their values."""
        most = self.options.views.frame.max_tiles
        return [] if view == "video" else [f"mllm.views.frame.max_tiles (now {'as the model has it' if most is None else most})"]

    def _features(self, model: Any, tiles: torch.Tensor) -> torch.Tensor:
        """Features (n, 27 * 27, d) of tiles (n, 3, s, s), as wide as the language model's embeddings."""
        chosen, parts = self.model_config.vision_feature_layer, []
        for some in torch.split(tiles, TILES):
            states = model.model.vision_tower(some, output_hidden_states=True).hidden_states
            seen = states[chosen] if isinstance(chosen, int) else torch.cat([states[layer] for layer in chosen], dim=-1)
            if self.model_config.vision_feature_select_strategy == "default":
                seen = seen[:, 1:]  # without the token of a whole tile that some vision towers have
            parts.append(model.model.multi_modal_projector(seen))
        return torch.cat(parts)


def _tiles_at_most(aspect_ratio: str) -> int:
    """N of "anyres_max_N".

    Raises:
        WeightsError: It reads otherwise.
    """
    number = aspect_ratio.removeprefix(ASPECT_RATIO)
    if not aspect_ratio.startswith(ASPECT_RATIO) or not number.isdigit() or not int(number):
        raise WeightsError(
            f'weights: vision_aspect_ratio of the checkpoint is "{aspect_ratio}"; wanted "{ASPECT_RATIO}" and a number, as LLaVA-OneVision '
            "has it. Older LLaVA models are of another family."
        )
    return int(number)


class LlavaOnevisionBackend(Backend):
    """LLaVA-OneVision; options are `config.LlavaOnevisionConfig`."""

    family_class = LlavaOnevision
