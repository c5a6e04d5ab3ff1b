"""Preparing a corpus of many sources: what is written, what is listed, and what is refused."""

import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from aoede.data import (
    Clip,
    CorpusFolder,
    check_corpus,
    load_audio,
    load_codes,
    load_corpus_config,
    prepare,
    prepare_corpus,
    save_audio,
)
from aoede.data.corpus.sources import source_clips
from tests.data.corpora import CLIPS, content, corpus_file, recordings, source


@pytest.fixture
def make(codec_folder, tmp_path):
    """(sources, **values) -> the configuration of a corpus in `tmp_path` with the tiny codec."""
    return lambda sources, **values: load_corpus_config(
        corpus_file(tmp_path, sources, **{"codec": str(codec_folder), "shard_clips": 4, "batch_seconds": 0.5, **values})
    )


def rows(folder, name):
    return list(CorpusFolder.open(folder).rows(name))


def test_sources_become_folders_of_shards_with_what_is_known_of_them(make, codec, tmp_path):
    recordings(tmp_path / "a", 6)
    recordings(tmp_path / "b/deep", 2, seed=1)
    (tmp_path / "t.txt").write_text("one\ntwo\n")
    sources = [
        source("a", "a/manifest.jsonl", kind="studio", licence="CC-BY-4.0", select={"split": ["train"]}),
        source("b", "b", kind="bulk-noisy", language="cs"),
        source("t", "t.txt", kind="text", language="de"),
    ]
    summary = prepare_corpus(make(sources), tmp_path / "out", workers=0)
    corpus = CorpusFolder.open(tmp_path / "out")
    assert [(one.name, one.kind, one.language, one.licence) for one in corpus.sources] == [
        ("a", "studio", "en", "CC-BY-4.0"), ("b", "bulk-noisy", "cs", "CC0-1.0"), ("t", "text", "de", "CC0-1.0")
    ]  # fmt: skip
    a = load_codes(corpus.source("a").folder, codec=codec)
    assert [(clip.id, clip.text, clip.speaker, clip.language, clip.source, clip.split) for clip in a] == [
        (f"r{n}", f"Text {n}.", "ab"[n % 2], "en", "a", "train") for n in (0, 1, 2, 4, 5)
    ]
    assert len(list((tmp_path / "out/a").glob("codes-*.parquet"))) == 2
    b = load_codes(tmp_path / "out/b")
    assert [(clip.id, clip.language, clip.text) for clip in b] == [
        ("deep/000.wav", "cs", ""),
        ("deep/001.wav", "cs", ""),
    ]
    for clip in a:
        samples, _ = load_audio(tmp_path / f"a/{int(clip.id[1:]):03d}.wav", 24000)
        expected = codec.encode(torch.from_numpy(samples)[None, None])
        assert [level.tolist() for level in clip.codes] == [level[0].tolist() for level in expected]
    assert [(one.name, one.rows, one.kept, one.dropped) for one in summary.sources] == [
        ("a", 5, 5, 0), ("b", 2, 2, 0), ("t", 2, 2, 0)
    ]  # fmt: skip
    lines = [line.split() for line in str(summary).splitlines()]
    assert ["a", "studio", "en", "5", "5", "0", "0", "0.0004"] in [line[:8] for line in lines]
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["sources"][0]["licence"] == "CC-BY-4.0" and (tmp_path / "out/report.html").is_file()


def test_codes_are_those_of_a_plain_prepare_and_long_recordings_go_in_pieces(make, codec, tmp_path):
    manifest = recordings(tmp_path / "a", 3)
    long = (0.2 * np.random.default_rng(5).standard_normal(24000 * 12)).astype(np.float32)
    save_audio(tmp_path / "a/long.wav", long, 24000)
    with manifest.open("a") as stream:
        stream.write(json.dumps({"audio": "long.wav", "id": "long", "text": ""}) + "\n")
    prepare_corpus(make([source("a", manifest)]), tmp_path / "out", workers=0)
    clips = [Clip(audio=str(tmp_path / f"a/{n:03d}.wav"), id=f"r{n}") for n in range(3)]
    prepare([*clips, Clip(audio=str(tmp_path / "a/long.wav"), id="long")], codec, tmp_path / "plain")
    for one, other in zip(load_codes(tmp_path / "out/a"), load_codes(tmp_path / "plain"), strict=True):
        assert (one.id, one.seconds) == (other.id, other.seconds)
        assert all(np.array_equal(a, b) for a, b in zip(one.codes, other.codes, strict=True))


