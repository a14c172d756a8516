"""Options of the components in this package."""

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from gazecut.options import Options

Dtype = Literal["auto", "float32", "bfloat16", "float16"]
HeadWeighting = Literal["vision-max", "max", "mean"]
Kernel = Literal["auto", "chunked", "fused", "reference"]


class VideoViewOptions(Options):
    """All sampled frames in one sequence."""

    tokens_per_frame: Annotated[int, Field(ge=4)] = 400
    """Most visual tokens of one temporal slot (two frames). Frames keep their aspect and are resized to fit."""

    batch: Annotated[int, Field(ge=1)] = 16
    """Questions read in one forward pass; more take turns, and so do those that are together longer than the prefix."""


class FrameViewOptions(Options):
    """Each sampled frame in a sequence of its own."""

    scale: Annotated[int, Field(ge=1)] = 2
    """How much finer the grid is than the video view's, exactly, along each side."""

    batch: Annotated[int, Field(ge=1)] = 8
    """Frames in one forward pass."""

    questions: Annotated[int, Field(ge=1)] = 16
    """Questions read about them in one forward pass; more take turns, and so do those that are together longer than the prefix."""


class ViewsOptions(Options):
    """Sizes and batches of the two views."""

    video: VideoViewOptions = VideoViewOptions()
    """All sampled frames in one sequence, at low resolution."""

    frame: FrameViewOptions = FrameViewOptions()
    """Each sampled frame in its own sequence, at higher resolution."""


class Qwen2VLConfig(Options):
    """Options of `qwen2-vl`."""

    weights: Annotated[str, Field(min_length=1)]
    """Checkpoint: a local folder, a hub id ("Qwen/Qwen2-VL-7B-Instruct"), or "package:NAME/FOLDER" inside an installed package."""

    revision: str | None = None
    """Commit or tag of a hub id; none is the newest that the hub, or the cache when offline, has."""

    dtype: Dtype = "auto"
    """Floating type of the model; auto is bfloat16 on a GPU and float32 on a CPU. Attribution always computes in float32 or wider."""

    view: Literal["video", "frame"] = "video"
    """The view that a fusion chain without `complementary` asks."""

    views: ViewsOptions = ViewsOptions()
    """Sizes and batches of the two views."""

    max_new_tokens: Annotated[int, Field(ge=1)] = 128
    """Longest answer, in tokens."""

    cache_gib: Annotated[float, Field(ge=0)] = 8.0
    """Memory of the device for visual prefixes that may be asked again, in GiB: keys, values and queries of all open sessions. What does
    not fit moves to host memory. Never changes the result."""

    host_cache_gib: Annotated[float, Field(ge=0)] = 16.0
    """Host memory for what does not fit on the device, in GiB. What does not fit there either is made again when it is needed. Without
    meaning where the model computes on the host itself."""

    system: str | None = None
    """System message; none leaves the checkpoint's chat template to its own."""


class Qwen25VLConfig(Qwen2VLConfig):
    """Options of `qwen2.5-vl`."""

    seconds_per_slot: Annotated[float, Field(gt=0)] | Literal["auto"] = "auto"
    """Time that a temporal slot spans in the model's sense of position, in seconds; auto is the clip's own time between sampled
    frames times frames per slot."""


class RolloutConfig(Options):
    """Options of `rollout`."""

    head_weighting: HeadWeighting = "vision-max"
    """How much a head counts: by its mean over rows of the largest attention on a visual token, on any token, or all alike."""

    first_layer: Annotated[int, Field(ge=0)] = 0
    """First layer of the language model that takes part, from 0."""

    last_layer: Annotated[int, Field(ge=0)] | None = None
    """Last layer that takes part, inclusive; none is the model's last."""

    row: Literal["last-prompt", "first-answer"] = "last-prompt"
    """Whose attention is followed: the last token of the prompt, which predicts the first answer token, or that answer token."""

    kernel: Kernel = "auto"
    """How attention is worked out again: in chunks of query rows on any device, by one fused kernel on a CUDA device, or as whole
    matrices for comparison; auto is fused for half precision on a CUDA device, else chunked. Never changes the result."""

    chunk: Annotated[int, Field(ge=1)] | None = None
    """Query rows at a time; none chooses by the number of tokens, heads and the device. Never changes the result."""

    @field_validator("last_layer")
    @classmethod
    def _is_not_before_the_first(cls, last: int | None, info: ValidationInfo) -> int | None:
        first = info.data.get("first_layer")
        if last is not None and first is not None and last < first:
            raise ValueError(f"{last} is before first_layer, {first}; wanted {first} or more")
        return last
