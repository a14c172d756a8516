"""Clips with expressions and the truth, to train soft prompts on: scenes of the pocket world, or a folder like Ref-YouTube-VOS."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from PIL import Image

from gazecut.clip import ArrayClip
from gazecut.clip.images import ImagesClip
from gazecut.errors import DataError
from gazecut.protocols import Sampler
from gazecut.suggest import did_you_mean
from gazecut.values import Frames
from gazecut.wording import counted, one_line
from gazecut.world import render
from gazecut_fusion.config import SoftPromptTrainerOptions

POCKET_WORLD = "pocket-world"
VALIDATION_SEEDS = 80_000
"""Scenes below are for training, from here to 89,999 for validation; those from 90,000 on are never used."""

MOST_VALIDATION = 10_000
SCENE_FRAMES, SCENE_SIZE, SCENE_FPS = 8, 256, 8.0

EXPRESSIONS = Path("meta_expressions", "train", "meta_expressions.json")
IMAGES, MASKS = Path("train", "JPEGImages"), Path("train", "Annotations")
LAYOUT = f"{EXPRESSIONS}, {IMAGES}/VIDEO/FRAME.jpg and {MASKS}/VIDEO/FRAME.png (palette images whose values are object ids)"

Split = Literal["training", "validation"]


@dataclass(frozen=True, eq=False)
class Lesson:
    """The sampled frames of a clip, what can be asked about them, and the truth.

    Attributes:
        name: What to call the clip in messages.
        frames: T frames.
        texts: K expressions.
        masks: K masks (T, H, W) bool, where what each expression names is visible; none is empty.
    """

    name: str
    frames: Frames
    texts: tuple[str, ...]
    masks: tuple[np.ndarray, ...]


class Source(Protocol):
    """Clips of two splits, loaded one at a time."""

    def count(self, split: Split) -> int:
        """How many clips a split has, at least 1."""
        ...

    def load(self, split: Split, index: int) -> Lesson:
        """A clip.

        Raises:
            DataError: A file is missing or cannot be read, or an expression names nothing.
        """
        ...


def open_source(data: str, options: SoftPromptTrainerOptions, seed: int, sampler: Sampler) -> Source:
    """What to train on; only lists are read.

    Args:
        data: "pocket-world", or a folder in the layout of Ref-YouTube-VOS.
        options: How many clips are for validation.
        seed: Chooses which.
        sampler: Chooses the frames of a clip.

    Raises:
        DataError: There is no such folder, or it does not hold what it should.
    """
    if data == POCKET_WORLD:
        return PocketWorld(options, sampler)
    folder = Path(data)
    if not folder.is_dir():
        guess = did_you_mean(data, (POCKET_WORLD,))
        raise DataError(f'there is no folder "{data}" to train on{guess or "."} Wanted {POCKET_WORLD}, or a folder with {LAYOUT}.')
    return VideoFolder(folder, options.validation, seed, sampler)


class PocketWorld:
    """Rendered scenes of 8 frames of 256 px, as the pocket model knows them."""

    def __init__(self, options: SoftPromptTrainerOptions, sampler: Sampler) -> None:
        """Render nothing yet.

        Raises:
            DataError: There are fewer validation scenes than wanted.
        """
        if options.validation > MOST_VALIDATION:
            raise DataError(f"trainer.validation is {options.validation}; the pocket world has {MOST_VALIDATION} scenes for validation.")
        self._sampler = sampler
        self._counts: dict[Split, int] = {"training": options.scenes, "validation": options.validation}

    def count(self, split: Split) -> int:
        """How many scenes a split has."""
        return self._counts[split]

    def load(self, split: Split, index: int) -> Lesson:
        """Render a scene; every scene has an expression."""
        seed = index if split == "training" else VALIDATION_SEEDS + index
        scene = render(seed, frames=SCENE_FRAMES, size=SCENE_SIZE)
        clip = ArrayClip(scene.frames, name=f"scene {seed}", fps=SCENE_FPS)
        indices = self._sampler.sample(clip)
        found = [(each.text, scene.truth(each)[indices]) for each in scene.expressions]
        texts, masks = zip(*[(text, mask) for text, mask in found if mask.any()], strict=True)
        return Lesson(clip.name, Frames(scene.frames[indices], indices, clip.fps), texts, masks)


class VideoFolder:
    """Videos as image folders, with palette masks and expressions, as Ref-YouTube-VOS has them for training."""

    def __init__(self, folder: Path, validation: int, seed: int, sampler: Sampler) -> None:
        """Read the expressions.

        Args:
            folder: Where everything lies.
            validation: Videos that are not for training.
            seed: Chooses them.
            sampler: Chooses the frames of a video.

        Raises:
            DataError: The expressions are missing or broken, one names no object, frames or masks are missing, or there are too few videos.
        """
        self._folder, self._sampler = folder, sampler
        self._videos = _videos(folder)
        for name, video in self._videos.items():
            _check_files(folder, name, video)
        names = sorted(self._videos)
        if len(names) <= validation:
            raise DataError(
                f'"{folder}" has {counted(len(names), "video")} with expressions, and trainer.validation keeps {validation} of them; '
                "wanted one or more left to train on. Lower trainer.validation or give more videos."
            )
        order = [names[place] for place in np.random.default_rng(seed).permutation(len(names))]
        self._names: dict[Split, list[str]] = {"validation": sorted(order[:validation]), "training": sorted(order[validation:])}

    def count(self, split: Split) -> int:
        """How many videos a split has."""
        return len(self._names[split])

    def load(self, split: Split, index: int) -> Lesson:
        """Decode the sampled frames of a video and its masks there.

        Where nothing that an expression names shows on any of them, frames are sampled among those on which something does.

        Raises:
            DataError: A mask cannot be read, or no expression names what is visible.
            ClipError: A frame is no image.
        """
        name = self._names[split][index]
        video = self._videos[name]
        paths = self._paths(name, video.frames, IMAGES, ".jpg")
        clip = ImagesClip(paths, name)
        indices = self._sampler.sample(clip)
        visible = self._visible(name, video, indices, clip.size)
        if not visible:
            shown = self._shown(name, video, clip.size)
            indices = shown[self._sampler.sample(ImagesClip([paths[at] for at in shown], name))]
            visible = self._visible(name, video, indices, clip.size)
        frames = Frames(np.stack(list(clip.frames(indices.tolist()))), indices, clip.fps)
        texts, masks = zip(*visible, strict=True)
        return Lesson(name, frames, texts, masks)

    def _visible(self, name: str, video: _Video, indices: np.ndarray, size: tuple[int, int]) -> list[tuple[str, np.ndarray]]:
        """Expressions that name something on some frames, with its masks (T, H, W) there."""
        paths = self._paths(name, [video.frames[at] for at in indices], MASKS, ".png")
        labels = np.stack([_labels(path, size) for path in paths])
        found = [(text, np.isin(labels, objects)) for text, objects in video.expressions]
        return [(text, mask) for text, mask in found if mask.any()]

    def _shown(self, name: str, video: _Video, size: tuple[int, int]) -> np.ndarray:
        """Frames (n,) on which something shows that an expression names; one frame's labels are in memory at a time.

        Raises:
            DataError: There is none.
        """
        paths = self._paths(name, video.frames, MASKS, ".png")
        held = [set(np.unique(_labels(path, size)).tolist()) for path in paths]
        named = {number for _, objects in video.expressions for number in objects}
        shown = np.flatnonzero([not named.isdisjoint(labels) for labels in held])
        if not len(shown):
            text, objects = video.expressions[0]
            raise DataError(
                f'video "{name}": none of its {counted(len(video.expressions), "expression")} names an object of its masks, for example '
                f'"{text}" object {", ".join(map(str, objects))}; the masks hold {sorted(set().union(*held) - {0}) or "none"}. '
                f"Mend {self._folder / EXPRESSIONS} or leave the video out."
            )
        return shown

    def _paths(self, name: str, frames: Sequence[str], kind: Path, suffix: str) -> list[Path]:
        return [self._folder / kind / name / f"{frame}{suffix}" for frame in frames]


@dataclass(frozen=True)
class _Video:
    """What the expressions file says of a video: names of frames, and expressions with the ids of their objects."""

    frames: tuple[str, ...]
    expressions: tuple[tuple[str, tuple[int, ...]], ...]


def _check_files(folder: Path, name: str, video: _Video) -> None:
    """Refuse a video that lacks frames or masks, now and not hours later when its turn comes; folders are listed, no file is opened."""
    for what, kind, suffix in (("frames", IMAGES, ".jpg"), ("masks", MASKS, ".png")):
        place = folder / kind / name
        there = {file.name for file in place.iterdir()} if place.is_dir() else set()
        missing = [frame for frame in video.frames if f"{frame}{suffix}" not in there]
        if missing:
            raise DataError(
                f'video "{name}": {len(missing)} of {len(video.frames)} {what} are missing, the first at {place / missing[0]}{suffix}. '
                f"Wanted {LAYOUT}; fetch them, or leave the video out of {EXPRESSIONS}."
            )


def _videos(folder: Path) -> dict[str, _Video]:
    path = folder / EXPRESSIONS
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f'"{folder}" has no {EXPRESSIONS}. Wanted {LAYOUT}, or {POCKET_WORLD} instead of a folder.') from None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"cannot read {path}: {one_line(error)}. Fetch it again.") from error
    videos = content.get("videos") if isinstance(content, dict) else None
    if not isinstance(videos, dict) or not videos:
        raise DataError(f'{path} names no videos; wanted {{"videos": {{NAME: {{"frames": [...], "expressions": {{...}}}}}}}}.')
    return {str(name): _video(path, str(name), entry) for name, entry in videos.items()}


def _video(path: Path, name: str, entry: Any) -> _Video:
    frames, expressions = (entry.get("frames"), entry.get("expressions")) if isinstance(entry, dict) else (None, None)
    if not isinstance(frames, list) or not frames or not isinstance(expressions, dict) or not expressions:
        raise DataError(f'{path}: video "{name}" has no frames or no expressions; wanted "frames": [NAMES] and "expressions": {{...}}.')
    return _Video(tuple(map(str, frames)), tuple(_expression(path, name, key, each) for key, each in expressions.items()))


def _expression(path: Path, video: str, key: str, entry: Mapping[str, Any]) -> tuple[str, tuple[int, ...]]:
    text, objects = (entry.get("exp"), entry.get("obj_id")) if isinstance(entry, dict) else (None, None)
    ids = [str(each) for each in (objects if isinstance(objects, list) else [objects])]
    if not isinstance(text, str) or not text.strip() or not ids or not all(each.isdecimal() and int(each) > 0 for each in ids):
        raise DataError(
            f'{path}: expression {key} of video "{video}" has exp {text!r} and obj_id {objects!r}; wanted its words, '
            "and the id of its object as the masks have it, 1 or more."
        )
    return text, tuple(int(each) for each in ids)


def _labels(path: Path, size: tuple[int, int]) -> np.ndarray:
    """Object ids (H, W) of a palette image."""
    try:
        with Image.open(path) as image:
            if image.mode not in ("P", "L"):
                raise DataError(f"{path} is an image of mode {image.mode}; wanted a palette image whose values are object ids.")
            labels = np.asarray(image)
    except OSError as error:
        raise DataError(f"cannot read {path}: {one_line(error)}. Fetch it again.") from error
    if labels.shape != size:
        raise DataError(
            f"{path} is {labels.shape[1]} x {labels.shape[0]} px, its frame {size[1]} x {size[0]}; wanted masks of the size of the frames."
        )
    return labels
