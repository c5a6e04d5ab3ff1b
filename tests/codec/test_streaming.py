"""Streaming is exact: any cut gives the codes and the samples of one shot."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aoede.codec import Snac, SnacConfig, StreamDecoder, StreamEncoder
from aoede.codec.folding import FoldedDecoder, FoldedEncoder
from aoede.codec.receptive import decoder_tail, encoder_tail, final_samples, latents_for, latents_needed, samples_needed
from tests.codec.conftest import CONFIGS, make_codec

PRESETS = {name: getattr(SnacConfig, name)() for name in ("snac_24khz", "snac_32khz", "snac_44khz", "small_24khz")}


def narrow(config: SnacConfig) -> Snac:
    """The same kernels, strides, levels and windows with few channels: what a stream is exact in, at little cost."""
    torch.manual_seed(0)
    return Snac(replace(config, encoder_dim=4, decoder_dim=64, codebook_size=64)).eval()


# Double precision, so that only a wrong sample can differ, never the order of a sum.
CODECS = {kind: make_codec(kind).double() for kind in CONFIGS}
NARROW = {name: narrow(config).double() for name, config in PRESETS.items()}
FOLDED = {name: (FoldedDecoder(codec), FoldedEncoder(codec)) for name, codec in (CODECS | NARROW).items()}


def random_codes(codec: Snac, frames: int, batch: int = 2) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(frames)
    size = codec.config.codebook_size
    return [torch.randint(size, (batch, frames * n), generator=generator) for n in codec.config.codes_per_frame]


def random_audio(codec: Snac, samples: int, batch: int = 1) -> torch.Tensor:
    like = codec.quantizer.levels[0].codebook.weight
    return torch.randn(batch, 1, samples, generator=torch.Generator().manual_seed(samples)).to(like.dtype) * 0.3


def in_pieces(stream: StreamDecoder, codes: list[torch.Tensor], cuts: list[list[int]]) -> list[torch.Tensor]:
    """What comes of pushing each level cut where `cuts` (one list a level, all as long) says, and then flushing."""
    edges = [[0, *places, level.shape[1]] for level, places in zip(codes, cuts, strict=True)]
    steps = zip(*(pairwise(places) for places in edges), strict=True)
    pieces = [
        stream.push([level[:, first:stop] for level, (first, stop) in zip(codes, step, strict=True)]) for step in steps
    ]
    return [*pieces, stream.flush()]


@settings(max_examples=30, deadline=None)
@given(
    kind=st.sampled_from(sorted(CONFIGS)),
    units=st.integers(1, 9),
    pushes=st.integers(1, 12),
    seed=st.integers(0, 2**62),
    data=st.data(),
)
def test_decoded_pieces_equal_one_shot_wherever_each_level_is_cut(
    kind: str, units: int, pushes: int, seed: int, data: st.DataObject
) -> None:
    codec = CODECS[kind]
    codes = random_codes(codec, units * codec.config.latents_multiple // codec.config.vq_strides[0])
    places = [
        sorted(data.draw(st.lists(st.integers(0, level.shape[1]), min_size=pushes, max_size=pushes))) for level in codes
    ]
    stream = StreamDecoder(codec, seed=seed, folded=FOLDED[kind][0])
    pieces = in_pieces(stream, codes, places)
    whole = codec.decode(codes, seed=seed)
    assert torch.allclose(torch.cat(pieces, dim=-1), whole, rtol=0, atol=1e-12)
    assert stream.num_samples == whole.shape[-1]


@settings(max_examples=30, deadline=None)
@given(kind=st.sampled_from(sorted(CONFIGS)), cuts=st.lists(st.integers(0, 700), min_size=1, max_size=8))
def test_encoded_pieces_equal_one_shot(kind: str, cuts: list[int]) -> None:
    codec = CODECS[kind]
    audio = random_audio(codec, max(1, sum(cuts)), batch=2)
    stream = StreamEncoder(codec, folded=FOLDED[kind][1])
    pieces = [stream.push(piece) for piece in audio.split([*cuts, audio.shape[-1] - sum(cuts)], dim=-1)]
    pieces.append(stream.flush())
    assert stream.num_samples == audio.shape[-1]
    for level, whole in enumerate(codec.encode(audio)):
        assert torch.equal(torch.cat([piece[level] for piece in pieces], dim=1), whole)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_frame_by_frame_equals_one_shot_in_the_shape_of_every_preset(name: str) -> None:
    codec = NARROW[name]
    config = codec.config
    frames = 8  # two attention windows, where there are such
    codes = random_codes(codec, frames, batch=1)
    cuts = [[n * frame for frame in range(1, frames)] for n in config.codes_per_frame]
    decoded = in_pieces(StreamDecoder(codec, seed=3, folded=FOLDED[name][0]), codes, cuts)
    assert torch.allclose(torch.cat(decoded, dim=-1), codec.decode(codes, seed=3), rtol=0, atol=1e-12)

    audio = random_audio(codec, frames * config.frame_length - 100)
    stream = StreamEncoder(codec, folded=FOLDED[name][1])
    encoded = [*(stream.push(piece) for piece in audio.split(480, dim=-1)), stream.flush()]
    for level, whole in enumerate(codec.encode(audio)):
        assert torch.equal(torch.cat([piece[level] for piece in encoded], dim=1), whole)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_the_decoder_gives_out_all_that_is_final_and_no_later(name: str) -> None:
    codec = NARROW[name]
    config = codec.config
    tail = decoder_tail(PRESETS[name])
    stream = StreamDecoder(codec, folded=FOLDED[name][0])
    codes = random_codes(codec, 16, batch=1)
    assert stream.tail == tail
    for frame in range(16):
        stream.push([c[:, frame * n : (frame + 1) * n] for c, n in zip(codes, config.codes_per_frame, strict=True)])
        latents = (frame + 1) * config.vq_strides[0]
        assert stream.num_samples == final_samples(PRESETS[name], latents)
        if config.attn_window_size is None:
            assert stream.num_samples == max(0, latents * config.hop_length - tail)
        assert (stream.num_samples > 0) == (latents >= latents_for(PRESETS[name], 1))


@given(name=st.sampled_from(sorted(PRESETS)), samples=st.integers(1, 10**6))
def test_latents_for_is_the_fewest_that_make_samples_final(name: str, samples: int) -> None:
    latents = latents_for(PRESETS[name], samples)
    assert final_samples(PRESETS[name], latents - 1) < samples <= final_samples(PRESETS[name], latents)
    assert latents_needed(PRESETS[name], 0, samples - 1)[1] == latents - 1


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_frame_is_encoded_with_the_last_sample_that_it_hears(name: str) -> None:
    codec = NARROW[name]
    config = codec.config
    frames = 2
    needed = samples_needed(config, 0, frames * config.vq_strides[0] - 1)[1] + 1
    if config.attn_window_size is None:
        assert needed == frames * config.frame_length + encoder_tail(config)
    stream = StreamEncoder(codec, folded=FOLDED[name][1])
    audio = random_audio(codec, needed)
    early = stream.push(audio[..., : needed - 1])[0].shape[1]
    assert early < frames
    assert early + stream.push(audio[..., needed - 1 :])[0].shape[1] >= frames


def test_half_a_frame_is_sound_too() -> None:
    """The first four of the seven slots, C M F F, cover two latents of the four."""
    codec = NARROW["snac_24khz"]
    stream = StreamDecoder(codec, folded=FOLDED["snac_24khz"][0])
    codes = random_codes(codec, 4, batch=1)
    stream.push([level[:, : 3 * n] for level, n in zip(codes, (1, 2, 4), strict=True)])
    assert stream.num_samples == 3 * 2048 - 4757
    half = stream.push([codes[0][:, 3:4], codes[1][:, 6:7], codes[2][:, 12:14]])
    assert half.shape[-1] == 2 * 512
    other = stream.push([codes[0][:, 4:], codes[1][:, 7:8], codes[2][:, 14:16]])
    assert other.shape[-1] == 2 * 512


@pytest.mark.parametrize("kind", sorted(CONFIGS))
def test_single_precision_streams_within_a_millionth(kind: str) -> None:
    codec = make_codec(kind)
    config = codec.config
    codes = random_codes(codec, 4 * config.latents_multiple // config.vq_strides[0])
    cuts = [list(range(n, level.shape[1], n)) for level, n in zip(codes, config.codes_per_frame, strict=True)]
    pieces = in_pieces(StreamDecoder(codec, seed=1), codes, cuts)
    assert pieces[-1].dtype == torch.float32
    assert torch.allclose(torch.cat(pieces, dim=-1), codec.decode(codes, seed=1), rtol=0, atol=2e-6)
    audio = random_audio(codec, 4 * config.pad_multiple, batch=2)
    stream = StreamEncoder(codec)
    encoded = [*(stream.push(piece) for piece in audio.split(37, dim=-1)), stream.flush()]
    for level, whole in enumerate(codec.encode(audio)):
        assert torch.equal(torch.cat([piece[level] for piece in encoded], dim=1), whole)


@pytest.mark.parametrize("kind", sorted(CONFIGS))
def test_what_is_kept_between_pieces_does_not_grow(kind: str) -> None:
    codec = CODECS[kind]
    unit = codec.config.latents_multiple // codec.config.vq_strides[0]
    stream = StreamDecoder(codec)

    def kept() -> int:
        storages = {}
        for state in stream._states or []:
            for value in state if isinstance(state, tuple) else (state,):
                if isinstance(value, torch.Tensor):
                    storages[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()
        return sum(storages.values())

    sizes = []
    for _ in range(2):
        for _ in range(20):
            stream.push(random_codes(codec, unit, batch=1))
        sizes.append(kept())
    assert sizes[0] == sizes[1]
    stream.push(random_codes(codec, 64 * unit, batch=1))
    assert kept() < 12 * sizes[0]  # a long piece is not kept alive by the short tails cut from it


@pytest.mark.parametrize("kind", sorted(CONFIGS))
def test_what_was_pushed_may_be_overwritten(kind: str) -> None:
    codec = CODECS[kind]
    unit = codec.config.latents_multiple // codec.config.vq_strides[0]
    codes = random_codes(codec, 4 * unit, batch=1)
    stream, pieces = StreamDecoder(codec), []
    for first in range(4):
        counts = [unit * n for n in codec.config.codes_per_frame]
        part = [level[:, first * n : (first + 1) * n].clone() for level, n in zip(codes, counts, strict=True)]
        pieces.append(stream.push(part))
        for level in part:
            level.zero_()
    pieces.append(stream.flush())
    assert torch.allclose(torch.cat(pieces, dim=-1), codec.decode(codes), rtol=0, atol=1e-12)


def test_less_lookahead_gives_sound_earlier_and_errs_the_more() -> None:
    codec = NARROW["snac_24khz"]
    codes = random_codes(codec, 12, batch=1)
    whole = codec.decode(codes)
    cuts = [list(range(n, level.shape[1], n)) for level, n in zip(codes, (1, 2, 4), strict=True)]
    errors = []
    for lookahead in (4757, 3000, 1000, 0):
        stream = StreamDecoder(codec, lookahead=lookahead, folded=FOLDED["snac_24khz"][0])
        pieces = in_pieces(stream, codes, cuts)
        lengths = [piece.shape[-1] for piece in pieces]
        assert [sum(lengths[: n + 1]) for n in range(12)] == [max(0, (n + 1) * 2048 - lookahead) for n in range(12)]
        errors.append(float((torch.cat(pieces, dim=-1) - whole).square().mean().sqrt()))
        # What is given out at the end was computed when all was known.
        assert torch.allclose(pieces[-1], whole[..., whole.shape[-1] - pieces[-1].shape[-1] :], rtol=0, atol=1e-12)
    assert errors[0] < 1e-12 < errors[1] < errors[2] < errors[3]


def test_lookahead_reaches_into_an_attention_window_that_is_not_complete() -> None:
    codec = NARROW["snac_44khz"]
    codes = random_codes(codec, 8, batch=2)
    whole = codec.decode(codes)
    stream = StreamDecoder(codec, lookahead=1000, folded=FOLDED["snac_44khz"][0])
    cuts = [list(range(n, level.shape[1], n)) for level, n in zip(codes, (1, 2, 4, 8), strict=True)]
    pieces = in_pieces(stream, codes, cuts)
    assert [piece.shape[-1] for piece in pieces] == [2072, *[3072] * 7, 1000]
    assert torch.cat(pieces, dim=-1).shape == whole.shape


def test_a_lookahead_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="lookahead=4758: choose 0 to 4757 samples"):
        StreamDecoder(NARROW["snac_24khz"], lookahead=4758)
    with pytest.raises(ValueError, match="lookahead=-1"):
        StreamDecoder(NARROW["snac_24khz"], lookahead=-1)


def test_reach_of_the_published_24khz_network() -> None:
    config = SnacConfig.snac_24khz()
    assert latents_needed(config, 0, 511) == (-10, 10)
    assert samples_needed(config, 0, 0) == (-4757, 5268)
    assert decoder_tail(config) == 4757


@pytest.mark.parametrize("kind", sorted(CONFIGS))
def test_the_tail_is_the_smallest_that_is_exact(kind: str) -> None:
    codec, frames = CODECS[kind], 64
    codes = random_codes(codec, frames, batch=1)
    changed = [level.clone() for level in codes]
    half = frames // 2
    for level, count in zip(changed, codec.config.codes_per_frame, strict=True):
        level[:, half * count :] = (level[:, half * count :] + 1) % codec.config.codebook_size
    difference = (codec.decode(codes, noise="off") - codec.decode(changed, noise="off")).abs()[0, 0]
    first = int(torch.nonzero(difference)[0])
    cut = half * codec.config.frame_length
    assert cut - decoder_tail(codec.config) <= first
    if codec.config.attn_window_size is None:
        assert first - (cut - decoder_tail(codec.config)) < codec.config.hop_length


def test_a_flushed_stream_takes_no_more() -> None:
    stream = StreamDecoder(CODECS["plain"])
    stream.push(random_codes(CODECS["plain"], 1))
    stream.flush()
    with pytest.raises(ValueError, match="start a new StreamDecoder"):
        stream.push(random_codes(CODECS["plain"], 1))


def test_nothing_in_nothing_out() -> None:
    assert StreamDecoder(CODECS["plain"]).flush().shape == (1, 1, 0)
    stream = StreamDecoder(CODECS["plain"])
    assert stream.push([torch.zeros(3, 0, dtype=torch.long)] * 3).shape == (3, 1, 0)
    assert stream.flush().shape == (3, 1, 0)


def test_random_noise_cannot_stream() -> None:
    with pytest.raises(ValueError, match="'seeded' or 'off'"):
        StreamDecoder(CODECS["plain"], noise="random")


def test_a_stream_that_ends_inside_a_frame_says_what_is_missing() -> None:
    codec = CODECS["plain"]
    codes = random_codes(codec, 2)
    stream = StreamDecoder(codec)
    stream.push([codes[0], codes[1], codes[2][:, :-1]])
    with pytest.raises(ValueError, match=r"levels cover \[8, 8, 7\] latents, a frame is 4"):
        stream.flush()
    stream.push([codes[0][:, :0], codes[1][:, :0], codes[2][:, -1:]])  # and goes on when it comes
    stream.flush()
    assert stream.num_samples == 2 * codec.config.frame_length


def test_a_stream_that_ends_inside_an_attention_window_is_refused() -> None:
    stream = StreamDecoder(NARROW["snac_32khz"], folded=FOLDED["snac_32khz"][0])
    stream.push(random_codes(NARROW["snac_32khz"], 5))
    with pytest.raises(ValueError, match=r"after 5 frames, inside an attention window: .* multiples of 4 frames"):
        stream.flush()


def test_codes_that_do_not_fit_are_refused() -> None:
    codec = CODECS["plain"]
    codes = random_codes(codec, 2)
    with pytest.raises(ValueError, match="a list of 3 tensors"):
        StreamDecoder(codec).push(codes[:2])
    with pytest.raises(ValueError, match=r"level 1 holds a code outside 0\.\.31"):
        StreamDecoder(codec).push([codes[0], codes[1] + 32, codes[2]])
    stream = StreamDecoder(codec)
    stream.push(codes)
    with pytest.raises(ValueError, match="1 rows pushed into a stream of 2"):
        stream.push([level[:1] for level in codes])
