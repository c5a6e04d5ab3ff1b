"""`aoede checkpoint` there and back, and what it says to a wrong path."""

from pathlib import Path

import pytest

from aoede.cli.main import main


def test_there_and_back_prints_what_comes_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tests.training.toy_parallel import make_model

    make_model().save_pretrained(tmp_path / "model")
    capsys.readouterr()
    assert main(["checkpoint", "from-hf", str(tmp_path / "model"), str(tmp_path / "ckpt")]) == 0
    assert f"--resume {tmp_path / 'ckpt'}" in capsys.readouterr().out
    assert main(["checkpoint", "to-hf", str(tmp_path / "ckpt"), str(tmp_path / "back")]) == 0
    first, second = (tmp_path / name / "model.safetensors" for name in ("model", "back"))
    assert first.read_bytes() == second.read_bytes()


def test_a_wrong_path_is_an_error_of_the_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["checkpoint", "to-hf", str(tmp_path / "nothing"), str(tmp_path / "x")]) == 2
    assert "is no checkpoint of format dcp" in capsys.readouterr().err
