"""Text sources: what a document is in each format, what is refused, and the shards."""

import json

import pytest

from aoede.data import CorpusFolder, load_corpus_config, prepare_corpus
from tests.data.corpora import content, corpus_file, source


def prepared(folder, sources, **values):
    prepare_corpus(load_corpus_config(corpus_file(folder, sources, **values)), folder / "out")
    return CorpusFolder.open(folder / "out")


def test_each_format_gives_its_documents_in_order(tmp_path):
    (tmp_path / "lines.txt").write_text("\ufeffOne line.\n\n  Another, ünd more.  \n", encoding="utf-8")
    (tmp_path / "rows.jsonl").write_text('{"text": "A", "id": "x", "split": "dev"}\n{"text": "B", "language": "fr"}\n')
    (tmp_path / "plain.tsv").write_text("Hello.\tprose\nBye.\tverse\n")
    (tmp_path / "head.tsv").write_text('sentence\tlanguage\n"Quoted" is kept\tde\n')
    (tmp_path / "folder/sub").mkdir(parents=True)
    (tmp_path / "folder/b.txt").write_text("Two\nlines")
    (tmp_path / "folder/sub/a.txt").write_text("deep")
    corpus = prepared(
        tmp_path,
        [
            source("lines", "lines.txt", kind="text"),
            source("rows", "rows.jsonl", kind="text"),
            source("plain", "plain.tsv", kind="text", columns={"text": 1, "source": 2}, select={"source": ["verse"]}),
            source("head", "head.tsv", kind="text", columns={"text": "sentence"}),
            source("folder", "folder", kind="text"),
        ],
        shard_documents=1,
    )
    found = {one.name: [(t.id, t.text, t.language, t.split) for t in corpus.texts(one.name)] for one in corpus.sources}
    assert found == {
        "lines": [("lines.txt:1", "One line.", "en", ""), ("lines.txt:3", "  Another, ünd more.  ", "en", "")],
        "rows": [("x", "A", "en", "dev"), ("rows.jsonl:2", "B", "fr", "")],
        "plain": [("plain.tsv:2", "Bye.", "en", "")],
        "head": [("head.tsv:2", '"Quoted" is kept', "de", "")],
        "folder": [("b.txt", "Two\nlines", "en", ""), ("sub/a.txt", "deep", "en", "")],
    }
    assert len(list((tmp_path / "out/rows").glob("text-*.parquet"))) == 2
    assert all(text.source == "rows" for text in corpus.texts("rows"))
    assert corpus.check().exit_code == 0


def test_a_bad_line_costs_that_line_and_is_listed(tmp_path):
    (tmp_path / "rows.jsonl").write_bytes(b'{"text": "A"}\n{"text": \n\xff\n[1]\n{"text": ""}\n{"text": "B"}\n')
    corpus = prepared(tmp_path, [source("rows", "rows.jsonl", kind="text")])
    assert [text.text for text in corpus.texts("rows")] == ["A", "B"]
    report = json.loads((tmp_path / "out/rows/report.json").read_text())
    assert [(row["id"], row["reason"].partition(" ")[0]) for row in report["rejected"]] == [
        ("rows.jsonl:2", "not"), ("rows.jsonl:3", "byte"), ("rows.jsonl:4", "a"), ("rows.jsonl:5", "column")
    ]  # fmt: skip
    assert (report["documents"], report["characters"], report["licence"]) == (2, 2, "CC0-1.0")


def test_a_saved_data_set_is_a_text_source_too(tmp_path):
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_dict({"body": ["one", "two"]}).save_to_disk(str(tmp_path / "set"))
    corpus = prepared(tmp_path, [source("set", "set", kind="text", columns={"text": "body"})])
    assert [text.text for text in corpus.texts("set")] == ["one", "two"]


@pytest.mark.parametrize(
    ("text", "values", "words"),
    [
        ("", {}, "source a: .*a.tsv: no documents"),
        ("x\ty\n1\t2\n", {}, "a.tsv:1: no column 'text' among x, y; the first line names"),
        ("text\tsplit\nA\tdev\n", {"select": {"split": ["train"]}}, "no text has split 'train'; there are: dev"),
        ("text\nA\n", {"columns": {"text": None}}, "columns.text is null"),
    ],
)
def test_a_source_without_documents_is_told(tmp_path, text, values, words):
    (tmp_path / "a.tsv").write_text(text)
    config = load_corpus_config(corpus_file(tmp_path, [source("a", "a.tsv", kind="text", **values)]))
    with pytest.raises(ValueError, match=words):
        prepare_corpus(config, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_second_run_over_texts_has_nothing_to_do_and_a_changed_text_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    config = load_corpus_config(corpus_file(tmp_path, [source("a", "a.txt", kind="text")]))
    prepare_corpus(config, tmp_path / "out")
    before = content(tmp_path / "out")
    assert "nothing left to do" in str(prepare_corpus(config, tmp_path / "out"))
    assert content(tmp_path / "out") == before
    (tmp_path / "a.txt").write_text("one\ntwo!\n")
    with pytest.raises(ValueError, match="source a was begun with other recordings or texts"):
        prepare_corpus(config, tmp_path / "out")
