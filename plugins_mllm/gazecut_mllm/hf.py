"""Any image-text-to-text model of transformers, with its attention captured: for scripts, tests and the families built on it.

```python
backend = load("path/to/Qwen2.5-VL-7B-Instruct", device="cuda")
trace = backend.trace(processor(...), first_layer=14)
row = rollout_row(trace.layers, trace.visual_columns)
```
Tried with Qwen2-VL, Qwen2.5-VL, Qwen3-VL and InternVL on transformers 5.17.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import torch
from transformers import PreTrainedModel

from gazecut.arrays import Array
from gazecut.cache import digest_arrays
from gazecut.errors import BackendError
from gazecut.values import Trace, TraceLayer
from gazecut_mllm.capture import NAMES, capturing, install, restore
from gazecut_mllm.devices import WAITING, resolve_device, resolve_dtype
from gazecut_mllm.positions import VisualBlock, mrope_positions
from gazecut_mllm.weights import Loading, load_model, locate

MROPE_FAMILIES = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")
UNBROKEN = ("qwen2_vl", "qwen2_5_vl")
"""Families whose visual columns reach from the first visual token to the last, as the authors of DecAF take them."""
SIGNED_TOKENS = 64  # whose embeddings tell a model from others


class HFBackend:
    """A transformers model whose language model attends through the capture.

    Attributes:
        model: The model itself, in evaluation mode.
        device: Where it takes its tokens; of one that is spread over several, the first that computes.
        dtype: Floating type of its weights.
        layers: Number of layers L of its language model.
        width: Width d of its token embeddings.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        """Take over the attention of a model; `close` gives it back.

        Raises:
            WeightsError: The model has no language model part, or one whose attention is not causal over all tokens.
        """
        self._before = install(model)
        self._closed = False
        self.model = model
        self.device = _device_of(model)
        self.dtype = model.dtype
        self.layers = int(model.config.text_config.num_hidden_layers)
        self.width = int(model.config.text_config.hidden_size)

    @cached_property
    def signature(self) -> str:
        """What the model is known by: family, width, and a digest of the signs in some rows of its token embeddings.

        Signs survive every floating type, so a model has one signature however it was loaded; two models that were trained apart
        differ in it.
        """
        embeddings: Any = self.model.get_input_embeddings()
        rows = torch.linspace(0, len(embeddings.weight) - 1, SIGNED_TOKENS).long().to(self.device)
        # Asked for, not read from the table: where a device map says so, that waits in host memory or on the disk.
        signs = torch.signbit(embeddings(rows).detach()).cpu().numpy()
        return f"{self.model.config.model_type}, width {self.width}, {digest_arrays({'signs': signs})[:16]}"

    @torch.inference_mode()
    def trace(self, inputs: Mapping[str, Any], first_layer: int = 0, last_layer: int | None = None) -> Trace:
        """Run a prepared prompt once and keep its attention.

        Args:
            inputs: What the model's own processor gives for one sequence: `input_ids` (1, N), pixels, grids; arrays of either kind.
                Qwen families take their positions from our rules unless `position_ids` are among the inputs.
            first_layer: First layer of the language model, from 0.
            last_layer: Last layer, inclusive; None is the model's last.

        Raises:
            BackendError: No `input_ids` or more than one sequence, no visual tokens or other ones than the grids say, or layers that the
                model lacks.
        """
        layers = self.layer_range(first_layer, last_layer)
        prepared = self._prepare(inputs)
        ids = prepared["input_ids"]
        visual = self.is_visual(ids[0])
        where = visual.nonzero()[:, 0]
        if not len(where):
            raise BackendError("the prompt has no visual tokens; wanted the image or video placeholder tokens of the model's config.")
        if self.model.config.model_type in UNBROKEN:
            where = torch.arange(int(where[0]), int(where[-1]) + 1, device=where.device)
        with capturing(layers) as captured:
            self.model(**prepared, use_cache=False, logits_to_keep=1)
        seen = tuple(TraceLayer(captured.query[at][0], captured.key[at][0], captured.scale[at]) for at in layers)
        return Trace(seen, where)

    def layer_range(self, first: int, last: int | None) -> range:
        """The layers from first to last, inclusive; None is the model's last.

        Raises:
            BackendError: The model has no such layers.
        """
        end = self.layers - 1 if last is None else last
        if not 0 <= first <= end < self.layers:
            raise BackendError(
                f"a trace asks for layers {first} to {'the last' if last is None else last}; the model has layers 0 to {self.layers - 1}. "
                "Set first_layer and last_layer of the attribution within them."
            )
        return range(first, end + 1)

    def is_visual(self, ids: torch.Tensor) -> torch.Tensor:
        """Where token ids (N,) are image or video placeholders, (N,) bool."""
        names = ("image_token_id", "video_token_id")
        tokens = [token for name in names if (token := getattr(self.model.config, name, None)) is not None]
        return torch.isin(ids, torch.tensor(tokens, device=ids.device))

    def blocks(self, inputs: Mapping[str, Any]) -> list[VisualBlock]:
        """The visual blocks of prepared inputs of a Qwen family: images in order, or videos in order; slots, where text parts them."""
        vision = self.model.config.vision_config
        merge = vision.spatial_merge_size
        per_second = getattr(vision, "tokens_per_second", None)
        images, videos = _grids(inputs, "image_grid_thw"), _grids(inputs, "video_grid_thw")
        if images and videos:
            raise BackendError("the prompt holds images and videos; wanted one or the other, or position_ids among the inputs.")
        if self.model.config.model_type == "qwen3_vl":  # every slot stands alone, text between them
            videos = [[1, *size] for slots, *size in videos for _ in range(slots)]
        seconds = torch.as_tensor(inputs.get("second_per_grid_ts", [1.0] * len(videos))).tolist()
        steps = [span * per_second if self.model.config.model_type == "qwen2_5_vl" and per_second else 1.0 for span in seconds]
        return [
            VisualBlock(slots, rows // merge, columns // merge, step)
            for (slots, rows, columns), step in zip([*images, *videos], steps or [1.0] * len(images), strict=True)
        ]

    def close(self) -> None:
        """Give the language model its own attention setting back; a second call does nothing."""
        if not self._closed:
            restore(self.model, self._before)
            self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _prepare(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        if self._closed:
            raise BackendError("this backend is closed; load the model again.")
        setting = self.model.config.text_config._attn_implementation
        if setting not in NAMES.values():
            raise BackendError(f'the model\'s attention was set to "{setting}" meanwhile, so nothing is captured; load the model again.')
        if "input_ids" not in inputs:
            raise BackendError(
                f"inputs hold no input_ids, only {', '.join(inputs) or 'nothing'}; wanted what the processor gives for a prompt."
            )
        prepared = {name: torch.as_tensor(value).to(self.device) for name, value in inputs.items()}
        ids = prepared["input_ids"]
        if ids.ndim != 2 or len(ids) != 1:
            raise BackendError(f"input_ids have shape {tuple(ids.shape)}; wanted (1, N): one sequence, without padding.")
        if self.model.config.model_type in MROPE_FAMILIES and "position_ids" not in prepared:
            positions = mrope_positions(self.is_visual(ids[0]), self.blocks(prepared))
            prepared["position_ids"] = positions[:, None].to(self.device)
        return prepared


def load(
    model_or_path: PreTrainedModel | str | Path,
    *,
    family: str | None = None,
    revision: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
) -> HFBackend:
    """Wrap a model, or load one.

    Args:
        model_or_path: A transformers model, which keeps its device and dtype; or a local folder, a hub id or "package:NAME/FOLDER".
        family: The `model_type` that a loaded model must have; None takes any.
        revision: Commit or tag of a hub id.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        dtype: "auto", "float32", "bfloat16" or "float16".

    Raises:
        WeightsError: The weights cannot be found, read or used.
        DeviceError: The machine has no such device.
    """
    if isinstance(model_or_path, PreTrainedModel):
        return HFBackend(model_or_path)
    target = resolve_device(device)
    return HFBackend(load_model(locate(str(model_or_path), revision), family, Loading(target, resolve_dtype(dtype, target))))


def _device_of(model: PreTrainedModel) -> torch.device:
    places = getattr(model, "hf_device_map", {}).values()
    if len(places) < 2 and model.device.type != "meta":  # in one piece, it may have been moved since
        return model.device
    # With a GPU among them, what is in host memory or on the disk only waits there.
    return next((torch.device(place) for place in places if place not in WAITING), torch.device("cpu"))


def _grids(inputs: Mapping[str, Array], name: str) -> list[list[int]]:
    grids = inputs.get(name)
    return [] if grids is None else torch.as_tensor(grids).tolist()
