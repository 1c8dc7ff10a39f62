"""Reads events with the CloudEvents SDK for Python: each line of input in structured and in (Kafka) binary mode."""

import base64
import json
import sys

from cloudevents.core.bindings.kafka import (
    KafkaMessage,
    from_binary_event,
    from_structured_event,
)


def shown(mode, event):
    attributes = {}
    for name, value in event.get_attributes().items():
        attributes[name] = value.isoformat() if hasattr(value, "isoformat") else value
    data = event.get_data()
    result = {"mode": mode, "attributes": attributes}
    if isinstance(data, (bytes, bytearray)):
        result["data_base64"] = base64.b64encode(data).decode()
    else:
        result["data"] = data
    return result


for line in sys.stdin:
    given = json.loads(line)
    structured = KafkaMessage(
        headers={"content-type": b"application/cloudevents+json"},
        key=None,
        value=given["structured"].encode(),
    )
    binary = KafkaMessage(
        headers={name: value.encode() for name, value in given["kafka_headers"]},
        key=None,
        value=base64.b64decode(given["body"]),
    )
    print(json.dumps(shown("structured", from_structured_event(structured))))
    print(json.dumps(shown("binary", from_binary_event(binary))))
