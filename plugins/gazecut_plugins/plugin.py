"""The light built-ins: frame samplers, point selectors, tracklet scorers, exporters."""

from __future__ import annotations

from gazecut.components import ComponentSpec, Register, hookimpl


@hookimpl
def register_sampler(register: Register) -> None:
    """Declare samplers."""
    register(
        ComponentSpec(
            name="uniform",
            summary="frames at even distances, first and last included",
            target="gazecut_plugins.uniform:UniformSampler",
            config="gazecut_plugins.config:UniformOptions",
        )
    )
    register(
        ComponentSpec(
            name="every",
            summary="a frame each so many seconds",
            target="gazecut_plugins.every:EverySampler",
            config="gazecut_plugins.config:EveryOptions",
        )
    )
    register(
        ComponentSpec(
            name="windows",
            summary="overlapping windows of a long clip or a stream, one after the other",
            target="gazecut_plugins.windows:WindowsSampler",
            config="gazecut_plugins.config:WindowsOptions",
        )
    )
    register(
        ComponentSpec(
            name="scenes",
            summary="windows that begin and end at the cuts of a film",
            target="gazecut_plugins.scenes:ScenesSampler",
            config="gazecut_plugins.config:ScenesOptions",
            needs="gazecut[scenes]",
            requires=("scenedetect",),
        )
    )


@hookimpl
def register_selector(register: Register) -> None:
    """Declare point selectors."""
    register(
        ComponentSpec(
            name="threshold",
            summary="every cell above a threshold (DecAF)",
            target="gazecut_plugins.threshold:ThresholdSelector",
            config="gazecut_plugins.config:ThresholdOptions",
        )
    )
    register(
        ComponentSpec(
            name="argmax",
            summary="the highest cell of each frame (SteerSeg)",
            target="gazecut_plugins.argmax:ArgmaxSelector",
            config="gazecut_plugins.config:ArgmaxOptions",
        )
    )


@hookimpl
def register_scorer(register: Register) -> None:
    """Declare tracklet scorers."""
    register(
        ComponentSpec(
            name="attention-consistency",
            summary="agreement with the fused attention over the whole clip (DecAF)",
            target="gazecut_plugins.attention_consistency:AttentionConsistencyScorer",
            config="gazecut_plugins.config:AttentionConsistencyOptions",
        )
    )
    register(
        ComponentSpec(
            name="object-score",
            summary="the prompt's attention and the segmenter's own trust",
            target="gazecut_plugins.object_score:ObjectScoreScorer",
            config="gazecut_plugins.config:ObjectScoreOptions",
        )
    )
    register(
        ComponentSpec(
            name="pearson",
            summary="correlation with the attention of each view; keeps the best (SteerSeg)",
            target="gazecut_plugins.pearson:PearsonScorer",
            config="gazecut_plugins.config:PearsonOptions",
        )
    )


@hookimpl
def register_exporter(register: Register) -> None:
    """Declare exporters."""
    register(
        ComponentSpec(
            name="masks",
            summary="palette images and run-length codes of every frame",
            target="gazecut_plugins.exporters.masks:MasksExporter",
            config="gazecut_plugins.exporters.config:MasksOptions",
        )
    )
    register(
        ComponentSpec(
            name="overlay",
            summary="the clip with its objects tinted and outlined, as H.264 video",
            target="gazecut_plugins.exporters.overlay:OverlayExporter",
            config="gazecut_plugins.exporters.config:OverlayOptions",
        )
    )
    register(
        ComponentSpec(
            name="heatmaps",
            summary="the maps as safetensors",
            target="gazecut_plugins.exporters.heatmaps:HeatmapsExporter",
            config="gazecut_plugins.exporters.config:HeatmapsOptions",
        )
    )
    register(
        ComponentSpec(
            name="sheet",
            summary="a contact sheet of the sampled frames: attention, points, candidates, masks",
            target="gazecut_plugins.exporters.sheet:SheetExporter",
            config="gazecut_plugins.exporters.config:SheetOptions",
        )
    )
    register(
        ComponentSpec(
            name="manifest",
            summary="run.json: what is enough to repeat the run, and what was measured",
            target="gazecut_plugins.exporters.manifest:ManifestExporter",
            config="gazecut_plugins.exporters.config:ManifestOptions",
        )
    )
