"""Strict settings: what YAML can say is read, what it would hide is refused."""

import pytest

from aoede.data.strict import read_mapping


def test_a_merged_mapping_gives_way_to_what_stands_beside_it(tmp_path):
    file = tmp_path / "settings.yaml"
    file.write_text("a: &one {name: x, kind: studio}\nb: {<<: *one, name: y}\n")
    assert read_mapping(file)["b"] == {"name": "y", "kind": "studio"}


def test_a_key_written_twice_is_refused(tmp_path):
    file = tmp_path / "settings.yaml"
    file.write_text("a: 1\nb: {<<: {c: 1}, d: 2, d: 3}\n")
    with pytest.raises(ValueError, match="line 2: key 'd' stands twice"):
        read_mapping(file)
