import pytest
import torch

from ecgvlm.train.muon import Muon, orthogonal


@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 8, 24), (2, 24, 8)])
def test_all_directions_become_about_as_strong(shape):
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    strong = torch.linalg.svdvals(orthogonal(matrices))
    assert ((strong > 0.3) & (strong < 1.3)).all()
    # The directions themselves stay.
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    assert ((left @ right) * orthogonal(matrices)).sum((1, 2)).min() > 0.8 * min(shape[1:])


def test_matrices_of_one_shape_move_as_each_alone():
    torch.manual_seed(0)
    together = [torch.nn.Parameter(torch.randn(6, 4)) for _ in range(3)] + [
        torch.nn.Parameter(torch.ones(5, 5))
    ]
    alone = [torch.nn.Parameter(p.detach().clone()) for p in together]
    optimizers = [Muon(together, 0.1), *(Muon([p], 0.1) for p in alone)]
    for step in range(3):
        for p, q in zip(together, alone):
            p.grad, q.grad = (p * (step + 1)).detach(), (q * (step + 1)).detach()
        for optimizer in optimizers:
            optimizer.step()
    for p, q in zip(together, alone):
        assert torch.allclose(p, q, atol=1e-5)


def test_a_matrix_without_a_gradient_stays():
    p = torch.nn.Parameter(torch.ones(3, 3))
    Muon([p], 0.1).step()
    assert (p == 1).all()


def test_a_least_square_is_found():
    torch.manual_seed(0)
    wanted, p = torch.randn(8, 8), torch.nn.Parameter(torch.zeros(8, 8))
    optimizer = Muon([p], 0.1)
    x = torch.randn(64, 8)
    for step in range(200):
        optimizer.param_groups[0]["lr"] = 0.1 * (1 - step / 200)
        optimizer.zero_grad()
        loss = ((x @ p - x @ wanted) ** 2).mean()
        loss.backward()
        optimizer.step()
    assert loss < 0.02
