"""Embeddings: which positions and layers are pooled, what is read, the file, and the probes' honesty."""

import json

import numpy as np
import pytest
import soundfile
import torch

from aoede.cli.main import main
from aoede.codec import Snac
from aoede.data import Clip, prepare
from aoede.evaluation.embed import embed
from aoede.evaluation.embeddings import Embedding, EmbeddingsInfo, load_embeddings, save_embeddings
from aoede.evaluation.probe import probe_classes, probe_numbers
from aoede.generation import Prior
from tests.generation.tiny_voice import make_model, make_other_model, write_voice


def frames_of(count, seed=0):
    return torch.randint(0, 64, (count, 7), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", ["plain", "parallel", "gemma3", "nemotron_h"])
@pytest.mark.parametrize("layer", [0, 1, -1])
def test_a_vector_is_the_pooled_stream_of_the_layer(kind, layer):
    if kind in ("plain", "parallel"):
        model = make_model(60, text_stride=6.5 if kind == "parallel" else None)
    else:
        model = make_other_model(kind)
    recordings = [frames_of(3), frames_of(9, seed=1), frames_of(1, seed=2)]
    means = list(embed(model, recordings, layer=layer))
    lasts = list(embed(model, recordings, layer=layer, pool="last"))
    for frames, mean, last in zip(recordings, means, lasts, strict=True):
        ids = model.vocabulary.ids_from_frames(frames[None], open=True)
        with torch.no_grad():
            stream = model(ids, output_hidden_states=True).hidden_states[layer][0]
        assert np.allclose(mean, stream[1:].mean(0), atol=1e-5) and np.allclose(last, stream[-1], atol=1e-5)
    assert not np.allclose(means[0], means[1], atol=1e-2)


def test_layers_are_counted_from_the_ids_embedding_to_the_norm_before_the_head():
    model, frames = make_model(60), frames_of(2)
    ids = model.vocabulary.ids_from_frames(frames[None], open=True)
    [lowest], [highest] = (list(embed(model, [frames], layer=layer, pool="last")) for layer in (0, 2))
    with torch.no_grad():
        assert np.allclose(lowest, model.model.get_input_embeddings()(ids)[0, -1], atol=1e-6)
        assert np.allclose(highest, model.hidden_states(ids)[0][0, -1], atol=1e-5)
    with pytest.raises(ValueError, match=r"layer 3 does not exist; 0 .* \.\. 2"):
        list(embed(model, [frames], layer=3))
    with pytest.raises(ValueError, match="pool is 'max'"):
        list(embed(model, [frames], pool="max"))


def test_batches_change_nothing_and_a_long_recording_is_read_in_pieces():
    model = make_model(60)
    recordings = [frames_of(n, seed=n) for n in (2, 300, 5, 4)]
    together = list(embed(model, recordings))
    each = [next(iter(embed(model, [one], batch_tokens=1))) for one in recordings]
    assert all(np.allclose(a, b, atol=1e-5) for a, b in zip(together, each, strict=True))
    # 2,048 positions hold 292 frames and their marker; 8 are left.
    first, rest = (next(iter(embed(model, [part]))) for part in (recordings[1][:292], recordings[1][292:]))
    assert np.allclose(together[1], (292 * first + 8 * rest) / 300, atol=1e-5)
    last = next(iter(embed(model, [recordings[1]], pool="last")))
    assert np.allclose(last, next(iter(embed(model, [recordings[1][292:]], pool="last"))), atol=1e-5)


def made(count, *, classes=("a", "b"), strength=3.0, split="", speakers=1, seed=0, wide=20):
    """Embeddings whose first number depends on the class."""
    random = np.random.default_rng(seed)
    found = []
    for i in range(count):
        vector = random.normal(size=wide).astype(np.float32)
        vector[0] += strength * (i % len(classes))
        found.append(
            Embedding(
                id=f"{split}{seed}-{i}", vector=vector, language=classes[i % len(classes)],
                speaker=f"s{i % (speakers * len(classes))}", split=split,
            )
        )  # fmt: skip
    return found


def labels(found, name="language"):
    return {one.id: getattr(one, name) for one in found}


def test_a_class_that_is_there_is_read_off_and_one_that_is_not_stays_at_chance():
    there = made(200, strength=6.0)
    report = probe_classes(there, labels(there), "language")
    assert report.figure.value > 0.95 and report.chance == pytest.approx(0.5, abs=0.02) and report.uniform == 0.5
    assert report.figure.low <= report.figure.value <= report.figure.high
    absent = made(200, strength=0.0)
    report = probe_classes(absent, labels(absent), "language")
    assert report.figure.low < 0.55 and 0.35 < report.figure.value < 0.65


def test_a_split_is_respected_and_told():
    found = made(60, split="train") + made(20, split="heldout", seed=1)
    report = probe_classes(found, labels(found), "language")
    assert (report.num_train, report.num_test, report.how) == (60, 20, "split heldout")
    assert any("speakers of split heldout are learned from too" in note for note in report.notes)
    # What stands in the test split cannot teach: with its labels turned round, the probe is as wrong as it was right.
    turned = labels(found) | {one.id: "ab"[one.language == "a"] for one in found[60:]}
    assert probe_classes(found, turned, "language").figure.value == pytest.approx(1 - report.figure.value)
    with pytest.raises(ValueError, match="split 'dev' has 0 recordings"):
        probe_classes(found, labels(found), "language", test="dev")


def test_whole_speakers_stay_on_one_side_so_a_voice_is_no_language():
    """Ten speakers, a language each to five; vectors tell only the speaker, so unseen speakers stay at chance."""
    random = np.random.default_rng(0)
    voices = random.normal(size=(10, 20)) * 5
    found = [
        Embedding(
            id=str(i), vector=(voices[i % 10] + random.normal(size=20) * 0.1).astype(np.float32),
            speaker=f"s{i % 10}", language="ab"[i % 10 % 2],
        )
        for i in range(200)
    ]  # fmt: skip
    report = probe_classes(found, labels(found), "language")
    assert report.how == "5-fold cross-validation, whole speakers" and report.figure.value < 0.8
    assert probe_classes(found, labels(found, "speaker"), "speaker").figure.value > 0.99


def test_pieces_and_copies_of_a_recording_stay_on_one_side():
    """Vectors tell only the recording: an honest probe of a random label is at chance, a leaking one is right."""
    random = np.random.default_rng(1)
    names = [f"r{i}" for i in range(40)]
    place, label = random.normal(size=(40, 60)), random.integers(0, 2, 40)
    found, given = [], {}
    for i, name in enumerate(names):
        for piece in ("", "#1", "#2", "+slow"):
            vector = (place[i] + random.normal(size=60) * 0.01).astype(np.float32)
            found.append(Embedding(id=name + piece, vector=vector))
            given[name + piece] = "ab"[label[i]]
    assert probe_classes(found, given, "language").figure.value < 0.75


def test_a_number_is_read_off_with_its_error():
    random = np.random.default_rng(0)
    found = made(120)
    marks = {one.id: 3.0 + 0.5 * float(one.vector[3]) + random.normal() * 0.1 for one in found}
    report = probe_numbers(found, marks, "quality")
    assert report.figure.value > 0.85 and report.error.value < 0.2 and report.chance == 0
    noise = {one.id: random.normal() for one in found}
    assert probe_numbers(found, noise, "quality").figure.value < 0.2
    with pytest.raises(ValueError, match="all recordings have quality 1"):
        probe_numbers(found, dict.fromkeys(noise, 1.0), "quality")


def test_too_few_classes_and_missing_labels_are_told():
    found = made(10)
    with pytest.raises(ValueError, match="all recordings have language 'a'"):
        probe_classes(found, dict.fromkeys(labels(found), "a"), "language")
    with pytest.raises(ValueError, match="2 recordings have a language"):
        probe_classes(found, {"0-0": "a", "0-1": "b"}, "language")
    partly = labels(found) | {"0-0": ""}
    assert "1 recordings have no language and are left out" in probe_classes(found, partly, "language").notes


def test_the_file_keeps_everything(tmp_path):
    found = made(4, split="dev")
    info = EmbeddingsInfo(model="m", layer=1, num_layers=2, pool="mean", codec_fingerprint="f")
    path = save_embeddings(tmp_path / "e.parquet", found, info)
    again, said = load_embeddings(path)
    assert said == info and labels(again) == labels(found)
    assert all(np.array_equal(a.vector, b.vector) for a, b in zip(again, found, strict=True))
    (tmp_path / "x.parquet").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="no file of embeddings"):
        load_embeddings(tmp_path / "x.parquet")


