"""What the documents say of the bundled voice is what was measured, on the weights that are shipped, in all of them."""

import json
import shutil

import numpy as np
import pytest
import soundfile

from aoede.cli.main import main
from aoede.generation import bundled_voices
from aoede.generation.samples import digest, weights_of
from tests.generation.tiny_voice import write_voice
from tests.scripts import ROOT, load_script

SCRIPT = load_script("docs/results/bundled_voice.py")
FOUND = json.loads((ROOT / SCRIPT.KEPT).read_text(encoding="utf-8"))
DOCUMENTS = SCRIPT.regions(FOUND)
AGAIN = "python docs/results/bundled_voice.py REPORT.json"


def test_the_figures_belong_to_the_shipped_weights():
    folder = bundled_voices()[FOUND["voice"]]
    assert FOUND["weights"] == weights_of(folder), f"other weights were measured: evaluate them, then {AGAIN}"
    size = sum((folder / name).stat().st_size for name in FOUND["weights"])
    assert FOUND["megabytes"] == pytest.approx(size / 1e6, abs=0.05) and FOUND["megabytes"] < 40


@pytest.mark.parametrize(("path", "name"), [(path, name) for path, parts in DOCUMENTS.items() for name in parts])
def test_a_document_says_what_was_measured(path, name):
    text = (ROOT / path).read_text(encoding="utf-8")
    assert SCRIPT.with_region(text, name, DOCUMENTS[path][name], path) == text, AGAIN


def test_the_readme_and_the_results_page_have_the_same_figures():
    short, full = DOCUMENTS["README.md"]["figures"], DOCUMENTS[SCRIPT.RESULTS]["figures"]
    (shown,) = [line for line in short.splitlines() if line.startswith("| words misheard")]
    (whole,) = [line for line in full.splitlines() if line.startswith("| word errors (%)")]
    pairs = zip(shown.split("|")[2:-1], whole.split("|")[2:-1], strict=True)
    assert all(one.split()[0] == two.split()[0] for one, two in pairs)
    assert "| recordings | codec round trip | voice |" in short


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A tiny voice, and the report that `aoede evaluate speech` makes of it."""
    folder = tmp_path_factory.mktemp("measured")
    voice = write_voice(folder / "tiny", text_stride=8.0)
    rows = []
    for number, speaker in enumerate(("af_heart", "bm_george")):
        soundfile.write(folder / f"{number}.wav", np.random.default_rng(number).uniform(-0.1, 0.1, 16000), 8000)
        rows.append({"audio": f"{number}.wav", "text": "Hello there.", "speaker": speaker, "seconds": 2.0})
    splits = [{**row, "split": "heldout"} for row in rows]
    (folder / "manifest.jsonl").write_text("\n".join(map(json.dumps, splits)))
    (folder / "heard.jsonl").write_text("\n".join(map(json.dumps, [{**rows[0], "seconds": 90.0}])))
    command = ["evaluate", "speech", str(voice), str(folder / "manifest.jsonl"), "--out", str(folder / "report")]
    judges = ["--recogniser", "sh -c 'echo hello where' {audio}", "--encoder", "none", "--measures", "none"]
    assert main([*command, *judges]) == 0
    return folder


@pytest.fixture
def root(tmp_path, measured):
    """A project with the documents, for the tiny voice."""
    for path, parts in DOCUMENTS.items():
        target = tmp_path / path.replace("aoede-small", "tiny")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("Before.\n" + "".join(f"It says <!-- {name} --> old <!-- /{name} -->.\n" for name in parts))
    return tmp_path


def test_a_report_becomes_figures_and_regions(measured, root):
    voice, report = shutil.copytree(measured / "tiny", root / "tiny"), measured / "report" / "report.json"
    (voice / "speakers.json").write_text('{"about": {"af_*": "woman"}}')
    for _ in range(2):  # the second time changes nothing
        SCRIPT.fill(root, report, voice, heard=[measured / "heard.jsonl"])
        found = json.loads((root / SCRIPT.KEPT).read_text())
        assert found["weights"] == weights_of(voice) and found["weights named by the report"] is True
        words = found["systems"]["voice"]["word errors"]["value"]
        assert words == pytest.approx(0.5), "of two words one is replaced"
        readme = (root / "README.md").read_text()
        assert readme.startswith(
            "Before.\nIt says <!-- figures -->\n\n0 MB of weights; 2 held-out sentences of 2 speakers"
        )
        assert "| words misheard by the recogniser | 50.0 % | 50.0 % | 50.0 % |" in readme and "old" not in readme
        assert readme.endswith("<!-- /figures -->.\n")
    card = (root / "src/aoede/voices/tiny/README.md").read_text()
    assert "It says <!-- size -->0 MB of weights<!-- /size -->." in card and "gets 50.0 % of its words wrong" in card
    assert "| voice: at most 5 % word errors | 50.0 % | **not met** |" in (root / SCRIPT.RESULTS).read_text()
    assert json.loads((voice / "speakers.json").read_text()) == {
        "about": {"af_*": "woman"},
        "minutes": {"af_heart": 1.5},
    }


def test_figures_of_other_weights_or_without_marks_are_refused_and_nothing_is_written(measured, root, tmp_path):
    report = measured / "report" / "report.json"
    other = shutil.copytree(measured / "tiny", tmp_path / "other")
    with (other / "model" / "model.safetensors").open("ab") as stream:
        stream.write(b" ")
    before = (root / "README.md").read_text()
    with pytest.raises(ValueError, match=rf"weights \w{{12}}, but .*other has {digest(weights_of(other))}"):
        SCRIPT.fill(root, report, other)
    unnamed = tmp_path / "unnamed.json"
    unnamed.write_text(report.read_text().replace(", weights ", ", "))
    with pytest.raises(ValueError, match="does not name its weights; measure again"):
        SCRIPT.fill(root, unnamed, measured / "tiny")
    with pytest.raises(ValueError, match=r"no voice 'bob'; it has: voice"):
        SCRIPT.fill(root, report, measured / "tiny", system="bob")
    unnamed.write_text("[]")
    with pytest.raises(ValueError, match=r"unnamed.json is no report.json"):
        SCRIPT.fill(root, unnamed, measured / "tiny")
    (root / SCRIPT.RESULTS).write_text("<!-- figures --> <!-- /figures -->")
    with pytest.raises(ValueError, match=r"bundled_voice.md has 0 regions <!-- codes -->"):
        SCRIPT.fill(root, report, measured / "tiny")
    assert (root / "README.md").read_text() == before and not (root / SCRIPT.KEPT).exists()


def test_python_of_the_readme_is_given_what_it_prints():
    text = "Before.\n\n```python\na = 3\nprint(a)      # 2\nprint(a + 1)  # none\n```\n\nAfter # this."
    assert SCRIPT.with_printed(text) == text.replace("# 2", "# 3").replace("# none", "# 4")
