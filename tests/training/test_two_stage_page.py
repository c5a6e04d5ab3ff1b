"""The training part of docs/two-stage.md tells the truth: its recipes load, its commands parse, its keys exist."""

import re
from dataclasses import fields
from pathlib import Path

import yaml

from aoede.cli.main import VERBS, build_parser, parse
from aoede.training import from_dict
from aoede.training.two_stage import TwoStageRecipe
from aoede.training.two_stage_model import TwoStageModelConfig

TEXT = (Path(__file__).parents[2] / "docs" / "two-stage.md").read_text(encoding="utf-8").partition("## Training one")[2]


def test_the_recipes_of_the_page_load():
    recipes = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", TEXT, flags=re.DOTALL)]
    assert len(recipes) == 3
    for recipe in recipes:
        from_dict(TwoStageRecipe, recipe)


def test_the_commands_of_the_page_parse():
    parser = build_parser(VERBS)
    lines = re.findall(r"^ {4}(aoede train .*)$", TEXT, flags=re.MULTILINE)
    assert len(lines) == 3
    for line in lines:
        assert parse(parser, re.sub(r"[\[\].]{3}|[\[\]]", "", line).split()[1:]).run


def test_the_keys_of_the_table_exist():
    names = {field.name for field in fields(TwoStageRecipe)}
    models = {field.name for field in fields(TwoStageModelConfig)}
    for cell in re.findall(r"^\| (`.*?`) \|", TEXT, flags=re.MULTILINE):
        for key in re.findall(r"`([\w.]+)`", cell):
            head, _, rest = key.partition(".")
            assert head in names and (not rest or rest in models), key