@pytest.fixture(scope="module")
def voice_folder(tmp_path_factory):
    return write_voice(tmp_path_factory.mktemp("voices") / "plain", text_stride=None)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory, voice_folder):
    """Eight recordings of two speakers as sound with a manifest, and the same prepared."""
    folder = tmp_path_factory.mktemp("embed")
    random, rows, clips = np.random.default_rng(0), [], []
    for i in range(8):
        tone = np.sin(np.arange(2560) * (0.1 + 0.3 * (i % 2))) * 0.4 + random.normal(size=2560) * 0.02
        soundfile.write(folder / f"{i}.wav", tone.astype(np.float32), 8000, subtype="FLOAT")
        rows.append(
            {"audio": f"{i}.wav", "id": str(i), "text": "", "speaker": "ab"[i % 2], "language": ["en", "cs"][i % 2]}
        )
    (folder / "manifest.jsonl").write_text("\n".join(map(json.dumps, rows)))
    codec = Snac.from_pretrained(voice_folder / "codec")
    clips = [
        Clip(audio=str(folder / row["audio"]), **{k: row[k] for k in ("id", "speaker", "language")}) for row in rows
    ]
    prepare(clips, codec, folder / "codes")
    return folder


def test_sound_and_prepared_codes_give_the_same_vectors(corpus, voice_folder, tmp_path, capsys):
    outs = [tmp_path / "sound.parquet", tmp_path / "codes.parquet"]
    for given, out in zip(("manifest.jsonl", "codes"), outs, strict=True):
        words = ["embed", str(voice_folder), str(corpus / given), "--out", str(out), "--layer", "1"]
        assert main(words) == 0
    assert "8 recordings, 32 numbers each\nlayer 1 of 2, mean over positions" in capsys.readouterr().out
    (sound, said), (codes, _) = (load_embeddings(out) for out in outs)
    assert said.codec_fingerprint == Prior.from_pretrained(voice_folder).codec.fingerprint()
    assert all(np.allclose(a.vector, b.vector, atol=1e-6) for a, b in zip(sound, codes, strict=True))
    assert [one.speaker for one in codes] == list("abababab")
    assert main(["embed", "probe", str(outs[0]), "--label", "speaker"]) == 0
    assert "speaker: 2 classes" in capsys.readouterr().out
    values = tmp_path / "marks.csv"
    values.write_text("id,quality\n" + "\n".join(f"{i},{1 + i % 2}.5" for i in range(8)))
    assert main(["embed", "probe", str(outs[0]), "--label", "quality", "--values", str(values)]) == 0
    assert "R squared" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["{voice}", "{corpus}/0.wav", "--out", "{tmp}/e.npy"], "embeddings are a .parquet file"),
        (["{voice}", "{corpus}/0.wav"], "give --out FILE.parquet"),
        (["{voice}", "{corpus}/0.wav", "--out", "{tmp}/e.parquet", "--layer", "9"], "layer 9 does not exist"),
        (["probe", "{corpus}/manifest.jsonl", "--label", "speaker"], "no file of embeddings"),
        (["probe", "{corpus}/missing.parquet", "--label", "speaker"], "no such file"),
        (["probe", "x.parquet"], "takes one FILE.parquet and --label"),
    ],
)
def test_the_verb_refuses_with_one_line(corpus, voice_folder, tmp_path, capsys, words, said):
    places = {"voice": voice_folder, "corpus": corpus, "tmp": tmp_path}
    assert main(["embed", *(word.format(**places) for word in words)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("aoede: error: ") and said in error
    assert list(tmp_path.iterdir()) == []


def test_quality_must_be_given(tmp_path):
    from aoede.evaluation.embed_command import probe_file

    info = EmbeddingsInfo(model="m", layer=1, num_layers=2, pool="mean", codec_fingerprint="f")
    path = save_embeddings(tmp_path / "e.parquet", made(8), info)
    with pytest.raises(ValueError, match="recordings do not say their quality"):
        probe_file(path, "quality")
    (tmp_path / "v.csv").write_text("id,quality\n0-0,good\n")
    with pytest.raises(ValueError, match="quality of '0-0' is 'good', no number"):
        probe_file(path, "quality", values=tmp_path / "v.csv")
    (tmp_path / "w.csv").write_text("name,quality\n0-0,1\n")
    with pytest.raises(ValueError, match="needs the columns id and quality; it has name, quality"):
        probe_file(path, "quality", values=tmp_path / "w.csv")
