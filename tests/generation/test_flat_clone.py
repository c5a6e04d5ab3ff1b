"""Flat voices that go on from a recording: what is read, what comes out, and who refuses what."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from aoede.cli.main import main
from aoede.generation import Request, Voice
from tests.generation.tiny_voice import write_voice


@pytest.fixture(scope="module", params=[6.5, None], ids=["parallel", "plain"])
def folder(request, tmp_path_factory):
    return write_voice(tmp_path_factory.mktemp("voice"), text_stride=request.param)


@pytest.fixture
def voice(folder):
    voice = Voice.from_pretrained(folder)
    assert not voice.can_clone
    voice.settings = voice.reader.settings = replace(voice.settings, reference_speaker="")
    assert voice.can_clone
    return voice


@pytest.fixture(scope="module")
def frames():
    return torch.randint(64, (12, 7), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_the_model_reads_both_texts_and_the_recording_and_writes_what_follows(voice, frames, guidance):
    audio = voice.speak("Good day.", seed=4, reference=frames, reference_text="Hello there.", guidance=guidance)
    said, wanted = voice.reader.ids("Hello there.", None, []), voice.reader.ids("Good day.", None, [])
    space = voice.tokenizer(" ")["input_ids"]
    pace = 12 / voice.frame_rate / len(said)
    request = Request(
        ids=[*said, *space, *wanted],
        prefix=frames.tolist(),
        seed=np.random.SeedSequence([4, 0]).generate_state(2).tolist()[0],
        max_frames=int(np.ceil(voice.guard_seconds(len(wanted), None, 1.0, pace) * voice.frame_rate)),
        text_stride=12 * 7 / len(said) if voice.is_parallel else None,
        guidance=guidance,
        textless=[0],
    )
    steps = list(voice.engine.generate([request], voice.settings.sampling))
    written = [step.frame for step in steps if step.frame is not None]
    decoder = voice.open_decoder(np.random.SeedSequence([4, 0]).generate_state(2).tolist()[1])
    samples = np.concatenate([decoder.push(written), decoder.finish()])
    assert len(written) and len(audio.samples) == len(samples)
    inner = slice(200, -200)  # edges are faded
    assert np.abs(audio.samples[inner] - samples[inner]).max() < 1e-5
    assert audio.speaker is None


def test_every_sentence_goes_on_from_the_recording_alone(voice, frames):
    same = {"seed": 4, "reference": frames, "reference_text": "Hello there.", "temperature": 0.0}
    first = voice.speak("Good day.", **same)
    both = voice.speak("Good day. How are you?", **same)
    count = len(first.samples) - 400
    assert np.array_equal(both.samples[:count], first.samples[:count]) and len(both.samples) > len(first.samples)


def test_a_name_that_is_asked_for_is_read_once(voice, frames):
    written = []
    generate = voice.engine.generate
    voice.engine.generate = lambda requests, sampling: written.extend(requests) or generate(requests, sampling)
    voice.speak("Good day.", "bm_george", reference=frames, reference_text="Hello there.", guidance=2.0)
    (request,) = written
    name = voice.tokenizer.convert_tokens_to_ids("<bm_george>")
    assert [request.ids[0], list(request.ids).count(name), list(request.textless)] == [name, 1, [name]]


def test_what_cannot_be_is_refused_with_words(voice, folder, frames, tmp_path, capsys):
    with pytest.raises(ValueError, match="a flat voice keeps the pace of the recording"):
        voice.speak("Hi.", reference=frames, reference_text="Hm.", speed=1.5)
    with pytest.raises(ValueError, match="turn 1: voice 'tiny' is flat and hears no recorded turn"):
        voice.converse([{"speaker": "af_heart", "text": "Hm.", "audio": frames}, ("af_heart", "Hi.")])
    with pytest.raises(ValueError, match="needs its text, word for word"):
        voice.speak("Hi.", reference=frames)
    long = voice.speak("Hi.", reference=frames.repeat(20, 1), reference_text="Hm, hm, hm.")
    assert any("less than" in note and "sounds better" in note for note in long.notes)
    file = tmp_path / "a.wav"
    voice.speak("Hello.", seed=1).save(file)
    out = tmp_path / "b.wav"
    command = [
        "speak",
        "Hi.",
        "--voice",
        str(folder),
        "--reference",
        str(file),
        "--reference-text",
        "x",
        "-o",
        str(out),
    ]
    assert main(command) == 2 and not out.exists()
    assert "trained with speaker_dropout" in capsys.readouterr().err


def test_the_settings_of_a_flat_voice_keep_it(voice, tmp_path):
    voice.settings.save(tmp_path)
    assert type(voice.settings).load(tmp_path).reference_speaker == ""
    replace(voice.settings, reference_speaker=None).save(tmp_path)
    assert "reference_speaker" not in (tmp_path / "voice.json").read_text()
