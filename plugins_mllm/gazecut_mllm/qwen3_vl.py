"""Qwen3-VL (arXiv 2511.21631): time is written into the prompt, so positions follow the order of slots and no clock.

Each temporal slot of a video is a run of visual tokens of its own, after text that says when it is ("<0.2 seconds>"); the checkpoint's
own processor words that text, from the times of the frames. Its visual tokens enter the language model a second time behind its first
layers (deepstack), which the visual prefix holds like everything else. Patches are 16 px, so a visual token covers 32.

The papers that Gazecut follows do not use this model. We treat it as they treat Qwen2.5-VL: the same budget of visual tokens, an exact
`scale` for the frame view, the clip's real times unless `seconds_per_slot` says otherwise; the prompt is what transformers' processor
makes of the checkpoint's template, which since 5.10 has one more pair of vision tokens around the whole video than before.
Text between slots is no visual token: attribution counts, and folds, the visual tokens alone.
"""

from __future__ import annotations

import numpy as np
from transformers.video_utils import VideoMetadata

from gazecut.values import Frames, GridLayout
from gazecut_mllm.backend import Backend
from gazecut_mllm.config import Qwen3VLConfig
from gazecut_mllm.family import Placement, View
from gazecut_mllm.positions import VisualBlock
from gazecut_mllm.qwen import QwenVL


class Qwen3VL(QwenVL):
    """Qwen3-VL on one checkpoint."""

    model_type = "qwen3_vl"

    options: Qwen3VLConfig

    def placement(self, frames: Frames, view: View, layout: GridLayout) -> Placement:
        """A run of visual tokens per slot and its time before it, for the video; one run for an image."""
        placement = super().placement(frames, view, layout)
        if view == "frame":
            return placement
        video = {"video_grid_thw": np.array([self.patches(layout, layout.slots)]), "video_metadata": [self._clock(frames)]}
        text = str(self.processor.replace_video_token(video, 0))
        blocks = (VisualBlock(1, layout.rows, layout.columns),) * layout.slots
        return Placement("video", (text,), placement.token, placement.opener, blocks)

    def _clock(self, frames: Frames) -> VideoMetadata:
        """When frames are, as the processor takes it."""
        seconds = self.options.seconds_per_slot
        if seconds == "auto":
            indices, fps = frames.indices.tolist(), frames.fps
        else:
            indices, fps = list(range(len(frames))), self.frames_per_slot / seconds
        return VideoMetadata(total_num_frames=indices[-1] + 1, fps=fps, frames_indices=indices)


class Qwen3VLBackend(Backend):
    """Qwen3-VL; options are `config.Qwen3VLConfig`."""

    family_class = Qwen3VL
