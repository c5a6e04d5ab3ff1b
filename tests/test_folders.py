import pytest

from aoede.folders import replacing_folder


def test_a_complete_folder_takes_the_place_of_an_older_one(tmp_path):
    for number in (1, 2):
        with replacing_folder(tmp_path / "a" / "model") as temporary:
            (temporary / f"file{number}").touch()
            assert not (tmp_path / "a" / "model" / f"file{number}").exists()
    assert [path.name for path in (tmp_path / "a" / "model").iterdir()] == ["file2"]
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["model"]


def test_a_failed_write_leaves_the_older_folder_and_nothing_beside_it(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "old").touch()
    with pytest.raises(OSError, match="disk full"), replacing_folder(tmp_path / "model") as temporary:
        (temporary / "half").touch()
        raise OSError("disk full")
    assert [path.name for path in tmp_path.rglob("*")] == ["model", "old"]