def test_what_is_dropped_or_cannot_be_read_is_listed_and_costs_that_file_only(make, tmp_path):
    manifest = recordings(tmp_path / "a", 5)
    (tmp_path / "a/001.wav").write_bytes(b"not a sound")
    (tmp_path / "a/002.wav").unlink()
    save_audio(tmp_path / "a/003.wav", np.full(900, 0.1, np.float32), 24000)
    recordings(tmp_path / "b", 2, seed=3)
    samples, _ = load_audio(tmp_path / "a/004.wav")
    save_audio(tmp_path / "b/001.flac", samples, 24000)  # the same samples in another container
    steps = {"trim": False, "loudness": None, "noise": None, "clipping": None, "min_seconds": 0.05}
    config = make([source("a", manifest), source("b", "b")], clean=steps)
    summary = prepare_corpus(config, tmp_path / "out", workers=0)
    found = {row["id"]: row for name in "ab" for row in rows(tmp_path / "out", name)}
    assert {name: row["status"] for name, row in found.items()} == {
        "r0": "kept", "r1": "rejected", "r2": "rejected", "r3": "dropped", "r4": "kept",
        "000.wav": "kept", "001.flac": "dropped", "001.wav": "kept",
    }  # fmt: skip
    assert "not audio" in found["r1"]["reason"] and "no such file" in found["r2"]["reason"]
    assert [event["step"] for event in found["r3"]["events"] if not event["kept"]] == ["duration"]
    assert found["001.flac"]["reason"] == "same recording as a/r4"
    assert found["r0"]["pieces"] == [{"id": "r0", "start_seconds": 0.0, "seconds": found["r0"]["seconds"]}]
    assert [(one.rows, one.kept, one.dropped, one.rejected) for one in summary.sources] == [(5, 2, 1, 2), (3, 2, 1, 0)]
    report = json.loads((tmp_path / "out/a/report.json").read_text())
    assert [row["id"] for row in report["rejected"]] == ["r1", "r2"] and report["dropped"][0]["id"] == "r3"


def test_a_cut_recording_becomes_clips_with_numbers_and_no_text_and_copies_lie_apart(make, tmp_path):
    speech = [load_audio(path, 16000)[0] for path in sorted(CLIPS.glob("asterisk_[er]*.ogg"))]
    pause = np.zeros(9600, np.float32)
    joined = np.concatenate([part for samples in speech for part in (samples, pause)])
    save_audio(tmp_path / "talk.flac", joined, 16000)
    save_audio(tmp_path / "short.flac", speech[0], 16000)
    lines = [{"audio": "talk.flac", "id": "talk", "text": "All of it.", "speaker": "s"}]
    lines += [{"audio": "short.flac", "id": "short", "text": "A call.", "speaker": "s", "split": "dev"}]
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    sources = [source("a", "m.jsonl", clean={"cut": 5.0}, augment={"speed": [0.9, 1.1]})]
    prepare_corpus(make(sources, clean={}, batch_seconds=10), tmp_path / "out", workers=0)
    clips = load_codes(tmp_path / "out/a")
    pieces = [clip for clip in clips if clip.id != "short"]
    assert len(pieces) > 2 and [clip.id for clip in pieces] == [f"talk#{n}" for n in range(len(pieces))]
    assert all(clip.text == "" and clip.seconds <= 5.0 for clip in pieces) and clips[-1].text == "A call."
    row = rows(tmp_path / "out", "a")[0]
    assert [piece["id"] for piece in row["pieces"]] == [clip.id for clip in pieces]
    starts = [piece["start_seconds"] for piece in row["pieces"]]
    assert starts == sorted(starts) and starts[-1] > 5
    copies = load_codes(tmp_path / "out/a+aug")
    assert [copy.id for copy in copies] == [f"{clip.id}+aug1" for clip in pieces]  # dev stays as it was recorded
    assert {(copy.source, copy.speaker) for copy in copies} == {("a+aug", "s+aug1")}
    told = rows(tmp_path / "out", "a+aug")
    assert [one["of"] for one in told] == [clip.id for clip in pieces]
    assert all(0.9 <= one["augmented"]["speed"] <= 1.1 for one in told)
    copied = CorpusFolder.open(tmp_path / "out").source("a+aug")
    assert (copied.augments, copied.kind) == ("a", "clean-read")


