"""The sender: the queue that records wait in and the one thread that empties it.

The threads of the program meet :class:`RecordQueue` only; its lock is held for
a few lines and never during I/O. Everything else here belongs to the thread.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import random
import selectors
import socket
import sys
import threading
import time
from collections import deque
from typing import Any, Callable, NamedTuple

from . import _wire

QUEUE_RECORDS = 8192
QUEUE_BYTES = 4 * 1024 * 1024
UNACKED_RECORDS = 4096
UNACKED_BYTES = 4 * 1024 * 1024
BATCH_RECORDS = 100
BATCH_BYTES = 256 * 1024

BACKOFF_FIRST = 0.01
BACKOFF_LAST = 5.0
HURRIED_BACKOFF = 0.05
CONNECT_TIMEOUT = 5.0
# A connection on which nothing is acknowledged for so long is given up.
ACK_TIMEOUT = 30.0
# A connection that lived so long was a good one: the next attempt comes at once.
STEADY_AFTER = 5.0
# How often an idle sender looks for level changes, and a busy one for acknowledgements.
IDLE_WAIT = 0.05
ACK_WAIT = 0.02
REPORT_INTERVAL = 1.0

WARNING = 30

# Sockets look this codec up at the first connection. If a fork fell into that
# import, the child would wait for ever for a lock of a thread it does not have.
codecs.lookup("idna")


class Bell:
    """Wakes the sender. Ringing never blocks, not even from a signal handler.

    A plain lock does this better than ``threading.Event``, whose ``set`` takes a
    lock that the code interrupted by a signal may be holding.
    """

    def __init__(self) -> None:
        self._silence = threading.Lock()
        self._silence.acquire()

    def ring(self) -> None:
        """Ends the present or the next wait; further rings until then are one."""
        try:
            self._silence.release()
        except RuntimeError:  # It is ringing already.
            pass

    def wait(self, timeout: float) -> None:
        """Returns when rung, at the latest after ``timeout`` seconds."""
        self._silence.acquire(timeout=max(timeout, 0.0))


class Waiting(NamedTuple):
    """An encoded record; ``reports`` is how many drops it tells of, 0 for the program's own."""

    body: bytes
    reports: int


class Drops:
    """How many records were dropped for one reason, and when."""

    def __init__(self) -> None:
        self.count = 0
        self.important = 0
        self.first = self.last = time.time()

    def add(self, severity: int) -> None:
        """Counts one more."""
        self.count += 1
        self.important += severity >= WARNING
        self.last = time.time()


class RecordQueue:
    """Bounded in records and bytes; the last quarter is for WARNING and above."""

    def __init__(self, bell: Bell) -> None:
        # Reentrant, because a signal handler may log while its own thread is in here.
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.accepted = 0
        self.settled = 0
        self.dropped = 0
        self.reported = 0
        self._bell = bell
        self._ids = _wire.EntryIds()
        self._hungry = False
        self._items: deque[Waiting] = deque()
        self._bytes = 0
        self._drops: dict[str, Drops] = {}

    def __len__(self) -> int:
        return len(self._items)

    def offer(self, body: bytes, severity: int) -> None:
        """Takes the record, or counts it as dropped; wakes the sender if it waits for one."""
        with self.lock:
            if not self._has_room(len(body), severity):
                self.refuse("queue full", severity)
                return
            self._append(body, 0)
            self.accepted += 1
            hungry, self._hungry = self._hungry, False
        if hungry:
            self._bell.ring()

    def refuse(self, reason: str, severity: int) -> None:
        """Counts a record that is not taken; a report of it will be sent."""
        with self.lock:
            self.dropped += 1
            self._drops.setdefault(reason, Drops()).add(severity)

    def take_drops(self) -> dict[str, Drops]:
        """What is to be reported, once there is room again; empty until then."""
        with self.lock:
            if not self._drops or not self._has_room(0, 0):
                return {}
            drops, self._drops = self._drops, {}
            return drops

    def report(self, body: bytes, drops: int) -> None:
        """Puts a report of ``drops`` dropped records behind what waits already."""
        with self.lock:
            self._append(body, drops)

    def take(self, records: int, size: int) -> list[Waiting]:
        """The oldest records, at most so many and of that size together, but at least one."""
        batch: list[Waiting] = []
        with self.lock:
            while self._items and len(batch) < records:
                size -= len(self._items[0].body)
                if size < 0 and batch:
                    break
                batch.append(self._items.popleft())
                self._bytes -= len(batch[-1].body)
            if not self._items:
                # A signal handler that logs in the middle of `+=` could leave a difference.
                self._bytes = 0
        return batch

    def settle(self, items: list[Waiting]) -> None:
        """Counts what was acknowledged."""
        with self.changed:
            for item in items:
                self.reported += item.reports
                self.settled += not item.reports
            self.changed.notify_all()

    def is_waiting_for_records(self) -> bool:
        """True if nothing is there; from then on the next record rings the bell."""
        with self.lock:
            self._hungry = not self._items
            return self._hungry

    def has_drops(self) -> bool:
        """Whether drops are still to be reported."""
        return bool(self._drops)

    def _append(self, body: bytes, reports: int) -> None:
        item = Waiting(_wire.identify(body, self._ids.next()), reports)
        self._items.append(item)
        self._bytes += len(item.body)

    def _has_room(self, size: int, severity: int) -> bool:
        share = 4 if severity >= WARNING else 3
        return (
            len(self._items) < QUEUE_RECORDS * share // 4
            and self._bytes + size <= QUEUE_BYTES * share // 4
        )


