"""A long clip, looked at window by window: each is an ordinary clip, and of those that passed only codes, small maps and records stay."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, TypeAlias

from gazecut.chronicle import Chronicle
from gazecut.clip import Moment, Source
from gazecut.clip.counted import CountedClip
from gazecut.clip.passing import PassingClip
from gazecut.errors import ClipError
from gazecut.linking import Linker
from gazecut.prompts import sentence
from gazecut.protocols import Provenance
from gazecut.result import Result
from gazecut.session import ClipSession, OnStretch
from gazecut.stretch import Stretch
from gazecut.study import Finding, Study
from gazecut.windows import Reel, Span, windows_of
from gazecut.wording import counted

if TYPE_CHECKING:
    from gazecut.pipeline import Pipeline

_Walk: TypeAlias = Generator[tuple[int, Span, Finding, Stretch], None, None]


class WindowedSession(ClipSession):
    """A session that looks at its clip window by window, all expressions together; memory is that of one window.

    Every question is asked anew for each window. Given maps are followed over the whole clip, as in any session.
    """

    def __init__(self, pipeline: Pipeline, source: Source, start: Moment | None = None, end: Moment | None = None, every: int = 1) -> None:
        """Open the clip, or a part of it.

        Raises:
            ClipError: The source cannot be read, or has no such part.
        """
        super().__init__(pipeline, source, start, end, every)
        self._noted: dict[str, Provenance] = {}
        self._walks: list[_Walk] = []

    def segment_each(self, expressions: Sequence[str], on_stretch: OnStretch | None = None) -> Iterator[Result]:
        """Masks of several expressions; all results come when the last window was looked at.

        Args:
            expressions: What to segment.
            on_stretch: Told of every stretch of every expression as soon as its masks are final.

        Yields:
            One result per expression, in their order.

        Raises:
            PromptError: An expression is empty; before anything is asked.
            ClipError: The session is closed, the clip is a stream that has passed, or a frame cannot be decoded.
        """
        chronicles = [Chronicle() for _ in expressions]
        with self._walking(expressions) as walk:
            for place, span, finding, stretch in walk:
                chronicles[place].add(span, finding, stretch)
                if on_stretch is not None:
                    on_stretch(stretch)
                del finding, stretch  # frames and logits of the window, while the next one comes
        for chronicle in chronicles:
            yield self._result(chronicle.finding(self.clip.length, self.clip.size), chronicle.windows)

    def stretches(self, expressions: Sequence[str]) -> Generator[Stretch, None, None]:
        """Masks as soon as they are final, and nothing is kept of them: for streams without end.

        Yields:
            For each window, one stretch per expression in their order.

        Raises:
            PromptError: An expression is empty; before anything is asked.
            ClipError: The session is closed, the clip is a stream that has passed, or a frame cannot be decoded.
        """
        with self._walking(expressions) as walk:
            for *others, stretch in walk:
                del others
                yield stretch
                del stretch
        self._results += len(expressions)

    @contextmanager
    def _walking(self, expressions: Sequence[str]) -> Iterator[_Walk]:
        """A walk, which ends when the session is closed; whoever goes on with it then is told."""
        with closing(self._walk(expressions)) as walk:
            self._walks.append(walk)
            try:
                yield walk
            finally:
                self._walks.remove(walk)
            self._study.check_open()

    def _free(self) -> None:
        with ExitStack() as ending:
            ending.callback(super()._free)
            for walk in self._walks:  # and the window that is being looked at
                ending.callback(walk.close)

    def _walk(self, expressions: Sequence[str]) -> _Walk:
        """Window by window and expression by expression: its number, the window, what it gave, and what of it is final."""
        self._study.check_open()
        for expression in expressions:
            sentence(expression)
        self._expressions += len(expressions)
        options = self._pipeline.recipe.tracklets
        linkers = [Linker(options.link_above, options.contrast_above) for _ in expressions]
        with ExitStack() as ending:
            reel = ending.enter_context(closing(Reel(CountedClip(self.clip, self._pipeline.runtime.work))))
            windows, steps = self._windows()
            stage = None if steps is None else ending.enter_context(self._observers.stage("windows", steps))
            seen = 0
            for span in reel.spans(windows):
                yield from self._look(expressions, linkers, reel, span)
                seen = span.own.stop
                if stage is not None:
                    stage.step()
                    stage.summary = f"{seen} of {counted(self.clip.length, 'frame')}"
            if seen < self.clip.length:
                raise ClipError(f'clip "{self.clip.name}" ended after {counted(seen, "frame")}; it said that it has {self.clip.length}.')

    def _look(
        self, expressions: Sequence[str], linkers: Sequence[Linker], reel: Reel, span: Span
    ) -> Iterator[tuple[int, Span, Finding, Stretch]]:
        """One window; nothing of it is held when the next one comes."""
        with closing(Study(self._pipeline, reel.window(span), self._observers)) as study:
            findings = study.findings(expressions, [linker.decide(span) for linker in linkers])
            for place, (linker, finding) in enumerate(zip(linkers, findings, strict=True)):
                linker.follow(span, finding.objects)
                sampled = tuple(index for index in (finding.frame_indices + span.frames.start).tolist() if index in span.own)
                yield place, span, finding, Stretch(expressions[place], reel.stretch(span), span.own, linker.show(span), sampled)
            self._noted |= study.provenance()

    def _windows(self) -> tuple[Iterator[range], int | None]:
        """The sampler's windows, and how many there are; None for a stream, where nobody knows."""
        pipeline = self._pipeline
        if isinstance(self.clip, PassingClip):
            return windows_of(pipeline.sampler, None, self.clip.fps), None
        with self._observers.stage("cut") as stage:
            windows = list(windows_of(pipeline.sampler, CountedClip(self.clip, pipeline.runtime.work), self.clip.fps))
            stage.summary = counted(len(windows), "window")
        return iter(windows), len(windows)

    def _whole(self) -> Study:
        if isinstance(self.clip, PassingClip):
            raise ClipError(f'clip "{self.clip.name}" is a stream, which cannot be looked at as a whole; save it to a file first.')
        return super()._whole()

    def _extent(self) -> str:
        return "a stream" if isinstance(self.clip, PassingClip) else super()._extent()

    def _provenance(self) -> dict[str, Provenance]:
        return dict(sorted((self._noted | super()._provenance()).items()))
