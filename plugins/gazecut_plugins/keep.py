"""The keep rule that scorers share."""

from __future__ import annotations

import numpy as np

from gazecut.tracklets import keep_above
from gazecut.values import Judgement
from gazecut_plugins.config import Keep


def by_rule(scores: np.ndarray, keep: Keep, consistency: np.ndarray | None = None) -> Judgement:
    """Which of K scores stay, and why each does or does not, in the rule's own words.

    Args:
        scores: (K,) float64.
        keep: The rule.
        consistency: (K,) agreement with the attention, for scorers that tell.
    """
    kept = np.zeros(len(scores), bool)
    if keep == "best":
        kept[scores.argmax() if len(scores) else []] = True
        return Judgement(scores, kept, consistency, _said(kept, "the best", "not the best"))
    kept[keep_above(scores, keep.above, keep.otherwise == "best")] = True
    bar = f"above {keep.above:g}"
    if kept.any() and not (scores > keep.above).any():
        said = _said(kept, f"the best, as none is {bar}", f"not the best, and none is {bar}")
        return Judgement(scores, kept, consistency, said, fallback=True)
    return Judgement(scores, kept, consistency, _said(kept, bar, f"not {bar}"))


def _said(kept: np.ndarray, of_kept: str, of_dropped: str) -> tuple[str, ...]:
    return tuple(of_kept if stays else of_dropped for stays in kept)
