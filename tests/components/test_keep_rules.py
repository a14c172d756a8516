"""The keep rules: what stays, and the words that say why."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gazecut.values import Judgement
from gazecut_plugins.config import KeepAbove
from gazecut_plugins.keep import by_rule


@pytest.mark.parametrize(
    ("keep", "scores", "kept", "reasons"),
    [
        (KeepAbove(), [0.9, 0.8, 0.81], [True, False, True], ("above 0.8", "not above 0.8", "above 0.8")),
        (KeepAbove(), [0.2, 0.3], [False, True], ("not the best, and none is above 0.8", "the best, as none is above 0.8")),
        (KeepAbove(above=0.25, otherwise="none"), [0.2, 0.1], [False, False], ("not above 0.25", "not above 0.25")),
        ("best", [0.2, 0.9], [False, True], ("not the best", "the best")),
        ("best", [], [], ()),
        (KeepAbove(), [], [], ()),
    ],
)
def test_a_rule_says_why(keep, scores, kept, reasons):
    found = by_rule(np.array(scores, np.float64), keep)
    assert isinstance(found, Judgement)
    assert (found.kept.tolist(), found.reasons) == (kept, reasons)


@given(scores=st.lists(st.floats(-2, 2), max_size=6), above=st.floats(-1, 1), otherwise=st.sampled_from(["best", "none"]))
def test_what_is_said_is_true(scores, above, otherwise):
    found = by_rule(np.array(scores), KeepAbove(above=above, otherwise=otherwise))
    assert found.fallback == (bool(scores) and otherwise == "best" and max(scores) <= above)
    for score, stays, reason in zip(scores, found.kept, found.reasons, strict=True):
        assert stays == (not reason.startswith("not"))
        if reason.startswith(("above", "not above")):
            assert (score > above) == stays
        else:
            assert max(scores) <= above
            assert (score == max(scores)) or not stays
