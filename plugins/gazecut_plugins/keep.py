"""The keep rule that scorers share."""

from __future__ import annotations

import numpy as np

from gazecut.tracklets import keep_above
from gazecut_plugins.config import Keep


def keep_mask(scores: np.ndarray, keep: Keep) -> np.ndarray:
    """Which of K scores stay, (K,) bool."""
    kept = np.zeros(len(scores), bool)
    if keep == "best":
        kept[scores.argmax() if len(scores) else []] = True
    else:
        kept[keep_above(scores, keep.above, keep.otherwise == "best")] = True
    return kept
