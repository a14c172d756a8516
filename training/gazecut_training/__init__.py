"""Training of the pocket multimodal LLM. Not shipped in the wheel."""
