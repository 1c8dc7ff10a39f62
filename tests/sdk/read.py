"""Reads events with the CloudEvents SDK for Python: each line of input in either mode, as on Kafka and as on NATS.

NATS spells attributes as HTTP does. With headers beside a structured message the SDK's own detection takes it for a
binary one, so the content type decides here, as in the examples for subscribers.
"""

import base64
import json
import sys

from cloudevents.core.bindings import http
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
    for mode, body in (("structured", given["structured"].encode()), ("binary", base64.b64decode(given["body"]))):
        headers = dict(given[f"nats_{mode}"])
        is_structured = headers.get("content-type", "").startswith("application/cloudevents")
        read = http.from_structured_event if is_structured else http.from_binary_event
        print(json.dumps(shown(f"nats {mode}", read(http.HTTPMessage(headers=headers, body=body)))))
