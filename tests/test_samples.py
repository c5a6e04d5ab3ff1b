"""docs/samples: every sound that the page names is there, can be heard, and was made by the shipped weights."""

import json
import re

import numpy as np
import pytest
import soundfile

from aoede.generation import bundled_voices
from aoede.generation.samples import weights_of
from tests.generation.tiny_voice import write_voice
from tests.scripts import ROOT, load_script

FOLDER = ROOT / "docs" / "samples"
TOLD = json.loads((FOLDER / "samples.json").read_text(encoding="utf-8"))
AGAIN = "python docs/samples/make.py"


def sounds():
    return [(sample, version, file) for sample in TOLD["samples"] for version, file in sample["files"].items()]


def test_the_samples_were_made_by_the_shipped_weights():
    assert TOLD["weights"] == weights_of(bundled_voices()[TOLD["voice"]]), f"other weights made them: {AGAIN}"


def test_the_page_is_what_the_script_writes_of_the_samples():
    page = load_script("docs/samples/make.py").page(TOLD["voice"], TOLD["weights"], TOLD["samples"])
    assert (FOLDER / "README.md").read_text(encoding="utf-8") == page, AGAIN


def test_the_page_links_every_sound_and_picture_and_no_other_file_lies_there():
    linked = set(re.findall(r"\]\(([\w-]+\.(?:ogg|png))\)", (FOLDER / "README.md").read_text(encoding="utf-8")))
    named = {file[kind] for _, _, file in sounds() for kind in ("sound", "picture")}
    assert linked == named == {path.name for path in FOLDER.iterdir() if path.suffix in (".ogg", ".png")}
    assert sum(path.stat().st_size for path in FOLDER.iterdir() if path.is_file()) < 3_000_000


def test_sentences_of_several_speakers_stand_beside_recordings_and_round_trips():
    held = [sample for sample in TOLD["samples"] if sample["held out"]]
    assert len(TOLD["samples"]) >= 10 and len({sample["speaker"] for sample in TOLD["samples"]}) >= 4
    assert len(held) >= 4 and all(list(sample["files"]) == ["recording", "codec", "voice"] for sample in held)


@pytest.mark.parametrize(("sample", "version", "file"), sounds(), ids=[file["sound"] for _, _, file in sounds()])
def test_a_sample_is_speech_of_a_sane_length_and_level(sample, version, file):
    audio, rate = soundfile.read(FOLDER / file["sound"], dtype="float32")
    assert audio.ndim == 1 and rate == 24000
    assert len(audio) / rate == pytest.approx(file["seconds"], abs=0.02)
    letters = len(sample["text"])
    assert letters / 40 < file["seconds"] < letters / 5, "5 to 40 letters a second"
    level = np.sqrt(np.mean(audio.astype(np.float64) ** 2))
    assert 0.01 < level < 0.3 and 0.1 < np.abs(audio).max() <= 1, f"{version} has level {level:.4f}"
    assert (FOLDER / file["picture"]).read_bytes().startswith(b"\x89PNG")


def test_the_script_makes_all_of_it_from_a_voice_and_a_corpus(tmp_path):
    script = load_script("docs/samples/make.py")
    voice = write_voice(tmp_path / "tiny", text_stride=8.0)
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    rows = []
    for name, seconds, split in (("a", 4, "train"), ("b", 1, "heldout"), ("c", 4, "heldout"), ("d", 5, "heldout")):
        noise = np.random.default_rng(0).uniform(-0.1, 0.1, seconds * 8000)
        soundfile.write(corpus / f"{name}.wav", noise, 8000)
        rows.append({"audio": f"{name}.wav", "text": f"Say {name}.", "speaker": "bm_george", "split": split})
    (corpus / "manifest.jsonl").write_text("\n".join(map(json.dumps, rows)))
    chosen = script.Sentence(name="hello", speaker="af_heart", shows="a word", text="Hello.")
    script.make(voice, corpus, tmp_path / "out", [chosen], ["bm_george"])
    told = json.loads((tmp_path / "out" / "samples.json").read_text())
    assert told["weights"] == weights_of(voice)
    assert [sample["text"] for sample in told["samples"]] == ["Hello.", "Say c."], "the first that is long enough"
    kept, rate = soundfile.read(tmp_path / "out" / "heldout-1-recording.ogg")
    assert (len(kept), rate) == (32000, 8000)
    assert "[play, 4.0 s](heldout-1-codec.ogg)" in (tmp_path / "out" / "README.md").read_text()
    with pytest.raises(ValueError, match="no held-out clip of 3 to 8 s by af_heart"):
        script.make(voice, corpus, tmp_path / "out", [chosen], ["af_heart"])
