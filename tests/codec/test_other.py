"""Mimi, DAC and EnCodec through the interface of SNAC: the codes of their own models, and layouts that take them."""

import math
import subprocess
import sys

import pytest
import torch
from transformers import DacConfig, DacModel, EncodecConfig, EncodecModel, MimiConfig, MimiModel

from aoede.codec import Codec, Snac, SnacConfig, load_codec
from aoede.tokens import CodecVocabulary, FrameLayout


def mimi(levels=32):
    """A frame of 24 samples, 32 levels of 32 entries."""
    config = MimiConfig(
        sampling_rate=24000, hidden_size=16, num_filters=2, upsampling_ratios=[4, 3], codebook_size=32, codebook_dim=8,
        vector_quantization_hidden_dimension=8, num_quantizers=levels, num_hidden_layers=1, intermediate_size=32,
        num_attention_heads=2, num_key_value_heads=2, upsample_groups=16, kernel_size=3, last_kernel_size=3,
    )  # fmt: skip
    model = MimiModel(config).eval()
    for name, buffer in model.named_buffers():
        if name.endswith("embed_sum"):  # a fresh Mimi has nothing but zeros in its codebooks
            buffer.normal_()
    return model


def dac():
    """A frame of 10 samples, so that a stride is odd: 3 levels of 64 entries."""
    config = DacConfig(
        encoder_hidden_size=4, downsampling_ratios=[2, 5], decoder_hidden_size=16, upsampling_ratios=[5, 2],
        n_codebooks=3, codebook_size=64, codebook_dim=4, sampling_rate=16000,
    )  # fmt: skip
    return DacModel(config).eval()


def encodec():
    """A frame of 20 samples; 12 and 48 kbit/s are 2 and 8 levels of 32 entries."""
    config = EncodecConfig(
        sampling_rate=24000, target_bandwidths=[12.0, 48.0], hidden_size=8, num_filters=2, upsampling_ratios=[5, 4],
        codebook_size=32, codebook_dim=8, num_lstm_layers=1,
    )  # fmt: skip
    model = EncodecModel(config).eval()
    with torch.no_grad():
        latents = model.encoder(0.3 * torch.randn(1, 1, 4000))[0].T
    for name, buffer in model.named_buffers():
        if name.endswith("codebook.embed"):  # a fresh EnCodec has entries that nothing comes near
            first = ".layers.0." in name
            buffer.copy_(latents[50:82] if first else latents.std() * torch.randn(buffer.shape))
    return model


MAKE = {"mimi": mimi, "dac": dac, "encodec": encodec}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """kind -> (folder in the published form, the model)."""
    found = {}
    for kind, make in MAKE.items():
        torch.manual_seed(3)
        folder = tmp_path_factory.mktemp(kind)
        model = make()
        model.save_pretrained(folder)
        found[kind] = folder, model
    return found


@pytest.fixture(params=MAKE)
def opened(request, models):
    """One of the three: kind, folder, the model itself, the codec that load_codec gives."""
    folder, model = models[request.param]
    return request.param, folder, model, load_codec(f"{request.param}:{folder}")


def own_codes(kind, model, audio):
    with torch.no_grad():
        if kind == "encodec":
            return model.encode(audio).audio_codes[0]
        return model.encode(audio).audio_codes


def test_the_numbers_are_those_of_the_model(models):
    wanted = {
        "mimi": (24000, 24, 32, 32, 1000.0),
        "dac": (16000, 10, 3, 64, 1600.0),
        "encodec": (24000, 20, 2, 32, 1200.0),
    }
    for kind, (folder, _) in models.items():
        codec = load_codec(f"{kind}:{folder}")
        numbers = codec.config
        assert isinstance(codec, Codec)
        assert wanted[kind] == (
            numbers.sample_rate, numbers.frame_length, numbers.num_codebooks, numbers.codebook_size, numbers.frame_rate
        )  # fmt: skip
        assert numbers.codes_per_frame == numbers.vq_strides == (1,) * numbers.num_codebooks
        assert numbers.bits_per_second == numbers.frame_rate * numbers.num_codebooks * math.log2(numbers.codebook_size)


def test_a_snac_fits_the_interface_and_needs_no_word_before_its_folder(tmp_path):
    codec = Snac(SnacConfig(encoder_dim=4, encoder_rates=(2, 4), decoder_dim=16, decoder_rates=(4, 2)))
    assert isinstance(codec, Codec)
    codec.save_pretrained(tmp_path)
    assert load_codec(tmp_path).fingerprint() == load_codec(f"snac:{tmp_path}").fingerprint() == codec.fingerprint()