def test_data_sets_and_parquet_files_with_sound_inside_reach_the_workers(make, tmp_path):
    datasets = pytest.importorskip("datasets")
    manifest = recordings(tmp_path / "a", 3)
    texts = [json.loads(line) for line in manifest.read_text().splitlines()]
    columns = {"audio": [str(tmp_path / "a" / row["audio"]) for row in texts], "text": [row["text"] for row in texts]}
    table = datasets.Dataset.from_dict(columns).cast_column("audio", datasets.Audio(decode=False))
    table = table.map(lambda row: {"audio": {"bytes": Path(row["audio"]["path"]).read_bytes(), "path": None}})
    table.save_to_disk(str(tmp_path / "saved"))
    table.to_parquet(str(tmp_path / "table.parquet"))
    config = make([source("saved", "saved"), source("table", "table.parquet"), source("a", manifest)])
    for one in config.sources[:2]:  # what reaches a worker says where the sound lies, and each process opens it anew
        clips = source_clips(one)
        assert [c.audio.read() for c in pickle.loads(pickle.dumps(clips))] == [c.audio.read() for c in clips]
    prepare_corpus(config, tmp_path / "out", workers=0)
    saved, parquet, plain = (load_codes(tmp_path / "out" / name) for name in ("saved", "table", "a"))
    assert len(plain) == 3
    for one, two, three in zip(saved, parquet, plain, strict=True):
        assert one.text == two.text == three.text
        assert all(np.array_equal(a, c) for a, c in zip(one.codes, three.codes, strict=True))
        assert all(np.array_equal(b, c) for b, c in zip(two.codes, three.codes, strict=True))


def test_a_recording_that_ends_its_process_is_listed_and_the_others_are_kept(make, tmp_path):
    manifest = recordings(tmp_path / "a", 2)
    samples, _ = load_audio(tmp_path / "a/001.wav")
    judge = {"call": "tests.data.deadly_judge:Deadly", "options": {"samples": len(samples)}}
    clean = {"trim": False, "loudness": None, "noise": None, "min_seconds": None, "mos": 1.0, "judges": {"mos": judge}}
    prepare_corpus(make([source("a", manifest)], clean=clean), tmp_path / "out", workers=1)
    assert [clip.id for clip in load_codes(tmp_path / "out/a")] == ["r0"]
    last = rows(tmp_path / "out", "a")[-1]
    assert (last["id"], last["status"]) == ("r1", "rejected") and "its process died, twice" in last["reason"]


def test_a_second_run_has_nothing_to_do_and_sources_may_be_added_behind(make, tmp_path):
    a, b = recordings(tmp_path / "a", 5), recordings(tmp_path / "b", 2, seed=1)
    config = make([source("a", a)])
    prepare_corpus(config, tmp_path / "out", workers=0)
    before = content(tmp_path / "out")
    again = prepare_corpus(config, tmp_path / "out", workers=0)
    assert "nothing left to do" in str(again) and content(tmp_path / "out") == before
    more = make([source("a", a), source("b", b)])
    summary = prepare_corpus(more, tmp_path / "out", workers=0)
    assert summary.new_shards == 1
    prepare_corpus(more, tmp_path / "anew", workers=0)
    assert content(tmp_path / "out") == content(tmp_path / "anew")


