"""Options of the fusion strategies."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from gazecut.options import Options

View = Literal["video", "frame"]
Place = Literal["before-text", "before-vision", "after-text"]


class Kernel(Options):
    """Side of the Gaussian kernel by view, in cells; odd, 1 for no smoothing."""

    video: int = Field(default=3, ge=1)
    """On the maps of the video view."""

    frame: int = Field(default=7, ge=1)
    """On the maps of the frame view."""

    @field_validator("video", "frame")
    @classmethod
    def _odd(cls, side: int) -> int:
        if side % 2 == 0:
            raise ValueError(f"{side} is even; a kernel has a centre, so its side is odd")
        return side


class ContrastiveOptions(Options):
    """Options of fusion `contrastive`."""

    sigma: float = Field(default=1.0, gt=0)
    """Standard deviation of the Gaussian smoothing, in cells."""

    kernel: Kernel = Kernel()
    """Side of the Gaussian kernel by view."""

    strength: float = Field(default=1.0, ge=0)
    """Share of the background map that is subtracted; 0 smooths and normalises only, and asks no background question."""


class ComplementaryOptions(Options):
    """Options of fusion `complementary`."""

    views: list[View] = Field(default=["video", "frame"], min_length=1)
    """Views that are asked."""

    fold: Literal["average", "video", "frame"] = "average"
    """What becomes the fused map: the mean of the views, or one of them alone."""

    @field_validator("views")
    @classmethod
    def _once(cls, views: list[View]) -> list[View]:
        twice = [view for place, view in enumerate(views) if view in views[:place]]
        if twice:
            raise ValueError(f"views names {twice[0]} twice; wanted each view once")
        return views

    @model_validator(mode="after")
    def _folds_what_it_asks(self) -> Self:
        if self.fold not in ("average", *self.views):
            raise ValueError(
                f"fold is {self.fold}, which is not among the views that are asked: {', '.join(self.views)}; wanted one of them"
            )
        return self


Address = Annotated[str, Field(min_length=1)]


class SoftPromptWeights(Options):
    """Folders of soft prompts by view."""

    video: Address | None = None
    """For the video view: a local folder, a hub id ("owner/name"), or "package:NAME/FOLDER" inside an installed package. A folder without
    soft prompts of its own may hold them in `video/`. None steers no question of this view."""

    frame: Address | None = None
    """The same for the frame view, and `frame/`."""

    @model_validator(mode="after")
    def _steers_something(self) -> Self:
        if not self.by_view():
            raise ValueError("names no soft prompts; wanted video, frame or both: {video: FOLDER, frame: FOLDER}")
        return self

    def by_view(self) -> dict[View, str]:
        """Views that are steered, with their addresses."""
        named: dict[View, str | None] = {"video": self.video, "frame": self.frame}
        return {view: address for view, address in named.items() if address is not None}


class SoftPromptOptions(Options):
    """Options of fusion `soft-prompt`."""

    weights: SoftPromptWeights
    """Soft prompts of each view. They need not be there yet: training them takes the same recipe."""

    revision: str | None = None
    """Commit or tag of hub ids; none is the newest that the hub, or the cache when offline, has."""

    place: Place = "before-text"
    """Where they stand: behind the visual tokens and before the question, after it, or before the visual tokens. The last makes the
    visual prefix their own; the others share it with questions that are not steered."""


class SoftPromptTrainerOptions(Options):
    """Options of trainer `soft-prompt`; defaults are SteerSeg's where the paper gives them."""

    view: Literal["video", "frame", "both"] = "both"
    """The view whose soft prompts are trained; both trains one after the other."""

    tokens: int = Field(default=64, ge=1)
    """Number of soft tokens P."""

    text: str = Field(default="Look at the object that the expression refers to, at all of it and at nothing else.", min_length=1)
    """Text whose token embeddings they start from, repeated and then cut to P tokens."""

    noise: float = Field(default=0.0, ge=0)
    """Standard deviation of what is added to them at the start, in standard deviations of those embeddings."""

    place: Place | None = None
    """Where they stand; none takes the place of the recipe's fusion.soft-prompt, or before-text where the recipe has none."""

    prompts: str | None = None
    """Prompt set of the question; none takes the recipe's, or steerseg-plain where the recipe's question wants attributes first."""

    steps: int = Field(default=6500, ge=1)
    """Optimizer steps."""

    batch: int = Field(default=4, ge=1)
    """Clips per step; each adds its gradient before the next is opened, so more cost time and no memory."""

    expressions: int = Field(default=1, ge=1)
    """Questions asked about each of them, from one prefix."""

    frames: int = Field(default=4, ge=1)
    """For the frame view: how many of the sampled frames are looked at in a step, drawn anew in each epoch (but see `keep_open`)."""

    lr: float = Field(default=5e-4, gt=0)
    """Learning rate of AdamW after the warm-up; falls to 0 along a cosine."""

    warmup: int = Field(default=100, ge=0)
    """Steps over which the rate rises."""

    weight_decay: float = Field(default=0.0, ge=0)
    """Weight decay of AdamW."""

    clip_norm: float = Field(default=1.0, gt=0)
    """Longest gradient; a longer one is shortened to it."""

    bce: float = Field(default=1.0, ge=0)
    """Weight of the binary cross-entropy between the map, brought to [0, 1], and the truth on its grid."""

    dice: float = Field(default=1.0, ge=0)
    """Weight of the Dice loss between the two."""

    correlation: float = Field(default=0.0, ge=0)
    """Weight of 1 minus their correlation."""

    answers: float = Field(default=0.0, ge=0)
    """Weight of the divergence of the first answer token's distribution from that without soft prompts."""

    least_answers: float = Field(default=0.0, ge=0, le=1)
    """Share of validation answers that must begin as without soft prompts for a state to be kept as the best."""

    validation: int = Field(default=32, ge=1)
    """Clips that are never trained on; all their expressions up to `validation_expressions` are asked."""

    validation_expressions: int = Field(default=2, ge=1)
    """Expressions of each of them."""

    validate_every: int = Field(default=250, ge=1)
    """Steps between validations; the state with the highest correlation is kept."""

    checkpoint_every: int = Field(default=100, ge=1)
    """Steps between checkpoints, from which a run goes on exactly."""

    pictures: int = Field(default=3, ge=0)
    """Validation clips whose maps are drawn at every validation."""

    scenes: int = Field(default=80_000, ge=1, le=80_000)
    """For the pocket world: how many of its training scenes are used."""

    keep_open: int = Field(default=0, ge=0)
    """Clips of each split whose visual prefix stays in memory for the next time that they are drawn. Above 0, the frames that the frame
    view looks at are drawn once for each clip."""

    precision: Literal["model", "bf16"] = "model"
    """Matrix products in the model's own floating type, or in bfloat16 by autocast. Losses and soft prompts are float32."""

    seed: int | None = Field(default=None, ge=0)
    """Seed of initial noise, draws and validation split; none takes that of the run."""

    @model_validator(mode="after")
    def _learns_something(self) -> Self:
        if not self.bce + self.dice + self.correlation:
            raise ValueError("bce, dice and correlation are all 0; wanted a loss on the map, one of them above 0")
        return self
