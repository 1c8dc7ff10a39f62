#!/usr/bin/env python3
"""Says for nodes that run nothing what a kubelet would say: the nodes are well; a pod is ready at once; a Job's pod ends well, or with
the exit code that its annotation hookbus.test/exit asks for; a pod that is deleted is gone. And what a cloud would say: a load
balancer has an address. In: KUBECONFIG, as control.py writes it."""

import http.client
import itertools
import json
import os
import ssl
import sys
import threading
import time

BEAT_SECONDS = 10
AGAIN_SECONDS = 0.5
EXIT = "hookbus.test/exit"
ADDRESSES = (f"10.89.{number // 250}.{number % 250 + 1}" for number in itertools.count())


class Api:
    """One connection, for one thread."""

    def __init__(self):
        with open(os.environ["KUBECONFIG"]) as file:
            config = json.load(file)
        cluster = config["clusters"][0]["cluster"]
        self.context = ssl.create_default_context(cafile=cluster["certificate-authority"])
        self.host = cluster["server"].removeprefix("https://")
        self.token = config["users"][0]["user"]["token"]
        self.connection = http.client.HTTPSConnection(self.host, context=self.context)

    def ask(self, method, path, body=None, form="application/json"):
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": form}
        self.connection.request(method, path, body and json.dumps(body), headers)
        return self.connection.getresponse()

    def patch(self, path, status):
        response = self.ask("PATCH", f"{path}/status", {"status": status}, "application/strategic-merge-patch+json")
        said = response.read()
        # Whoever changed or removed the object meanwhile is told of by the next event.
        if response.status not in (200, 404, 409):
            print(path, response.status, said.decode(), file=sys.stderr, flush=True)


def now():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def conditions(value, *kinds):
    return [{"type": kind, "status": value, "lastTransitionTime": now()} for kind in kinds]


def containers(pod, ready, state):
    return [{"name": each["name"], "image": each["image"], "imageID": "", "ready": ready, "started": ready, "restartCount": 0, "state": state}
            for each in pod["spec"]["containers"]]


def beat():
    """Without a heart beat, controllers take the pods away."""
    api = Api()
    while True:
        with_nodes = api.ask("GET", "/api/v1/nodes")
        for node in json.load(with_nodes)["items"]:
            ready = {"type": "Ready", "status": "True", "reason": "Idle", "lastHeartbeatTime": now(), "lastTransitionTime": node["metadata"]["creationTimestamp"]}
            api.patch(f"/api/v1/nodes/{node['metadata']['name']}", {"conditions": [ready]})
        time.sleep(BEAT_SECONDS)


def pod_seen(api, pod):
    metadata, status = pod["metadata"], pod["status"]
    path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
    if not pod["spec"].get("nodeName"):
        return
    if "deletionTimestamp" in metadata:
        api.ask("DELETE", path, {"gracePeriodSeconds": 0, "preconditions": {"uid": metadata["uid"]}}).read()
    elif "podIP" not in status:
        address = next(ADDRESSES)
        api.patch(path, {
            "phase": "Running",
            "startTime": now(),
            "podIP": address,
            "podIPs": [{"ip": address}],
            "conditions": conditions("True", "Initialized", "ContainersReady", "Ready"),
            "containerStatuses": containers(pod, True, {"running": {"startedAt": now()}}),
        })
    elif status["phase"] == "Running" and any(owner["kind"] == "Job" for owner in metadata.get("ownerReferences", [])):
        code = int(metadata.get("annotations", {}).get(EXIT, "0"))
        api.patch(path, {
            "phase": "Failed" if code else "Succeeded",
            "conditions": conditions("False", "ContainersReady", "Ready"),
            "containerStatuses": containers(pod, False, {"terminated": {"exitCode": code, "startedAt": now(), "finishedAt": now()}}),
        })


def service_seen(api, service):
    metadata = service["metadata"]
    if service["spec"]["type"] == "LoadBalancer" and not service["status"]["loadBalancer"]:
        api.patch(f"/api/v1/namespaces/{metadata['namespace']}/services/{metadata['name']}", {"loadBalancer": {"ingress": [{"hostname": "balancer.example.com"}]}})


def watch(kind, seen):
    api = Api()
    # Without a version it begins with every object that is there.
    for line in Api().ask("GET", f"/api/v1/{kind}?watch=true"):
        event = json.loads(line)
        if event["type"] in ("ADDED", "MODIFIED"):
            seen(api, event["object"])


def for_ever(what, *arguments):
    while True:
        try:
            what(*arguments)
        except (OSError, http.client.HTTPException, ValueError) as problem:
            print(f"{what.__name__} {arguments}: {problem!r}", file=sys.stderr, flush=True)
            time.sleep(AGAIN_SECONDS)


if __name__ == "__main__":
    threading.Thread(target=for_ever, args=(beat,), daemon=True).start()
    threading.Thread(target=for_ever, args=(watch, "services", service_seen), daemon=True).start()
    for_ever(watch, "pods", pod_seen)
