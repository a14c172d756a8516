"""Options of the fusion strategies that contradict each other are refused where the recipe is read."""

from __future__ import annotations

from typing import Any

import pytest

from gazecut.errors import RecipeError
from gazecut.pipeline import Pipeline


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"views": ["video"], "fold": "frame"}, "fold is frame, which is not among the views that are asked: video"),
        ({"views": ["frame", "frame"]}, "views names frame twice"),
    ],
)
def test_contradictions_of_complementary(options: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        Pipeline.from_recipe("pocket", overrides={"fusion": [{"use": "complementary", **options}]})


@pytest.mark.parametrize(
    "options", [{"views": ["video"]}, {"views": ["frame"], "fold": "frame"}, {"views": ["frame", "video"], "fold": "video"}]
)
def test_what_goes_together_is_taken(options: dict[str, Any]) -> None:
    Pipeline.from_recipe("pocket", overrides={"fusion": [{"use": "complementary", **options}]})
