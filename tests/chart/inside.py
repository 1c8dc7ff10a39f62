#!/usr/bin/env python3
"""The kubelet of one container: starts its command, asks its probes as the manifest says, posts an event to its port if it takes webhooks,
and stops it.
Runs in the sandbox of `sandbox.py`, where the only network is the loopback."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request

# Not the address that a listener has by default: who answers here listens on all addresses, as a pod must.
POD = "127.0.0.2"


def status(port, path):
    try:
        with urllib.request.urlopen(f"http://{POD}:{port}{path}", timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


def wait(what, process, condition):
    deadline = time.monotonic() + 90
    while not condition():
        if process.poll() is not None:
            sys.exit(f"{what}: hookbus ended with {process.returncode}")
        if deadline < time.monotonic():
            sys.exit(f"{what}: not within 90 s")
        time.sleep(0.1)


def main(order):
    admin, probes = order["ports"]["metrics"], order["probes"]
    process = subprocess.Popen(["/hookbus", *order["args"]])
    wait("startup probe", process, lambda: status(admin, probes["startupProbe"]) == 200)
    wait("liveness probe", process, lambda: status(admin, probes["livenessProbe"]) == 200)
    wanted = 200 if order["ready"] else 503
    wait(f"readiness probe {wanted}", process, lambda: status(admin, probes["readinessProbe"]) == wanted)
    wait("metrics", process, lambda: status(admin, "/metrics") == 200)
    if "http" in order["ports"]:
        post(order, process)
    stop(order, process)


def post(order, gateway):
    wait("listener", gateway, lambda: status(order["ports"]["http"], "/") == 404)
    sample = {"1099policy": "certificate.flagged", "audit1": "file.processed"}[order["vendor"]]
    url = f"--url=http://{POD}:{order['ports']['http']}{order['path']}"
    posted = subprocess.run(["/hookbus", "trigger", order["vendor"], sample, url], capture_output=True, text=True)
    if (posted.returncode == 0) != order["ready"]:
        sys.exit(f"trigger: exit {posted.returncode}: {posted.stdout}{posted.stderr}")


def stop(order, process):
    process.terminate()
    begin = time.monotonic()
    try:
        code = process.wait(order["grace"])
    except subprocess.TimeoutExpired:
        sys.exit(f"still there {order['grace']} s after SIGTERM: the kubelet would kill it")
    if code != 0:
        sys.exit(f"exit {code} {time.monotonic() - begin:.1f} s after SIGTERM")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
