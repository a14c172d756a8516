"""SmolVLM2 (arXiv 2504.05299): square tiles, each of which becomes a few dozen visual tokens.

The video view squashes every frame into one tile and says when it was seen; each is a slot of its
own. The frame view cuts a frame into tiles that cover it exactly, without the small copy of the
whole frame that checkpoints saw behind them. Tried on transformers 5.17.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from gazecut.values import Frames, GridLayout
from gazecut_mllm.backend import Backend
from gazecut_mllm.family import Family, Placement, View
from gazecut_mllm.layout import check_tiles
from transformers.video_utils import VideoMetadata

from gazecut_smolvlm.config import SmolVLMOptions


class SmolVLM(Family):
    """SmolVLM2 on one checkpoint."""

    model_type = "smolvlm"

    options: SmolVLMOptions

    def __init__(self, options: SmolVLMOptions, processor: Any, model_config: Any) -> None:
        """Keep what a checkpoint says of itself."""
        super().__init__(options, processor, model_config)
        vision = model_config.vision_config
        self.tile = int(vision.image_size)  # pixels along each side of a tile
        self.side = self.tile // vision.patch_size // model_config.scale_factor  # tokens along it
        self.split = {
            "do_image_splitting": True,
            "size": {"longest_edge": options.views.frame.tiles * self.tile},
        }

    def layout(self, frames: Frames, view: View) -> GridLayout:
        """Which cell of which frame each visual token covers."""
        down, across = (1, 1)
        if view == "frame":
            count = self.processor.image_processor.get_number_of_image_patches
            _, down, across = (n or 1 for n in count(*frames.size, self.split))  # 0: not cut
        return GridLayout(len(frames), down * self.side, across * self.side, tiles=(down, across))

    def placement(self, frames: Frames, view: View, layout: GridLayout) -> Placement:
        """Frames with their times, or the tiles of one frame with their places."""
        token = str(self.processor.image_token)
        if view == "video":
            indices = frames.indices.tolist()
            times = VideoMetadata(len(indices), fps=frames.fps, frames_indices=indices)
            shown = {"pixel_values": np.empty((1, len(frames))), "video_metadata": [times]}
            return Placement("video", (self.processor.replace_video_token(shown, 0),), token)
        down, across = layout.tiles if layout.tiles != (1, 1) else (0, 0)
        text = self.processor.replace_image_token({"rows": [[down]], "cols": [[across]]}, 0)
        if down:
            opener = f"{self.processor.fake_image_token}{self.processor.global_image_token}"
            text = text[: text.rindex(opener)] + self.processor.fake_image_token
        return Placement("image", (text,), token)

    def pixels(self, images: np.ndarray, view: View, layout: GridLayout) -> dict[str, torch.Tensor]:
        """Tiles (B, n, 3, s, s): the frames of a video, or those of one frame in reading order.

        Raises:
            BackendError: The processor made other tiles than the layout says.
        """
        given: dict[str, Any] = {"return_tensors": "pt", "input_data_format": "channels_last"}
        if view == "video":
            found = self.processor.video_processor(list(images), do_sample_frames=False, **given)
            wanted = shown = images.shape[1]
        else:
            frames = [[image] for image in images[:, 0]]
            found = self.processor.image_processor(frames, **self.split, **given)
            shown = layout.tiles[0] * layout.tiles[1]
            wanted = shown + (shown > 1)  # the last is the small copy of the frame
        tiles: torch.Tensor = found["pixel_values"]
        check_tiles(tiles, len(images), wanted, self.tile)
        return {"pixel_values": tiles[:, :shown].contiguous()}

    def embeddings(self, model: Any, pixels: dict[str, torch.Tensor]) -> torch.Tensor:
        """Visual embeddings (B, n * tokens of a tile, d), tile by tile.

        Made here because the model, given embeddings, takes each that begins with the number that
        the visual token's begins with for a place to put them: in 16 bits there are such words.
        """
        tiles = pixels["pixel_values"]
        features: torch.Tensor = model.get_image_features(tiles).pooler_output  # (B * n, tokens, d)
        return features.reshape(len(tiles), -1, features.shape[-1])

    def larger(self, view: View) -> Sequence[str]:
        """The options that make a view larger, with their values."""
        tiles = self.options.views.frame.tiles
        return [] if view == "video" else [f"mllm.views.frame.tiles (now {tiles})"]


class SmolVLMBackend(Backend):
    """SmolVLM2; options are `config.SmolVLMOptions`."""

    family_class = SmolVLM
