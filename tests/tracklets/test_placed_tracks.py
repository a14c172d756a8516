"""Tracks that are placed among many frames, as every candidate of a long clip's windows is."""

from __future__ import annotations

import numpy as np
import pytest

from gazecut.errors import ShapeError
from gazecut.values import MaskTrack

FOREVER = 10**15  # frames; whoever walks through them does not come to an end


def test_a_track_is_placed_without_a_walk_through_all_frames() -> None:
    masks = np.ones((2, 3, 4), bool)
    track = MaskTrack.from_masks(masks, (3, 4)).placed(FOREVER - 5, FOREVER)
    assert len(track) == FOREVER
    assert [track.codes[FOREVER - place] is not None for place in (6, 5, 4, 3)] == [False, True, True, False]
    np.testing.assert_array_equal(track.mask(FOREVER - 4), masks[1])


def test_what_is_placed_is_checked_all_the_same() -> None:
    track = MaskTrack.from_masks(np.ones((2, 3, 4), bool), (3, 4)).placed(7, FOREVER)
    with pytest.raises(ShapeError, match=r"mask track, frame 7: code of size \(3, 4\); wanted \(4, 3\)"):
        MaskTrack((4, 3), track.codes)
