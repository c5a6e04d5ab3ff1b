"""The scripts under runs/: what is trained in pieces on a lent machine goes on, arrives whole, and speaks in the end.

"Here" and "there" are two folders; the lots between them are as small as toys need them to be split.
"""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from aoede.cli.main import main
from aoede.generation import Voice

ROOT = Path(__file__).resolve().parents[1]
CODEC = """
preset: null
model: {sampling_rate: 8000, encoder_dim: 4, encoder_rates: [4, 5, 5], decoder_dim: 16, decoder_rates: [5, 5, 4],
  codebook_size: 64}
data: {train: [{manifest: the script says}], segment_seconds: 0.2, batch: 2, valid_clips: 2, valid_seconds: 0.4}
mel: {windows: [128], mels: [10]}
loop: {steps: 6, eval_every: 6, checkpoint_every: 6, keep: 1, log_every: 1, threads: 1, tensorboard: false}
"""
SPEECH = """
data: {shards: [the script says], codec: the script says, text: {language: en}}
model: {scratch: {hidden: 16, layers: 1, heads: 2, intermediate: 32}}
tokens_per_batch: 600
loop: {steps: 5, eval_every: 5, checkpoint_every: 5, keep: 1, log_every: 1, threads: 1, tensorboard: false}
voice: {name: toy, max_seconds: 1.0}
"""


