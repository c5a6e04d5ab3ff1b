"""The scheduler: samples are those of `Voice.speak` whoever comes and goes; every job ends and frees its slot."""

import asyncio
import gc
import itertools
import threading
import time
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch

from aoede.generation import Voice
from aoede.serving.jobs import JobError, SpeechJob
from aoede.serving.scheduler import QueueFull, Scheduler, SchedulerClosed
from tests.generation.tiny_voice import write_two_stage_voice, write_voice

TEXTS = ["Hello there.", "One. Two! Three?", "A rather longer sentence, with a comma in it. Then a short one.", "Well."]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A flat voice whose sentences are half a second long at the most."""
    voice = Voice.from_pretrained(write_voice(tmp_path_factory.mktemp("scheduled") / "tiny", text_stride=8.0))
    voice.settings = replace(voice.settings, max_seconds=0.5)
    return voice


@pytest.fixture(scope="module")
def duo(tmp_path_factory):
    return Voice.from_pretrained(write_two_stage_voice(tmp_path_factory.mktemp("scheduled") / "duo"))


@pytest.fixture(scope="module")
def bundled():
    return Voice.from_pretrained()


def samples(job):
    """All samples of a job, its reader blocking."""
    return np.concatenate([np.zeros(0, np.float32), *(chunk.samples for chunk in job)])


def together(scheduler, requests, gaps=None):
    """What jobs give whose readers read at the same time; `gaps` are seconds before each is submitted."""
    found = [None] * len(requests)

    def read(number, job):
        found[number] = samples(job)

    readers = []
    for number, request in enumerate(requests):
        time.sleep(0 if gaps is None else gaps[number])
        readers.append(threading.Thread(target=read, args=(number, scheduler.submit(request))))
        readers[-1].start()
    for reader in readers:
        reader.join()
    return found


def spoken(voice, request):
    """What the voice says by itself."""
    settings = {name: value for name, value in vars(request).items() if name not in ("text", "speaker")}
    return voice.speak(request.text, request.speaker, **settings).samples


def until(condition, seconds=20.0):
    """Wait for something that another thread does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.002)


def mixed(count):
    """Requests of different texts, seeds and settings."""
    changes = [{}, {"temperature": 1.2}, {"top_p": 0.8, "speaker": "af_heart"}, {"top_k": 5}, {"temperature": 0.0}]
    return [SpeechJob(text=TEXTS[n % 4], seed=n, **changes[n % 5]) for n in range(count)]


# -- samples ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["tiny", "duo"])
def test_samples_are_those_of_speak_whoever_joins_and_leaves(kind, request):
    voice = request.getfixturevalue(kind)
    requests = mixed(9)
    with Scheduler(voice, slots=4) as scheduler:
        leaving = [scheduler.submit(SpeechJob(text=TEXTS[2], seed=100 + n)) for n in range(3)]
        threading.Timer(0.1, lambda: [job.cancel() for job in leaving]).start()
        found = together(scheduler, requests, gaps=[0.03 * (n % 3) for n in range(9)])
        stats = scheduler.stats()
    for asked, got in zip(requests, found, strict=True):
        assert np.array_equal(got, spoken(voice, asked)), asked
    assert (stats.running, stats.queued, stats.rows) == (0, 0, 0) and stats.ended["done"] >= 9
    assert kind == "duo" or max(stats.steps_by_rows) > 1, "nobody shared a step"


def test_the_bundled_voice_gives_the_same_bits_alone_and_among_others(bundled):
    requests = [SpeechJob(text=text, seed=n) for n, text in enumerate(["Hello there.", "Good day to you.", "Yes!"])]
    with Scheduler(bundled, slots=3) as scheduler:
        found = together(scheduler, requests, gaps=[0, 0.05, 0.1])
        shared = scheduler.stats().steps_by_rows
    assert all(np.array_equal(got, spoken(bundled, asked)) for asked, got in zip(requests, found, strict=True))
    assert max(shared) > 1, "nobody shared a step"


def test_models_whose_rows_would_feel_each_other_speak_in_turn(tiny, monkeypatch):
    from aoede.generation.row_stage import RowStage

    monkeypatch.setattr(RowStage, "of", classmethod(lambda cls, model: None))
    voice = Voice(tiny.codec, tiny.model, tiny.tokenizer, tiny.settings)
    requests = mixed(3)
    with Scheduler(voice, slots=3) as scheduler:
        found = together(scheduler, requests)
        assert scheduler.stats().steps_by_rows == {}
    assert all(np.array_equal(got, spoken(voice, asked)) for asked, got in zip(requests, found, strict=True))


