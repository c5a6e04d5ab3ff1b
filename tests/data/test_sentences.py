"""Sentence splitting on what people paste: no cut inside what belongs together, pieces that can be spoken."""

import re

import pytest

from aoede.data.normalise import normalise
from aoede.data.sentences import split_sentences

WHOLE = (
    "Mr. and Mrs. Lee paid $3.50, i.e. too much, to Dr. A. B. Stone of St. Ives at 7:30 p.m. on Jan. 5, 2024.",
    'She said, "Go away. Now." and left.',
    'He asked "Why? When?" and then "How?" in one breath.',
    "It was late (Very late. Too late.) and he slept.",
    "See https://example.com/a.b?c=d.e and www.mail.org. for version v2.0.1 of main.py.",
    "The U.S. Army, the U.K. and Acme Inc. in Washington, D.C. agree.",
    "Nos. 3 and 4, vol. 2, pp. 10-15, Fig. 3.1, approx. 5.5 km.",
    "On 21.11.2026 at 192.168.0.1 it cost 1,234.56 in all.",
    "“Stop! Thief!” cried the baker.",
    "In Smith v. Jones and Roe v. Wade the Rt. Hon. Lee of Yahoo! Inc. spoke.",
    "Stone et al. (2020) say he is 6 ft. 2 in. tall.",
)
CLAUSES = (
    "when the first light came over the hills the whole village was already awake and the bakers had put bread in "
    "the long stone oven while the children ran down to the river to see whether the boats had come back from sea "
    "with fish or with empty nets as they had so often done in that cold and windy spring which nobody who lived there "
    "ever forgot"
)


@pytest.mark.parametrize("text", WHOLE)
def test_what_belongs_together_stays_together(text):
    assert split_sentences(text, 200) == [text]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("# Shopping\n- milk\n- two eggs\n\nThat is all.", ["# Shopping", "- milk", "- two eggs", "That is all."]),
        ("1. Open it.\n2. Close\nit again.", ["1. Open it.", "2. Close it again."]),
        ("We met at the\nold station.", ["We met at the old station."]),
        ("Come home.Then we eat.", ["Come home.", "Then we eat."]),
        ("Wow!!! Really?! Yes...", ["Wow!!!", "Really?!", "Yes..."]),
        ("He left at 5 p.m. We stayed.", ["He left at 5 p.m.", "We stayed."]),
        (
            "That is Yahoo! Incredible. He is 6 ft. They ate.",
            ["That is Yahoo!", "Incredible.", "He is 6 ft.", "They ate."],
        ),
        (
            "It takes 15 min. Then you walk. I like et al. But no.",
            [
                "It takes 15 min.",
                "Then you walk.",
                "I like et al.",
                "But no.",
            ],
        ),
        ("> quoted line\n> another", ["> quoted line", "> another"]),
        ("Title\n=====\nText.", ["Title", "===== Text."]),
    ],
)
def test_lines_and_sentences_end_where_they_end(text, pieces):
    assert split_sentences(text, 200) == pieces


def test_a_sentence_without_marks_is_cut_before_a_clause():
    pieces = split_sentences(CLAUSES, 120)
    assert " ".join(pieces) == CLAUSES
    assert all(40 <= len(piece) <= 120 for piece in pieces)
    ends = ("the", "a", "of", "to", "in", "and", "with", "that", "had", "from")
    assert not [piece for piece in pieces if piece.split()[-1] in ends]


def test_no_piece_ends_between_a_title_and_a_name_or_a_number_and_its_unit():
    text = "the report of Dr. Miller of the 12 km road to St. Ives by Mrs. Grey on the 5 March 2024 " * 8
    for limit in (60, 80, 120, 200):
        for piece in split_sentences(text, limit):
            assert len(piece) <= limit
            assert not re.search(r"\b(?:Dr\.|St\.|Mrs\.|12|5|the|of)$", piece), piece


def test_three_thousand_characters_come_in_even_pieces():
    paragraph = " ".join([CLAUSES.capitalize() + ".", "It rained.", 'He said "Go. Now."'] * 9)[:3000].strip()
    pieces = split_sentences(paragraph, 200)
    assert " ".join(pieces) == paragraph
    assert max(map(len, pieces)) <= 200 and len(pieces) > 15
    assert not any(len(piece) < 8 for piece in pieces[:-1])


def test_digits_are_cut_by_what_they_sound_like():
    text = "Call " + ", ".join(["020 7946 0958"] * 12) + " or " + "3" * 180 + "."
    pieces = split_sentences(text, 200)
    assert re.sub(r"\s", "", "".join(pieces)) == re.sub(r"\s", "", text)
    assert max(len(normalise(piece).text) for piece in pieces) <= 400


@pytest.mark.parametrize("text", ["", " \n\n ", "\n- \n"])
def test_nothing_comes_of_nothing(text):
    assert [piece for piece in split_sentences(text, 200) if piece.strip("- ")] == []
