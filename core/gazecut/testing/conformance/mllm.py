"""Rules for multimodal LLM backends."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gazecut.arrays import floating, to_numpy
from gazecut.protocols import MLLMBackend
from gazecut.testing.compare import fingerprint
from gazecut.testing.conformance.base import Conformance, PlannedError
from gazecut.testing.conformance.models import apart, attention_rows, attention_settings, hook_count, noise
from gazecut.values import Question, Steering, TraceSpec

VIEWS = ("video", "frame")
TEXTS = ("What is the main object?", "Describe the background in a single word.", "red?")
FULL = TraceSpec()
NO_SUCH_LAYER = TraceSpec(first_layer=100_000)
CLOSE = 1e-3
"""How far queries and keys of one question may be apart, relative to the largest, when it is asked alone or among others."""

SAME = 1e-6  # the same row of a matrix product, relative to the largest


class MLLMConformance(Conformance[MLLMBackend]):
    """What a backend keeps to: tracing changes no answer, traces fit the layout, and nothing stays behind.

    A backend that captures attention through something global says so in `is_capturing`; one that takes over models of others, in
    `wrap`.
    """

    kind = "mllm"

    def is_capturing(self) -> bool:
        """Whether anything is being captured right now, for a backend that does it by a switch of its own."""
        return False

    def wrap(self) -> tuple[Any, Any] | None:
        """A model as its owner has it, and a function that takes it over and gives something with `close()`; None by default."""
        return None

    def test_it_describes_itself(self) -> None:
        """It says device and dtype, and how much memory it took."""
        self.check_description(self.built().describe(), self.built().peak_memory())

    @pytest.mark.parametrize("view", VIEWS)
    @pytest.mark.parametrize("count", [1, 3, 4])
    def test_layout_covers_the_frames(self, view: str, count: int) -> None:
        """The layout covers every frame: one slot each in the view `frame`, as many as needed in the view `video`."""
        with self.built().open(noise(count), view) as session:
            layout = session.layout
        each = layout.frames_per_slot
        fits = layout.slots == -(-count // each) and min(layout.rows, layout.columns) > 0 and (view == "video" or each == 1)
        self.require(fits, f"{layout} for {count} frames", "ceil(frames / frames_per_slot) slots of rows x columns, all above 0")

    @pytest.mark.parametrize("view", VIEWS)
    @pytest.mark.parametrize(("count", "size"), [(1, (64, 64)), (3, (50, 91)), (2, (96, 40))], ids=str)
    def test_odd_clips_are_answered(self, view: str, count: int, size: tuple[int, int]) -> None:
        """One frame, an odd number of frames and odd sizes are answered, one text per sequence of the view."""
        with self.built().open(noise(count, size), view) as session:
            texts = session.ask([Question(TEXTS[0])])[0].texts
        wanted = 1 if view == "video" else count
        fits = len(texts) == wanted and all(isinstance(text, str) for text in texts)
        self.require(fits, f"texts {texts} for {count} frames of {size}", f"{wanted}")

    @pytest.mark.parametrize("view", VIEWS)
    def test_tracing_changes_no_answer(self, view: str) -> None:
        """A traced question gets the answer that it gets untraced."""
        with self.built().open(noise(), view) as session:
            plain = [answer.texts for answer in session.ask([Question(text) for text in TEXTS])]
            traced = [answer.texts for answer in session.ask([Question(text, FULL) for text in TEXTS])]
        self.require(plain == traced, f"{traced} traced, {plain} untraced", "the same texts")

    def test_only_traced_questions_have_traces(self) -> None:
        """A question has one trace per sequence if it asked for one, else none."""
        for view, sequences in (("video", 1), ("frame", 3)):
            with self.built().open(noise(3), view) as session:
                traced, plain = session.ask([Question(TEXTS[0], FULL), Question(TEXTS[1])])
            counts = len(traced.traces), len(plain.traces)
            self.require(counts == (sequences, 0), f"{counts[0]} traces where asked, {counts[1]} where not", f"{sequences} and 0")

    @pytest.mark.parametrize("view", VIEWS)
    def test_visual_columns_are_the_cells_of_the_layout(self, view: str) -> None:
        """A trace has one visual column per cell of its sequence: all slots in `video`, one in `frame`."""
        for count, size in ((1, (64, 64)), (3, (50, 91))):
            with self.built().open(noise(count, size), view) as session:
                layout, traces = session.layout, session.ask([Question(TEXTS[0], FULL)])[0].traces
            cells = layout.rows * layout.columns * (layout.slots if view == "video" else 1)
            found = {len(trace.visual_columns) for trace in traces}
            self.require(found == {cells}, f"{found} columns, {layout}", f"{cells}")

    @pytest.mark.parametrize("view", VIEWS)
    def test_visual_columns_are_where_the_pixels_are(self, view: str) -> None:
        """Other pixels change the first layer's keys at visual columns, and nowhere else."""
        traces = []
        for seed in (0, 1):
            with self.built().open(noise(seed=seed), view) as session:
                traces.append(session.ask([Question(TEXTS[0], FULL)])[0].traces[0])
        first, second = (to_numpy(floating(trace.layers[0].key)) for trace in traces)
        changed = np.abs(first - second).max(axis=(0, 2)) > SAME * np.abs(first).max()
        visual = np.isin(np.arange(len(changed)), to_numpy(traces[0].visual_columns))
        missed = np.flatnonzero(changed & ~visual).tolist()
        self.require(not missed, f"columns {missed[:8]} change with the pixels and are not among the visual ones", "all of them")
        self.require(bool(changed[visual].any()), "no key at a visual column changes with the pixels", "some at least")

    @pytest.mark.parametrize("view", VIEWS)
    def test_prompt_tokens_are_the_question(self, view: str) -> None:
        """Where a trace tells the question's tokens, they are its text, in order, and none of them is visual; it need not tell."""
        with self.built().open(noise(), view) as session:
            traces = [answer.traces[0] for answer in session.ask([Question(text, FULL) for text in TEXTS])]
        for text, trace in zip(TEXTS, traces, strict=True):
            if trace.prompt is None:
                continue
            said, columns = "".join(trace.prompt.texts), to_numpy(trace.prompt.columns)
            self.require(said.strip() == text, f"tokens that say {said!r}", f"{text!r}")
            inside = bool((columns >= 0).all() and (columns < trace.layers[0].key.shape[1]).all() and (np.diff(columns) > 0).all())
            apart_from_pixels = not np.isin(columns, to_numpy(trace.visual_columns)).any()
            self.require(inside and apart_from_pixels, f"columns {columns.tolist()}", "ascending positions of tokens that are not visual")

    def test_layers_fit_each_other(self) -> None:
        """A trace has the layers that were asked for: query (H, N, d), key (G, N, d), H a multiple of G, a scale above 0."""
        with self.built().open(noise(), "video") as session:
            answers = session.ask([Question(TEXTS[0], spec) for spec in (FULL, TraceSpec(0, 0), TraceSpec(1, 1))])
        counts = [len(answer.traces[0].layers) for answer in answers]
        self.require(counts[0] >= 2 and counts[1:] == [1, 1], f"{counts} layers for all, the first, the second", "all, 1 and 1")
        for answer in answers:
            for query, key, scale in answer.traces[0].layers:
                (heads, tokens, width), groups = query.shape, key.shape[0]
                fits = key.shape == (groups, tokens, width) and heads % groups == 0 and 0 < scale < np.inf
                self.require(fits, f"query {tuple(query.shape)}, key {tuple(key.shape)}, scale {scale}", "(H, N, d), (G, N, d), above 0")

    def test_rows_are_attention(self) -> None:
        """The row of attention in a trace is finite and not negative, and on visual columns sums to at most 1."""
        for view in VIEWS:
            with self.built().open(noise(), view) as session:
                traces = session.ask([Question(TEXTS[0], FULL)])[0].traces
            for row, columns in ((row, to_numpy(trace.visual_columns)) for trace in traces for row in attention_rows(trace)):
                inside = bool(((columns >= 0) & (columns < row.shape[-1])).all())
                self.require(inside, f"columns up to {columns.max()} of {row.shape[-1]} tokens", "positions in the sequence")
                total = row[:, columns].sum(axis=1)
                fits = bool(np.isfinite(row).all()) and bool((total <= 1 + CLOSE).all())
                self.require(fits, f"sums {total} on visual columns", "finite rows whose sums are at most 1")

    def test_the_row_is_the_one_asked_for(self) -> None:
        """A trace of the first answer token is one token longer than one of the prompt's last."""
        specs = (TraceSpec(), TraceSpec(row="first-answer"))
        with self.built().open(noise(), "video") as session:
            prompt, answer = (session.ask([Question(TEXTS[0], spec)])[0].traces[0].layers[0].query.shape[1] for spec in specs)
        self.require(answer == prompt + 1, f"{prompt} tokens up to the prompt's last, {answer} with the first answer", f"{prompt + 1}")

    @pytest.mark.parametrize("view", VIEWS)
    def test_questions_together_equal_questions_alone(self, view: str) -> None:
        """Several questions at once get the answers and traces that each gets alone."""
        with self.built().open(noise(), view) as session:
            together = session.ask([Question(text, FULL) for text in TEXTS])
            for text, batched in zip(TEXTS, together, strict=True):
                alone = session.ask([Question(text, FULL)])[0]
                self.require(alone.texts == batched.texts, f"{batched.texts} among others, {alone.texts} alone", "the same texts")
                distance = apart(alone, batched)
                self.require(distance <= CLOSE, f"queries and keys {distance:.2g} apart, relative to the largest", f"at most {CLOSE:g}")

    def test_a_trace_named_at_opening_suffices(self) -> None:
        """A session that was opened for a trace gives that trace, the same as one that keeps every layer."""
        spec = TraceSpec(1, 1)
        traces = []
        for kept in (None, spec):
            with self.built().open(noise(), "video", trace=kept) as session:
                traces.append(session.ask([Question(TEXTS[0], spec)])[0])
        distance = apart(*traces)
        self.require(distance <= CLOSE, f"queries and keys {distance:.2g} apart", f"at most {CLOSE:g}")

    def test_a_text_only_turn_is_answered(self) -> None:
        """A turn without the clip is answered with text, the same every time, while a session is open too."""
        alone = self.built().complete(TEXTS[0])
        with self.built().open(noise(), "video") as session:
            session.ask([Question(TEXTS[1], FULL)])
            beside = self.built().complete(TEXTS[0])
        self.require(isinstance(alone, str) and alone == beside, f"{alone!r} alone, {beside!r} beside a session", "the same text")

    def test_text_only_turns_together_equal_turns_alone(self) -> None:
        """Several turns without the clip get the answers that each gets alone, in their order; no turn gets none."""
        backend = self.built()
        together, alone = list(backend.complete_many(TEXTS)), [backend.complete(text) for text in TEXTS]
        self.require(together == alone, f"{together} together, {alone} alone", "the same texts")
        self.require(not len(backend.complete_many([])), "answers to no turns", "none")

    def test_unknown_views_are_refused(self) -> None:
        """A view that it does not know is refused."""
        self.check_refused(lambda: self.built().open(noise(), "sideways"), 'opening the view "sideways"')

    def test_layers_that_are_not_there_are_refused(self) -> None:
        """A trace of layers that the model lacks is refused."""
        with self.built().open(noise(), "video") as session:
            self.check_refused(lambda: session.ask([Question(TEXTS[0], NO_SUCH_LAYER)]), f"a trace from layer {NO_SUCH_LAYER.first_layer}")

    def test_steering_of_another_width_is_refused(self) -> None:
        """Embeddings of another width than the model's are refused."""
        steering = Steering(np.zeros((2, 1), np.float32))
        with self.built().open(noise(), "video") as session:
            self.check_refused(lambda: session.ask([Question(TEXTS[0], steering=steering)]), "steering by embeddings of width 1")

    def test_nothing_is_captured_after_success(self) -> None:
        """After an answer nothing is being captured: no hook stays on the model, no switch stays on."""
        hooks = hook_count(self.built())
        with self.built().open(noise(), "video") as session:
            session.ask([Question(TEXTS[0], FULL)])
            self._check_idle(hooks)
        self._check_idle(hooks)

    def test_nothing_is_captured_after_an_error(self) -> None:
        """After an error nothing is being captured, and the next question is answered as ever."""
        with self.built().open(noise(), "video") as session:
            wanted = session.ask([Question(TEXTS[0])])[0].texts
            hooks = hook_count(self.built())
            for wrong in (Question(TEXTS[0], NO_SUCH_LAYER), Question(TEXTS[0], FULL, Steering(np.zeros((2, 1), np.float32)))):
                try:
                    session.ask([wrong])
                except Exception:  # noqa: BLE001  how it refuses is the business of other rules
                    self._check_idle(hooks)
            after = session.ask([Question(TEXTS[0])])[0]
        self.require(after.texts == wanted and not after.traces, f"{after.texts}, {len(after.traces)} traces", f"{wanted} and none")

    def test_a_wrapped_model_gets_its_setting_back(self) -> None:
        """A model that it took over has its own attention setting again after `close`, also when closed twice."""
        wrapping = self.wrap()
        if wrapping is None:
            pytest.skip("it takes over no models of others")
        model, take = wrapping
        before = attention_settings(model)
        taken = take(model)
        taken.close()
        taken.close()
        after = attention_settings(model)
        self.require(after == before, f"{after}", f"{before}, as its owner had it")

    def test_closing_twice_is_fine(self) -> None:
        """Closing a session twice is fine."""
        session = self.built().open(noise(), "video")
        session.close()
        session.close()

    def test_a_closed_session_refuses(self) -> None:
        """A closed session refuses to answer, in Gazecut's words."""
        with self.built().open(noise(), "video") as session:
            session.ask([Question(TEXTS[0])])
        self.check_refused(lambda: session.ask([Question(TEXTS[0])]), "a question to a closed session")

    def test_an_error_closes_the_session(self) -> None:
        """An error in a `with` block goes through, and closes the session."""
        session = self.built().open(noise(), "video")
        swallowed = True
        try:
            with session:
                raise PlannedError
        except PlannedError:
            swallowed = False
        self.require(not swallowed, "the error did not come out of the block", "__exit__ that returns None")
        self.check_refused(lambda: session.ask([Question(TEXTS[0])]), "a question after an error in the block")

    def test_input_is_unchanged(self) -> None:
        """Frames and questions stay as they are."""
        given = noise(), [Question(text, FULL) for text in TEXTS]
        before = fingerprint(given, "input")
        for view in VIEWS:
            with self.built().open(given[0], view) as session:
                session.ask(given[1])
        self.unchanged(before, given, "input")

    def test_same_input_gives_same_output(self) -> None:
        """The same question gets the same answer and trace, whatever was asked in between, in this session or another."""
        answers = []
        for _ in range(2):
            with self.built().open(noise(), "video") as session:
                for _ in range(2):
                    answers.append(session.ask([Question(TEXTS[0], FULL)])[0])
                    session.ask([Question(TEXTS[1])])
        for answer in answers[1:]:
            self.same(answers[0], answer, "answer", "the next time")

    def _check_idle(self, hooks: int) -> None:
        __tracebackhide__ = True
        left = hook_count(self.built()) - hooks
        self.require(left == 0, f"{left} more forward hooks on the model than before", "as many as before")
        self.require(not self.is_capturing(), "is_capturing() is true", "false between questions")
