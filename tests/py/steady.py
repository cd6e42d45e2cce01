"""Logs at a steady pace, acknowledged: what is not is kept and sent again.

    python3 steady.py 127.0.0.1:9020 NAME RATE COUNT

Logs ``NAME line 1`` to ``NAME line COUNT`` and prints every hundredth number.
Prints ``done`` once everything has been acknowledged.
"""

from __future__ import annotations

import logging
import pathlib
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "crates" / "log-ingest" / "python" / "src"))

import cantina_logging  # noqa: E402  # the path is set above

DRAIN_WITHIN = 60.0
FLUSH_TAKES = 1.9


def main(address: str, name: str, rate: float, count: int) -> None:
    handler = cantina_logging.install(address)
    log = logging.getLogger("cantina_os.main")
    log.setLevel(logging.INFO)
    pause = threading.Event()
    begin = time.monotonic()
    for number in range(1, count + 1):
        log.info("%s line %d", name, number)
        if number % 100 == 0:
            print(number, flush=True)
        late = begin + number / rate - time.monotonic()
        if late > 0:
            pause.wait(late)
    end = time.monotonic() + DRAIN_WITHIN
    while not is_drained(handler) and time.monotonic() < end:
        pass
    print("done" if is_drained(handler) else "not done", flush=True)


def is_drained(handler: cantina_logging.CantinaLogHandler) -> bool:
    """Whether flushing does not take all the time it has, because everything is acknowledged."""
    begin = time.monotonic()
    handler.flush()
    return time.monotonic() - begin < FLUSH_TAKES


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4]))
