"""Results that grow while a video is looked at: one folder per expression, and what to say when the run ends before its time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gazecut.cache import digest
from gazecut.clip.passing import PassingClip
from gazecut.manifest import describe_clip
from gazecut.partial import PartialOutput, growing
from gazecut.wording import counted

if TYPE_CHECKING:
    from gazecut.pipeline import Pipeline
    from gazecut.protocols import Clip
    from gazecut.result import Result
    from gazecut.stretch import Stretch


class Growth:
    """The growing results of one session."""

    def __init__(self, pipeline: Pipeline, clip: Clip) -> None:
        """Write nothing yet; `growth` makes one."""
        self._pipeline = pipeline
        self._frames = None if isinstance(clip, PassingClip) else clip.length
        self._under_way: list[tuple[str, PartialOutput, ExitStack]] = []
        self._seen: dict[Path, set[int]] = {}

    def begin(self, folder: Path, expression: str, about: Mapping[str, Any], force: bool) -> None:
        """Get ready for an expression.

        Raises:
            OutputError: Its folder cannot be written.
        """
        record = {"expression": expression, **about, "frames": self._frames}
        with ExitStack() as stack:
            output = stack.enter_context(growing(folder, self._pipeline.exporters, record, force=force))
            self._under_way.append((expression, output, stack.pop_all()))

    def add(self, stretch: Stretch) -> None:
        """Write what is final of an expression.

        Raises:
            OutputError: The disk refuses.
        """
        output = next(
            output
            for expression, output, _ in self._under_way
            if (expression, output.frames_done) == (stretch.expression, stretch.frames.start)
        )
        seen = self._seen.setdefault(output.folder, set())
        seen.update(found.id for found in stretch.objects)
        with self._pipeline.observers.stage("write") as stage:
            output.add(stretch)
            stage.summary = f"{self._extent(output.frames_done)}, {counted(len(seen), 'object')} so far"

    def finish(self, result: Result) -> Result:
        """Bring the first expression that is still under way to its end.

        Raises:
            OutputError: The disk refuses.
        """
        _, output, stack = self._under_way[0]
        with self._pipeline.observers.stage("write") as stage:
            output.finish(result)
            stage.summary = str(output.folder.parent)
        del self._under_way[0]
        stack.close()
        return result

    def end(self) -> None:
        """Leave what is under way as it is."""
        with ExitStack() as ending:
            for _, _, stack in self._under_way:
                ending.push(stack)

    def left(self) -> str:
        """What an interruption left, and how to go on; empty for nothing."""
        folders = [output.folder for _, output, _ in self._under_way if output.frames_done]
        if not folders:
            return ""
        done = min(output.frames_done for _, output, _ in self._under_way if output.frames_done)
        where = folders[0] if len(folders) == 1 else folders[0].parent.parent / "*" / folders[0].name
        return f"{self._extent(done)} are in {where}{self._way_on()}"

    def _way_on(self) -> str:
        if self._frames is None:
            return ", and whole; a stream cannot be gone on with"
        if self._pipeline.store is None:
            return "; with --no-cache the same command begins anew"
        return "; run the same command again to go on"

    def _extent(self, frames: int) -> str:
        return f"{frames:,} frames" if self._frames is None else f"{frames:,} of {self._frames:,} frames"


@contextmanager
def growth(pipeline: Pipeline, clip: Clip, expressions: Mapping[Path, str], force: bool) -> Iterator[Growth]:
    """Results that grow in their folders as long as the block lasts; an error that ends it is told what was left.

    Args:
        pipeline: What looks at the clip.
        clip: The clip.
        expressions: By the folder of each.
        force: Write among files that Gazecut did not write, too.

    Raises:
        OutputError: A folder cannot be written.
    """
    results = Growth(pipeline, clip)
    recipe = pipeline.recipe
    about = {"recipe": {"name": recipe.name, "digest": digest(recipe.filled())}, "clip": describe_clip(clip)}
    try:
        try:
            for folder, expression in expressions.items():
                results.begin(folder, expression, about, force)
            yield results
        finally:
            results.end()
    except BaseException as error:
        if left := results.left():
            error.add_note(left)
        raise