@pytest.mark.parametrize("frames", [1, 7])
def test_codes_and_audio_are_those_of_the_model(opened, frames):
    kind, _, model, codec = opened
    audio = 0.3 * torch.randn(2, 1, frames * codec.config.frame_length)
    expected = own_codes(kind, model, audio)
    codes = codec.encode(audio)
    assert len(codes) == codec.config.num_codebooks and len(torch.stack(codes).unique()) > frames
    assert torch.equal(torch.stack(codes, dim=1), expected)
    decoded = codec.decode(codes)
    assert decoded.shape == audio.shape
    with torch.no_grad():
        if kind == "encodec":
            theirs = model.decode(expected[None], [None]).audio_values
        else:
            theirs = model.decode(audio_codes=expected).audio_values.reshape(2, 1, -1)
    count = min(theirs.shape[-1], decoded.shape[-1])
    assert count > decoded.shape[-1] - codec.config.frame_length
    assert torch.allclose(decoded[..., :count], theirs[..., :count], atol=1e-5)


@pytest.mark.parametrize("length", [1, 23, 25, 100, 101, 119, 121])
def test_audio_of_any_length_has_the_frames_it_should(opened, length):
    kind, _, model, codec = opened
    audio = 0.3 * torch.randn(1, 1, length)
    codes = codec.encode(audio)
    assert {level.shape for level in codes} == {(1, codec.frames(length))}
    assert codec.decode(codes, length=length).shape == (1, 1, length)
    if kind != "dac":  # whose network alone rounds down
        assert torch.equal(torch.stack(codes, dim=1), own_codes(kind, model, audio))


def test_items_of_a_batch_come_out_as_they_would_alone(opened):
    _, _, _, codec = opened
    audio, lengths = 0.3 * torch.randn(3, 1, 200), [200, 61, 140]
    together = codec.encode(audio, lengths=lengths)
    spoken = codec.decode(together, lengths=lengths)
    for row, length in enumerate(lengths):
        alone = codec.encode(audio[row : row + 1, :, :length])
        frames = codec.frames(length)
        assert all(torch.equal(t[row, :frames], a[0]) for t, a in zip(together, alone, strict=True))
        assert all(not t[row, frames:].any() for t in together)
        assert torch.allclose(spoken[row, 0, :length], codec.decode(alone, length=length)[0, 0], atol=1e-6)
        assert not spoken[row, 0, length:].any()


def test_the_first_levels_alone_are_the_first_levels_of_all(opened):
    kind, folder, _, _ = opened
    fewer, more = load_codec(f"{kind}@2:{folder}"), load_codec(f"{kind}@3:{folder}")
    audio = 0.3 * torch.randn(1, 1, 400)
    few, many = fewer.encode(audio), more.encode(audio)
    assert len(few) == 2 and len(many) == 3
    assert all(torch.equal(a, b) for a, b in zip(few, many, strict=False))
    assert not torch.equal(fewer.decode(few), more.decode(many))
    assert fewer.fingerprint() != more.fingerprint()


def test_the_fingerprint_follows_the_encoder_and_not_the_decoder(opened, tmp_path):
    kind, folder, model, codec = opened
    assert load_codec(f"{kind}:{folder}").fingerprint() == codec.fingerprint()
    other = MAKE[kind]()
    other.load_state_dict(model.state_dict())
    for key, value in other.state_dict().items():
        if key.startswith("decoder"):
            value.mul_(0.5)
    other.save_pretrained(tmp_path / "decoder")
    assert load_codec(f"{kind}:{tmp_path / 'decoder'}").fingerprint() == codec.fingerprint()
    next(p for name, p in other.named_parameters() if name.startswith("encoder")).data.mul_(0.5)
    other.save_pretrained(tmp_path / "encoder")
    assert load_codec(f"{kind}:{tmp_path / 'encoder'}").fingerprint() != codec.fingerprint()


