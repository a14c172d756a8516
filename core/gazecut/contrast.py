"""How much the attention says that what was asked for is there at all."""

from __future__ import annotations

import numpy as np

from gazecut.interview import Inquiry


def contrast(inquiry: Inquiry) -> float | None:
    """Share of the object question's attention that exceeds the background question's, in the best frame.

    A model that is asked for something that is not there looks somewhere all the same, and maps that are brought to [0, 1] do not show how
    strongly. It then looks much as for the background, though: raw maps of the two questions differ less.

    Returns:
        In [0, 1], the mean over the views that were asked both questions; None where none was.
    """
    raw = {(query.role, query.view): reading.maps.numpy() for query, reading in inquiry.readings.items() if reading.maps is not None}
    shares = []
    for (role, view), maps in raw.items():
        behind = raw.get(("background", view))
        if role == "object" and behind is not None and behind.shape == maps.shape:
            exceeding, whole = (values.sum(axis=(1, 2)) for values in (np.maximum(maps - behind, 0), maps))
            shares.append(np.divide(exceeding, whole, out=np.zeros_like(whole), where=whole > 0).max())
    return float(np.mean(shares)) if shares else None
