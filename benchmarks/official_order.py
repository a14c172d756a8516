"""A segmenter's session that works in the official order, on transformers' own session; what `segment.py` measures ours against."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as nn
from transformers import Sam2VideoInferenceSession, Sam2VideoModel

from gazecut.protocols import Clip
from gazecut.tracklets import mask_overlaps
from gazecut.values import Candidates, FrameMasks, HeatMaps, Points
from gazecut_segmenter.sam2_features import network_input
from gazecut_segmenter.sam2_masks import mask_prompts


class OfficialOrder:
    """A session in the official order of work, on transformers' own.

    Attributes:
        encodings: Frames that went through the image encoder.
    """

    def __init__(self, clip: Clip, model: Sam2VideoModel, key_frames: Sequence[int]) -> None:
        """Take the clip, the model, and the frames that points will be on."""
        self.encodings = 0
        self._clip, self._model, self._key_frames = clip, model, list(key_frames)
        self._side, self._trust = model.config.image_size, 0.0
        self._sessions: dict[tuple[int, ...], Sam2VideoInferenceSession] = {}
        self._hooks = [
            model.vision_encoder.register_forward_hook(self._count),
            model.mask_decoder.register_forward_hook(self._note),
        ]

    def masks_at(self, frame: int, points: Points, heat: np.ndarray) -> Candidates:
        """Point by point; each call brings all masks so far to the clip's size."""
        session, trust = self._started(self._key_frames), []
        masks = torch.zeros(0, *self._clip.size)
        for number, (x, y) in enumerate(zip(points.x, points.y, strict=True)):
            place = torch.tensor([[[[x, y]]]], dtype=torch.float32) * self._side
            given = {"point_coords": place, "point_labels": torch.ones(1, 1, 1, dtype=torch.int32)}
            session.add_point_inputs(session.obj_id_to_idx(number), self._key_frames.index(frame), given)
            session.obj_with_new_inputs = [number]
            output = self._model(session, frame_idx=self._key_frames.index(frame), run_mem_encoder=False)
            trust.append(self._trust)
            masks = self._full(output.pred_masks)
        return Candidates((masks > 0).numpy(), np.array(trust, np.float32))

    def propagate(
        self, frame: int, masks: np.ndarray, frames: Sequence[int], heat: HeatMaps, heat_frames: np.ndarray
    ) -> Iterator[FrameMasks]:
        """Object by object, forwards and then backwards; features of one frame are kept."""
        session, start = self._started(frames), list(frames).index(frame)
        for number, prompt in enumerate(mask_prompts(torch.from_numpy(masks), self._side)):
            session.add_mask_inputs(session.obj_id_to_idx(number), start, prompt[None])
        session.obj_with_new_inputs = list(range(len(masks)))
        for reverse in (False, True):
            for output in self._model.propagate_in_video_iterator(session, start_frame_idx=start, reverse=reverse):
                if not reverse or output.frame_idx != start:
                    yield FrameMasks(list(frames)[output.frame_idx], (self._full(output.pred_masks) > 0).numpy())

    def overlaps(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Pair by pair."""
        pairs = [mask_overlaps(one[None], other[None])[0, 0] for one in first for other in second]
        return np.array(pairs).reshape(len(first), len(second))

    def close(self) -> None:
        """Let go of everything."""
        self._sessions.clear()
        for hook in self._hooks:
            hook.remove()

    def __enter__(self) -> OfficialOrder:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _started(self, frames: Sequence[int]) -> Sam2VideoInferenceSession:
        """The session over some frames, without objects; all of them were made ready for the network at once."""
        name = tuple(frames)
        if name not in self._sessions:
            images = torch.cat([network_input(image, self._side) for image in self._clip.frames(frames)])
            height, width = self._clip.size
            self._sessions[name] = Sam2VideoInferenceSession(video=images, video_height=height, video_width=width, dtype=torch.float32)
        self._sessions[name].reset_tracking_data()
        return self._sessions[name]

    def _full(self, logits: torch.Tensor) -> torch.Tensor:
        return nn.interpolate(logits.float(), self._clip.size, mode="bilinear", align_corners=False)[:, 0]

    def _count(self, *_: object) -> None:
        self.encodings += 1

    def _note(self, module: object, given: object, output: tuple[torch.Tensor, ...]) -> None:
        self._trust = float(output[1].max())
