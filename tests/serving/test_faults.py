"""A server that is treated badly: slow readers, clients that vanish or are killed, too many, no memory, SIGTERM.

Every test talks to a real server process over loopback. A client that does not read holds its slot for as long as a
test needs, since a speech waits for its reader.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from benchmarks.speech_load.server import ServerProcess, Taken

from tests.serving import serve_with_faults
from tests.serving.loopback import Stream, request_bytes, until, whole

SHORT = {"model": "tiny", "voice": "af_heart", "input": "Hello.", "response_format": "pcm", "seed": 1}
MIDDLE = {**SHORT, "input": "One two three. " * 3}
LONG = {**SHORT, "input": "One two three. " * 12}
"""Twenty seconds: more than a server makes ahead of a reader and the sockets hold."""

SMALL_BUFFER = 4096


def held(server: ServerProcess) -> tuple[int, int]:
    """Slots in use and places in the queue taken, of the flat voice."""
    metrics = server.metrics()
    return int(metrics['aoede_rows{voice="tiny"}']), int(metrics['aoede_queue{voice="tiny"}'])


def comes_to(server: ServerProcess, slots: int, waiting: int = 0, seconds: float = 30.0) -> None:
    """Wait until so many slots are in use and so many requests wait."""
    until(lambda: held(server) == (slots, waiting), seconds, lambda: f"slots and waiting {held(server)}")


def stands_still(server: ServerProcess) -> None:
    """Wait until no frame is written any more, though somebody speaks: all readers are waited for."""
    seen = [-1.0]

    def same() -> bool:
        seen.append(server.metrics()['aoede_batch_rows_count{voice="tiny"}'])
        time.sleep(0.5)
        return seen[-1] == seen[-2]

    until(same, 60)
    assert held(server)[0] > 0


@pytest.fixture
def idle(server: ServerProcess) -> ServerProcess:
    """The server, with nothing to do."""
    comes_to(server, 0)
    return server


@contextlib.contextmanager
def stalled(server: ServerProcess, count: int) -> Iterator[list[Stream]]:
    """So many speeches that have begun and whose clients do not read on."""
    with contextlib.ExitStack() as stack:
        streams = []
        for _ in range(count):
            streams.append(stack.enter_context(Stream(server.port, LONG, receive_buffer=SMALL_BUFFER)))
            streams[-1].begin()
        yield streams


# -- readers ------------------------------------------------------------------------------------------------------


def test_a_slow_reader_holds_up_nobody_and_misses_nothing(idle):
    _, _, expected = whole(idle.port, LONG)
    with Stream(idle.port, LONG, receive_buffer=SMALL_BUFFER) as slow:
        got = slow.begin()
        stands_still(idle)
        for seed in range(3):  # the other slot serves them, one after the other
            status, _, sound = whole(idle.port, {**SHORT, "seed": seed})
            assert status == 200 and sound
        assert held(idle) == (1, 0)
        got += slow.rest()
    assert got == expected


@pytest.mark.parametrize(("way", "form"), [("close", "audio"), ("reset", "sse")])
def test_a_client_that_hangs_up_frees_its_slot_at_once(idle, way, form):
    with stalled(idle, 1), Stream(idle.port, {**LONG, "stream_format": form}, receive_buffer=SMALL_BUFFER) as leaving:
        leaving.begin()
        with Stream(idle.port, SHORT) as next_one:
            comes_to(idle, 2, 1)
            getattr(leaving, way)()
            assert next_one.begin()
            next_one.rest()
        comes_to(idle, 1)
    comes_to(idle, 0)


def test_a_client_that_hangs_up_while_it_waits_leaves_the_queue(idle):
    with stalled(idle, 2):
        with Stream(idle.port, SHORT):
            comes_to(idle, 2, 1)
        comes_to(idle, 2, 0)


def test_a_server_with_nothing_to_do_does_nothing(idle):
    before = idle.taken().cpu_seconds
    time.sleep(1)
    assert idle.taken().cpu_seconds - before < 0.2


# -- too many -----------------------------------------------------------------------------------------------------


def test_a_full_server_refuses_at_once_and_nothing_grows(idle):
    with stalled(idle, 2) as streams, Stream(idle.port, SHORT) as third, Stream(idle.port, SHORT) as fourth:
        comes_to(idle, 2, 2)
        before = idle.taken()
        for _ in range(30):
            started = time.monotonic()
            status, headers, body = whole(idle.port, SHORT)
            assert status == 429 and time.monotonic() - started < 5
            assert int(headers["retry-after"]) >= 1
            assert json.loads(body)["error"]["message"]
        assert held(idle) == (2, 2)
        no_more_than(before, idle, memory=16 << 20)
        for stream in streams:
            stream.close()
        assert third.begin() and fourth.begin()
        third.rest(), fourth.rest()
    comes_to(idle, 0)


def no_more_than(before: Taken, server: ServerProcess, memory: int) -> None:
    """The server holds what it held, within so many bytes; connections take a moment to be cleared away."""

    def grown() -> str:
        now = server.taken()
        return f"{before} became {now}"

    def holds() -> bool:
        now = server.taken()
        # A pool of threads may have one more or less, and the connection that was closed last may just be going.
        return (
            now.files <= before.files + 1 and now.threads <= before.threads + 2 and now.memory <= before.memory + memory
        )

    until(holds, 30, grown)


# -- clients that are killed --------------------------------------------------------------------------------------

# Waits for so many bytes of the reply, says so, and reads no more.
CLIENT = """
import socket, sys, time
client = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
client.sendall(bytes.fromhex(sys.argv[2]))
wanted = int(sys.argv[3])
while wanted > 0:
    data = client.recv(min(wanted, 4096))
    if not data:
        sys.exit("the server hung up")
    wanted -= len(data)
