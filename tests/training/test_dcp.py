"""Checkpoints in parts: copied at once, written behind the run's back, complete or absent, read without harm."""

import pickle
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from aoede.training import checkpoint as ckpt
from aoede.training import dcp as parts
from aoede.training import run
from tests.training.test_sharded import rows
from tests.training.toy_parallel import ToyObjective, loop_config


def state_of(value: float) -> dict[str, Any]:
    weight = torch.full((3, 2), value)
    model = {"a.weight": weight, "tied": weight, "count": torch.tensor(7)}
    return {
        "loop": {"step": 1}, "objective": {"model": model, "list": [torch.arange(2), "text", (1.5, None)]}
    }  # fmt: skip


def written(root: Path, step: int = 1, value: float = 1.0) -> Path:
    writer = parts.DcpWriter(root, keep=2)
    writer.save(step, state_of(value), "steps: 1\n")
    writer.wait()
    return root / f"step-{step:08d}"


def test_a_state_comes_back_equal_with_tied_tensors_written_once(tmp_path: Path) -> None:
    path = written(tmp_path)
    assert sorted(parts.sizes_of(path)) == ["list.0", "model.a.weight", "model.count"]
    state = parts.load_state(path, {})
    model = state["objective"]["model"]
    assert torch.equal(model["a.weight"], torch.ones(3, 2)) and model["tied"] is model["a.weight"]
    assert model["count"].item() == 7 and state["objective"]["list"][1:] == ["text", (1.5, None)]
    assert (path / "recipe.yaml").read_text() == "steps: 1\n"
    assert ckpt.latest_checkpoint(tmp_path) == path


def test_present_tensors_are_filled_in_place_under_both_names_of_a_tie(tmp_path: Path) -> None:
    path = written(tmp_path)
    one, other = torch.zeros(3, 2), torch.zeros(3, 2)
    state = parts.load_state(path, {"model": {"a.weight": one, "tied": other}})
    assert state["objective"]["model"]["a.weight"] is one and state["objective"]["model"]["tied"] is other
    assert torch.equal(one, torch.ones(3, 2)) and torch.equal(other, one)


def test_a_save_copies_at_once_and_leaves_nothing_visible_until_it_is_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, real = threading.Event(), parts._save

    def slow(tensors: dict[str, Tensor], folder: Path, group: Any) -> None:
        assert go_on.wait(30)
        real(tensors, folder, group)

    monkeypatch.setattr(parts, "_save", slow)
    writer, state = parts.DcpWriter(tmp_path, keep=2), state_of(1.0)
    writer.save(1, state)
    state["objective"]["model"]["a.weight"].fill_(9.0)  # training goes on
    assert ckpt.list_checkpoints(tmp_path) == []
    go_on.set()
    writer.wait()
    assert torch.equal(parts.load_state(tmp_path / "step-00000001", {})["objective"]["model"]["tied"], torch.ones(3, 2))


def test_a_checkpoint_that_cannot_be_written_is_told_at_the_next_one(tmp_path: Path) -> None:
    writer = parts.DcpWriter(tmp_path, keep=2)
    writer.save(1, state_of(1.0))
    writer.wait()

    def spoil(model: Path) -> None:
        (model.parent / "tensors").write_text("a file where the folder belongs")

    writer.save(2, state_of(2.0), describe=spoil)
    with pytest.raises(OSError, match=r"the checkpoint of step 2 could not be written: .*tensors"):
        writer.save(3, state_of(3.0))
    assert [ckpt.step_of(path) for path in ckpt.list_checkpoints(tmp_path)] == [1]


def test_what_is_no_checkpoint_of_this_model_is_named(tmp_path: Path) -> None:
    path = written(tmp_path)
    with pytest.raises(ValueError, match=r"model.a.weight is \[3, 2\] in the checkpoint and \[4, 2\] in the recipe"):
        parts.load_state(path, {"model": {"a.weight": torch.zeros(4, 2)}})
    data = next((path / "tensors").glob("*.distcp"))
    data.write_bytes(data.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"tensors cannot be read .*move step-00000001 away"):
        parts.load_state(path, {})
    data.unlink()
    with pytest.raises(ValueError, match="tensors cannot be read"):
        parts.load_state(path, {})
    (path / "tensors" / ".metadata").unlink()
    with pytest.raises(ValueError, match="step-00000001 is no complete checkpoint"):
        parts.load_state(path, {})


class Harm:
    def __reduce__(self) -> Any:
        return (print, ("harm",))


@pytest.mark.parametrize("kind", ["a call", "a module behind an allowed one"])
def test_a_table_of_contents_runs_nothing(tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path)
    harm = pickle.dumps(Harm())
    if kind != "a call":  # names may have dots: os, which that module imports, and then getcwd
        module, function = b"torch.distributed.checkpoint.metadata", b"os.getcwd"
        harm = (
            b"\x80\x04\x8c" + bytes([len(module)]) + module + b"\x8c" + bytes([len(function)]) + function + b"\x93)R."
        )
    (path / "tensors" / ".metadata").write_bytes(harm)
    with pytest.raises(ValueError, match=r"cannot be read \(it asks for .*, which no checkpoint needs\)"):
        parts.load_state(path, {})
    assert capsys.readouterr().out == ""


def test_the_newest_stay_and_the_best_besides(tmp_path: Path) -> None:
    objective = ToyObjective("none")
    values = iter([5.0, 1.0, 4.0, 2.0, 3.0, 6.0])
    objective.evaluate = lambda step: {"loss": next(values)}  # type: ignore[method-assign]
    config = loop_config(eval_every=1, checkpoint_every=1, keep=1, keep_best=2, best_mode="min")
    run(objective, config, tmp_path)
    assert [ckpt.step_of(path) for path in ckpt.list_checkpoints(tmp_path / "checkpoints")] == [2, 4, 6]
    best = parts.load_state(tmp_path / "checkpoints" / "step-00000002", {})["objective"]["model"]
    assert torch.equal(torch.load(tmp_path / "export" / "weights.pt")["lm_head.weight"], best["lm_head.weight"])


@pytest.mark.parametrize("formats", [("files", "dcp"), ("dcp", "files")])
def test_a_run_may_change_its_format(tmp_path: Path, formats: tuple[str, str]) -> None:
    run(ToyObjective("none"), loop_config(4, checkpoint_format=formats[0]), tmp_path / "cut")
    run(ToyObjective("none"), loop_config(6, checkpoint_format=formats[1]), tmp_path / "cut")
    run(ToyObjective("none"), loop_config(6), tmp_path / "whole")
    late = [[row for row in rows(tmp_path / name) if row["step"] > 4] for name in ("cut", "whole")]
    assert late[0] == late[1] and len(late[0]) > 2
