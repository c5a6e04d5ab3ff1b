import pytest


# Imported inside: tests of training that need no language model must run without one.
@pytest.fixture(scope="session")
def codec(tmp_path_factory):
    from tests.training.toy_speech import toy_codec

    return toy_codec(tmp_path_factory.mktemp("toy") / "codec")


@pytest.fixture(scope="session")
def shards(tmp_path_factory, codec):
    from tests.training.toy_speech import toy_shards

    return toy_shards(tmp_path_factory.mktemp("toy") / "shards", codec)


@pytest.fixture(scope="session")
def plan(tmp_path_factory, codec):
    from tests.training.toy_prior import toy_plan

    return toy_plan(tmp_path_factory.mktemp("prior"), codec)
