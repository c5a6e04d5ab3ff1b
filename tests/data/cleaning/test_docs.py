"""docs/cleaning.md tells the truth: its examples run, its settings load, and its table holds the defaults."""

import doctest
import re
from pathlib import Path

import yaml

from aoede.data.cleaning import STEPS, AugmentConfig, CleanConfig
from aoede.data.strict import from_dict, to_dict

PAGE = (Path(__file__).parents[3] / "docs" / "cleaning.md").read_text(encoding="utf-8")


def test_the_examples_of_the_page_run():
    test = doctest.DocTestParser().get_doctest(PAGE, {}, "cleaning.md", "docs/cleaning.md", 0)
    result = doctest.DocTestRunner().run(test)
    assert (result.failed, result.attempted) == (0, 8)


def blocks(key):
    """The indented YAML that begins with this key."""
    return [yaml.safe_load(block)[key] for block in re.findall(rf"(?:^ +{key}:\n(?:^ +.*\n)+)", PAGE, re.MULTILINE)]


def test_the_settings_of_the_page_load():
    cleanings, augmentations = blocks("clean"), blocks("augment")
    assert (len(cleanings), len(augmentations)) == (2, 1)
    first = from_dict(CleanConfig, cleanings[0])
    assert (first.noise, first.judges.transcript.options) == (None, {"folder": "models/whisper-base"})
    assert from_dict(CleanConfig, cleanings[1]).mos == 3.0
    assert from_dict(AugmentConfig, augmentations[0]).pitch == (-2, 2)


def test_the_table_of_steps_lists_every_step_with_its_default():
    lines = [line for line in PAGE.splitlines() if re.match(rf"\| ({'|'.join(STEPS)}) \| `", line)]
    keys = [
        [yaml.safe_load(found) for found in re.findall(r"`([a-z_]+: [^`]+)`", line.split("|")[2])] for line in lines
    ]
    assert [line.split("|")[1].strip() for line in lines] == list(STEPS)
    told = {key: value for found in keys for pair in found for key, value in pair.items()}
    defaults = {key: value for key, value in to_dict(CleanConfig()).items() if key not in ("voice", "judges")}
    assert told == defaults
