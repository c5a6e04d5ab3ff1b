"""A server process of its own: `aoede serve` on a free port, its figures, its end.

Owns the process. Linux and macOS; what it takes is read by psutil.
"""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

HOST = "127.0.0.1"
SERVE = (sys.executable, "-m", "aoede.cli.main", "serve", "--host", HOST, "--port", "0")


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What a process holds, and the CPU seconds it has had."""

    memory: int
    """Bytes that are resident."""

    files: int
    threads: int
    cpu_seconds: float


class ServerProcess:
    """A server that runs; as a context manager it is ended at the latest when the block is left."""

    def __init__(
        self,
        log: Path,
        options: Sequence[str] = (),
        *,
        command: Sequence[str] = SERVE,
        threads: int | None = None,
        patience: float = 120.0,
    ) -> None:
        """Start it, and wait until it answers.

        Args:
            log: where what it says is written.
            options: of `aoede serve`, beside host and port.
            command: what to run instead.
            threads: of torch (OMP_NUM_THREADS); None leaves the environment as it is.
            patience: seconds until it has to answer.
        Raises:
            RuntimeError: it ended, or does not answer; with what it said.
        """
        self.log = log
        environment = dict(os.environ) if threads is None else {**os.environ, "OMP_NUM_THREADS": str(threads)}
        with log.open("wb") as sink:
            self.process = subprocess.Popen(
                [*command, *options], stdout=sink, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment
            )
        try:
            self.port = self._wait(time.monotonic() + patience)
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.stop()

    def _wait(self, until: float) -> int:
        while time.monotonic() < until:
            said = self.said()
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended with {self.process.returncode}:\n{said}")
            if found := re.search(rf"http://{re.escape(HOST)}:(\d+)", said):
                self.port = int(found[1])
                try:
                    if self.get("/health")[0] == 200:
                        return self.port
                except OSError:
                    pass  # it says where it will listen a moment before it does
            time.sleep(0.05)
        raise RuntimeError(f"the server does not answer:\n{self.said()}")

    def said(self) -> str:
        """What it has printed so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def get(self, path: str, timeout: float = 30.0) -> tuple[int, str]:
        """Status and body of a GET."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=timeout)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode("utf-8", "replace")
        finally:
            connection.close()

    def metrics(self) -> dict[str, float]:
        """What /metrics says: `name{labels}` as it stands there, and its value."""
        lines = [line for line in self.get("/metrics")[1].splitlines() if line and not line.startswith("#")]
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}

    def steps(self) -> tuple[float, float]:
        """Rows that were stepped so far, and in how many steps, of all voices together."""
        metrics = self.metrics()
        rows, steps = (
            sum(value for name, value in metrics.items() if name.startswith(f"aoede_batch_rows_{which}{{"))
            for which in ("sum", "count")
        )
        return rows, steps

    def taken(self) -> Taken:
        """What it holds now."""
        process = psutil.Process(self.process.pid)
        with process.oneshot():
            cpu = process.cpu_times()
            return Taken(
                memory=process.memory_info().rss,
                files=process.num_fds(),
                threads=process.num_threads(),
                cpu_seconds=cpu.user + cpu.system,
            )

    def terminate(self) -> None:
        """Ask it to finish what it began and end (SIGTERM); does not wait."""
        self.process.send_signal(signal.SIGTERM)

    def stop(self, patience: float = 30.0) -> int:
        """End it, by force when it takes longer; the exit status."""
        self.terminate()
        try:
            return self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()