print("now", flush=True)
time.sleep(600)
"""


def kill_a_client(server: ServerProcess, data: bytes, after: int) -> None:
    """Run a client in a process of its own and kill it (-9) when it has got so many bytes."""
    command = [sys.executable, "-I", "-S", "-c", CLIENT, str(server.port), data.hex(), str(after)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        said = client.stdout.readline()
        client.kill()
        assert said == b"now\n"


def kill_clients(server: ServerProcess, numbers: range) -> None:
    """Clients killed at different points: in their request, as soon as it is sent, in the head, in the sound."""
    for number in numbers:
        data = request_bytes({**LONG, "seed": number, "stream_format": ("audio", "sse")[number // 5 % 2]})
        if number % 5 == 0:
            kill_a_client(server, data[: len(data) // 2], 0)
        else:
            kill_a_client(server, data, (0, 0, 100, 6_000, 40_000)[number % 5])


def test_clients_that_are_killed_leave_nothing(idle):
    kill_clients(idle, range(5))
    comes_to(idle, 0)
    before = idle.taken()
    kill_clients(idle, range(5, 20))
    comes_to(idle, 0)
    no_more_than(before, idle, memory=64 << 20)
    assert whole(idle.port, SHORT)[0] == 200


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_thousand_clients_that_are_killed_leave_nothing(idle):
    kill_clients(idle, range(400))  # until then the codec's kept noise and the allocator make themselves at home
    comes_to(idle, 0)
    before = idle.taken()
    kill_clients(idle, range(400, 1000))
    comes_to(idle, 0)
    no_more_than(before, idle, memory=24 << 20)  # 40 kB a client; the sound of one that leaked would be 1 MB
    assert whole(idle.port, SHORT)[0] == 200


# -- no memory ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [serve_with_faults.TORCH_AT_ONCE, serve_with_faults.NUMPY_AT_ONCE])
def test_a_request_without_memory_hurts_nobody_else(idle, seed):
    _, _, expected = whole(idle.port, MIDDLE)
    with Stream(idle.port, MIDDLE) as neighbour:
        got = neighbour.begin()
        status, _, body = whole(idle.port, {**MIDDLE, "seed": seed})
        assert status in (500, 503) and json.loads(body)["error"]["message"]
        assert got + neighbour.rest() == expected
    comes_to(idle, 0)


def test_a_request_that_runs_out_of_memory_in_the_middle_breaks_off_and_says_so(idle):
    _, _, expected = whole(idle.port, MIDDLE)
    failing = {**MIDDLE, "seed": serve_with_faults.TORCH_IN_THE_MIDDLE}
    with Stream(idle.port, MIDDLE) as neighbour:
        got = neighbour.begin()
        with Stream(idle.port, failing) as broken:
            assert broken.begin()
            with pytest.raises(ConnectionError):
                broken.rest()
        status, _, events = whole(idle.port, {**failing, "stream_format": "sse"})
        assert status == 200 and b'"speech.audio.delta"' in events and b'"error"' in events
        assert b'"speech.audio.done"' not in events
        assert got + neighbour.rest() == expected
    comes_to(idle, 0)


# -- its end ------------------------------------------------------------------------------------------------------


def test_sigterm_under_load_finishes_what_began_and_gives_up_on_who_does_not_read(tmp_path, tiny_folder):
    options = ["--voice", str(tiny_folder), "--slots", "2", "--queue", "2", "--stall", "3"]
    with (
        ServerProcess(tmp_path / "log", options, threads=1) as server,
        ThreadPoolExecutor(1) as pool,
        stalled(server, 1) as [stuck],
        Stream(server.port, LONG, receive_buffer=SMALL_BUFFER) as running,
    ):
        got = running.begin()
        waiting = pool.submit(whole, server.port, SHORT)
        comes_to(server, 2, 1)
        server.terminate()
        until(lambda: refused(server), 20)
        got += running.rest()  # raises where it breaks off
        assert len(got) > 10 * 48_000
        assert waiting.result(30)[0] == 200
        assert server.process.wait(30) == 0, server.said()
        with pytest.raises(ConnectionError):
            stuck.rest()
        assert "Traceback" not in server.said()


def refused(server: ServerProcess) -> bool:
    """Whether a new request is turned away, by 503 or because nobody listens any more."""
    try:
        return whole(server.port, SHORT)[0] in (0, 503)
    except ConnectionError:
        return True
