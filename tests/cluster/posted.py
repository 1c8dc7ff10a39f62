"""A release that real events go through: its broker, its Secret, its Service's address."""

import pathlib
import re

from control import HERE, eventually
from load import PATH, SECRET, Load
from release import Release

# Pods that drain before they go, on a machine that is busy.
READY_SECONDS = 150
CONFIG = f"""
[bus]
kind = "nats"

[bus.nats]
servers = ["nats://nats:4222"]

[bus.nats.provision]
replicas = 1

[journal]
max_size = "64MiB"
segment_size = "1MiB"
reserve = "1MiB"

[[sources]]
name = "acme"
vendor = "1099policy"
path = "{PATH}"
secret_files = ["/etc/hookbus/sources/acme/secret"]
"""
VALUES = {
    "image": {"repository": "registry.example.com/hookbus", "pullPolicy": "Never"},
    "sources": {"acme": {"existingSecret": "hookbus-acme"}},
    "persistence": {"size": "1Gi"},
    # The stream is made as the documents say.
    "provision": {"enabled": True, "backoffLimit": 6},
    "config": CONFIG,
}


class Posted(Release):
    """With its broker in the same namespace; `secret` says whether its Secret is there already."""

    def __init__(self, control, namespace, secret=True, **changes):
        super().__init__(control, namespace, {**VALUES, **changes})
        self.kubectl("create", "-f", HERE / "broker.yaml")
        if secret:
            self.secret()
        eventually("the broker is ready", READY_SECONDS, self.broker_ready)

    def secret(self):
        self.kubectl("create", "secret", "generic", "hookbus-acme", f"--from-literal=secret={SECRET}")

    def broker_ready(self):
        return self.control.get("--namespace", self.namespace, "statefulset", "nats")["status"].get("readyReplicas") == 1

    def address(self, service="hb-hookbus"):
        return self.control.get("--namespace", self.namespace, "service", service)["spec"]["clusterIP"]

    def load(self, name="load"):
        return Load(self.address(), name=name)

    def account(self, load):
        return load.account(self.address("nats"))

    def settled(self, seconds=READY_SECONDS):
        super().settled(seconds)
