"""Muon (Jordan et al. 2024): matrices move by their momentum, made orthogonal, so that every direction of a
layer learns, not its few loudest ones."""

from __future__ import annotations

from collections.abc import Iterable

import torch

_STEPS = 5
# Coefficients of the iteration, which takes singular values to about 1 in so many steps (Jordan et al.).
_A, _B, _C = 3.4445, -4.7750, 2.0315


class Muon(torch.optim.Optimizer):
    """For the matrices between a net's layers. Those of one shape move together, in few large products.

    lr: the length of a step, as the largest factor by which it stretches a vector.
    """

    def __init__(self, matrices: Iterable[torch.nn.Parameter], lr: float, momentum: float = 0.95):
        shapes: dict[torch.Size, list[torch.nn.Parameter]] = {}
        for matrix in matrices:
            shapes.setdefault(matrix.shape, []).append(matrix)
        super().__init__([{"params": alike} for alike in shapes.values()], {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Matrices that have no gradient stay."""
        for group in self.param_groups:
            moved = [p for p in group["params"] if p.grad is not None]
            if not moved:
                continue
            rows, columns = moved[0].shape
            gradients = [p.grad for p in moved]
            for p in moved:
                self.state[p].setdefault("momentum", torch.zeros_like(p))
            kept = [self.state[p]["momentum"] for p in moved]
            torch._foreach_lerp_(kept, gradients, 1 - group["momentum"])
            ahead = torch._foreach_lerp(gradients, kept, group["momentum"])
            turned = orthogonal(torch.stack(ahead)).to(moved[0].dtype)
            rate = group["lr"] * max(1.0, rows / columns) ** 0.5
            torch._foreach_add_(moved, list(turned.unbind()), alpha=-rate)


def orthogonal(matrices: torch.Tensor) -> torch.Tensor:
    """[n, R, C] with singular values of about 1, by Newton and Schulz; on a GPU in bfloat16."""
    x = matrices.to(torch.bfloat16 if matrices.is_cuda else matrices.dtype)
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(_STEPS):
        square = x @ x.mT
        x = _A * x + (_B * square + _C * square @ square) @ x
    return x.mT if tall else x
