import pytest
import torch
from torch import nn

from aoede.training.objective import TrainedState
from aoede.training.optim import EMA, OptimConfig, Optimizer


def make(ema: bool, frozen: bool = False) -> TrainedState:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    model[0].weight.requires_grad_(not frozen)
    return TrainedState(
        model, Optimizer(model, OptimConfig()), ema=EMA(model, 0.9) if ema else None, adapter_only=frozen
    )


def test_what_an_adapter_leaves_alone_is_not_saved():
    assert set(make(False).save()["model"]) == {"0.weight", "0.bias", "1.weight", "1.bias"}
    assert set(make(False, frozen=True).save()["model"]) == {"0.bias", "1.weight", "1.bias"}


def test_weights_of_another_model_are_refused():
    state = make(False)
    with pytest.raises(ValueError, match=r"0\.weight is in one of them only; resume with"):
        state.load(make(False, frozen=True).save())
    wrong = state.save()
    wrong["model"]["0.weight"] = torch.zeros(4, 4)
    with pytest.raises(ValueError, match=r"does not fit the recipe's model .*0\.weight"):
        state.load(wrong)


def test_an_average_that_was_not_saved_begins_at_the_loaded_weights(capsys):
    saved = make(False).save()
    saved["model"] = {name: tensor + 1.0 for name, tensor in saved["model"].items()}
    state = make(True)
    state.load(saved)
    assert "the average begins here" in capsys.readouterr().err
    assert state.ema is not None
    with state.ema.applied(state.model):
        assert torch.equal(state.model[0].weight, saved["model"]["0.weight"])
    again = make(True)
    again.load(state.save())
    assert capsys.readouterr().err == "" and again.ema is not None and again.ema.updates == state.ema.updates
