"""Voice folders for all tests of this room."""

from pathlib import Path

import pytest

from tests.generation.tiny_voice import write_two_stage_voice, write_voice


@pytest.fixture(scope="session")
def voice_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_voice(tmp_path_factory.mktemp("voices") / "tiny", text_stride=8.0)


@pytest.fixture(scope="session")
def plain_voice_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with ordinary positions."""
    return write_voice(tmp_path_factory.mktemp("voices") / "plain", text_stride=None)


@pytest.fixture(scope="session")
def duo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A two-stage voice with ordinary positions."""
    return write_two_stage_voice(tmp_path_factory.mktemp("voices") / "duo")
