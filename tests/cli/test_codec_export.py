"""`aoede codec export`: graphs from a folder; what cannot be exported is told in words."""

import json

import pytest

from aoede.cli.main import main
from aoede.codec import Snac
from tests.codec.conftest import CONFIGS


def test_a_folder_becomes_a_graph_that_says_what_it_is(tmp_path, capsys):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    Snac(CONFIGS["dense"]).save_pretrained(tmp_path / "codec")
    target = tmp_path / "decoder.onnx"
    assert main(["codec", "export", str(tmp_path / "codec"), str(target)]) == 0
    assert capsys.readouterr().out.startswith(f"{target}  decoder, ")
    metadata = {entry.key: entry.value for entry in onnx.load(target).metadata_props}
    assert json.loads(metadata["aoede"])["kind"] == "decoder"


def test_a_folder_without_a_codec_and_two_kinds_at_once_are_refused(tmp_path, capsys):
    assert main(["codec", "export", str(tmp_path), str(tmp_path / "x.onnx")]) == 2
    assert "aoede: error:" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stopped:
        main(["codec", "export", str(tmp_path), str(tmp_path / "x.onnx"), "--streaming", "--encoder"])
    assert stopped.value.code == 2
    assert list(tmp_path.iterdir()) == []
