"""Pickles for the tests, made by Python itself.

Prints one JSON object per line: the name of a case, the protocol, the pickle in
hexadecimal, and what is to be shown, worked out by Python.
"""

import collections, datetime, decimal, enum, fractions, ipaddress, json, logging
import pathlib, pickle, uuid, zoneinfo


class Color(enum.Enum):
    RED = "red"


class Number(enum.IntEnum):
    ONE = 1


class Plain:
    def __init__(self):
        self.secret = 1


class Strange(dict):
    pass


Point = collections.namedtuple("Point", "x y")


class HomeMadeError(Exception):
    pass


def by_name(cls, name):
    """A value that is pickled as `getattr(cls, name)`, as some versions of enum do."""

    class ByName:
        def __reduce__(self):
            return getattr, (cls, name)

    return ByName()


utc = datetime.timezone.utc
east = datetime.timezone(datetime.timedelta(hours=5, minutes=30))
moment = datetime.datetime(2026, 11, 22, 16, 4, 22, 123456)
u = uuid.UUID("6f1c2d3e-0000-4000-8000-000000000001")
loop = []
loop.append(loop)
ring = {}
ring["self"] = ring
shared = ["s"]
ordered = collections.OrderedDict([("b", 1), ("a", [2])])
default = collections.defaultdict(list, {"k": [1]})

CASES = {
    "none": (None, None),
    "booleans": ([True, False], [True, False]),
    "integers": ([0, 255, 256, 65536, -1, -129, 2**31, -(2**31) - 1, 2**62, -(2**63), 2**64 - 1],) * 2,
    "large integers": ([2**64, -(2**100), 10**120], [str(2**64), str(-(2**100)), str(10**120)]),
    "an integer too large": ({"n": 1 << 520}, None),
    "floats": ([0.0, -1.5, 1e300, 0.1], [0.0, -1.5, 1e300, 0.1]),
    "odd floats": ([float("inf"), float("-inf"), float("nan")], ["inf", "-inf", "nan"]),
    "texts": (["", "plain", "ünï €😀", "back\\slash \\u0041 line\nbreak\r\0end\x1a"],) * 2,
    "lone surrogates": ("a\ud800b\udfff", "a\\ud800b\\udfff"),
    "bytes": ([b"", b"text", b"\xff\x00", bytes(range(256))[:3]], ["", "text", "b64:/wA=", "\x00\x01\x02"]),
    "bytearray": (bytearray(b"abc"), "abc"),
    "lists and tuples": ([[], (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), [[1], [2]]], [[], [], [1], [1, 2], [1, 2, 3], [1, 2, 3, 4], [[1], [2]]]),
    "sets": ([{1}, frozenset({"f"}), set(), frozenset()], [[1], ["f"], [], []]),
    "dicts": ({"a": {"b": 1}, 2: "two", None: 0, (1, 2): 3}, {"a": {"b": 1}, "2": "two", "None": 0, "(1, 2)": 3}),
    "a long list": (list(range(2500)), list(range(2500))),
    "shared": ([shared, shared], [["s"], ["s"]]),
    "a list in itself": (loop, ["<recursive>"]),
    "a dict in itself": (ring, {"self": "<recursive>"}),
    "complex": ([1 + 2j, -0.5j, complex(1, -1)], [str(1 + 2j), str(-0.5j), str(complex(1, -1))]),
    "datetimes": (
        [moment, moment.replace(tzinfo=utc), moment.replace(tzinfo=east), moment.replace(microsecond=0), moment.replace(fold=1)],
        [moment.isoformat(), moment.replace(tzinfo=utc).isoformat(), moment.replace(tzinfo=east).isoformat(), moment.replace(microsecond=0).isoformat(), moment.isoformat()],
    ),
    "a named zone": (moment.replace(tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")), moment.isoformat() + "[Europe/Berlin]"),
    "dates and times": ([moment.date(), moment.time(), moment.time().replace(microsecond=0, tzinfo=utc)], [moment.date().isoformat(), moment.time().isoformat(), "16:04:22+00:00"]),
    "timedeltas": (
        [t := datetime.timedelta(days=2, seconds=5025, microseconds=7), datetime.timedelta(seconds=-1), datetime.timedelta(0), datetime.timedelta(days=1)],
        [str(t), str(datetime.timedelta(seconds=-1)), "0:00:00", "1 day, 0:00:00"],
    ),
    "zones": ([utc, east], [str(utc), str(east)]),
    "decimal": ([decimal.Decimal("1.50"), decimal.Decimal("NaN")], ["1.50", "NaN"]),
    "fraction": (fractions.Fraction(1, 3), "1/3"),
    "uuid": ([u, uuid.UUID(int=1)], [str(u), str(uuid.UUID(int=1))]),
    "paths": (
        [pathlib.PurePosixPath("/tmp/a b"), pathlib.Path("rel/x"), pathlib.PurePosixPath("/"), pathlib.Path("."), pathlib.PureWindowsPath("C:\\a\\b")],
        ["/tmp/a b", "rel/x", "/", ".", "C:\\a\\b"],
    ),
    "addresses": ([ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1"), ipaddress.ip_network("10.0.0.0/8")], ["127.0.0.1", "::1", "10.0.0.0/8"]),
    "collections": ([ordered, default, collections.Counter("aab"), collections.deque([1, 2], 5)], [ordered, default, {"a": 2, "b": 1}, [1, 2]]),
    "an enum by name": (by_name(Color, "RED"), "Color.RED"),
    "an enum by value": ([Color.RED, Number.ONE], ["Color('red')", "Number(1)"]),
    "exceptions": (
        [ValueError("no 'x'"), KeyError(), RuntimeError(2, "gone"), HomeMadeError("a", 1), KeyboardInterrupt()],
        [repr(ValueError("no 'x'")), "KeyError()", "RuntimeError(2, 'gone')", repr(HomeMadeError("a", 1)), "KeyboardInterrupt()"],
    ),
    "strangers": ([Plain(), Strange(k=1), Point(1, 2), Plain, len], ["<__main__.Plain>", "<__main__.Strange>", "<__main__.Point>", "<__main__.Plain>", "<builtins.len>"]),
}


def record(extra):
    made = logging.LogRecord("cantina_os.test", logging.WARNING, "/a/b.py", 7, "the message", None, None, "f")
    made.__dict__["extra"] = extra
    return made.__dict__


for name, (value, expected) in CASES.items():
    for protocol in range(6):
        data = pickle.dumps(record(value), protocol)
        print(json.dumps({"name": name, "protocol": protocol, "pickle": data.hex(), "expected": expected}))
