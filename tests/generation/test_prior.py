"""A prior: legal streams, the order of ids of each kind, budgets, what may be given, the verb."""

import numpy as np
import pytest
import soundfile
import torch

from aoede.cli.main import main
from aoede.data import CodeFile, CodesInfo
from aoede.generation import Prior, TokenBudget
from aoede.generation.given import as_frames
from tests.generation.tiny_voice import make_model, make_windowed_codec

GREEDY = {"temperature": 0.0}


@pytest.fixture(scope="module")
def prior(plain_voice_folder):
    """8 kHz, 256 samples a frame: 31.25 frames a second; ordinary positions, 2,048 of them."""
    return Prior.from_pretrained(plain_voice_folder)


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """10.5 frames of noise."""
    path = tmp_path_factory.mktemp("recordings") / "a.wav"
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, 2688).astype(np.float32)
    soundfile.write(path, samples, 8000, subtype="FLOAT")
    return path


def argmax_of_forward(prior, ids, count):
    """The `count` likeliest ids after `ids`, found by one forward pass over all."""
    with torch.no_grad():
        logits = prior.model(torch.tensor([ids])).logits[0]
    return logits[len(ids) - count - 1 : -1].argmax(-1).tolist()


def codec_ids(prior, frames):
    return prior.model.vocabulary.ids_from_frames(frames[None])[0].tolist()


def test_seconds_become_frames_become_ids():
    assert str(TokenBudget.of(2.0, 24000 / 2048, 7)) == "2 s -> 24 frames -> 168 ids"  # 23.4375 frames
    assert TokenBudget.of(24.0, 12.5, 32).frames == 300
    assert TokenBudget.of(0.28, 12.5, 32).frames == 4  # 3.5000000000000004 frames
    assert TokenBudget.of(0.56, 12.5, 32).frames == 7  # 7.000000000000001 frames
    with pytest.raises(ValueError, match="0 seconds asked for"):
        TokenBudget.of(0, 12.5, 32)


def test_audio_from_nothing_is_a_legal_stream_within_its_budget(prior):
    for seed in range(3):
        audio = prior.audio(0.4, seed=seed, temperature=1.5)
        assert audio.frames.shape[1] == 7 and 1 <= len(audio.frames) <= 13  # 12.5 frames
        assert int(audio.frames.min()) >= 0 and int(audio.frames.max()) < 64
        assert audio.cut == (audio.end == "cut") and (audio.end == "closed" or len(audio.frames) == 13)
        assert len(audio.samples) == 256 * len(audio.frames)
        assert audio.made == (0.0, pytest.approx(len(audio.frames) * 0.032))
        assert np.isfinite(audio.samples).all()


def test_equal_seeds_are_equal_samples_and_others_are_not(prior):
    first, second, other = (prior.audio(0.3, seed=seed, min_seconds=0.3).samples for seed in (1, 1, 2))
    assert np.array_equal(first, second) and not np.array_equal(first, other)


def test_greedy_audio_is_the_argmax_after_the_opening_marker(prior):
    audio = prior.audio(0.2, min_seconds=0.2, **GREEDY)
    spoken = codec_ids(prior, audio.frames)
    ids = [prior.model.vocabulary.open_id, *spoken]
    expected = argmax_of_forward(prior, ids, len(spoken))
    wrong = [place for place, (a, b) in enumerate(zip(expected, spoken, strict=True)) if a != b]
    assert all(place % 7 == 0 and expected[place] == prior.model.vocabulary.close_id for place in wrong)


def test_the_shortest_time_is_kept_and_an_early_end_is_noted(prior):
    takes = [prior.audio(1.0, seed=seed, temperature=2.0) for seed in range(6)]
    closed = next(take for take in takes if take.end == "closed" and len(take.frames) < 32)
    assert f"the model ended it after {closed.made[1]:.2f} of 1.02 s" in closed.notes
    assert len(prior.audio(1.0, seed=closed.seed, temperature=2.0, min_seconds=1.0).frames) == 32


def test_a_stream_is_the_whole_and_one_decode_of_its_frames(prior, recording):
    for options in ({}, {"prefix": recording}, {"prefix": recording, "suffix": recording}):
        stream = prior.stream(0.8, seed=4, min_seconds=0.8, **options)
        chunks = list(stream)
        whole = prior.stream(0.8, seed=4, min_seconds=0.8, **options).collect()
        assert len(chunks) > 3 and np.array_equal(np.concatenate(chunks), whole.samples)
        noise_seed = np.random.SeedSequence([4, 0]).generate_state(2).tolist()[1]
        codes = prior.model.vocabulary.layout.unflatten(whole.frames[None])
        with torch.inference_mode():
            once = prior.codec.decode(codes, seed=noise_seed)[0, 0].numpy()
        assert len(once) == len(whole.samples) and np.abs(once - whole.samples).max() < 1e-5


