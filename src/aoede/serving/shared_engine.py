"""The shared engine: rows of many jobs decoded together by one thread, joining and leaving at any step.

Owns the thread, who is stepped, and the frames on their way to the jobs. A row whose job does not take its frames
stands still; a row that fails ends alone. Knows nothing of text, sound or queues.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace

import torch

from aoede.generation import Engine, Request, Sampling, Session, Step, TextRequest
from aoede.serving.gates import Stop

_LOG = logging.getLogger(__name__)

MOST_WAITING = 32
"""Frames that are made ahead of a job's codec: a little more than one piece of it."""


class SharedEngine:
    """Decodes requests of many threads in one session; `close` ends its thread.

    The model must be one whose rows do not feel each other (`Engine.stage`); its weights stay as they are while rows
    are being decoded.
    """

    def __init__(
        self, engine: Engine, rows: int, *, threads: int = 1, on_step: Callable[[int], None] | None = None
    ) -> None:
        """Start.

        Args:
            rows: the most that are decoded together; requests beyond them wait.
            threads: torch's threads for one operation.
            on_step: told how many rows were stepped together.
        Raises:
            ValueError: a model whose rows cannot be kept apart.
        """
        if engine.stage() is None:
            raise ValueError("rows of this model round differently beside others: decode its requests one by one")
        self.engine, self.size = engine, rows
        self._threads, self._on_step = threads, on_step
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)  # for the engine's thread; each job has one of its own
        self._arrived: deque[_Row] = deque()
        self._gone: list[_Row] = []
        self._rows: dict[int, _Row] = {}
        self._steps: Counter[int] = Counter()
        self._is_closed = False
        self._thread = threading.Thread(target=self._work, name="aoede-model", daemon=True)
        self._thread.start()

    @property
    def rows(self) -> int:
        """Rows that are being decoded."""
        with self._lock:
            return sum(not row.is_gone for row in self._rows.values())

    @property
    def steps_by_rows(self) -> dict[int, int]:
        """Steps so far, by the rows stepped together."""
        with self._lock:
            return dict(self._steps)

    def generate(
        self, requests: Sequence[Request | TextRequest], sampling: Sampling, stop: Stop | None = None
    ) -> Iterator[Step]:
        """As `Engine.generate`: the steps of each request are those it has alone, in the order in which they come.

        Rows leave when the iterator is closed, and at once when `stop` is set.

        Raises:
            ValueError: what the engine refuses.
            Stopped, TimeoutError: as `stop.check`.
        """
        stop = stop or Stop()
        told = threading.Condition(self._lock)
        rows = [_Row(number, request, request.sampling or sampling, told) for number, request in enumerate(requests)]

        def leave() -> None:
            with self._lock:
                for row in rows:
                    row.is_gone = True
                self._gone += rows
                self._changed.notify_all()
                told.notify_all()

        with ExitStack() as stack:
            stack.callback(leave)
            stack.enter_context(stop.told(leave))
            with self._lock:
                if self._is_closed:
                    raise RuntimeError("the engine was closed")
                self._arrived += rows
                self._changed.notify_all()
            left = list(rows)
            while left:
                for row, step in self._next(left, told, stop):
                    if step.end is not None:
                        left.remove(row)
                    yield step

    def close(self) -> None:
        """End the thread; rows that are left fail."""
        with self._lock:
            self._is_closed = True
            self._changed.notify_all()
        self._thread.join()
        self._fail_all(RuntimeError("the engine was closed while it was decoding"))

    # -- the job's side -----------------------------------------------------------------------------------------

    def _next(self, rows: list[_Row], told: threading.Condition, stop: Stop) -> list[tuple[_Row, Step]]:
        """What rows have to tell, one step each; waits until there is something."""
        with self._lock:
            while True:
                stop.check()
                found = []
                for row in rows:
                    if row.steps:
                        if len(row.steps) == MOST_WAITING:
                            self._changed.notify_all()  # it stood still
                        found.append((row, row.steps.popleft()))
                    elif row.error is not None:
                        raise row.error
                if found:
                    return found
                told.wait(stop.left)

    # -- the thread ---------------------------------------------------------------------------------------------

    def _work(self) -> None:
        torch.set_num_threads(self._threads)
        while True:
            with self._lock:
                self._changed.wait_for(lambda: self._arrived or self._is_closed)
                if self._is_closed:
                    return
            try:
                # Opened for as long as somebody is there: weights may change in between.
                with self.engine.open(self.size) as session:
                    while self._turn(session):
                        pass
            except Exception as error:
                _LOG.exception("the engine failed; it starts anew")
                self._fail_all(error)

    def _fail_all(self, error: Exception) -> None:
        with self._lock:
            for row in [*self._arrived, *self._rows.values()]:
                row.fail(error)
            self._arrived.clear()
            self._rows.clear()

    def _turn(self, session: Session) -> bool:
        """One step of all who go on; False when nobody is left."""
        with self._lock:
            while True:
                self._take_leave(session)
                going = [number for number, row in self._rows.items() if len(row.steps) < MOST_WAITING]
                if self._is_closed or not (self._rows or self._arrived):
                    return False
                joining = self._arrived.popleft() if self._arrived and session.free else None
                if going or joining is not None:
                    break
                self._changed.wait()
        # One prompt a step, so that those who are being decoded wait for one at the most.
        if joining is not None and (number := self._join(session, joining)) is not None:
            going.append(number)
        self._step(session, going)
        return True

    def _take_leave(self, session: Session) -> None:
        gone, self._gone = self._gone, []
        for row in gone:
            if row in self._arrived:
                self._arrived.remove(row)
            # Numbers begin anew with every session: one who lingers in an old one's must not take another's row along.
            if row.joined is not None and self._rows.get(row.joined) is row:
                del self._rows[row.joined]
                session.leave(row.joined)

    def _join(self, session: Session, row: _Row) -> int | None:
        try:
            number = session.join(row.request_with_sampling)
        except Exception as error:
            with self._lock:
                row.fail(error)
            return None
        with self._lock:
            row.joined = number
            self._rows[number] = row
        return number

    def _step(self, session: Session, numbers: list[int]) -> None:
        if not numbers:
            return
        try:
            steps = session.step(numbers)
        except Exception as error:
            if len(numbers) > 1:
                # Nothing was drawn or read that would be drawn or read again: whose fault it is comes out alone.
                for number in numbers:
                    self._step(session, [number])
                return
            [number] = numbers
            session.leave(number)
            with self._lock:
                self._rows.pop(number).fail(error)
            return
        with self._lock:
            self._steps[len(numbers)] += 1
            for step in steps:
                row = self._rows[step.row]
                row.steps.append(Step(row.number, frame=step.frame, token=step.token, end=step.end))
                if step.end is not None:
                    del self._rows[step.row]
                row.told.notify_all()
        if self._on_step is not None:
            self._on_step(len(numbers))


class _Row:
    """A request on its way."""

    def __init__(
        self, number: int, request: Request | TextRequest, sampling: Sampling, told: threading.Condition
    ) -> None:
        self.number, self.told = number, told
        self.request_with_sampling = replace(request, sampling=sampling)
        self.joined: int | None = None
        self.is_gone = False
        self.steps: deque[Step] = deque()
        self.error: Exception | None = None

    def fail(self, error: Exception) -> None:
        """It has ended by an error. The lock is held."""
        self.error = error
        self.told.notify_all()
