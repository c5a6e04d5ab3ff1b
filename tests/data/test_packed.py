"""Packing: what a document is, that nothing is lost in silence, that a run can be killed, that memory stays small."""

import json
import pickle
import signal
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import torch

from aoede.data import load_codes
from aoede.data.packed import IndexedFile, PackedDataset, PackedFolder, TextTokenizer, byte_tokenizer, pack
from aoede.tokens import CodecVocabulary, FrameLayout

from .packable import INFO, audio_source, clip, text_source

WORDS = TextTokenizer(byte_tokenizer())
VOCABULARY = CodecVocabulary.extend(258, FrameLayout("CMFFMFF"), (64, 64, 64))
OPEN, CLOSE, EOS = VOCABULARY.open_id, VOCABULARY.close_id, 257


def ids_of(one, **markers):
    frames = VOCABULARY.layout.flatten([torch.from_numpy(level.astype(np.int64)) for level in one.codes])
    return VOCABULARY.ids_from_frames(frames, **markers)[0].tolist()


def test_a_byte_is_an_id_and_comes_back():
    ids, lengths = WORDS.ids(["aé", "", "</s>\n\0"])
    assert ids.tolist() == [*"aé".encode(), *b"</s>\n\0"]
    assert lengths.tolist() == [3, 0, 6]
    every = bytes(range(256)).decode("latin-1")
    assert WORDS.tokenizer.decode(WORDS.ids([every])[0].tolist()) == every
    assert (WORDS.pad_id, WORDS.eos_id, len(WORDS)) == (256, 257, 258)


def test_control_tokens_written_in_a_text_are_characters():
    assert WORDS.ids(["a<eos>b"])[0].tolist() == list(b"a<eos>b")


def test_texts_end_with_the_end_of_text_id_and_recordings_stand_between_markers(tmp_path):
    clips = [clip("a", 3, "One.", speaker="anna", language="cs"), clip("b", 1, split="dev"), clip("c", 4), clip("d", 2)]
    sources = [
        text_source(tmp_path / "c", "books", [("t1", "hé", "train"), ("t2", "x", "heldout")]),
        audio_source(tmp_path / "c", "studio", clips),
    ]
    summary = pack(sources, WORDS, "extend", tmp_path / "p")
    texts, audio = PackedDataset(tmp_path / "p/books"), PackedDataset(tmp_path / "p/studio")
    assert [one.tolist() for one in texts] == [[*"hé".encode(), EOS], [*b"x", EOS]]
    assert [one.tolist() for one in audio] == [ids_of(one, open=True, close=True) for one in clips]
    assert audio[0].dtype == np.uint16 and audio.lengths.tolist() == [23, 9, 30, 16]
    rows = audio.documents.select(["id", "form", "source", "kind", "language", "speaker", "split", "piece"]).to_pylist()
    assert list(rows[0].values()) == ["a", "audio", "studio", "studio", "cs", "anna", "train", 0]
    assert list(rows[1].values()) == ["b", "audio", "studio", "studio", "xx", "", "dev", 0]
    assert texts.documents["split"].to_pylist() == ["train", "heldout"]
    assert audio.vocabulary == VOCABULARY == PackedFolder(tmp_path / "p").vocabulary
    assert (audio.info.frames, audio.info.tokens, audio.info.licence) == (10, 78, "CC0")
    assert "books" in str(summary) and "4 audio" in str(summary) and "84 tokens in 6 documents" in str(summary)
    assert pickle.loads(pickle.dumps(audio))[1].tolist() == audio[1].tolist()
    assert TextTokenizer.open(tmp_path / "p/tokenizer").fingerprint == WORDS.fingerprint


