"""Whole runs over codecs whose figures can be worked out, on the language of tones (see conftest.py)."""

import base64
import io
import json
import re
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from aoede.evaluation.audio_command import CommandFailed
from aoede.evaluation.coder import Coder
from aoede.evaluation.figures import FIGURES
from aoede.evaluation.listening import EvaluatorFailed
from aoede.evaluation.quality import Unmeasurable
from aoede.evaluation.report import verdict
from aoede.evaluation.roundtrip import CodecEvaluationConfig, evaluate_codecs
from tests.evaluation.conftest import PitchEncoder, RulerCodec, ToneRecogniser
from tests.evaluation.pages import Checker


class Peak:
    """A measure of the copy alone; it refuses quiet clips."""

    name, better, digits, source = "peak", "lower", 2, "largest magnitude"

    def measure(self, reference, audio, sample_rate):
        if np.abs(audio).max() < 0.3:
            raise Unmeasurable("too quiet")
        return float(np.abs(audio).max())


def run(clips, coders, out, **options):
    held_out = options.pop("held_out", clips[:4])
    config = CodecEvaluationConfig(**options.pop("config", {}))
    return evaluate_codecs(held_out, coders, out, pool=clips[4:], config=config, progress=False, **options)


@pytest.fixture(scope="module")
def report(clips, tmp_path_factory):
    return run(
        clips,
        [Coder("ruler", RulerCodec()), Coder("late & <upside down>", RulerCodec(late=24, upside_down=True))],
        tmp_path_factory.mktemp("rulers") / "out",
        recogniser=ToneRecogniser(),
        encoder=PitchEncoder(),
        measures=[Peak()],
        unavailable=[("PESQ", "the package pesq is not installed: pip install 'aoede[quality]'")],
        config={"level_clips": 2},
        title="Rulers & <more>",
    )


@pytest.fixture(scope="module")
def page(report):
    return report.save(worst=2).read_text()


def test_every_system_is_measured_on_the_same_clips(report):
    assert report.systems == ("recording", "ruler", "late & <upside down>")
    assert all([u.id for u in report.of(system)] == ["0", "1", "2", "3"] for system in report.systems)
    figures = report.figures("ruler")
    assert figures["word errors"].value == 0.0
    assert figures["speaker similarity"].value == pytest.approx(1.0, abs=0.01)
    assert 0 < figures["encode real-time factor"].value < figures["real-time factor"].value
    assert report.figures("recording")["mel distance"] is None


def test_rounding_to_a_ruler_costs_its_known_noise(report):
    # Marks 1/127.5 apart: error power (1/127.5)^2 / 12. Loud clips hold a tone of 0.8 (power 0.32) near two thirds of
    # the time; the ruler has no mark at 0, so that silence is half a mark off as well: between the two.
    loud = [u for u in report.of("ruler") if u.speaker == "loud"]
    step = 1 / 127.5
    low, high = (10 * np.log10(0.32 * 0.6 / noise) for noise in (step**2 / 4, step**2 / 12))
    assert all(low < u.si_sdr < high + 1 for u in loud)
    assert all(u.si_sdr_aligned == u.si_sdr and u.lag_seconds == 0 for u in report.of("ruler"))


def test_alignment_takes_out_lateness_and_polarity(report):
    late = report.of("late & <upside down>")
    assert {u.lag_seconds for u in late} == {24 / 24000}
    assert all(u.gain == pytest.approx(-1, abs=0.01) for u in late)
    assert all(
        u.si_sdr_aligned == pytest.approx(v.si_sdr, abs=0.5) for u, v in zip(late, report.of("ruler"), strict=True)
    )
    assert all(u.si_sdr < 20 for u in late)
    assert report.timing("late & <upside down>").startswith("lag 1.00 ms, polarity turned in 4 ")


def test_differences_are_paired_with_the_first_codec(report):
    found = report.differences("late & <upside down>")
    assert found["word errors"].value == 0.0
    gaps = [v.si_sdr - u.si_sdr for u, v in zip(report.of("ruler"), report.of("late & <upside down>"), strict=True)]
    assert found["SI-SDR"].value == pytest.approx(np.mean(gaps))
    assert min(gaps) <= found["SI-SDR"].low <= found["SI-SDR"].high <= max(gaps)
    figure = next(f for f in FIGURES if f.name == "SI-SDR")
    assert verdict(found["SI-SDR"], figure) == "worse"
    assert report.best(figure) == "ruler"


