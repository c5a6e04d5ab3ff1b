"""The cleaning's default judges: loaded by name, honest about what they cannot judge; real models where they are."""

import os

import numpy as np
import pytest

from aoede.data.audio import load_audio
from aoede.data.cleaning import CleanConfig, JudgeConfig, JudgesConfig, Unjudged, load_judges
from aoede.data.manifest import load_manifest
from aoede.evaluation import judges
from aoede.evaluation.judges import DEFAULT_JUDGES, HeardWords


def config(step, limit, **options):
    return CleanConfig(**{step: limit}, judges=JudgesConfig(**{step: JudgeConfig(options=options)}))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """What a recogniser's folder looks like, on a machine that has the package."""
    for name in ("model.bin", "config.json", "tokenizer.json"):
        (tmp_path / name).write_bytes(b"")
    monkeypatch.setattr(judges.importlib.util, "find_spec", lambda name: object())
    return tmp_path


def test_every_default_is_there():
    assert set(DEFAULT_JUDGES) == {"mos", "language", "transcript"}
    for call in DEFAULT_JUDGES.values():
        module, _, name = call.partition(":")
        assert module == "aoede.evaluation.judges"
        assert name in judges.__all__


@pytest.mark.parametrize("step", ["language", "transcript"])
def test_a_recogniser_without_a_folder_or_without_the_package_is_told_before_the_work(step, tmp_path, monkeypatch):
    monkeypatch.setattr(judges.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"faster-whisper is not installed: pip install 'aoede\[eval\]'"):
        load_judges(config(step, 0.5, folder=str(tmp_path)), DEFAULT_JUDGES)
    with pytest.raises(ValueError, match=f"judges.{step}: .* refuses its options {{}}: .*'folder'"):
        load_judges(config(step, 0.5), DEFAULT_JUDGES)
    monkeypatch.setattr(judges.importlib.util, "find_spec", lambda name: object())
    with pytest.raises(ValueError, match=r"lacks model\.bin"):
        load_judges(config(step, 0.5, folder=str(tmp_path)), DEFAULT_JUDGES)


def test_an_opinion_needs_its_package(monkeypatch):
    monkeypatch.setattr(judges.DistillMos, "package", "aoede_has_no_such_package")
    with pytest.raises(ValueError, match=r"judges.mos: the package aoede_has_no_such_package is not installed"):
        load_judges(config("mos", 3.0), DEFAULT_JUDGES)


def test_texts_that_cannot_be_compared_are_not_judged(folder):
    judge = HeardWords(str(folder))
    silence = np.zeros(16000, np.float32)
    with pytest.raises(Unjudged, match="does not say its language"):
        judge.compare(silence, 16000, "Hello.", "")
    with pytest.raises(Unjudged, match="no words"):
        judge.compare(silence, 16000, "...", "en")


def test_an_opinion_is_a_number_where_the_package_is():
    try:
        judge = load_judges(config("mos", 3.0), DEFAULT_JUDGES).mos
    except ValueError as error:
        pytest.skip(str(error))
    assert 1 <= judge.opinion(np.random.default_rng(0).standard_normal(16000).astype(np.float32) / 10, 16000) <= 5
    with pytest.raises(Unjudged, match=r"0\.25 s"):
        judge.opinion(np.zeros(100, np.float32), 16000)


@pytest.mark.slow
@pytest.mark.skipif(
    "AOEDE_WHISPER" not in os.environ, reason="set AOEDE_WHISPER and AOEDE_CORPUS to try a real recogniser"
)
def test_a_real_recogniser_tells_right_texts_from_wrong_ones_and_languages_apart():
    manifest = os.path.join(os.environ["AOEDE_CORPUS"], "recordings", "manifest.jsonl")
    clips = load_manifest(manifest, sources=["festvox_ru"], splits=["dev"])[:5]
    options = {"folder": os.environ["AOEDE_WHISPER"]}
    words = load_judges(config("transcript", 0.3, **options), DEFAULT_JUDGES).transcript
    languages = load_judges(config("language", 0.5, **options), DEFAULT_JUDGES).language
    for clip, other in zip(clips, clips[1:] + clips[:1], strict=True):
        samples, rate = load_audio(clip.audio_source())
        assert words.compare(samples, rate, clip.text, "ru").character_errors < 0.3
        assert words.compare(samples, rate, other.text, "ru").character_errors > 0.6
        assert languages.language(samples, rate)[0] == "ru"
    with pytest.raises(Unjudged, match=r"0\.5 s"):
        languages.language(np.zeros(100, np.float32), 16000)
