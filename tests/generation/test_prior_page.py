"""The page docs/prior-use.md: its examples run and print what it says."""

import doctest
import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "prior-use.md"


def test_the_examples_of_the_page_are_true():
    blocks = re.findall(r"```python\n(>>>.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(blocks) == 2
    found = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, "prior-use.md", str(PAGE), 0)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    runner.run(found)
    assert runner.summarize(verbose=False) == (0, len(found.examples))
