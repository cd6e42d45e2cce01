"""What a record looks like when it arrives, however odd it was."""

from __future__ import annotations

import asyncio
import datetime
import enum
import logging
import logging.handlers
import os
import pathlib
import queue
import re
import socket
import sys
import time
import uuid
from typing import Any

import pytest
from service import Service

MIB = 1024 * 1024


def only(service: Service) -> dict[str, Any]:
    (record,) = service.wait_for_records(1)
    return record


def made(**attributes: Any) -> logging.LogRecord:
    return logging.makeLogRecord({"name": "app", "levelno": logging.INFO, **attributes})


def raise_deeply() -> None:
    raise ValueError("no such track")


def test_a_record_has_the_form_of_the_wire(app: logging.Logger, service: Service) -> None:
    before = time.time()
    app.warning("%d tracks", 3)
    record = only(service)
    assert before <= record.pop("timestamp") <= time.time()
    assert re.fullmatch("[0-9A-HJKMNP-TV-Z]{26}", record.pop("entry_id"))
    assert record.pop("source_id").startswith(f"{socket.gethostname()}:{os.getpid()}:")
    source = record.pop("source")
    assert source.pop("line") > 0
    assert source == {
        "file": "test_records.py",
        "function": "test_a_record_has_the_form_of_the_wire",
        "thread": "MainThread",
        "pid": os.getpid(),
    }
    assert record == {
        "level": "WARNING",
        "severity": 30,
        "logger": "app",
        "message": "3 tracks",
        "seq": 1,
    }


def test_the_time_keeps_its_full_precision(app: logging.Logger, service: Service) -> None:
    record = made(msg="then", created=1750000000.123456)
    app.handle(record)
    assert only(service)["timestamp"] == 1750000000.123456


@pytest.mark.parametrize(
    ("number", "name"),
    [(1, "DEBUG"), (10, "DEBUG"), (25, "INFO"), (39, "WARNING"), (40, "ERROR"), (99, "CRITICAL")],
)
def test_a_level_keeps_its_number_and_takes_the_name_below(
    app: logging.Logger, service: Service, number: int, name: str
) -> None:
    app.setLevel(1)
    app.log(number, "x")
    record = only(service)
    assert (record["severity"], record["level"]) == (number, name)


def test_an_exception_arrives_with_type_message_and_traceback(
    app: logging.Logger, service: Service
) -> None:
    try:
        raise_deeply()
    except ValueError:
        app.exception("failed")
    record = only(service)
    assert record["message"] == "failed"
    exception = record["exception"]
    assert exception["type"] == "ValueError"
    assert exception["message"] == "no such track"
    assert exception["traceback"].startswith("Traceback (most recent call last):\n")
    assert "in raise_deeply\n" in exception["traceback"]
    assert exception["traceback"].endswith("ValueError: no such track")


def test_an_exception_of_a_module_carries_its_full_name(
    app: logging.Logger, service: Service
) -> None:
    try:
        raise queue.Empty
    except queue.Empty:
        app.exception("failed")
    exception = only(service)["exception"]
    assert exception["type"] == "_queue.Empty"
    assert exception["message"] == ""


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        (
            'Traceback (most recent call last):\n  File "a.py", line 1, in f\n    x\nKeyError: 1',
            "KeyError",
            "1",
        ),
        (
            'Traceback (most recent call last):\n  File "a.py", line 1\nA: 1\n\nDuring handling of'
            " the above exception, another exception occurred:\n\nTraceback (most recent call last)"
            ':\n  File "a.py", line 2, in f\nopenai.RateLimitError: slow\n  down\nplease',
            "openai.RateLimitError",
            "slow\n  down\nplease",
        ),
        (
            'Traceback (most recent call last):\n  File "a.py", line 1\nKeyboardInterrupt',
            "KeyboardInterrupt",
            "",
        ),
        ("something of one's own formatter", None, None),
    ],
)
def test_a_traceback_left_in_exc_text_is_read(
    app: logging.Logger, service: Service, text: str, kind: str | None, message: str | None
) -> None:
    app.handle(made(msg="m", exc_text=text))
    record = only(service)
    assert record["message"] == "m"
    exception = record["exception"]
    assert exception["traceback"] == text
    assert (exception.get("type"), exception.get("message")) == (kind, message)


