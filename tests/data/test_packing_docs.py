"""docs/packing.md and the parts of docs/formats.md on packing tell the truth: their examples run, their keys exist."""

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from aoede.cli.main import build_parser
from aoede.data.mixture import MixturePlan, load_mixture_config, make_plan
from aoede.data.mixture.plan import PlanPhase, PlanSource
from aoede.data.packed import PackedInfo, TextTokenizer, byte_tokenizer, pack

from .packable import audio_source, clip, text_source

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "packing.md").read_text(encoding="utf-8")
FORMATS = (DOCS / "formats.md").read_text(encoding="utf-8")


def block(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Packed sources as the page names them, and its mixture with a thousandth of its tokens, in rows of 128."""
    home = tmp_path_factory.mktemp("docs")
    kinds = {"studio": "studio", "festvox_ru": "studio", "read": "clean-read", "bulk": "bulk-noisy"}
    sources = [
        audio_source(home / "c", name, [clip(f"{name}{i}", 1 + i % 9) for i in range(90)], kind, shard=90)
        for name, kind in kinds.items()
    ]
    sources.append(text_source(home / "c", "books", [(f"{i}", f"{i} " + "ab " * 9, "") for i in range(90)], shard=90))
    pack(sources, TextTokenizer(byte_tokenizer()), "extend", home / "packed", max_tokens=128)
    (mixture,) = block("yaml")
    values = yaml.safe_load(mixture)
    values |= {"row_tokens": 128, "dev": {"tokens": 20}}
    for phase in values["phases"]:
        phase["tokens"] //= 1000
    (home / "mixture.yaml").write_text(yaml.safe_dump(values))
    make_plan(load_mixture_config(home / "mixture.yaml")).save(home / "plan")
    return home


def test_the_mixture_of_the_page_is_one(tmp_path):
    (mixture,) = block("yaml")
    (tmp_path / "mixture.yaml").write_text(mixture)
    config = load_mixture_config(tmp_path / "mixture.yaml")
    assert [phase.tokens for phase in config.phases] == [2_000_000, 1_000_000, 400_000]


def test_the_python_of_the_page_runs(home, monkeypatch):
    monkeypatch.chdir(home)
    names: dict[str, object] = {}
    for code in block("python"):
        exec(compile(code, "packing.md", "exec"), names)
    assert names["batch"]["input_ids"].shape == (8, 128)


def test_every_option_of_the_page_exists():
    parser = build_parser(["pack", "mix"])
    (verbs,) = [action for action in parser._actions if action.dest == "==SUPPRESS==" or action.choices]
    for verb in ("pack", "mix"):
        known = {option for action in verbs.choices[verb]._actions for option in action.option_strings}
        used = {
            word
            for line in PAGE.splitlines()
            if f"aoede {verb} " in line
            for word in re.findall(r"(?<![\w-])--[a-z-]+", line)
        }
        assert used and used <= known
    table = PAGE[PAGE.index("| option | |") : PAGE.index("**A document**")]
    assert set(re.findall(r"^\| `(--[a-z-]+)", table, flags=re.MULTILINE)) == {
        option for action in verbs.choices["pack"]._actions for option in action.option_strings if option[:2] == "--"
    } - {"--help", "--out"}


def test_the_formats_page_names_every_key_column_and_array(home):
    text = FORMATS[FORMATS.index("## Packed documents") :]
    columns = pq.read_schema(home / "packed/studio.documents.parquet").names
    assert all(f"`{name}`" in text for name in columns)
    for owner in (PackedInfo, PlanSource, PlanPhase):
        assert all(f'"{field.name}"' in text for field in dataclasses.fields(owner))
    assert all(f'"{key}"' in text for key in json.loads((home / "plan/mixture.json").read_text()))
    plan = MixturePlan.load(home / "plan")
    for name, kind, shape in re.findall(r"\| `(\w+)\.npy` \| (\w+), \[(.*?)\] \|", text):
        values = plan.array(name)
        assert values.dtype == np.dtype(kind) and values.ndim == len(shape.split(","))
        assert (home / f"plan/{name}.npy").read_bytes().startswith(b"\x93NUMPY\x01\x00")
