"""Exported graphs say in onnxruntime what the codec says in torch."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from aoede.codec import NoiseSource, Snac, StreamDecoder
from aoede.codec.export import export_decoder, export_encoder, noise_strides
from aoede.codec.onnx_streaming import OnnxStreamDecoder
from aoede.codec.receptive import decoder_tail
from tests.codec.conftest import make_codec

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

KIND = "attention"  # has all there is: attention, noise, four levels


@pytest.fixture(scope="module")
def codec() -> Snac:
    return make_codec(KIND)


# One fixture a graph: exporting takes its time, and each test waits for what it needs alone.
@pytest.fixture(scope="module")
def encoder(codec: Snac, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_encoder(codec, tmp_path_factory.mktemp("encoder") / "encoder.onnx")


@pytest.fixture(scope="module")
def decoder(codec: Snac, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_decoder(codec, tmp_path_factory.mktemp("decoder") / "new" / "decoder.onnx")


@pytest.fixture(scope="module")
def step(codec: Snac, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_decoder(codec, tmp_path_factory.mktemp("step") / "step.onnx", streaming=True)


def session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def codes_of(codec: Snac, units: int, batch: int) -> list[torch.Tensor]:
    config = codec.config
    generator = torch.Generator().manual_seed(units)
    return [
        torch.randint(config.codebook_size, (batch, units * config.latents_multiple // stride), generator=generator)
        for stride in config.vq_strides
    ]


def test_a_graph_is_one_file_and_the_codec_stays_as_it_was(codec: Snac, encoder: Path) -> None:
    assert list(encoder.parent.iterdir()) == [encoder]
    fresh = make_codec(KIND)
    codes = codes_of(codec, 2, 1)
    assert torch.equal(codec.decode(codes), fresh.decode(codes))
    assert codec.state_dict().keys() == fresh.state_dict().keys()


@pytest.mark.parametrize(("batch", "units"), [(1, 1), (3, 4)])
def test_the_encoder_gives_the_same_codes(codec: Snac, encoder: Path, batch: int, units: int) -> None:
    audio = torch.randn(batch, 1, units * codec.config.pad_multiple, generator=torch.Generator().manual_seed(0)) * 0.3
    codes = session(encoder).run(None, {"audio": audio.numpy()})
    for mine, theirs in zip(codes, codec.encode(audio), strict=True):
        assert mine.tolist() == theirs.tolist()


@pytest.mark.parametrize(("batch", "units"), [(1, 1), (3, 4)])
def test_the_decoder_gives_the_same_audio(codec: Snac, decoder: Path, batch: int, units: int) -> None:
    codes = codes_of(codec, units, batch)
    feed = {f"codes_{level}": values.numpy() for level, values in enumerate(codes)}
    source = NoiseSource("seeded", 4)
    for layer, stride in enumerate(noise_strides(codec)):
        steps = units * codec.config.latents_multiple * stride
        track = source.draw(batch, layer, 0, steps, torch.zeros(0))
        assert track is not None
        feed[f"noise_{layer}"] = track.expand(batch, -1, -1).contiguous().numpy()
    (audio,) = session(decoder).run(None, feed)
    assert np.abs(audio - codec.decode(codes, seed=4).numpy()).max() < 5e-6


@pytest.mark.parametrize("noise", ["seeded", "off"])
def test_steps_of_any_size_give_the_audio_of_one_shot(codec: Snac, step: Path, noise: str) -> None:
    codes = codes_of(codec, 9, 2)
    whole = codec.decode(codes, noise=noise, seed=7).numpy()
    stream = OnnxStreamDecoder(step, noise=noise, seed=7, threads=1)
    pieces, position = [], 0
    for units in (1, 1, 3, 1, 2, 1):
        steps = [units * codec.config.latents_multiple // stride for stride in codec.config.vq_strides]
        starts = [position * codec.config.latents_multiple // stride for stride in codec.config.vq_strides]
        part = [level[:, a : a + n].numpy() for level, a, n in zip(codes, starts, steps, strict=True)]
        pieces.append(stream.push(part))
        position += units
        assert stream.num_samples == max(0, position * codec.config.pad_multiple - decoder_tail(codec.config))
    pieces.append(stream.flush())
    together = np.concatenate(pieces, axis=-1)
    assert together.shape == whole.shape
    assert np.abs(together - whole).max() < 5e-6


def test_the_file_names_its_states_and_delays(codec: Snac, step: Path) -> None:
    opened = session(step)
    described = json.loads(opened.get_modelmeta().custom_metadata_map["aoede"])
    assert described["kind"] == "decoder_step"
    assert described["delay"] == decoder_tail(codec.config)
    assert described["config"]["vq_strides"] == [8, 4, 2, 1]
    inputs = {value.name: value.shape[1:] for value in opened.get_inputs()}
    for state in described["states"]:
        assert inputs[state["name"]] == [state["channels"], state["steps"]]
    assert [value.name for value in opened.get_outputs()][1:] == [
        state["name"] + "_out" for state in described["states"]
    ]


def test_a_stream_needs_a_step_and_whole_windows(codec: Snac, decoder: Path, step: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"is 'decoder', format 1: export it with .*streaming=True"):
        OnnxStreamDecoder(decoder)
    stream = OnnxStreamDecoder(step, threads=1)
    with pytest.raises(ValueError, match="4 levels of a multiple of 1 frames"):
        stream.push([level.numpy() for level in codes_of(codec, 1, 1)][:3])
    with pytest.raises(ValueError, match=r"outside 0\.\.31"):
        stream.push([level.numpy() + 32 for level in codes_of(codec, 1, 1)])
    with pytest.raises(ValueError, match="'seeded' or 'off'"):
        OnnxStreamDecoder(step, noise="random")
    with pytest.raises(ValueError, match="is a folder"):
        export_encoder(codec, tmp_path)
    assert StreamDecoder(codec).tail == stream.delay
