"""Handles the webhooks that hookbus publishes to NATS JetStream, each one once, in order.

    pip install -r requirements.txt
    NATS_URL=nats://127.0.0.1:4222 python nats_consumer.py 'webhooks.audit1.>'
"""

import asyncio
import os
import signal
import sys

import nats
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from nats.errors import TimeoutError
from nats.js.api import ConsumerConfig

from handled import Handled

STREAM = os.environ.get("STREAM", "WEBHOOKS")
# One name for all instances of a service: the server remembers how far they are, and gives each event to one of them.
DURABLE = os.environ.get("DURABLE", "example")


def handle(event):
    """Your work. If it raises, the event is not acknowledged and comes again."""
    print(event.get_type(), event.get_id(), flush=True)


def read(message):
    """Either content mode; NATS spells attributes as HTTP does."""
    return from_http_event(HTTPMessage(headers=message.headers or {}, body=message.data))


async def main(subject):
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    client = await nats.connect(os.environ.get("NATS_URL", "nats://127.0.0.1:4222"), max_reconnect_attempts=-1)
    subscription = await client.jetstream().pull_subscribe(
        subject,
        durable=DURABLE,
        stream=STREAM,
        # An event that is not acknowledged after this long comes again. One at a time keeps the order, also then.
        config=ConsumerConfig(ack_wait=5, max_ack_pending=1),
    )
    handled = Handled(os.environ.get("HANDLED", "handled.txt"))
    while not stop.is_set():
        try:
            [message] = await subscription.fetch(1, timeout=1)
        except TimeoutError:
            continue
        event = read(message)
        if event not in handled:
            handle(event)
            handled.add(event)
        await message.ack_sync()
    await client.close()


asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "webhooks.>"))
