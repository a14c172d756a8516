"""Fusion strategies: how maps of several questions and views become one."""

from __future__ import annotations

from gazecut.components import ComponentSpec, Register, hookimpl


@hookimpl
def register_fusion(register: Register) -> None:
    """Declare fusion strategies."""
    register(
        ComponentSpec(
            name="contrastive",
            summary="object map minus background map, smoothed (DecAF)",
            target="gazecut_fusion.contrastive:ContrastiveFusion",
            config="gazecut_fusion.config:ContrastiveOptions",
        )
    )
    register(
        ComponentSpec(
            name="complementary",
            summary="video view and frame view folded into one map (DecAF)",
            target="gazecut_fusion.complementary:ComplementaryFusion",
            config="gazecut_fusion.config:ComplementaryOptions",
        )
    )
    register(
        ComponentSpec(
            name="soft-prompt",
            summary="learned embeddings that steer the attention of each view (SteerSeg)",
            target="gazecut_fusion.soft_prompt:SoftPromptFusion",
            config="gazecut_fusion.config:SoftPromptOptions",
            identity="gazecut_fusion.soft_prompt_places:identify",
        )
    )


@hookimpl
def register_trainer(register: Register) -> None:
    """Declare trainers."""
    register(
        ComponentSpec(
            name="soft-prompt",
            summary="learns soft prompts through a frozen model's attention, on masks of a few clips (SteerSeg)",
            target="gazecut_fusion.soft_prompt_trainer:SoftPromptTrainer",
            config="gazecut_fusion.config:SoftPromptTrainerOptions",
            needs="gazecut[mllm]",
            requires=("torch", "accelerate"),
        )
    )
