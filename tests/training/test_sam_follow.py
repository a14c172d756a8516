"""What the pocket SAM 2 is trained by is what the segmenter does with it later: same masks, same judgements."""

import numpy as np
import pytest
import torch

from gazecut.clip import open_clip
from gazecut.values import HeatMaps, Points
from gazecut.work import Work
from gazecut.world import paint, plan
from gazecut_segmenter.config import Sam2HfOptions
from gazecut_segmenter.sam2_hf import HfNetwork
from gazecut_segmenter.sam2_masks import best_masks
from gazecut_segmenter.sam2_session import Sam2Session
from gazecut_training.sam_config import SamConfig, SamStage
from gazecut_training.sam_data import ClipBatch, SamData, show
from gazecut_training.sam_follow import Pupil, answer_clips
from gazecut_training.sam_model import build_sam
from gazecut_training.sam_train import batch_loss

SIDE, LENGTH = 96, 5
CONFIG = SamConfig(stages=(SamStage(2, {1: 0.5, 3: 0.5}, images=2, clips={3: 1}),), side=SIDE, labels=SIDE)
NO_HEAT = HeatMaps(np.zeros((1, 1, 1), np.float32), 1)


@pytest.fixture(scope="module")
def pupil() -> Pupil:
    """A model whose random weights let signals through, and whose objects are on most frames, not on all."""
    model = build_sam(seed=0, side=SIDE)
    random = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, values in model.named_parameters():
            noise = torch.randn(values.shape, generator=random)
            gain = 0.75 / values[0].numel() ** 0.5 if values.ndim > 1 else 0.2
            values.copy_(1 + 0.1 * noise if "norm" in name and name.endswith("weight") else gain * noise)
        model.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(0.75)
    return Pupil(model)


def clip_batch(start: int) -> tuple[ClipBatch, np.ndarray]:
    """One clip with two objects, as a batch and as frames that need no resizing."""
    scene, moments = plan(3, objects=2), np.linspace(0.0, 1.0, LENGTH)
    images, labels = show(scene, moments, CONFIG, SIDE)
    batch = ClipBatch(
        images=images[None],
        labels=torch.from_numpy(labels)[None],
        targets=torch.tensor([[1, 2]], dtype=torch.uint8),
        start=start,
        points=torch.tensor([[[[0.4, 0.5]], [[0.6, 0.3]]]]),
        clicked=torch.zeros(1, 2, dtype=torch.bool),
        forced=torch.zeros(LENGTH, 1, 2, dtype=torch.bool),
    )
    return batch, paint(scene, moments, SIDE)[0]


@pytest.mark.parametrize("start", [0, 2, LENGTH - 1])
def test_masks_are_those_of_a_session(pupil: Pupil, start: int, monkeypatch: pytest.MonkeyPatch) -> None:
    remember = Pupil._memory
    monkeypatch.setattr(Pupil, "_memory", lambda self, *given: remember(self, *given).to(torch.bfloat16).float())
    batch, frames = clip_batch(start)
    pupil.model.eval()  # in which the decoder may choose another mask for several points; single clicks and following do not care
    with torch.no_grad():
        clicked, _, followed = answer_clips(pupil, batch)
    order = [*range(start + 1, LENGTH), *range(start - 1, -1, -1)]
    masks = (batch.labels[0, start][None] == batch.targets[0][:, None, None]).numpy()
    with Sam2Session(open_clip(frames), HfNetwork(pupil.model), Sam2HfOptions(weights="-", fill_holes=0), Work()) as session:
        rows = np.array([(0, x, y, 1) for x, y in batch.points[0, :, 0].double().numpy()])
        candidates = session.masks_at(start, Points.single_clicks(rows), np.zeros((1, 1), np.float32))
        logits, trust, _ = best_masks(clicked.decoded)
        np.testing.assert_allclose(candidates.predicted_iou, trust.numpy(), atol=1e-5)
        found = {each.frame: each.logits for each in session.propagate(start, masks, range(LENGTH), NO_HEAT, np.array([0]))}
    logits = best_masks(followed.decoded)[0].unflatten(0, (len(order), 2))
    spread = float(logits[logits > -100].std())
    assert spread > 0.01
    for frame, ours in zip(order, logits, strict=True):
        np.testing.assert_allclose(found[frame], ours.numpy(), atol=0.02 * spread, rtol=2e-3)


def test_every_parameter_but_one_learns(pupil: Pupil) -> None:
    """transformers keeps `no_memory_positional_encoding` without ever using it."""
    pupil.model.train()
    batches = [SamData(CONFIG)[step] for step in range(2)]
    assert {type(batch).__name__ for batch in batches} == {"ImageBatch", "ClipBatch"}
    for batch in batches:
        batch_loss(pupil, batch, absence=1.0).backward()
    idle = {name for name, values in pupil.model.named_parameters() if values.grad is None or not values.grad.any()}
    assert idle - {"no_object_pointer", "occlusion_spatial_embedding_parameter"} == {"no_memory_positional_encoding"}
    pupil.model.zero_grad()