def test_a_continuation_reads_the_prefix_and_goes_on(prior, recording):
    given = as_frames(recording, prior.codec, prior.model.vocabulary.layout).frames
    audio = prior.continuation(recording, 0.2, min_seconds=0.2, **GREEDY)
    assert len(given) == 10 and len(audio.frames) == 17  # 6.25 frames asked for
    assert torch.equal(audio.frames[:10], given)
    assert audio.made == (pytest.approx(0.32), pytest.approx(0.32 + 7 * 0.032))
    assert len(audio.new_samples) == 7 * 256
    spoken = codec_ids(prior, audio.frames)
    expected = argmax_of_forward(prior, [prior.model.vocabulary.open_id, *spoken], 49)
    assert all(a == b or i % 7 == 0 for i, (a, b) in enumerate(zip(expected, spoken[-49:], strict=True)))


def test_infilling_reads_prefix_suffix_and_opens_the_middle(prior, recording):
    vocabulary = prior.model.vocabulary
    before = torch.arange(14).reshape(2, 7)
    after = torch.arange(21).reshape(3, 7) + 30
    audio = prior.infill(before, after, 0.2, min_seconds=0.2, **GREEDY)
    assert torch.equal(audio.frames[:2], before) and torch.equal(audio.frames[-3:], after)
    middle = audio.frames[2:-3]
    assert len(middle) == 7 and audio.made == (pytest.approx(0.064), pytest.approx(0.064 + 7 * 0.032))
    spans = [vocabulary.ids_from_frames(part[None], open=True, close=True)[0].tolist() for part in (before, after)]
    spoken = codec_ids(prior, middle)
    expected = argmax_of_forward(prior, [*spans[0], *spans[1], vocabulary.open_id, *spoken], 49)
    assert all(a == b or i % 7 == 0 for i, (a, b) in enumerate(zip(expected, spoken, strict=True)))


def test_a_recording_may_be_given_in_many_forms(prior, recording, tmp_path):
    layout, codec = prior.model.vocabulary.layout, prior.codec
    samples, _ = soundfile.read(recording, dtype="float32")
    given = as_frames(recording, codec, layout)
    assert given.notes == (f"{recording}: its last 0.016 s are less than a frame and are left out",)
    with torch.inference_mode():
        codes = codec.encode(torch.from_numpy(samples)[None, None])
    assert torch.equal(layout.flatten(codes)[0, :10], given.frames)
    path = tmp_path / "a.snac"
    CodeFile(info=CodesInfo.of(codec), num_samples=2688, codes=[c[0].numpy().astype(np.uint16) for c in codes]).save(
        path
    )
    whole = layout.flatten(codes)[0]
    assert torch.equal(as_frames(path, codec, layout).frames, given.frames)
    assert torch.equal(as_frames(samples, codec, layout).frames, given.frames)
    assert torch.equal(as_frames(codes, codec, layout).frames, whole)
    assert torch.equal(as_frames(whole, codec, layout).frames, whole)


def test_what_cannot_be_used_is_refused_with_words(prior, recording, tmp_path):
    for options, words in (
        ({"suffix": recording}, "a suffix is given without a prefix"),
        ({"prefix": np.zeros(200, np.float32)}, "prefix: 0.025 s is less than a frame of this codec, 0.032 s"),
        ({"prefix": torch.zeros(3, 6, dtype=torch.long)}, r"prefix: frames are \[3, 6\], expected \[F, 7\]"),
        ({"prefix": torch.full((3, 7), 64)}, "code 64 in row 0, frame 0, slot 0"),
        ({"prefix": tmp_path / "none.wav"}, "none.wav"),
        ({"prefix": {"a": 1}}, "prefix: dict is none of"),
        ({"min_seconds": 2.0}, "min_seconds 2.0 is outside 0 .. 1.0"),
        ({"seed": -1}, "seed -1 is negative"),
        ({"top_p": 0.0}, "top_p 0.0 is outside"),
    ):
        with pytest.raises(ValueError, match=words):
            prior.stream(1.0, **options)


