"""Without the extra `mllm` everything light works, and what needs it says so. Torch is hidden, as if it were not installed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

HIDE = """
import sys
from importlib.machinery import PathFinder

HIDDEN = {"torch", "torchvision", "transformers", "accelerate", "tokenizers"}

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.split(".")[0] in HIDDEN else PathFinder.find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Without
"""

SEGMENT_MAPS = """
import numpy as np
from gazecut import Pipeline
from gazecut.world import render

scene = render(90_001, frames=4, size=64)
wanted = scene.truth(scene.expressions[0])
maps = wanted.reshape(4, 8, 8, 8, 8).mean(axis=(2, 4)).astype(np.float32)
pipeline = Pipeline.from_recipe("pocket", overrides={"segmenter": SEGMENTER})
result = pipeline.segment_maps(scene.frames, maps, np.arange(4))
assert (result.masks & wanted).any()
result.save("out")
"""


def python(code: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", HIDE + code, *arguments], cwd=folder, capture_output=True, text=True, check=False)


COMMAND = "from gazecut.cli import main; main()"


def test_the_listing_says_which_extra_is_missing(tmp_path: Path) -> None:
    done = python(COMMAND, tmp_path, "plugins", "--json")
    assert done.returncode == 0, done.stderr
    states = {(row["kind"], row["name"]): row["state"] for row in json.loads(done.stdout)}
    assert states["mllm", "qwen2.5-vl"] == "needs gazecut[mllm]"
    assert states["selector", "threshold"] == states["segmenter", "classical"] == "ready"


def test_recipes_that_need_it_can_be_checked(tmp_path: Path) -> None:
    assert python(COMMAND, tmp_path, "recipe", "check", "decaf-qwen2.5-vl-7b").returncode == 0


def test_a_command_that_needs_it_names_it_and_writes_nothing(tmp_path: Path) -> None:
    assert python(COMMAND, tmp_path, "world", "render", "--frames", "2", "--size", "64").returncode == 0
    done = python(COMMAND, tmp_path, "segment", "world/90000/clip.mp4", "the red circle")
    assert done.returncode == 2
    assert done.stderr.startswith('gazecut: mllm "qwen2.5-vl" needs gazecut[mllm]: no module named ')
    assert done.stderr.endswith('Install it: pip install "gazecut[mllm]"\n')
    assert not (tmp_path / "out").exists()


def test_masks_come_from_given_maps(tmp_path: Path) -> None:
    for segmenter in ("attention", "classical"):
        done = python(SEGMENT_MAPS.replace("SEGMENTER", repr(segmenter)), tmp_path)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "out" / "masks.json").is_file()
