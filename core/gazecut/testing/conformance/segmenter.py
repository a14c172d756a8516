"""Rules for segmenters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from gazecut.optional import OverlapSession, SweepSession
from gazecut.protocols import Segmenter, SegmenterSession
from gazecut.testing import samples
from gazecut.testing.compare import fingerprint
from gazecut.testing.conformance.base import Conformance, PlannedError
from gazecut.testing.square import MovingSquare, moving_square
from gazecut.tracklets import mask_overlaps
from gazecut.values import Candidates, FrameMasks, HeatMaps, Points

FRAMES = 5
ROUNDING = 0.002  # of the pixels: sums in another order may move one across the border
NOBODY = Points.single_clicks(np.zeros((0, 4)))


class SegmenterConformance(Conformance[Segmenter]):
    """What a segmenter keeps to: masks of the clip's size, every asked frame once, nothing held after the end."""

    kind = "segmenter"

    def test_it_describes_itself(self) -> None:
        """It says device and dtype, and how much memory it took."""
        self.check_description(self.built().describe(), self.built().peak_memory())

    def test_every_candidate_gets_a_mask(self) -> None:
        """Every candidate of a frame gets one mask, (K, H, W) bool at the clip's size; several points may be one candidate."""
        square = moving_square(FRAMES)
        several = _points(square, 2, candidates=(0, 0, 1))
        with self.built().open(square) as session:
            for points, count in ((_points(square, 2), 1), (several, 2)):
                masks = session.masks_at(2, points, _heat(2)).masks
                fits = masks.shape == (count, *square.size) and masks.dtype == bool
                found = f"{masks.dtype} {masks.shape} for {count} candidates of {len(points)} points"
                self.require(fits, found, f"bool {(count, *square.size)}")

    def test_trust_is_a_share(self) -> None:
        """The predicted IoU is one number in [0, 1] per candidate, float32."""
        square = moving_square(FRAMES)
        with self.built().open(square) as session:
            trust = session.masks_at(2, _points(square, 2, candidates=(0, 1)), _heat(2)).predicted_iou
        fits = trust.shape == (2,) and trust.dtype == np.float32 and bool(((trust >= 0) & (trust <= 1)).all())
        self.require(fits, f"{trust} {trust.dtype}", "two float32 in [0, 1]")

    def test_no_points_give_no_masks(self) -> None:
        """No points give no candidates, and no error."""
        square = moving_square(FRAMES)
        with self.built().open(square) as session:
            masks = session.masks_at(2, NOBODY, _heat(2)).masks
        self.require(masks.shape == (0, *square.size), f"masks of shape {masks.shape}", f"{(0, *square.size)}")

    @pytest.mark.parametrize("frames", [[0, 1, 2, 3, 4], [0, 2, 4], [2]], ids=str)
    def test_every_asked_frame_comes_once(self, frames: list[int]) -> None:
        """A propagation gives every asked frame, and no other, once."""
        given = sorted(item.frame for item in self._propagate(2, frames))
        self.require(given == frames, f"frames {given}", f"{frames}, each once")

    def test_forwards_then_backwards(self) -> None:
        """A propagation runs from its frame forwards to the end, then backwards to the start."""
        order = [item.frame for item in self._propagate(2, [0, 1, 2, 3, 4])]
        self.require(order == [2, 3, 4, 1, 0], order, "[2, 3, 4, 1, 0]")

    def test_followed_masks_have_the_clips_size(self) -> None:
        """A propagation gives masks (K, H, W) bool at the clip's size, objects in the order that they were given."""
        size = moving_square(FRAMES).size
        for item in self._propagate(2, [0, 2, 4], objects=2):
            fits = item.masks.shape == (2, *size) and item.masks.dtype == bool
            self.require(fits, f"{item.masks.dtype} {item.masks.shape} on frame {item.frame}", f"bool {(2, *size)}")

    def test_objects_keep_their_order(self) -> None:
        """On the frame that prompts a propagation, masks come in the order of those that prompted them."""
        square = moving_square(FRAMES)
        prompts = np.stack([square.truth[2], np.zeros_like(square.truth[2])])
        prompts[1, :16, :16] = True
        with self.built().open(square) as session:
            given = list(session.propagate(2, prompts, range(FRAMES), samples.square_maps(FRAMES), np.arange(FRAMES)))
        alike = mask_overlaps(next(item.masks for item in given if item.frame == 2), prompts)
        two = alike.shape == (2, 2)  # how many there are is the business of another rule
        crossed = two and float(alike[0, 1] + alike[1, 0]) > float(alike[0, 0] + alike[1, 1])
        self.require(not crossed, f"overlaps of masks with prompts {alike.round(2).tolist()}", "each mask most like its own prompt")

    def test_logits_are_finite_half_floats(self) -> None:
        """Logits, where there are any, are (K, h', w') float16 without NaN."""
        for item in self._propagate(2, [0, 2, 4], objects=2):
            if item.logits is not None:
                fits = item.logits.dtype == np.float16 and bool(np.isfinite(item.logits.astype(np.float32)).all())
                self.require(fits, f"{item.logits.dtype} on frame {item.frame}", "finite float16")

    def test_prompts_together_come_as_one_by_one(self) -> None:
        """A session that offers `propagate_together` gives each prompt every asked frame once, with masks as `propagate` gives them."""
        square, frames, maps = moving_square(FRAMES), [0, 1, 2, 4], samples.square_maps(FRAMES)
        prompts = [(frame, np.repeat(square.truth[frame][None], count, axis=0)) for frame, count in ((4, 1), (1, 2))]
        with self.built().open(square) as session:
            if not isinstance(session, SweepSession):
                pytest.skip("it follows one prompt after another")
            given = list(session.propagate_together(prompts, frames, maps, np.arange(FRAMES)))
            for number, prompt in enumerate(prompts):
                alone = {item.frame: item.masks for item in session.propagate(*prompt, frames, maps, np.arange(FRAMES))}
                mine = [item for which, item in given if which == number]
                self.require(
                    sorted(item.frame for item in mine) == frames, f"frames {[item.frame for item in mine]}", f"{frames}, each once"
                )
                differ = max(float((item.masks != alone[item.frame]).mean()) for item in mine)
                self.require(
                    differ <= ROUNDING, f"masks of prompt {number} that differ in {differ:.1%} of the pixels", "those of `propagate`"
                )

    def test_overlaps_are_those_of_the_core(self) -> None:
        """A session that offers `overlaps` gives (K, L) float64, intersection over union of every pair; empty masks overlap by 0."""
        square = moving_square(FRAMES)
        masks = np.concatenate([square.truth, np.zeros_like(square.truth[:1])])
        with self.built().open(square) as session:
            if not isinstance(session, OverlapSession):
                pytest.skip("it leaves overlaps to the core")
            found = np.asarray(session.overlaps(masks, masks[2:]))
        right = found.shape == (FRAMES + 1, FRAMES - 1) and np.allclose(found, mask_overlaps(masks, masks[2:]))
        self.require(right, f"{found.dtype} {found.shape}: {found.tolist()}", "what gazecut.tracklets.mask_overlaps gives")

    def test_a_clip_of_one_frame_is_segmented(self) -> None:
        """A clip of one frame is segmented."""
        square = moving_square(1)
        candidates, followed = self._both(square, 0, [0])
        fits = candidates.masks.shape == (1, *square.size) and [item.frame for item in followed] == [0]
        self.require(fits, f"masks of shape {candidates.masks.shape}, frames {[item.frame for item in followed]}", "one mask, frame 0")

    @pytest.mark.parametrize("size", [(37, 91), (5, 300), (1, 1)], ids=str)
    def test_odd_sizes_are_segmented(self, size: tuple[int, int]) -> None:
        """Odd, long and tiny frames are segmented at their own size."""
        candidates, followed = self._both(moving_square(2, size), 0, [0, 1])
        shapes = {candidates.masks.shape, *(item.masks.shape for item in followed)}
        self.require(shapes == {(1, *size)}, f"masks of shapes {sorted(shapes)}", f"{(1, *size)}")

    def test_questions_do_not_change_each_other(self) -> None:
        """The same question gets the same answer, whatever was asked of the session in between."""
        square = moving_square(FRAMES)
        with self.built().open(square) as session:
            first = _ask(session, square, 2, [0, 1, 2, 3, 4])
            _ask(session, square, 4, [3, 4])
            next(session.propagate(0, square.truth[:1], range(FRAMES), samples.square_maps(FRAMES), np.arange(FRAMES)))
            self.same(first, _ask(session, square, 2, [0, 1, 2, 3, 4]), "answers", "after other questions")

    def test_input_is_unchanged(self) -> None:
        """Frames, points, maps and masks that it is given stay as they are."""
        square = moving_square(FRAMES)
        points, maps, frames = _points(square, 2), samples.square_maps(FRAMES), np.arange(FRAMES)
        everything = (square.images, points, maps, square.truth, frames)
        before = fingerprint(everything, "input")
        with self.built().open(square) as session:
            session.masks_at(2, points, maps.numpy()[2])
            list(session.propagate(2, square.truth[2:3], range(FRAMES), maps, frames))
        self.unchanged(before, everything, "input")

    def test_same_input_gives_same_output(self) -> None:
        """The same clip gives the same masks again."""
        square = moving_square(FRAMES)
        self.same(self._both(square, 2, [0, 2, 4]), self._both(square, 2, [0, 2, 4]), "answers", "in a second session")

    def test_closing_twice_is_fine(self) -> None:
        """Closing a session twice is fine."""
        session = self.built().open(moving_square(FRAMES))
        session.close()
        session.close()

    def test_a_closed_session_refuses(self) -> None:
        """A closed session refuses to work, in Gazecut's words, so that nobody keeps one by mistake."""
        square = moving_square(FRAMES)
        with self.built().open(square) as session:
            session.masks_at(2, _points(square, 2), _heat(2))
        self.check_refused(lambda: session.masks_at(2, _points(square, 2), _heat(2)), "a question to a closed session")
        asked = square.truth[2:3], range(FRAMES), samples.square_maps(FRAMES), np.arange(FRAMES)
        self.check_refused(lambda: list(session.propagate(2, *asked)), "a propagation in a closed session")

    def test_an_error_closes_the_session(self) -> None:
        """An error in a `with` block goes through, and closes the session."""
        square = moving_square(FRAMES)
        session = self.built().open(square)
        swallowed = True
        try:
            with session:
                raise PlannedError
        except PlannedError:
            swallowed = False
        self.require(not swallowed, "the error did not come out of the block", "__exit__ that returns None")
        self.check_refused(lambda: session.masks_at(2, _points(square, 2), _heat(2)), "a question after an error in the block")

    def _propagate(self, frame: int, frames: Sequence[int], objects: int = 1) -> list[FrameMasks]:
        square = moving_square(FRAMES)
        masks = np.repeat(square.truth[frame][None], objects, axis=0)
        with self.built().open(square) as session:
            return list(session.propagate(frame, masks, frames, samples.square_maps(FRAMES), np.arange(FRAMES)))

    def _both(self, square: MovingSquare, frame: int, frames: Sequence[int]) -> tuple[Candidates, list[FrameMasks]]:
        with self.built().open(square) as session:
            return _ask(session, square, frame, frames)