def test_frames_come_with_the_samples_and_say_where_they_stand(tiny):
    frames = []
    with Scheduler(tiny, slots=1) as scheduler:
        chunks = list(scheduler.submit(SpeechJob(text=TEXTS[1], seed=4)))
    count = 0
    for chunk in chunks:
        assert chunk.start == count / tiny.sample_rate
        count += len(chunk.samples)
        if chunk.frames:
            assert chunk.frames_start >= chunk.start - 1e-9  # samples come later than their frames
        frames += [(chunk.frames_start + n / tiny.frame_rate, frame) for n, frame in enumerate(chunk.frames)]
    spans = tiny.speak(TEXTS[1], seed=4)
    starts = [start for start, _ in frames]
    assert starts == sorted(starts) and all(len(frame) == 7 for _, frame in frames)
    # Three sentences, two pauses of a quarter of a second, and frames everywhere else.
    assert len(frames) / tiny.frame_rate + 0.5 == pytest.approx(len(spans.samples) / tiny.sample_rate)
    jumps = [b - a - 1 / tiny.frame_rate for a, b in itertools.pairwise(starts)]
    assert [round(jump, 6) for jump in jumps if jump > 1e-6] == [0.25, 0.25]


def test_a_cloned_voice_is_the_one_that_speak_gives(duo):
    reference = np.sin(np.arange(4000) / 9).astype(np.float32) * 0.3
    asked = SpeechJob(text="Hello.", seed=2, reference=reference, reference_text="a hum")
    with Scheduler(duo, slots=2) as scheduler:
        [first, second] = together(scheduler, [asked, SpeechJob(text="Hello.", seed=2)])
    assert np.array_equal(first, spoken(duo, asked)) and not np.array_equal(first, second)


def test_notes_and_cuts_are_told(tiny):
    with Scheduler(tiny, slots=1) as scheduler:
        job = scheduler.submit(SpeechJob(text=TEXTS[2], seed=1))
        samples(job)
    alone = tiny.speak(TEXTS[2], seed=1)
    assert (job.notes, job.cut, job.seed, job.sample_rate) == (alone.notes, alone.cut, 1, 8000)


# -- limits -----------------------------------------------------------------------------------------------------


def test_a_full_queue_refuses_at_once_and_says_when_to_come_again(tiny):
    with Scheduler(tiny, slots=1, queue=2, buffer_seconds=0.05) as scheduler:
        jobs = [scheduler.submit(SpeechJob(text=TEXTS[2], seed=n)) for n in range(3)]
        with pytest.raises(QueueFull, match="try again in") as refused:
            scheduler.submit(SpeechJob(text="Too many."))
        assert 1 <= refused.value.retry_after_seconds <= 60
        until(lambda: scheduler.stats().running == 1)
        stats = scheduler.stats()
        assert (stats.queued, stats.ended) == (2, {"refused": 1})
        jobs[1].cancel()  # one that waits: its place is free at once
        assert scheduler.stats().queued == 1 and jobs[1].state == "cancelled"
        jobs.append(scheduler.submit(SpeechJob(text="Well.", seed=9)))
        assert [len(samples(job)) > 0 for job in jobs] == [True, False, True, True]


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (SpeechJob(text="  "), "empty|nothing"),
        (SpeechJob(text="Hi.", speaker="nobody"), "nobody"),
        (SpeechJob(text="Hi.", temperature=99.0), "temperature 99.0"),
        (SpeechJob(text="Hi.", speed=9.0), "speed 9.0"),
        (SpeechJob(text="Hi.", seed=-1), "seed -1"),
        (SpeechJob(text="Hi.", reference=np.zeros(8000, np.float32), reference_text="x"), "hears no earlier turn"),
    ],
)
def test_what_the_voice_refuses_is_refused_at_the_call_and_takes_no_place(tiny, request_, words):
    with Scheduler(tiny, slots=1, queue=0) as scheduler:
        for _ in range(3):
            with pytest.raises(ValueError, match=words):
                scheduler.submit(request_)
        assert len(samples(scheduler.submit(SpeechJob(text="Hi.")))) > 0


@pytest.mark.parametrize(
    ("setting", "words"),
    [({"slots": 0}, "slots is 0"), ({"queue": -1}, "queue is -1"), ({"job_timeout": 0}, "job_timeout is 0")],
)
def test_a_limit_out_of_range_is_refused(tiny, setting, words):
    with pytest.raises(ValueError, match=words):
        Scheduler(tiny, **setting)


