"""Prints a frame of Python's own handler and a record of ours, in hex, as templates.

    python3 frames.py

Where the message has ten times ``~`` comes a number; where the id of the source
has ``^`` comes another. The first line is a whole frame; the second a record
that still has no ``entry_id`` and no ``seq``.
"""

from __future__ import annotations

import logging
import logging.handlers
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "crates" / "log-ingest" / "python" / "src"))

from cantina_logging import _wire  # noqa: E402  # the path is set above

MESSAGE_BYTES = 150

text = "received API response ~~~~~~~~~~ from the model after one more turn of the conversation"
text = text.ljust(MESSAGE_BYTES, ".")


class Print(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        stock = logging.handlers.SocketHandler("localhost", 1)
        print(stock.makePickle(record).hex())
        print(_wire.encode_record(record, "measure:811:^").hex())


log = logging.getLogger("cantina_os.gpt_service")
log.setLevel(logging.INFO)
log.addHandler(Print())
log.info("%s", text)
