"""Where the vocabulary of a served model is found, and what is said where it is not; nothing heavy on import."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from aoede.serving.masking import RouteMasks
from aoede.serving.vllm_settings import mode_of, vocabulary_of
from aoede.tokens import SlotRouter
from tests.serving.recorded import VOCABULARY, config, params


def test_the_models_folder_or_the_file_that_is_named(tmp_path):
    path = VOCABULARY.save(tmp_path)
    assert vocabulary_of(config(tmp_path)) == VOCABULARY
    assert vocabulary_of(config("elsewhere", aoede_vocabulary=str(path))) == VOCABULARY


def test_what_is_missing_or_another_models_is_said(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"has no augmented\.yaml; serve a folder of `aoede export --plain`"):
        vocabulary_of(config(tmp_path))
    VOCABULARY.save(tmp_path)
    with pytest.raises(ValueError, match=r"the model has 40 rows, but .* describes 46"):
        vocabulary_of(config(tmp_path, rows=40))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match=r"nobody/nothing has no augmented\.yaml that can be fetched"):
        vocabulary_of(config("nobody/nothing"))


def test_modes():
    assert mode_of(params()) == "grammar" and mode_of(params(aoede_mode="text")) == "text"


def test_masks_want_as_many_columns_as_there_are_ids():
    with pytest.raises(ValueError, match="the logits have 40 columns, but the vocabulary has 46 ids"):
        RouteMasks(SlotRouter(VOCABULARY), 40, torch.device("cpu"))


def test_importing_the_room_loads_nothing_heavy():
    code = "import sys, aoede.serving; print([n for n in ('torch', 'vllm', 'transformers') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
