"""Options of the built-in segmenters."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gazecut.options import Options


class AttentionOptions(Options):
    """Options of segmenter `attention`: there are none."""


class ClassicalOptions(Options):
    """Options of segmenter `classical`."""

    longest_side: int = Field(default=480, ge=64)
    """Pixels along the longer side of the frames that it works on; masks come out at the clip's size."""

    color_side: int = Field(default=107, ge=16)
    """Pixels along the longer side of the small frames on which the colours of object and background are learned."""

    figure: float = Field(default=0.5, gt=0, le=1)
    """Where the map is object for sure: from this share of the way from Otsu's threshold up to the frame's peak."""

    ground: float = Field(default=0.5, ge=0, le=1)
    """Where the map is background for sure: below this share of Otsu's threshold."""

    neighbors: float = Field(default=0.5, ge=0, le=1)
    """Weight of the maps of the key frames before and after, carried along the flow, in a key frame's own map; 0 for none."""

    overlap: float = Field(default=0.3, gt=0, le=1)
    """Share of the smaller one that a region of a key frame's cut and an object must have in common to be the same."""

    presence: float = Field(default=0.25, ge=0, le=1)
    """Key frames whose map peaks below this share of the highest peak are taken to be without the object."""

    reach: int = Field(default=12, ge=0)
    """Frames from a key frame up to which its cut is carried, to cut the frames in between; 0 for key frames alone."""

    refine_every: int = Field(default=1, ge=0)
    """Beyond that reach, frames after which a followed mask's own outline is cut anew; 0 for never."""

    band: int = Field(default=4, ge=1)
    """Pixels to either side of a carried outline that such cuts may change, at working resolution."""

    memory: int = Field(default=256, ge=16)
    """MiB for reduced frames, flow and cuts that are kept for the next question."""


class Sam2HfOptions(Options):
    """Options of `sam2-hf`."""

    weights: str = Field(min_length=1)
    """Checkpoint of SAM 2 or 2.1: a local folder, a .safetensors file, a hub id ("facebook/sam2-hiera-large"), or
    "package:NAME/FOLDER" inside an installed package."""

    revision: str | None = None
    """Commit or tag of a hub id; none is the newest that the hub, or the cache when offline, has."""

    precision: Literal["float32", "bfloat16"] = "float32"
    """What matrix products are computed in: float32 gives the official numbers, bfloat16 is faster and takes half the memory."""

    fill_holes: int = Field(default=8, ge=0, le=256)
    """Holes of at most so many cells in a mask at the network's low resolution (4 px of its input) are filled; 0 fills none."""

    kept_frames: int = Field(default=128, ge=1)
    """Encoded frames kept for the next question: 16 MiB each at 1024 px in float32, half of it in bfloat16. Beyond that, the
    way over the whole clip encodes frames a second time."""


class Sam2Options(Sam2HfOptions):
    """Options of `sam2`."""

    weights: str = Field(min_length=1)
    """Checkpoint of SAM 2 or 2.1: Meta's .pt file, a .safetensors file, a folder of transformers, or a hub id."""

    config: str | None = None
    """The package's configuration, by name ("configs/sam2.1/sam2.1_hiera_l.yaml") or as a file; none takes what fits the weights."""

    hydra_overrides: tuple[str, ...] = ()
    """Changes of that configuration in Hydra's form, for example "++model.image_size=512"."""
