"""What can go wrong with a call.

    status  it is refused with `status`, `message` and `headers`, and nothing is done: an outage, a rate limit
    slow    it is answered after `seconds`
    lost    it is done, and the connection closed without an answer
    cut     it is done, and the connection closed in the middle of the answer
    shape   it is done, and `answer` given in place of what the documents show
    long    it is done, and an answer of `bytes` more given
"""

import socket
import threading
import time


class Fault:
    def __init__(self, rule=None):
        self.rule = rule or {"kind": "none"}

    def play(self, handler, ask):
        kind = self.rule["kind"]
        if kind == "status":
            body = {"message": self.rule.get("message", "a fault of the stand-in")}
            return handler.answer(self.rule["status"], body, self.rule.get("headers"))
        if kind == "slow":
            time.sleep(self.rule["seconds"])
        status, value, headers = ask()
        if kind == "lost":
            handler.close_connection = True
            return handler.connection.shutdown(socket.SHUT_RDWR)
        if kind == "shape":
            value = self.rule["answer"]
        if kind == "long":
            value = {**value, "filler": "x" * self.rule["bytes"]}
        return handler.answer(status, value, headers, cut=kind == "cut")


class Faults:
    """Rules that wait for their calls; each is used up after `times`."""

    def __init__(self):
        self.rules, self.lock = [], threading.Lock()

    def add(self, rule):
        with self.lock:
            self.rules.append({"times": 1, "path": "/", "method": None, **rule})

    def take(self, vendor, method, path):
        with self.lock:
            for rule in self.rules:
                meant = rule["vendor"] == vendor and rule["method"] in (None, method) and path.startswith(rule["path"])
                if meant and 0 < rule["times"]:
                    rule["times"] -= 1
                    return Fault(rule)
        return Fault()
