"""The report's tables and page, from a real run on tones."""

import base64
import io
import json
import re

import pytest
import soundfile

from aoede.evaluation.figures import FIGURES
from aoede.evaluation.intelligibility import score
from aoede.evaluation.intervals import Interval
from aoede.evaluation.players import marked
from aoede.evaluation.report import verdict
from aoede.evaluation.speech import evaluate_speech
from aoede.evaluation.systems import VoiceSystem
from aoede.evaluation.texts import Passage
from tests.evaluation.pages import Checker


@pytest.fixture(scope="module")
def report(clips, codec, tmp_path_factory):
    from tests.evaluation.conftest import PitchEncoder, ToneRecogniser, ToneVoice

    voice = ToneVoice(habits={"high high low": "low low low"})
    return evaluate_speech(
        [Passage.of(clip) for clip in clips[:4]],
        [VoiceSystem("voice", voice, codec=codec), VoiceSystem("a <second>", ToneVoice(), codec=codec)],
        tmp_path_factory.mktemp("report") / "out",
        pool=clips[4:],
        recogniser=ToneRecogniser(),
        encoder=PitchEncoder(),
        unavailable=[("DistillMOS", "the package distillmos is not installed: pip install distillmos")],
        title="Tones & <more>",
        progress=False,
    )


@pytest.fixture(scope="module")
def page(report):
    return report.save(worst=2).read_text()


def test_the_table_puts_the_ceiling_first_and_names_every_figure(report):
    table = report.markdown().splitlines()
    assert table[0] == "| | recordings | codec round trip | voice | a <second> |"
    rows = {row.split("|")[1].strip(): row for row in reversed(table) if row.startswith("|")}
    assert rows["word errors (%)"].split("|")[2].strip() == "0.0 (0.0 to 0.0)"
    assert rows["word errors (%)"].split("|")[4].strip().startswith("16.7 (")  # 2 of 12 words
    assert rows["word errors above the recordings (points)"].split("|")[2].strip() == "-"
    assert {"speaker similarity", "mel distance", "real-time factor", "first audio (s)", "words lost (%)"} <= set(rows)
    assert "against voice, same clips" in rows


def test_the_files_are_written_and_the_data_can_be_read_back(report):
    page = report.save(worst=2)
    assert sorted(path.name for path in page.parent.iterdir()) == ["audio", "report.html", "report.json", "report.md"]
    data = json.loads((page.parent / "report.json").read_text())
    assert data["systems"]["voice"]["figures"]["word errors"]["value"] == pytest.approx(2 / 12)
    assert data["systems"]["voice"]["speakers"]["quiet"]["word errors"]["value"] == 0.0
    assert data["systems"]["voice"]["where it goes wrong"]["words replaced"]["value"] == pytest.approx(2 / 12)
    assert data["systems"]["a <second>"]["against the first system"]["word errors"]["value"] == pytest.approx(-2 / 12)
    worst = next(u for u in data["utterances"] if u["system"] == "voice" and u["wer"] > 0)
    assert worst["edits"] == [["substituted", "high", "low"], ["substituted", "high", "low"]]
    assert data["hardest first"][0] == "1" and sorted(data["hardest first"]) == ["0", "1", "2", "3"]
    assert len(data["utterances"]) == 16 and data["recordings hold"] == "same texts"


def test_the_page_stands_alone_and_is_well_formed(report, page):
    found = Checker()
    found.feed(page)
    assert found.open == [] and found.unnamed == []
    assert found.fetched and all(source.startswith("data:") for source in found.fetched)
    assert not re.search(r"url\(|@import|https?://", page)
    assert all(link[1:] in found.ids for link in found.links if link.startswith("#"))
    assert all((report.folder / link).is_file() for link in found.links if not link.startswith("#"))


def test_the_page_plays_the_worst_case_first_and_escapes_names(page):
    assert page.count("<article") == 2
    assert page.count('src="data:image/png;base64,') == 8  # two clips, four systems
    assert "<h1>Tones &amp; &lt;more&gt;</h1>" in page and "<second>" not in page
    assert "high high low" in page[page.index("<article") : page.index("</article>")]
    sound = base64.b64decode(re.search(r'data:audio/mpeg;base64,([^"]+)', page).group(1))
    samples, rate = soundfile.read(io.BytesIO(sound))
    assert rate == 24000 and abs(samples).max() > 0.1
    assert "<b>DistillMOS</b>: the package distillmos is not installed" in page
    assert 'value="word errors" checked' in page and "16.7 % word errors" in page


def test_differences_are_marked_word_by_word():
    html = marked(score("a b c d", "a x c d e"))
    assert html == "a <del>b</del> <ins>x</ins> c d <ins>e</ins>"


@pytest.mark.parametrize(
    ("name", "base", "value", "low", "high", "said"),
    [
        ("word errors", 0.1, -0.05, -0.08, -0.01, "better"),
        ("word errors", 0.1, -0.05, -0.12, 0.01, ""),
        ("speaker similarity", 0.8, 0.05, 0.01, 0.1, "better"),
        ("duration ratio", 1.3, -0.2, -0.3, -0.1, "better"),  # nearer to 1
        ("duration ratio", 0.9, -0.2, -0.3, -0.1, "worse"),
    ],
)
def test_better_and_worse_are_said_where_the_interval_leaves_zero_out(name, base, value, low, high, said):
    figure = next(figure for figure in FIGURES if figure.name == name)
    assert verdict(Interval(value=value, low=low, high=high, count=9), figure, base) == said


def test_saving_again_replaces_the_report(report):
    first = report.save(worst=0).read_text()
    assert report.save(worst=0).read_text() == first


def test_a_results_page_has_the_command_and_the_tables(report, tmp_path):
    page = report.save_results(tmp_path / "docs" / "voices.md", "aoede evaluate speech a b")
    assert page.read_text().startswith("# Tones & <more>\n\nMade by\n\n    aoede evaluate speech a b\n\n|")
    with pytest.raises(ValueError, match=r"NAME\.md"):
        report.save_results(tmp_path / "voices.txt", "x")
