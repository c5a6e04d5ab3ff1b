"""A checkpoint's weights as a model folder, and a model folder as a checkpoint."""

from pathlib import Path

import pytest
import torch

from aoede.models import CodecCausalLM
from aoede.training import run
from aoede.training.model_folder import dcp_to_folder, folder_to_dcp
from tests.training.toy_parallel import ToyObjective, loop_config, make_model, rows_of


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("trained")
    run(ToyObjective("none"), loop_config(3, best_metric=None), root)
    return root


def loss_of(model: CodecCausalLM) -> float:
    ids, labels = rows_of(7)
    with torch.no_grad():
        return float(model.eval()(input_ids=ids, labels=labels).loss)


def test_a_checkpoint_becomes_a_folder_that_transformers_reads(trained: Path, tmp_path: Path) -> None:
    folder = dcp_to_folder(trained / "checkpoints" / "step-00000003", tmp_path / "hf")
    model, info = CodecCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    weights = torch.load(trained / "export" / "weights.pt")
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())
    assert model.lm_head.weight is model.get_input_embeddings().weight
    assert {"config.json", "augmented.yaml", "causal_lm.py", "model.safetensors"} <= {f.name for f in folder.iterdir()}
    assert model.generation_config.eos_token_id == make_model().generation_config.eos_token_id


def test_the_averaged_weights_and_a_narrower_type_can_be_asked_for(trained: Path, tmp_path: Path) -> None:
    checkpoint = trained / "checkpoints" / "step-00000003"
    average = CodecCausalLM.from_pretrained(dcp_to_folder(checkpoint, tmp_path / "average", average=True))
    plain = CodecCausalLM.from_pretrained(dcp_to_folder(checkpoint, tmp_path / "half", dtype="bfloat16"), dtype="auto")
    assert plain.dtype == torch.bfloat16
    objective = ToyObjective("none")
    run(objective, loop_config(3, best_metric=None), tmp_path / "again")
    with objective.ema.applied(objective.model):
        assert loss_of(average) == pytest.approx(loss_of(objective.model), rel=1e-6)
    assert abs(loss_of(average) - loss_of(objective.model)) > 1e-3


@pytest.mark.parametrize("tied", [True, False])
def test_a_folder_becomes_a_checkpoint_to_start_from_and_comes_back_equal(tmp_path: Path, tied: bool) -> None:
    model = make_model(tied)
    with torch.no_grad():
        model.model.norm.weight.fill_(0.5)
    model.save_pretrained(tmp_path / "start")
    checkpoint = folder_to_dcp(tmp_path / "start", tmp_path / "ckpt")
    back = CodecCausalLM.from_pretrained(dcp_to_folder(checkpoint, tmp_path / "back"))
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in back.state_dict().items())
    objective = ToyObjective("none", tied=tied)
    run(objective, loop_config(1, eval_at_start=True, best_metric=None), tmp_path / "run", str(checkpoint))
    direct = ToyObjective("none", tied=tied)
    direct.model.load_state_dict(model.state_dict())
    direct.ema = type(direct.ema)(direct.model, 0.9)
    direct.train_step(0)
    for name, tensor in direct.model.state_dict().items():
        assert torch.equal(objective.model.state_dict()[name], tensor), name
    assert torch.equal(objective.ema._shadow["model.norm.weight"], direct.ema._shadow["model.norm.weight"])


def test_what_cannot_be_converted_is_named(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no tensors/: it is no checkpoint of format dcp"):
        dcp_to_folder(trained, tmp_path / "x")
    with pytest.raises(ValueError, match="exists already; give a new folder"):
        dcp_to_folder(trained / "checkpoints" / "step-00000003", tmp_path)
    with pytest.raises(ValueError, match="is no codec language model"):
        folder_to_dcp(tmp_path, tmp_path / "x")
    with pytest.raises(ValueError, match="dtype is 'int8'"):
        dcp_to_folder(trained / "checkpoints" / "step-00000003", tmp_path / "x", dtype="int8")
    assert not list(tmp_path.iterdir())
