"""A handler as the vendors' documents describe it, in Flask: it knows one secret, and verifies over the raw body.

Usage: handler_flask.py PORT SECRET_FILE OUT. Each event that it takes is a line of OUT: vendor and SHA-256 of the body.
"""

import hashlib
import hmac
import sys

from flask import Flask, abort, request

port, secret_file, out = sys.argv[1:]
secret = open(secret_file, "rb").read()
app = Flask(__name__)


def take(vendor, expected, given):
    if not hmac.compare_digest(expected, given):
        abort(401)
    with open(out, "a") as lines:
        lines.write(f"{vendor} {hashlib.sha256(request.get_data()).hexdigest()}\n")
    return {"received": True}


@app.post("/1099policy")
def policy():
    timestamp = request.headers["convoy-timestamp"]
    signed = timestamp.encode() + b"," + request.get_data()
    return take("1099policy", hmac.new(secret, signed, hashlib.sha512).hexdigest(), request.headers["x-convoy-signature"])


@app.post("/audit1")
def audit():
    expected = hmac.new(secret, request.get_data(), hashlib.sha256).hexdigest()
    return take("audit1", "sha256=" + expected, request.headers["Audit1-Signature"])


app.run(port=int(port))
