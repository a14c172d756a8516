"""Options of the components in this package."""

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from gazecut.options import Options

Dtype = Literal["auto", "float32", "bfloat16", "float16"]
HeadWeighting = Literal["vision-max", "max", "mean"]
Attention = Literal["auto", "sdpa", "flash", "eager"]
Quantization = Literal["none", "4bit", "8bit"]
DeviceMap = Literal["auto", "balanced", "balanced_low_0", "sequential"] | dict[str, str]
Kernel = Literal["auto", "chunked", "fused", "reference"]

INTERNVL3_SYSTEM = "你是书生·万象，英文名是InternVL，是由上海人工智能实验室、清华大学及多家合作单位联合开发的多模态大语言模型。"


class VideoViewOptions(Options):
    """All sampled frames in one sequence."""

    batch: Annotated[int, Field(ge=1)] = 16
    """Questions read in one forward pass; more take turns, and so do those that are together longer than the prefix."""


class FrameViewOptions(Options):
    """Each sampled frame in a sequence of its own."""

    batch: Annotated[int, Field(ge=1)] = 8
    """Frames in one forward pass."""

    questions: Annotated[int, Field(ge=1)] = 16
    """Questions read about them in one forward pass; more take turns, and so do those that are together longer than the prefix."""


class ViewsOptions(Options):
    """Batches of the two views; families add sizes."""

    video: VideoViewOptions = VideoViewOptions()
    """All sampled frames in one sequence, at low resolution."""

    frame: FrameViewOptions = FrameViewOptions()
    """Each sampled frame in its own sequence, at higher resolution."""


class MLLMOptions(Options):
    """Options of every family; a family's own are a subclass."""

    weights: Annotated[str, Field(min_length=1)]
    """Checkpoint: a local folder, a hub id ("Qwen/Qwen2-VL-7B-Instruct"), or "package:NAME/FOLDER" inside an installed package."""

    revision: str | None = None
    """Commit or tag of a hub id; none is the newest that the hub, or the cache when offline, has."""

    dtype: Dtype = "auto"
    """Floating type of the model; auto is bfloat16 on a GPU and float32 on a CPU. Attribution always computes in float32 or wider."""

    attention: Attention = "auto"
    """How the language model's attention is computed: by torch (sdpa), by flash-attn (extra gazecut[flash]; half precision on a CUDA
    device), or as whole matrices (eager), for comparison; auto is flash-attn where it can be used, else sdpa. Traces are the same."""

    quantization: Quantization = "none"
    """Weights in fewer bits, by bitsandbytes (extra gazecut[quantized]): 4bit is nf4, computed in `dtype`. Changes the results."""

    device_map: DeviceMap | None = None
    """Where the parts of a model are that is too large for one device, as transformers takes it; none puts all of it on the device of
    the run."""

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


class QwenVideoViewOptions(VideoViewOptions):
    """All sampled frames in one sequence."""

    tokens_per_frame: Annotated[int, Field(ge=4)] = 400
    """Most visual tokens of one temporal slot (two frames). Frames keep their aspect and are resized to fit."""


class QwenFrameViewOptions(FrameViewOptions):
    """Each sampled frame in a sequence of its own."""

    scale: Annotated[int, Field(ge=1)] = 2
    """How much finer the grid is than the video view's, exactly, along each side."""


class QwenViewsOptions(ViewsOptions):
    """Sizes and batches of the two views."""

    video: QwenVideoViewOptions = QwenVideoViewOptions()
    """All sampled frames in one sequence, at low resolution."""

    frame: QwenFrameViewOptions = QwenFrameViewOptions()
    """Each sampled frame in its own sequence, at higher resolution."""


class QwenVLOptions(MLLMOptions):
    """What the options of the Qwen-VL families share."""

    views: QwenViewsOptions = QwenViewsOptions()
    """Sizes and batches of the two views."""


class Qwen2VLConfig(QwenVLOptions):
    """Options of `qwen2-vl`."""


class Qwen25VLConfig(QwenVLOptions):
    """Options of `qwen2.5-vl`."""

    seconds_per_slot: Annotated[float, Field(gt=0)] | Literal["auto"] = "auto"
    """Time that a temporal slot spans in the model's sense of position, in seconds; auto is the clip's own time between sampled
    frames times frames per slot."""


class InternVL3FrameViewOptions(FrameViewOptions):
    """Each sampled frame in a sequence of its own."""

    max_tiles: Annotated[int, Field(ge=1)] = 12
    """Most tiles that a frame is cut into. Each has as many visual tokens as a whole frame of the video view."""


class InternVL3ViewsOptions(ViewsOptions):
    """Sizes and batches of the two views; a frame of the video view is one tile."""

    frame: InternVL3FrameViewOptions = InternVL3FrameViewOptions()
    """Each sampled frame in its own sequence, at higher resolution."""


class InternVL3Config(MLLMOptions):
    """Options of `internvl3`."""

    views: InternVL3ViewsOptions = InternVL3ViewsOptions()
    """Sizes and batches of the two views."""

    system: str | None = INTERNVL3_SYSTEM
    """System message of every turn, those without the clip too; the default is the one that DecAF's code sends, in which the model says
    who made it. None leaves the checkpoint's chat template to its own, which has none."""


class LlavaOnevisionFrameViewOptions(FrameViewOptions):
    """Each sampled frame in a sequence of its own."""

    max_tiles: Annotated[int, Field(ge=1)] | None = None
    """Most tiles that a frame is laid out on; none takes every arrangement that the checkpoint knows, up to 6 x 6."""


class LlavaOnevisionViewsOptions(ViewsOptions):
    """Sizes and batches of the two views; a frame of the video view is one tile, pooled."""

    frame: LlavaOnevisionFrameViewOptions = LlavaOnevisionFrameViewOptions()
    """Each sampled frame in its own sequence, at higher resolution."""


class LlavaOnevisionConfig(MLLMOptions):
    """Options of `llava-onevision`."""

    views: LlavaOnevisionViewsOptions = LlavaOnevisionViewsOptions()
    """Sizes and batches of the two views."""

    system: str | None = "You are a helpful assistant."
    """System message of every turn, those without the clip too; the default is the one that DecAF's code sends. None leaves the
    checkpoint's chat template to its own, which has none."""


class Qwen3VLConfig(QwenVLOptions):
    """Options of `qwen3-vl`."""

    seconds_per_slot: Annotated[float, Field(gt=0)] | Literal["auto"] = "auto"
    """Time that a temporal slot spans, in seconds, for the times that the prompt names; auto is when the sampled frames really are."""


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