@pytest.mark.parametrize("kind", ["tiny", "duo"])
def test_a_slow_reader_holds_up_nobody_else(kind, request):
    voice = request.getfixturevalue(kind)
    with Scheduler(voice, slots=2, buffer_seconds=0.05) as scheduler:
        slow = scheduler.submit(SpeechJob(text=TEXTS[2], seed=3))
        until(lambda: slow.timings.first_audio is not None)
        for n in range(3):
            samples(scheduler.submit(SpeechJob(text=TEXTS[1], seed=n)))
        assert slow.state == "running" and slow.timings.audio < 1.0  # it stands still meanwhile
        assert np.array_equal(samples(slow), spoken(voice, slow.request))


def test_a_reader_that_takes_nothing_loses_its_slot(tiny):
    with Scheduler(tiny, slots=1, buffer_seconds=0.05, reader_timeout=0.2) as scheduler:
        job = scheduler.submit(SpeechJob(text=TEXTS[2]))
        assert job.wait(20)
        with pytest.raises(JobError, match="the reader took nothing") as caught:
            samples(job)
        assert caught.value.end == job.state == "timed out"
        assert len(samples(scheduler.submit(SpeechJob(text="Well.")))) > 0


@pytest.mark.parametrize("kind", ["tiny", "duo"])
def test_a_job_that_takes_too_long_ends_and_the_next_one_runs(kind, request):
    voice = request.getfixturevalue(kind)
    with Scheduler(voice, slots=1, job_timeout=0.05) as scheduler:
        job = scheduler.submit(SpeechJob(text=" ".join(TEXTS * 20)))
        with pytest.raises(JobError, match="longer than the"):
            samples(job)
        assert scheduler.drain(20) and scheduler.stats().ended == {"timed out": 1}
        until(lambda: scheduler.stats().rows == 0)


# -- ends -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "count"), [("tiny", 200), ("duo", 60)])
def test_hundreds_of_cancelled_jobs_leave_nothing_behind(kind, count, request):
    voice = request.getfixturevalue(kind)
    threads, left = threading.active_count(), []
    rng = np.random.default_rng(0)
    with Scheduler(voice, slots=3, queue=5, buffer_seconds=0.5) as scheduler:
        for n in range(count):
            job = scheduler.submit(SpeechJob(text=TEXTS[n % 4], seed=n))
            left.append(weakref.ref(job))
            if n % 3:
                time.sleep(float(rng.uniform(0, 0.004)))
            else:
                next(iter(job))
            job.cancel()
            del job
            until(lambda: scheduler.stats().queued < 5)
        assert scheduler.drain(20)
        stats = scheduler.stats()
        assert (stats.running, stats.queued, stats.rows) == (0, 0, 0)
        assert sum(stats.ended.values()) == count
        gc.collect()
        assert not [reference for reference in left if reference() is not None]
    assert threading.active_count() == threads


def test_a_cancelled_job_frees_its_slot_before_its_speech_is_over(tiny):
    with Scheduler(tiny, slots=1, queue=1) as scheduler:
        long = scheduler.submit(SpeechJob(text=" ".join(TEXTS * 30)))
        until(lambda: long.timings.first_audio is not None)
        long.cancel()
        began = time.monotonic()
        until(lambda: scheduler.stats().running == 0)
        assert time.monotonic() - began < 1.0 and list(long) == []
        assert not scheduler.stats().rows


def test_a_job_that_runs_out_of_memory_ends_alone(tiny, monkeypatch):
    from aoede.generation.decoders import FrameDecoder

    real, failing = FrameDecoder.push, []

    def push(self, frames):
        if self.seed == failing[0]:
            torch.empty(1 << 60)  # more than any address space holds
        return real(self, frames)

    monkeypatch.setattr(FrameDecoder, "push", push)
    failing.append(np.random.SeedSequence([7, 1]).generate_state(2).tolist()[1])  # the second sentence of seed 7
    with Scheduler(tiny, slots=3) as scheduler:
        jobs = [scheduler.submit(SpeechJob(text=TEXTS[1], seed=seed)) for seed in (6, 7, 8)]
        with pytest.raises(JobError, match="speaking failed") as caught:
            samples(jobs[1])
        assert caught.value.end == "failed" and isinstance(jobs[1].error, RuntimeError)
        assert [np.array_equal(samples(job), spoken(tiny, job.request)) for job in (jobs[0], jobs[2])] == [True] * 2
        assert scheduler.drain(20)
        assert scheduler.stats().ended == {"done": 2, "failed": 1}


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_a_row_that_runs_out_of_memory_in_the_model_ends_alone(tiny, monkeypatch, error):
    """The model's step fails for as long as one row is in it: the others give what they give alone."""
    from aoede.generation.row_stage import RowStage

    real, wide = RowStage.read, []

    def read(self, ids, positions, rows):
        for memory, count in rows:
            if count > 60:
                wide.append(memory)  # a long prompt; it fails later, among others
            if memory in wide and memory.length > 75:
                raise error
        return real(self, ids, positions, rows)

    expected = [spoken(tiny, SpeechJob(text="One.", seed=n)) for n in range(3)]
    monkeypatch.setattr(RowStage, "read", read)
    with Scheduler(tiny, slots=4) as scheduler:
        bad = scheduler.submit(
            SpeechJob(text="this is a sentence of very many words that goes on and on and on and on", seed=1)
        )
        found = together(scheduler, [SpeechJob(text="One.", seed=n) for n in range(3)])
        with pytest.raises(JobError, match="speaking failed"):
            samples(bad)
    assert wide and bad.error is error
    assert all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))


