from pathlib import Path

import pytest
import torch

from aoede.data import Clip, at_speeds, load_audio, load_codes, prepare


def clip(name: str, split: str = "train", speaker: str = "ann") -> Clip:
    return Clip(audio=f"/{name}.wav", id=name, text="Hello.", speaker=speaker, split=split, seconds=3.0)


def test_every_training_clip_comes_again_at_every_speed():
    made = at_speeds([clip("a"), clip("b", "dev"), clip("c", "", speaker="")], [0.75, 1.5])
    assert [(c.id, c.speaker, c.seconds, c.speed) for c in made] == [
        ("a", "ann", 3.0, 1.0),
        ("b", "ann", 3.0, 1.0),
        ("c", "", 3.0, 1.0),
        ("a@0.75", "ann@0.75", 4.0, 0.75),
        ("c@0.75", "", 4.0, 0.75),
        ("a@1.5", "ann@1.5", 2.0, 1.5),
        ("c@1.5", "", 2.0, 1.5),
    ]
    assert at_speeds([clip("a")], []) == [clip("a")]


@pytest.mark.parametrize(("speeds", "words"), [([1.0], "differ from 1"), ([0.4], "0.5..2"), ([0.9, 0.9], "only once")])
def test_speeds_that_cannot_be_are_refused(speeds, words):
    with pytest.raises(ValueError, match=words):
        at_speeds([clip("a")], speeds)


def test_a_variant_is_encoded_at_its_speed(codec, tmp_path):
    speech_file = Path(__file__).parent / "clips" / "asterisk_en_370ba89b7d79.ogg"
    original = Clip(audio=str(speech_file), id="a", text="x", speaker="ann", split="train")
    prepare(at_speeds([original], [1.25]), codec, tmp_path / "codes")
    plain, fast = load_codes([tmp_path / "codes"], codec=codec)
    rate = codec.config.sample_rate
    assert fast.speaker == "ann@1.25"
    assert fast.seconds == pytest.approx(plain.seconds / 1.25, abs=0.01)
    audio, _ = load_audio(speech_file, round(rate / 1.25))
    expected = codec.encode(torch.from_numpy(audio)[None, None])
    assert [level.tolist() for level in fast.codes] == [level[0].tolist() for level in expected]
