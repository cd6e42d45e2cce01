"""Logs at a steady pace; every message says when it was logged.

    python3 latency.py 127.0.0.1:9020 stock RUN RATE SECONDS

The handler is ``stock``, Python's own ``SocketHandler``, or ``cantina``. The
time is that of the monotonic clock, which all processes of a machine share.
Ten loggers take turns, so that no service exceeds its rate in the views.

Prints ``begin``, and at the end a line of JSON with how many were logged and
what one call took.
"""

from __future__ import annotations

import json
import logging
import logging.handlers
import pathlib
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "crates" / "log-ingest" / "python" / "src"))

LOGGERS = 10
MESSAGE_BYTES = 150


def attach(kind: str, address: str) -> None:
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    if kind == "cantina":
        import cantina_logging  # noqa: PLC0415  # the stock handler needs none of it

        cantina_logging.install(address)
    else:
        host, _, port = address.rpartition(":")
        root.addHandler(logging.handlers.SocketHandler(host, int(port)))


def log_all(run: str, rate: int, seconds: float) -> list[int]:
    """Logs, and returns the nanoseconds that each call took."""
    loggers = [logging.getLogger(f"cantina_os.latency_{n}") for n in range(LOGGERS)]
    # Nobody sets it: waiting for it is how time passes here.
    never = threading.Event()
    # The first record connects; it is not counted.
    loggers[0].info("warm")
    never.wait(0.5)
    print("begin", flush=True)
    took = []
    began = time.monotonic_ns()
    for n in range(int(rate * seconds)):
        due = began + n * 1_000_000_000 // rate
        left = due - time.monotonic_ns()
        if left > 0:
            never.wait(left / 1e9)
        now = time.monotonic_ns()
        message = f"run={run} n={n} t={now} ".ljust(MESSAGE_BYTES, ".")
        now = time.monotonic_ns()
        loggers[n % LOGGERS].info(message)
        took.append(time.monotonic_ns() - now)
    return took


def main() -> None:
    address, kind, run, rate, seconds = sys.argv[1:]
    attach(kind, address)
    took = sorted(log_all(run, int(rate), float(seconds)))
    summary = {"sent": len(took), "p50": took[len(took) // 2], "p99": took[len(took) * 99 // 100]}
    print(json.dumps(summary), flush=True)
    logging.shutdown()


main()
