import json
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from aoede.data import Clip, load_audio, save_audio
from aoede.data.cleaning import CleanConfig, Judges, clean, write_report
from aoede.data.cleaning.histograms import MEASURES, Histogram
from aoede.data.cleaning.summary import EXAMPLES, LISTED, summarise

from .sounds import RATE, noise, row


@dataclass
class Source:
    name: str
    kind: str = "studio"
    language: str = "es"
    licence: str = "CC-BY <4.0>"


def row_of(clip, config):
    """A row as the corpus engine writes it."""
    samples, rate = load_audio(clip.audio)
    cleaned = clean(samples, rate, clip, config, Judges(), RATE)
    pieces = [
        {"id": piece.name(clip.id), "start_seconds": piece.start_seconds, "seconds": piece.seconds}
        for piece in cleaned.pieces
    ]
    return {
        "id": clip.id, "audio": clip.audio, "seconds": len(samples) / rate, "notes": [],
        "status": "kept" if pieces else "dropped", "reason": cleaned.reason,
        "events": [asdict(event) for event in cleaned.events], "pieces": pieces,
    }  # fmt: skip


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Two sources: one of real clips, one of a long recording that is cut, a noisy one, a silent one, a broken one."""
    folder = tmp_path_factory.mktemp("sounds")
    config = replace(CleanConfig(), cut=4.0, min_seconds=0.5)
    clips = sorted((Path(__file__).parents[1] / "clips").glob("*.ogg"))
    real = [row_of(Clip(audio=str(path), id=path.stem), config) for path in clips]
    made = []
    long = row(-1, 3, -1, 3, -1, 0.1, -1)
    noisy = row(-1, 2, -1) + noise(4, 0.02)
    for name, samples in (("long", long), ("noisy", noisy), ("si&lent", noise(2, 1e-6))):
        path = folder / f"{name}.flac"
        save_audio(path, samples, RATE)
        made.append(row_of(Clip(audio=str(path), id=name), config))
    nothing = {"events": [], "pieces": [], "notes": []}
    made.append({"id": "bad", "audio": str(folder / "bad.flac"), "seconds": None, "status": "rejected",
                 "reason": "bad.flac: the file is empty (0 bytes)", **nothing})  # fmt: skip
    twin = {"step": "duplicates", "kept": False, "reason": "same recording as made/long", "value": None}
    made.append({"id": "twin", "audio": "in the manifest", "seconds": 10.1, "status": "dropped",
                 "reason": "same recording", **nothing, "events": [twin]})  # fmt: skip
    return {"real": real, "made": made}


def test_sums_add_up_over_the_steps(rows):
    total = summarise("made", rows["made"])
    assert (total.recordings, total.kept, total.dropped, total.rejected, total.pieces) == (5, 1, 3, 1, 2)
    assert total.kept_seconds == pytest.approx(6.6, abs=0.1)
    dropped = {name: step.dropped for name, step in total.steps.items() if step.dropped}
    assert dropped == {"duplicates": 1, "trim": 1, "duration": 1, "noise": 1}
    assert total.steps["duplicates"].dropped_seconds == pytest.approx(10.1)
    assert total.steps["cut"].changed == 1
    listed = {(example.id, example.step) for example in total.listed}
    assert listed >= {("noisy", "noise"), ("si&lent", "trim"), ("bad", "rejected"), ("twin", "duplicates")}
    assert ("long", "duration") in listed  # a piece of it
    assert total.num_drops == len(total.listed) == 5


def test_every_measured_piece_is_in_a_histogram(rows):
    total = summarise("real", rows["real"])
    durations = total.histograms["duration"]
    assert sum(durations.kept) == total.pieces
    assert sum(durations.dropped) == total.steps["duration"].looked_at - total.pieces
    assert total.histograms["loudness"].count == 6


def test_a_value_lies_in_the_bin_that_begins_at_it_or_below():
    histogram = Histogram(MEASURES["duration"])
    for value in (0.0, 0.25, 0.26, 29.9, 30, 1e6):
        histogram.add(value, kept=value < 30)
    found = histogram.to_dict()
    filled = {edge: (kept, dropped) for edge, kept, dropped in
              zip(found["edges"], found["kept"], found["dropped"], strict=True) if kept or dropped}  # fmt: skip
    assert filled == {0: (1, 0), 0.25: (2, 0), 25: (1, 0), 30: (0, 1), 300: (0, 1)}


def test_examples_do_not_depend_on_the_order_and_long_lists_end(rows):
    many = [{**rows["made"][1], "id": f"n{number}"} for number in range(LISTED + 50)]
    forth, back = summarise("a", many), summarise("a", many[::-1])
    assert len(forth.examples["noise"]) == EXAMPLES
    assert {e.id for e in forth.examples["noise"]} == {e.id for e in back.examples["noise"]}
    assert (len(forth.listed), forth.num_drops) == (LISTED, LISTED + 50)


def test_the_page_needs_nothing_from_outside_and_comes_out_the_same(rows, tmp_path):
    sources = [Source("real"), Source("made", kind="bulk-noisy")]
    figures = write_report(tmp_path, sources, rows.__getitem__)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert not re.search(r"https?://|src=\"(?!data:)|href=|@import|url\(", page)
    assert "<script" not in page
    assert page.count("<audio") >= 5
    assert "same recording as made/long" in page
    assert "si&amp;lent" in page and "si&lent" not in page
    assert "CC-BY &lt;4.0&gt;" in page
    assert "the file is empty (0 bytes)" in page
    assert json.loads(json.dumps(figures, allow_nan=False))["sources"][1]["name"] == "made"
    write_report(tmp_path, sources, lambda name: iter(rows[name]))
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == page


def test_tables_are_well_formed(rows, tmp_path):
    from html.parser import HTMLParser

    class Balance(HTMLParser):
        void = ("meta", "img", "rect", "line", "br")

        def __init__(self):
            super().__init__()
            self.open = []

        def handle_starttag(self, tag, attrs):
            if tag not in self.void:
                self.open.append(tag)

        def handle_startendtag(self, tag, attrs):
            pass

        def handle_endtag(self, tag):
            assert self.open.pop() == tag

    write_report(tmp_path, [Source("real"), Source("made")], rows.__getitem__)
    parser = Balance()
    parser.feed((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert parser.open == []


def test_a_lost_sound_file_is_told_instead_of_played(rows, tmp_path):
    gone = [{**found, "audio": str(tmp_path / "gone.flac")} for found in rows["real"]]
    write_report(tmp_path, [Source("real")], lambda name: gone)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<audio" not in page
    assert "no longer there" in page


def test_an_empty_source_and_a_row_that_is_none_are_handled(tmp_path):
    figures = write_report(tmp_path, [Source("none")], lambda name: [])
    assert figures["sources"][0]["recordings"] == 0
    with pytest.raises(ValueError, match="source none, row 0: no field 'seconds'"):
        write_report(tmp_path, [Source("none")], lambda name: [{"id": "a"}])


def test_players_start_where_the_piece_does(tmp_path):
    from aoede.data.cleaning.players import excerpt

    save_audio(tmp_path / "long.flac", row(-20, 1, -1), RATE)
    samples = excerpt(str(tmp_path / "long.flac"), 19.5, 2.0)
    assert len(samples) == 2 * RATE
    assert np.abs(samples[: RATE // 3]).max() < 1e-3
    assert np.abs(samples[RATE : RATE + 1000]).max() == pytest.approx(0.5, abs=0.01)