def test_codes_go_to_frames_and_ids_and_back(opened):
    _, _, _, codec = opened
    codes = codec.encode(0.3 * torch.randn(1, 1, 20 * codec.config.frame_length))
    for layout in (FrameLayout.depth_first(codec.config.vq_strides), FrameLayout.level_first(codec.config.vq_strides)):
        assert layout.num_slots == codec.config.num_codebooks
        frames = layout.flatten(codes)
        assert frames.shape == (1, 20, codec.config.num_codebooks)
        sizes = [codec.config.codebook_size] * codec.config.num_codebooks
        vocabulary = CodecVocabulary.extend(500, layout, sizes)
        ids = vocabulary.ids_from_frames(frames, open=True, close=True)
        assert ids.shape == (1, 2 + 20 * codec.config.num_codebooks) and int(ids.min()) >= 500
        back, _ = vocabulary.frames_from_ids(ids)
        assert all(torch.equal(a, b) for a, b in zip(layout.unflatten(back), codes, strict=True))
        assert torch.allclose(codec.decode(layout.unflatten(back)), codec.decode(codes), atol=1e-5)


def test_bad_audio_and_bad_codes_are_refused_with_the_number(opened):
    _, _, _, codec = opened
    size, levels = codec.config.codebook_size, codec.config.num_codebooks
    good = [torch.zeros(1, 4, dtype=torch.long) for _ in range(levels)]
    with pytest.raises(ValueError, match=rf"code {size} in level 1 is outside 0\.\.{size - 1}"):
        codec.decode([good[0], good[1] + size, *good[2:]])
    with pytest.raises(ValueError, match=f"a list of {levels} tensors"):
        codec.decode(good[1:])
    with pytest.raises(ValueError, match="of one shape"):
        codec.decode([good[0][:, :2], *good[1:]])
    with pytest.raises(ValueError, match=r"length=9999: the codes hold"):
        codec.decode(good, length=9999)
    with pytest.raises(ValueError, match="NaN"):
        codec.encode(torch.full((1, 1, 100), torch.nan))
    with pytest.raises(ValueError, match=r"must be floating point \[B, 1, T\]"):
        codec.encode(torch.zeros(1, 2, 100))
    with pytest.raises(ValueError, match=r"lengths \[0\]"):
        codec.encode(torch.zeros(1, 1, 100), lengths=[0])


def test_names_that_mean_nothing_are_refused_with_the_way_out(models, tmp_path):
    folder = models["mimi"][0]
    with pytest.raises(ValueError, match="no codec is called 'mp3'; there are snac, mimi, dac, encodec"):
        load_codec("mp3:somewhere")
    with pytest.raises(ValueError, match="holds a model of type 'mimi', not 'dac'"):
        load_codec(f"dac:{folder}")
    with pytest.raises(ValueError, match=f"holds a model of type 'mimi'; name it mimi:{folder}"):
        load_codec(folder)
    with pytest.raises(ValueError, match="33 levels of mimi: this model takes 1 to 32"):
        load_codec(f"mimi@33:{folder}")
    with pytest.raises(ValueError, match="needs all its levels"):
        load_codec("snac@2:somewhere")
    with pytest.raises(ValueError, match="mimi:"):
        load_codec(f"mimi:{tmp_path / 'nowhere'}")


def test_weights_that_are_missing_are_not_made_up(models, tmp_path):
    from safetensors.torch import load_file, save_file

    source, _ = models["dac"]
    (tmp_path / "config.json").write_bytes((source / "config.json").read_bytes())
    state = load_file(source / "model.safetensors")
    name = next(iter(sorted(state)))
    save_file(
        {key: value for key, value in state.items() if key != name}, tmp_path / "model.safetensors", {"format": "pt"}
    )
    with pytest.raises(ValueError, match="missing or misshapen"):
        load_codec(f"dac:{tmp_path}")


def test_an_encodec_whose_codes_need_scales_is_refused(tmp_path):
    config = EncodecConfig(
        sampling_rate=48000, audio_channels=2, normalize=True, chunk_length_s=0.01, overlap=0.01, hidden_size=8,
        num_filters=2, upsampling_ratios=[5, 4], codebook_size=32, codebook_dim=8, target_bandwidths=[24.0],
        norm_type="time_group_norm", use_causal_conv=False,
    )  # fmt: skip
    EncodecModel(config).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="codes alone do not make its audio"):
        load_codec(f"encodec:{tmp_path}")


def test_importing_the_room_and_opening_a_snac_leave_transformers_alone(tmp_path):
    Snac(SnacConfig(encoder_dim=4, encoder_rates=(2, 4), decoder_dim=16, decoder_rates=(4, 2))).save_pretrained(
        tmp_path
    )
    code = f"import sys, aoede.codec; aoede.codec.load_codec({str(tmp_path)!r}); print('transformers' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
