"""Samples of voices: every speaker is heard, the page needs nothing else, the files say which weights made them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from aoede.cli.main import main
from aoede.generation import Voice, VoiceSettings, bundled_voices
from aoede.generation.samples import FOLDER, PAGE, SampleSet, file_names, weights_of, write_samples
from tests.evaluation.pages import Checker
from tests.generation.tiny_voice import write_voice


@pytest.fixture(scope="module")
def voice(tmp_path_factory):
    return write_voice(tmp_path_factory.mktemp("voices") / "tiny", text_stride=8.0)


def page_of(folder):
    page = Checker()
    page.feed((folder / PAGE).read_text(encoding="utf-8"))
    page.close()
    assert not page.open and not page.unnamed
    return page


def test_every_speaker_says_the_sentence_and_the_page_plays_it(voice, tmp_path, capsys):
    assert (
        main(["voices", str(voice), "--samples", str(tmp_path), "--format", "flac", "--text", "Go.", "--seed", "2"])
        == 0
    )
    assert capsys.readouterr().out == f"written {tmp_path}/index.html\n"
    samples, _ = soundfile.read(tmp_path / "bm_george.flac", dtype="float32")
    said = Voice.from_pretrained(voice).speak("Go.", "bm_george", seed=2).samples
    assert np.abs(samples - said).max() < 1e-4
    assert page_of(tmp_path).fetched == ["af_heart.flac", "bm_george.flac"]
    found = SampleSet.load(tmp_path)
    assert (found.text, found.seed, found.language) == ("Go.", 2, "en") and found.weights == weights_of(voice)
    assert [sample.speaker for sample in found.samples] == ["af_heart", "bm_george"]
    assert found.samples[1].seconds == pytest.approx(len(said) / 8000, abs=0.01)


def test_samples_in_the_folder_of_a_voice_are_listed(voice, tmp_path, capsys):
    own = shutil.copytree(voice, tmp_path / "own")
    write_samples([str(own)], own / FOLDER, form="ogg", text="Go.", progress=False)
    assert main(["voices", str(own)]) == 0
    shown = capsys.readouterr().out
    assert "samples/af_heart.ogg" in shown and f"hear them: {own}/samples/index.html" in shown
    (own / "model" / "model.safetensors").write_bytes(b"others")
    assert SampleSet.load(own / FOLDER).weights != weights_of(own)


def test_several_voices_get_a_folder_each_and_one_page(voice, tmp_path):
    other = shutil.copytree(voice, tmp_path / "other")
    settings = json.loads((other / "voice.json").read_text())
    (other / "voice.json").write_text(
        json.dumps({**settings, "name": "../a <b>", "text": {**settings["text"], "language": "eo"}})
    )
    assert write_samples([str(voice), str(other)], tmp_path / "out", text="Go.", progress=False) == []
    assert (tmp_path / "out/tiny/af_heart.wav").exists() and (tmp_path / "out/a-b/af_heart.wav").exists()
    page = page_of(tmp_path / "out")
    assert len(page.fetched) == 4 and all((tmp_path / "out" / name).is_file() for name in page.fetched)
    assert "../a &lt;b&gt;" in (tmp_path / "out" / PAGE).read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="speaks eo, and there is no sentence for it"):
        write_samples([str(other)], tmp_path / "out", progress=False)


def test_names_become_files_that_differ_and_stay_in_the_folder():
    assert file_names(["Ann", "ann", "../up", "Дуня", "..", "a b"]) == ["Ann", "ann-2", "up", "Дуня", "voice", "a-b"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--format", "opus"], "--format is for samples: add --samples FOLDER"),
        (["--samples", "out", "--json"], "leave one of them out"),
        (["--samples", "out", "--format", "aac"], "format 'aac' is none of wav, flac, ogg"),
        (["--samples", "file"], "file is a file"),
        (["--samples", "site"], "site/index.html is another page"),
        (["--samples", "out", "--seed", "-1"], "seed -1 is negative"),
        (["--samples", "out", "--text", " "], "the text is empty"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_and_nothing_is_written(voice, tmp_path, monkeypatch, capsys, options, words):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("mine")
    Path("site").mkdir()
    Path("site/index.html").write_text("<p>mine")
    assert main(["voices", str(voice), *options]) == 2
    assert words in capsys.readouterr().err
    assert Path("site/index.html").read_text() == "<p>mine" and not list(Path().glob("out/*"))


def test_a_list_of_samples_names_no_file_elsewhere(voice, tmp_path):
    write_samples([str(voice)], tmp_path, text="Go.", progress=False)
    index = tmp_path / "samples.json"
    index.write_text(index.read_text().replace("af_heart.wav", "../voice.json"))
    with pytest.raises(ValueError, match=r"'\.\./voice\.json', which is not beside it"):
        SampleSet.load(tmp_path)
    index.write_text('{"format": 1, "samples": [3]}')
    with pytest.raises(ValueError, match="is no list of samples"):
        SampleSet.load(tmp_path)


@pytest.mark.parametrize("name", bundled_voices())
def test_a_bundled_voice_ships_a_sample_of_every_speaker_made_by_its_own_weights(name):
    folder = bundled_voices()[name]
    found = SampleSet.load(folder / FOLDER)
    again = f"aoede voices {name} --samples {folder / FOLDER} --format opus"
    assert found is not None, f"no samples: {again}"
    assert found.weights == weights_of(folder), f"the samples were made by other weights: {again}"
    assert [sample.speaker for sample in found.samples] == list(VoiceSettings.load(folder).speakers)
    for sample in found.samples:
        audio, rate = soundfile.read(folder / FOLDER / sample.file, dtype="float32")
        assert len(audio) / rate == pytest.approx(sample.seconds, abs=0.1) and 1 < sample.seconds < 10
        assert 0.05 < np.abs(audio).max() <= 1 and np.sqrt(np.mean(audio**2)) > 0.005
    assert page_of(folder / FOLDER).fetched == [sample.file for sample in found.samples]
    assert sum(file.stat().st_size for file in (folder / FOLDER).iterdir()) < 1_000_000
