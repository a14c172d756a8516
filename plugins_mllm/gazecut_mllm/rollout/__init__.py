"""Attention rollout of single rows: exact, without any attention matrix, differentiable; three kernels behind one function."""

from gazecut_mllm.rollout.attribution import RolloutAttribution
from gazecut_mllm.rollout.driver import Method, rollout_row, rollout_rows
from gazecut_mllm.rollout.reach import Masking

__all__ = ["Masking", "Method", "RolloutAttribution", "rollout_row", "rollout_rows"]
