"""The built-in segmenters."""

from __future__ import annotations

from gazecut.components import ComponentSpec, Register, hookimpl


@hookimpl
def register_segmenter(register: Register) -> None:
    """Declare segmenters."""
    register(
        ComponentSpec(
            name="classical",
            summary="GrabCut seeded by map and points, followed by DIS optical flow; OpenCV, no weights",
            target="gazecut_segmenter.classical:ClassicalSegmenter",
            config="gazecut_segmenter.config:ClassicalOptions",
        )
    )
    register(
        ComponentSpec(
            name="attention",
            summary="Otsu's threshold on the map itself (DecAF's attention masks); no weights",
            target="gazecut_segmenter.attention:AttentionSegmenter",
            config="gazecut_segmenter.config:AttentionOptions",
        )
    )
