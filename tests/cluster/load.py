"""Senders that post signed events through a Service's address while something happens to the pods behind it, and the account afterwards:
what failed, what was lost, what came twice."""

import asyncio
import hashlib
import hmac
import http.client
import json
import sys
import threading
import time
import typing

from control import ROOT, Failed, eventually

SENDERS = 8
PERIOD_SECONDS = 0.1
# As a vendor waits.
ANSWER_SECONDS = 10
# What a replica could not publish before it went is published by its successor.
ARRIVAL_SECONDS = 90
SECRET = "whsec_of_the_cluster_test"
PATH = "/webhooks/1099policy"


def signed(body):
    now = str(int(time.time()))
    signature = hmac.new(SECRET.encode(), f"{now},".encode() + body, hashlib.sha512).hexdigest()
    return {"Content-Type": "application/json", "X-Convoy-Signature": signature, "Convoy-Timestamp": now}


def event(identity):
    head = {"id": identity, "type": "policy.active", "created": int(time.time())}
    return json.dumps({**head, "data": {"object": {"id": f"pol_{identity}", "object": "policy", "status": "active"}}}).encode()


class Load:
    """Every second sender keeps its connection, every other opens one for each request, as vendors do both."""

    def __init__(self, address, port=80, name="load"):
        self.address, self.port, self.name = address, port, name
        self.answered, self.failures, self.slowest = [], [], 0.0
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self.send, args=(number,)) for number in range(SENDERS)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()

    def send(self, sender):
        connection, count = None, 0
        while not self.stop.wait(PERIOD_SECONDS):
            count += 1
            identity = f"evt_{self.name}_{sender}_{count}"
            body, begin = event(identity), time.monotonic()
            try:
                connection = connection or http.client.HTTPConnection(self.address, self.port, timeout=ANSWER_SECONDS)
                connection.request("POST", PATH, body, signed(body))
                response = connection.getresponse()
                response.read()
                if response.status == 200:
                    self.answered.append(identity)
                else:
                    self.failures.append(f"{response.status} {response.reason}")
                closing = response.will_close
            except (OSError, http.client.HTTPException) as problem:
                self.failures.append(f"{problem!r} at {time.strftime('%H:%M:%S')} after {time.monotonic() - begin:.2f} s, sender {sender}")
                closing = True
            self.slowest = max(self.slowest, time.monotonic() - begin)
            if connection and (closing or sender % 2):
                connection.close()
                connection = None
        if connection:
            connection.close()

    def account(self, broker):
        """Requests, and how many failed, were lost, came twice; the events are read from the stream at `broker`."""
        answered, found = set(self.answered), []

        def arrived():
            found[:] = [identity for identity in stream(broker) if identity.startswith(f"evt_{self.name}_")]
            return answered <= set(found)

        try:
            eventually("every acknowledged event is in the stream", ARRIVAL_SECONDS, arrived)
        except Failed:
            pass  # it is counted
        lost = len(answered - set(found))
        return Account(len(self.answered) + len(self.failures), len(self.failures), lost, len(found) - len(set(found)), self.slowest)


class Account(typing.NamedTuple):
    requests: int
    failed: int
    lost: int
    duplicated: int
    slowest: float

    def __str__(self):
        return f"{self.requests:,} requests, {self.failed} failed, {self.lost} lost, {self.duplicated} twice; slowest {self.slowest:.2f} s"


def stream(broker):
    """The ids of all events in the stream."""
    sys.path.insert(0, str(ROOT / "target/tools/consumers/python"))
    import nats
    from nats.js.api import AckPolicy, ConsumerConfig

    # Reading changes nothing, and waits for no acknowledgement.
    reading = ConsumerConfig(ack_policy=AckPolicy.NONE)

    async def read():
        client = await nats.connect(f"nats://{broker}:4222", connect_timeout=5, max_reconnect_attempts=1)
        try:
            context = client.jetstream()
            names = [each.config.name for each in await context.streams_info()]
            found = []
            for name in names:
                waiting = (await context.stream_info(name)).state.messages
                subscription = await context.pull_subscribe(">", stream=name, config=reading)
                while waiting > 0:
                    messages = await subscription.fetch(500, timeout=5)
                    found += [json.loads(message.data)["id"] for message in messages]
                    waiting -= len(messages)
                await subscription.unsubscribe()
            return found
        finally:
            await client.close()

    return asyncio.run(read())