def test_codes_are_counted_and_rates_follow(report):
    sheet = report.sheets[0]
    samples = sum(round(u.seconds * 24000) for u in report.of("ruler"))
    assert [level.num_codes for level in sheet.levels] == [samples, samples]
    assert sheet.bit_rate == 192000
    assert sheet.entropy_bit_rate == pytest.approx(24000 * sum(level.bits for level in sheet.levels))


def test_first_levels_are_decoded_and_measured_on_the_same_clips(report):
    coarse, whole = report.sheets[0].prefixes
    assert (coarse.levels, coarse.bit_rate, whole.levels, whole.bit_rate) == (1, 96000, 2, 192000)
    assert [u.id for u in coarse.utterances] == [u.id for u in whole.utterances] == ["0", "3"]
    assert all(a.si_sdr + 15 < b.si_sdr for a, b in zip(coarse.utterances, whole.utterances, strict=True))
    samples, rate = soundfile.read(report.folder / coarse.utterances[0].audio)
    assert rate == 24000 and len(samples) == round(coarse.utterances[0].seconds * 24000)


def test_a_measure_that_finds_nothing_in_a_clip_says_so_and_is_averaged_over_the_rest(report):
    assert report.figures("ruler")["peak"].count == 2
    assert {u.unmeasured for u in report.of("ruler") if u.speaker == "quiet"} == {("peak: too quiet",)}
    assert "peak was found in 2 of 4 clips of ruler" in report.markdown()
    assert "not measured: PESQ: the package pesq is not installed: pip install 'aoede[quality]'" in report.markdown()


def test_the_data_can_be_read_back(report):
    data = json.loads((report.save(worst=1).parent / "report.json").read_text())
    assert data["codecs"]["ruler"]["bits a second"] == 192000
    assert data["codecs"]["ruler"]["first levels"][0]["levels"] == 1
    assert data["codecs"]["late & <upside down>"]["against the first codec"]["SI-SDR"]["value"] < 0
    assert data["systems"]["ruler"]["figures"]["peak"]["count"] == 2
    assert data["not available"][0]["name"] == "PESQ"
    assert len(data["utterances"]) == 12


def test_the_page_stands_alone_and_is_well_formed(report, page):
    found = Checker()
    found.feed(page)
    assert found.open == []
    assert found.unnamed == []
    assert found.fetched and all(source.startswith("data:") for source in found.fetched)
    assert not re.search(r"url\(|@import|https?://", page)
    assert all(link[1:] in found.ids for link in found.links if link.startswith("#"))
    assert all((report.folder / link).is_file() for link in found.links if not link.startswith("#"))


def test_the_page_shows_players_levels_charts_and_what_was_not_measured(page):
    text = page
    assert "<h1>Rulers &amp; &lt;more&gt;</h1>" in text and "<upside down>" not in text
    assert text.count("<article") == 4  # two clips level by level, two to listen to
    assert text.count("<audio") == 2 * (1 + 4) + 2 * 3
    assert "192.00 kbit/s" in text and "late &amp; &lt;upside down&gt;, first 1 of 2" in text
    assert "<b>PESQ</b>: the package pesq is not installed" in text
    assert text.count('value="mel distance" checked') == 1


def test_players_are_lossless_excerpts_of_what_was_heard(report, page):
    listening = page[page.index('<section id="listen">') :]
    data = re.search(r'data:audio/flac;base64,([^"]+)', listening).group(1)
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(data)))
    first = next(u for u in report.of("recording") if u.id == report.worst_clips(1)[0])
    np.testing.assert_array_equal(samples, soundfile.read(report.folder / first.audio)[0])
    assert rate == 24000


def test_a_results_page_has_the_command_the_tables_and_its_chart(report, tmp_path):
    page = report.save_results(tmp_path / "docs" / "codec.md", "aoede evaluate codec a b")
    text = page.read_text()
    assert text.startswith("# Rulers & <more>\n\nMade by\n\n    aoede evaluate codec a b\n")
    assert "![mel distance against bit rate](codec.svg)" in text
    assert (page.parent / "codec.svg").read_text().startswith("<svg ")
    with pytest.raises(ValueError, match=r"NAME\.md"):
        report.save_results(tmp_path / "codec.txt", "x")


