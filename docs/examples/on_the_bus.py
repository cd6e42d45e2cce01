"""Follows the logs and the services of a robot on its bus, and sets the log level.

    pip install nats-py
    python on_the_bus.py nats://127.0.0.1:4222 DEBUG

Prints a line for each log entry, each status of a service, and each change of
the log levels. The level is optional; without it nothing is changed.
"""

from __future__ import annotations

import asyncio
import json
import sys

import nats
from nats.aio.msg import Msg


async def show_log(message: Msg) -> None:
    entry = json.loads(message.data)
    print(f"{entry['level']:8} {entry['service']}: {entry['message']}", flush=True)


async def show_status(message: Msg) -> None:
    status = json.loads(message.data)
    print(f"{status['service_name']} is {status['status']}", flush=True)


async def show_levels(message: Msg) -> None:
    levels = json.loads(message.data)["levels"]
    print(f"everything is logged from {levels['global']} on", flush=True)


async def main(url: str, level: str | None) -> None:
    bus = await nats.connect(url)
    await bus.subscribe("cantina.dashboard.log", cb=show_log)
    await bus.subscribe("cantina.service.status.update", cb=show_status)
    await bus.subscribe("cantina.logging.status", cb=show_levels)
    # What is published from here on reaches the subscriptions above.
    await bus.flush()
    if level is not None:
        payload = json.dumps({"level": level}).encode()
        await bus.publish("cantina.debug.set.global.level", payload)
    # Ask everyone how they are: their answers are status updates.
    await bus.publish("cantina.service.status.request", b"{}")
    print("connected", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None))
