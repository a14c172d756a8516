"""Muon for matrices, AdamW for the rest."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Final

import torch
from torch import Tensor, nn

MOMENTUM: Final = 0.95
MUON_DECAY: Final = 0.05  # of weights, per unit of learning rate
COEFFICIENTS: Final = (3.4445, -4.7750, 2.0315)  # quintic Newton-Schulz of Keller Jordan's Muon
ITERATIONS: Final = 5
SCALE: Final = 0.2  # of a step, times the root of the larger side: so that AdamW's learning rates carry over
ADAM_BETAS: Final = (0.9, 0.98)  # squares are averaged over 50 steps, not the stock 1,000: a run has a few thousand
ADAM_DECAY: Final = 0.01


class Muon(torch.optim.Optimizer):
    """Momentum whose update is orthogonalised; matrices of one shape are handled as one batch."""

    def __init__(self, params: Iterable[Tensor], lr: float) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Apply one update from the gradients."""
        for group in self.param_groups:
            alike: dict[torch.Size, list[tuple[nn.Parameter, Tensor]]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    alike[parameter.flatten(1).shape].append((parameter, parameter.grad))
            for shape, moved in alike.items():
                directions = orthogonalise(torch.stack([self._momentum(*each) for each in moved]))
                rate = group["lr"] * SCALE * max(shape) ** 0.5
                for (parameter, _), direction in zip(moved, directions, strict=True):
                    parameter.mul_(1.0 - group["lr"] * MUON_DECAY).sub_(direction.view_as(parameter), alpha=rate)

    def _momentum(self, parameter: nn.Parameter, gradient: Tensor) -> Tensor:
        """Nesterov momentum as a matrix."""
        state = self.state[parameter]
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


def build_optimizers(
    model: nn.Module, lr: float, lr_small: float, is_matrix: Callable[[str, Tensor], bool]
) -> tuple[Muon, torch.optim.AdamW]:
    """Muon for matrices, AdamW for everything else.

    Args:
        model: What is trained.
        lr: Muon's learning rate.
        lr_small: AdamW's.
        is_matrix: By name and values, whether Muon takes a parameter.
    """
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        (matrices if is_matrix(name, parameter) else others).append(parameter)
    return Muon(matrices, lr), torch.optim.AdamW(others, lr_small, betas=ADAM_BETAS, weight_decay=ADAM_DECAY)
