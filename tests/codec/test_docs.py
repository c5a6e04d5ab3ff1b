"""docs/codec.md tells the truth: its examples run, and its tables hold what the configurations say."""

import doctest
import math
from pathlib import Path

import pytest
import torch

from aoede.codec import Snac, SnacConfig
from aoede.codec.receptive import decoder_tail, encoder_tail, latents_for

PAGE = Path(__file__).parents[2] / "docs" / "codec.md"


def row(start: str) -> list[str]:
    """The cells of the first table row that begins so."""
    line = next(line for line in PAGE.read_text().splitlines() if line.startswith(f"| {start} |"))
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_the_examples_of_the_page_run() -> None:
    text = "\n".join(line for line in PAGE.read_text().splitlines() if not line.startswith("```"))
    test = doctest.DocTestParser().get_doctest(text, {}, "codec.md", str(PAGE), 0)
    result = doctest.DocTestRunner().run(test)
    assert result.failed == 0
    assert result.attempted > 15


@pytest.mark.parametrize("name", ["snac_24khz", "snac_32khz", "snac_44khz", "small_24khz"])
def test_the_table_of_delays_is_counted_from_the_configuration(name: str) -> None:
    config: SnacConfig = getattr(SnacConfig, name)()
    frames = math.ceil(latents_for(config, 1) / config.vq_strides[0])

    def delay(samples: int) -> str:
        return f"{samples:,} samples, {1000 * samples / config.sample_rate:.0f} ms"

    assert row(f"`{name}`") == [
        f"{1000 / config.frame_rate:.1f} ms",
        delay(decoder_tail(config)),
        f"{frames} frames, {frames * sum(config.codes_per_frame)} codes",
        delay(encoder_tail(config)),
    ]


def test_the_table_of_sizes_is_that_of_the_configurations() -> None:
    configs = [SnacConfig.snac_24khz(), SnacConfig.snac_32khz(), SnacConfig.small_24khz()]
    with torch.device("meta"):
        counts = [sum(p.numel() for p in Snac(config).parameters()) for config in configs]
    assert row("parameters") == [f"{count / 1e6:.1f} M" for count in counts]
    assert row("samples a latent, a frame") == [f"{c.hop_length}, {c.frame_length}" for c in configs]
    assert row("entries a level") == [str(c.codebook_size) for c in configs]
    assert [cell.split(" ")[0] for cell in row("audio is padded to a multiple of")] == [
        str(c.pad_multiple) for c in configs
    ]
