"""Vocabularies by name: the public ids on the public models, the same order behind any other's rows."""

from __future__ import annotations

import pytest

from aoede.tokens import CodecVocabulary, FrameLayout
from aoede.tokens.presets import NAMES, named_vocabulary


@pytest.mark.parametrize(
    ("name", "text_size", "wanted"),
    [
        ("calliope", 131072, CodecVocabulary.calliope()),
        ("calliope", 143360, CodecVocabulary.calliope()),
        ("orpheus", 128256, CodecVocabulary.orpheus()),
        ("orpheus", 156940, CodecVocabulary.orpheus(156940)),
        ("guide", 262144, CodecVocabulary.guide()),
    ],
)
def test_the_public_models_get_the_public_ids(name, text_size, wanted):
    assert named_vocabulary(name, text_size) == wanted


def test_another_model_gets_the_same_order_behind_its_own_rows():
    calliope = named_vocabulary("calliope", 49152)
    assert calliope.layout == FrameLayout("CMFFMFF") and calliope.size == 49152 + 2 + 3 * 4096
    assert (calliope.open_id, calliope.close_id) == (49152, 49153)
    assert (calliope.open_token, calliope.close_token) == ("[SNAC]", "[/SNAC]")
    orpheus = named_vocabulary("orpheus", 1000)
    assert (orpheus.text_size, orpheus.open_id, orpheus.close_id, orpheus.ranges_per) == (1000, 1000, 1001, "slot")
    assert orpheus.range_of(6) == range(1002 + 6 * 4096, 1002 + 7 * 4096) and orpheus.size == 1002 + 7 * 4096
    assert named_vocabulary("guide", 1000).layout == FrameLayout("CMMFFFF")


def test_extend_is_made_for_a_codec_and_a_file_is_read(tmp_path):
    layout = FrameLayout("CMFFMFF")
    made = named_vocabulary("extend", 20, layout=layout, codebook_sizes=(8, 8, 8))
    assert made == CodecVocabulary.extend(20, layout, (8, 8, 8))
    assert named_vocabulary(made.save(tmp_path), 999) == made == named_vocabulary(tmp_path, 999)
    with pytest.raises(ValueError, match="made for a codec: give its layout and codebook sizes"):
        named_vocabulary("extend", 20)
    with pytest.raises(ValueError, match=f"there is no vocabulary 'x': write {', '.join(NAMES)}, or a path"):
        named_vocabulary("x", 20)
