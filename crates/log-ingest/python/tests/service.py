"""A small real service for the tests: it speaks the wire on a free loopback port."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import time
from typing import Any, Callable

DEADLINE = 10.0


class Service:
    """Listens, keeps every record that arrives, and acknowledges if it is told to."""

    def __init__(self, *, listening: bool = True, acks: bool = True, reads: bool = True) -> None:
        self.changed = threading.Condition()
        self.records: list[dict[str, Any]] = []
        self.frames: list[int] = []
        """Bytes of each frame."""
        self.batches: list[int] = []
        """Records of each frame."""
        self.connections = 0
        self.hellos = 0
        """Frames without records."""
        self.acks = acks
        self.reads = reads
        self.greeting: dict[str, Any] | None = None
        self._open: list[socket.socket] = []
        self._stopping = False
        self._threads: list[threading.Thread] = []
        # A bound socket that does not listen refuses, and nobody else gets its port.
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        if listening:
            self.listen()

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *_: object) -> None:
        with self.changed:
            self._stopping = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.abort_connections()
        for thread in self._threads:
            thread.join(DEADLINE)
            assert not thread.is_alive()

    def listen(self) -> None:
        self._listener.listen()
        self._start(self._accept)

    def send(self, message: object) -> None:
        """Sends a frame on the newest connection."""
        payload = message if isinstance(message, bytes) else json.dumps(message).encode()
        self._open[-1].sendall(struct.pack(">I", len(payload)) + payload)

    def send_raw(self, data: bytes) -> None:
        self._open[-1].sendall(data)

    def abort_connections(self) -> None:
        """Resets every connection: what was not read is gone."""
        with self.changed:
            victims, self._open = self._open, []
        for victim in victims:
            with contextlib.suppress(OSError):
                victim.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            with contextlib.suppress(OSError):
                victim.shutdown(socket.SHUT_RDWR)
            victim.close()

    def messages(self) -> list[str]:
        with self.changed:
            return [record["message"] for record in self.records]

    def wait_for(self, condition: Callable[[], bool], what: str = "condition") -> None:
        with self.changed:
            assert self.changed.wait_for(condition, DEADLINE), f"in time: {what}"

    def wait_for_records(self, count: int) -> list[dict[str, Any]]:
        self.wait_for(lambda: len(self.records) >= count, f"{count} records")
        return self.records

    def wait_for_connections(self, count: int) -> None:
        self.wait_for(lambda: self.connections >= count, f"{count} connections")

    def _start(self, target: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._stopping:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            with self.changed:
                if self._stopping:
                    peer.close()
                    return
                self._open.append(peer)
                self.connections += 1
                if self.greeting is not None:
                    self.send(self.greeting)
                self.changed.notify_all()
            if self.reads:
                self._start(self._read, peer)

    def _read(self, peer: socket.socket) -> None:
        with contextlib.suppress(OSError), peer.makefile("rb") as stream:
            # A handler that is closed before all was sent leaves a frame cut short.
            while len(header := stream.read(4)) == 4:
                (length,) = struct.unpack(">I", header)
                payload = stream.read(length)
                if len(payload) < length:
                    return
                self._take(peer, json.loads(payload), length)

    def _take(self, peer: socket.socket, batch: list[dict[str, Any]], length: int) -> None:
        assert isinstance(batch, list)
        if not batch:
            with self.changed:
                self.hellos += 1
                self.changed.notify_all()
            return
        with self.changed:
            self.records += batch
            self.frames.append(length)
            self.batches.append(len(batch))
            if self.acks:
                payload = json.dumps({"ack": batch[-1]["seq"]}).encode()
                peer.sendall(struct.pack(">I", len(payload)) + payload)
            self.changed.notify_all()


def wait_until(condition: Callable[[], bool], what: str, deadline: float = DEADLINE) -> None:
    """For what no condition variable tells of, such as the level of a logger."""
    end = time.monotonic() + deadline
    tick = threading.Event()
    while not condition():
        assert time.monotonic() < end, f"in time: {what}"
        tick.wait(0.002)
