"""What both vendors have: endpoints with secrets, and webhooks that are sent, retried and given up."""

import datetime
import json
import secrets
import threading
import time
import urllib.error
import urllib.parse
import urllib.request


class Vendor:
    #: Documented seconds between the attempts of a delivery.
    DELAYS = []
    #: Documented seconds that an answer may take.
    PATIENCE = 10

    def __init__(self, options, refused):
        self.options, self.refused = options, refused
        self.endpoints, self.deliveries, self.events = {}, [], []

    # The state, for the test.

    def state(self):
        return {"endpoints": list(self.endpoints.values()), "deliveries": self.deliveries, "events": self.events}

    def make(self, url, events, description=None):
        self.check_url(url)
        if not events:
            raise self.refused(422, "name at least one event")
        endpoint = {
            "id": f"{self.PREFIX}_{secrets.token_hex(5)}",
            "url": url,
            "events": list(events),
            "description": description,
            "secret": f"whsec_{secrets.token_hex(12)}",
            "status": "active",
            "created": int(time.time()),
        }
        self.endpoints[endpoint["id"]] = endpoint
        return endpoint

    def check_url(self, url):
        """Both ask for HTTPS; a gateway of a test, which has no certificate, stands on this machine."""
        parts = urllib.parse.urlsplit(url)
        if parts.scheme != "https" and parts.hostname != "127.0.0.1":
            raise self.refused(422, "webhook URLs must use HTTPS")

    def endpoint(self, name):
        if name not in self.endpoints:
            raise self.refused(404, "no such endpoint")
        return self.endpoints[name]

    # Webhooks.

    def fire(self, event, body, drop=False):
        """An event happens: every endpoint that asked for it gets it, each delivery in a thread of its own; with `drop` none
        ever arrives, and the vendor gives it up."""
        text = json.dumps(body).encode()
        self.events.append(body)
        wanted = [e for e in self.endpoints.values() if e["status"] == "active" and {event, "*"} & set(e["events"])]
        for endpoint in wanted:
            delivery = {
                "id": f"del_{secrets.token_hex(4)}",
                "endpoint": endpoint["id"],
                "eventType": event,
                "timestamp": iso_now(),
                "status": "pending",
                "attempts": 0,
            }
            self.deliveries.append(delivery)
            if drop:
                delivery.update(status="failed", attempts=1 + len(self.DELAYS), lastError="no answer in time")
                continue
            threading.Thread(target=self.deliver, args=(endpoint, delivery, text), daemon=True).start()
        return len(wanted)

    def deliver(self, endpoint, delivery, text):
        for delay in [0, *self.DELAYS]:
            time.sleep(delay * self.options.scale)
            delivery["attempts"] += 1
            headers = {"content-type": "application/json", **self.sign(endpoint["secret"], text)}
            request = urllib.request.Request(endpoint["url"], text, headers, method="POST")
            # Through no proxy: the receiver stands on this machine.
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            try:
                with opener.open(request, timeout=self.PATIENCE) as answer:
                    delivery["responseCode"] = answer.status
            except urllib.error.HTTPError as error:
                delivery["responseCode"] = error.code
                delivery["lastError"] = f"answered {error.code}"
            except OSError as error:
                delivery["lastError"] = str(error)
            if self.is_taken(delivery.get("responseCode")):
                delivery["status"] = "delivered"
                return
        delivery["status"] = "failed"


def iso_now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z")
