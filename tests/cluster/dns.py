#!/usr/bin/env python3
"""The cluster's DNS, as far as pods here ask it: `service.namespace.svc.cluster.local` is a Service's address, and
`pod.service.namespace…` a pod's. In: the address to listen on, and KUBECONFIG. Everything else does not exist."""

import json
import socket
import struct
import subprocess
import sys
import time

DOMAIN = ".svc.cluster.local"
FRESH_SECONDS = 1
A = 1


def records():
    """Names and their addresses, from the API server."""
    found = {}
    done = subprocess.run(["kubectl", "get", "services,endpointslices", "--all-namespaces", "--output=json"], capture_output=True, text=True, timeout=10)
    for item in json.loads(done.stdout)["items"]:
        metadata = item["metadata"]
        if item["kind"] == "Service":
            if item["spec"].get("clusterIP") not in (None, "None"):
                found.setdefault(f"{metadata['name']}.{metadata['namespace']}", []).append(item["spec"]["clusterIP"])
            continue
        for endpoint in item.get("endpoints") or []:
            if hostname := endpoint.get("hostname"):
                service = metadata["labels"].get("kubernetes.io/service-name")
                found.setdefault(f"{hostname}.{service}.{metadata['namespace']}", []).extend(endpoint["addresses"])
    return found


def question(packet):
    """The name that is asked for, its type, and where the question ends."""
    labels, at = [], 12
    while packet[at]:
        labels.append(packet[at + 1 : at + 1 + packet[at]].decode("ascii", "replace").lower())
        at += 1 + packet[at]
    return ".".join(labels), struct.unpack_from("!H", packet, at + 1)[0], at + 5


def answer(packet, known):
    name, kind, end = question(packet)
    addresses = known.get(name.removesuffix(DOMAIN), []) if name.endswith(DOMAIN) else []
    said = addresses if kind == A else []
    # An answer with authority and recursion; a name that is there without a record of this type is no error.
    flags = 0x8580 | (0 if addresses else 3)
    head = packet[:2] + struct.pack("!HHHHH", flags, 1, len(said), 0, 0)
    return head + packet[12:end] + b"".join(struct.pack("!HHHIH", 0xC00C, A, 1, 1, 4) + socket.inet_aton(each) for each in said)


def main(address):
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener.bind((address, 53))
    known, at = {}, 0.0
    while True:
        packet, sender = listener.recvfrom(4096)
        try:
            if time.monotonic() - at > FRESH_SECONDS:
                known, at = records(), time.monotonic()
            listener.sendto(answer(packet, known), sender)
        except Exception as problem:
            print(f"{problem!r} for {packet!r}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
