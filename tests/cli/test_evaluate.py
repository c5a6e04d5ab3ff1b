"""`aoede evaluate` on a tiny codec: what it prints and writes, and how it refuses."""

import argparse
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from aoede.cli.evaluate import add
from aoede.cli.main import main
from aoede.codec import Snac, SnacConfig
from tests.generation.tiny_voice import write_two_stage_voice, write_voice


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


def test_codecs_are_measured_side_by_side_and_make_a_results_page(folder, tmp_path, capsys):
    codec, page = folder / "codec", tmp_path / "docs" / "codec.md"
    command = ["evaluate", "codec", f"one={codec}", f"two={codec}", str(folder / "manifest.jsonl"), "--encoder", "none"]
    assert main([*command, "--measures", "none", "--out", str(tmp_path / "out"), "--results", str(page)]) == 0
    printed = capsys.readouterr().out
    assert "| | recordings | one | two |" in printed
    assert "| mel distance | 0.00 (0.00 to 0.00) |" in printed  # the same codec twice: no difference
    assert "not measured: PESQ: left out: --measures none" in printed
    text = page.read_text()
    assert f"    aoede evaluate codec one=codec two=codec {folder.name}/manifest.jsonl" in text
    assert str(folder) not in text
    assert (page.parent / "codec.svg").is_file()


def test_a_folder_of_sound_files_is_measured_by_the_bundled_codec(folder, tmp_path, capsys):
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    soundfile.write(sounds / "a.wav", 0.1 * np.random.default_rng(0).standard_normal(16000), 16000)
    command = ["evaluate", "codec", str(sounds), "--out", str(tmp_path / "out"), "--measures", "none"]
    assert main([*command, "--encoder", "none", "--level-clips", "1", "--worst", "1"]) == 0
    assert "| bundled | 3 of 3 |" in capsys.readouterr().out
    assert "<audio" in (tmp_path / "out" / "report.html").read_text()