def test_calliope_takes_32_bits_and_its_own_markers(tmp_path):
    info = {"codebook_size": 4096}
    wide = [clip("a", 2)]
    source = audio_source(tmp_path, "s", wide)
    with pytest.raises(
        ValueError, match=r"codebooks \(4096, 4096, 4096\), but the corpus's codec has .*\(64, 64, 64\)"
    ):
        pack([source], WORDS, "calliope", tmp_path / "p")
    from dataclasses import replace

    from aoede.data.codes import write_shard

    write_shard(source.folder / "codes-00000.parquet", wide, replace(INFO, **info), {})
    pack([source], WORDS, "calliope", tmp_path / "p")
    ids = PackedDataset(tmp_path / "p/s")[0]
    assert ids.dtype == np.int32 and (ids[0], ids[-1]) == (100, 101)
    assert ids[1] == 131_072 + int(wide[0].codes[0][0])


def test_long_documents_are_cut_evenly_and_only_the_last_piece_is_closed(tmp_path):
    clips = [clip("a", 7), clip("b", 2)]
    sources = [
        audio_source(tmp_path / "c", "s", clips),
        text_source(tmp_path / "c", "t", [("t1", "abcdefghijklmnopqrstuvwxyzabcdefgh", "train")]),
    ]
    pack(sources, WORDS, "extend", tmp_path / "p", max_tokens=24)  # room for 3 frames and both markers
    audio, texts = PackedDataset(tmp_path / "p/s"), PackedDataset(tmp_path / "p/t")
    whole = ids_of(clips[0])
    assert [one.tolist() for one in audio] == [
        [OPEN, *whole[:21]],
        [OPEN, *whole[21:35]],
        [OPEN, *whole[35:], CLOSE],
        ids_of(clips[1], open=True, close=True),
    ]
    table = audio.documents
    assert table["piece"].to_pylist() == [0, 1, 2, 0]
    assert table["is_last"].to_pylist() == [False, False, True, True]
    assert table["num_tokens"].to_pylist() == audio.lengths.tolist()
    assert table["recording"][0] == table["recording"][2] != table["recording"][3]
    assert texts.lengths.tolist() == [18, 17] and texts[0][-1] != EOS and texts[1][-1] == EOS
    assert max(texts.lengths.max(), audio.lengths.max()) <= 24


def test_a_transcript_may_stand_before_its_recording(tmp_path):
    clips = [clip("a", 3, "Hi."), clip("b", 1, ""), clip("c", 1, "much too long for a row"), clip("d", 1, "Ho")]
    pack([audio_source(tmp_path, "s", clips)], WORDS, "extend", tmp_path / "p", max_tokens=21, text_before_audio=True)
    packed = PackedDataset(tmp_path / "p/s")
    whole = ids_of(clips[0])
    assert [one.tolist() for one in packed] == [
        [*b"Hi.", OPEN, *whole[:14]],
        [OPEN, *whole[14:], CLOSE],
        ids_of(clips[1], open=True, close=True),
        [*b"Ho", *ids_of(clips[3], open=True, close=True)],
    ]
    assert packed.documents["form"].to_pylist() == ["text+audio", "audio", "audio", "text+audio"]
    assert packed.info.left_out == [
        {"id": "c", "reason": "its text of 23 ids leaves no room for a frame within 21 tokens"}
    ]


def test_what_cannot_be_used_is_listed_with_its_reason(tmp_path):
    tokenizer = byte_tokenizer()
    tokenizer.add_tokens(["<snac_l1_3>"])  # not special: a text can spell it
    source = text_source(tmp_path, "t", [("a", "fine", ""), ("b", "", ""), ("c", "x <snac_l1_3>", ""), ("d", "y", "")])
    (tmp_path / "v.yaml").write_text("")
    CodecVocabulary.extend(258, FrameLayout("CMFFMFF"), (64, 64, 64)).save(tmp_path / "v.yaml")
    pack([source], TextTokenizer(tokenizer), str(tmp_path / "v.yaml"), tmp_path / "p")
    packed = PackedDataset(tmp_path / "p/t")
    assert packed.documents["id"].to_pylist() == ["a", "d"]
    assert packed.info.left_out == [
        {"id": "b", "reason": "no text"},
        {"id": "c", "reason": "its text holds id 258, which is the open marker"},
    ]


