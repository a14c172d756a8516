"""The SAM 2 stage beside the official order of work, on one random model: key-frame loop, then the way over the whole clip.

    python benchmarks/segment.py                     Hiera-tiny at 256 px on the CPU, one thread, half an hour
    python benchmarks/segment.py --scenes alike      one scene only; the other's figures stay
    python benchmarks/segment.py --device cuda       also Hiera-large at 1024 px on the GPU: 100 frames, 5 objects

Scenes differ in how alike the masks of a frame's points are. `alike`: as when one thing stands out, one of them suppresses the others
and is followed. `apart`: nearly every point is a thing of its own, and following takes most of the time, which no order of work can save.

The official order is transformers' own session used as the authors use theirs: one point a call, all masks so far brought to full
size after each; objects one by one; features of one frame kept, so that every key frame encodes its neighbours again; overlaps pair
by pair. The loop around both is the same. Table to results/segment.md, figures to results/segment.json.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from official_order import OfficialOrder
from pages import publish
from transformers import Sam2VideoModel

from gazecut.clip import open_clip
from gazecut.manifest import machine_name
from gazecut.protocols import Clip, SegmenterSession
from gazecut.tracklets import KeyFrames, find_tracklets, follow_kept
from gazecut.values import HeatMaps, Points, Tracklet, Tracklets
from gazecut.work import Work
from gazecut_segmenter.config import Sam2HfOptions
from gazecut_segmenter.sam2_convert import transformers_config
from gazecut_segmenter.sam2_hf import HfNetwork
from gazecut_segmenter.sam2_session import Sam2Session
from gazecut_segmenter.sam2_sizes import SIZES, Model

CLIP_SIZE = (480, 854)
GRID = 16  # cells along each side of the maps
SUPPRESS_ABOVE = 0.7
SCENES = {"alike": 0.005, "apart": 1.0}  # scale of the code of a prompt's place: how much two places differ to the decoder
CARD = {"size": "large", "side": 1024, "frames": 100, "objects": 5}
OPTIONS = Sam2HfOptions(weights="random", fill_holes=0)


@dataclass
class Figures:
    """What one way of working took.

    Attributes:
        find: Seconds of the key-frame loop.
        follow: Seconds of the way over the whole clip.
        encodings: Frames that went through the image encoder.
        tracklets: What the loop left.
    """

    find: float
    follow: float
    encodings: int
    tracklets: int


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="cuda adds its own table (default cpu)")
    parser.add_argument("--side", type=int, default=256, help="pixels of the model's input on the CPU (default 256)")
    parser.add_argument("--frames", type=int, default=40, help="frames of the clip on the CPU (default 40)")
    parser.add_argument("--key-frames", type=int, default=16, help="sampled frames (default 16)")
    parser.add_argument("--points", type=int, default=8, help="points on each of them (default 8)")
    parser.add_argument("--scenes", nargs="+", choices=sorted(SCENES), default=list(SCENES), help="which to measure (default both)")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results", help="folder of the results")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    given = {name: getattr(arguments, name) for name in ("side", "frames", "key_frames", "points")}
    measured_now = {scene: compared(scene, **given) for scene in arguments.scenes}
    file = arguments.output / "segment.json"
    before = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    kept = before if (before.get("machine"), before.get("given")) == (machine_name(), given) else {}
    scenes = {**kept.get("scenes", {}), **measured_now}
    card = on_a_card(torch.device("cuda"), **CARD) if arguments.device == "cuda" else kept.get("card", [])
    figures = {"machine": machine_name(), "given": given, "scenes": scenes, "card": card}
    arguments.output.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    publish(report(given, scenes, card), file.with_suffix(".md"))


def compared(scene: str, side: int, frames: int, key_frames: int, points: int) -> dict[str, dict[str, float]]:
    """Both ways of working on the same model, clip, maps and points: their `Figures`, in CPU seconds."""
    model, clip, work = random_model("tiny", side, SCENES[scene]), moving_blocks(frames), Work()
    key = random_points(np.linspace(0, frames - 1, key_frames).astype(np.int64), points)
    official = OfficialOrder(clip, model, key.indices.tolist())
    ways: dict[str, tuple[SegmenterSession, Any]] = {
        "official": (official, lambda: official.encodings),
        "ours": (Sam2Session(clip, HfNetwork(model), OPTIONS, work), lambda: work.segmenter_encodings),
    }
    return {way: asdict(measured(session, key, frames, encodings)) for way, (session, encodings) in ways.items()}


def measured(session: SegmenterSession, key: KeyFrames, frames: int, encodings: Any) -> Figures:
    """The stage with one session; it is closed afterwards."""
    with session:
        start = time.process_time()
        found = find_tracklets(session, key, SUPPRESS_ABOVE)
        loop = time.process_time()
        follow_kept(session, chosen(found), key, frames)
        return Figures(loop - start, time.process_time() - loop, encodings(), len(found))


def chosen(found: Tracklets) -> list[Tracklet]:
    """The best tracklet of each key frame: in place of a judgement by the attention, of which random masks know nothing."""
    best: dict[int, Tracklet] = {}
    for each in sorted(found, key=lambda each: -each.object_score):
        best.setdefault(each.prompt_frame, each)
    return list(best.values())


def random_model(size: str, side: int, places: float = 1.0) -> Sam2VideoModel:
    """A SAM 2.1 of a published size on another input, its weights random and its objects always there.

    Args:
        size: As the hub has it.
        side: Pixels of its input.
        places: Scale of the code of a prompt's place.
    """
    config: Any = transformers_config(Model(next(each for each in SIZES if each.name == size), "2.1"), "a random model")
    cells = side // 16
    config.image_size = config.prompt_encoder_config.image_size = side
    config.vision_config.backbone_config.image_size = [side, side]
    config.vision_config.backbone_feature_sizes = [[4 * cells] * 2, [2 * cells] * 2, [cells] * 2]
    config.memory_attention_rope_feat_sizes = [cells, cells]
    torch.manual_seed(0)
    model = Sam2VideoModel(config).eval()
    with torch.no_grad():
        for values in model.mask_decoder.parameters():
            if values.ndim > 1:
                values.normal_(0, values[0].numel() ** -0.5)  # or masks would be of one sign
        model.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(10)
        model.prompt_encoder.shared_embedding.positional_embedding.mul_(places)
    return model


def moving_blocks(frames: int) -> Clip:
    """Blocks of colour that move 6 px a frame."""
    ground = np.random.default_rng(0).integers(0, 256, (CLIP_SIZE[0] // 20, 43, 3), dtype=np.uint8)
    wide = np.kron(ground, np.ones((20, 20, 1), np.uint8))[:, : CLIP_SIZE[1]]
    return open_clip(np.stack([np.roll(wide, 6 * index, axis=1) for index in range(frames)]))


def random_points(indices: np.ndarray, count: int) -> KeyFrames:
    """So many points on each key frame, on the highest cells of random maps."""
    heat = np.random.default_rng(1).random((len(indices), GRID, GRID), dtype=np.float32)
    rows = []
    for frame, each in enumerate(heat):
        for cell in np.sort(np.argsort(-each, axis=None)[:count]):
            row, column = divmod(int(cell), GRID)
            rows.append((frame, (column + 0.5) / GRID, (row + 0.5) / GRID, each[row, column]))
    return KeyFrames(indices, HeatMaps(heat), Points.single_clicks(np.array(rows)))


def on_a_card(device: torch.device, size: str, side: int, frames: int, objects: int) -> list[dict[str, Any]]:
    """Seconds for a clip with so many objects, from their masks on the first frame, in both precisions; the second run counts."""
    network, clip, rows = HfNetwork(random_model(size, side).to(device)), moving_blocks(frames), []
    masks = np.zeros((objects, *CLIP_SIZE), bool)
    for number, mask in enumerate(masks):
        mask[100:300, 150 * number : 150 * number + 120] = True
    heat = HeatMaps(np.zeros((1, GRID, GRID), np.float32))
    for precision in ("float32", "bfloat16"):
        options = OPTIONS.model_copy(update={"precision": precision, "fill_holes": 8})
        seconds = 0.0
        for _ in range(2):
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(device)
            with Sam2Session(clip, network, options, Work()) as session:
                start = time.perf_counter()
                for _ in session.propagate(0, masks, range(frames), heat, np.array([0])):
                    pass
                seconds = time.perf_counter() - start
        peak = torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else 0.0
        rows.append({"precision": precision, "seconds": seconds, "peak_gib": peak, "device": _called(device)})
    return rows


def _called(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else machine_name()


def report(given: dict[str, int], scenes: dict[str, dict[str, dict[str, float]]], card: Sequence[dict[str, Any]]) -> str:
    """The tables as Markdown, with how they were measured."""
    lines = [
        "# The SAM 2 stage beside the official order of work",
        "",
        f"`python benchmarks/segment.py` on {machine_name()}, one thread, CPU seconds, one run of each.",
        f"Hiera-tiny with random weights at {given['side']} px; {given['frames']} frames of {CLIP_SIZE[1]}x{CLIP_SIZE[0]}, "
        f"{given['key_frames']} key frames with {given['points']} points each, the best tracklet of each key frame followed over the clip.",
        "",
        "| scene | order of work | key frames (s) | whole clip (s) | together (s) | frames encoded | tracklets |",
        "|---|---|---|---|---|---|---|",
    ]
    for scene in (scene for scene in SCENES if scene in scenes):
        official, ours = scenes[scene]["official"], scenes[scene]["ours"]
        for way, each in (("official", official), ("ours", ours)):
            seconds = f"{each['find']:.1f} | {each['follow']:.1f} | {each['find'] + each['follow']:.1f}"
            lines.append(f"| {scene} | {way} | {seconds} | {each['encodings']} | {each['tracklets']} |")
        stages = [official[stage] / ours[stage] for stage in ("find", "follow")]
        whole = (official["find"] + official["follow"]) / (ours["find"] + ours["follow"])
        encodings = official["encodings"] / ours["encodings"]
        lines.append(f"| {scene} | **official : ours** | {stages[0]:.1f} | {stages[1]:.1f} | **{whole:.1f}** | {encodings:.1f} | |")
    lines += [
        "",
        "Scene `alike`: the masks of a frame's points are alike, as when one thing stands out; one of them is followed.",
        "Scene `apart`: nearly every point is a thing of its own; following takes most of the time, and the same work in any order.",
        "",
        "The official order is transformers' own session used as the authors use theirs: one point a call, every mask so far brought to",
        "full size after each, objects one by one, features of one frame kept, overlaps pair by pair. The loop around both is ours.",
        "",
    ]
    if card:
        lines += [
            f"## Hiera-{CARD['size']} at {CARD['side']} px",
            "",
            f"{CARD['objects']} objects, from masks on the first frame to masks on all {CARD['frames']} ({CLIP_SIZE[1]}x{CLIP_SIZE[0]}); "
            "resizing of frames and transfers included; the second of two runs.",
            "",
            "| device | precision | clip (s) | frames per second | peak (GiB) |",
            "|---|---|---|---|---|",
            *[
                f"| {row['device']} | {row['precision']} | {row['seconds']:.2f} | {int(CARD['frames']) / row['seconds']:.1f} "
                f"| {row['peak_gib']:.1f} |"
                for row in card
            ],
            "",
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
