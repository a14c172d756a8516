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
