"""Hard inputs as people type them, and how a careful person reads them: the tables in `readings/`."""

import json
import re
from pathlib import Path

import pytest

import aoede
from aoede.data.normalise import normalise
from aoede.data.phonemes import phonemise
from aoede.data.text import TextFrontEnd

TABLE = Path(__file__).parent / "readings" / "english.tsv"
ROWS = [line.split("\t") for line in TABLE.read_text(encoding="utf-8").splitlines()]
VOICE = Path(aoede.__file__).parent / "voices" / "aoede-small"
FRONT = TextFrontEnd.from_dict(json.loads((VOICE / "voice.json").read_text(encoding="utf-8"))["text"])


def kinds():
    return sorted({kind for kind, _written, _read in ROWS})


@pytest.mark.parametrize("kind", kinds())
def test_what_people_type_is_read_as_a_careful_person_reads_it(kind):
    wrong = []
    for _kind, written, read in (row for row in ROWS if row[0] == kind):
        result = normalise(written.replace("\\n", "\n"))
        if (result.text, result.notes) != (read, ()):
            wrong.append(f"{written!r}: {result.text!r} {result.notes or ''}, not {read!r}")
    assert not wrong, "\n".join(wrong)


def test_the_table_is_long_and_says_nothing_twice():
    assert len(ROWS) >= 250
    assert len({written for _kind, written, _read in ROWS}) == len(ROWS)


def test_the_bundled_voice_knows_every_sign_that_espeak_makes_of_the_table():
    vocabulary = set(json.loads((VOICE / "model" / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"])
    unknown = {}
    for _kind, _written, read in ROWS:
        for voice in ("en-us", "en-gb"):
            said = phonemise(read, voice)
            assert bool(said) == bool(read)
            unknown |= dict.fromkeys(set(said) - vocabulary, read)
    assert unknown == {}


def test_a_reading_is_its_own_reading():
    """What was made words stays as it is, so a text may come through the front end twice."""
    changed = [read for _kind, _written, read in ROWS if normalise(read).text != read]
    assert [read for read in changed if not re.search(r"\b[A-Z]\b|'", read)] == []


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("plan A is best", "plˈæn ˈA ɪz bˈɛst"),
        ("Once Upon A Time", "wˈʌns əpˌɑːn ɐ tˈIm"),
        ("A cat", "ɐ kˈæt"),
        ("the F A Q page", "ðɪ ˈɛf ˈA kjˈuː pˈAʤ"),
    ],
)
def test_the_letter_a_is_no_article(written, spoken):
    assert phonemise(written) == spoken


@pytest.mark.parametrize("written", ["a", "I", "7", "42", "ok", "Z", "!", "hello world", "3.5", "é"])
def test_the_shortest_inputs_are_read_or_refused_with_words(written):
    if any(c.isalnum() for c in written):
        assert FRONT.prompt(written, "af_heart").startswith("<af_heart>")
    else:
        with pytest.raises(ValueError, match="nothing to say"):
            FRONT.prompt(written, "af_heart")


def test_a_british_reader_puts_the_day_before_the_month():
    read = "due on November fifth, open from December first to December twenty-fourth"
    assert normalise("due on 5/11, open from 1/12 to 24/12", "en-gb").text == read


def test_tags_of_html_are_passed_over_and_other_tokens_refused():
    assert FRONT.prepare("<b>Hello</b> <i>there</i>").spoken == "Hello there"
    with pytest.raises(ValueError, match="<cough> looks like an event"):
        FRONT.prepare("Hello <cough>")


def test_a_shrug_is_a_smiley_and_no_foreign_script():
    assert FRONT.prepare(r"No idea ¯\_(ツ)_/¯").spoken == "No idea"
