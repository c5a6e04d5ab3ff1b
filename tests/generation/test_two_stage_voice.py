"""A two-stage voice from end to end: speech, streams, context, cloning, dialogues, voice prompts, refusals."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch

from aoede.codec import StreamDecoder
from aoede.data.conversation.messages import Conversation, Message, Sound
from aoede.data.conversation.processor import ConversationProcessor
from aoede.data.conversation.turns import TurnText
from aoede.generation import Sampling, Turn, Voice, VoicePrompt, VoiceSettings, load_script
from aoede.generation.joining import EdgeFader
from aoede.generation.voice_prompt import voice_as_named
from aoede.generation.writers import TwoStageWriter, Utterance, turn_frames
from aoede.models.sampling import choose
from tests.codec.test_other import mimi
from tests.generation.tiny_voice import make_two_stage, write_two_stage_voice

TWO = "Hello there. And more."
FRAME = 256
"""Samples of a frame of the tiny codec."""


@pytest.fixture(scope="module")
def voice(duo_folder):
    return Voice.from_pretrained(duo_folder)


@pytest.fixture(scope="module")
def timed(tmp_path_factory):
    """A two-stage voice with parallel positions."""
    return Voice.from_pretrained(write_two_stage_voice(tmp_path_factory.mktemp("voices") / "timed", text_stride=8.0))


@pytest.fixture
def with_settings(voice):
    """The same voice with other settings."""

    def make(**changes):
        return Voice(voice.codec, voice.model, voice.tokenizer, replace(voice.settings, **changes))

    return make


@pytest.fixture
def recording():
    """A second and a bit: 31 frames and a part of one."""
    return np.random.default_rng(0).uniform(-0.5, 0.5, 31 * FRAME + 100).astype(np.float32)


def test_a_two_stage_voice_speaks_and_says_how(voice):
    audio = voice.speak("Hello there.", speaker="af_heart", seed=1)
    assert audio.samples.dtype == np.float32 and audio.sample_rate == 8000
    assert (audio.speaker, audio.seed, audio.text) == ("af_heart", 1, "Hello there.")
    assert audio.duration > 0 and np.isfinite(audio.samples).all()
    assert 0 < audio.first_audio_seconds <= audio.compute_seconds
    assert [(t.text, t.speaker, t.start, t.end) for t in audio.turns] == [
        ("Hello there.", "af_heart", 0, audio.duration)
    ]


def test_equal_seeds_are_equal_samples_and_others_are_not(voice):
    first, second, other = (voice.speak("Hello there.", seed=seed).samples for seed in (3, 3, 4))
    assert np.array_equal(first, second) and not np.array_equal(first, other)


def test_a_stream_is_the_speech_whatever_its_chunks(voice):
    whole = max((voice.speak(TWO, seed=seed) for seed in range(3)), key=lambda audio: audio.duration)
    stream = voice.stream(TWO, seed=whole.seed)
    chunks = list(stream)
    assert np.array_equal(np.concatenate(chunks), whole.samples) and stream.turns == whole.turns
    single = list(voice.stream(TWO, seed=whole.seed, chunk_frames=1))
    np.testing.assert_allclose(np.concatenate(single), whole.samples, atol=1e-5)
    assert len(single) > len(chunks)
    assert sum(len(chunk) == FRAME for chunk in single) >= 5  # a frame in, a frame out
    with pytest.raises(ValueError, match="chunk_frames is 0"):
        voice.stream(TWO, chunk_frames=0)


def test_what_is_heard_is_one_decode_of_what_the_model_generates(voice):
    ids = voice.reader.ids("Hello there.", "bm_george", [])
    most = int(np.ceil(voice.guard_seconds(len(ids), "bm_george") * voice.frame_rate))
    for seed in range(4):
        draw_seed, noise_seed = np.random.SeedSequence([seed, 0]).generate_state(2).tolist()
        (frames,) = voice.model.generate(
            turn_frames(voice.model, ids)[None], max_new_frames=most, min_new_frames=1, temperature=0.9, top_p=0.95,
            seeds=[draw_seed],
        )  # fmt: skip
        samples = voice.codec.decode(voice.layout.unflatten(frames[None]), seed=noise_seed)[0, 0].numpy()
        fader = EdgeFader(8000)
        expected = np.concatenate([fader.push(samples), fader.finish()])
        np.testing.assert_allclose(voice.speak("Hello there.", seed=seed).samples, expected, atol=1e-5)


def test_a_turn_is_written_as_training_writes_it(voice, recording):
    processor = ConversationProcessor.for_model(
        voice.model.config, voice.tokenizer, text=TurnText(front_end=voice.settings.text), codec=voice.codec
    )
    levels = [level[0].numpy() for level in voice.codec.encode(torch.from_numpy(recording)[None, None])]
    levels = [level[: 31 * count] for level, count in zip(levels, (1, 2, 4), strict=True)]
    said = Message(role="af_heart", text="Good day.", sound=Sound(codes=tuple(levels)))
    asked = Message(role="bm_george", text="Hello there.")
    trained = processor.encode(
        Conversation(messages=(said, asked), training_mask=(False, False)), generation_prompt=True
    ).frames
    notes = []
    heard, pace = voice._hearing.turn(recording, "Good day.", "af_heart", notes)
    ours = torch.cat([heard, turn_frames(voice.model, voice.reader.ids("Hello there.", "bm_george", notes))])
    assert ours.tolist() == trained.tolist()
    assert pace == pytest.approx(31 * FRAME / 8000 / len(voice.reader.ids("Good day.", "af_heart", notes)))
    assert notes == ["the recording: its last 0.013 s are less than a frame and are left out"]


def test_sentences_hear_the_ones_before_them_and_never_those_after(voice, with_settings):
    deaf = with_settings(context_turns=0)
    seeds = range(4)
    for talker in (voice, deaf):
        alone, both = (talker.speak(text, seed=1).samples for text in ("Hello there.", TWO))
        assert np.array_equal(both[: len(alone)], alone)

    def last(talker, first, seed):
        audio = talker.converse([("af_heart", first), ("af_heart", "And more.")], seed=seed)
        return audio.samples[round(audio.turns[1].start * 8000) :]

    assert all(np.array_equal(last(deaf, "Hello.", s), last(deaf, "Good day, you.", s)) for s in seeds)
    assert not all(np.array_equal(last(voice, "Hello.", s), last(voice, "Good day, you.", s)) for s in seeds)


def test_going_on_after_a_turn_is_reading_it_anew(voice):
    for seed in range(5):
        going = TwoStageWriter(voice.model, Sampling(), Sampling())
        first = list(going.write(Utterance(ids=[5, 6, 7], seed=seed, max_frames=200)))
        assert first[-1].end == "closed"
        second = [s.frame for s in going.write(Utterance(ids=[8, 9], seed=9, max_frames=20)) if s.frame is not None]
        turn = turn_frames(voice.model, [5, 6, 7], torch.stack([s.frame for s in first[:-1]]))
        anew = TwoStageWriter(voice.model, Sampling(), Sampling(), recordings=[turn])
        again = [s.frame for s in anew.write(Utterance(ids=[8, 9], seed=9, max_frames=20)) if s.frame is not None]
        assert torch.equal(torch.stack(second), torch.stack(again))


def test_only_so_many_earlier_turns_are_heard(voice):
    writer = TwoStageWriter(voice.model, Sampling(), Sampling(), context_turns=2)
    for number in range(4):
        writer.hear(turn_frames(voice.model, [number + 2], torch.full((1, 7), number)))
    assert [int(turn[0, -1]) for turn in writer.heard] == [4, 5]


def test_turns_that_do_not_fit_are_left_out_whole_and_a_note_says_so():
    model = make_two_stage(60, longest=40)
    writer = TwoStageWriter(model, Sampling(), Sampling())
    for number in range(3):
        writer.hear(turn_frames(model, [5] * 4, torch.full((5, 7), number)))  # 10 frames each
    context, most = writer._context(num_ids=4, max_frames=12)
    assert [len(turn) for turn in context] == [10, 10] and most == 12  # 4 + 20 + 12 + the stop are 37
    assert writer.notes == ["earlier turns were left out of the context: the model has no room for all of them"]
    assert writer._context(num_ids=4, max_frames=100) == ([], 35)
    with pytest.raises(ValueError, match=r"a text of 39 ids and the recordings before it take 40 positions.* has 40"):
        writer.check(39)


def test_a_waiting_stream_leaves_its_caller_as_it_was(voice):
    stream = voice.stream("Hello.", seed=1)
    for _ in stream:
        assert not torch.is_inference_mode_enabled() and torch.is_grad_enabled()


def test_the_guard_cuts_and_says_so(with_settings):
    brief = with_settings(max_seconds=0.13)  # 5 frames
    takes = [brief.speak("Hello there.", seed=seed) for seed in range(8)]
    assert {take.cut for take in takes} == {True, False}
    for take in takes:
        assert take.cut == ("cut after 0.2 s without an end: 'Hello there.'" in take.notes)
        assert len(take.samples) <= 5 * FRAME and (not take.cut or len(take.samples) == 5 * FRAME)


def test_an_utterance_has_a_frame_and_one_that_has_no_more_is_told(voice, monkeypatch):
    def ends(hidden):
        return torch.eye(65)[64:].expand(len(hidden), -1) * 1e9  # the stop, whatever was said

    monkeypatch.setattr(voice.model, "slot0_logits", ends)
    audio = voice.speak("Hello.", seed=1)
    assert len(audio.samples) == FRAME and not audio.cut
    assert audio.notes == ("the model ended at once and said next to nothing of 'Hello.': try another seed",)


def test_pace_is_refused_with_ordinary_positions_and_set_with_parallel_ones(voice, timed):
    with pytest.raises(ValueError, match="voice 'duo' has no control of its pace: leave speed at 1"):
        voice.speak("Hello.", speed=1.2)
    assert voice.text_stride(25, "af_heart") is None
    assert timed.text_stride(25, "af_heart", 2.0) == pytest.approx(0.004 * 31.25 * 7)
    slow, fast = timed.speak("Hello.", seed=1, speed=0.6).samples, timed.speak("Hello.", seed=1, speed=1.9).samples
    assert not np.array_equal(slow[:2000], fast[:2000])


def test_parallel_context_is_read_at_its_exact_pace(timed):
    """The frames of a second turn are those of `generate` with a stride a frame, as training has them."""
    model = timed.model
    codes = torch.randint(0, 64, (6, 7), generator=torch.Generator().manual_seed(0))
    turn, text = turn_frames(model, [5, 6, 7], codes), turn_frames(model, [8, 9])
    writer = TwoStageWriter(model, Sampling(), Sampling(), recordings=[turn])
    ask = Utterance(ids=[8, 9], seed=4, max_frames=3, text_stride=10.0)
    given = [step.frame for step in writer.write(ask) if step.frame is not None]
    strides = torch.tensor([[6 * 7 / 3] * len(turn) + [10.0] * 2])
    hidden = model.hidden_states(torch.cat([turn, text])[None], text_stride=strides)
    uniform = torch.rand(7, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    first = choose(model.slot0_logits(hidden[:, -1]), Sampling(), uniform[:1])
    assert int(first) == int(given[0][0])


def test_a_voice_is_cloned_from_a_recording_and_its_text(voice, recording, tmp_path):
    own = voice.speak("Hello there.", seed=2)
    clone = voice.speak("Hello there.", seed=2, reference=recording, reference_text="Good day.")
    assert not np.array_equal(own.samples, clone.samples)
    assert "the recording: its last 0.013 s are less than a frame and are left out" in clone.notes
    soundfile.write(tmp_path / "ref.wav", recording, 8000, subtype="FLOAT")
    from_file = voice.speak("Hello there.", seed=2, reference=tmp_path / "ref.wav", reference_text="Good day.")
    assert np.array_equal(from_file.samples, clone.samples)
    other = voice.speak("Hello there.", seed=2, reference=recording, reference_text="Quite another text.")
    assert not np.array_equal(other.samples, clone.samples)
    for wrong, words in (
        ({"reference": recording}, "needs its text, word for word"),
        ({"reference_text": "Good day."}, "give the recording too"),
        ({"reference": recording, "reference_text": "..."}, "nothing to say"),
        ({"reference": recording[:50], "reference_text": "Hm."}, "less than a frame"),
        ({"reference": tmp_path / "none.wav", "reference_text": "Hm."}, r"none\.wav"),
    ):
        with pytest.raises((ValueError, OSError), match=words):
            voice.speak("Hello there.", **wrong)


def test_a_clone_takes_the_pace_of_its_recording(voice, timed):
    long = Voice(voice.codec, voice.model, voice.tokenizer, replace(voice.settings, max_seconds=30.0))
    assert long.guard_seconds(10, "af_heart", pace=0.02) == pytest.approx(2 * 0.2 + 1)
    assert timed.text_stride(10, "af_heart", 2.0, 0.02) == pytest.approx(0.01 * 31.25 * 7)


def test_a_clone_may_be_written_without_a_name(with_settings, recording):
    nameless = with_settings(reference_speaker="", context_turns=0)
    audio = nameless.speak("Hello there.", seed=2, reference=recording, reference_text="Good day.")
    assert audio.speaker is None
    assert "voice 'duo' was trained without earlier turns: it may not follow the recording" in audio.notes
    assert nameless.speak("Hello there.", seed=2).speaker == "bm_george"


def test_a_flat_voice_says_what_it_cannot_do(voice_folder, recording, tmp_path, voice):
    flat = Voice.from_pretrained(voice_folder)
    with pytest.raises(ValueError, match="voice 'tiny' cannot speak like a recording: its model is flat"):
        flat.speak("Hi.", reference=recording, reference_text="Hm.")
    prompt = VoicePrompt.of(voice.model, name="ann", prefix_embeds=torch.zeros(2, 32))
    with pytest.raises(ValueError, match="voice 'tiny' is flat, the voice prompt is for a two-stage voice"):
        flat.use_prompt(prompt)
    audio = flat.converse([("af_heart", "Hello."), ("bm_george", "Good day.")], seed=1)
    assert len(audio.turns) == 2 and "voice 'tiny' is flat: it speaks each turn by itself" in audio.notes[0]


def test_a_dialogue_is_spoken_turn_by_turn_with_pauses(voice):
    turns = [
        ("af_heart", "Hello. How are you?"),
        {"speaker": "bm_george", "text": "Fine!", "pause": 1.0},
        (None, "Bye."),
    ]
    audio = voice.converse(turns, seed=3)
    assert [turn.speaker for turn in audio.turns] == ["af_heart", "bm_george", "bm_george"]
    assert audio.speaker is None and audio.text == "Hello. How are you?\nFine!\nBye."
    first, second, third = audio.turns
    assert second.start == pytest.approx(first.end + 0.4) and third.start == pytest.approx(second.end + 1.0)
    assert third.end == audio.duration
    for before, after in ((first, second), (second, third)):
        assert np.all(audio.samples[round(before.end * 8000) : round(after.start * 8000)] == 0)
    assert np.array_equal(np.concatenate(list(voice.stream_turns(turns, seed=3))), audio.samples)
    alone = voice.speak("Hello. How are you?", speaker="af_heart", seed=3)
    assert np.array_equal(audio.samples[: len(alone.samples)], alone.samples)


def test_recorded_turns_are_heard_and_not_spoken(voice, recording):
    asked = Turn(speaker="af_heart", text="Good day.", audio=recording)
    own = Turn(speaker="bm_george", text="Hello there.")
    audio = voice.converse([asked, own], seed=2)
    assert audio.text == "Hello there." and [turn.speaker for turn in audio.turns] == ["bm_george"]
    assert not np.array_equal(audio.samples, voice.speak("Hello there.", seed=2).samples)
    later = voice.converse([own, asked, own], seed=2)
    assert [turn.text for turn in later.turns] == ["Hello there.", "Hello there."]
    unheard = voice.converse([own, own], seed=2)
    cut = round(unheard.turns[1].start * 8000)
    assert np.array_equal(later.samples[:cut], unheard.samples[:cut])
    assert not np.array_equal(later.samples[cut:], unheard.samples[cut:])


@pytest.mark.parametrize(
    ("turns", "words"),
    [
        ([], "without turns"),
        ("Hello.", "turns are a list"),
        ([("bob", "Hi.")], "turn 1: unknown speaker 'bob'; this voice has: af_heart, bm_george"),
        ([("af_heart", "Hi."), (None, "...")], "turn 2: .*nothing to say"),
        ([("af_heart", " ")], "turn 1: text is empty"),
        ([{"speaker": "af_heart", "say": "Hi."}], "turn 1: unknown key say; known: text, speaker, audio, pause"),
        ([{"text": "Hi.", "pause": -1}], "turn 1: pause is -1; it is 0 to 60 seconds"),
        ([{"text": 7}], "turn 1: text is 7"),
        ([{"text": "Hi.", "audio": np.zeros(600, np.float32)}], "every turn of the dialogue is a recording"),
        ([3], "turn 1 is int"),
    ],
)
def test_a_dialogue_that_cannot_be_spoken_is_refused_with_the_turn(voice, turns, words):
    with pytest.raises(ValueError, match=words):
        voice.stream_turns(turns)


def test_a_script_is_a_line_a_turn(tmp_path, recording):
    path = tmp_path / "talk.jsonl"
    soundfile.write(tmp_path / "a.wav", recording, 8000)
    path.write_text('\ufeff{"speaker": 0, "text": "Hi.", "audio": "a.wav"}\n\n{"text": "Yes.", "pause": 0.5}\n')
    first, second = load_script(path)
    assert (first.speaker, first.text, first.audio) == ("0", "Hi.", tmp_path / "a.wav")
    assert (second.speaker, second.text, second.pause) == (None, "Yes.", 0.5)
    for line, words in (
        ("{", "line 1 is not JSON: .* at character"),
        ("[1, 2, 3]", "line 1: a turn is an object"),
        (
            '{"text": "Hi.", "audio": "b.wav"}',
            r"line 1: audio: .*b\.wav: no such file",
        ),
        ('{"speaker": ["x"], "text": "Hi."}', "line 1: speaker is"),
        ('{"messages": []}', "line 1: unknown key messages"),
        ("", "holds no turn"),
    ):
        path.write_text(line)
        with pytest.raises(ValueError, match=words):
            load_script(path)
    with pytest.raises(ValueError, match="no such script"):
        load_script(tmp_path / "none.jsonl")


@pytest.mark.parametrize("kind", ["prompt", "prefix"])
def test_a_voice_prompt_is_a_small_file_that_changes_the_voice(voice, duo_folder, tmp_path, kind):
    generator = torch.Generator().manual_seed(0)
    if kind == "prompt":
        tuned = {"prefix_embeds": torch.randn(5, 32, generator=generator)}
    else:
        parts = [torch.randn(1, 2, 5, 8, generator=generator) for _ in range(4)]
        tuned = {"prefix_key_values": [(parts[0], parts[1]), (parts[2], parts[3])]}
    prompt = VoicePrompt.of(voice.model, name="ann", speaker="af_heart", **tuned)
    path = prompt.save(tmp_path / "ann.voice")
    assert path.stat().st_size < 6000 and prompt.length == 5
    tuned_voice = Voice.from_pretrained(duo_folder, voice_prompt=path)
    audio = tuned_voice.speak("Hello there.", seed=1)
    assert audio.speaker == "af_heart"
    plain = voice.speak("Hello there.", speaker="af_heart", seed=1)
    assert not np.array_equal(audio.samples, plain.samples)
    draw_seed = int(np.random.SeedSequence([1, 0]).generate_state(2)[0])
    ids = voice.reader.ids("Hello there.", "af_heart", [])
    (frames,) = voice.model.generate(
        turn_frames(voice.model, ids)[None], max_new_frames=4, min_new_frames=1, temperature=0.9, top_p=0.95,
        seeds=[draw_seed], **tuned,
    )  # fmt: skip
    stream = tuned_voice.stream("Hello there.", seed=1)
    shown = [step.frame for step in stream._writer.write(Utterance(ids=ids, seed=draw_seed, max_frames=4))][
        : len(frames)
    ]
    assert torch.equal(torch.stack(shown), frames)
    tuned_voice.use_prompt(None)
    assert np.array_equal(tuned_voice.speak("Hello there.", speaker="af_heart", seed=1).samples, plain.samples)


def test_a_voice_prompt_is_refused_where_it_does_not_belong(voice, tmp_path):
    prompt = VoicePrompt.of(voice.model, name="ann", prefix_embeds=torch.zeros(3, 32))
    path = prompt.save(tmp_path / "ann.voice")
    with torch.no_grad():
        other = make_two_stage(60)
        other.slot0_head.weight += 0.1
    with pytest.raises(ValueError, match="tuned on another model"):
        VoicePrompt.load(path).check(other)
    with pytest.raises(ValueError, match=r"is \[3, 16\], this model takes \[P, 32\]"):
        VoicePrompt.of(voice.model, name="x", prefix_embeds=torch.zeros(3, 16))
    with pytest.raises(ValueError, match="for 1 layers, this model has 2"):
        VoicePrompt.of(voice.model, name="x", prefix_key_values=[(torch.zeros(1, 2, 3, 8),) * 2])
    with pytest.raises(ValueError, match=r"this model takes \[1, 2, P, 8\]"):
        VoicePrompt.of(voice.model, name="x", prefix_key_values=[(torch.zeros(1, 4, 3, 8),) * 2] * 2)
    with pytest.raises(ValueError, match="either prefix_embeds or prefix_key_values"):
        VoicePrompt.of(voice.model, name="x")
    with pytest.raises(ValueError, match="no such file"):
        voice.use_prompt(tmp_path / "none.voice")
    (tmp_path / "bad.voice").write_bytes(b"not a tensor in sight")
    with pytest.raises(ValueError, match=r"bad\.voice is no voice prompt"):
        voice.use_prompt(tmp_path / "bad.voice")


def test_a_prompt_names_its_voice_by_a_way_that_moves_with_both(voice, duo_folder, tmp_path, monkeypatch):
    folder = tmp_path / "voices" / "duo"
    shutil.copytree(duo_folder, folder)
    path = tmp_path / "voices" / "ann.voice"
    named = voice_as_named(folder, path)
    assert named == "./duo" and voice_as_named(folder, tmp_path / "prompts" / "ann.voice") == "../voices/duo"
    assert voice_as_named("owner/name", path) == "owner/name"
    prompt = VoicePrompt.of(voice.model, name="ann", voice=named, prefix_embeds=torch.ones(3, 32))
    prompt.save(path)
    assert VoicePrompt.load(path).voice == "./duo"
    (tmp_path / "voices").rename(tmp_path / "elsewhere")
    opened = Voice.from_pretrained(tmp_path / "elsewhere" / "ann.voice")
    assert opened.name == "duo" and opened.voice_prompt.name == "ann"
    monkeypatch.setattr("aoede.generation.voice_folder.BUNDLED", tmp_path / "elsewhere")
    assert voice_as_named(tmp_path / "elsewhere" / "duo", path) == "duo"
    VoicePrompt.of(voice.model, name="bob", prefix_embeds=torch.ones(3, 32)).save(path := tmp_path / "bob.voice")
    assert Voice.from_pretrained(path).name == "duo"  # says none: the bundled one
    with torch.no_grad():
        other = make_two_stage(60)
        other.slot0_head.weight += 0.1
    VoicePrompt.of(other, name="eve", voice="duo", prefix_embeds=torch.ones(3, 32)).save(path)
    with pytest.raises(
        ValueError, match=r"bob\.voice was tuned on another model \(duo\): .* name that voice beside it"
    ):
        Voice.from_pretrained(path)
    monkeypatch.setattr("aoede.generation.voice_folder.BUNDLED", tmp_path / "none")
    VoicePrompt.of(voice.model, name="bob", prefix_embeds=torch.ones(3, 32)).save(path)
    with pytest.raises(ValueError, match="says no voice that it was tuned on, and no voice is bundled"):
        Voice.from_pretrained(path)


def test_a_half_precision_copy_of_the_model_takes_the_same_prompt(voice):
    prompt = VoicePrompt.of(voice.model, name="ann", prefix_embeds=torch.zeros(3, 32))
    half = make_two_stage(voice.model.config.text_vocab_size)
    half.load_state_dict(voice.model.state_dict())
    prompt.check(half.to(torch.bfloat16))


def test_settings_of_two_stages_round_trip_and_are_refused_of_flat_voices(duo_folder, tmp_path):
    settings = replace(
        VoiceSettings.load(duo_folder),
        depth_sampling=Sampling(temperature=0.5),
        turn=TurnText(),
        context_turns=3,
        reference_speaker="",
    )
    settings.save(tmp_path)
    assert VoiceSettings.load(tmp_path) == settings
    with pytest.raises(ValueError, match="context_turns is for two-stage voices"):
        replace(settings, kind="flat", depth_sampling=None, turn=None)
    with pytest.raises(ValueError, match="kind is 'three'; it is 'flat' or 'two-stage'"):
        replace(settings, kind="three")
    with pytest.raises(ValueError, match="context_turns is -1"):
        replace(settings, context_turns=-1)


def test_a_folder_whose_parts_do_not_fit_is_refused_with_words(duo_folder, voice_folder, tmp_path):
    flat = tmp_path / "flat"
    flat.mkdir()
    (flat / "codec").symlink_to(duo_folder / "codec")
    (flat / "model").symlink_to(duo_folder / "model")
    settings = json.loads((duo_folder / "voice.json").read_text())
    flat_settings = json.loads((voice_folder / "voice.json").read_text())
    (flat / "voice.json").write_text(json.dumps(flat_settings))
    with pytest.raises(ValueError, match="but model/ holds a model of type 'aoede_two_stage'"):
        Voice.from_pretrained(flat)
    (flat / "voice.json").write_text(json.dumps(settings))
    Voice.from_pretrained(flat)
    strange = write_two_stage_voice(tmp_path / "strange", codec_fingerprint="0123456789abcdef")
    with pytest.raises(ValueError, match="trained on the codes of codec 0123456789abcdef, this is"):
        Voice.from_pretrained(strange)
    narrow = write_two_stage_voice(tmp_path / "narrow", layout="CMMFFFM")
    with pytest.raises(ValueError, match=r"the model writes \(1, 3, 3\) codes a frame, the codec reads \(1, 2, 4\)"):
        Voice.from_pretrained(narrow)


def test_the_slots_after_the_first_are_drawn_their_own_way(with_settings):
    greedy = with_settings(sampling=Sampling(temperature=0.0), depth_sampling=Sampling(temperature=1.0))
    takes = [next(iter(greedy.stream("Hello.", seed=seed)))[:64] for seed in (1, 2)]
    assert not np.array_equal(*takes)
    takes = [next(iter(greedy.stream("Hello.", seed=seed, temperature=0.0))) for seed in (1, 1)]
    assert np.array_equal(*takes)


def test_a_template_and_mimi_speak_as_the_public_csm_does(voice, tmp_path):
    """No exact stream of Mimi, so an utterance is decoded at its end, to the same samples."""
    settings = {
        "turn": TurnText(template="{role}: {text}"), "speakers": ("a", "b"), "default_speaker": "a",
        "seconds_per_unit": {}, "max_seconds": 0.02,
    }  # fmt: skip
    folder = write_two_stage_voice(tmp_path / "csm", settings, slots=4, slot_sizes=[32] * 4, codec_fingerprint=None)
    for file in (folder / "codec").iterdir():
        file.unlink()
    mimi(levels=6).save_pretrained(folder / "codec")
    talker = Voice.from_pretrained(folder)
    assert type(talker.codec).__name__ == "MimiCodec" and talker.codec.config.num_codebooks == 4
    stream = talker.stream("aba. bab.", speaker="b", seed=2)
    chunks = list(stream)
    assert np.array_equal(np.concatenate(chunks), talker.speak("aba. bab.", speaker="b", seed=2).samples)
    assert len(np.concatenate(chunks)) > 0


def test_streams_of_a_two_stage_voice_are_exact_streams_of_the_codec(voice):
    assert isinstance(voice.open_decoder(0).stream, StreamDecoder)
