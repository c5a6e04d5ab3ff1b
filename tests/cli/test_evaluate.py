"""`aoede evaluate` on a tiny codec: what it prints and writes, and how it refuses."""

import json

import numpy as np
import pytest
import soundfile

from aoede.cli.main import main
from aoede.codec import Snac, SnacConfig
from tests.generation.tiny_voice import write_voice


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluate")
    rng = np.random.default_rng(0)
    rows = []
    for i, split in enumerate(["heldout", "heldout", "train"]):
        soundfile.write(folder / f"{i}.flac", 0.1 * rng.standard_normal(24000), 24000)
        rows.append({"audio": f"{i}.flac", "text": f"number {i}", "speaker": "a", "source": "noise", "split": split})
    (folder / "manifest.jsonl").write_text("\n".join(map(json.dumps, rows)))
    sizes = {"encoder_dim": 4, "encoder_rates": (2, 4), "decoder_dim": 16, "decoder_rates": (4, 2)}
    Snac(SnacConfig(**sizes, codebook_size=16, codebook_dim=4)).save_pretrained(folder / "codec")
    return folder


def evaluate(folder, *more, model="codec", kind="codec"):
    base = ["evaluate", kind, str(folder / model), str(folder / "manifest.jsonl"), "--out", str(folder / "out")]
    return main([*base, *more])


def test_a_codec_is_measured_without_a_recogniser(folder, capsys):
    assert evaluate(folder, "--encoder", "none", "--limit", "1") == 0
    printed = capsys.readouterr().out
    assert "| | recordings | codec |" in printed
    assert "words were not measured" in printed
    assert printed.splitlines()[-1] == f"written {folder / 'out' / 'report.html'}"
    data = json.loads((folder / "out" / "report.json").read_text())
    assert data["settings"]["clips"] == "1 of 2, 0.0 min measured"
    assert data["systems"]["codec"]["figures"]["mel distance"]["value"] > 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--recogniser", "nowhere"], "nowhere lacks model.bin"),
        (["--split", "dev"], "no clip has split 'dev'; there are: heldout, train"),
        (["--limit", "0"], "limit is 0"),
        (["--threads", "0"], "threads is 0"),
        (["--worst", "-1"], "worst is -1"),
        (["--source", "music"], "music"),
        (["--speaker", "b"], "'b'"),
    ],
)
def test_a_mistake_is_told_in_a_line(folder, capsys, options, said):
    assert evaluate(folder, *options) == 2
    error = capsys.readouterr().err
    assert error.startswith("aoede: error: ") and said in error and error.count("\n") == 1


def test_a_folder_without_a_codec_is_refused(folder, capsys):
    assert evaluate(folder, model="nothing") == 2
    assert "nothing" in capsys.readouterr().err


def test_a_missing_manifest_is_refused(folder, tmp_path, capsys):
    assert main(["evaluate", "codec", str(folder / "codec"), str(tmp_path / "no.jsonl"), "--out", str(tmp_path)]) == 2
    assert "no.jsonl" in capsys.readouterr().err


def test_a_voice_is_measured_beside_the_recordings_and_its_codec(folder, tmp_path, capsys):
    voice = write_voice(tmp_path / "voice", text_stride=8.0)
    arguments = ["evaluate", "speech", str(voice), str(folder / "manifest.jsonl"), "--out", str(tmp_path / "out")]
    assert main([*arguments, "--encoder", "none"]) == 2  # the manifest's speaker is none of the voice's
    assert "only by a; name one to speak all texts" in capsys.readouterr().err
    assert main([*arguments, "--encoder", "none", "--speaker", "af_heart", "--limit", "1", "--worst", "1"]) == 0
    assert "| | recordings | codec round trip | voice |" in capsys.readouterr().out
    voice = json.loads((tmp_path / "out" / "report.json").read_text())["systems"]["voice"]["figures"]
    assert voice["real-time factor"]["value"] > 0
    assert voice["first audio"]["value"] > 0