def test_the_page_on_evaluation_names_every_option_and_no_other():
    subparsers = argparse.ArgumentParser().add_subparsers()
    add(subparsers)
    kinds = next(a for a in subparsers.choices["evaluate"]._actions if isinstance(a, argparse._SubParsersAction))
    offered = {name for kind in kinds.choices.values() for name in kind._option_string_actions if name.startswith("--")}
    page = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text()
    own = page.replace("--no-deps librosa", "").replace("--reference_file", "").replace("--degraded_file", "")
    told = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", re.sub(r"pip install .*|huggingface-cli .*", "", own)))
    assert told == offered - {"--help"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--recogniser", "nowhere"], "nowhere lacks model.bin"),
        (["--split", "dev"], "no clip has split 'dev'; there are: heldout, train"),
        (["--limit", "0"], "limit is 0"),
        (["--threads", "0"], "threads is 0"),
        (["--worst", "-1"], "worst is -1"),
        (["--batch", "0"], "batch is 0"),
        (["--level-clips", "-1"], "level_clips is -1"),
        (["--measures", "pesk"], "no measure 'pesk'"),
        (["--command", "x=true"], "names no {audio}"),
        (["--results", "codec.html"], "a results page is Markdown"),
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


COUNT = "import sys, soundfile; print('word ' * round(10 * soundfile.info(sys.argv[1]).duration))"


@pytest.fixture
def recogniser(tmp_path):
    (tmp_path / "count.py").write_text(COUNT)
    return f"'{sys.executable}' '{tmp_path / 'count.py'}' {{audio}}"


def test_a_seed_tts_list_is_spoken_by_two_stage_voices_like_its_prompts(folder, recogniser, tmp_path, capsys):
    lists = tmp_path / "lists"
    lists.mkdir()
    for name in ("prompt.wav", "said.wav"):
        soundfile.write(lists / name, 0.1 * np.random.default_rng(1).standard_normal(8000), 8000)
    (lists / "meta.lst").write_text("a|number one|prompt.wav|number two\nb|number one|prompt.wav|say more|said.wav\n")
    one, two = (write_two_stage_voice(tmp_path / name, {"max_seconds": 0.4}) for name in ("one", "two"))
    results = tmp_path / "voices.md"
    command = ["evaluate", "speech", str(one), f"other={two}", str(lists / "meta.lst"), "--out", str(tmp_path / "out")]
    options = ["--encoder", "none", "--measures", "none", "--recogniser", recogniser, "--worst", "1"]
    assert main([*command, *options, "--results", str(results)]) == 0
    printed = capsys.readouterr().out
    assert "| | recordings | codec round trip | one | other |" in printed and "against one, same clips" in printed
    data = json.loads((tmp_path / "out" / "report.json").read_text())
    assert data["systems"]["other"]["against the first system"]["word errors"]["value"] == 0.0  # the same weights
    assert sorted(data["references"]) == ["a", "b"]
    assert data["settings"]["spoken as"] == "like a recording given with the text (1 recording)"
    assert "to speak like" in (tmp_path / "out" / "report.html").read_text()
    assert "    aoede evaluate speech one other=two lists/meta.lst --seed 0" in results.read_text()
    flat = ["evaluate", "speech", str(write_voice(tmp_path / "flat", None)), str(lists / "meta.lst")]
    assert main([*flat, "--out", str(tmp_path / "no")]) == 2
    assert "voice cannot speak like a recording" in capsys.readouterr().err
    assert main([*flat, "--out", str(tmp_path / "flat-out"), "--no-clone", "--limit", "1", "--worst", "0"]) == 0


def test_lines_are_spoken_like_one_recording_beside_recordings_of_other_texts(folder, recogniser, tmp_path, capsys):
    voice = write_two_stage_voice(tmp_path / "duo", {"max_seconds": 0.4})
    (tmp_path / "texts.txt").write_text("number two\n")
    command = ["evaluate", "speech", str(voice), str(tmp_path / "texts.txt"), "--out", str(tmp_path / "out")]
    command += ["--recordings", str(folder / "manifest.jsonl"), "--encoder", "none", "--recogniser", recogniser]
    assert main([*command, "--reference", str(folder / "2.flac")]) == 2
    assert "needs its text, word for word: --reference-text" in capsys.readouterr().err
    assert main([*command, "--reference", str(folder / "2.flac"), "--reference-text", "number two"]) == 0
    assert "| | recordings of other texts | voice |" in capsys.readouterr().out
    data = json.loads((tmp_path / "out" / "report.json").read_text())
    assert data["settings"]["spoken like"] == "2.flac" and data["recordings hold"] == "other texts"
    assert data["utterances"][1]["speaker"] == "like 2.flac"
    # The reference takes 1 s for its text, which is the one to say.
    ratio = data["systems"]["voice"]["figures"]["duration ratio"]["value"]
    assert ratio == pytest.approx(data["utterances"][1]["seconds"], abs=0.01)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--encoder", "ears"], "the encoder 'ears' is none of auto, resemblyzer, none"),
        (["--encoder", "true {audio}"], "names no {reference}"),
        (["--recogniser", "no-such-program {audio}"], "no-such-program, which is not a program here"),
        (["--recogniser", "false {audio}", "--encoder", "none"], "the recogniser gave no answer: exit code 1"),
        (["--reference-text", "words"], "give the recording too, --reference"),
        (["--voice-prompt", "nowhere"], "nowhere"),
        (["--recordings", "nowhere.jsonl"], "no such manifest"),
        (["--speaker", "nobody"], "no speaker 'nobody'"),
        (["--seed", "-1"], "seed -1"),
    ],
)
def test_a_mistake_about_voices_is_told_in_a_line(folder, voice, tmp_path, capsys, options, said):
    (tmp_path / "texts.txt").write_text("number two\n")
    assert main(["evaluate", "speech", str(voice), str(tmp_path / "texts.txt"), "--out", str(tmp_path), *options]) == 2
    error = capsys.readouterr().err
    line = error[error.index("aoede: error: ") :]  # a bar may stand before it
    assert said in line and line.count("\n") == 1


@pytest.fixture(scope="module")
def voice(tmp_path_factory):
    return write_voice(tmp_path_factory.mktemp("voice") / "tiny", text_stride=8.0)
