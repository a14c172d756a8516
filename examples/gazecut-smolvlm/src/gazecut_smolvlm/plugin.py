"""What this package adds to Gazecut. Imports nothing else, so that listings stay fast."""

from gazecut.components import ComponentSpec, Register, hookimpl


@hookimpl
def register_mllm(register: Register) -> None:
    """Declare the family."""
    register(
        ComponentSpec(
            name="smolvlm",
            summary="SmolVLM2 256M, 500M, 2.2B, and any checkpoint of that architecture",
            target="gazecut_smolvlm.smolvlm:SmolVLMBackend",
            config="gazecut_smolvlm.config:SmolVLMOptions",
            needs="gazecut-smolvlm",
            requires=("torch", "transformers", "torchvision", "num2words"),
            identity="gazecut_mllm.checkpoint:identify",
        )
    )
