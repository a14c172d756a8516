"""Muon for matrices, AdamW for the rest."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

import torch
from torch import Tensor, nn

MOMENTUM: Final = 0.95
DECAY: Final = 0.05  # per unit of learning rate
COEFFICIENTS: Final = (3.4445, -4.7750, 2.0315)  # quintic Newton-Schulz of Keller Jordan's Muon
ITERATIONS: Final = 5


class Muon(torch.optim.Optimizer):
    """Momentum whose update is orthogonalised; matrices of one shape are handled as one batch.

    A step is scaled by 0.2 * sqrt(larger side), so that AdamW's learning rates carry over.
    """

    def __init__(self, params: Iterable[Tensor], lr: float) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Apply one update from the gradients."""
        for group in self.param_groups:
            alike: dict[torch.Size, list[nn.Parameter]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    alike[parameter.flatten(1).shape].append(parameter)
            for shape, parameters in alike.items():
                directions = orthogonalise(torch.stack([self._momentum(p) for p in parameters]))
                rate = group["lr"] * 0.2 * max(shape) ** 0.5
                for parameter, direction in zip(parameters, directions, strict=True):
                    parameter.mul_(1.0 - group["lr"] * DECAY).sub_(direction.view_as(parameter), alpha=rate)

    def _momentum(self, parameter: nn.Parameter) -> Tensor:
        """Nesterov momentum as a matrix."""
        state = self.state[parameter]
        gradient = parameter.grad if parameter.grad is not None else torch.zeros_like(parameter)
        if not state:
            state["momentum"] = torch.zeros_like(gradient)
        momentum: Tensor = state["momentum"]
        momentum.lerp_(gradient, 1.0 - MOMENTUM)
        return gradient.lerp(momentum, MOMENTUM).flatten(1)


def orthogonalise(matrices: Tensor) -> Tensor:
    """Nearly orthogonal factors (N, rows, columns) of matrices, singular values about 0.7 to 1.2."""
    a, b, c = COEFFICIENTS
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = (x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)).bfloat16()
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    near: Tensor = x.mT if tall else x
    return near.float()


def build_optimizers(model: nn.Module, lr: float, lr_small: float) -> tuple[Muon, torch.optim.AdamW]:
    """Muon for weights of two or more axes, AdamW for embeddings, output layer, norms and biases."""
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        embedding = "embed_tokens" in name or "lm_head" in name
        (others if embedding or parameter.ndim < 2 else matrices).append(parameter)
    return Muon(matrices, lr), torch.optim.AdamW(others, lr_small, betas=(0.9, 0.98), weight_decay=0.01)
