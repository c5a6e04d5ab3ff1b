"""The page docs/prior.md: its examples run and print what it says."""

import doctest
import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "prior.md"


def test_the_examples_of_the_page_are_true(plan, learnt, tmp_path):
    blocks = re.findall(r"```python\n(>>>.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(blocks) == 2
    names = {"model": learnt[1], "plan": plan, "out": tmp_path / "out"}
    found = doctest.DocTestParser().get_doctest("\n".join(blocks), names, "prior.md", str(PAGE), 0)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    runner.run(found)
    assert runner.summarize(verbose=False) == (0, len(found.examples))
