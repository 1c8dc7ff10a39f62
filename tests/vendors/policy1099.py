"""1099Policy's API, from its guide to certificate webhooks; what only the public reference says is marked so.

Not documented, and chosen here: how a list answers (an array), what PUT and DELETE answer, the schedule of retries.
"""

import hashlib
import hmac
import time

from vendor import Vendor


class Policy1099(Vendor):
    PREFIX = "we"
    # "Exponential backoff", without numbers: those of the gateway software whose headers it sends.
    DELAYS = [10, 30, 60, 180, 300]
    PATIENCE = 30

    def __init__(self, options, refused):
        super().__init__(options, refused)
        self.certificates = {}

    def fire(self, event, body, drop=False):
        """Of a certificate's event the certificate itself is there, too, with the status that the event tells."""
        kind, _, status = event.partition(".")
        data = body.get("data", {})
        shown = data["object"] if isinstance(data.get("object"), dict) else data
        if kind == "certificate" and "id" in shown:
            known = self.certificates.get(shown["id"], {})
            updated = body.get("created", int(time.time()))
            self.certificates[shown["id"]] = {**known, **shown, "status": status, "updated": updated}
        return super().fire(event, body, drop)

    def answer(self, call):
        if call.basic_user() != self.options.api_key:
            # What a careless vendor would say: the credential must not be repeated by who reads it.
            raise self.refused(401, f"invalid key {call.basic_user()}")
        kind, *rest = call.path.strip("/").split("/", 1)
        name = rest[0] if rest else None
        if kind == "webhook_endpoints":
            return self.answer_endpoints(call, name)
        if kind == "files" and call.method == "GET":
            return self.answer_certificates(call, name)
        if (kind, call.method) == ("events", "GET"):
            limit = int(call.query.get("limit", ["10"])[0])
            return 200, list(reversed(self.events))[:limit], {}
        raise self.refused(404, "no such path")

    def answer_endpoints(self, call, name):
        if (call.method, name) == ("GET", None):
            return 200, [self.shown(endpoint) for endpoint in self.endpoints.values()], {}
        if (call.method, name) == ("POST", None):
            form = call.form()
            made = self.make(form["url"][0], form.get("events[]", []), form.get("description", [None])[0])
            return 200, {**self.shown(made), "secret": made["secret"]}, {}
        endpoint = self.endpoint(name)
        if call.method == "PUT":
            form = call.form()
            self.check_url(form["url"][0])
            endpoint["url"], endpoint["events"] = form["url"][0], form["events[]"]
            return 200, self.shown(endpoint), {}
        if call.method == "DELETE":
            del self.endpoints[name]
            return 200, {"id": name, "deleted": True}, {}
        raise self.refused(404, "no such path")

    def answer_certificates(self, call, name):
        """The public reference: newest first, `limit`, `starting_after`; full results only where asked for."""
        _, _, certificate = (name or "").partition("/")
        if certificate:
            if certificate not in self.certificates:
                raise self.refused(404, "no such certificate")
            return 200, self.expanded(self.certificates[certificate], call), {}
        names = list(reversed(self.certificates))
        after = call.query.get("starting_after", [None])[0]
        names = names[names.index(after) + 1 :] if after in names else names
        limit = int(call.query.get("limit", ["10"])[0])
        return 200, [self.expanded(self.certificates[name], call) for name in names[:limit]], {}

    @staticmethod
    def expanded(certificate, call):
        is_full = "review_results.full" in call.query.get("expand[]", [])
        return certificate if is_full else {**certificate, "review_results": None}

    @staticmethod
    def shown(endpoint):
        return {name: endpoint[name] for name in ("id", "url", "events", "created")}

    @staticmethod
    def error(status, message):
        return {"message": message, "error_code": f"error_{status}"}

    @staticmethod
    def sign(secret, body):
        timestamp = str(int(time.time()))
        text = timestamp.encode() + b"," + body
        digest = hmac.new(secret.encode(), text, hashlib.sha512).hexdigest()
        return {"x-convoy-signature": digest, "convoy-timestamp": timestamp}

    @staticmethod
    def is_taken(status):
        return status is not None and 200 <= status < 300