def test_another_plan_is_refused_and_the_folder_stays(make, tmp_path):
    a, b = recordings(tmp_path / "a", 3), recordings(tmp_path / "b", 2, seed=1)
    both = [source("a", a), source("b", b)]
    prepare_corpus(make(both), tmp_path / "out", workers=0)
    before = content(tmp_path / "out")
    for config, words in [
        (make(both, seed=3), "another seed: it was 0 and is 3"),
        (make(both, shard_clips=2), "another shard_clips: it was 4 and is 2"),
        (make(both, clean={"cut": 9}), "source a was begun with another clean: trim was False and is True"),
        (make(both[:1]), "source b is no longer in the corpus file"),
        (make(both[::-1]), "source a was begun with another name"),
        (make([both[0], {**both[1], "select": {"speaker": ["a"]}}]), "source b was begun with another number of rec"),
        (replace(make(both), codec=None), "another codec_fingerprint"),
    ]:
        with pytest.raises(ValueError, match=words):
            prepare_corpus(config, tmp_path / "out", workers=0)
    save_audio(tmp_path / "a/000.wav", np.zeros(77, np.float32), 24000)
    with pytest.raises(ValueError, match="source a was begun with other recordings or texts"):
        prepare_corpus(make(both), tmp_path / "out", workers=0)
    assert content(tmp_path / "out") == before
    with pytest.raises(ValueError, match=r"holds manifest.jsonl, which no corpus run began|holds 00\d.wav"):
        prepare_corpus(make(both), tmp_path / "a", workers=0)


def test_damage_is_named_and_only_that_is_made_anew(make, tmp_path):
    config = make([source("a", recordings(tmp_path / "a", 9))])
    prepare_corpus(config, tmp_path / "out", workers=0)
    before = content(tmp_path / "out")
    assert check_corpus(tmp_path / "out").exit_code == 0
    shard, gone = tmp_path / "out/a/codes-00001.parquet", tmp_path / "out/a/clips-00002.jsonl"
    shard.write_bytes(shard.read_bytes()[:-9] + b"123456789")
    gone.unlink()
    (tmp_path / "out/a/codes-00003.parquet").write_bytes(b"")
    found = CorpusFolder.open(tmp_path / "out").check()
    assert found.damaged == ("a/clips-00002.jsonl: missing", "a/codes-00001.parquet: its content has changed")
    assert found.unlisted == ("a/codes-00003.parquet",) and found.exit_code == 3
    assert "damaged: a/codes-00001.parquet: its content has changed" in str(found)
    for name in ("codes-00001.parquet", "codes-00003.parquet"):
        (tmp_path / "out/a" / name).unlink()
    assert prepare_corpus(config, tmp_path / "out", workers=0).new_shards == 1
    assert content(tmp_path / "out") == before


def test_bad_sources_and_settings_are_told_before_anything_is_written(make, tmp_path):
    a = recordings(tmp_path / "a", 2)
    (tmp_path / "empty").mkdir()
    for config, options, words in [
        (make([source("x", "none.jsonl")]), {}, "source x: .*none.jsonl: no such manifest"),
        (make([source("x", "empty")]), {}, "source x: .*empty: no sound files in this folder"),
        (make([source("x", a, select={"speaker": ["z"]})]), {}, "source x: .*no clip has speaker 'z'; there are: a, b"),
        (make([source("x", "a", select={"split": ["dev"]})]), {}, "sound files say nothing of split"),
        (make([source("x", a)], clean={"mos": 3}), {}, "the step mos is on, but nobody judges"),
        (make([source("x", a)]), {"engine": "dask"}, "engine is 'dask'; it is local or ray"),
        (make([source("x", a)]), {"workers": -1}, "workers=-1: at least 1, or 0"),
        (make([source("x", a)]), {"workers": 0, "engine": "ray"}, "workers=0: at least 1$"),
    ]:
        with pytest.raises(ValueError, match=words):
            prepare_corpus(config, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_folders_that_are_no_corpus_or_an_unfinished_one_are_told_apart(make, tmp_path):
    with pytest.raises(ValueError, match=r"not a corpus \(no corpus.json\)"):
        CorpusFolder.open(tmp_path)
    prepare_corpus(make([source("a", recordings(tmp_path / "a", 2))]), tmp_path / "out", workers=0)
    with pytest.raises(ValueError, match="no source 'b'; there are: a"):
        CorpusFolder.open(tmp_path / "out").source("b")
    (tmp_path / "out/report.json").unlink()
    with pytest.raises(ValueError, match="an unfinished corpus"):
        CorpusFolder.open(tmp_path / "out")
