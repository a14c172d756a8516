"""What this package brings: families of multimodal LLMs, and attention rollout."""

from gazecut.components import ComponentSpec, Register, hookimpl

_NEEDS = "gazecut[mllm]"
_REQUIRES = ("torch", "transformers", "torchvision")

_ALIKE = "and any checkpoint of that architecture"

_FAMILIES = (  # name, module, start of its classes' names, summary
    ("qwen2.5-vl", "qwen2_5_vl", "Qwen25VL", f"Qwen2.5-VL 3B, 7B, 32B, 72B, {_ALIKE}"),
    ("qwen3-vl", "qwen3_vl", "Qwen3VL", f"Qwen3-VL 2B, 4B, 8B, 32B, {_ALIKE}"),
    ("qwen2-vl", "qwen2_vl", "Qwen2VL", f"Qwen2-VL 2B, 7B, 72B, {_ALIKE}"),
    ("internvl3", "internvl3", "InternVL3", f'InternVL3 1B, 2B, 8B, 14B, 38B, 78B, {_ALIKE} ("-hf")'),
    ("llava-onevision", "llava_onevision", "LlavaOnevision", f'LLaVA-OneVision 0.5B, 7B, 72B, {_ALIKE} ("-hf")'),
)


@hookimpl
def register_mllm(register: Register) -> None:
    """Declare the multimodal LLM families."""
    for name, module, start, summary in _FAMILIES:
        register(
            ComponentSpec(
                name=name,
                summary=summary,
                target=f"gazecut_mllm.{module}:{start}Backend",
                config=f"gazecut_mllm.config:{start}Config",
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