def test_more_than_the_model_has_positions_for_says_how_much_there_is_room_for(prior, recording):
    with pytest.raises(
        ValueError, match=r"10 s -> 313 frames -> 2191 ids: .*2048 positions, which leave 292 frames, 9\.34"
    ):
        prior.audio(10)
    with pytest.raises(ValueError, match=r"with 70 ids before them .* leave 282 frames"):
        prior.continuation(recording, 10)


def test_text_goes_on_without_codec_ids(prior):
    ids = list(prior.text_ids("hello", max_tokens=60, seed=1, temperature=3.0))
    assert 1 <= len(ids) <= 60 and bool(prior.model.vocabulary.is_text(torch.tensor(ids)).all())
    assert prior.text("hello", seed=1, max_tokens=9) == prior.text("hello", seed=1, max_tokens=9)
    with pytest.raises(ValueError, match="the prompt is empty"):
        prior.text("")
    without = Prior(prior.model)
    with pytest.raises(ValueError, match="no tokenizer"):
        without.text("hello")
    with pytest.raises(ValueError, match="opened without a codec"):
        without.audio(1)


def test_text_may_stand_before_the_sound(prior):
    takes = [prior.audio(0.2, text=text, min_seconds=0.2, **GREEDY).frames for text in ("", "hello", "a")]
    assert not torch.equal(takes[1], takes[2])


def test_a_codec_that_attends_in_windows_needs_no_whole_window():
    codec = make_windowed_codec()
    prior = Prior(make_model(60), codec)
    frame_seconds = codec.config.frame_length / 8000
    audio = prior.audio(3 * frame_seconds, min_seconds=3 * frame_seconds)  # a window holds 2 frames
    assert len(audio.frames) == 3 and len(audio.samples) == 3 * codec.config.frame_length


def test_a_folder_that_is_no_prior_is_refused_with_words(prior, plain_voice_folder, codec_folder, tmp_path):
    with pytest.raises(ValueError, match="no such model folder"):
        Prior.from_pretrained(tmp_path / "nothing")
    with pytest.raises(ValueError, match=r"it has no config\.json"):
        Prior.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"without a codec vocabulary; `aoede extend"):
        Prior.from_pretrained(codec_folder)
    prior.model.save_pretrained(tmp_path / "alone" / "model")
    with pytest.raises(ValueError, match="no codec found"):
        Prior.from_pretrained(tmp_path / "alone")
    opened = Prior.from_pretrained(tmp_path / "alone", codec=plain_voice_folder / "codec")
    assert np.array_equal(opened.audio(0.2, seed=3).samples, prior.audio(0.2, seed=3).samples)


def test_the_verb_writes_each_kind(plain_voice_folder, recording, tmp_path, capsys):
    folder, out, codes = str(plain_voice_folder), str(tmp_path / "o.wav"), str(tmp_path / "o.snac")
    assert main(["generate", "text", folder, "hello", "--max-tokens", "5", "--temperature", "0"]) == 0
    assert capsys.readouterr().out.strip()
    assert main(["generate", "audio", folder, "--seconds", "0.3", "-o", out, "--codes", codes]) == 0
    said = capsys.readouterr().out
    assert f"written {out}" in said and "budget 0.3 s -> 10 frames -> 70 ids, seed 0" in said
    assert CodeFile.load(codes).num_samples == soundfile.info(out).frames
    options = ["--seconds", "0.3", "--min-seconds", "0.3", "-o", out]
    assert main(["generate", "continue", folder, str(recording), *options]) == 0
    assert soundfile.info(out).frames == 20 * 256
    assert "from 0.32 to 0.64 of 0.64 s, cut at the budget" in capsys.readouterr().out
    assert main(["generate", "infill", folder, str(recording), codes, *options, "--only-new"]) == 0
    assert soundfile.info(out).frames == 10 * 256


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["audio", "{folder}", "--seconds", "0"], "0.0 seconds asked for; it must be above 0"),
        (["audio", "{folder}", "--seconds", "1", "-o", "a.xyz"], "cannot write '.xyz'"),
        (["audio", "{folder}", "--seconds", "1", "--codes", "a.bin"], "codes are written as .snac files"),
        (["audio", "nowhere", "--seconds", "1"], "nowhere: no such model folder"),
        (["continue", "{folder}", "nothing.wav", "--seconds", "1"], "nothing.wav"),
    ],
)
def test_the_verb_refuses_with_one_line(plain_voice_folder, tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    assert main(["generate", *(word.format(folder=plain_voice_folder) for word in words)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("aoede: error: ") and said in error and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
