"""What a notebook shows of a result."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gazecut import Pipeline
from gazecut.clip.passing import PassingClip
from gazecut.notebook import HEIGHT, MOST_FRAMES
from gazecut.result import Result
from gazecut.testing import fake_pipeline


@pytest.fixture
def result(scripted: Callable, attribution: object, square: np.ndarray, square_maps: dict) -> Result:
    pipeline = Pipeline.from_recipe("pocket", overrides={"segmenter": "attention"})
    pipeline.mllm, pipeline.attribution = scripted(square_maps), attribution
    return pipeline.segment(square, "the square <b>& more</b>")


def shown(html: str) -> np.ndarray:
    encoded = re.search(r'src="data:image/jpeg;base64,([^"]+)"', html)
    assert encoded
    return np.asarray(Image.open(BytesIO(base64.b64decode(encoded[1]))))


def test_frames_stand_side_by_side_attention_above_masks_below(result: Result, square: np.ndarray) -> None:
    picture = shown(result._repr_html_()).astype(int)
    width = round(HEIGHT * 80 / 64)
    assert picture.shape == (2 * HEIGHT, MOST_FRAMES * (width + 4) - 4, 3)
    above, below = picture[:HEIGHT, :width], picture[HEIGHT:, :width]
    inside = np.s_[60:90, 30:60]  # the first frame's square, enlarged
    assert above[inside].mean() > above[:, -40:].mean() + 40  # hot is bright
    assert below[inside][..., 0].mean() > below[:, -40:, 0].mean() + 40


def test_what_was_found_in_words(result: Result) -> None:
    html = result._repr_html_()
    assert "<b>the square &lt;b&gt;&amp; more&lt;/b&gt;</b>" in html
    assert "1 object, 1 candidate, array, 8 frames of 80x64, seen as: circle" in html
    assert html.count("<tr>") == 1 + len(result.objects)


def test_nothing_found_is_said(scripted: Callable, attribution: object, square: np.ndarray, square_maps: dict) -> None:
    for maps in square_maps.values():
        maps[:] = 0.5
    pipeline = Pipeline.from_recipe("pocket", overrides={"segmenter": "attention"})
    pipeline.mllm, pipeline.attribution = scripted(square_maps), attribution
    html = pipeline.segment(square, "the square")._repr_html_()
    assert "nothing found, 0 candidates" in html
    assert "<table>" not in html


def test_frames_that_are_gone_leave_words_and_table(square: np.ndarray, tmp_path: Path) -> None:
    folder = tmp_path / "a<b"
    folder.mkdir()
    for number, image in enumerate(square):
        Image.fromarray(image).save(folder / f"{number}.png")
    result = fake_pipeline().segment(folder, "the square")
    assert "<img" in result._repr_html_()
    folder.rename(tmp_path / "elsewhere")
    html = result._repr_html_()
    assert "<img" not in html
    assert "<p>no picture: cannot read the image &quot;" in html
    assert "a&lt;b" in html
    assert "<table>" in html
    with fake_pipeline().open(PassingClip(iter(square), 8.0, "camera")) as session:
        assert "no picture: clip &quot;camera&quot; is a stream" in session.segment("the square")._repr_html_()
