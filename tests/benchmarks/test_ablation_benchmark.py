"""The ablation runs, on one scene."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "ablation.py"


@pytest.mark.slow
def test_one_scene_fills_the_tables(tmp_path: Path) -> None:
    table = tmp_path / "ablation.md"
    small = ["--scenes", "1", "--masks", "1", "--set", "sampler.frames=2", "--set", "segmenter=attention", "--output", str(table)]
    alone = os.environ | {"OMP_NUM_THREADS": "1"}  # tensors are small: threads would only wait for each other
    done = subprocess.run([sys.executable, str(SCRIPT), *small], env=alone, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    text = table.read_text(encoding="utf-8")
    assert "nan" not in text
    rows = [line for line in text.splitlines() if line.startswith("| V-Max, layer")]
    assert len(rows) == 12  # pointing and correlation, six layers
    assert sum(line.startswith("| ") and " from layer " in line for line in text.splitlines()) == 12  # each thing changed alone