def test_a_queue_handler_before_ours_takes_nothing_away(
    app: logging.Logger, service: Service
) -> None:
    first: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    present = logging.handlers.QueueHandler(first)
    app.handlers.insert(0, present)
    try:
        try:
            raise_deeply()
        except ValueError:
            app.exception("failed")
    finally:
        app.removeHandler(present)
    assert "Traceback" in first.get_nowait().getMessage()
    record = only(service)
    assert record["message"] == "failed"
    assert record["exception"]["type"] == "ValueError"
    assert record["exception"]["traceback"].count("Traceback") == 1


def test_emitting_leaves_the_record_as_it_was(app: logging.Logger, service: Service) -> None:
    try:
        raise_deeply()
    except ValueError:
        info = sys.exc_info()
    record = app.makeRecord("app", 40, "f", 1, "m %s", ("a",), info)
    before = dict(vars(record))
    app.handle(record)
    service.wait_for_records(1)
    assert vars(record) == before


def test_stack_info_arrives_as_a_traceback_without_a_type(
    app: logging.Logger, service: Service
) -> None:
    app.info("here", stack_info=True)
    record = only(service)
    assert record["message"] == "here"
    assert record["exception"].keys() == {"traceback"}
    assert record["exception"]["traceback"].startswith("Stack (most recent call last):")


def test_stack_info_follows_the_traceback(app: logging.Logger, service: Service) -> None:
    try:
        raise_deeply()
    except ValueError:
        app.exception("failed", stack_info=True)
    traceback = only(service)["exception"]["traceback"]
    assert traceback.index("ValueError: no such track\nStack (most recent call last):") > 0


def test_no_exception_means_none(app: logging.Logger, service: Service) -> None:
    app.error("nothing was raised", exc_info=True)
    assert "exception" not in only(service)


class Broken:
    def __str__(self) -> str:
        raise RuntimeError("broken")

    __repr__ = __str__


class BrokenError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("broken")


@pytest.mark.parametrize(
    ("msg", "args", "expected"),
    [
        (Broken(), (), "<unprintable Broken object>"),
        (
            "hello %s",
            (Broken(),),
            "hello %s [arguments <unprintable tuple object> not merged: RuntimeError]",
        ),
        ("only %d", ("x",), "only %d [arguments ('x',) not merged: TypeError]"),
        ("two %s", (1, 2), "two %s [arguments (1, 2) not merged: TypeError]"),
        (None, (), "None"),
        ("", (), ""),
        (" leading and trailing ", (), " leading and trailing "),
    ],
)
def test_a_message_that_cannot_be_merged_arrives_in_parts(
    app: logging.Logger, service: Service, msg: object, args: tuple[object, ...], expected: str
) -> None:
    app.info(msg, *args)
    assert only(service)["message"] == expected


def test_an_exception_that_cannot_be_printed_arrives(app: logging.Logger, service: Service) -> None:
    try:
        raise BrokenError
    except BrokenError:
        app.exception("failed")
    exception = only(service)["exception"]
    assert exception["type"].endswith("BrokenError")
    assert exception["message"] == "<unprintable BrokenError object>"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lone \udc80 surrogate", "lone \\udc80 surrogate"),
        ("nul \0 byte", "nul \0 byte"),
        ("→ 🤖 \x1b[31m \r\n \u2028", "→ 🤖 \x1b[31m \r\n \u2028"),
    ],
)
def test_odd_text_arrives(app: logging.Logger, service: Service, text: str, expected: str) -> None:
    app.info(text, extra={"field": text})
    record = only(service)
    assert record["message"] == expected
    assert record["fields"] == {"field": expected}


def test_a_message_is_cut_at_half_a_mebibyte(app: logging.Logger, service: Service) -> None:
    app.info("é" * 1_000_000)
    message = only(service)["message"]
    assert message == "é" * (256 * 1024) + "… [truncated: 1000000 characters in all]"


def test_a_message_at_the_limit_is_whole(app: logging.Logger, service: Service) -> None:
    app.info("x" * (512 * 1024))
    assert only(service)["message"] == "x" * (512 * 1024)


