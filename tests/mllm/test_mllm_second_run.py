"""The pocket model answers once: another option after the maps loads no model, and not even the library that runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gazecut import Pipeline
from gazecut.world import HELD_OUT, render

CHANGES = ("fusion.contrastive.sigma=2", "selector.threshold=0.7", "segmenter.figure=0.7", "scorer.keep.above=0.7")
CLASSICAL = "segmenter=classical"  # the recipe's own is a network, which needs the library
ASKING = ("vision_runs", "prefills", "prompt_tokens", "generated_tokens", "rollout_passes")
AGAIN = """
import json, sys
import numpy as np
from gazecut import Pipeline
clip, found = np.load(sys.argv[1]), []
for change in sys.argv[4:]:
    result = Pipeline.from_recipe("pocket", overrides=[sys.argv[3], change], device="cpu").segment(clip, sys.argv[2])
    found.append(result.manifest["measured"]["work"])
print(json.dumps([found, sorted({"torch", "transformers", "gazecut_mllm.qwen"} & set(sys.modules))]))
"""


def test_another_option_after_the_maps_imports_no_torch(tmp_path: Path) -> None:
    scene = render(HELD_OUT, frames=4, size=128)
    np.save(tmp_path / "clip.npy", scene.frames)
    text = scene.expressions[0].text
    work = Pipeline.from_recipe("pocket", overrides=[CLASSICAL], device="cpu").segment(scene.frames, text).manifest["measured"]["work"]
    assert all(work[name] > 0 for name in ASKING)
    command = [sys.executable, "-c", AGAIN, str(tmp_path / "clip.npy"), text, CLASSICAL, *CHANGES]
    found, imported = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert imported == []
    for again in found:
        assert [again[name] for name in ASKING] == [0] * len(ASKING)
        assert again["cache_hits"] >= 5  # four maps and the category


@pytest.mark.parametrize("expressions", [1, 2])
def test_nine_thresholds_ask_as_much_as_one(expressions: int) -> None:
    scene = render(HELD_OUT + 1, frames=4, size=128)
    texts = [expression.text for expression in scene.expressions[:expressions]]
    asked: list[list[int]] = []
    for step in range(1, 10):
        pipeline = Pipeline.from_recipe("pocket", overrides={"scorer.keep.above": step / 10}, device="cpu")
        with pipeline.open(scene.frames) as session:
            work = session.segment_many(texts)[-1].manifest["measured"]["work"]
        asked.append([work[name] for name in ASKING])
    assert all(asked[0])
    assert asked[1:] == [[0] * len(ASKING)] * 8
