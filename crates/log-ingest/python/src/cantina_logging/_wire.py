"""What goes over the wire: addresses, ids, records as JSON, frames.

Everything here is a function of its arguments: no sockets, no threads. A frame
is a 4-byte big-endian length and that many bytes of JSON. To the service goes an
array of records; back come ``{"ack": n}`` and ``{"levels": {...}}``.
"""

from __future__ import annotations

import datetime
import itertools
import json
import logging
import math
import os
import re
import struct
import sys
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

FRAME_BYTES_MAX = 1024 * 1024
"""The service refuses longer frames."""

RECORD_BYTES_MAX = FRAME_BYTES_MAX - 1024
"""One encoded record, so that it fits a frame of its own with its ``seq``."""

_LENGTH = struct.Struct(">I")


class WireError(Exception):
    """The peer sent something that is not a frame of ours."""


# === Addresses ===


def parse_address(address: str) -> tuple[str, int]:
    """Splits ``host:port`` or ``[ipv6]:port``; raises ``ValueError`` if it is neither."""
    host, colon, port = address.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"an IPv6 address is written [host]:port, not {address!r}")
    if not (colon and host and port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(f"expected host:port, got {address!r}")
    return host, int(port)


# === Ids ===

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = tuple(a + b for a in _CROCKFORD for b in _CROCKFORD)


class EntryIds:
    """ULIDs that rise within the process: 48 bits of milliseconds, 80 of tail.

    The tail is random at the start and counts from there. Two processes meet
    with a chance of 2**-79 per pair of ids; a process never meets itself.
    Callers take turns: the queue calls it under its lock.
    """

    def __init__(self) -> None:
        # The top bit stays clear, so that counting can not overflow 80 bits.
        self._tail = itertools.count(int.from_bytes(os.urandom(10), "big") >> 1)
        self._millis = 0
        self._time_text = ""
        self._high = -1
        self._high_text = ""

    def next(self) -> str:
        """The next id; never smaller than the one before, whatever the clock does."""
        millis = time.time_ns() // 1_000_000
        if millis > self._millis:
            self._millis = millis
            self._time_text = _base32(millis, 5)
        tail = next(self._tail)
        high = tail >> 20
        if high != self._high:
            self._high_text = _base32(high, 6)
            self._high = high
        return self._time_text + self._high_text + _PAIRS[tail >> 10 & 1023] + _PAIRS[tail & 1023]


def _base32(number: int, pairs: int) -> str:
    return "".join(_PAIRS[number >> 10 * place & 1023] for place in reversed(range(pairs)))


# === Records ===


class _Limits(NamedTuple):
    """Bytes of UTF-8 that a text may have before it is cut."""

    message: int
    traceback: int
    exception_message: int
    field: int


_USUAL = _Limits(512 * 1024, 256 * 1024, 16 * 1024, 8 * 1024)
# For records that are still too long, because JSON writes one NUL as six bytes.
_TIGHT = _Limits(32 * 1024, 16 * 1024, 8 * 1024, 512)

_NAME_BYTES = 512
_FIELDS_MAX = 64
_FIELD_NODES_MAX = 1000
_FIELD_DEPTH_MAX = 8

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_SURROGATE = re.compile("[\ud800-\udfff]")
_TEXT_TYPES = {"uuid", "pathlib", "pathlib._local", "decimal", "ipaddress"}
_to_json = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":")
).encode
_formatter = logging.Formatter()


class _Exception(NamedTuple):
    """What is known about an exception; an unknown type is empty."""

    type: str
    message: str
    traceback: str


def encode_record(record: logging.LogRecord, source_id: str) -> bytes:
    """The record as JSON, its end still open for :func:`identify` and :func:`finish`."""
    message = _message(record)
    exception = _exception(record)
    body: dict[str, Any] = {
        "timestamp": _timestamp(record.created),
        **_level(record.levelno),
        "logger": _name(record.name),
        "message": message,
        "source_id": source_id,
        "source": _source(record),
    }
    extras = [key for key in vars(record) if key not in _STANDARD]
    encoded = b""
    for limits in (_USUAL, _TIGHT):
        body["message"] = cut(message, limits.message)
        if exception is not None:
            body["exception"] = _exception_within(exception, limits)
        if extras:
            body["fields"] = _fields(record, extras, limits.field)
        encoded = _encode(body)
        if len(encoded) <= RECORD_BYTES_MAX:
            break
    return encoded[:-1]


