import pytest

from aoede.data.cleaning import AugmentConfig, CleanConfig
from aoede.data.strict import from_dict, to_dict


def test_a_mapping_becomes_settings_and_comes_back():
    config = from_dict(
        CleanConfig,
        {
            "loudness": -20, "noise": None, "transcript": 0.3, "voice": {"margin_seconds": 0.05},
            "judges": {"transcript": {"call": "mine:Judge", "options": {"folder": "x", "threads": 2}}},
        },
    )  # fmt: skip
    assert (config.loudness, config.noise, config.trim) == (-20.0, None, True)
    assert config.voice.margin_seconds == 0.05
    assert config.judges.transcript.options == {"folder": "x", "threads": 2}
    assert from_dict(CleanConfig, to_dict(config)) == config


def test_off_leaves_only_what_the_codec_cannot_do_without():
    off = to_dict(CleanConfig.off())
    steps = ("trim", "loudness", "language", "transcript", "cut", "min_seconds", "max_seconds", "clipping", "noise",
             "mos", "duplicates", "lowest_rate")  # fmt: skip
    assert [step for step in steps if off[step]] == []
    assert off["resample"] is True


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"loudnes": -20}, "did you mean loudness"),
        ({"loudness": 23}, "loudness is 23; it lies in -70..0"),
        ({"clipping": 5}, "clipping is 5; it lies in 0..1"),
        ({"mos": 0}, "mos is 0; it lies in 1..5"),
        ({"cut": 2.0, "min_seconds": 3.0}, "nothing would be kept; raise cut"),
        ({"voice": {"margin_seconds": 99}}, "margin_seconds is 99"),
    ],
)
def test_settings_that_cannot_be_are_told_with_their_limits(settings, words):
    with pytest.raises(ValueError, match=words):
        from_dict(CleanConfig, settings)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"speed": [1.1, 0.9]}, "range"),
        ({"speed": [0.1, 1.0]}, "within 0.5..2"),
        ({"pitch": [0, 13]}, "within -12..12"),
        ({"copies": -1}, "copies is -1"),
        ({"gain": [1]}, "1 entries, but takes 2"),
    ],
)
def test_augmentations_that_cannot_be_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        from_dict(AugmentConfig, settings)
