"""`aoede pack` and `aoede mix` as a user meets them: a corpus of sound and text, packed, mixed, checked."""

import json
from pathlib import Path

import pytest
import torch
import yaml

from aoede.cli.main import main
from aoede.codec import Snac, SnacConfig
from aoede.data.mixture import MixtureData, MixturePlan

CLIPS = Path(__file__).parents[1] / "data/clips/manifest.jsonl"

CORPUS = {
    "format": 1,
    "clean": {},
    "sources": [
        {"name": "voices", "kind": "clean-read", "licence": "CC0", "path": str(CLIPS)},
        {"name": "notes", "kind": "text", "language": "en", "licence": "CC0", "path": "notes.txt"},
    ],
}
MIXTURE = {
    "packed": "packed",
    "row_tokens": 512,
    "dev": {"tokens": 50, "max_share": 0.4},
    "phases": [
        {"name": "first", "tokens": 600, "shares": {"notes": 0.5, "kind:clean-read": 0.5}},
        {"name": "last", "tokens": 300, "shares": {"voices": 1}},
    ],
}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A prepared corpus of the tests' own clips and a few lines of text."""
    folder = tmp_path_factory.mktemp("home")
    torch.manual_seed(0)
    config = SnacConfig(
        encoder_dim=4, encoder_rates=(8, 8, 8), decoder_dim=8, decoder_rates=(8, 8, 8), codebook_size=64, codebook_dim=4
    )
    Snac(config).save_pretrained(folder / "codec")
    (folder / "notes.txt").write_text("".join(f"Line {i} of the notes, a short one.\n" for i in range(40)))
    (folder / "corpus.yaml").write_text(yaml.safe_dump({**CORPUS, "codec": "codec"}))
    (folder / "mixture.yaml").write_text(yaml.safe_dump(MIXTURE))
    assert main(["prepare", str(folder / "corpus.yaml"), str(folder / "corpus")]) == 0
    return folder


def test_from_a_corpus_to_a_checked_plan(home, capsys):
    pack = ["pack", str(home / "corpus"), "--tokenizer", "bytes", "--out", str(home / "packed"), "--max-tokens", "512"]
    assert main(pack) == 0
    out = capsys.readouterr().out
    assert "voices" in out and "40 text" in out and "tokens a second" in out
    assert main(pack) == 0
    assert "nothing left to do" in capsys.readouterr().out
    assert main(["pack", "--check", str(home / "packed")]) == 0
    assert "2 sources, every file as it was written" in capsys.readouterr().out

    assert main(["mix", str(home / "mixture.yaml"), "--out", str(home / "plan")]) == 0
    out = capsys.readouterr().out
    assert "first  " in out and "kind:clean-read  50.0%" in out and "held out first" in out
    assert (home / "plan/mixture.png").read_bytes().startswith(b"\x89PNG")
    assert main(["mix", "--check", str(home / "plan")]) == 0
    assert "none stands twice, none in two phases" in capsys.readouterr().out
    data = MixtureData(MixturePlan.load(home / "plan"))
    assert data.batch(0, 1)["input_ids"].shape == (1, 512)

    moved = home / "elsewhere"
    (home / "packed").rename(moved)
    assert main(["mix", "--check", str(home / "plan")]) == 2
    assert "its documents cannot be opened" in capsys.readouterr().err
    assert main(["mix", "--check", str(home / "plan"), "--packed", str(moved)]) == 0
    data = bytearray((moved / "notes.bin").read_bytes())
    data[-1] ^= 1
    (moved / "notes.bin").write_bytes(data)
    assert main(["pack", "--check", str(moved)]) == 2
    assert "notes.bin: its SHA-256 is" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["pack"], "CORPUS is missing"),
        (["pack", "CORPUS", "--tokenizer", "bytes"], "--out is missing"),
        (
            ["pack", "CORPUS", "--tokenizer", "bytes", "--out", "OUT", "--source", "voice"],
            "no source 'voice'; there are",
        ),
        (["pack", "nowhere", "--tokenizer", "bytes", "--out", "OUT"], "nowhere"),
        (["pack", "CORPUS", "--tokenizer", "OUT", "--out", "OUT"], "no tokenizer"),
        (["pack", "CORPUS", "--tokenizer", "bytes", "--out", "OUT", "--vocabulary", "orpheus"], "codebooks"),
        (["mix"], "give MIXTURE and --out PLAN"),
        (["mix", "MIXTURE", "--out", "OUT"], "packing.yaml"),
        (["mix", "--check", "OUT"], "no mixture.json"),
    ],
)
def test_what_cannot_be_used_is_told_in_a_line(home, tmp_path, capsys, words, told):
    (tmp_path / "mixture.yaml").write_text(json.dumps(MIXTURE))
    places = {"CORPUS": home / "corpus", "OUT": tmp_path / "out", "MIXTURE": tmp_path / "mixture.yaml"}
    (tmp_path / "out").mkdir()
    assert main([str(places.get(word, word)) for word in words]) == 2
    err = capsys.readouterr().err
    assert told in err and err.count("\n") == 1, err
