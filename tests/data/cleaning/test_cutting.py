from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aoede.data.cleaning.cutting import cut_at_pauses
from aoede.data.cleaning.frames import Frames, measure_frames

from .sounds import row

RATE = 4000


def even(seconds):
    """Frames of a recording that is as loud everywhere."""
    count = round(seconds * 100) + 1
    return Frames(rate=RATE, hop=RATE // 100, window=128, level=np.zeros(count), power=np.ones(count))


def cut(spans, seconds, longest, margin=0.1, frames=None):
    samples = [(round(a * RATE), round(b * RATE)) for a, b in spans]
    whole = (0, round(seconds * RATE))
    made = cut_at_pauses(
        frames or even(seconds), samples, whole, longest=round(longest * RATE), margin=round(margin * RATE)
    )
    return [(c.start / RATE, c.stop / RATE, c.forced) for c in made]


def test_what_fits_together_stays_together():
    assert cut([(1, 4), (5, 9), (11, 14)], 15, longest=10) == [(0.9, 9.1, False), (10.9, 14.1, False)]


def test_the_longer_of_two_pauses_is_cut():
    spans = [(0, 4), (4.3, 8), (9.5, 12), (12.3, 16)]
    assert cut(spans, 16, longest=12) == [(0, 8.1, False), (9.4, 16, False)]


def test_a_short_pause_is_shared_by_its_two_sides():
    assert cut([(0, 5), (5.1, 10)], 10, longest=6) == [(0, 5.05, False), (5.05, 10, False)]


def test_a_voice_as_long_as_a_piece_gives_up_its_margins():
    assert cut([(1, 6), (7, 12)], 13, longest=5) == [(1, 6, False), (7, 12, False)]


def test_a_voice_without_a_pause_is_cut_at_its_quietest_place_and_that_is_told():
    frames = even(16)
    frames.power[699:702] = 0.0  # around 7.0 s
    assert cut([(0, 16)], 16, longest=10, frames=frames) == [(0, 7.0, False), (7.0, 16, True)]


def test_real_frames_lead_to_the_dip_between_two_tones():
    samples = row(3, -0.05, 3)
    frames = measure_frames(samples, 24000)
    made = cut_at_pauses(frames, [(0, len(samples))], (0, len(samples)), longest=4 * 24000, margin=0)
    assert [c.forced for c in made] == [False, True]
    assert made[1].start / 24000 == pytest.approx(3.025, abs=0.03)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.1, 9), st.floats(0.2, 4)), min_size=1, max_size=20),
    st.floats(1.0, 10.0),
    st.floats(0.0, 0.3),
)
def test_pieces_are_short_hold_all_voice_and_are_cut_in_pauses_wherever_there_is_one(parts, longest, margin):
    spans, place = [], 0.0
    for voice, gap in parts:
        spans.append((place, place + voice))
        place += voice + gap
    made = cut(spans, place, longest, margin)
    tick = 2 / RATE
    assert all(stop - start <= longest + tick for start, stop, _ in made)
    assert all(a[1] <= b[0] for a, b in pairwise(made))
    for start, stop in spans:
        held = sum(max(0, min(stop, b) - max(start, a)) for a, b, _ in made)
        assert held == pytest.approx(stop - start, abs=tick)
        inside = [b for b, _, _ in made if start + tick < b < stop - tick]
        assert bool(inside) == (stop - start > longest + tick) or abs(stop - start - longest) < 2 * tick
    assert sum(forced for *_, forced in made) == sum(
        start + tick < b < stop - tick for b, _, _ in made for start, stop in spans
    )
