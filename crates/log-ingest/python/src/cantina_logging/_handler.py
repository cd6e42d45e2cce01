"""The handler: from a ``LogRecord`` to the sender's queue, in the thread that logs."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from typing import Any

from . import _wire
from ._sender import Sender, complain

DEFAULT_ADDRESS = "127.0.0.1:9020"
# The promise is 2 s for flush and close together, with everything around them.
DRAIN_TIMEOUT = 1.75
LAST_LOOK = 0.05


class CantinaLogHandler(logging.Handler):
    """Delivers records to the CantinaOS LoggingService at ``address``.

    * **Never blocks, never raises.** :meth:`emit` encodes and appends; sockets
      belong to the sender's thread. What finds no room is counted, and the
      service is told once there is room again.
    * **Important first.** A quarter of the queue is kept for WARNING and above.
    * **Kept until acknowledged.** After a reconnect what was not acknowledged is
      sent again, with the same ``entry_id`` and ``seq``.
    * **Levels follow the service**, and are given back at :meth:`close`.

    A formatter set on this handler is not used: the service gets the parts.
    """

    def __init__(self, address: str = DEFAULT_ADDRESS, level: int | str = 0) -> None:
        super().__init__(level)
        self.address = address
        self._target = _wire.parse_address(address)
        self._levels = LevelOverrides()
        self._sender = Sender(self._target, self._levels.apply)
        self._closed = False
        self._flush_failed_at = float("-inf")
        _handlers.add(self)

    @property
    def source_id(self) -> str:
        """Which process, and which start of it, the records come from: ``host:pid:nonce``."""
        return self._sender.source_id

    @property
    def is_closed(self) -> bool:
        """Whether :meth:`close` was called; what is emitted later is only counted."""
        return self._closed

    @property
    def dropped(self) -> int:
        """How many records were not taken, so far and in this process."""
        return self._sender.queue.dropped

    def start(self) -> None:
        """Connects now, not at the first record, so that levels follow from the beginning."""
        if not self._closed:
            self._sender.start()

    def handle(self, record: logging.LogRecord) -> bool:
        """Emits what the filters let pass, without the lock that other handlers hold for I/O.

        With that lock one thread's slow ``__str__`` would hold up all others.
        """
        passed: Any = self.filter(record)
        if isinstance(passed, logging.LogRecord):  # Since Python 3.12 a filter may replace it.
            record = passed
        if passed:
            self.emit(record)
        return bool(passed)

    def emit(self, record: logging.LogRecord) -> None:
        """Queues the record, or counts it as dropped. Does not wait for anything."""
        sender = self._sender
        if sender.ident == threading.get_ident():
            return  # What the sender's own thread logs would be sent, and logged, for ever.
        try:
            if self._closed:
                sender.queue.refuse("handler closed", _severity(record))
                return
            body = _wire.encode_record(record, sender.source_id)
            sender.queue.offer(body, _severity(record))
            sender.start()
        except Exception:
            sender.queue.refuse("not encodable", _severity(record))

    def flush(self) -> None:
        """Waits until the service has acknowledged all records so far, at the longest 2 s."""
        if self._closed or self._sender.ident == threading.get_ident():
            return
        if not self._sender.flush(DRAIN_TIMEOUT):
            self._flush_failed_at = time.monotonic()

    def close(self) -> None:
        """Drains for at most 2 s, gives the levels back, and says on stderr what is left.

        ``logging.shutdown``, which runs at exit, flushes first; when that took all
        the time, closing does not take it again.
        """
        if not self._closed:
            self._closed = True
            has_waited = time.monotonic() - self._flush_failed_at < DRAIN_TIMEOUT
            left, dropped = self._sender.stop(LAST_LOOK if has_waited else DRAIN_TIMEOUT)
            self._levels.restore()
            if left or dropped:
                complain(self.address, left, dropped)
        super().close()

    def _begin_in_child(self) -> None:
        """After a fork: the parent's records, thread and connection stay the parent's."""
        self._sender.leave_to_parent()
        self._levels.begin_in_child()
        self._sender = Sender(self._target, self._levels.apply)


def install(address: str = DEFAULT_ADDRESS, level: int | str | None = None) -> CantinaLogHandler:
    """Puts a :class:`CantinaLogHandler` on the root logger and returns it.

    ``level``, if given, becomes the root logger's level. Installing again gives
    the same handler; with another address it takes the first one's place.
    """
    root = logging.getLogger()
    with _installing:
        if level is not None:
            root.setLevel(level)
        for present in [one for one in root.handlers if isinstance(one, CantinaLogHandler)]:
            if present.address == address and not present.is_closed:
                return present
            root.removeHandler(present)
            present.close()
        handler = CantinaLogHandler(address)
        root.addHandler(handler)
        handler.start()
        return handler


class LevelOverrides:
    """The levels that the service has set, and what they were before."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._before: dict[str, tuple[int, int]] = {}

    def apply(self, levels: dict[str, Any]) -> None:
        """Sets these levels, and gives back those of loggers that are no longer named."""
        wanted = {name: number for name, level in levels.items() if (number := _number(level)) >= 0}
        with self._lock:
            self._give_back([name for name in self._before if name not in wanted])
            for name, number in wanted.items():
                logger = _logger(name)
                before = self._before[name][0] if name in self._before else logger.level
                self._before[name] = (before, number)
                logger.setLevel(number)

    def restore(self) -> None:
        """Gives all levels back."""
        # The sender may be waiting in `setLevel` for a lock that the caller holds.
        if self._lock.acquire(timeout=0.1):
            try:
                self._give_back(list(self._before))
            finally:
                self._lock.release()

    def begin_in_child(self) -> None:
        """After a fork: the parent's sender may have held the lock."""
        self._lock = threading.Lock()

    def _give_back(self, names: list[str]) -> None:
        for name in names:
            before, ours = self._before.pop(name)
            logger = _logger(name)
            # A level that the program itself has set since then is the program's.
            if logger.level == ours:
                logger.setLevel(before)


def _logger(name: str) -> logging.Logger:
    return logging.getLogger(None if name == "root" else name)


def _number(level: object) -> int:
    """The number of a level given as name or number; -1 if it is neither."""
    if isinstance(level, str):
        level = logging.getLevelName(level.upper())
    return level if isinstance(level, int) and not isinstance(level, bool) else -1


def _severity(record: logging.LogRecord) -> int:
    return record.levelno if isinstance(record.levelno, int) else logging.INFO


_installing = threading.Lock()
_handlers: weakref.WeakSet[CantinaLogHandler] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    global _installing  # noqa: PLW0603
    _installing = threading.Lock()
    for handler in list(_handlers):
        handler._begin_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
