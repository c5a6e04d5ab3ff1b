"""docs/distributed.md tells the truth: its example runs and prints what it says."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "distributed.md"


def test_the_example_prints_what_the_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    text = PAGE.read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    exec(compile(code, str(PAGE), "exec"), {})
    assert f"prints `{capsys.readouterr().out.strip()}` alone" in text


def test_every_option_that_the_page_names_exists() -> None:
    from aoede.cli.main import VERBS, build_parser, parse
    from aoede.training import LoopConfig

    text = PAGE.read_text(encoding="utf-8")
    for field in set(re.findall(r"loop\.(\w+)", text)):
        assert hasattr(LoopConfig(steps=1), field), field
    parser = build_parser(VERBS)
    for line in re.findall(r"^ *aoede (?:checkpoint|train) .*$", text, flags=re.MULTILINE):
        words = re.sub(r"[\[\]]", "", line).split()[1:]
        assert parse(parser, words).run
