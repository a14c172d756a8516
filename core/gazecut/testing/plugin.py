"""The fakes as a plugin, so that recipes can name them."""

from __future__ import annotations

from gazecut.components import ComponentSpec, Register, hookimpl

_FAKES = "gazecut.testing.fakes"
_OPTIONS = "gazecut.testing.options"


@hookimpl
def register_sampler(register: Register) -> None:
    """Declare the sampler."""
    register(ComponentSpec("fake", "every n-th frame", f"{_FAKES}:FakeSampler", f"{_OPTIONS}:FakeSamplerOptions"))


@hookimpl
def register_mllm(register: Register) -> None:
    """Declare the multimodal LLM."""
    register(ComponentSpec("fake", "answers from a script, looks at what stands out", f"{_FAKES}:FakeMLLM", f"{_OPTIONS}:FakeMLLMOptions"))


@hookimpl
def register_attribution(register: Register) -> None:
    """Declare the attribution."""
    register(ComponentSpec("fake", "the last token's own attention", f"{_FAKES}:FakeAttribution", f"{_OPTIONS}:FakeAttributionOptions"))


@hookimpl
def register_fusion(register: Register) -> None:
    """Declare the fusion strategies."""
    register(ComponentSpec("fake-mean", "both views, and their mean", f"{_FAKES}:FakeMean", f"{_OPTIONS}:FakeMeanOptions"))
    register(
        ComponentSpec("fake-difference", "object map minus background map", f"{_FAKES}:FakeDifference", f"{_OPTIONS}:FakeDifferenceOptions")
    )


@hookimpl
def register_selector(register: Register) -> None:
    """Declare the selector."""
    register(ComponentSpec("fake", "the k highest cells of each frame", f"{_FAKES}:FakeSelector", f"{_OPTIONS}:FakeSelectorOptions"))


@hookimpl
def register_segmenter(register: Register) -> None:
    """Declare the segmenter."""
    register(ComponentSpec("fake", "what stands out of the clip", f"{_FAKES}:FakeSegmenter", f"{_OPTIONS}:FakeSegmenterOptions"))


@hookimpl
def register_scorer(register: Register) -> None:
    """Declare the scorer."""
    register(
        ComponentSpec("fake", "the share of the attention that a tracklet covers", f"{_FAKES}:FakeScorer", f"{_OPTIONS}:FakeScorerOptions")
    )


@hookimpl
def register_exporter(register: Register) -> None:
    """Declare the exporter."""
    register(ComponentSpec("fake", "fake.json: pixels of every object", f"{_FAKES}:FakeExporter", f"{_OPTIONS}:FakeExporterOptions"))
