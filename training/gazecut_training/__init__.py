"""Training of the pocket models, a multimodal LLM and a SAM 2. Not shipped in the wheel."""
