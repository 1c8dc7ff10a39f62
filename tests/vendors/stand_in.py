"""Stands in for the APIs of both vendors, as far as their documents say them: a tool of the tests, usable by hand.

    python3 tests/vendors/stand_in.py --port 8099
    curl -u key-of-the-stand-in: http://127.0.0.1:8099/1099policy/api/v1/webhook_endpoints

Standard library only, and nothing of hookbus: it is written from the documents, so that a mistake of hookbus in reading them
is not made here, too. It prints one line of JSON when it listens. One server has both vendors, each below its own path, and
`/control` for the test:

    GET  /control/state                                  everything, secrets included; calls, and the second of each
    POST /control/endpoint  {vendor, url, events}        an endpoint that someone makes in the vendor's portal
    POST /control/remove    {vendor, id}                 someone deletes one there
    POST /control/fire      {vendor, event, body, drop}  an event happens; with drop its webhook is lost
    POST /control/fires     {vendor, events}             several events, each with event, body, drop
    POST /control/status    {vendor, id, status}         the vendor switches an endpoint off
    POST /control/certificate  {id, status, …}           a certificate of 1099Policy
    POST /control/fault     {vendor, method, path, kind, times, …}   the next `times` calls go wrong, see faults.py
"""

import argparse
import base64
import http.server
import json
import ssl
import sys
import threading
import time
import urllib.parse

from audit1 import Audit1
from faults import Faults
from policy1099 import Policy1099

MOST_BODY = 1 << 20


class Refused(Exception):
    """An answer that says no."""

    def __init__(self, status, message, headers=None):
        super().__init__(message)
        self.status, self.headers = status, headers or {}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def handle_one(self):
        url = urllib.parse.urlsplit(self.path)
        length = int(self.headers.get("content-length", 0))
        body = self.rfile.read(length) if length <= MOST_BODY else b""
        _, first, *rest = url.path.split("/", 2)
        if first == "control":
            return self.answer(*self.server.control(self.command, "/".join(rest), body))
        vendor = self.server.vendors.get(first)
        if vendor is None or not rest or not rest[0].startswith("api/v1/"):
            return self.answer(404, {"message": "no such path"})
        path = "/" + rest[0].removeprefix("api/v1/")
        call = Call(self.command, path, urllib.parse.parse_qs(url.query), self.headers, body)
        with self.server.lock:
            self.server.calls.append(f"{first} {self.command} {path}")
            self.server.times.append(time.monotonic())
        fault = self.server.faults.take(first, self.command, path)
        return fault.play(self, lambda: self.server.ask(vendor, call))

    do_GET = do_POST = do_PUT = do_DELETE = handle_one

    def answer(self, status, value, headers=None, cut=False):
        body = b"" if value is None else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        for name, text in (headers or {}).items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection = self.close_connection or cut


class Call:
    """One request to a vendor."""

    def __init__(self, method, path, query, headers, body):
        self.method, self.path, self.query, self.headers, self.body = method, path, query, headers, body

    def basic_user(self):
        """The user of HTTP Basic with an empty password, or None."""
        scheme, _, text = self.headers.get("authorization", "").partition(" ")
        if scheme != "Basic":
            return None
        user, _, password = base64.b64decode(text).decode().partition(":")
        return user if password == "" else None

    def json(self):
        if "application/json" not in self.headers.get("content-type", ""):
            raise Refused(415, "send JSON")
        return json.loads(self.body)

    def form(self):
        if "x-www-form-urlencoded" not in self.headers.get("content-type", ""):
            raise Refused(415, "send a form")
        return urllib.parse.parse_qs(self.body.decode())


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, options):
        super().__init__(("127.0.0.1", options.port), Handler)
        self.lock, self.calls, self.times, self.faults = threading.RLock(), [], [], Faults()
        self.vendors = {
            "1099policy": Policy1099(options, Refused),
            "audit1": Audit1(options, Refused),
        }
        if options.cert:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(options.cert, options.key)
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, *_):
        """A client that goes away, or is killed, is no news."""

    def ask(self, vendor, call):
        with self.lock:
            try:
                return vendor.answer(call)
            except Refused as refused:
                return refused.status, vendor.error(refused.status, str(refused)), refused.headers
            except (ValueError, KeyError) as error:
                return 400, vendor.error(400, f"cannot read this: {error}"), {}

    def control(self, method, what, body):
        value = json.loads(body) if body else {}
        vendor = self.vendors.get(value.get("vendor", "1099policy"))
        with self.lock:
            if (method, what) == ("GET", "state"):
                return 200, {"calls": self.calls, "times": self.times, **{name: vendor.state() for name, vendor in self.vendors.items()}}
            if what == "fires":
                # Many at once; a test that asks for each would take its time.
                return 200, {"sent": [vendor.fire(v["event"], v["body"], v.get("drop", False)) for v in value["events"]]}
            if what == "status":
                vendor.endpoints[value["id"]]["status"] = value["status"]
                return 200, value
            if what == "endpoint":
                return 200, vendor.make(value["url"], value["events"], value.get("description"))
            if what == "remove":
                return 200, vendor.endpoints.pop(value["id"])
            if what == "fire":
                return 200, {"sent": vendor.fire(value["event"], value["body"], value.get("drop", False))}
            if what == "certificate":
                self.vendors["1099policy"].certificates[value["id"]] = value
                return 200, value
            if what == "fault":
                self.faults.add(value)
                return 200, value
        return 404, {"message": "no such control"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--cert", help="PEM file: speak TLS")
    parser.add_argument("--key", help="PEM file of the certificate's key")
    parser.add_argument("--api-key", default="key-of-the-stand-in", help="1099Policy's secret key, Audit1's client secret")
    parser.add_argument("--client-id", default="client-of-the-stand-in", help="Audit1's client id")
    parser.add_argument("--scale", type=float, default=0.001, help="seconds that a documented second of retries takes")
    options = parser.parse_args()
    server = Server(options)
    print(json.dumps({"port": server.server_address[1]}), flush=True)
    # It ends with the test that holds its standard input.
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
