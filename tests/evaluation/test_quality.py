"""Evaluators of others, really run where they are installed; what cannot be had is said by name."""

import sys

import numpy as np
import pytest

from aoede.evaluation.evaluators import open_measures
from aoede.evaluation.quality import CommandMeasure, DistillMos, Pesq, Stoi, Unmeasurable
from tests.evaluation.conftest import RATE, spoken


def speech_like(seconds: float = 2.0) -> np.ndarray:
    """Noise in syllables, four a second: speech enough for PESQ's and STOI's detectors."""
    time = np.arange(int(RATE * seconds)) / RATE
    carrier = np.random.default_rng(0).standard_normal(len(time))
    return (0.1 * carrier * (np.sin(2 * np.pi * 4 * time) > -0.3)).astype(np.float32)


def noisy(audio: np.ndarray, level: float) -> np.ndarray:
    return (audio + level * np.random.default_rng(1).standard_normal(len(audio))).astype(np.float32)


def test_pesq_of_a_perfect_copy_is_its_maximum_and_falls_with_noise():
    pytest.importorskip("pesq")
    audio, pesq = speech_like(), Pesq()
    perfect, good, poor = (pesq.measure(audio, noisy(audio, level), RATE) for level in (0.0, 0.001, 0.05))
    assert perfect == pytest.approx(4.644, abs=0.001)  # the end of P.862.2's scale
    assert perfect > good > poor >= 1.0


def test_pesq_measures_a_long_recording_in_pieces():
    pytest.importorskip("pesq")
    assert Pesq().measure(speech_like(41), speech_like(41), RATE) == pytest.approx(4.644, abs=0.001)


def test_stoi_of_a_perfect_copy_is_one_and_falls_with_noise():
    pytest.importorskip("pystoi")
    audio, stoi = speech_like(), Stoi()
    perfect, poor = (stoi.measure(audio, noisy(audio, level), RATE) for level in (0.0, 0.3))
    assert perfect == pytest.approx(1.0, abs=1e-6)
    assert poor < 0.8


@pytest.mark.parametrize(("package", "kind"), [("pesq", Pesq), ("pystoi", Stoi)])
def test_a_recording_is_not_compared_with_itself(package, kind):
    pytest.importorskip(package)
    assert kind().measure(None, speech_like(), RATE) is None


def test_what_has_no_figure_says_why():
    pytest.importorskip("pesq")
    pytest.importorskip("pystoi")
    audio, silence = speech_like(), np.zeros(2 * RATE, np.float32)
    with pytest.raises(Unmeasurable, match="copy is silent"):
        Pesq().measure(audio, silence, RATE)
    with pytest.raises(Unmeasurable, match="No utterances"):
        Pesq().measure(silence, audio, RATE)
    with pytest.raises(Unmeasurable, match=r"0\.25 s"):
        Pesq().measure(audio[:1000], audio[:1000], RATE)
    with pytest.raises(Unmeasurable, match=r"less than 0\.4 s"):
        Stoi().measure(audio[:5000], audio[:5000], RATE)
    with pytest.raises(Unmeasurable, match="original is silent"):
        Stoi().measure(silence, audio, RATE)


def test_a_predicted_score_needs_no_original():
    try:
        measure = DistillMos()
    except ValueError as error:
        pytest.skip(str(error))
    assert 1.0 <= measure.measure(None, speech_like(), RATE) <= 5.0


@pytest.mark.parametrize("kind", [Pesq, Stoi, DistillMos])
def test_a_package_that_is_missing_is_named_with_the_way_to_get_it(kind, monkeypatch):
    monkeypatch.setattr(kind, "package", "aoede_has_no_such_package")
    with pytest.raises(ValueError, match=r"aoede_has_no_such_package is not installed: pip install"):
        kind()
    found, missing = open_measures("auto")
    assert kind.name not in [measure.name for measure in found]
    assert "not installed" in dict(missing)[kind.name]


PEAK = "import sys, soundfile; print('peak', abs(soundfile.read(sys.argv[1])[0]).max())"
GAIN = """
import sys, soundfile
reference, audio = (abs(soundfile.read(path)[0]).max() for path in sys.argv[1:])
print('ratio:', audio / reference)
"""


def test_a_command_measures_the_file_it_is_given():
    measure = CommandMeasure("peak", f'{sys.executable} -c "{PEAK}" {{audio}}', "lower")
    assert measure.measure(None, spoken("low", gain=0.25), RATE) == pytest.approx(0.25, abs=1e-3)


def test_a_command_that_compares_gets_both_and_skips_recordings():
    measure = CommandMeasure("gain", f'{sys.executable} -c "{GAIN}" {{reference}} {{audio}}')
    assert measure.measure(spoken("low", gain=0.5), spoken("low", gain=0.25), RATE) == pytest.approx(0.5, abs=1e-3)
    assert measure.measure(None, spoken("low"), RATE) is None


@pytest.mark.parametrize(
    ("program", "said"),
    [("print('none')", "no number"), ("raise SystemExit('cannot read it')", "exit code 1: cannot read it")],
)
def test_a_command_that_fails_says_how(program, said):
    measure = CommandMeasure("x", f'{sys.executable} -c "{program}" {{audio}}')
    with pytest.raises(Unmeasurable, match=said):
        measure.measure(None, spoken("low"), RATE)


def test_a_command_that_hangs_is_stopped():
    measure = CommandMeasure("x", f'{sys.executable} -c "import time; time.sleep(60)" {{audio}}', timeout=0.2)
    with pytest.raises(Unmeasurable, match=r"no answer within 0.2 s"):
        measure.measure(None, spoken("low"), RATE)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("true", "names no {audio}"),
        ("no-such-program {audio}", "not a program here"),
        ("true '{audio}", "cannot be read"),
    ],
)
def test_a_command_that_cannot_work_is_refused(command, said):
    with pytest.raises(ValueError, match=said):
        CommandMeasure("x", command)


def test_measures_are_chosen_by_name():
    assert [name for name, _ in open_measures("none")[1]] == ["PESQ", "STOI", "DistillMOS"]
    found, missing = open_measures("none", ["level:lower=true {audio}"])
    assert [(measure.name, measure.better) for measure in found] == [("level", "lower")]
    assert all("left out" in why for _, why in missing)


@pytest.mark.parametrize(
    ("names", "commands", "said"),
    [
        ("pesk", [], "no measure 'pesk'; there are pesq, stoi, distillmos"),
        ("none", ["true {audio}"], "NAME=COMMAND"),
        ("none", ["a:wide=true {audio}"], "NAME=COMMAND"),
        ("none", ["a=true {audio}", "a=true {audio}"], "share a name"),
    ],
)
def test_measures_that_make_no_sense_are_refused(names, commands, said):
    with pytest.raises(ValueError, match=said):
        open_measures(names, commands)