def encode_report(message: str, fields: dict[str, Any], source_id: str) -> bytes:
    """A WARNING of this package about itself, in the form of :func:`encode_record`."""
    body = {
        "timestamp": time.time(),
        **_level(logging.WARNING),
        "logger": "cantina_logging",
        "message": message,
        "source_id": source_id,
        "source": {"pid": os.getpid()},
        "fields": fields,
    }
    return _encode(body)[:-1]


def identify(body: bytes, entry_id: str) -> bytes:
    """Gives an encoded record the id it keeps on every path."""
    return b'%b,"entry_id":"%b"' % (body, entry_id.encode("ascii"))


def finish(body: bytes, seq: int) -> bytes:
    """Closes an encoded record with its number."""
    return b'%b,"seq":%d}' % (body, seq)


def cut(text: str, limit: int) -> str:
    """At most ``limit`` bytes of ``text``, and a mark if that is not all of it."""
    if len(text) * 4 <= limit:
        return text
    head = text[:limit].encode("utf-8", "backslashreplace")
    if len(text) <= limit and len(head) <= limit:
        return text
    return head[:limit].decode("utf-8", "ignore") + f"… [truncated: {len(text)} characters in all]"


def _encode(body: dict[str, Any]) -> bytes:
    text = _to_json(body)
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        # A lone surrogate has no UTF-8; it is shown as the text of its escape.
        return _SURROGATE.sub(lambda found: f"\\\\u{ord(found[0]):04x}", text).encode("utf-8")


def _timestamp(created: object) -> float:
    usable = isinstance(created, (int, float)) and math.isfinite(created)
    return float(created) if usable else time.time()  # type: ignore[arg-type]


def _level(levelno: object) -> dict[str, Any]:
    """The number as it is, and the one of the five names that is below or equal."""
    severity = levelno if isinstance(levelno, int) else logging.INFO
    severity = max(0, min(int(severity), 2**31 - 1))
    if severity >= logging.CRITICAL:
        name = "CRITICAL"
    elif severity >= logging.ERROR:
        name = "ERROR"
    elif severity >= logging.WARNING:
        name = "WARNING"
    elif severity >= logging.INFO:
        name = "INFO"
    else:
        name = "DEBUG"
    return {"level": name, "severity": severity}


def _source(record: logging.LogRecord) -> dict[str, Any]:
    """Where it was logged; what is unknown is absent."""
    source: dict[str, Any] = {}
    texts = (
        ("file", record.filename),
        ("function", record.funcName),
        ("thread", record.threadName),
        ("task", _task(record)),
    )
    for key, text in texts:
        if text:
            source[key] = _name(text)
    for key, number in (("line", record.lineno), ("pid", record.process)):
        if isinstance(number, int) and 0 < number < 2**32:
            source[key] = number
    return source