def test_a_source_with_nothing_to_use_is_refused(tmp_path):
    with pytest.raises(ValueError, match="source t: nothing to pack; most are left out for: no text"):
        pack([text_source(tmp_path, "t", [("a", "", "")])], WORDS, "calliope", tmp_path / "p")


def test_pieces_copies_and_equal_texts_know_each_other(tmp_path):
    clips = [clip("a#1", 1, "Good day!"), clip("a#2", 1), clip("b", 1, "good  DAY"), clip("a@0.9", 1)]
    copies = [clip("a#2+pitch", 1), clip("c+noise", 1)]
    sources = [audio_source(tmp_path / "c", "s", clips), audio_source(tmp_path / "c", "s+aug", copies)]
    pack(sources, WORDS, "extend", tmp_path / "p")
    first, second = (PackedDataset(tmp_path / f"p/{name}").documents for name in ("s", "s+aug"))
    keys = first["recording"].to_pylist()
    assert keys[0] == keys[1] == keys[3] == second["recording"][0].as_py()
    assert len({keys[0], keys[2], second["recording"][1].as_py()}) == 3
    assert first["text"][0] == first["text"][2] and first["text"][1].as_py() == 0


def test_damaged_codes_name_their_clip(tmp_path):
    from aoede.data.codes import write_shard

    source = audio_source(tmp_path, "s", [clip("a", 2), clip("b", 2)])
    wrong = clip("b", 2)
    wrong.codes[1][2] = 64
    write_shard(source.folder / "codes-00000.parquet", [clip("a", 2), wrong], INFO, {})
    with pytest.raises(ValueError, match=r"codes-00000.parquet: clip b: code 64 in level 1, the codebook has 64"):
        pack([source], WORDS, "extend", tmp_path / "p")
    wrong.codes[1] = wrong.codes[1][:3]
    write_shard(source.folder / "codes-00000.parquet", [clip("a", 2), wrong], INFO, {})
    with pytest.raises(ValueError, match=r"clip b: 3 codes in level 1, but 2 frames have 4"):
        pack([source], WORDS, "extend", tmp_path / "p")
    shard = source.folder / "codes-00000.parquet"
    shard.write_bytes(shard.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"codes-00000\.parquet"):
        pack([source], WORDS, "extend", tmp_path / "p")


