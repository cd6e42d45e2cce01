from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from typing import Callable

import pytest
from service import Service

import cantina_logging
from cantina_logging import CantinaLogHandler


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as running:
        yield running


Attach = Callable[[Service], CantinaLogHandler]


@pytest.fixture
def attach(monkeypatch: pytest.MonkeyPatch) -> Iterator[Attach]:
    """Puts a handler on the logger ``app``; all are closed, and quickly, after the test."""
    handlers: list[CantinaLogHandler] = []
    logger = logging.getLogger("app")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False

    def attach_to(service: Service) -> CantinaLogHandler:
        handler = CantinaLogHandler(service.address)
        handlers.append(handler)
        logger.addHandler(handler)
        return handler

    yield attach_to
    monkeypatch.setattr("cantina_logging._handler.DRAIN_TIMEOUT", 0.0)
    for handler in handlers:
        logger.removeHandler(handler)
        handler.close()


@pytest.fixture
def app(attach: Attach, service: Service) -> logging.Logger:
    """A logger whose records go to ``service``."""
    attach(service)
    return logging.getLogger("app")


@pytest.fixture(autouse=True)
def root_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    for handler in [one for one in root.handlers if one not in handlers]:
        root.removeHandler(handler)
        if isinstance(handler, cantina_logging.CantinaLogHandler):
            monkeypatch.setattr("cantina_logging._handler.DRAIN_TIMEOUT", 0.0)
            handler.close()
    root.setLevel(level)
    names = [thread.name for thread in threading.enumerate()]
    assert names.count("cantina-logging") <= 1, "the senders of finished tests have ended"
