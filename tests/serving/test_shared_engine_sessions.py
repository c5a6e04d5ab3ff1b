"""Sessions of the shared engine that follow one another."""

from __future__ import annotations

import time

import torch

from aoede.generation import Engine, Request, Sampling
from aoede.serving.gates import Stop
from aoede.serving.shared_engine import SharedEngine
from tests.generation.tiny_voice import make_model, make_tokenizer

SAMPLING = Sampling(temperature=1.0)


def test_a_job_that_leaves_late_takes_no_row_of_the_next_session_along():
    """Its row ended, and with it the session; the next session's first row has the same number."""
    engine = Engine(make_model(len(make_tokenizer()), text_stride=8.0))
    short = Request(ids=[2, 10, 11, 12], seed=1, max_frames=2)
    long = next(
        request
        for seed in range(50)
        if len(list(engine.generate([request := Request(ids=[2, 10, 11, 12], seed=seed, max_frames=60)], SAMPLING)))
        > 50
    )
    expected = [step.frame for step in engine.generate([long], SAMPLING)]
    shared = SharedEngine(engine, 4)
    stop = Stop(20.0)  # seconds: without its row the second job would wait for ever
    stop.begin()
    try:
        first = shared.generate([short], SAMPLING)
        next(first)
        while shared.rows:
            time.sleep(0.01)
        second = shared.generate([long], SAMPLING, stop)
        got = [next(second).frame]  # the engine goes on until it is some frames ahead, then it waits
        first.close()
        got += [step.frame for step in second]
    finally:
        shared.close()
    assert len(got) == len(expected) > 50
    assert all(torch.equal(a, b) for a, b in zip(got[:-1], expected[:-1], strict=True))
