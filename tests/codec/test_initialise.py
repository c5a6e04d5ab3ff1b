"""Fresh weights scaled to data: every layer's output has the stated size, and the last one the audio's."""

import pytest
import torch
from torch import Tensor, nn

from aoede.codec import NoiseSource, Snac
from aoede.codec.initialise import NOISE, RESIDUAL, scale_to_data
from aoede.codec.layers import NoiseBlock, ResidualUnit


def hum(batch: int = 2, samples: int = 960) -> Tensor:
    time = torch.arange(samples) / 4000.0
    hertz = torch.tensor([110.0, 170.0])[:batch, None]
    return (0.05 * torch.sin(6.2832 * hertz * time) + 0.01 * torch.randn(batch, samples))[:, None]


def sizes(codec: Snac, audio: Tensor) -> dict[nn.Module, float]:
    """Standard deviation of each weight-normalised layer's output, quantization left out."""
    seen: dict[nn.Module, float] = {}
    layers = [module for module in codec.modules() if hasattr(module, "parametrizations")]
    handles = [
        layer.register_forward_hook(lambda module, _, output: seen.update({module: float(output.std())}))
        for layer in layers
    ]
    with torch.no_grad():
        codec.reconstruct(audio, NoiseSource("seeded", 0), torch.ones(len(audio), dtype=torch.bool))
    for handle in handles:
        handle.remove()
    assert len(seen) == len(layers)
    return seen


def test_every_layer_s_output_has_its_stated_size_on_that_audio(codec: Snac) -> None:
    audio = hum()
    before = sizes(codec, audio)
    scale_to_data(codec, audio)
    after = sizes(codec, audio)
    expected = dict.fromkeys(after, 1.0)
    expected |= {module.block[-1]: RESIDUAL for module in codec.modules() if isinstance(module, ResidualUnit)}
    expected |= {module.linear: NOISE for module in codec.modules() if isinstance(module, NoiseBlock)}
    expected[codec.decoder.model[-2]] = float(audio.std())  # the layer before the tanh
    assert list(after.values()) == pytest.approx(list(expected.values()), rel=1e-3)
    assert list(before.values()) != pytest.approx(list(expected.values()), rel=0.2)


def test_biases_begin_at_nothing_and_alphas_and_codebooks_are_left_alone(codec: Snac) -> None:
    kept = {name: value.clone() for name, value in codec.state_dict().items() if "alpha" in name or "codebook" in name}
    assert kept
    scale_to_data(codec, hum())
    state = codec.state_dict()
    assert all(torch.equal(state[name], value) for name, value in kept.items())
    biases = [m.bias for m in codec.modules() if hasattr(m, "parametrizations") and isinstance(m.bias, Tensor)]
    assert biases and not any(bias.any() for bias in biases)


def test_silence_says_nothing_about_size(codec: Snac) -> None:
    before = {name: value.clone() for name, value in codec.state_dict().items()}
    with pytest.raises(ValueError, match=r"the audio is silent: .* give some seconds of real recordings"):
        scale_to_data(codec, torch.zeros(2, 1, 960))
    assert all(torch.equal(value, before[name]) for name, value in codec.state_dict().items())
