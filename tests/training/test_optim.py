import copy

import pytest
import torch
from torch import nn

from aoede.training.optim import EMA, OptimConfig, Optimizer


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(5, 4)
        self.hidden = nn.Linear(4, 4)
        self.alpha = nn.Parameter(torch.ones(1, 4, 1))
        self.lm_head = nn.Linear(4, 5, bias=False)

    def forward(self, ids):
        return self.lm_head(self.hidden(self.embed(ids)) * self.alpha[0, :, 0])


def one_step(net: Net, optimizer: Optimizer, factor: float = 1.0) -> float:
    nn.functional.cross_entropy(net(torch.tensor([0, 1, 2])), torch.tensor([1, 2, 3])).backward()
    return optimizer.step(factor)


def test_vectors_are_never_decayed_whatever_their_number_of_dimensions():
    net = Net()
    before = {name: parameter.detach().clone() for name, parameter in net.named_parameters()}
    optimizer = Optimizer(net, OptimConfig(lr=0.1, weight_decay=0.5))
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, parameter in net.named_parameters():
        expected = before[name] * (0.95 if parameter.numel() > 5 else 1.0)
        torch.testing.assert_close(parameter.detach(), expected)


def test_muon_takes_hidden_matrices_only():
    optimizer = Optimizer(Net(), OptimConfig(kind="muon"))
    adamw, muon = optimizer._optimizers
    assert [list(p.shape) for group in muon.param_groups for p in group["params"]] == [[4, 4]]
    assert sum(len(group["params"]) for group in adamw.param_groups) == 4


def test_the_gradient_is_clipped_and_its_norm_before_that_reported():
    net = Net()
    optimizer = Optimizer(net, OptimConfig(clip=1e-3))
    for parameter in net.parameters():
        parameter.grad = torch.full_like(parameter, 2.0)
    count = sum(parameter.numel() for parameter in net.parameters())
    assert optimizer.step() == pytest.approx(2.0 * count**0.5)
    assert all(parameter.grad is None for parameter in net.parameters())


def test_the_factor_scales_every_learning_rate():
    optimizer = Optimizer(Net(), OptimConfig(kind="muon", lr=0.1, muon_lr=0.4))
    one_step(Net(), optimizer, 0.5)
    rates = [group["lr"] for inner in optimizer._optimizers for group in inner.param_groups]
    assert rates == pytest.approx([0.05, 0.05, 0.2])


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_a_restored_optimizer_moves_the_weights_to_the_same_bits(kind):
    config = OptimConfig(kind=kind, lr=0.01)
    net = Net()
    optimizer = Optimizer(net, config)
    one_step(net, optimizer)
    other = Net()
    other.load_state_dict(net.state_dict())
    restored = Optimizer(other, config)
    restored.load_state_dict(copy.deepcopy(optimizer.state_dict()))  # as a checkpoint: no tensor is shared
    for _ in range(2):
        assert one_step(net, optimizer) == one_step(other, restored)
    for mine, theirs in zip(net.parameters(), other.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_a_restored_optimizer_keeps_the_new_recipe_s_decay():
    old, new = Optimizer(Net(), OptimConfig(weight_decay=0.5)), Optimizer(Net(), OptimConfig(weight_decay=0.1))
    new.load_state_dict(old.state_dict())
    assert [group["weight_decay"] for group in new._optimizers[0].param_groups] == [0.1, 0.0]


def test_the_state_of_another_kind_is_refused():
    with pytest.raises(ValueError, match="kind 'muon'"):
        Optimizer(Net(), OptimConfig(kind="muon")).load_state_dict(Optimizer(Net(), OptimConfig()).state_dict())


def test_a_frozen_module_cannot_be_trained():
    net = Net().requires_grad_(False)
    with pytest.raises(ValueError, match="nothing to train"):
        Optimizer(net, OptimConfig())


def test_an_average_follows_its_formula_and_swaps_in_and_out():
    net = nn.Linear(1, 1, bias=False)
    net.weight.data.fill_(0.0)
    average = EMA(net, decay=0.75, warmup=False)
    net.weight.data.fill_(1.0)
    average.update(net)
    average.update(net)
    with average.applied(net):
        assert net.weight.item() == pytest.approx(1 - 0.75**2)
    assert net.weight.item() == 1.0


def test_an_average_warms_up():
    net = nn.Linear(1, 1, bias=False)
    net.weight.data.fill_(0.0)
    average = EMA(net, decay=0.999)
    net.weight.data.fill_(1.0)
    average.update(net)  # decay (1 + 1) / (10 + 1)
    average.copy_to(net)
    assert net.weight.item() == pytest.approx(9 / 11)


def test_an_average_of_another_model_is_refused():
    with pytest.raises(ValueError, match="do not fit"):
        EMA(nn.Linear(2, 2)).load_state_dict(EMA(nn.Linear(2, 2, bias=False)).state_dict())


def test_an_average_adopts_rows_that_were_set_anew():
    module = torch.nn.Linear(1, 3, bias=False)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([[0.0], [0.0], [0.0]]))
    average = EMA(module, decay=0.5, warmup=False)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([[2.0], [4.0], [6.0]]))
    average.update(module)
    average.adopt("weight", module.weight, torch.tensor([False, True, False]))
    average.copy_to(module)
    assert module.weight.flatten().tolist() == [1.0, 4.0, 3.0]


