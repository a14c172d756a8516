"""The built-in segmenters."""

from __future__ import annotations

from gazecut.components import ComponentSpec, Register, hookimpl

_SAM2_CONVERTER = "gazecut_segmenter.sam2_convert:convert"


@hookimpl
def register_segmenter(register: Register) -> None:
    """Declare segmenters."""
    register(
        ComponentSpec(
            name="sam2-hf",
            summary="SAM 2 and 2.1, tiny to large, as transformers ships them",
            target="gazecut_segmenter.sam2_hf:Sam2HfSegmenter",
            config="gazecut_segmenter.config:Sam2HfOptions",
            needs="gazecut[mllm]",
            requires=("torch", "transformers", "torchvision"),
            identity="gazecut_segmenter.sam2_files:identify",
            converter=_SAM2_CONVERTER,
        )
    )
    register(
        ComponentSpec(
            name="sam2",
            summary="SAM 2 and 2.1 as Meta's package has them, with its checkpoints and configurations",
            target="gazecut_segmenter.sam2_package:Sam2Segmenter",
            config="gazecut_segmenter.config:Sam2Options",
            needs="gazecut[sam2]",
            requires=("torch", "transformers", "torchvision", "hydra", "iopath", "sam2"),
            identity="gazecut_segmenter.sam2_files:identify_configured",
            converter=_SAM2_CONVERTER,
        )
    )
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