def test_a_record_fits_a_frame_whatever_json_makes_of_it(
    app: logging.Logger, service: Service
) -> None:
    noise = "\0" * MIB
    fields = {f"{number}{noise}": noise for number in range(100)}
    record = made(name=noise, msg=noise, exc_text=noise, threadName=noise, **fields)
    app.handle(record)
    app.info("next")
    assert service.wait_for_records(2)[1]["message"] == "next"
    assert max(service.frames) < MIB
    assert service.records[0]["message"].startswith("\0" * 1000)
    assert len(service.records[0]["fields"]) <= 64


class Colour(enum.Enum):
    RED = 1


def test_extras_become_fields(app: logging.Logger, service: Service) -> None:
    unprintable: Any = Broken()
    endless: dict[str, Any] = {}
    endless["again"] = endless
    identity = uuid.UUID(int=7)
    app.info(
        "x",
        extra={
            "plan_id": "p-1",
            "count": 3,
            "ratio": 0.5,
            "done": True,
            "nothing": None,
            "nested": {"a": [1, (2, 3)], 4: "key"},
            "not_a_number": float("nan"),
            "huge": 10**30,
            "colour": Colour.RED,
            "when": datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc),
            "path": pathlib.PurePosixPath("/a"),
            "id": identity,
            "raw": b"\xff",
            "broken": unprintable,
            "endless": endless,
        },
    )
    fields = only(service)["fields"]
    assert "…" in str(fields.pop("endless"))
    assert fields == {
        "plan_id": "p-1",
        "count": 3,
        "ratio": 0.5,
        "done": True,
        "nothing": None,
        "nested": {"a": [1, [2, 3]], "4": "key"},
        "not_a_number": "nan",
        "huge": str(10**30),
        "colour": "<Colour.RED: 1>",
        "when": "2026-01-02T00:00:00+00:00",
        "path": "/a",
        "id": str(identity),
        "raw": "b'\\xff'",
        "broken": "<unprintable Broken object>",
    }


def test_a_field_is_bounded(app: logging.Logger, service: Service) -> None:
    extra = {"text": "x" * MIB, "many": list(range(100_000)), "wide": {"k": "y" * MIB}}
    app.info("x", extra=extra)
    fields = only(service)["fields"]
    assert all(len(str(value)) < 9000 for value in fields.values())
    assert fields["text"].endswith("[truncated: 1048576 characters in all]")
    assert "100000 in all" in str(fields["many"])


def test_a_field_is_what_it_was_when_it_was_logged(attach: Any) -> None:
    with Service(listening=False) as service:
        attach(service)
        state = {"step": 1}
        logging.getLogger("app").info("x", extra={"state": state})
        state["step"] = 2
        service.listen()
        assert only(service)["fields"] == {"state": {"step": 1}}


def test_the_running_task_is_named(app: logging.Logger, service: Service) -> None:
    async def work() -> None:
        app.info("in a task")

    async def main() -> None:
        await asyncio.create_task(work(), name="turn-7")

    asyncio.run(main())
    app.info("outside")
    inside, outside = service.wait_for_records(2)
    assert inside["source"]["task"] == "turn-7"
    assert "task" not in outside["source"]


def test_a_record_of_nonsense_is_counted_and_reported(
    app: logging.Logger, service: Service
) -> None:
    nonsense = made(msg="x")
    del nonsense.filename
    app.handle(nonsense)
    app.info("sense")
    report = next(
        record for record in service.wait_for_records(2) if record["logger"] == "cantina_logging"
    )
    assert report["message"] == "1 record was dropped: not encodable"


def test_attributes_of_odd_types_arrive(app: logging.Logger, service: Service) -> None:
    attributes = {"name": None, "levelno": "high", "created": "now", "lineno": "x", "process": "x"}
    logging.getLogger("app").handlers[0].handle(made(msg="x", **attributes))
    record = only(service)
    assert (record["logger"], record["severity"]) == ("None", 20)
    assert abs(record["timestamp"] - time.time()) < 10


def test_filters_of_the_handler_are_asked(app: logging.Logger, service: Service) -> None:
    app.handlers[0].addFilter(lambda record: "secret" not in record.getMessage())
    app.info("secret")
    app.info("open")
    assert only(service)["message"] == "open"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="filters may replace since Python 3.12")
def test_a_filter_may_replace_the_record(app: logging.Logger, service: Service) -> None:
    def replace(_: logging.LogRecord) -> Any:
        return made(msg="replaced")

    app.handlers[0].addFilter(replace)
    app.info("original")
    assert only(service)["message"] == "replaced"