def test_a_run_goes_on_with_the_first_source_that_is_not_finished(tmp_path):
    sources = [
        audio_source(tmp_path / "c", "one", [clip("a", 3), clip("b", 2)]),
        audio_source(tmp_path / "c", "two", [clip("c", 4)]),
    ]
    pack(sources, WORDS, "extend", tmp_path / "whole")
    pack(sources[:1], WORDS, "extend", tmp_path / "p")
    before = (tmp_path / "p/one.bin").stat().st_mtime_ns
    # As a kill leaves it: renamed files without their .json, and one half written.
    (tmp_path / "p/two.bin").write_bytes(b"half")
    (tmp_path / "p/.two.idx.123.tmp").write_bytes(b"half")
    with pytest.raises(ValueError, match="no packed documents there"):
        PackedDataset(tmp_path / "p/two")
    summary = pack(sources, WORDS, "extend", tmp_path / "p")
    assert summary.new_tokens == 30 and (tmp_path / "p/one.bin").stat().st_mtime_ns == before
    names = sorted(path.name for path in (tmp_path / "p").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "whole").iterdir())
    for name in (name for name in names if name != "tokenizer"):
        assert (tmp_path / "p" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert "nothing left to do" in str(pack(sources, WORDS, "extend", tmp_path / "p"))


KILLED = """
import os, signal, sys
from pathlib import Path
from aoede.data.corpus import SourceInfo
from aoede.data.packed import IndexedWriter, TextTokenizer, byte_tokenizer, pack

home = Path(sys.argv[1])
sources = [
    SourceInfo(name=name, kind="studio", language="xx", licence="CC0", folder=home / "c" / name)
    for name in ("one", "two")
]
add, calls = IndexedWriter.add, []

def add_and_die(self, ids, lengths):
    add(self, ids, lengths)
    self._file.flush()
    calls.append(1)
    if len(calls) == 4:  # two shards of `one`, two of three of `two`
        os.kill(os.getpid(), signal.SIGKILL)

IndexedWriter.add = add_and_die
pack(sources, TextTokenizer(byte_tokenizer()), "extend", home / "p")
"""


def test_a_run_that_is_killed_in_the_middle_of_a_file_leaves_no_trace_in_the_end(tmp_path):
    sources = [
        audio_source(tmp_path / "c", "one", [clip(f"a{i}", 3) for i in range(6)]),
        audio_source(tmp_path / "c", "two", [clip(f"b{i}", 2) for i in range(9)]),
    ]
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], capture_output=True, timeout=300)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    there = {path.name for path in (tmp_path / "p").iterdir()}
    assert "one.json" in there and not any(name.startswith("two") for name in there)
    assert sum(name.endswith(".tmp") for name in there) >= 1
    pack(sources, WORDS, "extend", tmp_path / "p")
    pack(sources, WORDS, "extend", tmp_path / "whole")
    names = sorted(path.name for path in (tmp_path / "whole").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "p").iterdir())
    for name in (name for name in names if name != "tokenizer"):
        assert (tmp_path / "p" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_other_settings_and_changed_sources_are_refused(tmp_path):
    source = audio_source(tmp_path / "c", "s", [clip("a", 3)])
    pack([source], WORDS, "extend", tmp_path / "p")
    with pytest.raises(ValueError, match="begun with another max_tokens: None, now 50; give another --out"):
        pack([source], WORDS, "extend", tmp_path / "p", max_tokens=50)
    with pytest.raises(ValueError, match="begun with another text_before_audio"):
        pack([source], WORDS, "extend", tmp_path / "p", text_before_audio=True)
    other = audio_source(tmp_path / "d", "s", [clip("a", 3), clip("b", 1)])
    with pytest.raises(ValueError, match="source s has changed since it was packed"):
        pack([other], WORDS, "extend", tmp_path / "p")
    text = text_source(tmp_path / "c", "t", [("a", "b", "")])
    with pytest.raises(ValueError, match="source s is not in the corpus any more"):
        pack([text, audio_source(tmp_path / "e", "u", [clip("a", 3)])], WORDS, "extend", tmp_path / "p")
    with pytest.raises(ValueError, match="a document of this corpus needs 9 at least"):
        pack([source], WORDS, "extend", tmp_path / "q", max_tokens=8)


def test_sources_may_be_packed_one_by_one(tmp_path):
    sources = [
        audio_source(tmp_path / "c", "s", [clip("a", 3)]),
        text_source(tmp_path / "c", "t", [("a", "b", "")]),
    ]
    pack(sources, WORDS, "extend", tmp_path / "p", only=["t"])  # the corpus's codec decides, not the source's
    assert PackedFolder(tmp_path / "p").names == ("t",)
    pack(sources, WORDS, "extend", tmp_path / "p", only=["s"])
    assert PackedFolder(tmp_path / "p").names == ("s", "t")
    pack(sources, WORDS, "extend", tmp_path / "whole")
    for name in ("s.bin", "t.idx", "t.json", "packing.yaml"):
        assert (tmp_path / "p" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    with pytest.raises(ValueError, match="the corpus has no source 'tt'; there are t"):
        pack(sources, WORDS, "extend", tmp_path / "p", only=["tt"])


def test_long_texts_are_read_a_few_at_a_time(tmp_path, monkeypatch):
    from aoede.data.packed import reading

    texts = [(str(i), "x" * (1 + 40 * (i % 3)), "") for i in range(20)]
    source = text_source(tmp_path, "t", texts, shard=20)
    pack([source], WORDS, "calliope", tmp_path / "p")
    monkeypatch.setattr(reading, "BATCH_BYTES", 90)
    sizes = []
    given = reading.DocumentMaker.from_text
    monkeypatch.setattr(
        reading.DocumentMaker, "from_text", lambda self, rows: (sizes.append(rows.num_rows), given(self, rows))[1]
    )
    pack([source], WORDS, "calliope", tmp_path / "few")
    assert sum(sizes) == 20 and max(sizes) <= 3
    assert (tmp_path / "p/t.bin").read_bytes() == (tmp_path / "few/t.bin").read_bytes()


def test_vocabularies_that_do_not_fit_are_refused(tmp_path):
    text = text_source(tmp_path, "t", [("a", "b", "")])
    with pytest.raises(ValueError, match="no source of it has codes"):
        pack([text], WORDS, "extend", tmp_path / "p")
    with pytest.raises(ValueError, match="none of calliope, orpheus, extend and no file"):
        pack([text], WORDS, "callope", tmp_path / "p")
    CodecVocabulary.extend(100, FrameLayout("CMFFMFF"), (64, 64, 64)).save(tmp_path / "small.yaml")
    with pytest.raises(ValueError, match=r"end-of-text id 257 is in range F .*text rows are 0 \.\. 99"):
        pack([text], WORDS, str(tmp_path / "small.yaml"), tmp_path / "p")
    extended = byte_tokenizer()
    extended.add_tokens(VOCABULARY.new_tokens())
    source = audio_source(tmp_path, "s", [clip("a", 1)])
    with pytest.raises(ValueError, match=r"it was extended before; give --vocabulary its augmented\.yaml"):
        pack([source], TextTokenizer(extended), "extend", tmp_path / "p")


def test_files_that_do_not_belong_together_are_refused(tmp_path):
    sources = [audio_source(tmp_path / "c", name, [clip(name, 3), clip("b", 2)]) for name in ("one", "two")]
    pack(sources, WORDS, "extend", tmp_path / "p")
    folder = PackedFolder(tmp_path / "p")
    folder.check()
    data = bytearray((tmp_path / "p/two.bin").read_bytes())
    data[4] ^= 1
    (tmp_path / "p/two.bin").write_bytes(data)
    with pytest.raises(ValueError, match=r"two\.bin: its SHA-256 is"):
        folder.check()
    table = tmp_path / "p/one.documents.parquet"
    table.write_bytes(table.read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"one\.documents\.parquet: damaged or cut short"):
        _ = PackedDataset(tmp_path / "p/one").documents
    (tmp_path / "p/two.json").unlink()
    with pytest.raises(ValueError, match="unfinished, two is missing"):
        PackedFolder(tmp_path / "p")
    with pytest.raises(ValueError, match="an unfinished `aoede pack`"):
        PackedDataset(tmp_path / "p/two")
    assert len(IndexedFile(tmp_path / "p/two")) == 2
    info = json.loads((tmp_path / "p/one.json").read_text())
    (tmp_path / "p/one.json").write_text(json.dumps({**info, "documents": 3}))
    with pytest.raises(ValueError, match=r"2 documents of 39 tokens, but one\.json says 3 of 39"):
        PackedDataset(tmp_path / "p/one")
    with pytest.raises(ValueError, match=r"no packing\.yaml"):
        PackedFolder(tmp_path)


def test_memory_does_not_grow_with_the_corpus(tmp_path):
    def peak(count):
        clips = [clip(f"{i}", 60) for i in range(8)]
        source = audio_source(tmp_path / f"c{count}", "s", clips * count, shard=8)
        tracemalloc.start()
        try:
            pack([source], WORDS, "extend", tmp_path / f"p{count}")
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(1)
    small, large = peak(2), peak(24)
    assert large < 1.5 * small, f"{small:,} bytes for 2 shards, {large:,} for 24"
    assert sum(len(one.codes[0]) for one in load_codes(tmp_path / "c24/s")) == 24 * 480


def test_large_tables_keep_their_row_groups(tmp_path, monkeypatch):
    from aoede.data.packed import table

    monkeypatch.setattr(table, "_TABLE_ROWS", 4)
    pack([audio_source(tmp_path, "s", [clip(str(i), 1) for i in range(10)])], WORDS, "extend", tmp_path / "p")
    assert PackedDataset(tmp_path / "p/s").documents["id"].to_pylist() == [str(i) for i in range(10)]