@pytest.fixture
def script(tmp_path):
    """Runs a script of runs/ on toys; returns the finished process."""
    (tmp_path / "codec.yaml").write_text(CODEC)
    (tmp_path / "speech.yaml").write_text(SPEECH)
    given = {
        "AOEDE": f"{sys.executable} -m aoede.cli.main", "PYTHON": sys.executable, "OMP_NUM_THREADS": "1",
        "CORPUS": str(tmp_path / "corpus"), "RECORDINGS": "studio", "CODEC_RECIPE": str(tmp_path / "codec.yaml"),
        "SPEECH_RECIPE": str(tmp_path / "speech.yaml"), "CARRY_BYTES": "60000", "PART_BYTES": "50000",
    }  # fmt: skip

    def run(name: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        inherited = {key: value for key, value in os.environ.items() if key not in ("OUT", "WORK", "CODEC", "WHEELS")}
        return subprocess.run(
            ["bash", str(ROOT / "runs" / name), *words], env={**inherited, **given, **environment}, cwd=tmp_path,
            capture_output=True, text=True, timeout=300,
        )  # fmt: skip

    return run


@pytest.fixture
def toys(monkeypatch):
    """What the examples learn from."""
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    import toy_recordings

    return toy_recordings


def carry(script, home: Path, there: Path, stage: str) -> list[Path]:
    """Pack here, take every lot there."""
    done = script("bundled_voice_gpu.sh", "pack", stage, WORK=str(home))
    assert done.returncode == 0, done.stderr
    lots = sorted((home / "in").glob(f"{stage}-[0-9][0-9]"))
    for lot in lots:
        assert sum(file.stat().st_size for file in lot.iterdir()) <= 60_000
        assert script("bundled_voice_gpu.sh", "take", str(lot), WORK=str(there)).returncode == 0
    return lots


def test_a_stage_goes_on_from_piece_to_piece_over_split_files_and_speaks(script, toys, tmp_path):
    home, back = tmp_path / "home", tmp_path / "back"
    manifest = toys.make_recordings(tmp_path / "corpus" / "synthetic")
    toys.make_codec().save_pretrained(home / "codec")
    chosen = ("--split", "train", "--split", "dev")
    assert main(["prepare", str(manifest), str(home / "codes" / "00"), "--codec", str(home / "codec"), *chosen]) == 0

    lots = carry(script, home, tmp_path / "lent", "speech")
    assert len(lots) > 1
    lent = {"WORK": str(tmp_path / "lent"), "OUT": str(back)}
    done = script("bundled_voice_gpu.sh", "run", "speech", **lent, PIECE_STEPS="3")
    assert "stopped after step 3 of 5" in done.stderr, done.stderr
    found = re.search(r"speech: checkpoints in (\d) parts", done.stdout)
    assert found and 4 < int(found[1]) <= 8 and "give speech 1" in done.stdout, done.stdout
    assert sorted(file.stat().st_size for file in back.iterdir())[1:] == [50_000] * 4  # and the list of all parts

    early = script("bundled_voice_gpu.sh", "join", "speech", str(back), WORK=str(home))
    assert (
        early.returncode == 2
        and "run-speech.tar.004: FAILED" in early.stdout + early.stderr
        and "bring them" in early.stderr
    )
    assert (
        script("bundled_voice_gpu.sh", "give", "speech", "1", **lent | {"OUT": str(tmp_path / "more")}).returncode == 0
    )
    joined = script("bundled_voice_gpu.sh", "join", "speech", str(back), str(tmp_path / "more"), WORK=str(home))
    assert "speech goes on from step-00000003" in joined.stdout, joined.stderr

    carry(script, home, tmp_path / "lent again", "speech")
    lent = {"WORK": str(tmp_path / "lent again"), "OUT": str(tmp_path / "end"), "LOT_PARTS": "100"}
    done = script("bundled_voice_gpu.sh", "run", "speech", **lent)
    assert "from step-00000003" in done.stderr and "speech: export in" in done.stdout, done.stderr
    joined = script("bundled_voice_gpu.sh", "join", "speech", str(tmp_path / "end"), WORK=str(home))
    assert "speech is finished" in joined.stdout, joined.stderr
    rows = [json.loads(line) for line in (home / "runs" / "speech" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if row["phase"] == "train"] == [1, 2, 3, 4, 5]
    audio = Voice.from_pretrained(home / "runs" / "speech" / "export").speak(toys.SENTENCE)
    assert len(audio.samples) > 0 and np.isfinite(audio.samples).all()


def test_held_out_clips_and_other_sources_stay_at_home(script, tmp_path):
    for part, clips in {
        "synthetic": [("a", "train", "x"), ("b", "dev", "x"), ("c", "heldout", "x")],
        "recordings": [("d", "train", "studio"), ("e", "train", "noisy")],
    }.items():
        (tmp_path / "corpus" / part).mkdir(parents=True)
        with open(tmp_path / "corpus" / part / "manifest.jsonl", "w", encoding="utf-8") as manifest:
            for name, split, source in clips:
                (tmp_path / "corpus" / part / f"{name}.ogg").write_bytes(name.encode() * 40_000)
                line = {"audio": f"{name}.ogg", "text": "-", "speaker": "s", "source": source, "split": split}
                manifest.write(json.dumps(line) + "\n")
    lots = carry(script, tmp_path / "home", tmp_path / "lent", "codec")
    assert len(lots) > 1
    taken = sorted((tmp_path / "lent" / "taken").glob("corpus.tar.*"))
    with tarfile.open(fileobj=io.BytesIO(b"".join(file.read_bytes() for file in taken))) as packed:
        sound = {entry.name: entry.size for entry in packed if entry.name.endswith(".ogg")}
        manifest = packed.extractfile("corpus/recordings/manifest.jsonl")
        assert manifest is not None and [json.loads(line)["audio"] for line in manifest] == ["d.ogg"]
    assert sound == {
        "corpus/synthetic/a.ogg": 40_000,
        "corpus/synthetic/b.ogg": 40_000,
        "corpus/recordings/d.ogg": 40_000,
    }


def test_a_damaged_part_is_named_and_nothing_is_unpacked(script, tmp_path):
    home = tmp_path / "home"
    (home / "codes").mkdir(parents=True)
    (home / "codes" / "a.parquet").write_bytes(os.urandom(70_000))
    (home / "codec").mkdir()
    carry(script, home, tmp_path / "lent", "speech")
    part = sorted((tmp_path / "lent" / "taken").glob("codes.tar.*"))[1]
    part.write_bytes(b"!" + part.read_bytes()[1:])
    done = script("bundled_voice_gpu.sh", "run", "speech", WORK=str(tmp_path / "lent"))
    assert done.returncode == 2 and f"{part.name}: FAILED" in done.stderr + done.stdout
    assert not (tmp_path / "lent" / "codes").exists()


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        ("bundled_voice_gpu.sh", ("run", "song"), "the stage is song: codec, speech or two-stage"),
        ("bundled_voice_gpu.sh", ("fly",), "no verb is called fly"),
        ("bundled_voice_gpu.sh", ("take", "nowhere"), "take needs the folder of a lot, not nowhere"),
        ("bundled_voice_gpu.sh", ("pack", "speech"), "encode first"),
    ],
)
def test_wrong_words_are_answered_with_what_is_right(script, tmp_path, name, words, message):
    done = script(name, *words, WORK=str(tmp_path / "work"))
    assert done.returncode == 2 and message in done.stderr