class Kernels(nn.Module):
    """The kinds of kernel that a codec has: first and last layer, depthwise, dense, strided, transposed."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv1d(1, 4, 7, padding=3)
        self.depthwise = nn.Conv1d(4, 4, 7, padding=3, groups=4)
        self.dense = nn.utils.parametrizations.weight_norm(nn.Conv1d(4, 6, 3, padding=1))
        self.transposed = nn.ConvTranspose1d(6, 4, 4, stride=2, padding=1)
        self.last = nn.Conv1d(4, 1, 7, padding=3)

    def forward(self, x):
        return self.last(self.transposed(torch.tanh(self.dense(self.depthwise(self.first(x))))))


MUON = OptimConfig(kind="muon", lr=1e-3, muon_lr=2e-2, weight_decay=0.1, clip=None)


def learn(net: Kernels, optimizer: Optimizer, steps: range) -> None:
    for step in steps:
        x = torch.randn(2, 1, 16, generator=torch.Generator().manual_seed(step))
        (net(x) - 1.0).square().mean().backward()
        optimizer.step()


def test_muon_takes_the_kernels_that_mix_channels_as_matrices_over_the_same_memory():
    net = Kernels()
    adamw, muon = Optimizer(net, MUON)._optimizers
    dense = net.dense.parametrizations.weight.original1
    flat = [matrix for group in muon.param_groups for matrix in group["params"]]
    # [in, out, k] of a transposed kernel: the rows are its inputs.
    assert sorted(list(matrix.shape) for matrix in flat) == [[6, 4 * 3], [6, 4 * 4]]
    assert {matrix.data_ptr() for matrix in flat} == {dense.data_ptr(), net.transposed.weight.data_ptr()}
    decayed, plain = ([parameter for parameter in group["params"]] for group in adamw.param_groups)
    weights = (net.first.weight, net.depthwise.weight, net.last.weight)
    assert {id(parameter) for parameter in decayed} == {id(weight) for weight in weights}
    magnitude = net.dense.parametrizations.weight.original0
    assert any(parameter is magnitude for parameter in plain) and len(plain) == 6  # and five biases


def test_a_kernel_moves_as_muon_moves_its_matrix():
    net = Kernels()
    optimizer = Optimizer(net, MUON)
    weight = net.transposed.weight
    matrix = nn.Parameter(weight.detach().clone().view(6, 16))
    reference = torch.optim.Muon([matrix], lr=2e-2, momentum=0.95, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    before = weight.detach().clone()
    for step in range(3):
        x = torch.randn(2, 1, 16, generator=torch.Generator().manual_seed(step))
        net(x).square().mean().backward()
        matrix.grad = weight.grad.clone().view(6, 16)
        optimizer.step()
        reference.step()
        assert torch.equal(weight.detach().view(6, 16), matrix.detach())
    assert not torch.equal(weight.detach(), before)


def test_a_resumed_run_of_kernels_is_the_uninterrupted_one_to_the_bit():
    whole, first, second = Kernels(), Kernels(), Kernels()
    learn(whole, Optimizer(whole, MUON), range(6))
    optimizer = Optimizer(first, MUON)
    learn(first, optimizer, range(3))
    saved = copy.deepcopy({"net": first.state_dict(), "optimizer": optimizer.state_dict()})
    resumed = Optimizer(second, MUON)
    second.load_state_dict(saved["net"])
    resumed.load_state_dict(saved["optimizer"])
    learn(second, resumed, range(3, 6))
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), second.parameters(), strict=True))
    assert not torch.equal(first.transposed.weight, second.transposed.weight)


def test_a_matrix_for_muon_keeps_no_gradient_after_the_step():
    net = Kernels()
    optimizer = Optimizer(net, MUON)
    learn(net, optimizer, range(1))
    assert all(parameter.grad is None for parameter in net.parameters())
    assert all(matrix.grad is None for matrix, _ in optimizer._flat)


def test_embeddings_and_new_rows_move_at_rates_of_their_own():
    """One AdamW step with a gradient of ones moves every weight by its rate; decay is scaled by the rate too."""
    net = Net()
    before = {name: parameter.detach().clone() for name, parameter in net.named_parameters()}
    config = OptimConfig(lr=0.1, decoupled_lr=0.02, new_rows_lr=0.3, weight_decay=0.5, decoupled_weight_decay=0.25)
    rows = [net.embed.weight, net.lm_head.weight]
    optimizer = Optimizer(net, config, decoupled=rows, new_rows=range(3, 5))
    for parameter in net.parameters():
        parameter.grad = torch.full_like(parameter, 1e-3)
    optimizer.step(0.5)

    def moved(start: torch.Tensor, lr: float, decay: float) -> torch.Tensor:
        return start * (1 - 0.5 * lr * decay) - 0.5 * lr

    for name in ("embed.weight", "lm_head.weight"):
        now = dict(net.named_parameters())[name].detach()
        torch.testing.assert_close(now[:3], moved(before[name][:3], 0.02, 0.25), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(now[3:], moved(before[name][3:], 0.3, 0.25), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        net.hidden.weight.detach(), moved(before["hidden.weight"], 0.1, 0.5), rtol=1e-4, atol=1e-5
    )


def test_rows_of_rate_nought_stay_to_the_bit():
    net = Net()
    before = net.embed.weight.detach().clone()
    config = OptimConfig(lr=0.1, decoupled_lr=0.0, new_rows_lr=0.1, weight_decay=0.5)
    optimizer = Optimizer(net, config, decoupled=[net.embed.weight], new_rows=range(2, 5))
    for _ in range(3):
        one_step(net, optimizer)
    assert torch.equal(net.embed.weight[:2], before[:2])
    assert not torch.equal(net.embed.weight[2:], before[2:])


@pytest.mark.parametrize("new_rows_lr", [None, 0.05])
def test_equal_rates_are_one_rate(new_rows_lr):
    nets = [Net(), Net()]
    plain = Optimizer(nets[0], OptimConfig(lr=0.05))
    config = OptimConfig(lr=0.05, decoupled_lr=0.05, new_rows_lr=new_rows_lr)
    apart = Optimizer(nets[1], config, decoupled=[nets[1].embed.weight], new_rows=range(3, 5))
    for _ in range(3):
        assert one_step(nets[0], plain) == pytest.approx(one_step(nets[1], apart))
    for one, other in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_a_restored_optimizer_with_row_rates_moves_the_weights_to_the_same_bits():
    config = OptimConfig(lr=0.01, new_rows_lr=0.1)

    def make(net: Net) -> Optimizer:
        return Optimizer(net, config, decoupled=[net.embed.weight], new_rows=range(3, 5))

    net, other = Net(), Net()
    optimizer = make(net)
    one_step(net, optimizer)
    other.load_state_dict(net.state_dict())
    restored = make(other)
    restored.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    one_step(net, optimizer), one_step(other, restored)
    for mine, theirs in zip(net.parameters(), other.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    with pytest.raises(ValueError, match=r"groups of .* must stay as it was"):
        Optimizer(other, OptimConfig()).load_state_dict(optimizer.state_dict())


def test_rates_without_anything_to_move_are_refused():
    with pytest.raises(ValueError, match="for embeddings and heads"):
        Optimizer(Net(), OptimConfig(decoupled_lr=0.1))
    net = Net()
    with pytest.raises(ValueError, match="no rows are new"):
        Optimizer(net, OptimConfig(new_rows_lr=0.1), decoupled=[net.embed.weight])
    with pytest.raises(ValueError, match="must be the last ones"):
        Optimizer(net, OptimConfig(new_rows_lr=0.1), decoupled=[net.embed.weight], new_rows=range(2, 4))
    with pytest.raises(ValueError, match="decoupled_lr is -1"):
        OptimConfig(decoupled_lr=-1.0)
