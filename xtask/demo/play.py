"""Plays a recorded CantinaOS session through Python's ordinary ``logging``.

    python3 play.py --address 127.0.0.1:9020 --handler stock --speed 10
    python3 play.py --handler cantina --speed max

``recorded-run.jsonl`` beside this file holds 1,201 records of one real run: each
is logged again by the logger of the same name, at the same level, from one
thread, so that the order is the recorded one. ``--handler stock`` is Python's
own, unmodified ``SocketHandler``; ``cantina`` is the package ``cantina-logging``.

Where a recorded message ends in a traceback, the traceback is put into
``exc_text`` again: that is where CantinaOS's own handlers leave it.

Ctrl-C and SIGTERM end the play; what was logged until then is delivered.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import logging
import logging.handlers
import pathlib
import signal
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

HERE = pathlib.Path(__file__).resolve().parent
RECORDING = HERE / "recorded-run.jsonl"
PACKAGE = HERE.parent.parent / "crates" / "log-ingest" / "python" / "src"

TRACEBACK = "\nTraceback (most recent call last):"
PAUSE_BETWEEN_LOOPS = 3.0


class Line(NamedTuple):
    """One line of the recording; ``at`` is in seconds since its beginning."""

    number: int
    at: float
    logger: str
    level: int
    message: str
    traceback: str | None


def read(recording: pathlib.Path) -> list[Line]:
    with recording.open(encoding="utf-8") as lines:
        return [parse(number, json.loads(line)) for number, line in enumerate(lines, 1)]


def parse(number: int, line: dict[str, Any]) -> Line:
    message, found, rest = line["message"].partition(TRACEBACK)
    traceback = (found + rest)[1:] if found else None
    level = getattr(logging, line["level"])
    return Line(number, line["t"], line["logger"], level, message, traceback)


# === Handlers ===


def attach(kind: str, address: str, patience: float) -> logging.Handler:
    """Puts the handler on the root logger once the service answers."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    wait_for_service(host, int(port), patience)
    root = logging.getLogger()
    root.setLevel(logging.DEBUG)
    if kind == "cantina":
        return install_ours(address)
    handler = logging.handlers.SocketHandler(host, int(port))
    root.addHandler(handler)
    return handler


def install_ours(address: str) -> logging.Handler:
    if importlib.util.find_spec("cantina_logging") is None:
        sys.path.insert(0, str(PACKAGE))
    package = importlib.import_module("cantina_logging")
    handler: logging.Handler = package.install(address, level=logging.DEBUG)
    return handler


def wait_for_service(host: str, port: int, patience: float) -> None:
    """Until a connection succeeds: what ``SocketHandler`` can not send, it drops."""
    deadline = time.monotonic() + patience
    while True:
        try:
            socket.create_connection((host, port), timeout=1.0).close()
        except OSError as error:
            if time.monotonic() >= deadline:
                raise SystemExit(f"play.py: nothing listens on {host}:{port}: {error}") from error
            if not wait(0.1):
                raise SystemExit(0) from error
        else:
            return


# === Playing ===

# The signals that came. Not an Event: its lock may be held by what a signal interrupts.
signals: list[int] = []


def wait(seconds: float) -> bool:
    """Waits so long; False as soon as the program is to stop."""
    until = time.monotonic() + seconds
    while not signals and (left := until - time.monotonic()) > 0:
        time.sleep(min(left, 0.05))
    return not signals


def play(lines: list[Line], speed: float) -> Iterator[Line]:
    """Logs line after line, each at its time; ends early when the program is to stop."""
    began = time.monotonic()
    for line in lines:
        if not wait(began + line.at / speed - time.monotonic()):
            return
        log(line)
        yield line


def log(line: Line) -> None:
    logger = logging.getLogger(None if line.logger == "root" else line.logger)
    record = logger.makeRecord(
        logger.name, line.level, RECORDING.name, line.number, line.message, (), None
    )
    record.exc_text = line.traceback
    logger.handle(record)


def speed(text: str) -> float:
    if text == "max":
        return float("inf")
    factor = float(text)
    if not factor > 0:
        raise ValueError(text)
    return factor


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n", 1)[0],
        epilog="example: play.py --address 127.0.0.1:9020 --handler stock --speed 10 --loop",
    )
    parser.add_argument("--address", default="127.0.0.1:9020", metavar="HOST:PORT")
    parser.add_argument("--handler", choices=["stock", "cantina"], default="cantina")
    parser.add_argument("--speed", type=speed, default=1.0, help="a factor, or max")
    parser.add_argument("--loop", action="store_true", help="play again and again")
    parser.add_argument("--recording", type=pathlib.Path, default=RECORDING, metavar="FILE")
    parser.add_argument(
        "--patience", type=float, default=30.0, help="seconds to wait for the service"
    )
    return parser.parse_args()


def main() -> None:
    options = arguments()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, _: signals.append(received))
    lines = read(options.recording)
    handler = attach(options.handler, options.address, options.patience)
    played = 0
    while not signals:
        for _ in play(lines, options.speed):
            played += 1
        if not options.loop or not wait(PAUSE_BETWEEN_LOOPS):
            break
    handler.flush()
    handler.close()
    print(f"played {played} records through {type(handler).__name__}", flush=True)


if __name__ == "__main__":
    main()
