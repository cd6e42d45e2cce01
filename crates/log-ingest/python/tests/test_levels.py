"""Levels that the service sets, and gives back."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import Attach
from service import Service, wait_until

NAME = "levels.under.test"
logger = logging.getLogger(NAME)
root = logging.getLogger()


@pytest.fixture(autouse=True)
def known_levels() -> Iterator[None]:
    root_before = root.level
    logger.setLevel(logging.ERROR)
    root.setLevel(logging.WARNING)
    yield
    logger.setLevel(logging.NOTSET)
    root.setLevel(root_before)


@pytest.fixture
def connected(attach: Attach, service: Service) -> Service:
    attach(service).start()
    service.wait_for_connections(1)
    return service


def becomes(target: logging.Logger, level: int) -> None:
    wait_until(lambda: target.level == level, f"{target.name} at {level}, is {target.level}")


def test_levels_are_applied_to_the_root_and_to_named_loggers(connected: Service) -> None:
    connected.send({"levels": {"root": "INFO", NAME: "DEBUG"}})
    becomes(root, logging.INFO)
    becomes(logger, logging.DEBUG)


def test_levels_are_applied_within_a_tenth_of_a_second(connected: Service) -> None:
    took = []
    for level in ["DEBUG", "INFO"] * 5:
        before = time.monotonic()
        connected.send({"levels": {NAME: level}})
        becomes(logger, logging.getLevelName(level))
        took.append(time.monotonic() - before)
    took.sort()
    assert took[len(took) // 2] < 0.1


def test_levels_are_applied_while_the_service_does_not_read(attach: Attach) -> None:
    with Service(reads=False) as service:
        handler = attach(service)
        handler.start()
        service.wait_for_connections(1)
        for _ in range(60):
            logging.getLogger("app").error("x" * 60_000)
        wait_until(lambda: len(handler._sender._unacknowledged) > 4, "a full socket")
        service.send({"levels": {NAME: "DEBUG"}})
        becomes(logger, logging.DEBUG)


def test_a_name_that_disappears_gets_its_level_back(connected: Service) -> None:
    connected.send({"levels": {"root": "INFO", NAME: "DEBUG"}})
    becomes(logger, logging.DEBUG)
    connected.send({"levels": {NAME: "INFO"}})
    becomes(logger, logging.INFO)
    becomes(root, logging.WARNING)
    connected.send({"levels": {}})
    becomes(logger, logging.ERROR)


def test_a_logger_that_inherits_inherits_again(connected: Service) -> None:
    logger.setLevel(logging.NOTSET)
    connected.send({"levels": {NAME: "DEBUG"}})
    becomes(logger, logging.DEBUG)
    connected.send({"levels": {}})
    becomes(logger, logging.NOTSET)


def test_closing_gives_all_levels_back(attach: Attach, service: Service) -> None:
    handler = attach(service)
    service.greeting = {"levels": {"root": "DEBUG", NAME: "DEBUG"}}
    handler.start()
    becomes(logger, logging.DEBUG)
    handler.close()
    assert (root.level, logger.level) == (logging.WARNING, logging.ERROR)


def test_a_level_the_program_sets_meanwhile_stays(attach: Attach, service: Service) -> None:
    handler = attach(service)
    service.greeting = {"levels": {NAME: "DEBUG"}}
    handler.start()
    becomes(logger, logging.DEBUG)
    logger.setLevel(logging.CRITICAL)
    handler.close()
    assert logger.level == logging.CRITICAL


def test_levels_stay_while_the_service_is_away_and_are_still_given_back(
    connected: Service,
) -> None:
    connected.send({"levels": {NAME: "DEBUG"}})
    becomes(logger, logging.DEBUG)
    connected.abort_connections()
    connected.wait_for_connections(2)
    assert logger.level == logging.DEBUG
    connected.send({"levels": {}})
    becomes(logger, logging.ERROR)


@pytest.mark.parametrize("nonsense", ["LOUD", None, True, -5, 1.5, ["DEBUG"], {}])
def test_nonsense_is_ignored_and_the_rest_applied(connected: Service, nonsense: Any) -> None:
    connected.send({"levels": {"root": nonsense, NAME: "debug"}})
    becomes(logger, logging.DEBUG)
    assert root.level == logging.WARNING
    assert connected.connections == 1


def test_a_level_may_be_a_number(connected: Service) -> None:
    connected.send({"levels": {NAME: 15}})
    becomes(logger, 15)


def test_a_level_lets_records_through(attach: Attach, service: Service) -> None:
    handler = attach(service)
    app = logging.getLogger("app")
    child = logging.getLogger("app.child")
    app.setLevel(logging.WARNING)
    child.debug("too early")
    service.greeting = {"levels": {"app.child": "DEBUG"}}
    handler.start()
    becomes(child, logging.DEBUG)
    child.debug("heard")
    assert service.wait_for_records(1)[0]["message"] == "heard"
