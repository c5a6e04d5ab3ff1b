"""docs/conversations.md tells the truth: its examples give what they say, its options exist, its file is one."""

import re
from pathlib import Path

import pytest
import torch

from aoede.cli.main import VERBS, build_parser, parse
from aoede.data.conversation import TurnText, load_conversations, prepare_conversations, scan_conversations
from aoede.data.conversation.parsing import AUDIO_KEYS, KEYS

from .talks import tone

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "conversations.md").read_text(encoding="utf-8")
FORMATS = (DOCS / "formats.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


def test_the_file_of_the_page_is_read_and_its_mistake_is_told_as_it_says(tmp_path, monkeypatch, capsys):
    (line,) = blocks("json")
    tone(tmp_path / "a.wav"), tone(tmp_path / "b.wav")
    (tmp_path / "talks.jsonl").write_text(line)
    (one,) = load_conversations(tmp_path / "talks.jsonl")
    assert one.training_mask == (False, True)
    (tmp_path / "talks.jsonl").write_text(line + line.replace("a.wav", "c.wav"))
    monkeypatch.chdir(tmp_path)
    (mistake,) = scan_conversations("talks.jsonl").mistakes
    assert f"aoede: error: {mistake}".replace(str(tmp_path), "/home/ann") in PAGE


def test_the_python_of_the_page_runs_and_gives_what_its_comments_say(codec, tmp_path):
    names: dict[str, object] = {}
    frames, cloning, training = blocks("python")
    exec(compile(frames, "conversations.md", "exec"), names)
    for name, values in re.findall(r'batch\["(\w+)"\] +# (\[.*\])', frames):
        assert names["batch"][name].tolist() == eval(values), name
    exec(compile(cloning, "conversations.md", "exec"), names)
    assert set(names["inputs"]) == {"input_ids", "attention_mask"}
    exec(compile(training, "conversations.md", "exec"), names)
    tone(tmp_path / "a.wav"), tone(tmp_path / "b.wav")
    (tmp_path / "t.jsonl").write_text('{"split": "train", ' + blocks("json")[0].strip()[1:] + "\n")
    prepare_conversations(tmp_path / "t.jsonl", codec, tmp_path / "out")
    processor = type(names["processor"])(
        lambda text: list(text.encode()), "CMFFMFF", [300] * 7, text=TurnText(template="{text}")
    )
    (batch,) = names["batches"](tmp_path / "out", processor)
    assert batch["labels"].dtype == torch.int64


def test_every_option_that_the_page_names_exists():
    parser = build_parser(VERBS)
    for line in re.findall(r"^ *\$ aoede (.*)$", PAGE, flags=re.MULTILINE):
        assert parse(parser, line.split()).run
    build = ["converse", "build", "m.jsonl", "--out", "t.jsonl", "--context", "1"]
    for option, value in re.findall(r"^\| `(--\w+)`.* \| `(\w+)` \|", PAGE, flags=re.MULTILINE):
        assert parse(parser, [*build, option, value])
    for option in ("--overwrite", "--split=a", "--speaker=a", "--train=all", "--order=manifest", "--roles=number"):
        assert parse(parser, [*build, option])
    for option in ("--codec=a", "--device=cpu", "--workers=1", "--batch-seconds=1", "--shard-clips=1", "--skip-bad"):
        assert parse(parser, ["prepare", "t.jsonl", "out", option])


@pytest.mark.parametrize("page", [PAGE, FORMATS])
def test_both_pages_name_every_key_of_a_file(page):
    for key in (*KEYS, *AUDIO_KEYS):
        assert f"`{key}`" in page or f'"{key}"' in page, key


def test_the_default_template_is_the_one_of_the_page():
    assert f"`{TurnText().template}`" in PAGE
