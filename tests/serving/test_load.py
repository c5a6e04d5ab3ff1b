"""What the load test measures, on timelines and servers written by hand: benchmarks/speech_load."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import pytest
from benchmarks.speech_load.client import Reply, speak
from benchmarks.speech_load.figures import COLUMNS, Asked, Level, cells, differing
from benchmarks.speech_load.playback import Arrival, play
from hypothesis import given
from hypothesis import strategies as st


def timeline(*pairs: tuple[float, float]) -> list[Arrival]:
    """(when, seconds of sound) of each chunk."""
    return [Arrival(at, seconds) for at, seconds in pairs]


# -- playback -----------------------------------------------------------------------------------------------------


def test_chunks_that_come_before_what_was_sent_is_played_are_not_late():
    heard = play(timeline((0.3, 0.5), (0.5, 0.75), (1.55, 1.0)))  # played from .3 to .8, to 1.55, to 2.55
    assert (heard.first_audio, heard.late, heard.stalled_seconds) == (0.3, 0, 0.0)
    assert heard.audio_seconds == 2.25 and heard.ends == pytest.approx(2.55)


def test_a_late_chunk_stops_playback_and_moves_everything_after_it():
    # Played from 1 to 1.5; silence to 2; from 2 to 2.5; the third is in time only because the second was late.
    heard = play(timeline((1.0, 0.5), (2.0, 0.5), (2.25, 1.0)))
    assert (heard.late, heard.stalled_seconds, heard.ends) == (1, 0.5, 3.5)


def test_every_late_chunk_counts():
    heard = play(timeline((0.0, 0.25), (0.5, 0.25), (1.0, 0.25)))
    assert (heard.late, heard.stalled_seconds, heard.ends) == (2, 0.5, 1.25)


def test_a_player_that_holds_sound_back_starts_later_and_stalls_less():
    stream = timeline((0.0, 0.25), (0.5, 0.25), (1.0, 0.25))
    heard = play(stream, held=0.5)  # starts at .5 with half a second, which lasts until 1
    assert (heard.first_audio, heard.late, heard.stalled_seconds, heard.ends) == (0.0, 0, 0.0, 1.25)


def test_a_stream_shorter_than_what_the_player_wants_starts_when_it_is_over():
    heard = play(timeline((0.5, 0.25), (1.0, 0.25)), held=10.0)
    assert (heard.late, heard.ends) == (0, 1.5)


def test_chunks_without_sound_are_no_first_sound_and_never_late():
    heard = play(timeline((0.1, 0.0), (0.5, 0.5), (9.0, 0.0)))
    assert (heard.first_audio, heard.late, heard.ends) == (0.5, 0, 1.0)


def test_nothing_heard_is_told_as_nothing():
    heard = play([])
    assert (heard.first_audio, heard.late, heard.audio_seconds, heard.ends) == (None, 0, 0.0, None)


def test_times_that_go_back_are_refused():
    with pytest.raises(ValueError, match="in their order"):
        play(timeline((1.0, 0.5), (0.5, 0.5)))


@given(
    st.lists(st.tuples(st.integers(0, 64), st.integers(1, 64)), min_size=1, max_size=20), st.sampled_from([0.0, 0.5])
)
def test_playback_ends_after_its_sound_and_its_silence(gaps: Sequence[tuple[int, int]], held: float):
    """Sixteenths of a second, exact in floats: from the start of playback there is sound or silence, nothing else."""
    at, stream = 0.0, []
    for gap, length in gaps:
        at += gap / 16
        stream.append(Arrival(at, length / 16))
    heard = play(stream, held)
    sound, starts = 0.0, at
    for arrival in stream:
        sound += arrival.seconds
        if sound >= held:
            starts = arrival.at
            break
    assert heard.ends == starts + heard.audio_seconds + heard.stalled_seconds
    assert (heard.late > 0) == (heard.stalled_seconds > 0)


# -- the client, against servers of a few lines --------------------------------------------------------------------


def ask(*pieces: bytes | float, timeout: float = 5.0) -> tuple[Reply, bytes]:
    """What a client makes of a server that sends these bytes, with pauses of so many seconds; and what it was sent."""

    async def run() -> tuple[Reply, bytes]:
        got, done = bytearray(), asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            got.extend(head + await reader.readexactly(length))
            for piece in pieces:
                if isinstance(piece, float):
                    await asyncio.sleep(piece)
                else:
                    writer.write(piece)
                    await writer.drain()
            writer.close()
            await writer.wait_closed()
            done.set()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            reply = await speak("127.0.0.1", port, {"input": "Hello."}, timeout)
            await done.wait()
            return reply, bytes(got)

    return asyncio.run(run())


OPENED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Aoede-Seed: 3\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """As HTTP frames it."""
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def test_a_client_times_each_chunk_and_takes_the_whole_sound():
    sound = bytes(range(240)) * 20  # 4,800 bytes: a tenth of a second
    reply, sent = ask(OPENED, chunk(sound), 0.2, chunk(sound + sound), chunk(b""))
    assert reply.is_whole and reply.headers["x-aoede-seed"] == "3"
    assert [arrival.seconds for arrival in reply.arrivals] == [0.1, 0.2]
    assert reply.digest == sha256(sound * 3).hexdigest()
    assert reply.arrivals[1].at - reply.arrivals[0].at > 0.15
    assert play(reply.arrivals).late == 1
    assert sent.startswith(b"POST /v1/audio/speech HTTP/1.1\r\n") and sent.endswith(b'{"input": "Hello."}')


def test_a_chunk_that_comes_in_two_parts_is_one():
    whole = chunk(bytes(4800))
    reply, _ = ask(OPENED, whole[:100], 0.05, whole[100:], chunk(b""))
    assert [arrival.seconds for arrival in reply.arrivals] == [0.1]


def test_a_refusal_says_when_to_come_again_and_is_no_error():
    reply, _ = ask(b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 2\r\nContent-Length: 4\r\n\r\nfull")
    assert (reply.status, reply.retry_after, reply.error, reply.text) == (429, 2.0, None, "full")
    assert not reply.is_whole and not reply.arrivals


def test_every_other_status_is_an_error_with_its_words():
    reply, _ = ask(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\n\r\noops")
    assert reply.error == "status 500: oops"


@pytest.mark.parametrize("tail", [b"", b"12c0\r\n" + bytes(10)])
def test_a_stream_that_breaks_off_is_an_error_even_between_chunks(tail: bytes):
    reply, _ = ask(OPENED, chunk(bytes(480)), tail)
    assert reply.error is not None and "ended in the middle" in reply.error and not reply.is_whole
    assert len(reply.arrivals) == 1


def test_a_server_that_hangs_is_an_error_in_time():
    reply, _ = ask(OPENED, chunk(bytes(480)), 0.6, timeout=0.3)
    assert reply.error == "not done after 0.3 s"


# -- a level ------------------------------------------------------------------------------------------------------


def told(sent: float, *pairs: tuple[float, float], digest: str = "a", error: str | None = None) -> Reply:
    """A reply of 200 with these chunks."""
    return Reply(sent=sent, status=200, arrivals=timeline(*pairs), digest=digest, error=error)


def level(*asked: Asked, slots: int = 8) -> Level:
    """Ten seconds of two clients."""
    return Level(
        clients=2, slots=slots, opened=100.0, window=10.0, elapsed=12.0, asked=asked, cpu_seconds=3.0, memory=2**20
    )


def test_a_level_adds_up():
    seen = level(
        Asked(saying=0, seed=0, first_try=100.0, reply=told(100.0, (100.2, 1.0), (100.9, 1.0))),
        Asked(saying=1, seed=0, first_try=100.0, refusals=2, reply=told(104.0, (104.4, 1.0), (106.4, 1.0))),
        Asked(saying=0, seed=1, first_try=108.0, reply=told(108.0, (108.6, 1.0), (110.5, 1.0), error="broke")),
        Asked(saying=2, seed=0, first_try=109.0, refusals=1),
    )
    assert seen.throughput == 0.5  # five of the six seconds came within the ten
    assert (seen.finished, seen.refusals, seen.errors, seen.late, seen.stalled_streams) == (2, 3, ["broke"], 2, 2)
    assert seen.first_audio(50) == pytest.approx(0.4) and seen.first_audio(100) == pytest.approx(0.6)
    assert seen.first_audio(100, from_first_try=True) == pytest.approx(4.4)
    assert seen.stalled_share == pytest.approx((1.0 + 0.9) / 6)
    assert len(cells(seen)) == len(COLUMNS)


def test_sounds_that_differ_between_levels_are_named():
    one = level(Asked(saying=4, seed=1, first_try=100.0, reply=told(100.0, (101.0, 1.0))))
    other = level(Asked(saying=4, seed=1, first_try=100.0, reply=told(100.0, (101.0, 1.0), digest="b")), slots=1)
    assert differing([one, one]) == []
    assert differing([one, other]) == ["text 4 with seed 1 came as 2 different sounds"]


def test_a_level_in_which_nothing_came_has_no_figures_made_up():
    seen = level(Asked(saying=0, seed=0, first_try=100.0, reply=Reply(sent=100.0, error="refused")))
    assert seen.first_audio(50) is None and seen.throughput == 0 and seen.errors == ["refused"]
    assert cells(seen)[4] == "-"


# -- the whole ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_load_test_runs_and_writes_its_table(tmp_path, tiny_folder):
    script = Path(__file__).parents[2] / "benchmarks" / "serving.py"
    results = tmp_path / "serving.md"
    command = [sys.executable, str(script), "--clients", "1", "4", "--slots", "2", "--seconds", "2", "--threads", "1"]
    command += ["--voice", str(tiny_folder), "--results", str(results), "--", "--queue", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = results.read_text(encoding="utf-8").splitlines()
    assert f"| {' | '.join(COLUMNS)} |" in lines
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith(("| 1 |", "| 4 |"))]
    assert [row[:2] for row in rows] == [["1", "2"], ["1", "1"], ["4", "2"], ["4", "1"]]
    found = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
    assert all(int(row["whole"]) > 0 and row["errors"] == "0" for row in found)
    assert int(found[0]["429s"]) == 0 and int(found[3]["429s"]) > 0
    assert float(found[2]["rows a step"]) > 1 and float(found[3]["rows a step"]) == 1
