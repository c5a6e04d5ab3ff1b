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


@pytest.fixture(scope="session")
def learnt(tmp_path_factory, plan):
    """A run over the whole plan: its folder, and the exported model."""
    from aoede.training.optim import OptimConfig
    from aoede.training.prior import PriorLoopConfig, train
    from tests.training.toy_prior import toy_recipe

    out = tmp_path_factory.mktemp("learnt")
    loop = PriorLoopConfig(eval_at_start=True, eval_every=13, checkpoint_every=13, log_every=1, tensorboard=False)
    return out, train(toy_recipe(plan, optim=OptimConfig(lr=1e-2), loop=loop), out)
