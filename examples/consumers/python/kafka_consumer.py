"""Handles the webhooks that hookbus publishes to Apache Kafka, each one once, in the order of its key.

    pip install -r requirements.txt
    KAFKA_BROKERS=127.0.0.1:9092 python kafka_consumer.py '^webhooks\\.audit1\\.'
"""

import os
import signal
import sys

from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka_event
from confluent_kafka import Consumer

from handled import Handled

stopping = False


def stop(*_):
    global stopping
    stopping = True


def handle(event):
    """Your work. If it raises, the offset is not committed and the event comes again after the restart."""
    print(event.get_type(), event.get_id(), flush=True)


def read(message):
    """Either content mode."""
    headers = dict(message.headers() or ())
    return from_kafka_event(KafkaMessage(headers=headers, key=message.key(), value=message.value()))


def main(topics):
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    consumer = Consumer(
        {
            "bootstrap.servers": os.environ.get("KAFKA_BROKERS", "127.0.0.1:9092"),
            # One name for all instances of a service: they share the partitions.
            "group.id": os.environ.get("GROUP", "example"),
            # After this long without a sign of life an instance's partitions go to another.
            "session.timeout.ms": 10_000,
            # Only what is handled is committed, in the background; what is not yet comes again after a crash.
            "enable.auto.offset.store": False,
            # A new group begins with the oldest event that the topics still have.
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([topics])
    handled = Handled(os.environ.get("HANDLED", "handled.txt"))
    while not stopping:
        message = consumer.poll(1.0)
        if message is None:
            continue
        if message.error():
            print(message.error(), file=sys.stderr)  # the client goes on by itself
            continue
        event = read(message)
        if event not in handled:
            handle(event)
            handled.add(event)
        consumer.store_offsets(message)
    consumer.close()  # commits the rest


main(sys.argv[1] if len(sys.argv) > 1 else r"^webhooks\.")