def test_a_sweep_refuses_a_shape_that_it_does_not_know(script, tmp_path):
    done = script("codec_sweep.sh", "corpus", str(tmp_path / "out"), CANDIDATES="hop768 hop7")
    assert done.returncode == 2 and "no candidate is called hop7" in done.stderr


def test_a_speech_sweep_changes_one_thing_at_a_time_and_tells_the_losses(script, toys, tmp_path):
    toys.make_recordings(tmp_path / "sounds")
    toys.make_codec().save_pretrained(tmp_path / "codec")
    manifest = str(tmp_path / "sounds/manifest.jsonl")
    assert main(["prepare", manifest, str(tmp_path / "codes"), "--codec", str(tmp_path / "codec")]) == 0
    words = (str(tmp_path / "out"), f"data.shards=[{tmp_path / 'codes'}]", f"data.codec={tmp_path / 'codec'}")
    given = {"CANDIDATES": "base subwords", "STEPS": "3", "BATCH": "600", "RECIPE": str(tmp_path / "speech.yaml")}
    done = script("speech_sweep.sh", *words, **given)
    assert done.returncode == 0, done.stderr
    lines = (tmp_path / "out/table.md").read_text().splitlines()
    assert done.stdout.splitlines()[-4:] == lines and [line.split(" | ")[0] for line in lines[2:]] == [
        "| base",
        "| subwords",
    ]
    losses = [float(line.split(" | ")[2]) for line in lines[2:]]
    assert losses[0] != losses[1] and all(2 < loss < 6 for loss in losses)  # ln 64 = 4.2
    tokens = json.loads((tmp_path / "out/subwords/tokenizer/tokenizer.json").read_text())["model"]["vocab"]
    assert any(len(token) > 2 for token in tokens), "no sub-words were found in the texts"
    done = script("speech_sweep.sh", CANDIDATES="base big")
    assert done.returncode == 2 and "no candidate is called big" in done.stderr


@pytest.mark.slow
def test_codec_codes_and_voice_are_made_one_after_the_other_where_there_is_a_gpu_of_ones_own(script, toys, tmp_path):
    toys.make_recordings(tmp_path / "corpus" / "synthetic")
    for words in (("run", "codec"), ("encode",), ("run", "speech")):
        done = script("bundled_voice_gpu.sh", *words, WORK=str(tmp_path / "work"))
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "work" / "runs" / "speech" / "export" / "voice.json").is_file()


@pytest.mark.slow
def test_a_sweep_trains_each_shape_and_measures_them_side_by_side(script, toys, tmp_path):
    corpus = tmp_path / "corpus"
    toys.make_recordings(corpus / "synthetic")
    toys.make_recordings(corpus / "recordings")
    words = (str(corpus), str(tmp_path / "out"), "data.batch=1", "data.valid_clips=2")
    done = script("codec_sweep.sh", *words, CANDIDATES="hop768 hop384", STEPS="2", LIMIT="2")
    assert done.returncode == 0, done.stderr
    assert "| 128 | 54.7 | 602 |" in done.stdout and "| 64 | 109.4 | 1203 |" in done.stdout
    assert "hop384" in (tmp_path / "out" / "report.results.md").read_text()
