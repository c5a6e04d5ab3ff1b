"""`aoede data split`: a recording is on one side, whatever it is called; the same folder is split the same way."""

import json
import shutil

import numpy as np
import pytest
import soundfile

from aoede.cli.main import main
from aoede.data import load_manifest, save_audio
from aoede.data.splitting import split_folder


def sound(seed, seconds=0.2):
    return (0.3 * np.random.default_rng(seed).standard_normal(round(16000 * seconds))).astype(np.float32)


@pytest.fixture
def corpus(tmp_path):
    """Forty recordings of four speakers, ten each."""
    root = tmp_path / "corpus"
    for speaker in range(4):
        (root / f"speaker{speaker}").mkdir(parents=True)
        for take in range(10):
            save_audio(root / f"speaker{speaker}" / f"{take}.wav", sound(speaker * 10 + take), 16000)
    return root


def sides(root, **options):
    """name -> split, as the manifest has it when it is read again."""
    split_folder(root, overwrite=True, **options)
    clips = load_manifest(root / "manifest.jsonl")
    return {clip.audio.removeprefix(f"{root}/"): clip.split for clip in clips}


def test_by_file_the_ratio_is_met_to_the_recording(corpus):
    for ratio, count in ((0.5, 20), (0.9, 36), (0.95, 38), (0.999, 39), (0.001, 1)):
        found = sides(corpus, train_ratio=ratio)
        assert (len(found), sum(split == "train" for split in found.values())) == (40, count)
        assert set(found.values()) == {"train", "dev"}


def test_the_same_folder_is_split_the_same_way_and_another_seed_otherwise(corpus, tmp_path):
    first = split_folder(corpus, train_ratio=0.5)
    content = (corpus / "manifest.jsonl").read_bytes()
    shutil.copytree(corpus, tmp_path / "copy")
    split_folder(tmp_path / "copy", train_ratio=0.5, overwrite=True)
    assert (tmp_path / "copy" / "manifest.jsonl").read_bytes() == content
    assert split_folder(corpus, train_ratio=0.5, seed=1, overwrite=True).splits != first.splits


def test_twins_stay_together_under_any_name_and_container(corpus):
    for take in range(5):
        name = corpus / "speaker0" / f"{take}.wav"
        shutil.copy(name, corpus / "speaker1" / f"copy of {take}.wav")  # the same bytes
        save_audio(corpus / "speaker2" / f"other {take}.flac", sound(take), 16000)  # the same samples
        soundfile.write(corpus / "speaker2" / f"float {take}.wav", sound(take), 16000, "FLOAT")  # before they were cut
        save_audio(corpus / "speaker3" / f"{take}.mp3", sound(30 + take), 16000)  # the same name, lossy
    for seed in range(6):
        for by in ("file", "hash"):
            found = sides(corpus, train_ratio=0.5, seed=seed, by=by)
            for take in range(5):
                original = found[f"speaker0/{take}.wav"]
                assert found[f"speaker1/copy of {take}.wav"] == found[f"speaker2/other {take}.flac"] == original
                assert found[f"speaker2/float {take}.wav"] == original
                assert found[f"speaker3/{take}.mp3"] == found[f"speaker3/{take}.wav"]
            assert set(found.values()) == {"train", "dev"}
    assert split_folder(corpus, overwrite=True).num_twins == 30


def test_by_speaker_nobody_is_on_both_sides(corpus):
    for seed in range(6):
        found = sides(corpus, train_ratio=0.75, by="speaker", seed=seed)
        spread = {
            name.split("/")[0]: {found[other] for other in found if other.split("/")[0] == name.split("/")[0]}
            for name in found
        }
        assert all(len(one) == 1 for one in spread.values())
        assert sorted(next(iter(one)) for one in spread.values()) == ["dev", "train", "train", "train"]


def test_speakers_who_share_a_recording_are_on_one_side(corpus):
    shutil.copy(corpus / "speaker0" / "0.wav", corpus / "speaker1" / "x.wav")
    for seed in range(6):
        found = sides(corpus, train_ratio=0.5, by="speaker", seed=seed)
        assert found["speaker0/3.wav"] == found["speaker1/3.wav"]


def test_by_hash_what_is_there_keeps_its_side_when_more_comes(corpus):
    before = sides(corpus, train_ratio=0.7, by="hash")
    for take in range(20):
        save_audio(corpus / "speaker0" / f"new{take}.wav", sound(100 + take), 16000)
    (corpus / "speaker1" / "0.wav").rename(corpus / "speaker1" / "renamed.wav")
    after = sides(corpus, train_ratio=0.7, by="hash")
    before["speaker1/renamed.wav"] = before.pop("speaker1/0.wav")
    assert {name: after[name] for name in before} == before
    assert 0.5 < sum(split == "train" for split in after.values()) / len(after) < 0.9


def test_a_bad_file_is_left_out_and_listed(corpus, capsys):
    (corpus / "bad.wav").write_bytes(b"x")
    (corpus / "notes.txt").write_text("x")
    assert main(["data", "split", str(corpus), "--train-ratio", "0.5", "--by", "speaker"]) == 3
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == f"{corpus / 'manifest.jsonl'}  40 recordings, by speaker"
    assert out.splitlines()[1] == "  train  20 recordings (50.0%), 4.0 s, 2 speakers"
    assert out.splitlines()[3].startswith("left out: bad.wav: ") and "listening: 100%" in err
    rows = [json.loads(line) for line in (corpus / "manifest.jsonl").read_text().splitlines()]
    assert len(rows) == 40 and rows[0]["audio"] == "speaker0/0.wav" and rows[0]["seconds"] == 0.2


def test_a_manifest_that_is_there_is_not_replaced_unasked(corpus, tmp_path, capsys):
    (corpus / "manifest.jsonl").write_text("mine")
    assert main(["data", "split", str(corpus)]) == 2
    assert "is there already; --overwrite replaces it" in capsys.readouterr().err
    assert (corpus / "manifest.jsonl").read_text() == "mine"
    assert main(["data", "split", str(corpus), "--out", str(tmp_path / "m.jsonl")]) == 0
    assert load_manifest(tmp_path / "m.jsonl")[0].audio == str(corpus / "speaker0" / "0.wav")
    assert main(["data", "split", str(corpus), "--overwrite"]) == 0
    assert len(load_manifest(corpus / "manifest.jsonl", splits=["dev"])) == 2


def test_what_cannot_be_split_is_told(corpus, tmp_path):
    for ratio in (0.0, 1.0, 1.5, float("nan")):
        with pytest.raises(ValueError, match=f"train_ratio is {ratio}"):
            split_folder(corpus, train_ratio=ratio)
    with pytest.raises(ValueError, match="no such folder"):
        split_folder(tmp_path / "nowhere")
    (tmp_path / "one").mkdir()
    for name in ("a.wav", "b.wav"):
        save_audio(tmp_path / "one" / name, sound(0), 16000)
    with pytest.raises(ValueError, match="1 different recordings among 2 sound files; two sides need two at least"):
        split_folder(tmp_path / "one")
    save_audio(tmp_path / "one" / "c.wav", sound(1), 16000)
    with pytest.raises(ValueError, match="1 speakers, or folders that name them"):
        split_folder(tmp_path / "one", by="speaker")
