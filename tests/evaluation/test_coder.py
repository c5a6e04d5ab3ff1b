"""One codec under test: rates by hand, batches as alone, first levels as a sum with summands left out."""

import numpy as np
import pytest
import torch
from transformers import DacConfig, DacModel

from aoede.codec import NoiseSource
from aoede.evaluation.coder import Coder, open_coders
from tests.evaluation.conftest import RulerCodec, spoken


def test_rates_and_ladder_follow_from_the_numbers_of_the_codec(codec):
    coder = Coder("tiny", codec)
    assert coder.code_rates == [46.875, 93.75, 187.5]  # 24000 / 128 latents a second, over strides 4, 2, 1
    assert coder.bit_rate() == 4 * (46.875 + 93.75 + 187.5)  # 16 entries: 4 bits a code
    assert coder.bit_rate(1) == 187.5
    assert coder.ladder() == (1, 2, 3)
    coder.num_levels = 32
    assert coder.ladder() == (1, 2, 4, 8, 16, 32)
    coder.num_levels = 9
    assert coder.ladder() == (1, 2, 4, 8, 9)
    ruler = Coder("ruler", RulerCodec())
    assert (ruler.bit_rate(), ruler.bit_rate(1), ruler.ladder()) == (192000, 96000, (1, 2))


def test_a_batch_gives_each_recording_what_it_gets_alone(codec):
    coder = Coder("tiny", codec)
    recordings = [spoken("low"), spoken("high middle"), spoken("middle")[:3000]]
    together = coder.roundtrip(recordings)
    for recording, one in zip(recordings, together, strict=True):
        alone = coder.roundtrip([recording])[0]
        assert all(torch.equal(a, b) for a, b in zip(one.codes, alone.codes, strict=True))
        assert one.audio.shape == recording.shape
        np.testing.assert_allclose(one.audio, alone.audio, atol=1e-5)
        assert one.encode_seconds > 0 and one.decode_seconds > 0


def test_all_levels_are_the_ordinary_decode_and_one_is_the_first_summand(codec):
    coder, recording = Coder("tiny", codec), spoken("low high")
    coded = coder.roundtrip([recording])[0]
    np.testing.assert_allclose(coder.decode_first(coded.codes, 3, len(recording)), coded.audio, atol=1e-6)
    level = codec.quantizer.levels[0]
    with torch.no_grad():
        latents = level.out_proj(level.codebook(coded.codes[0]).transpose(1, 2)).repeat_interleave(4, dim=-1)
        audio = codec.decoder(latents, NoiseSource("seeded", 0))[0, 0, : len(recording)]
    np.testing.assert_allclose(coder.decode_first(coded.codes, 1, len(recording)), audio.numpy(), atol=1e-6)


def test_another_codec_is_asked_to_decode_fewer_levels():
    coder, recording = Coder("ruler", RulerCodec()), spoken("low")
    coded = coder.roundtrip([recording])[0]
    assert np.abs(coded.audio - recording).max() <= 0.5 / 127.5 + 1e-6  # half a mark
    coarse = coder.decode_first(coded.codes, 1, len(recording))
    assert 0.5 / 127.5 < np.abs(coarse - recording).max() <= 8.5 / 127.5 + 1e-6  # half a coarse mark


def test_a_codec_of_transformers_decodes_its_first_levels_as_its_own_model_does(tmp_path):
    config = DacConfig(
        encoder_hidden_size=4,
        downsampling_ratios=[2, 5],
        decoder_hidden_size=16,
        upsampling_ratios=[5, 2],
        n_codebooks=3,
        codebook_size=64,
        codebook_dim=4,
        sampling_rate=16000,
    )
    torch.manual_seed(0)
    model = DacModel(config).eval()
    model.save_pretrained(tmp_path / "dac")
    (coder,) = open_coders([f"dac:{tmp_path}/dac"])
    assert (coder.label, coder.num_levels, coder.bit_rate()) == ("dac:dac", 3, 3 * 1600 * 6)
    recording = spoken("low")[:4000]
    coded = coder.roundtrip([recording])[0]
    with torch.no_grad():
        alone = model.decode(audio_codes=torch.stack(coded.codes[:1], dim=1)).audio_values[0]
    found = coder.decode_first(coded.codes, 1, len(recording))
    np.testing.assert_allclose(found[: len(alone)], alone.numpy()[: len(found)], atol=1e-6)
    np.testing.assert_allclose(coder.decode_first(coded.codes, 3, 4000), coded.audio, atol=1e-6)


@pytest.mark.parametrize("levels", [0, 4])
def test_levels_that_do_not_exist_are_refused(codec, levels):
    with pytest.raises(ValueError, match=f"levels is {levels}; tiny has 1 to 3"):
        Coder("tiny", codec).decode_first([torch.zeros(1, 1, dtype=torch.long)] * 3, levels, 100)


def test_codecs_are_called_by_label_or_folder(codec, tmp_path):
    for name in ("one/codec", "two/codec", "three"):
        codec.save_pretrained(tmp_path / name)
    names = [f"mine={tmp_path}/three", tmp_path / "one" / "codec", f"{tmp_path}/two/codec"]
    assert [coder.label for coder in open_coders(names)] == ["mine", "one/codec", "two/codec"]
    assert [coder.label for coder in open_coders([])] == ["bundled"]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["a={}/three", "a={}/three"], "two codecs are called a; name them: LABEL=DIR"),
        (["{}/three", "{}/three"], "two codecs are called"),
        (["recording={}/three"], "the report has its own recording"),
        (["={}/three"], "LABEL=DIR or DIR"),
        (["{}/missing"], "missing"),
    ],
)
def test_codecs_that_cannot_be_told_apart_or_opened_are_refused(codec, tmp_path, names, said):
    codec.save_pretrained(tmp_path / "three")
    with pytest.raises(ValueError, match=said):
        open_coders([name.format(tmp_path) for name in names])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="torch finds no CUDA device here; use cpu"):
        open_coders([], "cuda")
