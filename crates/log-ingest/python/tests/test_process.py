"""What only a whole process shows: installing, forks, exits."""

from __future__ import annotations

import logging
import os
import pathlib
import subprocess
import sys

import pytest
from service import Service

import cantina_logging
from cantina_logging import CantinaLogHandler, install

SRC = pathlib.Path(cantina_logging.__file__).parents[1]


def program(service: Service, script: str) -> subprocess.Popen[str]:
    """A program of its own that logs to ``service``; warnings are its errors."""
    prelude = f"import cantina_logging, logging, os, sys\naddress = {service.address!r}\n"
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", prelude + script],
        env={**os.environ, "PYTHONPATH": str(SRC)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(service: Service, script: str, timeout: float = 20.0) -> subprocess.CompletedProcess[str]:
    """Such a program, from its beginning to its end."""
    with program(service, script) as running:
        try:
            stdout, stderr = running.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            running.kill()
            raise
    return subprocess.CompletedProcess(running.args, running.returncode, stdout, stderr)


def assert_clean(done: subprocess.CompletedProcess[str]) -> None:
    assert (done.returncode, done.stderr) == (0, "")


# === install ===


def ours() -> list[logging.Handler]:
    return [one for one in logging.getLogger().handlers if isinstance(one, CantinaLogHandler)]


def test_install_puts_one_handler_on_the_root_logger(service: Service) -> None:
    handler = install(service.address)
    assert ours() == [handler]
    assert install(service.address) is handler
    assert ours() == [handler]
    logging.getLogger("any.logger").error("heard")
    assert service.wait_for_records(1)[0]["logger"] == "any.logger"
    assert service.connections == 1


def test_install_connects_before_the_first_record(service: Service) -> None:
    install(service.address)
    service.wait_for_connections(1)


def test_install_sets_the_level_only_if_one_is_given(service: Service) -> None:
    root = logging.getLogger()
    root.setLevel(logging.ERROR)
    install(service.address)
    assert root.level == logging.ERROR
    install(service.address, level="DEBUG")
    assert root.level == logging.DEBUG
    install(service.address, level=logging.INFO)
    assert root.level == logging.INFO


def test_installing_with_another_address_moves_the_handler(service: Service) -> None:
    with Service() as other:
        first = install(service.address)
        logging.error("one")
        second = install(other.address)
        logging.error("two")
        second.flush()
        assert first.is_closed
        assert ours() == [second]
        assert (service.messages(), other.messages()) == (["one"], ["two"])


def test_installing_after_a_close_begins_anew(service: Service) -> None:
    first = install(service.address)
    first.close()
    second = install(service.address)
    assert second is not first
    assert ours() == [second]
    assert second.source_id != first.source_id
    logging.error("heard")
    service.wait_for_records(1)


@pytest.mark.parametrize(
    "address", ["", "localhost", ":9020", "host:", "host:x", "host:0", "host:70000", "::1:9020"]
)
def test_a_bad_address_is_an_error_at_once(address: str) -> None:
    with pytest.raises(ValueError, match="host"):
        install(address)
    assert ours() == []


def test_a_bad_level_is_an_error_at_once(service: Service) -> None:
    with pytest.raises(ValueError, match="LOUD"):
        install(service.address, level="LOUD")
    assert ours() == []


def test_dict_config_can_name_the_handler(service: Service) -> None:
    done = run(
        service,
        """
import logging.config
logging.config.dictConfig({
    "version": 1,
    "handlers": {"c": {"class": "cantina_logging.CantinaLogHandler", "address": address}},
    "root": {"handlers": ["c"], "level": "INFO"},
})
logging.info("configured")
""",
    )
    assert_clean(done)
    assert service.messages() == ["configured"]


# === Exit ===


def test_a_program_that_ends_at_once_loses_nothing(service: Service) -> None:
    done = run(
        service,
        """
cantina_logging.install(address, level="INFO")
for number in range(2000):
    logging.info("%d", number)
""",
    )
    assert_clean(done)
    assert service.messages() == [str(number) for number in range(2000)]


def test_a_program_that_dies_of_an_exception_loses_nothing(service: Service) -> None:
    done = run(
        service,
        """
cantina_logging.install(address, level="INFO")
logging.info("last words")
raise SystemExit(7)
""",
    )
    assert (done.returncode, done.stderr) == (7, "")
    assert service.messages() == ["last words"]


def test_what_other_exit_functions_log_is_delivered(service: Service) -> None:
    done = run(
        service,
        """
import atexit
cantina_logging.install(address, level="INFO")
atexit.register(lambda: logging.info("goodbye"))
""",
    )
    assert_clean(done)
    assert service.messages() == ["goodbye"]


def test_shutting_down_twice_is_no_error(service: Service) -> None:
    done = run(
        service,
        """
handler = cantina_logging.install(address, level="INFO")
logging.info("x")
logging.shutdown()
handler.close()
logging.info("after the end")
""",
    )
    assert_clean(done)
    assert service.messages() == ["x"]


def test_without_a_service_the_exit_takes_two_seconds_and_one_line() -> None:
    with Service(listening=False) as service:
        done = run(
            service,
            """
import atexit, time
cantina_logging.install(address, level="INFO")
for number in range(37):
    logging.info("x")
shutdown = logging.shutdown
def timed():
    before = time.monotonic()
    shutdown()
    print(time.monotonic() - before)
atexit.unregister(shutdown)
atexit.register(timed)
""",
        )
    assert done.returncode == 0
    assert 1.0 < float(done.stdout) < 2.0
    assert done.stderr == (
        f"cantina_logging: 37 records were not delivered to {service.address}"
        " (37 not acknowledged)\n"
    )


def test_an_end_without_stderr_is_no_error() -> None:
    with Service(listening=False) as service:
        done = run(
            service,
            """
cantina_logging._handler.DRAIN_TIMEOUT = 0.05
cantina_logging.install(address, level="INFO")
logging.info("x")
sys.stderr = None
""",
        )
    assert_clean(done)


# === Fork ===

fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
# Since Python 3.12 forking beside threads is warned of; this package makes no difference to that.
FORK = """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
handler = cantina_logging.install(address, level="INFO")
"""


@fork
def test_parent_and_child_are_two_sources_with_their_own_numbers(service: Service) -> None:
    done = run(
        service,
        FORK
        + """
logging.info("parent 1")
handler.flush()
before = handler.source_id
child = os.fork()
if child == 0:
    assert handler.source_id != before
    logging.info("child 1")
    logging.info("child 2")
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
assert handler.source_id == before
logging.info("parent 2")
""",
    )
    assert_clean(done)
    by_source: dict[str, list[tuple[int, str]]] = {}
    for record in service.records:
        by_source.setdefault(record["source_id"], []).append((record["seq"], record["message"]))
        assert record["source_id"].split(":")[1] == str(record["source"]["pid"])
    assert sorted(by_source.values()) == [
        [(1, "child 1"), (2, "child 2")],
        [(1, "parent 1"), (2, "parent 2")],
    ]
    assert len({record["entry_id"] for record in service.records}) == 4


@fork
def test_the_child_does_not_send_what_waits_in_the_parent() -> None:
    script = """
for number in range(50):
    logging.info("parent")
child = os.fork()
if child == 0:
    logging.info("child")
    sys.exit(0)
print("forked", flush=True)
assert os.waitpid(child, 0)[1] == 0
"""
    with Service(listening=False) as service, program(service, FORK + script) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "forked\n"
        service.listen()
        assert running.communicate(timeout=20.0)[1] == ""
        assert running.returncode == 0
        assert sorted(service.messages()) == ["child"] + ["parent"] * 50


@fork
def test_a_fork_in_the_middle_of_the_first_connection_is_no_trouble(service: Service) -> None:
    for _ in range(5):
        service.records.clear()
        done = run(
            service,
            FORK
            + """
child = os.fork()
if child == 0:
    logging.info("child")
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
""",
        )
        assert_clean(done)
        assert service.messages() == ["child"]


@fork
def test_a_child_that_ends_leaves_the_parents_connection_alone(service: Service) -> None:
    done = run(
        service,
        FORK
        + """
logging.info("before")
handler.flush()
for number in range(3):
    child = os.fork()
    if child == 0:
        sys.exit(0)
    assert os.waitpid(child, 0)[1] == 0
logging.info("after")
""",
    )
    assert_clean(done)
    assert service.messages() == ["before", "after"]
    assert service.connections == 1


@fork
@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="descriptors are not listed here")
def test_the_child_keeps_no_copy_of_the_parents_connection(service: Service) -> None:
    done = run(
        service,
        FORK
        + """
def sockets():
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink("/proc/self/fd/" + name).startswith("socket:"))
        except FileNotFoundError:
            pass
    return sum(found)
logging.info("parent")
handler.flush()
assert sockets() == 1
child = os.fork()
if child == 0:
    os._exit(sockets())
assert os.waitpid(child, 0)[1] == 0
""",
    )
    assert_clean(done)


@fork
def test_a_fork_while_other_threads_log_is_no_trouble(service: Service) -> None:
    done = run(
        service,
        FORK
        + """
import threading
stop = threading.Event()
def chatter():
    while not stop.is_set():
        logging.info("chatter")
threads = [threading.Thread(target=chatter) for _ in range(2)]
for thread in threads:
    thread.start()
for number in range(20):
    child = os.fork()
    if child == 0:
        logging.warning("child %d", number)
        logging.shutdown()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
stop.set()
for thread in threads:
    thread.join()
""",
        timeout=60.0,
    )
    assert done.returncode == 0, done.stderr
    children = [text for text in service.messages() if text.startswith("child")]
    assert children == [f"child {number}" for number in range(20)]


@fork
def test_a_child_of_multiprocessing_logs_as_well(service: Service) -> None:
    done = run(
        service,
        FORK
        + """
import multiprocessing
def work(number):
    logging.info("worker %d", number)
    logging.shutdown()
context = multiprocessing.get_context("fork")
workers = [context.Process(target=work, args=(number,)) for number in range(3)]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
    assert worker.exitcode == 0
""",
    )
    assert_clean(done)
    assert sorted(service.messages()) == ["worker 0", "worker 1", "worker 2"]
