"""Audit1's API, from its developer tutorial.

Not documented, and chosen here: how a list answers (`{"success": true, "webhooks": […]}`), what PUT, DELETE and the test call
answer, how an error reads, that `status` `active` switches on again and that PUT takes `url`.
"""

import datetime
import hashlib
import hmac
import secrets

from vendor import Vendor, iso_now


class Audit1(Vendor):
    PREFIX = "wh"
    DELAYS = [0, 60, 300, 1800, 7200, 21600]

    def answer(self, call):
        given = (call.headers.get("x-client-id"), call.headers.get("x-client-secret"))
        if given != (self.options.client_id, self.options.api_key):
            raise self.refused(401, f"unknown client {given[0]} {given[1]}")
        kind, *rest = call.path.strip("/").split("/")
        if kind != "webhooks":
            raise self.refused(404, "no such path")
        if not rest:
            return self.answer_all(call)
        endpoint = self.endpoint(rest[0])
        if (call.method, rest[1:]) == ("POST", ["test"]):
            return self.test(endpoint)
        if (call.method, rest[1:]) == ("GET", ["deliveries"]):
            mine = [delivery for delivery in self.deliveries if delivery["endpoint"] == endpoint["id"]]
            kept = ("id", "eventType", "timestamp", "status", "responseCode", "attempts", "lastError")
            return 200, {"deliveries": [{k: d[k] for k in kept if k in d} for d in reversed(mine)]}, {}
        if call.method == "PUT" and not rest[1:]:
            return self.change(endpoint, call.json())
        if call.method == "DELETE" and not rest[1:]:
            del self.endpoints[endpoint["id"]]
            return 204, None, {}
        raise self.refused(404, "no such path")

    def answer_all(self, call):
        if call.method == "GET":
            return 200, {"success": True, "webhooks": [self.shown(endpoint) for endpoint in self.endpoints.values()]}, {}
        if call.method == "POST":
            wanted = call.json()
            made = self.make(wanted["url"], wanted["events"], wanted.get("description"))
            return 201, {"success": True, "webhook": self.shown(made), "secret": made["secret"]}, {}
        raise self.refused(404, "no such path")

    def change(self, endpoint, wanted):
        unknown = set(wanted) - {"url", "events", "status"}
        if unknown or wanted.get("status", "active") not in ("active", "disabled"):
            raise self.refused(400, f"cannot change {sorted(unknown) or 'status'}")
        if "url" in wanted:
            self.check_url(wanted["url"])
        endpoint.update(wanted)
        return 200, {"success": True, "webhook": self.shown(endpoint)}, {}

    def test(self, endpoint):
        event = {
            "id": f"evt_test_{secrets.token_hex(5)}",
            "type": "webhook.test",
            "timestamp": iso_now(),
            "data": {"message": "This is a test webhook event"},
        }
        others, self.endpoints = self.endpoints, {endpoint["id"]: {**endpoint, "events": ["webhook.test"]}}
        try:
            self.fire("webhook.test", event)
        finally:
            self.endpoints = others
        return 200, {"success": True}, {}

    @staticmethod
    def shown(endpoint):
        created = datetime.datetime.fromtimestamp(endpoint["created"], datetime.timezone.utc)
        shown = {name: endpoint[name] for name in ("id", "url", "events", "status")}
        return {**shown, "createdAt": created.strftime("%Y-%m-%dT%H:%M:%S.000Z")}

    @staticmethod
    def error(_, message):
        return {"success": False, "error": {"message": message}}

    @staticmethod
    def sign(secret, body):
        return {"audit1-signature": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}

    @staticmethod
    def is_taken(status):
        return status == 200
