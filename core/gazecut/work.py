"""Work done, counted: what a session saved shows in what it did not do."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass
class Work:
    """Counts of expensive things; components add to the one in their `Runtime`, whoever wants a share takes the difference.

    Attributes:
        vision_runs: Views whose frames went through the vision tower.
        prefills: Visual prefixes that went through the language model; the frame view has one per batch of frames.
        refills: Prefixes that had to be made a second time, because the budget could not hold them.
        prompt_tokens: Tokens of prompts that went through the language model, visual ones included.
        generated_tokens: Tokens of answers.
        rollout_passes: Passes of the attribution, each over all rows of a view.
        frames_decoded: Frames taken from the clip.
        segmenter_encodings: Frames that the segmenter got ready.
        cache_hits: Results found on disk.
        cache_misses: Results looked for on disk in vain.
    """

    vision_runs: int = 0
    prefills: int = 0
    refills: int = 0
    prompt_tokens: int = 0
    generated_tokens: int = 0
    rollout_passes: int = 0
    frames_decoded: int = 0
    segmenter_encodings: int = 0
    cache_hits: int = 0
    cache_misses: int = 0

    def copy(self) -> Work:
        """The counts of this moment."""
        return Work(**{field.name: getattr(self, field.name) for field in fields(self)})

    def since(self, earlier: Work) -> Work:
        """What was done after an earlier moment."""
        return Work(**{field.name: getattr(self, field.name) - getattr(earlier, field.name) for field in fields(self)})
