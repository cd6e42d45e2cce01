"""Sends the records of Python's ``logging`` to the CantinaOS LoggingService.

::

    import cantina_logging

    cantina_logging.install()          # root logger -> 127.0.0.1:9020

A record is encoded in the thread that logs it and waits in a bounded queue.
One daemon thread, the sender, owns the connection: it sends batches, keeps what
the service has not acknowledged, and sends that again after a reconnect.

What this package does not know: sessions, services and files. It delivers
records; the service names and stores them.
"""

from ._handler import CantinaLogHandler, install

__all__ = ["CantinaLogHandler", "install"]