def _task(record: logging.LogRecord) -> str | None:
    """The asyncio task's name: the record's own since Python 3.12, the running task's before."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is None or "taskName" in vars(record):
        return getattr(record, "taskName", None)
    try:
        task = asyncio.current_task()
    except RuntimeError:  # No loop runs in this thread.
        return None
    return task.get_name() if task is not None else None


def _name(text: object) -> str:
    return cut(text if isinstance(text, str) else _safe_repr(text), _NAME_BYTES)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception as error:
        name = type(error).__name__
    template = record.msg if isinstance(record.msg, str) else _safe_repr(record.msg)
    if not record.args:
        return template
    return f"{template} [arguments {_safe_repr(record.args)} not merged: {name}]"


def _safe_repr(value: object) -> str:
    try:
        return repr(value)
    except Exception:
        return f"<unprintable {type(value).__name__} object>"


# === Exceptions ===

_TRACEBACK = "Traceback (most recent call last):"
_LAST_LINE = re.compile(r"^(\w[\w.]*(?:\.<locals>\.[\w.]+)*)(?:: (.*))?\Z", re.DOTALL)


def _exception(record: logging.LogRecord) -> _Exception | None:
    """From the exception itself, else from the text an earlier handler left in ``exc_text``."""
    info = record.exc_info
    stack = str(record.stack_info) if record.stack_info else ""
    if isinstance(info, tuple) and info[0] is not None:
        text = str(record.exc_text) if record.exc_text else _format_traceback(info)
        return _Exception(_type_name(info[0]), _safe_str(info[1]), _joined(text, stack))
    if record.exc_text:
        text = str(record.exc_text)
        return _Exception(*_parse_last_line(text), _joined(text, stack))
    return _Exception("", "", stack) if stack else None


def _exception_within(exception: _Exception, limits: _Limits) -> dict[str, str]:
    shown = {"traceback": cut(exception.traceback, limits.traceback)}
    if exception.type:
        shown["type"] = _name(exception.type)
        shown["message"] = cut(exception.message, limits.exception_message)
    return shown


def _joined(traceback: str, stack: str) -> str:
    return f"{traceback}\n{stack}" if stack else traceback


def _format_traceback(info: Any) -> str:
    try:
        return _formatter.formatException(info)
    except Exception as error:
        return f"<traceback could not be formatted: {type(error).__name__}>"


def _type_name(kind: type[BaseException]) -> str:
    module = kind.__module__
    return (
        kind.__qualname__ if module in ("builtins", "__main__") else f"{module}.{kind.__qualname__}"
    )


def _safe_str(value: object) -> str:
    try:
        return str(value)
    except Exception:
        return f"<unprintable {type(value).__name__} object>"


def _parse_last_line(text: str) -> tuple[str, str]:
    """Type and message from the end of a traceback, where Python writes ``Type: message``."""
    lines = text[max(text.rfind(_TRACEBACK), 0) :].split("\n")
    for number, line in enumerate(lines[1:], 1):
        if line and not line.startswith(" "):
            found = _LAST_LINE.match("\n".join(lines[number:]))
            return (found[1], found[2] or "") if found else ("", "")
    return "", ""


# === Extras ===


def _fields(record: logging.LogRecord, extras: list[str], limit: int) -> dict[str, Any]:
    return {
        _name(key): _field(vars(record).get(key), limit)
        for key in itertools.islice(extras, _FIELDS_MAX)
    }


def _field(value: object, limit: int) -> Any:
    """The value as JSON can say it; what it can not say, or at too great length, as text."""
    try:
        plain = _plain(value, limit, _FIELD_DEPTH_MAX, itertools.count(1))
    except Exception:
        return cut(_safe_repr(value), limit)
    if not isinstance(plain, (dict, list)):
        return plain
    text = _to_json(plain)
    shown = cut(text, limit)
    return plain if shown == text else shown


def _plain(value: Any, limit: int, depth: int, nodes: itertools.count[int]) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return cut(value, limit)
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if isinstance(value, (dict, list, tuple, set, frozenset)):
        return _plain_container(value, limit, depth, nodes)
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if type(value).__module__ in _TEXT_TYPES:
        return cut(str(value), limit)
    return cut(_safe_repr(value), limit)


def _plain_container(value: Any, limit: int, depth: int, nodes: itertools.count[int]) -> Any:
    if depth == 0:
        return "…"
    if isinstance(value, dict):
        plain: dict[str, Any] = {}
        for key, inner in value.items():
            if next(nodes) > _FIELD_NODES_MAX:
                plain["…"] = f"{len(value)} in all"
                break
            plain[_name(key)] = _plain(inner, limit, depth - 1, nodes)
        return plain
    values: list[Any] = []
    for inner in value:
        if next(nodes) > _FIELD_NODES_MAX:
            values.append(f"… {len(value)} in all")
            break
        values.append(_plain(inner, limit, depth - 1, nodes))
    return values


# === Frames ===


def frame(records: Iterable[bytes]) -> bytes:
    """One frame that carries these finished records."""
    payload = b"[%b]" % b",".join(records)
    return _LENGTH.pack(len(payload)) + payload


class FrameReader:
    """Puts the frames of the service back together, however the bytes arrive."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """The objects that ``data`` completes; raises :class:`WireError` on anything else."""
        self._buffer += data
        complete: list[dict[str, Any]] = []
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if length > FRAME_BYTES_MAX:
                raise WireError(f"a frame of {length} bytes was announced")
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                break
            complete.append(_parse(bytes(self._buffer[_LENGTH.size : end])))
            del self._buffer[:end]
        return complete


def _parse(payload: bytes) -> dict[str, Any]:
    try:
        message = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise WireError("a frame is not JSON") from error
    if not isinstance(message, dict):
        raise WireError("a frame is not an object")
    return message