def test_draining_finishes_what_began_and_takes_nothing_new(tiny):
    with Scheduler(tiny, slots=1) as scheduler:
        jobs = [scheduler.submit(SpeechJob(text="Well.", seed=n)) for n in range(3)]
        assert scheduler.drain(30) and scheduler.stats().is_draining
        with pytest.raises(SchedulerClosed, match="shutting down"):
            scheduler.submit(SpeechJob(text="Late."))
        assert all(np.array_equal(samples(job), spoken(tiny, job.request)) for job in jobs)


def test_closing_cancels_what_is_left(tiny):
    scheduler = Scheduler(tiny, slots=1)
    jobs = [scheduler.submit(SpeechJob(text=" ".join(TEXTS * 30), seed=n)) for n in range(2)]
    assert not scheduler.drain(0.05)
    scheduler.close()
    assert [job.state for job in jobs] == ["cancelled", "cancelled"]


# -- readers ----------------------------------------------------------------------------------------------------


def test_coroutines_read_many_jobs_in_one_thread(tiny):
    requests = mixed(6)

    async def read(job):
        return np.concatenate([chunk.samples async for chunk in job.chunks()])

    async def main(scheduler):
        return await asyncio.gather(*[read(scheduler.submit(request)) for request in requests])

    with Scheduler(tiny, slots=3) as scheduler:
        found = asyncio.run(main(scheduler))
    assert all(np.array_equal(got, spoken(tiny, asked)) for asked, got in zip(requests, found, strict=True))


def test_a_coroutine_that_is_cancelled_cancels_its_job(tiny):
    async def main(scheduler):
        job = scheduler.submit(SpeechJob(text=" ".join(TEXTS * 30)))

        async def read():
            async for _ in job.chunks():
                await asyncio.sleep(60)

        task = asyncio.create_task(read())
        while job.timings.first_audio is None:
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return job

    with Scheduler(tiny, slots=1) as scheduler:
        job = asyncio.run(main(scheduler))
        assert job.state == "cancelled"
        until(lambda: scheduler.stats().running == 0)


def test_timings_say_where_the_time_went(tiny):
    with Scheduler(tiny, slots=1) as scheduler:
        first, second = (scheduler.submit(SpeechJob(text=TEXTS[2], seed=n)) for n in range(2))
        lengths = [len(samples(job)) for job in (first, second)]
        times = [job.timings for job in (first, second)]
    assert [one.audio for one in times] == [length / 8000 for length in lengths]
    assert times[1].queued >= times[0].running * 0.9 > 0
    assert all(0 < one.first_audio <= one.queued + one.running + 0.05 for one in times)
    assert times[0].rtf == pytest.approx(times[0].running / times[0].audio)


def test_an_observer_hears_of_steps_first_sounds_and_ends(tiny):
    heard = []

    class Observer:
        def step(self, rows):
            heard.append(("step", rows))

        def first_audio(self, seconds):
            heard.append(("first", seconds > 0))

        def ended(self, end, timings):
            heard.append(("ended", end, timings is not None))

    with Scheduler(tiny, slots=1, queue=0, observer=Observer()) as scheduler:
        job = scheduler.submit(SpeechJob(text="Well."))
        with pytest.raises(QueueFull):
            scheduler.submit(SpeechJob(text="Well."))
        samples(job)
        scheduler.drain(20)
    assert [one for one in heard if one[0] != "step"] == [
        ("ended", "refused", False),
        ("first", True),
        ("ended", "done", True),
    ]
    assert heard.count(("step", 1)) == scheduler.stats().steps_by_rows[1]