def test_a_batch_measures_the_same(clips, codec, tmp_path):
    one = run(clips, [Coder("tiny", codec)], tmp_path / "one")
    three = run(clips, [Coder("tiny", codec)], tmp_path / "three", config={"batch": 3})
    assert [u.id for u in three.of("tiny")] == ["0", "1", "2", "3"]
    assert one.sheets[0].levels == three.sheets[0].levels
    for a, b in zip(one.of("tiny"), three.of("tiny"), strict=True):
        assert a.mel_distance == pytest.approx(b.mel_distance, abs=1e-3)


def test_codecs_of_different_rates_are_compared_at_the_lowest(clips, codec, tmp_path):
    telephone = RulerCodec()
    telephone.config.sample_rate = 8000
    report = run(clips, [Coder("tiny", codec), Coder("telephone", telephone)], tmp_path, config={"level_clips": 0})
    assert report.rate == 8000
    kept = {u.system: soundfile.info(tmp_path / u.audio).samplerate for u in report.utterances}
    assert kept == {"recording": 24000, "tiny": 24000, "telephone": 8000}
    assert report.figures("telephone")["mel distance"].value < report.figures("tiny")["mel distance"].value
    assert report.sheets[0].prefixes == ()


def test_a_codec_that_decodes_all_levels_only_says_so(clips, tmp_path):
    class Stubborn(RulerCodec):
        def decode(self, codes, length, lengths=None):
            if len(codes) < 2:
                raise ValueError("two levels are needed")
            return super().decode(codes, length, lengths)

    report = run(clips, [Coder("stubborn", Stubborn())], tmp_path)
    assert report.sheets[0].prefixes == () and report.sheets[0].refused == "two levels are needed"
    assert "two levels are needed" in report.markdown() and "two levels are needed" in report.save().read_text()


def test_what_cannot_be_read_is_listed_and_the_rest_is_measured(clips, codec, tmp_path):
    gone = replace(clips[0], id="gone", audio=str(tmp_path / "gone.wav"))
    coders = [Coder("tiny", codec)]
    report = run(clips, coders, tmp_path, held_out=[gone, clips[1], clips[2]], config={"batch": 2, "level_clips": 1})
    assert [name for name, _ in report.failures] == ["gone"]
    assert [u.id for u in report.of("tiny")] == ["1", "2"]
    with pytest.raises(ValueError, match=r"none of 1 clips could be measured; the first: gone: .*no such file"):
        run(clips, coders, tmp_path, held_out=[gone])


def test_a_silent_recording_has_no_si_sdr_but_the_rest(clips, tmp_path):
    path = tmp_path / "silent.wav"
    soundfile.write(path, np.zeros(24000), 24000)
    silent = replace(clips[0], id="silent", audio=str(path), text="")
    report = run(clips, [Coder("ruler", RulerCodec())], tmp_path / "out", held_out=[silent])
    copy = report.of("ruler")[0]
    assert copy.si_sdr is None and copy.si_sdr_aligned is None
    assert copy.mel_distance is not None


@pytest.mark.parametrize("wrong", [{"limit": 0}, {"batch": 0}, {"level_clips": -1}, {"rate": 4000}])
def test_settings_that_make_no_sense_are_refused(wrong):
    name, value = next(iter(wrong.items()))
    with pytest.raises(ValueError, match=f"{name} is {value}; at least"):
        CodecEvaluationConfig(**wrong)


def test_nothing_to_measure_is_refused(clips, codec, tmp_path):
    with pytest.raises(ValueError, match="0 clips and 1 codecs"):
        run(clips, [Coder("tiny", codec)], tmp_path, held_out=[])
    with pytest.raises(ValueError, match="must differ"):
        run(clips, [Coder("tiny", codec), Coder("tiny", codec)], tmp_path)


def test_a_recogniser_that_fails_once_costs_a_clip_and_one_that_never_works_the_run(clips, tmp_path):
    class Worn(ToneRecogniser):
        def transcribe(self, audio, sample_rate, language="en"):
            if len(audio) > works:
                raise CommandFailed("too long for me")
            return super().transcribe(audio, sample_rate, language)

    works = 1.1 * 24000  # the last clip has four words, 1.3 s
    report = run(clips, [Coder("ruler", RulerCodec())], tmp_path, recogniser=Worn(), config={"level_clips": 0})
    assert report.failures == (("3", "the recogniser gave no answer: too long for me"),)
    assert [u.id for u in report.of("ruler")] == ["0", "1", "2"]
    works = 0
    with pytest.raises(EvaluatorFailed, match="too long for me"):
        run(clips, [Coder("ruler", RulerCodec())], tmp_path, recogniser=Worn())
