"""When one process of a run fails, all of them end, within seconds, and every console says why.

Owns the word that a failing process leaves for its peers, and a thread in each of them that looks for it: who waits in
an exchange with a dead process cannot notice by himself (NCCL waits for ever, and torchrun's signal is taken for a wish
to stop after this step). The word goes through the store by which the processes met. A process that dies without one
(killed, out of memory) is noticed by the others of its machine, which hold its pid. Knows nothing of training.
"""

import os
import select
import socket
import sys
import threading
import time
from contextlib import suppress
from datetime import timedelta
from types import TracebackType
from typing import Any

from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]

PERIOD_SECONDS = 0.5
GRACE_SECONDS = 3.0
"""How long a process waits for the word of the one that failed first, and that one for the others to read it."""


class PeerFailure(ValueError):
    """Another process of the run failed; this one ended because of it."""


class Watch:
    """A `with` around everything that processes do together."""

    def __init__(self, rank: int, processes: int) -> None:
        """Every rank makes one, after `init_process_group`."""
        self.rank, self.processes = rank, processes
        run = os.environ.get("TORCHELASTIC_RUN_ID", "")
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        self._prefix = f"aoede/{run}/{attempt}"
        self._store = self._connect()
        self._over = threading.Event()
        self._machine = socket.gethostname()
        self._store.set(f"pid/{rank}", f"{os.getpid()} {self._machine}")
        self._handles: dict[int, int] = {}
        self._thread = threading.Thread(target=self._look, name="peers", daemon=True)

    def __enter__(self) -> "Watch":
        for peer in range(self.processes):
            pid, _, machine = self._store.get(f"pid/{peer}").decode().partition(" ")
            if peer != self.rank and machine == self._machine and hasattr(os, "pidfd_open"):
                self._handles[peer] = os.pidfd_open(int(pid))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.rest()
        try:
            if isinstance(error, Exception | KeyboardInterrupt):
                self._part(error)
        finally:
            for handle in self._handles.values():
                os.close(handle)

    def rest(self) -> None:
        """Look no more: from here on the processes end one after the other."""
        self._over.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()

    def _part(self, error: BaseException) -> None:
        """Leaves the word, or raises that of the process which failed first."""
        text = " ".join(str(error).split()) or type(error).__name__
        if not isinstance(error, ValueError | OSError):
            text = f"{type(error).__name__}: {text}"
        # A lost connection is what failing looks like from beside: whose was it?
        if isinstance(error, RuntimeError):
            end = time.monotonic() + GRACE_SECONDS
            while time.monotonic() < end:
                if (found := self._found()) is not None:
                    raise PeerFailure(found) from None
                time.sleep(0.05)
        try:
            first = self._store.compare_set("first", "", f"{self.rank} {text}").decode()
        except RuntimeError:  # the store is gone, with the process that held it
            return
        rank, _, said = first.partition(" ")
        if int(rank) != self.rank:
            if said != text:
                raise PeerFailure(f"process {rank} failed: {said}") from error
            return
        if "TORCHELASTIC_RUN_ID" not in os.environ and self.rank == 0:
            # This process holds the store: the others must have read it before it ends.
            time.sleep(2 * PERIOD_SECONDS)

    def _found(self) -> str | None:
        """What happened to another process, if anything did."""
        try:
            if self._store.check(["first"]):
                rank, _, said = self._store.get("first").decode().partition(" ")
                if int(rank) != self.rank:
                    return f"process {rank} failed: {said}"
                return None
        except RuntimeError:
            return "process 0, which the others meet through, is gone: what it said last is the reason"
        for peer, handle in self._handles.items():
            if select.select([handle], [], [], 0.0)[0]:
                time.sleep(0.2)  # it may have left a word as its last act
                said = f"{peer} it ended without a word (killed, or out of memory)"
                with suppress(RuntimeError):
                    said = self._store.compare_set("first", "", said).decode()
                return "process {0} failed: {2}".format(*said.partition(" "))
        return None

    def _look(self) -> None:
        while not self._over.wait(PERIOD_SECONDS):
            found = self._found()
            if found is not None and not self._over.wait(2 * PERIOD_SECONDS):
                # The main thread hangs in an exchange; had it failed by itself, it would be leaving by now.
                print(f"aoede: error: {found}; process {self.rank} ends too", file=sys.stderr, flush=True)
                os._exit(1)

    def _connect(self) -> Any:
        # A connection of its own: one that the main thread waits on would make this thread wait too.
        host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        limit = timedelta(minutes=5)
        store = TCPStore(host, port, is_master=False, wait_for_workers=False, timeout=limit)
        return PrefixStore(self._prefix, store)
