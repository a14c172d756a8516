"""What this package brings: Qwen2-VL and Qwen2.5-VL, and attention rollout."""

from gazecut.components import ComponentSpec, Register, hookimpl

_NEEDS = "gazecut[mllm]"
_REQUIRES = ("torch", "transformers", "torchvision")


@hookimpl
def register_mllm(register: Register) -> None:
    """Declare the multimodal LLM families."""
    register(
        ComponentSpec(
            name="qwen2.5-vl",
            summary="Qwen2.5-VL 3B, 7B, 32B, 72B, and any checkpoint of that architecture",
            target="gazecut_mllm.qwen2_5_vl:Qwen25VLBackend",
            config="gazecut_mllm.config:Qwen25VLConfig",
            needs=_NEEDS,
            requires=_REQUIRES,
            identity="gazecut_mllm.checkpoint:identify",
        )
    )
    register(
        ComponentSpec(
            name="qwen2-vl",
            summary="Qwen2-VL 2B, 7B, 72B, and any checkpoint of that architecture",
            target="gazecut_mllm.qwen2_vl:Qwen2VLBackend",
            config="gazecut_mllm.config:Qwen2VLConfig",
            needs=_NEEDS,
            requires=_REQUIRES,
            identity="gazecut_mllm.checkpoint:identify",
        )
    )


@hookimpl
def register_attribution(register: Register) -> None:
    """Declare the attributions."""
    register(
        ComponentSpec(
            name="rollout",
            summary="Attention rollout of one row through the layers, heads weighted by what they see (DecAF, section 3.1)",
            target="gazecut_mllm.rollout:RolloutAttribution",
            config="gazecut_mllm.config:RolloutConfig",
            needs=_NEEDS,
            requires=_REQUIRES,
        )
    )
