"""A prepared codec gives what the codec gives, on every backend, however it is cut."""

import importlib.util

import pytest
import torch

from aoede.codec import Snac
from aoede.codec.inference import prepare
from aoede.codec.runtimes import Backend, missing
from tests.codec.conftest import CONFIGS, make_codec

BACKENDS: list[Backend] = ["eager", "compile", "openvino", "onnx"]


# Compiling takes tens of seconds a kind: one kind every time, the others by hand (`make test-slow`).
PAIRS = [
    pytest.param((backend, kind), marks=[pytest.mark.slow] if backend == "compile" and kind != "plain" else [])
    for backend in BACKENDS
    for kind in sorted(CONFIGS)
]


@pytest.fixture(scope="module", params=PAIRS, ids=lambda pair: "-".join(pair))
def pair(request: pytest.FixtureRequest):
    """A codec and itself prepared, once a backend and kind: exporting and compiling take seconds."""
    backend, kind = request.param
    if missing(backend) is not None:
        pytest.skip(missing(backend))
    codec = make_codec(kind)
    with torch.no_grad():  # louder than random weights are, so that a difference would show
        codec.decoder.model[-2].parametrizations.weight.original0.mul_(8.0)
    units = 3 * codec.config.pad_multiple / codec.config.sample_rate
    return codec, prepare(codec, backend, piece_seconds=units)


def sound(codec: Snac, batch: int, frames: float, seed: int = 0) -> torch.Tensor:
    length = round(frames * codec.config.pad_multiple)
    return torch.randn(batch, 1, length, generator=torch.Generator().manual_seed(seed)) * 0.3


@pytest.mark.parametrize(("batch", "frames"), [(1, 1.0), (2, 8.4), (1, 13.0)])
def test_codes_and_audio_are_the_codecs_own(pair, batch, frames):
    codec, prepared = pair  # which cuts after three paddings: the first case stays whole
    audio = sound(codec, batch, frames)
    expected = codec.encode(audio)
    for level, own in zip(expected, prepared.encode(audio), strict=True):
        assert torch.equal(level, own)
    for noise, seed in (("seeded", 5), ("off", 0)):
        reference = codec.decode(expected, audio.shape[-1] - 3, noise=noise, seed=seed)
        assert float(reference.abs().mean()) > 1e-3
        own = prepared.decode(expected, audio.shape[-1] - 3, noise=noise, seed=seed)
        torch.testing.assert_close(own, reference, rtol=0.0, atol=1e-4)


def test_items_of_a_batch_are_what_they_are_alone(pair):
    codec, prepared = pair
    audio = sound(codec, 3, 7.0, seed=1)
    lengths = [audio.shape[-1], audio.shape[-1] // 3, 5]
    codes = prepared.encode(audio, lengths=lengths)
    for level, own in zip(codec.encode(audio, lengths=lengths), codes, strict=True):
        assert torch.equal(level, own)
    expected = codec.decode(codes, lengths=lengths)
    torch.testing.assert_close(prepared.decode(codes, lengths=lengths), expected, rtol=0.0, atol=1e-4)


def test_bfloat16_stays_near_and_chooses_codes_in_full_precision():
    codec = make_codec("plain")
    audio = sound(codec, 1, 20.0)
    codes = codec.encode(audio)
    exact = codec.decode(codes)
    for backend in ("eager", "openvino"):
        if missing(backend) is None:
            rough = prepare(codec, backend, dtype=torch.bfloat16)
            error = float((rough.decode(codes) - exact).norm() / exact.norm())
            assert error < 0.03
            assert rough.decode(codes).dtype == torch.float32
            same = [float((a == b).float().mean()) for a, b in zip(codes, rough.encode(audio), strict=True)]
            assert min(same) > 0.8


def test_what_cannot_run_is_refused_with_a_remedy(monkeypatch):
    codec = make_codec("plain")
    with pytest.raises(ValueError, match="choose eager, compile, openvino, onnx"):
        prepare(codec, "tensorrt")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"choose torch\.float32 or"):
        prepare(codec, "eager", dtype=torch.float16)
    with pytest.raises(ValueError, match="piece_seconds=0"):
        prepare(codec, "eager", piece_seconds=0)
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "openvino" else found(name))
    with pytest.raises(ValueError, match=r"openvino is not installed: pip install 'aoede\[openvino\]'"):
        prepare(codec, "openvino")
    assert prepare(codec).backend == "eager"
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=r"install g\+\+"):
        prepare(codec, "compile")


def test_mistakes_get_the_codecs_own_words():
    codec = make_codec("plain")
    prepared = prepare(codec, "eager")
    audio = sound(codec, 1, 2.0)
    with pytest.raises(ValueError, match=r"must be \[B, 1, T\]"):
        prepared.encode(audio[0])
    codes = prepared.encode(audio)
    with pytest.raises(ValueError, match="choose 1 to"):
        prepared.decode(codes, length=10**9)
    with pytest.raises(ValueError, match="outside 0"):
        prepared.decode([codes[0] + 99, *codes[1:]])


def test_weights_are_copied_and_the_codec_left_alone():
    codec = make_codec("plain")
    before = {name: value.clone() for name, value in codec.state_dict().items()}
    prepared = prepare(codec, "eager")
    audio = sound(codec, 1, 2.0)
    expected = prepared.decode(prepared.encode(audio))
    assert all(torch.equal(value, before[name]) for name, value in codec.state_dict().items())
    with torch.no_grad():
        for parameter in codec.parameters():
            parameter.add_(1.0)
    assert torch.equal(prepared.decode(prepared.encode(audio)), expected)