def _ask(session: SegmenterSession, square: MovingSquare, frame: int, frames: Sequence[int]) -> tuple[Candidates, list[FrameMasks]]:
    """Masks of one point on the square, and where they go."""
    maps = _maps(square)
    candidates = session.masks_at(frame, _points(square, frame), maps.numpy()[frame])
    return candidates, list(session.propagate(frame, candidates.masks, frames, maps, np.arange(len(square.truth))))


def _maps(square: MovingSquare) -> HeatMaps:
    grid = tuple(min(cells, pixels) for cells, pixels in zip(samples.FRAME_GRID, square.size, strict=True))
    return samples.square_maps(len(square.truth), square.size, (grid[0], grid[1]))


def _heat(frame: int) -> np.ndarray:
    return np.asarray(samples.square_maps(FRAMES).numpy()[frame])


def _points(square: MovingSquare, frame: int, candidates: Sequence[int] = (0,)) -> Points:
    """Clicks in the middle of the square, one per entry of `candidates`."""
    rows, columns = np.nonzero(square.truth[frame])
    height, width = square.size
    count = len(candidates)
    return Points(
        frame=np.full(count, frame),
        candidate=np.array(candidates),
        x=np.full(count, (columns.mean() + 0.5) / width),
        y=np.full(count, (rows.mean() + 0.5) / height),
        label=np.ones(count, np.int64),
        score=np.full(count, 0.9),
    )