class Sent(NamedTuple):
    """A record that has its number and is not acknowledged."""

    seq: int
    item: Waiting

    def finished(self) -> bytes:
        """Its bytes, the same each time it is sent."""
        return _wire.finish(self.item.body, self.seq)


class Unacknowledged:
    """What was numbered and must be sent again after a reconnect. The sender's alone."""

    def __init__(self) -> None:
        self._records: deque[Sent] = deque()
        self._again: deque[Sent] = deque()
        self._bytes = 0
        self._seq = 0
        self._sent_here = 0

    def __len__(self) -> int:
        return len(self._records)

    def room(self) -> int:
        """How many records more may be sent before something is acknowledged."""
        return UNACKED_RECORDS - len(self._records) if self._bytes < UNACKED_BYTES else 0

    def begin_connection(self) -> None:
        """Everything here is to be sent again, and nothing counts as sent so far."""
        self._again = deque(self._records)
        self._sent_here = 0

    def has_to_resend(self) -> bool:
        """Whether records of earlier connections are still to be sent on this one."""
        return bool(self._again)

    def resend(self) -> list[Sent]:
        """The next batch of records of earlier connections."""
        batch: list[Sent] = []
        size = 0
        while self._again and len(batch) < BATCH_RECORDS:
            size += len(self._again[0].item.body)
            if batch and size > BATCH_BYTES:
                break
            batch.append(self._again.popleft())
        return batch

    def number(self, items: list[Waiting]) -> list[Sent]:
        """Gives records their numbers; from here on they are kept until acknowledged."""
        batch = []
        for item in items:
            self._seq += 1
            self._bytes += len(item.body)
            batch.append(Sent(self._seq, item))
        self._records.extend(batch)
        return batch

    def sent(self, batch: list[Sent]) -> None:
        """The whole frame is with the operating system."""
        self._sent_here = batch[-1].seq

    def acknowledge(self, seq: int) -> list[Waiting]:
        """Lets go of what is written; a number that was not sent here yet means nothing."""
        seq = min(seq, self._sent_here)
        done: list[Waiting] = []
        while self._records and self._records[0].seq <= seq:
            done.append(self._records.popleft().item)
            self._bytes -= len(done[-1].body)
        return done


