"""A real server for the tests that break things: `aoede serve` in a process of its own, with tiny voices."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks.speech_load.server import HOST, ServerProcess

from aoede.codec import Snac, SnacConfig
from tests.generation.tiny_voice import write_two_stage_voice, write_voice


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A flat voice, "tiny", whose sound costs little: eight frames a second."""
    folder = write_voice(tmp_path_factory.mktemp("served") / "tiny", text_stride=8.0)
    config = SnacConfig(
        sample_rate=8000, encoder_dim=4, encoder_rates=(8, 8, 4), decoder_dim=32, decoder_rates=(8, 8, 4),
        vq_strides=(4, 2, 1), codebook_size=64, codebook_dim=4,
    )  # fmt: skip
    torch.manual_seed(0)
    Snac(config).save_pretrained(folder / "codec")
    return folder


@pytest.fixture(scope="session")
def two_stage_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A two-stage voice, "duo"."""
    return write_two_stage_voice(tmp_path_factory.mktemp("served") / "duo")


@pytest.fixture(scope="session")
def server(
    tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path, two_stage_folder: Path
) -> Iterator[ServerProcess]:
    """Two slots and a queue of two; some seeds run out of memory (`serve_with_faults.py`)."""
    command = [sys.executable, "-m", "tests.serving.serve_with_faults", "serve", "--host", HOST, "--port", "0"]
    options = ["--voice", str(tiny_folder), "--voice", str(two_stage_folder), "--slots", "2", "--queue", "2"]
    log = tmp_path_factory.mktemp("served") / "server.log"
    with ServerProcess(log, options, command=command, threads=1) as running:
        yield running


@pytest.fixture(scope="session")
def page_server(
    tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path, two_stage_folder: Path
) -> Iterator[ServerProcess]:
    """For the page: a tiny voice, one that hears recordings and the bundled one; it asks for a token."""
    import sys

    from tests.serving.page_driver import TOKEN

    folder = tmp_path_factory.mktemp("page")
    (folder / "token").write_text(TOKEN)
    command = [sys.executable, "-m", "tests.serving.serve_with_faults", "serve", "--host", HOST, "--port", "0"]
    voices = [str(tiny_folder), str(two_stage_folder), "aoede-small"]
    options = [*(f"--voice={voice}" for voice in voices), "--token-file", str(folder / "token")]
    with ServerProcess(folder / "server.log", options, command=command, threads=1) as running:
        yield running


# Not longer than a module: while Playwright runs, no other event loop may begin in this thread.
@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium for the tests of the page."""
    from tests.serving.page_driver import open_browser

    with open_browser() as opened:
        yield opened
