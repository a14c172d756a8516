"""Multimodal LLMs and attributions: where a model looks while it answers."""
