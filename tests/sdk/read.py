"""Reads events with the CloudEvents SDK for Python: each line of input in either mode, as on Kafka and as on NATS.

NATS spells attributes as HTTP does. The SDK finds the mode by itself.
"""

import base64
import json
import sys

from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka_event


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
    bodies = {"structured": given["structured"].encode(), "binary": base64.b64decode(given["body"])}
    for mode, body in bodies.items():
        headers = {name: value.encode() for name, value in given[f"kafka_{mode}"]}
        print(json.dumps(shown(mode, from_kafka_event(KafkaMessage(headers=headers, key=None, value=body)))))
    for mode, body in bodies.items():
        headers = dict(given[f"nats_{mode}"])
        print(json.dumps(shown(f"nats {mode}", from_http_event(HTTPMessage(headers=headers, body=body)))))
