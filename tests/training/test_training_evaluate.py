"""The examination of the pocket multimodal LLM reads every answer where it stands."""

import pytest
import torch

from gazecut_training import evaluate
from gazecut_training.config import TRAINING_SEEDS
from gazecut_training.data import Batch
from gazecut_training.model import build_model
from gazecut_training.tokenizer import build_tokenizer

SEEDS = range(TRAINING_SEEDS, TRAINING_SEEDS + 4)
MOTION = {"clip/motion word (seen)", "clip/motion word (told)"}
Tally = dict[str, list[bool]]


class Oracle:
    """Knows every next token, but for the last word of answers on motion where it is told to miss that."""

    def __init__(self, misses_motion: bool) -> None:
        self.tokenizer = build_tokenizer()
        self.missed = [self.tokenizer(f" {word}").input_ids[0] for word in ("up", "down", "left", "right", "still")]
        self.misses_motion = misses_motion

    def forward(self, model: object, batch: Batch, half: bool) -> list[torch.Tensor]:
        return [torch.nn.functional.one_hot(self.following(b.ids, b.weights), len(self.tokenizer)).float() for b in batch.blocks]

    def following(self, ids: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        found = ids.roll(-1, -1)
        last = weights[0, 0].nonzero()[-2, 0]  # predicts the word before the end
        if self.misses_motion and found[0, 0, last] in self.missed:
            found[0, 0, last] = self.tokenizer.eos_token_id
        return found


def examined(oracle: Oracle, monkeypatch: pytest.MonkeyPatch) -> Tally:
    model = build_model(oracle.tokenizer, seed=0, layers=1, depth=1)
    model.lm_head = torch.nn.Identity()
    monkeypatch.setattr(evaluate, "forward", oracle.forward)
    return evaluate.evaluate(model, SEEDS)


def test_who_knows_all_is_never_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    tally = examined(Oracle(misses_motion=False), monkeypatch)
    assert all(all(answers) for answers in tally.values())
    assert {"clip/background", "frame/background", "clip/colour", "frame/shape in attributes", *MOTION} <= set(tally)
    assert "frame/motion word (seen)" not in tally  # one frame cannot tell
    assert len(tally["clip/background"]) == len(SEEDS)
    kinds = set(tally) - MOTION - {"clip/shape in attributes", "clip/background"}
    assert len(tally["clip/shape in attributes"]) == sum(len(tally[name]) for name in kinds if name.startswith("clip/"))


def test_who_knows_no_motion_is_wrong_there_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    tally = examined(Oracle(misses_motion=True), monkeypatch)
    assert {name for name, answers in tally.items() if not all(answers)} == MOTION
    assert not any(answer for name in MOTION for answer in tally[name])
