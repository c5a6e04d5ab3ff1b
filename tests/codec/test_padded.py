"""Graphs of fixed lengths give what the network gives at any shorter one, and Snake without a sine is Snake."""

import math

import pytest
import torch

from aoede.codec.layers import Snake as TrainedSnake
from aoede.codec.padded import FusedSnake, PaddedDecoder, PaddedEncoder, fixed_shapes, masks, padded_units, rates
from aoede.codec.stages import Snake
from tests.codec.conftest import CONFIGS, make_codec


def test_lengths_grow_by_a_fourth_at_most():
    assert [padded_units(n) for n in (1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 13, 15, 17, 100, 123)] == [
        1, 2, 3, 4, 5, 7, 8, 10, 10, 12, 14, 16, 20, 112, 128
    ]  # fmt: skip
    for units in range(1, 2000):
        assert units <= padded_units(units) <= 1.25 * units
        assert padded_units(padded_units(units)) == padded_units(units)


def test_snake_without_a_sine_is_snake():
    trained = TrainedSnake(3)
    with torch.no_grad():
        trained.alpha.copy_(torch.tensor([0.2, 1.0, 9.0])[None, :, None])
    x = torch.linspace(-20, 20, 4001).expand(1, 3, -1)
    alpha = trained.alpha.detach().double()
    exact = x.double() + torch.sin(alpha * x.double()).square() / (alpha + 1e-9)
    with torch.no_grad():
        ours, plain = FusedSnake(Snake(trained))(x), Snake(trained)(x)
    # Both round alpha x in float32: what remains is of the size that the plain one has.
    assert float((ours - exact).abs().max()) < 4e-6
    assert float((ours - exact).abs().max()) < 3 * float((plain - exact).abs().max()) + 1e-6
    assert FusedSnake(Snake(trained))(torch.zeros(1, 3, 5)).eq(0).all()


def test_masks_end_where_the_sound_ends():
    config = make_codec("plain").config
    units, latents = 3, 2 * config.latents_multiple
    assert rates(config, "decoder")[-1] == rates(config, "encoder")[0] == config.hop_length
    for half in ("encoder", "decoder"):
        for steps, mask in zip(rates(config, half), masks(config, half, latents, units), strict=True):
            assert mask.shape == (1, 1, 3 * config.latents_multiple * steps)
            assert mask.sum() == latents * steps and mask[0, 0, latents * steps - 1] == 1


@pytest.mark.parametrize("kind", sorted(CONFIGS))
@pytest.mark.parametrize(("own", "units"), [(1, 3), (2, 3), (3, 3)])
def test_what_is_padded_and_masked_changes_nothing(kind, own, units):
    codec = make_codec(kind)
    config = codec.config
    latents, total = own * config.latents_multiple, units * config.latents_multiple
    audio = torch.randn(1, 1, latents * config.hop_length, generator=torch.Generator().manual_seed(own)) * 0.3
    codes = codec.encode(audio)
    dirty = torch.full((1, 1, total * config.hop_length), 0.0)
    dirty[..., : audio.shape[-1]] = audio
    with torch.no_grad():
        found = PaddedEncoder(codec)(dirty, *masks(config, "encoder", latents, units))
        for level, expected, stride in zip(found, codes, config.vq_strides, strict=True):
            assert torch.equal(level[:, : latents // stride], expected)
        wide = [torch.nn.functional.pad(level, (0, (total - latents) // s), value=1) for level, s in
                zip(codes, config.vq_strides, strict=True)]  # fmt: skip
        # Noise and codes behind the end are not silent: only the masks keep them out.
        strides = [math.prod(config.decoder_rates[: block + 1]) for block in range(len(config.decoder_rates))]
        tracks = []
        if config.noise:
            tracks = [torch.randn(1, 1, total * s) for s in strides]
            tracks = [t * (torch.arange(t.shape[-1]) >= latents * s) for t, s in zip(tracks, strides, strict=True)]
        sound = PaddedDecoder(codec)(*wide, *tracks, *masks(config, "decoder", latents, units))
    expected = codec.decode(codes, noise="off")
    torch.testing.assert_close(sound[..., : expected.shape[-1]], expected, rtol=0.0, atol=2e-6)


def test_fixed_shapes_name_every_input_in_order():
    config = make_codec("plain").config
    latents = 2 * config.latents_multiple
    shapes = fixed_shapes(config, "decoder", 2)
    names = [f"codes_{k}" for k in range(len(config.vq_strides))]
    names += [f"noise_{k}" for k in range(len(config.decoder_rates))] if config.noise else []
    names += [f"mask_{k}" for k in range(len(config.decoder_rates) + 1)]
    assert list(shapes) == names
    assert shapes["codes_0"] == [1, latents // config.vq_strides[0]]
    assert shapes["mask_0"] == [1, 1, latents]
