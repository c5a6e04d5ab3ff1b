"""The decoder step of fixed shapes: rows anywhere in streams of their own give the audio of one shot."""

import pytest
import torch

from aoede.codec import NoiseSource, Snac
from aoede.codec.folding import FoldedDecoder
from aoede.codec.receptive import decoder_tail
from aoede.codec.stream_step import ENDLESS, DecoderStep
from tests.codec.conftest import CONFIGS, make_codec


def noise_for(step: DecoderStep, seed: int, starts: list[int], latents: int) -> list[torch.Tensor]:
    """Each row's tracks at its own position; what lies before position 0 is set to something loud, to be ignored."""
    source, tracks = NoiseSource("seeded", seed), []
    for layer, place in enumerate(step.noise_places):
        rows = []
        for start in starts:
            first = start * place.rate - place.delay
            stop = first + latents * place.rate
            row = torch.full((1, 1, latents * place.rate), 100.0, dtype=torch.double)
            if stop > 0:
                drawn = source.draw(1, layer, max(0, first), stop - max(0, first), row)
                row[..., max(0, -first) :] = drawn
            rows.append(row)
        tracks.append(torch.cat(rows))
    return tracks


@torch.no_grad()
@pytest.mark.parametrize("kind", sorted(CONFIGS))
def test_two_rows_out_of_step_give_what_each_gives_alone(kind: str) -> None:
    codec: Snac = make_codec(kind).double()
    config = codec.config
    unit = config.latents_multiple
    step = DecoderStep(FoldedDecoder(codec), config)
    assert step.delay == decoder_tail(config)
    late, total = 3 * unit, 8 * unit  # row 1 begins when row 0 has had 3 units; both have 8
    generator = torch.Generator().manual_seed(1)
    codes = [torch.randint(config.codebook_size, (2, total // s), generator=generator) for s in config.vq_strides]
    whole = codec.decode(codes, seed=9)
    states = step.begin(2)
    shapes = [state.shape for state in states]
    pieces = []
    ticks = (late + total + step.delay // config.hop_length + unit) // unit + 1
    for tick in range(ticks):
        starts = [tick * unit, tick * unit - late]
        if starts[1] == 0:  # a row joins: its states are zeros again, whatever ran in it before
            states = [torch.cat((state[:1], torch.zeros_like(state[1:]))) for state in states]
        inputs = []
        for level, stride in zip(codes, config.vq_strides, strict=True):
            columns = [torch.arange(unit // stride) + start // stride for start in starts]
            inputs.append(torch.stack([level[row, columns[row] % level.shape[1]] for row in range(2)]))
        ends = torch.tensor([total if start + unit > total else ENDLESS for start in starts])
        audio, states = step(inputs, noise_for(step, 9, starts, unit), torch.tensor(starts), ends, states)
        pieces.append(audio)
    assert [state.shape for state in states] == shapes
    together = torch.cat(pieces, dim=-1)
    samples = total * config.hop_length
    for row, start in enumerate((0, late)):
        first = start * config.hop_length + step.delay
        mine = together[row, 0, first : first + samples]
        assert torch.allclose(mine, whole[row, 0], rtol=0, atol=1e-12)
