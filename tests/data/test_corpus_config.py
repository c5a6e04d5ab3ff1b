"""The corpus file: what it may say, and how a mistake in it is told."""

from pathlib import Path

import pytest

from aoede.data import load_corpus_config
from aoede.data.cleaning import CleanConfig
from tests.data.corpora import corpus_file, source


def test_the_defaults_of_the_corpus_are_merged_into_each_source_key_by_key(tmp_path):
    sources = [
        source("a", "a.jsonl", clean={"cut": 8.0}),
        source("b", "b.jsonl", clean={"loudness": None, "voice": {"margin_seconds": 0.25}}, augment={"gain": [-3, 3]}),
        source("c", "c.jsonl", clean=False, augment=None),
        source("t", "t.txt", kind="text"),
    ]
    path = corpus_file(tmp_path, sources, clean={"cut": 12, "noise": 15}, augment={"speed": [0.9, 1.1]}, seed=4)
    config = load_corpus_config(path)
    a, b, c, t = config.sources
    assert (a.clean.cut, a.clean.noise, a.clean.loudness) == (8.0, 15.0, -23.0)
    assert (b.clean.cut, b.clean.loudness, b.clean.voice.margin_seconds) == (12.0, None, 0.25)
    assert c.clean == CleanConfig.off()
    assert a.augment.speed == (0.9, 1.1) and a.augment.gain is None
    assert b.augment.speed == (0.9, 1.1) and b.augment.gain == (-3.0, 3.0)
    assert c.augment is None and t.augment is None
    assert config.seed == 4


def test_the_corpus_file_of_the_documentation_loads(tmp_path):
    page = (Path(__file__).parents[2] / "docs/corpora.md").read_text()
    (tmp_path / "corpus.yaml").write_text(page.partition("```yaml\n")[2].partition("```")[0])
    config = load_corpus_config(tmp_path / "corpus.yaml")
    assert [one.name for one in config.sources] == ["radio", "readings", "stories"]
    assert (config.sources[0].clean.noise, config.sources[1].clean.cut) == (12.0, 20.0)


def test_paths_start_beside_the_file_and_hub_names_stay(tmp_path):
    (tmp_path / "my").mkdir()
    (tmp_path / "my" / "speech").mkdir()
    sources = [source("a", "lists/a.jsonl"), source("b", "../b"), source("c", "owner/name"), source("d", "my/speech")]
    config = load_corpus_config(corpus_file(tmp_path, sources, codec="codec"))
    assert [one.path for one in config.sources] == [
        str(tmp_path / "lists/a.jsonl"), str(tmp_path.parent / "b"), "owner/name", str(tmp_path / "my/speech")
    ]  # fmt: skip
    assert config.codec == str(tmp_path / "codec")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"sources": []}, "without sources: list at least one"),
        ({"source": []}, "unknown key 'source'; did you mean sources"),
        ({"format": 2}, "format is 2; it may be 1"),
        ({"shard_clips": 0}, "shard_clips is 0; it must be above 0"),
        ({"clean": {"lowdness": -23}}, "unknown key 'clean.lowdness'; did you mean loudness"),
        ({"sources": [{"name": "a"}]}, r"key 'sources\[0\].(kind|path|licence)' is missing"),
        ({"sources": [source("a", "x", kind="noisy")]}, r"sources\[0\].kind is 'noisy'; it may be text, bulk-noisy"),
        ({"sources": [source("a", "x", licence=" ")]}, "licence of a is empty; write 'unknown'"),
        ({"sources": [source("a/b", "x")]}, "name is 'a/b'; it names a folder"),
        ({"sources": [source("a+aug", "x")]}, r"name is 'a\+aug'"),
        ({"sources": [source("a", "x"), source("A", "y")]}, "two sources are called a and A"),
        ({"sources": [source("a", "x", select={"splits": ["dev"]})]}, r"unknown key 'sources\[0\].select.splits'"),
        ({"sources": [source("a", "x", select={"split": "dev"})]}, "select.split is 'dev', but a list is expected"),
        ({"sources": [source("a", "x", columns={"text": 2})]}, "columns of a are numbered, which only text sources"),
        ({"sources": [source("a", "x", kind="text", columns={"text": 0})]}, "text is 0; columns are counted from 1"),
        ({"sources": [source("a", "x", kind="text", clean={"cut": 3})]}, "a is text: neither cleaned nor"),
    ],
)
def test_a_mistake_names_the_file_and_the_key(tmp_path, values, words):
    path = corpus_file(tmp_path, [source("a", "x")], **values) if "sources" not in values else tmp_path / "corpus.yaml"
    if "sources" in values:
        corpus_file(tmp_path, values["sources"])
    with pytest.raises(ValueError, match=words) as error:
        load_corpus_config(path)
    assert str(path) in str(error.value)


def test_a_doubled_key_a_list_and_bytes_are_told(tmp_path):
    path = tmp_path / "corpus.yaml"
    for text, words in [
        (b"seed: 1\nseed: 2\n", "line 2: key 'seed' stands twice"),
        (b"- a\n", "holds a list, but a corpus file is a mapping"),
        (b"seed: \xff\n", "byte 7 is not UTF-8"),
        (b"seed: [\n", "is not valid YAML"),
        (b"", "key 'sources' is missing"),
    ]:
        path.write_bytes(text)
        with pytest.raises(ValueError, match=words):
            load_corpus_config(path)