class Connection:
    """A non-blocking socket that reads while it waits to write."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._reader = _wire.FrameReader()
        self._selector = selectors.DefaultSelector()
        self._selector.register(sock, selectors.EVENT_READ)
        sock.setblocking(False)

    @classmethod
    def open(cls, address: tuple[str, int], timeout: float) -> Connection:
        """Connects; raises ``OSError``."""
        sock = socket.create_connection(address, timeout=timeout)
        try:
            # A connection to a free local port can end up talking to itself.
            if sock.getsockname() == sock.getpeername():
                raise ConnectionRefusedError("connected to itself")
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            return cls(sock)
        except BaseException:
            sock.close()
            raise

    def close(self) -> None:
        """Closes at once."""
        self._selector.close()
        self._sock.close()

    def receive(self) -> list[dict[str, Any]]:
        """The messages that have arrived; raises ``OSError`` when the peer has closed."""
        try:
            data = self._sock.recv(65536)
        except (BlockingIOError, InterruptedError):
            return []
        if not data:
            raise ConnectionResetError("the service closed the connection")
        return self._reader.feed(data)

    def send_some(self, data: memoryview) -> int:
        """How many bytes went out; 0 if there is no room."""
        try:
            return self._sock.send(data)
        except (BlockingIOError, InterruptedError):
            return 0

    def wait(self, timeout: float, for_room: bool = False) -> None:
        """Until something can be read (or written), at the longest ``timeout`` seconds."""
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if for_room else 0)
        self._selector.modify(self._sock, events)
        self._selector.select(max(timeout, 0.0))


class Sender:
    """Delivers the records of one process (a fork has its own) to one address."""

    def __init__(
        self, address: tuple[str, int], on_levels: Callable[[dict[str, Any]], None]
    ) -> None:
        self.source_id = f"{socket.gethostname()}:{os.getpid()}:{os.urandom(4).hex()}"
        self.bell = Bell()
        self.queue = RecordQueue(self.bell)
        self.ident: int | None = None
        self.last_error: Exception | None = None
        self._address = address
        self._on_levels = on_levels
        self._unacknowledged = Unacknowledged()
        self._connection: Connection | None = None
        self._thread: threading.Thread | None = None
        self._random = random.Random()
        self._failures = 0
        self._progress_at = 0.0
        self._reported_at = float("-inf")
        self._flushing = 0
        self._stop_at: float | None = None

    # === Called by the program's threads ===

    def start(self) -> None:
        """Starts the thread if it does not run; where none can be started, nothing happens."""
        if self._thread is not None:
            return
        with self.queue.lock:
            if self._thread is not None or self._stop_at is not None:
                return
            thread = threading.Thread(target=self._run, name="cantina-logging", daemon=True)
            self._thread = thread
            try:
                thread.start()
            except RuntimeError:  # Out of threads, or the interpreter is about to end.
                self._thread = None

    def flush(self, timeout: float) -> bool:
        """Waits until all that was logged before is acknowledged; False if time ran out."""
        with self.queue.changed:
            target = self.queue.accepted
            self._flushing += 1
            self.bell.ring()
            try:
                return self.queue.changed.wait_for(lambda: self.queue.settled >= target, timeout)
            finally:
                self._flushing -= 1

    def stop(self, timeout: float) -> tuple[int, int]:
        """Delivers what it can in time; returns how many are left, and how many drops untold."""
        with self.queue.lock:
            self._stop_at = time.monotonic() + timeout
        self.bell.ring()
        if self._thread is None:
            self._run()
        elif self.ident != threading.get_ident():
            self._thread.join(timeout + IDLE_WAIT)
        queue = self.queue
        with queue.lock:
            return queue.accepted - queue.settled, queue.dropped - queue.reported

    def leave_to_parent(self) -> None:
        """In a forked child: closes the child's copy of the connection, which is the parent's."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.close()

    # === The thread ===

    def _run(self) -> None:
        self.ident = threading.get_ident()
        try:
            while not self._is_finished():
                self._attempt()
        finally:
            # The number may be given to another thread, whose records count.
            self.ident = None

    def _attempt(self) -> None:
        """One connection, from its beginning to its end, and the pause after it."""
        opened_at = time.monotonic()
        try:
            self._connection = Connection.open(self._address, self._remaining(CONNECT_TIMEOUT))
            self._serve(self._connection)
        except Exception as error:
            # Whatever it was, records are kept and the next attempt begins anew.
            self.last_error = error
        finally:
            self.leave_to_parent()
        if time.monotonic() - opened_at > STEADY_AFTER:
            self._failures = 0
        self._pause()

    def _pause(self) -> None:
        """Waits longer after each failure, with jitter so that programs do not come in step."""
        longest = min(BACKOFF_LAST, BACKOFF_FIRST * 2 ** min(self._failures, 16))
        self._failures += 1
        began = time.monotonic()
        pause = longest * self._random.uniform(0.5, 1.0)
        while not self._is_finished():
            # Whoever waits for the end has no time for long pauses.
            limit = HURRIED_BACKOFF if self._must_hurry() else BACKOFF_LAST
            left = began + min(pause, limit) - time.monotonic()
            if left <= 0:
                return
            self.bell.wait(left)

    def _serve(self, connection: Connection) -> None:
        self._unacknowledged.begin_connection()
        self._progress_at = time.monotonic()
        # No records yet, but the service learns that levels are understood here.
        self._send_frame(connection, _wire.frame([]))
        while True:
            self._receive(connection)
            batch = self._next_batch()
            if batch:
                self._send(connection, batch)
            elif self._is_finished():
                return
            else:
                self._wait(connection)

    def _next_batch(self) -> list[Sent]:
        unacknowledged = self._unacknowledged
        if unacknowledged.has_to_resend():
            return unacknowledged.resend()
        room = min(unacknowledged.room(), BATCH_RECORDS)
        if not room:
            return []
        self._report_drops()
        if not len(unacknowledged):
            # The wait for an acknowledgement begins now.
            self._progress_at = time.monotonic()
        return unacknowledged.number(self.queue.take(room, BATCH_BYTES))

    def _report_drops(self) -> None:
        now = time.monotonic()
        if self._stop_at is None and now - self._reported_at < REPORT_INTERVAL:
            return
        for reason, drops in self.queue.take_drops().items():
            self._reported_at = now
            records = "record was" if drops.count == 1 else "records were"
            fields = {
                "reason": reason,
                "dropped": drops.count,
                "dropped_warning_and_above": drops.important,
                "first": drops.first,
                "last": drops.last,
            }
            body = _wire.encode_report(
                f"{drops.count} {records} dropped: {reason}",
                fields,
                self.source_id,
            )
            self.queue.report(body, drops.count)

    def _send(self, connection: Connection, batch: list[Sent]) -> None:
        self._send_frame(connection, _wire.frame(sent.finished() for sent in batch))
        self._unacknowledged.sent(batch)

    def _send_frame(self, connection: Connection, frame: bytes) -> None:
        rest = memoryview(frame)
        while rest:
            count = connection.send_some(rest)
            rest = rest[count:]
            if rest and not count:
                connection.wait(IDLE_WAIT, for_room=True)
                self._receive(connection)
                if self._is_out_of_time():
                    raise TimeoutError("the service does not read")

    def _receive(self, connection: Connection) -> None:
        for message in connection.receive():
            self._failures = 0
            ack = message.get("ack")
            if isinstance(ack, int):
                self._progress_at = time.monotonic()
                self.queue.settle(self._unacknowledged.acknowledge(ack))
            levels = message.get("levels")
            if isinstance(levels, dict) and self._stop_at is None:
                self._on_levels(levels)
        if len(self._unacknowledged) and time.monotonic() - self._progress_at > ACK_TIMEOUT:
            raise TimeoutError("the service acknowledges nothing")

    def _wait(self, connection: Connection) -> None:
        unacknowledged = self._unacknowledged
        if len(unacknowledged) and (self._must_hurry() or not unacknowledged.room()):
            connection.wait(self._remaining(ACK_WAIT))
        elif self.queue.is_waiting_for_records():
            self.bell.wait(self._remaining(ACK_WAIT if len(unacknowledged) else IDLE_WAIT))

    def _must_hurry(self) -> bool:
        return self._stop_at is not None or self._flushing > 0

    def _is_finished(self) -> bool:
        if self._stop_at is None:
            return False
        waiting = len(self.queue) or len(self._unacknowledged) or self.queue.has_drops()
        return not waiting or self._is_out_of_time()

    def _is_out_of_time(self) -> bool:
        return self._stop_at is not None and time.monotonic() >= self._stop_at

    def _remaining(self, longest: float) -> float:
        if self._stop_at is None:
            return longest
        return max(min(longest, self._stop_at - time.monotonic()), 0.001)


def complain(address: str, left: int, dropped: int) -> None:
    """The one line on stderr at the end, when something could not be delivered."""
    parts = [f"{left} not acknowledged"] if left else []
    parts += [f"{dropped} dropped"] if dropped else []
    records = "record was" if left + dropped == 1 else "records were"
    try:
        sys.stderr.write(
            f"cantina_logging: {left + dropped} {records} not delivered"
            f" to {address} ({', '.join(parts)})\n"
        )
        sys.stderr.flush()
    except Exception:  # There may be no stderr left to complain on.
        pass
